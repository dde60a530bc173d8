"""The legs that are alive and who is joined to whom: the model's picture of the PBX.

Events of different threads of the PBX come in any order, so nothing here depends on order: a bridge is
a set of legs, a joint is a pair of internal legs, and every question is answered from these sets.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from connector.telephony import facts
from connector.telephony.states import DialOutcome, Recording, Role, Supervision

_NORMAL_CLEARING = 16

_OF_DATA = (facts.LegNamed, facts.VariableSet, facts.QueueEntered, facts.QueueOffered)
"""Facts by which interaction data may change."""


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
    consult_of: str = ""
    alerting: bool = False
    answered: bool = False
    variables: dict[str, str] = field(default_factory=dict)
    revision: int = 0
    """Goes up with each change of what interaction data are made of: names, variables, queue."""
    rooms: dict[Role, str] = field(default_factory=dict)
    """The rooms of an agent's conversations, as far as this leg was told them."""
    dialled_by: str | None = None
    called_by: str | None = None
    """The real leg on whose behalf it was dialled; the joints between them may be gone."""
    rung: bool = False
    """Whether the PBX told of an attempt to reach this leg."""
    ringing: set[str] = field(default_factory=set)
    bridge: str | None = None
    music: bool = False
    waits: bool = False
    phone_hold: bool = False
    handed_on: bool = False
    """Whether the leg's phone has handed its call on: the PBX is about to end it."""
    hangup_by_phone: bool = False
    hangup_asked: bool = False
    outcome: DialOutcome | None = None
    """How the attempt to reach this leg ended (the first word counts: a PBX may say it twice)."""
    reached: DialOutcome | None = None
    """How the last attempt of this leg to reach somebody ended."""
    reported: tuple[DialOutcome, int] | None = None
    joint: str | None = None
    """The internal leg by which the PBX lets this one consult (see `LegGraph._consult_of_the_pbx`)."""
    joint_outcome: DialOutcome | None = None
    """How the attempt at the far end of `joint` ended, where the PBX told."""
    queue: str = ""
    queue_entered: float = 0.0
    queue_offered: float = 0.0
    recording: Recording = Recording.OFF
    renewal: list[Recording] | None = None
    """What the PBX told while the recorder is being replaced by another: it changes nothing."""
    muted: bool = False
    supervises: str = ""
    """The interaction that this leg, a supervisor's, is there for."""
    spied: str = ""
    """The leg that this one listens to."""
    supervision: Supervision = Supervision.CALLING
    """How a supervisor's leg supervises."""


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
        self._by_endpoint: dict[str, dict[str, None]] = {}
        self._supervising: set[str] = set()

    def get(self, leg: str | None) -> Leg | None:
        """Return the live leg of that id."""
        return self.legs.get(leg) if leg is not None else None

    def of_endpoint(self, endpoint: str) -> list[Leg]:
        """Return the live legs of a phone, oldest first."""
        return [self.legs[leg] for leg in self._by_endpoint.get(endpoint, ())]

    def supervising(self) -> list[Leg]:
        """Return the legs of supervisors."""
        # Asked for with each change of a conversation, and hardly ever there are any.
        return [self.legs[leg] for leg in sorted(self._supervising)] if self._supervising else []

    def supervise(self, leg: Leg, interaction: str) -> None:
        """Note that a leg is there to supervise an interaction, unless that is empty or it has one."""
        leg.supervises = leg.supervises or interaction
        if leg.supervises:
            self._supervising.add(leg.id)

    def is_phones_second(self, leg: str) -> bool:
        """Whether a phone dialled this leg and has another one."""
        live = self.legs.get(leg)
        return live is not None and live.placed and len(self.of_endpoint(live.endpoint)) > 1

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
                if live.answered and far is not None and far.bridge is None:
                    program = True
                frontier.append(other)
        return Hearing(frozenset(parties - {leg}), program)

    def beyond(self, joint: str) -> frozenset[str]:
        """Return the real legs at the other end of a joint."""
        other = self._pairs.get(joint)
        return self.hearing(other).parties if other is not None else frozenset()

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

    def rung_by(self, leg: str) -> list[str]:
        """Return the real legs that are being rung on behalf of `leg`."""
        return [
            one.id
            for one in self.legs.values()
            if not one.internal and not one.answered and self.originator(one.dialled_by) == leg
        ]

    def beside(self, leg: str) -> list[Leg]:
        """Return the other live legs in the leg's own bridge, internal ones included."""
        return [self.legs[mate] for mate in sorted(self._mates(leg)) if mate != leg and mate in self.legs]

    def room_of(self, leg: str | None) -> str | None:
        """Return the name of the conference room that a leg is in, itself or by a joint in its place."""
        live = self.legs.get(leg) if leg is not None else None
        if live is None or live.bridge is None:
            return None
        room = self._rooms.get(live.bridge)
        if room is not None:
            return room
        seat = self._seat(live)
        return self._rooms.get(seat.bridge) if seat is not None and seat.bridge is not None else None

    def hears_music(self, leg: Leg) -> bool:
        """Whether a leg hears music, itself or by a joint in its place."""
        if leg.music:
            return True
        seat = self._seat(leg)
        return seat is not None and seat.music

    def seat_of(self, leg: str) -> str:
        """Return the leg that is in a room for this one: itself, or a joint in its place."""
        seat = self._seat(self.get(leg))
        return seat.id if seat is not None else leg

    def _seat(self, leg: Leg | None) -> Leg | None:
        """Return what is in a room for a leg: who was called into it is there by a joint that stays."""
        if leg is None or leg.bridge is None or leg.internal or leg.bridge in self._rooms:
            return leg
        near = next((one for one in self.beside(leg.id) if one.internal), None)
        far = self.get(self._pairs.get(near.id)) if near is not None else None
        return far if far is not None and far.bridge in self._rooms else leg

    def in_room(self, room: str) -> set[str]:
        """Return the legs in the conference room of that name."""
        return set[str]().union(*self.halves_of(room))

    def halves_of(self, room: str) -> list[set[str]]:
        """Return who is in each conference of that name: there is one, unless the PBX has made a mistake."""
        bridges = [bridge for bridge, name in self._rooms.items() if name == room]
        return [set(there) for bridge in bridges if (there := self._bridges.get(bridge))]

    def apply(self, fact: facts.Fact) -> set[str]:  # noqa: C901, PLR0911 - one flat table of facts
        """Take one fact in. Return the legs that it touched."""
        match fact:
            case facts.LegCreated():
                return self._create(fact)
            case facts.LegEnded(leg=leg, cause=cause):
                self._consult_ended(leg, cause)
                return self._end(leg)
            case facts.LegJoined(leg=leg, bridge=bridge, room=room):
                return self._join(leg, bridge, room)
            case facts.LegLeft(leg=leg, bridge=bridge, waits=waits):
                return self._leave(leg, bridge, waits=waits)
            case facts.RoomOpened(bridge=bridge, room=room) if self._rooms.get(bridge) == room:
                return set()
            case facts.RoomOpened(bridge=bridge, room=room):
                self._rooms[bridge] = room
                return set(self._bridges.get(bridge, ()))
            case facts.LegsPaired(one=one, two=two):
                self._pairs[one] = two
                self._pairs[two] = one
                return self._closure((one, two))
            case facts.JointFound(leg=leg, joint=joint):
                return self._joint_found(leg, joint)
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
        if leg.endpoint != fact.endpoint:
            self._take_from_phone(leg)
        leg.endpoint, leg.tree, leg.placed, leg.internal = (
            fact.endpoint,
            fact.tree,
            fact.placed,
            fact.internal,
        )
        leg.number, leg.name, leg.dialled = fact.number, fact.name, fact.dialled
        leg.destination, leg.consult_of = fact.destination, fact.consult_of
        self.supervise(leg, fact.supervises)
        leg.answered = leg.answered or fact.answered
        leg.variables.update(fact.variables)
        leg.revision += 1
        if fact.endpoint:
            self._by_endpoint.setdefault(fact.endpoint, {})[fact.leg] = None
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
        self._take_from_phone(live)
        self._supervising.discard(leg)
        del self.legs[leg]
        return touched

    def _take_from_phone(self, leg: Leg) -> None:
        siblings = self._by_endpoint.get(leg.endpoint, {})
        siblings.pop(leg.id, None)
        if not siblings:
            self._by_endpoint.pop(leg.endpoint, None)

    def _join(self, leg: str, bridge: str, room: str) -> set[str]:
        live = self.legs.get(leg)
        if live is None:
            return set()
        touched = self._closure((leg,))
        if live.bridge is not None and live.bridge != bridge:
            self._drop_from_bridge(leg, live.bridge)
        live.bridge = bridge
        live.waits = False
        self._bridges.setdefault(bridge, set()).add(leg)
        if room:
            self._rooms[bridge] = room
        self._consult_of_the_pbx(bridge)
        return touched | self._closure((leg,))

    def _leave(self, leg: str, bridge: str, *, waits: bool) -> set[str]:
        live = self.legs.get(leg)
        touched = self._closure((leg,))
        self._drop_from_bridge(leg, bridge)
        if live is not None and live.bridge in {bridge, None}:
            live.bridge = None
            # The music of who waits may be told before the going.
            live.waits = live.waits or waits
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
        if live is not None:
            live.rung = True
        if live is not None and caller is not None:
            live.dialled_by = caller
            live.called_by = self.originator(caller)
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
            # Others that ring for the same attempt are called off once one has answered.
            if fact.callee in calling.ringing and calling.reached is not DialOutcome.ANSWERED:
                calling.reached = fact.outcome
            calling.ringing.discard(fact.callee)
            touched.add(calling.id)
        return touched | self._consult_outcome(fact)

    # -- attended transfer by the PBX itself ---------------------------------------------------------

    def _consult_of_the_pbx(self, bridge: str) -> None:
        """Note that the PBX lets a leg consult: it holds the leg's call and joins it to a joint of its own.

        Nobody is told to have dialled that joint, and the hold is the PBX's, not the phone's.
        """
        members = [self.legs[leg] for leg in self._bridges[bridge] if leg in self.legs]
        joint = None
        for one in members:
            if one.internal and not one.rung:
                joint = one
                break
        if joint is None:
            return
        for leg in members:
            if leg.internal or not leg.phone_hold:
                continue
            leg.phone_hold = False
            self._lend(leg, joint)

    def _lend(self, leg: Leg, joint: Leg) -> None:
        """Note that a leg consults by that joint."""
        if leg.joint == joint.id:
            return
        joint.dialled_by = leg.id
        far = self.get(self._pairs.get(joint.id))
        leg.joint, leg.joint_outcome = joint.id, far.reached if far is not None else None
        leg.reached = leg.reported = None
        if joint.outcome not in {None, DialOutcome.ANSWERED}:
            leg.reported = (joint.outcome or DialOutcome.FAILED, 0)
        elif not joint.answered:
            leg.ringing.add(joint.id)

    def joint_handed_on(self, by: str, parties: Collection[str]) -> None:
        """Take the joint from a leg that has handed it on: what it dials now is for whom it consulted.

        The leg may stay for a moment.
        """
        leg = self.get(by)
        joint = self.get(leg.joint) if leg is not None else None
        if leg is None or joint is None or joint.id not in parties:
            return
        leg.joint = None
        joint.dialled_by = min(self.beyond(joint.id), default=None)

    def _joint_found(self, leg_id: str, joint_id: str) -> set[str]:
        leg, joint = self.legs.get(leg_id), self.legs.get(joint_id)
        if leg is None or joint is None:
            return set()
        # That it rings shows in the list, but nobody else has dialled it.
        joint.rung = False
        self._lend(leg, joint)
        return self._closure((leg_id, joint_id))

    def _consult_outcome(self, fact: facts.DialEnded) -> set[str]:
        """Note how such a consult's attempt ended: told of the joint, or of whom that dialled in turn."""
        joint = self.get(fact.callee if fact.caller is None else self._pairs.get(fact.caller))
        owner = self.get(joint.dialled_by) if joint is not None else None
        if joint is None or owner is None or owner.joint != joint.id:
            return set()
        if fact.caller is not None:
            owner.joint_outcome = fact.outcome
        elif joint.id in owner.ringing:
            owner.ringing.discard(joint.id)
            if fact.outcome is not DialOutcome.ANSWERED:
                owner.reported = (fact.outcome, 0)
        return {owner.id}

    def _consult_ended(self, leg: str, cause: int) -> None:
        """Note the end of such a joint; unless somebody talked behind it, this is how the consult failed."""
        joint = self.get(leg)
        owner = self.get(joint.dialled_by) if joint is not None else None
        if owner is None or owner.joint != leg:
            return
        owner.joint = None
        # It may be answered as it is given up: then whoever answered is never joined.
        if leg in owner.ringing or owner.reported is None:
            unknown = DialOutcome.CANCELLED if cause == _NORMAL_CLEARING else DialOutcome.UNREACHABLE
            owner.reported = (owner.joint_outcome or unknown, cause)

    def _note(self, fact: facts.Fact) -> set[str]:  # noqa: C901, PLR0912 - one flat table of facts
        leg_id = getattr(fact, "leg", None)
        leg = self.legs.get(leg_id) if isinstance(leg_id, str) else None
        if leg is None:
            return set()
        if isinstance(fact, _OF_DATA):
            leg.revision += 1
        match fact:
            case facts.LegNamed():
                if fact.number:
                    leg.number, leg.name = fact.number, fact.name
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
            case facts.MusicStarted(waits=waits):
                leg.music = True
                leg.waits = leg.waits or waits
            case facts.MusicStopped():
                # Its beginning can be a hold. That one is over is judged by whom the agent hears then.
                leg.music = False
                return set()
            case facts.PhoneHeld():
                leg.phone_hold = True
            case facts.PhoneResumed():
                leg.phone_hold = False
            case facts.VariableSet():
                leg.variables[fact.name] = fact.value
            case facts.RoomAssigned():
                leg.rooms[fact.role] = fact.room
            case facts.LegRecorded() if leg.renewal is not None:
                leg.renewal.append(fact.state)
            case facts.LegRecorded():
                leg.recording = fact.state
            case facts.RecorderRenewed():
                leg.renewal = [] if fact.under_way else None
            case facts.LegMuted():
                leg.muted = fact.muted
            case facts.SpyStarted():
                leg.spied, leg.supervision = fact.spied, fact.mode or leg.supervision
            case facts.QueueEntered():
                leg.queue, leg.queue_entered = fact.queue, fact.at
            case facts.QueueOffered():
                leg.queue, leg.queue_offered = fact.queue, fact.at
            case _:
                pass
        return self._closure((leg.id,))
