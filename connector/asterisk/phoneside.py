"""What must be done on the PBX when the agent uses the phone's own keys, so that desk and ears agree.

The model follows the keys by itself. Here is the rest: a hold inside a party room brings music, a transfer
that Asterisk cannot do from a room is done by us, a party that a transfer left in a wrong place is seated,
and what a restarted connector must know of a consult stands on the channels. Nothing here answers anybody:
what fails is logged, and the call stays as the phone left it.
"""

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial

import structlog

from connector.asterisk.chores import Chores
from connector.asterisk.exchange import Exchange
from connector.asterisk.handling import CallHandling
from connector.asterisk.link import AmiError, AmiLink, AmiRefused
from connector.asterisk.queues import QueueMembership
from connector.asterisk.turns import Turns
from connector.asterisk.variable_names import VARIABLE_PREFIX
from connector.asterisk.wire import AmiValueRejected
from connector.telephony import facts
from connector.telephony.changes import (
    Change,
    ConversationAdded,
    ConversationChanged,
    InteractionEnded,
    InteractionStarted,
    PartiesLeftTogether,
)
from connector.telephony.facts import Fact
from connector.telephony.interactions import Interaction
from connector.telephony.pbx import PbxProblem, Seat
from connector.telephony.states import Cause, ConversationState, InteractionState

log = structlog.get_logger(__name__)

CONSULT_VARIABLE = "HARMONY_CONSULT"
"""On the second leg of a phone that consults: the interaction that it belongs to."""

Chore = Callable[[], Coroutine[None, None, None]]


_FACTS = (
    *(facts.LegJoined, facts.LegLeft, facts.LegEnded, facts.PhoneHeld, facts.PhoneResumed),
    *(facts.MusicStarted, facts.TransferRefused, facts.JoinRefused, facts.DialStarted),
)
"""What a phone may have done, or what calls for something of ours."""

_CHANGES = (ConversationAdded, ConversationChanged, InteractionStarted, PartiesLeftTogether)
"""The same. An interaction that ended is looked into while the model has it: it may be forgotten at once."""


