"""The strategy `consult: atxfer`: by Asterisk's own attended transfer, with our dialplan taken away.

Calls by queue, by dial, by hand and to the extension, proven by ear.
"""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from calls import DIALING, ENDED, HELD, ORIGINS, RELEASED, TALKING, Call, make_call
from desk import WAIT, Desk, cause_of, desk

from connector.asterisk.atxfer import LIMITS
from connector.bridge.catalogue.conversation import Cause
from connector.bridge.catalogue.extensions import CapabilitiesReply
from connector.lab.phones.base import CallState, PhoneCall
from connector.lab.phones.hearing import expect_hears, hears
from connector.lab.provider import LabInfo, LabProvider, tree_folder
from connector.processor.handles import Conversation
from connector.processor.problems import BridgeRequestFailed

OUR_DIALPLAN = (tree_folder("asterisk-conf") / "harmony.conf").read_text("utf-8")
STRATEGY = {"dial": {"consult": "atxfer"}, "extensions": {"enabled": True}}
OUR_CONTEXTS = re.findall(r"^\[(.+)\]", OUR_DIALPLAN, re.MULTILINE)


@pytest.fixture
async def at_desk(provider: LabProvider, lab: LabInfo, tmp_path: Path) -> AsyncIterator[Desk]:
    """Run a connector of that strategy, on a PBX without our include that gives its calls the codes."""
    provider.asterisk_cli("dialplan set global DIAL_OPTIONS tT")
    for context in OUR_CONTEXTS:
        provider.asterisk_cli(f"dialplan remove context {context}")
    assert "harmony" not in provider.asterisk_cli("dialplan show")
    try:
        async with desk(provider, lab, tmp_path, STRATEGY) as found:
            yield found
    finally:
        provider.asterisk_cli("dialplan reload")


@pytest.fixture(params=ORIGINS)
async def call(at_desk: Desk, request: pytest.FixtureRequest) -> Call:
    return await make_call(at_desk, request.param)


async def ring(call: Call) -> tuple[Conversation, PhoneCall]:
    """Consult colleague 1002, who does not answer yet."""
    consult = await call.interaction.consult("1002")
    assert (call.primary.state, consult.state) == (HELD, DIALING)
    targets_call = await call.target.next_call(WAIT)
    await expect_hears({call.customer: {"MOH"}})
    # No more can be said of the agent: a phone that rings before Asterisk has moved that leg rings unheard.
    async with asyncio.timeout(WAIT):
        while "2001" in hears(call.agent):
            await call.agent.pulse.wait()
    return consult, targets_call


async def agent_and_customer_talk(call: Call) -> None:
    await call.primary.wait_state(TALKING)
    await expect_hears({call.agent: {"2001"}, call.customer: {"1001"}, call.target: set()})


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


# -- who hangs up when --------------------------------------------------------------------------------


async def test_the_target_hangs_up(call: Call) -> None:
    consult = await call.consult()
    await call.target.calls[0].hangup()
    await consult.wait_state(RELEASED)
    await agent_and_customer_talk(call)
    consult = await call.consult()
    await call.interaction.alternate()
    await call.target.calls[0].hangup()
    await consult.wait_state(RELEASED)
    await agent_and_customer_talk(call)
    await call.primary.release()
    await call.over()


async def test_the_customer_hangs_up_in_a_consult(call: Call) -> None:
    consult = await call.consult()
    await call.customers_call.hangup()
    await call.primary.wait_state(RELEASED)
    assert consult.state is TALKING
    await expect_hears({call.agent: {"1002"}, call.target: {"1001"}})
    await consult.release()
    await call.over()


async def test_the_customer_hangs_up_while_the_target_rings(call: Call) -> None:
    consult, targets_call = await ring(call)
    await call.customers_call.hangup()
    await call.interaction.wait_state(ENDED)
    await targets_call.wait_state("ended", WAIT)
    assert (call.primary.state, consult.state) == (RELEASED, RELEASED)
    await call.over()


async def test_the_customer_hangs_up_after_a_swap(queue_call: Call) -> None:
    """Asterisk gives all of it up then: a limit of the strategy."""
    call = queue_call
    await call.consult()
    await call.interaction.alternate()
    targets_call = call.target.calls[0]
    await call.customers_call.hangup()
    await targets_call.wait_state("ended", WAIT)
    await call.over()


async def test_the_agent_hangs_up_in_a_consult(queue_call: Call) -> None:
    """As Asterisk has it, that is a transfer."""
    call = queue_call
    await call.consult()
    await call.agent.calls[0].hangup()
    await expect_hears({call.customer: {"1002"}, call.target: {"2001"}})
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


async def test_the_agent_hangs_up_while_the_target_rings(queue_call: Call) -> None:
    call = queue_call
    _consult, targets_call = await ring(call)
    await call.agent.calls[0].hangup()
    await call.interaction.wait_state(ENDED)
    assert cause_of(call.interaction) is Cause.TRANSFERRED
    await targets_call.answer()
    await expect_hears({call.customer: {"1002"}, call.target: {"2001"}})
    await call.over()
    await call.customers_call.hangup()


# -- targets that are not reached ---------------------------------------------------------------------


async def test_a_busy_target_brings_the_customer_back(call: Call) -> None:
    consult, targets_call = await ring(call)
    await targets_call.reject()
    await consult.wait_state(RELEASED)
    assert consult.cause is Cause.BUSY
    await agent_and_customer_talk(call)
    await call.primary.release()
    await call.over()


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


# -- what is refused ----------------------------------------------------------------------------------


