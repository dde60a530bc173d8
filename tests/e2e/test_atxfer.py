"""The strategy `consult: atxfer`: by Asterisk's own attended transfer, with our dialplan taken away.

Calls by queue, by dial, by hand and to the extension, proven by ear. Who hangs up when: see
`test_atxfer_hangup.py`; what it refuses: `test_atxfer_limits.py`.
"""

from contextlib import suppress

import pytest
from atxfer_desk import agent_and_customer_talk, ring
from calls import ENDED, HELD, ORIGINS, RELEASED, TALKING, Call, make_call
from desk import WAIT, Desk, cause_of

from connector.bridge.catalogue.conversation import Cause
from connector.lab.phones.hearing import expect_hears
from connector.processor.handles import Interaction
from connector.processor.problems import BridgeRequestFailed, StateUnreachable

pytestmark = pytest.mark.atxfer


@pytest.fixture(params=ORIGINS)
async def call(at_desk: Desk, request: pytest.FixtureRequest) -> Call:
    return await make_call(at_desk, request.param)


async def test_consult_swap_and_back(call: Call) -> None:
    consult = await call.consult()
    for _ in range(5):
        await call.interaction.alternate()
        assert (call.primary.state, consult.state) == (TALKING, HELD)
        await expect_hears({call.agent: {"2001"}, call.customer: {"1001"}, call.target: {"MOH"}})
        await call.interaction.alternate()
        assert (call.primary.state, consult.state) == (HELD, TALKING)
        await expect_hears({call.agent: {"1002"}, call.customer: {"MOH"}, call.target: {"1001"}})
    await consult.release()
    await agent_and_customer_talk(call)
    await call.primary.release()
    await call.customers_call.wait_state("ended", WAIT)
    await call.over()


async def test_one_consult_after_the_other_and_tones_between(queue_call: Call) -> None:
    """Asterisk beeps after a consult and is deaf meanwhile: nothing that is asked then may be lost."""
    call = queue_call
    for times in range(1, 4):
        await (await call.consult()).release()
        await call.primary.send_dtmf("47")
        await call.customers_call.wait_dtmf("47" * times, WAIT)
        consult, targets_call = await ring(call)
        await targets_call.reject()
        await consult.wait_state(RELEASED)
        await call.primary.wait_state(TALKING)
    await call.primary.release()
    await call.over()


async def test_consult_transfer(call: Call) -> None:
    agents_call = call.agent.calls[0]
    await call.consult()
    await call.interaction.consult_transfer()
    await expect_hears({call.customer: {"1002"}, call.target: {"2001"}, call.agent: set()})
    await call.interaction.wait_state(ENDED)
    assert cause_of(call.interaction) is Cause.TRANSFERRED
    await agents_call.wait_state("ended", WAIT)
    await call.over()
    await call.customers_call.hangup()


async def test_transfer_while_the_target_rings(call: Call) -> None:
    agents_call = call.agent.calls[0]
    _consult, targets_call = await ring(call)
    await call.interaction.consult_transfer()
    await agents_call.wait_state("ended", WAIT)
    await expect_hears({call.customer: {"RINGBACK"}})
    await targets_call.answer()
    await expect_hears({call.customer: {"1002"}, call.target: {"2001"}})
    await call.interaction.wait_state(ENDED)
    assert cause_of(call.interaction) is Cause.TRANSFERRED
    await call.over()
    await call.customers_call.hangup()


async def test_cancelled_while_it_rings(call: Call) -> None:
    consult, targets_call = await ring(call)
    await consult.release()
    assert consult.cause is Cause.CANCELLED
    await targets_call.wait_state("ended", WAIT)
    await agent_and_customer_talk(call)
    await call.customers_call.hangup()
    await call.over()


async def test_conference_that_the_agent_leaves(call: Call) -> None:
    consult = await call.consult()
    await call.interaction.consult_conference()
    assert (call.primary.state, consult.state, consult.cause) == (TALKING, RELEASED, Cause.CONFERENCED)
    await expect_hears(
        {call.agent: {"2001", "1002"}, call.customer: {"1001", "1002"}, call.target: {"1001", "2001"}}
    )
    await call.primary.release()
    await expect_hears({call.customer: {"1002"}, call.target: {"2001"}})
    await call.over()
    await call.customers_call.hangup()


