"""From the raw body of a message to its typed form, or to one sentence that says what is wrong with it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import msgspec

from connector.bridge.envelope import Message
from connector.bridge.schema import Body, Empty, Kind, MessageSpec, Result, specs


class BodyInvalid(Exception):
    """A body does not fit its message. The text is one sentence that names the key and what was expected."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """A message that the catalogue does not have: its name, or its name with another kind."""

    name: str
    kind: Kind


_MISSING = re.compile(r"Object missing required field `(?P<key>[^`]+)`(?: - at `(?P<path>[^`]+)`)?")
_EXPECTED = re.compile(r"Expected `(?P<wanted>[^`]+)`, got `(?P<got>[^`]+)`(?: - at `(?P<path>[^`]+)`)?")
_ENUM = re.compile(r"Invalid enum value (?P<got>.+?)(?: - at `(?P<path>[^`]+)`)?$", re.DOTALL)
_AT = re.compile(r" - at `(?P<path>[^`]+)`$")

_JSON_WORDS = {
    "str": "a string",
    "int": "a number",
    "float": "a number",
    "bool": "true or false",
    "object": "an object",
    "array": "a list",
    "null": "null",
}
_SHOWN = 40
_SPECS = specs()


def parse_body(
    message: Message, *, strict: bool = False, reply_to: MessageSpec | None = None
) -> Body | Unknown:
    """Return the typed body of a message.

    Known quirks of the bridge are normalised and strings taken for numbers and booleans where these are
    expected; `strict` accepts the catalogue's own spelling and types only. A response is read as the reply of
    the message that it names (or of `reply_to`); a failed one has no body.

    Raises:
        BodyInvalid: the message is known, its body does not fit. A password is never part of the text.

    """
    spec = reply_to or _SPECS.get(message.name)
    if spec is None:
        return Unknown(message.name, message.kind)
    if message.kind is Kind.RESPONSE:
        if spec.reply is None:
            return Unknown(message.name, message.kind)
        shape = Empty if message.result is Result.FAILURE else spec.reply
    elif message.kind is spec.kind:
        shape = spec.body
    else:
        return Unknown(message.name, message.kind)
    return convert(message.body, shape, strict=strict)


def convert(raw: Mapping[str, Any], shape: type[Body], *, strict: bool = False) -> Body:
    """Validate plain data into a typed body. Raises BodyInvalid."""
    data: Mapping[str, Any] = raw
    # Nearly every body comes as the catalogue has it, and needs no copy.
    if not strict and raw and (_has_quirks(shape) or None in raw.values()):
        data = shape.normalise({key: value for key, value in raw.items() if _is_said(key, value, shape)})
    try:
        return msgspec.convert(data, shape, strict=strict)
    except msgspec.ValidationError as invalid:
        raise BodyInvalid(_sentence(str(invalid), shape)) from None


def _is_said(key: str, value: Any, shape: type[Body]) -> bool:
    # Null for something optional means "not given"; for something required the type decides.
    return value is not None or key not in _optional(shape)


@cache
def _has_quirks(shape: type[Body]) -> bool:
    return shape.normalise.__func__ is not Body.normalise.__func__  # type: ignore[attr-defined]


_OPTIONAL: dict[type[Body], frozenset[str]] = {}


def _optional(shape: type[Body]) -> frozenset[str]:
    known = _OPTIONAL.get(shape)
    if known is None:
        fields = msgspec.structs.fields(shape)
        known = _OPTIONAL[shape] = frozenset(each.encode_name for each in fields if not each.required)
    return known


def _sentence(text: str, shape: type[Body]) -> str:
    if found := _MISSING.fullmatch(text):
        where = _key(found["path"])
        return f"Key '{where}.{found['key']}' is missing." if where else f"Key '{found['key']}' is missing."
    if found := _EXPECTED.fullmatch(text):
        subject = f"Key '{_key(found['path'])}'" if found["path"] else "The body"
        wanted = " or ".join(
            dict.fromkeys(_JSON_WORDS.get(word, word) for word in found["wanted"].split(" | "))
        )
        return f"{subject} must be {wanted}, not {_JSON_WORDS.get(found['got'], found['got'])}."
    if found := _ENUM.fullmatch(text):
        got = found["got"] if len(found["got"]) <= _SHOWN else found["got"][:_SHOWN] + "…"
        return f"Key '{_key(found['path'])}' has the unknown value {got}."
    path = _key(found["path"]) if (found := _AT.search(text)) else ""
    if (meaning := _meaning(shape, path)) is not None:
        return f"Key '{path}' must be {meaning}."
    return f"Key '{path}' is not valid." if path else "The body is not valid."


def _key(path: str | None) -> str:
    return (path or "").removeprefix("$").removeprefix(".")


def _meaning(shape: type[Body], path: str) -> str | None:
    for each in msgspec.inspect.type_info(shape).fields:  # type: ignore[attr-defined]
        if each.encode_name == path and isinstance(each.type, msgspec.inspect.Metadata):
            schema = each.type.extra_json_schema or {}
            return str(schema["description"]) if "description" in schema else None
    return None
