"""One AMI message as a value: text in, typed view out, and actions as bytes. No sockets, no clocks.

Source: `main/manager.c` of Asterisk 20-22, measured on 22.10. A message is a block of `Name: value` lines
that end in CR LF, closed by an empty line; a header may repeat; an event may answer an action and then has
both `Event` and `Response` (OriginateResponse).
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import repeat
from typing import Final, TypeAlias

Fields: TypeAlias = Mapping[str, str | Sequence[str]]
"""Headers of an action; a sequence of values repeats the header (Variable)."""

LONGEST_LINE: Final = 1000
"""Bytes of a line that Asterisk still takes whole (its buffer holds 1024 with the line's end)."""
MOST_HEADERS: Final = 120
"""Headers of an action that Asterisk still takes (it refuses the 129th)."""
LONGEST_MESSAGE: Final = 1 << 20
"""Bytes of a received message before the peer counts as broken; real ones stay under some ten KiB."""

_GREETING: Final = b"Asterisk Call Manager/"
_LONGEST_GREETING: Final = 200
_END: Final = b"\r\n\r\n"
_EVENT: Final = "Event: "
_HEADER_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,79}")
_EMPTY_HEADER: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*(?:\([^()]*\))?:")
_OWN_HEADERS: Final = frozenset({"action", "actionid"})
"""Headers that only the link itself sets."""
_FORBIDDEN: Final = re.compile(r"[\r\n\0]")


class AmiWireError(ValueError):
    """The peer sent what no AMI server sends."""


class AmiFieldMissing(KeyError):
    """A message lacks a header that its reader needs."""

    def __init__(self, message: str, header: str) -> None:
        super().__init__(header)
        self.message = message
        self.header = header

    def __str__(self) -> str:
        return f"{self.message or 'response'} without header {self.header}"


class AmiValueRejected(ValueError):
    """An action may not go out as asked; names the header and never shows its value."""

    def __init__(self, header: str, why: str) -> None:
        super().__init__(f"header {header!r} {why}")
        self.header = header
        self.why = why


class _Headers:
    """The headers of a message: all of them in order, and the first of each name."""

    __slots__ = ("first", "pairs")

    def __init__(self, pairs: Sequence[tuple[str, str]]) -> None:
        self.pairs = tuple(pairs)
        # Reversed, so that the first of repeated headers wins.
        self.first = dict(reversed(self.pairs))


