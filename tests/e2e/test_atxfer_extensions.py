"""Recording and muting with the strategy atxfer: both follow the call where Asterisk itself takes it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from atxfer_desk import agent_and_customer_talk, all_three_talk, atxfer_desk
from calls import HELD, TALKING, Call, make_call
from desk import WAIT
from test_recording import OFF, ON, extended, finish, for_a_while, heard_in

from connector.lab.phones.hearing import expect_hears
from connector.lab.provider import LabInfo, LabProvider


@pytest.fixture(params=["queue", "dial"])
async def call(
    provider: LabProvider, lab: LabInfo, tmp_path: Path, request: pytest.FixtureRequest
) -> AsyncIterator[Call]:
    async with atxfer_desk(provider, lab, tmp_path, extended(lab)) as at_desk:
        yield await make_call(at_desk, request.param)


async def test_a_recording_follows_the_customer_through_consult_swap_and_transfer(call: Call) -> None:
    file = await call.interaction.start_recording()
    assert call.interaction.recording is ON
    await for_a_while(call)
    await call.consult()
    await for_a_while(call, {call.target: {"1001"}, call.customer: {"MOH"}})
    await call.interaction.alternate()
    await for_a_while(call, {call.agent: {"2001"}, call.customer: {"1001"}, call.target: {"MOH"}})
    await call.interaction.alternate()
    await for_a_while(call, {call.target: {"1001"}, call.customer: {"MOH"}})
    assert call.interaction.recording is ON
    await call.interaction.consult_transfer()
    await for_a_while(call, {call.target: {"2001"}, call.customer: {"1002"}})
    await finish(call)
    with_agent, with_target = {"2001", "1001"}, {"2001", "1002"}
    steps = heard_in(call.desk.lab.recording(file))
    # What the customer says to the music is heard in it, as Asterisk itself holds the call.
    assert [step - {"2001"} if "MOH" in step else step for step in steps] == [
        *(with_agent, {"MOH"}, with_agent, {"MOH"}, with_target)
    ]


async def test_a_recording_is_paused_in_a_conference_and_stopped(call: Call) -> None:
    one, all_three = call.interaction, {"1001", "1002", "2001"}
    file = await one.start_recording()
    await for_a_while(call)
    await one.pause_recording()
    await call.consult()
    await one.consult_conference()
    heard = {call.agent: all_three - {"1001"}, call.customer: all_three - {"2001"}}
    await for_a_while(call, heard)
    await one.resume_recording()
    await for_a_while(call, heard)
    await one.stop_recording()
    assert one.recording is OFF
    await call.target.calls[0].hangup()
    await finish(call)
    both = {"1001", "2001"}
    assert heard_in(call.desk.lab.recording(file)) == [both, set(), all_three]


async def test_a_muted_agent_is_not_heard_wherever_the_call_goes(call: Call) -> None:
    one = call.interaction
    await one.mute()
    await expect_hears({call.agent: {"2001"}, call.customer: set()})
    consult = await one.consult("1002")
    await (await call.target.next_call(WAIT)).answer()
    await consult.wait_state(TALKING)
    await expect_hears({call.agent: {"1002"}, call.target: set(), call.customer: {"MOH"}})
    await one.alternate()
    assert (call.primary.state, consult.state, one.muted) == (TALKING, HELD, True)
    await expect_hears({call.agent: {"2001"}, call.target: {"MOH"}, call.customer: set()})
    await one.consult_conference()
    await expect_hears({call.agent: {"1002", "2001"}, call.target: {"2001"}, call.customer: {"1002"}})
    await one.unmute()
    await all_three_talk(call)
    await call.target.calls[0].hangup()
    await agent_and_customer_talk(call)
    await finish(call)
