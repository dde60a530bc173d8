"""The tree of destinations: finds who a message is for, sees to one response each, and gates the events."""

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, suppress
from functools import partial
from typing import Protocol

import structlog

from connector.about import ABOUT
from connector.bridge.codec import MAX_HEADER, Malformed
from connector.bridge.messages import (
    Body,
    BodyInvalid,
    Kind,
    Message,
    Unknown,
    error_message,
    event_message,
    failure,
    parse_body,
    success,
    warning_message,
)
from connector.bridge.targets import control_target
from connector.destinations.base import Destination, Refusal
from connector.destinations.directory import Directory
from connector.destinations.keeping import Fate, Keeper
from connector.destinations.lanes import LaneFull, Lanes
from connector.destinations.site import Site
from connector.destinations.team import TeamBoard
from connector.destinations.told import note
from connector.telephony.changes import (
    Anomaly,
    Change,
    InteractionAdded,
    InteractionEnded,
    PhoneChanged,
    PresenceChanged,
    QueueMissing,
    ServiceChanged,
    SupervisionChanged,
)
from connector.telephony.pbx import Pbx, PbxProblem

log = structlog.get_logger(__name__)

REMEMBERED_REQUESTS = 4096
"""Answered requests whose response is kept, for a bridge that asks again with the same id."""


_LAST_EVENTS = frozenset(
    {"session.closed", "channelgroup.disposed", "channel.disposed", "conversation.disposed"}
)
"""After these a destination says nothing more."""

_DISPOSE = ".request.dispose"
_INIT = ".query.init"

_PATIENCE = 10.0
"""Seconds for which events wait for the answer to a request that an earlier process had begun."""

_UNTOLD = (
    "The connector was started anew while it carried this out, and does not do it twice: "
    "please look what became of it."
)

_NO_NAME = "unknown"
"""Stands for the name in the answer to a request that came without one."""

SERVICE_TOPIC = "service"
"""Changes that concern everybody."""


def endpoint_topic(endpoint: str) -> str:
    """Return the topic of a phone: its presence, its state, its new interactions."""
    return f"endpoint {endpoint}"


def agent_topic(agent: str) -> str:
    """Return the topic of an agent's logins, at whichever phone."""
    return f"agent {agent}"


def interaction_topic(interaction: str) -> str:
    """Return the topic of an interaction and its conversations."""
    return f"interaction {interaction}"


def topic_of(change: Change) -> str:
    """Return the topic under which a change is told."""
    if isinstance(
        change, InteractionAdded | PresenceChanged | PhoneChanged | QueueMissing | SupervisionChanged
    ):
        return endpoint_topic(change.endpoint)
    if isinstance(change, ServiceChanged | Anomaly):
        return SERVICE_TOPIC
    return interaction_topic(change.interaction)


def _agents_topics(change: PresenceChanged) -> Iterator[str]:
    """Iterate over the topics of the agents whose login or logout a change is."""
    agents = dict.fromkeys((change.before.agent, change.now.agent))
    return (agent_topic(agent) for agent in agents if agent is not None)


class Wire(Protocol):
    """Where responses and events go: a transport."""

    def send(self, message: Message) -> None:
        """Queue a message for the bridge; never blocks."""
        ...

    def flush(self) -> None:
        """Write what is queued now, not only at the end of this turn: a request is answered."""
        ...


_Question = tuple[Kind, str, str]
"""Kind, name and target: what a repetition must have in common with the request that it repeats."""

_Asked = tuple[_Question, Message | None]
"""What a `requestId` was used for, and the response as soon as there is one."""


