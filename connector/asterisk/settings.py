"""What the call recipes must know of the site: context, patience, phones."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum

from connector.telephony.mobile import mobile_number


class ConsultStrategy(StrEnum):
    """How answered calls are held, consulted about, transferred and joined."""

    ROOMS = "rooms"
    """By conference rooms of our dialplan include."""
    ATXFER = "atxfer"
    """By the attended transfer that Asterisk has itself, for sites without the include."""


class AnswerMethod(StrEnum):
    """How a phone model can be made to pick up."""

    NONE = "none"
    AUTO_ANSWER = "auto-answer"
    NOTIFY_TALK = "notify-talk"


class HoldMethod(StrEnum):
    """How calls on a phone model are put on hold."""

    ROOMS = "rooms"
    NOTIFY = "notify"


@dataclass(frozen=True, slots=True)
class PhoneModel:
    """What a model of phone can do. `auto_answer_header` is `Name: value`, put on calls that we place."""

    answer: AnswerMethod = AnswerMethod.NONE
    auto_answer_header: str = "Call-Info: <sip:localhost>;answer-after=0"
    hold: HoldMethod = HoldMethod.ROOMS


class Way(StrEnum):
    """Who takes a caller that has nobody: the agent who had the call, or a queue."""

    AGENT = "agent"
    QUEUE = "queue"


@dataclass(frozen=True, slots=True)
class HandlingSettings:
    """What becomes of callers whom nobody talks to. Times in seconds; ways in the order of trying them."""

    failed_transfer: tuple[Way, ...] = (Way.AGENT, Way.QUEUE)
    orphans: tuple[Way, ...] = (Way.QUEUE,)
    queue: str = ""
    patience: int = 120
    hold_limit: float = 3600.0


RECORDING_FIELDS = ("date", "time", "agent", "phone", "number", "direction", "queue", "call", "unique")
"""What a pattern of names of recordings may hold; filled in by `connector.asterisk.recording.file_name`."""


@dataclass(frozen=True, slots=True)
class RecordingSettings:
    """Where recordings go on the PBX.

    `directory` is relative to Asterisk's folder of recordings, or absolute. `name` is a pattern with the
    fields of `RECORDING_FIELDS`, without the ending, which is the format.
    """

    directory: str = "harmony"
    name: str = "{date}/{time}-{agent}-{number}-{unique}"
    format: str = "wav"


@dataclass(slots=True)
class DialSettings:
    """How calls are placed. Times in seconds.

    All recipes share one; they look into it each time, so that `adopt` counts from the next request on.
    """

    context: str = "from-internal"
    agent_timeout: float = 30.0
    timeout: float = 60.0
    caller_id: str = ""
    written: Callable[[str], str] = lambda number: number
    """Writes a (checked) number in the site's way; Refused if it is none."""
    permits: Callable[[str], bool] = lambda _number: True
    """The site's word on whether agents may dial a (checked) number."""
    consult: ConsultStrategy = ConsultStrategy.ROOMS
    phones: Mapping[str, PhoneModel] = field(default_factory=dict)
    """What stands at which endpoint."""
    other_phones: PhoneModel = PhoneModel()
    """What stands at the endpoints that `phones` doesn't know."""
    handling: HandlingSettings = HandlingSettings()

    def adopt(self, other: "DialSettings") -> None:
        """Take over everything but what calls in progress rely on: the strategy and the limit of holds."""
        kept = {
            "consult": self.consult,
            "handling": replace(other.handling, hold_limit=self.handling.hold_limit),
        }
        for each in fields(self):
            setattr(self, each.name, kept.get(each.name, getattr(other, each.name)))

    def phone_at(self, endpoint: str) -> PhoneModel:
        """Return what the phone at an endpoint can do: a property of the phone, whoever works there."""
        if mobile_number(endpoint):
            return PhoneModel()
        return self.phones.get(endpoint, self.other_phones)
