"""What the agent does with the phone's own keys: the bridge sees it as if it had asked, proven by ear."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from calls import ENDED, HELD, ORIGINS, RELEASED, TALKING, Call, make_call
from desk import WAIT, Desk, cause_of, settings_for
from phone_keys import PLACES, consult, gone, hold, in_a_room, into_room, join, resume

from connector.app import ami_settings
from connector.asterisk.pbx import AsteriskPbx
from connector.asterisk.settings import DialSettings
from connector.bridge.catalogue.channel import AgentState
from connector.bridge.catalogue.conversation import Cause
from connector.lab.phones.base import CallState, PhoneError
from connector.lab.phones.hearing import expect_hears
from connector.telephony.changes import Change, ServiceChanged
from connector.telephony.legs import Leg
from connector.telephony.states import ConversationState as ModelState


@pytest.fixture(params=ORIGINS)
async def call(at_desk: Desk, request: pytest.FixtureRequest) -> Call:
    return await make_call(at_desk, request.param)


async def test_who_answers_a_consult_that_the_phone_holds_already_hears_music(call: Call) -> None:
    consult = await call.interaction.consult("1002")
    ringing = await call.target.next_call(WAIT)
    (agents_call,) = call.agent.calls
    await agents_call.hold()
    await ringing.answer()
    await consult.wait_state(HELD)
    await expect_hears({call.agent: set(), call.customer: {"MOH"}, call.target: {"MOH"}})
    await agents_call.resume()
    await consult.wait_state(TALKING)
    await expect_hears({call.agent: {"1002"}, call.customer: {"MOH"}, call.target: {"1001"}})
    await call.interaction.alternate()
    await expect_hears({call.agent: {"2001"}, call.customer: {"1001"}, call.target: {"MOH"}})
    await consult.release()
    await call.primary.release()
    await call.over()


@pytest.mark.parametrize("where", ["bridge", "room"])
async def test_hold_and_resume(call: Call, where: str) -> None:
    if where == "room":
        await into_room(call)
    for _ in range(2):
        await hold(call)
        await resume(call)
    await call.agent.calls[0].hangup()
    await call.primary.wait_state(RELEASED)
    assert call.primary.cause is Cause.NORMAL
    await call.customers_call.wait_state(CallState.ENDED, WAIT)
    await call.over()


@pytest.mark.parametrize("where", ["bridge", "room"])
@pytest.mark.parametrize("who", ["customer", "agent"])
async def test_a_call_that_the_phone_holds_ends(call: Call, where: str, who: str) -> None:
    if where == "room":
        await into_room(call)
    first = await hold(call)
    await (call.customers_call if who == "customer" else first).hangup()
    await call.primary.wait_state(RELEASED)
    assert call.primary.cause is Cause.NORMAL
    await call.interaction.wait_state(ENDED)
    await first.wait_state(CallState.ENDED, WAIT)
    await call.customers_call.wait_state(CallState.ENDED, WAIT)
    await call.over()


@PLACES
@pytest.mark.parametrize("held", [False, True])
async def test_blind_transfer(call: Call, where: str, held: bool) -> None:
    if where == "room":
        await into_room(call)
    first = await hold(call) if held else call.agent.calls[0]
    if where == "bridge":
        await first.transfer("1002")
    else:
        # Asterisk refuses a REFER from a room, so the phone is told that; the connector does it all the same.
        with pytest.raises(PhoneError, match="400"):
            await first.transfer("1002")
    await call.interaction.wait_state(ENDED)
    assert call.primary.cause is Cause.TRANSFERRED
    assert cause_of(call.interaction) is Cause.TRANSFERRED
    await first.wait_state(CallState.ENDED, WAIT)
    await (await call.target.next_call(WAIT)).answer()
    await expect_hears({call.customer: {"1002"}, call.target: {"2001"}})
    await gone(call)


async def test_a_transfer_to_a_number_that_does_not_exist_changes_nothing_in_a_room(
    queue_call: Call,
) -> None:
    call = queue_call
    await into_room(call)
    with pytest.raises(PhoneError, match="400"):
        await call.agent.calls[0].transfer("8888")
    assert call.primary.state is TALKING
    await expect_hears({call.agent: {"2001"}, call.customer: {"1001"}})
    await gone(call)


async def test_a_phone_that_holds_while_the_bridge_holds_changes_nothing(call: Call) -> None:
    await call.primary.hold()
    first = call.agent.calls[0]
    await first.hold()
    await expect_hears({call.agent: set(), call.customer: {"MOH"}})
    await first.resume()
    await expect_hears({call.agent: set(), call.customer: {"MOH"}})
    assert call.primary.state is HELD
    await call.primary.retrieve()
    await expect_hears({call.agent: {"2001"}, call.customer: {"1001"}})
    await gone(call)


async def test_hold_and_resume_in_quick_succession(queue_call: Call) -> None:
    call = queue_call
    await into_room(call)
    first = call.agent.calls[0]
    for _ in range(20):
        await first.hold()
        await first.resume()
    await call.primary.wait_state(TALKING)
    await expect_hears({call.agent: {"2001"}, call.customer: {"1001"}})
    await hold(call)
    await gone(call)


@pytest.mark.parametrize("milliseconds", [0, 3, 6, 9, 12, 20])
@pytest.mark.parametrize("who", ["customer", "agent"])
async def test_somebody_hangs_up_as_the_phone_holds(queue_call: Call, milliseconds: int, who: str) -> None:
    call = queue_call
    await into_room(call)
    first = call.agent.calls[0]
    leaving = call.customers_call if who == "customer" else first

    async def leave() -> None:
        await asyncio.sleep(milliseconds / 1000)
        await leaving.hangup()

    async def hold() -> None:
        with suppress(PhoneError):
            await first.hold()

    await asyncio.gather(hold(), leave())
    await call.interaction.wait_state(ENDED)
    assert call.primary.cause is Cause.NORMAL
    await first.wait_state(CallState.ENDED, WAIT)
    await call.customers_call.wait_state(CallState.ENDED, WAIT)
    await call.over()


async def test_phone_and_bridge_hold_at_once(queue_call: Call) -> None:
    call = queue_call
    first = call.agent.calls[0]

    exchange = call.desk.connector.pbx._exchange

    def leg() -> Leg:
        return exchange.model.legs.legs[call.interaction.nativeid]

    async def ask(verb: str) -> str | None:
        asked = await call.desk.bridge.request(call.primary.target, f"conversation.request.{verb}", {})
        return asked.error_message

    for _ in range(5):
        _, said = await asyncio.gather(first.hold(), ask("hold"))
        # The one that comes second finds the call on hold.
        assert said in {None, "Only a call that is TALKING can be held: this one is HELD."}
        await expect_hears({call.agent: set(), call.customer: {"MOH"}})
        assert call.primary.state is HELD
        await first.resume()
        await exchange.until(lambda: not leg().phone_hold, "end of the phone's hold", WAIT)
        said = await ask("retrieve")
        assert said in {None, "Only a call that is HELD can be retrieved: this one is TALKING."}
        await expect_hears({call.agent: {"2001"}, call.customer: {"1001"}})
    await gone(call)


@pytest.mark.parametrize("where", ["bridge", "room"])
async def test_the_other_stack_does_the_same(at_desk: Desk, where: str) -> None:
    call = await make_call(at_desk, "queue", stack="pjsua2")
    if where == "room":
        await into_room(call)
    await hold(call)
    await resume(call)
    found, second = await consult(call)
    first = call.agent.calls[0]
    await second.hold()
    await found.wait_state(HELD)
    await first.resume()
    await call.primary.wait_state(TALKING)
    await expect_hears({call.agent: {"2001"}, call.customer: {"1001"}, call.target: {"MOH"}})
    await join(call, second, where)
    await call.interaction.wait_state(ENDED)
    assert (call.primary.cause, found.cause) == (Cause.TRANSFERRED, Cause.TRANSFERRED)
    await expect_hears({call.customer: {"1002"}, call.target: {"2001"}})
    await gone(call)


@pytest.mark.parametrize(
    ("number", "code", "cause"),
    [
        ("2001", 486, Cause.BUSY),
        ("2001", 603, Cause.REJECTED),
        ("2009", None, Cause.UNREACHABLE),
        ("2001", None, Cause.CANCELLED),
    ],
)
async def test_a_call_dialled_by_hand_that_is_not_answered(
    at_desk: Desk, number: str, code: int | None, cause: Cause
) -> None:
    agent, customer = await at_desk.agent_phone(), await at_desk.phones.phone("2001", "pjsua2")
    session = await at_desk.login("1001", ready=False)
    if code is not None:
        customer.answer_mode = code
    placed = await agent.dial(number)
    interaction = await session.channel.next_interaction()
    if cause is Cause.CANCELLED:
        await customer.next_call(WAIT)
        await placed.hangup()
    await interaction.wait_state(ENDED)
    assert cause_of(interaction) is cause
    await interaction.complete()
    await session.close()


class Service:
    """Whether a PBX can be worked with, awaited."""

    def __init__(self, pbx: AsteriskPbx) -> None:
        self._told: asyncio.Queue[bool] = asyncio.Queue()
        pbx.subscribe(self._listen)

    def _listen(self, change: Change) -> None:
        if isinstance(change, ServiceChanged):
            self._told.put_nowait(change.available)

    async def wait(self, *, available: bool) -> None:
        async with asyncio.timeout(WAIT):
            while await self._told.get() is not available:
                pass


@asynccontextmanager
async def another_connector(desk: Desk, folder: Path) -> AsyncIterator[tuple[AsteriskPbx, Service]]:
    """Run what a restarted connector has of the PBX: it finds all calls in progress."""
    settings = settings_for(desk.info, folder, desk.bridge.port)
    pbx = AsteriskPbx(ami_settings(settings), DialSettings())
    service = Service(pbx)
    for agent in settings.agents.values():
        pbx.watch(agent.extension)
    running = asyncio.create_task(pbx.run())
    await service.wait(available=True)
    yield pbx, service
    await pbx.close()
    await asyncio.gather(running, return_exceptions=True)


def states(pbx: AsteriskPbx, call: Call) -> dict[str, ModelState]:
    found = pbx.model.interaction(call.interaction.nativeid)
    assert found is not None
    return {one.id.rpartition("-")[2]: one.state for one in found.live_conversations}


async def test_a_restarted_connector_finds_what_the_phone_did(queue_call: Call, tmp_path: Path) -> None:
    call = queue_call
    _, second = await consult(call)
    first = call.agent.calls[0]
    async with another_connector(call.desk, tmp_path) as (pbx, service):
        assert states(pbx, call) == {"1": ModelState.HELD, "2": ModelState.TALKING}
        assert len(pbx.model.interactions("1001")) == 1
        # While nobody looks the phone alternates; then the link is back.
        pbx._link._drop("the test cuts it")
        await service.wait(available=False)
        await second.hold()
        await first.resume()
        await service.wait(available=True)
        assert states(pbx, call) == {"1": ModelState.TALKING, "2": ModelState.HELD}
    await first.hangup()
    await call.primary.wait_state(RELEASED)
    async with another_connector(call.desk, tmp_path) as (pbx, _):
        (alone,) = pbx.model.interactions("1001")
        assert alone.id == call.interaction.nativeid
    await gone(call)


@pytest.mark.parametrize("where", ["bridge", "room", "two rooms"])
async def test_a_second_incoming_call_is_an_interaction_of_its_own(queue_call: Call, where: str) -> None:
    call = queue_call
    if where != "bridge":
        await into_room(call)
    call.agent.answer_mode = "manual"
    first = await call.agent.next_call(WAIT)
    other = await call.desk.phones.phone("2002")
    others_call = await other.dial("1001")
    second = await call.session.channel.next_interaction()
    assert second.nativeid != call.interaction.nativeid
    await hold(call)
    ringing = await call.agent.next_call(WAIT)
    await ringing.answer()
    await second.primary.wait_state(TALKING)
    if where == "two rooms":
        await second.primary.hold()
        await second.primary.retrieve()
    await expect_hears({call.agent: {"2002"}, other: {"1001"}, call.customer: {"MOH"}})
    if where == "bridge":
        await first.transfer_to(ringing)
    else:
        await in_a_room(call, "2002")
        with pytest.raises(PhoneError, match="400"):
            await first.transfer_to(ringing)
    await call.interaction.wait_state(ENDED)
    await second.wait_state(ENDED)
    assert (call.primary.cause, second.primary.cause) == (Cause.TRANSFERRED, Cause.TRANSFERRED)
    await expect_hears({other: {"2001"}, call.customer: {"2002"}})
    await others_call.hangup()
    await call.customers_call.wait_state(CallState.ENDED, WAIT)
    await second.complete()
    await gone(call)


async def test_a_colleague_who_is_logged_in_sees_the_transfer(queue_call: Call) -> None:
    call = queue_call
    colleague = await call.desk.login("1002", ready=False)
    _, second = await consult(call)
    received = await colleague.channel.next_interaction()
    assert received.data["SKILL"] == "support"
    assert [one.address for one in received.primary.members] == ["1001"]
    await call.agent.calls[0].transfer_to(second)
    await call.interaction.wait_state(ENDED)
    await received.primary.wait_members(lambda members: [one.address for one in members] == ["2001"])
    assert received.primary.state is TALKING
    await expect_hears({call.customer: {"1002"}, call.target: {"2001"}})
    await call.customers_call.hangup()
    await received.wait_state(ENDED)
    await colleague.close()
    await gone(call)


@pytest.mark.parametrize("code", [486, 603])
async def test_declining_on_the_phone_makes_not_ready(at_desk: Desk, code: int) -> None:
    agent, customer = await at_desk.phones.phone("1001", "pjsua2"), await at_desk.phones.phone("2001")
    session = await at_desk.login("1001")
    agent.answer_mode = code
    call = await customer.dial("7000")
    interaction = await session.channel.next_interaction()
    await interaction.wait_state(ENDED)
    assert cause_of(interaction) is Cause.REJECTED
    await session.channel.wait_state(agent_state=AgentState.NOT_READY)
    await expect_hears({customer: {"MOH"}})
    await call.hangup()
    await session.close()
