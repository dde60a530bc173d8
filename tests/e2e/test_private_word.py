"""A private word with one member of a conference, proven by ear: begun, left again, and whoever hangs up.

Agent 1001 has customer 2001 and colleague 1002 in a conference, 2002 is the fourth of it.
"""

import asyncio
from collections.abc import Mapping
from typing import Literal

import pytest
from cable import Cable
from calls import ENDED, HELD, ORIGINS, RELEASED, TALKING, Call, make_call
from desk import WAIT, Desk, cause_of
from found import after_restart, agree, newcomer
from gaps import gap
from test_colleague import Pair, hear, make_pair
from test_several import join

from connector.bridge.catalogue.conversation import Cause, Member
from connector.lab.phones.base import Phone
from connector.processor.handles import Conversation, Interaction

NAME = "conversation.request.x-privateword"

Name = Literal["agent", "customer", "target"]

EACH_ORIGIN = pytest.mark.parametrize("call", ORIGINS, indirect=True)


def phones_of(call: Call) -> dict[Name, Phone]:
    return {"agent": call.agent, "customer": call.customer, "target": call.target}


def member_of(interaction: Interaction, number: str) -> Member:
    (member,) = [one for one in interaction.primary.members if one.address == number]
    return member


async def all_hear(*phones: Phone) -> None:
    everybody = {phone.extension for phone in phones}
    await hear({phone: everybody - {phone.extension} for phone in phones})


async def three(call: Call) -> None:
    """Make a conference of agent, customer and colleague."""
    await call.consult()
    await call.interaction.consult_conference()
    await all_hear(call.agent, call.customer, call.target)


async def word_with(interaction: Interaction, number: str) -> Conversation:
    """Take a member aside; the others are the primary, on hold, and the member is the consult's."""
    others = {one.address for one in interaction.primary.members} - {number}
    told = len(interaction.primary.states)
    word = await interaction.private_word(member_of(interaction, number))
    await interaction.primary.wait_state(HELD)
    assert interaction.primary.states[told:] == [HELD]
    assert (word.states[0], word.state) == (TALKING, TALKING)
    assert [one.address for one in word.members] == [number]
    assert {one.address for one in interaction.primary.members} == others
    return word


async def aside(call: Call) -> Conversation:
    """Take the colleague out of a conference of three, and hear that."""
    word = await word_with(call.interaction, "1002")
    await hear({call.agent: {"1002"}, call.target: {"1001"}, call.customer: {"MOH"}})
    return word


async def back(call: Call, word: Conversation, *phones: Phone) -> None:
    """Go back into the conference."""
    await call.interaction.consult_conference()
    assert (word.state, word.cause, call.primary.state) == (RELEASED, Cause.CONFERENCED, TALKING)
    everybody = phones or (call.agent, call.customer, call.target)
    await all_hear(*everybody)
    numbers = {phone.extension for phone in everybody} - {"1001"}
    await call.primary.wait_members(lambda now: {one.address for one in now} == numbers)


async def refused(call: Call, target: str, **body: str) -> str | None:
    return (await call.desk.bridge.request(target, NAME, body)).error_message


@EACH_ORIGIN
async def test_aside_and_back_twice(call: Call) -> None:
    await three(call)
    for _ in range(2):
        await back(call, await aside(call))
    await call.primary.hold()
    await hear({call.agent: set(), call.customer: {"1002"}, call.target: {"2001"}})
    await call.primary.retrieve()
    await all_hear(call.agent, call.customer, call.target)
    await call.primary.release()
    await hear({call.customer: {"1002"}, call.target: {"2001"}})
    await call.customers_call.hangup()
    await call.target.calls[0].wait_state("ended", WAIT)
    await call.over()


