"""What waits to be published, and what is published but not confirmed yet: in order and bounded."""

from collections import deque
from dataclasses import dataclass, field
from itertools import count
from uuid import uuid4

from connector.bridge.ledger_copy import Record
from connector.bridge.messages import Kind, Message


@dataclass(slots=True, eq=False)
class OutgoingRecord:
    """A part of the ledger on its way to the broker."""

    record: Record
    turn: int = 0
    """The batch of the ledger that it is of."""
    order: int = 0


@dataclass(slots=True, eq=False)
class Outgoing:
    """A message on its way. Its `message_id` stays the same when it is published once more."""

    message: Message
    number: int
    message_id: str = field(default_factory=lambda: uuid4().hex)
    turn: int = 0
    """The batch of the ledger that must be committed first; 0: none."""
    order: int = 0
    """Its place among all that was published."""

    @property
    def answers(self) -> str | None:
        """The id of the request that this message answers."""
        return self.message.request_id if self.message.kind is Kind.RESPONSE else None


class Outbox:
    """An ordered queue with a window of unconfirmed messages. It does no I/O."""

    def __init__(self, limit: int, window: int) -> None:
        self._limit = limit
        self._window = window
        self._numbers = count()
        self._orders = count(1)
        self._again: deque[Outgoing | OutgoingRecord] = deque()
        self._records: deque[OutgoingRecord] = deque()
        self._waiting: deque[Outgoing] = deque()
        self._unconfirmed: dict[int, Outgoing | OutgoingRecord] = {}

    @property
    def is_empty(self) -> bool:
        """Whether everything was confirmed."""
        return not len(self) and not self._records

    def __len__(self) -> int:
        return len(self._again) + len(self._waiting) + len(self._unconfirmed)

    def put(self, message: Message, turn: int = 0) -> Outgoing | None:
        """Queue a message, to leave when the ledger's batch `turn` is committed.

        None if more wait already than the limit allows.
        """
        if len(self._waiting) + len(self._again) >= self._limit:
            return None
        outgoing = Outgoing(message, next(self._numbers), turn=turn)
        self._waiting.append(outgoing)
        return outgoing

    def put_record(self, record: Record, turn: int = 0) -> None:
        """Queue a part of the ledger; it leaves before the messages that wait for its batch, `turn`."""
        self._records.append(OutgoingRecord(record, turn))

    def restore(self, messages: list[Outgoing]) -> None:
        """Begin with the messages that an earlier process had not brought to the broker, in their order."""
        self.clear()
        self._waiting.extend(messages)
        self._numbers = count(messages[-1].number + 1 if messages else 0)

    def take(self, committed: int = 0) -> Outgoing | OutgoingRecord | None:
        """Return the next message to publish; None if none waits or the window is full.

        A message that waits for a later batch than `committed` stays, and all behind it.
        """
        if len(self._unconfirmed) >= self._window:
            return None
        outgoing: Outgoing | OutgoingRecord
        if self._again:
            outgoing = self._again.popleft()
        elif self._records:
            outgoing = self._records.popleft()
        elif self._waiting and self._waiting[0].turn <= committed:
            outgoing = self._waiting.popleft()
        else:
            return None
        outgoing.order = next(self._orders)
        self._unconfirmed[outgoing.order] = outgoing
        return outgoing

    def settle(self, outgoing: Outgoing | OutgoingRecord) -> None:
        """Forget what the broker has."""
        self._unconfirmed.pop(outgoing.order, None)

    def rewind(self) -> None:
        """Put what was not confirmed back in front, in its old order: the connection is gone."""
        self._again.extendleft(self._unconfirmed[order] for order in sorted(self._unconfirmed, reverse=True))
        self._unconfirmed.clear()

    def clear(self) -> list[Outgoing]:
        """Drop everything, and return the messages among it."""
        whole = [*self._unconfirmed.values(), *self._again, *self._waiting]
        dropped = [one for one in whole if isinstance(one, Outgoing)]
        self._again.clear()
        self._records.clear()
        self._waiting.clear()
        self._unconfirmed.clear()
        return dropped
