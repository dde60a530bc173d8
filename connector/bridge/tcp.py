"""The TCP transport: we connect to the bridge, and connect again for as long as it takes."""

import asyncio
import ssl
from dataclasses import dataclass

import structlog

from connector.bridge.codec import MAX_FRAME, Malformed
from connector.bridge.dialect import IDENTITY, Dialect
from connector.bridge.messages import Message
from connector.bridge.reconnecting import Pauses
from connector.bridge.stream import SEND_QUEUE, FramedConnection
from connector.bridge.transport import Receiver

log = structlog.get_logger(__name__)


NO_PASS_PHRASE = ""  # none # nosec B105
"""For `load_cert_chain`: without it OpenSSL asks at the terminal for that of a key, and everything waits."""


@dataclass(frozen=True, slots=True)
class TlsClient:
    """TLS towards the bridge. Paths name PEM files; an empty one is not used."""

    ca_file: str = ""
    verify: bool = True
    server_name: str = ""
    cert_file: str = ""
    key_file: str = ""

    def context(self) -> ssl.SSLContext:
        """Build the context.

        Raises:
            OSError: a file cannot be read, or is no PEM file of the right kind (`ssl.SSLError`).

        """
        context = ssl.create_default_context(cafile=self.ca_file or None)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if not self.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.cert_file:
            context.load_cert_chain(self.cert_file, self.key_file or None, password=NO_PASS_PHRASE)
        return context


@dataclass(frozen=True, slots=True)
class TcpSettings:
    """Where the bridge listens and how patient we are. Times in seconds, `max_frame` in bytes."""

    host: str
    port: int
    tls: TlsClient | None = None
    max_frame: int = MAX_FRAME
    send_queue: int = SEND_QUEUE
    connect_timeout: float = 5.0
    reconnect_initial: float = 0.5
    reconnect_max: float = 30.0


class TcpTransport:
    """Transport to a bridge that listens on TCP. "Lost" is logged once, "back" once.

    Who takes connections and ends them without a word (a proxy without its bridge, a bridge that wants
    another certificate) is not "back" each time: that is told when the bridge speaks.
    """

    def __init__(self, settings: TcpSettings, dialect: Dialect = IDENTITY) -> None:
        self._settings = settings
        self._dialect = dialect
        self._connection: FramedConnection | None = None
        self._stopping = asyncio.Event()
        self._dropped = 0
        self._lost_told = False
        self._was_up = False
        self._in_vain = False

    @property
    def is_connected(self) -> bool:
        """Whether a connection is up."""
        return self._connection is not None and self._connection.is_open

    @property
    def waiting(self) -> int:
        """How many messages wait for a slow bridge."""
        return self._connection.waiting if self._connection is not None else 0

    async def run(self, receiver: Receiver) -> None:
        """Keep a connection to the bridge until cancelled or closed.

        Pauses between attempts grow exponentially and are drawn between zero and that (full jitter).

        Raises:
            OSError: a TLS file cannot be used.

        """
        settings = self._settings
        context = settings.tls.context() if settings.tls is not None else None
        pauses = Pauses(settings.reconnect_initial, settings.reconnect_max)
        while not self._stopping.is_set():
            try:
                connection = await self._connect(receiver, context)
            except (OSError, TimeoutError) as problem:
                self._tell_lost(str(problem) or "no answer in time")
            else:
                reason = await self._serve(connection)
                if self._stopping.is_set():
                    return
                self._in_vain = not connection.received_any
                self._tell_lost(reason)
                if connection.received_any:
                    pauses.begin_anew()
            await pauses.pause(self._stopping)

    def send(self, message: Message) -> None:
        """Queue a message; without a connection it is dropped, for the bridge initialises anew."""
        if self._connection is None or not self._connection.send(message):
            self._dropped += 1

    def flush(self) -> None:
        """Write what is queued: a response, with the events that it released."""
        if self._connection is not None:
            self._connection.flush()

    async def drain(self, timeout: float) -> bool:
        """Wait until the network took everything; False if that takes longer than `timeout` seconds."""
        return self._connection is None or await self._connection.drain(timeout)

    async def close(self) -> None:
        """Flush for a short while, close, and end `run`."""
        self._stopping.set()
        if self._connection is not None:
            await self._connection.close()

    async def _connect(self, receiver: Receiver, context: ssl.SSLContext | None) -> FramedConnection:
        settings = self._settings

        def make() -> FramedConnection:
            connection = FramedConnection(
                max_frame=settings.max_frame, send_queue=settings.send_queue, dialect=self._dialect
            )
            connection.receiver = _Told(self, connection, receiver)
            return connection

        server_name = settings.tls.server_name if settings.tls is not None else ""
        async with asyncio.timeout(settings.connect_timeout):
            _, connection = await asyncio.get_running_loop().create_connection(
                make,
                settings.host,
                settings.port,
                ssl=context,
                server_hostname=(server_name or settings.host) if context is not None else None,
            )
        return connection

    async def _serve(self, connection: FramedConnection) -> str:
        try:
            return await asyncio.shield(connection.closed)
        finally:
            connection.abort("the transport was stopped")
            if self._connection is connection:
                self._connection = None

    def took_up(self, connection: FramedConnection) -> bool:
        """Use a connection from now on; False if it is to be told (`tell_up`) when the bridge speaks."""
        self._connection = connection
        if self._lost_told and self._in_vain:
            return False
        self.tell_up(connection)
        return True

    def tell_up(self, connection: FramedConnection) -> None:
        """Tell that the bridge is there."""
        if self._lost_told:
            log.info("bridge back", peer=connection.peer, dropped=self._dropped)
        else:
            log.info("bridge connected", peer=connection.peer)
        self._dropped = 0
        self._lost_told = False
        self._was_up = True

    def _tell_lost(self, reason: str) -> None:
        if not self._lost_told:
            self._lost_told = True
            log.warning(
                "bridge lost" if self._was_up else "bridge not reachable",
                host=self._settings.host,
                port=self._settings.port,
                reason=reason,
            )


class _Told:
    """Receiver of one connection: the transport hears of it before the connector's own receiver does."""

    def __init__(self, transport: TcpTransport, connection: FramedConnection, receiver: Receiver) -> None:
        self._transport = transport
        self._connection = connection
        self._receiver = receiver
        self.received = receiver.received
        self.malformed = receiver.malformed
        self.disconnected = receiver.disconnected

    def connected(self) -> None:
        if not self._transport.took_up(self._connection):
            self.received, self.malformed = self._first_received, self._first_malformed
        self._receiver.connected()

    def _first_received(self, message: Message) -> None:
        self._speaks()
        self.received(message)

    def _first_malformed(self, problem: Malformed) -> None:
        if self._connection.received_any:
            self._speaks()
        self._receiver.malformed(problem)

    def _speaks(self) -> None:
        self.received, self.malformed = self._receiver.received, self._receiver.malformed
        self._transport.tell_up(self._connection)
