"""What a message that passed the general rules means for the destination, and the rules of its own."""

from typing import Any

from connector.bridge.messages import Body, Scope
from connector.bridge.messages import channel as channel_wire
from connector.bridge.messages import channelgroup as group_wire
from connector.bridge.messages import control as control_wire
from connector.bridge.messages import conversation as conversation_wire
from connector.bridge.messages import extensions as extension_wire
from connector.bridge.messages import interaction as interaction_wire
from connector.bridge.messages import session as session_wire
from connector.bridge.targets import child
from connector.processor.nodes import (
    ChannelNode,
    ControlNode,
    ConversationNode,
    GroupNode,
    InteractionNode,
    Node,
    SessionNode,
)
from connector.processor.tables import (
    CHANNEL_STEPS,
    CONVERSATION_STEPS,
    INTERACTION_STEPS,
    LIVE_INTERACTION,
)

_State = conversation_wire.ConversationState


class ProtocolViolation(Exception):
    """The other side broke a rule. The text quotes the rule and says what came instead."""

    def __init__(self, rule: str, fact: str) -> None:
        super().__init__(f"{rule} But: {fact}")
        self.rule = rule
        self.fact = fact


# -- what a successful response means ---------------------------------------------------------------------


def new_child(node: Node, body: Body) -> Node | None:
    """Return the destination that a successful create request makes, None for other requests."""
    made: Node
    match body:
        case control_wire.CreateSession(destination=target, agent_id=agent):
            made = SessionNode(Scope.SESSION, target, node, agent=agent)
        case session_wire.CreateChannelGroup(id=bridge_id):
            made = GroupNode(Scope.CHANNEL_GROUP, child(node.target, bridge_id), node)
        case group_wire.CreateChannel(id=bridge_id, endpoint=endpoint, type=kind):
            target = child(node.target, bridge_id)
            made = ChannelNode(Scope.CHANNEL, target, node, endpoint=endpoint, type=kind)
        case channel_wire.CreateInteraction(id=bridge_id, nativeid=nativeid):
            made = InteractionNode(Scope.INTERACTION, child(node.target, bridge_id), node, nativeid=nativeid)
        case interaction_wire.CreateConversation(id=bridge_id, nativeid=nativeid):
            made = ConversationNode(
                Scope.CONVERSATION, child(node.target, bridge_id), node, nativeid=nativeid
            )
        case _:
            return None
    return made


def apply_reply(node: Node, reply: Body) -> None:
    """Take over what a successful response tells. Raises ProtocolViolation."""
    match node:
        case SessionNode():
            _session_reply(node, reply)
        case InteractionNode():
            _interaction_reply(node, reply)
        case _:
            _opening_reply(node, reply)


def _opening_reply(node: Node, reply: Body) -> None:
    match node, reply:
        case ControlNode(), control_wire.CapabilitiesReply():
            node.capabilities = reply
        case GroupNode(), group_wire.ChannelGroupInitReply(channels=channels):
            node.channels = {each.endpoint: each.type for each in channels}
        case ChannelNode(), channel_wire.ChannelInitReply():
            _channel_opened(node, reply)
        case ChannelNode(), extension_wire.SupervisionReply():
            node.supervision = reply
        case ConversationNode(), conversation_wire.ConversationInitReply():
            node.state = reply.conversation_state
            node.members = {each.id: each for each in reply.members}
        case _:
            pass


def _session_reply(node: SessionNode, reply: Body) -> None:
    if isinstance(reply, session_wire.SessionInitReply):
        if not reply.channel_group:
            raise ProtocolViolation("session.query.init: always exactly one group.", "it has no name.")
        node.group = reply.channel_group
    elif isinstance(reply, session_wire.TeamStatusReply):
        node.team = {each.loginid: each for each in reply.teamstatus}


def _interaction_reply(node: InteractionNode, reply: Body) -> None:
    match reply:
        case interaction_wire.InteractionInitReply():
            _interaction_opened(node, reply)
        case interaction_wire.DataReply(interaction_data=data):
            node.data = dict(data)
        case interaction_wire.ConsultReply(nativeid=nativeid):
            node.consult = nativeid
            node.named[nativeid] = None
        case _:
            pass


