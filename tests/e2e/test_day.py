"""A day in the life of ten agents: 200 calls in two queues; then queues, model and bridge tell the same."""

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from calls import ENDED
from desk import Desk
from members import until_queues

from connector.asterisk.wire import AmiMessage
from connector.bridge.catalogue.channel import AgentState, ChannelState
from connector.bridge.catalogue.interaction import InteractionState
from connector.lab.phones.base import Phone
from connector.processor.handles import Interaction
from connector.processor.link import Direction
from connector.processor.server import Session
from connector.telephony.presence import NO_QUEUE

STARTED = InteractionState.STARTED
CALLS = 200
NUMBERS = ("7000", "7000", "7000", "7001")
"""Whom the customers call, in turn: support more often than sales, where every call rings at five phones."""
BREAK_AFTER = 5
"""Calls after which an agent goes for lunch."""
PATIENCE = 120.0
"""Seconds for the whole day, on a machine that has other work too; alone it takes about 20."""
AT_REST = 30.0
"""Seconds until everybody is ready again after the last call."""


@dataclass
class Day:
    """What the day's people share. Chance has a fixed seed; what it meets is the machine's."""

    desk: Desk
    chance: random.Random = field(default_factory=lambda: random.Random(7))  # noqa: S311 - no secret
    please_end: dict[str, asyncio.Event] = field(default_factory=dict)
    served: Counter[str] = field(default_factory=Counter)
    busy: set[str] = field(default_factory=set)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    async def customer(self, phone: Phone, calls: int) -> None:
        """Call again and again; hang up when told so, if the agent is not quicker."""
        for turn in range(calls):
            please_end = self.please_end[phone.extension] = asyncio.Event()
            call = await phone.dial(NUMBERS[turn % len(NUMBERS)])
            ended = asyncio.create_task(call.wait_state("ended", PATIENCE))
            asked = asyncio.create_task(please_end.wait())
            await asyncio.wait({ended, asked}, return_when=asyncio.FIRST_COMPLETED)
            asked.cancel()
            await call.hangup()
            await ended

    async def agent(self, session: Session) -> None:
        """Serve whoever comes, end half of the calls, wrap up, and go for lunch now and then."""
        while True:
            interaction = await session.channel.next_interaction(timeout=PATIENCE)
            self.busy.add(session.agent_id)
            if await self._serve(session, interaction) % BREAK_AFTER == 0:
                await session.channel.ready()
            self.busy.discard(session.agent_id)
            self.news.set()

    async def _serve(self, session: Session, interaction: Interaction) -> int:
        """See one interaction to its completion. Return how many were served by then, 1 without one."""
        state = await interaction.wait_state(STARTED, ENDED, timeout=PATIENCE)
        if state is not STARTED:
            # A colleague was quicker: the queue rings all.
            await interaction.complete()
            return 1
        if self.chance.random() < 0.5:
            await interaction.primary.release()
        else:
            self.please_end[interaction.data["ANI"]].set()
        await interaction.wait_state(ENDED, timeout=PATIENCE)
        self.served[session.agent_id] += 1
        count = self.served[session.agent_id]
        if count % BREAK_AFTER == 0:
            await session.channel.not_ready("lunch")
        await interaction.complete()
        return count

    async def all_served(self, sessions: list[Session]) -> None:
        """Wait until every call was served, all offers of it are wrapped up, and nobody is at lunch."""
        while self.served.total() < CALLS or self.busy or self._open(sessions):
            self.news.clear()
            await self.news.wait()

    def _open(self, sessions: list[Session]) -> bool:
        model = self.desk.connector.pbx.model
        return any(model.interactions(one.channel.endpoint) for one in sessions)


