"""The talk that is measured: one side asks, with so many requests on their way, the other answers each."""

import asyncio
import json
import struct
import time
from collections.abc import Callable
from typing import Any

from connector.bridge.codec import Malformed
from connector.bridge.messages import Message, channel, request_message, success

WINDOW = 100
"""Requests on their way at a time."""

_TARGET = "agent-1001.g1.c1"
_LENGTH = struct.Struct(">I")


class Asker:
    """Asks `count` times and keeps `WINDOW` requests on their way; `send` takes the request's number."""

    def __init__(self, count: int, send: Callable[[int], None]) -> None:
        self._send = send
        self._count = count
        self._sent = 0
        self._answered = 0
        self._done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(self) -> float:
        """Return the seconds from the first request to the last answer."""
        began = time.perf_counter()
        for _ in range(min(WINDOW, self._count)):
            self._ask()
        async with asyncio.timeout(120):
            await self._done
        return time.perf_counter() - began

    def answered(self) -> None:
        """Count an answer and ask again."""
        self._answered += 1
        if self._sent < self._count:
            self._ask()
        elif self._answered == self._count and not self._done.done():
            self._done.set_result(None)

    def _ask(self) -> None:
        self._sent += 1
        self._send(self._sent)


def request(number: int) -> Message:
    """Return one of ours."""
    return request_message(_TARGET, channel.Dial(destination="2001"), f"request-{number}")


def plain_request(number: int) -> dict[str, Any]:
    """Return the same as plain data."""
    header = {
        "type": "cti.request",
        "name": "channel.request.dial",
        "target": _TARGET,
        "requestId": f"request-{number}",
    }
    return {"header": header, "body": {"destination": "2001"}}


def plain_answer(asked: dict[str, Any]) -> dict[str, Any]:
    """Return a successful response as plain data."""
    return {"header": asked["header"] | {"type": "cti.response", "result": "SUCCESS"}, "body": {}}


class Ear:
    """A receiver: `on_message` gets what comes, `up` is set by the connection."""

    def __init__(self, on_message: Callable[[Message], None]) -> None:
        self.received = on_message
        self.up = asyncio.Event()

    def connected(self) -> None:
        """Let who waits begin."""
        self.up.set()

    def disconnected(self, reason: str) -> None:
        """Do nothing: who waits for answers finds out by the time."""

    def malformed(self, problem: Malformed) -> None:
        """Fail: nothing malformed is sent here."""
        raise problem


def answering(send: Callable[[Message], object]) -> Callable[[Message], None]:
    """Return a receiver's method that answers every request with SUCCESS."""

    def on_message(message: Message) -> None:
        send(success(message))

    return on_message


class PlainFrames(asyncio.Protocol):
    """The least that speaks length-prefixed JSON: no checks, no bounds, no types."""

    def __init__(self) -> None:
        self.on_document: Callable[[dict[str, Any]], None] = lambda _document: None
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Cut the stream and parse."""
        self._buffer += data
        start = 0
        while len(self._buffer) - start >= _LENGTH.size:
            end = start + _LENGTH.size + _LENGTH.unpack_from(self._buffer, start)[0]
            if end > len(self._buffer):
                break
            self.on_document(json.loads(self._buffer[start + _LENGTH.size : end]))
            start = end
        del self._buffer[:start]

    def send(self, document: dict[str, Any]) -> None:
        """Write one document."""
        assert self._transport is not None
        payload = json.dumps(document).encode()
        self._transport.write(_LENGTH.pack(len(payload)) + payload)

    def close(self) -> None:
        """Close the connection."""
        if self._transport is not None:
            self._transport.close()
