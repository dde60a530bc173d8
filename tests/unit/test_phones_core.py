"""States, the answering policy, hearing with a deadline, and a fleet that closes whatever happens."""

import asyncio
from typing import Any

import pytest

from connector.lab.phones import tones
from connector.lab.phones.base import (
    CallState,
    PhoneCall,
    PhoneError,
    PhoneTimeoutError,
    PhoneUnsupportedError,
    SipAccount,
)
from connector.lab.phones.core import CoreCall, CorePhone, asks_auto_answer, user_part
from connector.lab.phones.ear import Ear, Pulse
from connector.lab.phones.fleet import PhoneFleet
from connector.lab.phones.hearing import HearingError, describe, expect_hears, hears
from connector.lab.phones.pjsua_phone import headers_of


class PaperCall(CoreCall):
    """A call without a stack: requests are carried out at once."""

    async def answer(self) -> None:
        self.moved(CallState.TALKING)

    async def reject(self, code: int = 486) -> None:
        self.ended(code)

    async def hangup(self) -> None:
        self.ended(None)

    async def hold(self) -> None:
        self.moved(CallState.HELD)

    async def resume(self) -> None:
        self.moved(CallState.TALKING)

    async def send_dtmf(self, digits: str) -> None:
        raise PhoneUnsupportedError(digits)

    async def transfer(self, number: str) -> None:
        raise PhoneUnsupportedError(number)

    async def transfer_to(self, other: PhoneCall) -> None:
        raise PhoneUnsupportedError(repr(other))


class PaperPhone(CorePhone[PaperCall]):
    stack = "baresip"

    def __init__(self, account: SipAccount, pulse: Pulse) -> None:
        super().__init__(account, pulse)
        self.registered = False
        self.closing: Exception | None = None

    def rings(self, caller: str = "2001", **headers: str) -> PaperCall:
        call = PaperCall(self, CallState.RINGING_IN, caller)
        self.incoming(call, {name.replace("_", "-"): value for name, value in headers.items()})
        return call

    async def dial(self, number: str) -> PaperCall:
        return self.placed(PaperCall(self, CallState.DIALING, number))

    async def register(self) -> None:
        self.registered = True

    async def unregister(self) -> None:
        self.registered = False

    async def close(self) -> None:
        await super().close()
        if self.closing is not None:
            raise self.closing


def phone(extension: str = "1001", pulse: Pulse | None = None) -> PaperPhone:
    return PaperPhone(SipAccount(extension, "127.0.0.1", 5060, "secret"), pulse or Pulse())


async def settle() -> None:
    """Let reactions that are already scheduled run."""
    for _ in range(3):
        await asyncio.sleep(0)


def test_the_password_is_not_shown() -> None:
    assert "secret" not in repr(SipAccount("1001", "127.0.0.1", 5060, "secret"))


@pytest.mark.parametrize("number", ["", "2001@evil", "2001;x", "2001\r\nX: y", "<2001>", "20 01", "²"])
def test_a_number_that_cannot_stand_in_an_address_is_refused(number: str) -> None:
    with pytest.raises(ValueError, match="cannot dial"):
        SipAccount("1001", "127.0.0.1", 5060, "x").uri(number)


def test_a_hash_is_escaped_in_the_address() -> None:
    assert SipAccount("1001", "127.0.0.1", 5060, "x").uri("*21#") == "sip:*21%23@127.0.0.1:5060"


@pytest.mark.parametrize(
    ("headers", "asked"),
    [
        ({"Call-Info": "<sip:localhost>;answer-after=0"}, True),
        ({"call-info": "<sip:a>; ANSWER-AFTER = 0;x"}, True),
        ({"Call-Info": "<sip:localhost>;answer-after=5"}, False),
        ({"Call-Info": "<sip:localhost>;answer-after=05"}, False),
        ({"Alert-Info": "<http://www.notused.com>;info=alert-autoanswer;delay=0"}, True),
        ({"Alert-Info": "<http://www.notused.com>;info=alert-external"}, False),
        ({"Subject": "answer-after=0"}, False),
        ({}, False),
    ],
)
def test_which_headers_ask_for_an_answer_at_once(headers: dict[str, str], asked: bool) -> None:
    assert asks_auto_answer(headers) is asked


def test_user_part_of_addresses() -> None:
    assert user_part('"Kim Keel" <sip:2001@127.0.0.1>;tag=1') == "2001"
    assert user_part("sip:*21%23@127.0.0.1:5060") == "*21#"
    assert user_part("<sip:127.0.0.1>") == ""


