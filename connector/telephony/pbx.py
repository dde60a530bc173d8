"""The port: what the connector asks of a PBX, whatever its make.

Every procedure returns when the PBX has *shown* the outcome (by its events), not when it accepted the wish,
and raises a `PbxProblem` whose text can be shown to an agent.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from connector.telephony.changes import Change
from connector.telephony.model import TelephonyModel
from connector.telephony.states import Supervision


class PbxProblem(Exception):
    """A request was not carried out. The text is one sentence that may be shown to an agent."""


class Refused(PbxProblem):
    """The request makes no sense now, or the PBX said no. Nothing has changed."""


class TimedOut(PbxProblem):
    """The PBX accepted the request but did not show the outcome in time."""


class PbxDown(PbxProblem):
    """The PBX cannot be reached at the moment."""


@dataclass(frozen=True, slots=True)
class Seat:
    """An agent at a phone: who, where, for which queues."""

    agent: str
    endpoint: str
    queues: tuple[str, ...] = ()
    penalty: int = 0


@dataclass(frozen=True, slots=True)
class Limits:
    """What a PBX, or the way it is used, cannot do at a phone."""

    refused: frozenset[str] = frozenset()
    """Procedures of `Pbx`, by name, that are always refused."""
    notes: tuple[str, ...] = ()
    """Sentences on what is refused or different at times."""


Listener = Callable[[Change], None]


class Pbx(Protocol):
    """A PBX as the destinations see it."""

    @property
    def model(self) -> TelephonyModel:
        """The model: to be read, never written, by others than the PBX."""
        ...

    @property
    def available(self) -> bool:
        """Whether requests can be carried out now."""
        ...

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Have every change told to `listener`, synchronously and in order. Returns how to stop it."""
        ...

    def limits(self, endpoint: str) -> Limits:
        """Return what cannot be done at a phone."""
        ...

    def watch(self, endpoint: str) -> None:
        """Follow the calls of a phone from now on."""
        ...

    def complete(self, interaction: str) -> None:
        """End the wrap-up of an ended interaction."""
        ...

    async def mobile_phone(self, number: str, *, nailed: bool) -> str:
        """Return the endpoint of a mobile agent's phone, which is any number that agents may dial.

        It is called for every call, or, `nailed`, once at the login for all of them.
        """
        ...

    async def log_in(self, seat: Seat) -> None:
        """Make the agent a member of all queues of the seat, not ready."""
        ...

    async def log_out(self, seat: Seat) -> None:
        """Take the agent out of all queues."""
        ...

    async def set_ready(self, seat: Seat) -> None:
        """Let the queues offer calls."""
        ...

    async def set_not_ready(self, seat: Seat, reason: str) -> None:
        """Have the queues offer no more calls. `reason` is a site's reason code or empty."""
        ...

    async def dial(self, seat: Seat, number: str) -> str:
        """Ring the agent's phone, then dial. Returns the id of the interaction, which exists by then."""
        ...

    async def answer(self, interaction: str, seat: Seat) -> None:
        """Have the agent's phone pick up an offered call, where the phone model can."""
        ...

    async def reject(self, interaction: str, seat: Seat) -> None:
        """Decline an offered call; the agent goes not ready first, so that it is not offered again."""
        ...

    async def hold(self, interaction: str, conversation: str) -> None:
        """Put the parties of a conversation on hold."""
        ...

    async def retrieve(self, interaction: str, conversation: str) -> None:
        """Take the parties of a conversation off hold; another one that talks is put on hold."""
        ...

    async def consult(self, interaction: str, number: str) -> str:
        """Hold the primary and call a number. Returns the consult conversation's id."""
        ...

    async def consult_transfer(self, interaction: str) -> None:
        """Connect the primary's parties with the consult's; the agent leaves."""
        ...

    async def consult_conference(self, interaction: str) -> None:
        """Bring the consult's parties into the primary."""
        ...

    async def alternate(self, interaction: str) -> None:
        """Swap the conversation that talks and the one on hold."""
        ...

    async def blind_transfer(self, interaction: str, conversation: str, number: str) -> None:
        """Send the party to a number; the agent leaves."""
        ...

    async def blind_conference(self, interaction: str, conversation: str, number: str) -> None:
        """Call a number into the conversation."""
        ...

    async def drop_member(self, interaction: str, conversation: str, member: str) -> None:
        """End the part of one member (its id) in a conversation that has more of them."""
        ...

    async def private_word(self, interaction: str, conversation: str, member: str) -> None:
        """Take one member (its id) of a conference aside into a consult; the others are on hold."""
        ...

    async def send_dtmf(self, interaction: str, conversation: str, tones: str) -> None:
        """Send tones (`0-9 A-D * #`) to the parties."""
        ...

    async def set_data(self, interaction: str, values: Mapping[str, str]) -> None:
        """Set interaction data; an empty value removes its key."""
        ...

    async def release(self, interaction: str, conversation: str) -> None:
        """End a conversation of an interaction."""
        ...

    async def start_recording(self, interaction: str) -> str:
        """Record the customer's leg, whatever becomes of it. Returns the file's name on the PBX."""
        ...

    async def stop_recording(self, interaction: str) -> None:
        """End the recording that was started here."""
        ...

    async def pause_recording(self, interaction: str, *, paused: bool) -> None:
        """Record silence from now on, or what is said again."""
        ...

    async def mute(self, interaction: str, *, muted: bool) -> None:
        """Let nobody hear the agent, or everybody again."""
        ...

    async def supervise(self, seat: Seat, interaction: str, mode: Supervision) -> None:
        """Ring the seat's phone and let it listen to an agent's call, or go over to another mode."""
        ...

    async def stop_supervision(self, seat: Seat) -> None:
        """Hang up the leg with which the seat's phone supervises."""
        ...
