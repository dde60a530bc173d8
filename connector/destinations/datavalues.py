"""Interaction data between the protocol (values or objects) and the call (text)."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import msgspec

from connector.bridge.catalogue.interaction import DataValue
from connector.bridge.codec import MAX_DEPTH, deeper_than

_MAX_DEPTH = MAX_DEPTH - 2
"""Nesting of an object that still fits into a body, where it lies two levels deep."""


def to_text(value: DataValue) -> str:
    """Return a value as it travels on a channel: text as it is, null as nothing, the rest as JSON."""
    if value is None:
        return ""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def from_text(text: str) -> DataValue:
    """Return a value as the bridge gets it: JSON objects as objects, nothing as null, the rest as text.

    An object that is nested too deeply for a message stays text: whoever calls may have written it.
    """
    if not text:
        return None
    if text.startswith("{"):
        try:
            found: Any = msgspec.json.decode(text)
        except (msgspec.DecodeError, RecursionError):
            return text
        return found if isinstance(found, dict) and not deeper_than(found, _MAX_DEPTH) else text
    return text


class SetValues:
    """What the bridge has set, with its types: a channel's variable is text.

    `1.5` stays a number, and `"{}"` text, for as long as the call has the text that was made of it.
    """

    def __init__(self) -> None:
        self._set: dict[str, tuple[str, DataValue]] = {}

    def value_of(self, key: str, text: str) -> DataValue:
        """Return what the call says of a key, as the bridge set it if it did."""
        known, value = self._set.get(key, ("", None))
        return value if known and known == text else from_text(text)

    @contextmanager
    def setting(
        self, values: Mapping[str, DataValue], present: Mapping[str, str]
    ) -> Iterator[dict[str, str]]:
        """Yield the texts to write; if that fails, nothing was set. `present` is what the call says now."""
        before = self._set
        texts = {key: to_text(value) for key, value in values.items()}
        kept = {key: known for key, known in before.items() if present.get(key) == known[0]}
        self._set = kept | {key: (text, values[key]) for key, text in texts.items() if text}
        try:
            yield texts
        except BaseException:
            self._set = before
            raise
