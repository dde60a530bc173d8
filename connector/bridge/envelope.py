"""The message as the connector sees it: headers and body, free of any wire."""

from collections.abc import Mapping
from typing import Any

import msgspec

from connector.bridge.schema import Body, Kind, Result, spec_of

MAX_TEXT = 500
"""Characters of a text for people (`errorMessage`, `message`), which travels in a bounded header."""


def redacted(value: Any) -> Any:
    """Return a copy in which everything that a key calls a password is an ellipsis."""
    if isinstance(value, Mapping):
        return {
            key: "…" if "password" in str(key).lower() else redacted(inner) for key, inner in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [redacted(inner) for inner in value]
    return value


class Message(msgspec.Struct, frozen=True):
    """One message of the protocol.

    `target` is empty only on a `cti.serverstatuschanged` that came without it. `code` and `text` belong to
    warnings and errors (headers `code` and `message`).
    """

    kind: Kind
    name: str
    target: str
    body: Mapping[str, Any] = msgspec.field(default_factory=dict)
    request_id: str | None = None
    result: Result | None = None
    error_message: str | None = None
    code: str | None = None
    text: str | None = None

    def __repr__(self) -> str:
        parts = [f"{self.kind.value} {self.name} @{self.target}"]
        if self.request_id is not None:
            parts.append(f"#{self.request_id}")
        if self.result is not None:
            parts.append(self.result.value)
        parts.extend(repr(text) for text in (self.error_message, self.code, self.text) if text is not None)
        if self.body:
            parts.append(repr(redacted(self.body)))
        return f"<{' '.join(parts)}>"


def _plain(body: Body | None) -> dict[str, Any]:
    if body is None:
        return {}
    plain: dict[str, Any] = msgspec.to_builtins(body)
    return plain


def _bounded(text: str) -> str:
    # A sentence may quote what the bridge sent, which may be as long as a frame.
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"


def event_message(target: str, body: Body) -> Message:
    """Make an event of its typed body."""
    spec = spec_of(type(body))
    if spec.kind is not Kind.EVENT:
        raise ValueError(f"{spec.name} is no event")
    return Message(Kind.EVENT, spec.name, target, _plain(body))


def request_message(target: str, body: Body, request_id: str) -> Message:
    """Make a query or request of its typed body."""
    spec = spec_of(type(body))
    if spec.kind not in {Kind.QUERY, Kind.REQUEST}:
        raise ValueError(f"{spec.name} is neither a query nor a request")
    return Message(spec.kind, spec.name, target, _plain(body), request_id=request_id)


def success(to: Message, body: Body | None = None) -> Message:
    """Answer a query or request with SUCCESS."""
    return Message(
        Kind.RESPONSE, to.name, to.target, _plain(body), request_id=to.request_id, result=Result.SUCCESS
    )


def failure(to: Message, sentence: str) -> Message:
    """Answer a query or request with FAILURE and a sentence for an agent, cut at `MAX_TEXT`."""
    return Message(
        Kind.RESPONSE,
        to.name,
        to.target,
        request_id=to.request_id,
        result=Result.FAILURE,
        error_message=_bounded(sentence),
    )


def warning_message(target: str, name: str, code: str, text: str) -> Message:
    """Make a `cti.warning`; its name is free, code and (cut) text travel in the headers (S4)."""
    return Message(Kind.WARNING, name, target, code=code, text=_bounded(text))


def error_message(target: str, name: str, code: str, text: str) -> Message:
    """Make a `cti.error`; its name is free, code and (cut) text travel in the headers (S4)."""
    return Message(Kind.ERROR, name, target, code=code, text=_bounded(text))
