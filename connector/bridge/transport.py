"""What the rest of the connector knows of a transport, and what a transport knows of the rest."""

from typing import Protocol

from connector.bridge.codec import Malformed
from connector.bridge.messages import Message


class Receiver(Protocol):
    """Who takes what arrives. All methods are called on the event loop and must be quick."""

    def connected(self) -> None:
        """Know that a connection to the other side is up."""
        ...

    def disconnected(self, reason: str) -> None:
        """Know that the connection is gone; messages that were on their way may be lost."""
        ...

    def received(self, message: Message) -> None:
        """Take one message, in the order in which it was sent."""
        ...

    def malformed(self, problem: Malformed) -> None:
        """Take note of what is no message; `problem.answer_to` says whether it can be answered."""
        ...


class Transport(Protocol):
    """A way to the other side that survives the loss of connections."""

    @property
    def is_connected(self) -> bool:
        """Whether a connection is up."""
        ...

    @property
    def waiting(self) -> int:
        """How many messages wait to be sent."""
        ...

    async def run(self, receiver: Receiver) -> None:
        """Connect, and connect again whenever the connection is lost, until cancelled or closed."""
        ...

    def send(self, message: Message) -> None:
        """Queue a message; never blocks.

        Without a connection the message is dropped: the other side initialises anew, and learns the state
        then. (By way of a broker it waits instead, and nobody need begin anew.) When more messages wait than
        the limit allows, the whole connection is dropped for that reason.
        """
        ...

    def flush(self) -> None:
        """Write now what was sent in this turn of the loop, where that is gathered till its end."""
        ...

    async def drain(self, timeout: float) -> bool:
        """Wait until everything queued was handed to the network; False if that takes longer (seconds)."""
        ...

    async def close(self) -> None:
        """Flush what is queued for a short while, close the connection and end `run`."""
        ...


class PassingTransport:
    """A transport above another one, to which it passes everything on: what looks at that is made of this."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    @property
    def is_connected(self) -> bool:
        """Whether a connection is up."""
        return self._transport.is_connected

    @property
    def waiting(self) -> int:
        """How many messages wait to be sent."""
        return self._transport.waiting

    async def run(self, receiver: Receiver) -> None:
        """Run the transport below."""
        await self._transport.run(receiver)

    def send(self, message: Message) -> None:
        """Send a message."""
        self._transport.send(message)

    def flush(self) -> None:
        """Write what was sent."""
        self._transport.flush()

    async def drain(self, timeout: float) -> bool:
        """Wait until everything queued was handed to the network; False if that takes longer (seconds)."""
        return await self._transport.drain(timeout)

    async def close(self) -> None:
        """Close the transport."""
        await self._transport.close()
