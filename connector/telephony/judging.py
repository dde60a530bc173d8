"""What a conversation is now, judged from the agent's leg that it runs on and from whom that leg hears."""

from connector.telephony.interactions import Conversation, Interaction
from connector.telephony.legs import Hearing, Leg, LegGraph
from connector.telephony.states import ConversationState, DialOutcome, Role


def is_talking(interaction: Interaction, conversation: Conversation, agent: Leg, heard: Hearing) -> bool:
    """Whether the agent's leg hears the conversation's parties, or a program of the PBX in their place."""
    if heard.parties & conversation.parties.keys():
        return True
    program = heard.program and not heard.parties and not conversation.parties
    if program and interaction.on_leg(agent.id)[-1] is conversation:
        return True
    # A call that the phone itself placed and the PBX answered: a menu, a mailbox, a waiting queue.
    first = conversation.role is Role.PRIMARY or _has_own_leg(interaction, conversation)
    unanswered = conversation.state is ConversationState.DIALING and first
    # Once somebody has answered it, that one is about to be joined to the agent's leg.
    nobody = not agent.ringing and agent.reached is not DialOutcome.ANSWERED and agent.bridge is None
    return unanswered and agent.placed and agent.answered and nobody


def awaits_colleague(graph: LegGraph, conversation: Conversation, agent: Leg, heard: Hearing) -> bool:
    """Whether the agent's leg is alone where it meets the other agents of a conversation.

    They hold the call or attend to another one; on this agent's side it is not held.
    """
    room = agent.rooms.get(conversation.role)
    return bool(room) and not heard.parties and graph.room_of(agent.id) == room


def is_elsewhere(graph: LegGraph, interaction: Interaction, conversation: Conversation, agent: Leg) -> bool:
    """Whether the agent's leg is in another room than where it meets the others, or consults by now.

    They need not hear music: several have each other, and who was the agent of a customer that has left is
    in the room as an agent.
    """
    room, now = agent.rooms.get(conversation.role), graph.room_of(agent.id)
    if room and now is not None and now != room:
        return True
    consult = interaction.consult
    if consult is None or consult is conversation or consult.leg != agent.id:
        return False
    return consult.state in {ConversationState.DIALING, ConversationState.TALKING}


def is_parked(graph: LegGraph, conversation: Conversation, agent: Leg) -> bool:
    """Whether the agent waits elsewhere or all parties hear music; not if the agent is about to leave."""
    if agent.hangup_asked:
        return False
    joint = graph.get(agent.joint)
    if conversation.role is Role.CONSULT and joint is not None and joint.music:
        return True
    if len(conversation.parties) > 1 and _is_with_others(graph, conversation, agent):
        return True
    there = False
    for party in conversation.parties:
        leg = graph.legs.get(party)
        if leg is None:
            continue
        there = True
        if not agent.waits and not graph.hears_music(leg):
            return False
    return there


def _is_with_others(graph: LegGraph, conversation: Conversation, agent: Leg) -> bool:
    """Whether the agent is in a room, and a conference's members are in another: they hear no music there."""
    now = graph.room_of(agent.id)
    rooms = {graph.room_of(leg) for leg in conversation.parties} - {None}
    return now is not None and bool(rooms) and now not in rooms


def has_failed(interaction: Interaction, conversation: Conversation, agent: Leg) -> bool:
    """Whether the party of a consult was not reached, where the agent's leg lives on."""
    if conversation.role is not Role.CONSULT or conversation.state is not ConversationState.DIALING:
        return False
    if _has_own_leg(interaction, conversation):
        return False
    # A dial that the agent's side took back is not reported, nor one that failed as the leg was called back:
    # their routing never got that far.
    failed = agent.bridge is not None and agent.reached not in {None, DialOutcome.ANSWERED}
    over = agent.reported is not None or agent.reached is DialOutcome.CANCELLED or failed
    return over and not agent.ringing


def _has_own_leg(interaction: Interaction, conversation: Conversation) -> bool:
    return conversation.leg != interaction.primary.leg


def is_forsaken(
    graph: LegGraph, interaction: Interaction, conversation: Conversation, agent: Leg, heard: Hearing
) -> bool:
    """Whether an answered consult has no party, and its dial is over or the agent back with the primary's.

    Who answers may be gone before the PBX has told of them. A consult that the PBX itself runs for the leg
    may have a program as its party.
    """
    primary = interaction.primary
    if conversation is primary or conversation.leg != primary.leg:
        return False
    if primary.state is ConversationState.RELEASED or agent.joint in graph.legs:
        return False
    if agent.reported is not None and not conversation.parties and not heard.program:
        return True
    back = bool(heard.parties & primary.parties.keys())
    return back and graph.legs.keys().isdisjoint(conversation.parties)
