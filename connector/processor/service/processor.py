"""The Interaction Processor service: core requests, service requests, the service monitor (S1)."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import structlog

from connector import __version__
from connector.bridge.messages import Body, Message
from connector.bridge.messages import control as control_wire
from connector.processor.handles import Channel, Conversation, Interaction
from connector.processor.link import Link
from connector.processor.problems import BridgeGone, BridgeTimeout
from connector.processor.server import ReferenceBridge
from connector.processor.service.clients import Client, Peer
from connector.processor.service.options import ServiceOptions
from connector.processor.service.preparing import wanted_of
from connector.processor.service.resource import Resource
from connector.processor.service.sessions import Sessions
from connector.processor.service.verbs import verb_of
from connector.processor.service.wire import (
    Code,
    Command,
    Failed,
    Unreadable,
    confirm,
    failure,
    prepared,
    read,
    service_event,
    success,
)

log = structlog.get_logger(__name__)

_IN_SERVICE = control_wire.ServiceStatus.IN_SERVICE
_OUT_OF_SERVICE = control_wire.ServiceStatus.OUT_OF_SERVICE
_KEEPS_SESSIONS = {_IN_SERVICE, control_wire.ServiceStatus.PAUSING, control_wire.ServiceStatus.STOPPING}

_MOST_WAITING = 32
"""Commands of one desktop that may wait for their answer at once."""

_LAST_ANSWERS = 2.0
"""Seconds that a service that is stopped waits for answers of the connector."""


class InteractionProcessor:
    """Serves agent desktops with the sessions of a reference bridge.

    Whoever has connections tells `connected`, `received` and `disconnected`, all on the bridge's event loop.
    """

    def __init__(self, bridge: ReferenceBridge, options: ServiceOptions | None = None) -> None:
        self.options = options or ServiceOptions()
        self.bridge = bridge
        self._sessions = Sessions(bridge, self.options.grace, self._spawn)
        self._clients: dict[Peer, Client] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._told_up = self.accepting
        self._at_once: dict[str, Callable[[Client, Command], None]] = {
            "getServices": self._get_services,
            "bindService": self._bind_service,
            "unbindService": self._unbind_service,
            "bindResource": self._bind_resource,
            "unbindResource": self._unbind_resource,
        }
        bridge.watchers.append(self)

    @property
    def service_id(self) -> str:
        """The service's identifier: the interaction processor's name."""
        return self.bridge.processor

    @property
    def clients(self) -> int:
        """How many desktops have bound the service."""
        return sum(each.monitors for each in self._clients.values())

    @property
    def accepting(self) -> bool:
        """Whether new sessions can be prepared."""
        return self.bridge.capabilities is not None and self.bridge.status is _IN_SERVICE

    @property
    def resources(self) -> dict[str, Resource]:
        """The session resources by id."""
        return self._sessions.resources

    def end_sessions(self) -> None:
        """End all sessions for their desktops; the connector keeps them, and calls."""
        if self in self.bridge.watchers:
            self.bridge.watchers.remove(self)
        self._sessions.end_all("SERVICE_STOPPED")

    async def stop(self) -> None:
        """End all work."""
        self.end_sessions()
        if self._tasks:
            # What is being given up has been asked for: its answers are still taken.
            await asyncio.wait(tuple(self._tasks), timeout=_LAST_ANSWERS)
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # -- connections -----------------------------------------------------------------------------------

    def connected(self, peer: Peer) -> None:
        """Begin to serve a desktop."""
        self._clients[peer] = Client(peer)

    def disconnected(self, peer: Peer) -> None:
        """Let go of a desktop; its sessions wait for it."""
        client = self._clients.pop(peer, None)
        if client is None:
            return
        for name in tuple(client.resources):
            self._sessions.unbind(client, name)
        if client.monitors:
            self._tell_monitors("service.statuschanged")

    def received(self, peer: Peer, text: str) -> None:
        """Take a desktop's message; it is answered as soon as the answer is known."""
        client = self._clients.get(peer)
        if client is None:
            return
        try:
            command = read(text)
        except Unreadable as problem:
            log.info("desktop refused", code=problem.code.value)
            peer.send(failure(problem, problem, debug=self.options.debug))
            return
        try:
            if (handler := self._at_once.get(command.name)) is not None:
                handler(client, command)
            else:
                self._begin(client, command)
        except Failed as problem:
            self._fail(client, command, problem)

    def _begin(self, client: Client, command: Command) -> None:
        if client.waiting >= _MOST_WAITING:
            raise Failed(Code.BUSY, "Too many commands wait for their answer.")
        client.waiting += 1
        self._spawn(self._carry_out(client, command))

    async def _carry_out(self, client: Client, command: Command) -> None:
        work = self._prepare_session if command.name == "prepareSession" else self._perform
        try:
            await work(client, command)
        except Failed as problem:
            self._fail(client, command, problem)
        except Exception as fault:
            log.exception("the service failed", command=command.name)
            self._fail(client, command, Failed(Code.INTERNAL, "The service failed.", type(fault).__name__))
        finally:
            client.waiting -= 1

    def _fail(self, client: Client, command: Command, problem: Failed) -> None:
        # A name that nobody knows may be anything, a password that went astray too.
        known = command.name if problem.code is not Code.UNKNOWN_COMMAND else ""
        log.info("desktop refused", command=known, code=problem.code.value)
        self._reply(client, command, failure(command, problem, debug=self.options.debug))
        if client.guesses:
            log.warning("desktop cut off", reason="too many wrong passwords")
            client.peer.end("too many wrong passwords")

    def _reply(self, client: Client, command: Command, response: dict[str, Any]) -> None:
        if self.options.debug and command.context is not None:
            response["context"] = command.context
        client.peer.send(response)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # -- core requests ---------------------------------------------------------------------------------

    def _get_services(self, client: Client, command: Command) -> None:
        self._reply(client, command, success(command, {"services": [self._service()]}))

    def _bind_service(self, client: Client, command: Command) -> None:
        self._check_service(command)
        news = not client.monitors
        client.monitors = True
        self._reply(client, command, success(command, {"service": self._service()}))
        if news:
            self._tell_monitors("service.statuschanged", but=client)

    def _unbind_service(self, client: Client, command: Command) -> None:
        self._check_service(command)
        client.monitors = False
        self._reply(client, command, success(command))
        self._tell_monitors("service.statuschanged")

    def _check_service(self, command: Command) -> None:
        if command.data.get("service") != self.service_id:
            raise Failed(Code.UNKNOWN_SERVICE, "Key 'data.service' must be the id of a service here.")

    def _service(self) -> dict[str, Any]:
        options = self.options
        information = {
            "vendor": options.vendor,
            "version": __version__,
            "cti-vendor": options.cti_vendor,
            "cti-version": options.cti_version,
            "instance-domain": options.instance_domain,
        }
        return {
            "id": self.service_id,
            "type": "interaction-processor",
            "information": information,
            **self._status(),
        }

    def _status(self) -> dict[str, Any]:
        status = self.bridge.status or _OUT_OF_SERVICE
        return {"status": status.value, "accepting": self.accepting, "clients": self.clients}

    # -- sessions --------------------------------------------------------------------------------------

    async def _prepare_session(self, client: Client, command: Command) -> None:
        wanted = wanted_of(command.data)
        if not self.accepting:
            raise Failed(
                Code.UNAVAILABLE, "No new sessions at the moment: the telephone system is not in service."
            )
        resource = await self._sessions.prepare(client, wanted)
        if resource is None:
            question = f"Agent {wanted.agent} has a session already. End it and begin a new one?"
            self._reply(client, command, confirm(command, question))
        else:
            self._reply(client, command, prepared(command, resource.id))

    def _bind_resource(self, client: Client, command: Command) -> None:
        resource = self._sessions.bind(client, command.data)
        self._reply(client, command, success(command, resource.snapshot()))

    def _unbind_resource(self, client: Client, command: Command) -> None:
        self._sessions.unbind(client, str(command.data.get("resource")))
        self._reply(client, command, success(command))

    async def _perform(self, client: Client, command: Command) -> None:
        def answered(data: Mapping[str, Any]) -> None:
            self._reply(client, command, success(command, data))

        verb = verb_of(command.name)
        await self._sessions.perform(client, verb, command.target, command.data, answered)

    # -- watcher of the bridge -------------------------------------------------------------------------

    def told(self, target: str, body: Body) -> None:
        """Tell desktops of an event of the connector."""
        if not isinstance(body, control_wire.ServerStatusChanged):
            self._sessions.told(target, body)
            return
        if body.status is _OUT_OF_SERVICE:
            self._sessions.end_all("OUT_OF_SERVICE", let_go=True)
        if self.bridge.connected and self.bridge.capabilities is None:
            # The control initialisation is not over yet: the service is up when it is.
            self._spawn(self._tell_when_up())
        else:
            self._tell_whether_up()

    def noticed(self, message: Message) -> None:
        """Tell a desktop of a warning or error of the connector."""
        self._sessions.noticed(message)

    def adopted(self, channel: Channel, interaction: Interaction) -> None:
        """Tell a desktop of a new interaction."""
        self._sessions.adopted(channel, interaction)

    def conversed(self, interaction: Interaction, conversation: Conversation) -> None:
        """Tell a desktop of a new conversation."""
        self._sessions.conversed(interaction, conversation)

    def lost(self, link: Link) -> None:
        """End the sessions of a connection that is gone: the connector has forgotten them."""
        self._sessions.end_all("CONNECTOR_LOST", link)
        self._tell_whether_up()

    async def _tell_when_up(self) -> None:
        try:
            await self.bridge.wait_connected()
        except (BridgeTimeout, BridgeGone):
            return
        self._tell_whether_up()

    def _tell_whether_up(self) -> None:
        # Once up, the service is so while it keeps its sessions; it comes up when it can give new ones.
        keeps = self.bridge.capabilities is not None and self.bridge.status in _KEEPS_SESSIONS
        up = self.accepting or (self._told_up and keeps)
        name = "service.statuschanged" if up is self._told_up else "service.up" if up else "service.down"
        self._told_up = up
        self._tell_monitors(name)

    def _tell_monitors(self, name: str, *, but: Client | None = None) -> None:
        event = service_event(self.service_id, name, self._status())
        for client in tuple(self._clients.values()):
            if client.monitors and client is not but:
                client.peer.send(event)
