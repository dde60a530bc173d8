"""A site's own spelling of names and keys, translated at the edge: nothing behind the codec sees it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


class Dialect:
    """Translates between the catalogue's spelling and a bridge's own. This one leaves everything as it is."""

    def name_out(self, name: str) -> str:
        """Return the bridge's word for a message of the catalogue."""
        return name

    def name_in(self, name: str) -> str:
        """Return the catalogue's word for a message of the bridge."""
        return name

    def body_out(self, name: str, body: Mapping[str, Any], *, is_reply: bool = False) -> Mapping[str, Any]:
        """Return a body with the bridge's keys; `name` is the catalogue's, a response's body is a reply."""
        del name, is_reply
        return body

    def body_in(self, name: str, body: Mapping[str, Any], *, is_reply: bool = False) -> Mapping[str, Any]:
        """Return a body with the catalogue's keys; `name` is the catalogue's too."""
        del name, is_reply
        return body


IDENTITY = Dialect()
"""The catalogue's own spelling."""


@dataclass(frozen=True, slots=True)
class Word:
    """What a key is called on the other side, and the words of the object in it (None: they are the same)."""

    name: str
    inner: "Words | None" = None


@dataclass(frozen=True, slots=True)
class Words:
    """The words of one kind of object, both ways. Every key of the catalogue is in `out`."""

    out: Mapping[str, Word]
    into: Mapping[str, Word]


@dataclass(frozen=True, slots=True)
class MessageWords:
    """The words of one message: its name at the bridge, its body and its reply (None: nothing differs)."""

    name: str
    body: Words | None = None
    reply: Words | None = None


_STRANGE = "?"
"""Before a name that the catalogue knows and this bridge does not; no name of the catalogue begins so."""


@dataclass(frozen=True)
class MappedDialect(Dialect):
    """The dialect of a site. `words` holds every message of the catalogue by its name there.

    What the catalogue does not know passes as it is. The catalogue's own word for something that the bridge
    calls otherwise means nothing: such a name becomes an unknown one, such a key is left out.

    `secrets` holds the bridge's words for passwords and the catalogue's. A key of that word gets the
    catalogue's also where it does not belong (in a message that the catalogue does not have, say): so whoever
    writes messages down recognises it.
    """

    words: Mapping[str, MessageWords]
    secrets: Mapping[str, str] = field(default_factory=dict)
    _into: dict[str, str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_into", {each.name: name for name, each in self.words.items()})

    def name_out(self, name: str) -> str:
        """Return the bridge's word for a message."""
        known = self.words.get(name)
        return known.name if known is not None else name.removeprefix(_STRANGE)

    def name_in(self, name: str) -> str:
        """Return the catalogue's word for a message; `name_out` leads back to `name` whatever it is."""
        known = self._into.get(name)
        if known is not None:
            return known
        return _STRANGE + name if name in self.words or name.startswith(_STRANGE) else name

    def body_out(self, name: str, body: Mapping[str, Any], *, is_reply: bool = False) -> Mapping[str, Any]:
        """Return a body with the bridge's keys."""
        words = self._words(name, is_reply=is_reply)
        return body if words is None else _outward(body, words)

    def body_in(self, name: str, body: Mapping[str, Any], *, is_reply: bool = False) -> Mapping[str, Any]:
        """Return a body with the catalogue's keys."""
        words = self._words(name, is_reply=is_reply)
        told = body if words is None else _inward(body, words)
        if self.secrets.keys().isdisjoint(told):
            return told
        return {self.secrets.get(key, key): value for key, value in told.items()}

    def _words(self, name: str, *, is_reply: bool) -> Words | None:
        known = self.words.get(name)
        if known is None:
            return None
        return known.reply if is_reply else known.body


def _outward(value: Any, words: Words) -> Any:
    if isinstance(value, (list, tuple)):
        return [_outward(each, words) for each in value]
    if not isinstance(value, Mapping):
        return value
    made: dict[str, Any] = {}
    for key, inner in value.items():
        word = words.out.get(key)
        if word is None:
            made.setdefault(key, inner)
        else:
            made[word.name] = inner if word.inner is None else _outward(inner, word.inner)
    return made


def _inward(value: Any, words: Words) -> Any:
    if isinstance(value, list):
        return [_inward(each, words) for each in value]
    if not isinstance(value, Mapping):
        return value
    made: dict[str, Any] = {}
    for key, inner in value.items():
        word = words.into.get(key)
        if word is not None:
            made[word.name] = inner if word.inner is None else _inward(inner, word.inner)
        elif key not in words.out:
            made.setdefault(_flat(key, words), inner)
    return made


def _flat(key: str, words: Words) -> str:
    # `properties.chat` is a printed spelling of `chat` in `properties`: each half has a word of its own.
    head, dot, tail = key.partition(".")
    word = words.into.get(head) if dot else None
    if word is None:
        return key
    inner = word.inner.into.get(tail) if word.inner is not None else None
    return f"{word.name}.{inner.name if inner is not None else tail}"
