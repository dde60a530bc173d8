"""How two ways of doing the same are compared: in turns, in one run, by their medians."""

import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

REPETITIONS = 7

FLOOR = 0.6
"""Ours may not be slower than this part of the plain way."""


@dataclass(frozen=True, slots=True)
class Compared:
    """Rates per second (medians) of ours and of the plain way."""

    what: str
    ours: float
    plain: float

    @property
    def ratio(self) -> float:
        """Ours in parts of the plain way; above 1 is faster."""
        return self.ours / self.plain

    def show(self) -> None:
        """Print one line of the table."""
        sys.stdout.write(
            f"\n{self.what:<44} ours {self.ours:>10,.0f}/s   plain {self.plain:>10,.0f}/s"
            f"   ratio {self.ratio:5.2f}"
        )


def compare(what: str, ours: Callable[[], object], plain: Callable[[], object], count: int) -> Compared:
    """Call both in turns; each call does `count` things. The first turn warms up and does not count.

    Processor time counts: neither waits for anything, and other work on the machine is not theirs.
    """
    rates: tuple[list[float], list[float]] = ([], [])
    for turn in range(REPETITIONS + 1):
        for way, call in enumerate((ours, plain)):
            began = time.process_time()
            call()
            if turn:
                rates[way].append(count / (time.process_time() - began))
    return _compared(what, rates)


async def compare_async(
    what: str, ours: Callable[[], Awaitable[float]], plain: Callable[[], Awaitable[float]], count: int
) -> Compared:
    """Await both in turns; each returns the seconds that `count` things took. The first turn warms up."""
    rates: tuple[list[float], list[float]] = ([], [])
    for turn in range(REPETITIONS + 1):
        for way, call in enumerate((ours, plain)):
            took = await call()
            if turn:
                rates[way].append(count / took)
    return _compared(what, rates)


def _compared(what: str, rates: tuple[list[float], list[float]]) -> Compared:
    found = Compared(what, statistics.median(rates[0]), statistics.median(rates[1]))
    found.show()
    return found