def test_headers_of_a_message() -> None:
    head = "INVITE sip:a@b SIP/2.0\r\nCall-Info: <sip:x>;answer-after=0\r\nVia: 1\r\nvia: 2\r\n"
    assert headers_of(f"{head}\r\nEvent: talk\r\n") == {"call-info": "<sip:x>;answer-after=0", "via": "1, 2"}


async def test_a_state_that_lasts_no_longer_than_a_callback_is_not_missed() -> None:
    call = phone().rings()
    waiting = asyncio.create_task(call.wait_state(CallState.TALKING, 1))
    await settle()
    call.moved(CallState.TALKING)
    call.ended(None)
    with pytest.raises(PhoneError, match="ended"):
        await waiting
    seen = phone().rings()
    waiting = asyncio.create_task(seen.wait_state(CallState.TALKING, 1))
    await settle()
    seen.moved(CallState.TALKING)
    seen.moved(CallState.HELD)
    await settle()
    assert waiting.done()
    waiting.cancel()


async def test_waiting_ends_with_the_call_or_with_the_deadline() -> None:
    call = phone().rings()
    with pytest.raises(PhoneTimeoutError, match=r"waited 0\.01 s"):
        await call.wait_state(CallState.TALKING, 0.01)
    await call.reject(603)
    with pytest.raises(PhoneError, match="ended with 603"):
        await call.wait_state(CallState.TALKING, 1)


async def test_the_end_code_is_of_unanswered_calls_only() -> None:
    one, other = phone().rings(), phone().rings()
    one.ended(486)
    await other.answer()
    other.ended(500)
    assert (one.end_code, other.end_code) == (486, None)
    one.moved(CallState.TALKING)
    assert one.state is CallState.ENDED


async def test_digits_are_awaited_and_a_wrong_one_is_told() -> None:
    call = phone().rings()
    call.digit("1")
    waiting = asyncio.create_task(call.wait_dtmf("12", 1))
    await settle()
    call.digit("2")
    await waiting
    with pytest.raises(PhoneTimeoutError, match="received '12'"):
        await call.wait_dtmf("13", 0.01)


async def test_next_call_hands_out_each_call_once_and_oldest_first() -> None:
    it = phone()
    first, gone, second = it.rings("2001"), it.rings("2002"), it.rings("2003")
    gone.ended(487)
    assert it.calls == (first, second)
    assert await it.next_call(0.01) is first
    assert await it.next_call(0.01) is second
    with pytest.raises(PhoneTimeoutError):
        await it.next_call(0.01)
    waiting = asyncio.create_task(it.next_call(1))
    await settle()
    assert it.rings("2004") is await waiting


async def test_next_call_survives_a_waiter_that_gave_up() -> None:
    it = phone()
    quitter = asyncio.create_task(it.next_call(1))
    await settle()
    quitter.cancel()
    call = it.rings()
    await settle()
    assert await it.next_call(0.01) is call


async def test_answer_modes() -> None:
    it = phone()
    manual = it.rings()
    it.answer_mode = "auto"
    auto = it.rings()
    it.answer_mode = 603
    rejected = it.rings()
    await settle()
    assert (manual.state, auto.state) == (CallState.RINGING_IN, CallState.TALKING)
    assert (rejected.state, rejected.end_code) == (CallState.ENDED, 603)


async def test_the_auto_answer_header_is_honoured_when_that_is_switched_on() -> None:
    it = phone()
    header = "<sip:localhost>;answer-after=0"
    ignored = it.rings(Call_Info=header)
    it.honour_auto_answer = True
    obeyed, plain = it.rings(Call_Info=header), it.rings()
    await settle()
    assert (ignored.auto_answer, ignored.state) == (True, CallState.RINGING_IN)
    assert (obeyed.state, plain.state) == (CallState.TALKING, CallState.RINGING_IN)


def test_notify_talk_is_refused_where_the_stack_hides_it() -> None:
    it = phone()
    with pytest.raises(PhoneUnsupportedError):
        it.honour_notify_talk = True
    assert it.honour_notify_talk is False


def test_an_extension_without_a_tone_is_refused() -> None:
    with pytest.raises(PhoneError, match="no tone"):
        phone("9999")


def test_an_ear_tells_no_rtp_from_silence_and_looks_back() -> None:
    now = 0.0
    ear = Ear(clock=lambda: now)
    assert not ear.receiving()
    frames = tones.tone_frames(tones.TONES["2001"])
    for number in range(50):
        now = number * 0.02
        ear.push(frames[number % 5])
    assert (ear.heard(), ear.receiving()) == (frozenset({"2001"}), True)
    for _ in range(50):
        now += 0.02
        ear.push(bytes(tones.FRAME_BYTES))
    assert (ear.heard(), ear.heard(1.0), ear.receiving()) == (frozenset(), frozenset({"2001"}), True)
    now += 0.3
    assert (ear.heard(), ear.receiving(), ear.receiving(0.3)) == (frozenset(), False, True)


