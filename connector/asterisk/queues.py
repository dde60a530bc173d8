"""Agent state on queue members: logged in = member, not ready = paused.

What changes the members of one phone runs one after the other, so that what an agent asks for and what the
connector does by itself (wrap-up, automatic pauses) never overtake one another.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import lru_cache

import structlog

from connector.asterisk.exchange import Exchange
from connector.asterisk.link import AmiLink, AmiRefused
from connector.telephony.changes import QueueMissing
from connector.telephony.facts import MemberChanged, MemberGone
from connector.telephony.mobile import is_nailed, mobile_number
from connector.telephony.pbx import Refused, Seat, TimedOut
from connector.telephony.presence import NO_QUEUE, WRAP_UP, takes_calls

log = structlog.get_logger(__name__)

_UNFIT = frozenset(";|,")
"""Signs between which Asterisk keeps members and their reasons in its database and logs."""
_LONGEST_REASON = 80


@lru_cache(maxsize=4096)
def interface_of(endpoint: str) -> str:
    """Return the Asterisk interface of a phone, or of what stands for a mobile agent's."""
    if number := mobile_number(endpoint):
        return f"Local/{number}@harmony-{'nailed' if is_nailed(endpoint) else 'mobile'}/n"
    return f"PJSIP/{endpoint}"


async def add_member(link: AmiLink, member: MemberChanged) -> None:
    """Make a phone a member of a queue (QueueAdd); one that is there already is no error.

    Raises:
        AmiRefused: the queue does not exist, say.

    """
    interface = interface_of(member.endpoint)
    fields = {
        "Queue": member.queue,
        "Interface": interface,
        "MemberName": member.member,
        "StateInterface": interface,
        "Penalty": str(member.penalty),
        "Paused": "true" if member.paused else "false",
    }
    if member.paused and member.reason:
        fields["Reason"] = member.reason
    try:
        await link.send("QueueAdd", fields)
    except AmiRefused as refusal:
        if "already there" not in str(refusal).lower():
            raise


async def pause_member(link: AmiLink, endpoint: str, *, paused: bool, reason: str, queue: str = "") -> None:
    """Pause a phone's membership, or end the pause, in one queue or (none given) in all (QueuePause).

    Raises:
        AmiRefused: the phone is no member there.

    """
    fields = {"Interface": interface_of(endpoint), "Paused": "true" if paused else "false"}
    if queue:
        fields["Queue"] = queue
    if reason:
        fields["Reason"] = reason
    await link.send("QueuePause", fields)


