"""Consult, alternate, transfer and conference by the attended transfer that Asterisk has itself.

For a PBX that takes no dialplan of ours. The action Atxfer presses the site's code and the number on the
agent's leg; from then on Asterisk knows the states, and further codes of `features.conf` swap, join and
complete. What it has no code for (a plain hold, a third party) is refused in a sentence that says so.
"""

import asyncio
import time
from contextlib import suppress
from itertools import product
from typing import NoReturn

from connector.asterisk.chores import Chores
from connector.asterisk.exchange import Exchange
from connector.asterisk.handling import AnsweredCalls
from connector.asterisk.held_by_nobody import HeldByNobody
from connector.asterisk.link import AmiError, AmiLink, AmiRefused
from connector.asterisk.notify import PhoneNotifier
from connector.asterisk.phonecalls import PLACED
from connector.asterisk.phoneside import phone_holds
from connector.asterisk.settings import DialSettings
from connector.asterisk.variables import LegVariables
from connector.telephony import facts
from connector.telephony.changes import Change, ConversationAdded, ConversationChanged, InteractionEnded
from connector.telephony.interactions import Conversation, Interaction
from connector.telephony.pbx import Limits, Refused, TimedOut
from connector.telephony.states import ANSWERED_STATES, Cause, ConversationState, Role

_LIMIT = "This telephone system is used without the connector's dialplan (consult: atxfer), so"

LIMITS = (
    "A call is held by a consult call only, or on the phone.",
    "Nobody is called into a conference: consult first; more than three cannot talk.",
    "There is no consult call out of a conference, and no private word with one member of it.",
    "A consult call that the agent began on the phone can be released; all else is done on the phone.",
    "A blind transfer to somebody who does not answer ends the call.",
    "An agent whose call was dialled from the desktop cannot be sent to a number by the other agent.",
    "If the customer hangs up while the agent talks to them in a consult, all calls end.",
    "After a conference that the agent has left a queue counts the call for the agent until the caller goes.",
)
"""What this strategy cannot do, for `connector check` and desktops; at length in docs/call-handling.md."""

_NEVER = frozenset({"blind_conference", "private_word"})
"""Procedures of `Pbx` that are refused whatever the phone can do."""

_BEGUN = 2.0
"""Seconds in which Asterisk holds the call after Atxfer, if it lets the agent transfer (usually 0.25)."""
_COLLECTING = 5.0
"""Seconds in which it then dials: it waits `transferdigittimeout` (3) if the number might go on."""
_RELEASED = ConversationState.RELEASED
_BACK = {ConversationState.TALKING, _RELEASED}

_DEAF = 0.6
"""Seconds after a consult in which Asterisk obeys no code: 0.4 on 22.10, while the agent hears a beep."""

_FORGOTTEN = 5.0
"""Seconds after which Asterisk surely looks for a code anew (`featuredigittimeout`, 1 by default)."""
_LONGEST_CODE = 16

_BEGIN = "FEATUREMAP(atxfer)"
_SWAP, _COMPLETE, _JOIN = "FEATURE(atxferswap)", "FEATURE(atxfercomplete)", "FEATURE(atxferthreeway)"
_CODES = (
    _BEGIN,
    "FEATUREMAP(blindxfer)",
    "FEATUREMAP(disconnect)",
    "FEATURE(atxferabort)",
    _SWAP,
    _COMPLETE,
    _JOIN,
)
_OTHER_CODES = ("FEATUREMAP(automixmon)", "FEATUREMAP(parkcall)")


