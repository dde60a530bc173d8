"""What a PBX can tell the model: facts about legs, bridges, queues and phones, in no PBX's words.

A *leg* is one channel of the PBX, named by an id that never changes while it lives. An *internal* leg is
plumbing (one half of a pair that joins two pieces of routing) and never a party. A *bridge* is whatever
lets its legs hear one another. `at` is the PBX's own clock in seconds since 1970, so that a recorded
trace replays to the same figures.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from connector.telephony.states import DialOutcome, Recording, Role, Supervision


class EndpointState(StrEnum):
    """What the PBX says of a phone."""

    IDLE = "IDLE"
    RINGING = "RINGING"
    IN_USE = "IN_USE"
    UNAVAILABLE = "UNAVAILABLE"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, slots=True)
class LegCreated:
    """A leg came to be. `placed` is true when the phone itself started the call."""

    leg: str
    endpoint: str
    tree: str
    placed: bool
    internal: bool = False
    number: str = ""
    name: str = ""
    dialled: str = ""
    answered: bool = False
    variables: Mapping[str, str] = field(default_factory=dict)
    destination: str = ""
    """The number that an agent dials with this leg, where the leg itself says so."""
    consult_of: str = ""
    """The interaction that this leg consults for, where the leg itself says so."""
    supervises: str = ""
    """The leg that a supervisor listens to with this one, where the leg itself says so."""
    listed: bool = False
    """Whether the leg was found in a list, and a `CallFound` tells its call when all legs are known."""


@dataclass(frozen=True, slots=True)
class CallFound:
    """What stands on a leg that was found in a list, all others being known: which calls it is in.

    A *room* is named after its owner, the party that was the first in it.
    """

    leg: str
    primary_room: str = ""
    """Room of the primary conversation; empty as long as no operation gave it one, and when it is over."""
    consult_room: str = ""
    """Room of the consult conversation, likewise."""
    consulting: bool = False
    """Whether the leg is where consult calls are dialled and, at first, talked."""
    number: str = ""
    """The number that was consulted last."""
    consult: int = 0
    """Number of that consult among the interaction's conversations; 0: not known."""
    partner: str = ""
    """The leg of the agent who has this one as an outside party."""
    guests: tuple[str, ...] = ()
    """Outside parties on which this leg is noted as their agent's, or which wait alone for it in a bridge."""
    primary_sharers: tuple[str, ...] = ()
    """Other agents' legs that are told the primary's room too: they are parties where nobody is in it."""
    consult_sharers: tuple[str, ...] = ()
    """The same of the consult's room."""
    sent_on: bool = False
    """Whether another agent has sent this leg to `number`: what else is noted is of the call before."""


@dataclass(frozen=True, slots=True)
class LegNamed:
    """The caller id of a leg, or that of its opposite (`connected_*`), became known."""

    leg: str
    number: str
    name: str
    connected_number: str
    connected_name: str


@dataclass(frozen=True, slots=True)
class LegRinging:
    """The phone of a leg rings."""

    leg: str


@dataclass(frozen=True, slots=True)
class LegAnswered:
    """A leg was picked up."""

    leg: str


@dataclass(frozen=True, slots=True)
class LegEnded:
    """A leg is gone. `cause` is the ISDN (Q.850) cause number, 0 when the PBX gave none."""

    leg: str
    cause: int


@dataclass(frozen=True, slots=True)
class LegTransferredAway:
    """A leg has handed its call over and is out of it; the PBX may keep the leg itself for a while."""

    leg: str


@dataclass(frozen=True, slots=True)
class HangupAsked:
    """Somebody asked for the end of a leg; `by_phone` is true when its own phone did."""

    leg: str
    by_phone: bool
    cause: int = 0


@dataclass(frozen=True, slots=True)
class DialStarted:
    """`callee` is being rung, for `caller` or (None) for nobody yet."""

    caller: str | None
    callee: str
    sent_on: bool = False
    """Whether somebody else has sent `caller` to this number: Asterisk may tell the transfer itself later."""


@dataclass(frozen=True, slots=True)
class DialEnded:
    """The attempt to reach `callee` is over."""

    caller: str | None
    callee: str
    outcome: DialOutcome


@dataclass(frozen=True, slots=True)
class DialReported:
    """The dialplan's own word on how a call that leg `leg` placed went."""

    leg: str
    outcome: DialOutcome
    cause: int


@dataclass(frozen=True, slots=True)
class PlacementFailed:
    """A call that we asked for never reached its phone."""

    leg: str
    timed_out: bool


@dataclass(frozen=True, slots=True)
class LegOrphaned:
    """An outside party was taken out of its conversation, to be looked after by others."""

    leg: str


@dataclass(frozen=True, slots=True)
class RoomAssigned:
    """An agent's leg was told the room of one of its conversations; empty: it has none any more."""

    leg: str
    role: Role
    room: str


@dataclass(frozen=True, slots=True)
class LegSentOn:
    """An agent's leg has been sent to somebody else by its party `by`, which goes or is gone."""

    leg: str
    by: str


@dataclass(frozen=True, slots=True)
class LegsParted:
    """An agent has let another agent's leg go, which lives on with a call of its own."""

    leg: str
    """The leg that was let go."""
    by: str


