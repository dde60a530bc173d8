"""What is so now: who is a party of which conversation, and whether it talks, is held or has failed."""

from collections.abc import Sequence

from connector.telephony import call_data, causes, judging, transfers
from connector.telephony.beginnings import begin_consult
from connector.telephony.calls import Calls
from connector.telephony.changes import MemberJoined, MuteChanged, RecordingChanged
from connector.telephony.interactions import Conversation, Interaction
from connector.telephony.legs import Hearing, Leg
from connector.telephony.states import (
    ANSWERED_STATES,
    Cause,
    ConversationState,
    DialOutcome,
    InteractionState,
    Recording,
    Role,
)

_NOTHING_HEARD = Hearing(frozenset(), program=False)


def look_at(calls: Calls, interaction: Interaction) -> None:
    """Look at an interaction anew, and tell the difference."""
    live = calls.legs.legs
    agents = []
    for leg in interaction.legs:
        agent = live.get(leg)
        if agent is None:
            continue
        agents.append(agent)
        interaction.answered = interaction.answered or agent.answered
        heard = calls.legs.hearing(agent.id) if agent.answered else _NOTHING_HEARD
        if heard.parties:
            _admit(calls, interaction, agent, heard)
        if len(interaction.primary.parties) > 1:
            _take_aside(calls, interaction, agent, heard)
        if interaction.consult is not None:
            _merge_conference(calls, interaction, interaction.consult, heard)
        for conversation in interaction.on_leg(agent.id):
            if conversation.state is ConversationState.HELD and not interaction.meeting:
                _admit_elsewhere(calls, interaction, conversation, agent)
            _settle(calls, interaction, conversation, agent, heard)
    if not agents:
        return
    if interaction.primary.state is ConversationState.TALKING and interaction.state in {
        InteractionState.ALERTING,
        InteractionState.DIALING,
    }:
        interaction.step(InteractionState.STARTED, calls.emit)
    call_data.update(calls, interaction)
    _update_marks(calls, interaction, agents)


def _update_marks(calls: Calls, interaction: Interaction, agents: Sequence[Leg]) -> None:
    """See whether a customer is recorded and whether the agent is muted."""
    recording, muted = Recording.OFF, False
    for party in interaction.contacts:
        leg = calls.legs.legs.get(party)
        if leg is not None and leg.recording is not Recording.OFF and recording is not Recording.ON:
            recording = leg.recording
    for agent in agents:
        muted = muted or agent.muted
    if recording is not interaction.recording:
        interaction.recording = recording
        calls.emit(RecordingChanged(interaction.id, recording))
    if muted is not interaction.muted:
        interaction.muted = muted
        calls.emit(MuteChanged(interaction.id, muted))


def _admit(calls: Calls, interaction: Interaction, agent: Leg, heard: Hearing) -> None:
    """Whoever the agent hears is a party of one of the conversations."""
    known = interaction.transferred.union(*[one.parties for one in interaction.live_conversations])
    expected = interaction.primary.placeholder
    number = expected.address if expected is not None else ""

    def unexpected(leg_id: str) -> tuple[bool, str]:
        leg = calls.legs.get(leg_id)
        return leg is None or leg.number != number, leg_id

    for leg_id in sorted(heard.parties - known, key=unexpected):
        leg = calls.legs.get(leg_id)
        conversation = _home_of(calls, interaction, agent, leg_id, heard)
        if leg is None or conversation is None:
            continue
        _receive(calls, interaction, conversation, leg)


def _receive(calls: Calls, interaction: Interaction, conversation: Conversation, leg: Leg) -> None:
    conversation.candidates.discard(leg.id)
    kind = calls.type_of(leg, conversation.role)
    conversation.admit(interaction.id, leg, kind, calls.emit, silent=False)
    calls.link(leg.id, interaction)


def _admit_elsewhere(calls: Calls, interaction: Interaction, conversation: Conversation, agent: Leg) -> None:
    """Whoever joins the parties in their room, while the agent is away from it, is a party as well."""
    room, graph = agent.rooms.get(conversation.role), calls.legs
    there = [leg for leg in conversation.parties if room and graph.room_of(leg) == room]
    if not there or interaction.departure is not None:
        return
    known = {leg for one in interaction.conversations() for leg in one.parties}.union(
        interaction.transferred, interaction.every_leg
    )
    for leg_id in sorted(graph.hearing(there[0]).parties - known):
        leg = graph.get(leg_id)
        if leg is not None and graph.room_of(leg_id) == room:
            _receive(calls, interaction, conversation, leg)


