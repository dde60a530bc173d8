"""The way to the bridge: is it there, and has the broker what we need."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, Final

import aio_pika
from aio_pika import ExchangeType
from aio_pika.abc import AbstractConnection
from aio_pika.exceptions import AMQPError, ChannelNotFoundEntity, ChannelPreconditionFailed
from aiormq.exceptions import ChannelAccessRefused

from connector.app import broker_names, tls_client
from connector.bridge.amqp_topology import Role, dead_arguments, queue_arguments
from connector.config import Settings, Transport
from connector.doctor.findings import Finding, fault, ok

_PATIENCE: Final = 5.0


async def wire(settings: Settings) -> AsyncIterator[Finding]:
    """Look at the way to the bridge."""
    checks = _broker(settings) if settings.bridge.transport is Transport.AMQP else _bridge(settings)
    async for finding in checks:
        yield finding


async def _bridge(settings: Settings) -> AsyncIterator[Finding]:
    bridge = settings.bridge
    try:
        async with asyncio.timeout(min(bridge.connect_timeout, _PATIENCE)):
            _, writer = await asyncio.open_connection(bridge.host, bridge.port)
    except (OSError, TimeoutError) as problem:
        yield fault(
            "bridge",
            f"Nobody listens at {bridge.host}:{bridge.port}: {problem or 'no answer in time'}.",
            "Start the Processor Bridge, or correct bridge.host and bridge.port; mind firewalls between.",
        )
        return
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    yield ok("bridge", f"listens at {bridge.host}:{bridge.port}")


async def _broker(settings: Settings) -> AsyncIterator[Finding]:
    url = settings.amqp.url.reveal() if settings.amqp.url is not None else ""
    try:
        context = tls_client(settings.amqp.tls).context() if url.startswith("amqps:") else None
        connection = await aio_pika.connect(url, timeout=_PATIENCE, ssl_context=context)
    except (AMQPError, OSError, TimeoutError, ValueError) as problem:
        yield fault(
            "broker",
            f"It does not let us in: {type(problem).__name__}.",
            "Look at amqp.url (user, password, virtual host), at amqp.tls, and at the broker's log.",
        )
        return
    async with connection:
        faults = [finding async for finding in _topology(connection, settings)]
        for finding in faults:
            yield finding
        if not faults:
            yield ok("broker", "exchanges and queues are there, as they must be")


async def _topology(connection: AbstractConnection, settings: Settings) -> AsyncIterator[Finding]:
    amqp = settings.amqp
    names = broker_names(settings)
    exchanges = (names.bridge_exchange, names.client_exchange, names.dead_exchange)
    queues = {names.queue_of(Role.CLIENT): queue_arguments(names), names.dead_letters: dead_arguments()}
    for name in (*exchanges, *queues):
        kind = "queue" if name in queues else "exchange"
        problem = await _look(connection, kind, name, queues.get(name))
        if problem == _MISSING and amqp.declare:
            # The connector makes it when it starts.
            continue
        if problem:
            yield fault(
                "broker",
                f"The {kind} {name} {problem}.",
                f"Delete the {kind} and let the connector declare it (amqp.declare), or declare it as "
                "docs/amqp.md says."
                if problem != _FORBIDDEN
                else f"Give our user the permission to configure, write and read {name} (docs/amqp.md).",
            )


_MISSING: Final = "is missing"
_FORBIDDEN: Final = "is not open to our user"


async def _look(
    connection: AbstractConnection, kind: str, name: str, arguments: dict[str, Any] | None
) -> str:
    """Return what is wrong with one of them. A refusal costs the channel, so each has its own."""
    try:
        channel = await connection.channel()
        if kind == "exchange":
            await channel.declare_exchange(name, passive=True)
            # That it is there is known: this asks only whether it is of the same kind.
            await channel.declare_exchange(name, ExchangeType.TOPIC, durable=True)
        else:
            await channel.declare_queue(name, passive=True)
            await channel.declare_queue(name, durable=True, arguments=arguments)
        await channel.close()
    except ChannelNotFoundEntity:
        return _MISSING
    except ChannelPreconditionFailed:
        return "is declared otherwise than we need it"
    except ChannelAccessRefused:
        return _FORBIDDEN
    except AMQPError as problem:
        return f"cannot be looked at ({type(problem).__name__})"
    return ""
