"""What a softphone of the laboratory can do, whichever SIP stack is behind it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from connector.lab.phones.ear import Ear, Pulse

AnswerMode = Literal["manual", "auto"] | int
"""What a phone does with an incoming call: ring, answer at once, or reject with this SIP status (400-699)."""


class CallState(StrEnum):
    """Where a call of a phone stands; only what the SIP stack reports moves it."""

    DIALING = "dialing"  # our INVITE is out
    RINGING_OUT = "ringing-out"  # the far end said 180 or 183
    RINGING_IN = "ringing-in"  # somebody calls us
    TALKING = "talking"
    HELD = "held"  # we hold the far end
    ENDED = "ended"


class PhoneError(Exception):
    """A phone could not do what was asked; the message says which phone and why."""


class PhoneUnsupportedError(PhoneError):
    """The SIP stack behind this phone cannot do that; `docs/phones.md` lists each stack's limits."""


class PhoneTimeoutError(PhoneError):
    """The awaited thing did not happen in time; the message says what was awaited and what was so instead."""


@dataclass(frozen=True)
class SipAccount:
    """An account of the PBX: who, where (`host`, UDP `port`) and the digest password."""

    extension: str
    host: str
    port: int
    password: str = field(repr=False)

    @property
    def domain(self) -> str:
        """`host:port`, as it stands in SIP addresses."""
        return f"{self.host}:{self.port}"

    def uri(self, number: str) -> str:
        """Give the SIP address of `number` at this PBX; `ValueError` for what cannot stand in one."""
        if not number or not all(c.isascii() and (c.isalnum() or c in "*#+-_.") for c in number):
            raise ValueError(
                f"cannot dial {number!r}: only letters, digits and *#+-_. can stand in a SIP address"
            )
        return f"sip:{number.replace('#', '%23')}@{self.domain}"


class PhoneCall(Protocol):
    """One call of a phone; its state follows what comes back over SIP, never the request itself."""

    @property
    def state(self) -> CallState:
        """Where the call stands."""

    @property
    def remote_number(self) -> str:
        """Whom we dialled, or the caller's number (`anonymous` if withheld): the user part of the address."""

    @property
    def end_code(self) -> int | None:
        """SIP status that ended an unanswered call: 486, 603 …, 487 if the caller gave up; else None."""

    @property
    def auto_answer(self) -> bool:
        """Whether the INVITE asked to be answered at once.

        That is Call-Info with `answer-after=0` or Alert-Info with `info=alert-autoanswer`.
        """

    @property
    def dtmf_received(self) -> str:
        """Digits that the far end sent so far, in order."""

    @property
    def ear(self) -> Ear:
        """What this call receives."""

    async def answer(self) -> None:
        """Accept with 200 and wait until the call is up; `PhoneError` when it does not come up."""

    async def reject(self, code: int = 486) -> None:
        """Refuse a ringing call with SIP status `code` and wait until it has ended."""

    async def hangup(self) -> None:
        """End the call and wait until it has ended: BYE, CANCEL, or 486 as it stands; no-op when over."""

    async def hold(self) -> None:
        """Hold the far end with a re-INVITE and wait until that is agreed: state HELD."""

    async def resume(self) -> None:
        """Undo `hold` and wait until that is agreed: state TALKING."""

    async def send_dtmf(self, digits: str) -> None:
        """Send digits `0-9 A-D * #` as RFC 4733 events of about 100 ms; returns after the last one."""

    async def transfer(self, number: str) -> None:
        """Transfer, blind, by REFER: the far end calls `number`, our call ends; `PhoneError` if refused."""

    async def transfer_to(self, other: PhoneCall) -> None:
        """Transfer, attended, by REFER with Replaces: far ends meet, ours ends."""

    async def wait_state(self, state: CallState, timeout: float) -> None:
        """Wait until the call is in `state`.

        `PhoneTimeoutError` after `timeout` seconds, `PhoneError` if it ends instead.
        """

    async def wait_dtmf(self, digits: str, timeout: float) -> None:
        """Wait until `dtmf_received` is `digits`; `PhoneTimeoutError` after `timeout` seconds."""


class Phone(Protocol):
    """A registered softphone with a tone of its own, which every call of it sends."""

    answer_mode: AnswerMode
    honour_auto_answer: bool

    @property
    def extension(self) -> str:
        """The account's number, for example `1001`."""

    @property
    def tone_hz(self) -> int:
        """Frequency of the tone that it sends."""

    @property
    def stack(self) -> str:
        """`baresip` or `pjsua2`."""

    @property
    def pulse(self) -> Pulse:
        """The media clock: ticks whenever received audio has been taken in."""

    @property
    def calls(self) -> tuple[PhoneCall, ...]:
        """The live calls, oldest first."""

    @property
    def honour_notify_talk(self) -> bool:
        """Whether an in-dialog NOTIFY with Event `talk` or `hold` is obeyed; off by default.

        Setting it on a stack that cannot see such a NOTIFY raises `PhoneUnsupportedError`.
        """

    @honour_notify_talk.setter
    def honour_notify_talk(self, value: bool) -> None: ...

    async def register(self) -> None:
        """Register at the PBX and wait for its 200; `PhoneError` otherwise."""

    async def unregister(self) -> None:
        """Remove the registration and wait for the PBX to agree; nothing happens when not registered."""

    async def dial(self, number: str) -> PhoneCall:
        """Call `number` at the PBX; returns when the INVITE is out (DIALING), not when it is answered."""

    async def next_call(self, timeout: float) -> PhoneCall:
        """Take the oldest incoming call not yet handed out; `PhoneTimeoutError` after `timeout` seconds.

        A call that ended before anybody asked for it is not handed out; one that arrives while somebody
        waits always is.
        """

    async def close(self) -> None:
        """End every call, unregister and let the stack forget the account. May be called twice."""
