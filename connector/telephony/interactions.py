"""Interactions, conversations and parties: what an agent's desk shows of the legs of the PBX."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from connector.telephony.changes import (
    Anomaly,
    Change,
    ConversationChanged,
    InteractionEnded,
    InteractionStarted,
    Member,
    MemberJoined,
    MemberLeft,
    MemberReached,
    MemberType,
)
from connector.telephony.legs import Leg
from connector.telephony.states import (
    CONVERSATION_STEPS,
    ENDED_STATES,
    INTERACTION_STEPS,
    Cause,
    ConversationState,
    InteractionState,
    Recording,
    Role,
)

Emit = Callable[[Change], None]


@dataclass(slots=True)
class Conversation:
    """One call leg of an interaction, with the parties at its far end."""

    id: str
    role: Role
    state: ConversationState
    leg: str
    """The agent's leg that it runs on: a consult that the phone itself started has one of its own."""
    cause: Cause | None = None
    before: ConversationState | None = None
    """The state that the present one followed."""
    candidates: set[str] = field(default_factory=set)
    """Legs that are being rung for this conversation and may become parties."""
    parties: dict[str, Member] = field(default_factory=dict)
    """Remote legs of the conversation, by leg id."""
    placeholder: Member | None = None
    """The party that was dialled, until a leg stands for it."""
    invited: bool = False
    """Whether the placeholder is whom the ringing phone shows, and any other party may be the first."""
    hung_up: bool = False
    """Whether a party hung up by itself, as far as its phone told so."""
    sent_on: bool = False
    """Whether the other agent has sent this one's leg on, to a number that has not answered yet."""
    _numbered: int = 0

    @property
    def released(self) -> bool:
        """Whether the conversation is over."""
        return self.state is ConversationState.RELEASED

    @property
    def members(self) -> tuple[Member, ...]:
        """The parties as the bridge sees them."""
        if self.parties:
            return tuple(self.parties.values())
        return (self.placeholder,) if self.placeholder is not None else ()

    def next_member_id(self) -> str:
        """Return the next id for a party of this conversation."""
        self._numbered += 1
        return f"{self.id}.{self._numbered}"

    def expect(self, address: str, member_type: MemberType, *, invited: bool = False) -> None:
        """Show the dialled number, or who invites into a conference, as the party until a leg is."""
        self.placeholder = Member(self.next_member_id(), address, "", member_type)
        self.invited = invited

    def expect_nobody(self) -> None:
        """Take back what was expected, as the parties themselves are known."""
        self.placeholder, self._numbered = None, 0

    def admit(self, interaction: str, leg: Leg, member_type: MemberType, emit: Emit, *, silent: bool) -> None:
        """Make a leg a party; it takes the dialled party's place when nobody stands for that yet."""
        if leg.id in self.parties:
            return
        expected = self.placeholder if not self.parties else None
        uncertain, reached = self.invited or self.sent_on, self.sent_on
        another = uncertain and expected is not None and leg.number not in {"", expected.address}
        self.invited = self.sent_on = False
        if expected is not None and not (another and expected.address):
            self.parties[leg.id] = Member(expected.id, expected.address or leg.number, leg.name, member_type)
            if reached:
                emit(MemberReached(interaction, self.id))
            return
        member = Member(self.next_member_id(), leg.number, leg.name, member_type)
        self.parties[leg.id] = member
        if not silent:
            emit(MemberJoined(interaction, self.id, member))
            if expected is not None:
                emit(MemberLeft(interaction, self.id, expected))

    def expect_another(self, interaction: str, address: str, member_type: MemberType, emit: Emit) -> None:
        """Expect that number in the place of the parties, who have sent this agent's leg on to it."""
        gone = self.members
        self.parties.clear()
        self.expect(address, member_type)
        self.sent_on = True
        if self.placeholder is not None:
            emit(MemberJoined(interaction, self.id, self.placeholder))
        for member in gone:
            emit(MemberLeft(interaction, self.id, member))

    def dismiss(self, interaction: str, leg: str, emit: Emit) -> None:
        """Take a party out; the last one's going is told by the release instead."""
        member = self.parties.pop(leg, None)
        if member is not None and self.parties:
            emit(MemberLeft(interaction, self.id, member))
        elif member is not None:
            self.placeholder = member

    def step(
        self, interaction: str, state: ConversationState, emit: Emit, cause: Cause | None = None
    ) -> None:
        """Go to another state along the table; an illegal step is reported and not taken."""
        if state is self.state:
            return
        if state not in CONVERSATION_STEPS[self.state]:
            emit(Anomaly(self.id, f"a conversation cannot go from {self.state} to {state}"))
            return
        self.before, self.state = self.state, state
        self.cause = cause
        emit(ConversationChanged(interaction, self.id, state, cause))


