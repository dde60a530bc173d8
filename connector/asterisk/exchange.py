"""The one writer: manager events go through here into the model, and its changes out to all who listen."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from contextvars import Context
from functools import partial
from typing import TypeAlias, TypeVar

import structlog

from connector.asterisk.events import translate
from connector.asterisk.wire import AmiMessage
from connector.telephony.changes import Anomaly, Change
from connector.telephony.facts import EndpointChanged, Fact, MemberChanged, MemberGone, PlacementFailed
from connector.telephony.model import TelephonyModel
from connector.telephony.pbx import Listener, PbxDown, TimedOut

log = structlog.get_logger(__name__)

_NAMING = 0.1
"""Seconds within which a room that somebody entered is named."""

_T = TypeVar("_T")
_Listening: TypeAlias = tuple[Callable[[_T], None], tuple[type, ...]]
"""Who is told, and of which kinds."""


def subject_of(fact: Fact) -> str | None:
    """Return what a fact is about: the leg's id, or a name for the phone or its membership in a queue."""
    match fact:
        case EndpointChanged(endpoint=endpoint):
            return f"phone {endpoint}"
        case MemberChanged(queue=queue, endpoint=endpoint) | MemberGone(queue=queue, endpoint=endpoint):
            return f"member {endpoint} of {queue}"
        case _:
            leg = getattr(fact, "leg", None)
            return leg if isinstance(leg, str) else None


