"""The reference Processor Bridge: listens, initialises every client that connects, and trusts none."""

import asyncio
import ssl
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

import structlog

from connector.bridge.amqp import AmqpTransport
from connector.bridge.codec import MAX_FRAME
from connector.bridge.dialect import IDENTITY, Dialect
from connector.bridge.messages import Body, Message
from connector.bridge.messages import control as control_wire
from connector.bridge.messages import session as session_wire
from connector.bridge.stream import FramedConnection
from connector.bridge.transport import Transport
from connector.processor.effects import ProtocolViolation
from connector.processor.floor import Floor, Session, Watcher
from connector.processor.handles import Interaction
from connector.processor.link import Direction, Entry, Link, Ticker, remember
from connector.processor.problems import BridgeGone, Reply

log = structlog.get_logger(__name__)

_SETTLE = 2.0
"""Seconds that the last answers and promised events get when the context is left."""


class ReferenceBridge:
    """Plays Harmony's part for one or more clients, and checks every message.

    A broken rule is recorded in `violations` and logged; if `strict`, every wait raises it from then on.
    Leaving the context raises it too, as it does for a request that was never answered or a promised event
    that never came. `on_message` is called with every message as it goes by, and so are all
    `listeners`; the last `keep` of them (None: all) stay in `log`. `port` 0 takes a free one; `port` says
    which. Times are seconds.
    """

    def __init__(
        self,
        processor: str = "LAB",
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        tls: ssl.SSLContext | None = None,
        strict: bool = True,
        timeout: float = 10.0,
        max_frame: int = MAX_FRAME,
        on_message: Callable[[Direction, Message], None] | None = None,
        dialect: Dialect = IDENTITY,
        keep: int | None = None,
    ) -> None:
        self.processor = processor
        self.host = host
        self.port = port
        self.strict = strict
        self.timeout = timeout
        self.log: list[Entry] = []
        self.violations: list[str] = []
        self.on_message = on_message
        self.listeners: set[Callable[[Direction, Message], None]] = set()
        self.watchers: list[Watcher] = []
        self.on_violation: Callable[[str], None] | None = None
        self._tls = tls
        self._max_frame = max_frame
        self._dialect = dialect
        self._keep = keep
        self._server: asyncio.Server | None = None
        self._ticker = Ticker()
        self._floors: list[Floor] = []
        self._connections: dict[FramedConnection, None] = {}
        self._attached: list[asyncio.Task[None]] = []
        self._brokers: list[AmqpTransport] = []

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                await self.settle()
        finally:
            await self.stop()
        if kind is None and self.strict:
            self.check()

    async def start(self) -> None:
        """Listen. Raises OSError if the port is taken."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._accept, self.host, self.port, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Close all connections and stop listening."""
        if self._server is not None:
            self._server.close()
        await asyncio.gather(*(each.close() for each in tuple(self._connections)))
        await asyncio.gather(*(each.close() for each in self._brokers))
        for task in self._attached:
            task.cancel()
        await asyncio.gather(*self._attached, return_exceptions=True)
        if self._server is not None:
            await self._server.wait_closed()
            self._server = None

    async def settle(self, timeout: float = _SETTLE) -> None:
        """Wait until nothing is unanswered or owed any more; what still is then becomes a violation."""
        links = [each.link for each in self._floors if each.link.alive]

        def unsettled() -> list[str]:
            return [text for link in links for text in _unsettled(link)]

        try:
            await self._ticker.until(lambda: not unsettled(), timeout, lambda: "")
        except TimeoutError:
            for text in unsettled():
                self._record(text)

    def attach(self, transport: Transport) -> Link:
        """Play the bridge on any transport (one end of a memory pair, say) until the context is left."""
        link = self._link(transport.send)
        if isinstance(transport, AmqpTransport):
            self._brokers.append(transport)
        self._attached.append(asyncio.get_running_loop().create_task(transport.run(link)))
        return link

    async def drop_connections(self) -> None:
        """Cut all sockets, as a network failure does. The clients may come back.

        A broker would hide that from the clients, so there the bridge appears as one that was started anew.
        """
        for broker in self._brokers:
            broker.begin_anew("the bridge cut the connection")
        for each in tuple(self._connections):
            each.abort("the bridge cut the connection")
        await asyncio.gather(*(asyncio.shield(each.closed) for each in tuple(self._connections)))

    # -- reading ---------------------------------------------------------------------------------------

    @property
    def link(self) -> Link:
        """The newest connection that is alive. Raises BridgeGone if there is none."""
        return self._floor().link

    @property
    def connected(self) -> bool:
        """Whether a client is connected."""
        return any(each.link.alive for each in self._floors)

    @property
    def status(self) -> control_wire.ServiceStatus | None:
        """The client's service status as last told; None before, and without a client."""
        return self.link.rules.control.status if self.connected else None

    @property
    def capabilities(self) -> control_wire.CapabilitiesReply | None:
        """What the client can do; None before it told, and without a client."""
        return self.link.rules.control.capabilities if self.connected else None

    @property
    def sessions(self) -> list[Session]:
        """The sessions on the newest connection."""
        return list(self._floor().sessions)

    def forget(self, what: Session | Interaction) -> None:
        """Let go of a session or interaction that was disposed of, so that a long shift costs no memory."""
        for each in self._floors:
            each.forget(what)
        self._ticker.tick()

    def check(self) -> None:
        """Raise ProtocolViolation if a rule was broken and the bridge is strict."""
        if self.strict and self.violations:
            more = f" ({len(self.violations) - 1} more)" if len(self.violations) > 1 else ""
            raise ProtocolViolation("The client must keep the protocol's rules.", self.violations[0] + more)

    # -- acting ----------------------------------------------------------------------------------------

    async def wait_status(self, *wanted: control_wire.ServiceStatus, timeout: float | None = None) -> None:
        """Wait until a client is initialised and has one of the service statuses."""

        def reached() -> bool:
            self.check()
            return self.capabilities is not None and self.status in wanted

        patience = self.timeout if timeout is None else timeout
        await self._ticker.until(
            reached,
            patience,
            lambda: f"a client that is {' or '.join(wanted)} (now: {self.status or 'no client'})",
        )

    async def wait_connected(self, timeout: float | None = None) -> None:
        """Wait until a client is connected and has answered the whole control initialisation."""
        patience = self.timeout if timeout is None else timeout
        await self._ticker.until(
            lambda: self.capabilities is not None,
            patience,
            lambda: "an initialised client",
        )

    async def wait_idle(self, timeout: float | None = None) -> None:
        """Wait until the bridge itself has nothing more to ask on the newest connection."""
        link = self.link
        await link.until(lambda: not link.busy, timeout, lambda: "the end of an initialisation")

    async def wait_in_service(self, timeout: float | None = None) -> None:
        """Wait until a client is connected, initialised and in service."""
        await self.wait_status(control_wire.ServiceStatus.IN_SERVICE, timeout=timeout)

    async def wait_disconnected(self, timeout: float | None = None) -> None:
        """Wait until no client is connected."""
        patience = self.timeout if timeout is None else timeout
        await self._ticker.until(lambda: not self.connected, patience, lambda: "the end of the connection")

    async def wait_lost(self, link: Link, timeout: float | None = None) -> None:
        """Wait until this one connection is gone."""
        patience = self.timeout if timeout is None else timeout
        await self._ticker.until(lambda: not link.alive, patience, lambda: "the end of the connection")

    async def login(
        self,
        agent_id: str,
        password: str,
        *,
        extension: str = "",
        name: str = "",
        chat: bool = False,
        email: bool = False,
        callback: bool = False,
        voicemail: bool = False,
        extensions: session_wire.GroupExtensions | None = None,
    ) -> Session:
        """Log an agent in: from createsession to initialised channels, not activated yet.

        Raises:
            BridgeRequestFailed: the client refused one of the steps; and what `request` raises.

        """
        return await self._floor().login(
            agent_id,
            password,
            extension=extension,
            session=session_wire.SessionInit(name=name, chat=chat, email=email, callback=callback),
            properties=session_wire.MediaProperties(
                chat=chat, email=email, callback=callback, voicemail=voicemail
            ),
            extensions=extensions or session_wire.GroupExtensions(),
        )

    async def request(
        self,
        target: str,
        what: Body | str,
        data: Mapping[str, Any] | None = None,
        *,
        timeout: float | None = None,
        request_id: str | None = None,
    ) -> Reply:
        """Send any query or request and wait for its response, whatever it is.

        `what` is a typed body, or a message name with the raw body in `data`: right or wrong, the client must
        answer. An empty `target` is the control destination.

        Raises:
            BridgeTimeout: no response in time.
            BridgeGone: no connection.
            ProtocolViolation: a rule was broken.

        """
        link = self.link
        to = target or link.rules.control.target
        return await link.request(to, what, data, timeout=timeout, request_id=request_id)

    def send_raw(self, data: bytes) -> None:
        """Write bytes to the newest socket as they are: for tests of the client's nerves."""
        connection = next(reversed(self._connections), None)
        if connection is None:
            raise BridgeGone("No client is connected.")
        connection.send_raw(data)

    # -- observer of the links -------------------------------------------------------------------------

    def happened(self, link: Link, entry: Entry) -> None:
        """Take note of a message that was sent or received."""
        del link
        remember(self.log, entry, self._keep)
        if self.on_message is not None:
            self.on_message(entry.direction, entry.message)
        for listener in tuple(self.listeners):
            listener(entry.direction, entry.message)

    def violated(self, link: Link, text: str) -> None:
        """Take note of a broken rule."""
        del link
        self._record(text)

    def _record(self, text: str) -> None:
        self.violations.append(text)
        log.error("protocol violation", violation=text)
        if self.on_violation is not None:
            self.on_violation(text)
        self._ticker.tick()

    # -- inside ----------------------------------------------------------------------------------------

    def _floor(self) -> Floor:
        for each in reversed(self._floors):
            if each.link.alive:
                return each
        raise BridgeGone("No client is connected.")

    def _accept(self) -> FramedConnection:
        connection = FramedConnection(max_frame=self._max_frame, dialect=self._dialect, gathers=False)
        connection.receiver = self._link(connection.send)
        self._connections[connection] = None
        connection.closed.add_done_callback(lambda _done: self._connections.pop(connection, None))
        return connection

    def _link(self, send: Callable[[Any], Any]) -> Link:
        self._floors = [each for each in self._floors if each.link.alive or not each.link.log]
        link = Link(self.processor, self, self._ticker, send, self.timeout, self._keep)
        self._floors.append(Floor(link, self.processor, self.watchers))
        return link


def _unsettled(link: Link) -> list[str]:
    texts = [
        f"The client sends exactly one response for each query and request. But: {each.name} for "
        f"{each.target} has none."
        for each in link.rules.outstanding()
    ]
    texts += [
        "A request that produces an event needs both: the response, then the event. But: "
        f"{' or '.join(sorted(each.events))} never followed {each.request.name} to {each.target}"
        f"{', but came before' if each.early else ''}."
        for each in link.rules.owed()
    ]
    if link.busy and not texts:
        texts.append("An initialisation that the bridge began is not finished.")
    return texts
