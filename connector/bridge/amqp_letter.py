"""A message as a letter for the broker, within the bounds that AMQP sets to one."""

from datetime import UTC, datetime

import aio_pika

from connector.bridge.codec import encode_parts
from connector.bridge.dialect import IDENTITY, Dialect
from connector.bridge.messages import Message

PEER_HEADER = "x-harmony-peer"
"""AMQP header: the `app_id` of the process that a message is meant for. Unknown before it spoke."""

MAX_HEADERS = 64 * 1024
"""Bytes of all headers: they must fit into one frame (128 KiB with RabbitMQ), or the connection ends."""

LONGEST_CORRELATION = 255
"""Bytes of a `correlation_id` in AMQP 0-9-1. The header `requestId` has a longer one."""


def letter_of(
    message: Message,
    dialect: Dialect = IDENTITY,
    *,
    message_id: str,
    app_id: str,
    peer: str | None = None,
) -> aio_pika.Message:
    """Make a persistent letter of a message.

    Raises:
        ValueError: its headers are longer than `MAX_HEADERS`.

    """
    headers, body = encode_parts(message, dialect)
    if peer is not None:
        headers[PEER_HEADER] = peer
    size = sum(len(key) + len(value.encode()) for key, value in headers.items())
    if size > MAX_HEADERS:
        raise ValueError(f"Headers of {size} bytes are longer than {MAX_HEADERS}.")
    return aio_pika.Message(
        body,
        headers=dict(headers),
        content_type="application/json",
        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
        correlation_id=_correlation(headers.get("requestId")),
        message_id=message_id,
        timestamp=datetime.now(UTC),
        app_id=app_id,
    )


def _correlation(request_id: str | None) -> str | None:
    if request_id is None or len(request_id.encode()) > LONGEST_CORRELATION:
        return None
    return request_id
