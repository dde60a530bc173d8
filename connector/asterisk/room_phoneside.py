"""What the party rooms do about the phone's own keys, on behalf of `connector.asterisk.phoneside`."""

from contextlib import suppress

from connector.asterisk.contexts import BYE, IDLE, REFERRED, ROOM
from connector.asterisk.link import AmiError
from connector.asterisk.lone_legs import AGENT_MARK
from connector.asterisk.meeting import ON_ITS_WAY
from connector.asterisk.room_moves import RoomMoves
from connector.telephony.interactions import Conversation, Interaction
from connector.telephony.pbx import PbxProblem, Refused
from connector.telephony.states import ConversationState

"""Context that calls a number for a party whom the phone's own key transfers."""


class RoomPhoneSide(RoomMoves):
    """The part of `CallHandling` that follows the phone."""

    async def prepare(self, interaction: Interaction) -> None:
        """Let the caller whom the phone's own key transfers blind come back if nobody takes the call."""
        context, seconds = self._settings.context, str(int(self._settings.timeout))
        refer = {"HARMONY_REFER": context, "HARMONY_TIMEOUT": seconds}
        await self._variables.set_all(
            {
                # A code of features.conf dials on a leg of its own: the context is inherited there.
                interaction.leg: {"TRANSFER_CONTEXT": REFERRED, "__HARMONY_REFER": context},
                **{leg: refer | self._care_of(interaction, leg) for leg in interaction.primary.parties},
            }
        )

    async def house(self, interaction_id: str, conversation_id: str) -> None:
        """Give a call that the phone talks on a room, if another call of this phone has one."""
        model = self._exchange.model
        interaction = model.interaction(interaction_id)
        conversation = interaction.conversation(conversation_id) if interaction is not None else None
        if interaction is None or conversation is None or conversation.state is not ConversationState.TALKING:
            return
        parties = [
            party
            for each in model.interactions(interaction.endpoint)
            for one in each.live_conversations
            if one.leg != conversation.leg
            for party in one.parties
        ]
        if conversation.parties and any(map(model.legs.room_of, parties)):
            await self._share_room(interaction, conversation, ON_ITS_WAY)

    async def _no_phone_hold(
        self, interaction: Interaction, conversation: Conversation | None = None
    ) -> None:
        """Have a phone take its call back; where its leg goes then is for the caller of this to say."""
        leg = conversation.leg if conversation is not None else interaction.leg
        if not self._phone_holds(leg):
            return
        if not self._notifier.can_hold(interaction.endpoint):
            await super()._no_phone_hold(interaction, conversation)
            return
        # Else `step_in` would move the leg at the same time.
        room = await self._get(leg, "HARMONY_RESUME")
        await self._set(leg, HARMONY_RESUME="")
        try:
            await super()._no_phone_hold(interaction, conversation)
        except PbxProblem:
            await self._set(leg, HARMONY_RESUME=room)
            raise

    async def ready_for_listeners(self, interaction_id: str) -> None:
        """Give calls that the phone holds in a plain bridge rooms, as if they had been in rooms before.

        In such a bridge Asterisk lets RTP pass by. Once a leg of it is listened to, recorded or muted, it
        takes the RTP back, and the party that is held hears no music any more.
        """
        model = self._exchange.model
        interaction = model.interaction(interaction_id)
        if interaction is None or interaction.over:
            return
        for conversation in interaction.live_conversations:
            if not self._held_in_bridge(conversation):
                continue
            await self._give_room_on_hold(interaction, conversation)
            for other in interaction.live_conversations:
                if other is not conversation:
                    await self.house(interaction_id, other.id)

    def _held_in_bridge(self, conversation: Conversation) -> bool:
        legs, party = self._exchange.model.legs, self._party_or_none(conversation)
        plain = party in legs.hearing(conversation.leg).parties and legs.room_of(conversation.leg) is None
        return plain and self._phone_holds(conversation.leg)

    async def _give_room_on_hold(self, interaction: Interaction, conversation: Conversation) -> None:
        leg, room = conversation.leg, self._meetings.room(conversation)
        await self._introduce(interaction, conversation)
        await self._set(leg, HARMONY_RESUME=room)
        await self._move(*self._meetings.into_room(conversation), (leg, IDLE, "s"))
        legs = self._exchange.model.legs
        await self._exchange.until(
            lambda: conversation.released or bool(legs.in_room(room)), "room of a call that the phone holds"
        )
        if not self._phone_holds(leg) and legs.room_of(leg) is None:
            # Resumed while it was on its way out.
            await self._set(leg, HARMONY_RESUME=room)
            await self.step_in(leg)

    async def step_out(self, leg: str) -> None:
        """Let an agent's leg whose phone holds wait outside its room: music for the others, not silence."""
        room = self._exchange.model.legs.room_of(leg)
        visited = {await self._get(leg, "HARMONY_P1"), await self._get(leg, "HARMONY_P2")}
        if room is None or room not in visited:
            return
        await self._set(leg, HARMONY_RESUME=room)
        await self._move((leg, IDLE, "s"))

    async def step_in(self, leg: str) -> None:
        """Bring an agent's leg whose phone has resumed back into the room that `step_out` took it from."""
        room = await self._get(leg, "HARMONY_RESUME")
        if not room:
            return
        await self._set(leg, HARMONY_RESUME="")
        call = self._meetings.visited(leg, room)
        if call is not None and self._exchange.model.among_agents(call):
            await self._move((leg, ROOM, f"v{room}"))
        elif self._exchange.model.legs.in_room(room):
            await self._move((leg, ROOM, f"a{room}"))

    async def seat(self, newcomer: str, party: str) -> None:
        """Bring a party that a phone's transfer has left somewhere into the room of the other party."""
        room = self._room(party)
        self._lone.bind(newcomer, room)
        notes = {"HARMONY_P1": "", "HARMONY_P2": "", **self._agents_notes(newcomer, party, room)}
        await self._set(newcomer, HARMONY_AGENT=party, **notes)
        await self._set(party, HARMONY_AGENT=newcomer)
        await self._move(self._meetings.seat(newcomer, room))

    def _agents_notes(self, leg: str, other: str, room: str) -> dict[str, str]:
        """Return what an agent's leg must know to hold by the phone's key the call that it gets: its room."""
        notes = self._meetings.noted_if_agent(leg, other, room)
        return {**notes, AGENT_MARK: self._limit} if notes else {}

    async def join(self, first_id: str, second_id: str) -> None:
        """Leave the parties of two calls of one phone to one another, in the room of the first."""
        first, second = self._started(first_id), self._started(second_id)
        party, newcomer = self._party(first.primary), self._party(second.primary)
        for leg in (first.leg, second.leg):
            await self._set(leg, HARMONY_P1="", HARMONY_P2="")
        notes = self._agents_notes(newcomer, second.leg, self._room(party))
        await self._set(newcomer, HARMONY_AGENT=party, **notes)
        await self._set(party, HARMONY_AGENT=newcomer)
        self._lone.bind(newcomer, self._room(party))
        with self._departing(first), self._departing(second):
            try:
                await self._move(self._meetings.seat(newcomer, self._room(party)), (second.leg, BYE, "s"))
            except Refused:
                for each in (first, second):
                    with suppress(AmiError, PbxProblem):
                        await self._introduce(each, each.primary)
                raise
            await self._hang_up(first.leg)
            await self._exchange.until(lambda: first.over and second.over, "transfer")
