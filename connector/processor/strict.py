"""The strict reading of a body: exactly the catalogue's keys, spelling and types."""

from collections.abc import Mapping
from typing import Any

from connector.bridge.messages import Body, convert
from connector.bridge.schema import keys_of


def read_strictly(raw: Mapping[str, Any], shape: type[Body]) -> Body:
    """Return the typed body.

    Raises:
        BodyInvalid: a key is missing or has another type.
        UnknownKey: a key is there that the catalogue does not have.

    """
    body = convert(raw, shape, strict=True)
    _no_unknown_keys(raw, shape, "")
    return body


class UnknownKey(Exception):
    """A body has a key that the catalogue does not know at this place."""


def _no_unknown_keys(raw: Mapping[str, Any], body: type[Body], path: str) -> None:
    shape = keys_of(body)
    for key, value in raw.items():
        if key not in shape:
            raise UnknownKey(f"Key '{path}{key}' is not in the catalogue.")
        inner = shape[key]
        if inner is None:
            continue
        for number, each in enumerate(value if isinstance(value, list) else [value]):
            if isinstance(each, Mapping):
                where = f"{path}{key}[{number}]." if isinstance(value, list) else f"{path}{key}."
                _no_unknown_keys(each, inner, where)
