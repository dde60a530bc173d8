"""The main stack: softphones on baresip (baresip-python).

baresip runs its SIP thread itself and reports on the event loop; this module feeds and drains the audio of
every call from one 20 ms timer. Its limits stand in `docs/phones.md`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Any

import baresip
from baresip import Event, StackEvent
from baresip.errors import split_status

from connector.lab.phones import tones
from connector.lab.phones.base import (
    CallState,
    PhoneError,
    PhoneTimeoutError,
    PhoneUnsupportedError,
    SipAccount,
)
from connector.lab.phones.core import SIGNAL_TIMEOUT, CoreCall, CorePhone, user_part

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from connector.lab.phones.base import PhoneCall
    from connector.lab.phones.ear import Pulse

_log = logging.getLogger(__name__)

_BUSY = 486
# Sent ahead: enough to survive a late timer tick on a busy machine, little enough to fall silent at once.
_AHEAD_BYTES = 4 * tones.FRAME_BYTES
_READ_BYTES = 20 * tones.FRAME_BYTES
_IN_FLIGHT = "already in flight"
_UNHEARD = 0.5
"""Seconds after which the PBX has said something about a call that we dial, be it only 100 (not reported)."""

_STEADY = 0.3
"""Seconds after the answer in which baresip may take a hold back by itself (measured: up to 0.15)."""

# What baresip says instead of a SIP status when a call ends before it was answered.
_END_CODES = (
    ("Busy Here", _BUSY),  # we refused
    ("Rejected by user", 487),  # we gave up
    ("Connection reset by peer", 487),  # the caller gave up
    ("Connection timed out", 408),
)


def _end_code(text: str) -> int | None:
    """Read the SIP status out of baresip's closing text, None when it means none."""
    status = split_status(text)[0]
    return status or next((code for start, code in _END_CODES if text.startswith(start)), None)