async def test_what_the_strategy_cannot_do_is_refused(queue_call: Call) -> None:
    call = queue_call
    with pytest.raises(BridgeRequestFailed, match="can be held only by a consult call"):
        await call.primary.hold()
    with pytest.raises(BridgeRequestFailed, match="nobody joins a call unasked"):
        await call.primary.blind_conference("1002")
    with pytest.raises(BridgeRequestFailed, match="The number 4711 does not exist"):
        await call.interaction.consult("4711")
    with pytest.raises(BridgeRequestFailed, match="The number 4711 does not exist"):
        await call.primary.blind_transfer("4711")
    with pytest.raises(BridgeRequestFailed, match=r"\*2 among the tones would be taken as a code"):
        await call.primary.send_dtmf("1*2")
    await call.primary.send_dtmf("*")
    with pytest.raises(BridgeRequestFailed, match=r"\*2 among the tones would be taken as a code"):
        await call.primary.send_dtmf("2")
    await call.primary.send_dtmf("9")
    await call.customers_call.wait_dtmf("*9", WAIT)
    await agent_and_customer_talk(call)
    await call.primary.send_dtmf("12#")
    await call.customers_call.wait_dtmf("*912#", WAIT)

    consult, targets_call = await ring(call)
    with pytest.raises(BridgeRequestFailed, match="release that first"):
        await call.primary.retrieve()
    with pytest.raises(BridgeRequestFailed, match="release that first"):
        await call.primary.release()
    await targets_call.answer()
    await consult.wait_state(TALKING)
    with pytest.raises(BridgeRequestFailed, match="can be held only"):
        await consult.hold()
    await call.interaction.consult_conference()
    with pytest.raises(BridgeRequestFailed, match="no consult call out of a conference"):
        await call.interaction.consult("2002")
    with pytest.raises(BridgeRequestFailed, match="no private word with one member of a conference"):
        await call.interaction.private_word(call.primary.members[0])
    await expect_hears({call.agent: {"2001", "1002"}})
    await targets_call.hangup()
    await call.customers_call.hangup()
    await call.over()


async def test_a_double_click_does_not_complete_the_transfer(queue_call: Call) -> None:
    call = queue_call
    first, second = await asyncio.gather(
        call.interaction.consult("1002"), call.interaction.consult("1002"), return_exceptions=True
    )
    assert isinstance(first, Conversation)
    assert isinstance(second, BridgeRequestFailed)
    assert "There is a consult call already" in str(second)
    await (await call.target.next_call(WAIT)).answer()
    await first.wait_state(TALKING)
    await expect_hears({call.agent: {"1002"}, call.target: {"1001"}, call.customer: {"MOH"}})
    await first.release()
    await agent_and_customer_talk(call)
    await call.primary.release()
    await call.over()


async def test_a_call_without_the_codes_is_told_what_it_lacks(provider: LabProvider, at_desk: Desk) -> None:
    provider.asterisk_cli("dialplan set global DIAL_OPTIONS g")
    call = await make_call(at_desk, "direct")
    with pytest.raises(BridgeRequestFailed, match="its Dial or Queue needs the options t and T"):
        await call.interaction.consult("1002")
    await agent_and_customer_talk(call)
    await call.primary.release()
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


async def test_a_desktop_can_ask_what_the_strategy_cannot_do(at_desk: Desk) -> None:
    session = await at_desk.login(ready=False)
    reply = await at_desk.bridge.request(session.channel.target, "channel.query.x-capabilities", {})
    assert isinstance(reply.body, CapabilitiesReply)
    assert reply.body.unsupported == (
        "conversation.request.blindconference",
        "conversation.request.hold",
        "conversation.request.x-privateword",
    )
    assert reply.body.limits == LIMITS
    await session.close()


@pytest.mark.parametrize("released", ["consult", "ringing consult", "primary"])
async def test_of_a_consult_that_the_phone_began_either_call_can_be_released(
    queue_call: Call, released: str
) -> None:
    call = queue_call
    first = call.agent.calls[0]
    await first.hold()
    await call.primary.wait_state(HELD)
    second = await call.agent.dial("1002")
    consult = await call.interaction.wait_consult()
    targets_call = await call.target.next_call(WAIT)
    if released != "ringing consult":
        await targets_call.answer()
        await consult.wait_state(TALKING)
        await expect_hears({call.agent: {"1002"}, call.target: {"1001"}, call.customer: {"MOH"}})
        # What Asterisk has no say in is refused, and nothing moves.
        for verb in (call.interaction.consult_transfer, call.interaction.consult_conference):
            with pytest.raises(BridgeRequestFailed, match="begun on the phone: go on with it there"):
                await verb()
        with pytest.raises(BridgeRequestFailed, match="The phone itself holds the call"):
            await call.interaction.alternate()
        assert (call.primary.state, consult.state) == (HELD, TALKING)
    if released == "primary":
        await call.primary.release()
        await call.customers_call.wait_state(CallState.ENDED, WAIT)
        await first.wait_state(CallState.ENDED, WAIT)
        await expect_hears({call.agent: {"1002"}, call.target: {"1001"}})
        await consult.release()
        await targets_call.wait_state(CallState.ENDED, WAIT)
    else:
        await consult.release()
        await targets_call.wait_state(CallState.ENDED, WAIT)
        await second.wait_state(CallState.ENDED, WAIT)
        assert call.primary.state is HELD
        await first.resume()
        await agent_and_customer_talk(call)
        await call.primary.release()
    await call.over()
