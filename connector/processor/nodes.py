"""What the bridge knows of each destination: filled from what the client said, and from nothing else."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from connector.bridge.messages import Scope
from connector.bridge.messages import channel as channel_wire
from connector.bridge.messages import control as control_wire
from connector.bridge.messages import conversation as conversation_wire
from connector.bridge.messages import extensions as extension_wire
from connector.bridge.messages import interaction as interaction_wire
from connector.bridge.messages import session as session_wire


@dataclass(slots=True, eq=False)
class Node:
    """A destination. `open` once init was answered, `closed` after its last event, `gone` after dispose."""

    scope: Scope
    target: str
    parent: "Node | None" = None
    children: "list[Node]" = field(default_factory=list)
    open: bool = False
    closed: bool = False
    gone: bool = False

    def branch(self) -> Iterator["Node"]:
        """Iterate over the destination and everything below it."""
        yield self
        for child in self.children:
            yield from child.branch()

    def lineage(self) -> Iterator["Node"]:
        """Iterate over the destination and everything above it."""
        node: Node | None = self
        while node is not None:
            yield node
            node = node.parent


@dataclass(slots=True, eq=False)
class ControlNode(Node):
    """Service status as last told; None before it was."""

    status: control_wire.ServiceStatus | None = None
    capabilities: control_wire.CapabilitiesReply | None = None


@dataclass(slots=True, eq=False)
class SessionNode(Node):
    """A session: the CTI id of its one group, and the lists that it was told.

    `outlived` once the service was out: its agent's next login ends it.
    """

    agent: str = ""
    outlived: bool = False
    group: str | None = None
    logout_reasons: tuple[session_wire.LogoutReason, ...] = ()
    not_ready_reasons: tuple[session_wire.NotReadyReason, ...] = ()
    team: dict[str, session_wire.TeamMember] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class GroupNode(Node):
    """A channel group: its channels by endpoint."""

    channels: dict[str, session_wire.ChannelType] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class ChannelNode(Node):
    """A channel: its states, and the CTI ids of the interactions that were named on it."""

    endpoint: str = ""
    type: session_wire.ChannelType = session_wire.ChannelType.TELEPHONY
    state: channel_wire.ChannelState | None = None
    agent_state: channel_wire.AgentState | None = None
    reason: str | None = None
    supervision: extension_wire.SupervisionReply | None = None
    """As last told; None while nobody asked and nothing happened."""
    named: dict[str, None] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class InteractionNode(Node):
    """An interaction: state, data, and the CTI ids of the conversations that were named in it."""

    nativeid: str = ""
    state: interaction_wire.InteractionState | None = None
    cause: conversation_wire.Cause | None = None
    data: dict[str, Any] = field(default_factory=dict)
    primary: str | None = None
    consult: str | None = None
    recording: extension_wire.RecordingState = extension_wire.RecordingState.OFF
    muted: bool = False
    named: dict[str, None] = field(default_factory=dict)

    def conversation(self, nativeid: str | None) -> "ConversationNode | None":
        """Return a conversation of the interaction by its CTI id."""
        for child in self.children:
            if isinstance(child, ConversationNode) and child.nativeid == nativeid:
                return child
        return None


@dataclass(slots=True, eq=False)
class ConversationNode(Node):
    """A conversation: state, cause of its end, members by id."""

    nativeid: str = ""
    state: conversation_wire.ConversationState | None = None
    cause: conversation_wire.Cause | None = None
    members: dict[str, conversation_wire.Member] = field(default_factory=dict)
