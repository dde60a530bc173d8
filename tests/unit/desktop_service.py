"""A service with a bridge and a client without a PBX, and desktops at its door."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import msgspec
from processor_client import CONTROL, Client
from websockets.asyncio.client import ClientConnection, connect

from connector.bridge.memory import MemoryTransport, memory_pair
from connector.bridge.messages import Message, control
from connector.processor.desktop_client import DesktopClient, DesktopSession
from connector.processor.link import Direction
from connector.processor.server import ReferenceBridge
from connector.processor.service.door import DesktopDoor
from connector.processor.service.options import ServiceOptions
from connector.processor.service.processor import InteractionProcessor

DEADLINE = 10.0
_SILENT = logging.getLogger("the test's own desktop")
_SILENT.setLevel(logging.CRITICAL)
LOGIN = {"agent": {"id": "1001", "password": "right"}}


@dataclass
class Service:
    bridge: ReferenceBridge
    client: Client
    door: DesktopDoor
    transport: MemoryTransport

    def asked(self, name: str) -> list[dict[str, Any]]:
        """Return the bodies of the requests of a name that reached the connector."""
        log = [one for one in self.bridge.log if one.direction is Direction.SENT]
        return [dict(one.message.body) for one in log if one.message.name == name]

    def status(self, status: str) -> None:
        """Have the connector tell its service status."""
        self.client.emit(CONTROL, control.ServerStatusChanged(status=control.ServiceStatus(status)))

    @contextmanager
    def slow_connector(self, only: str = "") -> Iterator[None]:
        """Have the connector answer nothing, or not this request, until the context is left."""
        kept: list[Message] = []
        answer = self.client.received

        def received(message: Message) -> None:
            if only in {"", message.name}:
                kept.append(message)
            else:
                answer(message)

        self.client.received = received  # type: ignore[method-assign]
        try:
            yield
        finally:
            self.client.received = answer  # type: ignore[method-assign]
            for message in kept:
                answer(message)


@asynccontextmanager
async def service(
    *, origins: tuple[str, ...] = (), most: int = 1000, **options: Any
) -> AsyncIterator[Service]:
    bridge = ReferenceBridge(timeout=5.0)
    ours, theirs = memory_pair()
    client = Client(ours.send)
    client.on["cti.request.validateagentcredentials"] = lambda _client, _message, body: (
        None if body.agent_password == "right" else "Agent id or password is wrong."
    )
    processor = InteractionProcessor(bridge, ServiceOptions(**options))
    async with bridge, DesktopDoor(processor, origins=origins, most=most) as door:
        task = asyncio.create_task(ours.run(client))
        bridge.attach(theirs)
        try:
            await bridge.wait_in_service()
            yield Service(bridge, client, door, ours)
            await bridge.settle()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def logged_in(at: Service) -> AsyncIterator[tuple[DesktopClient, DesktopSession]]:
    async with DesktopClient(at.door.url) as desktop:
        yield desktop, await desktop.login("1001", "right")


@asynccontextmanager
async def raw(at: Service) -> AsyncIterator[ClientConnection]:
    async with connect(at.door.url, proxy=None, logger=_SILENT) as socket:
        yield socket


async def say(socket: ClientConnection, message: Any) -> dict[str, Any]:
    """Send a message as it is, and return the next one that comes."""
    await socket.send(message if isinstance(message, (str, bytes)) else msgspec.json.encode(message).decode())
    return await hear(socket)


async def hear(socket: ClientConnection) -> dict[str, Any]:
    async with asyncio.timeout(DEADLINE):
        return dict(msgspec.json.decode(await socket.recv()))
