"""Agents whose phone is a number: 2009, a phone that the connector knows nothing of, stands for a mobile."""

import asyncio
from typing import Any

import pytest
from desk import WAIT, Desk, cause_of

from connector.bridge.catalogue.channel import AgentState
from connector.bridge.catalogue.conversation import Cause, ConversationState
from connector.bridge.catalogue.interaction import InteractionState
from connector.bridge.messages import session as session_wire
from connector.lab.phones import tones
from connector.lab.phones.base import Phone
from connector.lab.phones.hearing import expect_hears
from connector.processor.problems import BridgeRequestFailed

TALKING, HELD, RELEASED = ConversationState.TALKING, ConversationState.HELD, ConversationState.RELEASED
STARTED, ENDED = InteractionState.STARTED, InteractionState.ENDED
NUMBER = "2009"


async def login(at: Desk, *, mode: str, number: str = NUMBER) -> Any:
    """Log agent 1001 in at a number, not ready."""
    wanted = session_wire.GroupExtensions(mobileagent_mode=mode, mobileagent_dialnumber=number)
    return await at.bridge.login("1001", at.info.agents["1001"].password, extensions=wanted)


async def offered(at: Desk, session: Any, mobile: Phone, customer: Phone) -> tuple[Any, Any]:
    """Have a customer call the queue and the mobile answer it. Returns interaction and customer's call."""
    call = await customer.dial("7000")
    interaction = await session.channel.next_interaction()
    assert interaction.state is InteractionState.ALERTING
    assert interaction.data["ANI"] == "2001"
    await (await mobile.next_call(WAIT)).answer()
    await interaction.primary.wait_state(TALKING)
    await interaction.wait_state(STARTED)
    await expect_hears({mobile: {"2001"}, customer: {NUMBER}})
    return interaction, call


async def hears_the_beep(phone: Phone) -> None:
    """Wait for the beep. The ear keeps two seconds, so it may be over when this looks."""
    ago = [step / 10 for step in range(17)]
    async with asyncio.timeout(WAIT):
        while not any(tones.BEEP in call.ear.heard(one) for call in phone.calls for one in ago):
            await phone.pulse.wait()


async def test_a_mobile_agent_takes_a_call_holds_and_ends_it(at_desk: Desk) -> None:
    mobile, customer = await at_desk.phones.phone(NUMBER), await at_desk.phones.phone("2001")
    session = await login(at_desk, mode="1")
    await session.channel.activate()
    await session.channel.ready()
    interaction, call = await offered(at_desk, session, mobile, customer)
    await interaction.primary.hold()
    await expect_hears({mobile: set(), customer: {"MOH"}})
    # A waiting caller is not offered to an agent on a call.
    waiting = await at_desk.phones.phone("2002")
    second = await waiting.dial("7000")
    await expect_hears({waiting: {"MOH"}})
    await interaction.primary.retrieve()
    await expect_hears({mobile: {"2001"}, customer: {NUMBER}})
    assert len(mobile.calls) == 1
    await second.hangup()
    await second.wait_state("ended", WAIT)
    await interaction.primary.release()
    await interaction.wait_state(ENDED)
    await call.wait_state("ended", WAIT)
    await interaction.complete()
    await session.close()


async def test_a_mobile_agent_consults_and_transfers(at_desk: Desk) -> None:
    mobile, customer = await at_desk.phones.phone(NUMBER), await at_desk.phones.phone("2001")
    target = await at_desk.phones.phone("2002")
    session = await login(at_desk, mode="1")
    await session.channel.activate()
    await session.channel.ready()
    interaction, call = await offered(at_desk, session, mobile, customer)
    consult = await interaction.consult("2002")
    await (await target.next_call(WAIT)).answer()
    await consult.wait_state(TALKING)
    await expect_hears({mobile: {"2002"}, target: {NUMBER}, customer: {"MOH"}})
    await interaction.alternate()
    await expect_hears({mobile: {"2001"}, target: {"MOH"}, customer: {NUMBER}})
    (own,) = mobile.calls
    await interaction.consult_transfer()
    await interaction.wait_state(ENDED)
    assert cause_of(interaction) is Cause.TRANSFERRED
    await expect_hears({target: {"2001"}, customer: {"2002"}})
    await own.wait_state("ended", WAIT)
    await call.hangup()
    await interaction.complete()
    await session.close()


