"""The call model: facts of the PBX in, changes of the agents' desks out.

`apply` is synchronous, total and deterministic: no fact raises, and the same facts give the same changes,
live or from a recorded trace. States are not steered step by step: after each fact the interactions that it
touched are looked at anew (who is joined to whom now?) and the difference goes out as changes.
"""

from connector.telephony import causes, facts
from connector.telephony.changes import (
    Anomaly,
    Change,
    ConversationAdded,
    DataChanged,
    InteractionAdded,
    InteractionCompleted,
    MemberJoined,
    MemberType,
    PhoneChanged,
    Presence,
)
from connector.telephony.facts import EndpointState
from connector.telephony.interactions import Conversation, Interaction
from connector.telephony.legs import Hearing, Leg, LegGraph
from connector.telephony.presence import PresenceBoard
from connector.telephony.states import (
    ANSWERED_STATES,
    Cause,
    ConversationState,
    DialOutcome,
    InteractionState,
    Role,
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

    def presence(self, endpoint: str) -> Presence:
        """Return who works at a phone, and whether calls may come."""
        return self.board.presence(endpoint)

    def phone(self, endpoint: str) -> EndpointState:
        """Return the phone's last known state."""
        return self._phones.get(endpoint, EndpointState.UNKNOWN)

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

    def expect_departure(self, interaction_id: str, cause: Cause | None) -> None:
        """Announce why the agent's leg is about to end (a transfer), or take the announcement back (None)."""
        interaction = self._interactions.get(interaction_id)
        if interaction is not None:
            interaction.departure = cause

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
            case _:
                self._apply_leg(fact)
        return self._take()

    # -- legs ----------------------------------------------------------------------------------------

    def _take(self) -> list[Change]:
        taken, self._changes = self._changes, []
        return taken

    def _apply_leg(self, fact: facts.Fact) -> None:
        ending = self.legs.get(fact.leg) if isinstance(fact, facts.LegEnded) else None
        touched = self.legs.apply(fact)
        match fact:
            case facts.LegCreated(leg=leg, endpoint=endpoint) if endpoint in self._watched:
                created = self.legs.get(leg)
                # An answered leg that nobody saw begin is a call in progress, found after a (re)start.
                begun = fact.placed or fact.answered
                if created is not None and begun and leg not in self._by_leg:
                    self._appear(created)
            case facts.DialStarted(callee=callee):
                self._dial_started(callee)
            case facts.LegEnded(leg=leg, cause=cause):
                if ending is not None:
                    self._leg_ended(ending, cause)
                self._destinations.pop(leg, None)
            case _:
                pass
        for interaction_id in self._interactions_of(touched):
            interaction = self._interactions.get(interaction_id)
            if interaction is not None and not interaction.over:
                self._look_at(interaction)

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
        if leg.endpoint in self._watched and not leg.internal and callee not in self._interactions:
            self._appear(leg)
        root = self.legs.originator(leg.dialled_by) if leg.dialled_by is not None else None
        if root is None or root == callee:
            return
        for interaction_id in sorted(self._by_leg.get(root, ())):
            interaction = self._interactions.get(interaction_id)
            if interaction is None or interaction.leg != root or interaction.over:
                continue
            conversation = self._conversation_being_dialled(interaction)
            if leg.internal:
                continue
            if not conversation.placeholder and not conversation.parties:
                conversation.expect(leg.number, self._type_of(leg, conversation.role))
            conversation.candidates.add(callee)
            self._link(callee, interaction)

    def _conversation_being_dialled(self, interaction: Interaction) -> Conversation:
        """Return the conversation that a call placed by the agent belongs to; a new consult if need be."""
        if interaction.consult is not None and not interaction.consult.released:
            return interaction.consult
        if interaction.primary.state not in ANSWERED_STATES:
            return interaction.primary
        consult = Conversation(interaction.next_conversation_id(), Role.CONSULT, ConversationState.DIALING)
        interaction.consult = consult
        self._changes.append(ConversationAdded(interaction.id, consult.id, Role.CONSULT))
        return consult

    def _appear(self, leg: Leg) -> None:
        """Make the interaction of an agent's leg."""
        destination = self._destinations.get(leg.id) or leg.destination
        outbound = leg.placed or bool(destination)
        state = ConversationState.DIALING if outbound else ConversationState.ALERTING
        primary = Conversation(f"{leg.id}-1", Role.PRIMARY, state)
        first = InteractionState.DIALING if outbound else InteractionState.ALERTING
        interaction = Interaction(leg.id, leg.endpoint, leg.id, first, primary, answered=leg.answered)
        if outbound:
            number = destination or leg.dialled
            primary.expect(number, MemberType.AGENT if number in self._watched else MemberType.OTHER)
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
        agent = self.legs.get(interaction.leg)
        if agent is None:
            return
        interaction.answered = interaction.answered or agent.answered
        heard = self.legs.hearing(agent.id) if agent.answered else _NOTHING_HEARD
        self._admit(interaction, heard)
        self._merge_conference(interaction, heard)
        for conversation in interaction.live_conversations:
            self._settle(interaction, conversation, agent, heard)
        if interaction.primary.state is ConversationState.TALKING and interaction.state in {
            InteractionState.ALERTING,
            InteractionState.DIALING,
        }:
            interaction.step(InteractionState.STARTED, self._changes.append)
        self._update_data(interaction)

    def _update_data(self, interaction: Interaction) -> None:
        data = self._collect(interaction)
        changed = tuple((key, value) for key, value in data.items() if interaction.data.get(key) != value)
        changed += tuple((key, "") for key in interaction.data if key not in data)
        if changed:
            interaction.data = data
            self._changes.append(DataChanged(interaction.id, changed))

    def _admit(self, interaction: Interaction, heard: Hearing) -> None:
        """Whoever the agent hears is a party of one of the conversations."""
        for leg_id in sorted(heard.parties):
            if any(leg_id in one.parties for one in interaction.live_conversations):
                continue
            leg = self.legs.get(leg_id)
            conversation = self._home_of(interaction, leg_id, heard)
            if leg is None or conversation is None:
                continue
            conversation.candidates.discard(leg_id)
            kind = self._type_of(leg, conversation.role)
            conversation.admit(interaction.id, leg, kind, self._changes.append, silent=False)
            self._link(leg_id, interaction)

    def _home_of(self, interaction: Interaction, leg: str, heard: Hearing) -> Conversation | None:
        live = interaction.live_conversations
        for conversation in live:
            if leg in conversation.candidates:
                return conversation
        consult = interaction.consult
        if (
            consult is not None
            and not consult.released
            and not heard.parties & interaction.primary.parties.keys()
        ):
            return consult
        return live[0] if live else None

    def _merge_conference(self, interaction: Interaction, heard: Hearing) -> None:
        """Parties of both conversations heard at once: the consult is part of the primary from now on."""
        primary, consult = interaction.primary, interaction.consult
        if consult is None or consult.released or primary.released:
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
        talking = self._is_talking(interaction, conversation, agent, heard)
        emit = self._changes.append
        if talking and agent.phone_hold and conversation.state in ANSWERED_STATES:
            conversation.step(interaction.id, ConversationState.HELD, emit)
        elif talking:
            conversation.step(interaction.id, ConversationState.TALKING, emit)
        elif conversation.state is ConversationState.TALKING and self._is_parked(conversation, agent):
            conversation.step(interaction.id, ConversationState.HELD, emit)
        elif self._has_failed(conversation, agent):
            number = agent.reported[1] if agent.reported is not None else 0
            outcome = agent.reported[0] if agent.reported is not None else agent.reached
            cause = causes.of_dial(outcome or DialOutcome.FAILED, number)
            conversation.step(interaction.id, ConversationState.RELEASED, emit, cause)

    def _is_talking(
        self, interaction: Interaction, conversation: Conversation, agent: Leg, heard: Hearing
    ) -> bool:
        if heard.parties & conversation.parties.keys():
            return True
        newest = interaction.live_conversations[-1] is conversation
        if heard.program and newest and not heard.parties and not conversation.parties:
            return True
        # A call that the phone itself placed and the PBX answered: a menu, a mailbox, a waiting queue.
        unanswered = conversation.state is ConversationState.DIALING and conversation.role is Role.PRIMARY
        return unanswered and agent.placed and agent.answered and not agent.ringing and agent.bridge is None

    def _is_parked(self, conversation: Conversation, agent: Leg) -> bool:
        """Whether the agent waits elsewhere or all parties hear music; not if the agent is about to leave."""
        if agent.hangup_asked:
            return False
        parties = [self.legs.get(leg) for leg in conversation.parties]
        waiting = [leg.music for leg in parties if leg is not None]
        return bool(waiting) and (agent.waits or all(waiting))

    def _has_failed(self, conversation: Conversation, agent: Leg) -> bool:
        """Whether the party of a consult was not reached (the agent's leg lives on)."""
        if conversation.role is not Role.CONSULT or conversation.state is not ConversationState.DIALING:
            return False
        # A dial that the agent's side took back is not reported: its routing never got that far.
        over = agent.reported is not None or agent.reached is DialOutcome.CANCELLED
        return over and not agent.ringing

    # -- endings -------------------------------------------------------------------------------------

    def _leg_ended(self, leg: Leg, cause: int) -> None:
        for interaction_id in sorted(self._by_leg.get(leg.id, ())):
            interaction = self._interactions.get(interaction_id)
            if interaction is None or interaction.over:
                continue
            if interaction.leg == leg.id:
                self._agent_left(interaction, leg, cause)
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

    def _agent_left(self, interaction: Interaction, leg: Leg, number: int) -> None:
        emit = self._changes.append
        for conversation in interaction.live_conversations:
            cause = self._cause_of_release(interaction, conversation, leg, number)
            conversation.step(interaction.id, ConversationState.RELEASED, emit, cause)
        interaction.step(InteractionState.ENDED, emit, interaction.primary.cause)
        self._unlink(interaction)

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

    def _placement_failed(self, fact: facts.PlacementFailed) -> None:
        """Forget the announced call; usually its leg's end has told the story already."""
        self._destinations.pop(fact.leg, None)
        interaction = self._interactions.get(fact.leg)
        if interaction is None or interaction.over or self.legs.get(fact.leg) is not None:
            return
        self._changes.append(Anomaly(fact.leg, "a placement failed for a leg that had ended unnoticed"))