class Exchange:
    """Model, listeners and waiters on one event loop. Nothing else may change the model."""

    def __init__(self, *, proof_timeout: float) -> None:
        self.model = TelephonyModel()
        self.proof_timeout = proof_timeout
        self.available = False
        self.failed_placements: dict[str, PlacementFailed] = {}
        self.touched: set[str] | None = None
        """What events spoke of while the PBX's lists are read (`subject_of`); None at other times."""
        self.reconcile: Callable[[], Awaitable[None]] | None = None
        """Reads the PBX's lists into the model, for a proof that is overdue."""
        self.when_back: list[Callable[[], None]] = []
        """Called each time that the PBX is there (again), however short it was away."""
        self._listeners: list[_Listening[Change]] = []
        self._attending: list[_Listening[Change]] = []
        self._followers: list[_Listening[Fact]] = []
        self._followers_of: dict[type, list[_Listening[Fact]]] = {}
        """The same by kinds of facts: for most there are none."""
        self._waiters: list[tuple[Callable[[], bool], asyncio.Future[None]]] = []
        self._woke = False
        self._chores: deque[Callable[[], None]] = deque()
        """What is done for changes and facts once who waited for them has gone on."""

    def subscribe(self, listener: Listener, *kinds: type[Change]) -> Callable[[], None]:
        """Tell `listener` every change of these kinds (none: of all) from now on. Returns how to stop it."""
        entry = (listener, kinds or (object,))
        self._listeners.append(entry)
        return lambda: self._listeners.remove(entry)

    def attend(self, chore: Listener, *kinds: type[Change]) -> None:
        """Tell `chore` every change of these kinds (none: of all), as `follow` does with facts.

        By then who listens may have done things: an interaction that ended may be completed and forgotten.
        """
        self._attending.append((chore, kinds or (object,)))

    def follow(self, follower: Callable[[Fact], None], *kinds: type[Fact]) -> None:
        """Tell `follower` every fact of these kinds (none: of all), once the model has told its changes.

        Facts come in their order and before the next one changes the model. But who waited for what this one
        has changed goes on first: an answer does not wait for chores.
        """
        self._followers.append((follower, kinds or (object,)))
        self._followers_of.clear()

    def on_event(self, event: AmiMessage) -> bool:
        """Take one manager event in; tell whether it showed something that was waited for."""
        self._woke = False
        for fact in translate(event):
            self.apply(fact)
        return self._woke

    def apply(self, fact: Fact) -> None:
        """Take one fact in, tell its changes, wake who waited for them."""
        if self._chores:
            # They are nothing of the request in which this may happen to be.
            Context().run(self._do_chores)
        if self.touched is not None and (subject := subject_of(fact)) is not None:
            self.touched.add(subject)
        if isinstance(fact, PlacementFailed) and fact.leg in self.failed_placements:
            self.failed_placements[fact.leg] = fact
        self._tell(self.model.apply(fact), fact)

    def publish(self, changes: list[Change]) -> None:
        """Tell changes to every listener; a listener's fault never stops the others."""
        if self._chores:
            Context().run(self._do_chores)
        self._tell(changes, None)

    def _tell(self, changes: list[Change], fact: Fact | None) -> None:
        for change in changes:
            if isinstance(change, Anomaly):
                log.warning("model anomaly", subject=change.subject, text=change.text)
            _tell_each(self._listeners, change)
            self._chores.append(partial(_tell_each, self._attending, change))
        if fact is not None:
            kind = type(fact)
            followers = self._followers_of.get(kind)
            if followers is None:
                followers = self._followers_of[kind] = [
                    one for one in self._followers if issubclass(kind, one[1])
                ]
            if followers:
                self._chores.append(partial(_tell_each, followers, fact))
        if self._wake():
            self._woke = True
            if self._chores:
                # Two turns of the loop: one for whoever waited, one to write what they send.
                loop = asyncio.get_running_loop()
                loop.call_soon(loop.call_soon, self._do_chores)
        elif self._chores:
            self._do_chores()

    def _do_chores(self) -> None:
        while self._chores:
            self._chores.popleft()()

    def set_available(self, *, available: bool) -> None:
        """Record whether the PBX can be worked with, and wake who waits for it; `Service` tells the rest."""
        back = available and not self.available
        self.available = available
        self._wake()
        if back:
            for chore in self.when_back:
                chore()

    def require_available(self) -> None:
        """Refuse at once while the PBX cannot be reached.

        Raises:
            PbxDown: the link is down.

        """
        if not self.available:
            raise PbxDown("The telephone system cannot be reached at the moment; please try again soon.")

    async def until(self, proven: Callable[[], bool], what: str, timeout: float | None = None) -> None:
        """Wait until the PBX has shown that something is so.

        Without a `timeout` (seconds) of its own this is the outcome of a request: when the proof timeout is
        over, an event may have been lost, so the PBX is asked how things are, and that counts.

        Raises:
            TimedOut: it did not show it, and it is not so.
            PbxDown: the link broke meanwhile.

        """
        if proven():
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (proven, waiter)
        self._waiters.append(entry)
        patience = timeout if timeout is not None else self.proof_timeout
        late = asyncio.get_running_loop().call_later(patience, _give_up, waiter)
        try:
            await waiter
        except TimeoutError:
            if timeout is None and self.reconcile is not None:
                log.warning("proof overdue; asking the PBX", awaited=what)
                await self.reconcile()
            if not proven():
                raise TimedOut(f"The telephone system did not confirm in time: {what}.") from None
        finally:
            late.cancel()
            self._waiters.remove(entry)
            # Else what ended the wait and the wait itself would keep one another alive.
            del waiter, entry, late

    async def named_room(self, leg: str) -> str | None:
        """Return the name of the room that a leg is in; None if it is in none.

        Asterisk may tell the name a moment after somebody entered; a plain bridge never gets one.

        Raises:
            PbxDown: the link broke meanwhile.

        """
        legs = self.model.legs
        with suppress(TimedOut):
            await self.until(lambda: legs.room_of(leg) is not None, "room", _NAMING)
        return legs.room_of(leg)

    def _wake(self) -> bool:
        """Let those go on who see what they waited for; tell whether there were any."""
        woke = False
        for proven, waiter in tuple(self._waiters):
            if waiter.done():
                continue
            if not self.available:
                waiter.set_exception(
                    PbxDown("The link to the telephone system broke; please try again soon.")
                )
            elif proven():
                waiter.set_result(None)
                woke = True
        return woke


def _tell_each(listening: list[_Listening[_T]], told: _T) -> None:
    for listener, kinds in tuple(listening):
        if not isinstance(told, kinds):
            continue
        try:
            listener(told)
        except Exception:
            log.exception("a listener failed", told=type(told).__name__)


def _give_up(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_exception(TimeoutError())
        # Whoever waited may be gone; that is no news.
        waiter.exception()
