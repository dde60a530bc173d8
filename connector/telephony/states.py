"""States of the call model, and the only transitions between them that exist.

Two rules: everything that decides whether a step is legal stands in this file, and nothing here knows
who asks for the step (a phone, the bridge or the network). A step that is not in a table is an error in
tests and an `Anomaly` in production.
"""

from collections.abc import Mapping
from enum import StrEnum


class InteractionState(StrEnum):
    """Life of one customer contact on an agent's channel."""

    ALERTING = "ALERTING"
    DIALING = "DIALING"
    STARTED = "STARTED"
    ENDED = "ENDED"
    COMPLETED = "COMPLETED"


class ConversationState(StrEnum):
    """Life of one call leg of an interaction."""

    ALERTING = "ALERTING"
    DIALING = "DIALING"
    TALKING = "TALKING"
    HELD = "HELD"
    RELEASED = "RELEASED"


class Role(StrEnum):
    """Which conversation of its interaction this is."""

    PRIMARY = "primary"
    CONSULT = "consult"


class Cause(StrEnum):
    """Why a conversation was released or an interaction ended."""

    NORMAL = "NORMAL"
    BUSY = "BUSY"
    NO_ANSWER = "NO_ANSWER"
    REJECTED = "REJECTED"
    INVALID_NUMBER = "INVALID_NUMBER"
    UNREACHABLE = "UNREACHABLE"
    CANCELLED = "CANCELLED"
    TRANSFERRED = "TRANSFERRED"
    CONFERENCED = "CONFERENCED"
    ABANDONED = "ABANDONED"
    FAILED = "FAILED"


class DialOutcome(StrEnum):
    """How an attempt to reach a party ended."""

    ANSWERED = "ANSWERED"
    BUSY = "BUSY"
    NO_ANSWER = "NO_ANSWER"
    CANCELLED = "CANCELLED"
    UNREACHABLE = "UNREACHABLE"
    INVALID = "INVALID"
    FAILED = "FAILED"


class Recording(StrEnum):
    """Whether a call is being recorded."""

    OFF = "OFF"
    ON = "ON"
    PAUSED = "PAUSED"


class Supervision(StrEnum):
    """What a supervisor's phone does: nothing, ring for it, hear, be heard by the agent, be heard by all."""

    OFF = "OFF"
    CALLING = "CALLING"
    MONITOR = "MONITOR"
    WHISPER = "WHISPER"
    BARGE = "BARGE"


INTERACTION_STEPS: Mapping[InteractionState, frozenset[InteractionState]] = {
    InteractionState.ALERTING: frozenset({InteractionState.STARTED, InteractionState.ENDED}),
    InteractionState.DIALING: frozenset({InteractionState.STARTED, InteractionState.ENDED}),
    InteractionState.STARTED: frozenset({InteractionState.ENDED}),
    InteractionState.ENDED: frozenset({InteractionState.COMPLETED}),
    InteractionState.COMPLETED: frozenset(),
}

CONVERSATION_STEPS: Mapping[ConversationState, frozenset[ConversationState]] = {
    ConversationState.ALERTING: frozenset({ConversationState.TALKING, ConversationState.RELEASED}),
    ConversationState.DIALING: frozenset({ConversationState.TALKING, ConversationState.RELEASED}),
    ConversationState.TALKING: frozenset({ConversationState.HELD, ConversationState.RELEASED}),
    ConversationState.HELD: frozenset({ConversationState.TALKING, ConversationState.RELEASED}),
    ConversationState.RELEASED: frozenset(),
}

ANSWERED_STATES = frozenset({ConversationState.TALKING, ConversationState.HELD})
RINGING_STATES = frozenset({ConversationState.ALERTING, ConversationState.DIALING})
ENDED_STATES = frozenset({InteractionState.ENDED, InteractionState.COMPLETED})
SUPERVISION_MODES = frozenset({Supervision.MONITOR, Supervision.WHISPER, Supervision.BARGE})
"""What a supervisor may ask for."""
