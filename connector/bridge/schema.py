"""What a catalogue entry is made of: kinds, scopes, typed bodies and how a body is tied to its message."""

import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Annotated, Any, ClassVar, TypeVar, Union, get_args, get_origin

import msgspec

Password = Annotated[str, msgspec.Meta(extra={"secret": True})]  # a mark # nosec B105
"""A string that must never reach a log, a repr or an error message."""


class Kind(StrEnum):
    """Values of the header `type`."""

    QUERY = "cti.query"
    REQUEST = "cti.request"
    RESPONSE = "cti.response"
    EVENT = "cti.event"
    WARNING = "cti.warning"
    ERROR = "cti.error"


class Scope(StrEnum):
    """The kind of destination that a message belongs to."""

    CONTROL = "control"
    SESSION = "session"
    CHANNEL_GROUP = "channel group"
    CHANNEL = "channel"
    INTERACTION = "interaction"
    CONVERSATION = "conversation"


class Result(StrEnum):
    """Values of the header `result`."""

    SUCCESS = "SUCCESS"
    FAILURE = "FAILURE"


class Body(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base of every typed body.

    Fields without a default are always on the wire; a field that has its default is left out. Names on the
    wire are set with `rename` or `msgspec.field(name=…)`.
    """

    secrets: ClassVar[frozenset[str]] = frozenset()

    @classmethod
    def normalise(cls, data: dict[str, Any]) -> dict[str, Any]:
        """Turn a spelling that the bridge is known to use into the one that this body declares."""
        return data

    def __repr__(self) -> str:
        shown = (
            f"{name}={'…' if name in self.secrets else repr(getattr(self, name))}"
            for name in self.__struct_fields__
        )
        return f"{type(self).__name__}({', '.join(shown)})"


@dataclass(frozen=True, slots=True)
class MessageSpec:
    """One entry of the catalogue.

    `reply` is the body of a successful response: None for events, a body without fields where the response
    carries nothing. `origin` is the source of the protocol row; `summary` is the body's first docstring line.
    """

    name: str
    kind: Kind
    scope: Scope
    body: type[Body]
    reply: type[Body] | None
    origin: str
    summary: str


class Empty(Body, frozen=True, kw_only=True):
    """Nothing beyond the headers."""


_B = TypeVar("_B", bound=type[Body])
_SPECS: dict[str, MessageSpec] = {}
_BY_BODY: dict[type[Body], MessageSpec] = {}


def _entry(name: str, kind: Kind, scope: Scope, origin: str, reply: type[Body] | None) -> Callable[[_B], _B]:
    def register(body: _B) -> _B:
        if name in _SPECS or body in _BY_BODY:
            raise ValueError(f"{name} or {body.__name__} is in the catalogue already")
        summary = (body.__doc__ or "").strip().partition("\n")[0]
        spec = MessageSpec(name, kind, scope, body, reply, origin, summary)
        _SPECS[name] = spec
        _BY_BODY[body] = spec
        return body

    return register


def query(name: str, *, scope: Scope, origin: str, reply: type[Body] = Empty) -> Callable[[_B], _B]:
    """Declare a query: the bridge reads state, the client answers with `reply`."""
    return _entry(name, Kind.QUERY, scope, origin, reply)


def request(name: str, *, scope: Scope, origin: str, reply: type[Body] = Empty) -> Callable[[_B], _B]:
    """Declare a request: the bridge wants something done, the client answers with `reply`."""
    return _entry(name, Kind.REQUEST, scope, origin, reply)


def event(name: str, *, scope: Scope, origin: str) -> Callable[[_B], _B]:
    """Declare an event: the client tells, nobody answers."""
    return _entry(name, Kind.EVENT, scope, origin, None)


def specs() -> Mapping[str, MessageSpec]:
    """Return all entries declared so far, by name, in the order of declaration."""
    return _SPECS


def spec_of(body_type: type[Body]) -> MessageSpec:
    """Return the entry of a body.

    Raises:
        KeyError: the type is not the body of a query, request or event.

    """
    return _BY_BODY[body_type]


@cache
def keys_of(body: type[Body]) -> Mapping[str, type[Body] | None]:
    """Return the keys of a body as they are on the wire, each with the typed object (or list of these) in it.

    None stands for a plain value, and for objects whose keys are no business of the catalogue.
    """
    return {each.encode_name: _body_in(each.type) for each in msgspec.structs.fields(body)}


def _body_in(annotation: Any) -> type[Body] | None:
    if isinstance(annotation, type) and issubclass(annotation, Body):
        return annotation
    if get_origin(annotation) in {tuple, Union, types.UnionType}:
        for inner in get_args(annotation):
            if (found := _body_in(inner)) is not None:
                return found
    return None
