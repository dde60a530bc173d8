"""A second copy of the ledger: records of what is committed, and who puts them together. It does no I/O."""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from connector.bridge.ledger import Batch, apply, position_of

_SNAPSHOT_AFTER = 4 * 1024 * 1024
"""Bytes of batches after which a snapshot follows."""
_SNAPSHOT = "snapshot"
_BATCH = "batch"


@dataclass(frozen=True, slots=True)
class Record:
    """A part of the ledger on its way: a batch, or a snapshot of all rows."""

    kind: str
    term: int
    number: int
    body: bytes


class Recorder:
    """Makes records of what the ledger commits."""

    def __init__(self) -> None:
        self.snapshot_due = True
        self._since = 0

    def record(self, rows: Mapping[str, bytes], batch: Batch) -> Record:
        """Return the batch as a record, or all `rows` where a snapshot is due."""
        term, number = position_of(rows)
        if self.snapshot_due:
            self.snapshot_due, self._since = False, 0
            return Record(_SNAPSHOT, term, number, _packed(rows))
        record = Record(_BATCH, term, number, _packed(batch))
        self._since += len(record.body)
        self.snapshot_due = self._since > _SNAPSHOT_AFTER
        return record


@dataclass
class Replica:
    """The ledger of the leader, as far as it was heard. It does no I/O."""

    rows: dict[str, bytes] = field(default_factory=dict)
    complete: bool = False
    """Whether nothing is missing since the latest snapshot."""
    newest: tuple[int, int] = (0, 0)
    """Term and number of the newest record."""

    def take(self, kind: str, term: int, number: int, body: bytes) -> None:
        """Take a record in; those of an earlier leader come too late."""
        known_term, known_number = self.newest
        if (term, number) <= (known_term, known_number):
            return
        self.newest = (term, number)
        try:
            rows = _unpacked(body)
        except (zlib.error, msgspec.MsgspecError, ValueError):
            self.complete = False
            return
        if kind == _SNAPSHOT:
            self.rows = {key: value for key, value in rows.items() if value is not None}
            self.complete = True
        elif self.complete and (term, number) == (known_term, known_number + 1):
            apply(self.rows, rows)
        else:
            self.complete = False


def _packed(rows: Batch) -> bytes:
    texts = {key: value.decode() if value is not None else None for key, value in rows.items()}
    return zlib.compress(msgspec.json.encode(texts), 1)


def _unpacked(body: bytes) -> dict[str, bytes | None]:
    texts = msgspec.json.decode(zlib.decompress(body), type=dict[str, str | None])
    return {key: text.encode() if text is not None else None for key, text in texts.items()}
