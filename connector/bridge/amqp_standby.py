"""Hot standby: of several connectors of a processor one leads, and its ledger travels through the broker.

A token lies in a queue with a single active consumer: who holds it, unacknowledged, leads. When the leader's
connection ends, the broker gives the token to the next. What the leader writes into its ledger it publishes
to a stream, on the channel of its messages and before them; so whoever takes over knows at least what the
bridge was told. A snapshot now and then lets the stream be short.
"""

import asyncio
from typing import Any
from uuid import uuid4

import aio_pika
import structlog
from aio_pika import ExchangeType
from aio_pika.abc import AbstractChannel, AbstractExchange, AbstractIncomingMessage

from connector.bridge.amqp_faults import FAULTS, words
from connector.bridge.amqp_link import BrokerLink
from connector.bridge.ledger_copy import Record, Replica

log = structlog.get_logger(__name__)

_AT_ONCE = 0.5
"""Seconds within which the token comes where nobody leads."""
_RENEWAL = 600.0
"""Seconds after which the token is renewed: a broker takes back what is not acknowledged for 30 minutes."""
_PREFETCH = 200
_STREAM_BYTES = 64 * 1024 * 1024
_SEGMENT_BYTES = 8 * 1024 * 1024
_MARK = "mark"
_MARKED = 60.0
"""Seconds within which the stream has told all that it holds."""


class Superseded(Exception):
    """Another connector has taken over while this one was cut off: it must start anew, to stand by."""


class Standby:
    """Waits for the lead, at each link anew. `name` is the exchange, and begins the queues' names."""

    def __init__(self, name: str, processor: str, *, declare: bool) -> None:
        self.name = name
        self._stream = f"{name}.{processor}"
        self._lead = f"{name}.{processor}.lead"
        self._declare = declare
        self._told = False

    @property
    def routing_key(self) -> str:
        """The key with which records are published."""
        return self._stream

    async def lead(self, link: BrokerLink, own: tuple[int, int] | None) -> Replica:
        """Wait for the lead, and return what whoever led before has written.

        `own`: term and number of our own rows, if we led before.

        Raises:
            Superseded: somebody else has led since `own`.
            AMQPError, OSError, RuntimeError: the link broke.

        """
        channel = await link.side_channel(_PREFETCH)
        exchange = await self._declared(channel)
        wait = _Wait(exchange, self._lead, own)
        stream = await channel.get_queue(self._stream, ensure=False)
        following = await stream.consume(wait.follow, arguments={"x-stream-offset": "first"})
        await (await channel.get_queue(self._lead, ensure=False)).consume(wait.token)
        await self._until_token(wait)
        mark = await wait.mark(self._stream)
        # A stream that tells nothing more is a link that is no good.
        async with asyncio.timeout(_MARKED):
            await mark
        await stream.cancel(following)
        if own is not None and wait.replica.newest > own:
            # The token may come before the record that tells it.
            raise Superseded
        link.spawn(_renew(link, exchange, self._lead))
        log.info("leading", processor_state=self._stream)
        self._told = False
        return wait.replica

    async def _declared(self, channel: AbstractChannel) -> AbstractExchange:
        if not self._declare:
            return await channel.get_exchange(self.name, ensure=False)
        exchange = await channel.declare_exchange(self.name, ExchangeType.TOPIC, durable=True)
        stream = await channel.declare_queue(self._stream, durable=True, arguments=stream_arguments())
        await stream.bind(exchange, self._stream)
        lead = await channel.declare_queue(self._lead, durable=True, arguments=lead_arguments())
        await lead.bind(exchange, self._lead)
        return exchange

    async def _until_token(self, wait: "_Wait") -> None:
        # Whoever comes brings a token: the leader swaps its own for it, so there is always one, and one only.
        await wait.new_token()
        held, _ = await asyncio.wait({wait.held}, timeout=_AT_ONCE)
        if not held and not self._told:
            self._told = True
            log.info("standing by")
        await wait.held


class _Wait:
    """One wait for the lead."""

    def __init__(self, exchange: AbstractExchange, lead: str, own: tuple[int, int] | None) -> None:
        self.replica = Replica()
        self.held: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._exchange = exchange
        self._lead = lead
        self._own = own
        self._holding: AbstractIncomingMessage | None = None
        self._mark = uuid4().hex
        self._marked: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def follow(self, delivery: AbstractIncomingMessage) -> None:
        """Take in a record of the stream."""
        headers = delivery.headers
        kind = str(headers.get("kind"))
        if kind == _MARK:
            if headers.get("mark") == self._mark and not self._marked.done():
                self._marked.set_result(None)
        else:
            self.replica.take(
                kind, _number(headers.get("term")), _number(headers.get("number")), delivery.body
            )
            if self._own is not None and self.replica.newest > self._own and not self.held.done():
                self.held.set_exception(Superseded())
        await delivery.ack()

    async def token(self, delivery: AbstractIncomingMessage) -> None:
        """Hold a token; the one before, if there is one, is given up."""
        before, self._holding = self._holding, delivery
        if not self.held.done():
            self.held.set_result(None)
        if before is not None:
            await before.ack()

    async def new_token(self) -> None:
        """Make a token."""
        await _new_token(self._exchange, self._lead)

    async def mark(self, stream: str) -> asyncio.Future[None]:
        """Set a mark in the stream; the future is done when all before it was taken in."""
        letter = aio_pika.Message(b"", headers={"kind": _MARK, "mark": self._mark})
        await self._exchange.publish(letter, stream)
        return self._marked


def letter_of_record(record: Record) -> aio_pika.Message:
    """Make a persistent letter of a part of the ledger."""
    return aio_pika.Message(
        record.body,
        headers={"kind": record.kind, "term": record.term, "number": record.number},
        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
    )


async def _new_token(exchange: AbstractExchange, lead: str) -> None:
    letter = aio_pika.Message(b"lead", delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
    await exchange.publish(letter, lead)


async def _renew(link: BrokerLink, exchange: AbstractExchange, lead: str) -> None:
    while True:
        await asyncio.sleep(_RENEWAL)
        try:
            await _new_token(exchange, lead)
        except FAULTS as problem:
            link.fail(words(problem))


def stream_arguments() -> dict[str, Any]:
    """Return the arguments with which the stream is declared."""
    return {
        "x-queue-type": "stream",
        "x-max-length-bytes": _STREAM_BYTES,
        "x-stream-max-segment-size-bytes": _SEGMENT_BYTES,
    }


def lead_arguments() -> dict[str, Any]:
    """Return the arguments with which the queue of the token is declared."""
    return {"x-queue-type": "quorum", "x-single-active-consumer": True}


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0
