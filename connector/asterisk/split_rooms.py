"""A conference room that Asterisk has twice: who is in the one hears nobody of the other.

Who enters a room looks it up by its name first, and then waits for the room's lock. If the last one in it
leaves in between, Asterisk forgets the room (`conf_ended` in its `apps/app_confbridge.c`), the newcomer sits
in what nobody finds any more, and whoever comes next gets a new room of the same name. Two agents who both
move into their common room at one moment can meet that. Who enters once more finds the room that is known: so
those of the one half are sent in anew, and then those of the other, as nothing tells which it is.
"""

from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress

import structlog

from connector.asterisk.chores import Chores
from connector.asterisk.exchange import Exchange
from connector.asterisk.meeting import ON_ITS_WAY
from connector.telephony import facts
from connector.telephony.pbx import PbxProblem, TimedOut

log = structlog.get_logger(__name__)

_GRACE = 0.3
"""Seconds within which the events of who leaves and who comes put a room together, where it is one."""
_ROUNDS = 4


class SplitRooms:
    """Puts those together that `is_ours` says are. `enter_anew` sends a leg into the room that it is in.

    It must be let in there whoever has left meanwhile.
    """

    def __init__(
        self,
        exchange: Exchange,
        is_ours: Callable[[str], bool],
        enter_anew: Callable[[str, str], Awaitable[None]],
    ) -> None:
        self._exchange = exchange
        self._is_ours = is_ours
        self._enter_anew = enter_anew
        self._looked_at: set[str] = set()
        self._chores = Chores()
        # ConfbridgeJoin may be told before BridgeEnter or after it.
        exchange.follow(self._on_fact, facts.RoomOpened, facts.LegJoined)

    def close(self) -> None:
        """Let go of chores that are under way."""
        self._chores.cancel()

    def _on_fact(self, fact: facts.Fact) -> None:
        match fact:
            case facts.RoomOpened(room=room):
                self._look_at(room)
            case facts.LegJoined(leg=leg):
                self._look_at(self._exchange.model.legs.room_of(leg))
            case _:
                pass

    def _look_at(self, room: str | None) -> None:
        if room is None or room in self._looked_at:
            return
        if not self._is_one(room) and self._is_ours(room):
            self._looked_at.add(room)
            self._chores.start(self._look_after(room))

    def _is_one(self, room: str) -> bool:
        return not self._exchange.model.legs.halves_of(room)[1:]

    async def _look_after(self, room: str) -> None:
        legs = self._exchange.model.legs
        try:
            await self._is_one_within(room, _GRACE)
            times = Counter[str]()
            for _ in range(_ROUNDS):
                if self._is_one(room):
                    return
                half = min(legs.halves_of(room), key=lambda them: sum(times[leg] for leg in them))
                times.update(half)
                log.warning("the PBX has a room twice; putting it together", room=room, legs=sorted(half))
                for leg in sorted(half):
                    with suppress(PbxProblem):
                        await self._enter_anew(leg, room)
                await self._is_one_within(room, ON_ITS_WAY)
        finally:
            self._looked_at.discard(room)

    async def _is_one_within(self, room: str, seconds: float) -> None:
        with suppress(TimedOut):
            await self._exchange.until(lambda: self._is_one(room), "one room", seconds)