class AttendedTransfers(AnsweredCalls):
    """`CallHandling` by Atxfer, CancelAtxfer, BlindTransfer and the codes of `features.conf`."""

    def __init__(
        self,
        exchange: Exchange,
        link: AmiLink,
        settings: DialSettings,
        notifier: PhoneNotifier,
        variables: LegVariables,
    ) -> None:
        super().__init__(exchange, link, settings, notifier, variables)
        self._deaf_until: dict[str, float] = {}
        self._pressed: dict[str, tuple[str, float]] = {}
        """The last tones that each interaction was asked to send, and when."""
        exchange.subscribe(self._note_consult)
        self._held_by_nobody = HeldByNobody(exchange, self._hang_up)
        self._chores = Chores()

    def close(self) -> None:
        """Let go of chores that are under way."""
        self._held_by_nobody.close()
        self._chores.cancel()

    def limits(self, endpoint: str) -> Limits:
        """Return what Asterisk's own attended transfer has no code for."""
        by_phone = self._notifier.can_hold(endpoint)
        return Limits(_NEVER if by_phone else _NEVER | {"hold"}, LIMITS)

    # -- hold ----------------------------------------------------------------------------------------

    async def hold(self, interaction_id: str, conversation_id: str) -> None:
        """Have the phone hold the call, if its model can: Asterisk holds only for a consult."""
        interaction, conversation = self._find(interaction_id, conversation_id)
        self._require(conversation, ConversationState.TALKING, "held")
        if len(interaction.live_conversations) == 1 and await self._hold_by_phone(interaction, conversation):
            return
        self._beyond("a call can be held only by a consult call, or on the phone itself")

    async def retrieve(self, interaction_id: str, conversation_id: str) -> None:
        """Back to the parties on hold: by swapping, or by giving up a consult call that got nowhere."""
        interaction, conversation = self._find(interaction_id, conversation_id)
        self._require(conversation, ConversationState.HELD, "retrieved")
        if await self._retrieved_by_phone(interaction, conversation):
            return
        other = self._other(interaction, conversation)
        if other is None:
            await self._abort(interaction)
            await self._until(conversation, ConversationState.TALKING)
        elif other.state is ConversationState.DIALING:
            raise Refused("The call cannot be retrieved while the consult call rings: release that first.")
        else:
            await self._swap(interaction, conversation, other)

    async def alternate(self, interaction_id: str) -> None:
        """Swap the conversation that talks and the one on hold."""
        interaction = self._started(interaction_id)
        consult = self._live_consult(interaction)
        primary = interaction.primary
        held = [one for one in (primary, consult) if one.state is ConversationState.HELD]
        if consult.state is ConversationState.DIALING or not held:
            raise Refused(f"There is nothing to alternate: the consult call is {consult.state}.")
        await self._no_phone_hold(interaction)
        await self._swap(interaction, held[0], consult if held[0] is primary else primary)

    # -- consult -------------------------------------------------------------------------------------

    async def consult(self, interaction_id: str, number: str) -> str:
        """Send Atxfer, once: a second one would complete the transfer. Returns the consult's id."""
        interaction = self._started(interaction_id)
        primary = interaction.primary
        self._require_no_consult(interaction)
        await self._no_phone_hold(interaction, primary)
        self._require(primary, ConversationState.TALKING, "consulted about")
        # A program of the PBX shows no hold by which the consult's beginning could be seen.
        self._party(primary)
        if len(primary.parties) > 1:
            self._beyond("there is no consult call out of a conference")
        self._not_consulting(interaction)
        destination = await self._checked(number)
        if "+" in destination:
            self._beyond(f"a consult call is dialled by tones, and {destination} is not only tones")
        await self._listening(interaction)
        before = interaction.consult
        try:
            await self._link.send(
                "Atxfer",
                {"Channel": interaction.leg, "Exten": destination, "Context": self._settings.context},
            )
        except AmiRefused as refusal:
            raise Refused(f"The telephone system refused the consult call: {refusal}.") from refusal
        await self._held(interaction)
        await self._set_codes_apart(interaction)
        await self._exchange.until(
            lambda: (
                interaction.over
                or interaction.consult is not before
                or primary.state is not ConversationState.HELD
            ),
            f"consult call to {destination}",
            _COLLECTING + self._exchange.proof_timeout,
        )
        if interaction.consult is None or interaction.consult is before:
            if primary.state is ConversationState.TALKING:
                raise Refused(f"The number {destination} could not be reached.")
            raise Refused("The call ended before the consult call began.")
        return interaction.consult.id

    async def cancel(self, interaction: Interaction, consult: Conversation) -> None:
        """Drop the consult call; the agent is back with the primary, if that is still there."""
        if consult.leg != interaction.primary.leg:
            # The phone's own second call goes; what the phone does with its first one is its own affair.
            await self._hang_up(*consult.parties, consult.leg)
            await self._until(consult, ConversationState.RELEASED)
            return
        if interaction.primary.released:
            await self._hang_up(interaction.leg)
            await self._until(consult, ConversationState.RELEASED)
            return
        await self._abort(interaction)
        await self._until(consult, ConversationState.RELEASED)
        primary = interaction.primary
        await self._exchange.until(
            lambda: primary.state in _BACK or self._is_with(interaction, primary), "return to the first call"
        )

    async def consult_transfer(self, interaction_id: str) -> None:
        """Let the others go on without the agent. If the target does not answer, Asterisk rings the agent."""
        interaction = self._started(interaction_id)
        consult, primary = self._live_consult(interaction), interaction.primary
        with self._departing(interaction):
            await self._press_code(interaction, _COMPLETE)
            await self._exchange.until(
                lambda: interaction.over or (consult.released and primary.state is ConversationState.TALKING),
                "transfer",
            )
            if not interaction.over:
                raise Refused(f"The consult call ended meanwhile ({consult.cause}).")

    async def consult_conference(self, interaction_id: str) -> None:
        """Join all three."""
        interaction = self._started(interaction_id)
        consult = self._live_consult(interaction)
        if consult.state not in ANSWERED_STATES:
            raise Refused(f"The consult call cannot join: it is {consult.state}.")
        self._own(interaction)
        await self._no_phone_hold(interaction)
        await self._press_code(interaction, _JOIN)
        await self._until(consult, ConversationState.RELEASED)
        await self._until(interaction.primary, ConversationState.TALKING)
        if consult.cause is not Cause.CONFERENCED:
            raise Refused(f"The consult call ended meanwhile ({consult.cause}).")

    # -- blind ---------------------------------------------------------------------------------------

    async def blind_transfer(self, interaction_id: str, conversation_id: str, number: str) -> None:
        """Send the party to a number that the dialplan has (others would end the call); the agent leaves."""
        interaction, conversation = self._find(interaction_id, conversation_id)
        if not self._phone_holds(conversation.leg):
            self._require(conversation, ConversationState.TALKING, "transferred")
        if len(conversation.parties) > 1 or len(interaction.live_conversations) > 1:
            raise Refused("Only a call with one party can be transferred to a number.")
        if any(map(self._runs_nothing, conversation.parties)):
            self._beyond("who was called for another desktop cannot be sent to a number")
        destination = await self._checked(number)
        with self._departing(interaction):
            try:
                await self._link.send(
                    "BlindTransfer",
                    {"Channel": interaction.leg, "Exten": destination, "Context": self._settings.context},
                )
            except AmiRefused as refusal:
                raise Refused(f"The call could not be transferred: {refusal}.") from refusal
            await self._exchange.until(lambda: interaction.over, "transfer")

    def _runs_nothing(self, party: str) -> bool:
        """Whether a leg was called by us to dial, and so has no dialplan that could go on elsewhere."""
        return self._exchange.model.interaction_on(party) is not None and party.startswith(PLACED)

    async def blind_conference(self, interaction_id: str, conversation_id: str, _number: str) -> None:
        """Refuse: Asterisk joins only whom the agent has consulted."""
        _interaction, conversation = self._find(interaction_id, conversation_id)
        self._require(conversation, ConversationState.TALKING, "extended")
        self._beyond("nobody joins a call unasked: consult the number, then make a conference")

    async def private_word(self, interaction_id: str, conversation_id: str, _member_id: str) -> None:
        """Refuse: nobody who was joined by Asterisk's own conference can be taken out of it again."""
        _interaction, conversation = self._find(interaction_id, conversation_id)
        self._require(conversation, ConversationState.TALKING, "left for a private word")
        self._beyond("there is no private word with one member of a conference")

    # -- small ones ----------------------------------------------------------------------------------

    async def release_primary(self, interaction: Interaction) -> None:
        """End the primary: the consult goes on if there is one, a conference goes on without the agent."""
        primary, consult = interaction.primary, interaction.consult
        if consult is None or consult.released:
            if primary.parties and not self._is_with(interaction, primary):
                # Left at a busy tone: if the agent's leg went first, that would be a transfer to it.
                await self._hang_up(*primary.parties)
                await self._until(primary, ConversationState.RELEASED)
            await self._hang_up(interaction.leg)
        elif consult.leg != primary.leg:
            await self._hang_up(*primary.parties, primary.leg)
        elif consult.state is ConversationState.DIALING:
            raise Refused(
                "While the consult call rings, the first call cannot end alone: release that first."
            )
        else:
            # Asterisk ends everything if the party goes while the agent is with it.
            if self._is_with(interaction, primary):
                await self._no_phone_hold(interaction)
                await self._swap(interaction, consult, primary)
            await self._hang_up(*primary.parties)
        await self._until(primary, ConversationState.RELEASED)

    async def send_dtmf(self, interaction_id: str, conversation_id: str, tones: str) -> None:
        """Play the tones as if the agent's phone had sent them, unless Asterisk would take them as a code."""
        interaction, _conversation = self._find(interaction_id, conversation_id)
        # A desktop sends one request for each key: together they may be a code.
        before, at = self._pressed.get(interaction_id, ("", 0.0))
        together = f"{before if time.monotonic() - at < _FORGOTTEN else ''}{tones}"
        for code in await self._codes(interaction, *_CODES):
            if code and code in together:
                self._beyond(f"{code} among the tones would be taken as a code")
        await self._listening(interaction)
        try:
            await super().send_dtmf(interaction_id, conversation_id, tones)
        finally:
            self._pressed[interaction_id] = together[-_LONGEST_CODE:], time.monotonic()

    # -- how -----------------------------------------------------------------------------------------

    def _beyond(self, limit: str) -> NoReturn:
        raise Refused(f"{_LIMIT} {limit}.")

    def _is_with(self, interaction: Interaction, conversation: Conversation) -> bool:
        """Whether the agent's leg is with the conversation's parties, also if its phone holds them."""
        heard = self._exchange.model.legs.hearing(interaction.leg)
        return not heard.parties.isdisjoint(conversation.parties)

    async def _codes(self, interaction: Interaction, *names: str) -> list[str]:
        """Return codes of the agent's leg, asked for at once; an empty one is not set."""
        asked = [{"Channel": interaction.leg, "Variable": name} for name in names]
        answers = await asyncio.gather(*(self._link.send("Getvar", fields) for fields in asked))
        return [answer.get("Value") or "" for answer in answers]

    def _note_consult(self, change: Change) -> None:
        match change:
            case ConversationAdded(interaction=one, role=Role.CONSULT):
                self._chores.start(self._note_number(one))
            case InteractionEnded(interaction=ended):
                self._deaf_until.pop(ended, None)
                self._pressed.pop(ended, None)
            case ConversationChanged(interaction=one, conversation=conversation) if change.state is _RELEASED:
                interaction = self._exchange.model.interaction(one)
                if (
                    interaction is not None
                    and conversation != interaction.primary.id
                    and not interaction.over
                ):
                    self._deaf_until[one] = time.monotonic() + _DEAF
                    self._chores.start(self._see_hold(interaction))
            case _:
                pass

    async def _note_number(self, interaction_id: str) -> None:
        """Note a consult's number on the agent's leg, whoever began it."""
        interaction = self._exchange.model.interaction(interaction_id)
        if interaction is not None and not interaction.over:
            with suppress(AmiError):
                await self.note_consult(interaction.conversations_begun, interaction.leg)

    async def _see_hold(self, interaction: Interaction) -> None:
        """Ask whether the phone holds the first call, now that Asterisk itself holds nothing any more.

        What it tells of its own holds hides the phone's, which outlasts the consult.
        """
        await self._listening(interaction)
        if interaction.over or interaction.primary.released:
            return
        with suppress(AmiError):
            if await phone_holds(self._link, interaction.leg):
                self._exchange.apply(facts.PhoneHeld(interaction.leg))
                # It may have taken the call back as it was asked.
                if not await phone_holds(self._link, interaction.leg):
                    self._exchange.apply(facts.PhoneResumed(interaction.leg))

    async def _listening(self, interaction: Interaction) -> None:
        """Wait until Asterisk listens to the agent's tones again."""
        await asyncio.sleep(self._deaf_until.get(interaction.id, 0.0) - time.monotonic())

    def _own(self, interaction: Interaction) -> None:
        """Refuse unless Asterisk itself has the consult: a code would be heard as tones."""
        leg = self._exchange.model.legs.get(interaction.leg)
        if leg is None or leg.joint is None:
            raise Refused("The consult call was begun on the phone: go on with it there, or release it.")

    async def _set_codes_apart(self, interaction: Interaction) -> None:
        """Let another code begin transfers on the agent's leg, if the site's is one that is pressed in them.

        Who is consulted may hang up as it is pressed: then the agent is back in the first call, where it must
        begin nothing. Asterisk learns the codes anew whenever a leg comes into a bridge.
        """
        names = (*_CODES, *_OTHER_CODES)
        codes = dict(zip(names, await self._codes(interaction, *names), strict=True))
        if codes[_BEGIN] not in {codes[name] for name in (_SWAP, _COMPLETE, _JOIN)}:
            return
        taken = [code for code in codes.values() if code]
        for tones in product("*#", "987654321"):
            code = "".join(tones)
            if not any(code.startswith(one) or one.startswith(code) for one in taken):
                with suppress(AmiRefused):
                    fields = {"Channel": interaction.leg, "Variable": _BEGIN, "Value": code}
                    await self._link.send("Setvar", fields)
                return

    async def _press_code(self, interaction: Interaction, name: str) -> None:
        self._own(interaction)
        (code,) = await self._codes(interaction, name)
        if not code:
            self._beyond(f"its features.conf must have {name[8:-1]}, and has not")
        await self._press(interaction.leg, code, pause=0.0)

    def _not_consulting(self, interaction: Interaction) -> None:
        """Refuse if a consult's Local channel is beside this leg: nobody knows what Asterisk does then."""
        if any(one.internal and not one.rung for one in self._exchange.model.legs.beside(interaction.leg)):
            self._beyond("there is no consult call out of a call that is, or may be, a consult call itself")

    async def _held(self, interaction: Interaction) -> None:
        """Wait for the hold with which an attended transfer begins: Atxfer tells no more than "queued"."""
        try:
            await self._exchange.until(
                lambda: interaction.over or interaction.primary.state is not ConversationState.TALKING,
                "attended transfer",
                _BEGUN,
            )
        except TimedOut as problem:
            raise Refused(
                "The telephone system does not let this call be consulted about: "
                "its Dial or Queue needs the options t and T."
            ) from problem

    async def _swap(self, interaction: Interaction, talking: Conversation, held: Conversation) -> None:
        await self._press_code(interaction, _SWAP)
        await self._swapped(talking, held)

    async def _abort(self, interaction: Interaction) -> None:
        self._own(interaction)
        try:
            await self._link.send("CancelAtxfer", {"Channel": interaction.leg})
        except AmiRefused as refusal:
            raise Refused(f"The consult call could not be dropped: {refusal}.") from refusal
