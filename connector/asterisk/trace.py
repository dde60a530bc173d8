"""Traces: an AMI session as text, to be recorded in the field and replayed in tests.

    # harmony-connector trace 1 started=2026-11-21T04%3A17%3A57Z
    >>> 45.0
    Action: Login
    Secret: ***

    <<< 45.3
    Response: Success

`>>>` was sent, `<<<` was received, then milliseconds since the recording began; an empty line ends the
record. A line break within a value is written as a line that begins with a space. `#` begins a comment
between records. A name that ends in `.gz` is compressed.
"""

import gzip
import os
import re
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, Literal, Self, TypeAlias, cast
from urllib.parse import quote, unquote

from connector.asterisk.wire import AmiMessage, AmiWireError, parse_lines

Direction: TypeAlias = Literal[">>>", "<<<"]
Record: TypeAlias = tuple[Direction, float, AmiMessage]
"""Direction, milliseconds since the recording began, message."""

HIDDEN: Final = "***"

_TITLE: Final = "# harmony-connector trace 1"
_ANY_TITLE: Final = "# harmony-connector trace "
_RECORD: Final = re.compile(r"(>>>|<<<) (\d{1,15}(?:\.\d{1,9})?)")
_SECRET: Final = re.compile(r"secret|passw|passphrase|token|credential|private.?key|^key$", re.IGNORECASE)
_VARIABLE: Final = re.compile(r"(?:Dest)?(?:Chan)?Variable(?:\(.*\))?|SetVar", re.IGNORECASE | re.DOTALL)
_LONGEST_LINE: Final = 1 << 20
_MOST_LINES: Final = 10_000
_FLUSH_EVERY: Final = 1.0


class TraceError(ValueError):
    """A trace that cannot be read: which file, which line (from 1; 0: the file itself), what is wrong."""

    def __init__(self, file: Path, line: int, what: str) -> None:
        super().__init__(f"{file}:{line}: {what}" if line else f"{file}: {what}")
        self.file = file
        self.line = line
        self.what = what


class TraceReader:
    """The records of a trace file, in order.

    A last record without its closing empty line was cut off when the recording ended: it is left out and
    `cut_off` says so. `metadata` is what the recorder noted in the first line; empty for traces from
    elsewhere. Both are known while and after the records are read.

    Raises:
        TraceError: while reading: the file cannot be opened or is no trace.

    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.metadata: dict[str, str] = {}
        self.cut_off = False

    def __iter__(self) -> Iterator[Record]:
        self.metadata, self.cut_off = {}, False
        start, head, lines = 0, "", list[str]()
        for number, line in self._lines():
            if not head:
                if line.startswith("#"):
                    self._comment(number, line)
                elif line:
                    start, head, lines = number, line, []
                    self._head(number, line)
            elif line.startswith(" ") and lines:
                lines[-1] += "\n" + line[1:]
            elif line:
                lines.append(line)
            else:
                yield self._record(start, head, lines)
                head = ""
            if len(lines) > _MOST_LINES:
                raise TraceError(self.path, start, f"a record of more than {_MOST_LINES} lines")
        if head:
            self.cut_off = True

    def _record(self, start: int, head: str, lines: list[str]) -> Record:
        direction, milliseconds = self._head(start, head)
        # The message parser is lenient where a peer must be borne; a file that is no trace shall be told.
        number = start
        for line in lines:
            number += 1
            if ":" not in line:
                raise TraceError(self.path, number, f"expected a header, found {line[:40]!r}")
            number += line.count("\n")
        try:
            return direction, milliseconds, parse_lines(lines)
        except AmiWireError as problem:
            raise TraceError(self.path, start, str(problem)) from None

    def _head(self, number: int, line: str) -> tuple[Direction, float]:
        match = _RECORD.fullmatch(line)
        if match is None:
            raise TraceError(self.path, number, f"expected '>>> ms' or '<<< ms', found {line[:40]!r}")
        return cast("Direction", match[1]), float(match[2])

    def _comment(self, number: int, line: str) -> None:
        if number != 1 or not line.startswith(_ANY_TITLE):
            return
        if line != _TITLE and not line.startswith(f"{_TITLE} "):
            raise TraceError(self.path, number, "a trace of a version that this program does not know")
        for word in line[len(_TITLE) :].split():
            key, equals, value = word.partition("=")
            if not equals:
                raise TraceError(self.path, number, f"expected key=value, found {word[:40]!r}")
            self.metadata[unquote(key)] = unquote(value)

    def _lines(self) -> Iterator[tuple[int, str]]:
        """Give each whole line with its number; a line that the file's end cuts off only marks the cut."""
        number = 0
        try:
            with _open(self.path, "rb") as file:
                while raw := file.readline(_LONGEST_LINE):
                    number += 1
                    if raw.endswith(b"\n"):
                        yield number, raw[:-1].decode()
                    elif len(raw) >= _LONGEST_LINE:
                        raise TraceError(self.path, number, "a line without end")
                    else:
                        self.cut_off = True
        except EOFError:
            # A recorder that was killed leaves a compressed stream without its end.
            self.cut_off = True
        except UnicodeDecodeError:
            raise TraceError(self.path, number, "not UTF-8 text") from None
        except (OSError, zlib.error) as problem:
            what = getattr(problem, "strerror", None) or str(problem)
            raise TraceError(self.path, number + 1 if number else 0, what) from None


