"""Several parties and several agents at once: conferences beside a consult, agents in a row.

Agent 1001 has customer 2001; 1002 and 1003 are agents too, 2002 and 2003 outsiders.
"""

import pytest
from calls import ENDED, HELD, RELEASED, TALKING, Call
from desk import WAIT, Desk, cause_of
from test_colleague import hear, make_pair

from connector.bridge.catalogue.conversation import Cause
from connector.lab.phones.base import Phone
from connector.processor.handles import Conversation, Interaction


async def consult_with(desk: Desk, interaction: Interaction, number: str) -> tuple[Conversation, Phone]:
    phone = await desk.phones.phone(number)
    consult = await interaction.consult(number)
    await (await phone.next_call(WAIT)).answer()
    await consult.wait_state(TALKING)
    return consult, phone


async def join(desk: Desk, conversation: Conversation, number: str) -> Phone:
    phone = await desk.phones.phone(number)
    before = len(conversation.members)
    await conversation.blind_conference(number)
    await (await phone.next_call(WAIT)).answer()
    await conversation.wait_members(lambda members: len(members) > before)
    return phone


@pytest.mark.parametrize("call", ["direct"], indirect=True)
async def test_to_and_fro_between_a_conference_and_a_consult(call: Call) -> None:
    """Members of a conference hear each other, not music, while the agent is with somebody else."""
    second = await join(call.desk, call.primary, "2002")
    consult, third = await consult_with(call.desk, call.interaction, "2003")
    in_conference = {call.customer: {"1001", "2002"}, second: {"1001", "2001"}}
    alone = {call.customer: {"2002"}, second: {"2001"}}
    await hear({call.agent: {"2003"}, third: {"1001"}, **alone})
    await call.interaction.alternate()
    await hear({call.agent: {"2001", "2002"}, third: {"MOH"}, **in_conference})
    await call.interaction.alternate()
    assert (call.primary.state, consult.state) == (HELD, TALKING)
    await hear({call.agent: {"2003"}, third: {"1001"}, **alone})
    await call.primary.release()
    # The conference goes on, and the consult too, until somebody is alone.
    await hear({call.agent: {"2003"}, third: {"1001"}, **alone})
    assert consult.state is TALKING
    second_call = second.calls[0]
    await call.customers_call.hangup()
    await second_call.wait_state("ended", WAIT)
    await consult.release()
    await call.over()


async def test_a_guest_stays_when_the_colleague_goes_to_another_call(at_desk: Desk) -> None:
    """Whom the first agent has called into the consult call is left where it is."""
    pair = await make_pair(at_desk)
    guest = await join(at_desk, pair.consult, "2002")
    further, third = await consult_with(at_desk, pair.theirs, "2003")
    await hear({pair.agent: {"2002"}, guest: {"1001"}, pair.colleague: {"2003"}, third: {"1002"}})
    (colleague,) = [one for one in pair.consult.members if one.address == "1002"]
    # Dropped out of the one call, the colleague keeps the other.
    await pair.consult.drop_member(colleague)
    await pair.theirs.primary.wait_state(RELEASED)
    await hear({pair.agent: {"2002"}, guest: {"1001"}, pair.colleague: {"2003"}, third: {"1002"}})
    await further.release()
    await pair.consult.release()
    await pair.customer_is_back()


async def test_a_guest_who_is_handed_on_can_be_held(at_desk: Desk) -> None:
    """The first agent's guest is the colleague's party after a transfer, also when alone in the room."""
    pair = await make_pair(at_desk)
    guest = await join(at_desk, pair.consult, "2002")
    guests_call = guest.calls[0]
    await pair.call.interaction.consult_transfer()
    await pair.call.interaction.wait_state(ENDED)
    await pair.call.customers_call.hangup()
    await pair.theirs.primary.wait_members(lambda members: [one.address for one in members] == ["2002"])
    await pair.theirs.primary.hold()
    await hear({pair.colleague: set(), guest: {"MOH"}})
    await pair.theirs.primary.retrieve()
    await hear({pair.colleague: {"2002"}, guest: {"1002"}})
    await pair.theirs.primary.release()
    await guests_call.wait_state("ended", WAIT)
    await pair.over()


