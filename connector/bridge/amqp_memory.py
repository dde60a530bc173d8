"""What the AMQP transport must know again after a restart, as rows of the ledger. It does no I/O.

Who we are to the other side and who that is; what waits to be published, with its `message_id`; which
requests were answered, so that one that the broker delivers once more is not answered once more.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

import msgspec

from connector.bridge.amqp_outbox import Outgoing
from connector.bridge.amqp_peers import Peers
from connector.bridge.ledger import Ledger, rows_of
from connector.bridge.messages import Message

ANSWERED = 4096
"""Answered requests whose `message_id` is kept."""

_SELF = "amqp/self"
_OUT, _SEEN = "out/", "seen/"


class _Self(msgspec.Struct):
    instance: str
    peer: str | None
    newest: datetime | None


class _Waiting(msgspec.Struct):
    message: Message
    message_id: str


class _Seen(msgspec.Struct):
    request: str
    number: int


@dataclass
class Recollection:
    """What an earlier process left. An empty `instance`: nothing."""

    instance: str = ""
    peer: str | None = None
    newest: datetime | None = None
    waiting: list[Outgoing] = field(default_factory=list)
    answered: list[tuple[str, str]] = field(default_factory=list)
    """`message_id` and `requestId` of answered requests."""


class Memory:
    """Writes the transport's rows."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self._letters: dict[str, str] = {}
        self._answered: deque[str] = deque()
        self._count = 0

    def recall(self, rows: Mapping[str, bytes]) -> Recollection:
        """Read what was left, and go on from there."""
        found = Recollection()
        self._letters.clear()
        self._answered.clear()
        own = rows_of(rows, _SELF, _Self).get("")
        if own is not None:
            found.instance, found.peer, found.newest = own.instance, own.peer, own.newest
        waiting = rows_of(rows, _OUT, _Waiting)
        for key in sorted(key for key in waiting if key.isdecimal()):
            row = waiting[key]
            found.waiting.append(Outgoing(row.message, int(key), row.message_id))
        answered = rows_of(rows, _SEEN, _Seen)
        for message_id, seen in sorted(answered.items(), key=lambda each: each[1].number):
            found.answered.append((message_id, seen.request))
            self._answered.append(message_id)
            self._count = seen.number
        return found

    def introduce(self, instance: str, peers: Peers) -> None:
        """Keep who we are and with whom we speak."""
        row = _Self(instance, peers.current, peers.newest)
        self.ledger.put(_SELF, lambda: row)

    def took_in(self, request_id: str, message_id: str | None) -> None:
        """Note the letter in which a request came."""
        if message_id:
            self._letters[request_id] = message_id

    def put(self, outgoing: Outgoing) -> None:
        """Keep a message that waits to be published, and that it answers its request."""
        self.ledger.put(_key(outgoing), lambda: _Waiting(outgoing.message, outgoing.message_id))
        request_id = outgoing.answers
        message_id = self._letters.pop(request_id, None) if request_id is not None else None
        if request_id is None or message_id is None:
            return
        self._count += 1
        row = _Seen(request_id, self._count)
        self.ledger.put(_SEEN + message_id, lambda: row)
        self._answered.append(message_id)
        while len(self._answered) > ANSWERED:
            self.ledger.drop(_SEEN + self._answered.popleft())

    def settle(self, *done: Outgoing) -> None:
        """Forget messages that the broker has, or that are void."""
        for outgoing in done:
            self.ledger.drop(_key(outgoing))

    def forget_letters(self) -> None:
        """Forget the requests that nobody answers any more."""
        self._letters.clear()


def _key(outgoing: Outgoing) -> str:
    return f"{_OUT}{outgoing.number:015d}"
