"""One connection to the manager interface: panoramisk's protocol with its sharp edges taken off.

panoramisk gives the transport handling, the register of actions that wait and the match of replies to them.
Framing, parsing, events and lists are ours, because there it loses bytes, headers and events (see the tests,
one per defect).
"""

import asyncio
import socket
import struct
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Final, TypeAlias

import structlog
from panoramisk.actions import Action
from panoramisk.ami_protocol import AMIProtocol

from connector.asterisk.link_errors import AmiBusy, AmiDown, AmiRefused, AmiTimeout
from connector.asterisk.rows import RowGuard
from connector.asterisk.wire import (
    AmiMessage,
    AmiWireError,
    Fields,
    MessageSplitter,
    parse_message,
    render_action,
)

log = structlog.get_logger(__name__)

Tap: TypeAlias = Callable[[str, AmiMessage], None]
"""Sees each message: ">>>" and what was sent (secrets included), or "<<<" and what was received."""

OnEvent: TypeAlias = Callable[[AmiMessage], bool | None]
"""Takes an event; True: somebody's wait is thereby over, and they should go on before the next event."""

Keep: TypeAlias = Callable[[AmiMessage], bool]
"""Tells whether a row of a list is wanted. It must not raise."""

SENT: Final = ">>>"
RECEIVED: Final = "<<<"

_MOST_EARLY_EVENTS: Final = 10_000
_MOST_LIST_ITEMS: Final = 200_000
_MOST_ABANDONED: Final = 200
_MOST_UNSENT: Final = 1 << 20
_FAULTS_TOLD: Final = 10
_FAULTS_PER_LINE: Final = 1000
_RESET: Final = struct.pack("ii", 1, 0)
"""Closing a socket then discards what waits in it and resets the connection (`SO_LINGER`)."""
_REFUSALS: Final = frozenset({"error", "fail", "failure"})


