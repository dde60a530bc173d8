"""Legs of agents for whom nobody is left: which ones may be hung up, and when.

An agent's leg that is alone is not always forgotten. A colleague whom a transfer brings to a customer may be
the first in the room; and a leg whose call its phone has handed on is the PBX's to end: Asterisk may be about
to put the other party in that leg's place, where a hang-up would meet that party.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress

from connector.asterisk.exchange import Exchange
from connector.asterisk.meeting import ON_ITS_WAY
from connector.asterisk.variables import ReadVariable
from connector.telephony.pbx import Refused, TimedOut

AGENT_MARK = "HARMONY_HOLD_LIMIT"
"""A variable that every agent's leg has before it is sent to wait, and no other leg."""

_HANDED_ON = 5.0
"""Seconds within which the PBX ends a leg whose call its phone has handed on."""


class LoneLegs:
    """Lets go of legs that wait for nobody."""

    def __init__(
        self, exchange: Exchange, read: ReadVariable, hang_up: Callable[[str], Awaitable[None]]
    ) -> None:
        self._exchange = exchange
        self._read = read
        self._hang_up = hang_up
        self._bound_for: dict[str, str] = {}

    def bind(self, party: str, room: str) -> None:
        """Note that a transfer brings `party`, perhaps an agent like any other, into a room."""
        legs = self._exchange.model.legs
        self._bound_for = {leg: to for leg, to in self._bound_for.items() if legs.get(leg) is not None}
        self._bound_for[party] = room

    async def let_go(self, *legs: str) -> None:
        """Hang up those of an agent's legs that only wait for nobody, or as soon as they do.

        One may still be on its way when its party hangs up: into silence, or into a room where nobody is now.
        """
        known = self._exchange.model.legs
        for leg in [leg for leg in legs if self._is_idle(leg)]:
            await self._handed_on(leg)
            with suppress(TimedOut):
                await self._exchange.until(
                    lambda leg=leg: known.get(leg) is None or self._is_alone(leg),  # type: ignore[misc]
                    "end of the wait",
                    ON_ITS_WAY,
                )
            if self._is_alone(leg) and self._is_idle(leg) and await self._was_sent(leg):
                await self._hang_up(leg)

    def _is_idle(self, leg: str) -> bool:
        """Whether a leg is there, and no conversation of its agent's runs on it."""
        model = self._exchange.model
        interaction = model.interaction_on(leg)
        return model.legs.get(leg) is not None and (interaction is None or not interaction.on_leg(leg))

    async def _handed_on(self, leg: str) -> None:
        """Leave a leg that its phone has handed on to the PBX, for as long as that may take."""
        legs = self._exchange.model.legs
        live = legs.get(leg)
        if live is not None and live.handed_on:
            with suppress(TimedOut):
                await self._exchange.until(lambda: legs.get(leg) is None, "end of the transfer", _HANDED_ON)

    async def _was_sent(self, leg: str) -> bool:
        """Whether it is an agent's leg that was sent here; else a transfer put it in such a leg's place."""
        try:
            return bool(await self._read(leg, AGENT_MARK))
        except Refused:
            return False

    def _is_alone(self, leg: str) -> bool:
        """Whether a leg waits, or is in a room with nobody else, and no transfer brings it to somebody."""
        legs = self._exchange.model.legs
        live = legs.get(leg)
        if live is None or self._is_bound(leg):
            return False
        return live.waits or (legs.room_of(leg) is not None and not legs.hearing(leg).parties)

    def _is_bound(self, leg: str) -> bool:
        room = self._bound_for.get(leg)
        if room is None:
            return False
        legs = self._exchange.model.legs
        there = legs.in_room(room)
        met = leg in there and len(there) > 1
        # There is nobody to meet: neither the room's owner, who may be on the way there too, nor others.
        if met or (legs.get(room) is None and not there - {leg}):
            del self._bound_for[leg]
        return leg in self._bound_for
