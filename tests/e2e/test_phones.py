"""Phones of both stacks on the real PBX: they call one another, and hear each other and nobody else."""

import asyncio
from collections.abc import AsyncIterator, Mapping

import pytest

from connector.lab.phones.base import CallState, Phone, PhoneCall, PhoneError, PhoneUnsupportedError
from connector.lab.phones.fleet import PhoneFleet, Stack
from connector.lab.phones.hearing import HearingError, expect_hears
from connector.lab.provider import LabInfo

WAIT = 10.0
"""Seconds that signalling on the loopback may take; it takes some 20 ms."""

PAIRS: tuple[tuple[Stack, Stack], ...] = (("baresip", "baresip"), ("pjsua2", "pjsua2"), ("baresip", "pjsua2"))


class Observer:
    """As much of AMI as these tests need: one action, one answer, on a connection without events."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def connect(cls, lab: LabInfo) -> "Observer":
        reader, writer = await asyncio.open_connection(lab.host, lab.ports.ami)
        await reader.readline()
        observer = cls(reader, writer)
        user = lab.ami["observer"]
        await observer.ask("Login", Username=user.username, Secret=user.secret, Events="off")
        return observer

    async def ask(self, action: str, **headers: str) -> str:
        """Send an action and return its response's text; it must be a success."""
        lines = [f"Action: {action}", *(f"{name}: {value}" for name, value in headers.items())]
        self._writer.write("\r\n".join([*lines, "", ""]).encode())
        answer = (await asyncio.wait_for(self._reader.readuntil(b"\r\n\r\n"), WAIT)).decode()
        assert answer.startswith("Response: Success"), answer
        return answer

    async def channels(self) -> list[str]:
        """Names of all live channels of the PBX."""
        answer = await self.ask("Command", Command="core show channels concise")
        lines = [line.removeprefix("Output: ") for line in answer.splitlines() if line.startswith("Output: ")]
        return [line.partition("!")[0] for line in lines if "!" in line]

    async def until_quiet(self) -> None:
        """Wait until the PBX has no channel of the test's phones any more."""
        async with asyncio.timeout(WAIT):
            # The PBX's own clean-up is asked for over AMI: each answer is the thing awaited.
            while any(channel.startswith("PJSIP/") for channel in await self.channels()):
                await self.ask("Ping")

    async def ring(self, extension: str, application: str = "Echo", data: str = "", **headers: str) -> None:
        """Let the PBX call a phone and run an application on the call."""
        variables = ",".join(f"PJSIP_HEADER(add,{name})={value}" for name, value in headers.items())
        await self.ask(
            "Originate",
            Channel=f"PJSIP/{extension}",
            Application=application,
            Data=data,
            CallerID="Kim <2009>",
            Async="true",
            Variable=variables,
        )

    def close(self) -> None:
        self._writer.close()


@pytest.fixture
async def fleet(lab: LabInfo) -> AsyncIterator[PhoneFleet]:
    accounts = {number: account.password for number, account in lab.sip.items()}
    async with PhoneFleet(lab.host, lab.ports.sip, accounts) as phones:
        yield phones


@pytest.fixture
async def observer(lab: LabInfo) -> AsyncIterator[Observer]:
    ami = await Observer.connect(lab)
    try:
        yield ami
    finally:
        ami.close()


async def talk(caller: Phone, callee: Phone) -> tuple[PhoneCall, PhoneCall]:
    """Call, answer by hand, and wait until both are up."""
    out = await caller.dial(callee.extension)
    into = await callee.next_call(WAIT)
    assert into.state is CallState.RINGING_IN
    assert into.remote_number == caller.extension
    await out.wait_state(CallState.RINGING_OUT, WAIT)
    await into.answer()
    await out.wait_state(CallState.TALKING, WAIT)
    return out, into


async def over(*calls: PhoneCall) -> None:
    for call in calls:
        await call.wait_state(CallState.ENDED, WAIT)


@pytest.mark.parametrize(("first", "second"), PAIRS)
async def test_a_conversation_from_dialling_to_hanging_up(
    fleet: PhoneFleet, observer: Observer, first: Stack, second: Stack
) -> None:
    agent, customer = await fleet.phone("1001", first), await fleet.phone("2001", second)
    idle = await fleet.phone("1002")
    both: Mapping[Phone, set[str]] = {agent: {"2001"}, customer: {"1001"}, idle: set()}

    out, into = await talk(agent, customer)
    await expect_hears(both)

    await out.hold()
    await expect_hears({agent: set(), customer: {"MOH"}})
    await out.resume()
    await expect_hears(both)
    await into.hold()
    await expect_hears({agent: {"MOH"}, customer: set()})
    await into.resume()
    await expect_hears(both)

    await out.send_dtmf("12#")
    await into.wait_dtmf("12#", WAIT)
    await into.send_dtmf("*90D")
    await out.wait_dtmf("*90D", WAIT)
    await expect_hears(both)

    await out.hangup()
    await over(into)
    assert (out.end_code, into.end_code, agent.calls, customer.calls) == (None, None, (), ())

    out, into = await talk(customer, agent)
    await into.hangup()
    await over(out)
    await expect_hears({agent: set(), customer: set()})
    await observer.until_quiet()


