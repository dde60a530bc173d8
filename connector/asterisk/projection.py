"""Projection: an agent's state is the connector's, and what the PBX forgot of it is written there again.

Asterisk forgets its dynamic queue members when it restarts (`persistentmembers` is off), and without a word
when `app_queue` is unloaded. A member that somebody else removed while both were there is no such case: that
is a change, and is told. Only phones that the connector watches are looked after.
"""

import asyncio
from collections.abc import Iterable, Sequence

import structlog

from connector.asterisk.channel_names import endpoint_of_interface
from connector.asterisk.exchange import Exchange
from connector.asterisk.link import AmiError, AmiLink, AmiRefused
from connector.asterisk.queues import QueueMembership, add_member, pause_member
from connector.asterisk.wire import AmiMessage
from connector.telephony.changes import QueueMissing
from connector.telephony.facts import MemberChanged, MemberGone
from connector.telephony.pbx import PbxProblem
from connector.telephony.presence import NO_QUEUE

log = structlog.get_logger(__name__)

_EVENTS_COME_WITHIN = 1.0
"""Seconds: a list may overtake events that are on their way."""
_NOT_LOADED = "unknown command"
"""What Asterisk answers while the module that knows the action is not there (yet)."""

Member = tuple[str, str]
"""Phone and queue."""


async def time_of_start(link: AmiLink) -> str:
    """Return when this Asterisk started, in its own words (CoreStatus): a restarted one says otherwise.

    It tells whole seconds: of one that was started twice within a second nobody can tell.
    """
    told = await link.send("CoreStatus")
    return f"{told.get('CoreStartupDate')} {told.get('CoreStartupTime')}"


async def member_rows(link: AmiLink) -> list[AmiMessage]:
    """Return the members of all queues (QueueStatus)."""
    return [row for row in await link.send_list("QueueStatus") if row.name == "QueueMember"]


def member_of_row(row: AmiMessage) -> Member:
    """Return which phone is a member of which queue."""
    interface, state = row.get("Location") or "", row.get("StateInterface") or ""
    return endpoint_of_interface(interface, state), row.get("Queue") or ""


def known_members(exchange: Exchange) -> dict[Member, MemberChanged]:
    """Return the memberships that the model knows, but for those that the connector alone keeps."""
    board = exchange.model.board
    return {
        (endpoint, queue): member
        for endpoint in board.endpoints()
        for queue, member in board.queues(endpoint).items()
        if queue != NO_QUEUE
    }


def is_ours(exchange: Exchange, member: MemberChanged) -> bool:
    """Tell whether the connector looks after a membership."""
    return member.dynamic and exchange.model.watches(member.endpoint)


async def project(exchange: Exchange, link: AmiLink, members: Iterable[MemberChanged]) -> None:
    """Write memberships to the PBX as the model has them; a queue that is there no more is told.

    Raises:
        AmiError: the link broke, or `app_queue` is not loaded (yet).

    """
    for member in members:
        try:
            await add_member(link, member)
            # One that the PBX has kept itself may be in another state.
            await pause_member(
                link, member.endpoint, paused=member.paused, reason=member.reason, queue=member.queue
            )
        except AmiRefused as refusal:
            if _NOT_LOADED in str(refusal).lower():
                raise
            log.warning("a member could not be put back", queue=member.queue, reason=str(refusal))
            exchange.apply(MemberGone(member.queue, member.endpoint))
            exchange.publish([QueueMissing(member.endpoint, member.queue)])
        else:
            log.warning("a member was put back", queue=member.queue, agent=member.member)


class MemberWatch:
    """Looks every `interval` seconds whether the queues still have the members that the model knows."""

    def __init__(
        self, exchange: Exchange, link: AmiLink, membership: QueueMembership, interval: float
    ) -> None:
        self._exchange = exchange
        self._link = link
        self._membership = membership
        self._interval = interval

    async def run(self) -> None:
        """Look again and again until cancelled."""
        while True:
            await asyncio.sleep(self._interval)
            if not self._exchange.available:
                continue
            try:
                await self._look()
            except (AmiError, PbxProblem) as problem:
                log.info("the queues' members could not be read", problem=str(problem))

    async def _look(self) -> None:
        if not (missing := await self._missing()):
            return
        await asyncio.sleep(_EVENTS_COME_WITHIN)
        for endpoint in sorted({member.endpoint for member in missing}):
            # In turn, so that no login or logout is under way.
            async with self._membership.turn(endpoint):
                still = [one for one in await self._missing() if one in missing and one.endpoint == endpoint]
                await project(self._exchange, self._link, still)

    async def _missing(self) -> Sequence[MemberChanged]:
        known = known_members(self._exchange)
        if not any(is_ours(self._exchange, member) for member in known.values()):
            return ()
        there = {member_of_row(row) for row in await member_rows(self._link)}
        now = known_members(self._exchange)
        return [
            member
            for key, member in known.items()
            # What an event changed meanwhile is newer than the list.
            if key not in there and now.get(key) is member and is_ours(self._exchange, member)
        ]
