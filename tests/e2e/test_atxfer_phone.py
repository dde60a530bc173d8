"""What the agent does with the phone's own keys, or to a single party, where the strategy is atxfer.

What is the same with rooms is in `test_phone_side.py` and `test_phone_consult.py` (`PLACES`).
"""

import pytest
from atxfer_desk import agent_and_customer_talk, ring
from calls import ENDED, HELD, ORIGINS, RELEASED, TALKING, Call, make_call
from desk import WAIT, Desk
from phone_keys import consult, gone, hold, resume

from connector.bridge.catalogue.conversation import Cause
from connector.lab.phones.base import CallState, PhoneError
from connector.lab.phones.hearing import expect_hears
from connector.processor.problems import BridgeRequestFailed

pytestmark = pytest.mark.atxfer

HELD_BY_PHONE = "The phone itself holds the call: take it back there first."


@pytest.fixture(params=ORIGINS)
async def call(at_desk: Desk, request: pytest.FixtureRequest) -> Call:
    return await make_call(at_desk, request.param)


async def asked(call: Call, target: str, name: str, **body: str) -> str | None:
    """Ask for something; return why it was refused."""
    return (await call.desk.bridge.request(target, name, body)).error_message


# -- one member of a conference -----------------------------------------------------------------------


@pytest.mark.parametrize("who", ["target", "customer"])
async def test_a_member_of_the_conference_is_dropped(call: Call, who: str) -> None:
    await call.consult()
    await call.interaction.consult_conference()
    left, dropped = (call.customer, call.target) if who == "target" else (call.target, call.customer)
    drops, last = dropped.calls[0], left.calls[0]
    (member,) = [one for one in call.primary.members if one.address == dropped.extension]
    await call.primary.drop_member(member)
    await drops.wait_state(CallState.ENDED, WAIT)
    await expect_hears({call.agent: {left.extension}, left: {"1001"}})
    name, (other,) = "conversation.request.x-dropmember", call.primary.members
    assert other.address == left.extension
    said = [await asked(call, call.primary.target, name, id=member) for member in ("nobody", other.id)]
    assert said == [
        "The conversation has no member nobody.",
        "Only a member of a conference can be dropped: release the conversation instead.",
    ]
    await call.primary.release()
    await last.wait_state(CallState.ENDED, WAIT)
    await call.over()


# -- the phone's hold ---------------------------------------------------------------------------------


async def test_hold_and_resume(call: Call) -> None:
    for _ in range(2):
        await hold(call)
        await resume(call)
    await (await call.consult()).release()
    await agent_and_customer_talk(call)
    await hold(call)
    await gone(call)


async def test_what_the_phone_holds_the_bridge_cannot_take_back(queue_call: Call) -> None:
    call = queue_call
    await hold(call)
    said = await asked(call, call.primary.target, "conversation.request.retrieve")
    assert said == HELD_BY_PHONE
    said = await asked(call, call.interaction.target, "interaction.request.consult", destination="1002")
    assert said == HELD_BY_PHONE
    await resume(call)
    await gone(call)


async def test_the_phone_holds_in_a_consult(call: Call) -> None:
    consult = await call.consult()
    first = call.agent.calls[0]
    await first.hold()
    await consult.wait_state(HELD)
    await expect_hears({call.agent: set(), call.target: {"MOH"}, call.customer: {"MOH"}})
    for target, name in (
        (call.interaction.target, "interaction.request.alternate"),
        (call.interaction.target, "interaction.request.consultconference"),
        (call.primary.target, "conversation.request.retrieve"),
        (consult.target, "conversation.request.retrieve"),
    ):
        assert await asked(call, target, name) == HELD_BY_PHONE
    assert (call.primary.state, consult.state) == (HELD, HELD)
    await first.resume()
    await consult.wait_state(TALKING)
    await expect_hears({call.agent: {"1002"}, call.target: {"1001"}, call.customer: {"MOH"}})
    await call.interaction.alternate()
    await first.hold()
    await call.primary.wait_state(HELD)
    await expect_hears({call.agent: set(), call.target: {"MOH"}, call.customer: {"MOH"}})
    await first.resume()
    await call.primary.wait_state(TALKING)
    await expect_hears({call.agent: {"2001"}, call.customer: {"1001"}, call.target: {"MOH"}})
    await gone(call)


async def test_the_bridge_transfers_blind_what_the_phone_holds(call: Call) -> None:
    await hold(call)
    await call.primary.blind_transfer("1002")
    await call.interaction.wait_state(ENDED)
    assert call.primary.cause is Cause.TRANSFERRED
    await (await call.target.next_call(WAIT)).answer()
    await expect_hears({call.customer: {"1002"}, call.target: {"2001"}})
    await gone(call)


