"""What the sections of the settings are made of: secrets, kinds of text, bounds."""

from typing import Annotated, Final

import msgspec
from msgspec import Meta

HIDDEN: Final = "***"
"""What is shown in a secret's place."""


class Secret:
    """A text that must not be shown: `repr` and `str` hide it, `reveal` gives it to the one that needs it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the text itself; never log it."""
        return self._text

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __repr__(self) -> str:
        return f"Secret({HIDDEN})" if self else "Secret()"

    __str__ = __repr__


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A mapping of the configuration."""


def seconds(about: str, least: float = 0.1, most: float = 3600.0) -> Meta:
    """Return the `Meta` of a time in seconds, with its bounds."""
    return Meta(ge=least, le=most, description=about, extra={"unit": "seconds"})


def text(about: str, pattern: str, expected: str, *, example: str = "") -> Meta:
    """Return the `Meta` of a text: what it must match as a whole, and how that is told in an error."""
    return Meta(
        pattern=f"^(?:{pattern})$", description=about, extra={"expected": expected, "example": example}
    )


LINE: Final = r"[^\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]"
# What would end the value in the dialplan or in a variable's assignment is left out.
CALLER_NAME: Final = r"""[^<>;,"$\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]"""
HOST: Final = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,252}[A-Za-z0-9])?|[0-9A-Fa-f:.]{2,45}"
PATTERN: Final = r"_?(?:[0-9XZN*#+]|\[[0-9*#-]+\])+[.!]?|_?[.!]"

Host = Annotated[str, text("Name or address.", HOST, "a host name or an address without a port")]
Port = Annotated[int, Meta(ge=1, le=65535, description="TCP port.")]
FilePath = Annotated[str, text("A path.", rf"{LINE}*", "the path of a file")]
Endpoint = Annotated[
    str,
    text(
        "The phone: its PJSIP endpoint.",
        r"[A-Za-z0-9_+][A-Za-z0-9_.+-]{0,63}",
        "the name of a PJSIP endpoint (letters, digits, _ . + -)",
        example="1001",
    ),
]
Label = Annotated[str, text("A name to show.", rf"{LINE}{{0,80}}", "at most 80 characters on one line")]
AgentId = Annotated[
    str,
    text("", r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}", "an agent id (letters, digits, _ . @ -)", example="1001"),
]
QueueName = Annotated[
    str,
    text(
        "", r"[A-Za-z0-9][A-Za-z0-9_.-]{0,79}", "a queue's name (letters, digits, _ . -)", example="support"
    ),
]
ModelName = Annotated[
    str,
    text("", r"[A-Za-z0-9][A-Za-z0-9_.-]{0,39}", "a phone model's name (letters, digits, _ . -)"),
]


DialPattern = Annotated[
    str,
    text(
        "A pattern of the dialplan.",
        PATTERN,
        "a dialplan pattern made of digits, * # +, X Z N, [1-5], and . or ! at the end",
    ),
]
