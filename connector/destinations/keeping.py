"""What the tree of destinations keeps beyond the process: destinations, and requests with their answers.

`Keeper` writes the rows while the tree works; `restoring.py` builds a tree of them.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, Protocol

from connector.bridge.messages import Body, Kind, Message
from connector.destinations.rows import DestinationRow, RequestRow

if TYPE_CHECKING:
    from connector.destinations.base import Destination

DESTINATION, REQUEST = "dest/", "req/"

_REPEATABLE = (".request.dispose", ".request.create", ".request.serverstatus", ".request.validate")
"""Requests that change nothing outside the tree: an answer that was lost is made anew."""


class Rows(Protocol):
    """The ledger, as the tree uses it."""

    def put(self, key: str, value: Callable[[], Any]) -> None:
        """Stage a row; `value` is asked for it at the end of this turn of the loop."""
        ...

    def drop(self, key: str) -> None:
        """Stage that a row goes."""
        ...

    def flushed(self) -> Awaitable[None]:
        """Wait until what is staged is safe."""
        ...


@dataclass(frozen=True, slots=True)
class Begun:
    """A request that an earlier process had begun to carry out, and did not answer."""

    name: str
    target: str
    lane: str
    proven: bool
    """Whether it is its work if what it asks for is so now (`interrupted.proves`)."""


class Fate(Enum):
    """What became of a request that an earlier process had begun."""

    DONE = auto()
    """What it asks for is so."""
    OPEN = auto()
    """It is not so, and asking once more does no harm; or nobody had begun it."""
    UNKNOWN = auto()
    """Nobody can tell, or a second time would be a second call."""


class Judge(Protocol):
    """Knows what became of requests; see `interrupted.judge`."""

    def __call__(
        self, destination: "Destination", name: str, keeper: "Keeper", *, proven: bool = True
    ) -> tuple[Fate, Body | None]:
        """Return what became of a request, with the body of its response where it is done."""
        ...


class Keeper:
    """Stages rows as the tree changes."""

    def __init__(
        self,
        rows: Rows,
        row_of: Callable[["Destination"], DestinationRow],
        judge: Judge,
        proves: Callable[["Destination", str, "Keeper"], bool],
    ) -> None:
        """`row_of` returns what is to be kept of a destination, `judge` what became of a begun request.

        `proves` tells, when it begins, whether its outcome will prove that it was carried out.
        """
        self._proves = proves
        self._rows = rows
        self._row_of = row_of
        self._judge = judge
        self._count = 0
        self.interrupted: dict[str, Begun] = {}
        """By their ids: the broker will deliver them once more."""
        self.found: set[str] = set()
        """Interactions that came to be while nobody looked."""

    def go_on_after(self, number: int) -> None:
        """Have requests numbered from there on."""
        self._count = max(self._count, number)

    def changed(self, destination: "Destination") -> None:
        """Keep a destination as it is at the end of this turn."""
        self._rows.put(DESTINATION + destination.target, lambda: self._row_of(destination))

    def gone(self, destination: "Destination") -> None:
        """Forget a destination."""
        self.forget(destination.target)

    def forget(self, target: str) -> None:
        """Forget the destination of that target."""
        self._rows.drop(DESTINATION + target)

    def forget_interrupted(self) -> None:
        """Forget what an earlier process had begun: nobody waits for it."""
        for request_id in self.interrupted:
            self.forget_request(request_id)
        self.interrupted.clear()

    def is_interrupted(self, name: str, target: str) -> bool:
        """Tell whether an earlier process had begun such a request."""
        return any((one.name, one.target) == (name, target) for one in self.interrupted.values())

    def fate_of(self, destination: "Destination | None", message: Message) -> tuple[Fate, Body | None]:
        """Return what became of a request, with the body of its response where it is done."""
        begun = self.interrupted.get(message.request_id or "")
        if destination is None or begun is None:
            return Fate.OPEN, None
        if (begun.name, begun.target) != (message.name, message.target):
            return Fate.OPEN, None
        return self._judge(destination, message.name, self, proven=begun.proven)

    async def begin(self, destination: "Destination | None", message: Message, lane: str) -> None:
        """Note, before anything is done, that a request is being carried out; safe when this returns."""
        if message.kind is not Kind.REQUEST or any(part in message.name for part in _REPEATABLE):
            return
        proven = destination is not None and self._proves(destination, message.name, self)
        row = RequestRow(
            number=self._next(), name=message.name, target=message.target, lane=lane, proven=proven
        )
        self._rows.put(REQUEST + (message.request_id or ""), lambda: row)
        await self._rows.flushed()

    def answered(self, request_id: str, question: tuple[Kind, str, str], response: Message) -> None:
        """Keep the answer to a request."""
        self.interrupted.pop(request_id, None)
        row = RequestRow(number=self._next(), question=question, response=response)
        self._rows.put(REQUEST + request_id, lambda: row)

    def forget_request(self, request_id: str) -> None:
        """Forget a request and its answer."""
        self._rows.drop(REQUEST + request_id)

    def _next(self) -> int:
        self._count += 1
        return self._count
