"""Consults that the agent makes with the phone's own keys, whoever goes on with them, proven by ear."""

from collections.abc import Iterator

import pytest
from cable import Cable
from calls import ENDED, HELD, ORIGINS, RELEASED, TALKING, Call, make_call
from desk import WAIT, Desk, cause_of
from phone_keys import PLACES, consult, gone, hold, into_room, join, resume
from test_colleague import make_pair

from connector.bridge.catalogue.conversation import Cause
from connector.bridge.catalogue.interaction import InteractionState
from connector.lab.phones.base import CallState, PhoneCall, PhoneError
from connector.lab.phones.hearing import expect_hears
from connector.lab.provider import LabProvider
from connector.processor.handles import Conversation


@pytest.fixture(params=ORIGINS)
async def call(at_desk: Desk, request: pytest.FixtureRequest) -> Call:
    return await make_call(at_desk, request.param)


@PLACES
async def test_consult_and_attended_transfer(call: Call, where: str) -> None:
    if where == "room":
        await into_room(call)
    found, second = await consult(call)
    await join(call, second, where)
    await call.interaction.wait_state(ENDED)
    assert (call.primary.cause, found.cause) == (Cause.TRANSFERRED, Cause.TRANSFERRED)
    assert cause_of(call.interaction) is Cause.TRANSFERRED
    await expect_hears({call.customer: {"1002"}, call.target: {"2001"}})
    assert not call.agent.calls
    await call.target.calls[0].hangup()
    await call.customers_call.wait_state(CallState.ENDED, WAIT)
    await call.over()


@pytest.mark.parametrize("where", ["bridge", "room", "on hold"])
async def test_a_colleague_who_got_the_customer_holds_with_the_phone(
    far_desk: Desk, cable: Cable, where: str
) -> None:
    """By the key that joins two calls; one that is on hold by the desktop Asterisk joins at once."""
    call = await make_call(far_desk, "queue")
    colleague = await call.desk.login("1002", ready=False)
    if where == "on hold":
        await call.primary.hold()
        second = await call.agent.dial("1002")
        theirs = await colleague.channel.next_interaction()
        # Else the connector would have the second call in a room, out of which it joins them itself.
        cable.freeze()
        await (await call.target.next_call(WAIT)).answer()
        await second.wait_state(CallState.TALKING, WAIT)
        await call.agent.calls[0].transfer_to(second)
        cable.thaw()
    else:
        if where == "room":
            await into_room(call)
        _, second = await consult(call)
        theirs = await colleague.channel.next_interaction()
        await theirs.primary.wait_state(TALKING)
        await join(call, second, where)
    await call.interaction.wait_state(ENDED)
    await expect_hears({call.customer: {"1002"}, call.target: {"2001"}})
    for _ in range(2):
        await call.target.calls[0].hold()
        await theirs.primary.wait_state(HELD)
        await expect_hears({call.customer: {"MOH"}, call.target: set()})
        await call.target.calls[0].resume()
        await theirs.primary.wait_state(TALKING)
        await expect_hears({call.customer: {"1002"}, call.target: {"2001"}})
    await call.target.calls[0].hangup()
    await call.customers_call.wait_state(CallState.ENDED, WAIT)
    await theirs.wait_state(ENDED)
    await theirs.complete()
    await colleague.close()
    await call.over()


async def test_a_colleague_who_holds_the_consult_of_the_phone_lets_it_go(call: Call) -> None:
    """The phone's second leg has no other call: it does not go on waiting for nobody."""
    colleague = await call.desk.login("1002", ready=False)
    found, second = await consult(call)
    theirs = await colleague.channel.next_interaction()
    await theirs.primary.wait_state(TALKING)
    await theirs.primary.hold()
    await expect_hears({call.agent: {"MOH"}, call.target: set(), call.customer: {"MOH"}})
    await theirs.primary.release()
    await second.wait_state(CallState.ENDED, WAIT)
    await found.wait_state(RELEASED)
    assert call.primary.state is HELD
    await theirs.wait_state(ENDED)
    await theirs.complete()
    await colleague.close()
    await resume(call)
    await gone(call)


