"""The rest of the operations on answered calls: parties by the handful, odd moments, any origin."""

import pytest
from calls import DIALING, ENDED, HELD, ORIGINS, RELEASED, TALKING, Call
from desk import WAIT

from connector.bridge.catalogue.conversation import Cause
from connector.lab.phones.base import Phone
from connector.lab.phones.hearing import expect_hears

pytestmark = pytest.mark.parametrize("call", ORIGINS, indirect=True)


async def _conference(call: Call) -> None:
    await call.consult()
    await call.interaction.consult_conference()


async def _hear_one_another(*phones: Phone) -> None:
    everybody = {phone.extension for phone in phones}
    await expect_hears({phone: everybody - {phone.extension} for phone in phones}, stable=0.3)


async def _end(call: Call) -> None:
    await call.primary.release()
    await call.customers_call.wait_state("ended", WAIT)
    await call.over()


async def test_a_consult_on_hold_is_cancelled(call: Call) -> None:
    consult = await call.consult()
    targets_call = call.target.calls[0]
    await call.interaction.alternate()
    await consult.release()
    await targets_call.wait_state("ended", WAIT)
    assert (consult.cause, call.primary.state) == (Cause.NORMAL, TALKING)
    await _hear_one_another(call.agent, call.customer)
    await _end(call)


async def test_both_on_hold_and_either_taken_back(call: Call) -> None:
    consult = await call.consult()
    await consult.hold()
    assert (call.primary.state, consult.state) == (HELD, HELD)
    await expect_hears({call.agent: set(), call.customer: {"MOH"}, call.target: {"MOH"}})
    await call.primary.retrieve()
    await expect_hears({call.agent: {"2001"}, call.customer: {"1001"}, call.target: {"MOH"}})
    await consult.retrieve()
    await call.primary.wait_state(HELD)
    await expect_hears({call.agent: {"1002"}, call.customer: {"MOH"}, call.target: {"1001"}})
    await consult.release()
    await _end(call)


async def test_the_first_call_is_released_while_the_consult_talks(call: Call) -> None:
    consult = await call.consult()
    await call.primary.release()
    await call.customers_call.wait_state("ended", WAIT)
    await _hear_one_another(call.agent, call.target)
    await consult.hold()
    await expect_hears({call.agent: set(), call.target: {"MOH"}})
    await consult.retrieve()
    await _hear_one_another(call.agent, call.target)
    await consult.release()
    await call.over()


async def test_consulted_twice_and_the_second_takes_over_from_a_hold(call: Call) -> None:
    first = await call.interaction.consult("9001")
    await first.wait_state(RELEASED)
    assert (first.cause, call.primary.state) == (Cause.BUSY, HELD)
    second = await call.consult()
    assert second.nativeid != first.nativeid
    await call.interaction.consult_transfer()
    await call.interaction.wait_state(ENDED)
    await _hear_one_another(call.customer, call.target)
    await call.target.calls[0].hangup()
    await call.customers_call.wait_state("ended", WAIT)
    await call.over()


async def test_a_consult_on_hold_joins_the_conference(call: Call) -> None:
    await call.consult()
    await call.interaction.alternate()
    await call.interaction.consult_conference()
    await _hear_one_another(call.agent, call.customer, call.target)
    await call.primary.hold()
    await expect_hears({call.agent: set(), call.customer: {"1002"}, call.target: {"2001"}})
    await call.primary.retrieve()
    await _hear_one_another(call.agent, call.customer, call.target)
    await call.primary.send_dtmf("7")
    await call.customers_call.wait_dtmf("7", WAIT)
    await call.target.calls[0].hangup()
    await _end(call)


async def test_four_parties_by_a_consult_out_of_the_conference(call: Call) -> None:
    await _conference(call)
    fourth = await call.desk.phones.phone("2002")
    consult = await call.interaction.consult("2002")
    await (await fourth.next_call(WAIT)).answer()
    await consult.wait_state(TALKING)
    assert call.primary.state is HELD
    await expect_hears(
        {
            call.agent: {"2002"},
            fourth: {"1001"},
            call.customer: {"1002"},
            call.target: {"2001"},
        }
    )
    await call.interaction.consult_conference()
    await call.primary.wait_members(lambda now: {one.address for one in now} == {"2001", "1002", "2002"})
    await _hear_one_another(call.agent, call.customer, call.target, fourth)
    await call.primary.release()
    await call.interaction.wait_state(ENDED)
    await _hear_one_another(call.customer, call.target, fourth)
    await call.customers_call.hangup()
    await _hear_one_another(call.target, fourth)
    await fourth.calls[0].hangup()
    await call.over()