class AmiMessage:
    """One AMI message, read only. Lookups take the exact header name first, then any case of it.

    `name` is the Event header's value, or "" for a response. The headers of an event are taken apart when the
    first of them is asked for: a good part of all events is never looked into.
    """

    __slots__ = ("_folded", "_known", "_text", "name")

    name: str

    def __init__(self, pairs: Sequence[tuple[str, str]] = (), *, event: str = "", text: str = "") -> None:
        """Take headers, or the `text` of an event whose first line is its Event header, `event`."""
        self._text = text
        self._known: _Headers | None = None if text else _Headers(pairs)
        self._folded: dict[str, str] | None = None
        self.name = self._known.first.get("Event", "") if self._known is not None else event

    @property
    def _headers(self) -> "_Headers":
        known = self._known
        if known is None:
            known = self._known = _Headers(_pairs_of(self._text.split("\r\n")))
        return known

    @property
    def _pairs(self) -> tuple[tuple[str, str], ...]:
        return self._headers.pairs

    @property
    def _first(self) -> dict[str, str]:
        return self._headers.first

    def __getitem__(self, key: str) -> str:
        value = self.get(key)
        if value is None:
            raise AmiFieldMissing(self.name, key)
        return value

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and self.get(key) is not None

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._pairs)

    def __len__(self) -> int:
        return len(self._pairs)

    def __eq__(self, other: object) -> bool:
        return self._pairs == other._pairs if isinstance(other, AmiMessage) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._pairs)

    def __repr__(self) -> str:
        # Values may be secrets or a caller's data: the log gets the kind only.
        kind = self.name or self.response or self.get("Action") or "?"
        return f"<AmiMessage {kind} {len(self._pairs)} headers>"

    def get(self, key: str, default: str | None = None) -> str | None:
        """Give the first value of a header ("" when it is present and empty), or `default`."""
        if self._known is None:
            if key == "Event":
                return self.name
            # By far the most frequent question: a plain header, followed by another one or nothing.
            text = self._text
            at = text.find(f"\r\n{key}:")
            start = at + len(key) + 4
            if at >= 0 and text[start - 1 : start] == " ":
                end = text.find("\r\n", start)
                if end < 0:
                    return text[start:]
                colon = text.find(": ", end)
                if colon >= 0 and text[end + 2 : colon].isalnum():
                    return text[start:end]
        value = self._first.get(key)
        if value is not None:
            return value
        if self._folded is None:
            self._folded = {name.lower(): text for name, text in reversed(self._pairs)}
        return self._folded.get(key.lower(), default)

    def all(self, key: str) -> tuple[str, ...]:
        """Give every value of a repeated header, in order."""
        folded = key.lower()
        return tuple(value for name, value in self._pairs if name.lower() == folded)

    def variables(self, channel: str | None = None, *, prefix: str = "") -> dict[str, str]:
        """Give the channel variables that the message carries (`ChanVariable: NAME=value`).

        `channel` asks for those of the form `ChanVariable(PJSIP/1001-01): NAME=value`; `prefix` "Dest" for
        those of the second channel of a Dial event. The last of equal names wins.
        """
        header = f"{prefix}ChanVariable" + (f"({channel})" if channel is not None else "")
        split = (value.partition("=") for value in self.all(header))
        return {name: value for name, _, value in split}

    @property
    def is_event(self) -> bool:
        """Whether it is an event, be it also the late answer of an action."""
        return bool(self.name)

    @property
    def is_response(self) -> bool:
        """Whether it is the direct reply to an action and nothing else."""
        return not self.name and "Response" in self._first

    @property
    def action_id(self) -> str | None:
        """The id of the action that it belongs to."""
        if self._known is None and "ActionID" not in self._text:
            return None
        # Asterisk writes it in this one way; asking for any case would index every event.
        return self._first.get("ActionID")

    @property
    def id(self) -> str | None:
        """The same, under the name by which panoramisk asks for it."""
        return self.action_id

    @property
    def response(self) -> str:
        """Success, Error, Goodbye or "" when it is none."""
        return self._first.get("Response", "")

    @property
    def message(self) -> str:
        """Asterisk's sentence about the outcome, or ""."""
        return self._first.get("Message", "")


def parse_message(text: str) -> AmiMessage:
    """Read one message: the text between two empty lines, its lines ended by CR LF.

    A bare LF is part of a value, never a line's end: a caller's name can thus not make up headers. A line
    that is no header goes on with the value before it.

    Raises:
        AmiWireError: the text holds no header, or does not begin with one.

    """
    if text.startswith(_EVENT):
        end = text.find("\r\n")
        name = text[len(_EVENT) : end] if end >= 0 else text[len(_EVENT) :]
        # What follows must be a plain header: else it goes on with the name.
        colon = text.find(": ", end) if end >= 0 else -1
        if name and (end < 0 or (colon >= 0 and text[end + 2 : colon].isalnum())):
            return AmiMessage(event=name, text=text)
    return parse_lines(text.split("\r\n"))


def parse_lines(lines: Sequence[str]) -> AmiMessage:
    """Read one message from its lines, without their ends.

    Raises:
        AmiWireError: as for `parse_message`.

    """
    return AmiMessage(_pairs_of(lines))


def _pairs_of(lines: Sequence[str]) -> list[tuple[str, str]]:
    # Nearly all messages are nothing but plain headers; the careful way takes the others.
    pairs = [
        (name, value)
        for name, colon, value in map(str.partition, lines, repeat(": "))
        if colon and name.isalnum()
    ]
    if len(pairs) == len(lines) and pairs:
        return pairs
    pairs = []
    for line in lines:
        name, colon, value = line.partition(": ")
        if "(" in name and ")" not in name and "): " in value:
            # ChanVariable(Local/a: b@ctx): the colon stands inside a channel's name.
            cut = line.index("): ") + 1
            name, value = line[:cut], line[cut + 2 :]
        if colon and name and name[0] != " " and "\n" not in name:
            pairs.append((name, value))
        elif _EMPTY_HEADER.fullmatch(line):
            pairs.append((line[:-1], ""))
        elif pairs:
            if line:
                pairs[-1] = (pairs[-1][0], f"{pairs[-1][1]}\n{line.removeprefix(' ')}")
        elif line:
            raise AmiWireError("a message does not begin with a header")
    if not pairs:
        raise AmiWireError("an empty message")
    return pairs


