"""Handling of answered calls: what every strategy offers, and what all of them need.

`CallHandling` is what the rest of the connector asks of a strategy; `AnsweredCalls` finds calls, checks
states and numbers, and sends tones and hang-ups for the strategies that are built on it.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Protocol

import structlog

from connector.asterisk.exchange import Exchange
from connector.asterisk.link import AmiLink, AmiRefused
from connector.asterisk.notify import PhoneNotifier
from connector.asterisk.settings import DialSettings
from connector.asterisk.variables import LegVariables
from connector.telephony.interactions import Conversation, Interaction
from connector.telephony.numbers import check_number
from connector.telephony.pbx import Limits, Refused, TimedOut
from connector.telephony.states import Cause, ConversationState, InteractionState

log = structlog.get_logger(__name__)

_TONE_MS = 120
_TONE_PAUSE = 0.2
_ANSWERING = 0.5
"""Seconds within which the leg is told that answered a call."""


class CallHandling(Protocol):
    """A way to handle answered calls. Requests of one interaction must come one after the other.

    Every procedure returns when the PBX has shown the outcome, and raises a `PbxProblem` if it did not.
    """

    def close(self) -> None:
        """Let go of chores that are under way."""
        ...

    def limits(self, endpoint: str) -> Limits:
        """See `Pbx.limits`."""
        ...

    async def hold(self, interaction_id: str, conversation_id: str) -> None:
        """See `Pbx.hold`."""
        ...

    async def retrieve(self, interaction_id: str, conversation_id: str) -> None:
        """See `Pbx.retrieve`."""
        ...

    async def alternate(self, interaction_id: str) -> None:
        """See `Pbx.alternate`."""
        ...

    async def consult(self, interaction_id: str, number: str) -> str:
        """See `Pbx.consult`."""
        ...

    async def cancel(self, interaction: Interaction, consult: Conversation) -> None:
        """Drop the consult call; the agent is back with the primary, if that is still there."""
        ...

    async def consult_transfer(self, interaction_id: str) -> None:
        """See `Pbx.consult_transfer`."""
        ...

    async def consult_conference(self, interaction_id: str) -> None:
        """See `Pbx.consult_conference`."""
        ...

    async def blind_transfer(self, interaction_id: str, conversation_id: str, number: str) -> None:
        """See `Pbx.blind_transfer`."""
        ...

    async def blind_conference(self, interaction_id: str, conversation_id: str, number: str) -> None:
        """See `Pbx.blind_conference`."""
        ...

    async def drop_member(self, interaction_id: str, conversation_id: str, member_id: str) -> None:
        """See `Pbx.drop_member`."""
        ...

    async def private_word(self, interaction_id: str, conversation_id: str, member_id: str) -> None:
        """See `Pbx.private_word`."""
        ...

    async def release_primary(self, interaction: Interaction) -> None:
        """End the primary: the consult goes on if there is one, a conference goes on without the agent."""
        ...

    async def send_dtmf(self, interaction_id: str, conversation_id: str, tones: str) -> None:
        """See `Pbx.send_dtmf`."""
        ...

    async def ready_for_tones(self, interaction_id: str, conversation_id: str) -> None:
        """See that the PBX takes none of the tones that follow for a code of its own."""
        ...

    async def ready_for_listeners(self, interaction_id: str) -> None:
        """See that parties whom the phone holds keep their music when something begins to listen to a leg."""
        ...

    async def leave_if_alone(self, *legs: str) -> None:
        """Hang up those of an agent's legs for which nobody is left and that only wait."""
        ...

    async def prepare(self, interaction: Interaction) -> None:
        """Make a call that was just answered ready for what its phone may do without asking."""
        ...

    async def house(self, interaction_id: str, conversation_id: str) -> None:
        """See that two calls of one phone are of one kind, where the PBX cannot safely join others."""
        ...

    async def step_out(self, leg: str) -> None:
        """Let an agent's leg whose phone holds wait elsewhere, if only that brings the others music."""
        ...

    async def step_in(self, leg: str) -> None:
        """Bring an agent's leg whose phone has resumed back to where `step_out` took it from."""
        ...

    async def note_consult(self, number: int, *legs: str) -> None:
        """Note on an agent's legs the number of the consult that began last among its conversations."""
        ...

    async def seat(self, newcomer: str, party: str) -> None:
        """Bring a party that a phone's transfer has left somewhere together with the other party."""
        ...

    async def join(self, first_id: str, second_id: str) -> None:
        """Leave the parties of two calls of one phone to one another, where the PBX cannot."""
        ...


def started(exchange: Exchange, interaction_id: str) -> Interaction:
    """Return an interaction that was answered and goes on.

    Raises:
        PbxDown: the PBX cannot be reached.
        Refused: there is no such call any more, or nobody has answered it yet.

    """
    exchange.require_available()
    interaction = exchange.model.interaction(interaction_id)
    if interaction is None or interaction.over:
        raise Refused("The call is over already.")
    if interaction.state is not InteractionState.STARTED:
        raise Refused(f"The call is not answered yet: it is {interaction.state}.")
    return interaction


