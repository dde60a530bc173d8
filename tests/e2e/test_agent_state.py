"""An agent's state: what the queues have of it, wrap-up, what others change, and what it outlives."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from calls import ENDED
from desk import WAIT, Desk, desk
from members import Member, members, until_queues, until_waiting, waiting

from connector.asterisk.projection import time_of_start
from connector.bridge.catalogue.channel import AgentState, ChannelState
from connector.bridge.catalogue.interaction import InteractionState
from connector.bridge.messages import Kind
from connector.lab.phones.base import Phone
from connector.lab.provider import LabInfo, LabProvider
from connector.processor.handles import Channel
from connector.processor.link import Direction
from connector.telephony.presence import WRAP_UP

READY, NOT_READY = AgentState.READY, AgentState.NOT_READY
STARTED, COMPLETED = InteractionState.STARTED, InteractionState.COMPLETED
QUICK = {"limits": {"member_check": 0.2}, "handling": {"wrap_up": 0.5}}


def member(*, paused: bool, reason: str = "", agent: str = "1001", penalty: str = "0") -> Member:
    return Member(agent, f"PJSIP/{agent}", penalty, paused, reason)


async def cli(at: Desk, command: str) -> str:
    return await asyncio.to_thread(at.lab.asterisk_cli, command)


async def are(at: Desk, wanted: dict[str, Member], extension: str = "1001") -> None:
    """Wait until the queues have a phone as wanted."""

    async def wrong() -> object:
        now = await members(at, extension)
        return None if now == wanted else f"{now}, not {wanted}"

    await until_queues(at, wrong)


def told(at: Desk, *names: str) -> list[str]:
    """Return the names of the messages that the bridge received, of these only, in order."""
    received = [one.message.name for one in at.bridge.log if one.direction is Direction.RECEIVED]
    return [name for name in received if name in names]


async def told_notready(channel: Channel, reason: str) -> None:
    await channel.link.until(
        lambda: channel.agent_state is NOT_READY and channel.reason == reason,
        WAIT,
        lambda: f"not ready ({reason}); it is {channel.agent_state} ({channel.reason})",
    )


@pytest.fixture
async def quick_desk(provider: LabProvider, lab: LabInfo, tmp_path: Path) -> AsyncIterator[Desk]:
    """Run a desk with a short wrap-up that looks at the queues' members often."""
    async with desk(provider, lab, tmp_path, QUICK) as found:
        yield found


async def two_customers(at: Desk) -> tuple[Phone, Phone]:
    agent = await at.agent_phone("1001")
    agent.answer_mode = "auto"
    return await at.phones.phone("2001"), await at.phones.phone("2002")


# -- what the queues have -----------------------------------------------------------------------------------


async def test_every_state_is_the_same_in_every_queue(
    provider: LabProvider, lab: LabInfo, tmp_path: Path
) -> None:
    reasons = {"not_ready": {"lunch": {"code": "17"}}}
    over = {"agents": {"1001": {"penalty": 3}}, "reasons": reasons}
    async with desk(provider, lab, tmp_path, over) as at:
        queues = ("support", "sales")
        # One membership is there already, but not paused.
        await cli(at, "queue add member PJSIP/1001 to sales penalty 3 as 1001 state_interface PJSIP/1001")
        account = at.info.agents["1001"]
        session = await at.bridge.login("1001", account.password, extension="1001")
        await session.channel.deactivate()
        await cli(at, "queue add member PJSIP/1001 to sales penalty 3 as 1002 state_interface PJSIP/1001")
        await session.channel.wait_state(ChannelState.UNAVAILABLE)
        await cli(at, "queue remove member PJSIP/1001 from sales")
        await session.channel.wait_state(ChannelState.INACTIVE)

        await session.channel.activate()
        await are(at, dict.fromkeys(queues, member(paused=True, penalty="3")))
        await session.channel.ready()
        await are(at, dict.fromkeys(queues, member(paused=False, penalty="3")))
        await session.channel.not_ready("lunch")
        assert session.channel.reason == "17"
        await are(at, dict.fromkeys(queues, member(paused=True, reason="17", penalty="3")))
        # Somebody else was quicker in one of them.
        await cli(at, "queue remove member PJSIP/1001 from sales")
        await session.channel.deactivate()
        await are(at, {})
        await session.close()


