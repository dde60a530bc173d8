"""A scripted PBX that goes on while connectors come and go: each of them begins with an empty model.

What is there is kept apart from what a connector knows of it. As the real one does, the model fills when the
PBX's lists are read, and all that is told by then comes before the news that the PBX can be worked with.
"""

from collections.abc import Iterator

from scripted_pbx import ScriptedPbx

from connector.telephony import facts
from connector.telephony.changes import ServiceChanged
from connector.telephony.facts import Fact
from connector.telephony.legs import Leg
from connector.telephony.model import TelephonyModel
from connector.telephony.pbx import PbxDown
from connector.telephony.states import DialOutcome, Role

PHONES = ("1001", "1002")
"""Those of the agents that are configured: a connector watches them from its start."""


class ListedPbx(ScriptedPbx):
    def __init__(self) -> None:
        super().__init__()
        self.there = TelephonyModel()
        """All legs and memberships, whoever looks; it watches no phone."""
        self._missed: list[Fact] = []
        self._talked: set[str] = set()
        """Legs that heard another one at some time."""
        self._was_in_step = True
        self._told = ServiceChanged(available=True)
        self._watch_phones()

    def taken_over(self) -> None:
        """Have a new process work with the PBX: it knows nothing, and its link is not up yet."""
        self._listeners.clear()
        self.model = TelephonyModel()
        self.available = self._was_in_step = False
        self._told = ServiceChanged(available=False)
        self._missed.clear()
        self._watch_phones()

    def _watch_phones(self) -> None:
        for phone in PHONES:
            self.model.watch(phone)

    def exists(self, leg: str) -> bool:
        return self.there.legs.get(leg) is not None

    def tell(self, *told: Fact) -> None:
        for fact in told:
            self.there.apply(fact)
            self._talked |= {leg for leg in self.there.legs.legs if self.there.legs.hearing(leg).parties}
            if self.available:
                self._publish(self.model.apply(fact))
            else:
                # Nobody hears it; the lists will tell what came of it.
                self._missed.append(fact)

    def set_available(self, *, available: bool) -> None:
        if available and not self.available:
            for fact in self._missed if self._was_in_step else tuple(self._lists()):
                self._publish(self.model.apply(fact))
            self._missed.clear()
            self._was_in_step = True
        self.available = available
        change = ServiceChanged(available)
        if available or change != self._told:
            self._told = change
            self._publish([change])

    async def _do(self, what: str) -> None:
        await super()._do(what)
        if not self.available:
            raise PbxDown("The telephone system cannot be reached at the moment.")

    # -- the lists, as `recovery.resync` reads them ----------------------------------------------------

    def _lists(self) -> Iterator[Fact]:
        legs = tuple(self.there.legs.legs.values())
        for leg in legs:
            yield from self._row(leg)
        for leg in legs:
            yield from self._kinship(leg)
        yield from (facts.MusicStarted(leg.id, leg.waits) for leg in legs if leg.music)
        yield from (self._call(leg) for leg in legs)
        for leg in legs:
            yield from _marks(leg)
        for endpoint in sorted(self.there.board.endpoints()):
            yield from self.there.board.queues(endpoint).values()

    def _row(self, leg: Leg) -> Iterator[Fact]:
        note = self.notes.get(leg.id, {})
        yield facts.LegCreated(
            leg.id,
            leg.endpoint,
            leg.tree,
            placed=leg.placed,
            number=leg.number,
            name=leg.name,
            dialled=leg.dialled,
            answered=leg.answered,
            variables=dict(leg.variables),
            destination=note.get("destination", ""),
            supervises=note.get("supervises", ""),
            listed=True,
        )
        if leg.alerting and not leg.answered:
            yield facts.LegRinging(leg.id)
        alone = leg.id in self._talked and not self.there.legs.hearing(leg.id).parties
        if alone and not leg.music:
            # Nobody stays alone in a bridge: the dialplan sends such a leg to wait.
            yield facts.LegLeft(leg.id, "", waits=True)
        elif leg.bridge is not None:
            yield facts.LegJoined(leg.id, leg.bridge)
            room = self.there.legs.room_of(leg.id)
            if room is not None:
                yield facts.RoomOpened(leg.bridge, room)

    def _kinship(self, leg: Leg) -> Iterator[Fact]:
        caller = self.there.legs.get(leg.dialled_by)
        together = caller is not None and caller.bridge == leg.bridge and not self.there.legs.room_of(leg.id)
        # Who was sent to a room dials nobody any more, as far as a list tells.
        if caller is not None and (together or not leg.answered):
            yield facts.DialStarted(caller.id, leg.id)
            if leg.answered:
                yield facts.DialEnded(caller.id, leg.id, DialOutcome.ANSWERED)
        elif leg.rung and not leg.answered:
            yield facts.DialStarted(None, leg.id)

    def _call(self, leg: Leg) -> facts.CallFound:
        note = self.notes.get(leg.id, {})
        consulted = self.there.legs.get(note.get("consulted"))
        return facts.CallFound(
            leg.id,
            primary_room=leg.rooms.get(Role.PRIMARY, ""),
            consult_room=leg.rooms.get(Role.CONSULT, ""),
            consulting=consulted is not None and leg.bridge in {None, consulted.bridge},
            number=note.get("number", ""),
            consult=int(note.get("consult", "0")),
        )


def _marks(leg: Leg) -> Iterator[Fact]:
    yield facts.LegRecorded(leg.id, leg.recording)
    yield facts.LegMuted(leg.id, leg.muted)
    if leg.spied:
        yield facts.SpyStarted(leg.id, leg.spied, leg.supervision)
    yield from (facts.RoomAssigned(leg.id, role, room) for role, room in leg.rooms.items())
