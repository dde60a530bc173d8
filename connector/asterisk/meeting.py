"""Who is at the far end of a conversation, and in which room one meets them: outside parties or other agents.

An outside party owns a room, named after its leg, and stays in it. Another agent's leg has calls of its own
to attend to: the two meet in a room named after the one who was called, both note it (`HARMONY_P1` for the
primary, `HARMONY_P2` for the consult), and each comes and goes. So nobody moves a leg that attends to
something else.
"""

from collections.abc import Iterator

from connector.asterisk.contexts import ROOM
from connector.asterisk.exchange import Exchange
from connector.telephony.interactions import Conversation, Interaction
from connector.telephony.pbx import Refused
from connector.telephony.states import ANSWERED_STATES, ConversationState, Role

Move = tuple[str, str, str]
"""A leg, and the context and extension it goes to."""

ON_ITS_WAY = 2.0
"""Seconds within which a leg that is moved arrives."""

ROOM_VARIABLES = {Role.PRIMARY: "HARMONY_P1", Role.CONSULT: "HARMONY_P2"}
"""Where a leg notes the room of each of its conversations."""


class Meetings:
    """Rooms and parties of the conversations in the model."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._is_on = exchange.model.interaction_on

    def is_agents(self, leg: str) -> bool:
        """Whether a leg is an agent's, with an interaction that goes on."""
        return self._is_on(leg) is not None

    def party_or_none(self, conversation: Conversation) -> str | None:
        """Return who stands for the far end: an outside party before another agent."""
        if conversation.state is ConversationState.RELEASED:
            return None
        parties = conversation.parties
        return next(iter(sorted(parties, key=self.is_agents) if len(parties) > 1 else parties), None)

    def party(self, conversation: Conversation) -> str:
        """Return who stands for the far end.

        Raises:
            Refused: nobody is there that could be moved.

        """
        party = self.party_or_none(conversation)
        if party is None and conversation.released:
            raise Refused("The call ended at this moment.")
        if party is None:
            beyond = (
                " with a menu or a queue, which cannot be left and come back to"
                if conversation.state in ANSWERED_STATES
                else ""
            )
            raise Refused(
                f"The {conversation.role} call has no other party that could be moved: "
                f"it is {conversation.state}{beyond}."
            )
        return party

    def room(self, conversation: Conversation) -> str:
        """Return the room in which the conversation is, or would be."""
        return self.where(conversation)[1]

    def where(self, conversation: Conversation) -> tuple[str, str, bool]:
        """Return who stands for the far end, the room, as `room` does, and whether that is an agent's leg."""
        party = self.party(conversation)
        if self._is_on(party) is None:
            return party, self._exchange.model.legs.room_of(party) or party, False
        return party, self._room_with_agent(conversation, party), True

    def _room_with_agent(self, conversation: Conversation, party: str) -> str:
        legs = self._exchange.model.legs
        own = legs.get(conversation.leg)
        if own is not None and (noted := own.rooms.get(conversation.role)):
            return noted
        theirs, there = self.counterpart(conversation, party), legs.get(party)
        if theirs is not None and there is not None and (noted := there.rooms.get(theirs.role)):
            return noted
        if party in legs.hearing(conversation.leg).parties and (shared := legs.room_of(party)):
            return shared
        # After a restart nothing tells who called, but who is consulted was.
        if conversation.role is Role.CONSULT:
            return party
        if theirs is not None and theirs.role is Role.CONSULT:
            return conversation.leg
        pair = (party, conversation.leg)
        called = [one for one, by in (pair, pair[::-1]) if self._was_called_by(one, by)]
        return called[0] if called else min(pair)

    def _was_called_by(self, leg: str, caller: str) -> bool:
        live = self._exchange.model.legs.get(leg)
        return live is not None and live.called_by == caller

    def counterpart(self, conversation: Conversation, party: str) -> Conversation | None:
        """Return the same talk as the other agent, whose leg `party` is, has it."""
        interaction = self._is_on(party)
        if interaction is not None:
            for one in interaction.on_leg(party):
                if conversation.leg in one.parties:
                    return one
        return None

    def has_other_calls(self, conversation: Conversation, party: str) -> bool:
        """Whether a party is another agent's leg on which there is a conversation besides this one."""
        interaction = self._exchange.model.interaction_on(party)
        own = self.counterpart(conversation, party)
        return interaction is not None and any(one is not own for one in interaction.on_leg(party))

    def attends(self, conversation: Conversation) -> bool:
        """Whether the party is where this conversation is: another agent may hold it or be elsewhere."""
        party = self.party(conversation)
        return not self.is_agents(party) or self.is_at(conversation, party)

    def is_expected(self, conversation: Conversation) -> bool:
        """Whether the party, another agent, has been moved and is nowhere yet."""
        legs, party = self._exchange.model.legs, self.party_or_none(conversation)
        live = legs.get(party)
        if party is None or live is None or live.waits or not self.is_agents(party):
            return False
        return legs.room_of(party) is None and not legs.hearing(party).parties

    def require_attendance(self, *conversations: Conversation) -> None:
        """Refuse what needs every party of these conversations on the line.

        Raises:
            Refused: another agent has put one of them on hold.

        """
        for conversation in conversations:
            if not self.attends(conversation):
                raise Refused(
                    f"The other agent has the {conversation.role} call on hold, and must take it back first."
                )

    def others_who_hold(self, interaction: Interaction, party: str) -> list[Conversation]:
        """Return what other agents have on hold with that party and nobody else but this agent."""
        mine = {party, *interaction.legs}
        return [
            one
            for other in self._exchange.model.interactions_everywhere()
            if other is not interaction
            for one in other.live_conversations
            if one.state is ConversationState.HELD and party in one.parties and mine.issuperset(one.parties)
        ]

    def require_free(self, conversation: Conversation) -> None:
        """Refuse to send another agent who has calls of its own away to a number.

        Raises:
            Refused: the party is such an agent.

        """
        if self.has_other_calls(conversation, self.party(conversation)):
            raise Refused(
                "The other party is an agent with a call of its own, and cannot be sent to a number: "
                "transfer when the number has answered."
            )

    def by_number(self, interaction: Interaction, consult: Conversation) -> tuple[Conversation, Conversation]:
        """Return whose parties move into the other's room: the one that has only one, else the consult's."""
        if len(consult.parties) > 1 and len(interaction.primary.parties) == 1:
            return interaction.primary, consult
        return consult, interaction.primary

    def coming(self, conversation: Conversation) -> list[str]:
        """Return the parties that can be moved elsewhere with this conversation; other agents may be away."""
        parties = sorted(conversation.parties, key=lambda leg: (self.is_agents(leg), leg))
        return [leg for leg in parties if not self.is_agents(leg) or self.is_at(conversation, leg)]

    def extension(self, conversation: Conversation) -> str:
        """Return the extension of `harmony-room` by which the conversation's own agent enters."""
        return self.entrance(self.room(conversation), conversation)

    def entrance(self, room: str, *conversations: Conversation) -> str:
        """Return the extension for an agent who meets these parties; other agents may leave it alone."""
        for one in conversations:
            if any(map(self._is_on, one.parties)):
                return f"v{room}"
        return f"a{room}"

    def is_at(self, conversation: Conversation, party: str) -> bool:
        """Whether a party is where this conversation is, and not with somebody else or waiting."""
        legs = self._exchange.model.legs
        here = party in legs.hearing(conversation.leg).parties
        return here or legs.room_of(party) == self.room(conversation)

    def next_to(self, conversation: Conversation) -> dict[str, dict[str, str]]:
        """Return what a conference's outside parties note when their agent leaves: one another, or an agent.

        The dialplan lets go of who is alone with nobody of those left.
        """
        legs = self._exchange.model.legs
        outside = [legs.seat_of(leg) for leg in sorted(conversation.parties) if not self.is_agents(leg)]
        agents = [leg for leg in sorted(conversation.parties) if self.is_agents(leg)]
        others = agents[:1] * len(outside) or outside[1:] + outside[:1]
        return {leg: {"HARMONY_AGENT": other} for leg, other in zip(outside, others, strict=True)}

    def seat(self, leg: str, room: str) -> Move:
        """Return the move of a party into a room, which other agents may have left for a while."""
        legs = self._exchange.model.legs
        agent_is_away = room != leg and self.is_agents(room) and not legs.in_room(room)
        return leg, ROOM, f"{'v' if self.is_agents(leg) else 'w' if agent_is_away else 'p'}{room}"

    def seat_of_known(self, leg: str, room: str) -> Move:
        """Return the move by which who is in a room enters it once more, whoever else is there by then."""
        return leg, ROOM, f"{'v' if self.is_agents(leg) else 'w'}{room}"

    def is_ours(self, room: str) -> bool:
        """Whether a conference is one of our rooms: named after a leg, or noted by an agent's leg.

        The site has conferences of its own, in which everything is as the site wants it.
        """
        legs = self._exchange.model.legs
        return legs.get(room) is not None or any(room in leg.rooms.values() for leg in legs.legs.values())

    def into_room(self, conversation: Conversation) -> list[Move]:
        """Return the move that gives the party a room; none if it has one, or attends to something else."""
        legs, party = self._exchange.model.legs, self.party(conversation)
        if legs.room_of(party) is not None:
            return []
        if self.is_agents(party) and party not in legs.hearing(conversation.leg).parties:
            return []
        return [self.seat(party, self.room(conversation))]

    def notes(self, conversation: Conversation, room: str) -> Iterator[tuple[str, dict[str, str]]]:
        """Iterate over other agents' legs in a conversation, with what tells them its room."""
        for party in conversation.parties:
            own = self.counterpart(conversation, party)
            if own is not None:
                yield party, _room_note(own, room)

    def noted_if_agent(self, leg: str, other: str, room: str) -> dict[str, str]:
        """Return what tells a leg, if it is an agent's, the room of the call that it has with `other`."""
        interaction = self._is_on(leg)
        if interaction is None:
            return {}
        own = next((one for one in interaction.on_leg(leg) if other in one.parties), interaction.primary)
        return _room_note(own, room)

    def visited(self, leg: str, room: str) -> Conversation | None:
        """Return the conversation of an agent's leg that is in this room."""
        interaction, live = self._exchange.model.interaction_on(leg), self._exchange.model.legs.get(leg)
        if interaction is None or live is None:
            return None
        for conversation in interaction.on_leg(leg):
            if conversation.parties and live.rooms.get(conversation.role) == room:
                return conversation
        return None


def _room_note(own: Conversation, room: str) -> dict[str, str]:
    """Return what tells an agent's leg the room of one of its conversations."""
    return {ROOM_VARIABLES[own.role]: room, "HARMONY_SIDE": "agent"}