def _home_of(
    calls: Calls, interaction: Interaction, agent: Leg, leg: str, heard: Hearing
) -> Conversation | None:
    live = interaction.on_leg(agent.id)
    for conversation in live:
        expected = conversation.sent_on or leg in conversation.candidates
        if expected or _is_handed_over(calls, conversation, leg):
            return conversation
    room = calls.legs.room_of(agent.id)
    noted = [one for one in live if room is not None and agent.rooms.get(one.role) == room]
    if noted:
        # Who is heard where another agent is met, who is elsewhere just now.
        return noted[0]
    consult = interaction.consult
    if consult is not None and consult in live and not heard.parties & interaction.primary.parties.keys():
        return consult
    return live[0] if live else None


def _is_handed_over(calls: Calls, conversation: Conversation, leg: str) -> bool:
    """Whether an agent at the far end is leaving this conversation's to that leg."""
    leaving = [each for party in sorted(conversation.parties) for each in calls.on_agents_leg(party)]
    return any(
        each.departure is Cause.TRANSFERRED and any(leg in one.parties for one in each.live_conversations)
        for each in leaving
    )


def _take_aside(calls: Calls, interaction: Interaction, agent: Leg, heard: Hearing) -> None:
    """One member of a conference is alone with the agent in the own room: a consult from now on.

    The agent's leg was told before that it is the consult's room.
    """
    primary, consult, party = interaction.primary, interaction.consult, agent.rooms.get(Role.CONSULT)
    if not party or heard.parties != {party} or party not in primary.parties:
        return
    if primary.leg != agent.id or primary.state not in ANSWERED_STATES or interaction.departure is not None:
        return
    leg = calls.legs.get(party)
    if leg is None or calls.legs.room_of(agent.id) != party or (consult is not None and not consult.released):
        return
    member = primary.parties[party]
    primary.dismiss(interaction.id, party, calls.emit)
    word = begin_consult(calls, interaction, agent.id)
    word.expect(member.address, member.type)
    word.admit(interaction.id, leg, member.type, calls.emit, silent=True)
    transfers.set_aside(calls, primary, party)
    interaction.meeting = False


def _merge_conference(calls: Calls, interaction: Interaction, consult: Conversation, heard: Hearing) -> None:
    """Parties of both conversations heard at once: the consult is part of the primary from now on."""
    primary, over = interaction.primary, ConversationState.RELEASED
    if consult.state is over or primary.state is over or consult.leg != primary.leg:
        return
    if interaction.departure is not None:
        # Whom a transfer joins may hear the leaving agent for a moment: that is no conference.
        return
    if not (heard.parties & primary.parties.keys() and heard.parties & consult.parties.keys()):
        return
    moved = dict(consult.parties)
    consult.parties.clear()
    consult.step(interaction.id, ConversationState.RELEASED, calls.emit, Cause.CONFERENCED)
    primary.parties.update(moved)
    interaction.guests.update(moved)
    for member in moved.values():
        calls.emit(MemberJoined(interaction.id, primary.id, member))


def _settle(
    calls: Calls, interaction: Interaction, conversation: Conversation, agent: Leg, heard: Hearing
) -> None:
    talking = judging.is_talking(interaction, conversation, agent, heard)
    with_colleagues = (
        not talking and conversation.state in ANSWERED_STATES and calls.among_agents(conversation)
    )
    if with_colleagues:
        talking = judging.awaits_colleague(calls.legs, conversation, agent, heard)
    emit = calls.emit
    if talking and agent.phone_hold and conversation.state in ANSWERED_STATES:
        conversation.step(interaction.id, ConversationState.HELD, emit)
    elif talking:
        conversation.step(interaction.id, ConversationState.TALKING, emit)
        interaction.talked_last = conversation.id
        if agent.phone_hold:
            # The phone held it before its party had come.
            conversation.step(interaction.id, ConversationState.HELD, emit)
    elif (
        conversation.state is ConversationState.TALKING
        # Whom a leaving agent leaves behind may hear music for a moment: that is no hold.
        and interaction.departure is None
        and not interaction.meeting
        and (
            judging.is_parked(calls.legs, conversation, agent)
            or (
                (with_colleagues or len(conversation.parties) > 1)
                and judging.is_elsewhere(calls.legs, interaction, conversation, agent)
            )
        )
    ):
        conversation.step(interaction.id, ConversationState.HELD, emit)
    elif conversation.state in ANSWERED_STATES and judging.is_forsaken(
        calls.legs, interaction, conversation, agent, heard
    ):
        conversation.step(interaction.id, ConversationState.RELEASED, emit, Cause.NORMAL)
    elif judging.has_failed(interaction, conversation, agent):
        number = agent.reported[1] if agent.reported is not None else 0
        outcome = agent.reported[0] if agent.reported is not None else agent.reached
        cause = interaction.departure or causes.of_dial(outcome or DialOutcome.FAILED, number)
        conversation.step(interaction.id, ConversationState.RELEASED, emit, cause)
