"""A caller whom nobody talks to any more is not lost: failed transfers, dead phones, endless holds."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from calls import ENDED, HELD, RELEASED, TALKING, Call, Origin, make_call
from desk import WAIT, Desk, deep_merge, desk, seen

from connector.bridge.catalogue.conversation import Cause
from connector.bridge.catalogue.interaction import InteractionState
from connector.bridge.messages import Kind
from connector.lab.phones.base import CallState
from connector.lab.phones.hearing import expect_hears
from connector.lab.provider import LabInfo, LabProvider
from connector.processor.handles import Interaction

QUEUE = {
    "handling": {"fallback_queue": "sales"},
    "agents": {"1001": {"queues": ["support"]}, "1002": {"queues": ["sales"]}},
}
QUEUE_ONLY = deep_merge(QUEUE, {"handling": {"failed_transfer": ["queue"]}})


async def talk(at: Desk, origin: Origin = "queue") -> Call:
    """Have the agent and the customer talk; the agent's phone rings from now on until it is answered."""
    call = await make_call(at, origin)
    call.agent.answer_mode = "manual"
    return call


async def back(call: Call) -> Interaction:
    """Take the interaction as which the caller comes back, not yet answered."""
    returned = await call.session.channel.next_interaction()
    assert returned.nativeid != call.interaction.nativeid
    assert returned.state is InteractionState.ALERTING
    return returned


async def taken_by_a_colleague(at: Desk, call: Call) -> dict[str, Any]:
    """Let agent 1002 log in, get the waiting customer, and finish; returns the interaction data."""
    call.target.answer_mode = "auto"
    colleague = await at.login("1002")
    received = await colleague.channel.next_interaction()
    await expect_hears({call.target: {"2001"}, call.customer: {"1002"}})
    await call.customers_call.hangup()
    await received.wait_state(ENDED)
    await received.complete()
    await colleague.close()
    return received.data


async def phone_may_transfer(at: Desk) -> None:
    """Wait until the connector has told the PBX what becomes of a transfer by the phone's own key."""
    await asyncio.gather(*at.connector.pbx._phone_side._chores)


def lab_with(over: Mapping[str, Any]) -> Mapping[str, Any]:
    return deep_merge({"dial": {"timeout": 2}}, over)


@pytest.mark.parametrize("origin", ["queue", "dial"])
async def test_a_transfer_to_somebody_busy_rings_the_agent_again(at_desk: Desk, origin: Origin) -> None:
    call = await talk(at_desk, origin)
    agent, customer = call.agent, call.customer
    call.target.answer_mode = 486
    first = agent.calls[0]
    await call.primary.blind_transfer("1002")
    await call.interaction.wait_state(ENDED)
    await first.wait_state(CallState.ENDED, WAIT)
    returned = await back(call)
    assert (returned.data["RETURNED_FROM"], returned.data["RETURNED_BECAUSE"]) == ("1002", "BUSY")
    await expect_hears({customer: {"MOH"}})
    await (await agent.next_call(WAIT)).answer()
    await returned.primary.wait_state(TALKING)
    await expect_hears({agent: {"2001"}, customer: {"1001"}})
    # Everything works on it as on any call.
    await returned.primary.hold()
    await expect_hears({agent: set(), customer: {"MOH"}})
    await returned.primary.retrieve()
    await expect_hears({agent: {"2001"}, customer: {"1001"}})
    await call.customers_call.hangup()
    await call.over(returned)


@pytest.mark.parametrize(
    ("number", "because"), [("1002", "BUSY"), ("2009", "CHANUNAVAIL"), ("8888", "CHANUNAVAIL")]
)
async def test_a_failed_transfer_by_the_phones_own_key_rings_the_agent_again(
    at_desk: Desk, number: str, because: str
) -> None:
    call = await talk(at_desk)
    agent, customer = call.agent, call.customer
    call.target.answer_mode = 486
    first = agent.calls[0]
    await phone_may_transfer(at_desk)
    await first.transfer(number)
    await call.interaction.wait_state(ENDED)
    assert call.primary.cause is Cause.TRANSFERRED
    await first.wait_state(CallState.ENDED, WAIT)
    returned = await back(call)
    assert (returned.data["RETURNED_FROM"], returned.data["RETURNED_BECAUSE"]) == (number, because)
    await expect_hears({customer: {"MOH"}})
    await (await agent.next_call(WAIT)).answer()
    await returned.primary.wait_state(TALKING)
    await expect_hears({agent: {"2001"}, customer: {"1001"}})
    await call.customers_call.hangup()
    await call.over(returned)


