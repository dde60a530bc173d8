"""One connection to the broker with its channel: no recovery in it, for that is the transport's business."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, Protocol, Self, cast

import aio_pika
from aio_pika import Connection
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage, AbstractQueue
from aio_pika.exceptions import AMQPError
from aiormq.channel import Channel as RawChannel
from yarl import URL

from connector.bridge.amqp_topology import Names, Role, declare
from connector.bridge.tcp import TlsClient

_GONE = (AMQPError, OSError, RuntimeError)

_farewells: set[asyncio.Task[None]] = set()
"""Connections that are being closed: a task that nobody holds may vanish."""


class LinkSettings(Protocol):
    """What a link must know; see `connector.bridge.amqp.AmqpSettings`."""

    @property
    def names(self) -> Names:
        """Names on the broker."""
        ...

    @property
    def role(self) -> Role:
        """Which side we are."""
        ...

    @property
    def tls(self) -> TlsClient | None:
        """TLS towards the broker."""
        ...

    @property
    def declare(self) -> bool:
        """Whether to declare exchanges and queues, or to expect them."""
        ...

    @property
    def prefetch(self) -> int:
        """Deliveries that may be unacknowledged."""
        ...

    @property
    def heartbeat(self) -> int:
        """Seconds; a dead peer is noticed after about three times that."""
        ...

    @property
    def connect_timeout(self) -> float:
        """Seconds for the connection and the declarations."""
        ...


class BrokerLink:
    """A connection in use. `lost` has the reason as soon as it can be used no more."""

    def __init__(self, connection: Connection, channel: RawChannel, queue: AbstractQueue) -> None:
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.was_useful = False
        """Whether a message went through: a link that always dies at once is not tried again at once."""
        self._connection = connection
        self._channel = channel
        self._queue = queue
        self._tasks: set[asyncio.Task[None]] = set()

    @classmethod
    async def open(cls, settings: LinkSettings, url: URL, context: ssl.SSLContext | None) -> Self:
        """Connect, open a channel and declare.

        Raises:
            AMQPError, OSError, RuntimeError, EOFError: it cannot be had.

        """
        connection = Connection(url.update_query(heartbeat=str(settings.heartbeat)), ssl_context=context)
        if settings.tls is not None and settings.tls.server_name:
            connection.kwargs["server_hostname"] = settings.tls.server_name
        try:
            async with asyncio.timeout(settings.connect_timeout):
                await connection.connect()
                channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
                await channel.set_qos(prefetch_count=settings.prefetch)
                queue = await declare(channel, settings.names, settings.role, passive=not settings.declare)
                # The interface of the library does not have `wait`, which keeps publishing from stalling.
                link = cls(connection, cast("RawChannel", await channel.get_underlay_channel()), queue)
        except BaseException:
            _take_leave(connection)
            raise
        channel.close_callbacks.add(lambda _channel, problem: link.fail(_reason(problem)))
        connection.close_callbacks.add(lambda _connection, problem: link.fail(_reason(problem)))
        return link

    async def side_channel(self, prefetch: int) -> AbstractChannel:
        """Open a channel beside that of the messages: the link lives as long as both.

        Raises as `open` does.
        """
        channel = await self._connection.channel(publisher_confirms=True, on_return_raises=True)
        await channel.set_qos(prefetch_count=prefetch)
        channel.close_callbacks.add(lambda _channel, problem: self.fail(_reason(problem)))
        raw = cast("RawChannel", await channel.get_underlay_channel())
        raw.on_consumer_cancel_callbacks.add(lambda _frame: self.fail("a queue was taken away"))
        return channel

    async def consume(self, take: Callable[[AbstractIncomingMessage], Awaitable[None]]) -> None:
        """Have deliveries handed over, in order. Raises as `open` does."""
        self._channel.on_consumer_cancel_callbacks.add(lambda _frame: self.fail("the queue was taken away"))
        await self._queue.consume(take)

    async def consumers(self, queue: str) -> int:
        """Return how many consume a queue. Raises as `open` does."""
        answer = await self._channel.queue_declare(queue, passive=True)
        return answer.consumer_count or 0

    async def publish(
        self, letter: aio_pika.Message, exchange: str, routing_key: str, timeout: float
    ) -> None:
        """Publish, and wait until the broker confirms. Calls keep the order in which they began.

        Raises:
            PublishError: no queue takes the message.
            DeliveryError: the broker refused it; and what `open` raises.

        """
        await self._channel.basic_publish(
            letter.body,
            exchange=exchange,
            routing_key=routing_key,
            properties=letter.properties,
            mandatory=True,
            timeout=timeout,
            wait=False,
        )

    async def acknowledge(self, delivery: AbstractIncomingMessage) -> None:
        """Acknowledge a delivery; one of an earlier connection is delivered again anyway."""
        with suppress(*_GONE):
            await delivery.ack()

    async def put_aside(self, delivery: AbstractIncomingMessage) -> None:
        """Refuse a delivery, so that it becomes a dead letter."""
        with suppress(*_GONE):
            await delivery.reject(requeue=False)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something as long as the link lives."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def fail(self, reason: str) -> None:
        """Give the link up."""
        if not self.lost.done():
            self.lost.set_result(reason)

    async def close(self, timeout: float) -> None:
        """Close the connection. Returns after at most `timeout` seconds, whatever the other side does."""
        self.fail("closed by ourselves")
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.wait({_take_leave(self._connection)}, timeout=timeout)


def _take_leave(connection: Connection) -> asyncio.Task[None]:
    """Close a connection in a task of its own: towards a broker that fell silent it may take long."""

    async def close() -> None:
        with suppress(*_GONE):
            await connection.close()

    farewell = asyncio.get_running_loop().create_task(close())
    _farewells.add(farewell)
    farewell.add_done_callback(_farewells.discard)
    return farewell


def _reason(problem: BaseException | None) -> str:
    if problem is None or isinstance(problem, asyncio.CancelledError):
        return "closed by the broker"
    return str(problem) or type(problem).__name__
