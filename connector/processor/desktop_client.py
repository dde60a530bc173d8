"""An agent desktop's end of the Interaction Processor service: for tests, tools and as an example."""

import asyncio
import itertools
import logging
import ssl
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self, TypeVar

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.typing import Origin

from connector.processor.desktop_model import (
    CallObject,
    ConversationView,
    InteractionView,
    SessionView,
)
from connector.processor.link import Ticker

_T = TypeVar("_T")

_MAX_MESSAGE = 16 * 1024 * 1024
_TAIL = 12

_SILENT = logging.getLogger("connector.processor.desktop.websockets")
# The library would write frames, and with them passwords, into its debug log.
_SILENT.setLevel(logging.CRITICAL)


class DesktopGone(ConnectionError):
    """The service's connection is gone, or could not be made. One line."""


class DesktopRefused(RuntimeError):
    """The service answered with a failure: its code and its sentence."""

    def __init__(self, command: str, code: str, message: str) -> None:
        super().__init__(f"{command}: {message} ({code})")
        self.command = command
        self.code = code
        self.message = message


class SessionExists(Exception):
    """The agent has a session already; the text asks whether it is to be ended."""


class DesktopClient:
    """One connection to a service. Times are seconds; waits raise TimeoutError with what was waited for."""

    def __init__(
        self,
        url: str,
        *,
        tls: ssl.SSLContext | None = None,
        origin: str | None = None,
        timeout: float = 10.0,
    ) -> None:
        self.url = url
        self.timeout = timeout
        self.service_events: list[dict[str, Any]] = []
        self.sessions: dict[str, DesktopSession] = {}
        self.lost_because = ""
        self.ticker = Ticker()
        self.alive = False
        # Without a context of its own a desktop trusts what this machine trusts.
        self._tls = ssl.create_default_context() if tls is None and url.startswith("wss:") else tls
        self._origin = origin
        self._numbers = itertools.count(1)
        self._waiting: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self._socket: ClientConnection | None = None
        self._reader: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def connect(self) -> None:
        """Connect. Raises DesktopGone."""
        try:
            self._socket = await connect(
                self.url,
                ssl=self._tls,
                origin=None if self._origin is None else Origin(self._origin),
                max_size=_MAX_MESSAGE,
                compression=None,
                proxy=None,
                open_timeout=self.timeout,
                close_timeout=self.timeout,
                logger=_SILENT,
            )
        except (OSError, WebSocketException, TimeoutError) as problem:
            raise DesktopGone(f"No service at {self.url}: {problem}") from None
        self.alive = True
        self._reader = asyncio.create_task(self._read(self._socket))

    async def close(self) -> None:
        """End the connection in good order; sessions wait for their desktop's return."""
        if self._socket is not None:
            await self._socket.close()
        if self._reader is not None:
            await self._reader

    async def drop(self) -> None:
        """Cut the connection as a network failure does."""
        if self._socket is not None:
            self._socket.transport.abort()
        if self._reader is not None:
            await self._reader

    # -- asking ----------------------------------------------------------------------------------------

    async def ask(
        self, command: str, data: Mapping[str, Any] | None = None, *, target: str = ""
    ) -> dict[str, Any]:
        """Send a command and return the response, whatever it is. Raises DesktopGone, TimeoutError."""
        request_id = str(next(self._numbers))
        message: dict[str, Any] = {"command": command, "data": dict(data or {}), "requestId": request_id}
        if target:
            message["target"] = target
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting[request_id] = answer
        try:
            await self.send_raw(msgspec.json.encode(message).decode())
            async with asyncio.timeout(self.timeout):
                return await answer
        except TimeoutError:
            raise TimeoutError(f"No answer to {command} within {self.timeout} s.") from None
        finally:
            self._waiting.pop(request_id, None)

    async def do(
        self, command: str, data: Mapping[str, Any] | None = None, *, target: str = ""
    ) -> dict[str, Any]:
        """Send a command and return the data of its success. Raises DesktopRefused, and as `ask` does."""
        answer = await self.ask(command, data, target=target)
        if answer["result"] != "success":
            told = answer.get("failure", {})
            raise DesktopRefused(command, told.get("code", ""), told.get("message", ""))
        return dict(answer.get("data", {}))

    async def send_raw(self, message: str | bytes) -> None:
        """Send a message as it is: for tests of the service's nerves. Raises DesktopGone."""
        if self._socket is None or not self.alive:
            raise DesktopGone(f"Not connected: {self.lost_because or 'never was'}.")
        try:
            await self._socket.send(message)
        except ConnectionClosed as closed:
            raise DesktopGone(f"The service's connection is gone: {closed}") from None

    async def services(self) -> list[dict[str, Any]]:
        """Return what `getServices` tells."""
        return list((await self.do("getServices"))["services"])

    async def bind_service(self, service: str = "") -> dict[str, Any]:
        """Bind a service (default: the first one) and return what is told of it; its events follow."""
        name = service or (await self.services())[0]["id"]
        return dict((await self.do("bindService", {"service": name}))["service"])

    async def prepare(
        self,
        agent: str,
        password: str,
        *,
        override: bool = False,
        extension: str = "",
        model: str | None = None,
    ) -> str:
        """Prepare a session and return its resource's id.

        Raises:
            SessionExists: the agent has one, and `override` is false. And as `do` raises.

        """
        data: dict[str, Any] = {"override": override, "agent": {"id": agent, "password": password}}
        if extension:
            data["extension"] = extension
        if model is not None:
            data["model"] = model
        answer = await self.ask("prepareSession", data)
        if answer["result"] == "confirm":
            raise SessionExists(answer["message"])
        if answer["result"] != "success":
            told = answer["failure"]
            raise DesktopRefused("prepareSession", told["code"], told["message"])
        return str(answer["resource"]["id"])

    async def bind(self, resource: str, agent: str = "", password: str = "") -> "DesktopSession":
        """Bind a session; on a connection that has not prepared it, with the agent's credentials."""
        data: dict[str, Any] = {"resource": resource}
        if agent:
            data["agent"] = {"id": agent, "password": password}
        # Made by the reader, so that no event comes between the snapshot and the session that takes it.
        await self.do("bindResource", data)
        return self.sessions[resource]

    async def login(
        self, agent: str, password: str, *, override: bool = False, extension: str = ""
    ) -> "DesktopSession":
        """Prepare a session and bind it. Raises as `prepare` does."""
        return await self.bind(await self.prepare(agent, password, override=override, extension=extension))

    async def until(self, ready: Callable[[], _T | None], what: str, timeout: float | None = None) -> _T:
        """Wait until `ready` returns something true, and return that.

        Raises:
            TimeoutError: that takes too long. DesktopGone: the connection is gone meanwhile.

        """

        def ready_or_over() -> _T | None:
            value = ready()
            if not value and not self.alive:
                raise DesktopGone(f"The service's connection is gone: {self.lost_because}")
            return value

        patience = self.timeout if timeout is None else timeout
        return await self.ticker.until(ready_or_over, patience, lambda: what)

    async def wait_lost(self, timeout: float | None = None) -> str:
        """Wait until the connection is gone and return why."""
        patience = self.timeout if timeout is None else timeout
        await self.ticker.until(lambda: not self.alive, patience, lambda: "the end of the connection")
        return self.lost_because

    # -- reading ---------------------------------------------------------------------------------------

    async def _read(self, socket: ClientConnection) -> None:
        try:
            async for text in socket:
                self._received(msgspec.json.decode(text))
                self.ticker.tick()
        except ConnectionClosed:
            # Why is what the socket says below, whichever way it ended.
            pass
        finally:
            self.alive = False
            self.lost_because = f"{socket.close_code} {socket.close_reason or ''}".strip()
            for answer in self._waiting.values():
                if not answer.done():
                    answer.set_exception(DesktopGone(f"The connection is gone: {self.lost_because}"))
            self.ticker.tick()

    def _received(self, message: dict[str, Any]) -> None:
        if message.get("messageType") == "serviceEvent":
            self.service_events.append(message)
        elif message.get("messageType") == "objectEvent":
            if (session := self.sessions.get(message["target"].partition(".")[0])) is not None:
                session.view.take_event(message)
        else:
            if message["command"] == "bindResource" and message["result"] == "success":
                snapshot = message["data"]
                self.sessions[snapshot["id"]] = DesktopSession(self, SessionView(snapshot))
            answer = self._waiting.get(message.get("requestId", ""))
            if answer is not None and not answer.done():
                answer.set_result(message)