class Tree:
    """All destinations of one processor. It is the receiver of the transport."""

    def __init__(
        self, processor: str, pbx: Pbx, directory: Directory, wire: Wire, site: Site | None = None
    ) -> None:
        self.site = site or Site()
        self.team = TeamBoard(pbx, directory)
        self.processor = processor
        self.pbx = pbx
        self.directory = directory
        self.root: Destination | None = None
        self.keeper: Keeper | None = None
        """Who keeps the tree, where it outlives the process."""
        self._catch_up: Callable[[], None] | None = None
        self._caught_up = asyncio.Event()
        self._patience_ends = 0.0
        """Until when requests wait for the PBX, by the loop's clock."""
        self._wire = wire
        self._destinations: dict[str, Destination] = {}
        self._lanes = Lanes(lambda send: send(), wire.flush)
        self._listening: dict[str, dict[Destination, None]] = {}
        self._epoch = 0
        self._requests: OrderedDict[str, _Asked] = OrderedDict()
        self._unsubscribe = pbx.subscribe(self._on_change)

    # -- the transport's side --------------------------------------------------------------------------

    def connected(self) -> None:
        """Nothing to do: the bridge speaks first."""

    def disconnected(self, reason: str) -> None:
        """Forget all destinations: the bridge begins anew. Agents and calls stay as they are."""
        self._epoch += 1
        self._lanes.cancel_all()
        for request_id in self._requests:
            self._forget_request(request_id)
        self._requests.clear()
        if self.keeper is not None:
            self.keeper.forget_interrupted()
        if self.root is not None:
            for child in tuple(self.root.children.values()):
                child.dispose()
            self.root.open = False
            self.changed(self.root)
        log.info("destinations forgotten", reason=reason)

    def stop(self) -> None:
        """Answer nothing more: what is under way is judged by whoever comes next, as after a sudden end."""
        self._epoch += 1
        self._lanes.cancel_all()

    def malformed(self, problem: Malformed) -> None:
        """Answer broken input where it can be answered."""
        log.warning("malformed message", problem=problem.reason, name=problem.name, target=problem.target)
        if problem.request_id and problem.kind in {Kind.QUERY, Kind.REQUEST, None}:
            asked = Message(
                problem.kind or Kind.REQUEST,
                problem.name or _NO_NAME,
                problem.target or control_target(self.processor),
                request_id=problem.request_id,
            )
            self._wire.send(failure(asked, f"The message cannot be read: {problem.reason}"))

    def received(self, message: Message) -> None:
        """Take one message of the bridge in; its response follows when the outcome is known."""
        if message.kind not in {Kind.QUERY, Kind.REQUEST}:
            log.warning("unexpected kind of message", kind=message.kind, name=message.name)
            return
        if message.request_id is None:
            log.warning("a request without requestId cannot be answered", name=message.name)
            return
        earlier = self._requests.get(message.request_id)
        if earlier is not None:
            self._asked_again(earlier, message)
            return
        self._remember(message, None)
        lane, destination = self._lane_of(message), self._destinations.get(message.target)
        after = destination.comes_after(message.name) if destination is not None else None
        try:
            self._lanes.run(lane, partial(self._carry_out, message, lane, self._epoch), after=after)
        except LaneFull:
            self._respond(message, failure(message, "Too many requests wait already; please slow down."))

    # -- the destinations' side ------------------------------------------------------------------------

    def add(self, destination: Destination) -> None:
        """Put a destination into the tree.

        Raises:
            Refusal: the target is taken, or no message could ever carry it.

        """
        if not 0 < len(destination.target) <= MAX_HEADER:
            raise Refusal(f"The target of a destination needs 1 to {MAX_HEADER} characters.")
        if self._destinations.get(destination.target, destination) is not destination:
            raise Refusal(f"The destination {destination.target} exists already.")
        self._destinations[destination.target] = destination
        self.changed(destination)

    def forget(self, destination: Destination) -> None:
        """Take a destination out of the tree."""
        if self._destinations.get(destination.target) is destination:
            del self._destinations[destination.target]
            if self.keeper is not None:
                self.keeper.forget(destination.target)
        for topic in destination.topics:
            heard = self._listening.get(topic, {})
            heard.pop(destination, None)
            if not heard:
                self._listening.pop(topic, None)

    def find(self, target: str) -> Destination | None:
        """Return the destination of a target."""
        return self._destinations.get(target)

    def counts(self) -> dict[str, int]:
        """Return how many destinations of each kind there are."""
        return Counter(destination.kind for destination in self._destinations.values())

    def listen(self, topic: str, destination: Destination) -> None:
        """Tell a destination the changes of a topic, until it is disposed."""
        self._listening.setdefault(topic, {})[destination] = None
        destination.topics.append(topic)

    def listeners(self, topic: str) -> tuple[Destination, ...]:
        """Return who listens to a topic, in the order in which they began to."""
        return tuple(self._listening.get(topic, ()))

    def alone(self, destination: Destination) -> AbstractAsyncContextManager[None]:
        """Wait for the requests that run below a destination, and begin none there until the end."""
        return self._lanes.alone(destination.target)

    def emit(self, destination: Destination, body: Body) -> None:
        """Send an event of a destination, after the response of a request that runs above it."""
        lane = self._lanes.busy_above(destination.target)
        if lane is not None:
            self._lanes.hold(lane, lambda: self._release(destination, body))
            return
        if destination.over:
            return
        destination.before_telling(body)
        message = event_message(destination.target, body)
        destination.closed = message.name in _LAST_EVENTS
        if self.keeper is not None:
            note(destination.told, message)
            self.changed(destination)
        self._wire.send(message)

    def warn(self, destination: Destination, name: str, code: str, text: str) -> None:
        """Send a `cti.warning` about a destination, if it is open."""
        if destination.open and not destination.over:
            self._wire.send(warning_message(destination.target, name, code, text))

    def error(self, destination: Destination, name: str, code: str, text: str) -> None:
        """Send a `cti.error` about a destination, if it is open."""
        if destination.open and not destination.over:
            self._wire.send(error_message(destination.target, name, code, text))

    # -- in the place of an earlier process ------------------------------------------------------------

    @property
    def destinations(self) -> tuple[Destination, ...]:
        """All destinations, parents before their children."""
        return tuple(self._destinations.values())

    def changed(self, destination: Destination) -> None:
        """Keep a destination as it is at the end of this turn, where the tree is kept."""
        # A request may outlast its destination, which is to stay forgotten.
        if self.keeper is not None and not destination.disposed:
            self.keeper.changed(destination)

    def know_request(self, request_id: str, question: _Question, response: Message) -> None:
        """Remember a request that an earlier process has answered."""
        self._requests[request_id] = (question, response)

    def hold_back(self, lane: str) -> None:
        """Keep a branch's events back until the request that was begun there is delivered again."""
        self._lanes.keep_busy(lane)
        asyncio.get_running_loop().call_later(_PATIENCE, self._lanes.let_go, lane)

    def await_pbx(self, catch_up: Callable[[], None]) -> None:
        """Have `catch_up` called as soon as the PBX is there; what changes until then is not told."""
        if self.pbx.available:
            catch_up()
        else:
            self._catch_up = catch_up
            # One end for all who wait: those of one branch come one after the other.
            self._patience_ends = asyncio.get_running_loop().time() + _PATIENCE

    @property
    def behind(self) -> bool:
        """Whether it is not known yet what the PBX did since an earlier process."""
        return self._catch_up is not None

    def _forget_request(self, request_id: str) -> None:
        if self.keeper is not None:
            self.keeper.forget_request(request_id)

    def _release(self, destination: Destination, body: Body) -> None:
        # The request that kept it back may have closed the destination: control is closed, not disposed.
        if destination.open and not destination.disposed:
            self.emit(destination, body)

    # -- inside ----------------------------------------------------------------------------------------

    def _lane_of(self, message: Message) -> str:
        """Return the lane of the target, or of its nearest known ancestor, where it may just be created."""
        target = message.target
        while target:
            destination = self._destinations.get(target)
            if destination is not None:
                return destination.lane_for(message.name, message.body)
            if "." not in target:
                break
            target = target.rpartition(".")[0]
        return message.target

    async def _carry_out(self, message: Message, lane: str, epoch: int) -> None:
        destination = self._destinations.get(message.target)

        def about() -> dict[str, str | None]:
            ids = destination.ids if destination is not None else {}
            return {"request_id": message.request_id, **ids}

        # What is logged meanwhile, by whatever part of the connector, belongs to this request.
        before = ABOUT.set(about)
        reply: Body | None = None
        problem: str | None = None
        try:
            if self.keeper is None:
                reply = await self._handle(destination, message, lane)
            else:
                reply = await self._outcome(self.keeper, destination, message, lane)
        except (Refusal, PbxProblem, BodyInvalid) as refusal:
            problem = str(refusal)
        except Exception:
            log.exception("a request failed", name=message.name, target=message.target)
            problem = "The connector failed to carry this out; its log says why."
        if epoch == self._epoch:
            self._answer(destination, message, reply, problem)
        ABOUT.reset(before)

    def _answer(
        self, destination: Destination | None, message: Message, reply: Body | None, problem: str | None
    ) -> None:
        if problem is not None:
            log.info("request refused", name=message.name, target=message.target, reason=problem)
            self._respond(message, failure(message, problem))
            return
        response = success(message, reply)
        if destination is not None and self.keeper is not None:
            note(destination.told, response)
            self.changed(destination)
        self._respond(message, response)
        if destination is not None:
            destination.answered(message.name)

    async def _outcome(
        self, keeper: Keeper, destination: Destination | None, message: Message, lane: str
    ) -> Body | None:
        """Carry a request out, unless an earlier process did, or cannot be asked whether it did."""
        asks_of_pbx = destination is not None and destination.asks_of_pbx(message.name)
        interrupted = message.request_id in keeper.interrupted
        if self.behind and asks_of_pbx:
            # What is not known yet must not pass for over; what was not begun is answered after the news.
            if not interrupted:
                self._lanes.let_tell(lane)
            with suppress(TimeoutError):
                async with asyncio.timeout_at(self._patience_ends):
                    await self._caught_up.wait()
            self._lanes.keep_busy(lane)
        fate, reply = keeper.fate_of(destination, message)
        if fate is Fate.DONE:
            return reply
        if fate is Fate.UNKNOWN:
            raise Refusal(_UNTOLD)
        if self.behind and asks_of_pbx:
            raise Refusal("The telephone system cannot be reached at the moment; please try again soon.")
        if interrupted:
            # It begins now: what happened before is told before.
            self._lanes.tell_now(lane)
        await keeper.begin(destination, message, lane)
        return await self._handle(destination, message, lane)

    async def _handle(self, destination: Destination | None, message: Message, lane: str) -> Body | None:
        if destination is None or destination.disposed:
            raise Refusal(f"There is no destination {message.target}.")
        if message.kind is Kind.REQUEST and not message.name.endswith(_DISPOSE):
            if destination.over:
                raise Refusal(f"The {destination.kind} is closed: it can only be disposed.")
            if not destination.open and destination is not self.root:
                # Its events could not be sent, so that nobody would learn what came of it.
                raise Refusal(f"The {destination.kind} is not initialised yet.")
        if (
            destination.open
            and message.name.endswith(_INIT)
            and self._lanes.keeps_back_above(destination.target, lane)
        ):
            # The answer would tell what is so now, and what led there would be told after it.
            raise Refusal(
                f"The {destination.kind} is initialised already, and what happened to it is told "
                "after the answer to another request: please ask again."
            )
        body = parse_body(message)
        handler = None if isinstance(body, Unknown) else destination.handler_for(body)
        if handler is None or isinstance(body, Unknown):
            raise Refusal(f"A {destination.kind} does not know {message.name}.")
        return await handler(body)

    def _asked_again(self, earlier: _Asked, message: Message) -> None:
        """Repeat the response, if there is one yet, to the same question; another one is refused."""
        question, response = earlier
        if question != (message.kind, message.name, message.target):
            log.warning("requestId used twice", name=message.name, request_id=message.request_id)
            self._wire.send(failure(message, "This requestId was used for another request."))
            return
        log.info("request asked again", name=message.name, request_id=message.request_id)
        if response is not None:
            self._wire.send(response)

    def _remember(self, message: Message, response: Message | None) -> None:
        if message.request_id is None:
            return
        question = (message.kind, message.name, message.target)
        self._requests[message.request_id] = (question, response)
        while len(self._requests) > REMEMBERED_REQUESTS:
            self._forget_request(self._requests.popitem(last=False)[0])

    def _respond(self, message: Message, response: Message) -> None:
        self._remember(message, response)
        if self.keeper is not None and message.request_id is not None:
            question = (message.kind, message.name, message.target)
            self.keeper.answered(message.request_id, question, response)
        self._wire.send(response)

    def _on_change(self, change: Change) -> None:
        self.team.on_change(change)
        if self._catch_up is not None:
            if isinstance(change, InteractionEnded):
                # What the bridge is to be told of it, it is told later; a call that nobody takes is over now.
                self._complete_if_unclaimed(change.interaction)
            if not isinstance(change, ServiceChanged):
                return
            if change.available:
                catch_up, self._catch_up = self._catch_up, None
                catch_up()
                self._caught_up.set()
        for destination in self.listeners(topic_of(change)):
            destination.on_change(change)
        if isinstance(change, PresenceChanged):
            for topic in _agents_topics(change):
                for destination in self.listeners(topic):
                    destination.on_change(change)
        if isinstance(change, InteractionEnded):
            self._complete_if_unclaimed(change.interaction)

    def _complete_if_unclaimed(self, interaction_id: str) -> None:
        """Nobody wraps up a call of a phone at which no session works."""
        interaction = self.pbx.model.interaction(interaction_id)
        if interaction is None:
            return
        if not any(one.wraps_up for one in self.listeners(endpoint_topic(interaction.endpoint))):
            self.pbx.complete(interaction_id)
