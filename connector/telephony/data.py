"""Interaction data from outside: bounded in number, size and character set before it comes near a channel."""

import re
from collections.abc import Collection, Mapping

from connector.telephony.pbx import Refused

_KEY = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,39}")
_MOST_KEYS = 32
_MOST_IN_ALL = 100
_MOST_BYTES = 800


def check_data(values: Mapping[str, str], present: Collection[str] = ()) -> None:
    """Check keys and values; `present` are the keys that the interaction has already.

    At most 32 keys at once and 100 in all; a key is a letter and up to 39 letters, digits and `_`; a value is
    printable text of at most 800 bytes in UTF-8. An empty value removes its key.

    Raises:
        Refused: something does not fit; the sentence names the key, never the value.

    """
    if len(values) > _MOST_KEYS:
        raise Refused(f"At most {_MOST_KEYS} data keys can be changed at once.")
    new = {key for key, value in values.items() if value}.difference(present)
    if new and len(present) + len(new) > _MOST_IN_ALL:
        raise Refused(f"An interaction holds at most {_MOST_IN_ALL} data keys.")
    for key, value in values.items():
        if _KEY.fullmatch(key) is None:
            shown = "".join(char if char.isprintable() else "?" for char in key[:40])
            raise Refused(f"The data key '{shown}' may hold 1 to 40 letters, digits and _, a letter first.")
        if not value.isprintable():
            raise Refused(f"The value of {key} must be printable text on one line.")
        if len(value.encode()) > _MOST_BYTES:
            raise Refused(f"The value of {key} is longer than {_MOST_BYTES} bytes.")
