"""A connector that starts in the middle of live calls finds what the one before had seen, and goes on."""

from collections.abc import Awaitable, Callable

import phone_keys
import pytest
from atxfer_desk import agent_and_customer_talk, ring
from calls import ENDED, HELD, ORIGINS, RELEASED, TALKING, Call, Origin, make_call
from desk import WAIT, Desk, cause_of
from found import after_restart, agree, log_in_again, newcomer
from test_private_word import all_hear
from test_several import join

from connector.bridge.catalogue.conversation import Cause
from connector.lab.phones.hearing import expect_hears
from connector.processor.handles import Conversation

STRATEGIES = pytest.mark.parametrize("strategy", ["rooms", pytest.param("atxfer", marks=pytest.mark.atxfer)])


async def same(call: Call, state: str, *, but: tuple[str, ...] = ()) -> None:
    """Compare what a newcomer finds with what the connector in service knows, `but` for a key of the data."""
    async with newcomer(call.desk.connector.settings) as pbx:
        await agree(call, pbx, state, but=but)


async def through_a_consult(call: Call, look: Callable[[str], Awaitable[object]]) -> Conversation:
    """Consult, alternate and come back; `look` at each state on the way. Returns the consult, which talks."""

    async def seen(state: str) -> Conversation:
        await look(state)
        consult = call.interaction.consult_conversation
        assert consult is not None
        return consult

    _consult, targets_call = await ring(call)
    consult = await seen("consult ringing")
    await targets_call.answer()
    await consult.wait_state(TALKING)
    talking = {call.agent: {"1002"}, call.target: {"1001"}, call.customer: {"MOH"}}
    await expect_hears(talking)
    consult = await seen("consult talking")
    await call.interaction.alternate()
    assert (call.primary.state, consult.state) == (TALKING, HELD)
    await expect_hears({call.agent: {"2001"}, call.customer: {"1001"}, call.target: {"MOH"}})
    consult = await seen("alternated")
    await call.interaction.alternate()
    assert (call.primary.state, consult.state) == (HELD, TALKING)
    await expect_hears(talking)
    return consult


async def all_three_talk(call: Call) -> None:
    await expect_hears(
        {call.agent: {"2001", "1002"}, call.customer: {"1001", "1002"}, call.target: {"1001", "2001"}}
    )


@pytest.mark.parametrize("call", ORIGINS, indirect=True)
async def test_every_state_is_found_with_ids_data_and_members(call: Call) -> None:
    primary = call.primary
    await call.interaction.set_data({"ORDER": 'a=b;c, "d"'})
    # How long the caller waited before the ring stands on the leg from the first operation on.
    await same(call, "talking", but=("WAIT_TIME",))
    await primary.hold()
    await same(call, "held")
    await primary.retrieve()
    await same(call, "retrieved")

    consult = await through_a_consult(call, lambda state: same(call, state))
    await same(call, "alternated back")
    await consult.hold()
    await same(call, "both held")
    await call.interaction.consult_conference()
    await all_three_talk(call)
    await same(call, "conference")
    await primary.hold()
    await same(call, "conference held")
    await call.customers_call.hangup()
    await primary.wait_members(lambda members: len(members) == 1)
    await primary.release()
    await call.over()


@pytest.mark.atxfer
@pytest.mark.parametrize("call", ORIGINS, indirect=True)
async def test_every_state_of_a_consult_is_found(call: Call) -> None:
    """With atxfer, too.

    How long a caller waited stands on the leg only where our dialplan put it; and whether the number that the
    agent had dialled is shown to who is consulted depends on what Asterisk tells first.
    """

    async def look(state: str) -> None:
        await same(call, state, but=("WAIT_TIME", "DNIS"))

    await look("talking")
    consult = await through_a_consult(call, look)
    await look("alternated back")
    await consult.release()
    await call.primary.wait_state(TALKING)
    await look("taken back")
    await call.consult()
    await look("second consult")
    await call.interaction.consult_conference()
    await all_three_talk(call)
    await look("conference")
    await call.primary.release()
    await call.customers_call.hangup()
    await call.over()


async def test_operations_go_on_after_a_restart_in_each_state(tcp_desk: Desk) -> None:
    call = await make_call(tcp_desk, "queue")
    await call.primary.hold()
    await after_restart(call)
    assert call.primary.state is HELD
    await expect_hears({call.agent: set(), call.customer: {"MOH"}})
    await call.primary.retrieve()
    await agent_and_customer_talk(call)

    await through_a_consult(call, lambda _state: after_restart(call))
    await call.interaction.consult_conference()
    await all_three_talk(call)
    await after_restart(call)
    assert len(call.primary.members) == 2
    await call.primary.hold()
    await after_restart(call)
    await call.primary.retrieve()
    await all_three_talk(call)
    await call.target.calls[0].hangup()
    await call.primary.wait_members(lambda members: len(members) == 1)
    await call.primary.release()
    await call.over()


@pytest.mark.atxfer
async def test_a_consult_goes_on_after_a_restart_in_each_state(tcp_desk: Desk) -> None:
    call = await make_call(tcp_desk, "queue")
    consult = await through_a_consult(call, lambda _state: after_restart(call))
    await consult.release()
    await agent_and_customer_talk(call)
    await call.consult()
    await after_restart(call)
    await call.interaction.consult_conference()
    await all_three_talk(call)
    await after_restart(call)
    assert len(call.primary.members) == 2
    await call.primary.release()
    await expect_hears({call.customer: {"1002"}, call.target: {"2001"}})
    await call.customers_call.hangup()
    await call.over()