async def test_a_colleague_goes_while_the_phone_holds_the_consult_in_a_room(call: Call) -> None:
    """The second leg waits outside the room then, and nobody is left for it."""
    colleague = await call.desk.login("1002", ready=False)
    found, second = await consult(call)
    first = call.agent.calls[0]
    theirs = await colleague.channel.next_interaction()
    await theirs.primary.wait_state(TALKING)
    await theirs.primary.hold()
    await theirs.primary.retrieve()
    await expect_hears({call.agent: {"1002"}, call.target: {"1001"}, call.customer: {"MOH"}})
    await second.hold()
    await first.resume()
    await found.wait_state(HELD)
    await call.primary.wait_state(TALKING)
    await expect_hears({call.agent: {"2001"}, call.target: {"MOH"}, call.customer: {"1001"}})
    await theirs.primary.release()
    await found.wait_state(RELEASED)
    await second.wait_state(CallState.ENDED, WAIT)
    await theirs.wait_state(ENDED)
    await theirs.complete()
    await colleague.close()
    await expect_hears({call.agent: {"2001"}, call.customer: {"1001"}})
    await gone(call)


@pytest.mark.parametrize("where", ["bridge", "room"])
async def test_a_consult_is_cancelled_on_the_phone(call: Call, where: str) -> None:
    if where == "room":
        await into_room(call)
    await hold(call)
    second = await call.agent.dial("1002")
    found = await call.interaction.wait_consult()
    ringing = await call.target.next_call(WAIT)
    await second.hangup()
    await found.wait_state(RELEASED)
    assert found.cause is Cause.CANCELLED
    await ringing.wait_state(CallState.ENDED, WAIT)
    await resume(call)
    again, second = await consult(call)
    assert again is not found
    await second.hangup()
    await again.wait_state(RELEASED)
    assert again.cause is Cause.NORMAL
    assert call.primary.state is HELD
    await resume(call)
    await gone(call)


@pytest.mark.parametrize(("number", "cause"), [("1002", Cause.BUSY), ("2009", Cause.UNREACHABLE)])
async def test_a_consult_that_reaches_nobody(queue_call: Call, number: str, cause: Cause) -> None:
    call = queue_call
    call.target.answer_mode = 486
    await hold(call)
    second = await call.agent.dial(number)
    found = await call.interaction.wait_consult()
    await found.wait_state(RELEASED)
    assert found.cause is cause
    await second.wait_state(CallState.ENDED, WAIT)
    assert call.primary.state is HELD
    await resume(call)
    await gone(call)


@PLACES
async def test_the_phone_alternates(call: Call, where: str) -> None:
    if where == "room":
        await into_room(call)
    found, second = await consult(call)
    first = call.agent.calls[0]
    for _ in range(2):
        await second.hold()
        await found.wait_state(HELD)
        await first.resume()
        await call.primary.wait_state(TALKING)
        await expect_hears({call.agent: {"2001"}, call.customer: {"1001"}, call.target: {"MOH"}})
        await first.hold()
        await call.primary.wait_state(HELD)
        await second.resume()
        await found.wait_state(TALKING)
        await expect_hears({call.agent: {"1002"}, call.customer: {"MOH"}, call.target: {"1001"}})
    await gone(call)


@pytest.fixture
def codes(provider: LabProvider) -> Iterator[None]:
    """Have the site's own Dial give both sides the codes of features.conf."""
    provider.asterisk_cli("dialplan set global DIAL_OPTIONS tT")
    yield
    provider.asterisk_cli("dialplan reload")


CODES = ("9#1", "*", "2", "*0")
"""Tones that are codes of the site; a desktop may send each key by itself."""


async def tones_arrive(found: Conversation, to: PhoneCall) -> None:
    before = to.dtmf_received
    for tones in CODES:
        await found.send_dtmf(tones)
    await to.wait_dtmf(before + "".join(CODES), WAIT)


@pytest.mark.usefixtures("codes")
@pytest.mark.parametrize("where", ["bridge", "room"])
async def test_tones_are_no_codes_in_a_consult_of_the_phone(call: Call, where: str) -> None:
    """And the phone goes on with both calls by its own keys."""
    if where == "room":
        await into_room(call)
    found, second = await consult(call)
    first = call.agent.calls[0]
    await tones_arrive(found, call.target.calls[0])
    assert (call.primary.state, found.state) == (HELD, TALKING)
    await expect_hears({call.agent: {"1002"}, call.target: {"1001"}, call.customer: {"MOH"}})
    await second.hold()
    await found.wait_state(HELD)
    await first.resume()
    await call.primary.wait_state(TALKING)
    await tones_arrive(call.primary, call.customers_call)
    await expect_hears({call.agent: {"2001"}, call.customer: {"1001"}, call.target: {"MOH"}})
    await first.hold()
    await call.primary.wait_state(HELD)
    await second.resume()
    await found.wait_state(TALKING)
    await expect_hears({call.agent: {"1002"}, call.target: {"1001"}, call.customer: {"MOH"}})
    assert (call.primary.states[-3:], found.states[-3:]) == ([HELD, TALKING, HELD], [TALKING, HELD, TALKING])
    await join(call, second, "room")
    await call.interaction.wait_state(ENDED)
    assert (call.primary.cause, found.cause) == (Cause.TRANSFERRED, Cause.TRANSFERRED)
    await expect_hears({call.customer: {"1002"}, call.target: {"2001"}})
    await gone(call)


