"""Hold, consult, alternate, transfer and conference: the "party rooms" recipes, one Redirect each.

The first operation on a call moves its outside party into a conference room of its own (named after the
party's leg; alone in it one hears music), and the agent's leg visits rooms or waits. The contexts are in
`asterisk-conf/harmony.conf`.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import structlog

from connector.asterisk.exchange import Exchange
from connector.asterisk.former_agents import FormerAgents
from connector.asterisk.handling import AnsweredCalls
from connector.asterisk.hold_limits import dialplan_limit
from connector.asterisk.invitations import ROOM_CONTEXT as ROOM
from connector.asterisk.invitations import Invitations
from connector.asterisk.link import AmiError, AmiLink, AmiRefused
from connector.asterisk.lone_legs import AGENT_MARK, LoneLegs
from connector.asterisk.meeting import ROOM_VARIABLES, Meetings, Move
from connector.asterisk.notify import PhoneNotifier
from connector.asterisk.settings import DialSettings
from connector.asterisk.variables import LegVariables
from connector.telephony import facts
from connector.telephony.interactions import Conversation, Interaction
from connector.telephony.numbers import check_number
from connector.telephony.pbx import PbxProblem, Refused
from connector.telephony.states import ANSWERED_STATES, Cause, ConversationState, Role

log = structlog.get_logger(__name__)

_IDLE, _CONSULT, _TRANSFER, _REFERRED, _ORPHAN, _BYE = (
    "harmony-didle",
    "harmony-dconsult",
    "harmony-xfer",
    "harmony-refer",
    "harmony-orphan",
    "harmony-bye",
)
_ON_ITS_WAY = 2.0
"""Seconds within which a leg that is moved arrives."""
_NO_WAY = "none"
"""No extension of `harmony-fallback`: the call ends."""
_NOT_YET = 0.02
"""Seconds after which a leg that was being moved can be moved again."""


class PartyRooms(AnsweredCalls):
    """`CallHandling` by rooms."""

    def __init__(
        self,
        exchange: Exchange,
        link: AmiLink,
        settings: DialSettings,
        notifier: PhoneNotifier,
        variables: LegVariables,
    ) -> None:
        super().__init__(exchange, link, settings, notifier, variables)
        self._meetings = Meetings(exchange)
        self._lone = LoneLegs(exchange, self._get, self._hang_up)
        self._former_agents = FormerAgents(exchange, variables)
        self._invitations = Invitations(exchange, link, settings)
        self._chores: set[asyncio.Task[None]] = set()

    def close(self) -> None:
        """Let go of chores that are under way."""
        for chore in self._chores:
            chore.cancel()
        self._invitations.close()
        self._former_agents.close()

    # -- hold ----------------------------------------------------------------------------------------

    async def hold(self, interaction_id: str, conversation_id: str) -> None:
        """Music for the parties, silence for the agent."""
        interaction, conversation = self._find(interaction_id, conversation_id)
        self._require(conversation, ConversationState.TALKING, "held")
        await self._no_phone_hold(interaction, conversation)
        if await self._hold_by_phone(interaction, conversation):
            return
        await self._introduce(interaction, conversation)
        await self._move(*self._meetings.into_room(conversation), (conversation.leg, _IDLE, "s"))
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
        if await self._retrieved_by_phone(interaction, conversation):
            return
        await self._visit(interaction, conversation, leaving=other)
        await self._swapped(conversation, other)

    async def alternate(self, interaction_id: str) -> None:
        """Swap the active and the inactive conversation: where both are held, the last to talk is active."""
        interaction = self._started(interaction_id)
        consult = self._live_consult(interaction)
        held = [one for one in (interaction.primary, consult) if one.state is ConversationState.HELD]
        if consult.state is ConversationState.DIALING or not held:
            raise Refused(f"There is nothing to alternate: the consult call is {consult.state}.")
        target = next(one for one in held if len(held) == 1 or one is not interaction.active)
        other = self._other(interaction, target)
        await self._gather(interaction)
        await self._no_phone_hold(interaction, target)
        await self._visit(interaction, target, leaving=other)
        await self._swapped(target, other)

    # -- consult -------------------------------------------------------------------------------------

    async def consult(self, interaction_id: str, number: str) -> str:
        """Hold the primary and call `number` from the agent's leg. Returns the consult conversation's id."""
        interaction = self._started(interaction_id)
        primary = interaction.primary
        if primary.state not in ANSWERED_STATES:
            raise Refused(f"There is no call to consult about: it is {primary.state}.")
        if interaction.consult is not None and not interaction.consult.released:
            raise Refused("There is a consult call already.")
        await self._no_phone_hold(interaction, primary)
        destination = await self._checked(number)
        await self._introduce(interaction, primary)
        number = str(interaction.conversations_begun + 1)
        where = self._where(destination)
        await self._set(interaction.leg, HARMONY_P2="", HARMONY_CONSULTS=number, **where)
        before = interaction.consult
        await self._move(*self._meetings.into_room(primary), (interaction.leg, _CONSULT, "s"))
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
        elif consult.leg == interaction.primary.leg and self._meetings.goes_on_without(consult):
            if consult.state is ConversationState.TALKING:
                await self._visit(interaction, interaction.primary, leaving=None)
            await self._set(interaction.leg, HARMONY_P2="")
            self._exchange.apply(facts.LegsParted(interaction.leg, self._party(consult)))
        elif consult.leg != interaction.primary.leg:
            # The phone's own second call goes; what the phone does with its first one is its own affair.
            await self._let_go(consult)
            await self._hang_up(consult.leg)
        elif consult.state is ConversationState.HELD and target is not None:
            await self._let_go(consult)
        else:
            moves: list[Move] = [(interaction.leg, ROOM, self._meetings.extension(interaction.primary))]
            others = [] if consult.state is not ConversationState.TALKING else sorted(consult.parties)
            if len(others) == 1 and not self._meetings.has_other_calls(consult, others[0]):
                moves.insert(0, (others[0], _BYE, "s"))
                others = []
            await self._move(*moves)
            for leg in others:
                await self._dismiss(consult, leg)
        await self._until(consult, ConversationState.RELEASED)

    async def consult_transfer(self, interaction_id: str) -> None:
        """Let the primary's parties and the consult's party go on without the agent, ringing or not."""
        interaction = self._started(interaction_id)
        await self._await_party(self._live_consult(interaction))
        consult = self._live_consult(interaction)
        party = self._party(interaction.primary)
        if consult.state is ConversationState.DIALING or not consult.parties:
            # Nobody is there yet, or only a program of the PBX: the number is called anew.
            number = check_number(consult.members[0].address if consult.members else "")
            if len(interaction.primary.parties) > 1:
                room = self._meetings.room(interaction.primary)
                await self._leave(interaction, (interaction.leg, _BYE, "s"))
                await self._invitations.call(interaction, interaction.leg, number, room)
                return
            self._meetings.require_free(interaction.primary)
            await self._set(party, **self._where(number), **self._fallback(interaction))
            await self._leave(interaction, (party, _TRANSFER, "s"), (interaction.leg, _BYE, "s"))
            return
        await self._gather(interaction, leaving=True)
        moving, staying = self._meetings.by_number(interaction, consult)
        await self._hand_over(interaction, moving, staying)

    async def _hand_over(self, interaction: Interaction, moving: Conversation, staying: Conversation) -> None:
        """Bring the party of one conversation to those of the other, where they are, and let the agent go."""
        target, party = self._party(moving), self._party(staying)
        room, former = self._meetings.room(staying), self._meetings.room(moving)
        attends, bye = self._meetings.attends(moving), (interaction.leg, _BYE, "s")
        wanted = self._notes(moving, room) | self._notes(staying, room)
        colleague = self._exchange.model.interaction_on(target)
        # Who is an agent has the customer as its own from now on.
        fallback = self._fallback(colleague) if colleague is not None else {}
        wanted[target] = wanted.get(target, {}) | {"HARMONY_AGENT": party}
        wanted[party] = wanted.get(party, {}) | {"HARMONY_AGENT": target} | fallback
        await self._variables.set_all(wanted)
        if not attends:
            await self._leave(interaction, bye)
            return
        self._lone.bind(target, room)
        arrival = asyncio.get_running_loop().create_task(self._arrives(target, room))
        try:
            await self._leave(interaction, self._meetings.seat(target, room), bye)
        except BaseException as problem:
            arrival.cancel()
            if isinstance(problem, Refused):
                with suppress(Refused):
                    back = self._notes(moving, former)
                    back[party] = back.get(party, {}) | {"HARMONY_AGENT": interaction.leg}
                    await self._variables.set_all(back)
            raise
        chore = asyncio.get_running_loop().create_task(self._return_if_alone(arrival, party, room))
        self._chores.add(chore)
        chore.add_done_callback(self._chores.discard)

    async def consult_conference(self, interaction_id: str) -> None:
        """Everybody into the primary's room."""
        interaction = self._started(interaction_id)
        await self._await_party(self._live_consult(interaction))
        consult = self._live_consult(interaction)
        if consult.state not in ANSWERED_STATES:
            raise Refused(f"The consult call cannot join: it is {consult.state}.")
        await self._gather(interaction)
        await self._no_phone_hold(interaction, consult)
        self._meetings.require_attendance(interaction.primary, consult)
        moving, staying = self._meetings.by_number(interaction, consult)
        room = self._meetings.room(staying)
        wanted = self._notes(moving, room) | self._notes(staying, room)
        wanted[interaction.leg] = {"HARMONY_P1": room, "HARMONY_P2": "", "HARMONY_SIDE": "agent"}
        for leg in moving.parties:
            wanted[leg] = wanted.get(leg, {}) | {"HARMONY_AGENT": interaction.leg}
        await self._variables.set_all(wanted)
        moves: list[Move] = [self._meetings.seat(self._party(moving), room)]
        if self._exchange.model.legs.room_of(interaction.leg) != room:
            moves.append((interaction.leg, ROOM, self._meetings.entrance(room, moving, staying)))
        await self._move(*moves)
        await self._until(consult, ConversationState.RELEASED)
        await self._until(interaction.primary, ConversationState.TALKING)

    # -- blind ---------------------------------------------------------------------------------------

    async def blind_transfer(self, interaction_id: str, conversation_id: str, number: str) -> None:
        """Send the conversation's party to `number`; the agent leaves."""
        interaction, conversation = self._find(interaction_id, conversation_id)
        if conversation.state not in ANSWERED_STATES:
            raise Refused(f"The call cannot be transferred: it is {conversation.state}.")
        if len(conversation.parties) > 1 or len(interaction.live_conversations) > 1:
            raise Refused("Only a call with one party can be transferred to a number.")
        self._meetings.require_free(conversation)
        destination = await self._checked(number)
        party = self._party(conversation)
        await self._set(party, **self._where(destination), **self._fallback(interaction))
        await self._leave(interaction, (party, _TRANSFER, "s"), (interaction.leg, _BYE, "s"))

    async def blind_conference(self, interaction_id: str, conversation_id: str, number: str) -> None:
        """Call `number` into the conversation. Done when it rings; it joins when it answers."""
        interaction, conversation = self._find(interaction_id, conversation_id)
        self._require(conversation, ConversationState.TALKING, "extended")
        await self._no_phone_hold(interaction, conversation)
        self._meetings.require_attendance(conversation)
        destination = await self._checked(number)
        await self._share_room(interaction, conversation)
        self._invitations.require_none(interaction, destination)
        room = self._meetings.room(conversation)
        await self._invitations.call(interaction, conversation.leg, destination, room)

    # -- small ones ----------------------------------------------------------------------------------

    async def release_primary(self, interaction: Interaction) -> None:
        """End the primary: the consult goes on if there is one, a conference goes on without the agent."""
        primary = interaction.primary
        consult = interaction.consult
        if consult is not None and not consult.released:
            if len(primary.parties) > 1:
                await self._leave_conference(primary, stays=primary.leg == consult.leg)
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
                await self._set(interaction.leg, HARMONY_P1="", HARMONY_P2="")
            with self._departing(interaction, Cause.NORMAL):
                await self._hang_up(interaction.leg)
                await self._until(primary, ConversationState.RELEASED)
        await self._until(primary, ConversationState.RELEASED)

    async def _leave_conference(self, primary: Conversation, *, stays: bool) -> None:
        """Take the agent's leg out of a conference that goes on; it `stays` for another call, or ends."""
        party, talks = self._party(primary), primary.state is ConversationState.TALKING
        await self._variables.set_all(self._meetings.next_to(primary) | {primary.leg: {"HARMONY_P1": ""}})
        if stays:
            if talks:
                await self._move((primary.leg, _IDLE, "s"))
            self._exchange.apply(facts.LegsParted(primary.leg, party))

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
            await self._move((party, _ORPHAN, "s"), *([(interaction.leg, _BYE, "s")] if alone else []))
            if not alone:
                # Not earlier: should the move fail, the party is still the agent's.
                await self._set(interaction.leg, HARMONY_P1="")
            await self._until(conversation, ConversationState.RELEASED)

    async def leave_if_alone(self, interaction: Interaction) -> None:
        """Hang up an agent's leg when nobody is left for it and it only waits, or as soon as it does."""
        await self._lone.let_go(interaction)

    # -- what the phone does itself ------------------------------------------------------------------

    async def prepare(self, interaction: Interaction) -> None:
        """Let the caller whom the phone's own key transfers blind come back if nobody takes the call."""
        context, seconds = self._settings.context, str(int(self._settings.timeout))
        caller = {"HARMONY_REFER": context, "HARMONY_TIMEOUT": seconds, **self._fallback(interaction)}
        await self._variables.set_all(
            {
                # A code of features.conf dials on a leg of its own: the context is inherited there.
                interaction.leg: {"TRANSFER_CONTEXT": _REFERRED, "__HARMONY_REFER": context},
                **dict.fromkeys(interaction.primary.parties, caller),
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
            await self._share_room(interaction, conversation, _ON_ITS_WAY)

    async def step_out(self, leg: str) -> None:
        """Let an agent's leg whose phone holds wait outside its room: music for the others, not silence."""
        room = self._exchange.model.legs.room_of(leg)
        visited = {await self._get(leg, "HARMONY_P1"), await self._get(leg, "HARMONY_P2")}
        if room is None or room not in visited:
            return
        await self._set(leg, HARMONY_RESUME=room)
        await self._move((leg, _IDLE, "s"))

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
        self._lone.bind(newcomer, self._room(party))
        await self._set(newcomer, HARMONY_AGENT=party, HARMONY_P1="", HARMONY_P2="")
        await self._set(party, HARMONY_AGENT=newcomer)
        await self._move(self._meetings.seat(newcomer, self._room(party)))

    async def join(self, first_id: str, second_id: str) -> None:
        """Leave the parties of two calls of one phone to one another, in the room of the first."""
        first, second = self._started(first_id), self._started(second_id)
        party, newcomer = self._party(first.primary), self._party(second.primary)
        for leg in (first.leg, second.leg):
            await self._set(leg, HARMONY_P1="", HARMONY_P2="")
        await self._set(newcomer, HARMONY_AGENT=party)
        await self._set(party, HARMONY_AGENT=newcomer)
        self._lone.bind(newcomer, self._room(party))
        with self._departing(first), self._departing(second):
            await self._move(self._meetings.seat(newcomer, self._room(party)), (second.leg, _BYE, "s"))
            await self._hang_up(first.leg)
            await self._exchange.until(lambda: first.over and second.over, "transfer")

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
            await self._move(*self._meetings.into_room(keep), (keep.leg, _IDLE, "s"))
            await self._exchange.until(lambda: self._waits(keep.leg), f"{keep.role} conversation on hold")
        moves = self._meetings.into_room(other)
        self._exchange.model.gather(interaction.id, keep.leg)
        try:
            await self._move(*moves, (gone, _BYE, "s"))
        except Refused:
            await self._hang_up(gone)
            raise
        await self._exchange.until(
            lambda: self._exchange.model.legs.get(gone) is None, "end of the phone's other call"
        )

    # -- how -----------------------------------------------------------------------------------------

    async def _share_room(
        self, interaction: Interaction, conversation: Conversation, timeout: float | None = None
    ) -> None:
        """Bring agent and party of a call that talks into the party's room; they may be there already."""
        legs, party = self._exchange.model.legs, self._party(conversation)
        await self._introduce(interaction, conversation)
        if legs.room_of(party) is not None:
            return
        room = self._meetings.room(conversation)
        enter = (conversation.leg, ROOM, self._meetings.extension(conversation))
        with self._meeting(interaction):
            await self._move(*self._meetings.into_room(conversation), enter)
            await self._exchange.until(
                lambda: party in legs.hearing(conversation.leg).parties and legs.room_of(party) == room,
                "common room",
                timeout,
            )

    @contextmanager
    def _meeting(self, interaction: Interaction) -> Iterator[None]:
        """Let nobody's music on the way to a common room count as a hold."""
        model = self._exchange.model
        model.expect_meeting(interaction.id, under_way=True)
        try:
            yield
        finally:
            model.expect_meeting(interaction.id, under_way=False)

    def _waits(self, leg: str) -> bool:
        live = self._exchange.model.legs.get(leg)
        return live is None or live.waits

    def _room(self, party: str) -> str:
        return self._exchange.model.legs.room_of(party) or party

    def _party_or_none(self, conversation: Conversation) -> str | None:
        return self._meetings.party_or_none(conversation)

    def _notes(self, conversation: Conversation, room: str) -> dict[str, dict[str, str]]:
        limit = dialplan_limit(self._settings.handling.hold_limit)
        return {leg: {**more, AGENT_MARK: limit} for leg, more in self._meetings.notes(conversation, room)}

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
        await self._set(party, **{ROOM_VARIABLES[own.role]: ""})
        if is_here:
            await self._move((party, _IDLE, "s"))
        self._exchange.apply(facts.LegsParted(party, conversation.leg))

    def _fallback(self, interaction: Interaction) -> dict[str, str]:
        """Return what tells the dialplan who takes a primary party that has nobody (`harmony-fallback`)."""
        handling = self._settings.handling
        return {
            "HARMONY_BACK": self._former_agents.back(interaction.endpoint),
            "HARMONY_RETURN": "-".join(handling.failed_transfer) or _NO_WAY,
            "HARMONY_ORPHANS": "-".join(handling.orphans) or _NO_WAY,
            "HARMONY_FALLBACK_QUEUE": handling.queue,
            "HARMONY_PATIENCE": str(handling.patience),
        }

    def _queued(self, party: str) -> dict[str, str]:
        """Return how a caller waited, as that is not to be seen on a leg that has left the queue."""
        leg = self._exchange.model.legs.get(party)
        if leg is None or not leg.queue or not leg.queue_offered or "," in leg.queue:
            return {}
        wait = max(0, int(leg.queue_offered - leg.queue_entered)) if leg.queue_entered else 0
        return {"HARMONY_QUEUED_IN": leg.queue, "HARMONY_QUEUED_FOR": str(wait)}

    def _where(self, destination: str) -> dict[str, str]:
        return {
            "HARMONY_DEST": destination,
            "HARMONY_CTX": self._settings.context,
            "HARMONY_TIMEOUT": str(int(self._settings.timeout)),
        }

    async def _introduce(
        self, interaction: Interaction, conversation: Conversation, agent: str | None = None
    ) -> None:
        """Let agent's and party's legs know of each other, for the dialplan's safety net."""
        first = conversation is interaction.primary
        party, leg = self._party(conversation), agent or conversation.leg
        room = self._meetings.room(conversation)
        limit = dialplan_limit(self._settings.handling.hold_limit)
        # A colleague who was asked is no caller: nobody takes care of him.
        fallback = {**self._fallback(interaction), **self._queued(party)} if first else {}
        wanted = self._notes(conversation, room)
        wanted[leg] = {ROOM_VARIABLES[conversation.role]: room, "HARMONY_SIDE": "agent", AGENT_MARK: limit}
        if party not in wanted:
            wanted[party] = {"HARMONY_AGENT": leg, **fallback}
        elif room in {party, leg}:
            # Who was called notes by whom: the name of the own room does not tell it.
            wanted[room]["HARMONY_AGENT"] = leg if room == party else party
        await self._variables.set_all(wanted)

    async def _visit(
        self, interaction: Interaction, conversation: Conversation, *, leaving: Conversation | None
    ) -> None:
        if self._meetings.is_agents(self._party(conversation)):
            await self._introduce(interaction, conversation)
        moves: list[Move] = [(conversation.leg, ROOM, self._meetings.extension(conversation))]
        if leaving is not None and leaving.state is ConversationState.TALKING:
            await self._introduce(interaction, leaving)
            moves = [*self._meetings.into_room(leaving), *moves]
        await self._move(*moves)

    async def _leave(self, interaction: Interaction, *moves: Move) -> None:
        """Transfer: move outside parties and let the agent go (to `harmony-bye`) in one action.

        Until then the dialplan knows them as the agent's: should the move fail, nobody is forgotten.
        `harmony-bye` has no `h`, so the agent's going takes nobody along.
        """
        other_legs = [leg for leg in interaction.legs if leg != interaction.leg]
        with self._departing(interaction):
            await self._move(*moves)
            await self._hang_up(*other_legs)
            await self._exchange.until(lambda: interaction.over, "transfer")

    async def _arrives(self, target: str, room: str) -> bool:
        """Wait for a leg on its way to a room. Return whether it came there; when in doubt it did."""
        legs = self._exchange.model.legs
        arrived = False

        def settled() -> bool:
            nonlocal arrived
            arrived = arrived or target in legs.in_room(room)
            return arrived or legs.get(target) is None

        try:
            await self._exchange.until(settled, "arrival in the room", _ON_ITS_WAY)
        except PbxProblem:
            return True
        return arrived

    async def _return_if_alone(self, arrival: asyncio.Task[bool], party: str, room: str) -> None:
        """Make a transferred caller an orphan if the target hung up on its way to the room."""
        if await arrival or self._exchange.model.legs.in_room(room) != {party}:
            return
        try:
            await self._move((party, _ORPHAN, "s"))
        except (AmiError, PbxProblem) as problem:
            log.info("a transferred caller was gone already", leg=party, reason=str(problem))

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
        try:
            await self._link.send("Redirect", fields)
        except AmiRefused as refusal:
            if "not up" not in str(refusal):
                raise Refused(f"The call could not be moved: {refusal}.") from refusal
            await asyncio.sleep(_NOT_YET)
            try:
                await self._link.send("Redirect", fields)
            except AmiRefused as second:
                raise Refused(f"The call could not be moved: {second}.") from second
