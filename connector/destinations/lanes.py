"""Lanes: requests of one branch of the tree run one after the other, different branches never wait.

While a request runs, events of its branch are kept back, so that they follow its response in the order in
which they happened.
"""

import asyncio
import itertools
from bisect import insort
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from operator import itemgetter

Job = Callable[[], Awaitable[None]]

_Held = tuple[int, Callable[[], None]]
"""When an event happened, among those that were kept back, and how it is sent."""

LANE_LIMIT = 64
"""Requests that may wait in one lane; the next one is refused."""


class LaneFull(Exception):
    """More requests wait in one lane than a well-behaved bridge ever sends."""


class Lanes:
    """Serial execution per branch, named by the branch's target."""

    def __init__(self, release: Callable[[Callable[[], None]], None], rest: Callable[[], None]) -> None:
        """`release` gets each kept-back event again once its lane is free; after the last comes `rest`."""
        self._release = release
        self._rest = rest
        self._waiting: dict[str, deque[Job]] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        # Apart from the tasks: what happens before a request has begun is told before its response.
        self._busy: set[str] = set()
        """Lanes whose events are kept back: their request runs, or is to come again."""
        self._running: set[str] = set()
        self._held: dict[str, list[_Held]] = {}
        self._places = itertools.count()
        self._place: int | None = None
        """Of the kept-back event that is being released: it may have to wait in another lane."""
        self._gates: dict[str, asyncio.Event] = {}
        """Lanes below which nothing begins until the event."""
        self._stirred = asyncio.Event()

    def run(self, lane: str, job: Job, *, after: str | None = None) -> None:
        """Have a job run after those that wait in the lane already, and after those of the lane `after`.

        Raises:
            LaneFull: too many wait.

        """
        if len(self._waiting.get(lane, ())) >= LANE_LIMIT:
            raise LaneFull
        if after is None or after not in self._tasks:
            self._put(lane, job)
        else:
            # Until its turn comes in that one it holds nothing up in its own.
            self.run(after, partial(self._pass_on, lane, job))

    async def _pass_on(self, lane: str, job: Job) -> None:
        self._put(lane, job)

    def _put(self, lane: str, job: Job) -> None:
        self._waiting.setdefault(lane, deque()).append(job)
        if lane not in self._tasks:
            self._tasks[lane] = asyncio.get_running_loop().create_task(self._drain(lane))

    def busy_above(self, target: str) -> str | None:
        """Return the topmost lane at or above `target` in which a request runs, if there is one."""
        if not self._busy:
            return None
        end = target.find(".")
        while end >= 0:
            if target[:end] in self._busy:
                return target[:end]
            end = target.find(".", end + 1)
        return target if target in self._busy else None

    def keeps_back_above(self, target: str, lane: str) -> bool:
        """Tell whether events are kept back at or above `target` in another lane than this one."""
        return any(
            target == held or target.startswith(f"{held}.")
            for held, events in self._held.items()
            if events and held != lane
        )

    @asynccontextmanager
    async def alone(self, lane: str) -> AsyncIterator[None]:
        """Wait until nothing runs in the lanes below, and let nothing begin there until the end."""
        gate = self._gates[lane] = asyncio.Event()
        try:
            while any(one.startswith(f"{lane}.") for one in self._running):
                self._stirred.clear()
                await self._stirred.wait()
            yield
        finally:
            if self._gates.get(lane) is gate:
                del self._gates[lane]
            gate.set()

    def hold(self, lane: str, send: Callable[[], None]) -> None:
        """Keep an event back until the lane's request is answered.

        One that comes from another lane waits before those that happened after it.
        """
        place = next(self._places) if self._place is None else self._place
        insort(self._held.setdefault(lane, []), (place, send), key=itemgetter(0))

    def keep_busy(self, lane: str) -> None:
        """Keep the events of a branch back until the next request of its lane is answered, or `let_go`."""
        self._busy.add(lane)

    def let_go(self, lane: str) -> None:
        """Send what `keep_busy` has kept back, unless a request runs, which will do that."""
        if lane not in self._running:
            self._let_go(lane)

    def let_tell(self, lane: str) -> None:
        """Keep nothing back in a lane until `keep_busy`: its request has not begun and waits."""
        self._let_go(lane)

    def tell_now(self, lane: str) -> None:
        """Send what is kept back in a lane whose request begins only now."""
        self._let_go(lane)
        self._busy.add(lane)

    def cancel_all(self) -> None:
        """Stop everything that runs or waits; kept-back events are dropped."""
        for task in self._tasks.values():
            task.cancel()
        self._waiting.clear()
        self._tasks.clear()
        self._busy.clear()
        self._running.clear()
        self._held.clear()
        self._gates.clear()

    async def _drain(self, lane: str) -> None:
        try:
            while waiting := self._waiting.get(lane):
                while self._gates and (gate := self._gate_above(lane)):
                    await gate.wait()
                self._busy.add(lane)
                self._running.add(lane)
                await waiting.popleft()()
                self._running.discard(lane)
                self._let_go(lane)
                self._rest()
        finally:
            # After cancel_all a new task may own the lane: leave that one alone.
            if self._tasks.get(lane) is asyncio.current_task():
                del self._tasks[lane]
                self._waiting.pop(lane, None)
                self._running.discard(lane)
                self._let_go(lane)

    def _gate_above(self, lane: str) -> asyncio.Event | None:
        return next((gate for above, gate in self._gates.items() if lane.startswith(f"{above}.")), None)

    def _let_go(self, lane: str) -> None:
        held = self._held.pop(lane, None)
        self._busy.discard(lane)
        self._stirred.set()
        try:
            for self._place, send in held or ():
                self._release(send)
        finally:
            self._place = None