async def test_a_transfer_that_nobody_answers_rings_the_agent_again(
    provider: LabProvider, lab: LabInfo, tmp_path: Path
) -> None:
    async with desk(provider, lab, tmp_path, lab_with({})) as at:
        call = await talk(at)
        agent, customer = call.agent, call.customer
        await call.primary.blind_transfer("1002")
        returned = await back(call)
        assert returned.data["RETURNED_BECAUSE"] == "NOANSWER"
        await (await agent.next_call(WAIT)).answer()
        await expect_hears({agent: {"2001"}, customer: {"1001"}})
        await call.customers_call.hangup()
        await call.over(returned)


async def test_a_completed_transfer_that_failed_before_leaves_no_trace_of_it(at_desk: Desk) -> None:
    call = await talk(at_desk)
    agent, customer = call.agent, call.customer
    call.target.answer_mode = 486
    await call.primary.blind_transfer("1002")
    returned = await back(call)
    await (await agent.next_call(WAIT)).answer()
    await returned.primary.wait_state(TALKING)
    call.target.answer_mode = "auto"
    colleague = await at_desk.login("1002", ready=False)
    await returned.primary.blind_transfer("1002")
    received = await colleague.channel.next_interaction()
    await received.primary.wait_state(TALKING)
    assert not {"RETURNED_FROM", "RETURNED_BECAUSE"} & received.data.keys()
    await expect_hears({call.target: {"2001"}, customer: {"1002"}})
    await call.customers_call.hangup()
    await received.wait_state(ENDED)
    await colleague.close()
    await call.over(returned)


async def test_a_transfer_to_a_phone_that_is_not_there_goes_to_the_queue_if_the_site_says_so(
    provider: LabProvider, lab: LabInfo, tmp_path: Path
) -> None:
    async with desk(provider, lab, tmp_path, QUEUE_ONLY) as at:
        call = await talk(at)
        # 1003 is a number of the lab at which no phone is registered.
        await call.primary.blind_transfer("1003")
        await call.interaction.wait_state(ENDED)
        await expect_hears({call.customer: {"MOH"}})
        data = await taken_by_a_colleague(at, call)
        assert data["QUEUE"] == "sales"
        await call.over()


async def test_if_the_agent_does_not_take_the_caller_back_the_queue_does(
    provider: LabProvider, lab: LabInfo, tmp_path: Path
) -> None:
    async with desk(provider, lab, tmp_path, QUEUE) as at:
        call = await talk(at)
        call.target.answer_mode = 486
        await call.primary.blind_transfer("1002")
        returned = await back(call)
        await (await call.agent.next_call(WAIT)).reject()
        await returned.wait_state(ENDED)
        await taken_by_a_colleague(at, call)
        await call.over(returned)


async def test_an_agent_who_rejects_the_caller_is_asked_again_while_patience_lasts(at_desk: Desk) -> None:
    call = await talk(at_desk)
    agent, customer = call.agent, call.customer
    call.target.answer_mode = 486
    await call.primary.blind_transfer("1002")
    rejected = await back(call)
    await (await agent.next_call(WAIT)).reject()
    await rejected.wait_state(ENDED)
    returned = await back(call)
    await (await agent.next_call(WAIT)).answer()
    await expect_hears({agent: {"2001"}, customer: {"1001"}})
    await call.customers_call.hangup()
    await call.over(rejected, returned)


async def test_patience_ends(provider: LabProvider, lab: LabInfo, tmp_path: Path) -> None:
    impatient = {
        "handling": {"failed_transfer": ["queue"], "fallback_queue": "sales", "fallback_patience": 5}
    }
    async with desk(provider, lab, tmp_path, impatient) as at:
        call = await talk(at)
        await call.primary.blind_transfer("1003")
        await expect_hears({call.customer: {"MOH"}})
        await call.customers_call.wait_state(CallState.ENDED, WAIT)
        await call.over()


async def test_a_site_without_any_way_ends_the_call(
    provider: LabProvider, lab: LabInfo, tmp_path: Path
) -> None:
    async with desk(provider, lab, tmp_path, {"handling": {"failed_transfer": []}}) as at:
        call = await talk(at)
        await call.primary.blind_transfer("1003")
        await call.customers_call.wait_state(CallState.ENDED, WAIT)
        await call.over()


@pytest.mark.parametrize("origin", ["queue", "dial"])
async def test_a_party_on_hold_whose_agent_is_gone_goes_to_the_queue(
    provider: LabProvider, lab: LabInfo, tmp_path: Path, origin: Origin
) -> None:
    async with desk(provider, lab, tmp_path, QUEUE) as at:
        call = await talk(at, origin)
        await call.primary.hold()
        await call.agent.calls[0].hangup()
        await call.interaction.wait_state(ENDED)
        await taken_by_a_colleague(at, call)
        await call.over()


