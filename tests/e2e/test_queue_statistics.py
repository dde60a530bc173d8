"""The queue's own statistics through everything that an agent does with a call: told once, and right."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from calls import ENDED, Call, make_call
from desk import WAIT, Desk

from connector.asterisk.wire import AmiMessage
from connector.lab.phones.hearing import expect_hears

ROUNDING = 1.5
"""Seconds by which Asterisk's whole seconds may differ from ours."""


@dataclass
class Statistics:
    """What the queue told of one call."""

    desk: Desk
    began: float = field(default_factory=time.time)
    connected: list[AmiMessage] = field(default_factory=list)
    completed: list[AmiMessage] = field(default_factory=list)
    abandoned: list[AmiMessage] = field(default_factory=list)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def take(self, event: AmiMessage) -> None:
        kept = {
            "AgentConnect": self.connected,
            "AgentComplete": self.completed,
            "QueueCallerAbandon": self.abandoned,
        }.get(event.name)
        if kept is not None:
            kept.append(event)
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


async def _consult_transferred(call: Call) -> None:
    await call.consult()
    await expect_hears({call.target: {"1001"}}, stable=2.0)
    await call.interaction.consult_transfer()


async def _left_a_conference(call: Call) -> None:
    await call.consult()
    await call.interaction.consult_conference()
    await call.primary.release()


async def _blind_transferred(call: Call) -> None:
    await call.primary.blind_transfer("1002")


STORIES = {
    _held_and_released_by_agent: "agent",
    _held_and_the_customer_goes: "caller",
    _consulted_alternated_cancelled: "caller",
    _consult_transferred: "agent",
    _left_a_conference: "agent",
    _blind_transferred: "agent",
}
"""What happens to a call, and who ended the agent's part of it."""


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__.strip("_"))
async def test_the_queue_counts_the_call_once(at_desk: Desk, statistics: Statistics, story: object) -> None:
    assert callable(story)
    reason = STORIES[story]  # type: ignore[index]
    call = await make_call(at_desk, "queue")
    talking_since = time.time()
    assert await statistics.in_call() == "1"
    await story(call)
    await call.interaction.wait_state(ENDED)
    complete = await statistics.one()
    talked = time.time() - talking_since

    assert complete["Reason"] == reason
    assert complete["Queue"] == "support"
    assert abs(float(complete["TalkTime"]) - talked) <= ROUNDING
    assert await statistics.in_call() == "0"
    if call.target.calls or story is _blind_transferred:
        await call.customers_call.hangup()
    await call.customers_call.wait_state("ended", WAIT)
    await call.over()

    assert len(statistics.completed) == 1
    assert statistics.abandoned == []
    if at_desk.info.provider != "native":
        return
    # AgentComplete may come too late to name a caller who has gone.
    (connected,) = statistics.connected
    rows = statistics.rows(connected["Uniqueid"])
    assert [row[2] for row in rows] == ["ENTERQUEUE", "CONNECT", f"COMPLETE{reason.upper()}"]
    assert {row[1] for row in rows[1:]} == {complete["MemberName"]}
    hold_time, talk_time = rows[-1][3], rows[-1][4]
    assert (hold_time, talk_time) == (complete["HoldTime"], complete["TalkTime"])
