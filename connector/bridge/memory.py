"""Two transports that are each other's wire, for tests: same codec, no network, order kept."""

import asyncio

from connector.bridge.codec import Malformed, decode, encode
from connector.bridge.messages import Message
from connector.bridge.transport import Receiver


class MemoryTransport:
    """One end of a pair made by `memory_pair`. Connected while both ends run."""

    def __init__(self) -> None:
        self.peer: MemoryTransport | None = None
        self.receiver: Receiver | None = None
        self._stopping = asyncio.Event()
        self.generation = 0
        self._in_flight = 0
        self._empty = asyncio.Event()
        self._empty.set()
        self.is_connected = False

    @property
    def waiting(self) -> int:
        """How many messages are on their way."""
        return self._in_flight

    async def run(self, receiver: Receiver) -> None:
        """Be connected whenever the other end runs too, until cancelled or closed."""
        self.receiver = receiver
        self._stopping.clear()
        self._join()
        try:
            await self._stopping.wait()
        finally:
            self.drop("the other side stopped")
            self.receiver = None

    def send(self, message: Message) -> None:
        """Hand a message to the other end, in the loop's next turn."""
        self.send_raw(encode(message))

    def send_raw(self, payload: bytes) -> None:
        """Hand a payload to the other end, whatever it holds."""
        peer = self.peer
        if not self.is_connected or peer is None:
            return
        self._in_flight += 1
        self._empty.clear()
        asyncio.get_running_loop().call_soon(self._arrive, peer, payload, self.generation)

    def flush(self) -> None:
        """Do nothing: nothing is gathered."""

    async def drain(self, timeout: float) -> bool:
        """Wait until the other end took everything; False if that takes longer than `timeout` seconds."""
        try:
            async with asyncio.timeout(timeout):
                await self._empty.wait()
        except TimeoutError:
            return False
        return True

    async def close(self) -> None:
        """Hand over what is on its way, then end `run`."""
        await self.drain(1.0)
        self._stopping.set()

    def drop(self, reason: str = "the wire was cut") -> None:
        """Cut the wire: both ends are told, messages on their way are lost."""
        for end in (self, self.peer):
            if end is not None and end.is_connected:
                end.is_connected = False
                end.generation += 1
                if end.receiver is not None:
                    end.receiver.disconnected(reason)

    def reconnect(self) -> None:
        """Mend a wire that `drop` cut."""
        self._join()

    def _join(self) -> None:
        peer = self.peer
        if peer is None or self.receiver is None or peer.receiver is None or self.is_connected:
            return
        self.is_connected = peer.is_connected = True
        self.receiver.connected()
        peer.receiver.connected()

    def _arrive(self, peer: "MemoryTransport", payload: bytes, generation: int) -> None:
        self._in_flight -= 1
        if not self._in_flight:
            self._empty.set()
        receiver = peer.receiver
        if generation != self.generation or receiver is None:
            return
        try:
            message = decode(payload)
        except Malformed as problem:
            receiver.malformed(problem)
        else:
            receiver.received(message)


def memory_pair() -> tuple[MemoryTransport, MemoryTransport]:
    """Return the two ends of a wire."""
    one, other = MemoryTransport(), MemoryTransport()
    one.peer, other.peer = other, one
    return one, other
