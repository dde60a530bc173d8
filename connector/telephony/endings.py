"""How conversations and interactions end: a leg is gone, was left behind, or handed its call over."""

from collections.abc import Collection

from connector.telephony import causes, facts, transfers
from connector.telephony.calls import Calls
from connector.telephony.interactions import Conversation, Interaction
from connector.telephony.legs import Leg
from connector.telephony.states import ANSWERED_STATES, Cause, ConversationState, InteractionState


def leg_ended(calls: Calls, leg: Leg, cause: int) -> None:
    """End what a leg that is gone had part in; `cause` is the PBX's number for why it went (Q.850)."""
    for leaving in calls.on_agents_leg(leg.id):
        left = [one for one in leaving.live_conversations if one.parties]
        if leaving.departure is Cause.TRANSFERRED and len(left) > 1:
            transfers.introduce(calls, left)
    sent_on = transfers.colleagues_sent_on_by(calls, leg.id)
    for interaction in calls.about(leg.id):
        if interaction.over:
            continue
        if leg.id in interaction.legs:
            _agent_left(calls, interaction, leg, cause)
        elif leg.internal:
            _consult_of_the_pbx_ended(calls, interaction)
        else:
            _party_left(calls, interaction, leg, sent_on)
    calls.forget_leg(leg.id)


def phone_hangs_up(calls: Calls, leg_id: str) -> None:
    """Expect the transfer that the PBX makes of it if a phone hangs up in a consult of the PBX's own.

    It may tell the leg's end before the transfer; and before that end the leg may hear both parties.
    """
    leg = calls.legs.get(leg_id)
    if leg is None or calls.legs.get(leg.joint) is None:
        return
    for interaction in calls.on_agents_leg(leg_id):
        if len(interaction.live_conversations) > 1:
            interaction.departure = Cause.TRANSFERRED


def _party_left(
    calls: Calls, interaction: Interaction, leg: Leg, sent_on: Collection[str] = frozenset()
) -> None:
    """Take a party out; `sent_on` are legs that it has sent to a number, which will be their party."""
    emit = calls.emit
    for conversation in interaction.live_conversations:
        conversation.candidates.discard(leg.id)
        if leg.id not in conversation.parties:
            continue
        conversation.hung_up = conversation.hung_up or leg.hangup_by_phone
        conversation.dismiss(interaction.id, leg.id, emit)
        if conversation.parties or conversation.state not in ANSWERED_STATES:
            continue
        if conversation.sent_on or conversation.leg in sent_on:
            conversation.sent_on = True
        else:
            # The PBX may have taken along both of two agents.
            failed = interaction.departure is Cause.FAILED
            cause = Cause.FAILED if failed else Cause.NORMAL
            conversation.step(interaction.id, ConversationState.RELEASED, emit, cause)


def set_apart(calls: Calls, fact: facts.LegOrphaned | facts.LegsParted) -> None:
    """End what legs had with one another that live on without each other."""
    if isinstance(fact, facts.LegsParted):
        _parted(calls, fact.leg, fact.by)
    else:
        _orphaned(calls, fact.leg)


def _orphaned(calls: Calls, leg: str) -> None:
    """End what the party had with an agent; what others do with it is none of that."""
    for interaction in calls.about(leg):
        live = calls.legs.get(leg)
        if live is not None and leg not in interaction.legs:
            _party_left(calls, interaction, live)
            calls.unlink(leg, interaction)


def _parted(calls: Calls, leg: str, by: str) -> None:
    """End what an agent's leg had with `by`, and with all others in that conversation."""
    emit, live = calls.emit, calls.legs.get(leg)
    for interaction in calls.on_agents_leg(leg):
        for conversation in [one for one in interaction.on_leg(leg) if by in one.parties]:
            others = sorted(conversation.parties)
            interaction.transferred.update(others)
            for party in others:
                conversation.dismiss(interaction.id, party, emit)
            conversation.step(interaction.id, ConversationState.RELEASED, emit, Cause.NORMAL)
            met = [each for party in others for each in calls.on_agents_leg(party)]
            # Who holds that call may know of this agent without the agent knowing of them.
            met += [each for each in _who_share(calls, leg, others) if each not in met]
            for other in met:
                if live is not None:
                    other.transferred.add(leg)
                    _party_left(calls, other, live)


def _who_share(calls: Calls, leg: str, others: Collection[str]) -> list[Interaction]:
    """Return the interactions, not over, in which that leg is a party of a call beside one of the others."""
    return [
        each
        for each in calls.about(leg)
        if not each.over and not each.has_leg(leg)
        for one in each.live_conversations
        if leg in one.parties and not one.parties.keys().isdisjoint(others)
    ]


def _agent_left(calls: Calls, interaction: Interaction, leg: Leg, number: int) -> None:
    emit = calls.emit
    for conversation in interaction.on_leg(leg.id):
        cause = _cause_of_release(calls, interaction, conversation, leg, number)
        conversation.step(interaction.id, ConversationState.RELEASED, emit, cause)
    left = [one for one in interaction.legs if one != leg.id and calls.legs.get(one) is not None]
    if left:
        interaction.leg = left[0]
        return
    interaction.step(InteractionState.ENDED, emit, interaction.primary.cause)
    calls.unlink_all(interaction)


def _consult_of_the_pbx_ended(calls: Calls, interaction: Interaction) -> None:
    """Release the consult whose joint is gone if it had a program at the far end, and no party."""
    consult = interaction.consult
    if consult is not None and not consult.parties and consult.state in ANSWERED_STATES:
        consult.step(interaction.id, ConversationState.RELEASED, calls.emit, Cause.NORMAL)


def transferred_away(calls: Calls, leg: str) -> None:
    """End the interaction of a leg that handed its call over, though the leg itself may stay a while."""
    agent, interaction = calls.legs.get(leg), calls.interaction_on(leg)
    if agent is not None and interaction is not None:
        interaction.departure = Cause.TRANSFERRED
        _agent_left(calls, interaction, agent, 0)


def _cause_of_release(
    calls: Calls, interaction: Interaction, conversation: Conversation, leg: Leg, number: int
) -> Cause:
    if interaction.departure is not None:
        return interaction.departure
    if conversation.state in ANSWERED_STATES:
        return Cause.NORMAL
    if conversation.state is ConversationState.DIALING:
        if leg.joint is not None and leg.reported is None:
            # A consult that the PBX itself runs still rang, and is given up with all else.
            return Cause.CANCELLED
        return causes.of_unanswered_dial(leg, number)
    caller = next(iter(interaction.primary.parties), None)
    gone = causes.caller_is_gone(calls.legs, caller) or (caller is None and leg.dialled_by is not None)
    live = calls.legs.get(caller)
    hung_up = conversation.hung_up or (live is not None and live.hangup_by_phone)
    return causes.of_unanswered_offer(leg, number, caller_gone=gone, caller_hung_up=hung_up)
