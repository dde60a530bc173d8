"""What waits to be published, and what is published but not confirmed yet: in order and bounded."""

from collections import deque
from dataclasses import dataclass, field
from itertools import count
from uuid import uuid4

from connector.bridge.messages import Kind, Message


@dataclass(slots=True, eq=False)
class Outgoing:
    """A message on its way. Its `message_id` stays the same when it is published once more."""

    message: Message
    number: int
    message_id: str = field(default_factory=lambda: uuid4().hex)
    turn: int = 0
    """The batch of the ledger that must be committed first; 0: none."""

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
        self._waiting: deque[Outgoing] = deque()
        self._unconfirmed: dict[int, Outgoing] = {}

    @property
    def is_empty(self) -> bool:
        """Whether everything was confirmed."""
        return not self._waiting and not self._unconfirmed

    def __len__(self) -> int:
        return len(self._waiting) + len(self._unconfirmed)

    def put(self, message: Message, turn: int = 0) -> Outgoing | None:
        """Queue a message, to leave when the ledger's batch `turn` is committed.

        None if more wait already than the limit allows.
        """
        if len(self._waiting) >= self._limit:
            return None
        outgoing = Outgoing(message, next(self._numbers), turn=turn)
        self._waiting.append(outgoing)
        return outgoing

    def restore(self, messages: list[Outgoing]) -> None:
        """Begin with the messages that an earlier process had not brought to the broker, in their order."""
        self.clear()
        self._waiting.extend(messages)
        self._numbers = count(messages[-1].number + 1 if messages else 0)

    def take(self, committed: int = 0) -> Outgoing | None:
        """Return the next message to publish; None if none waits or the window is full.

        A message that waits for a later batch than `committed` stays, and all behind it.
        """
        if not self._waiting or len(self._unconfirmed) >= self._window:
            return None
        if self._waiting[0].turn > committed:
            return None
        outgoing = self._waiting.popleft()
        self._unconfirmed[outgoing.number] = outgoing
        return outgoing

    def settle(self, outgoing: Outgoing) -> None:
        """Forget a message that the broker has."""
        self._unconfirmed.pop(outgoing.number, None)

    def rewind(self) -> None:
        """Put what was not confirmed back in front, in its old order: the connection is gone."""
        self._waiting.extendleft(
            self._unconfirmed[number] for number in sorted(self._unconfirmed, reverse=True)
        )
        self._unconfirmed.clear()

    def clear(self) -> list[Outgoing]:
        """Drop everything, and return what that was."""
        dropped = [*self._unconfirmed.values(), *self._waiting]
        self._waiting.clear()
        self._unconfirmed.clear()
        return dropped
