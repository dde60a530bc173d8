"""The referee of one connection: every message of either side passes here, in the order in which it went.

It knows no clock and does no I/O: who wants to know what is late asks `outstanding()` and `owed()`.
"""

from collections import OrderedDict
from dataclasses import dataclass, field

from connector.bridge.codec import MAX_HEADER, Malformed
from connector.bridge.messages import (
    CATALOGUE,
    Body,
    BodyInvalid,
    Empty,
    Kind,
    Message,
    MessageSpec,
    Result,
    Scope,
    Unknown,
    parse_body,
)
from connector.bridge.messages import channel as channel_wire
from connector.bridge.messages import channelgroup as group_wire
from connector.bridge.messages import control as control_wire
from connector.bridge.messages import interaction as interaction_wire
from connector.bridge.messages import session as session_wire
from connector.bridge.targets import child, control_target
from connector.processor.effects import ProtocolViolation, apply_event, apply_reply, new_child
from connector.processor.nodes import (
    ChannelNode,
    ControlNode,
    ConversationNode,
    GroupNode,
    InteractionNode,
    Node,
    SessionNode,
)
from connector.processor.strict import UnknownKey, read_strictly
from connector.processor.tables import (
    DISPOSALS,
    INITS,
    LAST_EVENTS,
    LIVE_INTERACTION,
    NEEDS_CHANNEL,
    NEEDS_CONVERSATION,
    NEEDS_INTERACTION,
    PRODUCES,
    UNSUPPORTED_MAY,
    UNSUPPORTED_SAYS,
)

__all__ = ["Owed", "ProtocolViolation", "Rules"]

_REMEMBERED = 10_000
"""Answered requests and disposed targets that are remembered, to name a violation well."""


@dataclass(slots=True)
class _Asked:
    message: Message
    node: Node | None
    spec: MessageSpec | None
    body: Body | None
    malformed: str | None
    """Why only FAILURE can answer it, whatever happens meanwhile."""
    objection: str | None
    """Why it could not succeed at the time of asking; requests before it may have made what it needs."""
    wrong_state: str | None
    """Why the state at the time of asking forbids success; the state at the time of answering counts too."""
    produces: tuple[frozenset[str], ...]
    early: set[str] = field(default_factory=set)
    """Events that came before the response: not its product, for the state may change by itself then."""


@dataclass(slots=True, eq=False)
class Owed:
    """An event that a successful request promised and that has not come yet."""

    request: Message
    events: frozenset[str]
    target: str
    early: bool
    """Whether it came before the response."""


@dataclass(slots=True)
class _Ledger:
    answered: "OrderedDict[str, str]" = field(default_factory=OrderedDict)
    gone: "OrderedDict[str, None]" = field(default_factory=OrderedDict)

    def note_answered(self, request_id: str, name: str) -> None:
        self.answered[request_id] = name
        while len(self.answered) > _REMEMBERED:
            self.answered.popitem(last=False)

    def note_gone(self, target: str) -> None:
        self.gone[target] = None
        while len(self.gone) > _REMEMBERED:
            self.gone.popitem(last=False)


