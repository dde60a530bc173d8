"""A double click with the strategy atxfer: the second request meets what the first one has done."""

import asyncio

import pytest
from atxfer_desk import agent_and_customer_talk, all_three_talk
from calls import HELD, ORIGINS, TALKING, Call
from desk import WAIT
from test_double_click import transfer_twice, twice

from connector.lab.phones.hearing import expect_hears
from connector.processor.handles import Conversation
from connector.processor.problems import BridgeRequestFailed

pytestmark = [pytest.mark.atxfer, pytest.mark.parametrize("call", ORIGINS, indirect=True)]


async def test_a_double_click_does_not_complete_the_transfer(call: Call) -> None:
    """Asterisk would take the code that begins a consult, in one, for that which completes it."""
    first, second = await asyncio.gather(
        call.interaction.consult("1002"), call.interaction.consult("1002"), return_exceptions=True
    )
    assert isinstance(first, Conversation)
    assert isinstance(second, BridgeRequestFailed)
    assert "There is a consult call already" in str(second)
    await (await call.target.next_call(WAIT)).answer()
    await first.wait_state(TALKING)
    await expect_hears({call.agent: {"1002"}, call.target: {"1001"}, call.customer: {"MOH"}})
    assert await twice(call, first.target, "conversation.request.release") is not None
    await agent_and_customer_talk(call)
    await call.primary.release()
    await call.over()


async def test_alternate_and_conference(call: Call) -> None:
    consult, target = await call.consult(), call.interaction.target
    # Two swaps are two wishes that both make sense: all is as it was.
    assert await twice(call, target, "interaction.request.alternate") is None
    assert (call.primary.state, consult.state) == (HELD, TALKING)
    await expect_hears({call.agent: {"1002"}, call.target: {"1001"}, call.customer: {"MOH"}})
    said = await twice(call, target, "interaction.request.consultconference")
    assert said == "There is no consult call."
    await all_three_talk(call)
    await call.target.calls[0].hangup()
    await agent_and_customer_talk(call)
    await call.primary.release()
    await call.over()


async def test_consult_transfer(call: Call) -> None:
    await transfer_twice(call)
