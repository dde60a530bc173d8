"""Warnings and errors: the protocol leaves their names and codes free (S4), these are ours.

They have no body; code and text travel in the headers. The text says what matters to the agent.
"""

from dataclasses import dataclass

from connector.bridge.schema import Kind, Scope


@dataclass(frozen=True, slots=True)
class Notice:
    """A warning or error that the client sends unasked."""

    kind: Kind
    name: str
    code: str
    scope: Scope
    summary: str


NOTICES = (
    Notice(
        Kind.WARNING,
        "phone.unregistered",
        "PHONE_UNREGISTERED",
        Scope.CHANNEL,
        "The agent is ready, or gets ready, at a phone that the PBX cannot reach.",
    ),
    Notice(
        Kind.WARNING,
        "phone.registered",
        "PHONE_REGISTERED",
        Scope.CHANNEL,
        "The phone of which `phone.unregistered` was told can be reached again.",
    ),
    Notice(
        Kind.WARNING,
        "queue.missing",
        "QUEUE_MISSING",
        Scope.CHANNEL,
        "A queue of the agent does not exist on the PBX; the login goes on with the others.",
    ),
    Notice(
        Kind.WARNING,
        "hold.long",
        "HOLD_LONG",
        Scope.CONVERSATION,
        "The conversation is on hold for half the time that the site allows.",
    ),
    Notice(
        Kind.WARNING,
        "hold.limit",
        "HOLD_LIMIT",
        Scope.CONVERSATION,
        "The conversation was on hold for as long as the site allows: its party is given to others now.",
    ),
    Notice(
        Kind.ERROR,
        "pbx.lost",
        "PBX_LOST",
        Scope.SESSION,
        "The PBX cannot be reached: calls go on, but cannot be controlled.",
    ),
)
"""Every warning and error that this connector sends."""
