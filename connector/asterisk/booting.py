"""An Asterisk that starts lets us in before its lists are there: FullyBooted tells when they are."""

import asyncio

import structlog

from connector.asterisk.wire import AmiMessage

log = structlog.get_logger(__name__)

BOOTED = "FullyBooted"
"""Name of the event that tells of the end of the PBX's start."""

_LONGEST = 60.0
"""Seconds that a start may take."""


class Booting:
    """Waits for the end of the PBX's start; `on_event` must see each event of the name `BOOTED`."""

    def __init__(self) -> None:
        self._told = False
        self._over = asyncio.Event()

    def on_event(self, event: AmiMessage) -> None:
        """Take FullyBooted in: it follows each login, at once or when the start is over."""
        if event.name == BOOTED:
            self._told = True
            self._over.set()

    def lost(self) -> None:
        """Note that the link broke: who knows what is at its end the next time."""
        self._over.clear()

    async def ready(self) -> None:
        """Wait until the PBX has started, if it ever told that: only a user who reads `system` sees it."""
        if not self._told:
            return
        try:
            async with asyncio.timeout(_LONGEST):
                await self._over.wait()
        except TimeoutError:
            log.warning("the PBX does not say that it has started", waited=_LONGEST)