@dataclass(frozen=True, slots=True)
class LegJoined:
    """A leg entered a bridge, and the conference room of that name if the bridge is one."""

    leg: str
    bridge: str
    room: str = ""


@dataclass(frozen=True, slots=True)
class LegLeft:
    """A leg left a bridge; `waits` when it went to a place where it waits for what comes next."""

    leg: str
    bridge: str
    waits: bool = False


@dataclass(frozen=True, slots=True)
class RoomOpened:
    """A bridge is a conference room of this name."""

    bridge: str
    room: str


@dataclass(frozen=True, slots=True)
class LegsPaired:
    """Two internal legs are the two halves of one joint."""

    one: str
    two: str


@dataclass(frozen=True, slots=True)
class JointFound:
    """A list tells that the PBX itself lets a leg consult, by this internal leg, the `joint`."""

    leg: str
    joint: str


@dataclass(frozen=True, slots=True)
class MusicStarted:
    """A leg hears music on hold."""

    leg: str
    waits: bool = False
    """It is an agent's leg that waits alone while its parties are on hold."""


@dataclass(frozen=True, slots=True)
class MusicStopped:
    """A leg no longer hears music on hold."""

    leg: str


@dataclass(frozen=True, slots=True)
class PhoneHeld:
    """The phone of a leg pressed hold."""

    leg: str


@dataclass(frozen=True, slots=True)
class PhoneResumed:
    """The phone of a leg went back to its call."""

    leg: str


@dataclass(frozen=True, slots=True)
class PartiesTransferred:
    """The phone of the legs `by` handed its parties on: to a number, or those of its two calls to each other.

    `parties` are the legs that the PBX names as handed on; it does not always name all.
    """

    by: tuple[str, ...]
    parties: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TransferRefused:
    """A phone asked to hand its party on to `number`, and the PBX could not do that where the leg is now."""

    leg: str
    number: str


@dataclass(frozen=True, slots=True)
class JoinRefused:
    """A phone asked to join the parties of its calls `by`; the PBX could not do that where the legs are."""

    by: tuple[str, str]


@dataclass(frozen=True, slots=True)
class VariableSet:
    """A variable that the site cares about has a new value on a leg."""

    leg: str
    name: str
    value: str


@dataclass(frozen=True, slots=True)
class LegRecorded:
    """What a leg hears and says is recorded, no longer, or with silence in its place."""

    leg: str
    state: Recording


@dataclass(frozen=True, slots=True)
class RecorderRenewed:
    """The recorder on a leg is about to be replaced by another that goes on, or has been."""

    leg: str
    under_way: bool


@dataclass(frozen=True, slots=True)
class LegMuted:
    """What a leg's phone says is heard by nobody, or is heard again."""

    leg: str
    muted: bool


@dataclass(frozen=True, slots=True)
class SpyStarted:
    """`leg` hears what `spied` hears and says; `mode` is there when it is a supervisor's leg."""

    leg: str
    spied: str
    mode: Supervision | None = None


@dataclass(frozen=True, slots=True)
class QueueEntered:
    """A caller waits in a queue."""

    leg: str
    queue: str
    position: int
    at: float


@dataclass(frozen=True, slots=True)
class QueueOffered:
    """A queue rings an agent's phone (`agent_leg`) for a caller (`leg`)."""

    leg: str
    agent_leg: str
    queue: str
    at: float


@dataclass(frozen=True, slots=True)
class QueueLeft:
    """A caller no longer waits; `abandoned` when nobody had answered."""

    leg: str
    queue: str
    abandoned: bool


@dataclass(frozen=True, slots=True)
class MemberChanged:
    """State of an endpoint's membership in a queue; `member` is the agent's id there."""

    queue: str
    endpoint: str
    member: str
    paused: bool
    reason: str
    penalty: int = 0
    dynamic: bool = True
    """Whether the membership was made while the PBX ran, and so is lost when it restarts."""


@dataclass(frozen=True, slots=True)
class MemberGone:
    """An endpoint is no longer a member of a queue."""

    queue: str
    endpoint: str


@dataclass(frozen=True, slots=True)
class EndpointChanged:
    """A phone's state changed."""

    endpoint: str
    state: EndpointState


@dataclass(frozen=True, slots=True)
class PbxStopped:
    """The PBX ends: every leg, bridge and membership with it."""


Fact = (
    LegCreated
    | CallFound
    | LegNamed
    | LegRinging
    | LegAnswered
    | LegEnded
    | LegTransferredAway
    | HangupAsked
    | DialStarted
    | DialEnded
    | DialReported
    | PlacementFailed
    | LegOrphaned
    | LegSentOn
    | LegsParted
    | RoomAssigned
    | LegJoined
    | LegLeft
    | RoomOpened
    | LegsPaired
    | JointFound
    | MusicStarted
    | MusicStopped
    | PhoneHeld
    | PhoneResumed
    | PartiesTransferred
    | TransferRefused
    | JoinRefused
    | VariableSet
    | LegRecorded
    | LegMuted
    | RecorderRenewed
    | SpyStarted
    | QueueEntered
    | QueueOffered
    | QueueLeft
    | MemberChanged
    | MemberGone
    | EndpointChanged
    | PbxStopped
)
