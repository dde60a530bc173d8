"""The calls of a phone's leg that was found in a list: read off the legs and what stands on it."""

from collections.abc import Iterable
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
    """The primary's parties: whom the call is about first of all, then the owner of its room."""
    primary_state: ConversationState | None
    consult: tuple[str, ...] = ()
    consult_state: ConversationState | None = None


def read_call(graph: LegGraph, agent: Leg, found: CallFound) -> FoundCall:
    """Return what the calls of `agent`, an answered or placed leg, are now. All legs must be in the graph."""
    heard = graph.hearing(agent.id)
    if found.sent_on:
        return _by_number(graph, agent, found, heard)
    joint = graph.get(agent.joint)
    if joint is not None:
        return _by_joint(graph, agent, joint, found.guests, heard)
    return _by_rooms(graph, agent, found, heard)


def _by_rooms(graph: LegGraph, agent: Leg, found: CallFound, heard: Hearing) -> FoundCall:
    partner = graph.get(found.partner) or _who_consults(graph, agent)
    primary = _parties(graph, found.primary_room, agent, heard) or _sharing(graph, found.primary_sharers)
    if not found.primary_room:
        # A release that was under way takes the note from the agent's leg first.
        primary = tuple(leg for leg in found.guests if leg != found.consult_room and graph.room_of(leg))
    primary = _contact_first(graph, agent, primary)
    if partner is not None and found.primary_room:
        # Who consulted this agent was here first, and may be elsewhere for a while.
        primary = tuple(dict.fromkeys((partner.id, *primary)))
    if found.consulting:
        consult = tuple(sorted(heard.parties - set(primary)))
        dials = agent.bridge is None
        state = _DIALING if dials else _TALKING
        return FoundCall(primary, _HELD if primary else _RELEASED, consult, state)
    consult = _parties(graph, found.consult_room, agent, heard) or _sharing(graph, found.consult_sharers)
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
    parties = (*sorted(beside), *_callers_first(graph, agent, heard.parties - beside))
    if heard.parties or heard.program:
        return FoundCall(parties, _TALKING)
    if partner is not None:
        return FoundCall(parties, _HELD if partner.waits else _TALKING)
    # Only a leg that has had a call is sent to wait: nobody is left of that.
    return FoundCall((), _RELEASED if agent.waits else None)


def _by_number(graph: LegGraph, agent: Leg, found: CallFound, heard: Hearing) -> FoundCall:
    """Return the calls of an agent whom another one sent to a number, with an own call on hold or none."""
    there = tuple(sorted(heard.parties))
    held = tuple(leg for leg in _parties(graph, found.primary_room, agent, heard) if leg not in there)
    return FoundCall(held, _HELD, there, _TALKING) if held else FoundCall(there, _TALKING)


def _by_joint(graph: LegGraph, agent: Leg, joint: Leg, guests: tuple[str, ...], heard: Hearing) -> FoundCall:
    """Return the calls of an agent whom the PBX itself lets consult; who is left waits alone in a bridge."""
    consulted = graph.beyond(joint.id)
    if agent.bridge != joint.bridge:
        return FoundCall(tuple(sorted(heard.parties)), _TALKING, tuple(sorted(consulted)), _HELD)
    if others := heard.parties - consulted:
        # The PBX has joined them all.
        return FoundCall((*sorted(others), *sorted(consulted)), _TALKING)
    primary = tuple(
        one for leg in guests for one in (sorted(graph.beyond(leg)) if _is_internal(graph, leg) else (leg,))
    )
    talks = bool(heard.parties) or heard.program
    return FoundCall(
        primary,
        _HELD if primary else _RELEASED,
        tuple(sorted(heard.parties)),
        _TALKING if talks else _DIALING,
    )


def _contact_first(graph: LegGraph, agent: Leg, parties: Iterable[str]) -> tuple[str, ...]:
    """Sort the first call's parties: who began the call, or who was dialled, before all others."""
    dialled = {agent.dialled, agent.destination} - {""}

    def rank(leg: str) -> tuple[bool, bool]:
        live = graph.get(leg)
        return leg != agent.tree, live is None or live.number not in dialled

    return tuple(sorted(parties, key=rank))


def _callers_first(graph: LegGraph, agent: Leg, parties: Iterable[str]) -> list[str]:
    """Sort a conference's members: who called the agent, whom the agent called, whom the phone shows."""
    dialled = {agent.dialled, agent.destination} - {""}

    def rank(leg: str) -> tuple[bool, bool, bool, bool, str]:
        live = graph.get(leg)
        number, name = (live.number, live.name) if live is not None else ("", "")
        shown = number == agent.connected_number
        return leg != agent.called_by, number not in dialled, not shown, name != agent.connected_name, leg

    return sorted(parties, key=rank)


def _is_internal(graph: LegGraph, leg: str) -> bool:
    live = graph.get(leg)
    return live is not None and live.internal


def _who_consults(graph: LegGraph, agent: Leg) -> Leg | None:
    """Return the leg that consults this agent by a joint of the PBX's; it may be elsewhere for a while."""
    caller = graph.get(agent.called_by)
    consults = caller is not None and caller.joint is not None and agent.id in graph.beyond(caller.joint)
    return caller if consults else None


def _state_of(parties: tuple[str, ...], heard: Hearing) -> ConversationState:
    return _TALKING if heard.parties & set(parties) else _HELD


def _sharing(graph: LegGraph, sharers: tuple[str, ...]) -> tuple[str, ...]:
    """Return the agents of a room in which nobody is: whom it is named after has left, and they all hold."""
    return tuple(leg for leg in sharers if graph.get(leg) is not None)


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
