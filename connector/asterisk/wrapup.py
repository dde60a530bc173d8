"""Wrap-up: no queue rings a ready agent between the answer of a call and its completion.

The pause begins with the answer, not with the end: at the end a caller who waits would be quicker. It is
the connector's own (reason `presence.WRAP_UP`), stands on the queue members themselves, and never shows as
not ready. The automatic pause after a call that the agent did not answer is made one for all queues.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any

import structlog

from connector.asterisk.chores import Chores
from connector.asterisk.exchange import Exchange
from connector.asterisk.link import AmiError
from connector.asterisk.queues import QueueMembership
from connector.telephony import changes, facts
from connector.telephony.changes import Change
from connector.telephony.pbx import PbxProblem
from connector.telephony.states import InteractionState

log = structlog.get_logger(__name__)

AUTO_PAUSE = "Auto-Pause"
"""Reason with which a queue (`autopause` in queues.conf) pauses a member that did not answer."""


class WrapUp:
    """Has the members follow the calls, and completes what ended `limit` seconds ago (0: no wrap-up)."""

    def __init__(self, exchange: Exchange, membership: QueueMembership, limit: float) -> None:
        self._exchange = exchange
        self._membership = membership
        self._limit = limit
        self._phones: dict[str, str] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._chores = Chores()
        exchange.subscribe(self._on_change)
        exchange.follow(self._on_fact, facts.LegAnswered, facts.MemberChanged)
        exchange.when_back.append(self._look_at_all)

    def close(self) -> None:
        """Stop; pauses stay on the queue members, for the connector that comes next."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self._chores.cancel()

    def _on_fact(self, fact: facts.Fact) -> None:
        if isinstance(fact, facts.LegAnswered):
            interaction = self._exchange.model.interaction_on(fact.leg)
            if interaction is not None:
                self._settle(interaction.endpoint)
        elif isinstance(fact, facts.MemberChanged) and fact.paused and fact.reason == AUTO_PAUSE:
            self._auto_paused(fact.endpoint)

    def _on_change(self, change: Change) -> None:
        match change:
            case changes.InteractionAdded(interaction=one, endpoint=endpoint):
                self._phones[one] = endpoint
                self._settle(endpoint)
            case changes.InteractionEnded(interaction=one):
                self._ended(one)
            case changes.InteractionCompleted(interaction=one):
                timer = self._timers.pop(one, None)
                if timer is not None:
                    timer.cancel()
                self._settle(self._phones.pop(one, ""))
            case changes.PresenceChanged(endpoint=endpoint):
                self._settle(endpoint)
            case _:
                pass

    def _look_at_all(self) -> None:
        for endpoint in sorted(self._exchange.model.board.endpoints()):
            self._settle(endpoint)

    def _ended(self, interaction: str) -> None:
        if self._limit > 0:
            loop = asyncio.get_running_loop()
            self._timers[interaction] = loop.call_later(self._limit, self._over, interaction)

    def _over(self, interaction: str) -> None:
        self._timers.pop(interaction, None)
        found = self._exchange.model.interaction(interaction)
        if found is not None and found.state is InteractionState.ENDED:
            log.info("wrap-up reached its limit", interaction=interaction, phone=found.endpoint)
            self._exchange.publish(self._exchange.model.complete(interaction))

    def _auto_paused(self, endpoint: str) -> None:
        """Pause everywhere: a queue pauses for itself only, but an agent who is away is away for all."""
        if self._exchange.model.presence(endpoint).ready:
            self._do(self._membership.pause_the_rest(endpoint, AUTO_PAUSE), endpoint)

    def _settle(self, endpoint: str) -> None:
        if self._exchange.available and self._membership.wrap_up_due(endpoint):
            self._do(self._membership.wrap_up(endpoint), endpoint)

    def _do(self, chore: Coroutine[Any, Any, None], endpoint: str) -> None:
        self._chores.start(self._told(chore, endpoint))

    async def _told(self, chore: Coroutine[Any, Any, None], endpoint: str) -> None:
        try:
            await chore
        except (AmiError, PbxProblem) as problem:
            # The agent has logged out at this moment, or the PBX is away: when it is back all is looked at.
            log.info("a pause for wrap-up was not changed", phone=endpoint, problem=str(problem))