class Rules:
    """Checks one connection, and holds what the bridge knows of every destination."""

    def __init__(self, processor: str) -> None:
        self.control = ControlNode(Scope.CONTROL, control_target(processor))
        self.nodes: dict[str, Node] = {self.control.target: self.control}
        self._asked: dict[str, _Asked] = {}
        self._owed: list[Owed] = []
        self._ledger = _Ledger()

    def outstanding(self) -> list[Message]:
        """Return the queries and requests that were not answered yet, oldest first."""
        return [each.message for each in self._asked.values()]

    def owed(self) -> list[Owed]:
        """Return the events that answered requests promised and that have not come yet, oldest first."""
        return list(self._owed)

    # -- what the bridge sends -------------------------------------------------------------------------

    def sent(self, message: Message) -> None:
        """Note a query or request of the bridge.

        A request that breaks the rules is allowed, for tests: its only right answer is FAILURE.

        Raises:
            ValueError: the message is no query or request, or its requestId was used before.

        """
        request_id = message.request_id
        if message.kind not in {Kind.QUERY, Kind.REQUEST} or request_id is None:
            raise ValueError("A bridge sends queries and requests, each with a requestId.")
        if request_id in self._asked or request_id in self._ledger.answered:
            raise ValueError(f"The requestId {request_id} was used before.")
        node = self.nodes.get(message.target)
        spec = CATALOGUE.get(message.name)
        body: Body | None = None
        malformed: str | None = None
        try:
            parsed = parse_body(message)
            body = None if isinstance(parsed, Unknown) else parsed
        except BodyInvalid as invalid:
            malformed = f"a malformed body is refused ({invalid})"
        objection = _objection(node, spec, body, message)
        produces = PRODUCES.get(message.name, ())
        wrong = _wrong_state(node, message.name)
        self._asked[request_id] = _Asked(message, node, spec, body, malformed, objection, wrong, produces)

    # -- what the client sends -------------------------------------------------------------------------

    def received(self, message: Message) -> Body | None:
        """Check a message of the client and return its typed body, None if it has none (warnings, failures).

        Raises:
            ProtocolViolation: it breaks a rule. What the bridge knows is then as it was before.

        """
        match message.kind:
            case Kind.RESPONSE:
                return self._response(message)
            case Kind.EVENT:
                return self._event(message)
            case Kind.WARNING | Kind.ERROR:
                self._notice(message)
                return None
            case _:
                raise ProtocolViolation(
                    "The client sends responses, events, warnings and errors only.",
                    f"a {message.kind.value} {message.name} came.",
                )

    def malformed(self, problem: Malformed) -> None:
        """Turn what could not be read into a violation. Raises it."""
        raise ProtocolViolation("Every message has its headers and a JSON body.", problem.reason)

    def _response(self, message: Message) -> Body | None:
        request_id = message.request_id or ""
        asked = self._asked.get(request_id)
        if asked is None:
            if request_id in self._ledger.answered:
                raise ProtocolViolation(
                    "The client sends exactly one response for each query and request.",
                    f"a second one came for {self._ledger.answered[request_id]} ({request_id}).",
                )
            raise ProtocolViolation(
                "requestId: chosen by the bridge, echoed unchanged.",
                f"{message.name} answers {request_id}, which was never asked.",
            )
        # Answered it is, even if wrongly: nobody should wait for it any longer.
        del self._asked[request_id]
        self._ledger.note_answered(request_id, asked.message.name)
        if message.name != asked.message.name:
            raise ProtocolViolation(
                "A response repeats the name that it answers.",
                f"{message.name} came for {asked.message.name}.",
            )
        if message.target != asked.message.target:
            raise ProtocolViolation(
                "A response repeats the target that it answers.",
                f"{message.target} came for {asked.message.target} ({message.name}).",
            )
        if message.result is Result.FAILURE:
            if not message.error_message or not message.error_message.strip():
                raise ProtocolViolation(
                    "errorMessage on FAILURE: one human-readable sentence.", f"{message.name} has none."
                )
            return None
        if message.error_message is not None:
            raise ProtocolViolation("errorMessage comes on FAILURE.", f"{message.name} succeeded with one.")
        return self._success(message, asked)

    def _success(self, message: Message, asked: _Asked) -> Body:
        if isinstance(asked.body, control_wire.CreateSession):
            self._end_outlived(asked.body.agent_id)
        made_anew = asked.node is not None and asked.node.gone and message.target in self.nodes
        if asked.objection is not None or made_anew:
            # The bridge may ask without waiting: it is judged by what the requests before it have made.
            asked.node = self.nodes.get(message.target)
            asked.objection = _objection(asked.node, asked.spec, asked.body, asked.message)
        still_wrong = asked.wrong_state and _wrong_state(asked.node, message.name)
        if (why := asked.malformed or asked.objection or still_wrong) is not None:
            raise ProtocolViolation(
                "Unsupported operation, wrong state, unknown target, malformed body: FAILURE.",
                f"{message.name} to {message.target} succeeded, but {why}.",
            )
        node, spec = asked.node, asked.spec
        if node is None or spec is None:
            raise ProtocolViolation("An unknown message cannot succeed.", f"{message.name} did.")
        if asked.body is not None and (twin := _twin(node, asked.body)) is not None:
            raise ProtocolViolation(
                "One live destination for each CTI id below the same parent, and one group in a session.",
                f"{message.name} succeeded while {twin.target} stands for the same.",
            )
        reply = self._body(message, spec.reply or Empty)
        apply_reply(node, reply)
        if asked.body is not None and (made := new_child(node, asked.body)) is not None:
            self.nodes[made.target] = made
            node.children.append(made)
        if INITS.get(message.name) is node.scope:
            node.open = True
        if message.name in DISPOSALS:
            self._dispose(node)
        elif not node.gone and not node.closed:
            self._owed.extend(
                Owed(asked.message, events, node.target, early=not events.isdisjoint(asked.early))
                for events in asked.produces
            )
        return reply

    def _event(self, message: Message) -> Body:
        name = message.name
        if message.request_id is not None:
            raise ProtocolViolation("Events have no requestId.", f"{name} has one.")
        if message.result is not None:
            raise ProtocolViolation("Events have no result.", f"{name} has one.")
        spec = CATALOGUE.get(name)
        if spec is None or spec.kind is not Kind.EVENT:
            raise ProtocolViolation("The client sends the catalogue's events.", f"{name} is none of them.")
        node = self._addressed(message)
        if node.scope is not spec.scope:
            raise ProtocolViolation(
                f"{name} is sent for a {spec.scope} destination.", f"{node.target} is a {node.scope}."
            )
        if isinstance(node, ChannelNode) and node.type is session_wire.ChannelType.UNSUPPORTED:
            _unsupported_may_say(name)
        body = self._body(message, spec.body)
        promised = next(
            (each for each in self._owed if each.target == node.target and name in each.events), None
        )
        if promised is None:
            self._note_early(node, name)
        apply_event(node, name, body, expected=promised is not None)
        if promised is not None:
            self._owed.remove(promised)
        if name in LAST_EVENTS:
            self._close(node)
        return body

    def _note_early(self, node: Node, name: str) -> None:
        for asked in self._asked.values():
            if asked.node is node:
                asked.early.add(name)

    def _notice(self, message: Message) -> None:
        self._addressed(message)
        if not message.code or not message.text:
            raise ProtocolViolation(
                "Warnings and errors have `code` and `message` in their headers.", f"{message.name} has not."
            )

    def _addressed(self, message: Message) -> Node:
        node = self.nodes.get(message.target)
        name = message.name
        if node is None:
            if message.target in self._ledger.gone:
                raise ProtocolViolation(
                    "Dispose: respond first, then release.", f"{name} came for {message.target} after that."
                )
            raise ProtocolViolation(
                "No event for a destination before its init query was received and answered.",
                f"{name} came for {message.target or 'no target'}, which does not exist.",
            )
        if not node.open:
            raise ProtocolViolation(
                "No event for a destination before its init query was received and answered.",
                f"{name} came for {node.target} too early.",
            )
        if (last := next((each for each in node.lineage() if each.closed), None)) is not None:
            raise ProtocolViolation(
                "Nothing follows a destination's last event.",
                f"{name} came for {node.target} after {last.target}'s.",
            )
        return node

    def _body(self, message: Message, shape: type[Body]) -> Body:
        try:
            return read_strictly(message.body, shape)
        except (BodyInvalid, UnknownKey) as problem:
            raise ProtocolViolation(
                f"The body of {message.name} has the catalogue's keys and types.", str(problem)
            ) from None

    # -- ends ------------------------------------------------------------------------------------------

    def _close(self, node: Node) -> None:
        node.closed = True
        targets = {each.target for each in node.branch()}
        self._owed = [each for each in self._owed if each.target not in targets]

    def _dispose(self, node: Node) -> None:
        self._close(node)
        for each in tuple(node.branch()):
            each.gone = True
            if each is not self.control:
                self.nodes.pop(each.target, None)
                self._ledger.note_gone(each.target)
        node.children.clear()
        if node.parent is not None and node in node.parent.children:
            node.parent.children.remove(node)
        if node is self.control:
            # It may be initialised again on the same connection.
            self.control.open = self.control.closed = self.control.gone = False
            self.control.status = None

    def _end_outlived(self, agent: str) -> None:
        """Forget the sessions that an agent had before the service was lost."""
        for session in tuple(self.control.children):
            if isinstance(session, SessionNode) and session.outlived and session.agent == agent:
                self._dispose(session)


