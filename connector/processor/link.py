"""One client connection, seen from the bridge: requests and their replies, the referee, and the waits."""

import asyncio
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Protocol, TypeVar

import structlog

from connector.bridge.codec import Malformed
from connector.bridge.messages import (
    CATALOGUE,
    Body,
    Kind,
    Message,
    Result,
    request_message,
)
from connector.bridge.messages import control as control_wire
from connector.processor.effects import ProtocolViolation
from connector.processor.problems import BridgeGone, BridgeRequestFailed, BridgeTimeout, Reply
from connector.processor.rules import Rules

log = structlog.get_logger(__name__)

_T = TypeVar("_T")

_TAIL = 12
"""Messages of the log that a timeout quotes."""


class Direction(StrEnum):
    """Which way a message went, seen from the bridge."""

    SENT = "out"
    RECEIVED = "in"


@dataclass(frozen=True, slots=True)
class Entry:
    """One message of the bridge's log; `at` is in UTC. Its repr and the message's show no password."""

    at: datetime
    direction: Direction
    message: Message


def remember(log: list[Entry], entry: Entry, keep: int | None) -> None:
    """Append to a log of which at least the last `keep` entries stay; None: all."""
    log.append(entry)
    if keep is not None and len(log) > 2 * keep:
        del log[:-keep]


class Observer(Protocol):
    """Who owns a link: gets everything that happens on it."""

    def happened(self, link: "Link", entry: Entry) -> None:
        """Take note of a message that was sent or received."""
        ...

    def violated(self, link: "Link", text: str) -> None:
        """Take note of a broken rule."""
        ...

    def check(self) -> None:
        """Raise the first violation, if the owner is strict and there is one."""
        ...


class Ticker:
    """Lets many wait for "something changed"."""

    def __init__(self) -> None:
        self._changed: asyncio.Future[None] | None = None

    def tick(self) -> None:
        """Wake everybody."""
        if self._changed is not None and not self._changed.done():
            self._changed.set_result(None)
        self._changed = None

    async def wait(self) -> None:
        """Wait for the next tick."""
        if self._changed is None:
            self._changed = asyncio.get_running_loop().create_future()
        await asyncio.shield(self._changed)

    async def until(self, ready: Callable[[], _T | None], timeout: float, what: Callable[[], str]) -> _T:
        """Wait until `ready` returns something true, and return that.

        Raises:
            BridgeTimeout: that takes longer than `timeout` seconds; and whatever `ready` raises.

        """
        try:
            async with asyncio.timeout(timeout):
                while not (value := ready()):
                    await self.wait()
                return value
        except TimeoutError:
            raise BridgeTimeout(f"Not within {timeout} s: {what()}") from None


