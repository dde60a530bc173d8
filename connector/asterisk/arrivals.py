"""Legs that were moved and have not shown up yet: they are not moved again before.

Asterisk may take a leg that is redirected a second time for one that hangs up, if the first move has just
taken it out of a bridge and its dialplan has not begun to run (22.10: once in some ten thousand holds that
were retrieved within a millisecond).
"""

import asyncio
from contextlib import suppress

from connector.asterisk.exchange import Exchange
from connector.telephony.pbx import TimedOut

_SOON = 0.1
"""Seconds after which a leg is where it was sent, whatever the PBX has shown."""
_MOST = 64


class Arrivals:
    """When each leg was moved last."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._sent: dict[str, float] = {}

    def sent(self, *legs: str) -> None:
        """Note legs that are moved now."""
        now = asyncio.get_running_loop().time()
        for leg in legs:
            self._sent.pop(leg, None)
            self._sent[leg] = now
        while len(self._sent) > _MOST:
            del self._sent[next(iter(self._sent))]

    async def shown(self, *legs: str) -> None:
        """Wait until these legs are somewhere: in a bridge, in a wait with its music, or dialling."""
        late = [leg for leg in legs if self._is_nowhere(leg)]
        if late:
            with suppress(TimedOut):
                await self._exchange.until(
                    lambda: not any(map(self._is_nowhere, late)), "arrival of a moved leg", _SOON
                )

    def _is_nowhere(self, leg: str) -> bool:
        sent = self._sent.get(leg)
        if sent is None:
            return False
        live = self._exchange.model.legs.get(leg)
        if live is None or asyncio.get_running_loop().time() - sent > _SOON:
            del self._sent[leg]
            return False
        return live.bridge is None and not live.music and not live.ringing
