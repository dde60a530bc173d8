"""Between a `Message` and its wire forms: headers plus JSON body, and the framed JSON of the TCP transport.

Everything that arrives is checked here: whatever is not a message of the protocol becomes a `Malformed` that
says why, and carries what an answer would need.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated, Any

import msgspec

from connector.bridge.dialect import IDENTITY, Dialect
from connector.bridge.envelope import Message
from connector.bridge.framing import HEAD, MAX_FRAME, FrameDecoder, FrameTooLong, frame
from connector.bridge.schema import Kind, Result

__all__ = [
    "MAX_DEPTH",
    "MAX_FRAME",
    "FrameDecoder",
    "FrameTooLong",
    "Malformed",
    "body_of",
    "decode",
    "decode_parts",
    "deeper_than",
    "encode",
    "encode_frame",
    "encode_parts",
    "from_wire",
    "headers_of",
    "salvaged",
]

MAX_DEPTH = 32
"""Nesting of objects and lists in a body; the protocol's own bodies need five."""

MAX_HEADER = 512
"""Characters of a header, `errorMessage` and `message` excepted."""

_TEXTS = frozenset({"errorMessage", "error.message", "message"})
_KINDS = {kind.value: kind for kind in Kind}
_RESULTS = {result.value: result for result in Result}
_CORRELATED = frozenset({Kind.QUERY, Kind.REQUEST, Kind.RESPONSE})
_NOTICES = frozenset({Kind.WARNING, Kind.ERROR})
_HEADER_FIRST = re.compile(
    rb"""\s*+ \{ \s*+ "header" \s*+ : \s*+ ( \{ (?: [^{}"\\] | " (?: [^"\\] | \\. )*+ " )*+ \} )""",
    re.VERBOSE | re.DOTALL,
)
"""A frame that begins with its whole header. Nothing is tried twice: time grows with the length only."""

_MAY_OMIT_TARGET = "cti.serverstatuschanged"


class Malformed(Exception):
    """Something came that is no message. `reason` is one sentence.

    A request whose id, name and target could be read can be answered: `answer_to` is the message to fail.
    """

    def __init__(
        self,
        reason: str,
        *,
        kind: Kind | None = None,
        request_id: str | None = None,
        name: str | None = None,
        target: str | None = None,
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.kind = kind
        self.request_id = request_id
        self.name = name
        self.target = target

    @property
    def answer_to(self) -> Message | None:
        """The query or request to answer with FAILURE, or None where nobody waits or nobody can be named."""
        if self.kind not in {Kind.QUERY, Kind.REQUEST, None} or not self.request_id:
            return None
        if not self.name or not self.target:
            return None
        return Message(self.kind or Kind.REQUEST, self.name, self.target, request_id=self.request_id)


_Short = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_HEADER)]


class _Headers(msgspec.Struct, forbid_unknown_fields=True):
    """Headers as nearly all messages have them."""

    type: Kind
    name: _Short
    target: _Short
    request_id: _Short | None = msgspec.field(default=None, name="requestId")
    result: Result | None = None
    error_message: str | None = msgspec.field(default=None, name="errorMessage")
    code: _Short | None = None
    message: str | None = None


class _Sound(msgspec.Struct, forbid_unknown_fields=True):
    """A message in whose JSON nothing is out of the ordinary."""

    header: _Headers
    body: dict[str, Any] | None = None


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder()
_sound_decoder = msgspec.json.Decoder(_Sound)


def headers_of(message: Message, dialect: Dialect = IDENTITY) -> dict[str, str]:
    """Return the headers of a message; those that it does not have are left out."""
    headers = {
        "type": message.kind._value_,  # not `value`, which costs two calls for each message
        "name": message.name if dialect is IDENTITY else dialect.name_out(message.name),
        "target": message.target,
    }
    if message.request_id is not None:
        headers["requestId"] = message.request_id
    if message.result is not None:
        headers["result"] = message.result._value_
    if message.error_message is not None:
        headers["errorMessage"] = message.error_message
    if message.code is not None:
        headers["code"] = message.code
    if message.text is not None:
        headers["message"] = message.text
    return headers


def body_of(message: Message, dialect: Dialect = IDENTITY) -> Mapping[str, Any]:
    """Return the body of a message with the bridge's keys."""
    if dialect is IDENTITY:
        return message.body
    return dialect.body_out(message.name, message.body, is_reply=message.kind is Kind.RESPONSE)


