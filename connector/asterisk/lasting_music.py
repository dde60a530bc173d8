"""Music that goes on for a party to whom somebody has come into the room.

Asterisk ends the music of who was alone in a room from the thread of the leg that comes. At that moment the
party's own thread may be producing a piece of it, and has taken the generator's data out of the channel for
that (`generator_force` in Asterisk's `main/channel.c`). Then there seems to be nothing to end: no
MusicOnHoldStop is told, and the party hears music instead of the others, who hear the party. A leg that comes
into a room by `harmony-room` ends its own music itself, where nothing can come in between: so the party is
sent in once more.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress

import structlog

from connector.asterisk.chores import Chores
from connector.asterisk.exchange import Exchange
from connector.telephony import facts
from connector.telephony.pbx import PbxProblem

log = structlog.get_logger(__name__)

_GRACE = 0.1
"""Seconds within which the end of the music is told, where it does end; it is nearly always told before."""


class LastingMusic:
    """Ends it in rooms that `is_ours` says are. `enter_anew` sends a leg into the room that it is in."""

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
        exchange.follow(self._on_fact, facts.LegJoined, facts.RoomOpened)

    def close(self) -> None:
        """Let go of chores that are under way."""
        self._chores.cancel()

    def _on_fact(self, fact: facts.Fact) -> None:
        match fact:
            case facts.LegJoined(leg=leg):
                room = self._exchange.model.legs.room_of(leg)
            case facts.RoomOpened(room=room):
                pass
            case _:
                return
        if room is None:
            return
        for party in sorted(self._exchange.model.legs.in_room(room) - self._looked_at):
            if self._lasts(party, room) and self._is_ours(room):
                self._looked_at.add(party)
                self._chores.start(self._look_after(party, room))

    def _lasts(self, party: str, room: str) -> bool:
        legs = self._exchange.model.legs
        live, there = legs.get(party), legs.in_room(room)
        return live is not None and live.music and party in there and len(there) > 1

    async def _look_after(self, party: str, room: str) -> None:
        try:
            with suppress(PbxProblem):
                await self._exchange.until(
                    lambda: not self._lasts(party, room), "end of the music in a room", _GRACE
                )
            if not self._lasts(party, room):
                return
            log.info("music went on in a room where somebody has come; ending it", leg=party)
            # While the party is on its way the model must not take the music for a hold.
            self._exchange.apply(facts.MusicStopped(party))
            await self._enter_anew(party, room)
        except PbxProblem as problem:
            log.info("a party with music was gone already", leg=party, reason=str(problem))
        finally:
            self._looked_at.discard(party)