@dataclass(slots=True)
class Interaction:
    """One customer contact on an agent's phone."""

    id: str
    endpoint: str
    leg: str
    """The agent's leg; if it ends before a consult that has a leg of its own, that one takes its place."""
    state: InteractionState
    primary: Conversation
    consult: Conversation | None = None
    data: dict[str, str] = field(default_factory=dict)
    data_of: tuple[str | int, ...] = ()
    """What the data were made of, once the call has started (`call_data.update`)."""
    cause: Cause | None = None
    departure: Cause | None = None
    """Why the agent's leg is about to end, where a transfer is under way."""
    meeting: bool = False
    """Whether agent and parties are on their way into one room, where they will talk on."""
    guests: set[str] = field(default_factory=set)
    """Parties who were called in: the call is not about them, and nobody takes them if the agent is gone."""
    transferred: set[str] = field(default_factory=set)
    """Legs that a transfer took out: no part of this any more, even while they are still heard."""
    recording: Recording = Recording.OFF
    muted: bool = False
    answered: bool = False
    """Whether the agent's own phone was ever picked up for it."""
    talked_last: str = ""
    """Id of the conversation that was the last to talk."""
    _conversations: int = 1

    @property
    def over(self) -> bool:
        """Whether the call is over (wrap-up may still go on)."""
        return self.state in ENDED_STATES

    @property
    def is_of_a_queue(self) -> bool:
        """Whether a queue offered the call: it offers it again to an agent who declines and stays ready."""
        return "QUEUE" in self.data

    @property
    def active(self) -> Conversation:
        """The live conversation that was the last to talk, else the primary (S0)."""
        consult = self.consult
        is_consult = consult is not None and not consult.released and consult.id == self.talked_last
        return consult if consult is not None and is_consult else self.primary

    @property
    def live_conversations(self) -> tuple[Conversation, ...]:
        """The conversations that are not released: primary first."""
        # Asked for with every event that touches the call.
        primary, consult = self.primary, self.consult
        over = primary.state is ConversationState.RELEASED
        if consult is None or consult.state is ConversationState.RELEASED:
            return () if over else (primary,)
        return (consult,) if over else (primary, consult)

    @property
    def contacts(self) -> tuple[str, ...]:
        """The legs of whom this is about: the primary's parties."""
        return tuple(self.primary.parties)

    @property
    def caller(self) -> str | None:
        """The leg of whom this is about in the first place."""
        # Asked for with every event that touches the call.
        for leg in self.primary.parties:
            return leg
        return None

    @property
    def contact(self) -> Member | None:
        """The member whom this is about in the first place: the `caller`, or who is expected."""
        return next(iter(self.primary.members), None)

    @property
    def legs(self) -> tuple[str, ...]:
        """The agent's legs: one, or two while the phone itself runs a consult."""
        legs: tuple[str, ...] = (self.leg,)
        consult = self.consult
        if self.primary.leg == self.leg and (consult is None or consult.leg == self.leg):
            return legs
        for one in self.live_conversations:
            if one.leg not in legs:
                legs += (one.leg,)
        return legs

    @property
    def every_leg(self) -> tuple[str, ...]:
        """The agent's legs, with those whose conversation is over: they may live on for a moment."""
        return tuple(dict.fromkeys([self.leg, *(one.leg for one in self.conversations())]))

    def has_leg(self, leg: str) -> bool:
        """Whether a leg is one of `legs`."""
        if leg == self.leg:
            return True
        for one in (self.primary, self.consult):
            if one is not None and one.leg == leg and one.state is not ConversationState.RELEASED:
                return True
        return False

    def on_leg(self, leg: str) -> tuple[Conversation, ...]:
        """Return the live conversations that run on one of the agent's legs."""
        live = self.live_conversations
        if len(live) == 1 or (live and live[0].leg == live[1].leg):
            return live if live[0].leg == leg else ()
        return tuple([one for one in live if one.leg == leg])

    def conversations(self) -> Iterator[Conversation]:
        """Iterate over primary and, where there is one, consult."""
        yield self.primary
        if self.consult is not None:
            yield self.consult

    def conversation(self, conversation_id: str) -> Conversation | None:
        """Return the conversation of that id."""
        if self.primary.id == conversation_id:
            return self.primary
        return self.consult if self.consult is not None and self.consult.id == conversation_id else None

    @property
    def conversations_begun(self) -> int:
        """How many conversations there have been."""
        return self._conversations

    def consults_numbered(self, number: int) -> None:
        """Have the next consult bear a higher number than this: another one has had it."""
        self._conversations = max(self._conversations, number)

    def next_conversation_id(self, number: int = 0) -> str:
        """Return the id of the next conversation after the primary: of that number, or the next free one."""
        if number <= 1:
            number = self._conversations + 1
        self.consults_numbered(number)
        return f"{self.id}-{number}"

    def step(self, state: InteractionState, emit: Emit, cause: Cause | None = None) -> None:
        """Go to another state along the table; an illegal step is reported and not taken."""
        if state is self.state:
            return
        if state not in INTERACTION_STEPS[self.state]:
            emit(Anomaly(self.id, f"an interaction cannot go from {self.state} to {state}"))
            return
        self.state = state
        if state is InteractionState.STARTED:
            emit(InteractionStarted(self.id))
        elif state is InteractionState.ENDED:
            self.cause = cause or Cause.NORMAL
            emit(InteractionEnded(self.id, self.cause))
