"""Supervision: a supervisor's phone listens to an agent's leg (ChanSpy), silently, whispering or barging in.

The supervisor's leg spies on the agent's leg, which is the same through hold, consult and conference. Where
the phone itself consults there are two, and it goes to the one by which the agent talks. To be heard by the
agent it whispers. To be heard by the parties too, a *voice* joins it to each party that talks to the agent:
internal legs, one of which hears the supervisor and another one whispers to the party. (ChanSpy's own barge
mode finds the far end of a plain bridge only, none in a room, and stays with a party that is put on hold.)
The contexts are in `asterisk-conf/harmony.conf`.
"""

import asyncio
import uuid
from collections.abc import Coroutine

import structlog

from connector.asterisk.chores import Chores
from connector.asterisk.contexts import SUPERVISE, VOICE
from connector.asterisk.exchange import Exchange
from connector.asterisk.handling import hang_up
from connector.asterisk.link import AmiError, AmiLink, AmiRefused
from connector.asterisk.phonecalls import PhoneCalls, place
from connector.asterisk.system_user import SystemUser
from connector.telephony.changes import (
    Change,
    ConversationChanged,
    InteractionEnded,
    MemberJoined,
    MemberLeft,
    MemberReached,
    SupervisionChanged,
)
from connector.telephony.facts import Fact, LegEnded, LegJoined, LegLeft
from connector.telephony.interactions import Interaction
from connector.telephony.legs import Leg
from connector.telephony.mobile import shown_number
from connector.telephony.pbx import PbxProblem, Refused, Seat
from connector.telephony.states import ConversationState, InteractionState, Supervision

log = structlog.get_logger(__name__)


_HEARD = "HARMONY_X_HEARD"
"""On a supervisor's leg: the agent's leg that the dialplan has it listen to."""


def heard_leg(interaction: Interaction) -> str:
    """Return the agent's leg that a supervisor listens to: by which the agent talks, or did last."""
    active = interaction.active
    if not active.released:
        return active.leg
    return next((one.leg for one in interaction.live_conversations), interaction.leg)