class Wire:
    """Sends the tone of one extension into calls, frame by frame, as a stack's pump would."""

    def __init__(self, pulse: Pulse) -> None:
        self.pulse = pulse
        self.flows: list[tuple[PaperCall, str]] = []

    async def run(self) -> None:
        at = 0
        while True:
            for call, source in self.flows:
                call.ear.push(tones.tone_frames(tones.TONES[source])[at % 5])
            at += 1
            self.pulse.tick()
            await asyncio.sleep(0.02)


async def test_expect_hears_waits_for_everybody_and_says_what_was_heard_instead() -> None:
    pulse = Pulse()
    one, other, third = phone("1001", pulse), phone("2001", pulse), phone("2002", pulse)
    calls = one.rings("2001"), other.rings("1001")
    await calls[0].answer()
    wire = Wire(pulse)
    running = asyncio.create_task(wire.run())
    try:
        expected: dict[Any, set[str]] = {one: {"2001"}, other: {"1001"}, third: set()}
        waiting = asyncio.create_task(expect_hears(expected, 3))
        await settle()
        wire.flows = [(calls[0], "2001"), (calls[1], "1001")]
        await waiting
        assert hears(one) == {"2001"}
        with pytest.raises(HearingError) as failure:
            await expect_hears({one: {"2002"}, third: {"1001"}}, 0.5)
        text = str(failure.value)
        assert "1001 should hear 2002, WRONG" in text
        assert "-> 2001 (call with 2001, talking)" in text or ": 2001 (call with 2001, talking)" in text
        assert "2002 should hear 1001, WRONG: has no call" in text
    finally:
        running.cancel()
    wire.flows = []
    assert describe(third) == "has no call"


async def test_expect_hears_gives_up_when_no_clock_ticks() -> None:
    with pytest.raises(HearingError, match="has no call"):
        await expect_hears({phone(): {"2001"}}, 0.05)
    with pytest.raises(ValueError, match="at least one"):
        await expect_hears({})


class PaperEngine:
    made: list["PaperEngine"]
    refuse = False

    def __init__(self, pulse: Pulse) -> None:
        self.pulse = pulse
        self.phones: list[PaperPhone] = []
        self.closed = False
        type(self).made.append(self)

    async def start(self) -> None:
        if self.refuse:
            raise PhoneError("no stack today")

    async def phone(self, account: SipAccount) -> PaperPhone:
        self.phones.append(PaperPhone(account, self.pulse))
        return self.phones[-1]

    async def close(self) -> None:
        self.closed = True


@pytest.fixture
def engines(monkeypatch: pytest.MonkeyPatch) -> list[PaperEngine]:
    from connector.lab.phones import baresip_phone

    made: list[PaperEngine] = []
    monkeypatch.setattr(PaperEngine, "made", made, raising=False)
    monkeypatch.setattr(baresip_phone, "BaresipEngine", PaperEngine)
    return made


async def test_a_fleet_ends_calls_and_closes_even_when_the_test_and_a_phone_fail(
    engines: list[PaperEngine],
) -> None:
    with pytest.raises(RuntimeError, match="the test failed"):  # noqa: PT012  (the block is what is tested)
        async with PhoneFleet("127.0.0.1", 5060, {"1001": "a", "2001": "b"}) as fleet:
            first: Any = await fleet.phone("1001")
            second: Any = await fleet.phone("2001")
            assert await fleet.phone("1001") is first
            assert fleet.phones == (first, second)
            call = second.rings()
            engines[0].phones[0].closing = PhoneError("no answer to unregister")
            raise RuntimeError("the test failed")
    assert call.state is CallState.ENDED
    assert (first.registered, second.registered, engines[0].closed) == (False, False, True)


async def test_a_fleet_refuses_unknown_accounts_and_a_change_of_stack(engines: list[PaperEngine]) -> None:
    async with PhoneFleet("127.0.0.1", 5060, {"1001": "a"}) as fleet:
        with pytest.raises(PhoneError, match="no such account"):
            await fleet.phone("1002")
        await fleet.phone("1001")
        with pytest.raises(PhoneError, match="already runs on baresip"):
            await fleet.phone("1001", "pjsua2")


async def test_a_stack_that_does_not_start_is_an_error_and_leaves_nothing(
    engines: list[PaperEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PaperEngine, "refuse", True)
    async with PhoneFleet("127.0.0.1", 5060, {"1001": "a"}) as fleet:
        with pytest.raises(PhoneError, match="no stack today"):
            await fleet.phone("1001")
        assert fleet.phones == ()
