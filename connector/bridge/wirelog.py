"""Recordings of the bridge's wire: a JSON line a message, in the catalogue's words, without secrets.

`docs/tools.md` describes the file.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

import msgspec

from connector.bridge.codec import Malformed, from_wire, headers_of
from connector.bridge.messages import Message, redacted

FORMAT = "harmony-bridge-wire/1"
"""What the first line of every recording says."""

HIDDEN = "…"
"""What stands in a password's place."""

MIB = 1024 * 1024
_LONGEST_LINE = 128 * MIB


class WireLogError(Exception):
    """A file is no recording, or must not become one. One line."""


class Way(StrEnum):
    """What a line tells."""

    START = "start"
    UP = "up"
    DOWN = "down"
    TO_CONNECTOR = "to-connector"
    TO_BRIDGE = "to-bridge"
    MALFORMED = "malformed"


@dataclass(frozen=True, slots=True)
class Record:
    """One line of a recording; `at` is in UTC, `message` is there if the line is one, `text` if it is not."""

    at: datetime
    way: Way
    message: Message | None = None
    text: str = ""
    line: int = 0


def harmless(message: Message) -> dict[str, Any]:
    """Return a message's body without passwords; tones, which may be a PIN, become as many zeros."""
    body: dict[str, Any] = redacted(message.body)
    if isinstance(tones := body.get("tones"), str):
        body["tones"] = "0" * len(tones)
    return body


def earlier(path: Path) -> Path:
    """Return where the older half of a recording goes."""
    return path.with_name(path.name + ".1")


class WireWriter:
    """Writes a recording. It never has more than `limit` bytes (plus one line): the older half is given up.

    What was in the file before becomes the older half. The files are the owner's only (0600).

    Raises:
        WireLogError: the file is there and is no recording.
        OSError: the file cannot be written (every method).

    """

    def __init__(self, path: Path, *, limit: int = 64 * MIB) -> None:
        self.path = path
        self._half = limit // 2
        self._size = 0
        self._file = -1
        _must_be_ours(path)
        self._begin(continues=False)

    def message(self, way: Way, message: Message) -> None:
        """Write a message that goes by."""
        self._write({"way": way, "header": headers_of(message), "body": harmless(message)})

    def note(self, way: Way, text: str = "") -> None:
        """Write something that is no message."""
        self._write({"way": way, "text": text} if text else {"way": way})

    def close(self) -> None:
        """Close the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _write(self, what: dict[str, Any]) -> None:
        if self._file < 0:
            return
        line = _line(what)
        if self._size + len(line) > self._half and self._size:
            self._begin(continues=True)
        self._put(line)

    def _begin(self, *, continues: bool) -> None:
        self.close()
        if self.path.exists() and self.path.stat().st_size:
            self.path.replace(earlier(self.path))
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        self._file = os.open(self.path, flags, 0o600)
        os.fchmod(self._file, 0o600)
        self._size = 0
        self._put(_line({"way": Way.START, "format": FORMAT, "continues": continues}))
        # The first line alone is no reason to begin another file.
        self._size = 0

    def _put(self, line: bytes) -> None:
        # Unbuffered: what was written is there when the process is killed.
        rest = memoryview(line)
        while rest:
            rest = rest[os.write(self._file, rest) :]
        self._size += len(line)


def _line(what: dict[str, Any]) -> bytes:
    stamp = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    return msgspec.json.encode({"at": stamp, **what}) + b"\n"


def _must_be_ours(path: Path) -> None:
    if not path.exists():
        return
    if not path.is_file() or path.is_symlink():
        raise WireLogError(f"{path}: expected a file, or nothing, found something else")
    with path.open("rb") as file:
        first = file.readline(1024)
    if first and FORMAT.encode() not in first:
        raise WireLogError(f"{path}: is there already and is no recording; give another name")


def read_wire(path: Path) -> list[Record]:
    """Read a recording; one that goes on from its older half is read with it.

    A last line that was cut off is left out.

    Raises:
        WireLogError: the file cannot be read or is no recording; one line with the place.

    """
    records = list(_records(path))
    older = earlier(path)
    if records and records[0].text == "continues" and older.is_file():
        records = [*_records(older), *records]
    return [each for each in records if each.way is not Way.START]


def _records(path: Path) -> Iterator[Record]:
    try:
        with path.open("rb") as file:
            for number, line in enumerate(iter(lambda: file.readline(_LONGEST_LINE), b""), 1):
                if not line.endswith(b"\n"):
                    return
                yield _record(line, f"{path}:{number}", number)
            if file.tell() == 0:
                raise WireLogError(f"{path}: is empty")
    except OSError as problem:
        raise WireLogError(f"{path}: cannot be read: {problem.strerror}") from None


class _Line(msgspec.Struct):
    at: datetime
    way: Way
    header: dict[str, Any] | None = None
    body: dict[str, Any] | None = None
    text: str = ""
    format: str = ""
    continues: bool = False


_lines = msgspec.json.Decoder(_Line)


def _record(line: bytes, place: str, number: int) -> Record:
    try:
        said = _lines.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as problem:
        raise WireLogError(f"{place}: expected a line of a recording: {problem}") from None
    if (said.way is Way.START) != (number == 1) or (number == 1 and said.format != FORMAT):
        raise WireLogError(f"{place}: expected a recording that begins with format {FORMAT}")
    if said.way is Way.START:
        return Record(said.at, said.way, text="continues" if said.continues else "", line=number)
    if said.way not in {Way.TO_CONNECTOR, Way.TO_BRIDGE}:
        return Record(said.at, said.way, text=said.text, line=number)
    try:
        message = from_wire(said.header or {}, said.body)
    except Malformed as problem:
        raise WireLogError(f"{place}: {problem.reason}") from None
    return Record(said.at, said.way, message, line=number)
