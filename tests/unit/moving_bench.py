"""A PBX that moves legs as the strategy of rooms tells it, for unit tests of what comes of that."""

from telephony_script import AGENT, CUSTOMER
from test_rooms_chores import ROOM, Bench

from connector.asterisk.link import Fields
from connector.asterisk.rooms import PartyRooms
from connector.telephony import facts
from connector.telephony.states import ConversationState, Role

_NOTED = {"HARMONY_P1": Role.PRIMARY, "HARMONY_P2": Role.CONSULT}


class MovingBench(Bench):
    """Redirected legs come where they are sent, but those in `lost`: they are gone before they arrive."""

    def __init__(self, *, in_room: bool = True) -> None:
        super().__init__(in_room=in_room)
        self.strategy: PartyRooms = self.rooms()
        self.lost: set[str] = set()
        self.link.on_send = self.moves_them

    def moves_them(self, action: str, fields: Fields) -> None:
        """Tell what follows an action."""
        if action == "Setvar":
            known = self.link.variables()
            noted = {role: known.get(f"{AGENT} {name}") for name, role in _NOTED.items()}
            self.tell(
                *(facts.RoomAssigned(AGENT, role, room) for role, room in noted.items() if room is not None)
            )
        elif action == "Redirect":
            self._move(str(fields["Channel"]), str(fields["Exten"]))
            if "ExtraChannel" in fields:
                self._move(str(fields["ExtraChannel"]), str(fields["ExtraExten"]))
            legs = self.exchange.model.legs
            for leg in [leg for leg in legs.legs if leg != AGENT and legs.room_of(leg) is not None]:
                alone = not legs.hearing(leg).parties
                self.tell(facts.MusicStarted(leg) if alone else facts.MusicStopped(leg))

    def _move(self, leg: str, extension: str) -> None:
        if leg in self.lost:
            self.tell(facts.LegEnded(leg, 16))
            return
        waits, room = extension == "s", extension[1:]
        self.tell(facts.LegLeft(leg, self.exchange.model.legs.legs[leg].bridge or "", waits=waits))
        if not waits:
            bridge = ROOM if room == CUSTOMER else f"b-{room}"
            self.tell(facts.LegJoined(leg, bridge), facts.RoomOpened(bridge, room), facts.MusicStopped(leg))

    def moves(self) -> list[tuple[str, ...]]:
        """Return all redirects: leg and extension, and those of the second leg."""
        names = ("Channel", "Exten", "ExtraChannel", "ExtraExten")
        return [
            tuple(str(fields[name]) for name in names if name in fields)
            for action, fields in self.link.sent
            if action == "Redirect"
        ]

    def states(self) -> tuple[ConversationState, ConversationState | None]:
        """Return the states of primary and consult."""
        consult = self.interaction.consult
        return self.interaction.primary.state, consult.state if consult is not None else None