class TraceWriter:
    """Records a session to a file; use it as the link's `tap`. Secrets are replaced by `***`.

    Closing writes the rest (it is also a context manager). At most about a second of a recording is lost when
    the process dies. Recording stops, without an error, when the file would grow beyond `limit` bytes (before
    compression); `full` tells.

    Raises:
        OSError: the file cannot be made or written.

    """

    def __init__(
        self,
        path: str | Path,
        metadata: Mapping[str, str] | None = None,
        *,
        limit: int = 1 << 30,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.path = Path(path)
        self.records = 0
        self.full = False
        self._clock = clock
        self._began = self._flushed = clock()
        self._left = limit
        # It holds callers' numbers and names: for its owner's eyes only.
        os.close(os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))
        self._file = _open(self.path, "wb")
        words = [f"{quote(key, safe='')}={quote(value, safe='')}" for key, value in (metadata or {}).items()]
        self._write(" ".join((_TITLE, *words)) + "\n")
        self._file.flush()

    def __call__(self, direction: str, message: AmiMessage) -> None:
        """Write one message that has just been sent (">>>") or received ("<<<")."""
        if self.full or self._file.closed:
            return
        now = self._clock()
        self._write(render_record(direction, (now - self._began) * 1000, message))
        self.records += 1
        if now - self._flushed >= _FLUSH_EVERY:
            self._flushed = now
            self._file.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Write what is left and close the file."""
        self._file.close()

    def _write(self, text: str) -> None:
        data = text.encode("utf-8", "replace")
        self._left -= len(data)
        if self._left < 0:
            self.full = True
            data = b"# the size limit was reached\n"
        self._file.write(data)


def render_record(direction: str, milliseconds: float, message: AmiMessage) -> str:
    """Write one record as text, secrets hidden."""
    lines = [f"{direction} {milliseconds:.1f}"]
    for name, value in _shown(message):
        line = f"{name}: {value}"
        lines.append(line.replace("\n", "\n ") if "\n" in line else line)
    return "\n".join(lines) + "\n\n"


def redacted(message: AmiMessage) -> AmiMessage:
    """Give the message with `***` for each value whose header or variable name speaks of a secret."""
    return AmiMessage(list(_shown(message)))


def _shown(message: AmiMessage) -> Iterator[tuple[str, str]]:
    variable = message.get("Variable")
    named = variable is not None and _is_secret(variable.partition("=")[0])
    for name, value in message:
        if _is_secret(name) or (named and name.lower() == "value"):
            yield name, HIDDEN
        elif _is_variable(name):
            inner, equals, _ = value.partition("=")
            yield name, f"{inner}={HIDDEN}" if equals and _is_secret(inner) else value
        else:
            yield name, value


# The names are few and come with every event; the bound is for a peer that makes names up.
@lru_cache(maxsize=4096)
def _is_secret(name: str) -> bool:
    return _SECRET.search(name) is not None


@lru_cache(maxsize=4096)
def _is_variable(name: str) -> bool:
    return _VARIABLE.fullmatch(name) is not None


def _open(path: Path, mode: Literal["rb", "wb"]) -> BinaryIO:
    if path.name.endswith(".gz"):
        return cast("BinaryIO", gzip.open(path, mode))
    return path.open(mode)
