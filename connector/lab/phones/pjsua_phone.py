"""The second stack: softphones on pjsua2.

pjsua2 runs without worker threads: everything but the audio clock happens in `libHandleEvents`, called from
the event loop every few milliseconds, so that no callback comes from a foreign thread. The audio clock's
thread only appends received frames to a queue. Its limits stand in `docs/phones.md`.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import re
from typing import TYPE_CHECKING, Any

import pjsua2 as pj

from connector.lab.phones import tones
from connector.lab.phones.base import CallState, PhoneError, SipAccount
from connector.lab.phones.core import SIGNAL_TIMEOUT, CoreCall, CorePhone, user_part
from connector.lab.phones.pjsua_native import (
    Microphone,
    NativeAccount,
    NativeCall,
    create_endpoint,
    free_media_port,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from connector.lab.phones.base import PhoneCall
    from connector.lab.phones.ear import Pulse

_log = logging.getLogger(__name__)

_POLL_SECONDS = 0.005
_POLLS_PER_TICK = 4
_TRANSFER_TIMEOUT = 2 * SIGNAL_TIMEOUT
_OK = 200
_REDIRECT = 300
_DTMF_MS = 100
_DTMF_GAP_MS = 80
_HEADER = re.compile(r"^([\w-]+)[ \t]*:[ \t]*(.*?)\r?$", re.MULTILINE)


def headers_of(message: str) -> dict[str, str]:
    """Headers of a SIP message as text, names in lower case, several of one name joined by a comma."""
    found: dict[str, str] = {}
    for name, value in _HEADER.findall(message.partition("\r\n\r\n")[0]):
        key = name.lower()
        found[key] = f"{found[key]}, {value}" if key in found else value
    return found


def _refusal(request: Callable[[], None]) -> str | None:
    """Carry out a request and return why the stack refused it, or None.

    The stack's exception does not leave this function, not even as a cause: its traceback holds native
    objects that would be destroyed after the endpoint, and that aborts the process.
    """
    try:
        request()
    except pj.Error as error:
        return str(error.reason)
    return None


class PjsuaEngine:
    """The process's one pjsua2 endpoint, polled from the event loop; `start` and `close` it once."""

    def __init__(self, pulse: Pulse) -> None:
        self._pulse = pulse
        self._endpoint: Any = None
        self._poller: asyncio.Task[None] | None = None
        self._phones: list[PjsuaPhone] = []
        self.retired: list[PjsuaCall] = []
        # Free audio ports, used again and never destroyed: the audio clock's thread may be in one.
        self.microphones: list[Microphone] = []

    async def start(self) -> None:
        """Create the endpoint: 127.0.0.1, free ports, PCMU only, a null sound device as audio clock."""
        try:
            self._endpoint = create_endpoint()
        except pj.Error as error:
            raise PhoneError(f"pjsua2 did not start: {error.info()}") from error
        self._poller = asyncio.get_running_loop().create_task(self._poll())

    async def phone(self, account: SipAccount) -> PjsuaPhone:
        """Make a phone for `account`, not yet registered."""
        phone = PjsuaPhone(account, self._pulse, self)
        self._phones.append(phone)
        return phone

    async def close(self) -> None:
        """Stop polling and destroy the endpoint, after everything that lives in it."""
        if self._endpoint is None:
            return
        if self._poller is not None:
            self._poller.cancel()
            await asyncio.gather(self._poller, return_exceptions=True)
        self._bury()
        for phone in self._phones:
            phone.release()
        self._phones.clear()
        endpoint, self._endpoint = self._endpoint, None
        endpoint.libDestroy(pj.PJSUA_DESTROY_NO_NETWORK)

    def _bury(self) -> None:
        """Free the native side of ended calls, which must not happen inside their own callbacks."""
        retired, self.retired = self.retired, []
        for call in retired:
            call.release()

    async def _poll(self) -> None:
        """Let the stack work. There is no file descriptor to await, so it is asked every 5 ms."""
        polls = 0
        while True:
            self._endpoint.libHandleEvents(0)
            self._bury()
            polls += 1
            if polls % _POLLS_PER_TICK == 0:
                for phone in self._phones:
                    for call in phone.calls:
                        call.listen()
                self._pulse.tick()
            await asyncio.sleep(_POLL_SECONDS)


