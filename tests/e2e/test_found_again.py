"""A connector that starts in the middle of live calls finds what the one before had seen."""

import pytest
from calls import ORIGINS, TALKING, Call
from desk import WAIT
from found import newcomer, view

from connector.lab.phones.hearing import expect_hears


async def same(call: Call, state: str) -> None:
    """Compare what a newcomer finds with what the connector in service knows."""
    known = call.desk.connector.pbx.model
    async with newcomer(call.desk.connector.settings) as pbx:
        assert view(pbx.model) == view(known), state


@pytest.mark.parametrize("call", ORIGINS, indirect=True)
async def test_every_state_is_found_with_ids_data_and_members(call: Call) -> None:
    primary = call.primary
    await call.interaction.set_data({"ORDER": 'a=b;c, "d"'})
    await same(call, "talking")
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
    await primary.release()
    await call.over()
