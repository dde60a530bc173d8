"""What the recipes of the party rooms are made of: moves, notes for the dialplan, and who goes where.

A move is one Redirect of one or two legs. Before it the legs are told by variables what the dialplan's
safety net must know if the connector dies in between.
"""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from connector.asterisk.arrivals import Arrivals
from connector.asterisk.chores import Chores
from connector.asterisk.contexts import BYE, IDLE, ORPHAN, ROOM
from connector.asterisk.exchange import Exchange
from connector.asterisk.former_agents import FormerAgents
from connector.asterisk.handling import AnsweredCalls
from connector.asterisk.hold_limits import dialplan_limit
from connector.asterisk.invitations import Invitations
from connector.asterisk.lasting_music import LastingMusic
from connector.asterisk.left_behind import LeftBehind
from connector.asterisk.link import AmiLink, AmiRefused
from connector.asterisk.lone_legs import AGENT_MARK, LoneLegs
from connector.asterisk.meeting import ON_ITS_WAY, ROOM_VARIABLES, Meetings, Move
from connector.asterisk.notify import PhoneNotifier
from connector.asterisk.settings import DialSettings, HandlingSettings
from connector.asterisk.split_rooms import SplitRooms
from connector.asterisk.turns import Turns
from connector.asterisk.variables import LegVariables
from connector.telephony import facts
from connector.telephony.interactions import Conversation, Interaction
from connector.telephony.pbx import PbxProblem, Refused, TimedOut
from connector.telephony.states import ConversationState

_NO_WAY = "none"
"""No extension of `harmony-fallback`: the call ends."""
_NOT_YET = (0.02, 0.04, 0.08, 0.16)
"""Seconds after which a leg that was being moved can be moved again: on a busy PBX the later ones."""


def _ways_of(handling: HandlingSettings) -> dict[str, str]:
    """Return what tells the dialplan what becomes of a party that has nobody."""
    return {
        "HARMONY_RETURN": "-".join(handling.failed_transfer) or _NO_WAY,
        "HARMONY_ORPHANS": "-".join(handling.orphans) or _NO_WAY,
        "HARMONY_FALLBACK_QUEUE": handling.queue,
        "HARMONY_PATIENCE": str(handling.patience),
    }