@pytest.mark.parametrize("stack", ["baresip", "pjsua2"])
async def test_outcomes_without_an_answer(fleet: PhoneFleet, observer: Observer, stack: Stack) -> None:
    caller, callee = await fleet.phone("1003", stack), await fleet.phone("2003", "pjsua2")

    # The PBX hands on what the phone says, but 603 as 403: it keeps a cause (21), not a SIP status.
    for refusal, told in ((486, 486), (480, 480), (603, 403)):
        callee.answer_mode = refusal
        out = await caller.dial("2003")
        into = await callee.next_call(WAIT)
        await over(out, into)
        assert (into.end_code, out.end_code) == (refusal, told)
    callee.answer_mode = "manual"

    out = await caller.dial("2003")
    into = await callee.next_call(WAIT)
    await out.hangup()
    await over(into)
    assert (out.end_code, into.end_code) == (487, 487)

    nobody = await caller.dial("5555")
    await over(nobody)
    assert nobody.end_code == 404

    unanswered = await caller.dial("9003")
    await unanswered.wait_state(CallState.RINGING_OUT, WAIT)
    await unanswered.hangup()
    await observer.until_quiet()


async def test_who_hangs_up_as_soon_as_it_is_dialled_leaves_no_call_at_the_pbx(
    fleet: PhoneFleet, observer: Observer
) -> None:
    # pjsua2 has four places for calls, and keeps those of calls that were cancelled for a while.
    caller = await fleet.phone("1003")
    # Without care one in three falls between the INVITE and the first answer to it.
    for _ in range(20):
        call = await caller.dial("9000")
        # A turn of the loop: the INVITE that answers the PBX's challenge may go out.
        await asyncio.sleep(0)
        await call.hangup()
        await over(call)
    await observer.until_quiet()


@pytest.mark.parametrize("stack", ["baresip", "pjsua2"])
async def test_refusing_by_hand(fleet: PhoneFleet, stack: Stack) -> None:
    caller, callee = await fleet.phone("1004"), await fleet.phone("2004", stack)
    out = await caller.dial("2004")
    into = await callee.next_call(WAIT)
    if stack == "baresip":
        with pytest.raises(PhoneUnsupportedError, match="only refuse with 486"):
            await into.reject(603)
    await into.reject()
    await over(out)
    assert (into.end_code, out.end_code) == (486, 486)
    with pytest.raises(PhoneError, match="cannot answer now"):
        await into.answer()


@pytest.mark.parametrize("stack", ["baresip", "pjsua2"])
async def test_echo_gives_back_ones_own_tone_and_a_wrong_expectation_fails(
    fleet: PhoneFleet, stack: Stack
) -> None:
    phone = await fleet.phone("1005", stack)
    call = await phone.dial("9000")
    await call.wait_state(CallState.TALKING, WAIT)
    await expect_hears({phone: {"1005"}})
    with pytest.raises(HearingError, match=r"1005 should hear 2001, WRONG: .*1005"):
        await expect_hears({phone: {"2001"}}, timeout=0.5)
    await call.hangup()


@pytest.mark.parametrize("stack", ["baresip", "pjsua2"])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Call-Info", "<sip:localhost>;answer-after=0"),
        ("Alert-Info", "<http://localhost>;info=alert-autoanswer"),
    ],
)
async def test_a_header_makes_the_phone_answer(
    fleet: PhoneFleet, observer: Observer, stack: Stack, name: str, value: str
) -> None:
    phone = await fleet.phone("1006", stack)
    phone.honour_auto_answer = True
    await observer.ring("1006", **{name: value})
    call = await phone.next_call(WAIT)
    assert call.auto_answer
    assert call.remote_number == "2009"
    await call.wait_state(CallState.TALKING, WAIT)
    await expect_hears({phone: {"1006"}})
    await call.hangup()

    phone.honour_auto_answer = False
    await observer.ring("1006", **{name: value})
    call = await phone.next_call(WAIT)
    assert call.auto_answer
    assert call.state is CallState.RINGING_IN
    await call.answer()
    await expect_hears({phone: {"1006"}})
    await call.hangup()
    await observer.until_quiet()


async def test_notify_talk_answers_and_notify_hold_holds_where_that_is_switched_on(
    fleet: PhoneFleet, observer: Observer
) -> None:
    phone = await fleet.phone("1007", "pjsua2")
    phone.honour_notify_talk = True
    caller = await fleet.phone("2007")
    # Asterisk finds no channel to notify before the phone has said that it rings.
    await (await caller.dial("1007")).wait_state(CallState.RINGING_OUT, WAIT)
    call = await phone.next_call(WAIT)
    (channel,) = (name for name in await observer.channels() if name.startswith("PJSIP/1007-"))
    for event, state in (("talk", CallState.TALKING), ("hold", CallState.HELD), ("talk", CallState.TALKING)):
        await observer.ask("PJSIPNotify", Channel=channel, Variable=f"Event={event}")
        await call.wait_state(state, WAIT)
    await expect_hears({phone: {"2007"}})
    phone.honour_notify_talk = False
    await observer.ask("PJSIPNotify", Channel=channel, Variable="Event=hold")
    await expect_hears({phone: {"2007"}}, stable=0.5)
    assert call.state is CallState.TALKING
    await call.hangup()
    await observer.until_quiet()


