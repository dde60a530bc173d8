"""The shapes of the rows that the tree keeps: of each destination, and of each request.

A row is checked against its shape before anything is built of it. The file may have been written by a disk
that fails, by hand, or by another version.
"""

from typing import Any, ClassVar, TypedDict

import msgspec

from connector.bridge.messages import Kind, Message
from connector.bridge.messages import channel as channel_wire
from connector.bridge.messages import control as control_wire
from connector.bridge.messages import conversation as conversation_wire
from connector.bridge.messages import interaction as interaction_wire


class ControlTold(TypedDict, total=False):
    """What the bridge was told of the service."""

    status: control_wire.ServiceStatus


class ChannelTold(TypedDict, total=False):
    """What the bridge was told of a channel; `interactions` are native ids.

    `promised`: the readiness that a request was answered with, while its event is still to come.
    """

    state: channel_wire.ChannelState
    agent: channel_wire.AgentState
    reason: str | None
    promised: str
    interactions: list[str]
    supervision: str


class InteractionTold(TypedDict, total=False):
    """What the bridge was told of an interaction; `consult` and `conversations` are native ids.

    `promised`: whether the request to complete it was answered, and with what.
    """

    state: interaction_wire.InteractionState
    promised: str
    data: dict[str, Any]
    consult: str | None
    conversations: list[str]


class MemberTold(TypedDict):
    """A member as the bridge was told of it."""

    id: str
    address: str
    name: str
    type: conversation_wire.MemberType


class ConversationTold(TypedDict, total=False):
    """What the bridge was told of a conversation; members by their ids."""

    state: conversation_wire.ConversationState
    members: dict[str, MemberTold]


class SeatRow(msgspec.Struct):
    """A `Seat`."""

    agent: str
    endpoint: str
    queues: tuple[str, ...]
    penalty: int


class DestinationRow(msgspec.Struct, kw_only=True, tag_field="kind", tag=lambda name: name[: -len("Row")]):
    """What all destinations keep."""

    needs: ClassVar[frozenset[str]] = frozenset()
    """Keys that `told` has as soon as the destination is open."""

    parent: str | None
    open: bool
    closed: bool
    told: Any


class ControlRow(DestinationRow, kw_only=True):
    """The control destination."""

    told: ControlTold


class SessionRow(DestinationRow, kw_only=True):
    """A session; `team`: whether the team's changes are told."""

    told: dict[str, Any]
    agent: str
    session: str
    out_of_service: bool
    media: list[str]
    had_group: bool
    team: bool


class ChannelGroupRow(DestinationRow, kw_only=True):
    """A channel group; `elsewhere` are the agent's other phones."""

    told: dict[str, Any]
    name: str
    seat: SeatRow
    media: tuple[str, ...]
    elsewhere: list[str]


class ChannelRow(DestinationRow, kw_only=True):
    """A channel."""

    told: ChannelTold
    seat: SeatRow

    needs: ClassVar[frozenset[str]] = frozenset({"state", "agent", "reason"})


class UnsupportedChannelRow(DestinationRow, kw_only=True):
    """The channel of a medium that Asterisk has not."""

    told: dict[str, Any]
    endpoint: str


class InteractionRow(DestinationRow, kw_only=True):
    """An interaction."""

    told: InteractionTold
    seat: SeatRow
    nativeid: str

    needs: ClassVar[frozenset[str]] = frozenset({"state"})


class ConversationRow(DestinationRow, kw_only=True):
    """A conversation; `nativeids` are the interaction's and its own."""

    told: ConversationTold
    seat: SeatRow
    nativeids: tuple[str, str]

    needs: ClassVar[frozenset[str]] = frozenset({"state"})


AnyRow: Any = (
    ControlRow
    | SessionRow
    | ChannelGroupRow
    | ChannelRow
    | UnsupportedChannelRow
    | InteractionRow
    | ConversationRow
)
"""Told apart by their `kind`."""


class RequestRow(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A request: `name` to `proven` while it is carried out (see `Begun`), then `question` and `response`."""

    number: int
    name: str = ""
    target: str = ""
    lane: str = ""
    proven: bool = False
    question: tuple[Kind, str, str] | None = None
    """What a repetition must have in common with it."""
    response: Message | None = None
