"""Chores: what is done on the PBX beside the requests, on its own, until the connector closes."""

import asyncio
from collections.abc import Coroutine, Iterator
from typing import Any


class Chores:
    """The chores that are under way. Who starts one sees to it that it does not fail unheard."""

    def __init__(self) -> None:
        self._under_way: set[asyncio.Task[None]] = set()

    def __iter__(self) -> Iterator[asyncio.Task[None]]:
        return iter(self._under_way)

    def __len__(self) -> int:
        return len(self._under_way)

    def start(self, chore: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Have a chore done from the next turn of the event loop on."""
        task = asyncio.get_running_loop().create_task(chore)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return task

    def cancel(self) -> None:
        """Let go of what is under way."""
        for task in self._under_way:
            task.cancel()
