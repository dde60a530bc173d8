"""A connector that starts in the middle of live calls finds what the one before had seen, and goes on."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from calls import HELD, ORIGINS, RELEASED, TALKING, Call, make_call
from desk import WAIT, Desk, desk
from found import after_restart, agree, log_in_again, newcomer

from connector.lab.phones.hearing import expect_hears
from connector.lab.provider import LabInfo, LabProvider


async def same(call: Call, state: str, *, but: tuple[str, ...] = ()) -> None:
    """Compare what a newcomer finds with what the connector in service knows, `but` for a key of the data."""
    async with newcomer(call.desk.connector.settings) as pbx:
        await agree(call, pbx, state, but=but)


@pytest.mark.parametrize("call", ORIGINS, indirect=True)
async def test_every_state_is_found_with_ids_data_and_members(call: Call) -> None:
    primary = call.primary
    await call.interaction.set_data({"ORDER": 'a=b;c, "d"'})
    # How long the caller waited before the ring stands on the leg from the first operation on.
    await same(call, "talking", but=("WAIT_TIME",))
    await primary.hold()
    await same(call, "held")
    await primary.retrieve()
    await same(call, "retrieved")

    consult = await call.interaction.consult("1002")
    ringing = await call.target.next_call(WAIT)
    await same(call, "consult ringing")
    await ringing.answer()
    await consult.wait_state(TALKING)
    await expect_hears({call.agent: {"1002"}, call.target: {"1001"}, call.customer: {"MOH"}})
    await same(call, "consult talking")
    await call.interaction.alternate()
    await same(call, "alternated")
    await call.interaction.alternate()
    await same(call, "alternated back")
    await consult.hold()
    await same(call, "both held")
    await call.interaction.consult_conference()
    await expect_hears({call.agent: {"2001", "1002"}, call.customer: {"1001", "1002"}})
    await same(call, "conference")
    await primary.hold()
    await same(call, "conference held")
    await call.customers_call.hangup()
    await primary.wait_members(lambda members: len(members) == 1)
    await primary.release()
    await call.over()


@pytest.fixture
async def tcp_desk(provider: LabProvider, lab: LabInfo, tmp_path: Path) -> AsyncIterator[Desk]:
    """Run a desk whose bridge begins anew when the connector does."""
    async with desk(provider, lab, tmp_path, transport="tcp") as found:
        yield found


async def test_operations_go_on_after_a_restart_in_each_state(tcp_desk: Desk) -> None:
    call = await make_call(tcp_desk, "queue")
    await call.primary.hold()
    await after_restart(call)
    assert call.primary.state is HELD
    await expect_hears({call.agent: set(), call.customer: {"MOH"}})
    await call.primary.retrieve()
    await expect_hears({call.agent: {"2001"}, call.customer: {"1001"}})

    await call.interaction.consult("1002")
    ringing = await call.target.next_call(WAIT)
    consult = await after_restart(call)
    assert consult is not None
    await ringing.answer()
    await consult.wait_state(TALKING)
    await expect_hears({call.agent: {"1002"}, call.target: {"1001"}, call.customer: {"MOH"}})
    consult = await after_restart(call)
    assert consult is not None
    await call.interaction.alternate()
    assert (call.primary.state, consult.state) == (TALKING, HELD)
    await expect_hears({call.agent: {"2001"}, call.customer: {"1001"}, call.target: {"MOH"}})
    consult = await after_restart(call)
    assert consult is not None
    await call.interaction.alternate()
    await expect_hears({call.agent: {"1002"}, call.target: {"1001"}, call.customer: {"MOH"}})
    await call.interaction.consult_conference()
    everybody = {
        call.agent: {"2001", "1002"},
        call.customer: {"1001", "1002"},
        call.target: {"1001", "2001"},
    }
    await expect_hears(everybody)
    await after_restart(call)
    assert len(call.primary.members) == 2
    await call.primary.hold()
    await after_restart(call)
    await call.primary.retrieve()
    await expect_hears(everybody)
    await call.target.calls[0].hangup()
    await call.primary.wait_members(lambda members: len(members) == 1)
    await call.primary.release()
    await call.over()


@pytest.mark.parametrize("ringing", [False, True])
async def test_a_consult_transfer_after_a_restart(tcp_desk: Desk, *, ringing: bool) -> None:
    call = await make_call(tcp_desk, "direct")
    if ringing:
        await call.interaction.consult("1002")
        await call.target.next_call(WAIT)
    else:
        await call.consult()
    await after_restart(call)
    await call.interaction.consult_transfer()
    if ringing:
        await (await call.target.next_call(WAIT)).answer()
    await expect_hears({call.customer: {"1002"}, call.target: {"2001"}})
    await call.customers_call.hangup()
    await call.over()


async def test_a_consult_that_fails_after_a_restart_leaves_the_customer_on_hold(tcp_desk: Desk) -> None:
    call = await make_call(tcp_desk, "dial")
    await call.interaction.consult("1002")
    ringing = await call.target.next_call(WAIT)
    consult = await after_restart(call)
    assert consult is not None
    await ringing.reject()
    await consult.wait_state(RELEASED)
    assert call.primary.state is HELD
    await call.primary.retrieve()
    await expect_hears({call.agent: {"2001"}, call.customer: {"1001"}})
    await call.primary.release()
    await call.over()


async def test_an_agent_who_waits_for_nobody_is_let_go_after_a_restart(tcp_desk: Desk) -> None:
    call = await make_call(tcp_desk, "direct")
    (agents_call,) = call.agent.calls
    await call.primary.hold()
    await tcp_desk.close()
    await call.customers_call.hangup()
    await tcp_desk.renew_connector()
    await agents_call.wait_state("ended", WAIT)
    await log_in_again(call)
    await call.session.close()
