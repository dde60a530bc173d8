"""The meter on the bridge's wire: counts messages, and times every request until its response."""

import time
from collections import OrderedDict
from typing import Final

from connector.bridge.codec import Malformed
from connector.bridge.messages import Kind, Message
from connector.bridge.transport import PassingTransport, Receiver, Transport
from connector.operations.metrics import Metrics

_IN, _OUT = "in", "out"
_MOST_OPEN: Final = 10_000
"""Requests without a response that are remembered; the oldest are forgotten first."""


class MeteredTransport(PassingTransport):
    """A transport with a meter. It stands above the wire, so it measures any transport alike."""

    def __init__(self, transport: Transport, metrics: Metrics) -> None:
        super().__init__(transport)
        self._metrics = metrics
        self._count = metrics.messages.add
        self._open: OrderedDict[str, tuple[str, float]] = OrderedDict()

    @property
    def unanswered(self) -> int:
        """How many requests wait for their response."""
        return len(self._open)

    async def run(self, receiver: Receiver) -> None:
        """Run the transport."""
        await super().run(_Measured(self, receiver, self._metrics))

    def send(self, message: Message) -> None:
        """Send a message."""
        if message.kind is Kind.RESPONSE:
            asked = self._open.pop(message.request_id or "", None)
            # A response that is sent once more is no news.
            if asked is not None:
                name, began = asked
                self._metrics.answered(name, str(message.result), time.perf_counter() - began)
        elif message.kind is Kind.EVENT:
            self._metrics.told()
        self._count(_OUT, message.kind)
        super().send(message)

    def asked(self, message: Message) -> None:
        """Note a message of the bridge; a repetition does not begin the time anew."""
        self._count(_IN, message.kind)
        if message.kind in {Kind.QUERY, Kind.REQUEST} and message.request_id is not None:
            self._open.setdefault(message.request_id, (message.name, time.perf_counter()))
            if len(self._open) > _MOST_OPEN:
                self._open.popitem(last=False)

    def forget(self) -> None:
        """Note that nobody waits for responses any more."""
        self._open.clear()


class _Measured:
    """The receiver between transport and connector."""

    def __init__(self, transport: MeteredTransport, receiver: Receiver, metrics: Metrics) -> None:
        self._transport = transport
        self._receiver = receiver
        self._metrics = metrics

    def connected(self) -> None:
        self._metrics.connected()
        self._receiver.connected()

    def disconnected(self, reason: str) -> None:
        self._transport.forget()
        self._receiver.disconnected(reason)

    def received(self, message: Message) -> None:
        self._transport.asked(message)
        self._receiver.received(message)

    def malformed(self, problem: Malformed) -> None:
        self._metrics.malformed()
        self._receiver.malformed(problem)