class Supervisors:
    """Rings supervisors' phones and keeps their voices where the agent's parties are."""

    def __init__(self, exchange: Exchange, link: AmiLink, user: SystemUser, phones: PhoneCalls) -> None:
        self._exchange = exchange
        self._link = link
        self._user = user
        self._phones = phones
        self._locks: dict[str, asyncio.Lock] = {}
        self._chores = Chores()
        exchange.subscribe(self._on_change, InteractionEnded, SupervisionChanged)
        exchange.attend(self._on_change, ConversationChanged, MemberJoined, MemberLeft, MemberReached)
        exchange.follow(self._on_fact, LegEnded, LegJoined, LegLeft)
        exchange.when_back.append(self._look_at_all)

    async def supervise(self, seat: Seat, interaction_id: str, mode: Supervision) -> None:
        """Ring the phone (done when it rings), or have the phone that supervises go over to `mode`."""
        # ChanSpy itself needs no more than `call`: but one switch for all that listens is easier to guard.
        self._user.require("Supervision")
        self._exchange.require_available()
        model = self._exchange.model
        interaction = model.interaction(interaction_id)
        if interaction is None or interaction.state is not InteractionState.STARTED:
            raise Refused("There is no answered call to supervise.")
        leg = model.supervisor(seat.endpoint)
        if leg is None:
            await self._call(seat, interaction, mode)
            return
        if leg.supervises != interaction.id:
            raise Refused(f"Phone {seat.endpoint} supervises another call: stop that first.")
        if leg.supervision is Supervision.CALLING:
            raise Refused(f"Phone {seat.endpoint} still rings for this call.")
        if leg.supervision is mode:
            raise Refused(f"Phone {seat.endpoint} supervises this call in mode {mode} already.")
        await self._switch(leg, mode)

    async def stop(self, seat: Seat) -> None:
        """Hang up the supervisor's leg."""
        self._exchange.require_available()
        model = self._exchange.model
        leg = model.supervisor(seat.endpoint)
        if leg is None:
            raise Refused(f"Phone {seat.endpoint} supervises no call.")
        await hang_up(self._link, leg.id)
        await self._exchange.until(
            lambda: model.legs.get(leg.id) is None and not self._voices(leg.id), "end of the supervision"
        )

    async def close(self) -> None:
        """Drop what is under way; supervisions stay."""
        self._chores.cancel()
        await asyncio.gather(*self._chores, return_exceptions=True)

    async def _call(self, seat: Seat, interaction: Interaction, mode: Supervision) -> None:
        await self._phones.require_free(seat)
        model = self._exchange.model
        leg = f"hs-{uuid.uuid4().hex}"
        model.expect_supervision(leg, interaction.id)
        await self._user.ready_for_listeners(interaction.id)
        shown = shown_number(interaction.endpoint)
        await self._phones.ring(
            seat,
            leg,
            place(SUPERVISE, mode),
            caller_id=f'"{shown}" <{shown}>',
            variables=(
                f"HARMONY_ID={interaction.id}",
                f"{_HEARD}={heard_leg(interaction)}",
                "HARMONY_ROLE=supervisor",
            ),
            there=lambda: model.legs.get(leg) is not None,
        )

    async def _switch(self, leg: Leg, mode: Supervision) -> None:
        async with self._lock(leg):
            await self._spy(leg, mode)
            await self._exchange.until(
                lambda: leg.supervision is mode or self._exchange.model.legs.get(leg.id) is None,
                f"supervision {mode}",
            )
        await self._place_voices(leg)

    def _lock(self, leg: Leg) -> asyncio.Lock:
        """Return what is held while a supervisor's leg or voices are moved."""
        return self._locks.setdefault(leg.id, asyncio.Lock())

    async def _spy(self, leg: Leg, mode: Supervision) -> None:
        interaction = self._exchange.model.interaction(leg.supervises)
        if interaction is not None and not interaction.over:
            await self._user.ready_for_listeners(interaction.id)
            await self._user.mark(leg.id, _HEARD, heard_leg(interaction))
        fields = {"Channel": leg.id, "Context": SUPERVISE, "Exten": mode, "Priority": "1"}
        try:
            await self._link.send("Redirect", fields)
        except AmiRefused as refusal:
            raise Refused(f"The supervision could not be changed: {refusal}.") from refusal

    # -- voices --------------------------------------------------------------------------------------

    def _on_change(self, change: Change) -> None:
        """See that supervisors hear the agent's call and are heard by those who should hear them."""
        match change:
            case InteractionEnded(interaction=interaction):
                for leg in self._exchange.model.supervisors_of(interaction):
                    self._later(hang_up(self._link, leg.id))
            case ConversationChanged() | MemberJoined() | MemberLeft() | MemberReached():
                for leg in self._exchange.model.supervisors_of(change.interaction):
                    self._later(self._follow(leg, change))
            case SupervisionChanged(state=Supervision.OFF):
                self._later(self._silence_orphans())
            case SupervisionChanged(endpoint=endpoint):
                # Between the asking and the picking up the agent may have gone over to another leg.
                begun = self._exchange.model.supervisor(endpoint)
                if begun is not None:
                    self._later(self._follow(begun, change))
            case _:
                pass

    def _on_fact(self, fact: Fact) -> None:
        """Have who listened to a leg that has ended listen to the agent's other one.

        And whoever comes to the agent or goes elsewhere is to hear the voice, or not: another agent may go
        without any change of this one's conversation.
        """
        for leg in self._supervisors():
            if isinstance(fact, LegEnded):
                if leg.spied == fact.leg:
                    self._later(self._listen(leg, talks=False))
            elif leg.supervision is Supervision.BARGE and self._audience(leg) != self._voices(leg.id).keys():
                self._later(self._place_voices(leg))

    def _look_at_all(self) -> None:
        """See what phones did in the gap."""
        for leg in self._supervisors():
            self._later(self._listen(leg, talks=False))

    def _supervisors(self) -> list[Leg]:
        return self._exchange.model.legs.supervising()

    async def _follow(self, leg: Leg, change: Change) -> None:
        talks = isinstance(change, MemberReached)
        if isinstance(change, ConversationChanged):
            talks = change.state is ConversationState.TALKING
        await self._listen(leg, talks=talks)
        await self._place_voices(leg)

    async def _listen(self, leg: Leg, *, talks: bool) -> None:
        """See that a supervisor listens where the agent talks; `talks`: to somebody from this moment on."""
        model = self._exchange.model
        async with self._lock(leg):
            interaction = model.interaction(leg.supervises)
            if interaction is None or interaction.over or model.legs.get(leg.id) is None:
                return
            heard = heard_leg(interaction)
            if leg.supervision is Supervision.CALLING:
                # Not picked up yet: then it begins with this one.
                await self._user.mark(leg.id, _HEARD, heard)
                return
            # ChanSpy may go deaf when a plain bridge brings another far end (seen on 22.10): start it anew.
            if heard != leg.spied or (talks and model.legs.room_of(heard) is None):
                await self._spy(leg, leg.supervision)
            else:
                # The phone may have held the call between the ringing and the picking up.
                await self._user.ready_for_listeners(interaction.id)
            await self._exchange.until(
                lambda: leg.spied == heard or interaction.over or model.legs.get(leg.id) is None,
                f"supervision of leg {heard}",
            )

    async def _place_voices(self, leg: Leg) -> None:
        async with self._lock(leg):
            wanted, there = self._audience(leg), self._voices(leg.id)
            ending = {voice for party, voice in there.items() if party not in wanted}
            await hang_up(self._link, *sorted(ending))
            # Else whoever is taken off hold at once would pass for heard already.
            await self._exchange.until(
                lambda: not ending & set(self._voices(leg.id).values()), "end of a supervisor's voice"
            )
            for party in sorted(wanted - there.keys()):
                await self._place_voice(leg, party)

    async def _silence_orphans(self) -> None:
        """Hang up the voices of supervisors that are gone."""
        legs = self._exchange.model.legs
        for owner in [owner for owner in self._locks if legs.get(owner) is None]:
            await hang_up(self._link, *self._voices(owner).values())
            self._locks.pop(owner, None)

    def _audience(self, leg: Leg) -> set[str]:
        """Return the parties that should hear the supervisor: those that talk to the agent, when barging."""
        model = self._exchange.model
        interaction = model.interaction(leg.supervises)
        if interaction is None or leg.supervision is not Supervision.BARGE or model.legs.get(leg.id) is None:
            return set()
        return {
            party
            for conversation in interaction.live_conversations
            if conversation.state is ConversationState.TALKING
            for party in conversation.parties
            if party in model.legs.hearing(conversation.leg).parties
        }

    def _voices(self, supervisor: str) -> dict[str, str]:
        """Return a supervisor's voices by party. Their ids tell whose they are, after a restart too."""
        return {
            one.spied: one.id
            for one in self._exchange.model.legs.legs.values()
            if one.internal and one.spied not in {"", supervisor} and one.id.startswith(f"{supervisor}-")
        }

    async def _place_voice(self, leg: Leg, party: str) -> None:
        legs = self._exchange.model.legs
        voice = f"{leg.id}-{uuid.uuid4().hex[:8]}"
        fields: dict[str, str | list[str]] = {
            "Channel": f"Local/listen@{VOICE}/n",
            "Context": VOICE,
            "Exten": "speak",
            "Priority": "1",
            "Async": "true",
            "ChannelId": f"{voice}-1",
            "OtherChannelId": f"{voice}-2",
            "Variable": [f"HARMONY_X_SPEAKER={leg.id}", f"__HARMONY_X_SPIED={party}"],
        }
        try:
            await self._link.send("Originate", fields)
        except AmiRefused as refusal:
            raise Refused(f"The supervisor cannot be heard: {refusal}.") from refusal
        await self._exchange.until(
            lambda: party in self._voices(leg.id) or legs.get(party) is None or legs.get(leg.id) is None,
            f"voice of phone {leg.endpoint}",
        )

    def _later(self, chore: Coroutine[None, None, None]) -> None:
        self._chores.start(self._quietly(chore))

    async def _quietly(self, chore: Coroutine[None, None, None]) -> None:
        try:
            await chore
        except (AmiError, PbxProblem) as problem:
            log.warning("a supervisor's voice was not moved", problem=str(problem))
