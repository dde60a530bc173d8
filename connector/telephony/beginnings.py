"""How interactions and consults begin: a leg dials or is rung, or the PBX dials on behalf of an agent."""

from connector.telephony import call_data, transfers
from connector.telephony.calls import Calls
from connector.telephony.changes import ConversationAdded, InteractionAdded, MemberType
from connector.telephony.interactions import Conversation, Interaction
from connector.telephony.legs import Leg
from connector.telephony.states import RINGING_STATES, ConversationState, InteractionState, Role


def dial_started(calls: Calls, callee: str) -> None:
    """See what rings because a leg was dialled: a new interaction, or a party of the one who dials."""
    leg = calls.legs.get(callee)
    if leg is None:
        return
    known = callee in calls.interactions or calls.interaction_on(callee) is not None
    if leg.endpoint in calls.watched and not leg.internal and not known:
        appear(calls, leg)
    root = calls.legs.originator(leg.dialled_by) if leg.dialled_by is not None else None
    if root is None or root == callee:
        return
    for interaction in calls.on_agents_leg(root):
        if any(callee in one.parties for one in interaction.live_conversations):
            # It was found as a party, and how it was reached is told only now.
            continue
        conversation = _conversation_being_dialled(calls, interaction, root)
        waits = transfers.awaits_another(calls, conversation)
        if waits:
            _show_where_to(calls, interaction, conversation, leg)
        if leg.internal:
            continue
        if not waits and not conversation.placeholder and not conversation.parties:
            conversation.expect(leg.number, calls.type_of(leg, conversation.role))
        conversation.candidates.add(callee)
        calls.link(callee, interaction)


def _show_where_to(calls: Calls, interaction: Interaction, conversation: Conversation, leg: Leg) -> None:
    """Show an agent who is sent on the number, which may be no phone's, and then whose phone rings."""
    number = leg.dialled if leg.internal else leg.number
    shown = conversation.placeholder if not conversation.parties else None
    if not number or (shown is not None and shown.address == number):
        return
    kind = calls.type_of_number(number) if leg.internal else calls.type_of(leg, conversation.role)
    interaction.transferred.update(conversation.parties)
    conversation.expect_another(interaction.id, number, kind, calls.emit)


def _conversation_being_dialled(calls: Calls, interaction: Interaction, leg: str) -> Conversation:
    """Return the conversation that a call of the agent's leg belongs to; a new consult if need be."""
    for one in interaction.on_leg(leg):
        if transfers.awaits_another(calls, one):
            return one
    consult = interaction.consult
    if consult is not None and not consult.released:
        return consult if consult.leg == leg else interaction.primary
    if interaction.primary.state in RINGING_STATES:
        return interaction.primary
    # Whom the call is about may have hung up as the consult was asked for.
    return begin_consult(calls, interaction, leg)


def begin_consult(calls: Calls, interaction: Interaction, leg: str, number: int = 0) -> Conversation:
    """Give the interaction a new consult, on that leg of the agent's; of that number, if it is known."""
    nativeid = interaction.next_conversation_id(number)
    consult = Conversation(nativeid, Role.CONSULT, ConversationState.DIALING, leg)
    interaction.consult = consult
    calls.emit(ConversationAdded(interaction.id, consult.id, Role.CONSULT))
    return consult


def _consults_for(calls: Calls, leg: Leg) -> Interaction | None:
    """Return the interaction that a call placed by the phone is a consult of.

    That is the phone's only call, if it was put on hold first: of two nobody could tell which it is.
    """
    if leg.consult_of:
        live = [one for one in calls.on_phone(leg.endpoint) if one.id == leg.consult_of]
    else:
        live = [one for one in calls.on_phone(leg.endpoint) if leg.placed and not one.over]
    if len(live) != 1 or live[0].state is not InteractionState.STARTED:
        return None
    busy = live[0].consult is not None and not live[0].consult.released
    # A second call that is held itself was found: the phone has gone back to the first.
    held = live[0].primary.state is ConversationState.HELD or leg.consult_of or leg.phone_hold
    return live[0] if held and not busy else None


def consult_of_the_pbx(calls: Calls, touched: set[str]) -> None:
    """Begin the consult that the PBX dials for an agent by its own attended transfer."""
    live = calls.legs.legs
    if not [leg for leg in touched if leg in live and live[leg].joint is not None]:
        return
    for interaction in calls.about(*touched):
        agent = calls.legs.get(interaction.leg)
        joint = calls.legs.get(agent.joint) if agent is not None else None
        if joint is None or interaction.over or calls.is_about(interaction, joint.id):
            continue
        conversation = _conversation_being_dialled(calls, interaction, interaction.leg)
        conversation.expect(joint.dialled, calls.type_of_number(joint.dialled))
        calls.link(joint.id, interaction)


def appear(calls: Calls, leg: Leg, consult_number: int = 0, contact: Leg | None = None) -> None:
    """Make the interaction of an agent's leg, or a consult of the one that the phone has put on hold.

    A supervisor's leg is neither. `consult_number` is that of the consult, if it is known; `contact` is whom
    the call is about, where the leg was dialled for something else.
    """
    if leg.supervises:
        return
    about = _consults_for(calls, leg)
    if about is not None:
        consult = begin_consult(calls, about, leg.id, consult_number)
        consult.expect(leg.dialled, calls.type_of_number(leg.dialled))
        calls.link(leg.id, about)
        return
    interaction_id = leg.id
    if leg.consult_of and calls.legs.get(leg.consult_of) is None:
        # The first call of the phone's consult is over: the interaction keeps its id on the second leg.
        interaction_id = leg.consult_of
    taken = calls.interactions.get(interaction_id)
    if taken is not None and not taken.over:
        return
    destination = calls.destinations.get(leg.id) or leg.destination
    outbound = leg.placed or bool(destination)
    if contact is not None:
        destination, outbound = contact.number, not contact.placed
    state = ConversationState.DIALING if outbound else ConversationState.ALERTING
    primary = Conversation(f"{interaction_id}-1", Role.PRIMARY, state, leg.id)
    first = InteractionState.DIALING if outbound else InteractionState.ALERTING
    interaction = Interaction(interaction_id, leg.endpoint, leg.id, first, primary, answered=leg.answered)
    if outbound:
        number = destination or leg.dialled
        primary.expect(number, calls.type_of_number(number))
    else:
        caller = contact or calls.legs.get(calls.legs.originator(leg.dialled_by))
        if caller is not None and caller.id != leg.id:
            kind = calls.type_of(caller, Role.PRIMARY)
            primary.admit(interaction.id, caller, kind, calls.emit, silent=True)
            calls.link(caller.id, interaction)
        else:
            primary.expect(leg.connected_number, MemberType.CUSTOMER, invited=True)
    interaction.data = call_data.collect(calls, interaction)
    calls.interactions[interaction.id] = interaction
    calls.link(leg.id, interaction)
    calls.emit(InteractionAdded(interaction.id, leg.endpoint))
