"""The bridge's log as text: one readable line a message, without passwords."""

from typing import Any

import msgspec

from connector.bridge.messages import Kind, Message, redacted
from connector.processor.link import Direction, Entry

_NAME_WIDTH = 38
_LONGEST = 400

_ARROWS = {Direction.SENT: "→", Direction.RECEIVED: "←"}
_WORDS = {
    Kind.QUERY: "query",
    Kind.REQUEST: "request",
    Kind.RESPONSE: "response",
    Kind.EVENT: "event",
    Kind.WARNING: "warning",
    Kind.ERROR: "error",
}


def line_of(entry: Entry) -> str:
    """Return a line: time (UTC), direction seen from the bridge, kind, name, destination, content."""
    message = entry.message
    stamp = entry.at.strftime("%H:%M:%S.%f")[:-3]
    words = [f"{_WORDS[message.kind]:<8}", f"{message.name:<{_NAME_WIDTH}}", short_target(message.target)]
    if content := content_of(message):
        words.append(content)
    return f"{stamp} {_ARROWS[entry.direction]} {_printable(' '.join(words))}"


def content_of(message: Message) -> str:
    """Return result, texts and body of a message as one short text."""
    words = [message.result.value] if message.result is not None else []
    words.extend(text for text in (message.error_message, message.code, message.text) if text)
    words.extend(f"{key}={_value(value)}" for key, value in redacted(message.body).items())
    return " ".join(words)


def short_target(target: str) -> str:
    """Return a target without the long session id in its middle: the last dotted parts are what differs."""
    parts = target.split(".")
    return target if len(parts) <= 3 else f"…{'.'.join(parts[3:])}"  # noqa: PLR2004 - processor, word, id


def _value(value: Any) -> str:
    if isinstance(value, str):
        return value if value and " " not in value else repr(value)
    return msgspec.json.encode(value).decode("utf-8", "replace")


def _printable(text: str) -> str:
    # What comes from outside must not move the cursor or start a new line.
    shown = "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)
    return shown if len(shown) <= _LONGEST else shown[:_LONGEST] + "…"
