"""The session resources of a service: prepared, bound by one desktop, waiting for it, ended."""

import asyncio
import hashlib
import hmac
import secrets
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import structlog

from connector.bridge.messages import Body, Message
from connector.bridge.messages import control as control_wire
from connector.processor.floor import Session
from connector.processor.handles import Channel, Conversation, Interaction
from connector.processor.link import Link
from connector.processor.problems import BridgeGone, BridgeRequestFailed, BridgeTimeout
from connector.processor.server import ReferenceBridge
from connector.processor.service.clients import Client
from connector.processor.service.preparing import Wanted, wanted_of
from connector.processor.service.resource import Resource
from connector.processor.service.verbs import Verb
from connector.processor.service.wire import Code, Failed, object_event

log = structlog.get_logger(__name__)

_LOGINS_AT_ONCE = 8
"""At the beginning of a shift all agents come at once, and a connector lets only so many requests wait."""

_WRONG = "Agent id or password is wrong."


@dataclass(eq=False, slots=True)
class _Held:
    """A resource with what stands beside it: whose it is, and how long it waits for a desktop."""

    resource: Resource
    mark: bytes
    owner: Client
    client: Client | None = None
    timer: asyncio.TimerHandle | None = None


class Sessions:
    """All session resources of one bridge. `grace` is how many seconds a session waits for a desktop."""

    def __init__(
        self, bridge: ReferenceBridge, grace: float, spawn: Callable[[Coroutine[Any, Any, None]], None]
    ) -> None:
        self._bridge = bridge
        self._grace = grace
        self._spawn = spawn
        self._held: dict[str, _Held] = {}
        self._by_target: dict[str, _Held] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self._logins = asyncio.Semaphore(_LOGINS_AT_ONCE)
        self._key = secrets.token_bytes(32)

    @property
    def resources(self) -> dict[str, Resource]:
        """The resources by id."""
        return {name: each.resource for name, each in self._held.items()}

    # -- prepareSession --------------------------------------------------------------------------------

    async def prepare(self, client: Client, wanted: Wanted) -> Resource | None:
        """Make an agent's session; None if there is one that may not be ended without asking.

        Raises:
            Failed: the credentials are wrong; the connector refuses.

        """
        async with self._logins:
            await self._check_credentials(client, wanted)
        # Only agents that exist come here, so these are not many.
        async with self._locks.setdefault(wanted.agent, asyncio.Lock()), self._logins:
            there = self._sessions_of(wanted.agent)
            if there and not wanted.override:
                return None
            for session in there:
                await self._override(session)
            held = _Held(await self._log_in(wanted), self._mark(wanted), client)
            self._held[held.resource.id] = held
            self._by_target[held.resource.session.target] = held
            self._wait_for_desktop(held)
        log.info("desktop session prepared", agent=wanted.agent, overridden=len(there))
        return held.resource

    async def _check_credentials(self, client: Client, wanted: Wanted) -> None:
        asked = control_wire.ValidateAgentCredentials(agent_id=wanted.agent, agent_password=wanted.password)
        with _failures():
            reply = await self._bridge.request("", asked)
        client.logged_in(rightly=reply.ok, sentence=reply.error_message or _WRONG)

    def _sessions_of(self, agent: str) -> list[Session]:
        try:
            sessions = self._bridge.sessions
        except BridgeGone:
            return []
        return [one for one in sessions if one.agent_id == agent and not (one.closed or one.node.gone)]

    async def _log_in(self, wanted: Wanted) -> Resource:
        before = self._sessions_of(wanted.agent)
        try:
            with _failures():
                session = await self._bridge.login(
                    wanted.agent, wanted.password, extension=wanted.extension, extensions=wanted.extensions
                )
        except Failed:
            for one in self._sessions_of(wanted.agent):
                if one not in before:
                    self._let_go(one)
            raise
        return self._resource(session, wanted.model)

    async def _override(self, session: Session) -> None:
        """End a session for a new one: the agent is logged out unless a call is up, which goes on."""
        held = self._by_target.get(session.target)
        if held is not None:
            self._remove(held, "OVERRIDDEN")
        resource = held.resource if held is not None else self._resource(session, "")
        with _failures():
            await resource.close_or_dispose()
        self._bridge.forget(session)

    def _resource(self, session: Session, model: str) -> Resource:
        return Resource(session, model, self._release)

    def _mark(self, wanted: Wanted) -> bytes:
        """Return what a password is known by when it comes again, worth nothing to anybody else."""
        return hashlib.blake2b(wanted.password.encode("utf-8", "replace"), key=self._key).digest()

    # -- the one desktop of a resource -----------------------------------------------------------------

    def bind(self, client: Client, data: Mapping[str, Any]) -> Resource:
        """Give a resource to a desktop.

        Raises:
            Failed: no such resource; another desktop has it; the credentials that a desktop on a new
                connection shows are not those with which it was prepared.

        """
        held = self._held.get(str(data.get("resource")))
        if held is None:
            raise Failed(Code.UNKNOWN_RESOURCE, "There is no session with this id.")
        if held.owner is not client:
            # Who comes back on a new connection shows that the session is its own.
            wanted = wanted_of(data)
            same = hmac.compare_digest(held.mark, self._mark(wanted))
            client.logged_in(rightly=same and wanted.agent == held.resource.agent, sentence=_WRONG)
        if held.client is not None and held.client is not client:
            raise Failed(Code.ALREADY_BOUND, "Another desktop works with this session.")
        if held.timer is not None:
            held.timer.cancel()
        held.owner = held.client = client
        held.resource.desktop = client.peer
        client.resources[held.resource.id] = held.resource
        log.info("desktop bound", agent=held.resource.agent)
        return held.resource

    def unbind(self, client: Client, name: str) -> None:
        """Take a resource from its desktop; it waits for it to return. Raises Failed."""
        if client.resources.pop(name, None) is None:
            raise Failed(Code.NOT_BOUND, "This desktop is not bound to a session with this id.")
        held = self._held[name]
        held.client = held.resource.desktop = None
        self._wait_for_desktop(held)

    async def perform(
        self,
        client: Client,
        verb: Verb,
        target: str,
        data: Mapping[str, Any],
        answered: Callable[[Mapping[str, Any]], None],
    ) -> None:
        """Carry a desktop's command out. Raises Failed."""
        resource = client.resources.get(target.partition(".")[0])
        if resource is None:
            raise Failed(Code.NOT_BOUND, "Key 'target' must begin with the id of a session that is bound.")
        if verb.command == "session.request.dispose" and target == resource.id:
            verb.body(data)
            with _failures():
                await resource.dispose()
            self._bridge.forget(resource.session)
            answered({})
            self._end(resource.session, "DISPOSED")
        else:
            await resource.perform(verb, target, data, answered)

    def _wait_for_desktop(self, held: _Held) -> None:
        held.timer = asyncio.get_running_loop().call_later(self._grace, self._abandoned, held)

    def _abandoned(self, held: _Held) -> None:
        log.info("desktop did not return", agent=held.resource.agent)
        self._remove(held, "ABANDONED")
        self._let_go(held.resource.session)

    # -- the end ---------------------------------------------------------------------------------------

    def end_all(self, cause: str, link: Link | None = None, *, let_go: bool = False) -> None:
        """End all resources, or those of one connection; `let_go` gives the sessions up, too."""
        for held in tuple(self._held.values()):
            if link is None or held.resource.link is link:
                self._remove(held, cause)
                if let_go:
                    self._let_go(held.resource.session)

    def _end(self, session: Session, cause: str) -> None:
        if (held := self._by_target.get(session.target)) is not None:
            self._remove(held, cause)

    def _remove(self, held: _Held, cause: str) -> None:
        """End a resource for its desktop; what becomes of the session is the caller's business."""
        resource = held.resource
        self._held.pop(resource.id, None)
        self._by_target.pop(resource.session.target, None)
        if held.timer is not None:
            held.timer.cancel()
        if held.client is not None:
            held.client.resources.pop(resource.id, None)
            held.client.peer.send(object_event(resource.id, "session.closed", {"cause": cause}))
        held.client = resource.desktop = None

    def _let_go(self, session: Session) -> None:
        async def dispose() -> None:
            await self._resource(session, "").dispose()
            self._bridge.forget(session)

        self._spawn(_quietly(dispose()))

    def _release(self, interaction: Interaction) -> None:
        async def dispose() -> None:
            await interaction.dispose()
            self._bridge.forget(interaction)

        self._spawn(_quietly(dispose()))

    # -- watcher of the bridge -------------------------------------------------------------------------

    def told(self, target: str, body: Body) -> None:
        """Pass an event of the connector on to the session that it concerns."""
        held = self._holding(target)
        if held is None:
            return
        held.resource.told(target, body)
        if held.resource.session.closed:
            self._remove(held, "LOGOUT")
            self._let_go(held.resource.session)

    def noticed(self, message: Message) -> None:
        """Pass a warning or error of the connector on."""
        if (held := self._holding(message.target)) is not None:
            held.resource.noticed(message)

    def adopted(self, channel: Channel, interaction: Interaction) -> None:
        """Pass a new interaction on."""
        if (held := self._holding(interaction.target)) is not None:
            held.resource.adopted(channel, interaction)

    def conversed(self, interaction: Interaction, conversation: Conversation) -> None:
        """Pass a new conversation on."""
        if (held := self._holding(interaction.target)) is not None:
            held.resource.conversed(interaction, conversation)

    def _holding(self, target: str) -> _Held | None:
        while target:
            if (held := self._by_target.get(target)) is not None:
                return held
            target = target.rpartition(".")[0]
        return None


@contextmanager
def _failures() -> Iterator[None]:
    """Turn what can go wrong on the way to the connector into what a desktop is told."""
    try:
        yield
    except BridgeRequestFailed as problem:
        sentence = problem.reply.error_message or "The request was refused."
        raise Failed(Code.REFUSED, sentence, problem.reply.request.name) from None
    except BridgeTimeout:
        raise Failed(Code.TIMEOUT, "The telephone system did not answer in time.") from None
    except BridgeGone:
        raise Failed(Code.UNAVAILABLE, "The telephone system cannot be reached.") from None


async def _quietly(work: Coroutine[Any, Any, None]) -> None:
    """Do what nobody waits for."""
    try:
        with _failures():
            await work
    except Failed as problem:
        # With the connection goes what was to be given up; anything else is worth a line.
        if problem.code is not Code.UNAVAILABLE:
            log.warning("not given up", reason=problem.message)
