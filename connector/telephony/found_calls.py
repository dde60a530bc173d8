"""The calls of a phone's leg that was found in a list: read off the legs and what stands on it."""

from dataclasses import dataclass

from connector.telephony.facts import CallFound
from connector.telephony.legs import Hearing, Leg, LegGraph
from connector.telephony.states import ConversationState

_TALKING, _HELD, _DIALING, _RELEASED = (
    ConversationState.TALKING,
    ConversationState.HELD,
    ConversationState.DIALING,
    ConversationState.RELEASED,
)


@dataclass(frozen=True, slots=True)
class FoundCall:
    """The conversations of a leg. A state of None: nobody has answered yet, or there is no consult."""

    primary: tuple[str, ...]
    """The primary's parties, its room's owner first."""
    primary_state: ConversationState | None
    consult: tuple[str, ...] = ()
    consult_state: ConversationState | None = None


def read_call(graph: LegGraph, agent: Leg, found: CallFound) -> FoundCall:
    """Return what the calls of `agent`, an answered or placed leg, are now. All legs must be in the graph."""
    heard = graph.hearing(agent.id)
    partner = graph.get(found.partner)
    primary = _parties(graph, found.primary_room, agent, heard)
    if not found.primary_room:
        # A release that was under way takes the note from the agent's leg first.
        primary = tuple(leg for leg in found.guests if leg != found.consult_room and graph.room_of(leg))
    if partner is not None and found.primary_room:
        # Who consulted this agent was here first, and may be elsewhere for a while.
        primary = tuple(dict.fromkeys((partner.id, *primary)))
    if found.consulting:
        consult = tuple(sorted(heard.parties - set(primary)))
        dials = agent.bridge is None
        state = _DIALING if dials else _TALKING
        return FoundCall(primary, _HELD if primary else _RELEASED, consult, state)
    consult = _parties(graph, found.consult_room, agent, heard)
    if set(consult) & set(primary):
        # In one room: that is a conference.
        consult = ()
    if consult:
        primary_state = _state_of(primary, heard) if primary else _RELEASED
        return FoundCall(primary, primary_state, consult, _state_of(consult, heard))
    if primary:
        return FoundCall(primary, _state_of(primary, heard))
    if found.primary_room or found.consult_room:
        # Everybody has left while nobody looked.
        return FoundCall((), _TALKING if heard.program else _RELEASED)
    # An agent who was consulted has the other agent as a party, whether that one is there just now or not.
    beside = {partner.id} if partner is not None else set()
    parties = (*sorted(beside), *sorted(heard.parties - beside))
    if heard.parties or heard.program:
        return FoundCall(parties, _TALKING)
    if partner is not None:
        return FoundCall(parties, _HELD if partner.waits else _TALKING)
    # Only a leg that has had a call is sent to wait: nobody is left of that.
    return FoundCall((), _RELEASED if agent.waits else None)


def _state_of(parties: tuple[str, ...], heard: Hearing) -> ConversationState:
    return _TALKING if heard.parties & set(parties) else _HELD


def _parties(graph: LegGraph, room: str, agent: Leg, heard: Hearing) -> tuple[str, ...]:
    """Return who is in a room, or its owner alone where nobody has entered it yet."""
    if not room:
        return ()
    inside = graph.in_room(room)
    found = {leg for leg in inside if (live := graph.get(leg)) is not None and not live.internal}
    for leg in inside:
        found |= graph.hearing(leg).parties
    if not found & heard.parties and graph.get(room) is not None:
        found.add(room)
    return tuple(sorted(found - {agent.id}, key=lambda leg: (leg != room, leg)))