def _channel_opened(node: ChannelNode, reply: channel_wire.ChannelInitReply) -> None:
    if node.type is session_wire.ChannelType.UNSUPPORTED:
        if reply.interactions is not None:
            raise ProtocolViolation(
                "An unsupported channel answers its init without interactions.", "it listed interactions."
            )
    elif reply.interactions is None:
        raise ProtocolViolation(
            "channel.query.init answers with `interactions`.", f"{node.target} left the key out."
        )
    ready = reply.agent_state is channel_wire.AgentState.READY
    if ready and reply.channel_state is not channel_wire.ChannelState.ACTIVE:
        raise ProtocolViolation(
            "An agent is READY on an active channel only.", f"{node.target} is {reply.channel_state}."
        )
    node.state = reply.channel_state
    node.agent_state = reply.agent_state
    node.reason = reply.reason
    for each in reply.interactions or ():
        node.named[each.id] = None


def _interaction_opened(node: InteractionNode, reply: interaction_wire.InteractionInitReply) -> None:
    state, named = reply.interaction_state, reply.conversations
    if state in LIVE_INTERACTION and named.primary is None:
        raise ProtocolViolation(
            "`primary` must be there in ALERTING, DIALING, STARTED.", f"{node.target} is {state} without it."
        )
    if state not in LIVE_INTERACTION and (named.primary is not None or named.consult is not None):
        raise ProtocolViolation(
            "`conversations` is empty in ENDED and COMPLETED.", f"{node.target} is {state} with some."
        )
    if named.consult is not None and state is not interaction_wire.InteractionState.STARTED:
        raise ProtocolViolation(
            "`consult` is there only in STARTED.", f"{node.target} is {state} with a consult."
        )
    node.state = state
    node.data = dict(reply.interaction_data)
    node.recording = extension_wire.RecordingState(node.data.get(extension_wire.RECORDING_KEY, "OFF"))
    node.muted = bool(node.data.get(extension_wire.MUTED_KEY))
    node.primary = named.primary.id if named.primary is not None else None
    node.consult = named.consult.id if named.consult is not None else None
    for nativeid in (node.primary, node.consult):
        if nativeid is not None:
            node.named[nativeid] = None


# -- what an event means ----------------------------------------------------------------------------------


def _service_event(node: ControlNode, status: control_wire.ServiceStatus) -> None:
    node.status = status
    if status is control_wire.ServiceStatus.OUT_OF_SERVICE:
        for session in node.children:
            if isinstance(session, SessionNode):
                session.outlived = True


def apply_event(node: Node, name: str, body: Body, *, expected: bool) -> None:
    """Take over what an event tells; `expected` if a request produced it. Raises ProtocolViolation."""
    match node:
        case ControlNode():
            if isinstance(body, control_wire.ServerStatusChanged):
                _service_event(node, body.status)
        case SessionNode():
            _session_event(node, body)
        case GroupNode():
            _group_event(node, body)
        case ChannelNode():
            _channel_event(node, name, body, expected=expected)
        case InteractionNode():
            _interaction_event(node, name, body)
        case ConversationNode():
            _conversation_event(node, body)
        case _:
            pass


def _session_event(node: SessionNode, body: Body) -> None:
    match body:
        case session_wire.LogoutReasonsUpdated(logout_reasons=reasons):
            node.logout_reasons = reasons
        case session_wire.NotReadyReasonsUpdated(reason_codes=reasons):
            node.not_ready_reasons = reasons
        case session_wire.TeamStatusUpdated(teamstatus=members):
            node.team.update({each.loginid: each for each in members})
        case _:
            pass


def _group_event(node: GroupNode, body: Body) -> None:
    match body:
        case group_wire.ChannelAdded(endpoint=endpoint, type=kind):
            if endpoint in node.channels:
                raise ProtocolViolation("A channel joins its group once.", f"{endpoint} is in it already.")
            node.channels[endpoint] = kind
        case group_wire.ChannelRemoved(endpoint=endpoint):
            if node.channels.pop(endpoint, None) is None:
                raise ProtocolViolation("Only a group's channel can leave it.", f"{endpoint} was not in it.")
        case _:
            pass


def _channel_event(node: ChannelNode, name: str, body: Body, *, expected: bool) -> None:
    if isinstance(body, channel_wire.InteractionAdded):
        if body.nativeid in node.named:
            raise ProtocolViolation(
                "channel.interaction.added tells of a new interaction.",
                f"{body.nativeid} was named on {node.target} before.",
            )
        node.named[body.nativeid] = None
        return
    if isinstance(body, extension_wire.SupervisionChanged):
        before = node.supervision
        if before is not None and (before.state, before.nativeid) == (body.state, body.nativeid):
            raise ProtocolViolation(
                f"{name} tells something new.", f"{node.target} was {body.state} already."
            )
        node.supervision = body
    step = CHANNEL_STEPS.get(name)
    if step is None:
        return
    allowed, state = step
    # A request for a state that is there already is answered by the same event once more.
    if node.state not in allowed and not (expected and node.state is state):
        raise ProtocolViolation(
            f"{name} comes in {_words(allowed)} only.", f"{node.target} was {node.state}."
        )
    node.state = state
    match body:
        case channel_wire.BecameReady():
            node.agent_state, node.reason = channel_wire.AgentState.READY, None
        case channel_wire.BecameNotReady(reason=reason):
            node.agent_state, node.reason = channel_wire.AgentState.NOT_READY, reason
        case channel_wire.Deactivated() | channel_wire.Unavailable():
            node.agent_state, node.reason = channel_wire.AgentState.NOT_READY, None
        case _:
            pass


