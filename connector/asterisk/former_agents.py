"""Whose phone a caller may come back to: that of the agent who had the call, unless the agent has logged out.

The dialplan rings the phone in HARMONY_BACK on the caller's leg (`harmony-fallback`), with the connector or
without it. So a logout is told to every such leg at once.
"""

import structlog

from connector.asterisk.chores import Chores
from connector.asterisk.exchange import Exchange
from connector.asterisk.link import AmiError
from connector.asterisk.queues import interface_of
from connector.asterisk.variables import LegVariables
from connector.telephony.changes import Change, PresenceChanged
from connector.telephony.pbx import PbxProblem

log = structlog.get_logger(__name__)

_BACK = "HARMONY_BACK"


class FormerAgents:
    """Follows who logs out at which phone."""

    def __init__(self, exchange: Exchange, variables: LegVariables) -> None:
        self._variables = variables
        self._left: set[str] = set()
        self._chores = Chores()
        exchange.subscribe(self._on_change, PresenceChanged)

    def back(self, endpoint: str) -> str:
        """Return the interface to which callers of a phone come back; empty if its agent has logged out."""
        return "" if endpoint in self._left else interface_of(endpoint)

    def close(self) -> None:
        """Let go of chores that are under way."""
        self._chores.cancel()

    def _on_change(self, change: Change) -> None:
        if not isinstance(change, PresenceChanged):
            return
        if change.now.agent is not None:
            self._left.discard(change.endpoint)
            return
        self._left.add(change.endpoint)
        for leg in self._variables.legs_with(_BACK, interface_of(change.endpoint)):
            self._chores.start(self._forget(leg))

    async def _forget(self, leg: str) -> None:
        try:
            await self._variables.set(leg, **{_BACK: ""})
        except (AmiError, PbxProblem) as problem:
            log.info("a caller was not told of a logout", leg=leg, reason=str(problem))