class PhoneSide:
    """Follows the facts, and does its chores one after the other for each leg."""

    def __init__(
        self,
        exchange: Exchange,
        link: AmiLink,
        handling: CallHandling,
        membership: QueueMembership,
        turns: Turns,
    ) -> None:
        self._exchange = exchange
        self._link = link
        self._handling = handling
        self._membership = membership
        self._turns = turns
        self._last: dict[str, asyncio.Task[None]] = {}
        self._chores = Chores()
        self._prepared: dict[str, str] = {}
        exchange.follow(self._on_fact, *_FACTS)
        exchange.subscribe(self._on_change, InteractionEnded)
        exchange.attend(self._on_change, *_CHANGES)

    def close(self) -> None:
        """Let go of chores that are under way."""
        self._chores.cancel()

    def look(self) -> None:
        """Write anew, after a gap, whose the phones' consults are: the link may have broken in between."""
        model = self._exchange.model
        for interaction in model.interactions_everywhere():
            consult = interaction.consult
            if interaction.over or consult is None or consult.released:
                continue
            if consult.leg != interaction.primary.leg:
                number = interaction.conversations_begun
                self._run(consult.leg, partial(self._mark, consult.leg, interaction, number))

    # -- what happens --------------------------------------------------------------------------------

    def _on_fact(self, fact: Fact) -> None:
        match fact:
            case facts.LegJoined(leg=leg):
                for interaction in self._exchange.model.about(leg):
                    self._prepare(interaction)
                    self._joins_a_hold(interaction, leg)
            case facts.LegEnded(leg=leg):
                self._prepared.pop(leg, None)
            case _:
                pass
        match fact:
            case facts.PhoneHeld(leg=leg) | facts.LegJoined(leg=leg) if self._holds(leg):
                held_before = isinstance(fact, facts.LegJoined)
                self._run(leg, lambda: self._joined_on_hold(leg) if held_before else self._step_out(leg))
            case facts.PhoneResumed(leg=leg) if self._interaction_of(leg) is not None:
                self._run(leg, lambda: self._handling.step_in(leg))
            case facts.LegLeft(leg=leg, waits=True) | facts.MusicStarted(leg=leg, waits=True):
                self._leave_if_alone(leg)
            case facts.TransferRefused(leg=leg, number=number):
                self._run(leg, lambda: self._transfer(leg, number))
            case facts.JoinRefused(by=(first, second)):
                self._run(first, lambda: self._join(first, second))
            case facts.DialStarted(caller=caller, callee=callee):
                self._tell_data(self._exchange.model.legs.originator(caller), callee)
            case _:
                pass

    def _on_change(self, change: Change) -> None:
        match change:
            case ConversationAdded(interaction=interaction_id, conversation=conversation_id):
                interaction = self._exchange.model.interaction(interaction_id)
                consult = interaction.conversation(conversation_id) if interaction is not None else None
                if interaction is not None and consult is not None and consult.leg != interaction.primary.leg:
                    leg, about, number = consult.leg, interaction, interaction.conversations_begun
                    self._run(leg, lambda: self._mark(leg, about, number))
            case InteractionStarted(interaction=interaction_id):
                started = self._exchange.model.interaction(interaction_id)
                if started is not None:
                    self._prepare(started)
            case ConversationChanged(state=ConversationState.TALKING):
                self._house(change.interaction, change.conversation)
            case PartiesLeftTogether():
                self._seat_newcomer(change)
            case InteractionEnded(interaction=interaction_id, cause=Cause.REJECTED):
                self._declined(self._exchange.model.interaction(interaction_id))
            case _:
                pass

    def _run(self, leg: str, chore: Chore) -> None:
        task = self._chores.start(self._carry_out(leg, self._last.get(leg), chore))
        self._last[leg] = task
        task.add_done_callback(lambda _: self._done(leg, task))

    def _done(self, leg: str, task: asyncio.Task[None]) -> None:
        if self._last.get(leg) is task:
            del self._last[leg]

    async def _carry_out(self, leg: str, before: asyncio.Task[None] | None, chore: Chore) -> None:
        if before is not None:
            await asyncio.wait((before,))
        try:
            await chore()
        except (AmiError, PbxProblem) as problem:
            log.warning("the phone's wish was not carried out", leg=leg, problem=str(problem))

    def _prepare(self, interaction: Interaction) -> None:
        """Have a call and whoever is new in it made ready for the phone's keys.

        The PBX may tell the answer before the party, which may be another after a transfer at the far end.
        """
        if interaction.state is not InteractionState.STARTED:
            return
        legs = (interaction.leg, *interaction.primary.parties)
        if all(self._prepared.get(leg) == interaction.id for leg in legs):
            return
        self._prepared |= dict.fromkeys(legs, interaction.id)
        self._run(interaction.leg, partial(self._handling.prepare, interaction))

    # -- hold ----------------------------------------------------------------------------------------

    def _holds(self, leg: str) -> bool:
        live = self._exchange.model.legs.get(leg)
        return live is not None and live.phone_hold and self._interaction_of(leg) is not None

    async def _step_out(self, leg: str) -> None:
        legs = self._exchange.model.legs
        live = legs.get(leg)
        if live is None or live.bridge is None:
            return
        room = await self._exchange.named_room(leg)
        if live.phone_hold and room is not None:
            await self._handling.step_out(leg)

    async def _joined_on_hold(self, leg: str) -> None:
        """Bring music to whom a leg has joined whose phone held already, while it rang, say.

        Asterisk tells a bridge of a hold, but not of one that is older than the bridge.
        """
        await self._step_out(leg)
        legs = self._exchange.model.legs
        interaction, live = self._interaction_of(leg), legs.get(leg)
        if interaction is None or live is None or not live.phone_hold or live.bridge is None:
            return
        heard = [legs.get(party) for party in legs.hearing(leg).parties]
        if any(one is not None and legs.hears_music(one) for one in heard):
            # It was told of this hold; the lists of the PBX tell each leg's bridge anew.
            return
        turn = self._turns.of(interaction.id)
        if turn.locked():
            # As in `_give_room`.
            self._chores.start(_after(turn, lambda: self._run(leg, lambda: self._joined_on_hold(leg))))
            return
        async with turn:
            await self._handling.ready_for_listeners(interaction.id)

    def _joins_a_hold(self, interaction: Interaction, party: str) -> None:
        """Bring music to a party that comes to an agent's leg whose phone holds: nobody tells it so."""
        for leg in interaction.legs:
            beside = [one.id for one in self._exchange.model.legs.beside(leg)] if self._holds(leg) else ()
            if party in beside:
                self._run(leg, partial(self._joined_on_hold, leg))

    def _leave_if_alone(self, leg: str) -> None:
        """Let a leg go that came to wait when its party had just hung up."""
        for interaction in self._exchange.model.about(leg):
            if leg in interaction.every_leg and not interaction.on_leg(leg):
                self._run(leg, lambda: self._handling.leave_if_alone(leg))

    # -- transfer ------------------------------------------------------------------------------------

    async def _transfer(self, leg: str, number: str) -> None:
        """Do the blind transfer that Asterisk refused because of the room."""
        interaction, legs = self._interaction_of(leg), self._exchange.model.legs
        live = legs.get(leg)
        if interaction is None or live is None or not (live.waits or legs.room_of(leg)):
            return
        (conversation, *_more) = interaction.on_leg(leg) or (None,)
        if conversation is not None:
            await self._handling.blind_transfer(interaction.id, conversation.id, number)

    async def _join(self, first: str, second: str) -> None:
        """Do the attended transfer that Asterisk refused: neither call of the phone is in a plain bridge."""
        one, other = self._interaction_of(first), self._interaction_of(second)
        if one is None or other is None:
            return
        if one is other:
            await self._handling.consult_transfer(one.id)
        else:
            await self._handling.join(one.id, other.id)

    def _house(self, interaction_id: str, conversation_id: str) -> None:
        """See that a phone never has a call in a plain bridge beside one in a room.

        To join such two Asterisk puts a party in the place of the phone's leg, and loses both parties if the
        phone hangs that leg up at this moment. Two in rooms it refuses to join; then we do it.
        """
        model = self._exchange.model
        interaction = model.interaction(interaction_id)
        conversation = interaction.conversation(conversation_id) if interaction is not None else None
        if interaction is None or conversation is None:
            return
        if any(leg.id != conversation.leg for leg in model.legs.of_endpoint(interaction.endpoint)):
            self._run(conversation.leg, partial(self._give_room, interaction_id, conversation_id))

    async def _give_room(self, interaction_id: str, conversation_id: str) -> None:
        turn = self._turns.of(interaction_id)
        if turn.locked():
            # The request that is under way may need later chores of this leg: so those do not wait for it.
            self._chores.start(_after(turn, lambda: self._house(interaction_id, conversation_id)))
            return
        async with turn:
            await self._handling.house(interaction_id, conversation_id)

    def _seat_newcomer(self, met: PartiesLeftTogether) -> None:
        """After an attended transfer: if a party sits in a room, the other one belongs there too."""
        room_of = self._exchange.model.legs.room_of
        for seated, others in ((met.first, met.second), (met.second, met.first)):
            party = next(filter(room_of, seated), None)
            if party is not None and others:
                newcomer = others[0]
                self._run(newcomer, partial(self._seat, newcomer, party, met.by))
                return

    async def _seat(self, newcomer: str, party: str, by: tuple[str, ...]) -> None:
        legs = self._exchange.model.legs
        # Until the phone's own legs are gone the PBX is still busy putting the newcomer somewhere.
        await self._exchange.until(lambda: not any(map(legs.get, by)), "end of the transfer")
        if legs.get(newcomer) is not None and legs.get(party) is not None:
            await self._handling.seat(newcomer, party)

    # -- consult -------------------------------------------------------------------------------------

    async def _mark(self, leg: str, interaction: Interaction, number: int) -> None:
        """Write on a consult's own leg whose it is, and its number; that on the first leg, too."""
        whose = {"Channel": leg, "Variable": CONSULT_VARIABLE, "Value": interaction.id}
        await self._link.send("Setvar", whose)
        await self._handling.note_consult(number, leg, interaction.primary.leg)
        await self._set_data(leg, interaction)

    def _tell_data(self, caller: str | None, callee: str) -> None:
        """Let the interaction's data travel to whom the phone consults, as they do with a consult of ours."""
        interaction = self._interaction_of(caller) if caller is not None else None
        live = self._exchange.model.legs.get(callee)
        if interaction is None or caller == interaction.primary.leg or live is None or live.internal:
            return
        self._run(callee, lambda: self._set_data(callee, interaction))

    async def _set_data(self, leg: str, interaction: Interaction) -> None:
        first = self._exchange.model.legs.get(interaction.primary.leg)
        for key, value in (dict(first.variables) if first is not None else {}).items():
            fields = {"Channel": leg, "Variable": f"__{VARIABLE_PREFIX}{key}", "Value": value}
            try:
                await self._link.send("Setvar", fields)
            except AmiValueRejected as unfit:
                # The dialplan may hold what no action can carry.
                log.warning("data that a consulted phone does not get", key=key, leg=leg, problem=str(unfit))

    # -- reject --------------------------------------------------------------------------------------

    def _declined(self, interaction: Interaction | None) -> None:
        """Make who declines a queue's call on the phone not ready, as a request does: else it rings on."""
        if interaction is None or not interaction.is_of_a_queue:
            return
        endpoint = interaction.endpoint
        presence = self._exchange.model.presence(endpoint)
        if presence.agent is not None and presence.ready:
            seat = Seat(presence.agent, endpoint)
            self._run(interaction.leg, lambda: self._membership.set_not_ready(seat, ""))

    def _interaction_of(self, leg: str) -> Interaction | None:
        return self._exchange.model.interaction_on(leg)


async def _after(turn: asyncio.Lock, again: Callable[[], None]) -> None:
    """Begin once more when the turn that is under way is over."""
    async with turn:
        pass
    again()


async def phone_holds(link: AmiLink, leg: str) -> bool | None:
    """Ask Asterisk whether the phone of a PJSIP leg holds (`CHANNEL(rtp,hold)`). None: the leg is gone."""
    try:
        reply = await link.send("Getvar", {"Channel": leg, "Variable": "CHANNEL(rtp,hold)"})
    except AmiRefused:
        return None
    return reply.get("Value") == "1"
