"""Whoever is on hold stays the party of somebody, or is let go: nobody is cut off, nobody has music for ever.

Agent 1001 has customer 2001; 1002 is an agent too, 2002 and 2003 are outsiders.
"""

from collections.abc import Callable

import pytest
from calls import ENDED, HELD, RELEASED, TALKING, Call, make_call
from desk import WAIT, Desk
from test_colleague import hear, make_pair
from test_several import consult_with, join

from connector.asterisk.wire import AmiMessage, Fields
from connector.lab.phones.base import PhoneCall
from connector.processor.handles import Interaction
from connector.processor.server import Session

# -- one of two agents goes, the other has the third party on hold ---------------------------------------


@pytest.mark.parametrize("guest_of", ["agent", "colleague"])
async def test_the_colleague_goes_and_the_agent_has_the_guest_on_hold(at_desk: Desk, guest_of: str) -> None:
    """The two agents' room is named after the one who goes."""
    pair = await make_pair(at_desk)
    guest = await join(at_desk, pair.consult if guest_of == "agent" else pair.theirs.primary, "2002")
    await pair.consult.hold()
    await hear({pair.agent: set(), pair.colleague: {"2002"}, guest: {"1002"}, pair.customer: {"MOH"}})
    await pair.colleagues_call.hangup()
    await pair.consult.wait_members(lambda members: [one.address for one in members] == ["2002"])
    await hear({pair.agent: set(), guest: {"MOH"}, pair.customer: {"MOH"}})
    assert pair.consult.state is HELD
    await pair.consult.retrieve()
    await hear({pair.agent: {"2002"}, guest: {"1001"}, pair.customer: {"MOH"}})
    guests_call = guest.calls[0]
    await pair.consult.release()
    await guests_call.wait_state("ended", WAIT)
    await pair.customer_is_back()


async def test_an_agent_goes_and_the_colleague_has_the_customer_on_hold(at_desk: Desk) -> None:
    """Both have held the conference, so it is the one who goes whom the customer's leg knows as its agent."""
    pair = await make_pair(at_desk)
    await pair.call.interaction.consult_conference()
    await pair.theirs.primary.hold()
    await pair.call.primary.hold()
    await pair.hear(set(), set(), {"MOH"})
    await pair.agents_call.hangup()
    await pair.call.interaction.wait_state(ENDED)
    await hear({pair.colleague: set(), pair.customer: {"MOH"}})
    await pair.theirs.primary.retrieve()
    await hear({pair.colleague: {"2001"}, pair.customer: {"1002"}})
    await pair.theirs.primary.release()
    await pair.over()


async def call_in(at_desk: Desk) -> tuple[Call, Session, Interaction]:
    """Have agent 1001 call agent 1002 into the call with the customer; 1002's session and interaction."""
    call = await make_call(at_desk, "queue")
    colleague = await at_desk.login("1002", ready=False)
    await call.primary.blind_conference("1002")
    theirs = await colleague.channel.next_interaction()
    await (await call.target.next_call(WAIT)).answer()
    await hear({call.agent: {"2001", "1002"}, call.target: {"2001", "1001"}})
    return call, colleague, theirs


@pytest.mark.parametrize("how", ["hold", "consult", "phone"])
async def test_an_agent_who_was_called_in_holds_when_only_the_other_agent_is_left(
    at_desk: Desk, how: str
) -> None:
    """The guest's seat in the room ends with that, and is not taken for the guest's end."""
    call, colleague, theirs = await call_in(at_desk)
    (guests_call,) = call.target.calls
    await call.customers_call.hangup()
    await theirs.primary.wait_members(lambda members: [one.address for one in members] == ["1001"])
    if how == "phone":
        await guests_call.hold()
    elif how == "hold":
        await theirs.primary.hold()
    else:
        outsider = await at_desk.phones.phone("2002")
        outsider.answer_mode = "auto"
        consult = await theirs.consult("2002")
        await consult.wait_state(TALKING)
        await hear({call.target: {"2002"}, outsider: {"1002"}})
    await theirs.primary.wait_state(HELD)
    assert call.primary.state in {TALKING, HELD}
    if how == "phone":
        await guests_call.resume()
    elif how == "hold":
        await theirs.primary.retrieve()
    else:
        await consult.release()
    await theirs.primary.wait_state(TALKING)
    await hear({call.agent: {"1002"}, call.target: {"1001"}})
    await theirs.primary.release()
    for one in (theirs, call.interaction):
        await one.wait_state(ENDED)
        await one.complete()
    for session in (colleague, call.session):
        await session.close()


