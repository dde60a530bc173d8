"""What one call receives (the newest seconds of PCM), and the pulse that says "there is more"."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from connector.lab.phones import tones

if TYPE_CHECKING:
    from collections.abc import Callable

_KEEP_SECONDS = 2.0
# A gap of this length is "no audio arrives": an RTP stream brings a packet every 20 ms.
_GAP_SECONDS = 0.2
# A little more than the window, because frames arrive in small bursts.
_SLACK_SECONDS = 0.06


class Pulse:
    """The media clock of a fleet: at each tick the phones have taken in what has arrived."""

    def __init__(self) -> None:
        self._next = asyncio.Event()

    def tick(self) -> None:
        """Wake everybody who waits for audio."""
        event, self._next = self._next, asyncio.Event()
        event.set()

    async def wait(self) -> None:
        """Wait for the next tick (every 20 ms while a phone is up)."""
        await self._next.wait()


class Ear:
    """Received audio of one call. `clock` gives seconds and is the event loop's by default."""

    def __init__(self, clock: Callable[[], float] | None = None) -> None:
        self._clock = clock or asyncio.get_running_loop().time
        self._chunks: deque[tuple[float, bytes]] = deque()
        self._last: float | None = None

    def push(self, pcm: bytes) -> None:
        """Take in PCM that just arrived (16 bit, 8000 Hz, mono; any length)."""
        if not pcm:
            return
        now = self._clock()
        self._last = now
        self._chunks.append((now, pcm))
        while self._chunks[0][0] < now - _KEEP_SECONDS:
            self._chunks.popleft()

    def clear(self) -> None:
        """Forget what was heard, as when the media starts anew."""
        self._chunks.clear()

    def receiving(self, ago: float = 0.0) -> bool:
        """Whether audio was arriving `ago` seconds before now; False is no RTP at all, not just silence."""
        now = self._clock() - ago
        return any(now - _GAP_SECONDS <= at <= now for at, _ in self._chunks)

    def heard(self, ago: float = 0.0) -> frozenset[str]:
        """Names recognised in the 300 ms that ended `ago` seconds before now (see `tones.recognise`)."""
        if not self.receiving(ago):
            return frozenset()
        end = self._clock() - ago
        begin = end - tones.WINDOW_MS / 1000 - _SLACK_SECONDS
        pcm = b"".join(chunk for at, chunk in self._chunks if begin < at <= end)
        return tones.recognise(pcm[-tones.WINDOW_MS * tones.SAMPLE_RATE * 2 // 1000 :])