async def dialable(link: AmiLink, settings: DialSettings, number: str) -> str:
    """Return the number as it is dialled, if the site lets agents dial it and its dialplan has it.

    Raises:
        Refused: it is not a number, not permitted, or unknown.

    """
    destination = settings.written(check_number(number))
    await require_dialable(link, settings, destination)
    return destination


async def require_dialable(link: AmiLink, settings: DialSettings, destination: str) -> None:
    """See to it that a number, as it is dialled, may be dialled by agents, and that the dialplan has it.

    Raises:
        Refused: it is not permitted, or unknown.

    """
    if not settings.permits(destination):
        raise Refused(f"The number {destination} may not be dialled from here.")
    known = await link.send("Getvar", {"Variable": f"DIALPLAN_EXISTS({settings.context},{destination},1)"})
    if known.get("Value") != "1":
        raise Refused(f"The number {destination} does not exist.")


async def hang_up(link: AmiLink, *legs: str) -> None:
    """End legs (Hangup, normal clearing), one after the other; one may be gone already."""
    for leg in legs:
        try:
            await link.send("Hangup", {"Channel": leg, "Cause": "16"})
        except AmiRefused as refusal:
            log.info("leg was gone already", leg=leg, reason=str(refusal))


class AnsweredCalls:
    """What all strategies do alike."""

    def __init__(
        self,
        exchange: Exchange,
        link: AmiLink,
        settings: DialSettings,
        notifier: PhoneNotifier,
        variables: LegVariables,
    ) -> None:
        self._exchange = exchange
        self._link = link
        self._settings = settings
        self._notifier = notifier
        self._variables = variables

    def limits(self, _endpoint: str) -> Limits:
        """Return none: what is not said otherwise can be done."""
        return Limits()

    async def send_dtmf(self, interaction_id: str, conversation_id: str, tones: str) -> None:
        """Play the tones as if the agent's phone had sent them (PlayDTMF with Receive), paced."""
        _, conversation = self._find(interaction_id, conversation_id)
        self._require(conversation, ConversationState.TALKING, "sent tones")
        for sent, tone in enumerate(tones):
            # Whoever is on the leg next is not to hear the rest.
            if conversation.state is not ConversationState.TALKING:
                raise Refused(f"The call did not go on: {sent} of {len(tones)} tones were sent.")
            await self._press(conversation.leg, tone)

    async def ready_for_tones(self, interaction_id: str, conversation_id: str) -> None:
        """Do nothing: what can be a code is known, and refused."""

    async def ready_for_listeners(self, interaction_id: str) -> None:
        """Do nothing: without rooms there is no other place to hear music."""

    async def leave_if_alone(self, *legs: str) -> None:
        """Do nothing: outside rooms Asterisk lets go of a leg that is left alone."""

    async def prepare(self, interaction: Interaction) -> None:
        """Do nothing: without a dialplan of ours there is nobody to fall back to."""

    async def house(self, interaction_id: str, conversation_id: str) -> None:
        """Do nothing: outside rooms all calls are of one kind."""

    async def step_out(self, leg: str) -> None:
        """Do nothing: outside rooms the PBX itself sees to the music."""

    async def step_in(self, leg: str) -> None:
        """Do nothing: the leg never left."""

    async def note_consult(self, number: int, *legs: str) -> None:
        """Set it as a variable: a connector that is started anew knows the consult's id by it."""
        await self._variables.tell({leg: {"HARMONY_CONSULTS": str(number)} for leg in legs})

    async def seat(self, newcomer: str, party: str) -> None:
        """Do nothing: outside rooms the PBX itself joins the two."""

    async def join(self, first_id: str, second_id: str) -> None:
        """Do nothing: outside rooms the PBX itself refuses nothing."""

    async def drop_member(self, interaction_id: str, conversation_id: str, member_id: str) -> None:
        """Hang one party up; the others go on."""
        _, conversation = self._find(interaction_id, conversation_id)
        parties = conversation.parties
        leg = next((leg for leg, member in parties.items() if member.id == member_id), None)
        if leg is None:
            raise Refused(f"The conversation has no member {member_id}.")
        if len(parties) == 1:
            raise Refused("Only a member of a conference can be dropped: release the conversation instead.")
        await self._dismiss(conversation, leg)
        await self._exchange.until(lambda: leg not in conversation.parties, f"end of member {member_id}")

    # -- how -----------------------------------------------------------------------------------------

    def _started(self, interaction_id: str) -> Interaction:
        return started(self._exchange, interaction_id)

    def _find(self, interaction_id: str, conversation_id: str) -> tuple[Interaction, Conversation]:
        interaction = started(self._exchange, interaction_id)
        conversation = interaction.conversation(conversation_id)
        if conversation is None or conversation.state is ConversationState.RELEASED:
            raise Refused("The conversation is over already.")
        return interaction, conversation

    def _require(self, conversation: Conversation, state: ConversationState, verb: str) -> None:
        if conversation.state is not state:
            raise Refused(f"Only a call that is {state} can be {verb}: this one is {conversation.state}.")

    def _phone_holds(self, leg: str) -> bool:
        live = self._exchange.model.legs.get(leg)
        return live is not None and live.phone_hold

    async def _no_phone_hold(
        self, interaction: Interaction, conversation: Conversation | None = None
    ) -> None:
        """Have a phone that holds the call take it back; refuse if that must be done by hand.

        The call is the conversation's, or else the interaction's only one.
        """
        leg = conversation.leg if conversation is not None else interaction.leg
        if self._phone_holds(leg):
            await self._notifier.resume(interaction, leg)

    async def _hold_by_phone(self, interaction: Interaction, conversation: Conversation) -> bool:
        """Have the phone hold the call, if its model can and the call is in no room yet."""
        legs = self._exchange.model.legs
        leg = legs.get(conversation.leg)
        plain = leg is not None and leg.bridge is not None and legs.room_of(leg.id) is None
        if not plain or not self._notifier.can_hold(interaction.endpoint):
            return False
        await self._notifier.hold(conversation.leg)
        await self._until(conversation, ConversationState.HELD)
        return True

    async def _retrieved_by_phone(self, interaction: Interaction, conversation: Conversation) -> bool:
        """Have a phone that holds the call take it back; tell whether that was all that held it."""
        await self._no_phone_hold(interaction, conversation)
        if not self._exchange.model.legs.hearing(conversation.leg).parties & conversation.parties.keys():
            return False
        await self._until(conversation, ConversationState.TALKING)
        return True

    async def _await_party(self, call: Conversation) -> None:
        """Wait a moment for who answered a call that was dialled: the PBX tells the answer first.

        There may be nobody, but a program of the PBX.
        """
        if call.state is ConversationState.TALKING and not call.parties:
            with suppress(TimedOut):
                await self._exchange.until(
                    lambda: bool(call.parties) or call.released, "party of the call", _ANSWERING
                )

    def _live_consult(self, interaction: Interaction) -> Conversation:
        consult = interaction.consult
        if consult is None or consult.released:
            raise Refused("There is no consult call.")
        if interaction.primary.released:
            raise Refused("The first call is over: only the consult call is left.")
        return consult

    def _require_no_consult(self, interaction: Interaction) -> None:
        consult = interaction.consult
        if consult is not None and not consult.released:
            raise Refused(f"There is a consult call already: it is {consult.state}.")

    def _other(self, interaction: Interaction, conversation: Conversation) -> Conversation | None:
        for one in interaction.live_conversations:
            if one is not conversation:
                return one
        return None

    def _party_or_none(self, conversation: Conversation) -> str | None:
        return next(iter(conversation.parties), None) if not conversation.released else None

    def _party(self, conversation: Conversation) -> str:
        party = self._party_or_none(conversation)
        if party is None:
            raise Refused("This call has no other party that could be moved.")
        return party

    async def _checked(self, number: str) -> str:
        return await dialable(self._link, self._settings, number)

    @contextmanager
    def _departing(self, interaction: Interaction, cause: Cause = Cause.TRANSFERRED) -> Iterator[None]:
        """Let the end of the agent's leg count as a transfer, say, unless what is tried inside fails."""
        model = self._exchange.model
        model.expect_departure(interaction.id, cause)
        try:
            yield
        except BaseException:
            model.expect_departure(interaction.id, None)
            raise

    async def _press(self, leg: str, tones: str, *, pause: float = _TONE_PAUSE) -> None:
        """Play tones as if they came from the leg's phone, with `pause` seconds after each."""
        for tone in tones:
            try:
                await self._link.send(
                    "PlayDTMF",
                    {"Channel": leg, "Digit": tone, "Duration": str(_TONE_MS), "Receive": "true"},
                )
            except AmiRefused as refusal:
                raise Refused(f"The tones could not be sent: {refusal}.") from refusal
            await asyncio.sleep(pause)

    async def _set(self, leg: str, **variables: str) -> None:
        await self._variables.set(leg, **variables)

    async def _get(self, leg: str, variable: str) -> str:
        try:
            reply = await self._link.send("Getvar", {"Channel": leg, "Variable": variable})
        except AmiRefused as refusal:
            raise Refused("The call ended at this moment.") from refusal
        return reply.get("Value") or ""

    async def _dismiss(self, _conversation: Conversation, party: str) -> None:
        """Take a party out of a conversation for good."""
        await self._hang_up(party)

    async def _hang_up(self, *legs: str) -> None:
        await hang_up(self._link, *legs)

    async def _swapped(self, talking: Conversation, held: Conversation | None) -> None:
        await self._until(talking, ConversationState.TALKING)
        if held is not None:
            await self._exchange.until(
                lambda: held.state is not ConversationState.TALKING, f"{held.role} conversation on hold"
            )

    async def _until(self, conversation: Conversation, state: ConversationState) -> None:
        ends = (state, ConversationState.RELEASED)

        def reached() -> bool:
            # Asked with every event.
            return conversation.state in ends

        try:
            await self._exchange.until(reached, f"{conversation.role} conversation {state}")
        except TimedOut as overdue:
            raise TimedOut(f"{overdue} It is {conversation.state}.") from None
        if conversation.state is not state:
            raise Refused(f"The call ended meanwhile ({conversation.cause}).")