def encode(message: Message, dialect: Dialect = IDENTITY) -> bytes:
    """Return the JSON text of a message, as one payload of the TCP transport."""
    document = {
        "header": headers_of(message, dialect),
        "body": message.body if dialect is IDENTITY else body_of(message, dialect),
    }
    try:
        return _encoder.encode(document)
    except UnicodeEncodeError:
        # A PBX may hand over text in a broken encoding: half a character must not cost the whole message.
        return _encoder.encode(_encodable(document))


def encode_frame(message: Message, dialect: Dialect = IDENTITY) -> bytes:
    """Return the frame of a message: length prefix and JSON text."""
    return frame(encode(message, dialect))


def decode(payload: bytes, dialect: Dialect = IDENTITY) -> Message:
    """Read one payload of the TCP transport.

    Raises:
        Malformed: broken JSON, missing or ill-typed headers, a body that is no object, nesting too deep.

    """
    # Nearly all messages are as they should be, which one step of the library sees and takes in.
    try:
        sound = _sound_decoder.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _decode_carefully(payload, dialect)
    headers = sound.header
    body: Mapping[str, Any] = sound.body or {}
    kind, result = headers.type, headers.result
    is_response = kind is Kind.RESPONSE
    if (
        (headers.request_id is None and kind in _CORRELATED)
        or (is_response and (result is None or (result is Result.FAILURE and headers.error_message is None)))
        or (body and deeper_than(body, MAX_DEPTH))
    ):
        return _decode_carefully(payload, dialect)
    name = _without_blanks(headers.name)
    if not name:
        return _decode_carefully(payload, dialect)
    if dialect is not IDENTITY:
        name = dialect.name_in(name)
        body = dialect.body_in(name, body, is_reply=is_response)
    is_notice = kind in _NOTICES
    return Message(
        kind,
        name,
        headers.target,
        body,
        headers.request_id,
        result if is_response else None,
        headers.error_message if is_response else None,
        headers.code if is_notice else None,
        headers.message if is_notice else None,
    )


def _decode_carefully(payload: bytes, dialect: Dialect) -> Message:
    """Read a payload header by header, and say what is wrong with it. Raises Malformed."""
    try:
        document = _decoder.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError) as broken:
        raise salvaged(payload, f"The frame is not valid JSON: {_position(broken)}.", dialect) from None
    except RecursionError:
        raise salvaged(payload, "The frame's JSON is nested too deeply.", dialect) from None
    if not isinstance(document, dict):
        raise Malformed("The frame must hold a JSON object with `header` and `body`.")
    headers = document.get("header")
    if not isinstance(headers, dict):
        raise Malformed("The frame has no `header` object.")
    return from_wire(headers, document.get("body"), dialect)


def salvaged(payload: bytes, reason: str, dialect: Dialect = IDENTITY) -> Malformed:
    """Return the problem of a frame that cannot be read, with what an answer needs.

    That is known if the header comes first and lies within the first `HEAD` bytes, however the rest looks.
    """
    found = _HEADER_FIRST.match(payload, 0, HEAD)
    if found is None:
        return Malformed(reason)
    try:
        known: Message | Malformed = from_wire(_decoder.decode(found[1]), None, dialect)
    except Malformed as problem:
        known = problem
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Malformed(reason)
    return Malformed(
        reason, kind=known.kind, request_id=known.request_id, name=known.name, target=known.target
    )


def encode_parts(message: Message, dialect: Dialect = IDENTITY) -> tuple[dict[str, str], bytes]:
    """Return headers, and the body as JSON text, for a transport that carries them apart."""
    headers, body = headers_of(message, dialect), body_of(message, dialect)
    try:
        for value in headers.values():
            value.encode()
        return headers, _encoder.encode(body)
    except UnicodeEncodeError:
        return _encodable(headers), _encoder.encode(_encodable(body))


def decode_parts(headers: Mapping[str, Any], payload: bytes, dialect: Dialect = IDENTITY) -> Message:
    """Read headers and a JSON body that came apart; an empty payload is an empty body. Raises Malformed."""
    problem = ""
    body: Any = None
    try:
        body = _decoder.decode(payload) if payload else None
    except (msgspec.DecodeError, UnicodeDecodeError) as broken:
        problem = f"The body is not valid JSON: {_position(broken)}."
    except RecursionError:
        problem = "The body's JSON is nested too deeply."
    message = from_wire(headers, body, dialect)
    if problem:
        raise Malformed(
            problem,
            kind=message.kind,
            request_id=message.request_id,
            name=message.name,
            target=message.target,
        )
    return message


