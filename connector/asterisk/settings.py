"""What the call recipes must know of the site: context, patience, phones."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class AnswerMethod(StrEnum):
    """How a phone model can be made to pick up."""

    NONE = "none"
    AUTO_ANSWER = "auto-answer"
    NOTIFY_TALK = "notify-talk"


@dataclass(frozen=True, slots=True)
class PhoneModel:
    """What a model of phone can do. `auto_answer_header` is `Name: value`, put on calls that we place."""

    answer: AnswerMethod = AnswerMethod.NONE
    auto_answer_header: str = "Call-Info: <sip:localhost>;answer-after=0"


@dataclass(frozen=True, slots=True)
class DialSettings:
    """How calls are placed. Times in seconds."""

    context: str = "from-internal"
    agent_timeout: float = 30.0
    timeout: float = 60.0
    caller_id: str = ""
    permits: Callable[[str], bool] = lambda _number: True
    """The site's word on whether agents may dial a (checked) number."""
    phones: Mapping[str, PhoneModel] = field(default_factory=dict)
