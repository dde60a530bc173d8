"""Who was logged in at the queues, kept beyond the process: for when the PBX is restarted together with it.

Asterisk forgets its dynamic members when it restarts. A connector that lives puts them back
(`asterisk/projection.py`); one that was started anew too would take the empty queues for the agents'
logout. So the ledger has each phone's memberships, and the start of the PBX that they were on.
"""

from collections.abc import Callable

import msgspec

from connector.asterisk.pbx import AsteriskPbx
from connector.bridge.ledger import Ledger, rows_of
from connector.telephony.facts import MemberChanged
from connector.telephony.presence import NO_QUEUE

_MEMBERS, _PBX = "members/", "pbx/"
_STARTED = "started"


class _Row(msgspec.Struct):
    """A phone's memberships."""

    members: list[MemberChanged]


class Memberships:
    """Keeps them in the ledger; `recall` comes before the PBX is worked with."""

    def __init__(self, pbx: AsteriskPbx, ledger: Ledger, is_agent: Callable[[str], bool]) -> None:
        """`is_agent` tells whether an agent of that id is configured."""
        self._pbx = pbx
        self._ledger = ledger
        self._is_agent = is_agent
        self._kept: dict[str, tuple[MemberChanged, ...]] = {}

    def recall(self) -> None:
        """Tell the PBX's side what the process before knew, and keep what it learns from now on."""
        rows = self._ledger.rows
        started = rows_of(rows, _PBX, str).get(_STARTED, "")
        if started:
            known = rows_of(rows, _MEMBERS, _Row)
            self._kept = {endpoint: tuple(row.members) for endpoint, row in known.items()}
            members = [member for row in known.values() for member in row.members]
            # What the PBX does not know nobody could end there: it would keep the phone from others.
            self._pbx.recall(
                started, [one for one in members if one.queue != NO_QUEUE or self._is_agent(one.member)]
            )
        self._pbx.follow_members(self._keep)
        self._pbx.when_in_step(self._keep_start)

    def _keep(self, endpoint: str) -> None:
        members = self._pbx.members(endpoint)
        # Every call of a member is told, too.
        if members == self._kept.get(endpoint, ()):
            return
        self._kept[endpoint] = members
        if members:
            self._ledger.put(f"{_MEMBERS}{endpoint}", lambda: _Row(list(members)))
        else:
            self._ledger.drop(f"{_MEMBERS}{endpoint}")

    def _keep_start(self) -> None:
        self._ledger.put(f"{_PBX}{_STARTED}", lambda: self._pbx.started)