@pytest.mark.usefixtures("codes")
async def test_tones_in_a_first_call_while_the_phone_holds_the_consult(call: Call) -> None:
    """Both calls were in plain bridges, and the one that is held is the second."""
    found, second = await consult(call)
    first = call.agent.calls[0]
    await second.hold()
    await found.wait_state(HELD)
    await first.resume()
    await call.primary.wait_state(TALKING)
    await tones_arrive(call.primary, call.customers_call)
    await expect_hears({call.agent: {"2001"}, call.customer: {"1001"}, call.target: {"MOH"}})
    await first.hold()
    await call.primary.wait_state(HELD)
    await second.resume()
    await found.wait_state(TALKING)
    await tones_arrive(found, call.target.calls[0])
    await call.primary.release()
    await call.customers_call.wait_state(CallState.ENDED, WAIT)
    await tones_arrive(found, call.target.calls[0])
    await expect_hears({call.agent: {"1002"}, call.target: {"1001"}})
    await gone(call)


@pytest.mark.usefixtures("codes")
async def test_tones_are_no_codes_when_only_the_consult_of_the_phone_is_left(call: Call) -> None:
    found, _ = await consult(call)
    await call.customers_call.hangup()
    await call.primary.wait_state(RELEASED)
    await tones_arrive(found, call.target.calls[0])
    await expect_hears({call.agent: {"1002"}, call.target: {"1001"}})
    await gone(call)


@pytest.mark.usefixtures("codes")
async def test_tones_are_no_codes_in_a_consult_of_the_bridge(call: Call) -> None:
    found = await call.consult()
    await tones_arrive(found, call.target.calls[0])
    await expect_hears({call.agent: {"1002"}, call.target: {"1001"}, call.customer: {"MOH"}})
    await gone(call)


@pytest.mark.usefixtures("codes")
async def test_tones_to_a_colleague_who_is_an_agent(at_desk: Desk) -> None:
    pair = await make_pair(at_desk)
    told = len(pair.consult.states), len(pair.theirs.primary.states)
    await tones_arrive(pair.consult, pair.colleagues_call)
    await pair.talk()
    await tones_arrive(pair.theirs.primary, pair.agents_call)
    await pair.talk()
    assert (len(pair.consult.states), len(pair.theirs.primary.states)) == told
    # Nobody is there who could hear tones, and that is no fault.
    await pair.theirs.primary.hold()
    await pair.hear({"MOH"}, set(), {"MOH"})
    await pair.consult.send_dtmf("5")
    await pair.theirs.primary.retrieve()
    await pair.call.interaction.alternate()
    await pair.hear({"2001"}, {"MOH"}, {"1001"})
    await pair.theirs.primary.send_dtmf("5")
    await pair.call.interaction.alternate()
    await pair.talk()
    await pair.theirs.primary.release()
    await pair.agent_goes_on()


@pytest.mark.parametrize("where", ["bridge", "room"])
@pytest.mark.parametrize("who", ["customer", "agent", "bridge"])
async def test_the_first_call_ends_and_the_consult_goes_on(call: Call, where: str, who: str) -> None:
    if where == "room":
        await into_room(call)
    found, second = await consult(call)
    first = call.agent.calls[0]
    if who == "bridge":
        await call.primary.release()
    else:
        await (call.customers_call if who == "customer" else first).hangup()
    await call.primary.wait_state(RELEASED)
    assert call.primary.cause is Cause.NORMAL
    await call.customers_call.wait_state(CallState.ENDED, WAIT)
    await first.wait_state(CallState.ENDED, WAIT)
    assert found.state is TALKING
    assert call.interaction.state is InteractionState.STARTED
    await expect_hears({call.agent: {"1002"}, call.target: {"1001"}})
    await second.hangup()
    await found.wait_state(RELEASED)
    await call.over()