def _interaction_event(node: InteractionNode, name: str, body: Body) -> None:
    if isinstance(body, interaction_wire.DataChanged):
        node.data.update(body.interaction_data)
    elif isinstance(body, extension_wire.RecordingChanged | extension_wire.MuteChanged):
        _marks_event(node, name, body)
    elif isinstance(body, interaction_wire.ConsultStarted):
        if node.state is not interaction_wire.InteractionState.STARTED:
            raise ProtocolViolation(
                "interaction.consult comes in STARTED only.", f"{node.target} was {node.state}."
            )
        if body.nativeid in node.named:
            raise ProtocolViolation(
                "interaction.consult tells of a call that was started outside Harmony.",
                f"{body.nativeid} was known already.",
            )
        node.consult = body.nativeid
        node.named[body.nativeid] = None
    elif (step := INTERACTION_STEPS.get(name)) is not None:
        allowed, state = step
        if node.state not in allowed:
            raise ProtocolViolation(
                f"{name} comes in {_words(allowed)} only.", f"{node.target} was {node.state}."
            )
        _conversations_before(node, body)
        node.state = state
        if isinstance(body, interaction_wire.Ended):
            node.cause = body.cause


def _marks_event(
    node: InteractionNode, name: str, body: extension_wire.RecordingChanged | extension_wire.MuteChanged
) -> None:
    before = (node.recording, node.muted)
    if isinstance(body, extension_wire.RecordingChanged):
        node.recording = body.recording
    else:
        node.muted = body.muted
    if before == (node.recording, node.muted):
        raise ProtocolViolation(f"{name} tells something new.", f"{node.target} was so already.")


def _conversations_before(node: InteractionNode, body: Body) -> None:
    if isinstance(body, interaction_wire.Started):
        primary = node.conversation(node.primary)
        if primary is not None and primary.open and primary.state not in {_State.TALKING, _State.HELD}:
            raise ProtocolViolation(
                "conversation.statechanged TALKING comes before interaction.started.",
                f"{primary.target} was {primary.state}.",
            )
    elif isinstance(body, interaction_wire.Ended):
        for each in node.children:
            if isinstance(each, ConversationNode) and each.open and each.state is not _State.RELEASED:
                raise ProtocolViolation(
                    "conversation.statechanged RELEASED comes before interaction.ended.",
                    f"{each.target} was {each.state}.",
                )
            if each.open and not each.closed:
                raise ProtocolViolation(
                    "conversation.disposed comes before interaction.ended.", f"{each.target} has not sent it."
                )


def _conversation_event(node: ConversationNode, body: Body) -> None:
    match body:
        case conversation_wire.StateChanged(conversation_state=state, cause=cause):
            if node.state is not None and state not in CONVERSATION_STEPS[node.state]:
                raise ProtocolViolation(
                    f"A conversation goes from {node.state} to {_words(CONVERSATION_STEPS[node.state])}.",
                    f"{node.target} went to {state}.",
                )
            if (state is _State.RELEASED) != (cause is not None):
                raise ProtocolViolation(
                    "conversation.statechanged has `cause` on release, and only then.",
                    f"{node.target} went to {state} with cause {cause}.",
                )
            node.state, node.cause = state, cause
        case conversation_wire.MemberRemoved(id=member):
            if node.members.pop(member, None) is None:
                raise ProtocolViolation("Only a member can leave.", f"{member} was not in {node.target}.")
        case conversation_wire.MemberAdded(id=member, address=address, name=name, type=kind):
            if member in node.members:
                raise ProtocolViolation("A member joins once.", f"{member} is in {node.target} already.")
            node.members[member] = conversation_wire.Member(id=member, address=address, name=name, type=kind)
        case conversation_wire.Disposed():
            if node.state is not _State.RELEASED:
                raise ProtocolViolation(
                    "conversation.disposed follows RELEASED.", f"{node.target} was {node.state}."
                )
        case _:
            pass


def _words(states: Any) -> str:
    return " or ".join(sorted(str(each) for each in states)) or "nothing else"
