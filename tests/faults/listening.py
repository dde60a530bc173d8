"""Phones that are listened to ten times a second: none may hear anything else for longer than that takes."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress

from desk import WAIT

from connector.lab.phones.base import Phone
from connector.lab.phones.hearing import describe, expect_hears, hears

_STEP = 0.1
LONGEST = 0.6
"""Seconds for which a phone may hear something else: recognised is the last 300 ms, on a busy machine."""


class Listening:
    """Listens to phones from `begin` to `stop`, and keeps how long the longest gap was."""

    def __init__(self) -> None:
        self.longest = 0.0
        """Seconds of the longest gap so far."""
        self.broken: list[str] = []
        self._expected: dict[Phone, frozenset[str]] = {}
        self._since: dict[Phone, float] = {}
        self._task: asyncio.Task[None] | None = None

    async def begin(self, expected: Mapping[Phone, frozenset[str]]) -> None:
        """Wait until all hear what they should, and begin."""
        await expect_hears(expected, WAIT)
        self._expected = dict(expected)
        self._since.clear()
        self._task = asyncio.create_task(self._listen())

    async def stop(self) -> None:
        """Listen no more."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_STEP)
            now = loop.time()
            for phone, wanted in self._expected.items():
                if hears(phone) == wanted:
                    self._since[phone] = now
                    continue
                gap = now - self._since.setdefault(phone, now)
                if gap > LONGEST >= self.longest:
                    self.broken.append(f"{phone.extension} should hear {sorted(wanted)}: {describe(phone)}")
                self.longest = max(self.longest, gap)