@pytest.mark.parametrize("who", ["agent", "customer", "both phones"])
async def test_the_hold_is_told_across_both_calls(queue_call: Call, who: str) -> None:
    """Whoever hangs up while both calls are held: right states, nobody left over."""
    call = queue_call
    found, second = await consult(call)
    await second.hold()
    await found.wait_state(HELD)
    await expect_hears({call.agent: set(), call.customer: {"MOH"}, call.target: {"MOH"}})
    if who == "customer":
        await call.customers_call.hangup()
        await call.primary.wait_state(RELEASED)
        await second.resume()
        await found.wait_state(TALKING)
        await expect_hears({call.agent: {"1002"}, call.target: {"1001"}})
    elif who == "both phones":
        await call.target.calls[0].hangup()
        await found.wait_state(RELEASED)
        await call.customers_call.hangup()
        await call.primary.wait_state(RELEASED)
    await gone(call)


@pytest.mark.parametrize("where", ["bridge", "room"])
async def test_the_bridge_alternates_a_consult_of_the_phone(call: Call, where: str) -> None:
    if where == "room":
        await into_room(call)
    found, second = await consult(call)
    first = call.agent.calls[0]
    await call.interaction.alternate()
    assert (call.primary.state, found.state) == (TALKING, HELD)
    # Both are on the phone's second line from now on: the one that it did not hold.
    await first.wait_state(CallState.ENDED, WAIT)
    assert call.agent.calls == (second,)
    await expect_hears({call.agent: {"2001"}, call.customer: {"1001"}, call.target: {"MOH"}})
    await call.interaction.alternate()
    assert (call.primary.state, found.state) == (HELD, TALKING)
    await expect_hears({call.agent: {"1002"}, call.customer: {"MOH"}, call.target: {"1001"}})
    await found.release()
    await call.primary.wait_state(TALKING)
    await expect_hears({call.agent: {"2001"}, call.customer: {"1001"}})
    await second.hangup()
    await call.customers_call.wait_state(CallState.ENDED, WAIT)
    await call.over()


@pytest.mark.parametrize("where", ["bridge", "room"])
@pytest.mark.parametrize("ringing", [False, True])
async def test_the_bridge_completes_a_consult_of_the_phone(call: Call, where: str, ringing: bool) -> None:
    if where == "room":
        await into_room(call)
    if ringing:
        await hold(call)
        await call.agent.dial("1002")
        found = await call.interaction.wait_consult()
        await call.target.next_call(WAIT)
    else:
        found, _ = await consult(call)
    await call.interaction.consult_transfer()
    await call.interaction.wait_state(ENDED)
    assert (call.primary.cause, found.cause) == (Cause.TRANSFERRED, Cause.TRANSFERRED)
    if ringing:
        await (await call.target.next_call(WAIT)).answer()
    await expect_hears({call.customer: {"1002"}, call.target: {"2001"}})
    assert not call.agent.calls
    await call.target.calls[0].hangup()
    await call.customers_call.wait_state(CallState.ENDED, WAIT)
    await call.over()


async def test_the_bridge_completes_what_the_phone_holds_altogether(queue_call: Call) -> None:
    call = queue_call
    found, second = await consult(call)
    await second.hold()
    await found.wait_state(HELD)
    reply = await call.desk.bridge.request(call.interaction.target, "interaction.request.alternate", {})
    assert reply.error_message == "The phone itself holds both calls: take one of them back there first."
    await call.interaction.consult_transfer()
    await call.interaction.wait_state(ENDED)
    await expect_hears({call.customer: {"1002"}, call.target: {"2001"}})
    await gone(call)


async def test_the_bridge_makes_a_conference_of_a_consult_of_the_phone(call: Call) -> None:
    found, second = await consult(call)
    await call.interaction.consult_conference()
    assert (found.state, found.cause) == (RELEASED, Cause.CONFERENCED)
    assert call.primary.state is TALKING
    await expect_hears(
        {call.agent: {"2001", "1002"}, call.customer: {"1001", "1002"}, call.target: {"1001", "2001"}}
    )
    assert call.agent.calls == (second,)
    await second.hold()
    await call.primary.wait_state(HELD)
    await expect_hears({call.agent: set(), call.customer: {"1002"}, call.target: {"2001"}})
    await second.resume()
    await call.primary.wait_state(TALKING)
    await expect_hears(
        {call.agent: {"2001", "1002"}, call.customer: {"1001", "1002"}, call.target: {"1001", "2001"}}
    )
    await gone(call)