async def test_a_customer_on_hold_in_the_room_of_somebody_who_left_goes_to_the_queue(
    provider: LabProvider, lab: LabInfo, tmp_path: Path
) -> None:
    """Two outsiders are together in the consult: the customer comes into the room of one of them."""
    async with desk(provider, lab, tmp_path, QUEUE) as at:
        call = await talk(at)
        outsiders = [await at.phones.phone(number) for number in ("2002", "2003")]
        for one in outsiders:
            one.answer_mode = "auto"
        consult = await call.interaction.consult("2002")
        await consult.wait_state(TALKING)
        await consult.blind_conference("2003")
        await consult.wait_members(lambda members: len(members) == 2)
        await call.interaction.consult_conference()
        await expect_hears({call.customer: {"1001", "2002", "2003"}})
        await call.primary.hold()
        for one in outsiders:
            await one.calls[0].hangup()
        await call.primary.wait_members(lambda members: [one.address for one in members] == ["2001"])
        await expect_hears({call.agent: set(), call.customer: {"MOH"}})
        await call.agent.calls[0].hangup()
        await call.interaction.wait_state(ENDED)
        await taken_by_a_colleague(at, call)
        await call.over()


async def test_an_agent_who_hangs_up_a_held_call_is_rung_again_if_the_site_says_so(
    provider: LabProvider, lab: LabInfo, tmp_path: Path
) -> None:
    async with desk(provider, lab, tmp_path, {"handling": {"orphans": ["agent"]}}) as at:
        call = await talk(at)
        agent, customer = call.agent, call.customer
        await call.primary.hold()
        await agent.calls[0].hangup()
        returned = await back(call)
        await (await agent.next_call(WAIT)).answer()
        await expect_hears({agent: {"2001"}, customer: {"1001"}})
        await call.customers_call.hangup()
        await call.over(returned)


async def test_a_hold_is_warned_of_at_half_and_ended_at_its_limit(
    provider: LabProvider, lab: LabInfo, tmp_path: Path
) -> None:
    over = deep_merge(QUEUE, {"handling": {"hold_limit": 2}})
    async with desk(provider, lab, tmp_path, over) as at:
        call = await talk(at)
        agent, customer = call.agent, call.customer
        agents = agent.calls[0]
        await call.primary.hold()
        await expect_hears({agent: set(), customer: {"MOH"}})
        warned = await seen(at, Kind.WARNING, "hold.long")
        assert call.primary.state is HELD
        assert (warned["code"], warned["text"]) == (
            "HOLD_LONG",
            "On hold for 1 s: in 1 s the caller is taken from you.",
        )
        assert (await seen(at, Kind.WARNING, "hold.limit"))["code"] == "HOLD_LIMIT"
        await call.primary.wait_state(RELEASED)
        await agents.wait_state(CallState.ENDED, WAIT)
        await taken_by_a_colleague(at, call)
        await call.over()


async def test_at_the_limit_of_hold_a_consult_goes_on(
    provider: LabProvider, lab: LabInfo, tmp_path: Path
) -> None:
    over = {"handling": {"hold_limit": 3, "orphans": ["queue"], "fallback_queue": "sales"}}
    async with desk(provider, lab, tmp_path, over) as at:
        call = await talk(at)
        agent, customer = call.agent, call.customer
        target = call.target
        consult = await call.interaction.consult("1002")
        await (await target.next_call(WAIT)).answer()
        await consult.wait_state(TALKING)
        await call.primary.wait_state(RELEASED)
        await expect_hears({agent: {"1002"}, target: {"1001"}, customer: {"MOH"}})
        await consult.release()
        await call.interaction.wait_state(ENDED)
        await call.customers_call.hangup()
        await call.over()


async def test_the_dialplan_ends_a_hold_when_the_connector_is_gone(
    provider: LabProvider, lab: LabInfo, tmp_path: Path
) -> None:
    over = deep_merge(QUEUE, {"handling": {"hold_limit": 2}})
    async with desk(provider, lab, tmp_path, over) as at:
        call = await talk(at)
        agent, customer = call.agent, call.customer
        agents = agent.calls[0]
        await call.primary.hold()
        await at.connector.pbx.close()
        await agents.wait_state(CallState.ENDED, WAIT)
        await expect_hears({customer: {"MOH"}})
        assert "sales" in provider.asterisk_cli("core show channels concise")
        await call.customers_call.hangup()
        # Who was logged in stays so: nobody was there to log the agent out.
        provider.asterisk_cli("queue remove member PJSIP/1001 from support")


async def test_the_cause_of_an_orphans_conversation_is_no_transfer(at_desk: Desk) -> None:
    call = await talk(at_desk)
    await call.primary.hold()
    await call.agent.calls[0].hangup()
    await call.primary.wait_state(RELEASED)
    assert call.primary.cause is Cause.NORMAL
    # No queue is configured, so that nobody takes the caller.
    await call.customers_call.wait_state(CallState.ENDED, WAIT)
    await call.over()
