"""The strict reading of a body: exactly the catalogue's keys, spelling and types."""

import types
from collections.abc import Mapping
from functools import cache
from typing import Any, Union, get_args, get_origin

import msgspec

from connector.bridge.messages import Body, convert


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


@cache
def _shape(body: type[Body]) -> dict[str, type[Body] | None]:
    return {each.encode_name: _body_in(each.type) for each in msgspec.structs.fields(body)}


def _body_in(annotation: Any) -> type[Body] | None:
    if isinstance(annotation, type) and issubclass(annotation, Body):
        return annotation
    if get_origin(annotation) in {tuple, Union, types.UnionType}:
        for inner in get_args(annotation):
            if (found := _body_in(inner)) is not None:
                return found
    return None


def _no_unknown_keys(raw: Mapping[str, Any], body: type[Body], path: str) -> None:
    shape = _shape(body)
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
