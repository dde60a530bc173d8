"""The tap in a running connector: everything that passes its bridge transport goes into a recording too."""

import structlog

from connector.bridge.codec import Malformed
from connector.bridge.messages import Message
from connector.bridge.transport import PassingTransport, Receiver, Transport
from connector.bridge.wirelog import Way, WireWriter

log = structlog.get_logger(__name__)


class RecordedTransport(PassingTransport):
    """A transport with a tap. It stands above the wire, so it records any transport and any dialect alike.

    When the recording cannot be written any more it ends, with one line in the log; the connector goes on.
    """

    def __init__(self, transport: Transport, writer: WireWriter) -> None:
        super().__init__(transport)
        self._writer = writer
        self._broken = False

    async def run(self, receiver: Receiver) -> None:
        """Run the transport; the file is closed when it ends."""
        try:
            await super().run(_Tapped(self, receiver))
        finally:
            self._writer.close()

    def send(self, message: Message) -> None:
        """Send a message; one that has no connection to go to is not recorded, for it never goes."""
        if self.is_connected:
            self.message(Way.TO_BRIDGE, message)
        super().send(message)

    def message(self, way: Way, message: Message) -> None:
        """Record a message."""
        if self._broken:
            return
        try:
            self._writer.message(way, message)
        except OSError as problem:
            self._give_up(problem)

    def note(self, way: Way, text: str = "") -> None:
        """Record something that is no message."""
        if self._broken:
            return
        try:
            self._writer.note(way, text)
        except OSError as problem:
            self._give_up(problem)

    def _give_up(self, problem: OSError) -> None:
        self._broken = True
        self._writer.close()
        log.warning("the recording of the bridge ended", file=str(self._writer.path), reason=problem.strerror)


class _Tapped:
    """The receiver between transport and connector."""

    def __init__(self, tap: RecordedTransport, receiver: Receiver) -> None:
        self._tap = tap
        self._receiver = receiver

    def connected(self) -> None:
        self._tap.note(Way.UP)
        self._receiver.connected()

    def disconnected(self, reason: str) -> None:
        self._tap.note(Way.DOWN, reason)
        self._receiver.disconnected(reason)

    def received(self, message: Message) -> None:
        self._tap.message(Way.TO_CONNECTOR, message)
        self._receiver.received(message)

    def malformed(self, problem: Malformed) -> None:
        self._tap.note(Way.MALFORMED, problem.reason)
        self._receiver.malformed(problem)