def _unsupported_may_say(name: str) -> None:
    if name not in UNSUPPORTED_SAYS:
        raise ProtocolViolation(
            "An unsupported channel sends activated, deactivated, available, unavailable, disposed.",
            f"{name} came from one.",
        )


# -- why a request can only fail ----------------------------------------------------------------------------


def _objection(
    node: Node | None, spec: MessageSpec | None, body: Body | None, message: Message
) -> str | None:
    if spec is None or spec.kind is not message.kind:
        return f"{message.name} is not in the catalogue"
    if node is None:
        return f"there is no destination {message.target}"
    if node.scope is not spec.scope:
        return f"{message.target} is a {node.scope}, not a {spec.scope}"
    if isinstance(node, ChannelNode) and node.type is session_wire.ChannelType.UNSUPPORTED:
        return None if message.name in UNSUPPORTED_MAY else "the channel is unsupported"
    try:
        return _not_to_be_made(node, body)
    except ValueError as problem:
        return f"the bridge id is not valid ({problem})"


def _not_to_be_made(node: Node, body: Body | None) -> str | None:
    """Say why a create request names something that cannot be made."""
    target: str | None = None
    named = True
    what = ""
    match node, body:
        case ControlNode(), control_wire.CreateSession():
            target = body.destination
        case SessionNode(), session_wire.CreateChannelGroup():
            target, what, named = child(node.target, body.id), body.name, body.name == node.group
        case GroupNode(), group_wire.CreateChannel():
            target, what, named = child(node.target, body.id), body.endpoint, body.endpoint in node.channels
        case ChannelNode(), channel_wire.CreateInteraction():
            target, what, named = child(node.target, body.id), body.nativeid, body.nativeid in node.named
        case InteractionNode(), interaction_wire.CreateConversation():
            target, what, named = child(node.target, body.id), body.nativeid, body.nativeid in node.named
        case _:
            return None
    if not named:
        return f"nobody named {what!r}"
    if target is not None and not 0 < len(target) <= MAX_HEADER:
        return "no message can carry its target"
    if any(each.target == target for top in node.lineage() for each in top.branch()):
        return f"{target} exists already"
    return None