@pytest.mark.parametrize(
    ("reason", "problem"),
    [
        ("busy", "The reason busy cannot be chosen by an agent."),
        (WRAP_UP, f"The reason {WRAP_UP} is the connector's own: choose another one."),
        ("a;b", "A reason has at most 80 characters, none of them , ; or |."),
    ],
)
async def test_a_reason_that_cannot_be_is_refused(at_desk: Desk, reason: str, problem: str) -> None:
    session = await at_desk.login("1001")
    body = {"reasonCodeId": reason}
    reply = await at_desk.bridge.request(session.channel.target, "channel.request.notready", body)
    assert reply.error_message == problem
    assert session.channel.agent_state is READY
    await session.close()


# -- calls --------------------------------------------------------------------------------------------------


async def test_no_call_comes_between_a_call_and_its_completion(at_desk: Desk) -> None:
    first, second = await two_customers(at_desk)
    session = await at_desk.login("1001")
    calls = [await first.dial("7000")]
    interaction = await session.channel.next_interaction()
    await interaction.wait_state(STARTED)
    wraps = dict.fromkeys(("support", "sales"), member(paused=True, reason=WRAP_UP))
    for customer in (second, first, second):
        await are(at_desk, wraps)
        calls.append(await customer.dial("7000"))
        await until_waiting(at_desk, customer.extension)
        await calls[-2].hangup()
        await interaction.wait_state(ENDED)
        assert session.channel.agent_state is READY
        await are(at_desk, wraps)
        await interaction.complete()
        interaction = await session.channel.next_interaction()
        assert interaction.data["ANI"] == customer.extension
        await interaction.wait_state(STARTED)
    await calls[-1].hangup()
    await interaction.wait_state(ENDED)
    await interaction.complete()
    steps = told(at_desk, "channel.interaction.added", "interaction.ended", "interaction.completed")
    assert steps == ["channel.interaction.added", "interaction.ended", "interaction.completed"] * 4
    assert told(at_desk, "channel.ready", "channel.notready") == ["channel.notready", "channel.ready"]
    await are(at_desk, dict.fromkeys(("support", "sales"), member(paused=False)))
    await session.close()


async def test_wrap_up_ends_by_itself_at_its_limit(quick_desk: Desk) -> None:
    first, second = await two_customers(quick_desk)
    session = await quick_desk.login("1001")
    call = await first.dial("7000")
    interaction = await session.channel.next_interaction()
    await interaction.wait_state(STARTED)
    other = await second.dial("7000")
    await until_waiting(quick_desk, "2002")
    await call.hangup()
    await interaction.wait_state(COMPLETED)
    reply = await quick_desk.bridge.request(interaction.target, "interaction.request.complete", {})
    assert reply.error_message == "Only an ended interaction can be completed: this one is COMPLETED."
    following = await session.channel.next_interaction()
    assert following.data["ANI"] == "2002"
    await other.hangup()
    await following.wait_state(ENDED, COMPLETED)
    await following.wait_state(COMPLETED)
    await session.close()


async def test_not_ready_during_a_call_counts_after_it(at_desk: Desk) -> None:
    first, second = await two_customers(at_desk)
    session = await at_desk.login("1001")
    call = await first.dial("7000")
    interaction = await session.channel.next_interaction()
    await interaction.wait_state(STARTED)
    await session.channel.not_ready("lunch")
    assert session.channel.reason == "lunch"
    assert (interaction.state, call.state) == (STARTED, "talking")
    other = await second.dial("7000")
    await until_waiting(at_desk, "2002")
    await call.hangup()
    await interaction.wait_state(ENDED)
    await interaction.complete()
    lunch = dict.fromkeys(("support", "sales"), member(paused=True, reason="lunch"))
    await are(at_desk, lunch)
    assert await waiting(at_desk, "support") == ["2002"]
    await session.channel.ready()
    following = await session.channel.next_interaction()
    # And the other way round: ready during a call is ready after it.
    await following.wait_state(STARTED)
    await session.channel.not_ready()
    await session.channel.ready()
    await are(at_desk, dict.fromkeys(("support", "sales"), member(paused=True, reason=WRAP_UP)))
    await other.hangup()
    await following.wait_state(ENDED)
    await following.complete()
    await are(at_desk, dict.fromkeys(("support", "sales"), member(paused=False)))
    await session.close()


