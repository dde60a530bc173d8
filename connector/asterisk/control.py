"""Call control on AMI: one recipe a verb, each finished by the events that prove it."""

import uuid
from contextlib import suppress

import structlog

from connector.asterisk.exchange import Exchange
from connector.asterisk.link import AmiLink, AmiRefused
from connector.asterisk.queues import QueueMembership, interface_of
from connector.asterisk.rooms import PartyRooms
from connector.asterisk.settings import AnswerMethod, DialSettings, PhoneModel
from connector.telephony.facts import EndpointState, PlacementFailed
from connector.telephony.interactions import Conversation, Interaction
from connector.telephony.numbers import check_number
from connector.telephony.pbx import Refused, Seat, TimedOut
from connector.telephony.states import ConversationState, Role

log = structlog.get_logger(__name__)

_GONE = frozenset({"UNAVAILABLE", "INVALID"})
_THERE = frozenset({EndpointState.IDLE, EndpointState.RINGING, EndpointState.IN_USE})
_REGISTERING = 0.3
_HANGUP_NORMAL = "16"
_HANGUP_REJECTED = "21"


class CallControl:
    """Dial, answer, reject and release."""

    def __init__(
        self,
        exchange: Exchange,
        link: AmiLink,
        membership: QueueMembership,
        rooms: PartyRooms,
        settings: DialSettings,
        system_link: AmiLink | None = None,
    ) -> None:
        self._exchange = exchange
        self._link = link
        self._membership = membership
        self._rooms = rooms
        self._settings = settings
        self._system_link = system_link

    async def dial(self, seat: Seat, number: str) -> str:
        """Originate: ring the agent's phone; when it is picked up, the dialplan dials the number."""
        self._exchange.require_available()
        destination = check_number(number)
        if not self._settings.permits(destination):
            raise Refused(f"The number {destination} may not be dialled from here.")
        model = self._exchange.model
        if any(not one.over for one in model.interactions(seat.endpoint)):
            raise Refused(f"Phone {seat.endpoint} is on a call already.")
        await self._require_registered(seat.endpoint)
        leg = f"hc-{uuid.uuid4().hex}"
        model.expect_dial(leg, destination)
        failed = PlacementFailed(leg, timed_out=False)
        self._exchange.failed_placements[leg] = failed
        try:
            await self._link.send("Originate", self._originate(seat, destination, leg))
            await self._exchange.until(
                lambda: (
                    model.interaction(leg) is not None
                    or self._exchange.failed_placements.get(leg) is not failed
                ),
                f"call to phone {seat.endpoint}",
            )
        except AmiRefused as refusal:
            raise Refused(f"The telephone system refused the call: {refusal}.") from refusal
        finally:
            self._exchange.failed_placements.pop(leg, None)
        if model.interaction(leg) is None:
            raise Refused(f"Phone {seat.endpoint} could not be reached.")
        return leg

    async def _require_registered(self, endpoint: str) -> None:
        query = {"Variable": f"DEVICE_STATE({interface_of(endpoint)})"}
        state = await self._link.send("Getvar", query)
        if state.get("Value") in _GONE:
            # The state of a phone that registers just now follows its registration by some milliseconds.
            with suppress(TimedOut):
                await self._exchange.until(
                    lambda: self._exchange.model.phone(endpoint) in _THERE, f"phone {endpoint}", _REGISTERING
                )
            state = await self._link.send("Getvar", query)
        if state.get("Value") in _GONE:
            raise Refused(f"Phone {endpoint} is not registered with the telephone system.")

    def _originate(self, seat: Seat, destination: str, leg: str) -> dict[str, str | list[str]]:
        variables = [
            f"__HARMONY_ID={leg}",
            "HARMONY_ROLE=agent",
            f"HARMONY_DEST={destination}",
            f"HARMONY_CTX={self._settings.context}",
            f"HARMONY_TIMEOUT={int(self._settings.timeout)}",
            f"HARMONY_CALLERID={self._settings.caller_id or seat.endpoint}",
        ]
        phone = self._phone(seat)
        if phone.answer is AnswerMethod.AUTO_ANSWER:
            name, _, value = phone.auto_answer_header.partition(":")
            variables.append(f"PJSIP_HEADER(add,{name.strip()})={value.strip()}")
        return {
            "Channel": interface_of(seat.endpoint),
            "Context": "harmony-dial",
            "Exten": "s",
            "Priority": "1",
            "Timeout": str(int(self._settings.agent_timeout * 1000)),
            "CallerID": f'"{destination}" <{destination}>',
            "Async": "true",
            "ChannelId": leg,
            "Variable": variables,
        }

    async def answer(self, interaction_id: str, seat: Seat) -> None:
        """PJSIPNotify `Event: talk` on the ringing leg, for phone models that are known to obey it."""
        self._exchange.require_available()
        interaction = self._live(interaction_id)
        conversation = interaction.primary
        if conversation.state is ConversationState.TALKING:
            return
        if conversation.state is not ConversationState.ALERTING:
            raise Refused(f"The call cannot be answered: it is {conversation.state}.")
        if self._phone(seat).answer is not AnswerMethod.NOTIFY_TALK:
            raise Refused("This phone cannot be answered from the desktop: please lift the handset.")
        if self._system_link is None:
            raise Refused("Remote answering is not set up (no system AMI user): please lift the handset.")
        # Earlier than this the phone has no dialog yet, and Asterisk finds no channel to notify.
        await self._exchange.until(lambda: self._rings(interaction), f"ringing of phone {seat.endpoint}")
        try:
            # Unlike other actions this one does not know a channel by its Uniqueid.
            named = await self._link.send("Getvar", {"Channel": interaction.leg, "Variable": "CHANNEL(name)"})
            await self._system_link.send(
                "PJSIPNotify", {"Channel": named["Value"], "Variable": ["Event=talk"]}
            )
        except AmiRefused as refusal:
            raise Refused(f"The phone could not be told to answer: {refusal}.") from refusal
        await self._exchange.until(
            lambda: conversation.state is not ConversationState.ALERTING, f"answer of phone {seat.endpoint}"
        )
        if conversation.released:
            raise Refused(f"The call ended before the phone answered ({conversation.cause}).")

    async def reject(self, interaction_id: str, seat: Seat) -> None:
        """Pause first (a queue would offer the call to the same agent for ever), then hang the leg up."""
        self._exchange.require_available()
        interaction = self._live(interaction_id)
        if interaction.primary.state is not ConversationState.ALERTING:
            raise Refused(f"Only a ringing call can be rejected: this one is {interaction.primary.state}.")
        presence = self._exchange.model.presence(seat.endpoint)
        if presence.agent == seat.agent and presence.ready:
            await self._membership.set_not_ready(seat, "")
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
            await self._rooms.cancel(interaction, conversation)
        elif conversation.state is ConversationState.DIALING:
            await self._hang_up(interaction, conversation, _HANGUP_NORMAL)
        else:
            await self._rooms.release_primary(interaction)

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

    def _phone(self, seat: Seat) -> PhoneModel:
        return self._settings.phones.get(seat.phone_model) or PhoneModel()
