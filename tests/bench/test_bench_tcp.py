"""Our TCP transport beside a bare asyncio protocol with `json`, both on the loopback."""

import asyncio
from typing import Any

from echo import Asker, Ear, PlainFrames, answering, plain_answer, plain_request, request
from measure import FLOOR, compare_async

from connector.bridge.messages import Message
from connector.bridge.stream import FramedConnection
from connector.bridge.tcp import TcpSettings, TcpTransport

REQUESTS = 3000


async def ours() -> float:
    loop = asyncio.get_running_loop()
    bridge_ends: list[FramedConnection] = []
    asker = Asker(REQUESTS, lambda number: bridge_ends[0].send(request(number)))

    def on_answer(_message: Message) -> None:
        asker.answered()

    ear = Ear(on_answer)

    def accept() -> FramedConnection:
        bridge_ends.append(FramedConnection())
        bridge_ends[-1].receiver = ear
        return bridge_ends[-1]

    server = await loop.create_server(accept, "127.0.0.1", 0)
    transport = TcpTransport(TcpSettings("127.0.0.1", server.sockets[0].getsockname()[1]))
    running = asyncio.create_task(transport.run(Ear(answering(transport.send))))
    try:
        await ear.up.wait()
        return await asker.run()
    finally:
        await transport.close()
        await running
        server.close()
        await server.wait_closed()


async def plain() -> float:
    loop = asyncio.get_running_loop()
    bridge_end, client_end = PlainFrames(), PlainFrames()
    accepted: asyncio.Future[PlainFrames] = loop.create_future()
    asker = Asker(REQUESTS, lambda number: bridge_end.send(plain_request(number)))

    def on_answer(_document: dict[str, Any]) -> None:
        asker.answered()

    def accept() -> PlainFrames:
        accepted.set_result(bridge_end)
        return bridge_end

    bridge_end.on_document = on_answer
    client_end.on_document = lambda document: client_end.send(plain_answer(document))
    server = await loop.create_server(accept, "127.0.0.1", 0)
    await loop.create_connection(lambda: client_end, "127.0.0.1", server.sockets[0].getsockname()[1])
    try:
        await accepted
        return await asker.run()
    finally:
        client_end.close()
        bridge_end.close()
        server.close()
        await server.wait_closed()


async def test_messages_through_tcp() -> None:
    # A request and its response are two messages.
    found = await compare_async("messages over TCP (plain: asyncio and json)", ours, plain, 2 * REQUESTS)
    assert found.ratio >= FLOOR
