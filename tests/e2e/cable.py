"""Cables between connector and PBX that can fail in every way a test needs."""

import asyncio
from types import TracebackType
from typing import Self


class Cable:
    """A TCP relay to the PBX that can be cut (both ends see it) or frozen (nobody sees anything).

    What waits in it while it is frozen is lost if its sender resets the connection, as in a network.
    """

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._thawed = asyncio.Event()
        self._thawed.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    @property
    def port(self) -> int:
        assert self._server is not None
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    def cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    def freeze(self) -> None:
        self._thawed.clear()

    def thaw(self) -> None:
        self._thawed.set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._relay, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.cut()

    def _passed(self, source: asyncio.StreamReader, data: bytes) -> bytes:
        """Return what comes out at the other end of what came in."""
        del source
        return data

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(*self._target)
        ends = {writer, far_writer}
        self._writers |= ends
        for source, sink in ((reader, far_writer), (far_reader, writer)):
            task = asyncio.create_task(self._pump(source, sink))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(65536):
                await self._thawed.wait()
                if source.exception() is not None:
                    break
                sink.write(self._passed(source, data))
                await sink.drain()
        except ConnectionError:
            pass
        finally:
            sink.close()


class DeafCable(Cable):
    """A cable to the manager interface that can swallow events; replies and the items of lists pass."""

    def __init__(self, host: str, port: int) -> None:
        super().__init__(host, port)
        self.deaf = False
        self.swallowed: list[str] = []
        self._rest: dict[asyncio.StreamReader, bytes] = {}

    def _passed(self, source: asyncio.StreamReader, data: bytes) -> bytes:
        data = self._rest.pop(source, b"") + data
        if not self.deaf:
            return data
        *whole, self._rest[source] = data.split(b"\r\n\r\n")
        return b"".join(message + b"\r\n\r\n" for message in whole if not self._swallows(message))

    def _swallows(self, message: bytes) -> bool:
        if not message.startswith(b"Event: ") or b"\r\nActionID: " in message:
            return False
        self.swallowed.append(message.partition(b"\r\n")[0].decode().removeprefix("Event: "))
        return True


class TearingCable(Cable):
    """A cable to the manager interface that breaks right behind a message: what comes next is lost."""

    def __init__(self, host: str, port: int) -> None:
        super().__init__(host, port)
        self.torn = asyncio.Event()
        self._marks: tuple[bytes, ...] = ()
        self._rest: dict[asyncio.StreamReader, bytes] = {}

    def tear_behind(self, *marks: str) -> None:
        """Freeze behind the next message that has all these lines or parts of them."""
        self._marks = tuple(mark.encode() for mark in marks)

    def _passed(self, source: asyncio.StreamReader, data: bytes) -> bytes:
        data = self._rest.pop(source, b"") + data
        if not self._marks:
            return data
        *whole, self._rest[source] = data.split(b"\r\n\r\n")
        passed = b""
        for message in whole:
            passed += message + b"\r\n\r\n"
            if all(mark in message for mark in self._marks):
                self._marks = ()
                self.freeze()
                self.torn.set()
                break
        return passed