class PjsuaCall(CoreCall):
    """A call on pjsua2."""

    def __init__(self, phone: PjsuaPhone, native: Any, state: CallState, remote_number: str) -> None:
        super().__init__(phone, state, remote_number)
        self.native = native
        self._owner = phone
        self._microphone: Microphone | None = None
        self._transfer: int | None = None
        self._notified: set[str] = set()
        native.owner = self

    def listen(self) -> None:
        """Take in what the audio clock's thread has left."""
        if self._microphone is not None:
            frames = self._microphone.frames
            while frames:
                self.ear.push(frames.popleft())

    def release(self) -> None:
        """Let go of the native call and give its audio port back.

        The call's C++ destructor must not run: whenever it does, it hangs up whatever call has the same
        number by then, and after the end of the endpoint it aborts the process. The price is small.
        """
        self.native.owner = None
        self.native.thisown = False
        self.native = None
        if self._microphone is not None:
            self._owner.give_back(self._microphone)
            self._microphone = None

    async def answer(self) -> None:
        """Accept with 200 and wait until the call is up."""
        self.require("answer", CallState.RINGING_IN)
        self._respond(_OK)
        await self.wait_any((CallState.TALKING, CallState.HELD), SIGNAL_TIMEOUT)

    async def reject(self, code: int = 486) -> None:
        """Refuse with `code` (300-699) and wait for the end."""
        if not _REDIRECT <= code < 700:  # noqa: PLR2004  (the range of final refusals in SIP)
            raise ValueError(f"{code} is not a SIP status that refuses a call")
        self.require("reject", CallState.RINGING_IN)
        self._respond(code)
        await self.wait_state(CallState.ENDED, SIGNAL_TIMEOUT)

    async def hangup(self) -> None:
        """End the call, whatever its state."""
        if self.state is CallState.RINGING_IN:
            await self.reject()
        elif self.state is not CallState.ENDED:
            # A refusal means that the call is ending already, so the report of that is under way.
            _refusal(lambda: self.native.hangup(pj.CallOpParam()))
            await self.wait_state(CallState.ENDED, SIGNAL_TIMEOUT)

    async def hold(self) -> None:
        """Hold the far end and wait for the answer to the re-INVITE."""
        self.require("hold", CallState.TALKING)
        self._ask("hold", lambda: self.native.setHold(pj.CallOpParam()))
        await self.wait_state(CallState.HELD, SIGNAL_TIMEOUT)

    async def resume(self) -> None:
        """Undo `hold` and wait for the answer to the re-INVITE."""
        self.require("resume", CallState.HELD)
        parameter = pj.CallOpParam(True)
        parameter.opt.flag = pj.PJSUA_CALL_UNHOLD
        self._ask("resume", lambda: self.native.reinvite(parameter))
        await self.wait_state(CallState.TALKING, SIGNAL_TIMEOUT)

    async def send_dtmf(self, digits: str) -> None:
        """Send digits as RFC 4733 events of 100 ms."""
        self.require("send digits", CallState.TALKING)
        for digit in digits:
            parameter = pj.CallSendDtmfParam()
            parameter.method = pj.PJSUA_DTMF_METHOD_RFC2833
            parameter.duration = _DTMF_MS
            parameter.digits = digit
            self._ask("send digits", functools.partial(self.native.sendDtmf, parameter))
            # The stack does not report that a digit is out: this is its own length and the pause after it.
            await asyncio.sleep((_DTMF_MS + _DTMF_GAP_MS) / 1000)

    async def transfer(self, number: str) -> None:
        """Blind transfer by REFER, until the far end reports the outcome."""
        uri = self._owner.account.uri(number)
        await self._refer(lambda: self.native.xfer(uri, pj.CallOpParam(True)))

    async def transfer_to(self, other: PhoneCall) -> None:
        """Attended transfer by REFER with Replaces, until the far end reports the outcome."""
        if not isinstance(other, PjsuaCall):
            raise PhoneError(f"{self!r}: the other call must be one of this phone's")
        native = other.native
        await self._refer(lambda: self.native.xferReplaces(native, pj.CallOpParam(True)))
        await other.wait_state(CallState.ENDED, SIGNAL_TIMEOUT)

    async def _refer(self, request: Callable[[], None]) -> None:
        self.require("transfer", CallState.TALKING, CallState.HELD)
        self._transfer = None
        self._ask("transfer", request)
        # Once the far end has taken over it may hang up before it reports, which is a success as well.
        await self.until(
            lambda: self._transfer is not None or self.state is CallState.ENDED,
            _TRANSFER_TIMEOUT,
            "to be transferred",
        )
        if self._transfer is not None and self._transfer >= _REDIRECT:
            raise PhoneError(f"{self!r}: could not transfer: {self._transfer}")
        # As a desk phone does: whom we have handed over is no business of ours any more.
        await self.hangup()

    def _respond(self, code: int) -> None:
        parameter = pj.CallOpParam()
        parameter.statusCode = code
        self._ask(f"answer {code}", lambda: self.native.answer(parameter))

    def _ask(self, verb: str, request: Callable[[], None]) -> None:
        reason = _refusal(request)
        if reason is not None:
            raise PhoneError(f"{self!r}: could not {verb}: {reason}")

    # What the stack reports, on the event loop's thread.

    def report_state(self) -> None:
        """Follow the INVITE session's state."""
        info = self.native.getInfo()
        if info.state == pj.PJSIP_INV_STATE_DISCONNECTED:
            code = info.lastStatusCode
            self.ended(code if code >= _REDIRECT else None)
            self._owner.retire(self)
        elif info.state == pj.PJSIP_INV_STATE_EARLY and self.state is CallState.DIALING:
            self.moved(CallState.RINGING_OUT)
        elif info.state == pj.PJSIP_INV_STATE_CONFIRMED:
            self.moved(CallState.TALKING)

    def report_media(self) -> None:
        """Connect tone and ear to media that came up, and follow hold and resume."""
        # Nested objects of pjsua2 live only as long as the one that they came from: hold it by name.
        info = self.native.getInfo()
        for media in info.media:
            if media.type != pj.PJMEDIA_TYPE_AUDIO:
                continue
            if media.status in (pj.PJSUA_CALL_MEDIA_ACTIVE, pj.PJSUA_CALL_MEDIA_REMOTE_HOLD):
                stream = self.native.getAudioMedia(media.index)
                if self._microphone is None:
                    self._microphone = self._owner.microphone()
                stream.startTransmit(self._microphone)
                self._owner.tone().startTransmit(stream)
                if self.state is CallState.HELD:
                    self.moved(CallState.TALKING)
            elif media.status == pj.PJSUA_CALL_MEDIA_LOCAL_HOLD:
                self.moved(CallState.HELD)

    def report_transfer(self, status: int, *, final: bool) -> None:
        """Keep the final outcome of a REFER."""
        if final or status >= _OK:
            self._transfer = status
            self.changed()

    def report_request(self, message: str) -> None:
        """Obey an in-dialog NOTIFY `talk` or `hold`, once each, when that is switched on."""
        if not message.startswith("NOTIFY ") or not self._owner.honour_notify_talk:
            return
        headers = headers_of(message)
        event = headers.get("event", headers.get("o", "")).partition(";")[0].strip().lower()
        serial = headers.get("cseq", "")
        if serial in self._notified or event not in {"talk", "hold"}:
            return
        # The stack reports each step of one NOTIFY's transaction with the same message.
        self._notified.add(serial)
        if event == "hold" and self.state is CallState.TALKING:
            self._owner.spawn(self.hold())
        elif event == "talk" and self.state is CallState.RINGING_IN:
            self._owner.spawn(self.answer())
        elif event == "talk" and self.state is CallState.HELD:
            self._owner.spawn(self.resume())