def render_action(name: str, fields: Fields, action_id: str) -> bytes:
    """Write one action. ActionID comes first, so that Asterisk's complaint about the rest still carries it.

    Raises:
        AmiValueRejected: a name or value could change the meaning of other lines (CR, LF, NUL), is no text,
            or is more than Asterisk takes.

    """
    headers = [("Action", name), ("ActionID", action_id)]
    for header, value in fields.items():
        if isinstance(value, str):
            headers.append((header, value))
        else:
            headers.extend([(header, one) for one in value])
    text = "".join([f"{header}: {value}\r\n" for header, value in headers])
    # Nearly all actions are short and plain: that is seen at one glance at the whole.
    if (
        len(text) <= LONGEST_LINE
        and len(headers) <= MOST_HEADERS
        and text.isascii()
        and text.count("\n") == text.count("\r") == len(headers)
        and "\0" not in text
        and all(map(_may_be_set, fields))
    ):
        return f"{text}\r\n".encode()
    return _render_carefully(name, fields, action_id)


def _render_carefully(name: str, fields: Fields, action_id: str) -> bytes:
    lines = [_line("Action", name), _line("ActionID", action_id)]
    for header, value in fields.items():
        if header.lower() in _OWN_HEADERS:
            raise AmiValueRejected(header, "is set by the link itself")
        if isinstance(value, str):
            lines.append(_line(header, value))
        else:
            lines.extend([_line(header, one) for one in value])
    if len(lines) > MOST_HEADERS:
        raise AmiValueRejected(
            next(reversed(list(fields))), f"is beyond the {MOST_HEADERS} that Asterisk takes"
        )
    return b"".join((*lines, b"\r\n"))


@lru_cache(maxsize=256)
def _may_be_set(header: str) -> bool:
    return _HEADER_NAME.fullmatch(header) is not None and header.lower() not in _OWN_HEADERS


@lru_cache(maxsize=256)
def _is_header_name(header: str) -> bool:
    return _HEADER_NAME.fullmatch(header) is not None


def _line(header: str, value: str) -> bytes:
    if not _is_header_name(header):
        raise AmiValueRejected(header[:80], "is no header name")
    if _FORBIDDEN.search(value):
        raise AmiValueRejected(header, "holds a line break or NUL")
    try:
        line = f"{header}: {value}".encode()
    except UnicodeEncodeError:
        raise AmiValueRejected(header, "holds half a character") from None
    if len(line) > LONGEST_LINE:
        raise AmiValueRejected(header, f"is longer than {LONGEST_LINE} bytes")
    return line + b"\r\n"


class MessageSplitter:
    """Cuts the byte stream into whole messages; bytes are decoded only when a message is complete."""

    def __init__(self) -> None:
        self.version: str | None = None
        self._rest = bytearray()

    def feed(self, data: bytes) -> list[str]:
        """Take bytes in, give the texts of the messages that they complete.

        Raises:
            AmiWireError: the peer does not greet as an AMI server does, or sends a message without end.

        """
        rest = self._rest
        # An end that was cut in two begins at most three bytes before the new ones.
        searched = max(0, len(rest) - len(_END) + 1)
        rest += data
        if self.version is None:
            if not self._greeted():
                return []
            searched = 0
        last = rest.rfind(_END, searched)
        if last < 0:
            if len(rest) > LONGEST_MESSAGE:
                raise AmiWireError(f"a message of more than {LONGEST_MESSAGE} bytes")
            return []
        # Complete messages are whole characters, whatever the segments were. Bytes that are no UTF-8 at all
        # come from a caller's name: they are replaced, the rest of the message counts.
        whole = rest[:last].decode("utf-8", "replace")
        del rest[: last + len(_END)]
        return [text for text in whole.split("\r\n\r\n") if text.strip("\r\n")]

    def _greeted(self) -> bool:
        rest = self._rest
        end = rest.find(b"\r\n")
        known = rest[: len(_GREETING)]
        if not _GREETING.startswith(known) or (end < 0 and len(rest) > _LONGEST_GREETING):
            raise AmiWireError("the peer is no Asterisk manager interface")
        if end < 0:
            return False
        self.version = rest[len(_GREETING) : end].decode("ascii", "replace").strip()
        del rest[: end + 2]
        return True
