"""A PBX that a property test scripts: every procedure may be refused, be held up, or break in the middle.

It keeps the port's promises as the real one does: a procedure refuses what makes no sense now, and returns
only when the model shows the outcome. Parties go to rooms as they do there.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from enum import Enum

from fake_pbx import FakePbx

from connector.telephony import facts
from connector.telephony.facts import Fact
from connector.telephony.interactions import Conversation, Interaction
from connector.telephony.pbx import PbxDown, Refused, Seat, TimedOut
from connector.telephony.states import (
    Cause,
    ConversationState,
    InteractionState,
    Recording,
    Role,
    Supervision,
)

QUEUE = "support"


class Fate(Enum):
    """What becomes of the next procedure."""

    REFUSED = "refused"
    HELD_UP = "held up until the test lets it go"
    UNSHOWN = "accepted, but its outcome is never shown"
    BROKEN = "an error that nobody foresaw"


class Broken(RuntimeError):
    """Stands for a defect behind the port."""


class ScriptedPbx(FakePbx):
    def __init__(self) -> None:
        super().__init__()
        self.fates: deque[Fate] = deque()
        self.gates: list[asyncio.Event] = []
        self.dialled = 0
        self.broken = 0
        self.notes: dict[str, dict[str, str]] = {}
        """What stands on legs, for whoever finds them in a list."""

    def exists(self, leg: str) -> bool:
        """Tell whether a leg of that id is up."""
        return self.model.legs.get(leg) is not None

    def let_go(self) -> None:
        """Have everything that was held up go on."""
        for gate in self.gates:
            gate.set()
        self.gates.clear()

    async def _do(self, what: str) -> None:
        self.done.append(what)
        if not self.available:
            raise PbxDown("The telephone system cannot be reached at the moment.")
        match self.fates.popleft() if self.fates else None:
            case Fate.REFUSED:
                raise Refused("The telephone system refused.")
            case Fate.UNSHOWN:
                await asyncio.sleep(0)
                raise TimedOut("The telephone system did not show the outcome in time.")
            case Fate.BROKEN:
                self.broken += 1
                raise Broken(what)
            case Fate.HELD_UP:
                gate = asyncio.Event()
                self.gates.append(gate)
                await gate.wait()
            case None:
                await asyncio.sleep(0)

    # -- queues ----------------------------------------------------------------------------------------

    async def log_in(self, seat: Seat) -> None:
        self._not_for_others(seat)
        await self._do("log_in")
        self._not_for_others(seat)
        self.tell(facts.MemberChanged(QUEUE, seat.endpoint, seat.agent, paused=True, reason=""))

    async def log_out(self, seat: Seat) -> None:
        await self._do("log_out")
        if self.model.board.queues(seat.endpoint):
            self._require_here(seat)
            self.tell(facts.MemberGone(QUEUE, seat.endpoint))

    async def set_ready(self, seat: Seat) -> None:
        await self._pause(seat, "", paused=False)

    async def set_not_ready(self, seat: Seat, reason: str) -> None:
        await self._pause(seat, reason, paused=True)

    async def _pause(self, seat: Seat, reason: str, *, paused: bool) -> None:
        self._require_here(seat)
        await self._do(f"pause {paused} {reason}")
        self._require_here(seat)
        self.tell(facts.MemberChanged(QUEUE, seat.endpoint, seat.agent, paused=paused, reason=reason))

    def _not_for_others(self, seat: Seat) -> None:
        here = self.model.presence(seat.endpoint).agent
        if here not in {None, seat.agent}:
            raise Refused(f"Agent {here} is logged in at phone {seat.endpoint}.")

    def _require_here(self, seat: Seat) -> None:
        if self.model.presence(seat.endpoint).agent != seat.agent:
            raise Refused(f"Agent {seat.agent} is not logged in at phone {seat.endpoint}.")

    # -- calls -----------------------------------------------------------------------------------------

    async def dial(self, seat: Seat, number: str) -> str:
        await self._do(f"dial {number}")
        self.dialled += 1
        leg = f"out-{self.dialled}"
        self.model.expect_dial(leg, number)
        self.notes[leg] = {"destination": number}
        self.tell(
            facts.LegCreated(leg, seat.endpoint, leg, placed=False),
            facts.DialStarted(None, leg),
            facts.LegRinging(leg),
        )
        return leg

    async def answer(self, interaction: str, seat: Seat) -> None:
        self._require_state(interaction, InteractionState.ALERTING)
        await self._do(f"answer {interaction} {seat.endpoint}")
        found = self._require_state(interaction, InteractionState.ALERTING)
        self.tell(facts.LegAnswered(found.leg))
        for leg in (found.leg, *found.primary.parties):
            self.tell(facts.LegJoined(leg, f"answered-{found.leg}"))
        self._shown(lambda: found.state is not InteractionState.ALERTING)

    async def reject(self, interaction: str, seat: Seat) -> None:
        self._require_state(interaction, InteractionState.ALERTING)
        await self._do(f"reject {interaction} {seat.agent}")
        found = self._require_state(interaction, InteractionState.ALERTING)
        self.tell(facts.LegEnded(found.leg, 21))

    async def release(self, interaction: str, conversation: str) -> None:
        self._conversation(interaction, conversation, *_RELEASABLE)
        await self._do(f"release {conversation}")
        self._conversation(interaction, conversation, *_RELEASABLE)
        self.tell(facts.LegEnded(self._live(interaction).leg, 16))

    async def hold(self, interaction: str, conversation: str) -> None:
        await self._move(interaction, conversation, self._aside, ConversationState.HELD)

    async def retrieve(self, interaction: str, conversation: str) -> None:
        await self._move(interaction, conversation, self._back, ConversationState.TALKING)

    async def send_dtmf(self, interaction: str, conversation: str, tones: str) -> None:
        self._conversation(interaction, conversation, *_ANSWERED)
        await self._do(f"dtmf {tones}")
        self._conversation(interaction, conversation, *_ANSWERED)

    async def drop_member(self, interaction: str, conversation: str, member: str) -> None:
        self._conversation(interaction, conversation, *_ANSWERED)
        await self._do(f"drop {member}")
        found = self._conversation(interaction, conversation, *_ANSWERED)
        leg = next((leg for leg, one in found.parties.items() if one.id == member), None)
        if leg is None or len(found.parties) == 1:
            raise Refused(f"The conversation has no member {member} to drop.")
        self.tell(facts.LegEnded(leg, 16))

    async def private_word(self, interaction: str, conversation: str, member: str) -> None:
        self._member_for_word(interaction, conversation, member)
        await self._do(f"private word {member}")
        leg = self._member_for_word(interaction, conversation, member)
        found = self._live(interaction)
        others = [party for party in found.primary.parties if party != leg]
        self.tell(
            *_into_room(found, others),
            facts.RoomAssigned(found.leg, Role.CONSULT, leg),
            facts.LegJoined(found.leg, f"room-{leg}"),
            facts.RoomOpened(f"room-{leg}", leg),
            facts.LegJoined(leg, f"room-{leg}"),
            *(facts.MusicStarted(party) for party in others[:1] if len(others) == 1),
        )
        self._shown(lambda: found.consult is not None and not found.consult.released)

    def _member_for_word(self, interaction: str, conversation: str, member: str) -> str:
        found = self._consultable(interaction)
        talk = self._conversation(interaction, conversation, *_ANSWERED)
        leg = next((leg for leg, one in talk.parties.items() if one.id == member), None)
        if leg is None or len(talk.parties) == 1 or talk is not found.primary:
            raise Refused(f"The conversation has no member {member} to take aside.")
        return leg

    async def set_data(self, interaction: str, values: Mapping[str, str]) -> None:
        await self._do("set_data")
        leg = self._live(interaction).leg
        self.tell(*(facts.VariableSet(leg, key, value) for key, value in values.items()))

    # -- consult and transfer --------------------------------------------------------------------------

    async def consult(self, interaction: str, number: str) -> str:
        self._consultable(interaction)
        await self._do(f"consult {number}")
        found = self._consultable(interaction)
        self.dialled += 1
        leg = f"con-{self.dialled}"
        self.tell(
            *self._aside(found),
            facts.LegCreated(leg, "2002", found.leg, placed=False, number=number),
            facts.DialStarted(found.leg, leg),
        )
        if found.consult is None or found.consult.released:
            raise TimedOut("The telephone system did not show the outcome in time.")
        consult = found.consult.id
        self.notes.setdefault(found.leg, {}).update(
            consulted=leg, number=number, consult=consult.rpartition("-")[2]
        )
        return consult

    async def consult_transfer(self, interaction: str) -> None:
        self._with_consult(interaction)
        await self._do("consult transfer")
        self._depart(self._with_consult(interaction))

    async def blind_transfer(self, interaction: str, conversation: str, number: str) -> None:
        self._conversation(interaction, conversation, *_ANSWERED)
        await self._do(f"transfer to {number}")
        self._conversation(interaction, conversation, *_ANSWERED)
        self._depart(self._live(interaction))

    async def consult_conference(self, interaction: str) -> None:
        self._with_consult(interaction)
        await self._do("conference")
        found = self._with_consult(interaction)
        parties = [*found.primary.parties, *(found.consult.parties if found.consult else ())]
        self.tell(
            *_into_room(found, parties),
            facts.LegJoined(found.leg, f"room-{parties[0]}"),
            *(facts.MusicStopped(leg) for leg in parties),
        )
        self._shown(lambda: found.consult is not None and found.consult.released)

    async def alternate(self, interaction: str) -> None:
        self._with_consult(interaction)
        await self._do("alternate")
        raise TimedOut("The telephone system did not show the outcome in time.")

    async def blind_conference(self, interaction: str, conversation: str, number: str) -> None:
        self._conversation(interaction, conversation, *_ANSWERED)
        await self._do(f"conference with {number}")

    # -- recording and supervision ---------------------------------------------------------------------

    async def start_recording(self, interaction: str) -> str:
        await self._record(interaction, Recording.ON, Recording.OFF)
        return "harmony/file.wav"

    async def stop_recording(self, interaction: str) -> None:
        await self._record(interaction, Recording.OFF, Recording.ON, Recording.PAUSED)

    async def pause_recording(self, interaction: str, *, paused: bool) -> None:
        ways = (Recording.PAUSED, Recording.ON)
        await self._record(interaction, *(ways if paused else reversed(ways)))

    async def _record(self, interaction: str, wanted: Recording, *allowed: Recording) -> None:
        self._recordable(interaction, *allowed)
        await self._do(f"recording {wanted}")
        found = self._recordable(interaction, *allowed)
        self.tell(*(facts.LegRecorded(leg, wanted) for leg in found.primary.parties))
        self._shown(lambda: found.recording is wanted)

    def _recordable(self, interaction: str, *allowed: Recording) -> Interaction:
        found = self._started(interaction)
        if not found.primary.parties or found.recording not in allowed:
            raise Refused(f"The recording is {found.recording}.")
        return found

    async def mute(self, interaction: str, *, muted: bool) -> None:
        self._require_muted(interaction, muted=not muted)
        await self._do(f"mute {muted}")
        found = self._require_muted(interaction, muted=not muted)
        self.tell(facts.LegMuted(found.leg, muted))
        self._shown(lambda: found.muted is muted)

    def _require_muted(self, interaction: str, *, muted: bool) -> Interaction:
        found = self._started(interaction)
        if found.muted is not muted:
            raise Refused("The agent is so already.")
        return found

    async def supervise(self, seat: Seat, interaction: str, mode: Supervision) -> None:
        self._supervisable(seat, interaction, mode)
        await self._do(f"supervise {mode}")
        self._supervisable(seat, interaction, mode)
        leg = self.model.supervisor(seat.endpoint)
        if leg is not None:
            self.tell(facts.SpyStarted(leg.id, interaction, mode))
            return
        self.dialled += 1
        name = f"sup-{self.dialled}"
        self.model.expect_supervision(name, interaction)
        self.notes[name] = {"supervises": interaction}
        self.tell(facts.LegCreated(name, seat.endpoint, name, placed=False))
        self.tell(facts.DialStarted(None, name), facts.SpyStarted(name, interaction, mode))

    def _supervisable(self, seat: Seat, interaction: str, mode: Supervision) -> None:
        self._started(interaction)
        leg = self.model.supervisor(seat.endpoint)
        if leg is not None and (leg.supervises != interaction or leg.supervision is mode):
            raise Refused("The phone supervises already.")

    async def stop_supervision(self, seat: Seat) -> None:
        self._supervising(seat)
        await self._do("stop supervision")
        self.tell(facts.LegEnded(self._supervising(seat), 16))

    def _supervising(self, seat: Seat) -> str:
        leg = self.model.supervisor(seat.endpoint)
        if leg is None:
            raise Refused("The phone supervises no call.")
        return leg.id

    def _started(self, interaction: str) -> Interaction:
        found = self._live(interaction)
        if found.state is not InteractionState.STARTED:
            raise Refused(f"The call is {found.state}.")
        return found

    def _depart(self, found: Interaction) -> None:
        self.model.expect_departure(found.id, Cause.TRANSFERRED)
        self.tell(facts.LegEnded(found.leg, 16))

    def _consultable(self, interaction: str) -> Interaction:
        found = self._live(interaction)
        busy = found.consult is not None and not found.consult.released
        if busy or found.primary.state not in _ANSWERED:
            raise Refused("There is nothing to consult about.")
        return found

    def _with_consult(self, interaction: str) -> Interaction:
        found = self._live(interaction)
        if found.consult is None or found.consult.released or found.primary.released:
            raise Refused("There is no consult call.")
        return found

    def _aside(self, found: Interaction) -> tuple[Fact, ...]:
        """Return how the primary's parties go to their room, where one that is alone hears music."""
        parties = list(found.primary.parties)
        agent = self.model.legs.get(found.leg)
        return (
            *_into_room(found, parties),
            facts.LegLeft(found.leg, (agent.bridge if agent is not None else None) or "", waits=True),
            *(facts.MusicStarted(party) for party in parties if len(parties) == 1),
        )

    def _back(self, found: Interaction) -> tuple[Fact, ...]:
        """Return how the agent's leg visits the primary's parties."""
        parties = list(found.primary.parties)
        return (
            *_into_room(found, parties),
            *(facts.LegJoined(found.leg, f"room-{party}") for party in parties[:1]),
            *(facts.MusicStopped(party) for party in parties),
        )

    async def _move(
        self,
        interaction: str,
        conversation: str,
        way: Callable[[Interaction], tuple[Fact, ...]],
        wanted: ConversationState,
    ) -> None:
        self._conversation(interaction, conversation, *_ANSWERED)
        await self._do(f"{wanted} {conversation}")
        found = self._conversation(interaction, conversation, *_ANSWERED)
        if found.role is Role.PRIMARY:
            self.tell(*way(self._live(interaction)))
        self._shown(lambda: found.state is wanted)

    def _live(self, interaction: str) -> Interaction:
        found = self.model.interaction(interaction)
        if found is None or found.over:
            raise Refused("The call is over already.")
        return found

    def _require_state(self, interaction: str, wanted: InteractionState) -> Interaction:
        found = self._live(interaction)
        if found.state is not wanted or found.primary.state is not ConversationState.ALERTING:
            raise Refused(f"The call is {found.state}.")
        return found

    def _conversation(self, interaction: str, conversation: str, *wanted: ConversationState) -> Conversation:
        found = self._live(interaction).conversation(conversation)
        if found is None or found.state not in wanted:
            raise Refused("The conversation is in another state.")
        return found

    @staticmethod
    def _shown(ready: Callable[[], bool]) -> None:
        if not ready():
            raise TimedOut("The telephone system did not show the outcome in time.")


def _into_room(found: Interaction, parties: Sequence[str]) -> tuple[Fact, ...]:
    """Return how parties of an agent's come to be in the room of the first of them."""
    if not parties:
        return ()
    room = parties[0]
    return (
        facts.RoomAssigned(found.leg, Role.PRIMARY, room),
        *(facts.LegJoined(party, f"room-{room}") for party in parties),
        facts.RoomOpened(f"room-{room}", room),
    )


_ANSWERED = (ConversationState.TALKING, ConversationState.HELD)
_RELEASABLE = (ConversationState.DIALING, *_ANSWERED)