@EACH_ORIGIN
async def test_alternate_hold_and_release(call: Call) -> None:
    await three(call)
    word = await aside(call)
    for _ in range(2):
        await call.interaction.alternate()
        assert (call.primary.state, word.state) == (TALKING, HELD)
        await hear({call.agent: {"2001"}, call.customer: {"1001"}, call.target: {"MOH"}})
        await call.interaction.alternate()
        assert (call.primary.state, word.state) == (HELD, TALKING)
        await hear({call.agent: {"1002"}, call.target: {"1001"}, call.customer: {"MOH"}})
    await word.hold()
    await hear({call.agent: set(), call.customer: {"MOH"}, call.target: {"MOH"}})
    await word.retrieve()
    apart = call.target.calls[0]
    await word.release()
    await apart.wait_state("ended", WAIT)
    assert word.cause is Cause.NORMAL
    await call.primary.wait_state(TALKING)
    await all_hear(call.agent, call.customer)
    await call.primary.release()
    await call.customers_call.wait_state("ended", WAIT)
    await call.over()


@EACH_ORIGIN
async def test_the_others_are_left_to_one_another(call: Call) -> None:
    """A transfer out of a private word takes the agent out of the conference."""
    await three(call)
    word = await aside(call)
    await call.interaction.consult_transfer()
    await call.interaction.wait_state(ENDED)
    assert (call.primary.cause, word.cause) == (Cause.TRANSFERRED, Cause.TRANSFERRED)
    await all_hear(call.customer, call.target)
    await call.target.calls[0].hangup()
    await call.customers_call.wait_state("ended", WAIT)
    await call.over()


@pytest.mark.parametrize("call", ["queue", "hand"], indirect=True)
async def test_two_others_go_on_talking(call: Call) -> None:
    await three(call)
    fourth = await join(call.desk, call.primary, "2002")
    everybody = (call.agent, call.customer, call.target, fourth)
    await all_hear(*everybody)
    names = {"1002": call.target, "2001": call.customer, "2002": fourth}
    for number, phone in (("1002", call.target), ("2002", fourth)):
        word = await word_with(call.interaction, number)
        others = names.keys() - {number}
        waiting: Mapping[Phone, set[str]] = {names[one]: others - {one} for one in others}
        await hear({call.agent: {number}, phone: {"1001"}, **waiting})
        await call.interaction.alternate()
        await hear(
            {
                phone: {"MOH"},
                call.agent: set(others),
                **{names[one]: others - {one} | {"1001"} for one in others},
            }
        )
        await call.interaction.alternate()
        await hear({call.agent: {number}, phone: {"1001"}, **waiting})
        await back(call, word, *everybody)
    # Who is let go out of a private word was the only one: three are left.
    word = await word_with(call.interaction, "2002")
    guests_call = fourth.calls[0]
    await word.release()
    await guests_call.wait_state("ended", WAIT)
    await all_hear(call.agent, call.customer, call.target)
    word = await word_with(call.interaction, "1002")
    await call.primary.release()
    await call.customers_call.wait_state("ended", WAIT)
    await all_hear(call.agent, call.target)
    await word.release()
    await call.over()


GO_ON: Mapping[Name, set[str]] = {"agent": {"2001"}, "customer": {"1001"}}
WITH_TARGET: Mapping[Name, set[str]] = {"agent": {"1002"}, "target": {"1001"}}
MATRIX: Mapping[tuple[bool, Name], Mapping[Name, set[str]]] = {
    (False, "agent"): {},
    (False, "customer"): WITH_TARGET,
    (False, "target"): {"agent": set(), "customer": {"MOH"}},
    (True, "agent"): {},
    (True, "customer"): {"agent": set(), "target": {"MOH"}},
    (True, "target"): GO_ON,
}
"""Whether the agent has gone back to the customer, who hangs up: who hears whom then."""


@pytest.mark.parametrize("call", ["queue", "dial"], indirect=True)
@pytest.mark.parametrize(("alternated", "who"), MATRIX)
async def test_somebody_hangs_up(call: Call, alternated: bool, who: Name) -> None:
    await three(call)
    word = await aside(call)
    if alternated:
        await call.interaction.alternate()
    phones = phones_of(call)
    calls = {name: phone.calls[0] for name, phone in phones.items()}
    await calls[who].hangup()
    hears = MATRIX[alternated, who]
    for name in calls.keys() - hears.keys():
        await calls[name].wait_state("ended", WAIT)
    if hears:
        await hear({phones[name]: heard for name, heard in hears.items()})
    for one in (word, call.primary):
        if one.state is not RELEASED:
            await one.release()
    await call.interaction.wait_state(ENDED)
    assert cause_of(call.interaction) is Cause.NORMAL
    for each in calls.values():
        await each.wait_state("ended", WAIT)
    await call.over()


