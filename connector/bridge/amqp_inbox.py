"""What was delivered and is not done yet: when to acknowledge, and what is a repetition. It does no I/O."""

from collections import OrderedDict
from typing import Generic, TypeVar

REMEMBERED = 10_000
"""Message ids that are remembered, to tell a repetition of the broker."""

D = TypeVar("D")


class Inbox(Generic[D]):
    """Deliveries (of any type) by the request that they carry; requests are done when they are answered."""

    def __init__(self, remembered: int = REMEMBERED) -> None:
        self._remembered = remembered
        self._open: dict[str, list[D]] = {}
        self._seen: OrderedDict[str, str | None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._open)

    def repeated(self, message_id: str | None, delivery: D) -> bool | None:
        """Look whether the broker delivers a message once more.

        None: it is new. True: it was done, so acknowledge it. False: it is still being worked on, and this
        delivery is acknowledged with the answer.
        """
        if not message_id or message_id not in self._seen:
            return None
        request_id = self._seen[message_id]
        deliveries = self._open.get(request_id) if request_id is not None else None
        if deliveries is None:
            return True
        deliveries.append(delivery)
        return False

    def saw(self, message_id: str | None, request_id: str | None = None) -> None:
        """Remember a message that is handed on now, with the request that it carries."""
        if not message_id:
            return
        self._seen[message_id] = request_id
        while len(self._seen) > self._remembered:
            self._seen.popitem(last=False)

    def await_answer(self, request_id: str) -> None:
        """Take note of a request whose answer, made by an earlier process, is not with the broker yet."""
        self._open.setdefault(request_id, [])

    def opened(self, request_id: str, delivery: D) -> None:
        """Take note of a request that must be answered before its delivery is acknowledged."""
        self._open.setdefault(request_id, []).append(delivery)

    def answered(self, request_id: str) -> list[D]:
        """Return the deliveries that an answer, now safely with the broker, allows to acknowledge."""
        return self._open.pop(request_id, [])

    def close_all(self) -> list[D]:
        """Return all deliveries: nobody waits for these answers any more."""
        deliveries = [each for group in self._open.values() for each in group]
        self._open.clear()
        return deliveries
