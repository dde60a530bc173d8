"""Transfers: what a phone handed on ends there, and parties who are agents themselves have new parties."""

from connector.telephony import facts
from connector.telephony.calls import Calls
from connector.telephony.changes import PartiesLeftTogether
from connector.telephony.interactions import Conversation, Interaction
from connector.telephony.legs import Leg
from connector.telephony.states import Cause, ConversationState, Role


def take_in(calls: Calls, fact: facts.PartiesTransferred | facts.LegSentOn) -> None:
    """See what becomes of the conversations of who transfers and of who is transferred."""
    if isinstance(fact, facts.LegSentOn):
        _await_another(calls, fact.by, (fact.leg,))
    else:
        _transferred(calls, fact)


def _transferred(calls: Calls, fact: facts.PartiesTransferred) -> None:
    """End the conversations whose parties a phone handed on; the parties' own ones go on."""
    handed_on = [
        (interaction, conversation)
        for leg in dict.fromkeys(fact.by)
        for interaction, conversation in _handed_on_by(calls, leg, fact.parties)
    ]
    for leg in (calls.legs.get(one) for one in fact.by if len(fact.by) > 1):
        if leg is not None:
            leg.handed_on = True
    if len(fact.by) == 1:
        _await_another(calls, fact.by[0], fact.parties)
    introduce(calls, [conversation for _, conversation in handed_on])
    for by in fact.by:
        calls.legs.joint_handed_on(by, fact.parties)
    for interaction, conversation in handed_on:
        if len(fact.by) == 1 and len(interaction.live_conversations) > 1:
            # Only this one is handed on, though the phone's hanging up may have been told before.
            interaction.departure = None
        interaction.transferred.update(conversation.parties)
        conversation.step(interaction.id, ConversationState.RELEASED, calls.emit, Cause.TRANSFERRED)
    if len(handed_on) == len(fact.by) > 1:
        (about, first), (_, second) = handed_on
        calls.emit(PartiesLeftTogether(about.id, tuple(first.parties), tuple(second.parties), fact.by))


def _await_another(calls: Calls, by: str, parties: tuple[str, ...]) -> None:
    """Have agents whom a phone, whosever it is, has sent to a number wait for who answers there."""
    for party in parties:
        for interaction in calls.on_agents_leg(party):
            for own in interaction.on_leg(party):
                own.sent_on = own.sent_on or by in own.parties


def dials_for_another(calls: Calls, leg: str) -> None:
    """Have an agent whose leg dials because somebody sent it wait for who answers, if it does not yet."""
    for interaction in calls.on_agents_leg(leg):
        talks = interaction.on_leg(leg)
        if talks and not any(awaits_another(calls, one) for one in talks):
            sent = interaction.active if interaction.active in talks else talks[-1]
            sent.sent_on = True


def _handed_on_by(calls: Calls, leg: str, parties: tuple[str, ...]) -> list[tuple[Interaction, Conversation]]:
    """Return what a phone's leg has handed on, over or not: the leg's end may be told first."""
    found: list[tuple[Interaction, Conversation]] = []
    agent = calls.legs.get(leg)
    # The party of a consult that the PBX itself runs is behind a joint.
    behind = agent is not None and agent.joint in parties
    for interaction in calls.on_agents_leg(leg):
        running = interaction.on_leg(leg)
        named = [
            one
            for one in running
            if one.parties.keys() & set(parties) or (behind and one.role is Role.CONSULT)
        ]
        found += [(interaction, one) for one in named or running]
    if agent is not None:
        return found
    return [
        (interaction, one)
        for interaction in calls.interactions.values()
        for one in interaction.conversations()
        if one.leg == leg and one.parties
    ]


def introduce(calls: Calls, conversations: list[Conversation]) -> None:
    """Where a party of a transfer is an agent too, its conversation is with the other party now."""
    everybody = {leg for conversation in conversations for leg in conversation.parties}
    for conversation in conversations:
        others = [calls.legs.get(leg) for leg in sorted(everybody - conversation.parties.keys())]
        for party in sorted(conversation.parties):
            for interaction in calls.on_agents_leg(party):
                for own in interaction.on_leg(party):
                    _exchange_party(calls, interaction, own, conversation.leg, others)


def _exchange_party(
    calls: Calls, interaction: Interaction, own: Conversation, gone: str, others: list[Leg | None]
) -> None:
    if gone not in own.parties:
        return
    for other in others:
        if other is not None:
            kind = calls.type_of(other, own.role)
            own.admit(interaction.id, other, kind, calls.emit, silent=False)
            calls.link(other.id, interaction)
    interaction.transferred.add(gone)
    if len(own.parties) > 1:
        own.dismiss(interaction.id, gone, calls.emit)


def colleagues_sent_on_by(calls: Calls, leg: str) -> set[str]:
    """Return the legs of agents whom the agent of `leg` hands on: they live on, and get another party."""
    handed_on: set[str] = set()
    for interaction in calls.about(leg):
        for conversation in interaction.conversations() if interaction.has_leg(leg) else ():
            if Cause.TRANSFERRED in {interaction.departure, conversation.cause}:
                handed_on |= {
                    party for party in conversation.parties if calls.interaction_on(party) is not None
                }
    return handed_on


def awaits_another(calls: Calls, conversation: Conversation) -> bool:
    """Whether the other agent of a conversation has sent its agent's leg on, or is about to."""
    return conversation.sent_on or any(
        conversation.leg in colleagues_sent_on_by(calls, leg) for leg in conversation.parties
    )


def set_aside(calls: Calls, conference: Conversation, party: str) -> None:
    """Where members of a conference are agents too: who was taken aside and the others have parted.

    Whom an agent hears again is a party of theirs again.
    """
    agent, others = conference.leg, set(conference.parties)
    for leg in sorted({party, *others}):
        gone = others if leg == party else {party}
        for interaction in calls.on_agents_leg(leg):
            for own in interaction.on_leg(leg):
                for other in sorted(gone & own.parties.keys()) if agent in own.parties else ():
                    own.dismiss(interaction.id, other, calls.emit)


def same_agent(calls: Calls, conversation: Conversation, before: str, now: str) -> None:
    """Let the other agents of a conversation know that its own agent is on another leg from now on."""
    for party in conversation.parties:
        for interaction in calls.on_agents_leg(party):
            for own in interaction.on_leg(party):
                if before in own.parties:
                    own.parties[now] = own.parties.pop(before)
                    calls.link(now, interaction)
