"""Records a manager session to a trace file."""

import asyncio
from pathlib import Path

import structlog

from connector.asterisk.link import AmiError, AmiLink, AmiSettings
from connector.asterisk.trace import TraceWriter
from connector.asterisk.wire import AmiMessage

log = structlog.get_logger(__name__)

_LISTS = ("CoreShowChannels", "QueueStatus", "DeviceStateList")
"""Read at every connection, so that calls in progress are in the trace."""


async def _read_lists(link: AmiLink) -> None:
    for name in _LISTS:
        try:
            await link.send_list(name)
        except AmiError as problem:
            # A PBX that is just starting refuses lists: its events tell the rest.
            log.warning("a list is missing in the trace", list=name, problem=str(problem))


async def record_until(path: Path, settings: AmiSettings, stop: asyncio.Event) -> int:
    """Write everything that the AMI user sees to `path` until `stop` is set. Returns how many messages."""
    events: list[int] = [0]

    def count(_event: AmiMessage) -> None:
        events[0] += 1

    with TraceWriter(path) as writer:
        up = asyncio.Event()
        link = AmiLink(settings, on_event=count, on_up=up.set, tap=writer)
        running = asyncio.create_task(link.run())
        stopping = asyncio.create_task(stop.wait())
        try:
            while not stop.is_set():
                came_up = asyncio.create_task(up.wait())
                await asyncio.wait({came_up, stopping}, return_when=asyncio.FIRST_COMPLETED)
                came_up.cancel()
                if up.is_set():
                    up.clear()
                    await _read_lists(link)
        finally:
            await link.close()
            running.cancel()
            stopping.cancel()
            await asyncio.gather(running, stopping, return_exceptions=True)
    return events[0]
