"""The queue's own statistics through everything that an agent does with a call: told once, and right."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from calls import ENDED, RELEASED, Call, make_call
from desk import WAIT, Desk

from connector.asterisk.wire import AmiMessage
from connector.lab.phones.hearing import expect_hears

ROUNDING = 1.5
"""Seconds by which Asterisk's whole seconds may differ from ours."""


@dataclass
class Statistics:
    """What the queue told of one call."""

    desk: Desk
    connected: list[AmiMessage] = field(default_factory=list)
    completed: list[AmiMessage] = field(default_factory=list)
    abandoned: list[AmiMessage] = field(default_factory=list)
    news: asyncio.Event = field(default_factory=asyncio.Event)
    told: dict[str, float] = field(default_factory=dict)
    """When each of these came."""

    def take(self, event: AmiMessage) -> None:
        kept = {
            "AgentConnect": self.connected,
            "AgentComplete": self.completed,
            "QueueCallerAbandon": self.abandoned,
        }.get(event.name)
        if kept is not None:
            kept.append(event)
            self.told[event.name] = time.monotonic()
            self.news.set()

    async def one(self) -> AmiMessage:
        """Wait for the one AgentComplete."""
        async with asyncio.timeout(WAIT):
            while not self.completed:
                self.news.clear()
                await self.news.wait()
        return self.completed[0]

    async def in_call(self) -> str:
        """Return the member's InCall as the queue shows it."""
        rows = await self.desk.connector.pbx._link.send_list("QueueStatus", {"Queue": "support"})
        (member,) = [row for row in rows if row.name == "QueueMember"]
        return member["InCall"]

    def rows(self, call: str) -> list[list[str]]:
        """Return the rows of a call in queue_log: from the queue's name on."""
        log = Path(self.desk.info.log_directory, "asterisk/queue_log")
        rows = [line.split("|") for line in log.read_text("utf-8").splitlines()]
        return [row[2:] for row in rows if row[1] == call]


@pytest.fixture
async def statistics(at_desk: Desk) -> AsyncIterator[Statistics]:
    found = Statistics(at_desk)
    pbx = at_desk.connector.pbx
    usual = pbx._on_event

    def tap(event: AmiMessage) -> None:
        found.take(event)
        if usual is not None:
            usual(event)

    pbx._on_event = tap
    yield found
    pbx._on_event = usual


async def _held_and_released_by_agent(call: Call) -> None:
    await call.primary.hold()
    await call.primary.retrieve()
    await call.primary.release()


async def _held_and_the_customer_goes(call: Call) -> None:
    await call.primary.hold()
    # Long enough for a talk time that is not nothing: time on hold counts.
    await expect_hears({call.customer: {"MOH"}}, stable=2.5)
    await call.customers_call.hangup()


async def _consulted_alternated_cancelled(call: Call) -> None:
    consult = await call.consult()
    await call.interaction.alternate()
    await consult.release()
    await call.customers_call.hangup()


async def _the_customer_goes_in_a_consult(call: Call) -> None:
    consult = await call.consult()
    await call.customers_call.hangup()
    await call.primary.wait_state(RELEASED)
    await expect_hears({call.agent: {"1002"}, call.target: {"1001"}})
    await consult.release()


async def _consult_transferred(call: Call) -> None:
    await call.consult()
    await expect_hears({call.target: {"1001"}}, stable=2.0)
    await call.interaction.consult_transfer()


async def _alternated_and_transferred(call: Call) -> None:
    await call.consult()
    await call.interaction.alternate()
    await call.interaction.consult_transfer()


async def _transferred_while_the_target_rings(call: Call) -> None:
    await call.interaction.consult("1002")
    await call.target.next_call(WAIT)
    await call.interaction.consult_transfer()


async def _hung_up_in_a_consult(call: Call) -> None:
    await call.consult()
    await call.agent.calls[0].hangup()


async def _left_a_conference(call: Call) -> None:
    await call.consult()
    await call.interaction.consult_conference()
    await call.primary.release()


async def _left_a_conference_that_the_customer_leaves(call: Call) -> None:
    await _left_a_conference(call)
    await call.interaction.wait_state(ENDED)
    await expect_hears({call.customer: {"1002"}, call.target: {"2001"}}, timeout=6, stable=2.0)
    await call.customers_call.hangup()


async def _the_customer_goes_out_of_a_conference(call: Call) -> None:
    await call.consult()
    await call.interaction.consult_conference()
    await call.customers_call.hangup()
    await call.primary.wait_members(lambda members: [one.address for one in members] == ["1002"])
    await call.primary.release()


