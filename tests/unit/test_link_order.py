"""Who goes on when, as several messages of the PBX come in one piece."""

import asyncio
import gc
import weakref

from connector.asterisk.link_errors import AmiRefused
from connector.asterisk.protocol import LinkProtocol
from connector.asterisk.wire import AmiMessage


class Sink(asyncio.Transport):
    """A transport that takes everything."""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Drop it."""

    def get_write_buffer_size(self) -> int:
        return 0

    def close(self) -> None:
        """Do nothing."""


async def order(*, closed: bool = False) -> list[str]:
    """Return what happened as a reply and events A, B and C came in one piece; somebody waited for B.

    `closed`: the connection ended in the same turn of the loop.
    """
    happened: list[str] = []
    proven, all_in = asyncio.Event(), asyncio.Event()

    def on_event(event: AmiMessage) -> bool:
        happened.append(event.name)
        if event.name == "B":
            proven.set()
        elif event.name == "C":
            all_in.set()
        return event.name == "B"

    async def ask() -> None:
        await protocol.request("Redirect", {}, 5.0)
        happened.append("accepted")

    async def wait() -> None:
        await proven.wait()
        happened.append("proven")
        asyncio.get_running_loop().call_soon(happened.append, "written")

    protocol = LinkProtocol(next_id=lambda: "1", max_pending=10)
    protocol.connection_made(Sink())
    protocol.data_received(b"Asterisk Call Manager/11.0.0\r\n")
    protocol.start(on_event)
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        group.create_task(ask())
        group.create_task(wait())
        await asyncio.sleep(0)
        events = "".join(f"Event: {name}\r\n\r\n" for name in "ABC")
        protocol.data_received(f"Response: Success\r\nActionID: 1\r\n\r\n{events}".encode())
        if closed:
            protocol.connection_lost(None)
        await all_in.wait()
    return happened


async def test_who_waited_goes_on_and_writes_before_the_next_event() -> None:
    assert await order() == ["accepted", "A", "B", "proven", "written", "C"]


async def test_what_came_before_the_end_of_the_connection_is_taken_in() -> None:
    happened = await order(closed=True)
    assert happened[:3] == ["A", "B", "C"]
    assert {"accepted", "proven"} <= set(happened)


async def test_a_refusal_leaves_nothing_for_the_search_for_garbage() -> None:
    protocol = LinkProtocol(next_id=lambda: "1", max_pending=10)
    protocol.connection_made(Sink())
    protocol.data_received(b"Asterisk Call Manager/11.0.0\r\n")
    refused: list[weakref.ref[AmiRefused]] = []

    async def ask() -> None:
        try:
            await protocol.request("Redirect", {}, 5.0)
        except AmiRefused as refusal:
            refused.append(weakref.ref(refusal))

    gc.disable()
    try:
        asking = asyncio.create_task(ask())
        await asyncio.sleep(0)
        protocol.data_received(b"Response: Error\r\nActionID: 1\r\nMessage: No such channel\r\n\r\n")
        await asking
        assert [one() for one in refused] == [None]
    finally:
        gc.enable()