async def test_the_bridge_releases_or_holds_a_consult_of_the_phone(call: Call) -> None:
    found, second = await consult(call)
    await found.hold()
    await expect_hears({call.agent: set(), call.customer: {"MOH"}, call.target: {"MOH"}})
    await found.retrieve()
    await expect_hears({call.agent: {"1002"}, call.customer: {"MOH"}, call.target: {"1001"}})
    await found.release()
    await second.wait_state(CallState.ENDED, WAIT)
    assert call.primary.state is HELD
    await resume(call)
    await gone(call)


@pytest.mark.parametrize("where", ["bridge", "room"])
async def test_what_the_phone_holds_the_bridge_cannot_take_back(queue_call: Call, where: str) -> None:
    call = queue_call
    if where == "room":
        await into_room(call)
    await hold(call)

    async def refused(target: str, name: str, **body: str) -> str | None:
        return (await call.desk.bridge.request(target, name, body)).error_message

    said = await refused(call.primary.target, "conversation.request.retrieve")
    assert said == "The phone itself holds the call: take it back there first."
    said = await refused(call.interaction.target, "interaction.request.consult", destination="1002")
    assert said == "The phone itself holds the call: take it back there first."
    said = await refused(call.primary.target, "conversation.request.hold")
    assert said == "Only a call that is TALKING can be held: this one is HELD."
    await resume(call)
    await gone(call)


async def test_the_phone_holds_and_transfers_in_a_consult_of_the_bridge(call: Call) -> None:
    consult = await call.consult()
    first = call.agent.calls[0]
    await first.hold()
    await consult.wait_state(HELD)
    await expect_hears({call.agent: set(), call.target: {"MOH"}, call.customer: {"MOH"}})
    await first.resume()
    await consult.wait_state(TALKING)
    await expect_hears({call.agent: {"1002"}, call.target: {"1001"}, call.customer: {"MOH"}})
    # The phone has one call: its transfer key hands the consulted party on and ends it. Whom the bridge holds
    # for the agent is an orphan then, as if the agent had hung up.
    outsider = await call.desk.phones.phone("2002")
    await first.transfer("2002")
    await call.interaction.wait_state(ENDED)
    assert (call.primary.cause, consult.cause) == (Cause.NORMAL, Cause.TRANSFERRED)
    await (await outsider.next_call(WAIT)).answer()
    await expect_hears({outsider: {"1002"}, call.target: {"2002"}})
    await outsider.calls[0].hangup()
    await gone(call)


@PLACES
async def test_a_consult_is_transferred_while_it_rings(at_desk: Desk, where: str) -> None:
    call = await make_call(at_desk, "queue", stack="pjsua2")
    if where == "room":
        await into_room(call)
    first = await hold(call)
    second = await call.agent.dial("1002")
    found = await call.interaction.wait_consult()
    ringing = await call.target.next_call(WAIT)
    await second.wait_state(CallState.RINGING_OUT, WAIT)
    if where == "bridge":
        await first.transfer_to(second)
    else:
        # No call of the phone is in a plain bridge, so Asterisk refuses; the connector has the number called.
        with pytest.raises(PhoneError, match="400"):
            await first.transfer_to(second)
        ringing = await call.target.next_call(WAIT)
    await call.interaction.wait_state(ENDED)
    assert (call.primary.cause, found.cause) == (Cause.TRANSFERRED, Cause.TRANSFERRED)
    await ringing.answer()
    await expect_hears({call.customer: {"1002"}, call.target: {"2001"}})
    await gone(call)


@pytest.mark.parametrize("where", ["bridge", "room"])
async def test_a_consult_with_a_program_is_transferred(queue_call: Call, where: str) -> None:
    call = queue_call
    if where == "room":
        await into_room(call)
    first = await hold(call)
    second = await call.agent.dial("9000")
    found = await call.interaction.wait_consult()
    await found.wait_state(TALKING)
    await second.wait_state(CallState.TALKING, WAIT)
    await expect_hears({call.agent: {"1001"}, call.customer: {"MOH"}})
    if where == "bridge":
        await first.transfer_to(second)
    else:
        with pytest.raises(PhoneError, match="400"):
            await first.transfer_to(second)
    await call.interaction.wait_state(ENDED)
    assert (call.primary.cause, found.cause) == (Cause.TRANSFERRED, Cause.TRANSFERRED)
    await expect_hears({call.customer: {"2001"}})
    await gone(call)
