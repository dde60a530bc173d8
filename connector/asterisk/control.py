"""Call control on AMI: one recipe a verb, each finished by the events that prove it."""

import uuid

import structlog

from connector.asterisk.contexts import DIAL
from connector.asterisk.exchange import Exchange
from connector.asterisk.handling import CallHandling, dialable
from connector.asterisk.link import AmiLink, AmiRefused
from connector.asterisk.notify import PhoneNotifier
from connector.asterisk.phonecalls import PLACED, PhoneCalls, place
from connector.asterisk.queues import QueueMembership
from connector.asterisk.settings import AnswerMethod, ConsultStrategy, DialSettings
from connector.telephony.interactions import Conversation, Interaction
from connector.telephony.mobile import shown_number
from connector.telephony.numbers import check_number
from connector.telephony.pbx import Refused, Seat
from connector.telephony.states import ANSWERED_STATES, ConversationState, Role

log = structlog.get_logger(__name__)

_HANGUP_NORMAL = "16"
_HANGUP_REJECTED = "21"


class CallControl:
    """Dial, answer, reject and release."""

    def __init__(
        self,
        exchange: Exchange,
        link: AmiLink,
        membership: QueueMembership,
        handling: CallHandling,
        settings: DialSettings,
        phones: PhoneCalls,
        notifier: PhoneNotifier,
    ) -> None:
        self._exchange = exchange
        self._link = link
        self._membership = membership
        self._handling = handling
        self._settings = settings
        self._phones = phones
        self._notifier = notifier

    async def dial(self, seat: Seat, number: str) -> str:
        """Originate: ring the agent's phone; when it is picked up, the dialplan dials the number."""
        self._exchange.require_available()
        destination = self._settings.written(check_number(number))
        if not self._settings.permits(destination):
            raise Refused(f"The number {destination} may not be dialled from here.")
        await self._phones.require_free(seat)
        if self._settings.consult is ConsultStrategy.ATXFER:
            # Our dialplan would tell that the number is unknown; the application Dial alone can't.
            await dialable(self._link, self._settings, number)
        model = self._exchange.model
        leg = f"{PLACED}{uuid.uuid4().hex}"
        model.expect_dial(leg, destination)
        await self._phones.ring(
            seat,
            leg,
            self._second_half(seat, destination),
            caller_id=f'"{destination}" <{destination}>',
            variables=(
                f"__HARMONY_ID={leg}",
                "HARMONY_ROLE=agent",
                f"HARMONY_DIALLED={destination}",
                f"HARMONY_DEST={destination}",
                f"HARMONY_CTX={self._settings.context}",
                f"HARMONY_TIMEOUT={int(self._settings.timeout)}",
                f"HARMONY_CALLERID={self._settings.caller_id or shown_number(seat.endpoint)}",
            ),
            there=lambda: model.interaction(leg) is not None,
        )
        return leg

    def _second_half(self, seat: Seat, destination: str) -> dict[str, str]:
        """Return what the agent's leg runs once it is picked up: our dialplan, or Dial with the codes (T)."""
        if self._settings.consult is ConsultStrategy.ROOMS:
            return place(DIAL, "s")
        # A parenthesis would end the option f.
        shown = (self._settings.caller_id or seat.endpoint).translate({ord("("): None, ord(")"): None})
        where = f"Local/{destination}@{self._settings.context}"
        return {"Application": "Dial", "Data": f"{where},{int(self._settings.timeout)},Tf({shown})"}

    async def answer(self, interaction_id: str, seat: Seat) -> None:
        """PJSIPNotify `Event: talk` on the ringing leg, for phone models that are known to obey it."""
        self._exchange.require_available()
        interaction = self._live(interaction_id)
        conversation = interaction.primary
        if conversation.state is not ConversationState.ALERTING:
            raise Refused(f"The call cannot be answered: it is {conversation.state}.")
        if self._settings.phone_at(seat.endpoint).answer is not AnswerMethod.NOTIFY_TALK:
            raise Refused("This phone cannot be answered from the desktop: please lift the handset.")
        # Earlier than this the phone has no dialog yet, and Asterisk finds no channel to notify.
        await self._exchange.until(lambda: self._rings(interaction), f"ringing of phone {seat.endpoint}")
        await self._notifier.talk(interaction.leg)
        await self._exchange.until(
            lambda: conversation.state is not ConversationState.ALERTING, f"answer of phone {seat.endpoint}"
        )
        if conversation.released:
            raise Refused(f"The call ended before the phone answered ({conversation.cause}).")

    async def reject(self, interaction_id: str, seat: Seat) -> None:
        """Hang the leg up. Pause first, if a queue would offer the call to the same agent for ever."""
        self._exchange.require_available()
        interaction = self._live(interaction_id)
        if interaction.primary.state is not ConversationState.ALERTING:
            raise Refused(f"Only a ringing call can be rejected: this one is {interaction.primary.state}.")
        presence = self._exchange.model.presence(seat.endpoint)
        if interaction.is_of_a_queue and presence.agent == seat.agent and presence.ready:
            await self._membership.set_not_ready(seat, "")
        if interaction.primary.state in ANSWERED_STATES:
            raise Refused("The call was answered meanwhile: please release it instead.")
        await self._hang_up(interaction, interaction.primary, _HANGUP_REJECTED)

    async def release(self, interaction_id: str, conversation_id: str) -> None:
        """Hang up what belongs to the conversation; done when it is released."""
        self._exchange.require_available()
        interaction = self._live(interaction_id)
        conversation = interaction.conversation(conversation_id)
        if conversation is None or conversation.released:
            raise Refused("The conversation is over already.")
        if conversation.state is ConversationState.ALERTING:
            raise Refused("A ringing call cannot be released: reject it instead.")
        if conversation.role is Role.CONSULT:
            await self._handling.cancel(interaction, conversation)
        elif conversation.state is ConversationState.DIALING:
            await self._hang_up(interaction, conversation, _HANGUP_NORMAL)
        else:
            await self._handling.release_primary(interaction)

    async def _hang_up(self, interaction: Interaction, conversation: Conversation, cause: str) -> None:
        try:
            await self._link.send("Hangup", {"Channel": interaction.leg, "Cause": cause})
        except AmiRefused as refusal:
            # The leg went by itself at this moment; its own events end the conversation.
            log.info("leg was gone already", interaction=interaction.id, reason=str(refusal))
        await self._exchange.until(lambda: conversation.released, "end of the call")

    def _live(self, interaction_id: str) -> Interaction:
        interaction = self._exchange.model.interaction(interaction_id)
        if interaction is None or interaction.over:
            raise Refused("The call is over already.")
        return interaction

    def _rings(self, interaction: Interaction) -> bool:
        leg = self._exchange.model.legs.get(interaction.leg)
        return leg is None or leg.alerting