class PjsuaPhone(CorePhone[PjsuaCall]):
    """A softphone on pjsua2; made by `PjsuaEngine.phone`."""

    stack = "pjsua2"
    can_notify_talk = True

    def __init__(self, account: SipAccount, pulse: Pulse, engine: PjsuaEngine) -> None:
        super().__init__(account, pulse)
        self._engine = engine
        self._registered = False
        self._outcome: asyncio.Future[tuple[int, str]] | None = None
        self._tone: Any = None
        self._line: Any = NativeAccount(self)
        config = pj.AccountConfig()
        config.idUri = f"sip:{account.extension}@{account.domain}"
        config.regConfig.registrarUri = f"sip:{account.domain}"
        config.regConfig.registerOnAdd = False
        config.regConfig.timeoutSec = 300
        config.regConfig.retryIntervalSec = 0
        config.sipConfig.authCreds.append(
            pj.AuthCredInfo("digest", "*", account.extension, 0, account.password)
        )
        config.callConfig.timerUse = pj.PJSUA_SIP_TIMER_INACTIVE
        config.mediaConfig.transportConfig.port = free_media_port()
        self._line.create(config)

    def tone(self) -> Any:
        """Give the generator of this phone's tone, playing."""
        if self._tone is None:
            self._tone = pj.ToneGenerator()
            # As with audio ports: the clock's thread may be in it, so it is left to the endpoint.
            self._tone.thisown = False
            self._tone.createToneGenerator(tones.SAMPLE_RATE, 1)
            tone = pj.ToneDesc()
            tone.freq1 = self.tone_hz
            tone.freq2 = 0
            tone.on_msec = 1000
            tone.off_msec = 0
            tone.volume = tones.AMPLITUDE
            sequence = pj.ToneDescVector()
            sequence.append(tone)
            self._tone.play(sequence, True)
        return self._tone

    async def register(self) -> None:
        """Register and wait for the PBX's 200."""
        await self._renew(register=True)

    async def unregister(self) -> None:
        """Remove the registration."""
        if self._registered:
            await self._renew(register=False)

    async def dial(self, number: str) -> PjsuaCall:
        """Call `number`; returns when the INVITE is out."""
        uri = self.account.uri(number)
        native = NativeCall(self._line)
        call = PjsuaCall(self, native, CallState.DIALING, number)
        reason = _refusal(lambda: native.makeCall(uri, pj.CallOpParam(True)))
        if reason is not None:
            raise PhoneError(f"{self!r}: could not dial {number}: {reason}")
        if call.state is not CallState.ENDED:
            self.placed(call)
        return call

    def release(self) -> None:
        """Free the native account and tone; the engine does it before it destroys the endpoint."""
        for call in self.calls:
            call.release()
        self._line.owner = None
        self._line.shutdown()
        self._line = None
        self._tone = None

    def microphone(self) -> Microphone:
        """Take a free audio port, without what it heard before, or make one."""
        if not self._engine.microphones:
            return Microphone.create()
        taken = self._engine.microphones.pop()
        taken.frames.clear()
        return taken

    def give_back(self, microphone: Microphone) -> None:
        """Keep the audio port of an ended call for another one."""
        self._engine.microphones.append(microphone)

    def retire(self, call: PjsuaCall) -> None:
        """Have the engine free an ended call, later."""
        self._engine.retired.append(call)

    async def _renew(self, *, register: bool) -> None:
        self._outcome = asyncio.get_running_loop().create_future()
        verb = "register" if register else "unregister"
        refusal = _refusal(lambda: self._line.setRegistration(register))
        if refusal is not None:
            raise PhoneError(f"{self!r}: could not {verb}: {refusal}")
        try:
            async with asyncio.timeout(SIGNAL_TIMEOUT):
                code, reason = await self._outcome
        except TimeoutError:
            raise PhoneError(f"{self!r}: no answer to {verb} within {SIGNAL_TIMEOUT:g} s") from None
        finally:
            self._outcome = None
        if not _OK <= code < _REDIRECT:
            raise PhoneError(f"{self!r}: could not {verb}: {code} {reason}")
        self._registered = register

    def report_registration(self, code: int, reason: str) -> None:
        """Give the outcome to whoever waits for it."""
        if self._outcome is not None and not self._outcome.done():
            self._outcome.set_result((code, reason))

    def report_incoming(self, call_id: int, message: str) -> None:
        """Ring, then apply the answering policy."""
        headers = headers_of(message)
        native = NativeCall(self._line, call_id)
        call = PjsuaCall(
            self, native, CallState.RINGING_IN, user_part(headers.get("from", headers.get("f", "")))
        )
        ringing = pj.CallOpParam()
        ringing.statusCode = pj.PJSIP_SC_RINGING
        native.answer(ringing)
        self.incoming(call, headers)
        if not self._open:
            self.spawn(call.hangup())
