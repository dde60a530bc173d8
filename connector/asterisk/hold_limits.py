"""The limit on time spent on hold: a warning at half of it, then the caller goes to those who take orphans.

The dialplan has a limit of its own a little later (`harmony-didle`), for when the connector is not there.
After a restart of the connector a hold counts from then on.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable

import structlog

from connector.asterisk.chores import Chores
from connector.asterisk.exchange import Exchange
from connector.asterisk.link import AmiBusy, AmiDown, AmiError, AmiTimeout
from connector.telephony.changes import Change, ConversationChanged, HoldLasts
from connector.telephony.pbx import PbxDown, PbxProblem, TimedOut
from connector.telephony.states import ConversationState

log = structlog.get_logger(__name__)

_GRACE = 2
"""Seconds by which the dialplan's own limit is later."""

_AGAIN = 5.0
"""Seconds after which the end of a hold is tried again that the PBX did not answer."""

GiveUp = Callable[[str, str], Awaitable[None]]
"""Takes ids of an interaction and of its conversation on hold; ends that, its party is not lost."""


def dialplan_limit(limit: float) -> str:
    """Return the dialplan's limit in seconds for a limit of ours."""
    return str(math.ceil(limit) + _GRACE)


class HoldLimits:
    """Times every conversation that is on hold. `limit` in seconds."""

    def __init__(self, exchange: Exchange, give_up: GiveUp, limit: float) -> None:
        self._exchange = exchange
        self._give_up = give_up
        self._limit = limit
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._overdue: dict[str, ConversationChanged] = {}
        """Holds whose limit came while the PBX was away."""
        self._chores = Chores()
        exchange.when_back.append(self._catch_up)
        # Not `attend`: a timer that is due may come before chores do.
        exchange.subscribe(self._on_change, ConversationChanged)

    def close(self) -> None:
        """Stop timing; who is on hold stays so."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self._overdue.clear()
        self._chores.cancel()

    def _on_change(self, change: Change) -> None:
        if not isinstance(change, ConversationChanged):
            return
        self._overdue.pop(change.conversation, None)
        timer = self._timers.pop(change.conversation, None)
        if timer is not None:
            timer.cancel()
        if change.state is ConversationState.HELD:
            self._wait(change, lambda: self._half_over(change))

    def _wait(self, change: ConversationChanged, then: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        self._timers[change.conversation] = loop.call_later(self._limit / 2, then)

    def _half_over(self, change: ConversationChanged) -> None:
        self._tell(change, left=self._limit / 2)
        self._wait(change, lambda: self._over(change))

    def _over(self, change: ConversationChanged) -> None:
        del self._timers[change.conversation]
        self._tell(change, left=0.0)
        self._chores.start(self._end(change))

    def _tell(self, change: ConversationChanged, left: float) -> None:
        told = HoldLasts(change.interaction, change.conversation, self._limit - left, left)
        self._exchange.publish([told])

    def _catch_up(self) -> None:
        """End what was due while the PBX was away: its dialplan limits an agent's waiting only."""
        overdue, self._overdue = self._overdue, {}
        for change in overdue.values():
            if (timer := self._timers.pop(change.conversation, None)) is not None:
                timer.cancel()
            self._chores.start(self._end(change))

    def _once_more(self, change: ConversationChanged) -> None:
        del self._timers[change.conversation]
        if self._exchange.available:
            self._chores.start(self._end(change))

    async def _end(self, change: ConversationChanged) -> None:
        self._overdue[change.conversation] = change
        try:
            await self._give_up(change.interaction, change.conversation)
        except (AmiDown, AmiTimeout, AmiBusy, PbxDown, TimedOut) as problem:
            log.info("a hold waits for the PBX", interaction=change.interaction, problem=str(problem))
            # A link that stands still is lost a moment later, or goes on.
            again = asyncio.get_running_loop().call_later(_AGAIN, self._once_more, change)
            self._timers[change.conversation] = again
            return
        except (AmiError, PbxProblem) as problem:
            # It went off hold or ended at this moment.
            log.info("a hold at its limit was left", interaction=change.interaction, problem=str(problem))
        self._overdue.pop(change.conversation, None)
