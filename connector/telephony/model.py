"""The call model: facts of the PBX in, changes of the agents' desks out.

`apply` is synchronous, total and deterministic: no fact raises, and the same facts give the same changes,
live or from a recorded trace. States are not steered step by step: after each fact the interactions that it
touched are looked at anew (who is joined to whom now?) and the difference goes out as changes.
"""

from collections.abc import Iterable
from dataclasses import replace

from connector.telephony import causes, facts, judging
from connector.telephony.changes import (
    Anomaly,
    Change,
    ConversationAdded,
    DataChanged,
    InteractionAdded,
    InteractionCompleted,
    MemberJoined,
    MemberType,
    MuteChanged,
    PartiesLeftTogether,
    PhoneChanged,
    Presence,
    RecordingChanged,
    SupervisionChanged,
)
from connector.telephony.facts import EndpointState
from connector.telephony.found_calls import read_call
from connector.telephony.interactions import Conversation, Interaction
from connector.telephony.legs import Hearing, Leg, LegGraph
from connector.telephony.presence import PresenceBoard
from connector.telephony.states import (
    ANSWERED_STATES,
    Cause,
    ConversationState,
    DialOutcome,
    InteractionState,
    Recording,
    Role,
    Supervision,
)

_NOTHING_HEARD = Hearing(frozenset(), program=False)


