"""A double click: the same wish twice at once does what one does; the second hears how things stand."""

import asyncio

import pytest
from calls import ENDED, HELD, ORIGINS, RELEASED, TALKING, Call
from desk import WAIT

from connector.lab.phones.hearing import expect_hears

pytestmark = pytest.mark.parametrize("call", ORIGINS, indirect=True)


async def twice(call: Call, target: str, name: str, **body: str) -> str | None:
    """Send a request twice at once; the first must succeed, and what the second hears is returned."""
    first, second = await asyncio.gather(
        *(call.desk.bridge.request(target, name, body) for _ in range(2)),
    )
    assert first.ok, first.error_message
    return second.error_message


async def test_hold_retrieve_and_release(call: Call) -> None:
    target = call.primary.target
    said = await twice(call, target, "conversation.request.hold")
    assert said == "Only a call that is TALKING can be held: this one is HELD."
    await expect_hears({call.agent: set(), call.customer: {"MOH"}})
    said = await twice(call, target, "conversation.request.retrieve")
    assert said == "Only a call that is HELD can be retrieved: this one is TALKING."
    await expect_hears({call.agent: {"2001"}, call.customer: {"1001"}})
    assert await twice(call, target, "conversation.request.release") is not None
    await call.over()
    # The moment in which the customer is alone in the room is no hold.
    assert call.primary.states[-3:] == [HELD, TALKING, RELEASED]


async def test_consult_conference_and_alternate(call: Call) -> None:
    target = call.interaction.target
    said = await twice(call, target, "interaction.request.consult", destination="1002")
    assert said in {f"There is a consult call already: it is {state}." for state in ("DIALING", "TALKING")}
    await (await call.target.next_call(WAIT)).answer()
    assert len(call.target.calls) == 1
    await expect_hears({call.agent: {"1002"}, call.target: {"1001"}, call.customer: {"MOH"}})
    # Two swaps are two wishes that both make sense: all is as it was.
    assert await twice(call, target, "interaction.request.alternate") is None
    await expect_hears({call.agent: {"1002"}, call.target: {"1001"}, call.customer: {"MOH"}})
    said = await twice(call, target, "interaction.request.consultconference")
    assert said == "There is no consult call."
    await expect_hears(
        {call.agent: {"2001", "1002"}, call.customer: {"1001", "1002"}, call.target: {"1001", "2001"}}
    )
    await call.target.calls[0].hangup()
    await call.primary.release()
    await call.over()


async def test_consult_release(call: Call) -> None:
    consult = await call.consult()
    assert await twice(call, consult.target, "conversation.request.release") is not None
    await expect_hears({call.agent: {"2001"}, call.customer: {"1001"}})
    await call.primary.release()
    await call.over()


async def test_consult_transfer(call: Call) -> None:
    await transfer_twice(call)


async def transfer_twice(call: Call) -> None:
    """Consult and transfer by a double click; the call is over then."""
    await call.consult()
    said = await twice(call, call.interaction.target, "interaction.request.consulttransfer")
    assert said == "The call is over already."
    await expect_hears({call.customer: {"1002"}, call.target: {"2001"}})
    await call.customers_call.hangup()
    await call.over()


async def test_blind_conference_then_transfer_calls_a_number_once(call: Call) -> None:
    target = call.primary.target
    said = await twice(call, target, "conversation.request.blindconference", destination="1002")
    assert said == "The number 1002 is being called into the conference already."
    ringing = await call.target.next_call(WAIT)
    await ringing.answer()
    await call.primary.wait_members(lambda members: len(members) == 2)
    assert len(call.target.calls) == 1
    await ringing.hangup()
    await call.primary.wait_members(lambda members: len(members) == 1)
    assert await twice(call, target, "conversation.request.blindtransfer", destination="1002") is not None
    await call.interaction.wait_state(ENDED)
    await (await call.target.next_call(WAIT)).answer()
    await expect_hears({call.customer: {"1002"}, call.target: {"2001"}})
    assert len(call.target.calls) == 1
    assert HELD not in call.primary.states
    await call.customers_call.hangup()
    await call.over()


async def test_dropping_a_member_and_tones(call: Call) -> None:
    await call.consult()
    await call.interaction.consult_conference()
    now = await call.primary.wait_members(lambda members: len(members) == 2)
    (member,) = [one for one in now if one.address == "1002"]
    said = await twice(call, call.primary.target, "conversation.request.x-dropmember", id=member.id)
    assert said == f"The conversation has no member {member.id}."
    # The same key pressed twice is two tones.
    assert await twice(call, call.primary.target, "conversation.request.senddtmf", tones="5") is None
    await call.customers_call.wait_dtmf("55", WAIT)
    await call.primary.release()
    await call.over()


async def test_ready_dial_accept_and_reject(call: Call) -> None:
    await call.primary.release()
    await call.interaction.wait_state(ENDED)
    await call.interaction.complete()
    channel = call.session.channel
    for verb in ("notready", "ready", "notready"):
        assert await twice(call, channel.target, f"channel.request.{verb}") is None
    said = await twice(call, channel.target, "channel.request.dial", destination="2001")
    assert said == "Phone 1001 is on a call already."
    dialled = await channel.next_interaction()
    await (await call.customer.next_call(WAIT)).answer()
    await dialled.primary.wait_state(TALKING)
    assert len(call.customer.calls) == 1
    await dialled.primary.release()
    await dialled.wait_state(ENDED)
    await dialled.complete()

    call.agent.answer_mode = "manual"
    caller = await call.customer.dial("1001")
    offered = await channel.next_interaction()
    assert await twice(call, offered.target, "interaction.request.reject") == "The call is over already."
    await caller.wait_state("ended", WAIT)
    await offered.wait_state(ENDED)
    await offered.complete()
    await call.session.close()
