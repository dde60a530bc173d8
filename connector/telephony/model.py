"""The call model: facts of the PBX in, changes of the agents' desks out.

`apply` is synchronous, total and deterministic: no fact raises, and the same facts give the same changes,
live or from a recorded trace. States are not steered step by step: after each fact the interactions that it
touched are looked at anew (who is joined to whom now?) and the difference goes out as changes.

Here is what others ask and tell the model, and which fact goes where. What becomes of it stands in
`beginnings`, `resuming`, `settling`, `transfers` and `endings`; what they share is `calls.Calls`.
"""

from dataclasses import replace

from connector.telephony import beginnings, endings, facts, settling, transfers
from connector.telephony.calls import Calls
from connector.telephony.changes import (
    Anomaly,
    Change,
    InteractionCompleted,
    PhoneChanged,
    Presence,
    SupervisionChanged,
)
from connector.telephony.facts import EndpointState
from connector.telephony.interactions import Conversation, Interaction
from connector.telephony.legs import Leg
from connector.telephony.presence import PresenceBoard
from connector.telephony.resuming import resume_call
from connector.telephony.states import (
    ENDED_STATES,
    Cause,
    ConversationState,
    InteractionState,
    Supervision,
)

_SUPERVISING = (facts.LegCreated, facts.SpyStarted, facts.LegEnded)
"""Facts by which a supervision may begin or end."""


