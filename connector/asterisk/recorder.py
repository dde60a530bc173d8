"""Records a manager session to a trace file."""

import asyncio
from pathlib import Path

from connector.asterisk.link import AmiLink, AmiSettings
from connector.asterisk.trace import TraceWriter
from connector.asterisk.wire import AmiMessage

_LISTS = ("CoreShowChannels", "QueueStatus", "DeviceStateList")
"""Read at every connection, so that calls in progress are in the trace."""


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
                    for name in _LISTS:
                        events[0] += len(await link.send_list(name))
        finally:
            await link.close()
            running.cancel()
            stopping.cancel()
            await asyncio.gather(running, stopping, return_exceptions=True)
    return events[0]
