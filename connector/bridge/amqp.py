"""The AMQP transport: both sides meet at a message broker, and neither needs the other to be there.

A lost connection to the broker costs nothing: what was not confirmed is published again, what was not
acknowledged is delivered again, and repetitions are told apart by their message id. So the receiver does not
hear of it. It is told `disconnected` when messages really are lost or void: when more wait than may, and when
the other side turns out to be another process than before (its `app_id` changes).
"""

import asyncio
from collections.abc import Callable
from enum import Enum, auto
from functools import partial
from uuid import uuid4

import structlog
from aio_pika.abc import AbstractIncomingMessage
from aio_pika.exceptions import DeliveryError, PublishError
from yarl import URL

from connector.bridge.amqp_faults import FAULTS, hush, words
from connector.bridge.amqp_inbox import Inbox
from connector.bridge.amqp_letter import PEER_HEADER, letter_of
from connector.bridge.amqp_link import BrokerLink
from connector.bridge.amqp_outbox import Outbox, Outgoing, OutgoingRecord
from connector.bridge.amqp_peers import Peers
from connector.bridge.amqp_settings import AmqpSettings
from connector.bridge.amqp_standby import Standby, Superseded
from connector.bridge.amqp_succession import Resume, Succession
from connector.bridge.amqp_topology import Role
from connector.bridge.codec import Malformed, decode_parts
from connector.bridge.dialect import IDENTITY, Dialect
from connector.bridge.ledger import Batch, Ledger
from connector.bridge.messages import Kind, Message, failure
from connector.bridge.reconnecting import Pauses
from connector.bridge.transport import Receiver

log = structlog.get_logger(__name__)

_CLOSING = 2.0
_LOOK = 0.5
_ABSENT = 10.0
_UNSENDABLE = "The response cannot be sent; the connector's log says why."


class _Verdict(Enum):
    """What becomes of a delivery once it was looked at."""

    DONE = auto()
    """Acknowledge it."""
    OPEN = auto()
    """Acknowledge it when its answer is with the broker."""
    DEAD = auto()
    """Let the broker put it aside as a dead letter."""