@pytest.mark.parametrize("how", ["hold", "consult"])
async def test_an_agent_who_was_called_in_leaves_the_others_for_a_while(at_desk: Desk, how: str) -> None:
    """Those have each other meanwhile, and no music."""
    call, colleague, theirs = await call_in(at_desk)
    if how == "hold":
        await theirs.primary.hold()
        await hear({call.target: set(), call.agent: {"2001"}, call.customer: {"1001"}})
        await theirs.primary.retrieve()
    else:
        outsider = await at_desk.phones.phone("2002")
        outsider.answer_mode = "auto"
        consult = await theirs.consult("2002")
        await consult.wait_state(TALKING)
        assert theirs.primary.state is HELD
        await hear({call.target: {"2002"}, outsider: {"1002"}, call.agent: {"2001"}, call.customer: {"1001"}})
        await consult.release()
        await theirs.primary.wait_state(TALKING)
    await hear({call.agent: {"2001", "1002"}, call.target: {"2001", "1001"}})
    await theirs.primary.release()
    await theirs.wait_state(ENDED)
    await theirs.complete()
    await colleague.close()
    await call.primary.release()
    await call.over()


# -- a conference shrinks as the agent leaves it ---------------------------------------------------------


def first_hang_up(call: Call, who: PhoneCall, leg: str, when: Callable[[str, Fields], bool]) -> None:
    """Have somebody hang up, and gone with the PBX, just before an action is sent."""
    pbx = call.desk.connector.pbx
    send = pbx._link.send

    async def sending(action: str, fields: Fields | None = None, **more: float) -> AmiMessage:
        if when(action, fields or {}) and pbx.model.legs.get(leg) is not None:
            await who.hangup()
            await pbx._exchange.until(lambda: pbx.model.legs.get(leg) is None, "hang-up")
        return await send(action, fields or {}, **more)

    pbx._link.send = sending  # type: ignore[method-assign]


def leg_of(call: Call, number: str) -> str:
    """Return the one leg of a phone."""
    (leg,) = call.desk.connector.pbx.model.legs.of_endpoint(number)
    return leg.id


@pytest.mark.parametrize("call", ["queue"], indirect=True)
@pytest.mark.parametrize("number", ["2001", "2002"])
async def test_a_member_hangs_up_as_the_agent_leaves_a_held_conference(call: Call, number: str) -> None:
    _, other = await consult_with(call.desk, call.interaction, "2002")
    await call.interaction.consult_conference()
    await call.primary.hold()
    await hear({call.agent: set(), call.customer: {"2002"}, other: {"2001"}})
    calls = {"2001": call.customers_call, "2002": other.calls[0]}
    first_hang_up(call, calls[number], leg_of(call, number), lambda action, _fields: action == "Hangup")
    await call.primary.release()
    for each in calls.values():
        await each.wait_state("ended", WAIT)
    await call.over()


@pytest.mark.parametrize("call", ["direct"], indirect=True)
async def test_a_member_hangs_up_as_the_agent_leaves_a_conference_for_a_consult(call: Call) -> None:
    """The dialplan takes the other member for one whom the agent has on hold; the connector knows better."""
    _, other = await consult_with(call.desk, call.interaction, "2002")
    await call.interaction.consult_conference()
    others_call = other.calls[0]
    consult, further = await consult_with(call.desk, call.interaction, "2003")
    # The first that the release asks for is that the members note one another.
    first_hang_up(call, call.customers_call, leg_of(call, "2001"), lambda action, _fields: action == "Setvar")
    await call.primary.release()
    await others_call.wait_state("ended", WAIT)
    await hear({call.agent: {"2003"}, further: {"1001"}})
    assert consult.state is TALKING
    await consult.release()
    await call.over()


# -- several parties on either side ----------------------------------------------------------------------


@pytest.mark.parametrize("call", ["direct"], indirect=True)
async def test_a_consult_with_several_goes_on_when_the_agent_releases_it(call: Call) -> None:
    consult, first = await consult_with(call.desk, call.interaction, "2002")
    second = await join(call.desk, consult, "2003")
    await consult.release()
    await consult.wait_state(RELEASED)
    await call.primary.wait_state(TALKING)
    await hear(
        {call.agent: {"2001"}, call.customer: {"1001"}, first: {"2003"}, second: {"2002"}},
    )
    last = second.calls[0]
    await first.calls[0].hangup()
    await last.wait_state("ended", WAIT)
    await call.primary.release()
    await call.over()


@pytest.mark.parametrize("call", ["direct"], indirect=True)
@pytest.mark.parametrize("verb", ["transfer", "conference"])
async def test_two_conferences_become_one(call: Call, verb: str) -> None:
    inside = await join(call.desk, call.primary, "2002")
    consult, outside = await consult_with(call.desk, call.interaction, "2003")
    further = await join(call.desk, consult, "1002")
    phones = [call.customer, inside, outside, further]
    if verb == "transfer":
        await call.interaction.consult_transfer()
        await call.interaction.wait_state(ENDED)
    else:
        await call.interaction.consult_conference()
        await consult.wait_state(RELEASED)
        phones.append(call.agent)
    everybody = {phone.extension for phone in phones}
    await hear({phone: everybody - {phone.extension} for phone in phones})
    if verb == "conference":
        await call.primary.wait_members(lambda members: len(members) == 4)
        await call.primary.release()
    calls = [call.customers_call, inside.calls[0], outside.calls[0], further.calls[0]]
    for each in calls[:3]:
        await each.hangup()
    await calls[3].wait_state("ended", WAIT)
    await call.over()
