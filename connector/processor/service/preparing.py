"""What a `prepareSession` wants (S1), read into a typed form. No I/O."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from connector.bridge.messages import BodyInvalid, convert
from connector.bridge.messages import session as session_wire
from connector.processor.service.wire import Code, Failed

DEFAULT_MODEL = "default"
"""The one call model of this processor; a missing or blank `model` means it, too."""

_LONGEST = 200


@dataclass(frozen=True, slots=True)
class Wanted:
    """Who wants a session, and how. `extension` and `extensions` are our own: the phone to sit at."""

    agent: str
    password: str = field(repr=False)
    override: bool = False
    model: str = DEFAULT_MODEL
    extension: str = ""
    extensions: session_wire.GroupExtensions = field(default_factory=session_wire.GroupExtensions)


def wanted_of(data: Mapping[str, Any]) -> Wanted:
    """Read the data of a `prepareSession`.

    Raises:
        Failed: a key is missing or not what it should be; the model is not known.

    """
    agent = data.get("agent")
    if not isinstance(agent, Mapping):
        raise Failed(Code.INVALID_DATA, "Key 'data.agent' must be an object with 'id' and 'password'.")
    override = data.get("override", False)
    if not isinstance(override, bool):
        raise Failed(Code.INVALID_DATA, "Key 'data.override' must be true or false.")
    extensions = data.get("extensions")
    if not isinstance(extensions, Mapping | None):
        raise Failed(Code.INVALID_DATA, "Key 'data.extensions' must be an object.")
    try:
        group = convert(extensions or {}, session_wire.GroupExtensions)
    except BodyInvalid as invalid:
        raise Failed(Code.INVALID_DATA, f"data.extensions: {invalid}") from None
    if not isinstance(group, session_wire.GroupExtensions):
        raise TypeError(group)
    return Wanted(
        agent=_text(agent, "id", "data.agent.id", needed=True),
        password=_text(agent, "password", "data.agent.password", needed=True),
        override=override,
        model=_model(data),
        extension=_text(data, "extension", "data.extension"),
        extensions=group,
    )


def _model(data: Mapping[str, Any]) -> str:
    model = data.get("model")
    if model is None or model == "":
        return DEFAULT_MODEL
    if not isinstance(model, str) or model.strip() not in {"", DEFAULT_MODEL}:
        raise Failed(Code.UNKNOWN_MODEL, f"There is no such call model; there is '{DEFAULT_MODEL}'.")
    return DEFAULT_MODEL


def _text(data: Mapping[str, Any], key: str, where: str, *, needed: bool = False) -> str:
    value = data.get(key)
    if value is None and not needed:
        return ""
    if not isinstance(value, str) or len(value) > _LONGEST or (needed and not value):
        raise Failed(Code.INVALID_DATA, f"Key '{where}' must be a string.")
    return value
