"""Our AMQP transport beside plain aio-pika, both on the laboratory's RabbitMQ, with the same guarantees.

Plain: durable quorum queues, persistent messages, confirmed publishes, an acknowledgement after the answer.
"""

import asyncio
import json
import os
import secrets
from collections.abc import Iterator
from functools import partial

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel, AbstractExchange, AbstractIncomingMessage, AbstractQueue
from echo import WINDOW, Asker, Ear, answering, plain_answer, plain_request, request
from measure import FLOOR, compare_async

from connector.bridge.messages import Message
from connector.lab.provider import choose_provider

amqp = pytest.importorskip("connector.bridge.amqp", reason="this connector has no AMQP transport")
topology = pytest.importorskip("connector.bridge.amqp_topology")

REQUESTS = 500
_PREFETCH = 500


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """Start a laboratory of our own and return the address of its broker."""
    lab = choose_provider(os.environ.get("LAB") or None, f"bench-{os.getpid()}")
    lab.up()
    try:
        yield lab.info().amqp_url
    finally:
        lab.down()


async def ours(url: str) -> float:
    own = f"bench{secrets.token_hex(4)}"
    names = topology.Names(
        own, bridge_exchange=f"{own}.b", client_exchange=f"{own}.c", dead_exchange=f"{own}.d"
    )
    client, bridge = (
        amqp.AmqpTransport(amqp.AmqpSettings(url=url, names=names, role=role))
        for role in (topology.Role.CLIENT, topology.Role.BRIDGE)
    )
    asker = Asker(REQUESTS, lambda number: bridge.send(request(number)))

    def on_answer(_message: Message) -> None:
        asker.answered()

    ears = Ear(answering(client.send)), Ear(on_answer)
    running = [asyncio.create_task(end.run(ear)) for end, ear in zip((client, bridge), ears, strict=True)]
    try:
        async with asyncio.timeout(30):
            for ear in ears:
                await ear.up.wait()
        return await asker.run()
    finally:
        await asyncio.gather(client.close(), bridge.close())
        await asyncio.gather(*running)


async def plain(url: str) -> float:
    own = f"plain{secrets.token_hex(4)}"
    async with await aio_pika.connect(url) as one, await aio_pika.connect(url) as two:
        bridge, client = await one.channel(), await two.channel()
        to_client, requests = await _way(bridge, client, f"{own}.requests")
        to_bridge, answers = await _way(client, bridge, f"{own}.answers")
        tasks: set[asyncio.Task[object]] = set()

        async def answer(delivery: AbstractIncomingMessage) -> None:
            await to_bridge.publish(_letter(plain_answer(json.loads(delivery.body))), "P.answer")
            await delivery.ack()

        async def count(delivery: AbstractIncomingMessage) -> None:
            json.loads(delivery.body)
            await delivery.ack()
            asker.answered()

        def ask(number: int) -> None:
            task = asyncio.create_task(to_client.publish(_letter(plain_request(number)), "P.request"))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        asker = Asker(REQUESTS, ask)
        await requests.consume(answer)
        await answers.consume(count)
        took = await asker.run()
        await asyncio.gather(*tasks)
        return took


async def _way(
    sender: AbstractChannel, taker: AbstractChannel, name: str
) -> tuple[AbstractExchange, AbstractQueue]:
    """Declare an exchange and the quorum queue behind it; return what each side needs."""
    exchange = await sender.declare_exchange(name, aio_pika.ExchangeType.TOPIC, durable=True)
    await taker.set_qos(prefetch_count=_PREFETCH)
    queue = await taker.declare_queue(name, durable=True, arguments={"x-queue-type": "quorum"})
    await queue.bind(name, "P.#")
    return exchange, queue


def _letter(document: object) -> aio_pika.Message:
    return aio_pika.Message(
        json.dumps(document).encode(),
        content_type="application/json",
        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
    )


async def test_messages_through_the_broker(url: str) -> None:
    assert WINDOW < _PREFETCH
    what = "messages over AMQP (plain: aio-pika)"
    found = await compare_async(what, partial(ours, url), partial(plain, url), 2 * REQUESTS)
    assert found.ratio >= FLOOR