class TelephonyModel:
    """All phones that are watched, and the interactions on them."""

    def __init__(self) -> None:
        self.legs = LegGraph()
        self.board = PresenceBoard()
        self._watched: set[str] = set()
        self._phones: dict[str, EndpointState] = {}
        self._interactions: dict[str, Interaction] = {}
        self._by_leg: dict[str, set[str]] = {}
        self._destinations: dict[str, str] = {}
        self._supervised: dict[str, str] = {}
        self._changes: list[Change] = []

    # -- reading -------------------------------------------------------------------------------------

    def interaction(self, interaction_id: str) -> Interaction | None:
        """Return the interaction of that id, ended ones included until they are forgotten."""
        return self._interactions.get(interaction_id)

    def interactions(self, endpoint: str) -> list[Interaction]:
        """Return the interactions on a phone that are not completed, oldest first."""
        return [
            one
            for one in self._interactions.values()
            if one.endpoint == endpoint and one.state is not InteractionState.COMPLETED
        ]

    def occupied(self, endpoint: str) -> bool:
        """Tell whether a call that the phone picked up goes on, or has ended and is not completed."""
        return any(one.answered for one in self.interactions(endpoint))

    def interaction_on(self, leg: str) -> Interaction | None:
        """Return the interaction, not over, that one of the agent's legs belongs to."""
        return next(iter(self._live_interactions_of(leg)), None)

    def is_party(self, leg: str) -> bool:
        """Whether a leg is the far end of some agent's conversation."""
        known = [self._interactions.get(one) for one in sorted(self._by_leg.get(leg, ()))]
        return any(
            leg in talk.parties for one in known if one and not one.over for talk in one.live_conversations
        )

    def among_agents(self, conversation: Conversation) -> bool:
        """Whether all parties of a conversation are legs of agents who have an interaction with them."""
        return bool(conversation.parties) and all(map(self.interaction_on, conversation.parties))

    def watches(self, endpoint: str) -> bool:
        """Tell whether the calls of a phone are followed."""
        return endpoint in self._watched

    def agent_legs(self) -> list[Leg]:
        """Return the answered legs of all phones that are watched."""
        return [leg for leg in self.legs.legs.values() if leg.endpoint in self._watched and leg.answered]

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
        return [leg for leg in self.legs.legs.values() if leg.supervises == interaction_id]

    # -- being told ----------------------------------------------------------------------------------

    def watch(self, endpoint: str) -> list[Change]:
        """Follow the calls of a phone from now on, those in progress included."""
        if endpoint in self._watched:
            return []
        self._watched.add(endpoint)
        for leg in self.legs.of_endpoint(endpoint):
            if leg.placed or leg.dialled_by is not None or leg.answered:
                self._appear(leg)
        return self._take()

    def expect_dial(self, leg: str, destination: str) -> None:
        """Announce that `leg` will come to be because an agent dials `destination` from the desktop."""
        self._destinations[leg] = destination

    def expect_consult(self, interaction_id: str, destination: str) -> None:
        """Announce the number that an agent's consult call goes to: its first leg may not tell it yet."""
        interaction = self._interactions.get(interaction_id)
        consult = interaction.consult if interaction is not None else None
        if consult is not None and not consult.placeholder and not consult.parties:
            consult.expect(destination, self._type_of_number(destination))

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
                conversation.leg = leg

    def complete(self, interaction_id: str) -> list[Change]:
        """End the wrap-up of an ended interaction and forget it."""
        interaction = self._interactions.get(interaction_id)
        if interaction is not None and interaction.state is InteractionState.ENDED:
            interaction.step(InteractionState.COMPLETED, self._changes.append)
            self._changes.append(InteractionCompleted(interaction_id))
            del self._interactions[interaction_id]
        return self._take()

    def apply(self, fact: facts.Fact) -> list[Change]:
        """Take one fact of the PBX in. Return what changed on the desks, in order."""
        match fact:
            case facts.MemberChanged() | facts.MemberGone():
                self._changes.extend(self.board.apply(fact))
            case facts.EndpointChanged(endpoint=endpoint, state=state):
                before = self.phone(endpoint)
                self._phones[endpoint] = state
                if before is not state:
                    self._changes.append(PhoneChanged(endpoint, before, state))
            case facts.PbxStopped():
                for leg in tuple(self.legs.legs):
                    self._apply_leg(facts.LegEnded(leg, 0))
            case facts.PlacementFailed():
                self._placement_failed(fact)
            case facts.CallFound():
                self._found(fact)
            case facts.PartiesTransferred():
                self._transferred(fact)
            case _:
                self._apply_leg(fact)
        return self._take()

    # -- legs ----------------------------------------------------------------------------------------

    def _take(self) -> list[Change]:
        taken, self._changes = self._changes, []
        return taken

    def _apply_leg(self, fact: facts.Fact) -> None:
        ending = self.legs.get(fact.leg) if isinstance(fact, facts.LegEnded) else None
        supervised = self._supervision_by(fact)
        touched = self.legs.apply(fact)
        match fact:
            case facts.LegCreated(endpoint=endpoint) if endpoint in self._watched:
                self._leg_created(fact)
            case facts.DialStarted(callee=callee):
                self._dial_started(callee)
            case facts.LegJoined():
                self._consult_of_the_pbx(touched)
            case facts.LegTransferredAway(leg=leg):
                self._transferred_away(leg)
            case facts.LegEnded(cause=cause) if ending is not None:
                self._leg_ended(ending, cause)
            case facts.LegOrphaned() | facts.LegsParted():
                self._set_apart(fact)
            case _:
                pass
        if isinstance(fact, facts.LegEnded):
            self._destinations.pop(fact.leg, None)
            self._supervised.pop(fact.leg, None)
        self._supervision_told(supervised, self._supervision_by(fact))
        for interaction_id in self._interactions_of(touched):
            interaction = self._interactions.get(interaction_id)
            if interaction is not None and not interaction.over:
                self._look_at(interaction)

    def _leg_created(self, fact: facts.LegCreated) -> None:
        created = self.legs.get(fact.leg)
        if created is None:
            return
        created.supervises = created.supervises or self._supervised.get(fact.leg, "")
        # An answered leg that nobody saw begin is a call in progress, found after a (re)start.
        if (fact.placed or fact.answered) and not fact.listed and fact.leg not in self._by_leg:
            self._appear(created)

    def _interactions_of(self, legs: set[str]) -> list[str]:
        found: dict[str, None] = {}
        for leg in sorted(legs):
            for interaction_id in sorted(self._by_leg.get(leg, ())):
                found[interaction_id] = None
        return list(found)

    def _link(self, leg: str, interaction: Interaction) -> None:
        self._by_leg.setdefault(leg, set()).add(interaction.id)

    def _unlink(self, interaction: Interaction) -> None:
        for leg in [leg for leg, known in self._by_leg.items() if interaction.id in known]:
            self._by_leg[leg].discard(interaction.id)
            if not self._by_leg[leg]:
                del self._by_leg[leg]

    # -- beginnings ----------------------------------------------------------------------------------

    def _dial_started(self, callee: str) -> None:
        leg = self.legs.get(callee)
        if leg is None:
            return
        known = callee in self._interactions or self.interaction_on(callee) is not None
        if leg.endpoint in self._watched and not leg.internal and not known:
            self._appear(leg)
        root = self.legs.originator(leg.dialled_by) if leg.dialled_by is not None else None
        if root is None or root == callee:
            return
        for interaction_id in sorted(self._by_leg.get(root, ())):
            interaction = self._interactions.get(interaction_id)
            if interaction is None or interaction.over or root not in interaction.legs:
                continue
            conversation = self._conversation_being_dialled(interaction, root)
            if leg.internal:
                continue
            if not conversation.placeholder and not conversation.parties:
                conversation.expect(leg.number, self._type_of(leg, conversation.role))
            conversation.candidates.add(callee)
            self._link(callee, interaction)

    def _conversation_being_dialled(self, interaction: Interaction, leg: str) -> Conversation:
        """Return the conversation that a call of the agent's leg belongs to; a new consult if need be."""
        consult = interaction.consult
        if consult is not None and not consult.released:
            return consult if consult.leg == leg else interaction.primary
        if interaction.primary.state not in ANSWERED_STATES:
            return interaction.primary
        return self._begin_consult(interaction, leg)

    def _begin_consult(self, interaction: Interaction, leg: str) -> Conversation:
        consult = Conversation(
            interaction.next_conversation_id(), Role.CONSULT, ConversationState.DIALING, leg
        )
        interaction.consult = consult
        self._changes.append(ConversationAdded(interaction.id, consult.id, Role.CONSULT))
        return consult

    def _consults_for(self, leg: Leg) -> Interaction | None:
        """Return the interaction that a call placed by the phone is a consult of.

        That is the phone's only call, if it was put on hold first: of two nobody could tell which it is.
        """
        if leg.consult_of:
            live = [one for one in self.interactions(leg.endpoint) if one.id == leg.consult_of]
        else:
            live = [one for one in self.interactions(leg.endpoint) if leg.placed and not one.over]
        if len(live) != 1 or live[0].state is not InteractionState.STARTED:
            return None
        busy = live[0].consult is not None and not live[0].consult.released
        held = live[0].primary.state is ConversationState.HELD or leg.consult_of
        return live[0] if held and not busy else None

    def _consult_of_the_pbx(self, touched: set[str]) -> None:
        """Begin the consult that the PBX dials for an agent by its own attended transfer."""
        for interaction_id in self._interactions_of(touched):
            interaction = self._interactions[interaction_id]
            agent = self.legs.get(interaction.leg)
            joint = self.legs.get(agent.joint) if agent is not None else None
            if joint is None or interaction.over or interaction_id in self._by_leg.get(joint.id, ()):
                continue
            conversation = self._conversation_being_dialled(interaction, interaction.leg)
            conversation.expect(joint.dialled, self._type_of_number(joint.dialled))
            self._link(joint.id, interaction)

    def _appear(self, leg: Leg) -> None:
        """Make the interaction of an agent's leg, or a consult of the one that the phone has put on hold.

        A supervisor's leg is neither.
        """
        if leg.supervises:
            return
        about = self._consults_for(leg)
        if about is not None:
            consult = self._begin_consult(about, leg.id)
            consult.expect(leg.dialled, self._type_of_number(leg.dialled))
            self._link(leg.id, about)
            return
        interaction_id = leg.id
        if leg.consult_of and self.legs.get(leg.consult_of) is None:
            # The first call of the phone's consult is over: the interaction keeps its id on the second leg.
            interaction_id = leg.consult_of
        taken = self._interactions.get(interaction_id)
        if taken is not None and not taken.over:
            return
        destination = self._destinations.get(leg.id) or leg.destination
        outbound = leg.placed or bool(destination)
        state = ConversationState.DIALING if outbound else ConversationState.ALERTING
        primary = Conversation(f"{interaction_id}-1", Role.PRIMARY, state, leg.id)
        first = InteractionState.DIALING if outbound else InteractionState.ALERTING
        interaction = Interaction(interaction_id, leg.endpoint, leg.id, first, primary, answered=leg.answered)
        if outbound:
            number = destination or leg.dialled
            primary.expect(number, self._type_of_number(number))
        else:
            caller_id = self.legs.originator(leg.dialled_by)
            caller = self.legs.get(caller_id)
            if caller is not None and caller.id != leg.id:
                kind = self._type_of(caller, Role.PRIMARY)
                primary.admit(interaction.id, caller, kind, self._changes.append, silent=True)
                self._link(caller.id, interaction)
            else:
                primary.expect(leg.connected_number, MemberType.CUSTOMER)
        interaction.data = self._collect(interaction)
        self._interactions[interaction.id] = interaction
        self._link(leg.id, interaction)
        self._changes.append(InteractionAdded(interaction.id, leg.endpoint))

    def _found(self, fact: facts.CallFound) -> None:
        """Begin the interaction of a leg that was found in a list, in the middle of whatever it is."""
        agent = self.legs.get(fact.leg)
        if agent is None or agent.endpoint not in self._watched or not (agent.placed or agent.answered):
            return
        if self.interaction_on(agent.id) is None:
            self._appear(agent)
        interaction = self.interaction_on(agent.id)
        if interaction is None:
            return
        if interaction.primary.leg == agent.id:
            self._resume(interaction, agent, fact)
        self._look_at(interaction)

    def _resume(self, interaction: Interaction, agent: Leg, fact: facts.CallFound) -> None:
        call = read_call(self.legs, agent, fact)
        if call.primary and interaction.state is InteractionState.ALERTING:
            # Whom a leg was connected with last need not be who called.
            interaction.primary.expect_nobody()
        self._seat(interaction, interaction.primary, call.primary)
        interaction.data = self._collect(interaction)
        if call.primary_state is not None and interaction.primary.state not in ANSWERED_STATES:
            self._bring(interaction, interaction.primary, call.primary_state)
            interaction.step(InteractionState.STARTED, self._changes.append)
        if call.consult_state is not None:
            interaction.number_consult(fact.consult)
            consult = self._begin_consult(interaction, agent.id)
            consult.expect(fact.number, self._type_of_number(fact.number))
            self._seat(interaction, consult, call.consult)
            if call.consult_state is not ConversationState.DIALING:
                self._bring(interaction, consult, call.consult_state)
        for conversation in interaction.on_leg(agent.id):
            if conversation.state is ConversationState.DIALING:
                for leg in self.legs.rung_by(agent.id):
                    conversation.candidates.add(leg)
                    self._link(leg, interaction)

    def _seat(self, interaction: Interaction, conversation: Conversation, parties: Iterable[str]) -> None:
        for leg_id in parties:
            leg = self.legs.get(leg_id)
            if leg is not None:
                kind = self._type_of(leg, conversation.role)
                conversation.admit(interaction.id, leg, kind, self._changes.append, silent=True)
                self._link(leg_id, interaction)

    def _bring(self, interaction: Interaction, conversation: Conversation, state: ConversationState) -> None:
        """Lead a conversation to the state that it was found in; nobody holds a call before it talks."""
        conversation.step(interaction.id, ConversationState.TALKING, self._changes.append)
        if state is ConversationState.TALKING:
            interaction.talked_last = conversation.id
        cause = Cause.NORMAL if state is ConversationState.RELEASED else None
        conversation.step(interaction.id, state, self._changes.append, cause)

    def _type_of_number(self, number: str) -> MemberType:
        return MemberType.AGENT if number in self._watched else MemberType.OTHER

    def _type_of(self, leg: Leg, role: Role) -> MemberType:
        if leg.endpoint in self._watched:
            return MemberType.AGENT
        return MemberType.CUSTOMER if role is Role.PRIMARY else MemberType.OTHER

    def _collect(self, interaction: Interaction) -> dict[str, str]:
        """Interaction data: what the call itself says, then what the dialplan put on it."""
        agent = self.legs.get(interaction.leg)
        caller = next((self.legs.get(leg) for leg in interaction.primary.parties), None)
        data = dict(interaction.data)
        if agent is not None and interaction.state is InteractionState.DIALING:
            data["DIRECTION"] = "OUTBOUND"
            if interaction.primary.placeholder is not None:
                data["DNIS"] = interaction.primary.placeholder.address
        elif interaction.state is InteractionState.ALERTING:
            data["DIRECTION"] = "INBOUND"
            if caller is not None:
                data["ANI"] = caller.number
                data["DNIS"] = self._destinations.get(caller.id) or caller.destination or caller.dialled
                if caller.name:
                    data["CALLER_NAME"] = caller.name
                if caller.queue and caller.queue_offered:
                    data["QUEUE"] = caller.queue
                    if caller.queue_entered:
                        data["WAIT_TIME"] = str(max(0, int(caller.queue_offered - caller.queue_entered)))
        for leg in (caller, agent):
            if leg is not None:
                data.update(leg.variables)
        return {key: value for key, value in data.items() if value}

    # -- what is so now ------------------------------------------------------------------------------

    def _look_at(self, interaction: Interaction) -> None:
        agents = [agent for leg in interaction.legs if (agent := self.legs.get(leg)) is not None]
        if not agents:
            return
        for agent in agents:
            interaction.answered = interaction.answered or agent.answered
            heard = self.legs.hearing(agent.id) if agent.answered else _NOTHING_HEARD
            self._admit(interaction, agent, heard)
            self._merge_conference(interaction, heard)
            for conversation in interaction.on_leg(agent.id):
                self._settle(interaction, conversation, agent, heard)
        if interaction.primary.state is ConversationState.TALKING and interaction.state in {
            InteractionState.ALERTING,
            InteractionState.DIALING,
        }:
            interaction.step(InteractionState.STARTED, self._changes.append)
        self._update_data(interaction)
        self._update_marks(interaction, muted=any(agent.muted for agent in agents))

    def _update_marks(self, interaction: Interaction, *, muted: bool) -> None:
        """See whether a customer is recorded and whether the agent is muted."""
        parties = [self.legs.get(leg) for leg in interaction.primary.parties]
        states = {leg.recording for leg in parties if leg is not None}
        recording = next((each for each in (Recording.ON, Recording.PAUSED) if each in states), Recording.OFF)
        if recording is not interaction.recording:
            interaction.recording = recording
            self._changes.append(RecordingChanged(interaction.id, recording))
        if muted is not interaction.muted:
            interaction.muted = muted
            self._changes.append(MuteChanged(interaction.id, muted))

    def _supervision_told(self, before: SupervisionChanged | None, now: SupervisionChanged | None) -> None:
        if now is not None and now != before:
            self._changes.append(now)
        elif now is None and before is not None:
            self._changes.append(replace(before, state=Supervision.OFF))

    def _supervision_by(self, fact: facts.Fact) -> SupervisionChanged | None:
        """Return the supervision that the fact's leg is there for, as it would be told now."""
        if not isinstance(fact, facts.LegCreated | facts.SpyStarted | facts.LegEnded):
            return None
        leg = self.legs.get(fact.leg)
        if leg is None or not leg.supervises:
            return None
        return SupervisionChanged(leg.endpoint, leg.supervises, leg.supervision)

    def _update_data(self, interaction: Interaction) -> None:
        data = self._collect(interaction)
        changed = tuple((key, value) for key, value in data.items() if interaction.data.get(key) != value)
        changed += tuple((key, "") for key in interaction.data if key not in data)
        if changed:
            interaction.data = data
            self._changes.append(DataChanged(interaction.id, changed))

    def _admit(self, interaction: Interaction, agent: Leg, heard: Hearing) -> None:
        """Whoever the agent hears is a party of one of the conversations."""
        for leg_id in sorted(heard.parties - interaction.transferred):
            if any(leg_id in one.parties for one in interaction.live_conversations):
                continue
            leg = self.legs.get(leg_id)
            conversation = self._home_of(interaction, agent, leg_id, heard)
            if leg is None or conversation is None:
                continue
            conversation.candidates.discard(leg_id)
            kind = self._type_of(leg, conversation.role)
            conversation.admit(interaction.id, leg, kind, self._changes.append, silent=False)
            self._link(leg_id, interaction)

    def _home_of(self, interaction: Interaction, agent: Leg, leg: str, heard: Hearing) -> Conversation | None:
        live = interaction.on_leg(agent.id)
        for conversation in live:
            if leg in conversation.candidates or self._is_handed_over(conversation, leg):
                return conversation
        consult = interaction.consult
        if consult is not None and consult in live and not heard.parties & interaction.primary.parties.keys():
            return consult
        return live[0] if live else None

    def _is_handed_over(self, conversation: Conversation, leg: str) -> bool:
        """Whether an agent at the far end is leaving this conversation's to that leg."""
        leaving = [
            each for party in sorted(conversation.parties) for each in self._live_interactions_of(party)
        ]
        return any(
            each.departure is Cause.TRANSFERRED and any(leg in one.parties for one in each.live_conversations)
            for each in leaving
        )

    def _merge_conference(self, interaction: Interaction, heard: Hearing) -> None:
        """Parties of both conversations heard at once: the consult is part of the primary from now on."""
        primary, consult = interaction.primary, interaction.consult
        if consult is None or consult.released or primary.released or consult.leg != primary.leg:
            return
        if interaction.departure is not None:
            # Whom a transfer joins may hear the leaving agent for a moment: that is no conference.
            return
        if not (heard.parties & primary.parties.keys() and heard.parties & consult.parties.keys()):
            return
        moved = dict(consult.parties)
        consult.parties.clear()
        consult.step(interaction.id, ConversationState.RELEASED, self._changes.append, Cause.CONFERENCED)
        for leg, member in moved.items():
            primary.parties[leg] = member
            self._changes.append(MemberJoined(interaction.id, primary.id, member))

    def _settle(
        self, interaction: Interaction, conversation: Conversation, agent: Leg, heard: Hearing
    ) -> None:
        talking = judging.is_talking(interaction, conversation, agent, heard)
        with_colleagues = conversation.state in ANSWERED_STATES and self.among_agents(conversation)
        if with_colleagues and not talking:
            talking = judging.awaits_colleague(self.legs, conversation, agent, heard)
        emit = self._changes.append
        if talking and agent.phone_hold and conversation.state in ANSWERED_STATES:
            conversation.step(interaction.id, ConversationState.HELD, emit)
        elif talking:
            conversation.step(interaction.id, ConversationState.TALKING, emit)
            interaction.talked_last = conversation.id
        elif (
            conversation.state is ConversationState.TALKING
            # Whom a leaving agent leaves behind may hear music for a moment: that is no hold.
            and interaction.departure is None
            and not interaction.meeting
            and (
                judging.is_parked(self.legs, conversation, agent)
                or (with_colleagues and judging.is_elsewhere(self.legs, conversation, agent))
            )
        ):
            conversation.step(interaction.id, ConversationState.HELD, emit)
        elif judging.has_failed(interaction, conversation, agent):
            number = agent.reported[1] if agent.reported is not None else 0
            outcome = agent.reported[0] if agent.reported is not None else agent.reached
            cause = interaction.departure or causes.of_dial(outcome or DialOutcome.FAILED, number)
            conversation.step(interaction.id, ConversationState.RELEASED, emit, cause)

    # -- endings -------------------------------------------------------------------------------------

    def _leg_ended(self, leg: Leg, cause: int) -> None:
        for leaving in self._live_interactions_of(leg.id):
            left = [one for one in leaving.live_conversations if one.parties]
            if leaving.departure is Cause.TRANSFERRED and len(left) > 1:
                self._introduce(left)
        for interaction_id in sorted(self._by_leg.get(leg.id, ())):
            interaction = self._interactions.get(interaction_id)
            if interaction is None or interaction.over:
                continue
            if leg.id in interaction.legs:
                self._agent_left(interaction, leg, cause)
            elif leg.internal:
                self._consult_of_the_pbx_ended(interaction)
            else:
                self._party_left(interaction, leg)
        self._by_leg.pop(leg.id, None)

    def _party_left(self, interaction: Interaction, leg: Leg) -> None:
        emit = self._changes.append
        for conversation in interaction.live_conversations:
            conversation.candidates.discard(leg.id)
            if leg.id not in conversation.parties:
                continue
            conversation.dismiss(interaction.id, leg.id, emit)
            if not conversation.parties and conversation.state in ANSWERED_STATES:
                conversation.step(interaction.id, ConversationState.RELEASED, emit, Cause.NORMAL)

    def _set_apart(self, fact: facts.LegOrphaned | facts.LegsParted) -> None:
        if isinstance(fact, facts.LegsParted):
            self._parted(fact.leg, fact.by)
        else:
            self._orphaned(fact.leg)

    def _orphaned(self, leg: str) -> None:
        """End what the party had with an agent; what others do with it is none of that."""
        for interaction in [self._interactions.get(one) for one in sorted(self._by_leg.get(leg, ()))]:
            live = self.legs.get(leg)
            if interaction is not None and live is not None and leg not in interaction.legs:
                self._party_left(interaction, live)
                self._by_leg[leg].discard(interaction.id)

    def _parted(self, leg: str, by: str) -> None:
        """End what an agent's leg had with `by`, and with all others in that conversation."""
        emit, live = self._changes.append, self.legs.get(leg)
        for interaction in self._live_interactions_of(leg):
            for conversation in [one for one in interaction.on_leg(leg) if by in one.parties]:
                others = sorted(conversation.parties)
                interaction.transferred.update(others)
                for party in others:
                    conversation.dismiss(interaction.id, party, emit)
                conversation.step(interaction.id, ConversationState.RELEASED, emit, Cause.NORMAL)
                for other in [each for party in others for each in self._live_interactions_of(party)]:
                    if live is not None:
                        other.transferred.add(leg)
                        self._party_left(other, live)

    def _agent_left(self, interaction: Interaction, leg: Leg, number: int) -> None:
        emit = self._changes.append
        for conversation in interaction.on_leg(leg.id):
            cause = self._cause_of_release(interaction, conversation, leg, number)
            conversation.step(interaction.id, ConversationState.RELEASED, emit, cause)
        left = [one for one in interaction.legs if one != leg.id and self.legs.get(one) is not None]
        if left:
            interaction.leg = left[0]
            return
        interaction.step(InteractionState.ENDED, emit, interaction.primary.cause)
        self._unlink(interaction)

    def _consult_of_the_pbx_ended(self, interaction: Interaction) -> None:
        """Release the consult whose joint is gone if it had a program at the far end, and no party."""
        consult = interaction.consult
        if consult is not None and not consult.parties and consult.state in ANSWERED_STATES:
            consult.step(interaction.id, ConversationState.RELEASED, self._changes.append, Cause.NORMAL)

    def _transferred_away(self, leg: str) -> None:
        """End the interaction of a leg that handed its call over, though the leg itself may stay a while."""
        agent, interaction = self.legs.get(leg), self.interaction_on(leg)
        if agent is not None and interaction is not None:
            interaction.departure = Cause.TRANSFERRED
            self._agent_left(interaction, agent, 0)

    def _cause_of_release(
        self, interaction: Interaction, conversation: Conversation, leg: Leg, number: int
    ) -> Cause:
        if interaction.departure is not None:
            return interaction.departure
        if conversation.state in ANSWERED_STATES:
            return Cause.NORMAL
        if conversation.state is ConversationState.DIALING:
            return causes.of_unanswered_dial(leg, number)
        caller = next(iter(interaction.primary.parties), None)
        gone = causes.caller_is_gone(self.legs, caller) or (caller is None and leg.dialled_by is not None)
        return causes.of_unanswered_offer(leg, number, self.legs.get(caller), caller_gone=gone)

    def _transferred(self, fact: facts.PartiesTransferred) -> None:
        """End the conversations whose parties a phone handed on; the parties' own ones go on."""
        handed_on = [
            (interaction, conversation)
            for leg in dict.fromkeys(fact.by)
            for interaction, conversation in self._handed_on_by(leg, fact.parties)
        ]
        for leg in (self.legs.get(one) for one in fact.by if len(fact.by) > 1):
            if leg is not None:
                leg.handed_on = True
        self._introduce([conversation for _, conversation in handed_on])
        for interaction, conversation in handed_on:
            interaction.transferred.update(conversation.parties)
            conversation.step(
                interaction.id, ConversationState.RELEASED, self._changes.append, Cause.TRANSFERRED
            )
        if len(handed_on) == len(fact.by) > 1:
            (about, first), (_, second) = handed_on
            self._changes.append(
                PartiesLeftTogether(about.id, tuple(first.parties), tuple(second.parties), fact.by)
            )

    def _live_interactions_of(self, agent_leg: str) -> list[Interaction]:
        found = [self._interactions.get(one) for one in sorted(self._by_leg.get(agent_leg, ()))]
        return [one for one in found if one is not None and not one.over and agent_leg in one.legs]

    def _handed_on_by(self, leg: str, parties: tuple[str, ...]) -> list[tuple[Interaction, Conversation]]:
        """Return what a phone's leg has handed on, over or not: the leg's end may be told first."""
        found: list[tuple[Interaction, Conversation]] = []
        for interaction in self._live_interactions_of(leg):
            running = interaction.on_leg(leg)
            named = [one for one in running if one.parties.keys() & set(parties)]
            found += [(interaction, one) for one in named or running]
        if self.legs.get(leg) is not None:
            return found
        return [
            (interaction, one)
            for interaction in self._interactions.values()
            for one in interaction.conversations()
            if one.leg == leg and one.parties
        ]

    def _introduce(self, conversations: list[Conversation]) -> None:
        """Where a party of a transfer is an agent too, its conversation is with the other party now."""
        everybody = {leg for conversation in conversations for leg in conversation.parties}
        for conversation in conversations:
            others = [self.legs.get(leg) for leg in sorted(everybody - conversation.parties.keys())]
            for party in sorted(conversation.parties):
                for interaction in self._live_interactions_of(party):
                    for own in interaction.on_leg(party):
                        self._exchange_party(interaction, own, conversation.leg, others)

    def _exchange_party(
        self, interaction: Interaction, own: Conversation, gone: str, others: list[Leg | None]
    ) -> None:
        if gone not in own.parties:
            return
        for other in others:
            if other is not None:
                kind = self._type_of(other, own.role)
                own.admit(interaction.id, other, kind, self._changes.append, silent=False)
                self._link(other.id, interaction)
        interaction.transferred.add(gone)
        if len(own.parties) > 1:
            own.dismiss(interaction.id, gone, self._changes.append)

    def _placement_failed(self, fact: facts.PlacementFailed) -> None:
        """Forget the announced call; usually its leg's end has told the story already."""
        self._destinations.pop(fact.leg, None)
        self._supervised.pop(fact.leg, None)
        interaction = self._interactions.get(fact.leg)
        if interaction is None or interaction.over or self.legs.get(fact.leg) is not None:
            return
        self._changes.append(Anomaly(fact.leg, "a placement failed for a leg that had ended unnoticed"))
