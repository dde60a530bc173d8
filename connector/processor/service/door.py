"""The WebSocket door of the service: connections, limits, TLS. What is said is the processor's business."""

import asyncio
import logging
import ssl
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self

import structlog
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Origin

from connector.processor.service.processor import InteractionProcessor
from connector.processor.service.wire import MAX_MESSAGE, encoded

log = structlog.get_logger(__name__)

_SEND_QUEUE = 2000
"""Messages that may wait for a slow desktop; one more ends its connection. It may come back to a snapshot."""

_UNSUPPORTED_DATA = 1003
_POLICY = 1008
_TOO_SLOW = 1013
_GOING_AWAY = 1001

_CLOSING = 2.0
"""Seconds that a desktop gets to end the connection with us."""

_PING = 10.0
"""Seconds between pings, and for their answer: after twice that a silent break is noticed."""

_SILENT = logging.getLogger("connector.processor.service.websockets")
# The library would write frames, and with them passwords, into its debug log.
_SILENT.setLevel(logging.CRITICAL)


class _Peer:
    """One desktop's connection: messages leave in order, by one task."""

    def __init__(self, connection: ServerConnection) -> None:
        self._connection = connection
        self._queue: asyncio.Queue[str | tuple[int, str]] = asyncio.Queue()
        self.over = False

    def send(self, message: Mapping[str, Any]) -> None:
        """Send a message, unless the connection is given up."""
        if self.over:
            return
        if self._queue.qsize() >= _SEND_QUEUE:
            self._give_up(_TOO_SLOW, "too slow")
            return
        self._queue.put_nowait(encoded(message))

    def end(self, reason: str) -> None:
        """Close the connection after what was sent so far."""
        self.close(_POLICY, reason)

    def close(self, status: int, reason: str) -> None:
        """Close the connection with a WebSocket status, after what was sent so far."""
        if not self.over:
            self.over = True
            self._queue.put_nowait((status, reason))

    async def write(self) -> None:
        """Send what there is to send, until the connection is closed."""
        try:
            while True:
                what = await self._queue.get()
                if isinstance(what, tuple):
                    await self._connection.close(*what)
                    return
                await self._connection.send(what)
        except ConnectionClosed:
            self.over = True

    def _give_up(self, status: int, reason: str) -> None:
        log.warning("desktop cut off", reason=reason)
        while not self._queue.empty():
            self._queue.get_nowait()
        self.close(status, reason)
        # A peer that reads nothing does not answer the closing handshake either.
        self._connection.transport.abort()


class DesktopDoor:
    """Listens for desktops. `port` 0 takes a free one; `port` says which.

    A connection must come from one of the web `origins`, or from a program that is no browser and names none.
    More than `most` connections at once are refused (HTTP 503).
    """

    def __init__(
        self,
        processor: InteractionProcessor,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        tls: ssl.SSLContext | None = None,
        origins: Iterable[str] = (),
        most: int = 1000,
    ) -> None:
        self.processor = processor
        self.host = host
        self.port = port
        self._tls = tls
        self._origins: list[Origin | None] = [None, *(Origin(each) for each in origins)]
        self._most = most
        self._peers: set[_Peer] = set()
        self._server: Server | None = None

    @property
    def url(self) -> str:
        """Where desktops connect to."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'wss' if self._tls is not None else 'ws'}://{host}:{self.port}"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen. Raises OSError if the port is taken."""
        self._server = await serve(
            self._serve,
            self.host,
            self.port,
            ssl=self._tls,
            origins=self._origins,
            process_request=self._admit,
            max_size=MAX_MESSAGE,
            compression=None,
            server_header=None,
            ping_interval=_PING,
            ping_timeout=_PING,
            close_timeout=_CLOSING,
            logger=_SILENT,
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Close all connections and stop listening."""
        self.processor.end_sessions()
        for peer in tuple(self._peers):
            peer.close(_GOING_AWAY, "the service ends")
        # What the service still waits for is between it and the connector.
        await self.processor.stop()
        if self._server is not None:
            self._server.close(close_connections=True)
            await self._server.wait_closed()
            self._server = None

    async def _admit(self, connection: ServerConnection, _request: Request) -> Response | None:
        if len(self._peers) >= self._most:
            log.warning("desktop refused", reason="too many connections")
            return connection.respond(HTTPStatus.SERVICE_UNAVAILABLE, "Too many desktops are connected.\n")
        return None

    async def _serve(self, connection: ServerConnection) -> None:
        peer = _Peer(connection)
        self._peers.add(peer)
        writer = asyncio.create_task(peer.write())
        self.processor.connected(peer)
        try:
            async for message in connection:
                if not isinstance(message, str):
                    peer.close(_UNSUPPORTED_DATA, "messages are text")
                    break
                self.processor.received(peer, message)
            if peer.over:
                await asyncio.wait([writer], timeout=_CLOSING)
        except ConnectionClosed as closed:
            log.info("desktop gone", status=closed.rcvd.code if closed.rcvd is not None else None)
        finally:
            self.processor.disconnected(peer)
            self._peers.discard(peer)
            writer.cancel()
            await asyncio.gather(writer, return_exceptions=True)