class BaresipEngine:
    """The process's one baresip runtime and the audio pump of its calls; `start` and `close` it once."""

    def __init__(self, pulse: Pulse) -> None:
        self._pulse = pulse
        self._runtime: Any = baresip.Runtime()
        self._calls: set[BaresipCall] = set()
        self._pump: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start the SIP thread on 127.0.0.1 with free ports; `PhoneError` when another runtime is active."""
        config = baresip.Config(
            net_interface="127.0.0.1",
            max_concurrent_calls=None,
            expose_headers=("Call-Info", "Alert-Info"),
            native_log_level="error",
            # Its jitter buffer takes all that comes for too late once a call was moved a few dozen times.
            extra_config_text="audio_jitter_buffer_type off\n",
        )
        try:
            await self._runtime.start(config)
        except baresip.BaresipError as error:
            raise PhoneError(f"baresip did not start: {error}") from error
        self._pump = asyncio.get_running_loop().create_task(self._pump_audio())

    async def phone(self, account: SipAccount) -> BaresipPhone:
        """Make a phone for `account`, not yet registered."""
        line = baresip.Account(
            user=account.extension,
            domain=account.domain,
            password=account.password,
            audio_codecs=("PCMU",),
            reg_interval=300,
        )
        agent = await baresip.UserAgent.create(self._runtime, line, transfer_policy="reject")
        return BaresipPhone(account, self._pulse, self._runtime, agent, self._calls)

    async def close(self) -> None:
        """Stop the pump and the SIP thread."""
        if self._pump is not None:
            self._pump.cancel()
            await asyncio.gather(self._pump, return_exceptions=True)
            self._pump = None
            await self._runtime.close()

    async def _pump_audio(self) -> None:
        loop = asyncio.get_running_loop()
        period = tones.FRAME_MS / 1000
        due = loop.time()
        while True:
            for call in tuple(self._calls):
                call.pump()
            self._pulse.tick()
            # A late tick is not made up for: the transmit buffer covers it.
            due = max(due + period, loop.time())
            await asyncio.sleep(due - loop.time())


class BaresipCall(CoreCall):
    """A call on baresip."""

    def __init__(self, phone: BaresipPhone, native: Any, state: CallState, remote_number: str) -> None:
        super().__init__(phone, state, remote_number)
        self.native = native
        self._owner = phone
        self._frames = tones.tone_frames(phone.tone_hz)
        self._at = 0
        self._up_since = 0.0
        native.on(self.report)
        native.on_dtmf(lambda event: self.digit(event.digit))

    def pump(self) -> None:
        """Send what is due of the tone and take in what has arrived."""
        audio = self.native.audio
        try:
            info = audio.info()
            if info.tx_ready:
                for _ in range((_AHEAD_BYTES - info.tx_buffered) // tones.FRAME_BYTES):
                    audio.write(self._frames[self._at])
                    self._at = (self._at + 1) % len(self._frames)
            if info.rx_ready:
                self.ear.push(audio.read(_READ_BYTES))
        except baresip.AudioNotActive:
            # No media now: before the answer, after the end, or between two negotiations.
            return
        except baresip.AudioRestarted:
            self.ear.clear()

    async def answer(self) -> None:
        """Accept with 200 and wait until the call is up."""
        self.require("answer", CallState.RINGING_IN)
        await self._ask("answer", self.native.answer)
        await self.wait_any((CallState.TALKING, CallState.HELD), SIGNAL_TIMEOUT)

    async def reject(self, code: int = _BUSY) -> None:
        """Refuse with 486; baresip can't send another status, so another one is `PhoneUnsupportedError`."""
        self.require("reject", CallState.RINGING_IN)
        if code != _BUSY:
            raise PhoneUnsupportedError(f"{self!r}: baresip can only refuse with {_BUSY}, not {code}")
        await self._ask("reject", self.native.reject)
        await self.wait_state(CallState.ENDED, SIGNAL_TIMEOUT)

    async def hangup(self) -> None:
        """End the call, whatever its state."""
        if self.state is CallState.RINGING_IN:
            await self.reject()
        elif self.state is not CallState.ENDED:
            await self._heard_of()
            # The far end may have hung up at the same time: then the report of that is under way.
            with contextlib.suppress(baresip.StaleHandleError):
                await self.native.hangup()
            await self.wait_state(CallState.ENDED, SIGNAL_TIMEOUT)

    async def _heard_of(self) -> None:
        """Wait until the PBX has answered our INVITE with anything.

        Else baresip forgets the call without a CANCEL, as RFC 3261 (9.1) forbids one so early, and takes no
        note of an answer: the PBX would keep the call, unacknowledged, for 32 s.
        """
        with contextlib.suppress(PhoneTimeoutError):
            await self.until(lambda: self.state is not CallState.DIALING, _UNHEARD, "to be heard of")

    async def hold(self) -> None:
        """Hold the far end and wait for the answer to the re-INVITE; not at once after the answer."""
        self.require("hold", CallState.TALKING)
        await asyncio.sleep(self._up_since + _STEADY - asyncio.get_running_loop().time())
        self.require("hold", CallState.TALKING)
        await self._renegotiate("hold", self.native.hold)
        self.moved(CallState.HELD)

    async def resume(self) -> None:
        """Undo `hold` and wait for the answer to the re-INVITE."""
        self.require("resume", CallState.HELD)
        await self._renegotiate("resume", self.native.resume)
        self.moved(CallState.TALKING)

    async def send_dtmf(self, digits: str) -> None:
        """Send digits as RFC 4733 events of about 100 ms."""
        self.require("send digits", CallState.TALKING)
        await self._ask("send digits", lambda: self.native.send_dtmf(digits))

    async def transfer(self, number: str) -> None:
        """Blind transfer by REFER, until the far end reports the outcome."""
        self.require("transfer", CallState.TALKING, CallState.HELD)
        uri = self._owner.account.uri(number)
        await self._ask("transfer", lambda: self.native.transfer(uri, timeout=2 * SIGNAL_TIMEOUT))

    async def transfer_to(self, other: PhoneCall) -> None:
        """Attended transfer by REFER with Replaces; baresip holds both calls first."""
        self.require("transfer", CallState.TALKING, CallState.HELD)
        if not isinstance(other, BaresipCall):
            raise PhoneError(f"{self!r}: the other call must be one of this phone's")
        native = other.native
        await self._ask("transfer", lambda: self.native.attended_transfer(native, timeout=2 * SIGNAL_TIMEOUT))
        await other.wait_state(CallState.ENDED, SIGNAL_TIMEOUT)

    async def _ask(self, verb: str, request: Callable[[], Awaitable[None]]) -> None:
        try:
            await request()
        except baresip.BaresipError as error:
            raise PhoneError(f"{self!r}: could not {verb}: {error}") from error

    async def _renegotiate(self, verb: str, request: Callable[[], Awaitable[None]]) -> None:
        """Send a re-INVITE and wait for its answer; one of the PBX that is under way is let through first."""
        agreed = asyncio.Event()
        other = asyncio.Event()

        def listen(event: StackEvent) -> None:
            other.set()
            if event.event is Event.CALL_REMOTE_SDP and event.text == "answer":
                agreed.set()

        self.native.on(listen)
        try:
            async with asyncio.timeout(SIGNAL_TIMEOUT):
                while True:
                    other.clear()
                    try:
                        await request()
                        break
                    except baresip.BaresipError as error:
                        if _IN_FLIGHT not in str(error):
                            raise PhoneError(f"{self!r}: could not {verb}: {error}") from error
                    await other.wait()
                await agreed.wait()
        except TimeoutError:
            raise PhoneError(f"{self!r}: no answer to {verb} within {SIGNAL_TIMEOUT:g} s") from None
        finally:
            self.native.off(listen)

    def report(self, event: StackEvent) -> None:
        """Take the stack's word on the call."""
        match event.event:
            case Event.CALL_RINGING | Event.CALL_PROGRESS:
                if self.state is CallState.DIALING:
                    self.moved(CallState.RINGING_OUT)
            case Event.CALL_ESTABLISHED:
                self._up_since = asyncio.get_running_loop().time()
                self.moved(CallState.TALKING)
            case Event.CALL_CLOSED:
                self._owner.silence(self)
                self.ended(_end_code(event.text or ""))
            case _:
                pass