@pytest.mark.parametrize("by", ["bridge", "target"])
async def test_a_consult_that_the_phone_holds_ends(call: Call, by: str) -> None:
    consult = await call.consult()
    first, targets_call = call.agent.calls[0], call.target.calls[0]
    await first.hold()
    await consult.wait_state(HELD)
    await (consult.release() if by == "bridge" else targets_call.hangup())
    await consult.wait_state(RELEASED)
    await targets_call.wait_state(CallState.ENDED, WAIT)
    # The agent's leg is back, but the phone still holds: now the customer.
    await call.primary.link.until(
        lambda: call.primary.states[-2:] == [TALKING, HELD],
        WAIT,
        lambda: "the phone's hold of the first call",
    )
    assert await asked(call, call.primary.target, "conversation.request.retrieve") == HELD_BY_PHONE
    # Asterisk plays no music for this hold: it began elsewhere.
    await expect_hears({call.agent: set(), call.customer: set()})
    await first.resume()
    await agent_and_customer_talk(call)
    await gone(call)


async def test_the_first_call_is_released_while_the_phone_holds_the_consult(call: Call) -> None:
    consult = await call.consult()
    first = call.agent.calls[0]
    await first.hold()
    await consult.wait_state(HELD)
    await call.primary.release()
    await call.customers_call.wait_state(CallState.ENDED, WAIT)
    assert consult.state is HELD
    # Asterisk puts the two together anew, and the music is lost.
    await expect_hears({call.agent: set(), call.target: set()})
    await first.resume()
    await consult.wait_state(TALKING)
    await expect_hears({call.agent: {"1002"}, call.target: {"1001"}})
    await gone(call)


async def test_a_transfer_of_what_the_phone_holds(call: Call) -> None:
    consult = await call.consult()
    await call.agent.calls[0].hold()
    await consult.wait_state(HELD)
    await call.interaction.consult_transfer()
    await call.interaction.wait_state(ENDED)
    assert (call.primary.cause, consult.cause) == (Cause.TRANSFERRED, Cause.TRANSFERRED)
    await expect_hears({call.customer: {"1002"}, call.target: {"2001"}})
    await gone(call)


async def test_the_phone_holds_a_conference(call: Call) -> None:
    await call.consult()
    await call.interaction.consult_conference()
    first = call.agent.calls[0]
    await first.hold()
    await call.primary.wait_state(HELD)
    await expect_hears({call.agent: set(), call.customer: {"1002"}, call.target: {"2001"}})
    await first.resume()
    await call.primary.wait_state(TALKING)
    await expect_hears(
        {call.agent: {"2001", "1002"}, call.customer: {"1001", "1002"}, call.target: {"1001", "2001"}}
    )
    await gone(call)


# -- the phone's blind transfer -----------------------------------------------------------------------


async def test_a_blind_transfer_to_a_number_that_does_not_exist_changes_nothing(call: Call) -> None:
    with pytest.raises(PhoneError, match="404"):
        await call.agent.calls[0].transfer("8888")
    assert call.primary.state is TALKING
    await agent_and_customer_talk(call)
    await gone(call)


@pytest.mark.parametrize("alternated", [False, True])
async def test_the_phone_transfers_in_a_consult_of_the_bridge(call: Call, alternated: bool) -> None:
    """The phone has one call: its key hands on whom it talks to, and there is nobody for the other one."""
    consult = await call.consult()
    if alternated:
        await call.interaction.alternate()
    targets_call, outsider = call.target.calls[0], await call.desk.phones.phone("2002")
    await call.agent.calls[0].transfer("2002")
    await call.interaction.wait_state(ENDED)
    handed_on, left = (call.primary, consult) if alternated else (consult, call.primary)
    assert handed_on.cause is Cause.TRANSFERRED
    # At times Asterisk tells the end of the phone's leg before it says what was handed on.
    assert left.cause in {Cause.NORMAL, Cause.TRANSFERRED}
    sent_on, let_go = (call.customer, targets_call) if alternated else (call.target, call.customers_call)
    await let_go.wait_state(CallState.ENDED, WAIT)
    await (await outsider.next_call(WAIT)).answer()
    await expect_hears({outsider: {sent_on.extension}, sent_on: {"2002"}})
    await outsider.calls[0].hangup()
    await gone(call)


# -- the phone's own consult --------------------------------------------------------------------------


async def test_after_a_consult_of_the_phone_the_bridge_consults(call: Call) -> None:
    found, second = await consult(call)
    await second.hangup()
    await found.wait_state(RELEASED)
    await resume(call)
    again, targets_call = await ring(call)
    await targets_call.answer()
    await again.wait_state(TALKING)
    await expect_hears({call.agent: {"1002"}, call.target: {"1001"}, call.customer: {"MOH"}})
    await call.interaction.consult_transfer()
    await expect_hears({call.customer: {"1002"}, call.target: {"2001"}})
    await call.interaction.wait_state(ENDED)
    await gone(call)


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