async def test_transfer_while_the_agent_is_back_with_the_customer(queue_call: Call) -> None:
    call = queue_call
    await call.consult()
    await call.interaction.alternate()
    await call.interaction.consult_transfer()
    await expect_hears({call.customer: {"1002"}, call.target: {"2001"}, call.agent: set()})
    await call.over()
    await call.customers_call.hangup()


async def test_conference_while_the_agent_is_back_with_the_customer(queue_call: Call) -> None:
    call = queue_call
    await call.consult()
    await call.interaction.alternate()
    await call.interaction.consult_conference()
    await expect_hears(
        {call.agent: {"2001", "1002"}, call.customer: {"1001", "1002"}, call.target: {"1001", "2001"}}
    )
    await call.customers_call.hangup()
    await expect_hears({call.agent: {"1002"}, call.target: {"1001"}})
    await call.primary.release()
    await call.over()


async def test_a_member_leaves_the_conference(call: Call) -> None:
    await call.consult()
    await call.interaction.consult_conference()
    await expect_hears({call.agent: {"2001", "1002"}})
    await call.target.calls[0].hangup()
    await agent_and_customer_talk(call)
    # From what is left one can consult again.
    consult = await call.consult()
    await consult.release()
    await agent_and_customer_talk(call)
    await call.primary.release()
    await call.over()


async def test_blind_transfer(call: Call) -> None:
    await call.primary.blind_transfer("1002")
    await (await call.target.next_call(WAIT)).answer()
    await expect_hears({call.customer: {"1002"}, call.target: {"2001"}, call.agent: set()})
    await call.interaction.wait_state(ENDED)
    assert cause_of(call.interaction) is Cause.TRANSFERRED
    await call.over()
    await call.customers_call.hangup()


async def test_the_first_call_can_be_released_alone(call: Call) -> None:
    consult = await call.consult()
    await call.interaction.alternate()
    await call.primary.release()
    await call.customers_call.wait_state("ended", WAIT)
    await consult.wait_state(TALKING)
    await expect_hears({call.agent: {"1002"}, call.target: {"1001"}})
    await consult.release()
    await call.over()


# -- targets that are not reached ---------------------------------------------------------------------


async def test_a_target_without_a_phone(call: Call) -> None:
    """Asterisk may give up before it has told of the call at all, or tell of it and how it ended."""
    try:
        consult = await call.interaction.consult("1003")
    except BridgeRequestFailed as refusal:
        assert "The number 1003 could not be reached" in str(refusal)  # noqa: PT017 - either is right
    else:
        await consult.wait_state(RELEASED)
        assert consult.cause is Cause.UNREACHABLE
    await agent_and_customer_talk(call)
    await call.primary.release()
    await call.over()


async def test_a_menu_is_consulted(queue_call: Call) -> None:
    call = queue_call
    consult = await call.interaction.consult("9000")
    await consult.wait_state(TALKING)
    await expect_hears({call.agent: {"1001"}, call.customer: {"MOH"}})
    await call.interaction.alternate()
    assert (call.primary.state, consult.state) == (TALKING, HELD)
    await agent_and_customer_talk(call)
    await consult.release()
    await agent_and_customer_talk(call)
    await call.primary.release()
    await call.over()


async def test_a_busy_tone_is_left_by_retrieving(queue_call: Call) -> None:
    call = queue_call
    consult = await call.interaction.consult("9001")
    await consult.wait_state(RELEASED)
    assert (consult.cause, call.primary.state) == (Cause.BUSY, HELD)
    with pytest.raises(BridgeRequestFailed, match="this one is HELD"):
        await call.interaction.consult("1002")
    await call.primary.retrieve()
    await agent_and_customer_talk(call)
    await call.primary.release()
    await call.over()


async def test_a_call_is_released_at_a_busy_tone(call: Call) -> None:
    """The agent's hang-up would hand the customer on to the tone."""
    agents_call = call.agent.calls[0]
    consult = await call.interaction.consult("9001")
    await consult.wait_state(RELEASED)
    await call.primary.release()
    await agents_call.wait_state("ended", WAIT)
    await call.customers_call.wait_state("ended", WAIT)
    await call.over()
    assert cause_of(call.interaction) is Cause.NORMAL


async def test_nobody_answers(queue_call: Call) -> None:
    call = queue_call
    consult, _targets_call = await ring(call)
    await consult.wait_state(RELEASED, timeout=25)
    # Asterisk gives up after its own atxfernoanswertimeout, and tells no more than that it did.
    assert consult.cause is Cause.CANCELLED
    await agent_and_customer_talk(call)
    await call.primary.release()
    await call.over()


