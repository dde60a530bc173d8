"""What tests of races have in common: offsets from a fixed seed, and what came of them.

A run can be repeated by its seed; the outcomes are printed (see -rP).
"""

import asyncio
import random
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping

SEED = 20261121
_OFFSET = 0.010
"""Seconds within which two things are at the same moment."""


def offsets(times: int, *, earliest: float = -_OFFSET) -> Iterator[float]:
    """Yield that many offsets in seconds, always the same ones."""
    drawn = random.Random(SEED)  # noqa: S311 - offsets, no secrets
    for _ in range(times):
        yield drawn.uniform(earliest, _OFFSET)


def print_outcomes(race: str, outcomes: Mapping[str, int]) -> None:
    """Tell how often a race came out as what."""
    sys.stdout.write(f"{race}, seed {SEED}: {dict(outcomes)}\n")


async def after(seconds: float, act: Callable[[], Awaitable[None]]) -> None:
    """Do something after that many seconds, at once if they are negative."""
    await asyncio.sleep(max(0.0, seconds))
    await act()
