"""One framed connection, whichever side opened it: bytes to messages and back, bounded both ways."""

import asyncio
import socket
from collections import deque
from typing import cast

import structlog

from connector.bridge.codec import (
    MAX_FRAME,
    FrameDecoder,
    FrameTooLong,
    Malformed,
    decode,
    encode_frame,
    salvaged,
)
from connector.bridge.dialect import IDENTITY, Dialect
from connector.bridge.messages import Message
from connector.bridge.transport import Receiver

log = structlog.get_logger(__name__)

SEND_QUEUE = 10_000
"""Default number of messages that may wait for a slow peer."""

_BATCH = 64 * 1024
"""Bytes that are gathered at most before they are written."""

_KEEP_ALIVE = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 60_000}
"""A dead peer is noticed after a minute, with data on the way (milliseconds) or without (seconds)."""


class FramedConnection(asyncio.Protocol):
    """A connection that speaks frames. `receiver` must be set before the connection is made."""

    receiver: Receiver

    def __init__(
        self,
        *,
        max_frame: int = MAX_FRAME,
        send_queue: int = SEND_QUEUE,
        dialect: Dialect = IDENTITY,
        gathers: bool = True,
    ) -> None:
        """`gathers`: what is sent in one turn of the loop is written together, at its end or by `flush`."""
        self.peer = ""
        self.received_any = False
        self.closed: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._decoder = FrameDecoder(max_frame)
        self._dialect = dialect
        self._limit = send_queue
        self._waiting: deque[bytes] = deque()
        self._batch = bytearray()
        self._gathers = gathers
        self._paused = False
        self._idle = asyncio.Event()
        self._idle.set()
        self._transport: asyncio.Transport | None = None
        self._reason: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether messages can be sent."""
        return self._transport is not None and not self._transport.is_closing()

    @property
    def waiting(self) -> int:
        """How many messages wait for a peer that does not read."""
        return len(self._waiting)

    def send(self, message: Message) -> bool:
        """Queue a message; False if the connection is gone, or goes because too much waits already."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return False
        data = encode_frame(message, self._dialect)
        if not self._paused:
            self._gather(data)
            return True
        if len(self._waiting) >= self._limit:
            self.abort(f"more than {self._limit} messages waited for a peer that does not read")
            return False
        self._waiting.append(data)
        return True

    def send_raw(self, data: bytes) -> None:
        """Write bytes as they are: for tests of the other side's nerves."""
        if self._transport is not None:
            self.flush()
            self._transport.write(data)

    async def drain(self, timeout: float) -> bool:
        """Wait until the network took everything; False if it did not within `timeout` seconds."""
        try:
            async with asyncio.timeout(timeout):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True

    def abort(self, reason: str) -> None:
        """Drop the connection at once; what waits is lost."""
        if self._transport is not None and not self.closed.done():
            self._reason = self._reason or reason
            self._waiting.clear()
            self._batch.clear()
            self._transport.abort()

    async def close(self, timeout: float = 2.0) -> None:
        """Send what waits for at most `timeout` seconds, then close."""
        if self._transport is None or self.closed.done():
            return
        self._reason = self._reason or "closed by ourselves"
        await self.drain(timeout)
        self._transport.close()
        try:
            async with asyncio.timeout(timeout):
                await asyncio.shield(self.closed)
        except TimeoutError:
            self.abort("closed by ourselves")

    # -- called by asyncio -----------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take over a connection that was just made."""
        self._transport = cast("asyncio.Transport", transport)
        # High water at the first byte: "paused" then means "something waits", which is what drain needs.
        self._transport.set_write_buffer_limits(high=1)
        peer = transport.get_extra_info("peername")
        self.peer = f"{peer[0]}:{peer[1]}" if isinstance(peer, tuple) else str(peer)
        keep_alive(transport.get_extra_info("socket"))
        self.receiver.connected()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the receiver why the connection ended."""
        reason = self._reason or (str(exc) if exc is not None else "closed by the other side")
        self._waiting.clear()
        self._batch.clear()
        self._idle.set()
        if not self.closed.done():
            self.closed.set_result(reason)
        self.receiver.disconnected(reason)

    def data_received(self, data: bytes) -> None:
        """Cut, decode and hand over what arrived."""
        transport = self._transport
        for item in self._decoder.feed(data):
            if transport is None or transport.is_closing():
                return
            if isinstance(item, FrameTooLong):
                # Whoever sends no frames at all is no bridge that spoke.
                self.received_any = self.received_any or not item.is_out_of_step
                self._too_long(item)
                continue
            self.received_any = True
            try:
                message = decode(item, self._dialect)
            except Malformed as problem:
                self._hand_over_problem(problem)
                continue
            try:
                self.receiver.received(message)
            except Exception:
                log.exception("a message could not be taken in", name=message.name, target=message.target)

    def pause_writing(self) -> None:
        """Keep messages from now on: the peer reads slower than we write."""
        self._paused = True
        self._idle.clear()

    def resume_writing(self) -> None:
        """Write what was kept, as far as the peer takes it."""
        self._paused = False
        transport = self._transport
        while self._waiting and not self._paused and transport is not None:
            transport.write(self._waiting.popleft())
        if not self._paused:
            self._idle.set()

    # -- inside ----------------------------------------------------------------------------------------

    def _gather(self, data: bytes) -> None:
        """Write what is sent in one go (a response and the events after it) by one call of the system."""
        if not self._gathers:
            self._batch += data
            self.flush()
            return
        if not self._batch:
            self._idle.clear()
            asyncio.get_running_loop().call_soon(self.flush)
        self._batch += data
        if len(self._batch) >= _BATCH:
            self.flush()

    def flush(self) -> None:
        """Write what was gathered."""
        if not self._batch:
            return
        data, self._batch = self._batch, bytearray()
        # Set first: writing clears it again if the peer does not take everything.
        self._idle.set()
        if self._transport is not None:
            self._transport.write(data)

    def _hand_over_problem(self, problem: Malformed) -> None:
        try:
            self.receiver.malformed(problem)
        except Exception:
            log.exception("a malformed message could not be answered", problem=problem.reason)

    def _too_long(self, frame: FrameTooLong) -> None:
        if frame.is_out_of_step:
            self._hand_over_problem(Malformed(f"{frame} This is no stream of frames."))
            self.abort("the stream is out of step")
            return
        self._hand_over_problem(salvaged(frame.head, str(frame), self._dialect))


def keep_alive(connection: socket.socket | None) -> None:
    """Switch TCP keep-alive on, so that a silent network failure is noticed."""
    if connection is None or connection.family not in {socket.AF_INET, socket.AF_INET6}:
        return
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEP_ALIVE.items():
        if (option := getattr(socket, name, None)) is not None:
            connection.setsockopt(socket.IPPROTO_TCP, option, value)
