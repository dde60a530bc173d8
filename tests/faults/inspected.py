"""The connector as `connector run` runs it, which also tells what it holds: for the fault campaign only.

`python inspected.py SOCKET run --config FILE`: whoever connects to the Unix socket is told, as one line of
JSON, which tasks, legs, interactions and destinations there are, and how many files are open.
"""

import asyncio
import json
import resource
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import connector.app
from connector.cli import main

SOCKET = sys.argv.pop(1)


class Inspected(connector.app.Connector):
    """A connector that can be asked what it holds."""

    async def run(self, stop: asyncio.Event, *, ready: Callable[[], None] | None = None) -> None:
        """Run, and answer at the socket."""
        server = await asyncio.start_unix_server(self._tell, SOCKET)
        async with server:
            await super().run(stop, ready=ready)

    async def _tell(self, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(json.dumps(self._held()).encode() + b"\n")
        await writer.drain()
        writer.close()

    def _held(self) -> dict[str, Any]:
        exchange = self.pbx._exchange
        return {
            "tasks": dict(Counter(_name(task) for task in asyncio.all_tasks())),
            "leads": self.pbx.available and getattr(self.transport, "_acting", True),
            "files": len(list(Path("/proc/self/fd").iterdir())),
            "legs": sorted(exchange.model.legs.legs),
            "interactions": sorted(exchange.model._interactions),
            "waiters": len(exchange._waiters),
            "destinations": sorted(self.tree._destinations),
            "peak_kib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
            "kib": _resident(),
        }


def _name(task: asyncio.Task[Any]) -> str:
    return getattr(task.get_coro(), "__qualname__", "?")


def _resident() -> int:
    """Return the KiB of memory in use."""
    return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * resource.getpagesize() // 1024


connector.app.Connector = Inspected  # type: ignore[misc]
main()
