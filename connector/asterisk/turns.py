"""Turns on an interaction: what a request does to its legs, and what we do by ourselves, never at once."""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar
from weakref import WeakValueDictionary

_P = ParamSpec("_P")
_R = TypeVar("_R")

_RECENT = 256
"""Turns that are kept for the next one on the same interaction."""


class Turns:
    """One turn at a time for each interaction."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        # Who does one thing with a call will soon do another.
        self._recent: deque[asyncio.Lock] = deque(maxlen=_RECENT)

    def of(self, interaction_id: str) -> asyncio.Lock:
        """Return what is held as long as a turn lasts; it exists while somebody knows it."""
        lock = self._locks.get(interaction_id)
        if lock is None:
            lock = self._locks[interaction_id] = asyncio.Lock()
            self._recent.append(lock)
        return lock

    def taking(
        self, procedure: Callable[Concatenate[str, _P], Coroutine[Any, Any, _R]]
    ) -> Callable[Concatenate[str, _P], Coroutine[Any, Any, _R]]:
        """Return the procedure, which works on the interaction named first, made to wait for its turn."""

        @wraps(procedure)
        async def in_turn(interaction_id: str, /, *args: _P.args, **kwargs: _P.kwargs) -> _R:
            async with self.of(interaction_id):
                return await procedure(interaction_id, *args, **kwargs)

        return in_turn
