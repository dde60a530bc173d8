"""What the model reports when a fact changed something: the only way anybody learns of it."""

from dataclasses import dataclass
from enum import StrEnum

from connector.telephony.facts import EndpointState
from connector.telephony.states import Cause, ConversationState, Recording, Role, Supervision


class MemberType(StrEnum):
    """Who a party of a conversation is, seen from the agent's desk."""

    AGENT = "AGENT"
    CUSTOMER = "CUSTOMER"
    OTHER = "OTHER"


@dataclass(frozen=True, slots=True)
class Member:
    """One remote party of a conversation: its id, its number, its name."""

    id: str
    address: str
    name: str
    type: MemberType


@dataclass(frozen=True, slots=True)
class Presence:
    """Who works at a phone: the agent logged in there (None: nobody), and whether calls may come."""

    agent: str | None = None
    ready: bool = False
    reason: str = ""


@dataclass(frozen=True, slots=True)
class InteractionAdded:
    """A new interaction exists on a phone."""

    interaction: str
    endpoint: str


@dataclass(frozen=True, slots=True)
class InteractionStarted:
    """Agent and first party talk for the first time."""

    interaction: str


@dataclass(frozen=True, slots=True)
class InteractionEnded:
    """The agent has no part in the contact any more; wrap-up begins."""

    interaction: str
    cause: Cause


@dataclass(frozen=True, slots=True)
class InteractionCompleted:
    """Wrap-up is over."""

    interaction: str


@dataclass(frozen=True, slots=True)
class DataChanged:
    """Interaction data has new values; `values` holds the changed keys only."""

    interaction: str
    values: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class RecordingChanged:
    """The customer's leg is recorded, or no longer, or the recording pauses."""

    interaction: str
    state: Recording


@dataclass(frozen=True, slots=True)
class MuteChanged:
    """The agent is muted, or heard again."""

    interaction: str
    muted: bool


@dataclass(frozen=True, slots=True)
class SupervisionChanged:
    """The phone `endpoint` supervises the agent's part of `interaction` in this way."""

    endpoint: str
    interaction: str
    state: Supervision


@dataclass(frozen=True, slots=True)
class ConversationAdded:
    """A conversation joined its interaction after the interaction itself was reported."""

    interaction: str
    conversation: str
    role: Role


@dataclass(frozen=True, slots=True)
class ConversationChanged:
    """A conversation is in another state; `cause` is there with RELEASED."""

    interaction: str
    conversation: str
    state: ConversationState
    cause: Cause | None = None


@dataclass(frozen=True, slots=True)
class HoldLasts:
    """A conversation is on hold for `lasted` seconds; in `left` seconds its party is taken away (0: now)."""

    interaction: str
    conversation: str
    lasted: float
    left: float


@dataclass(frozen=True, slots=True)
class MemberJoined:
    """A party joined a conversation."""

    interaction: str
    conversation: str
    member: Member


@dataclass(frozen=True, slots=True)
class MemberLeft:
    """A party left a conversation."""

    interaction: str
    conversation: str
    member: Member


@dataclass(frozen=True, slots=True)
class MemberReached:
    """The number that an agent was sent on to, a member already, has answered: another far end."""

    interaction: str
    conversation: str


@dataclass(frozen=True, slots=True)
class PartiesLeftTogether:
    """The phone (legs `by`) joined the parties of its two calls and leaves them to one another."""

    interaction: str
    first: tuple[str, ...]
    second: tuple[str, ...]
    by: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PresenceChanged:
    """Somebody logged in or out at a phone, or went ready or not ready."""

    endpoint: str
    before: Presence
    now: Presence


@dataclass(frozen=True, slots=True)
class PhoneChanged:
    """A phone is in another state."""

    endpoint: str
    before: EndpointState
    now: EndpointState


@dataclass(frozen=True, slots=True)
class QueueMissing:
    """An agent should serve a queue that the PBX does not have."""

    endpoint: str
    queue: str


@dataclass(frozen=True, slots=True)
class ServiceChanged:
    """The PBX can be worked with, or no longer; `reason` says why not, `ending` that it said so itself."""

    available: bool
    reason: str = ""
    ending: bool = False


@dataclass(frozen=True, slots=True)
class Anomaly:
    """The PBX reported something that the state tables do not allow: an error in tests, else a resync."""

    subject: str
    text: str


Change = (
    InteractionAdded
    | InteractionStarted
    | InteractionEnded
    | InteractionCompleted
    | DataChanged
    | RecordingChanged
    | MuteChanged
    | SupervisionChanged
    | ConversationAdded
    | ConversationChanged
    | HoldLasts
    | MemberJoined
    | MemberLeft
    | MemberReached
    | PartiesLeftTogether
    | PresenceChanged
    | PhoneChanged
    | QueueMissing
    | ServiceChanged
    | Anomaly
)
