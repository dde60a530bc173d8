"""Calls that the agent places from the desktop: every outcome, with its cause."""

import pytest
from desk import WAIT, Desk, cause_of

from connector.bridge.catalogue.conversation import Cause, ConversationState
from connector.bridge.catalogue.interaction import InteractionState
from connector.lab.phones.hearing import expect_hears

TALKING = ConversationState.TALKING
ENDED = InteractionState.ENDED


@pytest.mark.parametrize("who", ["agent's phone", "customer's phone", "bridge"])
async def test_a_dialled_call_is_answered_heard_and_ended(at_desk: Desk, who: str) -> None:
    agent, customer = await at_desk.agent_phone(), await at_desk.phones.phone("2001")
    session = await at_desk.login("1001", ready=False)
    interaction = await session.channel.dial("2001")
    assert interaction.states == [InteractionState.DIALING]
    assert interaction.primary.states[0] is ConversationState.DIALING
    assert [member.address for member in interaction.primary.members] == ["2001"]
    assert interaction.data["DIRECTION"] == "OUTBOUND"
    ringing = await customer.next_call(WAIT)
    assert ringing.remote_number == "1001"
    await ringing.answer()
    await interaction.primary.wait_state(TALKING)
    await interaction.wait_state(InteractionState.STARTED)
    await expect_hears({agent: {"2001"}, customer: {"1001"}})
    if who == "bridge":
        await interaction.primary.release()
    else:
        await (agent if who == "agent's phone" else customer).calls[0].hangup()
    await interaction.wait_state(ENDED)
    assert interaction.primary.cause is Cause.NORMAL
    await interaction.complete()
    await session.close()


@pytest.mark.parametrize(("code", "cause"), [(486, Cause.BUSY), (603, Cause.REJECTED)])
async def test_the_destination_declines(at_desk: Desk, code: int, cause: Cause) -> None:
    await at_desk.agent_phone()
    customer = await at_desk.phones.phone("2001", "pjsua2")
    customer.answer_mode = code
    session = await at_desk.login("1001", ready=False)
    interaction = await session.channel.dial("2001")
    await interaction.wait_state(ENDED)
    assert cause_of(interaction) is cause
    await interaction.complete()
    await session.close()


@pytest.mark.parametrize(
    ("number", "cause"),
    [
        ("8888", Cause.INVALID_NUMBER),
        ("2009", Cause.UNREACHABLE),
        ("9001", Cause.BUSY),
        ("9002", Cause.FAILED),
    ],
)
async def test_a_number_that_cannot_be_reached(at_desk: Desk, number: str, cause: Cause) -> None:
    await at_desk.agent_phone()
    session = await at_desk.login("1001", ready=False)
    interaction = await session.channel.dial(number)
    await interaction.wait_state(ENDED)
    assert cause_of(interaction) is cause
    await interaction.complete()
    await session.close()


async def test_nobody_answers(at_desk: Desk) -> None:
    await at_desk.agent_phone()
    customer = await at_desk.phones.phone("2001")
    session = await at_desk.login("1001", ready=False)
    interaction = await session.channel.dial("2001")
    ringing = await customer.next_call(WAIT)
    await interaction.wait_state(ENDED, timeout=20)
    assert cause_of(interaction) is Cause.NO_ANSWER
    await ringing.wait_state("ended", WAIT)
    await interaction.complete()
    await session.close()


@pytest.mark.parametrize("who", ["agent's phone", "bridge"])
async def test_the_agent_gives_up_while_it_rings(at_desk: Desk, who: str) -> None:
    agent, customer = await at_desk.agent_phone(), await at_desk.phones.phone("2001")
    session = await at_desk.login("1001", ready=False)
    interaction = await session.channel.dial("2001")
    ringing = await customer.next_call(WAIT)
    if who == "bridge":
        await interaction.primary.release()
    else:
        await agent.calls[0].hangup()
    await interaction.wait_state(ENDED)
    assert cause_of(interaction) is Cause.CANCELLED
    await ringing.wait_state("ended", WAIT)
    await interaction.complete()
    await session.close()


@pytest.mark.parametrize("code", [486, 603])
async def test_the_agents_own_phone_declines(at_desk: Desk, code: int) -> None:
    agent = await at_desk.phones.phone("1001", "pjsua2")
    agent.answer_mode = code
    session = await at_desk.login("1001", ready=False)
    interaction = await session.channel.dial("2001")
    await interaction.wait_state(ENDED)
    assert cause_of(interaction) is Cause.REJECTED
    await interaction.complete()
    await session.close()


async def test_the_agent_does_not_pick_up(at_desk: Desk) -> None:
    await at_desk.phones.phone("1001")
    session = await at_desk.login("1001", ready=False)
    interaction = await session.channel.dial("2001")
    await interaction.wait_state(ENDED, timeout=20)
    assert cause_of(interaction) is Cause.NO_ANSWER
    await interaction.complete()
    await session.close()


async def test_a_call_to_a_program_of_the_pbx_is_a_conversation(at_desk: Desk) -> None:
    agent = await at_desk.agent_phone()
    session = await at_desk.login("1001", ready=False)
    interaction = await session.channel.dial("9000")
    await interaction.primary.wait_state(TALKING)
    await expect_hears({agent: {"1001"}})
    await interaction.primary.release()
    await interaction.wait_state(ENDED)
    await interaction.complete()
    await session.close()


async def test_a_second_call_is_refused_while_one_is_up(at_desk: Desk) -> None:
    await at_desk.agent_phone()
    session = await at_desk.login("1001", ready=False)
    interaction = await session.channel.dial("9000")
    await interaction.primary.wait_state(TALKING)
    reply = await at_desk.bridge.request(
        session.channel.target, "channel.request.dial", {"destination": "2001"}
    )
    assert reply.error_message == "Phone 1001 is on a call already."
    reply = await at_desk.bridge.request(session.target, "session.request.close", {})
    assert reply.error_message == "The session cannot be closed: the agent is on a call."
    await interaction.primary.release()
    await interaction.wait_state(ENDED)
    await session.close()


async def test_a_phone_that_is_not_registered_is_not_called(at_desk: Desk) -> None:
    session = await at_desk.login("1003", ready=False)
    reply = await at_desk.bridge.request(
        session.channel.target, "channel.request.dial", {"destination": "2001"}
    )
    assert reply.error_message == "Phone 1003 is not registered with the telephone system."
    assert session.channel.interactions == []
    await session.close()


@pytest.mark.parametrize(
    "number",
    [
        "2001;tag",
        "2001&2002",
        "2001@from-internal",
        "2001\r\nAction: Logoff",
        "9" * 200,
        "${SHELL(id)}",
        "",
    ],
)
async def test_a_hostile_number_is_refused_and_nothing_else_changes(at_desk: Desk, number: str) -> None:
    await at_desk.agent_phone()
    session = await at_desk.login("1001", ready=False)
    reply = await at_desk.bridge.request(
        session.channel.target, "channel.request.dial", {"destination": number}
    )
    assert reply.error_message is not None
    assert reply.error_message.isprintable()
    assert "number" in reply.error_message
    assert session.channel.interactions == []
    await session.close()
