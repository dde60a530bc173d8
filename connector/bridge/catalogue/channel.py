"""Channel destination: one phone (or other medium) of the agent."""

from enum import StrEnum
from typing import Any

import msgspec

from connector.bridge.catalogue.session import ChannelType
from connector.bridge.schema import Body, Scope, event, query, request


class ChannelState(StrEnum):
    """Whether the session's agent is logged in on the channel."""

    ACTIVE = "ACTIVE"
    INACTIVE = "INACTIVE"
    UNAVAILABLE = "UNAVAILABLE"


class AgentState(StrEnum):
    """Whether the agent takes calls on the channel."""

    READY = "READY"
    NOT_READY = "NOT_READY"


class ListedInteraction(Body, frozen=True, kw_only=True):
    """An interaction that is on the channel already; `id` is its CTI id."""

    id: str
    type: ChannelType


class ChannelInitReply(Body, frozen=True, kw_only=True, rename="kebab"):
    """The channel's true state.

    `reason` is the not-ready reason's code, if there is one. `interactions` is a list, often empty; an
    unsupported channel has none.
    """

    channel_state: ChannelState
    agent_state: AgentState
    reason: str | None
    interactions: tuple[ListedInteraction, ...] | None = None


@query("channel.query.init", scope=Scope.CHANNEL, origin="W states, C keys", reply=ChannelInitReply)
class ChannelInit(Body, frozen=True, kw_only=True):
    """Opens the channel."""


@request("channel.request.activate", scope=Scope.CHANNEL, origin="C")
class Activate(Body, frozen=True, kw_only=True):
    """Logs the agent into the queues; then `channel.activated` and `channel.notready`."""

    options: dict[str, Any] = msgspec.field(default_factory=dict)


@request("channel.request.deactivate", scope=Scope.CHANNEL, origin="C")
class Deactivate(Body, frozen=True, kw_only=True):
    """Logs the agent out of the queues; then `channel.deactivated`."""

    options: dict[str, Any] = msgspec.field(default_factory=dict)


@request("channel.request.ready", scope=Scope.CHANNEL, origin="C")
class Ready(Body, frozen=True, kw_only=True):
    """The agent takes calls; then `channel.ready`."""


@request("channel.request.notready", scope=Scope.CHANNEL, origin="C")
class NotReady(Body, frozen=True, kw_only=True, rename="camel"):
    """The agent takes no calls; then `channel.notready`."""

    reason_code_id: str | None = None


@request("channel.request.createinteraction", scope=Scope.CHANNEL, origin="C")
class CreateInteraction(Body, frozen=True, kw_only=True):
    """Prepares the destination of an interaction that the client named."""

    id: str
    nativeid: str


@request("channel.request.dial", scope=Scope.CHANNEL, origin="S2")
class Dial(Body, frozen=True, kw_only=True):
    """Places a call; success leads to `channel.interaction.added`."""

    destination: str


@request("channel.request.dispose", scope=Scope.CHANNEL, origin="W")
class Dispose(Body, frozen=True, kw_only=True):
    """Drops the channel's resources; the agent's state on the PBX stays as it is."""


@event("channel.activated", scope=Scope.CHANNEL, origin="W")
class Activated(Body, frozen=True, kw_only=True):
    """The agent is logged in on the channel."""


@event("channel.deactivated", scope=Scope.CHANNEL, origin="W")
class Deactivated(Body, frozen=True, kw_only=True):
    """The agent is logged out of the channel."""


@event("channel.available", scope=Scope.CHANNEL, origin="W")
class Available(Body, frozen=True, kw_only=True):
    """Nobody else is logged in on the endpoint any more."""


@event("channel.unavailable", scope=Scope.CHANNEL, origin="W")
class Unavailable(Body, frozen=True, kw_only=True):
    """Somebody else than the session's agent is logged in on the endpoint."""


@event("channel.disposed", scope=Scope.CHANNEL, origin="W")
class Disposed(Body, frozen=True, kw_only=True):
    """The channel is gone."""


@event("channel.ready", scope=Scope.CHANNEL, origin="C")
class BecameReady(Body, frozen=True, kw_only=True):
    """The agent takes calls now."""


@event("channel.notready", scope=Scope.CHANNEL, origin="C")
class BecameNotReady(Body, frozen=True, kw_only=True):
    """The agent takes no calls now; `reason` is the reason's code, if there is one."""

    reason: str | None


@event("channel.interaction.added", scope=Scope.CHANNEL, origin="C")
class InteractionAdded(Body, frozen=True, kw_only=True):
    """A new interaction is on the channel; the bridge creates its destination next."""

    nativeid: str
    type: ChannelType