class TelephonyModel:
    """All phones that are watched, and the interactions on them."""

    def __init__(self) -> None:
        self._calls = Calls()
        self.legs = self._calls.legs
        self.board = PresenceBoard()
        self._interactions = self._calls.interactions
        self._phones: dict[str, EndpointState] = {}
        self._supervised: dict[str, str] = {}
        self.interaction_on = self._calls.interaction_on
        """Returns the interaction, not over, that one of the agent's legs belongs to."""

    # -- reading -------------------------------------------------------------------------------------

    def interaction(self, interaction_id: str) -> Interaction | None:
        """Return the interaction of that id, ended ones included until they are forgotten."""
        return self._interactions.get(interaction_id)

    def interactions(self, endpoint: str) -> list[Interaction]:
        """Return the interactions on a phone that are not completed, oldest first."""
        return self._calls.on_phone(endpoint)

    def interactions_everywhere(self) -> tuple[Interaction, ...]:
        """Return the interactions on all phones, ended ones included until they are forgotten."""
        return tuple(self._interactions.values())

    def occupied(self, endpoint: str) -> bool:
        """Tell whether a call that the phone picked up goes on, or has ended and is not completed."""
        return any(one.answered for one in self.interactions(endpoint))

    def about(self, leg: str) -> list[Interaction]:
        """Return the interactions, over or not, about a leg: an agent's, a party's, one that is rung."""
        return self._calls.about(leg)

    def is_party(self, leg: str) -> bool:
        """Whether a leg is the far end of some agent's conversation."""
        return self._calls.is_party(leg)

    def among_agents(self, conversation: Conversation) -> bool:
        """Whether all parties of a conversation are legs of agents who have an interaction with them."""
        return self._calls.among_agents(conversation)

    def watches(self, endpoint: str) -> bool:
        """Tell whether the calls of a phone are followed."""
        return endpoint in self._calls.watched

    def agent_legs(self) -> list[Leg]:
        """Return the answered legs of all phones that are watched."""
        return [
            leg for leg in self.legs.legs.values() if leg.endpoint in self._calls.watched and leg.answered
        ]

    def is_unexplained(self, leg: str) -> bool:
        """Whether a watched phone's leg was seen to begin, and what for was missed: the link broke there."""
        live = self.legs.get(leg)
        if live is None or live.endpoint not in self._calls.watched or self._calls.knows(leg):
            return False
        explained = live.placed or live.answered or live.dialled_by is not None or live.supervises
        return not explained

    def rings_no_more(self, leg: str) -> bool:
        """Whether an agent's leg has been answered, and there is nobody whose call that would be."""
        interaction, live = self.interaction_on(leg), self.legs.get(leg)
        if interaction is None or live is None or not live.answered:
            return False
        return interaction.state is InteractionState.ALERTING and not self.legs.hearing(leg).parties

    def consults_in_vain(self, leg: str) -> bool:
        """Return whether a consult is being dialled from a leg, of which nobody rings any more."""
        interaction, live = self.interaction_on(leg), self.legs.get(leg)
        consult = interaction.consult if interaction is not None else None
        if consult is None or live is None or consult.leg != leg:
            return False
        return consult.state is ConversationState.DIALING and not live.ringing

    def presence(self, endpoint: str) -> Presence:
        """Return who works at a phone, and whether calls may come."""
        return self.board.presence(endpoint)

    def phone(self, endpoint: str) -> EndpointState:
        """Return the phone's last known state."""
        return self._phones.get(endpoint, EndpointState.UNKNOWN)

    def supervisor(self, endpoint: str) -> Leg | None:
        """Return the leg with which a phone supervises a call, or rings for it."""
        return next((leg for leg in self.legs.of_endpoint(endpoint) if leg.supervises), None)

    def supervisors_of(self, interaction_id: str) -> list[Leg]:
        """Return the legs that supervise an interaction."""
        return [leg for leg in self.legs.supervising() if leg.supervises == interaction_id]

    # -- being told ----------------------------------------------------------------------------------

    def watch(self, endpoint: str) -> list[Change]:
        """Follow the calls of a phone from now on, those in progress included."""
        if endpoint in self._calls.watched:
            return []
        self._calls.watched.add(endpoint)
        for leg in self.legs.of_endpoint(endpoint):
            if leg.placed or leg.dialled_by is not None or leg.answered:
                beginnings.appear(self._calls, leg)
        return self._calls.take()

    def is_dialled_for(self, interaction: Interaction) -> bool:
        """Whether an agent's desktop asked for this call: the phone is called first, with the number."""
        leg = self.legs.get(interaction.leg)
        return leg is not None and not leg.placed and bool(leg.destination)

    def expect_dial(self, leg: str, destination: str) -> None:
        """Announce that `leg` will come to be because an agent dials `destination` from the desktop."""
        self._calls.destinations[leg] = destination

    def expect_consult(self, interaction_id: str, destination: str) -> None:
        """Announce the number that an agent's consult call goes to: its first leg may not tell it yet."""
        interaction = self._interactions.get(interaction_id)
        consult = interaction.consult if interaction is not None else None
        if consult is not None and not consult.placeholder and not consult.parties:
            consult.expect(destination, self._calls.type_of_number(destination))

    def expect_supervision(self, leg: str, interaction_id: str) -> None:
        """Announce that `leg` will come to be because its phone supervises an interaction."""
        self._supervised[leg] = interaction_id

    def expect_departure(self, interaction_id: str, cause: Cause | None) -> None:
        """Announce why the agent's leg is about to end (a transfer), or take the announcement back (None)."""
        interaction = self._interactions.get(interaction_id)
        if interaction is not None:
            interaction.departure = cause

    def expect_meeting(self, interaction_id: str, *, under_way: bool) -> None:
        """Announce that agent and parties go to one room (music meanwhile is no hold), or its end."""
        interaction = self._interactions.get(interaction_id)
        if interaction is not None:
            interaction.meeting = under_way

    def gather(self, interaction_id: str, leg: str) -> None:
        """Announce that all conversations of an interaction run on this leg of the agent's from now on."""
        interaction = self._interactions.get(interaction_id)
        if interaction is not None:
            interaction.leg = leg
            for conversation in interaction.live_conversations:
                if conversation.leg != leg:
                    transfers.same_agent(self._calls, conversation, conversation.leg, leg)
                conversation.leg = leg

    def complete(self, interaction_id: str) -> list[Change]:
        """End the wrap-up of an ended interaction and forget it."""
        interaction = self._interactions.get(interaction_id)
        if interaction is not None and interaction.state is InteractionState.ENDED:
            interaction.step(InteractionState.COMPLETED, self._calls.emit)
            self._calls.emit(InteractionCompleted(interaction_id))
            del self._interactions[interaction_id]
        return self._calls.take()

    def apply(self, fact: facts.Fact) -> list[Change]:
        """Take one fact of the PBX in. Return what changed on the desks, in order."""
        match fact:
            case facts.MemberChanged() | facts.MemberGone():
                for change in self.board.apply(fact):
                    self._calls.emit(change)
            case facts.EndpointChanged(endpoint=endpoint, state=state):
                before = self.phone(endpoint)
                self._phones[endpoint] = state
                if before is not state:
                    self._calls.emit(PhoneChanged(endpoint, before, state))
            case facts.PbxStopped():
                for leg in tuple(self.legs.legs):
                    self._apply_leg(facts.LegEnded(leg, 0))
            case facts.PlacementFailed():
                self._placement_failed(fact)
            case facts.CallFound():
                resume_call(self._calls, fact)
            case facts.PartiesTransferred() | facts.LegSentOn():
                transfers.take_in(self._calls, fact)
            case _:
                self._apply_leg(fact)
        return self._calls.take()

    # -- legs ----------------------------------------------------------------------------------------

    def _apply_leg(self, fact: facts.Fact) -> None:
        ending = self.legs.get(fact.leg) if isinstance(fact, facts.LegEnded) else None
        supervises = isinstance(fact, _SUPERVISING)
        supervised = self._supervision_by(fact) if supervises else None
        touched = self.legs.apply(fact)
        # A leg that ends is forgotten, and may have been alone by then: who knew it must still be looked at.
        left = self._calls.about(ending.id) if ending is not None else []
        self._go_on(fact, ending, touched)
        if supervises:
            self._supervision_told(supervised, self._supervision_by(fact))
        about = self._calls.about(*touched)
        if left:
            about = list({one.id: one for one in (*about, *left)}.values())
        for interaction in about:
            if interaction.state not in ENDED_STATES:
                settling.look_at(self._calls, interaction)

    def _go_on(self, fact: facts.Fact, ending: Leg | None, touched: set[str]) -> None:
        """Begin or end what a fact about a leg begins or ends; `ending` is a leg whose end it tells."""
        match fact:
            case facts.LegCreated(endpoint=endpoint) if endpoint in self._calls.watched:
                self._leg_created(fact)
            case facts.DialStarted(caller=caller, callee=callee, sent_on=sent_on):
                if sent_on and caller is not None:
                    transfers.dials_for_another(self._calls, caller)
                beginnings.dial_started(self._calls, callee)
            case facts.LegJoined() | facts.JointFound():
                beginnings.consult_of_the_pbx(self._calls, touched)
            case facts.HangupAsked(leg=leg, by_phone=True):
                endings.phone_hangs_up(self._calls, leg)
            case facts.LegTransferredAway(leg=leg):
                endings.transferred_away(self._calls, leg)
            case facts.LegEnded(cause=cause) if ending is not None:
                endings.leg_ended(self._calls, ending, cause)
            case facts.LegOrphaned() | facts.LegsParted():
                endings.set_apart(self._calls, fact)
            case _:
                pass
        if isinstance(fact, facts.LegEnded):
            self._calls.destinations.pop(fact.leg, None)
            self._supervised.pop(fact.leg, None)

    def _leg_created(self, fact: facts.LegCreated) -> None:
        created = self.legs.get(fact.leg)
        if created is None:
            return
        self.legs.supervise(created, self._supervised.get(fact.leg, ""))
        # An answered leg that nobody saw begin is a call in progress, found after a (re)start.
        if (fact.placed or fact.answered) and not fact.listed and not self._calls.knows(fact.leg):
            beginnings.appear(self._calls, created)

    def _supervision_told(self, before: SupervisionChanged | None, now: SupervisionChanged | None) -> None:
        if now is not None and now != before:
            self._calls.emit(now)
        elif now is None and before is not None:
            self._calls.emit(replace(before, state=Supervision.OFF))

    def _supervision_by(self, fact: facts.Fact) -> SupervisionChanged | None:
        """Return the supervision that the fact's leg is there for, as it would be told now."""
        if not isinstance(fact, _SUPERVISING):
            return None
        leg = self.legs.get(fact.leg)
        if leg is None or not leg.supervises:
            return None
        return SupervisionChanged(leg.endpoint, leg.supervises, leg.supervision)

    def _placement_failed(self, fact: facts.PlacementFailed) -> None:
        """Forget the announced call; usually its leg's end has told the story already."""
        self._calls.destinations.pop(fact.leg, None)
        self._supervised.pop(fact.leg, None)
        interaction = self._interactions.get(fact.leg)
        if interaction is None or interaction.over or self.legs.get(fact.leg) is not None:
            return
        self._calls.emit(Anomaly(fact.leg, "a placement failed for a leg that had ended unnoticed"))
