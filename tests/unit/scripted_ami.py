"""An AMI server that does what a script says: the other end of the link in tests.

    async def script(peer: Peer) -> None:
        await peer.log_in()
        hangup = await peer.expect("Hangup", Channel="u-1")
        await peer.reply(hangup, Message="Channel Hungup")
        await peer.emit("Hangup", Uniqueid="u-1")
        await peer.stall()

    async with ScriptedAmi(script) as ami: ...   # ami.port

Each connection runs the next script, the last one again and again. A script that returns closes its
connection; one that fails makes leaving the `async with` fail. `linked` runs a link of ours against a server.
"""

import asyncio
import hashlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Self, TypeAlias

from connector.asterisk.link import AmiLink, AmiSettings, Tap
from connector.asterisk.meter import Meter
from connector.asterisk.wire import AmiMessage, parse_message

USERNAME, SECRET = "harmony", "correct horse"
DEADLINE = 10.0
"""Seconds that a script waits for an action; nothing here should ever take so long."""


class Peer:
    """One connection, seen from the server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.received: list[AmiMessage] = []
        self.answer_pings = True

    async def log_in(
        self, *, username: str = USERNAME, secret: str = SECRET, challenge: str = "184629"
    ) -> None:
        """Greet and let the user in, by challenge or by plain secret; wrong credentials fail the script."""
        await self.greet()
        login = await self.expect()
        if login["Action"] == "Challenge":
            assert login["AuthType"] == "MD5"
            await self.reply(login, Challenge=challenge)
            login = await self.expect("Login", Username=username, AuthType="MD5")
            assert login["Key"] == hashlib.md5((challenge + secret).encode()).hexdigest()  # noqa: S324
            assert "Secret" not in login
        else:
            assert (login["Action"], login["Username"], login["Secret"]) == ("Login", username, secret)
        await self.reply(login, Message="Authentication accepted")

    async def greet(self, version: str = "11.0.0") -> None:
        """Send the line that an AMI server begins with."""
        await self.raw(f"Asterisk Call Manager/{version}\r\n".encode())

    async def expect(self, action: str | None = None, **fields: str) -> AmiMessage:
        """Wait for the next action and check it; pings are answered and passed over, unless told not to."""
        while True:
            message = await self._next(DEADLINE)
            if message["Action"] == "Ping" and action != "Ping" and self.answer_pings:
                await self.reply(message, Ping="Pong")
                continue
            assert action in {None, message["Action"]}, f"expected {action}, got {list(message)}"
            for name, value in fields.items():
                assert message.get(name) == value, f"expected {name}={value!r}, got {list(message)}"
            return message

    async def reply(self, action: AmiMessage, response: str = "Success", /, **fields: str) -> None:
        """Answer an action."""
        await self.send(("Response", response), ("ActionID", action["ActionID"]), *fields.items())

    async def emit(self, name: str, *pairs: tuple[str, str], **fields: str) -> None:
        """Send an event; `pairs` for headers that repeat or are no Python names."""
        await self.send(("Event", name), *pairs, *fields.items())

    async def send(self, *pairs: tuple[str, str]) -> None:
        """Send one message."""
        await self.raw("".join(f"{name}: {value}\r\n" for name, value in pairs).encode() + b"\r\n")

    async def raw(self, data: bytes) -> None:
        """Send bytes."""
        self._writer.write(data)
        await self._writer.drain()

    async def split(self, data: bytes, *, size: int = 1) -> None:
        """Send bytes in segments of `size`, each of which the client reads alone."""
        for start in range(0, len(data), size):
            await self.raw(data[start : start + size])
            # Let the loop run the client's reader between two segments.
            for _ in range(3):
                await asyncio.sleep(0)

    async def stall(self) -> None:
        """Stay until the client leaves; answer Logoff, and pings unless told not to, nothing else."""
        while True:
            message = await self._next(None)
            if message["Action"] == "Logoff":
                await self.reply(message, "Goodbye", Message="Thanks for all the fish.")
                return
            if message["Action"] == "Ping" and self.answer_pings:
                await self.reply(message, Ping="Pong")

    async def _next(self, deadline: float | None) -> AmiMessage:
        async with asyncio.timeout(deadline):
            block = await self._reader.readuntil(b"\r\n\r\n")
        message = parse_message(block.decode().removesuffix("\r\n\r\n"))
        self.received.append(message)
        return message

    async def serve_pings(self) -> None:
        """Answer pings until the client leaves; any other action fails the script."""
        while True:
            await self.reply(await self.expect("Ping"), Ping="Pong")

    def abort(self) -> None:
        """Tear the connection down (RST); to close it politely, let the script return."""
        self._writer.transport.abort()


Script: TypeAlias = Callable[[Peer], Awaitable[None]]


class ScriptedAmi:
    """The server; `peers` are the connections so far."""

    def __init__(self, *scripts: Script, tls: ssl.SSLContext | None = None) -> None:
        self._scripts = scripts
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._connected = asyncio.Condition()
        self.failures: list[Exception] = []
        self.peers: list[Peer] = []

    @property
    def port(self) -> int:
        assert self._server is not None
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def wait_connections(self, count: int) -> None:
        """Wait until `count` connections have come."""
        async with asyncio.timeout(DEADLINE), self._connected:
            await self._connected.wait_for(lambda: len(self.peers) >= count)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls, limit=1 << 22)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self.failures:
            raise self.failures[0] from error

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        peer = Peer(reader, writer)
        self.peers.append(peer)
        script = self._scripts[min(len(self.peers), len(self._scripts)) - 1]
        async with self._connected:
            self._connected.notify_all()
        try:
            await script(peer)
        except asyncio.CancelledError:
            writer.transport.abort()  # the test is over
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client left
        except Exception as failure:  # noqa: BLE001 - told when the test leaves the server
            self.failures.append(failure)
        finally:
            self._tasks.discard(task)
            writer.close()


class Watched:
    """A link of ours and all that it told: events, and "up" or the reason of each loss, in order."""

    def __init__(self, settings: AmiSettings, tap: Tap | None, meter: Meter | None = None) -> None:
        self.told: list[AmiMessage | str] = []
        self._changed = asyncio.Condition()
        self._waiting: set[asyncio.Task[None]] = set()
        self.link = AmiLink(
            settings,
            on_event=self.tell,
            on_up=lambda: self.tell("up"),
            on_down=lambda reason: self.tell(f"down: {reason}"),
            tap=tap,
            meter=meter,
        )

    @property
    def events(self) -> list[AmiMessage]:
        return [item for item in self.told if isinstance(item, AmiMessage)]

    @property
    def changes(self) -> list[str]:
        return [item for item in self.told if isinstance(item, str)]

    def tell(self, item: AmiMessage | str) -> None:
        self.told.append(item)
        task = asyncio.get_running_loop().create_task(self._wake())
        self._waiting.add(task)
        task.add_done_callback(self._waiting.discard)

    async def until(self, seen: Callable[["Watched"], bool]) -> None:
        """Wait until what was told satisfies `seen`."""
        async with asyncio.timeout(DEADLINE), self._changed:
            await self._changed.wait_for(lambda: seen(self))

    async def _wake(self) -> None:
        async with self._changed:
            self._changed.notify_all()


@asynccontextmanager
async def linked(
    ami: ScriptedAmi | int,
    *,
    tap: Tap | None = None,
    meter: Meter | None = None,
    up: bool = True,
    **settings: Any,
) -> AsyncIterator[Watched]:
    """Run a link to a server (or port), by default from up on; quick reconnects, no pings unless asked."""
    defaults: dict[str, Any] = {
        "host": "127.0.0.1",
        "port": ami if isinstance(ami, int) else ami.port,
        "username": USERNAME,
        "secret": SECRET,
        "ping_interval": 3600.0,
        "reconnect_initial": 0.01,
        "reconnect_max": 0.05,
    }
    watched = Watched(AmiSettings(**(defaults | settings)), tap, meter)
    running = asyncio.create_task(watched.link.run())
    try:
        if up:
            await watched.link.wait_up(DEADLINE)
        yield watched
    finally:
        await watched.link.close()
        await running