class Link:
    """The receiver of one connection."""

    def __init__(
        self,
        processor: str,
        owner: Observer,
        ticker: Ticker,
        send: Callable[[Message], Any],
        timeout: float,
        keep: int | None = None,
    ) -> None:
        self.rules = Rules(processor)
        self.alive = False
        self.lost_because = "it never was there"
        self.timeout = timeout
        self.log: list[Entry] = []
        self.on_reply: Callable[[Reply], None] = lambda _reply: None
        self.on_event: Callable[[str, Body], None] = lambda _target, _body: None
        self.on_connected: Callable[[], None] = lambda: None
        self.on_notice: Callable[[Message], None] = lambda _message: None
        self.on_lost: Callable[[], None] = lambda: None
        self._owner = owner
        self._ticker = ticker
        self._keep = keep
        self._send = send
        self._pending: dict[str, tuple[Message, asyncio.Future[Reply], Callable[[Reply], None] | None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    # -- receiver --------------------------------------------------------------------------------------

    def connected(self) -> None:
        """Begin the control initialisation."""
        self.rules = Rules(self.rules.control.target.removesuffix(".CONTROL"))
        self.alive = True
        self.on_connected()
        self.spawn(self.initialise(), "control initialisation")
        self._ticker.tick()

    def disconnected(self, reason: str) -> None:
        """Fail everything that waits for this connection."""
        self.alive = False
        self.lost_because = reason
        for task in tuple(self._tasks):
            task.cancel()
        pending, self._pending = self._pending, {}
        for _, future, _ in pending.values():
            if not future.done():
                future.set_exception(BridgeGone(f"The client's connection is gone: {reason}"))
                # Whoever asked may have stopped waiting: then nobody needs to hear it.
                future.exception()
        self.on_lost()
        self._ticker.tick()

    def received(self, message: Message) -> None:
        """Have the referee check a message, then hand it to whom it concerns."""
        self._note(Direction.RECEIVED, message)
        body: Body | None = None
        try:
            body = self.rules.received(message)
        except ProtocolViolation as violation:
            self._owner.violated(self, str(violation))
        if message.kind is Kind.RESPONSE:
            self._answered(message, body)
        elif message.kind is Kind.EVENT and body is not None:
            self.on_event(message.target, body)
        elif message.kind in {Kind.WARNING, Kind.ERROR}:
            self.on_notice(message)
        self._ticker.tick()

    def malformed(self, problem: Malformed) -> None:
        """Record what could not be read."""
        try:
            self.rules.malformed(problem)
        except ProtocolViolation as violation:
            self._owner.violated(self, str(violation))

    def _answered(self, message: Message, body: Body | None) -> None:
        pending = self._pending.pop(message.request_id or "", None)
        if pending is None:
            return
        request, future, at_once = pending
        reply = Reply(request, message, body)
        if at_once is not None:
            at_once(reply)
        if not future.done():
            future.set_result(reply)
        if body is not None:
            self.on_reply(reply)

    # -- asking ----------------------------------------------------------------------------------------

    async def request(
        self,
        target: str,
        what: Body | str,
        data: Mapping[str, Any] | None = None,
        *,
        timeout: float | None = None,
        request_id: str | None = None,
    ) -> Reply:
        """Send a query or request (typed, or by name with raw `data`) and wait for its response.

        Raises:
            BridgeTimeout: no response within `timeout` seconds (default: the link's).
            BridgeGone: the connection is gone.
            ProtocolViolation: the client broke a rule meanwhile (if the bridge is strict).

        """
        message = self._message(target, what, data or {}, request_id or str(uuid.uuid4()))
        return await self.ask(message, timeout=timeout)

    async def ask(
        self,
        message: Message,
        *,
        timeout: float | None = None,
        at_once: Callable[[Reply], None] | None = None,
    ) -> Reply:
        """Send a query or request and wait for its response. Raises as `request` does.

        `at_once` gets the response before anything that comes after it is looked at.
        """
        if not self.alive:
            raise BridgeGone(f"The client's connection is gone: {self.lost_because}")
        self._owner.check()
        patience = self.timeout if timeout is None else timeout
        self.rules.sent(message)
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._pending[message.request_id or ""] = (message, future, at_once)
        self._note(Direction.SENT, message)
        self._send(message)
        try:
            async with asyncio.timeout(patience):
                reply = await asyncio.shield(future)
        except TimeoutError:
            raise BridgeTimeout(
                f"No response to {message.name} for {message.target} within {patience} s.{self.tail()}"
            ) from None
        self._owner.check()
        return reply

    async def perform(self, target: str, body: Body, *, timeout: float | None = None) -> Reply:
        """Send a request, expect SUCCESS, and wait for the events that it promises.

        Raises:
            BridgeRequestFailed: the client answered FAILURE; and what `request` raises.

        """
        reply = await self.request(target, body, timeout=timeout)
        if reply.result is not Result.SUCCESS:
            raise BridgeRequestFailed(reply)
        await self.until(
            lambda: not any(each.request is reply.request for each in self.rules.owed()),
            timeout,
            lambda: f"the events that follow {reply.request.name} to {target}",
        )
        return reply

    @staticmethod
    def _message(target: str, what: Body | str, data: Mapping[str, Any], request_id: str) -> Message:
        if isinstance(what, Body):
            return request_message(target, what, request_id)
        spec = CATALOGUE.get(what)
        kind = spec.kind if spec is not None else Kind.QUERY if ".query." in what else Kind.REQUEST
        if kind not in {Kind.QUERY, Kind.REQUEST}:
            kind = Kind.REQUEST
        return Message(kind, what, target, dict(data), request_id=request_id)

    # -- waiting ---------------------------------------------------------------------------------------

    async def until(
        self, ready: Callable[[], _T | None], timeout: float | None, what: Callable[[], str]
    ) -> _T:
        """Wait until `ready` returns something true, and return that. Raises as `request` does."""

        def ready_or_over() -> _T | None:
            self._owner.check()
            value = ready()
            if not value and not self.alive:
                raise BridgeGone(f"The client's connection is gone: {self.lost_because}")
            return value

        patience = self.timeout if timeout is None else timeout
        return await self._ticker.until(ready_or_over, patience, lambda: f"{what()}.{self.tail()}")

    async def initialise(self) -> None:
        """Run the control initialisation: status, its event, capabilities."""
        target = self.rules.control.target
        await self.perform(target, control_wire.ServerStatus())
        await self.perform(target, control_wire.Capabilities())

    def spawn(self, work: Any, what: str) -> None:
        """Run a coroutine of the bridge's own; its failure counts as the client's fault."""
        task = asyncio.get_running_loop().create_task(self._guard(work, what))
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    @property
    def busy(self) -> bool:
        """Whether the bridge itself is still about something on this link."""
        return bool(self._tasks)

    async def _guard(self, work: Any, what: str) -> None:
        try:
            await work
        except (BridgeRequestFailed, BridgeTimeout) as problem:
            self._owner.violated(self, f"The bridge's {what} failed: {problem}")
        except (ProtocolViolation, BridgeGone):
            # Recorded already, or nobody's fault.
            return
        except Exception as fault:
            log.exception("the bridge failed", doing=what)
            self._owner.violated(self, f"The bridge's own {what} broke down: {fault!r}")

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._ticker.tick()

    def _note(self, direction: Direction, message: Message) -> None:
        entry = Entry(datetime.now(UTC), direction, message)
        remember(self.log, entry, self._keep)
        self._owner.happened(self, entry)

    def tail(self) -> str:
        """Return the last messages as text, for an error; empty if there are none."""
        lines = [
            f"\n  {each.at:%H:%M:%S.%f} {each.direction:<3} {each.message!r}" for each in self.log[-_TAIL:]
        ]
        return " Last messages:" + "".join(lines) if lines else " No message went."