async def test_who_did_not_answer_is_not_ready_for_all_queues(
    provider: LabProvider, lab: LabInfo, tmp_path: Path
) -> None:
    over = {"queues": {"hotline": {}}, "agents": {"1001": {"queues": ["support", "hotline"]}}}
    async with desk(provider, lab, tmp_path, over) as at:
        await at.agent_phone("1001")
        customer = await at.phones.phone("2001")
        customer.answer_mode = "auto"
        session = await at.login("1001")
        hotline = {"Channel": "PJSIP/2001", "Application": "Queue", "Data": "hotline", "Async": "true"}
        await at.connector.pbx._link.send("Originate", hotline)
        interaction = await session.channel.next_interaction()
        await interaction.wait_state(ENDED)
        await told_notready(session.channel, "Auto-Pause")
        await are(at, dict.fromkeys(("support", "hotline"), member(paused=True, reason="Auto-Pause")))
        await (await customer.next_call(WAIT)).hangup()
        await interaction.complete()
        await session.channel.ready()
        await are(at, dict.fromkeys(("support", "hotline"), member(paused=False)))
        await session.close()


# -- others -------------------------------------------------------------------------------------------------


async def test_what_others_change_on_the_pbx_is_told(at_desk: Desk) -> None:
    session = await at_desk.login("1001")
    for queue in ("support", "sales"):
        await cli(at_desk, f"queue pause member PJSIP/1001 queue {queue} reason meeting")
    await told_notready(session.channel, "meeting")
    await cli(at_desk, "queue unpause member PJSIP/1001 queue sales")
    await session.channel.wait_state(agent_state=READY)
    for queue in ("support", "sales"):
        await cli(at_desk, f"queue remove member PJSIP/1001 from {queue}")
    await session.channel.wait_state(ChannelState.INACTIVE)
    await cli(at_desk, "queue add member PJSIP/1001 to sales penalty 0 as 1001 state_interface PJSIP/1001")
    await session.channel.wait_state(ChannelState.ACTIVE, READY)
    await session.close()


async def test_states_outlive_a_reload(at_desk: Desk) -> None:
    session = await at_desk.login("1001")
    other = await at_desk.login("1002", ready=False)
    await other.channel.not_ready("lunch")
    before = await members(at_desk, "1001"), await members(at_desk, "1002")
    for command in ("queue reload all", "module reload app_queue", "core reload"):
        await cli(at_desk, command)
        assert (await members(at_desk, "1001"), await members(at_desk, "1002")) == before
    assert (session.channel.agent_state, other.channel.reason) == (READY, "lunch")
    await other.close()
    await session.close()


async def test_states_outlive_the_queue_module(quick_desk: Desk) -> None:
    session = await quick_desk.login("1001")
    other = await quick_desk.login("1002", ready=False)
    await other.channel.not_ready("lunch")
    first, second = await members(quick_desk, "1001"), await members(quick_desk, "1002")
    await cli(quick_desk, "module unload app_queue")
    await cli(quick_desk, "module load app_queue")
    assert await members(quick_desk, "1001") == {}
    await are(quick_desk, first)
    await are(quick_desk, second, "1002")
    assert (session.channel.agent_state, other.channel.reason) == (READY, "lunch")
    assert told(quick_desk, "channel.deactivated") == []
    await other.close()
    await session.close()


@pytest.mark.parametrize("kill", [False, True], ids=["orderly", "crash"])
async def test_states_outlive_a_restart(at_desk: Desk, *, kill: bool) -> None:
    await at_desk.login("1001")
    lunch = await at_desk.login("1002", ready=False)
    await lunch.channel.not_ready("lunch")
    first, second = await members(at_desk, "1001"), await members(at_desk, "1002")
    await _another_second(at_desk)
    await asyncio.to_thread(at_desk.lab.asterisk_stop, kill=kill)
    await at_desk.bridge.wait_status("out-of-service", timeout=20)
    await asyncio.to_thread(at_desk.lab.asterisk_start)
    await at_desk.bridge.wait_in_service(40)
    assert (await members(at_desk, "1001"), await members(at_desk, "1002")) == (first, second)
    # The bridge ends its sessions with the service; the next ones find the agents as they were.
    for agent, wanted, reason in (("1001", READY, None), ("1002", NOT_READY, "lunch")):
        account = at_desk.info.agents[agent]
        found = await at_desk.bridge.login(agent, account.password, extension=account.extension)
        channel = found.channel
        assert (channel.state, channel.agent_state, channel.reason) == (ChannelState.ACTIVE, wanted, reason)
        await found.close()


