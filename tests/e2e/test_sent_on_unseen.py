"""An agent is sent on, or gets another party, while nobody looks: in a gap of the link, before a restart."""

import pytest
from cable import Cable
from calls import ENDED, HELD, TALKING, make_call
from desk import WAIT, Desk
from gaps import gap
from test_sent_on import SentOn, bring_together

from connector.lab.phones.base import Phone, PhoneCall
from connector.lab.phones.hearing import expect_hears
from connector.processor.handles import Interaction


async def goes_on(sent: SentOn, talk_of: Interaction, third: Phone) -> None:
    """See the agent talk to 2001, be shown so, and able to hold and release the call."""
    talk = talk_of.primary
    await talk.wait_members(lambda members: [one.address for one in members] == ["2001"])
    await expect_hears({sent.agent: {"2001"}, third: {"1001"}})
    assert talk.state is TALKING
    await talk.hold()
    await expect_hears({sent.agent: set(), third: {"MOH"}})
    await talk.retrieve()
    await expect_hears({sent.agent: {"2001"}, third: {"1001"}})
    await talk.release()
    await talk_of.wait_state(ENDED)
    await talk_of.complete()


async def send_on_in_a_gap(
    sent: SentOn, third: Phone, far_desk: Desk, cable: Cable, *, answered: bool
) -> PhoneCall:
    """Have the other agent's phone send the agent on to 2001 while the link is away; the call there."""
    async with gap(cable, far_desk):
        await sent.others_call.transfer("2001")
        rings = await third.next_call(WAIT)
        if answered:
            await rings.answer()
            await expect_hears({sent.agent: {"2001"}, third: {"1001"}})
    return rings


@pytest.mark.parametrize("answered", [True, False])
async def test_sent_on_in_a_gap(far_desk: Desk, cable: Cable, *, answered: bool) -> None:
    sent = await bring_together(far_desk, "call")
    third = await far_desk.phones.phone("2001")
    rings = await send_on_in_a_gap(sent, third, far_desk, cable, answered=answered)
    if not answered:
        await sent.is_with("2001")
        await rings.answer()
    await goes_on(sent, sent.interaction, third)
    await sent.theirs.wait_state(ENDED)
    await sent.theirs.complete()
    for session in sent.sessions:
        await session.close()


@pytest.mark.parametrize("answered", [True, False])
async def test_a_consult_is_sent_on_in_a_gap(far_desk: Desk, cable: Cable, *, answered: bool) -> None:
    """The agent's own customer stays on hold meanwhile, and is nobody of the consult."""
    sent = await bring_together(far_desk, "consult", alone=False)
    third, customer = await far_desk.phones.phone("2001"), await far_desk.phones.phone("2002")
    rings = await send_on_in_a_gap(sent, third, far_desk, cable, answered=answered)
    await sent.is_with("2001")
    primary = sent.interaction.primary
    assert (primary.state, [one.address for one in primary.members]) == (HELD, ["2002"])
    if not answered:
        await rings.answer()
    await expect_hears({sent.agent: {"2001"}, third: {"1001"}, customer: {"MOH"}})
    assert sent.talk.state is TALKING
    await sent.interaction.alternate()
    await expect_hears({sent.agent: {"2002"}, customer: {"1001"}, third: {"MOH"}})
    assert (primary.state, sent.talk.state) == (TALKING, HELD)
    await sent.talk.release()
    await rings.wait_state("ended", WAIT)
    await primary.release()
    await sent.over()


async def test_the_phone_joins_its_calls_in_a_gap(far_desk: Desk, cable: Cable) -> None:
    """Agent 1001 leaves customer 2001 to colleague 1002, who has another party then."""
    agent, other = await far_desk.agent_phone("1001"), await far_desk.agent_phone("1002")
    customer = await far_desk.phones.phone("2001")
    sessions = [await far_desk.login(number, ready=False) for number in ("1001", "1002")]
    await customer.dial("1001")
    own = await sessions[0].channel.next_interaction()
    first = await agent.next_call(WAIT)
    await first.answer()
    await own.primary.wait_state(TALKING)
    await first.hold()
    await own.primary.wait_state(HELD)
    second = await agent.dial("1002")
    theirs = await sessions[1].channel.next_interaction()
    await (await other.next_call(WAIT)).answer()
    await theirs.primary.wait_state(TALKING)
    await expect_hears({agent: {"1002"}, other: {"1001"}})
    async with gap(cable, far_desk):
        await first.transfer_to(second)
        await expect_hears({other: {"2001"}, customer: {"1002"}})
    await own.wait_state(ENDED)
    await theirs.primary.wait_members(lambda members: [one.address for one in members] == ["2001"])
    assert theirs.primary.state is TALKING
    await theirs.primary.hold()
    await expect_hears({other: set(), customer: {"MOH"}})
    await theirs.primary.release()
    for one in (own, theirs):
        await one.wait_state(ENDED)
        await one.complete()
    for session in sessions:
        await session.close()


async def test_a_call_on_hold_that_the_phone_hands_on_in_a_gap_is_taken_up(
    far_desk: Desk, cable: Cable
) -> None:
    """Asterisk has the colleague wait in the place of the agent; they are brought in as without the gap."""
    call = await make_call(far_desk, "queue")
    colleague = await far_desk.login("1002", ready=False)
    await call.primary.hold()
    (first,) = call.agent.calls
    async with gap(cable, far_desk):
        second = await call.agent.dial("1002")
        await (await call.target.next_call(WAIT)).answer()
        await second.wait_state("talking", WAIT)
        await first.transfer_to(second)
        for each in (first, second):
            await each.wait_state("ended", WAIT)
    taken = await colleague.channel.next_interaction()
    await expect_hears({call.target: {"2001"}, call.customer: {"1002"}})
    await taken.primary.wait_state(TALKING)
    assert [one.address for one in taken.primary.members] == ["2001"]
    await taken.primary.release()
    for one in (taken, call.interaction):
        await one.wait_state(ENDED)
        await one.complete()
    await colleague.close()
    await call.session.close()


@pytest.mark.parametrize("before", ["plain", "held before"])
@pytest.mark.parametrize("answered", [True, False])
async def test_sent_on_before_a_restart(tcp_desk: Desk, before: str, *, answered: bool) -> None:
    sent = await bring_together(tcp_desk, "call")
    third = await tcp_desk.phones.phone("2001")
    if before != "plain":
        await sent.talk.hold()
        await sent.talk.retrieve()
        await expect_hears({sent.agent: {"1002"}, sent.other: {"1001"}})
    await sent.theirs.primary.blind_transfer("2001")
    rings = await third.next_call(WAIT)
    await sent.is_with("2001")
    if answered:
        await rings.answer()
        await expect_hears({sent.agent: {"2001"}, third: {"1001"}})
    await tcp_desk.replace_connector()
    sessions = [
        await tcp_desk.bridge.login(number, account.password, extension=account.extension)
        for number in ("1001", "1002")
        if (account := tcp_desk.info.agents[number])
    ]
    found = await sessions[0].channel.next_interaction()
    assert found.nativeid == sent.interaction.nativeid
    assert found.primary.state is TALKING
    if not answered:
        await rings.answer()
    await goes_on(sent, found, third)
    for session in sessions:
        await session.close()
