"""A caller whose agent is gone in the middle of something, or whom nobody takes, is the next agent's."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from calls import ENDED, HELD, ORIGINS, TALKING, Call, Origin, make_call
from desk import WAIT, Desk, desk

from connector.lab.phones.hearing import expect_hears
from connector.lab.provider import LabInfo, LabProvider

SALES_TAKES_THEM = {
    "handling": {"fallback_queue": "sales", "orphans": ["queue"], "failed_transfer": ["queue"]},
    "agents": {"1001": {"queues": ["support"]}, "1003": {"queues": ["sales"]}},
}


@pytest.fixture
async def at(provider: LabProvider, lab: LabInfo, tmp_path: Path) -> AsyncIterator[Desk]:
    """Have agent 1003 take callers whom nobody has."""
    async with desk(provider, lab, tmp_path, SALES_TAKES_THEM) as found:
        yield found


async def taken(at: Desk, call: Call) -> None:
    """See the caller with agent 1003, and nobody with the one before; end it."""
    taker = await at.agent_phone("1003")
    taker.answer_mode = "auto"
    colleague = await at.login("1003")
    received = await colleague.channel.next_interaction()
    await expect_hears({call.customer: {"1003"}, taker: {"2001"}})
    assert not call.agent.calls
    await call.customers_call.hangup()
    await received.wait_state(ENDED)
    await received.complete()
    await colleague.close()


@pytest.mark.parametrize(
    "doing", ["holds", "calls a colleague", "consults", "has both on hold", "alternated"]
)
@pytest.mark.parametrize("origin", ORIGINS)
async def test_whose_agent_hangs_up_in_the_middle_of_something(at: Desk, origin: Origin, doing: str) -> None:
    call = await make_call(at, origin)
    interaction, (agents_call,) = call.interaction, call.agent.calls
    if doing == "holds":
        await call.primary.hold()
    elif doing == "calls a colleague":
        await interaction.consult("1002")
        await call.target.next_call(WAIT)
    else:
        consult = await call.consult()
        if doing == "has both on hold":
            await consult.hold()
        elif doing == "alternated":
            for _ in range(2):
                await interaction.alternate()
    await expect_hears({call.customer: {"MOH"}})
    assert call.primary.state is HELD
    await agents_call.hangup()
    await call.over()
    for rung in call.target.calls:
        await rung.wait_state("ended", WAIT)
    await taken(at, call)


@pytest.mark.parametrize("how", ["blindtransfer", "consulttransfer"])
@pytest.mark.parametrize("origin", ORIGINS)
async def test_who_was_sent_to_somebody_who_does_not_take_the_call(
    at: Desk, origin: Origin, how: str
) -> None:
    """The agent has left by then; the caller hears music until somebody comes."""
    call = await make_call(at, origin)
    if how == "blindtransfer":
        await call.primary.blind_transfer("1002")
    else:
        await call.interaction.consult("1002")
        await call.target.next_call(WAIT)
        await call.interaction.consult_transfer()
    await call.over()
    await expect_hears({call.customer: {"MOH"}, call.agent: ()})
    # The number is called anew if it rang already.
    await (await call.target.next_call(WAIT)).reject(486)
    await taken(at, call)


@pytest.mark.parametrize("origin", ORIGINS)
async def test_the_star_key_takes_a_caller_back_without_the_desktop(at: Desk, origin: Origin) -> None:
    call = await make_call(at, origin)
    (agents_call,) = call.agent.calls
    await call.primary.hold()
    await expect_hears({call.agent: (), call.customer: {"MOH"}})
    await agents_call.send_dtmf("5")
    await agents_call.send_dtmf("*")
    await call.primary.wait_state(TALKING)
    await expect_hears({call.agent: {"2001"}, call.customer: {"1001"}})
    await call.primary.release()
    await call.over()