async def _another_second(at: Desk) -> None:
    """Wait until a restart shows: Asterisk tells the second of its start."""
    _, began = (await time_of_start(at.connector.pbx._link)).split()
    if time.strftime("%H:%M:%S", time.localtime()) == began:
        await asyncio.sleep(1 - time.time() % 1)


# -- sessions -----------------------------------------------------------------------------------------------


async def test_close_is_refused_on_a_call_and_goes_step_by_step_after_it(at_desk: Desk) -> None:
    first, second = await two_customers(at_desk)
    session = await at_desk.login("1001")
    call = await first.dial("7000")
    interaction = await session.channel.next_interaction()
    await interaction.wait_state(STARTED)
    reply = await at_desk.bridge.request(session.target, "session.request.close", {})
    assert reply.error_message == "The session cannot be closed: the agent is on a call."
    assert (session.channel.state, session.channel.agent_state) == (ChannelState.ACTIVE, READY)
    other = await second.dial("7000")
    await until_waiting(at_desk, "2002")
    await call.hangup()
    await interaction.wait_state(ENDED)
    before = len(at_desk.bridge.log)
    await session.close()
    events = [
        one.message.name
        for one in at_desk.bridge.log[before:]
        if one.direction is Direction.RECEIVED and one.message.kind is Kind.EVENT
    ]
    assert events == [
        "interaction.completed",
        "channel.notready",
        "channel.deactivated",
        "channel.disposed",
        "channelgroup.channel.removed",
        "channelgroup.disposed",
        "session.closed",
    ]
    # Whoever waits was not offered to the agent who leaves.
    assert await waiting(at_desk, "support") == ["2002"]
    await other.hangup()


async def test_dispose_leaves_the_call_and_a_new_session_finds_it(at_desk: Desk) -> None:
    first, _ = await two_customers(at_desk)
    session = await at_desk.login("1001")
    call = await first.dial("7000")
    interaction = await session.channel.next_interaction()
    await interaction.wait_state(STARTED)
    nativeid = interaction.nativeid
    await session.dispose()
    assert call.state == "talking"
    await are(at_desk, dict.fromkeys(("support", "sales"), member(paused=True, reason=WRAP_UP)))
    account = at_desk.info.agents["1001"]
    again = await at_desk.bridge.login("1001", account.password, extension="1001")
    found = await again.channel.next_interaction()
    assert (again.channel.state, again.channel.agent_state) == (ChannelState.ACTIVE, READY)
    assert (found.nativeid, found.state) == (nativeid, STARTED)
    await call.hangup()
    await found.wait_state(ENDED)
    await found.complete()
    await again.close()


async def test_every_supervisor_sees_the_own_team(
    provider: LabProvider, lab: LabInfo, tmp_path: Path
) -> None:
    teams = {"1001": "red", "1002": "red", "1003": "red", "1004": "blue"}
    over = {"agents": {agent: {"team": team} for agent, team in teams.items()}}
    async with desk(provider, lab, tmp_path, over) as at:
        agent = await at.agent_phone("1003")
        agent.answer_mode = "auto"
        customer = await at.phones.phone("2001")
        first, second, blue = [await at.login(one, ready=False) for one in ("1001", "1002", "1004")]
        assert sorted(await first.team_status(realtime=True)) == ["1001", "1002", "1003"]
        await second.team_status(realtime=True)
        assert sorted(await blue.team_status(realtime=True)) == ["1004"]
        states: dict[str, list[str]] = {one.target: [] for one in (first, second, blue)}
        times: list[str] = []

        def listen(_direction: Any, message: Any) -> None:
            if message.name == "session.teamstatus.updated":
                for each in message.body["teamstatus"]:
                    assert each["loginid"] == "1003"
                    states[message.target].append(each["state"])
                    times.append(each["statechangetime"])

        at.bridge.listeners.add(listen)
        worker = await at.login("1003")
        call = await customer.dial("7000")
        interaction = await worker.channel.next_interaction()
        await interaction.wait_state(STARTED)
        await second.stop_team_status()
        await call.hangup()
        await interaction.wait_state(ENDED)
        await interaction.complete()
        await worker.close()
        begun = ["NOT_READY", "READY", "ON_CALL"]
        assert states[second.target] == begun
        assert states[first.target] == [*begun, "WRAP_UP", "READY", "NOT_READY", "LOGGED_OUT"]
        assert states[blue.target] == []
        assert all(one.endswith("Z") for one in times)
        for each in (first, second, blue):
            await each.close()
