"""The protocol's catalogue and everything that is needed to make and to read a message.

The bodies themselves live in `connector.bridge.catalogue`, one module per kind of destination.
"""

from collections.abc import Mapping
from types import MappingProxyType

from connector.bridge.bodies import BodyInvalid, Unknown, convert, parse_body
from connector.bridge.catalogue import (
    channel,
    channelgroup,
    control,
    conversation,
    extensions,
    interaction,
    session,
)
from connector.bridge.envelope import (
    Message,
    error_message,
    event_message,
    failure,
    redacted,
    request_message,
    success,
    warning_message,
)
from connector.bridge.schema import (
    Body,
    Empty,
    Kind,
    MessageSpec,
    Result,
    Scope,
    event,
    query,
    request,
    spec_of,
    specs,
)

CATALOGUE: Mapping[str, MessageSpec] = MappingProxyType(dict(specs()))
"""Every message of the protocol by its name."""

__all__ = [
    "CATALOGUE",
    "Body",
    "BodyInvalid",
    "Empty",
    "Kind",
    "Message",
    "MessageSpec",
    "Result",
    "Scope",
    "Unknown",
    "channel",
    "channelgroup",
    "control",
    "conversation",
    "convert",
    "error_message",
    "event",
    "event_message",
    "extensions",
    "failure",
    "interaction",
    "parse_body",
    "query",
    "redacted",
    "request",
    "request_message",
    "session",
    "spec_of",
    "specs",
    "success",
    "warning_message",
]
