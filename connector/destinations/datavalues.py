"""Interaction data between the protocol (values or objects) and the call (text)."""

from typing import Any

import msgspec

from connector.bridge.catalogue.interaction import DataValue


def to_text(value: DataValue) -> str:
    """Return a value as it travels on a channel: text as it is, null as nothing, the rest as JSON."""
    if value is None:
        return ""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def from_text(text: str) -> DataValue:
    """Return a value as the bridge gets it: JSON objects as objects, nothing as null, the rest as text."""
    if not text:
        return None
    if text.startswith("{"):
        try:
            found: Any = msgspec.json.decode(text)
        except msgspec.DecodeError:
            return text
        return found if isinstance(found, dict) else text
    return text