async def _blind_transferred(call: Call) -> None:
    await call.primary.blind_transfer("1002")


Story = Callable[[Call], Awaitable[None]]


@dataclass(frozen=True)
class End:
    """Who or what ended the agent's part of a call: in AgentComplete, and in queue_log."""

    reason: str
    row: str
    more: int = 0
    """Fields that the row has before hold time and talk time."""


BY_AGENT, BY_CALLER = End("agent", "COMPLETEAGENT"), End("caller", "COMPLETECALLER")
HANDED_ON, SENT_ON = End("transfer", "ATTENDEDTRANSFER", 2), End("transfer", "BLINDTRANSFER", 2)

ROOMS: Mapping[Story, End] = {
    _held_and_released_by_agent: BY_AGENT,
    _held_and_the_customer_goes: BY_CALLER,
    _consulted_alternated_cancelled: BY_CALLER,
    _the_customer_goes_in_a_consult: BY_CALLER,
    _consult_transferred: BY_AGENT,
    _alternated_and_transferred: BY_AGENT,
    _transferred_while_the_target_rings: BY_AGENT,
    _hung_up_in_a_consult: BY_AGENT,
    _left_a_conference: BY_AGENT,
    _left_a_conference_that_the_customer_leaves: BY_AGENT,
    _the_customer_goes_out_of_a_conference: BY_CALLER,
    _blind_transferred: BY_AGENT,
}
ATXFER: Mapping[Story, End] = {
    _consulted_alternated_cancelled: BY_CALLER,
    _the_customer_goes_in_a_consult: BY_CALLER,
    _consult_transferred: HANDED_ON,
    _alternated_and_transferred: HANDED_ON,
    _transferred_while_the_target_rings: HANDED_ON,
    _hung_up_in_a_consult: HANDED_ON,
    _left_a_conference_that_the_customer_leaves: BY_CALLER,
    _the_customer_goes_out_of_a_conference: BY_CALLER,
    _blind_transferred: SENT_ON,
}
"""Asterisk's own transfers are told as such; and who leaves its conference counts as there."""

STORIES = [
    pytest.param(story, end, id=f"{strategy}-{story.__name__.strip('_')}", marks=marks)  # type: ignore[attr-defined]
    for strategy, stories, marks in (("rooms", ROOMS, ()), ("atxfer", ATXFER, pytest.mark.atxfer))
    for story, end in stories.items()
]


@pytest.mark.parametrize(("story", "end"), STORIES)
async def test_the_queue_counts_the_call_once(
    at_desk: Desk, statistics: Statistics, story: Story, end: End
) -> None:
    call = await make_call(at_desk, "queue")
    assert await statistics.in_call() == "1"
    await story(call)
    complete = await statistics.one()
    talked = statistics.told["AgentComplete"] - statistics.told["AgentConnect"]
    await call.interaction.wait_state(ENDED)

    hang_up_first = end is HANDED_ON and story is _hung_up_in_a_consult and complete["Reason"] == "agent"
    if hang_up_first:
        # Asterisk transfers when the phone hangs up, and at times the queue sees the hang-up first.
        end = BY_AGENT
    assert complete["Reason"] == end.reason
    assert complete["Queue"] == "support"
    assert abs(float(complete["TalkTime"]) - talked) <= ROUNDING
    assert await statistics.in_call() == "0"
    if call.target.calls or story in {_blind_transferred, _transferred_while_the_target_rings}:
        await call.customers_call.hangup()
    await call.customers_call.wait_state("ended", WAIT)
    await call.over()

    reasons = [one["Reason"] for one in statistics.completed]
    # Seldom the queue tells the transfer as well then.
    assert reasons == [end.reason] or (hang_up_first and reasons == ["agent", "transfer"])
    assert statistics.abandoned == []
    if at_desk.info.provider != "native":
        return
    # AgentComplete may come too late to name a caller who has gone.
    (connected,) = statistics.connected
    rows = statistics.rows(connected["Uniqueid"])
    more = [row[2] for row in rows[3:]]
    assert [row[2] for row in rows[:3]] == ["ENTERQUEUE", "CONNECT", end.row]
    assert more == [] or (len(reasons) > 1 and more == [HANDED_ON.row])
    assert {row[1] for row in rows[1:]} == {complete["MemberName"]}
    hold_time, talk_time = rows[2][3 + end.more : 5 + end.more]
    assert (hold_time, talk_time) == (complete["HoldTime"], complete["TalkTime"])