async def test_a_transfer_that_nobody_takes_comes_back_to_the_agent(queue_call: Call) -> None:
    call = queue_call
    _consult, targets_call = await ring(call)
    await call.interaction.consult_transfer()
    await call.interaction.wait_state(ENDED)
    await call.interaction.complete()
    await targets_call.reject()
    again = await call.session.channel.next_interaction()
    await again.primary.wait_state(TALKING)
    await expect_hears({call.agent: {"2001"}, call.customer: {"1001"}})
    await again.primary.release()
    await again.wait_state(ENDED)
    await again.complete()
    await call.session.close()


async def _the_call_that_comes_back(call: Call) -> Interaction:
    """Wait until the agent's phone has taken Asterisk's call.

    Asterisk calls the number once more, and then rings the agent; if the phone declines that at once, as it
    does now and then, all of it comes again after `atxferloopdelay`.
    """
    while True:
        again = await call.session.channel.next_interaction(timeout=60)
        with suppress(LookupError, StateUnreachable):
            await again.primary.wait_state(TALKING)
            return again
        await again.wait_state(ENDED)
        await again.complete()


async def test_who_hangs_up_at_a_busy_tone_gets_the_customer_back(queue_call: Call) -> None:
    """As Asterisk has it that is a transfer, which nobody can take."""
    call = queue_call
    consult = await call.interaction.consult("9001")
    await consult.wait_state(RELEASED)
    await call.agent.calls[0].hangup()
    await call.interaction.wait_state(ENDED)
    await call.interaction.complete()
    again = await _the_call_that_comes_back(call)
    await expect_hears({call.agent: {"2001"}, call.customer: {"1001"}})
    await again.primary.release()
    await again.wait_state(ENDED)
    await again.complete()
    await call.session.close()


async def test_whom_the_customer_left_the_agent_with_is_sent_to_a_number(call: Call) -> None:
    consult = await call.consult()
    await call.customers_call.hangup()
    await call.primary.wait_state(RELEASED)
    outsider = await call.desk.phones.phone("2002")
    await consult.blind_transfer("2002")
    await (await outsider.next_call(WAIT)).answer()
    await expect_hears({outsider: {"1002"}, call.target: {"2002"}, call.agent: set()})
    await call.interaction.wait_state(ENDED)
    assert consult.cause is Cause.TRANSFERRED
    await outsider.calls[0].hangup()
    await call.over()


# -- dialling without the include ---------------------------------------------------------------------


@pytest.mark.parametrize(("number", "cause"), [("9001", Cause.BUSY), ("1003", Cause.UNREACHABLE)])
async def test_dial_tells_why_nobody_was_reached(at_desk: Desk, number: str, cause: Cause) -> None:
    await at_desk.agent_phone()
    session = await at_desk.login()
    interaction = await session.channel.dial(number)
    await interaction.wait_state(ENDED)
    assert cause_of(interaction) is cause
    await interaction.complete()
    await session.close()


async def test_dial_shows_the_agent_to_the_customer_and_the_number_to_the_agent(at_desk: Desk) -> None:
    call = await make_call(at_desk, "dial")
    assert call.customers_call.remote_number == "1001"
    assert call.agent.calls[0].remote_number == "2001"
    await call.primary.release()
    await call.over()


async def test_dial_of_an_unknown_number_is_refused(at_desk: Desk) -> None:
    await at_desk.agent_phone()
    session = await at_desk.login()
    with pytest.raises(BridgeRequestFailed, match="The number 4711 does not exist"):
        await session.channel.dial("4711")
    await session.close()


async def test_dial_talks_to_a_menu(at_desk: Desk) -> None:
    agent = await at_desk.agent_phone()
    session = await at_desk.login()
    interaction = await session.channel.dial("9000")
    await interaction.primary.wait_state(TALKING)
    await expect_hears({agent: {"1001"}})
    await interaction.primary.release()
    await interaction.wait_state(ENDED)
    await interaction.complete()
    await session.close()


async def test_there_is_no_consult_about_a_menu(at_desk: Desk) -> None:
    agent = await at_desk.agent_phone()
    session = await at_desk.login()
    interaction = await session.channel.dial("9000")
    await interaction.primary.wait_state(TALKING)
    with pytest.raises(BridgeRequestFailed, match="This call has no other party that could be moved"):
        await interaction.consult("1002")
    await expect_hears({agent: {"1001"}})
    await interaction.primary.release()
    await interaction.wait_state(ENDED)
    await interaction.complete()
    await session.close()
