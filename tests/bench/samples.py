"""One message of every kind that the catalogue has, filled by the types of its body: for fuzz and bench."""

import types
from enum import Enum
from typing import Annotated, Any, Union, get_args, get_origin

import msgspec

from connector.bridge.messages import CATALOGUE, Body, Kind, Message, Result, warning_message

_REQUEST_ID = "0f8fad5b-d9cb-469f-a165-70867728950e"
_TARGET = "agent-1001.g1.c1.i1.p1"


def every_message() -> list[Message]:
    """Return the queries, requests and events of the catalogue, their responses, and a warning."""
    found = [warning_message(_TARGET, "phone", "PHONE_UNREGISTERED", "The phone is not registered.")]
    for spec in CATALOGUE.values():
        is_event = spec.kind is Kind.EVENT
        request_id = None if is_event else _REQUEST_ID
        found.append(Message(spec.kind, spec.name, _TARGET, plain(spec.body), request_id=request_id))
        if spec.reply is not None:
            answer = Message(
                Kind.RESPONSE,
                spec.name,
                _TARGET,
                plain(spec.reply),
                request_id=_REQUEST_ID,
                result=Result.SUCCESS,
            )
            found.append(answer)
    return found


def plain(shape: type[Body]) -> dict[str, Any]:
    """Return a body as it comes from the wire, with a fitting value for every key."""
    return {each.encode_name: _value(each.type) for each in msgspec.structs.fields(shape)}


def _value(kind: Any) -> Any:
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return "12#" if any(getattr(each, "pattern", None) for each in inner[1:]) else _value(inner[0])
    if origin in {Union, types.UnionType}:
        return _value(next(each for each in inner if each is not type(None)))
    if origin is tuple:
        return [_value(inner[0])] * 2
    if origin is dict or kind is Any:
        return {"ANI": "2001", "CUSTOMER": {"name": "Änne 客户", "tier": "gold"}}
    if isinstance(kind, type) and issubclass(kind, Enum):
        return next(iter(kind)).value
    if isinstance(kind, type) and issubclass(kind, Body):
        return plain(kind)
    return {str: "Ann Älmås", int: 42, float: 1.5, bool: True}[kind]
