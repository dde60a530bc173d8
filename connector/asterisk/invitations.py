"""Parties that are called into a conference, by a Local channel that enters the room when it is answered.

Whom nobody waits for any more is called off. Without the connector the dialplan (`harmony-room`) sees to it
that who enters a room which everybody has left is let go.
"""

import uuid
from dataclasses import dataclass

import structlog

from connector.asterisk.chores import Chores
from connector.asterisk.contexts import ROOM
from connector.asterisk.exchange import Exchange
from connector.asterisk.link import AmiError, AmiLink, AmiRefused
from connector.asterisk.settings import DialSettings
from connector.telephony import facts
from connector.telephony.interactions import Interaction
from connector.telephony.mobile import shown_number
from connector.telephony.pbx import PbxDown, Refused

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Invitation:
    interaction: Interaction
    number: str
    room: str


class Invitations:
    """Calls numbers into rooms, and watches the legs of these calls until they end."""

    def __init__(self, exchange: Exchange, link: AmiLink, settings: DialSettings) -> None:
        self._exchange = exchange
        self._link = link
        self._settings = settings
        self._open: dict[str, _Invitation] = {}
        self._chores = Chores()
        exchange.follow(
            self._on_fact,
            *(facts.LegCreated, facts.LegJoined, facts.LegLeft, facts.LegEnded, facts.PlacementFailed),
        )

    def require_none(self, interaction: Interaction, number: str) -> None:
        """Refuse a second call to a number that rings for the same conference: a double click.

        Raises:
            Refused: it rings.

        """
        for leg, invitation in self._open.items():
            found = self._exchange.model.legs.get(leg)
            ringing = found is not None and not found.answered
            if ringing and invitation.interaction is interaction and invitation.number == number:
                raise Refused(f"The number {number} is being called into the conference already.")

    def require_none_into(self, room: str) -> None:
        """Refuse what changes whose room this is while somebody is rung who will come into it.

        Raises:
            Refused: somebody is.

        """
        for leg, invitation in self._open.items():
            found = self._exchange.model.legs.get(leg)
            if invitation.room == room and found is not None and not found.answered:
                number = invitation.number
                raise Refused(
                    f"The number {number} is being called into the conference: wait for the answer."
                )

    async def call(self, interaction: Interaction, agent: str, number: str, room: str) -> None:
        """Call `number` (checked) into a room on behalf of an agent's leg (Originate).

        Done when the call exists.

        Raises:
            Refused: the PBX did not take the call.

        """
        leg = f"hc-{uuid.uuid4().hex}"
        self._open[leg] = _Invitation(interaction, number, room)
        try:
            await self._link.send(
                "Originate",
                {
                    "Channel": f"Local/{number}@{self._settings.context}/n",
                    "Context": ROOM,
                    "Exten": f"p{room}",
                    "Priority": "1",
                    "Timeout": str(int(self._settings.timeout * 1000)),
                    "CallerID": self._settings.caller_id or shown_number(interaction.endpoint),
                    "Async": "true",
                    "ChannelId": leg,
                    "OtherChannelId": _far_half(leg),
                    "Variable": [
                        f"HARMONY_AGENT={agent}",
                        f"HARMONY_TIMEOUT={int(self._settings.timeout)}",
                    ],
                },
            )
        except AmiRefused as refusal:
            del self._open[leg]
            raise Refused(f"The telephone system refused the call: {refusal}.") from refusal
        await self._exchange.until(
            lambda: leg not in self._open or self._exchange.model.legs.get(leg) is not None,
            f"call to {number}",
        )

    def close(self) -> None:
        """Stop watching."""
        self._chores.cancel()

    def _on_fact(self, fact: facts.Fact) -> None:
        match fact:
            case facts.LegEnded(leg=leg):
                self._open.pop(leg, None)
            case facts.PlacementFailed(leg=leg):
                self._open.pop(leg, None)
                return
            case facts.LegCreated() | facts.LegJoined() | facts.LegLeft():
                pass
            case _:
                return
        for leg, invitation in tuple(self._open.items()):
            if self._is_for_nobody(leg, invitation):
                self._call_off(leg, invitation)

    def _is_for_nobody(self, leg: str, invitation: _Invitation) -> bool:
        """Whether nobody is left in the room of a call, while it rings or once the agent's call is over."""
        legs = self._exchange.model.legs
        if legs.get(leg) is None or legs.in_room(invitation.room) - {leg}:
            return False
        if legs.room_of(leg) is None:
            return True
        # Who has come in is looked after as any party on hold, as long as this or another agent is there.
        return invitation.interaction.over and not any(
            map(self._exchange.model.is_party, legs.hearing(_far_half(leg)).parties)
        )

    def _call_off(self, leg: str, invitation: _Invitation) -> None:
        del self._open[leg]
        self._chores.start(self._hang_up(leg, invitation))

    async def _hang_up(self, leg: str, invitation: _Invitation) -> None:
        try:
            await self._link.send("Hangup", {"Channel": leg, "Cause": "16"})
        except (AmiError, PbxDown) as problem:
            log.info("a call into a conference was gone already", number=invitation.number, why=str(problem))


def _far_half(leg: str) -> str:
    """Return the id of the Local channel's half that the called party is joined to."""
    return f"{leg}-2"
