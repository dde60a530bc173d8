"""What goes over the desktop's wire: commands in, responses and events out (S1). No I/O."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import msgspec

MAX_MESSAGE = 64 * 1024
"""Bytes of a desktop's message; a longer one ends the connection (WebSocket status 1009)."""

_MAX_NAME = 100
_MAX_TARGET = 512


class Code(StrEnum):
    """Values of `failure.code`."""

    INVALID_JSON = "invalid-json"
    INVALID_MESSAGE = "invalid-message"
    UNKNOWN_COMMAND = "unknown-command"
    NOT_SUPPORTED = "not-supported"
    UNKNOWN_SERVICE = "unknown-service"
    UNKNOWN_RESOURCE = "unknown-resource"
    ALREADY_BOUND = "already-bound"
    NOT_BOUND = "not-bound"
    UNKNOWN_TARGET = "unknown-target"
    WRONG_TARGET = "wrong-target"
    INVALID_DATA = "invalid-data"
    UNKNOWN_MODEL = "unknown-model"
    INVALID_CREDENTIALS = "invalid-credentials"
    UNAVAILABLE = "unavailable"
    BUSY = "busy"
    REFUSED = "refused"
    TIMEOUT = "timeout"
    INTERNAL = "internal"


class Failed(Exception):
    """A command that is answered with a failure. The text is one sentence; `context` is for debugging."""

    def __init__(self, code: Code, message: str, context: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.context = context


@dataclass(frozen=True, slots=True, repr=False)
class Command:
    """A desktop's request. `original` is the whole message: it may hold a password, so neither has a repr."""

    name: str
    target: str
    data: Mapping[str, Any]
    original: Mapping[str, Any]
    request_id: str | None = None
    context: Any = None

    def __repr__(self) -> str:
        return f"<{self.name} @{self.target}>"


class Unreadable(Failed):
    """A message that is no command; `original` is what could be read of it."""

    def __init__(self, code: Code, message: str, original: Any = None) -> None:
        super().__init__(code, message)
        self.original = original


def read(text: str) -> Command:
    """Read a desktop's message.

    Raises:
        Unreadable: it is not JSON, or no command. What was sent is no part of the sentence.

    """
    try:
        raw = msgspec.json.decode(text.encode())
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise Unreadable(Code.INVALID_JSON, "The message is not JSON.") from None
    if not isinstance(raw, dict):
        raise Unreadable(Code.INVALID_MESSAGE, "A message is a JSON object.", raw)
    name, target, data = raw.get("command"), raw.get("target"), raw.get("data")
    if not isinstance(name, str) or not 0 < len(name) <= _MAX_NAME:
        raise Unreadable(Code.INVALID_MESSAGE, "Key 'command' must be the command's name.", raw)
    if target is not None and (not isinstance(target, str) or len(target) > _MAX_TARGET):
        raise Unreadable(Code.INVALID_MESSAGE, "Key 'target' must be a dotted path.", raw)
    if data is not None and not isinstance(data, dict):
        raise Unreadable(Code.INVALID_MESSAGE, "Key 'data' must be an object.", raw)
    request_id = raw.get("requestId")
    if request_id is not None and (not isinstance(request_id, str) or len(request_id) > _MAX_NAME):
        raise Unreadable(Code.INVALID_MESSAGE, "Key 'requestId' must be a short string.", raw)
    return Command(name, target or "", data or {}, raw, request_id, raw.get("context"))


def success(to: Command, data: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Answer a command with `result` and `data`."""
    return {**_head(to), "result": "success", "data": dict(data or {})}


def prepared(to: Command, resource: str) -> dict[str, Any]:
    """Answer `prepareSession` with the resource, and the request's data for the requester only (S1)."""
    return {**_head(to), "result": "success", "resource": {"id": resource, "data": dict(to.data)}}


def confirm(to: Command, message: str) -> dict[str, Any]:
    """Answer `prepareSession` with a question to the user (S1)."""
    return {**_head(to), "result": "confirm", "message": message, "original": dict(to.original)}


def failure(to: Command | Unreadable, problem: Failed, *, debug: bool = False) -> dict[str, Any]:
    """Answer with a failure; its `context` is there in debug mode only."""
    told = {"code": problem.code.value, "message": problem.message}
    if debug and problem.context:
        told["context"] = problem.context
    head = _head(to) if isinstance(to, Command) else _head_of(to.original)
    return {**head, "result": "failure", "failure": told, "original": to.original}


def object_event(target: str, name: str, data: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Make an event of a call object (W)."""
    return {"messageType": "objectEvent", "target": target, "name": name, "data": dict(data or {})}


def service_event(service: str, name: str, data: Mapping[str, Any]) -> dict[str, Any]:
    """Make an event of the service monitor (C)."""
    return {"messageType": "serviceEvent", "service": service, "name": name, "data": dict(data)}


def encoded(message: Mapping[str, Any]) -> str:
    """Return a message as it goes out."""
    return msgspec.json.encode(message).decode()


def _head(to: Command) -> dict[str, Any]:
    head = {"command": to.name}
    if to.target:
        head["target"] = to.target
    if to.request_id is not None:
        head["requestId"] = to.request_id
    return head


def _head_of(original: Any) -> dict[str, Any]:
    """Return what can be repeated of a message that is no command."""
    if not isinstance(original, dict):
        return {"command": ""}
    name, request_id = original.get("command"), original.get("requestId")
    head = {"command": name if isinstance(name, str) else ""}
    return {**head, "requestId": request_id} if isinstance(request_id, str) else head
