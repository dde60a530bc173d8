"""Plays the bridge's side of a recording against a connector, and tells where it behaves otherwise today."""

import asyncio
import ssl
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from connector.bridge.catalogue.control import ServiceStatus
from connector.bridge.codec import MAX_FRAME, Malformed
from connector.bridge.dialect import IDENTITY, Dialect
from connector.bridge.messages import Kind, Message, Result
from connector.bridge.stream import FramedConnection
from connector.bridge.wirelog import HIDDEN, Record, Way
from connector.processor.link import Direction, Entry, Ticker
from connector.processor.matching import VOLATILE, Ids, differences
from connector.processor.problems import BridgeTimeout

_STATUS = "cti.serverstatuschanged"


class PlaybackError(Exception):
    """A recording cannot be played, or not any further. One sentence."""


def needs_password(records: Sequence[Record]) -> bool:
    """Return whether a recording sends a password, which it does not hold."""
    return any(
        HIDDEN in each.message.body.values()
        for each in records
        if each.way is Way.TO_CONNECTOR and each.message is not None
    )


class Playback:
    """The bridge of one recording. Times are in seconds; `port` 0 takes a free one, `port` says which.

    What the recorded client did before a message of the bridge must have happened again before that message
    is sent; every wait for it ends after `deadline`. Request ids are new, and the ids that the client gives
    its calls are followed. The service status is a state, not a step: how often it changes on the way to the
    recorded one is a matter of milliseconds. `on_entry` sees every message, `on_difference` every difference.
    """

    def __init__(
        self,
        records: Sequence[Record],
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        tls: ssl.SSLContext | None = None,
        dialect: Dialect = IDENTITY,
        password: str = "",
        deadline: float = 30.0,
        settle: float = 1.0,
        ignore: frozenset[str] = VOLATILE,
        on_entry: Callable[[Entry], None] = lambda _entry: None,
        on_difference: Callable[[str], None] = lambda _text: None,
    ) -> None:
        """Take a recording.

        Raises:
            PlaybackError: no connection begins in it.

        """
        self.host = host
        self.port = port
        self.differences: list[str] = []
        self.sent = 0
        self.matched = 0
        self._records = _from_the_first_connection(records)
        self._succeeded = {
            each.message.request_id
            for each in records
            if each.message is not None and each.message.result is Result.SUCCESS
        }
        self._tls = tls
        self._dialect = dialect
        self._password = password
        self._deadline = deadline
        self._settle = settle
        self._ignore = ignore
        self._on_entry = on_entry
        self._on_difference = on_difference
        self._server: asyncio.Server | None = None
        self._ticker = Ticker()
        self._connection: FramedConnection | None = None
        self._alive = False
        self._inbox: list[Message] = []
        self._status: str | None = None
        self._ids = Ids()
        self._requests: dict[str, str] = {}

    async def start(self) -> None:
        """Listen. Raises OSError if the port is taken."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._accept, self.host, self.port, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Close the connection and stop listening."""
        if self._server is not None:
            self._server.close()
        await self._hang_up()
        if self._server is not None:
            await self._server.wait_closed()
            self._server = None

    async def play(self) -> list[str]:
        """Play everything and return the differences.

        Raises:
            PlaybackError: it cannot go on: nobody connects, the connection is lost, a call never came about.

        """
        for number, record in enumerate(self._records):
            match record.way:
                case Way.UP:
                    await self._connected()
                case Way.DOWN if any(each.way is Way.UP for each in self._records[number:]):
                    self._tell_the_rest()
                    await self._hang_up()
                case Way.TO_CONNECTOR if record.message is not None:
                    self._send(record.message)
                case Way.TO_BRIDGE if record.message is not None and record.message.name == _STATUS:
                    # That the client was stopped in the end is nothing that a bridge brings about.
                    if record.message.body.get("status") != ServiceStatus.STOPPING:
                        await self._expect_status(number)
                case Way.TO_BRIDGE if record.message is not None:
                    await self._expect(record.message, record.line)
                case _:
                    # What was malformed then is not in the recording.
                    continue
        await self._until_quiet()
        self._tell_the_rest()
        return self.differences

    # -- receiver of a connection ----------------------------------------------------------------------

    def connected(self) -> None:
        """Take note of the connection."""
        self._alive = True
        self._ticker.tick()

    def disconnected(self, reason: str) -> None:
        """Take note of its end."""
        del reason
        self._alive = False
        self._ticker.tick()

    def received(self, message: Message) -> None:
        """Keep a message until the recording comes to it."""
        self._on_entry(Entry(datetime.now(UTC), Direction.RECEIVED, message))
        if message.name == _STATUS:
            self._status = message.body.get("status")
        else:
            self._inbox.append(message)
        self._ticker.tick()

    def malformed(self, problem: Malformed) -> None:
        """Take note of what cannot be read."""
        self._differ(f"the client sent what is no message: {problem.reason}")

    # -- inside ----------------------------------------------------------------------------------------

    def _accept(self) -> FramedConnection:
        connection = FramedConnection(max_frame=MAX_FRAME, dialect=self._dialect)
        connection.receiver = self
        self._connection = connection
        return connection

    async def _connected(self) -> None:
        try:
            await self._ticker.until(lambda: self._alive, self._deadline, lambda: "a client that connects")
        except BridgeTimeout:
            raise PlaybackError(f"No client connected within {self._deadline:g} s.") from None

    async def _hang_up(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()
        self._alive = False
        self._status = None

    def _tell_the_rest(self) -> None:
        for message in self._inbox:
            self._differ(f"{_named(message)} is not in the recording")
        self._inbox.clear()

    def _send(self, recorded: Message) -> None:
        if self._connection is None or not self._alive:
            raise PlaybackError(f"The client hung up before {recorded.name} for {recorded.target}.")
        body = {key: self._value(key, value, recorded) for key, value in recorded.body.items()}
        request_id = str(uuid.uuid4()) if recorded.request_id is not None else None
        message = Message(recorded.kind, recorded.name, recorded.target, body, request_id=request_id)
        if request_id is not None:
            self._requests[recorded.request_id or ""] = request_id
        self._on_entry(Entry(datetime.now(UTC), Direction.SENT, message))
        self._connection.send(message)
        self.sent += 1

    def _value(self, key: str, value: Any, message: Message) -> Any:
        if value == HIDDEN and "password" in key.lower():
            return self._password
        if key != "nativeid" or not isinstance(value, str):
            return value
        today = self._ids.today(value)
        if today is None and message.request_id not in self._succeeded:
            # An id that was wrong then is as wrong today.
            return value
        if today is None:
            raise PlaybackError(
                f"{message.name} for {message.target} needs the call {value}, which has not come about today."
            )
        return today

    async def _expect(self, recorded: Message, line: int) -> None:
        def come() -> int | None:
            found = next((at for at, each in enumerate(self._inbox, 1) if self._fits(recorded, each)), None)
            if found is None and not self._alive:
                raise PlaybackError(f"The client hung up before {_named(recorded)} (line {line}).")
            return found

        try:
            at = await self._ticker.until(come, self._deadline, lambda: "")
        except BridgeTimeout:
            self._differ(f"{_named(recorded)} (line {line}) did not come within {self._deadline:g} s")
            return
        today = self._inbox.pop(at - 1)
        self.matched += 1
        for earlier in self._inbox[: at - 1]:
            if earlier.target == recorded.target and earlier.kind is recorded.kind is Kind.EVENT:
                self._differ(f"{_named(earlier)} came before {recorded.name} (line {line})")
        for text in differences(recorded, today, self._ids, self._ignore):
            self._differ(f"{_named(recorded)} (line {line}): {text}")

    async def _expect_status(self, number: int) -> None:
        """Wait for the recorded status, or for one that came after it on the same connection."""
        fit: list[str] = []
        for record in self._records[number:]:
            if record.way is Way.DOWN:
                break
            if record.message is not None and record.message.name == _STATUS:
                fit.append(str(record.message.body.get("status")))

        def come() -> bool:
            if self._status not in fit and not self._alive:
                raise PlaybackError(f"The client hung up before it was {fit[0]}.")
            return self._status in fit

        try:
            await self._ticker.until(come, self._deadline, lambda: "")
        except BridgeTimeout:
            line = self._records[number].line
            self._differ(f"the service status (line {line}) is {self._status}, recorded {fit[0]}")
        else:
            self.matched += 1

    def _fits(self, recorded: Message, today: Message) -> bool:
        if recorded.kind is Kind.RESPONSE:
            return today.request_id is not None and today.request_id == self._requests.get(
                recorded.request_id or ""
            )
        return (recorded.kind, recorded.name, recorded.target) == (today.kind, today.name, today.target)

    async def _until_quiet(self) -> None:
        # Nothing more is expected: how long to listen for what should not come is a matter of patience.
        try:
            async with asyncio.timeout(self._settle):
                while self._alive:
                    await self._ticker.wait()
        except TimeoutError:
            return

    def _differ(self, text: str) -> None:
        if text not in self.differences:
            self.differences.append(text)
            self._on_difference(text)


def _from_the_first_connection(records: Sequence[Record]) -> list[Record]:
    for at, record in enumerate(records):
        if record.way is Way.UP:
            return list(records[at:])
    raise PlaybackError("No connection begins in the recording, so there is nothing to play.")


def _named(message: Message) -> str:
    kind = "the response to " if message.kind is Kind.RESPONSE else ""
    return f"{kind}{message.name} for {message.target}"
