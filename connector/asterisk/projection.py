"""Agents back into their queues after the PBX was started anew: it may have forgotten who worked there.

Asterisk keeps members only if `persistentmembers` is set, and after a crash as they were a moment before.
"""

import asyncio
from collections.abc import Mapping

import structlog

from connector.asterisk.events import endpoint_of_interface
from connector.asterisk.exchange import Exchange
from connector.asterisk.link import AmiLink, AmiRefused
from connector.asterisk.queues import interface_of
from connector.asterisk.wire import AmiMessage
from connector.telephony.facts import MemberChanged
from connector.telephony.presence import NO_QUEUE

log = structlog.get_logger(__name__)

_BOOTING = 60.0
"""Longest wait for the end of the PBX's start."""
_ROUNDING = 1.5
"""Seconds by which a start may seem to differ from itself: Asterisk tells whole ones."""


class Projection:
    """Remembers memberships while the link is down; `on_event` must see every event."""

    def __init__(self, exchange: Exchange, link: AmiLink) -> None:
        self._exchange = exchange
        self._link = link
        self._started: float | None = None
        self._anew = False
        self._booted = asyncio.Event()
        self._remembered: list[MemberChanged] = []

    def on_event(self, event: AmiMessage, now: float) -> None:
        """Learn when the PBX started, by the FullyBooted that follows each login; `now` in seconds."""
        uptime = event.get("Uptime") or ""
        if event.name != "FullyBooted" or not uptime.isdecimal():
            return
        before, self._started = self._started, now - int(uptime)
        self._booted.set()
        if before is not None and self._started - before > _ROUNDING:
            self._anew = True

    def remember(self) -> None:
        """Note who works where: the link broke."""
        self._booted.clear()
        board = self._exchange.model.board
        self._remembered = [
            member
            for endpoint in sorted(board.endpoints())
            for queue, member in board.queues(endpoint).items()
            if queue != NO_QUEUE
        ]

    async def ready(self) -> None:
        """Wait until the PBX has begun to work: it lets us in before, when its lists are not there yet."""
        if self._started is None:
            # It has never told: our user may not see it.
            return
        try:
            async with asyncio.timeout(_BOOTING):
                await self._booted.wait()
        except TimeoutError:
            log.warning("the PBX does not say that it has booted", waited=_BOOTING)

    async def restore(self) -> None:
        """Make memberships as they were, if the PBX was started anew.

        Raises:
            AmiError: the link broke, or the PBX does not tell its members.

        """
        if not self._remembered:
            return
        rows = await self._link.send_list("QueueStatus")
        if self._anew:
            there = {_place(row): row for row in rows if row.name == "QueueMember"}
            for member in self._remembered:
                try:
                    await self._put_back(member, there)
                except AmiRefused as refusal:
                    who, where = member.member, member.queue
                    log.warning("an agent could not be put back", agent=who, queue=where, reason=str(refusal))
            log.info("the PBX was started anew; agents are in their queues", count=len(self._remembered))
        self._anew = False
        self._remembered = []

    async def _put_back(self, member: MemberChanged, there: Mapping[tuple[str, str], AmiMessage]) -> None:
        interface = interface_of(member.endpoint)
        row = there.get((member.queue, member.endpoint))
        paused = "true" if member.paused else "false"
        if row is None:
            fields = {
                "Queue": member.queue,
                "Interface": interface,
                "MemberName": member.member,
                "StateInterface": interface,
                "Penalty": str(member.penalty),
                "Paused": paused,
            }
            await self._link.send("QueueAdd", fields)
            state = (member.paused, "")
        else:
            paused_there = row.get("Paused") == "1"
            state = (paused_there, (row.get("PausedReason") or "") if paused_there else "")
        if state != (member.paused, member.reason if member.paused else ""):
            fields = {"Queue": member.queue, "Interface": interface, "Paused": paused}
            if member.reason:
                fields["Reason"] = member.reason
            await self._link.send("QueuePause", fields)


def _place(row: AmiMessage) -> tuple[str, str]:
    interface, state_interface = row.get("Location") or "", row.get("StateInterface") or ""
    return row.get("Queue") or "", endpoint_of_interface(interface, state_interface)