class RoomMoves(AnsweredCalls):
    """Moves legs into rooms and out of them."""

    def __init__(
        self,
        exchange: Exchange,
        link: AmiLink,
        settings: DialSettings,
        notifier: PhoneNotifier,
        variables: LegVariables,
        turns: Turns | None = None,
    ) -> None:
        super().__init__(exchange, link, settings, notifier, variables)
        self._turns = turns or Turns()
        self._arrivals = Arrivals(exchange)
        handling = settings.handling
        self._limit = dialplan_limit(handling.hold_limit)
        self._ways = handling, _ways_of(handling)
        self._meetings = Meetings(exchange)
        self._lone = LoneLegs(exchange, self._get, self._hang_up)
        self._left_behind = LeftBehind(
            exchange, self._get, lambda party: self._move((party, ORPHAN, "s")), self._hang_up
        )
        self._lasting_music = LastingMusic(exchange, self._meetings.is_ours, self._enter_anew)
        self._split_rooms = SplitRooms(exchange, self._meetings.is_ours, self._enter_anew)
        self._former_agents = FormerAgents(exchange, variables)
        self._invitations = Invitations(exchange, link, settings)
        self._chores = Chores()

    def close(self) -> None:
        """Let go of chores that are under way."""
        self._chores.cancel()
        self._invitations.close()
        self._former_agents.close()
        self._left_behind.close()
        self._lasting_music.close()
        self._split_rooms.close()

    async def _move(self, *moves: Move) -> None:
        (leg, context, extension), *extra = moves
        fields = {"Channel": leg, "Context": context, "Exten": extension, "Priority": "1"}
        for other, other_context, other_extension in extra:
            fields |= {
                "ExtraChannel": other,
                "ExtraContext": other_context,
                "ExtraExten": other_extension,
                "ExtraPriority": "1",
            }
        legs = [each for each, *_ in moves]
        await self._arrivals.shown(*legs)
        self._arrivals.sent(*legs)
        for pause in (*_NOT_YET, None):
            try:
                await self._link.send("Redirect", fields)
            except AmiRefused as refusal:
                if pause is None or "not up" not in str(refusal):
                    raise Refused(f"The call could not be moved: {refusal}.") from refusal
                await asyncio.sleep(pause)
            else:
                return

    async def _enter_anew(self, leg: str, room: str) -> None:
        """Send a leg into the room that it is in, whoever has left that meanwhile."""
        await self._move(self._meetings.seat_of_known(leg, room))

    async def _introduce(
        self,
        interaction: Interaction,
        conversation: Conversation,
        agent: str | None = None,
        *,
        leaves: bool = True,
    ) -> None:
        """Let agent's and party's legs know of each other, for the dialplan's safety net.

        The agent `leaves` where the leg is by what follows, or stays there.
        """
        if not conversation.parties:
            await self._await_party(conversation)
        first, leg = conversation is interaction.primary, agent or conversation.leg
        party, room, _ = self._meetings.where(conversation)
        # A colleague who was asked is no caller: nobody takes care of him.
        fallback = {**self._care_of(interaction, party), **self._queued(party)} if first else {}
        wanted = self._notes(conversation, room)
        wanted[leg] = {
            ROOM_VARIABLES[conversation.role]: room,
            "HARMONY_SIDE": "agent",
            AGENT_MARK: self._limit,
        }
        if party not in wanted:
            if others := sorted(wanted.keys() - {leg}):
                wanted[leg]["HARMONY_BESIDE"] = others[0]
            wanted[party] = {"HARMONY_AGENT": leg, **fallback}
            if (seat := self._exchange.model.legs.seat_of(party)) != party:
                wanted[seat] = {"HARMONY_AGENT": leg}
        elif room in {party, leg}:
            # Who was called notes by whom: the name of the own room does not tell it.
            wanted[room]["HARMONY_AGENT"] = leg if room == party else party
        for own in {leg, conversation.leg} if leaves else ():
            if (seat := self._exchange.model.legs.seat_of(own)) != own:
                # Who was called into a room leaves it for a while: the seat's end is not the agent's.
                wanted[seat] = {"HARMONY_AGENT": ""}
        await self._variables.set_all(wanted)

    async def _arrived(self, *conversations: Conversation) -> None:
        """Wait for other agents whom the operation before has sent to a room."""
        with suppress(TimedOut):
            await self._exchange.until(
                lambda: not any(map(self._meetings.is_expected, conversations)),
                "arrival in a room",
                ON_ITS_WAY,
            )

    async def _share_room(
        self, interaction: Interaction, conversation: Conversation, timeout: float | None = None
    ) -> None:
        """Bring agent and party of a call that talks into the party's room; they may be there already."""
        await self._introduce(interaction, conversation, leaves=False)
        legs, party = self._exchange.model.legs, self._party(conversation)
        if legs.room_of(party) is not None:
            return
        room = self._meetings.room(conversation)
        enter = (conversation.leg, ROOM, self._meetings.extension(conversation))
        with self._meeting(interaction, *conversation.parties):
            await self._move(*self._meetings.into_room(conversation), enter)
            await self._exchange.until(
                lambda: party in legs.hearing(conversation.leg).parties and legs.room_of(party) == room,
                "common room",
                timeout,
            )

    async def _bring(self, parties: Sequence[str], room: str) -> None:
        """Bring parties of a conference into another room, each by a move of its own, and see them there.

        The agent stays until they are there: nobody is left with nobody. Who is gone meanwhile is not missed.
        """
        for leg in parties:
            self._lone.bind(leg, room)
            with suppress(Refused):
                await self._move(self._meetings.seat(leg, room))
                await self._arrives(leg, room)

    async def _arrives(self, target: str, room: str) -> bool:
        """Wait for a leg on its way to a room. Return whether it came there; when in doubt it did."""
        legs = self._exchange.model.legs
        arrived = False

        def settled() -> bool:
            nonlocal arrived
            arrived = arrived or target in legs.in_room(room)
            return arrived or legs.get(target) is None

        try:
            await self._exchange.until(settled, "arrival in the room", ON_ITS_WAY)
        except PbxProblem:
            return True
        return arrived

    async def _visit(
        self, interaction: Interaction, conversation: Conversation, *, leaving: Conversation | None
    ) -> None:
        """Bring the agent to a conversation; the one that is left waits in a room."""
        _, room, with_agents = self._meetings.where(conversation)
        if with_agents:
            await self._introduce(interaction, conversation)
            room = self._meetings.room(conversation)
        moves: list[Move] = [(conversation.leg, ROOM, self._meetings.entrance(room, conversation))]
        if leaving is not None and leaving.state is ConversationState.TALKING:
            await self._introduce(interaction, leaving)
            moves = [*self._meetings.into_room(leaving), *moves]
        await self._move(*moves)

    @contextmanager
    def _meeting(self, interaction: Interaction, *parties: str) -> Iterator[None]:
        """Let nobody's music on the way to a common room count as a hold, nor to parties who are agents."""
        model = self._exchange.model
        others = [other.id for leg in parties if (other := model.interaction_on(leg)) is not None]
        for one in (interaction.id, *others):
            model.expect_meeting(one, under_way=True)
        try:
            yield
        finally:
            for one in (interaction.id, *others):
                model.expect_meeting(one, under_way=False)

    async def _gather(self, interaction: Interaction, *, leaving: bool = False) -> None:
        """Bring both conversations onto one leg, if the phone runs a consult on a leg of its own.

        The leg that the phone does not hold is kept and the other one ends; both parties wait in rooms then.
        An agent who is `leaving` needs no leg that talks.
        """
        primary, consult = interaction.primary, interaction.consult
        if consult is None or consult.released or primary.released or consult.leg == primary.leg:
            return
        free = [one for one in (consult, primary) if not self._phone_holds(one.leg)]
        if not free and not leaving:
            raise Refused("The phone itself holds both calls: take one of them back there first.")
        keep = primary if free == [primary] else consult
        other = consult if keep is primary else primary
        gone = other.leg
        await self._introduce(interaction, keep, keep.leg)
        await self._introduce(interaction, other, keep.leg)
        await self._set(gone, HARMONY_P1="", HARMONY_P2="")
        if not self._waits(keep.leg):
            # First this one: from now on the dialplan's safety net looks after both parties.
            await self._move(*self._meetings.into_room(keep), (keep.leg, IDLE, "s"))
            await self._exchange.until(lambda: self._waits(keep.leg), f"{keep.role} conversation on hold")
        if self._exchange.model.legs.get(keep.leg) is None:
            # Else the interaction would be on a leg that is gone, and never end.
            raise Refused("The call ended at this moment.")
        moves = self._meetings.into_room(other)
        self._exchange.model.gather(interaction.id, keep.leg)
        try:
            await self._move(*moves, (gone, BYE, "s"))
        except Refused:
            await self._hang_up(gone)
            raise
        await self._exchange.until(
            lambda: self._exchange.model.legs.get(gone) is None, "end of the phone's other call"
        )

    def _waits(self, leg: str) -> bool:
        live = self._exchange.model.legs.get(leg)
        return live is None or live.waits

    def _room(self, party: str) -> str:
        return self._exchange.model.legs.room_of(party) or party

    def _party_or_none(self, conversation: Conversation) -> str | None:
        return self._meetings.party_or_none(conversation)

    def _party(self, conversation: Conversation) -> str:
        return self._meetings.party(conversation)

    def _notes(self, conversation: Conversation, room: str) -> dict[str, dict[str, str]]:
        notes = self._meetings.notes(conversation, room)
        return {leg: {**more, AGENT_MARK: self._limit} for leg, more in notes}

    def _fallback(self, interaction: Interaction) -> dict[str, str]:
        """Return what tells the dialplan who takes a primary party that has nobody (`harmony-fallback`)."""
        handling, ways = self._ways
        if handling is not self._settings.handling:
            # The configuration was loaded anew.
            handling = self._settings.handling
            ways = _ways_of(handling)
            self._ways = handling, ways
        return {"HARMONY_BACK": self._former_agents.back(interaction.endpoint), **ways}

    def _care_of(self, interaction: Interaction, party: str) -> dict[str, str]:
        """Return `_fallback` for a party whom the call is about: nobody takes who was called in."""
        called_in = party in interaction.guests or self._exchange.model.legs.seat_of(party) != party
        return {} if called_in else self._fallback(interaction)

    def _where(self, destination: str) -> dict[str, str]:
        return {
            "HARMONY_DEST": destination,
            "HARMONY_CTX": self._settings.context,
            "HARMONY_TIMEOUT": str(int(self._settings.timeout)),
        }

    def _queued(self, party: str) -> dict[str, str]:
        """Return how a caller waited, as that is not to be seen on a leg that has left the queue."""
        leg = self._exchange.model.legs.get(party)
        if leg is None or not leg.queue or not leg.queue_offered or "," in leg.queue:
            return {}
        wait = max(0, int(leg.queue_offered - leg.queue_entered)) if leg.queue_entered else 0
        return {"HARMONY_QUEUED_IN": leg.queue, "HARMONY_QUEUED_FOR": str(wait)}

    async def _let_go(self, conversation: Conversation) -> None:
        """End a conversation for all its parties."""
        for leg in sorted(conversation.parties):
            await self._dismiss(conversation, leg)

    async def _dismiss(self, conversation: Conversation, party: str) -> None:
        """Hang a party up; another agent goes back to the own other call, if there is one."""
        own = self._meetings.counterpart(conversation, party)
        if own is None or not self._meetings.has_other_calls(conversation, party):
            await self._hang_up(party)
            return
        is_here = self._meetings.is_at(conversation, party)
        await self._set(party, **{ROOM_VARIABLES[own.role]: "", "HARMONY_AGENT": ""})
        if is_here:
            await self._move((party, IDLE, "s"))
        self._exchange.apply(facts.LegsParted(party, conversation.leg))
