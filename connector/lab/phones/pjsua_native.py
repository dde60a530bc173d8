"""pjsua2's own objects: the endpoint, and accounts, calls and audio ports that only pass callbacks on.

Nested objects of pjsua2 live only as long as the one that they came from, so such an outer one is always held
by name here and in `pjsua_phone`.
"""

from __future__ import annotations

import functools
import logging
import socket
from collections import deque
from typing import TYPE_CHECKING, Any, Protocol

import pjsua2 as pj

from connector.lab.phones import tones

if TYPE_CHECKING:
    from collections.abc import Callable

_log = logging.getLogger(__name__)


class CallReports(Protocol):
    """Who is told what happens to a call, on the event loop's thread."""

    def report_state(self) -> None:
        """Look at the INVITE session: its state has changed."""

    def report_media(self) -> None:
        """Look at the media: their state has changed."""

    def report_transfer(self, status: int, *, final: bool) -> None:
        """Take the far end's SIP status on our REFER."""

    def report_request(self, message: str) -> None:
        """Take the text of a message received in the dialog."""

    def digit(self, digit: str) -> None:
        """Take a received DTMF digit."""


class AccountReports(Protocol):
    """Who is told what happens to an account, on the event loop's thread."""

    def report_registration(self, code: int, reason: str) -> None:
        """Take the outcome of a REGISTER."""

    def report_incoming(self, call_id: int, message: str) -> None:
        """Take a new call and the text of its INVITE."""


def create_endpoint() -> Any:
    """Start the stack (127.0.0.1, a free port, PCMU only, null sound device); `pj.Error` when it can't."""
    endpoint = pj.Endpoint()
    endpoint.libCreate()
    config = pj.EpConfig()
    config.uaConfig.threadCnt = 0
    config.uaConfig.mainThreadOnly = True
    # The most that this build of the stack can do; a larger number is cut down to it silently.
    config.uaConfig.maxCalls = 4
    config.uaConfig.userAgent = "lab-pjsua2"
    config.logConfig.level = 0
    config.logConfig.consoleLevel = 0
    config.medConfig.clockRate = tones.SAMPLE_RATE
    config.medConfig.sndClockRate = tones.SAMPLE_RATE
    config.medConfig.ecTailLen = 0
    # Without silence suppression RTP flows all the time, so "no RTP" means something.
    config.medConfig.noVad = True
    endpoint.libInit(config)
    endpoint.audDevManager().setNullDev()
    transport = pj.TransportConfig()
    transport.port = 0
    transport.boundAddress = "127.0.0.1"
    endpoint.transportCreate(pj.PJSIP_TRANSPORT_UDP, transport)
    endpoint.libStart()
    codecs = endpoint.codecEnum2()
    for codec in codecs:
        endpoint.codecSetPriority(codec.codecId, 255 if "PCMU" in codec.codecId else 0)
    return endpoint


def free_media_port() -> int:
    """Return an even UDP port that is free now, another one each time: an account's calls count up from it.

    By itself the stack begins at 4000 in every process, where a PBX that lost its phones without a word may
    still be sending audio for them.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port & ~1


def _frame_format() -> Any:
    audio = pj.MediaFormatAudio()
    audio.init(pj.PJMEDIA_FORMAT_PCM, tones.SAMPLE_RATE, 1, tones.FRAME_MS * 1000, 16)
    return audio


def _logged(callback: Callable[..., None]) -> Callable[..., None]:
    """Log what a callback raises: the stack would swallow it."""

    @functools.wraps(callback)
    def guarded(*arguments: Any) -> None:
        try:
            callback(*arguments)
        except Exception:  # noqa: BLE001  (the C++ caller could only swallow it)
            _log.exception("callback of pjsua2 failed")

    return guarded


class Microphone(pj.AudioMediaPort):  # type: ignore[misc]  # pjsua2 has no types
    """The sink of a call's received audio; its callback runs on the audio clock's thread."""

    def __init__(self) -> None:
        super().__init__()
        # A deque's append and popleft are atomic, so the two threads need no lock. Two seconds at most.
        self.frames: deque[bytes] = deque(maxlen=100)
        self.createPort("", _frame_format())

    @classmethod
    def create(cls) -> Microphone:
        """Make a port that is never destroyed: doing so races with the audio clock's thread."""
        port = cls()
        port.__disown__()
        return port

    @_logged
    def onFrameReceived(self, frame: Any) -> None:  # noqa: N802  (the stack's name)
        """Keep a frame."""
        if frame.size:
            self.frames.append(bytes(frame.buf))


class NativeCall(pj.Call):  # type: ignore[misc]  # pjsua2 has no types
    """The stack's call object: it only passes callbacks on."""

    def __init__(self, account: Any, call_id: int = pj.PJSUA_INVALID_ID) -> None:
        super().__init__(account, call_id)
        self.owner: CallReports | None = None

    @_logged
    def onCallState(self, _prm: Any) -> None:  # noqa: N802  (the stack's name)
        """Pass on a change of state."""
        if self.owner is not None:
            self.owner.report_state()

    @_logged
    def onCallMediaState(self, _prm: Any) -> None:  # noqa: N802  (the stack's name)
        """Pass on a change of media."""
        if self.owner is not None:
            self.owner.report_media()

    @_logged
    def onDtmfDigit(self, prm: Any) -> None:  # noqa: N802  (the stack's name)
        """Pass on a digit."""
        if self.owner is not None:
            self.owner.digit(prm.digit)

    @_logged
    def onCallTransferStatus(self, prm: Any) -> None:  # noqa: N802  (the stack's name)
        """Pass on a REFER's progress."""
        if self.owner is not None:
            self.owner.report_transfer(prm.statusCode, final=prm.finalNotify)

    @_logged
    def onCallTsxState(self, prm: Any) -> None:  # noqa: N802  (the stack's name)
        """Pass on a message received in the dialog."""
        event = prm.e
        if (
            self.owner is not None
            and event.type == pj.PJSIP_EVENT_TSX_STATE
            and event.body.tsxState.type == pj.PJSIP_EVENT_RX_MSG
        ):
            self.owner.report_request(event.body.tsxState.src.rdata.wholeMsg)


class NativeAccount(pj.Account):  # type: ignore[misc]  # pjsua2 has no types
    """The stack's account object: it only passes callbacks on."""

    def __init__(self, owner: AccountReports) -> None:
        super().__init__()
        self.owner: AccountReports | None = owner

    @_logged
    def onRegState(self, prm: Any) -> None:  # noqa: N802  (the stack's name)
        """Pass on the outcome of a REGISTER."""
        if self.owner is not None:
            self.owner.report_registration(prm.code, prm.reason)

    @_logged
    def onIncomingCall(self, prm: Any) -> None:  # noqa: N802  (the stack's name)
        """Pass on a new call."""
        if self.owner is not None:
            self.owner.report_incoming(prm.callId, prm.rdata.wholeMsg)