def _twin(parent: Node, body: Body) -> Node | None:
    """Return the live child that stands for what a create request names, if there is one."""
    for each in parent.children:
        match each, body:
            case GroupNode(), session_wire.CreateChannelGroup():
                same = True
            case ChannelNode(), group_wire.CreateChannel():
                same = each.endpoint == body.endpoint
            case InteractionNode(), channel_wire.CreateInteraction():
                same = each.nativeid == body.nativeid
            case ConversationNode(), interaction_wire.CreateConversation():
                same = each.nativeid == body.nativeid
            case _:
                same = False
        if same and not each.closed:
            return each
    return None


def _wrong_state(node: Node | None, name: str) -> str | None:
    state: str | None = None
    allowed: frozenset[str] | None = None
    match node:
        case ConversationNode():
            state, allowed = node.state, NEEDS_CONVERSATION.get(name)
        case InteractionNode():
            state, allowed = node.state, NEEDS_INTERACTION.get(name)
        case ChannelNode():
            state, allowed = node.state, NEEDS_CHANNEL.get(name)
        case SessionNode() if name == "session.request.close":
            busy = [
                each
                for each in node.branch()
                if isinstance(each, InteractionNode) and each.state in LIVE_INTERACTION
            ]
            return f"{busy[0].target} is {busy[0].state}" if busy else None
        case ControlNode() if name == "cti.request.createsession":
            in_service = control_wire.ServiceStatus.IN_SERVICE
            return None if node.status is in_service else f"the service is {node.status}"
        case _:
            return None
    return f"{node.target} is {state}" if allowed is not None and state not in allowed else None
