"""Hold, consult, alternate, transfer and conference: the "party rooms" recipes, one Redirect each.

The first operation on a call moves its outside party into a conference room of its own (named after the
party's leg; alone in it one hears music), and the agent's leg visits rooms or waits. The contexts are in
`asterisk-conf/harmony.conf`.
"""

import asyncio
import uuid

import structlog

from connector.asterisk.exchange import Exchange
from connector.asterisk.link import AmiLink, AmiRefused
from connector.asterisk.settings import DialSettings
from connector.telephony.interactions import Conversation, Interaction
from connector.telephony.numbers import check_number
from connector.telephony.pbx import Refused
from connector.telephony.states import ANSWERED_STATES, Cause, ConversationState, InteractionState

log = structlog.get_logger(__name__)

_ROOM, _IDLE, _CONSULT, _TRANSFER, _BYE = (
    "harmony-room",
    "harmony-didle",
    "harmony-dconsult",
    "harmony-xfer",
    "harmony-bye",
)
_NOT_YET = 0.02
"""Seconds after which a leg that was being moved can be moved again."""
_TONE_MS = 120
_TONE_PAUSE = 0.2

Move = tuple[str, str, str]
"""A leg, and the context and extension it goes to."""


class PartyRooms:
    """Operations on answered calls. Requests of one interaction must come one after the other."""

    def __init__(self, exchange: Exchange, link: AmiLink, settings: DialSettings) -> None:
        self._exchange = exchange
        self._link = link
        self._settings = settings

    # -- hold ----------------------------------------------------------------------------------------

    async def hold(self, interaction_id: str, conversation_id: str) -> None:
        """Music for the parties, silence for the agent."""
        interaction, conversation = self._find(interaction_id, conversation_id)
        self._require(conversation, ConversationState.TALKING, "held")
        self._no_phone_hold(interaction)
        party = self._party(conversation)
        await self._introduce(interaction, conversation)
        await self._move(*self._into_room(party), (interaction.leg, _IDLE, "s"))
        await self._until(conversation, ConversationState.HELD)

    async def retrieve(self, interaction_id: str, conversation_id: str) -> None:
        """Back to the parties on hold; who the agent is talking to meanwhile is put on hold."""
        interaction, conversation = self._find(interaction_id, conversation_id)
        self._require(conversation, ConversationState.HELD, "retrieved")
        self._no_phone_hold(interaction)
        other = self._other(interaction, conversation)
        if other is not None and other.state is ConversationState.DIALING:
            raise Refused("The call cannot be retrieved while the consult call rings: release that first.")
        await self._visit(interaction, conversation, leaving=other)
        await self._swapped(conversation, other)

    async def alternate(self, interaction_id: str) -> None:
        """Swap the conversation that talks and the one on hold."""
        interaction = self._started(interaction_id)
        consult = self._live_consult(interaction)
        held = [one for one in (interaction.primary, consult) if one.state is ConversationState.HELD]
        if consult.state is ConversationState.DIALING or not held:
            raise Refused(f"There is nothing to alternate: the consult call is {consult.state}.")
        self._no_phone_hold(interaction)
        target = held[0]
        other = self._other(interaction, target)
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
        self._no_phone_hold(interaction)
        destination = await self._checked(number)
        party = self._party(primary)
        await self._introduce(interaction, primary)
        await self._set(interaction.leg, HARMONY_P2="", **self._where(destination))
        before = interaction.consult
        await self._move(*self._into_room(party), (interaction.leg, _CONSULT, "s"))
        await self._exchange.until(
            lambda: (
                interaction.over
                or (interaction.consult is not before and primary.state is not ConversationState.TALKING)
            ),
            f"consult call to {destination}",
        )
        if interaction.consult is None or interaction.consult is before:
            raise Refused("The call ended before the consult call began.")
        return interaction.consult.id

    async def cancel(self, interaction: Interaction, consult: Conversation) -> None:
        """Drop the consult call; the agent is back with the primary, if that is still there."""
        back = self._party_or_none(interaction.primary)
        target = self._party_or_none(consult)
        if back is None:
            await self._hang_up(interaction.leg)
        elif consult.state is ConversationState.HELD and target is not None:
            await self._hang_up(*consult.parties)
        else:
            moves: list[Move] = [(interaction.leg, _ROOM, f"a{self._room(back)}")]
            if consult.state is ConversationState.TALKING and target is not None:
                moves.insert(0, (target, _BYE, "s"))
            await self._move(*moves)
        await self._until(consult, ConversationState.RELEASED)

    async def consult_transfer(self, interaction_id: str) -> None:
        """Let the primary's parties and the consult's party go on without the agent, ringing or not."""
        interaction = self._started(interaction_id)
        consult = self._live_consult(interaction)
        party = self._party(interaction.primary)
        room = self._room(party)
        if consult.state is ConversationState.DIALING:
            number = consult.members[0].address if consult.members else ""
            await self._set(party, HARMONY_AGENT="", **self._where(check_number(number)))
            await self._leave_by((party, _TRANSFER, "s"), interaction)
            return
        target = self._party(consult)
        await self._set(target, HARMONY_AGENT=party)
        await self._set(party, HARMONY_AGENT=target)
        await self._leave_by((target, _ROOM, f"p{room}"), interaction)

    async def consult_conference(self, interaction_id: str) -> None:
        """Everybody into the primary's room."""
        interaction = self._started(interaction_id)
        consult = self._live_consult(interaction)
        if consult.state not in ANSWERED_STATES:
            raise Refused(f"The consult call cannot join: it is {consult.state}.")
        room = self._room(self._party(interaction.primary))
        target = self._party(consult)
        await self._set(target, HARMONY_AGENT=interaction.leg)
        await self._set(interaction.leg, HARMONY_P2="")
        moves: list[Move] = [(target, _ROOM, f"p{room}")]
        if self._exchange.model.legs.room_of(interaction.leg) != room:
            moves.append((interaction.leg, _ROOM, f"a{room}"))
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
        destination = await self._checked(number)
        party = self._party(conversation)
        await self._set(party, HARMONY_AGENT="", **self._where(destination))
        await self._leave_by((party, _TRANSFER, "s"), interaction)

    async def blind_conference(self, interaction_id: str, conversation_id: str, number: str) -> None:
        """Call `number` into the conversation. Done when it rings; it joins when it answers."""
        interaction, conversation = self._find(interaction_id, conversation_id)
        self._require(conversation, ConversationState.TALKING, "extended")
        self._no_phone_hold(interaction)
        destination = await self._checked(number)
        party = self._party(conversation)
        await self._introduce(interaction, conversation)
        legs = self._exchange.model.legs
        if legs.room_of(party) is None:
            await self._move((party, _ROOM, f"p{party}"), (interaction.leg, _ROOM, f"a{party}"))
            await self._exchange.until(
                lambda: party in legs.hearing(interaction.leg).parties and legs.room_of(party) == party,
                "conference room",
            )
        leg = f"hc-{uuid.uuid4().hex}"
        try:
            await self._link.send(
                "Originate",
                {
                    "Channel": f"Local/{destination}@{self._settings.context}/n",
                    "Context": _ROOM,
                    "Exten": f"p{self._room(party)}",
                    "Priority": "1",
                    "Timeout": str(int(self._settings.timeout * 1000)),
                    "CallerID": self._settings.caller_id or interaction.endpoint,
                    "Async": "true",
                    "ChannelId": leg,
                    "OtherChannelId": f"{leg}-2",
                    "Variable": [
                        f"HARMONY_AGENT={interaction.leg}",
                        f"HARMONY_TIMEOUT={int(self._settings.timeout)}",
                    ],
                },
            )
        except AmiRefused as refusal:
            raise Refused(f"The telephone system refused the call: {refusal}.") from refusal
        await self._exchange.until(lambda: legs.get(leg) is not None, f"call to {destination}")

    # -- small ones ----------------------------------------------------------------------------------

    async def release_primary(self, interaction: Interaction) -> None:
        """End the primary: the consult goes on if there is one, a conference goes on without the agent."""
        primary = interaction.primary
        consult = interaction.consult
        if consult is not None and not consult.released:
            await self._set(interaction.leg, HARMONY_P1="")
            await self._hang_up(*primary.parties)
        elif len(primary.parties) > 1:
            await self._set(interaction.leg, HARMONY_P1="", HARMONY_P2="")
            await self._hang_up(interaction.leg)
        elif primary.state is ConversationState.HELD:
            await self._set(interaction.leg, HARMONY_P1="", HARMONY_P2="")
            await self._hang_up(*primary.parties, interaction.leg)
        else:
            await self._hang_up(interaction.leg)
        await self._until(primary, ConversationState.RELEASED)

    async def send_dtmf(self, interaction_id: str, conversation_id: str, tones: str) -> None:
        """Play the tones as if the agent's phone had sent them (PlayDTMF with Receive), paced."""
        interaction, conversation = self._find(interaction_id, conversation_id)
        self._require(conversation, ConversationState.TALKING, "sent tones")
        for tone in tones:
            try:
                await self._link.send(
                    "PlayDTMF",
                    {
                        "Channel": interaction.leg,
                        "Digit": tone,
                        "Duration": str(_TONE_MS),
                        "Receive": "true",
                    },
                )
            except AmiRefused as refusal:
                raise Refused(f"The tones could not be sent: {refusal}.") from refusal
            await asyncio.sleep(_TONE_PAUSE)

    async def leave_if_alone(self, interaction: Interaction) -> None:
        """Hang up the agent's leg when nobody is left for it and it only waits."""
        leg = self._exchange.model.legs.get(interaction.leg)
        if leg is not None and leg.waits and not interaction.live_conversations:
            await self._hang_up(interaction.leg)

    # -- how -----------------------------------------------------------------------------------------

    def _started(self, interaction_id: str) -> Interaction:
        self._exchange.require_available()
        interaction = self._exchange.model.interaction(interaction_id)
        if interaction is None or interaction.over:
            raise Refused("The call is over already.")
        if interaction.state is not InteractionState.STARTED:
            raise Refused(f"The call is not answered yet: it is {interaction.state}.")
        return interaction

    def _find(self, interaction_id: str, conversation_id: str) -> tuple[Interaction, Conversation]:
        interaction = self._started(interaction_id)
        conversation = interaction.conversation(conversation_id)
        if conversation is None or conversation.released:
            raise Refused("The conversation is over already.")
        return interaction, conversation

    def _require(self, conversation: Conversation, state: ConversationState, verb: str) -> None:
        if conversation.state is not state:
            raise Refused(f"Only a call that is {state} can be {verb}: this one is {conversation.state}.")

    def _no_phone_hold(self, interaction: Interaction) -> None:
        leg = self._exchange.model.legs.get(interaction.leg)
        if leg is not None and leg.phone_hold:
            raise Refused("The phone itself holds the call: take it back there first.")

    def _live_consult(self, interaction: Interaction) -> Conversation:
        consult = interaction.consult
        if consult is None or consult.released:
            raise Refused("There is no consult call.")
        if interaction.primary.released:
            raise Refused("The first call is over: only the consult call is left.")
        return consult

    def _other(self, interaction: Interaction, conversation: Conversation) -> Conversation | None:
        return next((one for one in interaction.live_conversations if one is not conversation), None)

    def _party_or_none(self, conversation: Conversation) -> str | None:
        return next(iter(conversation.parties), None) if not conversation.released else None

    def _party(self, conversation: Conversation) -> str:
        party = self._party_or_none(conversation)
        if party is None:
            raise Refused("This call has no other party that could be moved.")
        return party

    def _room(self, party: str) -> str:
        return self._exchange.model.legs.room_of(party) or party

    def _into_room(self, party: str) -> list[Move]:
        """Return the move that gives a party its room; none if it has one."""
        return [] if self._exchange.model.legs.room_of(party) else [(party, _ROOM, f"p{party}")]

    def _where(self, destination: str) -> dict[str, str]:
        return {
            "HARMONY_DEST": destination,
            "HARMONY_CTX": self._settings.context,
            "HARMONY_TIMEOUT": str(int(self._settings.timeout)),
        }

    async def _checked(self, number: str) -> str:
        destination = check_number(number)
        if not self._settings.permits(destination):
            raise Refused(f"The number {destination} may not be dialled from here.")
        known = await self._link.send(
            "Getvar", {"Variable": f"DIALPLAN_EXISTS({self._settings.context},{destination},1)"}
        )
        if known.get("Value") != "1":
            raise Refused(f"The number {destination} does not exist.")
        return destination

    async def _introduce(self, interaction: Interaction, conversation: Conversation) -> None:
        """Let agent's and party's legs know of each other, for the dialplan's safety net."""
        which = "HARMONY_P1" if conversation is interaction.primary else "HARMONY_P2"
        party = self._party(conversation)
        await self._set(interaction.leg, **{which: self._room(party)})
        await self._set(party, HARMONY_AGENT=interaction.leg)

    async def _visit(
        self, interaction: Interaction, conversation: Conversation, *, leaving: Conversation | None
    ) -> None:
        party = self._party(conversation)
        moves: list[Move] = [(interaction.leg, _ROOM, f"a{self._room(party)}")]
        if leaving is not None and leaving.state is ConversationState.TALKING:
            await self._introduce(interaction, leaving)
            moves = [*self._into_room(self._party(leaving)), *moves]
        await self._move(*moves)

    async def _leave_by(self, move: Move, interaction: Interaction) -> None:
        """Move an outside party and let the agent go in one action: a transfer."""
        await self._set(interaction.leg, HARMONY_P1="", HARMONY_P2="")
        model = self._exchange.model
        model.expect_departure(interaction.id, Cause.TRANSFERRED)
        try:
            await self._move(move, (interaction.leg, _BYE, "s"))
            await self._exchange.until(lambda: interaction.over, "transfer")
        except BaseException:
            model.expect_departure(interaction.id, None)
            raise

    async def _set(self, leg: str, **variables: str) -> None:
        for name, value in variables.items():
            try:
                await self._link.send("Setvar", {"Channel": leg, "Variable": name, "Value": value})
            except AmiRefused as refusal:
                raise Refused("The call ended at this moment.") from refusal

    async def _hang_up(self, *legs: str) -> None:
        for leg in legs:
            try:
                await self._link.send("Hangup", {"Channel": leg, "Cause": "16"})
            except AmiRefused as refusal:
                log.info("leg was gone already", leg=leg, reason=str(refusal))

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

    async def _swapped(self, talking: Conversation, held: Conversation | None) -> None:
        await self._until(talking, ConversationState.TALKING)
        if held is not None:
            await self._exchange.until(
                lambda: held.state is not ConversationState.TALKING, f"{held.role} conversation on hold"
            )

    async def _until(self, conversation: Conversation, state: ConversationState) -> None:
        def reached() -> bool:
            return conversation.state is state or conversation.released

        await self._exchange.until(reached, f"{conversation.role} conversation {state}")
        if conversation.state is not state:
            raise Refused(f"The call ended meanwhile ({conversation.cause}).")