@pytest.mark.parametrize("stack", ["baresip", "pjsua2"])
async def test_many_short_calls(fleet: PhoneFleet, observer: Observer, stack: Stack) -> None:
    """Calls that end while their media still starts: more of them than either stack has slots for."""
    one, other = await fleet.phone("1001", stack), await fleet.phone("2001", stack)
    other.answer_mode = "auto"
    for number in range(30):
        out = await one.dial("2001")
        await out.wait_state(CallState.TALKING, WAIT)
        into = await other.next_call(WAIT)
        for _ in range(number % 7):
            await one.pulse.wait()
        first, second = (out, into) if number % 2 else (into, out)
        await first.hangup()
        await over(second)
    await observer.until_quiet()
    out = await one.dial("2001")
    await out.wait_state(CallState.TALKING, WAIT)
    await expect_hears({one: {"2001"}, other: {"1001"}})
    await out.hangup()


@pytest.mark.parametrize("stack", ["baresip", "pjsua2"])
async def test_transfers_by_the_phone(fleet: PhoneFleet, observer: Observer, stack: Stack) -> None:
    agent, customer, third = (
        await fleet.phone("1008", stack),
        await fleet.phone("2008"),
        await fleet.phone("1009"),
    )
    third.answer_mode = "auto"

    out, _ = await talk(agent, customer)
    # Asterisk refuses a REFER until both legs are joined, which is a moment after the answer.
    await expect_hears({agent: {"2008"}, customer: {"1008"}})
    await out.transfer("1009")
    assert out.state is CallState.ENDED
    await expect_hears({agent: set(), customer: {"1009"}, third: {"2008"}})
    await third.calls[0].hangup()
    await observer.until_quiet()

    out, _ = await talk(agent, customer)
    await expect_hears({agent: {"2008"}, customer: {"1008"}})
    with pytest.raises(PhoneError, match="404"):
        await out.transfer("5555")
    await expect_hears({agent: {"2008"}, customer: {"1008"}})
    await out.hold()
    consult = await agent.dial("1009")
    await consult.wait_state(CallState.TALKING, WAIT)
    await expect_hears({agent: {"1009"}, customer: {"MOH"}, third: {"1008"}})
    await out.transfer_to(consult)
    assert (out.state, consult.state) == (CallState.ENDED, CallState.ENDED)
    await expect_hears({agent: set(), customer: {"1009"}, third: {"2008"}})
    await customer.calls[0].hangup()
    await observer.until_quiet()


async def test_a_conference_of_four_on_both_stacks(fleet: PhoneFleet, observer: Observer) -> None:
    stacks: dict[str, Stack] = {"1001": "baresip", "1002": "pjsua2", "2001": "baresip", "2002": "pjsua2"}
    room = [await fleet.phone(extension, stack) for extension, stack in stacks.items()]
    for phone in room:
        phone.answer_mode = "auto"
        await observer.ring(phone.extension, "ConfBridge", "four,harmony_bridge,harmony_roomparty")
    while room:
        there = {phone.extension for phone in room}
        # Who is left alone gets music.
        heard = {phone: there - {phone.extension} or {"MOH"} for phone in room}
        await expect_hears(heard, timeout=WAIT)
        await room.pop().calls[0].hangup()
    await observer.until_quiet()


async def test_a_fleet_leaves_no_call_and_no_registration(lab: LabInfo, observer: Observer) -> None:
    accounts = {number: account.password for number, account in lab.sip.items()}
    async with PhoneFleet(lab.host, lab.ports.sip, accounts) as phones:
        one, other = await phones.phone("1010"), await phones.phone("2010", "pjsua2")
        other.answer_mode = "auto"
        call = await one.dial("2010")
        await call.wait_state(CallState.TALKING, WAIT)
        assert "2010" in await contacts(observer)
    await observer.until_quiet()
    assert await contacts(observer) & {"1010", "2010"} == set()


async def contacts(observer: Observer) -> set[str]:
    """Extensions that are registered at the PBX."""
    answer = await observer.ask("Command", Command="pjsip show contacts")
    words = (line.split() for line in answer.splitlines() if "Contact:" in line and "/sip:" in line)
    return {word.partition("/")[0] for line in words for word in line if "/sip:" in word}


async def test_a_wrong_password_is_told(lab: LabInfo) -> None:
    for stack in ("baresip", "pjsua2"):
        async with PhoneFleet(lab.host, lab.ports.sip, {"1001": "wrong"}) as phones:
            with pytest.raises(PhoneError, match=r"401|403"):
                await phones.phone("1001", stack)