def from_wire(headers: Mapping[str, Any], body: Any, dialect: Dialect = IDENTITY) -> Message:
    """Make a message of its headers and its parsed JSON body, whatever carried them. Raises Malformed."""
    kind = _KINDS.get(headers["type"]) if isinstance(headers.get("type"), str) else None
    name = _name(headers.get("name"), dialect)
    target = _short(headers.get("target"))
    request_id = _short(headers.get("requestId"))
    # One table of the source prints the response's headers with dots.
    said = headers.get("result", headers.get("cti.result"))
    result = _RESULTS.get(said) if isinstance(said, str) else None
    problem = _ill_typed(headers) or _missing(kind, name, target, request_id, result) or _unfit(body)
    if problem is not None or kind is None or name is None:
        raise Malformed(
            problem or "A header is missing.", kind=kind, request_id=request_id, name=name, target=target
        )
    is_response = kind is Kind.RESPONSE
    is_notice = kind in _NOTICES
    return Message(
        kind=kind,
        name=name,
        target=target or "",
        body=dialect.body_in(name, body or {}, is_reply=is_response),
        request_id=request_id,
        result=result if is_response else None,
        error_message=headers.get("errorMessage", headers.get("error.message")) if is_response else None,
        code=headers.get("code") if is_notice else None,
        text=headers.get("message") if is_notice else None,
    )


def _ill_typed(headers: Mapping[str, Any]) -> str | None:
    # Nearly always all of them are short strings: a quick look saves looking them up one by one.
    for value in headers.values():
        if value.__class__ is not str or len(value) > MAX_HEADER:
            break
    else:
        return None
    for key in ("type", "name", "target", "requestId", "code", *_TEXTS):
        value = headers.get(key)
        if value is None:
            continue
        if not isinstance(value, str):
            return f"Header '{key}' must be a string."
        if len(value) > MAX_HEADER and key not in _TEXTS:
            return f"Header '{key}' is longer than {MAX_HEADER} characters."
    return None


def _missing(
    kind: Kind | None, name: str | None, target: str | None, request_id: str | None, result: Result | None
) -> str | None:
    if kind is None:
        return "Header 'type' is missing or unknown."
    if not name:
        return "Header 'name' is missing."
    if not target and name != _MAY_OMIT_TARGET:
        return "Header 'target' is missing."
    if kind in _CORRELATED and not request_id:
        return "Header 'requestId' is missing."
    if kind is Kind.RESPONSE and result is None:
        return "Header 'result' must be SUCCESS or FAILURE."
    return None


def _unfit(body: Any) -> str | None:
    if body is not None and not isinstance(body, dict):
        return "The body must be a JSON object."
    if body and deeper_than(body, MAX_DEPTH):
        return f"The body is nested more than {MAX_DEPTH} levels deep."
    return None


def _name(value: Any, dialect: Dialect) -> str | None:
    if not isinstance(value, str) or len(value) > MAX_HEADER:
        return None
    return dialect.name_in(_without_blanks(value))


@lru_cache(maxsize=1024)
def _without_blanks(name: str) -> str:
    # `cti.request. createsession` is printed with a blank in one place.
    return "".join(name.split())


def _short(value: Any) -> str | None:
    return value if isinstance(value, str) and 0 < len(value) <= MAX_HEADER else None


def _position(broken: Exception) -> str:
    # msgspec says where and what kind of mistake, never the text itself.
    text = str(broken).removeprefix("JSON is malformed: ")
    return text.rstrip(".") if isinstance(broken, msgspec.DecodeError) else "it is not UTF-8"


def deeper_than(value: Any, levels: int) -> bool:
    """Tell whether an object or list from JSON holds others in more than that many levels."""
    layer = [value]
    for _ in range(levels + 1):
        deeper: list[Any] = []
        for each in layer:
            # What comes from JSON is of these classes exactly.
            for child in each.values() if each.__class__ is dict else each:
                if child.__class__ is dict or child.__class__ is list:
                    deeper.append(child)  # noqa: PERF401 - faster than a generator, and every message goes here
        if not deeper:
            return False
        layer = deeper
    return True


def _encodable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, Mapping):
        return {_encodable(key): _encodable(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_encodable(inner) for inner in value]
    return value