async def test_a_mobile_agent_dials(at_desk: Desk) -> None:
    mobile, customer = await at_desk.phones.phone(NUMBER), await at_desk.phones.phone("2001")
    session = await login(at_desk, mode="1")
    await session.channel.activate()
    mobile.answer_mode = "auto"
    interaction = await session.channel.dial("2001")
    await (await customer.next_call(WAIT)).answer()
    await interaction.primary.wait_state(TALKING)
    await expect_hears({mobile: {"2001"}, customer: {NUMBER}})
    await mobile.calls[0].hangup()
    await interaction.wait_state(ENDED)
    await interaction.complete()
    await session.close()


@pytest.mark.parametrize(
    ("mode", "number", "problem"),
    [
        ("1", "", "mobileagent-dialnumber is empty"),
        ("1", "2009&2008", "cannot be dialled"),
        ("2", "555", "The number 555 does not exist."),
        ("3", NUMBER, "must be 1 (call by call) or 2 (nailed-up)"),
    ],
)
async def test_a_number_that_cannot_be_is_refused(
    at_desk: Desk, mode: str, number: str, problem: str
) -> None:
    with pytest.raises(BridgeRequestFailed) as refused:
        await login(at_desk, mode=mode, number=number)
    assert problem in str(refused.value)


async def test_nailed_up_takes_two_calls_on_one_standing_call(at_desk: Desk) -> None:
    mobile, customer = await at_desk.phones.phone(NUMBER), await at_desk.phones.phone("2001")
    mobile.answer_mode = "auto"
    session = await login(at_desk, mode="2")
    await session.channel.activate()
    (standing,) = mobile.calls
    await session.channel.ready()
    for _ in range(2):
        call = await customer.dial("7000")
        interaction = await session.channel.next_interaction()
        await hears_the_beep(mobile)
        await interaction.primary.wait_state(TALKING)
        await expect_hears({mobile: {"2001"}, customer: {NUMBER}})
        await interaction.primary.hold()
        await expect_hears({mobile: set(), customer: {"MOH"}})
        await interaction.primary.retrieve()
        await expect_hears({mobile: {"2001"}, customer: {NUMBER}})
        await call.hangup()
        await interaction.wait_state(ENDED)
        assert mobile.calls == (standing,)
        await interaction.complete()
    await session.close()
    await standing.wait_state("ended", WAIT)


async def test_nailed_up_without_its_standing_call_is_not_ready_and_is_called_again(at_desk: Desk) -> None:
    mobile, customer = await at_desk.phones.phone(NUMBER), await at_desk.phones.phone("2001")
    mobile.answer_mode = "auto"
    session = await login(at_desk, mode="2")
    await session.channel.activate()
    await session.channel.ready()
    call = await customer.dial("7000")
    interaction = await session.channel.next_interaction()
    await interaction.primary.wait_state(TALKING)
    # The agent's own hang-up ends the caller's call, too.
    await mobile.calls[0].hangup()
    await interaction.wait_state(ENDED)
    await call.wait_state("ended", WAIT)
    await session.channel.wait_state(agent_state=AgentState.NOT_READY)
    await interaction.complete()
    await session.channel.ready()
    assert len(mobile.calls) == 1
    await session.close()


async def test_nailed_up_needs_an_answer_to_log_in(at_desk: Desk) -> None:
    mobile = await at_desk.phones.phone(NUMBER)
    session = await login(at_desk, mode="2")
    logging_in = asyncio.create_task(session.channel.activate())
    await (await mobile.next_call(WAIT)).reject(486)
    with pytest.raises(BridgeRequestFailed, match="did not answer"):
        await logging_in
    assert session.channel.state == "INACTIVE"
    await session.close()
