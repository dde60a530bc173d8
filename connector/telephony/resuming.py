"""Interactions of calls that were found in a list: begun, and led to the state that these are in."""

from collections.abc import Sequence

from connector.telephony import beginnings, call_data, facts, settling
from connector.telephony.calls import Calls
from connector.telephony.changes import InteractionAdded
from connector.telephony.found_calls import read_call
from connector.telephony.interactions import Conversation, Interaction
from connector.telephony.legs import Leg
from connector.telephony.states import ANSWERED_STATES, Cause, ConversationState, InteractionState, Role


def resume_call(calls: Calls, fact: facts.CallFound) -> None:
    """Begin the interaction of a leg that was found in a list, in the middle of whatever it is."""
    agent = calls.legs.get(fact.leg)
    if agent is None or agent.endpoint not in calls.watched or not (agent.placed or agent.answered):
        return
    known = calls.interaction_on(agent.id) is not None
    if not known:
        if agent.consult_of and calls.legs.get(agent.consult_of) is None and not fact.primary_room:
            _go_on(calls, agent, fact)
        else:
            number = fact.consult if agent.consult_of else 0
            beginnings.appear(calls, agent, number, _contact_of(calls, agent, fact))
    interaction = calls.interaction_on(agent.id)
    if interaction is None:
        return
    if interaction.primary.leg == agent.id:
        _resume(calls, interaction, agent, fact, known=known)
    else:
        _resume_consult(calls, interaction, agent, fact)
    settling.look_at(calls, interaction)


def _contact_of(calls: Calls, agent: Leg, fact: facts.CallFound) -> Leg | None:
    """Return whom the call is about that a leg took over which the phone had dialled for a consult."""
    if not agent.consult_of or calls.legs.get(agent.consult_of) is not None:
        return None
    return next((calls.legs.get(leg) for leg in read_call(calls.legs, agent, fact).primary), None)


def _go_on(calls: Calls, agent: Leg, fact: facts.CallFound) -> None:
    """Begin the interaction of a phone's consult whose first call is over: the consult is all there is."""
    interaction_id = agent.consult_of
    taken = calls.interactions.get(interaction_id)
    if taken is not None and not taken.over:
        return
    primary = Conversation(
        f"{interaction_id}-1", Role.PRIMARY, ConversationState.RELEASED, interaction_id, Cause.NORMAL
    )
    state = InteractionState.STARTED
    interaction = Interaction(interaction_id, agent.endpoint, agent.id, state, primary, answered=True)
    interaction.data = call_data.collect(calls, interaction)
    calls.interactions[interaction_id] = interaction
    calls.link(agent.id, interaction)
    calls.emit(InteractionAdded(interaction_id, agent.endpoint))
    consult = beginnings.begin_consult(calls, interaction, agent.id, fact.consult)
    consult.expect(agent.dialled, calls.type_of_number(agent.dialled))
    _listen_for(calls, interaction, consult)


def _resume(
    calls: Calls, interaction: Interaction, agent: Leg, fact: facts.CallFound, *, known: bool
) -> None:
    call = read_call(calls.legs, agent, fact)
    if agent.joint is not None:
        calls.link(agent.joint, interaction)
    replaced = interaction.state is InteractionState.ALERTING and bool(call.primary)
    if replaced:
        _forget_who_called(interaction, known=known)
    if fact.sent_on and call.consult_state is None:
        _expect(calls, interaction.primary, fact.number)
    _seat(
        calls,
        interaction,
        interaction.primary,
        call.primary,
        began=agent.tree,
        silent=not (replaced and known),
    )
    interaction.data = call_data.collect(calls, interaction)
    if call.primary_state is not None and interaction.primary.state not in ANSWERED_STATES:
        _bring(calls, interaction, interaction.primary, call.primary_state)
        interaction.step(InteractionState.STARTED, calls.emit)
    if call.consult_state is not None:
        consult = _consult(calls, interaction, agent, fact)
        _seat(calls, interaction, consult, call.consult)
        if call.consult_state is not ConversationState.DIALING:
            _bring(calls, interaction, consult, call.consult_state)
    for one in interaction.on_leg(agent.id) if fact.sent_on else ():
        one.sent_on = not one.parties
    # One that is over had its number too, and the bridge may know it.
    interaction.consults_numbered(fact.consult)
    for conversation in interaction.on_leg(agent.id):
        if conversation.state is ConversationState.DIALING or conversation.sent_on:
            _listen_for(calls, interaction, conversation)


def _resume_consult(calls: Calls, interaction: Interaction, agent: Leg, fact: facts.CallFound) -> None:
    """Lead a consult that has a leg of its own to what its room tells; what has none is seen where it is."""
    consult, call = interaction.consult, read_call(calls.legs, agent, fact)
    if consult is None or consult.leg != agent.id or consult.state is not ConversationState.DIALING:
        return
    if call.consult_state in ANSWERED_STATES and call.consult:
        if fact.number not in {"", agent.dialled} or set(call.consult) <= set(fact.consult_sharers):
            # Whom the phone dialled has sent it on.
            consult.expect_nobody()
        _seat(calls, interaction, consult, call.consult)
        _bring(calls, interaction, consult, call.consult_state)


def _forget_who_called(interaction: Interaction, *, known: bool) -> None:
    """Let whom the agent talks to take the place of who called; of a `known` call the bridge is told so."""
    if known:
        # Who called has handed another call on to this agent.
        interaction.primary.invited = True
    else:
        # Whom a leg was connected with last need not be who called.
        interaction.primary.expect_nobody()


def _expect(calls: Calls, conversation: Conversation, number: str) -> None:
    """Show the number that the agent was sent to: who was called or has called is not there any more."""
    conversation.expect_nobody()
    conversation.expect(number, calls.type_of_number(number))


def _listen_for(calls: Calls, interaction: Interaction, conversation: Conversation) -> None:
    """Note who is being rung for a conversation."""
    for leg in calls.legs.rung_by(conversation.leg):
        conversation.candidates.add(leg)
        calls.link(leg, interaction)


def _consult(calls: Calls, interaction: Interaction, agent: Leg, fact: facts.CallFound) -> Conversation:
    """Return the interaction's consult; a new one if that began while nobody looked."""
    consult = interaction.consult
    if consult is None or consult.released:
        consult = beginnings.begin_consult(calls, interaction, agent.id, fact.consult)
        consult.expect(fact.number, calls.type_of_number(fact.number))
    return consult


def _seat(
    calls: Calls,
    interaction: Interaction,
    conversation: Conversation,
    parties: Sequence[str],
    began: str = "",
    *,
    silent: bool = True,
) -> None:
    """Make legs parties. If one of them `began` the call, the others came in later."""
    for leg_id in parties:
        leg = calls.legs.get(leg_id)
        if leg is not None:
            later = began in parties and leg_id != began
            if later:
                interaction.guests.add(leg_id)
            role = Role.CONSULT if later else conversation.role
            kind = calls.type_of(leg, role)
            conversation.admit(interaction.id, leg, kind, calls.emit, silent=silent)
            calls.link(leg_id, interaction)


def _bring(
    calls: Calls, interaction: Interaction, conversation: Conversation, state: ConversationState
) -> None:
    """Lead a conversation to the state that it was found in; nobody holds a call before it talks."""
    conversation.step(interaction.id, ConversationState.TALKING, calls.emit)
    if state is ConversationState.TALKING:
        interaction.talked_last = conversation.id
    cause = Cause.NORMAL if state is ConversationState.RELEASED else None
    conversation.step(interaction.id, state, calls.emit, cause)
