"""A party whose agent hangs up while both are on their way, to a room and to the waiting place.

The dialplan sees to a party whom an agent's leg leaves (`harmony-safety`). But a leg that ends before it has
reached the dialplan runs nothing of that, and the party comes into a room where nobody will ever come.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress

import structlog

from connector.asterisk.chores import Chores
from connector.asterisk.exchange import Exchange
from connector.asterisk.link import AmiError
from connector.asterisk.meeting import ON_ITS_WAY
from connector.asterisk.variables import ReadVariable
from connector.telephony.changes import Change, InteractionEnded
from connector.telephony.pbx import PbxProblem

log = structlog.get_logger(__name__)

_DIALPLAN = 1.0
"""Seconds within which the dialplan has seen to a party that an agent's leg leaves."""


class LeftBehind:
    """Makes such a party an orphan."""

    def __init__(
        self, exchange: Exchange, read: ReadVariable, make_orphan: Callable[[str], Awaitable[None]]
    ) -> None:
        self._exchange = exchange
        self._read = read
        self._make_orphan = make_orphan
        self._chores = Chores()
        exchange.subscribe(self._on_change)

    def close(self) -> None:
        """Let go of chores that are under way."""
        self._chores.cancel()

    def _on_change(self, change: Change) -> None:
        if not isinstance(change, InteractionEnded):
            return
        interaction = self._exchange.model.interaction(change.interaction)
        parties = tuple(interaction.primary.parties) if interaction is not None else ()
        # Who is in a conference is not alone, and a transfer takes the party to somebody else.
        if interaction is not None and len(parties) == 1 and interaction.departure is None:
            self._chores.start(self._look_after(parties[0], interaction.leg))

    async def _look_after(self, party: str, agent: str) -> None:
        legs = self._exchange.model.legs
        if not await self._shown(
            lambda: legs.get(party) is None or legs.in_room(party) == {party}, ON_ITS_WAY
        ):
            return
        # The dialplan comes first: it takes the party out of the room, if it knows of the agent's end.
        if await self._shown(lambda: legs.in_room(party) != {party}, _DIALPLAN):
            return
        try:
            # The dialplan lets go of the agent's name when it takes care of the party.
            if await self._read(party, "HARMONY_AGENT") == agent:
                await self._make_orphan(party)
        except (AmiError, PbxProblem) as problem:
            log.info("a party that was left alone was gone already", leg=party, reason=str(problem))

    async def _shown(self, proven: Callable[[], bool], timeout: float) -> bool:
        with suppress(PbxProblem):
            await self._exchange.until(proven, "who looks after a party", timeout)
        return proven()
