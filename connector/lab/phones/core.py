"""What both stacks share: waiting for states, the answering policy, and the list of calls.

A stack's call reports what happened through `moved`, `ended` and `digit`; everything that the application may
await is decided here, synchronously with the report, so that a state which lasts no longer than a callback is
not missed.
"""

from __future__ import annotations

import asyncio
import logging
import re
from abc import ABC, abstractmethod
from collections import deque
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from urllib.parse import unquote

from connector.lab.phones.base import (
    AnswerMode,
    CallState,
    PhoneError,
    PhoneTimeoutError,
    PhoneUnsupportedError,
    SipAccount,
)
from connector.lab.phones.ear import Ear, Pulse
from connector.lab.phones.tones import TONES

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

_log = logging.getLogger(__name__)

SIGNAL_TIMEOUT = 5.0
"""Seconds within which the PBX must answer a phone's request."""

C = TypeVar("C", bound="CoreCall")

_ANSWER_AFTER = re.compile(r"answer-after\s*=\s*0*(?:\D|$)", re.IGNORECASE)
_ALERT_AUTO = re.compile(r"info\s*=\s*\"?alert-autoanswer", re.IGNORECASE)
_USER_PART = re.compile(r"sips?:([^@;>\s]+)@", re.IGNORECASE)


def asks_auto_answer(headers: Mapping[str, str]) -> bool:
    """Whether an INVITE's headers (names in any case) ask the phone to answer at once."""
    lowered = {name.lower(): value for name, value in headers.items()}
    return bool(
        _ANSWER_AFTER.search(lowered.get("call-info", ""))
        or _ALERT_AUTO.search(lowered.get("alert-info", ""))
    )


def user_part(address: str) -> str:
    """Give the user of a SIP address (`"Ann" <sip:2001@host>` gives `2001`), "" when it has none."""
    found = _USER_PART.search(address)
    return unquote(found[1]) if found else ""


class CoreCall(ABC):
    """A call of a `CorePhone`; subclasses add the requests to their stack."""

    def __init__(self, phone: CorePhone[Any], state: CallState, remote_number: str) -> None:
        self._phone = phone
        self._state = state
        self._remote = remote_number
        self._end_code: int | None = None
        self._established = False
        self._dtmf = ""
        self._waiters: list[tuple[Callable[[], bool], asyncio.Future[None]]] = []
        self.auto_answer = False
        self.ear = Ear()

    def __repr__(self) -> str:
        return f"<call of {self._phone.extension} with {self._remote or 'nobody'}: {self._state}>"

    @property
    def state(self) -> CallState:
        """Where the call stands."""
        return self._state

    @property
    def remote_number(self) -> str:
        """User part of the far end's address."""
        return self._remote

    @property
    def end_code(self) -> int | None:
        """SIP status that ended an unanswered call."""
        return self._end_code

    @property
    def dtmf_received(self) -> str:
        """Digits received so far."""
        return self._dtmf

    @abstractmethod
    async def answer(self) -> None:
        """Accept with 200 and wait until the call is up."""

    @abstractmethod
    async def reject(self, code: int = 486) -> None:
        """Refuse with `code` and wait for the end."""

    @abstractmethod
    async def hangup(self) -> None:
        """End the call and wait for the end."""

    @abstractmethod
    async def hold(self) -> None:
        """Hold the far end."""

    @abstractmethod
    async def resume(self) -> None:
        """Undo `hold`."""

    async def wait_state(self, state: CallState, timeout: float) -> None:
        """Wait until the call is in `state`, at most `timeout` seconds."""
        await self.wait_any((state,), timeout)

    async def wait_any(self, states: tuple[CallState, ...], timeout: float) -> None:
        """Wait until the call is in one of `states`; `PhoneError` when it ends instead."""
        await self.until(
            lambda: self._state in states or self._state is CallState.ENDED,
            timeout,
            f"to be {' or '.join(states)}",
        )
        if self._state not in states:
            code = f" with {self._end_code}" if self._end_code else ""
            raise PhoneError(f"{self!r}: ended{code} instead of becoming {' or '.join(states)}")

    async def wait_dtmf(self, digits: str, timeout: float) -> None:
        """Wait until exactly `digits` were received, at most `timeout` seconds."""
        try:
            await self.until(lambda: self._dtmf == digits, timeout, f"to receive {digits!r}")
        except PhoneTimeoutError as late:
            raise PhoneTimeoutError(f"{late}, received {self._dtmf!r}") from None

    async def until(self, predicate: Callable[[], bool], timeout: float, what: str) -> None:
        """Wait until `predicate()` holds, looked at after every report of the stack."""
        if predicate():
            return
        entry = (predicate, asyncio.get_running_loop().create_future())
        self._waiters.append(entry)
        try:
            async with asyncio.timeout(timeout):
                await entry[1]
        except TimeoutError:
            raise PhoneTimeoutError(f"{self!r}: waited {timeout:g} s for it {what}") from None
        finally:
            self._waiters.remove(entry)

    def changed(self) -> None:
        """Let the waiters look again."""
        for predicate, future in self._waiters:
            if not future.done() and predicate():
                future.set_result(None)

    def moved(self, state: CallState) -> None:
        """Take the stack's report of a state; nothing moves a call that has ended."""
        if self._state is CallState.ENDED or self._state is state:
            return
        _log.debug("phone %s: call with %s is %s", self._phone.extension, self._remote, state)
        self._state = state
        self._established = self._established or state is CallState.TALKING
        self.changed()

    def ended(self, code: int | None) -> None:
        """Take the stack's report of the end; `code` is kept when the call was never up."""
        if self._state is CallState.ENDED:
            return
        if not self._established:
            self._end_code = code
        self.moved(CallState.ENDED)
        self._phone.forget(self)

    def digit(self, digit: str) -> None:
        """Take the stack's report of a received digit."""
        self._dtmf += digit
        self.changed()

    def require(self, verb: str, *states: CallState) -> None:
        """Raise `PhoneError` unless the call is in one of `states`."""
        if self._state not in states:
            raise PhoneError(f"{self!r}: cannot {verb} now")


