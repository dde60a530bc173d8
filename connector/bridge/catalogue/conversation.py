"""Conversation destination: one call leg of an interaction, primary or consult."""

from enum import StrEnum
from typing import Annotated

import msgspec

from connector.bridge.schema import Body, Scope, event, query, request


class ConversationState(StrEnum):
    """Steps in the life of a conversation."""

    ALERTING = "ALERTING"
    DIALING = "DIALING"
    TALKING = "TALKING"
    HELD = "HELD"
    RELEASED = "RELEASED"


class Cause(StrEnum):
    """Why a conversation was released."""

    NORMAL = "NORMAL"
    BUSY = "BUSY"
    NO_ANSWER = "NO_ANSWER"
    REJECTED = "REJECTED"
    INVALID_NUMBER = "INVALID_NUMBER"
    UNREACHABLE = "UNREACHABLE"
    CANCELLED = "CANCELLED"
    TRANSFERRED = "TRANSFERRED"
    CONFERENCED = "CONFERENCED"
    ABANDONED = "ABANDONED"
    FAILED = "FAILED"


class MemberType(StrEnum):
    """Who a member is, seen from the agent's desk."""

    AGENT = "AGENT"
    CUSTOMER = "CUSTOMER"
    OTHER = "OTHER"


class Member(Body, frozen=True, kw_only=True):
    """One party of the conversation: CTI id, number, name, kind."""

    id: str
    address: str
    name: str
    type: MemberType


class ConversationInitReply(Body, frozen=True, kw_only=True, rename="kebab"):
    """The conversation's true state and its members."""

    conversation_state: ConversationState
    members: tuple[Member, ...]


@query("conversation.query.init", scope=Scope.CONVERSATION, origin="C", reply=ConversationInitReply)
class ConversationInit(Body, frozen=True, kw_only=True):
    """Opens the conversation."""


@request("conversation.request.answer", scope=Scope.CONVERSATION, origin="W feature, C name")
class Answer(Body, frozen=True, kw_only=True):
    """Answers the agent's phone."""


@request("conversation.request.release", scope=Scope.CONVERSATION, origin="W feature, C name")
class Release(Body, frozen=True, kw_only=True):
    """Hangs up the agent's part of the call."""


@request("conversation.request.hold", scope=Scope.CONVERSATION, origin="W feature, C name")
class Hold(Body, frozen=True, kw_only=True):
    """Puts the other parties on hold."""


@request("conversation.request.retrieve", scope=Scope.CONVERSATION, origin="W feature, C name")
class Retrieve(Body, frozen=True, kw_only=True):
    """Takes the other parties off hold."""


@request("conversation.request.blindtransfer", scope=Scope.CONVERSATION, origin="W feature, C name")
class BlindTransfer(Body, frozen=True, kw_only=True):
    """Sends the other party to a number; the agent leaves."""

    destination: str


@request("conversation.request.blindconference", scope=Scope.CONVERSATION, origin="W feature, C name")
class BlindConference(Body, frozen=True, kw_only=True):
    """Calls a number into the conversation."""

    destination: str


Tones = Annotated[
    str,
    msgspec.Meta(pattern=r"\A[0-9A-D*#]+\Z", max_length=64, description="1 to 64 of the tones 0-9 A-D * #"),
]


@request("conversation.request.senddtmf", scope=Scope.CONVERSATION, origin="W feature, C name")
class SendDtmf(Body, frozen=True, kw_only=True):
    """Sends tones to the other parties."""

    tones: Tones


@request("conversation.request.x-dropmember", scope=Scope.CONVERSATION, origin="X")
class DropMember(Body, frozen=True, kw_only=True):
    """Ends the part of one member (`id`) in a conference. Our own extension."""

    id: str


@request("conversation.request.x-privateword", scope=Scope.CONVERSATION, origin="X")
class PrivateWord(Body, frozen=True, kw_only=True):
    """Takes one member (`id`) of a conference aside: `interaction.consult` follows. Our own extension."""

    id: str


@request("conversation.request.dispose", scope=Scope.CONVERSATION, origin="C")
class Dispose(Body, frozen=True, kw_only=True):
    """Drops the conversation's resources; the call stays as it is."""


@event("conversation.statechanged", scope=Scope.CONVERSATION, origin="C")
class StateChanged(Body, frozen=True, kw_only=True, rename="kebab"):
    """The conversation is in another state; `cause` is there with RELEASED."""

    conversation_state: ConversationState
    cause: Cause | None = None


@event("conversation.member.added", scope=Scope.CONVERSATION, origin="W name")
class MemberAdded(Member, frozen=True, kw_only=True):
    """A party joined."""


@event("conversation.member.removed", scope=Scope.CONVERSATION, origin="W name")
class MemberRemoved(Member, frozen=True, kw_only=True):
    """A party left."""


@event("conversation.disposed", scope=Scope.CONVERSATION, origin="W name")
class Disposed(Body, frozen=True, kw_only=True):
    """The conversation is gone."""
