"""What an agent may do next with a call: at the desktop, and with the phone's own keys."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from calls import DIALING, HELD, RELEASED, TALKING
from world import ANSWERED_BY_REQUEST

from connector.bridge.catalogue.interaction import InteractionState
from connector.lab.phones.base import CallState, PhoneCall, PhoneError
from connector.processor.handles import Conversation, Interaction

if TYPE_CHECKING:
    from people import People

AT_THE_DESKTOP = (
    *("dial", "ready", "notready", "answer", "accept", "reject", "hold", "retrieve", "senddtmf", "release"),
    *("consult", "consult a colleague", "alternate", "consulttransfer", "transfer while it rings"),
    *("consultconference", "release consult", "blindtransfer", "blindconference", "x-dropmember"),
    "x-privateword",
    *("setdata", "deletedata", "complete", "dispose"),
    *("x-startrecording", "x-pauserecording", "x-resumerecording", "x-stoprecording"),
)
AT_THE_PHONE = (
    *("phone: answer", "phone: hold", "phone: retrieve", "phone: hang up", "phone: blind transfer"),
    *("phone: consult", "phone: alternate", "phone: end consult", "phone: attended transfer"),
)
OPERATIONS = (*AT_THE_DESKTOP, *AT_THE_PHONE, "customer: call", "customer: hang up")
"""All that people do. The figures tell of each how often."""

ENDING = frozenset(
    {
        *("reject", "release", "release consult", "consulttransfer", "transfer while it rings"),
        *("blindtransfer", "x-dropmember", "phone: hang up", "phone: blind transfer"),
        *("phone: end consult", "phone: attended transfer"),
    }
)
"""Those of them that may end a call of anybody who takes part."""

STEP = "STEP"
"""The key of the interaction data that agents set and delete."""
_REFERRED = 3.0
"""Seconds that the connector may take for a transfer that Asterisk has refused to the phone."""
_UP = {CallState.TALKING, CallState.HELD}
_MOST_MEMBERS = 3

Act = Callable[[], Awaitable[object]]
Choice = tuple[str, Act | None, int]
"""What is done, how (None: nothing for now), and how often in proportion."""


class Repertoire:
    """The choices of one agent."""

    def __init__(self, number: str, people: "People") -> None:
        self._number = number
        self._people = people
        self._chance = people.world.chance
        self._second: PhoneCall | None = None
        """The call that the phone made beside the first one."""

    def choose(self, interaction: Interaction, *, only: bool) -> tuple[str, Act] | None:
        """Choose what to do next; None: nothing for now. `only` if it is all that the agent has."""
        choices = self._of(interaction)
        if only and interaction.state is InteractionState.STARTED:
            choices += self._of_phone(interaction)
        weights = [weight for _, _, weight in choices]
        if not any(weights):
            return None
        what, act, _ = self._chance.choices(choices, weights)[0]
        if act is None:
            return None
        return what, self._people.ending(act, lambda: self.party(interaction)) if what in ENDING else act

    def party(self, interaction: Interaction) -> set[str]:
        """Return the agent and all members of an interaction."""
        return {self._number, *members(interaction)}

    # -- the desktop -----------------------------------------------------------------------------------

    def _of(self, interaction: Interaction) -> list[Choice]:
        if interaction.state is InteractionState.ALERTING:
            return [("reject", interaction.reject, 1), *self._of_offer(interaction), _wait(8)]
        if interaction.state is not InteractionState.STARTED:
            return []
        primary, consult = interaction.primary, _live(interaction.consult_conversation)
        if consult is not None:
            return self._of_consult(interaction, consult)
        if primary.state is TALKING:
            return [
                *self._of_talk(interaction),
                *self._of_consulting(interaction),
                *self._of_both(interaction),
            ]
        if primary.state is not HELD:
            return []
        if any(call.state is CallState.HELD for call in self._people.phones[self._number].calls):
            # Refused, with a sentence: the phone holds by itself.
            return [("retrieve", primary.retrieve, 1), *self._of_both(interaction)]
        return [
            ("retrieve", primary.retrieve, 5),
            *self._of_consulting(interaction),
            *self._of_both(interaction),
        ]

    def _of_offer(self, interaction: Interaction) -> list[Choice]:
        if self._number != ANSWERED_BY_REQUEST:
            return []
        return [("answer", interaction.primary.answer, 6), ("accept", interaction.accept, 6)]

    def _of_talk(self, interaction: Interaction) -> list[Choice]:
        primary, cast = interaction.primary, self._people.cast
        choices: list[Choice] = [("hold", primary.hold, 6), *self._of_members(primary)]
        if len(primary.members) > 1:
            member = self._chance.choice(primary.members)
            choices.append(("x-privateword", lambda: interaction.private_word(member), 2))
        anybody = (*cast.outsiders, *cast.outsiders, *cast.agents)
        if len(primary.members) == 1:
            choices += [
                ("senddtmf", self._tones(primary), 2),
                ("blindtransfer", self._to(primary.blind_transfer, *anybody), 1),
            ]
        if len(primary.members) < _MOST_MEMBERS:
            choices.append(("blindconference", self._to(primary.blind_conference, *anybody), 1))
        return choices

    def _of_members(self, conversation: Conversation) -> list[Choice]:
        if len(conversation.members) < 2:
            return []
        member = self._chance.choice(conversation.members)
        return [("x-dropmember", lambda: conversation.drop_member(member), 2)]

    def _of_consulting(self, interaction: Interaction) -> list[Choice]:
        outsiders, agents = self._people.cast.outsiders, self._people.cast.agents
        idle = self._people.idle
        return [
            ("consult", self._to(interaction.consult, *outsiders), 4 if idle(*outsiders) else 0),
            ("consult a colleague", self._to(interaction.consult, *agents), 2 if idle(*agents) else 0),
        ]

    def _of_both(self, interaction: Interaction) -> list[Choice]:
        data = {STEP: str(self._chance.randrange(10**6))}
        choices: list[Choice] = [
            ("setdata", lambda: interaction.set_data(data), 2),
            ("release", interaction.primary.release, 1),
            *_of_recording(interaction),
        ]
        if STEP in interaction.data:
            choices.append(("deletedata", lambda: interaction.delete_data([STEP]), 1))
        return choices

    def _of_consult(self, interaction: Interaction, consult: Conversation) -> list[Choice]:
        if consult.state is DIALING:
            return [
                _wait(6),
                ("release consult", consult.release, 1),
                ("transfer while it rings", self._transfer_ringing(interaction, consult), 1),
            ]
        return [
            ("alternate", interaction.alternate, 5),
            ("consulttransfer", interaction.consult_transfer, 2),
            ("consultconference", interaction.consult_conference, 2),
            ("release consult", consult.release, 2),
            *(self._of_members(consult) if consult.state is TALKING else ()),
        ]

    def _tones(self, conversation: Conversation) -> Act:
        tones, asked = str(self._chance.randrange(10, 100)), self._people.tones
        (member,) = conversation.members

        async def send() -> None:
            asked[member.address] += len(tones)
            try:
                await conversation.send_dtmf(tones)
            finally:
                # Who has joined in the meantime may have heard them; the bridge learns of it late.
                for other in conversation.members:
                    if other.address != member.address:
                        asked[other.address] += len(tones)

        return send

    def _transfer_ringing(self, interaction: Interaction, consult: Conversation) -> Act:
        async def transfer() -> None:
            # Who rings is called once more, from the customer's leg.
            for member in consult.members:
                self._people.asked[member.address] += 1
            await interaction.consult_transfer()

        return transfer

    def _to(self, act: Callable[[str], Awaitable[object]], *numbers: str, patient: bool = True) -> Act:
        """Do it with a number whose phone is free; most outsiders answer, some are busy or let it ring.

        They don't let it ring for somebody who is not `patient`.
        """

        async def done() -> None:
            number = self._people.idle(*numbers)
            if number is None:
                raise LookupError
            if number in self._people.cast.outsiders:
                modes = self._chance.choices(("auto", 486, "manual"), (8, 1, 1 if patient else 0))
                self._people.phones[number].answer_mode = modes[0]
            self._people.asked[number] += 1
            await act(number)

        return done

    # -- the phone's own keys --------------------------------------------------------------------------

    def _of_phone(self, interaction: Interaction) -> list[Choice]:
        calls = self._people.phones[self._number].calls
        match calls:
            case [call]:
                return self._of_one_call(interaction, call)
            case [first, second] if second is self._second:
                return self._of_two_calls(first, second)
            case _:
                return []

    def _of_one_call(self, interaction: Interaction, call: PhoneCall) -> list[Choice]:
        if call.state not in _UP:
            return []
        primary, consults = interaction.primary, _live(interaction.consult_conversation) is not None
        outsiders, agents = self._people.cast.outsiders, self._people.cast.agents
        choices: list[Choice] = [("phone: hang up", call.hangup, 1)]
        if call.state is CallState.HELD:
            choices.append(("phone: retrieve", call.resume, 6))
            if not consults and self._people.idle(*outsiders, *agents):
                consult = self._to(self._dial_beside, *outsiders, *agents, patient=False)
                choices.append(("phone: consult", consult, 4))
        else:
            choices.append(("phone: hold", call.hold, 2))
        if not consults and len(primary.members) == 1 and primary.state in {TALKING, HELD}:
            # What the bridge holds the phone cannot transfer.
            mine = primary.state is TALKING or call.state is CallState.HELD
            refer = self._to(lambda number: _refer(call, number), *outsiders, *agents)
            choices.append(("phone: blind transfer", refer, 1 if mine else 0))
        return choices

    async def _dial_beside(self, number: str) -> None:
        self._second = await self._people.phones[self._number].dial(number)

    def _of_two_calls(self, first: PhoneCall, second: PhoneCall) -> list[Choice]:
        end: Choice = ("phone: end consult", second.hangup, 1)
        if second.state not in _UP or first.state not in _UP:
            return [_wait(6), end]
        choices: list[Choice] = [
            end,
            ("phone: attended transfer", lambda: _join(first, second), 4),
            ("phone: hang up", first.hangup, 1),
        ]
        if first.state is second.state:
            held = self._chance.choice((first, second))
            return [*choices, ("phone: retrieve", held.resume, 5)]
        talks, held = (first, second) if first.state is CallState.TALKING else (second, first)

        async def alternate() -> None:
            await talks.hold()
            await held.resume()

        return [*choices, ("phone: alternate", alternate, 5)]


def _of_recording(interaction: Interaction) -> list[Choice]:
    match interaction.data.get("X_RECORDING"):
        case "ON":
            return [
                ("x-pauserecording", interaction.pause_recording, 2),
                ("x-stoprecording", interaction.stop_recording, 1),
            ]
        case "PAUSED":
            return [
                ("x-resumerecording", interaction.resume_recording, 3),
                ("x-stoprecording", interaction.stop_recording, 1),
            ]
        case _:
            return [("x-startrecording", interaction.start_recording, 1)]


async def _refer(call: PhoneCall, number: str) -> None:
    """Press the transfer key. Out of a room Asterisk refuses it to the phone, and the connector does it.

    Who still has a call after that puts the phone down, also if only the phone has it: now and then
    Asterisk ends the leg and leaves the phone's call open.
    """
    with suppress(PhoneError):
        await call.transfer(number)
    try:
        await call.wait_state(CallState.ENDED, _REFERRED)
    except PhoneError:
        await call.hangup()
        raise


async def _join(first: PhoneCall, second: PhoneCall) -> None:
    """Press the key that joins both calls; likewise. Where nobody does it, the agent hangs up."""
    try:
        await first.transfer_to(second)
    except PhoneError:
        try:
            for call in (first, second):
                await call.wait_state(CallState.ENDED, _REFERRED)
        except PhoneError:
            # The phone has put both on hold for it, and says nothing of that.
            for call in (first, second):
                await call.hangup()
            raise


def members(interaction: Interaction) -> set[str]:
    """Return the addresses of all members of an interaction."""
    return {one.address for each in interaction.conversations.values() for one in each.members}


def _live(consult: Conversation | None) -> Conversation | None:
    return consult if consult is not None and consult.state is not RELEASED else None


def _wait(weight: int) -> Choice:
    return "", None, weight
