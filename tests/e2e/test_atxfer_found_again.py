"""With `consult: atxfer`, too, a connector that starts in the middle of a consult finds it and goes on."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from atxfer_desk import atxfer_desk, ring
from cable import Cable
from calls import ENDED, HELD, ORIGINS, RELEASED, TALKING, Call, make_call
from desk import WAIT, Desk, cause_of
from found import after_restart, agree, newcomer
from test_gaps import QUICK, gap

from connector.bridge.catalogue.conversation import Cause
from connector.lab.phones.hearing import expect_hears
from connector.lab.provider import LabInfo, LabProvider


@pytest.fixture
async def at_desk(provider: LabProvider, lab: LabInfo, tmp_path: Path) -> AsyncIterator[Desk]:
    """Run a desk of that strategy whose bridge begins anew when the connector does."""
    async with atxfer_desk(provider, lab, tmp_path, transport="tcp") as found:
        yield found


@pytest.fixture
async def plug(lab: LabInfo) -> AsyncIterator[Cable]:
    async with Cable(lab.host, lab.ports.ami) as found:
        yield found


@pytest.fixture
async def far_call(provider: LabProvider, lab: LabInfo, tmp_path: Path, plug: Cable) -> AsyncIterator[Call]:
    """Make an answered call at a desk behind the cable."""
    over = {"asterisk": QUICK["asterisk"] | {"port": plug.port, "grace": 60}}
    async with atxfer_desk(provider, lab, tmp_path, over) as found:
        yield await make_call(found, "queue")


async def same(call: Call, state: str) -> None:
    """Compare what a newcomer finds with what the connector in service knows.

    How long a caller waited stands on the leg only where our dialplan put it; and whether the number that the
    agent had dialled is shown to who is consulted depends on what Asterisk tells first.
    """
    async with newcomer(call.desk.connector.settings) as pbx:
        await agree(call, pbx, state, but=("WAIT_TIME", "DNIS"))


@pytest.mark.parametrize("call", ORIGINS, indirect=True)
async def test_every_state_of_a_consult_is_found(call: Call) -> None:
    await same(call, "talking")
    consult, targets_call = await ring(call)
    await same(call, "consult ringing")
    await targets_call.answer()
    await consult.wait_state(TALKING)
    await same(call, "consult talking")
    await call.interaction.alternate()
    await same(call, "alternated")
    await call.interaction.alternate()
    await same(call, "alternated back")
    await consult.release()
    await call.primary.wait_state(TALKING)
    await same(call, "taken back")
    await call.consult()
    await same(call, "second consult")
    await call.interaction.consult_conference()
    await expect_hears({call.agent: {"2001", "1002"}, call.customer: {"1001", "1002"}})
    await same(call, "conference")
    await call.primary.release()
    await call.customers_call.hangup()
    await call.over()


async def test_a_consult_goes_on_after_a_restart_in_each_state(queue_call: Call) -> None:
    call = queue_call
    _consult, targets_call = await ring(call)
    consult = await after_restart(call)
    assert consult is not None
    await targets_call.answer()
    await consult.wait_state(TALKING)
    await expect_hears({call.agent: {"1002"}, call.customer: {"MOH"}, call.target: {"1001"}})
    consult = await after_restart(call)
    assert consult is not None
    await call.interaction.alternate()
    assert (call.primary.state, consult.state) == (TALKING, HELD)
    await expect_hears({call.agent: {"2001"}, call.customer: {"1001"}, call.target: {"MOH"}})
    consult = await after_restart(call)
    assert consult is not None
    await call.interaction.alternate()
    assert (call.primary.state, consult.state) == (HELD, TALKING)
    await consult.release()
    await call.primary.wait_state(TALKING)
    await expect_hears({call.agent: {"2001"}, call.customer: {"1001"}, call.target: set()})
    await call.consult()
    await after_restart(call)
    await call.interaction.consult_conference()
    await expect_hears(
        {call.agent: {"2001", "1002"}, call.customer: {"1001", "1002"}, call.target: {"1001", "2001"}}
    )
    await after_restart(call)
    assert len(call.primary.members) == 2
    await call.primary.release()
    await expect_hears({call.customer: {"1002"}, call.target: {"2001"}})
    await call.customers_call.hangup()
    await call.over()


@pytest.mark.parametrize("ringing", [False, True])
async def test_a_consult_transfer_after_a_restart(queue_call: Call, *, ringing: bool) -> None:
    call = queue_call
    if ringing:
        _consult, targets_call = await ring(call)
    else:
        await call.consult()
    await after_restart(call)
    await call.interaction.consult_transfer()
    if ringing:
        await targets_call.answer()
    await expect_hears({call.customer: {"1002"}, call.target: {"2001"}})
    await call.interaction.wait_state(ENDED)
    assert cause_of(call.interaction) is Cause.TRANSFERRED
    await call.customers_call.hangup()
    await call.over()


async def test_a_consult_that_fails_after_a_restart_brings_the_customer_back(queue_call: Call) -> None:
    call = queue_call
    _consult, targets_call = await ring(call)
    consult = await after_restart(call)
    assert consult is not None
    await targets_call.reject()
    await consult.wait_state(RELEASED)
    await call.primary.wait_state(TALKING)
    await expect_hears({call.agent: {"2001"}, call.customer: {"1001"}})
    await call.primary.release()
    await call.over()


async def test_what_the_phone_does_in_gaps_is_told_after_them(far_call: Call, plug: Cable) -> None:
    call, cable = far_call, plug
    talking = {call.agent: {"1002"}, call.customer: {"MOH"}, call.target: {"1001"}}
    async with gap(cable, call.desk):
        await call.agent.calls[0].send_dtmf("*21002")
        await (await call.target.next_call(WAIT)).answer()
        await expect_hears(talking)
    await call.primary.wait_state(HELD)
    consult = await call.interaction.wait_consult()
    await consult.wait_state(TALKING)
    async with gap(cable, call.desk):
        await call.agent.calls[0].send_dtmf("*4")
        await expect_hears({call.agent: {"2001"}, call.customer: {"1001"}, call.target: {"MOH"}})
    await call.primary.wait_state(TALKING)
    await consult.wait_state(HELD)
    async with gap(cable, call.desk):
        await call.agent.calls[0].send_dtmf("*4")
        await expect_hears(talking)
    await consult.wait_state(TALKING)
    await call.primary.wait_state(HELD)
    await consult.release()
    await call.primary.wait_state(TALKING)
    # Asterisk beeps to the agent, and obeys no code meanwhile.
    await expect_hears({call.agent: {"2001"}, call.customer: {"1001"}}, stable=0.7)
    async with gap(cable, call.desk):
        await call.agent.calls[0].send_dtmf("*21002")
        await (await call.target.next_call(WAIT)).answer()
        await expect_hears(talking)
        await call.agent.calls[0].send_dtmf("*4")
        await expect_hears({call.agent: {"2001"}, call.customer: {"1001"}, call.target: {"MOH"}})
    second = await call.interaction.wait_consult()
    await second.wait_state(HELD)
    assert call.primary.state is TALKING
    await call.interaction.alternate()
    await expect_hears(talking)
    async with gap(cable, call.desk):
        await call.target.calls[0].hangup()
        await expect_hears({call.agent: {"2001"}, call.customer: {"1001"}})
    await second.wait_state(RELEASED)
    await call.primary.wait_state(TALKING)
    await call.primary.release()
    await call.over()
