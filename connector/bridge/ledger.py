"""The ledger: what must outlive the process, as rows of a key and a plain value, committed in batches.

Rows are staged on the event loop and written off it. What is staged in one turn of the loop is committed
together, so a state and the message that tells it are never apart. A message goes out when its batch is
committed: so what the bridge was told is never more than what is written.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol, TypeVar

import msgspec
import structlog

log = structlog.get_logger(__name__)

_T = TypeVar("_T")

Batch = Mapping[str, bytes | None]
"""Rows by their keys; None: the row is dropped."""

TERM = "meta/term"
NUMBER = "meta/number"


def packed(value: Any) -> bytes:
    """Return a plain value (or a struct) as JSON text, whatever characters it holds."""
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        # A PBX may hand over text in a broken encoding.
        return json.dumps(msgspec.to_builtins(value)).encode()


def unpacked(row: bytes) -> Any:
    """Return the value of a row."""
    return json.loads(row)


def rows_of(rows: Mapping[str, bytes], prefix: str, shape: type[_T]) -> dict[str, _T]:
    """Return the rows whose keys begin so, by the rest of their keys; what has another shape is left out."""
    found: dict[str, _T] = {}
    for key, row in rows.items():
        if key.startswith(prefix):
            try:
                found[key.removeprefix(prefix)] = msgspec.convert(unpacked(row), shape)
            except (ValueError, RecursionError) as problem:
                log.warning(
                    "a row of the state cannot be read; going on without it", key=key, problem=str(problem)
                )
    return found


class Store(Protocol):
    """Where rows are kept."""

    def load(self) -> dict[str, bytes]:
        """Return all rows."""
        ...

    async def write(self, batch: Batch) -> None:
        """Write a batch, all of it or nothing. Raises OSError if that fails."""
        ...

    async def close(self) -> None:
        """Give the store up."""
        ...


class NoStore:
    """Keeps nothing: for a connector whose rows travel by the broker only."""

    def load(self) -> dict[str, bytes]:
        """Return no rows."""
        return {}

    async def write(self, batch: Batch) -> None:
        """Forget a batch."""

    async def close(self) -> None:
        """Do nothing."""


class Ledger:
    """Stages rows, commits them in the order of staging, and tells when that is done.

    `term` counts who wrote, `number` the batches of all: of two copies the one with more is newer.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self.rows = store.load()
        """All rows that are committed."""
        self.committed: Callable[[Batch], None] = lambda _batch: None
        """Called with every batch that was committed."""
        self.travelled: Callable[[int], Awaitable[None]] | None = None
        """Waits until a committed batch is wherever else it must be before anything is done for it."""
        self._staged: dict[str, Callable[[], Any] | None] = {}
        self._turn = 0
        self._done = 0
        self._news = asyncio.Event()
        self._progress = asyncio.Condition()
        self._unwritten: dict[str, bytes | None] = {}
        self._task: asyncio.Task[None] | None = None

    @property
    def position(self) -> tuple[int, int]:
        """Term and number of the rows that are committed."""
        return position_of(self.rows)

    @property
    def staged_turn(self) -> int:
        """The batch that what is staged now becomes part of."""
        return self._turn + 1

    @property
    def done_turn(self) -> int:
        """The latest batch that is committed."""
        return self._done

    def put(self, key: str, value: Callable[[], Any]) -> None:
        """Stage a row; `value` is asked for it when the batch is made."""
        self._staged[key] = value
        self._wake()

    def drop(self, key: str) -> None:
        """Stage that a row goes."""
        self._staged[key] = None
        self._wake()

    def replace(self, rows: Mapping[str, bytes]) -> None:
        """Take the rows of a newer copy in the place of one's own. What was staged is forgotten."""
        gone = dict.fromkeys(self.rows.keys() - rows.keys())
        self._staged = {}
        self._unwritten |= {**gone, **rows}
        self.rows = dict(rows)
        self._wake()

    def begin_term(self, term: int) -> None:
        """Write in a new term from now on."""
        self.rows[TERM] = packed(term)

    async def flushed(self) -> None:
        """Wait until all that is staged now is committed, and has travelled."""
        wanted = self.staged_turn if self._staged else self._turn
        async with self._progress:
            await self._progress.wait_for(lambda: self._done >= wanted)
        if self.travelled is not None:
            await self.travelled(wanted)

    async def close(self) -> None:
        """Commit what is staged, and give the store up."""
        if self._task is not None:
            await self._task
        await self._store.close()

    def _wake(self) -> None:
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._commit_all())

    async def _commit_all(self) -> None:
        while self._staged or self._unwritten:
            staged, self._staged = self._staged, {}
            self._turn += 1
            batch = _batch_of(staged)
            term, number = self.position
            batch |= {TERM: packed(term), NUMBER: packed(number + 1)}
            apply(self.rows, batch)
            missing, self._unwritten = self._unwritten, {}
            written = await self._write(missing | batch, again=bool(missing))
            self._done = self._turn
            self.committed(batch)
            async with self._progress:
                self._progress.notify_all()
            if not written and not self._staged:
                return

    async def _write(self, batch: Batch, *, again: bool) -> bool:
        """Write a batch; if that fails calls go on, and what is missing is written with the next batch."""
        try:
            await self._store.write(batch)
        except OSError as problem:
            if not again:
                log.exception("the state cannot be written", problem=str(problem))
            self._unwritten = {**batch, **self._unwritten}
            return False
        return True


def _batch_of(staged: Mapping[str, Callable[[], Any] | None]) -> dict[str, bytes | None]:
    batch: dict[str, bytes | None] = {}
    for key, value in staged.items():
        try:
            batch[key] = packed(value()) if value is not None else None
        except Exception:
            # One row less is better than all messages that wait for this batch.
            log.exception("a row cannot be kept", key=key)
    return batch


def apply(rows: dict[str, bytes], batch: Batch) -> None:
    """Lay a batch over rows."""
    for key, value in batch.items():
        if value is None:
            rows.pop(key, None)
        else:
            rows[key] = value


def position_of(rows: Mapping[str, bytes]) -> tuple[int, int]:
    """Return term and number of rows; zeros if there are none."""
    return _count(rows.get(TERM)), _count(rows.get(NUMBER))


def _count(row: bytes | None) -> int:
    try:
        return msgspec.json.decode(row, type=int) if row is not None else 0
    except msgspec.DecodeError:
        return 0
