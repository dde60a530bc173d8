"""Settings of calls: numbers, phones, fallback, queues."""

import re
from enum import StrEnum
from typing import Annotated, Final

from msgspec import Meta

from connector.settings_fields import CALLER_NAME, LINE, DialPattern, Label, Section, seconds, text


class Answer(StrEnum):
    """How a phone model can be made to pick up."""

    NONE = "none"
    AUTO_ANSWER = "auto-answer"
    NOTIFY_TALK = "notify-talk"


class Hold(StrEnum):
    """How calls on a phone model are put on hold."""

    ROOMS = "rooms"
    NOTIFY = "notify"


class Way(StrEnum):
    """Who takes a caller that has nobody."""

    AGENT = "agent"
    QUEUE = "queue"


class Consult(StrEnum):
    """How answered calls are handled on the PBX."""

    ROOMS = "rooms"
    ATXFER = "atxfer"


class DialSettings(Section, frozen=True, kw_only=True):
    """How calls are placed and handled for agents."""

    context: Annotated[
        str,
        text(
            "Context of the dialplan in which numbers are dialled.",
            r"[A-Za-z0-9_][A-Za-z0-9_-]{0,78}",
            "a context of the dialplan (letters, digits, _ -)",
        ),
    ] = "from-internal"
    agent_timeout: Annotated[float, seconds("How long the agent's own phone rings first.", 1.0, 600.0)] = 30.0
    timeout: Annotated[float, seconds("How long the destination rings.", 1.0, 600.0)] = 60.0
    caller_id: Annotated[
        str,
        text(
            "Caller id shown to the destination; empty: the agent's extension.",
            rf'|(?:"{CALLER_NAME}{{0,80}}" ?)?<\+?[0-9*#]{{1,32}}>|\+?[0-9*#]{{1,32}}',
            'a number, or "Name" <number>',
        ),
    ] = ""
    consult: Annotated[
        Consult,
        Meta(
            description="How calls are consulted about, transferred and joined: `rooms`, by our dialplan "
            "include; `atxfer`, by Asterisk's own attended transfer, for a PBX without the include: see "
            "docs/call-handling.md for what that cannot do."
        ),
    ] = Consult.ROOMS
    allow: Annotated[
        tuple[DialPattern, ...],
        Meta(
            description="Patterns of numbers that agents may dial; empty: all.", extra={"example": "[_0X.]"}
        ),
    ] = ()
    deny: Annotated[
        tuple[DialPattern, ...],
        Meta(
            description="Patterns of numbers that agents must not dial; wins over `allow`.",
            extra={"example": "[_0900X.]"},
        ),
    ] = ()

    def permits(self, number: str) -> bool:
        """Return whether `allow` and `deny` let agents dial this number (digits, * # +)."""
        if any(matches(pattern, number) for pattern in self.deny):
            return False
        return not self.allow or any(matches(pattern, number) for pattern in self.allow)


_PIECES: Final = {"X": "[0-9]", "Z": "[1-9]", "N": "[2-9]", ".": "[0-9*#+]+", "!": "[0-9*#+]*"}


def matches(pattern: str, number: str) -> bool:
    """Return whether a number (digits, * # +) fits a pattern of the dialplan."""
    pieces = re.findall(r"\[[^\]]+\]|.", pattern.removeprefix("_"))
    expression = "".join(
        _PIECES.get(piece) or (piece if piece.startswith("[") else re.escape(piece)) for piece in pieces
    )
    return re.fullmatch(expression, number) is not None


class PhoneSettings(Section, frozen=True, kw_only=True):
    """What a model of phone can do."""

    answer: Annotated[
        Answer,
        Meta(
            description="How it picks up by request: `none`; `auto-answer`: by a header on calls that we "
            "place; `notify-talk`: by NOTIFY, which ends the call on phones that don't know it."
        ),
    ] = Answer.NONE
    auto_answer_header: Annotated[
        str,
        text(
            "SIP header that makes it pick up at once.",
            rf"[A-Za-z][A-Za-z0-9-]*: {LINE}{{1,200}}",
            "a SIP header such as `Alert-Info: info=alert-autoanswer`",
        ),
    ] = "Call-Info: <sip:localhost>;answer-after=0"
    hold: Annotated[
        Hold,
        Meta(
            description="How it holds: `rooms`: the PBX does it, the phone needs to know nothing; "
            "`notify`: by NOTIFY, which ends the call on phones that don't know it."
        ),
    ] = Hold.ROOMS


class HandlingSettings(Section, frozen=True, kw_only=True):
    """What becomes of callers whom nobody talks to."""

    failed_transfer: Annotated[
        tuple[Way, ...],
        Meta(
            description="Who takes a caller whose transfer to a number failed, in this order: `agent`: the "
            "phone that it came from rings again; `queue`: `fallback_queue`. Empty: the call ends."
        ),
    ] = (Way.AGENT, Way.QUEUE)
    orphans: Annotated[
        tuple[Way, ...],
        Meta(
            description="Who takes a caller on hold whose agent's leg ended or whose hold reached the limit. "
            "Empty: the call ends."
        ),
    ] = (Way.QUEUE,)
    fallback_queue: Annotated[
        str,
        text(
            "Queue for these callers, a key of `queues`; empty: none, but for calls whose routing set "
            "`HARMONY_ORPHAN_QUEUE`.",
            r"|[A-Za-z0-9][A-Za-z0-9_.-]{0,79}",
            "a queue's name (letters, digits, _ . -)",
            example="support",
        ),
    ] = ""
    fallback_patience: Annotated[
        int,
        Meta(
            ge=5,
            le=3600,
            description="How long these ways are tried again and again.",
            extra={"unit": "seconds"},
        ),
    ] = 120
    hold_limit: Annotated[
        float,
        seconds("Longest hold: at half of it the agent is warned, then the caller is an orphan.", 1, 86400),
    ] = 3600.0
    wrap_up: Annotated[
        float,
        seconds(
            "Longest wrap-up: so long after a call the queues wait for the agent to complete it. 0: no "
            "wrap-up, the next call may follow at once.",
            0,
            86400,
        ),
    ] = 60.0


class QueueStrategy(StrEnum):
    """Whom a queue calls first (app_queue)."""

    RRMEMORY = "rrmemory"
    RINGALL = "ringall"
    LEASTRECENT = "leastrecent"
    FEWESTCALLS = "fewestcalls"
    RANDOM = "random"
    LINEAR = "linear"


class QueueSettings(Section, frozen=True, kw_only=True):
    """A queue of the PBX that agents may serve."""

    extension: Annotated[
        str,
        text(
            "Number under which it is called.",
            r"|\+?[0-9*#]{1,32}",
            "a number of digits, * # +",
            example="7000",
        ),
    ] = ""
    label: Annotated[
        Label, Meta(description="Name to show; empty: the queue's own.", extra={"example": "Support"})
    ] = ""
    strategy: Annotated[
        QueueStrategy, Meta(description="Whom it calls first; for `connector site render`.")
    ] = QueueStrategy.RRMEMORY
    ring: Annotated[
        int,
        Meta(
            ge=1,
            le=300,
            description="How long it rings an agent; for `connector site render`.",
            extra={"unit": "seconds"},
        ),
    ] = 15
    language: Annotated[
        str,
        text(
            "Language of its callers, for prompts; empty: the PBX's; for `connector site render`.",
            r"|[a-z]{2}(?:_[A-Z]{2})?",
            "a language such as `en` or `en_US`",
        ),
    ] = ""
