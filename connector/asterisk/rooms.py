"""Hold, consult, alternate, transfer and conference: the "party rooms" recipes, one Redirect each.

The first operation on a call moves its outside party into a conference room of its own (named after the
party's leg; alone in it one hears music), and the agent's leg visits rooms or waits. The contexts are in
`asterisk-conf/harmony.conf`.

Here are hold, consult, alternate and release; `room_transfers` has transfer and conference, `private_words`
the word with one member of a conference, `room_phoneside` what the phone's own keys ask for, and `room_moves`
the steps that all of them are made of.
"""

from connector.asterisk.contexts import BYE, CONSULT, IDLE, ORPHAN, ROOM
from connector.asterisk.meeting import ROOM_VARIABLES
from connector.asterisk.private_words import PrivateWords
from connector.asterisk.room_phoneside import RoomPhoneSide
from connector.asterisk.room_transfers import RoomTransfers
from connector.telephony import facts
from connector.telephony.interactions import Conversation, Interaction
from connector.telephony.pbx import Refused
from connector.telephony.states import ANSWERED_STATES, Cause, ConversationState, Role


class PartyRooms(RoomTransfers, RoomPhoneSide, PrivateWords):
    """`CallHandling` by rooms."""

    async def hold(self, interaction_id: str, conversation_id: str) -> None:
        """Music for the parties, silence for the agent."""
        interaction, conversation = self._find(interaction_id, conversation_id)
        self._require(conversation, ConversationState.TALKING, "held")
        await self._no_phone_hold(interaction, conversation)
        if await self._hold_by_phone(interaction, conversation):
            return
        await self._introduce(interaction, conversation)
        await self._move(*self._meetings.into_room(conversation), (conversation.leg, IDLE, "s"))
        await self._until(conversation, ConversationState.HELD)

    async def retrieve(self, interaction_id: str, conversation_id: str) -> None:
        """Back to the parties on hold; who the agent is talking to meanwhile is put on hold."""
        interaction, conversation = self._find(interaction_id, conversation_id)
        self._require(conversation, ConversationState.HELD, "retrieved")
        other = self._other(interaction, conversation)
        if other is not None and other.state is ConversationState.DIALING:
            raise Refused("The call cannot be retrieved while the consult call rings: release that first.")
        if self._phone_holds(conversation.leg) or (other and other.state is ConversationState.TALKING):
            await self._gather(interaction)
        if self._phone_holds(conversation.leg) and await self._retrieved_by_phone(interaction, conversation):
            return
        await self._visit(interaction, conversation, leaving=other)
        await self._swapped(conversation, other)

    async def ready_for_tones(self, interaction_id: str, conversation_id: str) -> None:
        """Bring a call from a plain bridge into a room, where the codes of `features.conf` mean nothing.

        It is the site that dials a consult, too, whoever asked for it; what its Dial lets the caller press
        holds for the agent. A call that the phone holds meanwhile gets a room as well: a phone never has
        calls of both kinds.
        """
        interaction, conversation = self._find(interaction_id, conversation_id)
        legs, leg = self._exchange.model.legs, conversation.leg
        together = self._party_or_none(conversation) in legs.hearing(leg).parties
        if conversation.state is not ConversationState.TALKING or not together or legs.room_of(leg):
            return
        await self.ready_for_listeners(interaction_id)
        await self._share_room(interaction, conversation)

    async def alternate(self, interaction_id: str) -> None:
        """Swap the active and the inactive conversation: where both are held, the last to talk is active."""
        interaction = self._started(interaction_id)
        consult = self._live_consult(interaction)
        held = [one for one in (interaction.primary, consult) if one.state is ConversationState.HELD]
        if consult.state is ConversationState.DIALING or not held:
            raise Refused(f"There is nothing to alternate: the consult call is {consult.state}.")
        target = held[0] if len(held) == 1 or held[0] is not interaction.active else held[1]
        other = self._other(interaction, target)
        await self._gather(interaction)
        await self._no_phone_hold(interaction, target)
        await self._visit(interaction, target, leaving=other)
        await self._swapped(target, other)

    async def consult(self, interaction_id: str, number: str) -> str:
        """Hold the primary and call `number` from the agent's leg. Returns the consult conversation's id."""
        interaction = self._started(interaction_id)
        primary = interaction.primary
        if primary.state not in ANSWERED_STATES:
            raise Refused(f"There is no call to consult about: it is {primary.state}.")
        self._require_no_consult(interaction)
        await self._no_phone_hold(interaction, primary)
        destination = await self._checked(number)
        await self._introduce(interaction, primary)
        number = str(interaction.conversations_begun + 1)
        where = self._where(destination)
        await self._set(interaction.leg, HARMONY_P2="", HARMONY_CONSULTS=number, **where)
        before = interaction.consult
        await self._move(*self._meetings.into_room(primary), (interaction.leg, CONSULT, "s"))
        await self._exchange.until(
            lambda: (
                interaction.over
                or (interaction.consult is not before and primary.state is not ConversationState.TALKING)
            ),
            f"consult call to {destination}",
        )
        if interaction.consult is None or interaction.consult is before:
            raise Refused("The call ended before the consult call began.")
        self._exchange.model.expect_consult(interaction_id, destination)
        return interaction.consult.id

    async def cancel(self, interaction: Interaction, consult: Conversation) -> None:
        """Drop the consult call; the agent is back with the primary, if that is still there."""
        back = self._party_or_none(interaction.primary)
        target = self._party_or_none(consult)
        if back is None:
            await self._hang_up(interaction.leg)
        elif len(consult.parties) > 1:
            await self._leave_conference(interaction, consult)
        elif consult.leg != interaction.primary.leg:
            await self._let_go(consult)
            await self._hang_up(consult.leg)
        elif consult.state is ConversationState.HELD and target is not None:
            await self._let_go(consult)
        else:
            moves = [(interaction.leg, ROOM, self._meetings.extension(interaction.primary))]
            others = [] if consult.state is not ConversationState.TALKING else sorted(consult.parties)
            if len(others) == 1 and not self._meetings.has_other_calls(consult, others[0]):
                moves.insert(0, (others[0], BYE, "s"))
                others = []
            await self._move(*moves)
            for leg in others:
                await self._dismiss(consult, leg)
        await self._until(consult, ConversationState.RELEASED)

    async def release_primary(self, interaction: Interaction) -> None:
        """End the primary: the consult goes on if there is one, a conference goes on without the agent."""
        primary = interaction.primary
        consult = interaction.consult
        if consult is not None and not consult.released:
            if len(primary.parties) > 1:
                await self._leave_conference(interaction, primary)
            else:
                await self._set(interaction.leg, HARMONY_P1="")
                await self._let_go(primary)
                if primary.leg != consult.leg:
                    await self._hang_up(primary.leg)
        elif primary.state is ConversationState.HELD and len(primary.parties) == 1:
            await self._set(interaction.leg, HARMONY_P1="", HARMONY_P2="")
            await self._let_go(primary)
            await self._hang_up(interaction.leg)
        else:
            if len(primary.parties) > 1:
                # Should all but one go at this moment: who is alone then is not on hold, but let go.
                room = self._meetings.room(primary)
                gone = {interaction.leg: {"HARMONY_CUR": room}}
                await self._variables.tell(self._meetings.next_to(primary) | gone)
            with self._departing(interaction, Cause.NORMAL):
                await self._hang_up(interaction.leg)
                await self._until(primary, ConversationState.RELEASED)
        await self._until(primary, ConversationState.RELEASED)

    async def _leave_conference(self, interaction: Interaction, conversation: Conversation) -> None:
        """Take the agent out of a conference that goes on, while the other conversation goes on too."""
        parties, leg = tuple(conversation.parties), conversation.leg
        parted = {party: {"HARMONY_AGENT": ""} for party in parties if self._meetings.is_agents(party)}
        await self._variables.tell(parted | self._meetings.next_to(conversation))
        if any(one is not conversation for one in interaction.on_leg(leg)):
            if conversation.state is ConversationState.TALKING:
                to_primary = conversation.role is Role.CONSULT
                back = (leg, ROOM, self._meetings.extension(interaction.primary))
                await self._move(back if to_primary else (leg, IDLE, "s"))
            if conversation.parties:
                self._exchange.apply(facts.LegsParted(leg, self._party(conversation)))
            await self._variables.tell({leg: {ROOM_VARIABLES[conversation.role]: ""}})
        else:
            # The phone's own second call goes; what the phone does with the other one is its own affair.
            await self._hang_up(leg)
        self._left_behind.look_after(parties)

    async def give_up(self, interaction_id: str, conversation_id: str) -> None:
        """End a conversation that is on hold; a primary's single party goes to those who take orphans.

        Raises:
            Refused: it is not on hold.

        """
        interaction, conversation = self._find(interaction_id, conversation_id)
        self._require(conversation, ConversationState.HELD, "given up")
        if conversation.role is Role.CONSULT:
            await self.cancel(interaction, conversation)
        elif len(conversation.parties) != 1:
            await self.release_primary(interaction)
        else:
            party = self._party(conversation)
            if self._meetings.is_agents(party):
                await self.release_primary(interaction)
                return
            await self._set(party, **self._fallback(interaction))
            alone = self._other(interaction, conversation) is None
            await self._move((party, ORPHAN, "s"), *([(interaction.leg, BYE, "s")] if alone else []))
            if not alone:
                # Not earlier: should the move fail, the party is still the agent's.
                await self._set(interaction.leg, HARMONY_P1="")
            await self._until(conversation, ConversationState.RELEASED)

    async def leave_if_alone(self, *legs: str) -> None:
        """Hang up those of an agent's legs that only wait for nobody, or as soon as they do."""
        await self._lone.let_go(*legs)