class QueueMembership:
    """Logs agents in and out of their queues, and pauses them there (QueueAdd, QueueRemove, QueuePause).

    With `wrap_up` a ready agent is paused while a call goes on and until it is completed.
    """

    def __init__(self, exchange: Exchange, link: AmiLink, *, wrap_up: bool = False) -> None:
        self._exchange = exchange
        self._link = link
        self._wrap_up = wrap_up
        self._turns: dict[str, asyncio.Lock] = {}

    async def log_in(self, seat: Seat) -> None:
        """Add the member to every queue, paused; done when every queue has shown it."""
        self._exchange.require_available()
        async with self.turn(seat.endpoint):
            await self._log_in(seat)

    async def log_out(self, seat: Seat) -> None:
        """Remove the member from every queue that it is in; done when every queue has shown it."""
        self._exchange.require_available()
        async with self.turn(seat.endpoint):
            await self._log_out(seat)

    async def set_ready(self, seat: Seat) -> None:
        """Unpause the member everywhere, after a call that goes on; done when every queue has shown it."""
        async with self.turn(seat.endpoint):
            if self._wraps(seat.endpoint):
                await self._pause(seat, paused=True, reason=WRAP_UP)
            else:
                await self._pause(seat, paused=False, reason="")
            await self._follow_calls(seat.endpoint)

    async def set_not_ready(self, seat: Seat, reason: str) -> None:
        """Pause the member everywhere with a reason; done when every queue has shown it."""
        if len(reason) > _LONGEST_REASON or _UNFIT & set(reason):
            raise Refused(f"A reason has at most {_LONGEST_REASON} characters, none of them , ; or |.")
        if reason == WRAP_UP:
            raise Refused(f"The reason {WRAP_UP} is the connector's own: choose another one.")
        async with self.turn(seat.endpoint):
            await self._pause(seat, paused=True, reason=reason)

    def wrap_up_due(self, endpoint: str) -> bool:
        """Tell whether a ready agent's pauses are not as the calls at the phone want them."""
        return bool(self._wrap_up_wants(endpoint))

    async def wrap_up(self, endpoint: str) -> None:
        """Pause a ready agent who has a call; end that pause when all calls are completed.

        Queues in which somebody else has paused the agent are left as they are.
        """
        async with self.turn(endpoint):
            await self._follow_calls(endpoint)

    async def pause_the_rest(self, endpoint: str, reason: str) -> None:
        """Pause the phone in all queues that still offer it calls, if one has paused it for that reason."""
        async with self.turn(endpoint):
            members = self._exchange.model.board.queues(endpoint).values()
            if any(one.paused and one.reason == reason for one in members):
                rest = [one.queue for one in members if takes_calls(one)]
                await self._in_queues(endpoint, rest, paused=True, reason=reason)

    @asynccontextmanager
    async def turn(self, endpoint: str) -> AsyncIterator[None]:
        """Keep others from changing the phone's memberships meanwhile."""
        async with self._turns.setdefault(endpoint, asyncio.Lock()):
            yield

    async def _follow_calls(self, endpoint: str) -> None:
        # Until it fits: a call may begin or end before the queues have shown what was right till then.
        while wants := self._wrap_up_wants(endpoint):
            pause = self._wraps(endpoint)
            await self._in_queues(endpoint, wants, paused=pause, reason=WRAP_UP if pause else "")

    def _wraps(self, endpoint: str) -> bool:
        return self._wrap_up and self._exchange.model.occupied(endpoint)

    def _wrap_up_wants(self, endpoint: str) -> list[str]:
        """Return the queues in which the pause for wrap-up is missing, or is no longer needed."""
        members = self._exchange.model.board.queues(endpoint)
        wraps = self._wraps(endpoint)
        return [
            queue
            for queue, one in members.items()
            if queue != NO_QUEUE and takes_calls(one) and one.paused is not wraps
        ]

    async def _in_queues(self, endpoint: str, queues: Sequence[str], *, paused: bool, reason: str) -> None:
        """Pause or unpause in these queues; done when each has shown it, or the phone is there no more."""
        asked = [
            pause_member(self._link, endpoint, paused=paused, reason=reason, queue=queue) for queue in queues
        ]
        if not asked:
            return
        board, wanted = self._exchange.model.board, set(queues)
        await asyncio.gather(*asked)
        await self._exchange.until(
            lambda: all(
                one.paused is paused and one.reason == reason
                for queue, one in board.queues(endpoint).items()
                if queue in wanted
            ),
            f"pause of phone {endpoint}",
        )

    async def _log_in(self, seat: Seat) -> None:
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
        if NO_QUEUE in self._exchange.model.board.queues(seat.endpoint):
            # The agent has got queues since the last login.
            self._exchange.apply(MemberGone(NO_QUEUE, seat.endpoint))
        if self._exchange.model.presence(seat.endpoint).ready:
            await self._pause(seat, paused=True, reason="")

    async def _log_out(self, seat: Seat) -> None:
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
        member = MemberChanged(queue, seat.endpoint, seat.agent, True, "", seat.penalty)
        try:
            await add_member(self._link, member)
        except AmiRefused as refusal:
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
        try:
            await pause_member(self._link, seat.endpoint, paused=paused, reason=reason)
        except AmiRefused as refusal:
            raise Refused(f"The queues did not accept agent {seat.agent}'s state: {refusal}.") from refusal

        def shown() -> bool:
            members = board.queues(seat.endpoint).values()
            return bool(members) and all(
                m.paused is paused and (not paused or m.reason == reason) for m in members
            )

        await self._exchange.until(shown, f"{'not ready' if paused else 'ready'} for agent {seat.agent}")
