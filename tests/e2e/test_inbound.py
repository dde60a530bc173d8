"""Calls that come through a queue: what the bridge hears, and who hears whom."""

import pytest
from desk import WAIT, Desk, cause_of

from connector.bridge.catalogue.conversation import Cause, ConversationState, MemberType
from connector.bridge.catalogue.interaction import InteractionState
from connector.lab.phones.hearing import expect_hears

TALKING, RELEASED = ConversationState.TALKING, ConversationState.RELEASED
ENDED = InteractionState.ENDED


async def test_a_queue_call_from_offer_to_completion(at_desk: Desk) -> None:
    agent, customer = await at_desk.phones.phone("1001"), await at_desk.phones.phone("2001")
    session = await at_desk.login("1001")
    call = await customer.dial("7000")
    interaction = await session.channel.next_interaction()
    assert interaction.state is InteractionState.ALERTING
    assert interaction.data["ANI"] == "2001"
    assert interaction.data["DNIS"] == "7000"
    assert interaction.data["QUEUE"] == "support"
    assert interaction.data["DIRECTION"] == "INBOUND"
    assert interaction.data["SKILL"] == "support"
    assert interaction.data["LANGUAGE"] == "en"
    assert interaction.data["WAIT_TIME"].isdigit()
    (member,) = interaction.primary.members
    assert (member.address, member.type) == ("2001", MemberType.CUSTOMER)

    ringing = await agent.next_call(WAIT)
    await ringing.answer()
    await interaction.primary.wait_state(TALKING)
    await interaction.wait_state(InteractionState.STARTED)
    await expect_hears({agent: {"2001"}, customer: {"1001"}})

    await call.hangup()
    await interaction.primary.wait_disposed()
    await interaction.wait_state(ENDED)
    assert interaction.primary.cause is Cause.NORMAL
    await interaction.complete()
    assert interaction.state is InteractionState.COMPLETED
    await interaction.dispose()
    await session.close()


@pytest.mark.parametrize("who", ["the agent's phone", "the bridge"])
async def test_the_agent_ends_the_call(at_desk: Desk, who: str) -> None:
    agent, customer = await at_desk.phones.phone("1001"), await at_desk.phones.phone("2001")
    session = await at_desk.login("1001")
    agent.answer_mode = "auto"
    call = await customer.dial("7000")
    interaction = await session.channel.next_interaction()
    await interaction.primary.wait_state(TALKING)
    await expect_hears({agent: {"2001"}, customer: {"1001"}})
    if who == "the bridge":
        await interaction.primary.release()
    else:
        await agent.calls[0].hangup()
    await interaction.wait_state(ENDED)
    assert interaction.primary.cause is Cause.NORMAL
    await call.wait_state("ended", WAIT)
    await interaction.complete()
    await session.close()


async def test_a_caller_who_gives_up_is_reported_as_abandoned(at_desk: Desk) -> None:
    await at_desk.phones.phone("1001")
    customer = await at_desk.phones.phone("2001")
    session = await at_desk.login("1001")
    call = await customer.dial("7000")
    interaction = await session.channel.next_interaction()
    await call.hangup()
    await interaction.wait_state(ENDED)
    assert cause_of(interaction) is Cause.ABANDONED
    await interaction.complete()
    await session.close()


async def test_a_phone_that_declines_ends_the_offer_as_rejected(at_desk: Desk) -> None:
    agent, customer = await at_desk.phones.phone("1001"), await at_desk.phones.phone("2001")
    session = await at_desk.login("1001")
    call = await customer.dial("7000")
    interaction = await session.channel.next_interaction()
    ringing = await agent.next_call(WAIT)
    await session.channel.not_ready("lunch")
    await ringing.reject(486)
    await interaction.wait_state(ENDED)
    assert cause_of(interaction) is Cause.REJECTED
    await call.hangup()
    await session.close()


async def test_reject_by_request_declines_and_keeps_the_next_offer_away(at_desk: Desk) -> None:
    agent, customer = await at_desk.phones.phone("1001"), await at_desk.phones.phone("2001")
    session = await at_desk.login("1001")
    call = await customer.dial("7000")
    interaction = await session.channel.next_interaction()
    ringing = await agent.next_call(WAIT)
    await interaction.reject()
    await interaction.wait_state(ENDED)
    assert cause_of(interaction) is Cause.REJECTED
    await ringing.wait_state("ended", WAIT)
    assert session.channel.agent_state == "NOT_READY"
    await expect_hears({customer: {"MOH"}})
    await call.hangup()
    await session.close()


@pytest.mark.parametrize("by", ["request", "phone"])
async def test_a_call_to_the_agents_own_number_is_declined_and_the_agent_stays_ready(
    at_desk: Desk, by: str
) -> None:
    agent, customer = await at_desk.phones.phone("1001"), await at_desk.phones.phone("2001")
    session = await at_desk.login("1001")
    call = await customer.dial("1001")
    interaction = await session.channel.next_interaction()
    ringing = await agent.next_call(WAIT)
    await (interaction.reject() if by == "request" else ringing.reject())
    await interaction.wait_state(ENDED)
    assert cause_of(interaction) is Cause.REJECTED
    await call.wait_state("ended", WAIT)
    assert session.channel.agent_state == "READY"
    await interaction.complete()
    # The next call of the queue comes.
    await customer.dial("7000")
    following = await session.channel.next_interaction()
    await (await agent.next_call(WAIT)).answer()
    await following.primary.wait_state(TALKING)
    await expect_hears({agent: {"2001"}, customer: {"1001"}})
    await customer.calls[0].hangup()
    await following.wait_state(ENDED)
    await session.close()


async def test_an_agent_who_is_not_ready_gets_no_call(at_desk: Desk) -> None:
    first, second = await at_desk.phones.phone("1001"), await at_desk.phones.phone("1002")
    customer = await at_desk.phones.phone("2001")
    resting, working = await at_desk.login("1001"), await at_desk.login("1002")
    await resting.channel.not_ready("lunch")
    assert resting.channel.reason == "lunch"
    second.answer_mode = "auto"
    call = await customer.dial("7000")
    interaction = await working.channel.next_interaction()
    await interaction.primary.wait_state(TALKING)
    await expect_hears({second: {"2001"}, customer: {"1002"}})
    assert first.calls == ()
    assert resting.channel.interactions == []
    await call.hangup()
    await interaction.wait_state(ENDED)
    await resting.close()
    await working.close()


async def test_answering_a_phone_that_cannot_be_answered_says_so(at_desk: Desk) -> None:
    agent, customer = await at_desk.phones.phone("1001"), await at_desk.phones.phone("2001")
    session = await at_desk.login("1001")
    call = await customer.dial("7000")
    interaction = await session.channel.next_interaction()
    reply = await at_desk.bridge.request(interaction.primary.target, "conversation.request.answer", {})
    assert reply.error_message == "This phone cannot be answered from the desktop: please lift the handset."
    assert interaction.state is InteractionState.ALERTING
    await (await agent.next_call(WAIT)).answer()
    await interaction.primary.wait_state(TALKING)
    await call.hangup()
    await interaction.wait_state(ENDED)
    await session.close()