@pytest.mark.parametrize("call", ["queue"], indirect=True)
async def test_two_others_stay_when_the_agent_hangs_up(call: Call) -> None:
    await three(call)
    fourth = await join(call.desk, call.primary, "2002")
    await word_with(call.interaction, "1002")
    apart, last = call.target.calls[0], fourth.calls[0]
    await call.agent.calls[0].hangup()
    await call.interaction.wait_state(ENDED)
    await apart.wait_state("ended", WAIT)
    await all_hear(call.customer, fourth)
    await call.customers_call.hangup()
    await last.wait_state("ended", WAIT)
    await call.over()


@pytest.mark.parametrize("call", ["queue", "dial"], indirect=True)
async def test_in_other_states_it_is_refused_and_nothing_moves(call: Call) -> None:
    (customer,) = call.primary.members
    alone = "Only a member of a conference can be taken aside: here is nobody else."
    assert await refused(call, call.primary.target, id=customer.id) == alone
    await call.primary.hold()
    held = "Only a call that is TALKING can be left for a private word: this one is HELD."
    assert await refused(call, call.primary.target, id=customer.id) == held
    await call.primary.retrieve()
    consult = await call.consult()
    consulted = "A private word is for members of the first call, not of the consult call."
    assert await refused(call, consult.target, id=consult.members[0].id) == consulted
    await call.interaction.alternate()
    already = "There is a consult call already: it is HELD."
    assert await refused(call, call.primary.target, id=customer.id) == already
    await call.interaction.consult_conference()
    assert await refused(call, call.primary.target, id="m-9") == "The conversation has no member m-9."
    await call.primary.hold()
    assert await refused(call, call.primary.target, id=customer.id) == held
    await call.primary.retrieve()
    await all_hear(call.agent, call.customer, call.target)
    # A double click.
    member = member_of(call.interaction, "1002").id
    first, second = await asyncio.gather(
        *(call.desk.bridge.request(call.primary.target, NAME, {"id": member}) for _ in range(2))
    )
    assert first.ok, first.error_message
    assert second.error_message == held
    await hear({call.agent: {"1002"}, call.target: {"1001"}, call.customer: {"MOH"}})
    # Who is being called in meanwhile comes to the others.
    await call.interaction.consult_conference()
    fourth = await call.desk.phones.phone("2002")
    await call.primary.blind_conference("2002")
    ringing = await fourth.next_call(WAIT)
    word = await word_with(call.interaction, "1002")
    await ringing.answer()
    await hear({call.agent: {"1002"}, call.target: {"1001"}, call.customer: {"2002"}, fourth: {"2001"}})
    await back(call, word, call.agent, call.customer, call.target, fourth)
    for phone in (call.agent, call.target, call.customer, fourth):
        for each in phone.calls:
            await each.hangup()
    await call.over()


@pytest.mark.parametrize("call", ["queue"], indirect=True)
async def test_the_phone_holds_during_a_private_word(call: Call) -> None:
    await three(call)
    word = await aside(call)
    first = call.agent.calls[0]
    await first.hold()
    await word.wait_state(HELD)
    await hear({call.agent: set(), call.target: {"MOH"}, call.customer: {"MOH"}})
    await first.resume()
    await word.wait_state(TALKING)
    await hear({call.agent: {"1002"}, call.target: {"1001"}, call.customer: {"MOH"}})
    await back(call, word)
    await call.primary.release()
    await call.customers_call.hangup()
    await call.over()


@pytest.mark.parametrize("origin", ["queue", "hand"])
async def test_a_restarted_connector_finds_it(tcp_desk: Desk, origin: Literal["queue", "hand"]) -> None:
    call = await make_call(tcp_desk, origin)
    await three(call)
    word = await aside(call)
    async with newcomer(tcp_desk.connector.settings) as pbx:
        await agree(call, pbx, "private word")
        await call.interaction.alternate()
        await agree(call, pbx, "alternated")
    async with newcomer(tcp_desk.connector.settings) as pbx:
        await agree(call, pbx, "alternated")
        await call.interaction.alternate()
    again = await after_restart(call)
    assert again is not None
    assert (again.nativeid, again.state, call.primary.state) == (word.nativeid, TALKING, HELD)
    await hear({call.agent: {"1002"}, call.target: {"1001"}, call.customer: {"MOH"}})
    await call.interaction.alternate()
    await hear({call.agent: {"2001"}, call.customer: {"1001"}, call.target: {"MOH"}})
    again = await after_restart(call)
    assert again is not None
    await back(call, again)
    # And from what was found one can be taken aside.
    again = await aside(call)
    await again.release()
    await all_hear(call.agent, call.customer)
    await call.primary.release()
    await call.over()


