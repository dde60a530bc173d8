"""The pauses between attempts to connect to the bridge: longer each time, and never in step with others."""

import asyncio
import random


class Pauses:
    """Pauses in seconds, at random between 0 and a bound that doubles from `initial` up to `longest`."""

    def __init__(self, initial: float, longest: float) -> None:
        self._initial = initial
        self._longest = longest
        self._attempt = 0

    def begin_anew(self) -> None:
        """Let the next pause be a short one: the last connection was of use."""
        self._attempt = 0

    async def pause(self, stopping: asyncio.Event) -> None:
        """Wait as long as it is due now, or until `stopping` is set."""
        bound = min(self._longest, self._initial * 2 ** min(self._attempt, 30))
        self._attempt += 1
        try:
            async with asyncio.timeout(random.uniform(0, bound)):  # noqa: S311 - jitter, not a secret # nosec B311
                await stopping.wait()
        except TimeoutError:
            return
