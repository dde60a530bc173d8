"""The link to Asterisk's manager interface: always trying, never replaying, "lost" and "back" told once.

It owns connect, login, keep-alive and reconnect. Who uses it sends actions and gets events, in order.
"""

import asyncio
import contextlib
import hashlib
import itertools
import random
import secrets
import time
from collections.abc import Callable, Coroutine
from types import MappingProxyType
from typing import Final

import structlog

from connector.asterisk.link_errors import (
    AmiBusy,
    AmiDown,
    AmiError,
    AmiLoginRefused,
    AmiRefused,
    AmiTimeout,
    AmiTlsProblem,
)
from connector.asterisk.link_settings import AmiSettings, AmiTls
from connector.asterisk.meter import Meter, NoMeter
from connector.asterisk.protocol import Keep, LinkProtocol, OnEvent, Tap
from connector.asterisk.wire import AmiMessage, AmiWireError, Fields

__all__ = [
    "AmiBusy",
    "AmiDown",
    "AmiError",
    "AmiLink",
    "AmiLoginRefused",
    "AmiRefused",
    "AmiSettings",
    "AmiTimeout",
    "AmiTls",
    "AmiTlsProblem",
    "Fields",
    "Tap",
]

log = structlog.get_logger(__name__)

_NO_FIELDS: Final[Fields] = MappingProxyType({})
_STEADY: Final = 10.0
"""Seconds a connection must last before the next loss starts the back-off anew."""
_FAREWELL: Final = 1.0
"""Seconds that a Logoff may take."""
_CLOSED: Final = "the link was closed"