class CorePhone(ABC, Generic[C]):
    """A softphone's policy and lists; subclasses connect it to their stack."""

    stack = ""
    can_notify_talk = False

    def __init__(self, account: SipAccount, pulse: Pulse) -> None:
        if account.extension not in TONES:
            raise PhoneError(f"phone {account.extension}: no tone is assigned to this extension")
        self.account = account
        self.pulse = pulse
        self.answer_mode: AnswerMode = "manual"
        self.honour_auto_answer = False
        self._honour_notify_talk = False
        self._open = True
        self._calls: list[C] = []
        self._offered: deque[C] = deque()
        self._askers: deque[asyncio.Future[C]] = deque()
        self._tasks: set[asyncio.Task[None]] = set()

    def __repr__(self) -> str:
        return f"<{self.stack} phone {self.extension}>"

    @property
    def extension(self) -> str:
        """The account's number."""
        return self.account.extension

    @property
    def tone_hz(self) -> int:
        """Frequency of the tone that it sends."""
        return TONES[self.account.extension]

    @property
    def calls(self) -> tuple[C, ...]:
        """The live calls, oldest first."""
        return tuple(self._calls)

    @property
    def honour_notify_talk(self) -> bool:
        """Whether an in-dialog NOTIFY `talk` or `hold` is obeyed."""
        return self._honour_notify_talk

    @honour_notify_talk.setter
    def honour_notify_talk(self, value: bool) -> None:
        if value and not self.can_notify_talk:
            raise PhoneUnsupportedError(f"{self!r}: this stack does not show a NOTIFY to the application")
        self._honour_notify_talk = value

    @abstractmethod
    async def unregister(self) -> None:
        """Remove the registration."""

    async def close(self) -> None:
        """End every call and unregister; the stack keeps the silent account until the fleet closes."""
        if not self._open:
            return
        self._open = False
        await self._end_calls()
        await self.unregister()

    async def next_call(self, timeout: float) -> C:
        """Take the oldest incoming call not yet handed out, waiting up to `timeout` seconds."""
        while self._offered:
            call = self._offered.popleft()
            if call.state is not CallState.ENDED:
                return call
        asker: asyncio.Future[C] = asyncio.get_running_loop().create_future()
        self._askers.append(asker)
        try:
            async with asyncio.timeout(timeout):
                return await asker
        except asyncio.CancelledError:
            # Handed out at the very moment at which nobody wants it any more: it is the next one's.
            if asker.done() and not asker.cancelled():
                self._offered.appendleft(asker.result())
            raise
        except TimeoutError:
            raise PhoneTimeoutError(f"{self!r}: no call came in within {timeout:g} s") from None
        finally:
            if asker in self._askers:
                self._askers.remove(asker)

    def placed(self, call: C) -> C:
        """Keep a call that we dialled."""
        self._calls.append(call)
        return call

    def incoming(self, call: C, headers: Mapping[str, str]) -> None:
        """Keep a call that rings here, hand it to whoever waits for one, and apply the answering policy."""
        call.auto_answer = asks_auto_answer(headers)
        self._calls.append(call)
        while self._askers and self._askers[0].done():
            self._askers.popleft()
        if self._askers:
            self._askers.popleft().set_result(call)
        else:
            self._offered.append(call)
        if isinstance(self.answer_mode, int):
            self.spawn(call.reject(self.answer_mode))
        elif self.answer_mode == "auto" or (call.auto_answer and self.honour_auto_answer):
            self.spawn(call.answer())

    def forget(self, call: CoreCall) -> None:
        """Drop a call that has ended."""
        self._calls = [other for other in self._calls if other is not call]

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a reaction of the phone; a failure is logged, because nobody awaits it."""
        task = asyncio.get_running_loop().create_task(self._guard(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _guard(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except PhoneError as error:
            # A caller who hangs up while we answer is ordinary telephony.
            _log.info("%s", error)
        except Exception:  # noqa: BLE001  (nobody awaits a reaction: the log is the only place to say it)
            _log.exception("%r: reaction to a call failed", self)

    async def _end_calls(self) -> None:
        """Hang up every call and wait for the ends; what does not end is logged and left to the PBX."""
        results = await asyncio.gather(*(call.hangup() for call in self.calls), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                _log.warning("%r: %s", self, str(result))
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
