"""A connector on a broker, killed in the middle of calls: the bridge goes on as if it were still there."""

import asyncio
import secrets
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import phone_keys
import pytest
from cable import DeafCable
from calls import HELD, RELEASED, TALKING, make_call
from desk import WAIT, deep_merge
from process_desk import START, Plain, ProcessDesk, launch, process_desk

from connector.bridge.catalogue.channel import AgentState
from connector.bridge.catalogue.interaction import InteractionState
from connector.bridge.messages import Kind
from connector.lab.phones.hearing import expect_hears
from connector.lab.provider import LabInfo, LabProvider
from connector.processor.server import ReferenceBridge


@pytest.fixture(autouse=True)
def _patient_bridge(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the bridge wait for a process that starts on a busy machine, before it begins anew."""
    monkeypatch.setattr("connector.bridge.amqp._ABSENT", START)


@pytest.fixture
async def cable(lab: LabInfo) -> AsyncIterator[DeafCable]:
    """Lead the connector's manager session through a cable that can swallow events."""
    async with DeafCable(lab.host, lab.ports.ami) as found:
        yield found


@asynccontextmanager
async def desk_on_broker(
    provider: LabProvider, lab: LabInfo, folder: Path, cable: DeafCable, **amqp: str | int
) -> AsyncIterator[ProcessDesk]:
    """Run a desk on the broker whose manager session goes through the cable."""

    def adapt(plain: Plain) -> Plain:
        # No look at the PBX's lists instead of the events that a test keeps away.
        limits = {"drain": 0, "proof_timeout": 2 * START}
        return deep_merge(plain, {"asterisk": {"port": cable.port}, "limits": limits, "amqp": amqp})

    async with process_desk(provider, lab, folder, adapt, broker=True) as found:
        yield found


@pytest.fixture
async def kept(
    provider: LabProvider, lab: LabInfo, tmp_path: Path, cable: DeafCable
) -> AsyncIterator[ProcessDesk]:
    """Run a desk whose connector has a store."""
    async with desk_on_broker(provider, lab, tmp_path, cable, store="state.db") as found:
        yield found


@asynccontextmanager
async def stand_by(desk: ProcessDesk) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run one more connector of the same configuration; it stands by."""
    process = await launch(desk.file)
    try:
        await logged(process, "standing by")
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        _, log = await process.communicate()
        assert b"Traceback" not in log


async def logged(process: asyncio.subprocess.Process, what: str) -> None:
    """Wait until a process logs something."""
    assert process.stderr is not None
    lines = [b"-"]
    try:
        async with asyncio.timeout(START):
            while lines[-1] and what.encode() not in lines[-1]:
                lines.append(await process.stderr.readline())
    except TimeoutError:
        lines.append(b"")
    assert lines[-1], f"{what} was not logged, but: {b''.join(lines).decode()}"


def asked(bridge: ReferenceBridge, name: str) -> int:
    """Return how often the bridge has asked something."""
    return sum(one.message.name == name and one.message.kind is not Kind.RESPONSE for one in bridge.log)


def answers(bridge: ReferenceBridge, request_id: str) -> list[Any]:
    return [
        one.message
        for one in bridge.log
        if one.message.kind is Kind.RESPONSE and one.message.request_id == request_id
    ]


async def test_a_killed_connector_is_replaced_and_the_bridge_begins_nothing_anew(kept: ProcessDesk) -> None:
    call = await make_call(kept, "queue")
    await call.interaction.set_data({"ORDER": "4711"})
    await call.consult()
    await kept.end(signal.SIGKILL)
    heard = {call.agent: {"1002"}, call.target: {"1001"}, call.customer: {"MOH"}}
    await expect_hears(heard)
    # Nobody is there: it waits in the queue.
    waiting = asyncio.create_task(call.interaction.alternate())
    await kept.start()
    await waiting
    heard = {call.agent: {"2001"}, call.customer: {"1001"}, call.target: {"MOH"}}
    await expect_hears(heard)
    assert call.interaction.data["ORDER"] == "4711"

    await kept.end(signal.SIGKILL)
    await call.target.calls[0].hangup()
    await call.customers_call.hangup()
    await kept.start()
    # By the PBX alone, or, if both hung up at once and it waits for nobody, by the connector.
    await call.agent.calls[0].wait_state("ended", WAIT)
    await call.interaction.wait_state(InteractionState.ENDED)
    await call.over()
    for once in ("cti.query.capabilities", "cti.request.createsession", "session.query.init"):
        assert asked(kept.bridge, once) == 1


async def test_a_call_on_hold_stays_on_hold_when_the_connector_is_killed(kept: ProcessDesk) -> None:
    call = await make_call(kept, "queue")
    await call.primary.hold()
    on_hold = {call.agent: (), call.customer: {"MOH"}}
    await expect_hears(on_hold)
    await kept.end(signal.SIGKILL)
    await kept.start()
    # The answer tells that the new process knows the call; whatever it did by itself would be heard by then.
    await call.interaction.set_data({"ORDER": "4711"})
    await expect_hears(on_hold, stable=1.0)
    assert call.primary.state is HELD
    await call.primary.retrieve()
    await expect_hears({call.agent: {"2001"}, call.customer: {"1001"}})
    await call.primary.release()
    await call.over()


@pytest.mark.parametrize("by", ["desktop", "phone"])
async def test_a_consult_after_a_restart_is_another_conversation(kept: ProcessDesk, by: str) -> None:
    call = await make_call(kept, "queue")
    if by == "desktop":
        before = await call.consult()
        await before.release()
    else:
        before, second = await phone_keys.consult(call)
        await second.hangup()
        await before.wait_state(RELEASED)
        await phone_keys.resume(call)
    await kept.end(signal.SIGKILL)
    await kept.start()
    after = await call.consult()
    assert (before.nativeid, after.nativeid) == (
        f"{call.interaction.nativeid}-2",
        f"{call.interaction.nativeid}-3",
    )
    await after.release()
    await call.primary.release()
    await call.over()


async def test_a_consult_of_the_phone_outlives_the_first_call_and_the_connector(kept: ProcessDesk) -> None:
    call = await make_call(kept, "queue")
    found, second = await phone_keys.consult(call)
    await call.customers_call.hangup()
    await call.primary.wait_state(RELEASED)
    await kept.end(signal.SIGKILL)
    await kept.start()
    await call.interaction.set_data({"ORDER": "4711"})
    assert (call.interaction.state, found.state) == (InteractionState.STARTED, TALKING)
    await expect_hears({call.agent: {"1002"}, call.target: {"1001"}})
    await second.hangup()
    await found.wait_state(RELEASED)
    await call.over()


async def test_a_release_that_was_half_done_leaves_nobody_behind(
    kept: ProcessDesk, provider: LabProvider
) -> None:
    call = await make_call(kept, "queue")
    await call.interaction.primary.hold()
    own = (call.agent.calls[0], call.customer.calls[0])
    await kept.end(signal.SIGKILL)
    # As far as it came: the agent's leg is told that it has nobody, then the party would be hung up.
    (line,) = [
        line
        for line in provider.asterisk_cli("core show channels concise").splitlines()
        if line.endswith(call.interaction.nativeid)
    ]
    for variable in ("HARMONY_P1", "HARMONY_P2"):
        provider.asterisk_cli(f'dialplan set chanvar {line.partition("!")[0]} {variable} ""')
    releasing = asyncio.create_task(call.interaction.primary.release())
    await kept.start()
    await releasing
    await call.interaction.wait_state(InteractionState.ENDED)
    for each in own:
        await each.wait_state("ended", WAIT)
    await call.over()


async def test_a_request_that_was_under_way_is_answered_once_and_not_carried_out_twice(
    kept: ProcessDesk, cable: DeafCable
) -> None:
    agent, customer = await kept.agent_phone(), await kept.phones.phone("2001")
    agent.honour_auto_answer = False
    session = await kept.login("1001", ready=False)
    cable.deaf = True
    dialling = asyncio.create_task(session.channel.dial("2001"))
    ringing = await agent.next_call(WAIT)
    assert not dialling.done()
    await kept.end(signal.SIGKILL)
    cable.deaf = False
    await kept.start()
    interaction = await dialling
    await ringing.answer()
    await (await customer.next_call(WAIT)).answer()
    await interaction.primary.wait_state(TALKING)
    await expect_hears({agent: {"2001"}, customer: {"1001"}})
    assert (len(agent.calls), len(customer.calls)) == (1, 1)

    cable.deaf = True
    holding = asyncio.create_task(interaction.primary.hold())
    await expect_hears({customer: {"MOH"}})
    assert not holding.done()
    await kept.end(signal.SIGKILL)
    cable.deaf = False
    await kept.start()
    await holding
    assert interaction.primary.state is HELD
    for name in ("channel.request.dial", "conversation.request.hold"):
        (request_id,) = {one.message.request_id for one in kept.bridge.log if one.message.name == name}
        assert [one.result for one in answers(kept.bridge, str(request_id))] == ["SUCCESS"]
    await interaction.primary.retrieve()
    await interaction.primary.release()
    await interaction.wait_state(InteractionState.ENDED)
    await interaction.complete()
    await session.close()


async def test_a_standby_takes_over_from_a_killed_and_from_a_hanging_connector(
    provider: LabProvider, lab: LabInfo, tmp_path: Path, cable: DeafCable
) -> None:
    exchange = f"t{secrets.token_hex(4)}.state"
    async with desk_on_broker(provider, lab, tmp_path, cable, standby=exchange, heartbeat=1) as at:
        async with stand_by(at) as second:
            call = await make_call(at, "direct")
            await call.interaction.set_data({"ORDER": "4711"})
            cable.deaf = True
            holding = asyncio.create_task(call.primary.hold())
            await expect_hears({call.customer: {"MOH"}})
            assert not holding.done()
            await at.end(signal.SIGKILL)
            cable.deaf = False
            await holding
            assert call.primary.state is HELD

            async with stand_by(at) as third:
                second.send_signal(signal.SIGSTOP)
                await call.primary.retrieve()
                await expect_hears({call.agent: {"2001"}, call.customer: {"1001"}})
                second.send_signal(signal.SIGCONT)
                await logged(second, "standing by")
                third.kill()
                await third.wait()
                await call.primary.release()
                assert call.interaction.data["ORDER"] == "4711"
                await call.over()
        for once in ("cti.query.capabilities", "cti.request.createsession", "session.query.init"):
            assert asked(at.bridge, once) == 1
        for name in ("conversation.request.hold", "conversation.request.retrieve"):
            (request_id,) = {one.message.request_id for one in at.bridge.log if one.message.name == name}
            assert [one.result for one in answers(at.bridge, str(request_id))] == ["SUCCESS"]


async def test_agents_stay_logged_in_when_connector_and_pbx_are_restarted_together(
    kept: ProcessDesk, provider: LabProvider
) -> None:
    agent = await kept.agent_phone()
    customer = await kept.phones.phone("2001")
    session = await kept.login("1001")
    await kept.end(signal.SIGKILL)
    await asyncio.to_thread(provider.asterisk_restart, kill=True)
    await kept.start()
    for phone in (agent, customer):
        await phone.register()
    await customer.dial("7000")
    await (await agent.next_call(WAIT)).answer()
    interaction = await session.channel.next_interaction()
    await interaction.primary.wait_state(TALKING)
    assert session.channel.agent_state is AgentState.READY
    await interaction.primary.release()
    await interaction.wait_state(InteractionState.ENDED)
    await interaction.complete()
    await session.close()


async def test_a_request_that_an_orderly_stop_interrupts_is_answered_by_the_next_process(
    kept: ProcessDesk, cable: DeafCable
) -> None:
    agent, customer = await kept.agent_phone(), await kept.phones.phone("2001")
    session = await kept.login("1001", ready=False)
    agent.honour_auto_answer = False
    cable.deaf = True
    dialling = asyncio.create_task(session.channel.dial("2001"))
    ringing = await agent.next_call(WAIT)
    await kept.end(signal.SIGTERM)
    cable.deaf = False
    await kept.start()
    interaction = await dialling
    await ringing.answer()
    await (await customer.next_call(WAIT)).answer()
    await interaction.primary.wait_state(TALKING)
    cable.deaf = True
    holding = asyncio.create_task(interaction.primary.hold())
    await expect_hears({customer: {"MOH"}})
    await kept.end(signal.SIGTERM)
    cable.deaf = False
    await kept.start()
    await holding
    await interaction.primary.wait_state(HELD)
    await interaction.primary.release()
    await interaction.wait_state(InteractionState.ENDED)
    await interaction.complete()
    await session.close()
