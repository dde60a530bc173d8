"""Agent state on queue members: logged in = member, not ready = paused."""

import asyncio

import structlog

from connector.asterisk.exchange import Exchange
from connector.asterisk.link import AmiLink, AmiRefused
from connector.telephony.changes import QueueMissing
from connector.telephony.facts import MemberChanged, MemberGone
from connector.telephony.mobile import is_nailed, mobile_number
from connector.telephony.pbx import Refused, Seat, TimedOut
from connector.telephony.presence import NO_QUEUE

log = structlog.get_logger(__name__)


def interface_of(endpoint: str) -> str:
    """Return the Asterisk interface of a phone, or of what stands for a mobile agent's."""
    if number := mobile_number(endpoint):
        return f"Local/{number}@harmony-{'nailed' if is_nailed(endpoint) else 'mobile'}/n"
    return f"PJSIP/{endpoint}"


class QueueMembership:
    """Logs agents in and out of their queues, and pauses them there (QueueAdd, QueueRemove, QueuePause)."""

    def __init__(self, exchange: Exchange, link: AmiLink) -> None:
        self._exchange = exchange
        self._link = link

    async def log_in(self, seat: Seat) -> None:
        """Add the member to every queue, paused; done when every queue has shown it."""
        self._exchange.require_available()
        here = self._exchange.model.presence(seat.endpoint).agent
        if here not in {None, seat.agent}:
            raise Refused(f"Agent {here} is logged in at phone {seat.endpoint}.")
        if not seat.queues:
            self._exchange.apply(MemberChanged(NO_QUEUE, seat.endpoint, seat.agent, paused=True, reason=""))
            return
        added = await asyncio.gather(*(self._add(seat, queue) for queue in seat.queues))
        for queue, there in zip(seat.queues, added, strict=True):
            if not there:
                self._exchange.publish([QueueMissing(seat.endpoint, queue)])
        joined = [queue for queue, there in zip(seat.queues, added, strict=True) if there]
        if not joined:
            raise Refused(f"None of the queues {', '.join(seat.queues)} exists on the telephone system.")
        try:
            await self._exchange.until(
                lambda: all(self._is_member(seat, queue) for queue in joined), f"login of agent {seat.agent}"
            )
        except TimedOut:
            # What was not proven is taken back, so that a refused login leaves nothing behind.
            await asyncio.gather(*(self._remove(seat, queue) for queue in joined))
            raise
        if self._exchange.model.presence(seat.endpoint).ready:
            await self.set_not_ready(seat, "")

    async def log_out(self, seat: Seat) -> None:
        """Remove the member from every queue that it is in; done when every queue has shown it."""
        self._exchange.require_available()
        queues = self._exchange.model.board.queues(seat.endpoint)
        if not queues:
            return
        self._require_here(seat)
        if NO_QUEUE in queues:
            self._exchange.apply(MemberGone(NO_QUEUE, seat.endpoint))
        await asyncio.gather(*(self._remove(seat, queue) for queue in queues if queue != NO_QUEUE))
        await self._exchange.until(
            lambda: not self._exchange.model.board.queues(seat.endpoint), f"logout of agent {seat.agent}"
        )

    async def set_ready(self, seat: Seat) -> None:
        """Unpause the member everywhere; done when every queue has shown it."""
        await self._pause(seat, paused=False, reason="")

    async def set_not_ready(self, seat: Seat, reason: str) -> None:
        """Pause the member everywhere with a reason; done when every queue has shown it."""
        await self._pause(seat, paused=True, reason=reason)

    def _is_member(self, seat: Seat, queue: str) -> bool:
        member = self._exchange.model.board.queues(seat.endpoint).get(queue)
        return member is not None and member.member == seat.agent

    def _require_here(self, seat: Seat) -> None:
        here = self._exchange.model.presence(seat.endpoint).agent
        if here is None:
            raise Refused(f"Agent {seat.agent} is not logged in: activate the channel first.")
        if here != seat.agent:
            raise Refused(f"Agent {here} is logged in at phone {seat.endpoint}.")

    async def _add(self, seat: Seat, queue: str) -> bool:
        interface = interface_of(seat.endpoint)
        try:
            await self._link.send(
                "QueueAdd",
                {
                    "Queue": queue,
                    "Interface": interface,
                    "MemberName": seat.agent,
                    "StateInterface": interface,
                    "Penalty": str(seat.penalty),
                    "Paused": "true",
                },
            )
        except AmiRefused as refusal:
            if "already there" in str(refusal).lower():
                return True
            log.warning("queue refused a member", queue=queue, agent=seat.agent, reason=str(refusal))
            return False
        return True

    async def _remove(self, seat: Seat, queue: str) -> None:
        try:
            await self._link.send("QueueRemove", {"Queue": queue, "Interface": interface_of(seat.endpoint)})
        except AmiRefused as refusal:
            # Somebody else was quicker: what we wanted is so.
            log.info("member was not in the queue", queue=queue, agent=seat.agent, reason=str(refusal))
            self._exchange.apply(MemberGone(queue, seat.endpoint))

    async def _pause(self, seat: Seat, *, paused: bool, reason: str) -> None:
        self._exchange.require_available()
        self._require_here(seat)
        board = self._exchange.model.board
        if NO_QUEUE in board.queues(seat.endpoint):
            self._exchange.apply(MemberChanged(NO_QUEUE, seat.endpoint, seat.agent, paused, reason))
            return
        fields = {"Interface": interface_of(seat.endpoint), "Paused": "true" if paused else "false"}
        if reason:
            fields["Reason"] = reason
        try:
            await self._link.send("QueuePause", fields)
        except AmiRefused as refusal:
            raise Refused(f"The queues did not accept agent {seat.agent}'s state: {refusal}.") from refusal

        def shown() -> bool:
            members = board.queues(seat.endpoint).values()
            return bool(members) and all(
                m.paused is paused and (not paused or m.reason == reason) for m in members
            )

        await self._exchange.until(shown, f"{'not ready' if paused else 'ready'} for agent {seat.agent}")