async def test_three_agents_in_a_row_meet_apart(at_desk: Desk) -> None:
    """The second agent's call with the first and that with the third are not in one room."""
    third = await at_desk.agent_phone("1003")
    session = await at_desk.login("1003", ready=False)
    pair = await make_pair(at_desk)
    further, _ = await consult_with(at_desk, pair.theirs, "1003")
    theirs = await session.channel.next_interaction()
    await theirs.primary.wait_state(TALKING)
    outside, last = await consult_with(at_desk, theirs, "2002")
    assert theirs.primary.state is HELD
    await hear({pair.agent: {"MOH"}, pair.colleague: {"MOH"}, third: {"2002"}, last: {"1003"}})
    await pair.theirs.alternate()
    await hear({pair.agent: {"1002"}, pair.colleague: {"1001"}, third: {"2002"}, last: {"1003"}})
    await outside.release()
    await theirs.primary.release()
    await further.wait_state(RELEASED)
    await theirs.wait_state(ENDED)
    await theirs.complete()
    await session.close()
    await pair.theirs.primary.release()
    await pair.agent_goes_on()


@pytest.mark.parametrize("call", ["direct"], indirect=True)
@pytest.mark.parametrize("inviter", ["there", "away"])
async def test_an_agent_who_is_called_in_sees_who_is_there(call: Call, inviter: str) -> None:
    session = await call.desk.login("1002", ready=False)
    await call.primary.blind_conference("1002")
    theirs = await session.channel.next_interaction()
    ringing = await call.target.next_call(WAIT)
    if inviter == "away":
        await call.primary.hold()
    await ringing.answer()
    there = {"1001", "2001"} if inviter == "there" else {"2001"}
    await theirs.primary.wait_members(lambda members: {one.address for one in members} == there)
    await hear({call.target: there, call.customer: {"1002"} | (there - {"2001"})})
    if inviter == "away":
        await call.primary.retrieve()
        await theirs.primary.wait_members(lambda members: len(members) == 2)
    await hear({call.target: {"1001", "2001"}, call.customer: {"1001", "1002"}})
    await theirs.primary.release()
    await theirs.wait_state(ENDED)
    await theirs.complete()
    await session.close()
    await call.primary.release()
    await call.over()


@pytest.mark.parametrize("call", ["direct"], indirect=True)
@pytest.mark.parametrize("goes", ["agent", "customer"])
async def test_who_is_called_in_and_comes_while_the_agent_holds_is_a_party(call: Call, goes: str) -> None:
    outsider = await call.desk.phones.phone("2002")
    await call.primary.blind_conference("2002")
    ringing = await outsider.next_call(WAIT)
    await call.primary.hold()
    await ringing.answer()
    await call.primary.wait_members(lambda members: {one.address for one in members} == {"2001", "2002"})
    assert call.primary.state is HELD
    await hear({outsider: {"2001"}, call.customer: {"2002"}})
    if goes == "agent":
        await call.primary.release()
        await call.interaction.wait_state(ENDED)
        await hear({outsider: {"2001"}, call.customer: {"2002"}})
        await ringing.hangup()
    else:
        await call.customers_call.hangup()
        await call.primary.wait_members(lambda members: [one.address for one in members] == ["2002"])
        await hear({outsider: {"MOH"}})
        await call.primary.retrieve()
        await hear({outsider: {"1001"}, call.agent: {"2002"}})
        await call.primary.release()
    await call.over()


@pytest.mark.parametrize("call", ["queue", "direct"], indirect=True)
async def test_who_holds_is_let_go_when_the_other_agent_sends_the_customer_to_a_number(call: Call) -> None:
    session = await call.desk.login("1002", ready=False)
    outsider = await call.desk.phones.phone("2002")
    await call.primary.blind_conference("1002")
    theirs = await session.channel.next_interaction()
    ringing = await call.target.next_call(WAIT)
    await call.primary.hold()
    await ringing.answer()
    await theirs.primary.wait_members(lambda members: [one.address for one in members] == ["2001"])
    await theirs.primary.hold()
    await theirs.primary.blind_transfer("2002")
    await theirs.wait_state(ENDED)
    assert cause_of(theirs) is Cause.TRANSFERRED
    await call.interaction.wait_state(ENDED)
    assert cause_of(call.interaction) is Cause.NORMAL
    await (await outsider.next_call(WAIT)).answer()
    await hear({outsider: {"2001"}, call.customer: {"2002"}})
    await call.customers_call.hangup()
    await theirs.complete()
    await session.close()
    await call.over()
