"""Numbers from outside are hostile until checked: what may be dialled, and nothing else."""

import re

from connector.telephony.pbx import Refused

_SEPARATORS = str.maketrans("", "", " ().-/")
_DIALLABLE = re.compile(r"\+?[0-9*#]{1,32}")
_SHOWN = 40


def is_number(text: str) -> bool:
    """Whether a text is digits as `check_number` returns them."""
    return _DIALLABLE.fullmatch(text) is not None


def check_number(text: str) -> str:
    """Return the digits of a number as the PBX may dial them.

    Blanks, brackets, dots, hyphens and slashes are how people write numbers: they are taken out. What is left
    must be 1 to 32 of `0-9 * #`, with a `+` in front at most.

    Raises:
        Refused: the number holds anything else; the sentence may be shown to an agent.

    """
    number = text.translate(_SEPARATORS)
    if not number:
        raise Refused("There is no number to dial.")
    if _DIALLABLE.fullmatch(number) is None:
        shown = "".join(char if char.isprintable() else "?" for char in text[:_SHOWN])
        more = "..." if len(text) > _SHOWN else ""
        raise Refused(
            f"The number '{shown}{more}' cannot be dialled: use up to 32 digits, * and #; + only in front."
        )
    return number