class AmqpTransport:
    """Transport by way of a message broker. "Lost" is logged once, "back" once.

    With a `ledger` it goes on where an earlier process ended: `resume` is awaited, once, before anything is
    published or consumed.
    """

    def __init__(
        self,
        settings: AmqpSettings,
        dialect: Dialect = IDENTITY,
        *,
        ledger: Ledger | None = None,
        resume: Resume | None = None,
    ) -> None:
        """Raise ValueError if the URL is none."""
        self.instance = uuid4().hex
        self._settings = settings
        self._dialect = dialect
        self._url = URL(settings.url)
        self.where = f"{self._url.host}:{self._url.port or 'default port'}"
        self._outbox = Outbox(settings.send_queue, settings.unconfirmed)
        self._inbox: Inbox[AbstractIncomingMessage] = Inbox()
        self._receiver: Receiver | None = None
        self._link: BrokerLink | None = None
        self._peers = Peers()
        self._introduced = False
        self._overflowing = False
        self._stopping = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._ended = asyncio.Event()
        self._ended.set()
        self._lost_told = False
        self._was_up = False
        self._nobody_told = False
        self._acting = ledger is None
        self._superseded = False
        self._succession: Succession | None = None
        if ledger is not None:
            ledger.committed = self._committed
            names, declare = settings.names, settings.declare
            standby = (
                Standby(settings.standby, names.processor, declare=declare) if settings.standby else None
            )
            self._succession = Succession(ledger, resume, standby)

    @property
    def is_connected(self) -> bool:
        """Whether a connection to the broker is up."""
        return self._link is not None

    @property
    def waiting(self) -> int:
        """How many messages wait for the broker, or for its confirmation."""
        return len(self._outbox)

    # -- the transport's contract ----------------------------------------------------------------------

    async def run(self, receiver: Receiver) -> None:
        """Keep a connection to the broker until cancelled or closed.

        Pauses between attempts grow exponentially and are drawn between zero and that (full jitter).

        Raises:
            OSError: a TLS file cannot be used.
            Superseded: another connector leads; this one's state is void.

        """
        settings = self._settings
        hush()
        context = settings.tls.context() if settings.tls is not None else None
        self._receiver = receiver
        self._ended.clear()
        pauses = Pauses(settings.reconnect_initial, settings.reconnect_max)
        try:
            while not self._stopping.is_set():
                try:
                    link = await BrokerLink.open(settings, self._url, context)
                except FAULTS as problem:
                    self._tell_lost(words(problem))
                else:
                    reason = await self._serve(link)
                    if self._superseded:
                        raise Superseded
                    if self._stopping.is_set():
                        return
                    self._tell_lost(reason)
                    if link.was_useful:
                        pauses.begin_anew()
                await pauses.pause(self._stopping)
        finally:
            self._ended.set()

    def send(self, message: Message) -> None:
        """Queue a message; while the broker is away it waits. Never blocks.

        If more wait than the limit allows, all are dropped, and both sides begin anew.
        """
        if self._overflowing:
            return
        outgoing = self._outbox.put(message, self._succession.ledger.staged_turn if self._succession else 0)
        if outgoing is None:
            self._overflowing = True
            limit = self._settings.send_queue
            # Not at once: the sender is in the middle of something that this would pull from under its feet.
            asyncio.get_running_loop().call_soon(self.begin_anew, f"more than {limit} messages waited")
            return
        if self._succession is not None:
            self._succession.memory.put(outgoing)
        self._idle.clear()
        self._fill()

    def flush(self) -> None:
        """Do nothing: what is staged in one turn is one batch, and is published after it."""

    async def drain(self, timeout: float) -> bool:
        """Wait until the broker confirmed everything; False if that takes longer than `timeout` seconds."""
        try:
            async with asyncio.timeout(timeout):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True

    async def close(self) -> None:
        """Flush for a short while, close, and end `run`. What is not acknowledged stays with the broker."""
        if self._link is not None:
            await self.drain(_CLOSING)
        self._stopping.set()
        if self._link is not None:
            self._link.fail("closed by ourselves")
        try:
            async with asyncio.timeout(2 * _CLOSING):
                await self._ended.wait()
        except TimeoutError:
            return

    def begin_anew(self, reason: str) -> None:
        """Forget everything that is on its way and appear as another process: both sides start over."""
        self.instance = uuid4().hex
        self._overflowing = False
        dropped = self._drop_outgoing()
        self._close_requests()
        log.warning("messages to the other side dropped", reason=reason, dropped=dropped)
        if self._link is not None:
            self._link.fail(reason)
        if self._introduced and self._receiver is not None:
            self._introduced = False
            self._receiver.disconnected(reason)

    # -- one connection --------------------------------------------------------------------------------

    async def _serve(self, link: BrokerLink) -> str:
        try:
            self._took_up(link)
            # Apart from this wait: a call to a broker that fell silent may never return.
            link.spawn(self._use(link))
            return await link.lost
        finally:
            self._link = None
            # Whoever stands by may have the lead now.
            self._acting = self._acting and (self._succession is None or self._succession.standby is None)
            self._outbox.rewind()
            await link.close(_CLOSING)

    async def _use(self, link: BrokerLink) -> None:
        try:
            if not self._acting:
                await self._go_on(link)
            async with asyncio.timeout(self._settings.connect_timeout):
                await link.consume(partial(self._deliver, link))
            if self._is_bridge:
                await self._watch_client(link)
        except Superseded:
            self._superseded = True
            link.fail("another connector has taken over")
        except FAULTS as problem:
            link.fail(words(problem))
        except Exception:
            # A link on which nobody works would stay, and keep others from the lead.
            log.exception("the link to the broker cannot be worked with")
            link.fail("an error of the connector; its log says which")

    def _took_up(self, link: BrokerLink) -> None:
        self._link = link
        if self._lost_told:
            log.info("bridge back", broker=self.where, waiting=len(self._outbox))
        else:
            log.info("bridge connected", broker=self.where)
        self._lost_told = False
        self._was_up = True
        if not self._is_bridge and self._acting:
            self._introduce()
        self._fill()

    async def _go_on(self, link: BrokerLink) -> None:
        """Take the place of an earlier process, once we lead."""
        succession = self._succession
        if succession is None:
            return
        await succession.lead(link)
        self.instance = await succession.go_on(self.instance, self._peers, self._outbox, self._inbox)
        succession.memory.introduce(self.instance, self._peers)
        self._acting = True
        self._introduce()
        self._fill()

    def _committed(self, batch: Batch) -> None:
        if self._succession is not None:
            self._succession.committed(batch, self._outbox)
        self._fill()

    def _introduce(self) -> None:
        if not self._introduced and self._receiver is not None:
            self._introduced = True
            self._receiver.connected()

    async def _watch_client(self, link: BrokerLink) -> None:
        """Begin when a client consumes, and again when one comes back after it was away for long.

        No event tells who consumes a queue, so it is looked up every now and then.
        """
        queue = self._settings.names.queue_of(Role.CLIENT)
        absent = 0.0
        while not link.lost.done():
            if await link.consumers(queue):
                absent = 0.0
                self._introduce()
            else:
                absent += _LOOK
                if absent > _ABSENT and self._introduced:
                    self.begin_anew("the client is gone")
            await asyncio.wait({link.lost}, timeout=_LOOK)

    def _tell_lost(self, reason: str) -> None:
        if not self._lost_told:
            self._lost_told = True
            log.warning(
                "bridge lost" if self._was_up else "bridge not reachable", broker=self.where, reason=reason
            )

    # -- out -------------------------------------------------------------------------------------------

    def _fill(self) -> None:
        """Publish as much as the window allows. Tasks start in the order in which they are made."""
        link = self._link
        if link is None or link.lost.done() or not self._acting:
            return
        committed = self._succession.ledger.done_turn if self._succession is not None else 0
        while (outgoing := self._outbox.take(committed)) is not None:
            link.spawn(self._publish(link, outgoing))

    async def _publish(self, link: BrokerLink, outgoing: Outgoing | OutgoingRecord) -> None:
        if isinstance(outgoing, OutgoingRecord):
            await self._publish_record(link, outgoing)
            return
        if not await self._publish_or_excuse(link, outgoing):
            return
        link.was_useful = True
        self._outbox.settle(outgoing)
        if self._succession is not None:
            self._succession.memory.settle(outgoing)
        if outgoing.answers is not None:
            for delivery in self._inbox.answered(outgoing.answers):
                await link.acknowledge(delivery)
        self._published()

    async def _publish_record(self, link: BrokerLink, outgoing: OutgoingRecord) -> None:
        try:
            if self._succession is not None:
                await self._succession.post(link, outgoing, self._settings.confirm_timeout)
        except Exception as problem:  # noqa: BLE001 - requests wait for it: another link may bring it there
            link.fail(words(problem))
        else:
            self._outbox.settle(outgoing)
            self._published()

    def _published(self) -> None:
        if self._outbox.is_empty:
            self._idle.set()
        self._fill()

    async def _publish_or_excuse(self, link: BrokerLink, outgoing: Outgoing) -> bool:
        """Publish; True if the message is done with.

        What cannot be made a letter never can: kept, it would be tried for ever and fill the window. A
        response becomes a FAILURE, so that who asked need not wait for it.
        """
        message = outgoing.message
        try:
            return await self._post(link, message, outgoing.message_id)
        except Exception:
            log.exception("a message cannot be sent", name=message.name, kind=message.kind)
        if outgoing.answers is None:
            return True
        try:
            return await self._post(link, failure(message, _UNSENDABLE), outgoing.message_id)
        except Exception:
            log.exception("a response cannot be sent", name=message.name)
            return True

    async def _post(self, link: BrokerLink, message: Message, message_id: str) -> bool:
        """Publish; False if the link failed. Raises what shows that the message itself is at fault."""
        names = self._settings.names
        # Not among the faults of the link: what is wrong here would be wrong with the next link too.
        letter = letter_of(
            message, self._dialect, message_id=message_id, app_id=self.instance, peer=self._peers.current
        )
        try:
            await link.publish(
                letter,
                names.exchange_of(self._settings.role),
                names.routing_key(message.target),
                self._settings.confirm_timeout,
            )
        except PublishError:
            # No queue is bound: the other side never was there. Whoever asked is not there either.
            self._tell_nobody(message)
        except DeliveryError:
            link.fail("the broker refused a message")
            return False
        except FAULTS as problem:
            link.fail(words(problem))
            return False
        return True

    def _tell_nobody(self, message: Message) -> None:
        if not self._nobody_told:
            self._nobody_told = True
            log.warning("no queue takes our messages", name=message.name, target=message.target)

    # -- in --------------------------------------------------------------------------------------------

    async def _deliver(self, link: BrokerLink, delivery: AbstractIncomingMessage) -> None:
        receiver = self._receiver
        if receiver is None or link is not self._link:
            return
        link.was_useful = True
        # Nothing is awaited before the message was handed over: that keeps the order.
        verdict = self._look_at(delivery, receiver)
        if verdict is _Verdict.DONE:
            await link.acknowledge(delivery)
        elif verdict is _Verdict.DEAD:
            await link.put_aside(delivery)

    def _look_at(self, delivery: AbstractIncomingMessage, receiver: Receiver) -> _Verdict:
        if self._is_void(delivery):
            return _Verdict.DONE
        repeated = self._inbox.repeated(delivery.message_id, delivery)
        if repeated is not None:
            return _Verdict.DONE if repeated else _Verdict.OPEN
        if self._meets(delivery, receiver) and self._is_bridge:
            # What the new process says first is an answer to somebody who is gone.
            return _Verdict.DONE
        try:
            message = self._read(delivery)
        except Malformed as problem:
            self._inbox.saw(delivery.message_id)
            log.warning("dead letter", reason=problem.reason, queue=self._settings.names.dead_letters)
            _guarded(partial(receiver.malformed, problem), "a malformed message could not be answered")
            return _Verdict.DEAD
        asked = message.request_id if message.kind in {Kind.QUERY, Kind.REQUEST} else None
        self._inbox.saw(delivery.message_id, asked)
        if asked is not None:
            self._inbox.opened(asked, delivery)
            if self._succession is not None:
                self._succession.memory.took_in(asked, delivery.message_id)
        if not _guarded(partial(receiver.received, message), "a message could not be taken in"):
            if asked is not None:
                self._inbox.answered(asked)
            return _Verdict.DEAD
        return _Verdict.DONE if asked is None else _Verdict.OPEN

    @property
    def _is_bridge(self) -> bool:
        return self._settings.role is Role.BRIDGE

    def _is_void(self, delivery: AbstractIncomingMessage) -> bool:
        """Whether a message is from, or for, a process of the past."""
        if self._is_bridge:
            meant_for = delivery.headers.get(PEER_HEADER)
            for_another = meant_for is not None and meant_for != self.instance
            return for_another or self._peers.is_former(delivery.app_id)
        # A client answers everybody: no request is left alone but one whose sender is gone for certain.
        proof = self._peers.why_past(
            delivery.app_id, redelivered=delivery.redelivered, timestamp=delivery.timestamp
        )
        if proof is None:
            return False
        name, request_id = delivery.headers.get("name"), delivery.headers.get("requestId")
        log.warning("a message of a former bridge dropped", name=name, request_id=request_id, reason=proof)
        return True

    def _meets(self, delivery: AbstractIncomingMessage, receiver: Receiver) -> bool:
        """Take note of who speaks; True if that is somebody else than before, so that all begins anew."""
        if not delivery.app_id:
            return False
        anew = self._peers.meets(delivery.app_id, delivery.timestamp)
        if self._succession is not None:
            self._succession.memory.introduce(self.instance, self._peers)
        if not anew:
            return False
        if self._is_bridge:
            self.instance = uuid4().hex
        self._drop_outgoing()
        self._close_requests()
        log.info("the other side started anew")
        receiver.disconnected("the other side started anew")
        receiver.connected()
        return True

    def _drop_outgoing(self) -> int:
        dropped = self._outbox.clear()
        self._idle.set()
        if self._succession is not None:
            # Parts of the ledger may be among them.
            self._succession.recorder.snapshot_due = True
            self._succession.replication.forget()
            self._succession.memory.settle(*dropped)
            self._succession.memory.introduce(self.instance, self._peers)
        return len(dropped)

    def _close_requests(self) -> None:
        """Acknowledge requests whose answers nobody waits for any more."""
        if self._succession is not None:
            self._succession.memory.forget_letters()
        deliveries = self._inbox.close_all()
        if self._link is not None:
            for delivery in deliveries:
                self._link.spawn(self._link.acknowledge(delivery))

    def _read(self, delivery: AbstractIncomingMessage) -> Message:
        size, most = delivery.body_size, self._settings.max_body
        if size <= most:
            return decode_parts(delivery.headers, delivery.body, self._dialect)
        known = decode_parts(delivery.headers, b"", self._dialect)
        raise Malformed(
            f"A body of {size} bytes is longer than {most}.",
            kind=known.kind,
            request_id=known.request_id,
            name=known.name,
            target=known.target,
        )


def _guarded(hand_over: Callable[[], None], complaint: str) -> bool:
    try:
        hand_over()
    except Exception:
        log.exception(complaint)
        return False
    return True