@STRATEGIES
@pytest.mark.parametrize("ringing", [False, True])
async def test_a_consult_transfer_after_a_restart(tcp_desk: Desk, strategy: str, *, ringing: bool) -> None:
    call = await make_call(tcp_desk, "direct" if strategy == "rooms" else "queue")
    if ringing:
        _consult, targets_call = await ring(call)
    else:
        await call.consult()
    await after_restart(call)
    await call.interaction.consult_transfer()
    if ringing and strategy == "rooms":
        # The customer's leg rings the target anew.
        targets_call = await call.target.next_call(WAIT)
    if ringing:
        await targets_call.answer()
    await expect_hears({call.customer: {"1002"}, call.target: {"2001"}})
    await call.interaction.wait_state(ENDED)
    assert cause_of(call.interaction) is Cause.TRANSFERRED
    await call.customers_call.hangup()
    await call.over()


@STRATEGIES
async def test_a_consult_that_fails_after_a_restart(tcp_desk: Desk, strategy: str) -> None:
    """With rooms the customer stays on hold, with atxfer the two are back at once."""
    call = await make_call(tcp_desk, "dial" if strategy == "rooms" else "queue")
    _consult, targets_call = await ring(call)
    consult = await after_restart(call)
    assert consult is not None
    await targets_call.reject()
    await consult.wait_state(RELEASED)
    if strategy == "rooms":
        assert call.primary.state is HELD
        await call.primary.retrieve()
    await agent_and_customer_talk(call)
    await call.primary.release()
    await call.over()


@pytest.mark.parametrize("origin", ["queue", "dial"])
async def test_a_conference_in_the_room_of_who_was_consulted_is_about_the_customer_after_a_restart(
    tcp_desk: Desk, origin: Origin
) -> None:
    call = await make_call(tcp_desk, origin)
    consult = await call.consult()
    fourth = await join(tcp_desk, consult, "2002")
    await call.interaction.consult_conference()
    four = (call.agent, call.customer, call.target, fourth)
    await all_hear(*four)
    await call.primary.wait_members(lambda members: len(members) == 3)
    await after_restart(call)
    (customer,) = [one for one in call.primary.members if one.address == "2001"]
    reply = await tcp_desk.bridge.request(
        call.primary.target, "conversation.request.x-privateword", {"id": customer.id}
    )
    assert reply.error_message == "Only who came in later can be taken aside, not whom the call is about."
    await all_hear(*four)
    for phone in four:
        for each in phone.calls:
            await each.hangup()
    await call.over()


@pytest.mark.parametrize("origin", ["queue", "dial"])
async def test_a_call_that_went_over_to_the_leg_of_the_phones_consult_is_found(
    at_desk: Desk, origin: Origin
) -> None:
    """Both calls are on the leg that the phone dialled for the consult, and the first leg is gone."""
    call = await make_call(at_desk, origin)
    consult, _second = await phone_keys.consult(call)
    await call.interaction.alternate()
    await expect_hears({call.agent: {"2001"}, call.customer: {"1001"}, call.target: {"MOH"}})
    await same(call, "alternated", but=("WAIT_TIME",))
    await consult.release()
    await same(call, "consult over", but=("WAIT_TIME",))
    await call.primary.release()
    await call.over()


async def test_agents_who_both_hold_in_the_room_of_who_has_left_have_each_other_after_a_restart(
    tcp_desk: Desk,
) -> None:
    colleague = await tcp_desk.login("1002", ready=False)
    call = await make_call(tcp_desk, "queue")
    await call.consult()
    theirs = await colleague.channel.next_interaction()
    await call.interaction.consult_conference()
    await all_three_talk(call)
    await call.customers_call.hangup()
    for one in (call.primary, theirs.primary):
        await one.wait_members(lambda members: len(members) == 1)
        await one.hold()
    await expect_hears({call.agent: set(), call.target: set()})
    # What the customer's leg told is gone with it.
    await same(call, "both hold", but=("ANI", "DNIS", "CALLER_NAME", "QUEUE", "WAIT_TIME"))
    await tcp_desk.replace_connector()
    await log_in_again(call)
    account = tcp_desk.info.agents["1002"]
    colleague = await tcp_desk.bridge.login("1002", account.password, extension=account.extension)
    call.interaction = await call.session.channel.next_interaction()
    theirs = await colleague.channel.next_interaction()
    for one, number in ((call.primary, "1002"), (theirs.primary, "1001")):
        assert (one.state, [member.address for member in one.members]) == (HELD, [number])
        await one.retrieve()
    await expect_hears({call.agent: {"1002"}, call.target: {"1001"}})
    await call.primary.release()
    await theirs.wait_state(ENDED)
    await theirs.complete()
    await colleague.close()
    await call.over()


async def test_an_agent_who_waits_for_nobody_is_let_go_after_a_restart(tcp_desk: Desk) -> None:
    call = await make_call(tcp_desk, "direct")
    (agents_call,) = call.agent.calls
    await call.primary.hold()
    await tcp_desk.close()
    await call.customers_call.hangup()
    await tcp_desk.renew_connector()
    await agents_call.wait_state("ended", WAIT)
    await log_in_again(call)
    await call.session.close()