class DesktopSession:
    """A session that this desktop has bound: `view` is what is known of it, methods are what can be done."""

    def __init__(self, client: DesktopClient, view: SessionView) -> None:
        self.client = client
        self.view = view

    @property
    def id(self) -> str:
        """The resource's id."""
        return self.view.id

    async def do(self, target: str | CallObject, command: str, **data: Any) -> dict[str, Any]:
        """Send a command for an object of the session. Raises DesktopRefused, DesktopGone, TimeoutError."""
        where = target if isinstance(target, str) else target.target
        return await self.client.do(command, data, target=where)

    async def until(self, ready: Callable[[], _T | None], what: str, timeout: float | None = None) -> _T:
        """Wait for something about the session. Raises as the client's `until`; the last events are told."""
        try:
            return await self.client.until(ready, what, timeout)
        except TimeoutError as problem:
            tail = [f"\n  {one['name']} @{one['target']} {one['data']}" for one in self.view.log[-_TAIL:]]
            raise TimeoutError(f"{problem} Last events:{''.join(tail) or ' none'}") from None

    async def activate(self) -> None:
        """Log the agent into the queues, unless the session found it there, and wait until that is told."""
        if self.view.channel.state == "INACTIVE":
            await self.do(self.view.group, "channelgroup.request.activate")
        await self.wait_agent("NOT_READY", "READY")

    async def ready(self) -> None:
        """Take calls, and wait until that is told."""
        await self.do(self.view.channel, "channel.request.ready")
        await self.wait_agent("READY")

    async def not_ready(self, reason: str | None = None) -> None:
        """Take no calls, and wait until that is told."""
        channel, data = self.view.channel, {} if reason is None else {"reasonCodeId": reason}
        told = len(channel.states)
        await self.do(channel, "channel.request.notready", **data)
        await self.until(
            lambda: len(channel.states) > told and channel.agent_state == "NOT_READY",
            f"NOT_READY for {reason}",
        )

    async def wait_agent(self, *states: str) -> None:
        """Wait until the channel is active and the agent in one of the states."""
        channel = self.view.channel
        await self.until(
            lambda: channel.state == "ACTIVE" and channel.agent_state in states,
            f"agent {' or '.join(states)}",
        )

    async def logout(self) -> None:
        """Log the agent out, and wait for the end of the session."""
        await self.do(self.id, "session.request.logout")
        await self.until(lambda: self.view.closed, "session.closed")

    async def next_interaction(self, state: str = "") -> InteractionView:
        """Wait for an interaction that is not over, in a given state, and return the newest one."""

        def found() -> InteractionView | None:
            live = [one for one in self.view.interactions() if one.initialized and not one.gone]
            fits = [one for one in live if state in {"", one.state}]
            return fits[-1] if fits else None

        return await self.until(found, f"an interaction {state}")

    async def dial(self, number: str) -> InteractionView:
        """Place a call and return its interaction, initialised."""
        before = {one.target for one in self.view.interactions()}
        await self.do(self.view.channel, "channel.request.dial", destination=number)

        def new() -> InteractionView | None:
            made = [one for one in self.view.interactions() if one.target not in before and one.initialized]
            return made[-1] if made else None

        return await self.until(new, f"the call to {number}")

    async def consult(self, interaction: InteractionView, number: str) -> ConversationView:
        """Place a consult call and return its conversation, initialised."""
        told = await self.do(interaction, "interaction.request.consult", destination=number)
        nativeid = told["nativeid"]

        def new() -> ConversationView | None:
            made = interaction.conversations.values()
            return next((one for one in made if one.nativeid == nativeid and one.initialized), None)

        return await self.until(new, f"the consult call to {number}")

    async def wait_state(self, one: CallObject, *states: str) -> None:
        """Wait until an object is or was in one of the states since it was first seen."""
        await self.until(
            lambda: not set(states).isdisjoint(one.states),
            f"{one.target} {' or '.join(states)} ({one.state})",
        )

    async def wait_now(self, one: CallObject, *states: str) -> None:
        """Wait until an object is in one of the states."""
        await self.until(lambda: one.state in states, f"{one.target} {' or '.join(states)} ({one.state})")

    async def team(self, *, realtime: bool = False) -> dict[str, dict[str, Any]]:
        """Ask for the team's states by login id; `realtime` has them kept up to date from now on."""
        told = await self.do(self.id, "session.request.getteamstatus", realtime=realtime)
        self.view.take_team(told["teamstatus"])
        return self.view.team

    async def not_ready_reasons(self) -> list[dict[str, Any]]:
        """Ask for the not-ready reasons and wait for the event that tells them."""
        told = len(self.view.log)
        await self.do(self.id, "session.request.externalnotreadyreasons")
        name = "session.externalnotreadyreasons.updated"
        await self.until(lambda: any(one["name"] == name for one in self.view.log[told:]), name)
        return self.view.not_ready_reasons
