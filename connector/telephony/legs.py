"""The legs that are alive and who is joined to whom: the model's picture of the PBX.

Events of different threads of the PBX come in any order, so nothing here depends on order: a bridge is
a set of legs, a joint is a pair of internal legs, and every question is answered from these sets.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from connector.telephony import facts
from connector.telephony.states import DialOutcome


@dataclass(slots=True)
class Leg:
    """One live channel of the PBX, as far as it is known."""

    id: str
    endpoint: str = ""
    tree: str = ""
    placed: bool = False
    internal: bool = False
    number: str = ""
    name: str = ""
    connected_number: str = ""
    connected_name: str = ""
    dialled: str = ""
    destination: str = ""
    alerting: bool = False
    answered: bool = False
    variables: dict[str, str] = field(default_factory=dict)
    dialled_by: str | None = None
    ringing: set[str] = field(default_factory=set)
    bridge: str | None = None
    music: bool = False
    waits: bool = False
    phone_hold: bool = False
    hangup_by_phone: bool = False
    hangup_asked: bool = False
    outcome: DialOutcome | None = None
    """How the attempt to reach this leg ended (the first word counts: a PBX may say it twice)."""
    reached: DialOutcome | None = None
    """How the last attempt of this leg to reach somebody ended."""
    reported: tuple[DialOutcome, int] | None = None
    queue: str = ""
    queue_entered: float = 0.0
    queue_offered: float = 0.0


@dataclass(frozen=True, slots=True)
class Hearing:
    """Whom a leg is joined to: real legs, and whether a program of the PBX talks to it through a joint."""

    parties: frozenset[str]
    program: bool


class LegGraph:
    """All live legs. `apply` returns the ids of the legs whose situation a fact touched."""

    def __init__(self) -> None:
        self.legs: dict[str, Leg] = {}
        self._bridges: dict[str, set[str]] = {}
        self._rooms: dict[str, str] = {}
        self._pairs: dict[str, str] = {}
        self._by_endpoint: dict[str, set[str]] = {}

    def get(self, leg: str | None) -> Leg | None:
        """Return the live leg of that id."""
        return self.legs.get(leg) if leg is not None else None

    def of_endpoint(self, endpoint: str) -> list[Leg]:
        """Return the live legs of a phone, oldest first."""
        known = self._by_endpoint.get(endpoint, ())
        return [leg for leg in self.legs.values() if leg.id in known]

    def hearing(self, leg: str) -> Hearing:
        """Whom `leg` is joined to, through bridges and joints."""
        seen = {leg}
        parties: set[str] = set()
        program = False
        frontier = [leg]
        while frontier:
            for mate in self._mates(frontier.pop()):
                if mate in seen:
                    continue
                seen.add(mate)
                live = self.legs.get(mate)
                if live is None or not live.internal:
                    parties.add(mate)
                    frontier.append(mate)
                    continue
                other = self._pairs.get(mate)
                if other is None or other in seen:
                    continue
                seen.add(other)
                far = self.legs.get(other)
                if far is not None and far.bridge is None:
                    program = True
                frontier.append(other)
        return Hearing(frozenset(parties - {leg}), program)

    def originator(self, leg: str | None) -> str | None:
        """Return the real leg on whose behalf `leg` exists: itself, or who dialled it through joints."""
        seen: set[str] = set()
        while leg is not None and leg not in seen:
            seen.add(leg)
            live = self.legs.get(leg)
            if live is None:
                return leg
            if not live.internal:
                return leg
            leg = live.dialled_by if live.dialled_by is not None else self._pairs.get(leg)
        return None

    def room_of(self, leg: str | None) -> str | None:
        """Return the name of the conference room that a leg is in."""
        live = self.get(leg)
        return self._rooms.get(live.bridge) if live is not None and live.bridge is not None else None

    def apply(self, fact: facts.Fact) -> set[str]:  # noqa: PLR0911 - one flat table of facts
        """Take one fact in. Return the legs that it touched."""
        match fact:
            case facts.LegCreated():
                return self._create(fact)
            case facts.LegEnded(leg=leg):
                return self._end(leg)
            case facts.LegJoined(leg=leg, bridge=bridge):
                return self._join(leg, bridge)
            case facts.LegLeft(leg=leg, bridge=bridge, waits=waits):
                return self._leave(leg, bridge, waits=waits)
            case facts.RoomOpened(bridge=bridge, room=room):
                self._rooms[bridge] = room
                return set()
            case facts.LegsPaired(one=one, two=two):
                self._pairs[one] = two
                self._pairs[two] = one
                return self._closure((one, two))
            case facts.DialStarted(caller=caller, callee=callee):
                return self._dial(caller, callee)
            case facts.DialEnded():
                return self._dial_ended(fact)
            case _:
                return self._note(fact)

    def _mates(self, leg: str) -> Iterable[str]:
        live = self.legs.get(leg)
        if live is None or live.bridge is None:
            return ()
        return self._bridges.get(live.bridge, ())

    def _closure(self, legs: Iterable[str]) -> set[str]:
        touched: set[str] = set()
        frontier = list(legs)
        while frontier:
            leg = frontier.pop()
            if leg in touched:
                continue
            touched.add(leg)
            frontier.extend(self._mates(leg))
            pair = self._pairs.get(leg)
            if pair is not None:
                frontier.append(pair)
        return touched

    def _create(self, fact: facts.LegCreated) -> set[str]:
        leg = self.legs.setdefault(fact.leg, Leg(fact.leg))
        leg.endpoint, leg.tree, leg.placed, leg.internal = (
            fact.endpoint,
            fact.tree,
            fact.placed,
            fact.internal,
        )
        leg.number, leg.name, leg.dialled = fact.number, fact.name, fact.dialled
        leg.destination = fact.destination
        leg.answered = leg.answered or fact.answered
        leg.variables.update(fact.variables)
        if fact.endpoint:
            self._by_endpoint.setdefault(fact.endpoint, set()).add(fact.leg)
        return {fact.leg}

    def _end(self, leg: str) -> set[str]:
        live = self.legs.get(leg)
        if live is None:
            return {leg}
        touched = self._closure((leg,))
        if live.dialled_by is not None:
            caller = self.legs.get(live.dialled_by)
            if caller is not None:
                caller.ringing.discard(leg)
                touched.add(caller.id)
        if live.bridge is not None:
            self._drop_from_bridge(leg, live.bridge)
        pair = self._pairs.pop(leg, None)
        if pair is not None:
            self._pairs.pop(pair, None)
        if live.endpoint:
            siblings = self._by_endpoint.get(live.endpoint, set())
            siblings.discard(leg)
            if not siblings:
                self._by_endpoint.pop(live.endpoint, None)
        del self.legs[leg]
        return touched

    def _join(self, leg: str, bridge: str) -> set[str]:
        live = self.legs.get(leg)
        if live is None:
            return set()
        touched = self._closure((leg,))
        if live.bridge is not None and live.bridge != bridge:
            self._drop_from_bridge(leg, live.bridge)
        live.bridge = bridge
        live.waits = False
        self._bridges.setdefault(bridge, set()).add(leg)
        return touched | self._closure((leg,))

    def _leave(self, leg: str, bridge: str, *, waits: bool) -> set[str]:
        live = self.legs.get(leg)
        touched = self._closure((leg,))
        self._drop_from_bridge(leg, bridge)
        if live is not None and live.bridge in {bridge, None}:
            live.bridge = None
            live.waits = waits
        return touched

    def _drop_from_bridge(self, leg: str, bridge: str) -> None:
        members = self._bridges.get(bridge)
        if members is not None:
            members.discard(leg)
            if not members:
                del self._bridges[bridge]
                self._rooms.pop(bridge, None)

    def _dial(self, caller: str | None, callee: str) -> set[str]:
        touched = {callee}
        live = self.legs.get(callee)
        if live is not None and caller is not None:
            live.dialled_by = caller
        calling = self.legs.get(caller) if caller is not None else None
        if calling is not None:
            calling.ringing.add(callee)
            calling.reached = None
            calling.reported = None
            touched.add(calling.id)
        return touched

    def _dial_ended(self, fact: facts.DialEnded) -> set[str]:
        touched = {fact.callee}
        live = self.legs.get(fact.callee)
        if live is not None and live.outcome is None:
            live.outcome = fact.outcome
        calling = self.legs.get(fact.caller) if fact.caller is not None else None
        if calling is not None:
            if fact.callee in calling.ringing:
                calling.reached = fact.outcome
            calling.ringing.discard(fact.callee)
            touched.add(calling.id)
        return touched

    def _note(self, fact: facts.Fact) -> set[str]:  # noqa: C901 - one flat table of facts
        leg_id = getattr(fact, "leg", None)
        leg = self.legs.get(leg_id) if isinstance(leg_id, str) else None
        if leg is None:
            return set()
        match fact:
            case facts.LegNamed():
                leg.number, leg.name = fact.number or leg.number, fact.name or leg.name
                leg.connected_number, leg.connected_name = fact.connected_number, fact.connected_name
            case facts.LegRinging():
                leg.alerting = True
            case facts.LegAnswered():
                leg.answered = True
            case facts.HangupAsked():
                leg.hangup_asked = True
                leg.hangup_by_phone = leg.hangup_by_phone or fact.by_phone
            case facts.DialReported():
                leg.reported = (fact.outcome, fact.cause)
            case facts.MusicStarted():
                leg.music = True
            case facts.MusicStopped():
                leg.music = False
            case facts.PhoneHeld():
                leg.phone_hold = True
            case facts.PhoneResumed():
                leg.phone_hold = False
            case facts.VariableSet():
                leg.variables[fact.name] = fact.value
            case facts.QueueEntered():
                leg.queue, leg.queue_entered = fact.queue, fact.at
            case facts.QueueOffered():
                leg.queue, leg.queue_offered = fact.queue, fact.at
            case _:
                pass
        return self._closure((leg.id,))