async def test_a_conference_is_handed_to_whom_the_agent_consulted(call: Call) -> None:
    await _conference(call)
    fourth = await call.desk.phones.phone("2002")
    consult = await call.interaction.consult("2002")
    await (await fourth.next_call(WAIT)).answer()
    await consult.wait_state(TALKING)
    await call.interaction.consult_transfer()
    await call.interaction.wait_state(ENDED)
    assert (call.primary.cause, consult.cause) == (Cause.TRANSFERRED, Cause.TRANSFERRED)
    await _hear_one_another(call.customer, call.target, fourth)
    await call.target.calls[0].hangup()
    await _hear_one_another(call.customer, fourth)
    await fourth.calls[0].hangup()
    await call.customers_call.wait_state("ended", WAIT)
    await call.over()


async def test_four_parties_by_two_blind_conferences_one_to_somebody_busy(call: Call) -> None:
    fourth = await call.desk.phones.phone("2002")
    await call.primary.blind_conference("1002")
    await (await call.target.next_call(WAIT)).answer()
    await call.primary.wait_members(lambda members: len(members) == 2)
    await call.primary.blind_conference("9001")
    await call.primary.blind_conference("2002")
    await (await fourth.next_call(WAIT)).answer()
    await call.primary.wait_members(lambda members: len(members) == 3)
    await _hear_one_another(call.agent, call.customer, call.target, fourth)
    await call.customers_call.hangup()
    await call.primary.wait_members(lambda members: len(members) == 2)
    await _hear_one_another(call.agent, call.target, fourth)
    await call.target.calls[0].hangup()
    await call.primary.hold()
    await expect_hears({call.agent: set(), fourth: {"MOH"}})
    await call.primary.retrieve()
    await _hear_one_another(call.agent, fourth)
    last = fourth.calls[0]
    await call.primary.release()
    await last.wait_state("ended", WAIT)
    await call.over()


@pytest.mark.parametrize("numbers", [("1002", "2001"), ("2002", "2001")], ids="-".join)
async def test_members_of_a_conference_are_dropped_one_by_one(call: Call, numbers: tuple[str, ...]) -> None:
    """The fourth was called in, and is there by a Local channel that stays."""
    await _conference(call)
    fourth = await call.desk.phones.phone("2002")
    await call.primary.blind_conference("2002")
    await (await fourth.next_call(WAIT)).answer()
    await call.primary.wait_members(lambda members: len(members) == 3)
    there = {"1002": call.target, "2001": call.customer, "2002": fourth}
    for number in numbers:
        (member,), (ended,) = (
            [one for one in call.primary.members if one.address == number],
            there[number].calls,
        )
        await call.primary.drop_member(member)
        await ended.wait_state("ended", WAIT)
        del there[number]
        await _hear_one_another(call.agent, *there.values())
    name, (last,) = "conversation.request.x-dropmember", call.primary.members
    said = [
        (await call.desk.bridge.request(call.primary.target, name, {"id": member})).error_message
        for member in ("nobody", last.id)
    ]
    assert said == [
        "The conversation has no member nobody.",
        "Only a member of a conference can be dropped: release the conversation instead.",
    ]
    await call.primary.release()
    await call.over()


async def test_a_call_on_hold_is_transferred_to_a_number(call: Call) -> None:
    await call.primary.hold()
    await call.primary.blind_transfer("1002")
    await call.interaction.wait_state(ENDED)
    await (await call.target.next_call(WAIT)).answer()
    await _hear_one_another(call.customer, call.target)
    await call.target.calls[0].hangup()
    await call.customers_call.wait_state("ended", WAIT)
    await call.over()


async def test_whom_the_agent_consults_while_the_customer_goes_is_kept(call: Call) -> None:
    consult = await call.interaction.consult("1002")
    ringing = await call.target.next_call(WAIT)
    await call.customers_call.hangup()
    await call.primary.wait_state(RELEASED)
    assert consult.state is DIALING
    await ringing.answer()
    await consult.wait_state(TALKING)
    await _hear_one_another(call.agent, call.target)
    await consult.release()
    await ringing.wait_state("ended", WAIT)
    await call.over()
