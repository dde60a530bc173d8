"""What lies on the broker: exchanges, queues and bindings, and who of the two sides uses which.

bridge ──▶ harmony.bridge ──▶ queue harmony.client.<processor> ──▶ connector
bridge ◀── queue harmony.bridge.<processor> ◀── harmony.client ◀── connector
                              what nobody can read ──▶ harmony.dead ──▶ harmony.dead.<processor>
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from aio_pika import ExchangeType
from aio_pika.abc import AbstractChannel, AbstractQueue

LONGEST_KEY = 255
"""Bytes of a routing key in AMQP 0-9-1. The bindings look at the processor only, so the rest may be cut."""

DELIVERY_LIMIT = 20
"""Deliveries of one message: one that takes the receiver down every time ends as a dead letter."""

DEAD_LETTERS = 10_000
"""Dead letters that are kept; the oldest go first."""


class Role(StrEnum):
    """Which side of the wire we are."""

    CLIENT = "client"
    BRIDGE = "bridge"


@dataclass(frozen=True, slots=True)
class Names:
    """Names on the broker. An empty queue name is made of a prefix and the processor."""

    processor: str
    bridge_exchange: str = "harmony.bridge"
    client_exchange: str = "harmony.client"
    dead_exchange: str = "harmony.dead"
    client_queue: str = ""
    bridge_queue: str = ""
    dead_queue: str = ""

    def queue_of(self, role: Role) -> str:
        """Return the queue that a side consumes."""
        if role is Role.CLIENT:
            return self.client_queue or f"harmony.client.{self.processor}"
        return self.bridge_queue or f"harmony.bridge.{self.processor}"

    def source_of(self, role: Role) -> str:
        """Return the exchange that feeds the queue of a side."""
        return self.bridge_exchange if role is Role.CLIENT else self.client_exchange

    def exchange_of(self, role: Role) -> str:
        """Return the exchange to which a side publishes."""
        return self.client_exchange if role is Role.CLIENT else self.bridge_exchange

    @property
    def dead_letters(self) -> str:
        """The queue of messages that nobody could read."""
        return self.dead_queue or f"harmony.dead.{self.processor}"

    def routing_key(self, target: str) -> str:
        """Return the routing key of a destination."""
        whole = f"{self.processor}.{target}".encode("utf-8", "replace")
        return whole[:LONGEST_KEY].decode("utf-8", "ignore")


async def declare(channel: AbstractChannel, names: Names, role: Role, *, passive: bool) -> AbstractQueue:
    """Declare what a side needs, and return the queue that it consumes.

    The bridge declares the client's queue too, so that what it says before the client is there waits for it.
    With `passive` only the side's own queue is looked up: everything must be there already, and no permission
    to configure is needed.

    Raises:
        aio_pika.exceptions.AMQPError: it is not there, is declared otherwise, or the user may not.

    """
    if passive:
        return await channel.declare_queue(names.queue_of(role), passive=True)
    exchanges = {}
    for name in (names.bridge_exchange, names.client_exchange, names.dead_exchange):
        exchanges[name] = await channel.declare_exchange(name, ExchangeType.TOPIC, durable=True)
    pattern = f"{names.processor}.#"
    dead = await channel.declare_queue(
        names.dead_letters,
        durable=True,
        arguments=dead_arguments(),
    )
    await dead.bind(exchanges[names.dead_exchange], pattern)
    queues = {}
    for each in {Role.CLIENT, role}:
        queue = await channel.declare_queue(
            names.queue_of(each), durable=True, arguments=queue_arguments(names)
        )
        await queue.bind(exchanges[names.source_of(each)], pattern)
        queues[each] = queue
    return queues[role]


def dead_arguments() -> dict[str, Any]:
    """Return the arguments with which the queue of dead letters is declared."""
    return {"x-queue-type": "quorum", "x-max-length": DEAD_LETTERS, "x-overflow": "drop-head"}


def queue_arguments(names: Names) -> dict[str, Any]:
    """Return the arguments with which a side's queue is declared."""
    return {
        "x-queue-type": "quorum",
        "x-single-active-consumer": True,
        "x-delivery-limit": DELIVERY_LIMIT,
        "x-dead-letter-exchange": names.dead_exchange,
    }
