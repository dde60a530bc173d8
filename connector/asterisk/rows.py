"""Rows of lists that may hold lines which somebody else wrote.

Asterisk escapes no value of a channel variable in the rows of `Status`. A dialplan that stores what a caller
sent (a decoded header, the answer of a web service) can so bring line breaks into the list: the row falls
into pieces, and a piece looks like an event of its own. But the last line of a genuine row is the id of the
action that asked for the list, which nobody outside knows; and Asterisk writes nothing else between a list's
rows. So from the first piece of a row to the one that ends with that id all is this row. What counts is the
first piece: the headers that tell of the channel come before its variables, and of these those that were
asked for by name come first.
"""

import re
from collections.abc import Callable
from typing import Final

import structlog

log = structlog.get_logger(__name__)

_ROWS: Final = tuple(f"Event: {name}\r\n" for name in ("Status", "QueueParams", "QueueMember", "QueueEntry"))
"""How rows begin whose last line is the action's id (Asterisk 20-22)."""
_CLOSING: Final = "ActionID: "
_COMPLETE: Final = re.compile(r"Event: \w+Complete\r\nActionID: ([^\r\n]+)\r\nEventList: ")


class RowGuard:
    """Puts rows of lists together again, or what of them can be believed.

    `is_open` tells whether a list of that id is under way; `any_open` whether one is at all.
    """

    def __init__(self, is_open: Callable[[str], bool], any_open: Callable[[], bool]) -> None:
        self._is_open = is_open
        self._any_open = any_open
        self._cut = ""

    def admit(self, text: str) -> tuple[str, str] | None:
        """Take the text of one message. Return what is to be read, and the id of the list if it is a row.

        None: it is a piece of a row that is still to be closed, or no part of it that can be believed.
        """
        if not self._cut and not text.startswith(_ROWS):
            return text, ""
        list_id = self._closed_by(text)
        if self._cut and list_id:
            text, self._cut = f"{self._cut}\r\n{_CLOSING}{list_id}", ""
            return text, list_id
        if self._cut:
            found = _COMPLETE.match(text)
            if found is None or not self._is_open(found[1]):
                return None
            # The row was never closed: no Asterisk does that.
            self._cut = ""
            return text, ""
        if list_id or not self._any_open():
            return text, list_id
        log.warning("a row of the PBX's list holds line breaks; what follows them in it is not believed")
        self._cut = text
        return None

    def _closed_by(self, text: str) -> str:
        last = text.rpartition("\r\n")[2]
        list_id = last.removeprefix(_CLOSING)
        return list_id if last.startswith(_CLOSING) and self._is_open(list_id) else ""