async def test_ten_agents_and_two_hundred_calls(at_desk: Desk) -> None:
    day = Day(at_desk)
    before = await _completed(at_desk)
    async with asyncio.timeout(PATIENCE):
        sessions = [await _arrive(at_desk, agent) for agent in sorted(at_desk.info.agents)]
        customers = [await at_desk.phones.phone(str(2001 + place)) for place in range(10)]
        async with asyncio.TaskGroup() as work:
            agents = [work.create_task(day.agent(session)) for session in sessions]
            calling = [work.create_task(day.customer(one, CALLS // len(customers))) for one in customers]
            await asyncio.gather(*calling)
            await day.all_served(sessions)
            for agent in agents:
                agent.cancel()
        assert day.served.total() == CALLS
        await _wait_at_rest(at_desk, sessions, before + CALLS)
        # In the evening some have gone for good, some are not ready, some ready.
        for place, session in enumerate(sessions):
            if place % 3 == 1:
                await session.channel.not_ready("lunch")
            elif place % 3 == 2:
                await session.channel.deactivate()
        await _agree(at_desk, sessions, day.served)
        _nothing_slipped_in(at_desk, sessions)
        await asyncio.gather(*(session.close() for session in sessions))
    await _all_gone(at_desk)


async def _arrive(at: Desk, agent: str) -> Session:
    phone = await at.agent_phone(agent)
    phone.answer_mode = "auto"
    session: Session = await at.login(agent)
    return session


async def _rows(at: Desk, name: str) -> list[AmiMessage]:
    rows = await at.connector.pbx._link.send_list("QueueStatus")
    return [row for row in rows if row.name == name]


async def _completed(at: Desk) -> int:
    return sum(int(row["Completed"]) for row in await _rows(at, "QueueParams"))


async def _wait_at_rest(at: Desk, sessions: list[Session], completed: int) -> None:
    """Wait until every agent is ready, in the queues too, and these have counted every call."""

    async def wrong() -> object:
        counted = await _completed(at)
        rows = [
            (row["Name"], row["Queue"], row["Paused"], row["InCall"])
            for row in await _rows(at, "QueueMember")
        ]
        busy = [row for row in rows if row[2:] != ("0", "0")]
        legs = at.connector.pbx.model.legs.legs
        return (counted, busy, legs) if counted < completed or busy or legs else None

    await until_queues(at, wrong, AT_REST)
    assert await _completed(at) == completed
    for session in sessions:
        await session.channel.wait_state(ChannelState.ACTIVE, AgentState.READY)


async def _agree(at: Desk, sessions: list[Session], served: Counter[str]) -> None:
    """Compare, field by field, what the queues, the model and the bridge have of every agent."""
    model, directory = at.connector.pbx.model, at.connector.directory
    taken: dict[str, int] = {}
    queues: dict[str, dict[str, dict[str, Any]]] = {}
    for row in await _rows(at, "QueueMember"):
        assert row["Location"] == row["StateInterface"]
        assert (row["Membership"], row["InCall"]) == ("dynamic", "0")
        # One count for all queues of a member (shared_lastcall).
        taken[row["Name"]] = int(row["CallsTaken"])
        queues.setdefault(row["Location"].removeprefix("PJSIP/"), {})[row["Queue"]] = {
            "agent": row["Name"],
            "penalty": int(row["Penalty"]),
            "paused": row["Paused"] == "1",
            "reason": row["PausedReason"],
        }
    known = {
        endpoint: {
            queue: {"agent": one.member, "penalty": one.penalty, "paused": one.paused, "reason": one.reason}
            for queue, one in model.board.queues(endpoint).items()
            if queue != NO_QUEUE
        }
        for endpoint in model.board.endpoints()
    }
    assert queues == known
    told: dict[str, dict[str, dict[str, Any]]] = {}
    for session in sessions:
        record = directory.get(session.agent_id)
        assert record is not None
        channel = session.channel
        assert {one.state for one in channel.interactions} <= {InteractionState.COMPLETED}
        if channel.state is ChannelState.ACTIVE:
            # Who has logged out has no member to count calls.
            assert taken[session.agent_id] == served[session.agent_id]
            told[channel.endpoint] = {
                queue: {
                    "agent": session.agent_id,
                    "penalty": record.penalty,
                    "paused": channel.agent_state is AgentState.NOT_READY,
                    "reason": channel.reason or "",
                }
                for queue in record.queues
            }
        else:
            assert channel.state is ChannelState.INACTIVE
    assert queues == told
    # The team as the model's listeners have it.
    states = {"READY": False, "NOT_READY": True}
    team = await sessions[0].team_status()
    assert {one.loginid: one.state == "LOGGED_OUT" for one in team.values()} == {
        session.agent_id: session.channel.endpoint not in told for session in sessions
    }
    for endpoint, memberships in told.items():
        assert {one["paused"] for one in memberships.values()} == {states[team[endpoint].state]}


def _nothing_slipped_in(at: Desk, sessions: list[Session]) -> None:
    """See in the bridge's log that no call came to an agent in wrap-up or not ready."""
    for session in sessions:
        channel, wrapping, ready = session.channel.target, set[str](), False
        for entry in at.bridge.log:
            message = entry.message
            if entry.direction is not Direction.RECEIVED or not message.target.startswith(channel):
                continue
            match message.name:
                case "channel.ready":
                    ready = True
                case "channel.notready":
                    ready = False
                case "interaction.started":
                    wrapping.add(message.target)
                case "interaction.completed":
                    wrapping.discard(message.target)
                case "channel.interaction.added":
                    assert ready, f"a call came to {session.agent_id}, who was not ready"
                    assert not wrapping, f"a call came to {session.agent_id} in wrap-up"


async def _all_gone(at: Desk) -> None:
    model = at.connector.pbx.model
    assert await _rows(at, "QueueMember") == []
    assert await _rows(at, "QueueEntry") == []
    assert model.board.endpoints() == frozenset()
    assert model._interactions == {}
    assert {session.closed for session in at.bridge.sessions} == {True}
