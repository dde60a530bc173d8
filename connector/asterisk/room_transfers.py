"""Transfer and conference by rooms: who meets whom when the agent leaves, and how a third one comes in."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import structlog

from connector.asterisk.contexts import BYE, ORPHAN, ROOM, TRANSFER
from connector.asterisk.handling import require_dialable
from connector.asterisk.link import AmiError
from connector.asterisk.meeting import ON_ITS_WAY, ROOM_VARIABLES, Move
from connector.asterisk.room_moves import RoomMoves
from connector.telephony import facts
from connector.telephony.interactions import Conversation, Interaction
from connector.telephony.numbers import check_number
from connector.telephony.pbx import PbxProblem, Refused
from connector.telephony.states import ANSWERED_STATES, ConversationState

log = structlog.get_logger(__name__)


class RoomTransfers(RoomMoves):
    """The part of `CallHandling` by which calls are passed on."""

    async def consult_transfer(self, interaction_id: str) -> None:
        """Let the primary's parties and the consult's party go on without the agent, ringing or not."""
        interaction = self._started(interaction_id)
        await self._await_party(self._live_consult(interaction))
        number = self._called_in_vain(interaction)
        if number is not None:
            # Who began the consult with the phone's keys may have another context to dial in.
            await require_dialable(self._link, self._settings, number)
            if self._called_in_vain(interaction) is not None:
                await self._call_anew(interaction, number)
                return
        await self._gather(interaction, leaving=True)
        async with self._while_colleagues_wait(interaction):
            consult = self._live_consult(interaction)
            await self._arrived(interaction.primary, consult)
            moving, staying = self._meetings.by_number(interaction, consult)
            await self._hand_over(interaction, moving, staying)

    def _called_in_vain(self, interaction: Interaction) -> str | None:
        """Return the number of a consult at which nobody is yet, or only a program of the PBX."""
        consult = self._live_consult(interaction)
        self._party(interaction.primary)
        if consult.state is not ConversationState.DIALING and consult.parties:
            return None
        return check_number(consult.members[0].address if consult.members else "")

    async def _call_anew(self, interaction: Interaction, number: str) -> None:
        """Have the number called for the primary's parties, and let the agent go."""
        party = self._party(interaction.primary)
        if len(interaction.primary.parties) > 1:
            room = self._meetings.room(interaction.primary)
            await self._leave(interaction, (interaction.leg, BYE, "s"))
            await self._invitations.call(interaction, interaction.leg, number, room)
            return
        self._meetings.require_free(interaction.primary)
        await self._set(party, **self._where(number), **self._fallback(interaction))
        await self._leave(interaction, (party, TRANSFER, "s"), (interaction.leg, BYE, "s"))

    async def _hand_over(self, interaction: Interaction, moving: Conversation, staying: Conversation) -> None:
        """Bring the party of one conversation to those of the other, where they are, and let the agent go."""
        coming, party = self._meetings.coming(moving), self._party(staying)
        target = coming[0] if coming else self._party(moving)
        room, former = self._meetings.room(staying), self._meetings.room(moving)
        bye = (interaction.leg, BYE, "s")
        wanted = self._notes(moving, room) | self._notes(staying, room)
        colleague = self._exchange.model.interaction_on(target)
        # Who is an agent has the customer as its own from now on.
        fallback = self._fallback(colleague) if colleague is not None else {}
        for leg in {target, *coming}:
            wanted[leg] = wanted.get(leg, {}) | {"HARMONY_AGENT": party}
        wanted[party] = wanted.get(party, {}) | {"HARMONY_AGENT": target} | fallback
        await self._note_down(wanted, wait=len(coming) != 1)
        if not coming:
            others, has_calls = tuple(staying.parties), self._meetings.has_other_calls(moving, target)
            await self._leave(interaction, bye)
            if not has_calls and not any(map(self._exchange.model.legs.get, others)):
                # They hung up as the agent left: nobody is there for the colleague, who holds.
                with suppress(AmiError, PbxProblem):
                    await self._hang_up(target)
            return
        with self._departing(interaction):
            await self._bring(coming[1:], room)
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
        self._chores.start(self._see_them_meet(arrival, target, party, room))

    async def _note_down(self, wanted: Mapping[str, Mapping[str, str]], *, wait: bool) -> None:
        """Set these variables, or `wait` for no reply: the PBX does what it is told in its order.

        What is sent next comes after them. Who is gone meanwhile makes the move fail that follows, or is
        missed then as who hangs up a moment later.
        """
        noted = asyncio.gather(*self._variables.begin(wanted), return_exceptions=not wait)
        if wait:
            await noted
        else:
            await asyncio.sleep(0)

    async def blind_transfer(self, interaction_id: str, conversation_id: str, number: str) -> None:
        """Send the conversation's party to `number`; the agent leaves."""
        interaction, conversation = self._find(interaction_id, conversation_id)
        if conversation.state not in ANSWERED_STATES:
            raise Refused(f"The call cannot be transferred: it is {conversation.state}.")
        if len(conversation.parties) > 1 or len(interaction.live_conversations) > 1:
            raise Refused("Only a call with one party can be transferred to a number.")
        await self._await_party(conversation)
        self._meetings.require_free(conversation)
        destination = await self._checked(number)
        party = self._party(conversation)
        await self._set(party, **self._where(destination), **self._fallback(interaction))
        holding = self._meetings.others_who_hold(interaction, party)
        await self._leave(interaction, (party, TRANSFER, "s"), (interaction.leg, BYE, "s"))
        for one in holding:
            # Their call goes with the party, which does not come back into that room.
            with suppress(AmiError, PbxProblem):
                await self._set(one.leg, **{ROOM_VARIABLES[one.role]: ""})
            self._exchange.apply(facts.LegsParted(one.leg, party))

    async def consult_conference(self, interaction_id: str) -> None:
        """Everybody into the primary's room."""
        interaction = self._started(interaction_id)
        await self._await_party(self._live_consult(interaction))
        consult = self._live_consult(interaction)
        if consult.state not in ANSWERED_STATES:
            raise Refused(f"The consult call cannot join: it is {consult.state}.")
        await self._gather(interaction)
        await self._no_phone_hold(interaction, consult)
        async with self._while_colleagues_wait(interaction):
            await self._bring_together(interaction, self._live_consult(interaction))
        await self._until(consult, ConversationState.RELEASED)
        await self._until(interaction.primary, ConversationState.TALKING)

    async def _bring_together(self, interaction: Interaction, consult: Conversation) -> None:
        await self._arrived(interaction.primary, consult)
        self._meetings.require_attendance(interaction.primary, consult)
        moving, staying = self._meetings.by_number(interaction, consult)
        # Before the new room is noted: where a colleague is now is told by the old one.
        (first, *others), room = self._meetings.coming(moving), self._meetings.room(staying)
        wanted = self._notes(moving, room) | self._notes(staying, room)
        wanted[interaction.leg] = {"HARMONY_P1": room, "HARMONY_P2": "", "HARMONY_SIDE": "agent"}
        for leg in moving.parties:
            wanted[leg] = wanted.get(leg, {}) | {"HARMONY_AGENT": interaction.leg}
        await self._bring(others, room)
        # At once before the move: should the connector end between the two, a party would be nobody's.
        await self._note_down(wanted, wait=False)
        moves: list[Move] = [self._meetings.seat(first, room)]
        if self._exchange.model.legs.room_of(interaction.leg) != room:
            moves.append((interaction.leg, ROOM, self._meetings.entrance(room, moving, staying)))
        await self._move(*moves)

    async def blind_conference(self, interaction_id: str, conversation_id: str, number: str) -> None:
        """Call `number` into the conversation. Done when it rings; it joins when it answers."""
        interaction, conversation = self._find(interaction_id, conversation_id)
        self._require(conversation, ConversationState.TALKING, "extended")
        await self._no_phone_hold(interaction, conversation)
        await self._await_party(conversation)
        await self._arrived(conversation)
        self._meetings.require_attendance(conversation)
        destination = await self._checked(number)
        await self._share_room(interaction, conversation)
        self._invitations.require_none(interaction, destination)
        room = self._meetings.room(conversation)
        await self._invitations.call(interaction, conversation.leg, destination, room)

    @asynccontextmanager
    async def _while_colleagues_wait(self, interaction: Interaction) -> AsyncIterator[None]:
        """Have the turns of other agents in the call: what they do with their own legs would meet this.

        Raises:
            Refused: one of them does something that takes long, or waits for this agent's turn.

        """
        is_on = self._exchange.model.interaction_on
        parties = {leg for one in interaction.live_conversations for leg in one.parties}
        colleagues = {other.id for leg in parties if (other := is_on(leg)) is not None} - {interaction.id}
        async with AsyncExitStack() as turns:
            try:
                async with asyncio.timeout(ON_ITS_WAY if colleagues else None):
                    for each in sorted(colleagues):
                        await turns.enter_async_context(self._turns.of(each))
            except TimeoutError:
                raise Refused("The other agent is doing something with the call; please try again.") from None
            yield

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

    async def _see_them_meet(self, arrival: asyncio.Task[bool], target: str, party: str, room: str) -> None:
        """If the target hung up on its way, make the caller an orphan; if the caller did, let an agent go."""
        legs, left = self._exchange.model.legs, party
        if await arrival:
            left = target
            with suppress(PbxProblem):
                await self._exchange.until(
                    lambda: legs.get(party) is None or len(legs.in_room(room)) != 1, "caller", ON_ITS_WAY
                )
            if legs.get(party) is not None or not self._meetings.is_agents(target):
                return
        if legs.in_room(room) != {left}:
            return
        try:
            # An agent's leg goes from there to its own other call, if it has one.
            await self._move((left, ORPHAN, "s"))
        except (AmiError, PbxProblem) as problem:
            log.info("who was left alone by a transfer was gone already", leg=left, reason=str(problem))