class AmiLink:
    """One manager session that comes back by itself.

    `on_event` gets every event in order, synchronously, but for the items of lists asked for here; so do not
    block in it. If it returns True, the tasks that it woke run before the next event. `on_up` follows each
    login and comes before that session's first event; `on_down` tells the reason, once per loss; `on_failed`
    why an attempt to connect came to nothing, each time. `tap` sees every message of both directions, secrets
    included: it is the recorder's place.

    Asterisk lets users in before it has loaded all modules, and refuses their actions as unknown until then
    (seen on 22.10 for QueueStatus, 0.2 s before FullyBooted). It reports the end of its start (FullyBooted)
    only to users with `read=system`; so the link cannot wait for it, and hands it on like any event.

    Raises:
        AmiTlsProblem: the files of the TLS settings cannot be used.

    """

    def __init__(
        self,
        settings: AmiSettings,
        *,
        on_event: OnEvent,
        on_up: Callable[[], None] = lambda: None,
        on_down: Callable[[str], None] = lambda _reason: None,
        on_failed: Callable[[str], None] = lambda _reason: None,
        tap: Tap | None = None,
        meter: Meter | None = None,
    ) -> None:
        if settings.tls is not None:
            settings.tls.context()
        self._settings = settings
        self._on_event = on_event
        self._on_up = on_up
        self._on_down = on_down
        self._on_failed = on_failed
        self._tap = tap
        self._meter = meter or NoMeter()
        self._log = log.bind(pbx=f"{settings.host}:{settings.port}", user=settings.username)
        # Asterisk shows an action's id to every session; ours must not be mistaken for another's.
        token = secrets.token_hex(4)
        numbers = itertools.count(1)
        self._next_id = lambda: f"{token}-{next(numbers)}"
        self._protocol: LinkProtocol | None = None
        self._is_up = asyncio.Event()
        self._stop = asyncio.Event()
        self._closing = False
        self._ended = asyncio.Event()
        self._ended.set()
        self._down_reason = "not connected yet"
        self._told_failure = ""
        self._was_up = False

    @property
    def up(self) -> bool:
        """Whether actions can be sent now."""
        return self._protocol is not None and not self._protocol.lost.done()

    @property
    def user(self) -> str:
        """The manager user."""
        return self._settings.username

    @property
    def pending(self) -> int:
        """How many actions wait for their replies."""
        return len(self._protocol.responses) if self._protocol is not None else 0

    @property
    def arrived(self) -> float:
        """When the event that is being handled came (`time.monotonic`)."""
        return self._protocol.arrived if self._protocol is not None else time.monotonic()

    async def wait_up(self, timeout: float | None = None) -> None:
        """Wait until logged in.

        Raises:
            TimeoutError: not within `timeout` seconds.

        """
        async with asyncio.timeout(timeout):
            await self._is_up.wait()

    async def send(
        self, action: str, fields: Fields = _NO_FIELDS, *, timeout: float | None = None
    ) -> AmiMessage:
        """Send one action and give its reply. Success means "accepted", the proof is an event.

        Raises:
            AmiRefused: Asterisk answered with an error.
            AmiTimeout: no reply within `timeout` seconds (default: the settings' action_timeout).
            AmiDown: the link is down, or broke before the reply.
            AmiValueRejected: a header may not go out (line breaks, length, number).

        """
        return (await self._ask(action, fields, timeout, wants_list=False))[0]

    async def send_list(
        self,
        action: str,
        fields: Fields = _NO_FIELDS,
        *,
        timeout: float | None = None,
        keep: Keep | None = None,
    ) -> list[AmiMessage]:
        """Send an action that answers with a list; give the events between its start and its Complete.

        With `keep` only the rows of which that is true: of a long list the others are let go as they come.
        Some lists refuse when they are empty ("No active conferences."): an AmiRefused like any other. Errors
        as for `send`.
        """
        return await self._ask(action, fields, timeout, wants_list=True, keep=keep)

    async def run(self) -> None:
        """Connect, log in and stay so, until cancelled or closed. A bad peer never ends it."""
        if not self._ended.is_set():
            raise RuntimeError("the link runs already")
        self._ended.clear()
        failures = 0
        loop = asyncio.get_running_loop()
        try:
            while not self._stop.is_set():
                began = loop.time()
                was_up = await self._until_stopped(self._connect_and_serve())
                failures = 1 if was_up and loop.time() - began >= _STEADY else failures + 1
                await self._pause(failures)
        finally:
            self._drop(_CLOSED)
            self._ended.set()

    async def close(self) -> None:
        """Log off and end `run`. Pending actions fail; the link cannot be run again."""
        self._closing = True
        if self._protocol is not None:
            with contextlib.suppress(AmiError):
                await self._protocol.request("Logoff", {}, _FAREWELL)
        self._stop.set()
        self._drop(_CLOSED)
        await self._ended.wait()

    async def _until_stopped(self, connection: Coroutine[None, None, bool]) -> bool:
        """Run one connection, and cut it short when the link is closed; tell whether it got as far as up."""
        serving = asyncio.ensure_future(connection)
        stopping = asyncio.ensure_future(self._stop.wait())
        try:
            await asyncio.wait((serving, stopping), return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
            serving.cancel()
            await asyncio.wait((serving, stopping))
        return not serving.cancelled() and serving.result()

    async def _connect_and_serve(self) -> bool:
        """Hold one connection from its first to its last byte; tell whether the login succeeded."""
        try:
            protocol = await self._open()
        except AmiLoginRefused as refusal:
            hint = "the PBX refuses our login; check user, secret and permit in its manager.conf"
            self._tell_failure(hint, refusal)
            return False
        except (AmiError, AmiWireError, OSError) as problem:
            self._tell_failure("the PBX cannot be reached; trying on", problem)
            return False
        self._come_up(protocol)
        keeping = asyncio.ensure_future(self._keep_alive(protocol))
        try:
            # Not the future itself: a cancelled wait must not cancel it.
            await asyncio.wait((protocol.lost,))
        finally:
            keeping.cancel()
            self._drop(_CLOSED)
            await asyncio.wait((keeping,))
        return True

    async def _open(self) -> LinkProtocol:
        settings, protocol = self._settings, None
        try:
            async with asyncio.timeout(settings.connect_timeout):
                tls = settings.tls
                _, protocol = await asyncio.get_running_loop().create_connection(
                    lambda: LinkProtocol(
                        next_id=self._next_id, max_pending=settings.max_pending, tap=self._tap
                    ),
                    settings.host,
                    settings.port,
                    # Built anew each time: a renewed certificate counts from the next connection on.
                    ssl=tls.context() if tls is not None else None,
                    server_hostname=(tls.server_name or settings.host) if tls is not None else None,
                )
                await protocol.greeted
                await self._log_in(protocol)
        except BaseException as problem:
            if protocol is not None:
                protocol.abort("not logged in")
            if isinstance(problem, TimeoutError):
                seconds = f"{settings.connect_timeout:g} s"
                raise TimeoutError(f"no connection and login within {seconds}") from None
            raise
        return protocol

    async def _log_in(self, protocol: LinkProtocol) -> None:
        settings = self._settings
        fields = {"Username": settings.username, "Events": "on"}
        try:
            if settings.login == "md5":
                reply = await protocol.request("Challenge", {"AuthType": "MD5"}, settings.connect_timeout)
                fields |= {"AuthType": "MD5", "Key": _md5_key(reply["Challenge"], settings.secret)}
            else:
                fields |= {"Secret": settings.secret}
            await protocol.request("Login", fields, settings.connect_timeout)
        except (AmiRefused, KeyError) as refusal:
            raise AmiLoginRefused(str(refusal)) from None

    async def _keep_alive(self, protocol: LinkProtocol) -> None:
        """Ping with a deadline: a silent peer is given up at once, a talking one at the second miss."""
        settings = self._settings
        missed = 0
        while True:
            await asyncio.sleep(settings.ping_interval)
            asked = time.monotonic()
            try:
                await protocol.request("Ping", {}, settings.ping_timeout)
            except AmiDown:
                return
            except AmiTimeout:
                missed += 1
                if missed > 1 or protocol.last_received <= asked:
                    protocol.abort(f"no answer to a ping within {settings.ping_timeout:g} s")
                    return
            except AmiRefused:
                missed = 0
            else:
                missed = 0

    def _come_up(self, protocol: LinkProtocol) -> None:
        self._protocol = protocol
        self._told_failure = ""
        self._is_up.set()
        self._log.info("PBX link back" if self._was_up else "PBX link up", ami_version=protocol.version)
        self._was_up = True
        self._meter.logged_in(self.user)
        # Here and not in the task: whoever looks at `up` after the last event must not see a stale yes.
        protocol.lost.add_done_callback(lambda lost: self._go_down(protocol, lost.result()))
        self._call("on_up", self._on_up)
        protocol.start(self._on_event)

    def _go_down(self, protocol: LinkProtocol, reason: str) -> None:
        if self._protocol is not protocol:
            return
        if self._closing:
            reason = _CLOSED
        self._protocol = None
        self._is_up.clear()
        self._down_reason = reason
        if reason != _CLOSED:
            self._log.warning("PBX link lost", reason=reason)
        self._call("on_down", lambda: self._on_down(reason))

    def _drop(self, reason: str) -> None:
        protocol = self._protocol
        if protocol is not None:
            protocol.abort(reason)
            self._go_down(protocol, protocol.lost.result())

    async def _pause(self, failures: int) -> None:
        settings = self._settings
        bound = min(settings.reconnect_max, settings.reconnect_initial * 2.0 ** min(failures - 1, 30))
        pause = random.uniform(0, bound)  # noqa: S311 - spreads reconnects, guards nothing # nosec B311
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause):
                await self._stop.wait()

    def _tell_failure(self, text: str, problem: Exception) -> None:
        """Log why there is no link: once, and again only when the reason changes."""
        self._down_reason = str(problem) or type(problem).__name__
        if self._down_reason != self._told_failure:
            self._told_failure = self._down_reason
            self._log.error(text, reason=self._down_reason)
        reason = self._down_reason
        self._call("on_failed", lambda: self._on_failed(reason))

    def _call(self, name: str, callback: Callable[[], None]) -> None:
        try:
            callback()
        except Exception:
            log.exception("a callback of the PBX link failed", callback=name)

    async def _ask(
        self,
        action: str,
        fields: Fields,
        timeout: float | None,
        *,
        wants_list: bool,
        keep: Keep | None = None,
    ) -> list[AmiMessage]:
        """Send an action and wait for what it asks for, and tell the meter what came of it."""
        protocol = self._protocol
        if protocol is None:
            raise AmiDown(action, self._down_reason)
        protocol.admit(action)
        patience = self._settings.action_timeout if timeout is None else timeout
        began, outcome = time.perf_counter(), "error"
        try:
            reply = await protocol.ask(action, fields, patience, wants_list=wants_list, keep=keep)
            outcome = "accepted"
        except AmiRefused:
            outcome = "refused"
            raise
        except AmiTimeout:
            outcome = "timeout"
            raise
        except AmiDown:
            outcome = "lost"
            raise
        finally:
            self._meter.action(self._settings.username, action, outcome, time.perf_counter() - began)
        return reply


def _md5_key(challenge: str, secret: str) -> str:
    # MD5 is what Asterisk's Challenge offers; on an untrusted network use TLS.
    return hashlib.md5(f"{challenge}{secret}".encode(), usedforsecurity=False).hexdigest()