class LinkAction(Action):  # type: ignore[misc]  # panoramisk has no types
    """An action that waits for its reply, or for the whole list that it asked for.

    What panoramisk keeps and could log are the names only; the headers live in the rendered text.
    """

    future: asyncio.Future[list[AmiMessage]]
    action_id = ""
    """The action's id; panoramisk's own property would look it up in any case of its name."""
    id = ""
    """The same: panoramisk asks for both."""

    def __init__(
        self, name: str, action_id: str, text: str, *, wants_list: bool, keep: Keep | None = None
    ) -> None:
        # Not panoramisk's own beginning: what it would look up in a dictionary is in attributes here.
        self._store: dict[str, tuple[str, str]] = {}
        self.future = asyncio.get_running_loop().create_future()
        self.name = name
        self.action_id = self.id = action_id
        self.wants_list = wants_list
        self._keep = keep
        self._text = text
        self._items: list[AmiMessage] = []

    def __str__(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return f"<LinkAction {self.name}>"

    def add_message(self, message: AmiMessage) -> bool:
        """Take the reply; tell whether the action is thereby over (panoramisk then forgets it)."""
        if message.response.lower() in _REFUSALS:
            self.fail(AmiRefused(self.name, message))
        elif not self.wants_list:
            self._finish([message])
        elif (message.get("EventList") or "").lower() == "start":
            return False
        else:
            self.fail(AmiRefused(self.name, "the answer is not a list"))
        return True

    def add_item(self, event: AmiMessage) -> bool:
        """Take one event of the list; tell whether the list is thereby over."""
        state = (event.get("EventList") or "").lower()
        if state == "complete":
            self._finish(self._items)
        elif state == "cancelled":
            self.fail(AmiRefused(self.name, "the list was cancelled"))
        else:
            return self.add_row(event)
        return True

    def add_row(self, event: AmiMessage) -> bool:
        """Take one row of the list, if it is wanted; tell whether the list is thereby over."""
        if self._keep is not None and not self._keep(event):
            return False
        if len(self._items) >= _MOST_LIST_ITEMS:
            self.fail(AmiRefused(self.name, f"more than {_MOST_LIST_ITEMS} items"))
        else:
            self._items.append(event)
            return False
        return True

    def expire(self, timeout: float) -> None:
        """End the wait: no reply came within `timeout` seconds."""
        self.fail(AmiTimeout(self.name, timeout))

    def fail(self, error: Exception) -> None:
        """End the wait with an error."""
        if not self.future.done():
            self.future.set_exception(error)
            # Whoever waited may be gone; that is no news.
            self.future.exception()

    def _finish(self, messages: list[AmiMessage]) -> None:
        if not self.future.done():
            self.future.set_result(messages)


class LinkProtocol(AMIProtocol):  # type: ignore[misc]  # panoramisk has no types
    """One connection. Events are held back until `start`; `lost` gives the reason of the end, once."""

    encoding = "utf-8"

    def __init__(self, *, next_id: Callable[[], str], max_pending: int, tap: Tap | None = None) -> None:
        loop = asyncio.get_running_loop()
        self.lost: asyncio.Future[str] = loop.create_future()
        self.greeted: asyncio.Future[str] = loop.create_future()
        # Not the loop's clock, which may count whole milliseconds.
        self.last_received = time.monotonic()
        self.arrived = self.last_received
        """When what is being taken in came, or a little before."""
        self.responses: dict[str, LinkAction] = {}
        self._loop = loop
        self._next_id = next_id
        self._max_pending = max_pending
        self._tap = tap
        self._on_event: OnEvent | None = None
        self._early: deque[AmiMessage] = deque()
        self._abandoned_lists: OrderedDict[str, None] = OrderedDict()
        self._splitter = MessageSplitter()
        self._rows = RowGuard(self._is_list, self._lists_are_open)
        self._backlog: deque[str] = deque()
        """Messages that are still to be taken in."""
        self._gives_way = False
        self._reason = ""
        self._faults = 0

    def start(self, on_event: OnEvent) -> None:
        """Deliver events from now on, first those that came since the login."""
        if self.lost.done():
            return
        self._on_event = on_event
        while self._early:
            self._deliver(self._early.popleft())

    def admit(self, name: str) -> None:
        """Bound what waits for answers; the link's own pings are not asked.

        Raises:
            AmiBusy: too much waits already.

        """
        unsent = 0 if self.lost.done() else self.transport.get_write_buffer_size()
        if len(self.responses) >= self._max_pending or unsent > _MOST_UNSENT:
            raise AmiBusy(name)

    async def request(self, name: str, fields: Fields, timeout: float) -> AmiMessage:
        """Send an action and wait for its reply.

        Raises:
            AmiRefused: Asterisk answered with an error.
            AmiTimeout: no reply within `timeout` seconds.
            AmiDown: the connection broke before the reply.
            AmiValueRejected: a value may not go out.

        """
        return (await self.ask(name, fields, timeout, wants_list=False))[0]

    async def ask(
        self, name: str, fields: Fields, timeout: float, *, wants_list: bool, keep: Keep | None = None
    ) -> list[AmiMessage]:
        """Send an action and wait for its one reply or for the items of its list; errors as for `request`."""
        action_id = self._next_id()
        text = render_action(name, fields, action_id).decode()
        if self.lost.done():
            raise AmiDown(name, self.lost.result())
        action = LinkAction(name, action_id, text, wants_list=wants_list, keep=keep)
        if self._tap is not None:
            self._show(SENT, text.removesuffix("\r\n\r\n"))
        late = self._loop.call_later(timeout, action.expire, timeout)
        try:
            return await self.send(action)
        finally:
            late.cancel()
            # Still there after a time-out or when the caller gave up.
            if self.responses.pop(action_id, None) is not None and wants_list:
                self._abandon(action_id)
            # The traceback of a refusal leads here, and must not lead on to what keeps the refusal: a circle
            # lives until Python searches for garbage.
            del action, late

    def send(self, data: LinkAction, as_list: bool | None = False) -> asyncio.Future[list[AmiMessage]]:
        """Write an action and keep it until its reply, in panoramisk's register."""
        del as_list
        self.responses[data.id] = data
        self.transport.write(str(data).encode())
        return data.future

    def data_received(self, data: bytes) -> None:
        """Cut, parse and route. Nothing that a peer sends or a callback raises gets out of here."""
        self.last_received = time.monotonic()
        try:
            texts = self._splitter.feed(data)
        except AmiWireError as problem:
            self.abort(str(problem))
            return
        if self._splitter.version is not None and not self.greeted.done():
            self.version = self._splitter.version
            self.greeted.set_result(self._splitter.version)
        if not self._backlog:
            self.arrived = self.last_received
        self._backlog.extend(texts)
        if not self._gives_way:
            self._work_off()

    def _work_off(self) -> None:
        """Take in what came, in order; once somebody's wait is over, they go on before the rest is taken in.

        The PBX tells the proof of an operation and much else in one go: the answer does not wait for that.
        """
        self._gives_way = False
        while self._backlog:
            if self._take_in(self._backlog.popleft()) and self._backlog:
                self._gives_way = True
                # Two turns of the loop: one for whoever waited, one to write what they send.
                self._loop.call_soon(self._loop.call_soon, self._work_off)
                return

    def _take_in(self, text: str) -> bool:
        """Parse and route one message; tell whether somebody's wait is thereby over."""
        admitted = self._rows.admit(text)
        if admitted is None:
            return False
        text, list_id = admitted
        try:
            message = parse_message(text)
        except AmiWireError as problem:
            log.warning("dropped a message of the PBX that cannot be read", problem=str(problem))
            return False
        if self._tap is not None:
            self._show(RECEIVED, message)
        return self._take_row(message, list_id) if list_id else self.handle_message(message)

    def _take_row(self, row: AmiMessage, list_id: str) -> bool:
        action = self.responses.get(list_id)
        if action is None or not action.add_row(row):
            return False
        del self.responses[list_id]
        return True

    def _is_list(self, action_id: str) -> bool:
        action = self.responses.get(action_id)
        return action.wants_list if action is not None else action_id in self._abandoned_lists

    def _lists_are_open(self) -> bool:
        return bool(self._abandoned_lists) or any(action.wants_list for action in self.responses.values())

    def handle_message(self, message: AmiMessage) -> bool:
        """Route by Event first: an event that answers an action has a Response header, too.

        Tells whether somebody's wait is thereby over.
        """
        action_id = message.action_id
        action = self.responses.get(action_id) if action_id is not None else None
        if not message.name:
            super().handle_message(message)
            return action is not None and action.future.done()
        if action_id is not None:
            if action_id in self._abandoned_lists:
                if (message.get("EventList") or "").lower() in {"complete", "cancelled"}:
                    del self._abandoned_lists[action_id]
                return False
            if action is not None and action.wants_list:
                if not action.add_item(message):
                    return False
                del self.responses[action_id]
                return True
        if self._on_event is not None:
            return self._deliver(message)
        if len(self._early) < _MOST_EARLY_EVENTS:
            self._early.append(message)
        else:
            self.abort("too many events before the login was over")
        return False

    def abort(self, reason: str) -> None:
        """End the connection at once; nothing more is written, nor delivered by the system of what was.

        A tone that comes late is heard by whoever is there then.
        """
        if not self._reason:
            self._reason = reason
        connection = self.transport.get_extra_info("socket")
        if connection is not None and not self.transport.is_closing():
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.transport.abort()
        # The loop reports the end a moment later; callers must not wait for it.
        self.connection_lost(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell all who wait. Nothing is kept for a later connection: what was sent may have been done."""
        if self.closed:
            return
        if not self._reason:
            # The PBX closed: what it said before counts.
            while self._backlog:
                self._take_in(self._backlog.popleft())
        self._backlog.clear()
        reason = self._reason or (str(exc) if exc is not None and str(exc) else "closed by the PBX")
        self._reason = reason
        self._on_event = _ignore
        self.close()
        if not self.lost.done():
            self.lost.set_result(reason)
        if not self.greeted.done():
            self.greeted.set_exception(AmiDown("Login", reason))
            self.greeted.exception()

    def close(self) -> None:
        """Fail the pending actions, then let panoramisk close the transport with nothing left to replay."""
        pending, self.responses = self.responses, {}
        for action in pending.values():
            action.fail(AmiDown(action.name, self._reason or "the link was closed"))
        super().close()

    def _abandon(self, action_id: str) -> None:
        """Remember a list that nobody waits for, so that its late items do not pass for events."""
        self._abandoned_lists[action_id] = None
        if len(self._abandoned_lists) > _MOST_ABANDONED:
            self._abandoned_lists.popitem(last=False)

    def _deliver(self, event: AmiMessage) -> bool:
        if self._on_event is None:
            return False
        try:
            return bool(self._on_event(event))
        except Exception:
            self._faults += 1
            # A fault that comes with every event must not flood the log, too.
            if self._faults <= _FAULTS_TOLD or self._faults % _FAULTS_PER_LINE == 0:
                log.exception("an AMI event could not be handled", amievent=event.name, faults=self._faults)
            return False

    def _show(self, direction: str, message: AmiMessage | str) -> None:
        if self._tap is None:
            return
        try:
            self._tap(direction, parse_message(message) if isinstance(message, str) else message)
        except Exception:
            log.exception("the recorder of the AMI link failed; recording stops")
            self._tap = None


def _ignore(_event: AmiMessage) -> None:
    """Drop what comes after the end."""
