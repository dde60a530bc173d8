"""A private word: the agent takes one member of a conference aside, and the others wait.

The member is one who came in later: whom the call is about stays the first call's party.

From then on it is a consult like any other: the member is its party, in a room of the agent's second
conversation, and the others are the primary, on hold. The verbs of a consult lead on from there, back into
the conference too.
"""

from connector.asterisk.contexts import ROOM
from connector.asterisk.meeting import ROOM_VARIABLES
from connector.asterisk.room_moves import RoomMoves
from connector.telephony.interactions import Conversation, Interaction
from connector.telephony.numbers import is_number
from connector.telephony.pbx import Refused
from connector.telephony.states import ConversationState, Role


class PrivateWords(RoomMoves):
    """The part of `CallHandling` by which a member of a conference is taken aside."""

    async def private_word(self, interaction_id: str, conversation_id: str, member_id: str) -> None:
        """Agent and member into a room of their own; where the member owns the room, the others leave it."""
        interaction, conference = self._find(interaction_id, conversation_id)
        party = self._member_for_word(interaction, conference, member_id)
        others = [leg for leg in conference.parties if leg != party]
        room, leg, before = self._meetings.room(conference), conference.leg, interaction.consult
        stays = room == party
        if stays:
            self._invitations.require_none_into(room)
        moving = [one for one in self._meetings.coming(conference) if one != party]
        # Whose room it will be goes first: the door is open then for those who follow.
        elsewhere = (moving or others)[0] if stays else room
        notes = self._apart(interaction, conference, party, elsewhere)
        await self._introduce(interaction, conference)

        def settled() -> bool:
            if interaction.consult is not before:
                return conference.state is not ConversationState.TALKING
            return interaction.over or party not in conference.parties or len(conference.parties) == 1

        with self._meeting(interaction):
            try:
                await self._variables.set_all(notes)
                if stays:
                    await self._bring(moving, elsewhere)
                else:
                    entrance = f"{'v' if self._meetings.is_agents(party) else 'a'}{party}"
                    await self._move(self._meetings.seat(party, party), (leg, ROOM, entrance))
            except Refused:
                await self._take_back(conference, room)
                raise
            await self._exchange.until(settled, "private word")
        if interaction.consult is before:
            await self._came_to_nothing(interaction, conference, party)

    def _member_for_word(self, interaction: Interaction, conference: Conversation, member_id: str) -> str:
        """Return the leg of the member who can be taken aside.

        Raises:
            Refused: this is no conference, or not now, or there is no such member.

        """
        if conference.role is not Role.PRIMARY:
            raise Refused("A private word is for members of the first call, not of the consult call.")
        self._require(conference, ConversationState.TALKING, "left for a private word")
        self._require_no_consult(interaction)
        party = next((leg for leg, one in conference.parties.items() if one.id == member_id), None)
        if party is None:
            raise Refused(f"The conversation has no member {member_id}.")
        if len(conference.parties) == 1:
            raise Refused("Only a member of a conference can be taken aside: here is nobody else.")
        if not self._meetings.is_at(conference, party):
            raise Refused("The other agent has the call on hold, and must take it back first.")
        first = next(iter(conference.parties))
        if party == first:
            # The dialplan's safety net is for whom the call is about, and knows them as the first call's.
            raise Refused("Only who came in later can be taken aside, not whom the call is about.")
        if self._meetings.is_agents(first):
            raise Refused("In the conference of another agent only that agent can take somebody aside.")
        return party

    def _apart(
        self, interaction: Interaction, conference: Conversation, party: str, elsewhere: str
    ) -> dict[str, dict[str, str]]:
        """Return what tells a conference's legs where agent and `party` will be, and where the others."""
        leg, number = conference.leg, conference.parties[party].address
        notes = self._notes(conference, elsewhere)
        if party in notes:
            notes[party] = self._notes(conference, party)[party]
        for one in conference.parties:
            if one == party or one not in notes:
                notes[one] = notes.get(one, {}) | {"HARMONY_AGENT": leg}
        notes[leg] = {
            ROOM_VARIABLES[Role.PRIMARY]: elsewhere,
            ROOM_VARIABLES[Role.CONSULT]: party,
            "HARMONY_CONSULTS": str(interaction.conversations_begun + 1),
            "HARMONY_DEST": number if is_number(number) else "",
        }
        return notes

    async def _take_back(self, conference: Conversation, room: str) -> None:
        """Note again that all are in one room."""
        own = {ROOM_VARIABLES[Role.PRIMARY]: room, ROOM_VARIABLES[Role.CONSULT]: ""}
        await self._variables.tell(self._notes(conference, room) | {conference.leg: own})

    async def _came_to_nothing(self, interaction: Interaction, conference: Conversation, party: str) -> None:
        """Bring the agent back to who is left, where the member or all others left at this moment.

        Raises:
            Refused: always; it says who left.

        """
        if interaction.over or conference.released:
            raise Refused("The call ended meanwhile.")
        await self._take_back(conference, self._meetings.room(conference))
        if party in conference.parties:
            raise Refused("The others left the conference at this moment: only that member is left.")
        if self._exchange.model.legs.hearing(conference.leg).parties.isdisjoint(conference.parties):
            await self._visit(interaction, conference, leaving=None)
            await self._until(conference, ConversationState.TALKING)
        raise Refused("The member left the conference at this moment.")