@pytest.mark.parametrize("who", ["customer", "target", None])
async def test_the_link_is_cut_during_a_private_word(far_desk: Desk, cable: Cable, who: Name | None) -> None:
    call = await make_call(far_desk, "queue")
    await three(call)
    word = await aside(call)
    async with gap(cable, far_desk):
        if who is not None:
            await phones_of(call)[who].calls[0].hangup()
            await hear({call.agent: {"1002"} if who == "customer" else set()})
    if who is None:
        await back(call, word)
    elif who == "customer":
        await call.primary.wait_state(RELEASED)
        assert word.state is TALKING
    else:
        await word.wait_state(RELEASED)
        await call.primary.retrieve()
        await all_hear(call.agent, call.customer)
    for phone in phones_of(call).values():
        for each in phone.calls:
            await each.hangup()
    await call.over()


@pytest.fixture
async def pair(at_desk: Desk) -> Pair:
    """Two agents with the customer in a conference."""
    found = await make_pair(at_desk)
    await found.call.interaction.consult_conference()
    await all_hear(found.agent, found.colleague, found.customer)
    return found


async def test_with_a_colleague_who_is_an_agent(pair: Pair) -> None:
    call = pair.call
    word = await word_with(call.interaction, "1002")
    await pair.talk()
    await pair.theirs.primary.wait_members(lambda now: {one.address for one in now} == {"1001"})
    # Each goes on as in a consult call.
    await pair.theirs.primary.hold()
    await pair.hear({"MOH"}, set(), {"MOH"})
    await pair.theirs.primary.retrieve()
    await pair.talk()
    await call.interaction.alternate()
    await pair.hear({"2001"}, {"MOH"}, {"1001"})
    assert pair.theirs.primary.state is TALKING
    await call.interaction.alternate()
    await pair.talk()
    await back(call, word)
    await pair.theirs.primary.wait_members(lambda now: {one.address for one in now} == {"1001", "2001"})
    word = await word_with(call.interaction, "1002")
    await pair.talk()
    await word.release()
    await pair.customer_is_back()


async def test_whom_the_call_is_about_stays(pair: Pair) -> None:
    """The customer stays the first call's party, and the conference the agent's who made it."""
    target = pair.call.primary.target
    said = await refused(pair.call, target, id=member_of(pair.call.interaction, "2001").id)
    assert said == "Only who came in later can be taken aside, not whom the call is about."
    theirs = pair.theirs.primary.target
    for number, sentence in (
        ("1001", "Only who came in later can be taken aside, not whom the call is about."),
        ("2001", "In the conference of another agent only that agent can take somebody aside."),
    ):
        assert await refused(pair.call, theirs, id=member_of(pair.theirs, number).id) == sentence
    await all_hear(pair.agent, pair.colleague, pair.customer)
    await pair.theirs.primary.release()
    await hear({pair.agent: {"2001"}, pair.customer: {"1001"}})
    await pair.call.primary.release()
    await pair.over()


async def test_a_colleague_who_holds_the_conference_is_not_taken_aside(pair: Pair) -> None:
    await pair.theirs.primary.hold()
    await hear({pair.agent: {"2001"}, pair.customer: {"1001"}, pair.colleague: set()})
    said = await refused(pair.call, pair.call.primary.target, id=member_of(pair.call.interaction, "1002").id)
    assert said == "The other agent has the call on hold, and must take it back first."
    await pair.theirs.primary.retrieve()
    await all_hear(pair.agent, pair.colleague, pair.customer)
    await pair.call.primary.release()
    await hear({pair.colleague: {"2001"}, pair.customer: {"1002"}})
    await pair.theirs.primary.release()
    await pair.over()