class BaresipPhone(CorePhone[BaresipCall]):
    """A softphone on baresip; made by `BaresipEngine.phone`."""

    stack = "baresip"

    def __init__(
        self, account: SipAccount, pulse: Pulse, runtime: Any, agent: Any, pumped: set[BaresipCall]
    ) -> None:
        super().__init__(account, pulse)
        self._runtime = runtime
        self._agent = agent
        self._pumped = pumped
        agent.on_incoming(self._rings)

    async def register(self) -> None:
        """Register and wait for the PBX's 200; a registration that is there is taken back first."""
        try:
            # The stack takes an old one back while it asks for the new one: the PBX may see that last.
            await self._agent.unregister(timeout=SIGNAL_TIMEOUT)
            await self._agent.register(timeout=SIGNAL_TIMEOUT)
        except baresip.BaresipError as error:
            raise PhoneError(f"{self!r}: {error}") from error

    async def unregister(self) -> None:
        """Remove the registration."""
        try:
            await self._agent.unregister(timeout=SIGNAL_TIMEOUT)
        except baresip.BaresipError as error:
            raise PhoneError(f"{self!r}: {error}") from error

    async def dial(self, number: str) -> BaresipCall:
        """Call `number`; returns when the INVITE is out."""
        uri = self.account.uri(number)
        # A quick answer (200, 404) may be told in one go with the INVITE's going out, before there is a call.
        early: list[StackEvent] = []
        self._runtime.subscribe(early.append)
        try:
            native = await self._agent.dial(uri)
        except baresip.BaresipError as error:
            raise PhoneError(f"{self!r}: could not dial {number}: {error}") from error
        finally:
            self._runtime.unsubscribe(early.append)
        call = self.placed(BaresipCall(self, native, CallState.DIALING, number))
        for event in early:
            if event.call == native.handle:
                # The stack's own object was not there either: it would take the call for unanswered for ever.
                native._on_stack_event(event)  # noqa: SLF001 - nothing public tells it
                call.report(event)
        return self._keep(call)

    def silence(self, call: BaresipCall) -> None:
        """Stop the pump for a call that has ended."""
        self._pumped.discard(call)

    def _keep(self, call: BaresipCall) -> BaresipCall:
        if call.state is not CallState.ENDED:
            self._pumped.add(call)
        return call

    def _rings(self, native: Any) -> None:
        call = self._keep(BaresipCall(self, native, CallState.RINGING_IN, user_part(native.peer or "")))
        self.incoming(call, native.headers)
        if not self._open:
            self.spawn(call.hangup())
