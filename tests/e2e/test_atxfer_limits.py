"""What the strategy `consult: atxfer` cannot do: refused in a sentence, and nothing moves by it."""

import pytest
from atxfer_desk import agent_and_customer_talk, ring
from calls import TALKING, Call, make_call
from desk import WAIT, Desk
from test_sent_on import bring_together

from connector.asterisk.atxfer import LIMITS
from connector.bridge.catalogue.extensions import CapabilitiesReply
from connector.lab.phones.hearing import expect_hears
from connector.lab.provider import LabProvider
from connector.processor.problems import BridgeRequestFailed

pytestmark = pytest.mark.atxfer


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


async def test_a_call_without_the_codes_is_told_what_it_lacks(provider: LabProvider, at_desk: Desk) -> None:
    provider.asterisk_cli("dialplan set global DIAL_OPTIONS g")
    call = await make_call(at_desk, "direct")
    with pytest.raises(BridgeRequestFailed, match="its Dial or Queue needs the options t and T"):
        await call.interaction.consult("1002")
    await agent_and_customer_talk(call)
    await call.primary.release()
    await call.over()


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


async def test_an_agent_whose_call_was_dialled_is_not_sent_to_a_number(at_desk: Desk) -> None:
    """Such a leg only dials: Asterisk has no dialplan for it that could go on elsewhere."""
    sent = await bring_together(at_desk, "call")
    third = await at_desk.phones.phone("2001")
    with pytest.raises(BridgeRequestFailed, match="cannot be sent to a number"):
        await sent.theirs.primary.blind_transfer("2001")
    assert not third.calls
    await expect_hears({sent.agent: {"1002"}, sent.other: {"1001"}})
    await sent.talk.release()
    await sent.over()
