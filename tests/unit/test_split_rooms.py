"""A room that the PBX has twice: who is sent in anew until it is one, and that nobody is where it is one."""

import asyncio

import pytest
from telephony_script import AGENT, CUSTOMER, agent_in_call

from connector.asterisk import split_rooms
from connector.asterisk.exchange import Exchange
from connector.asterisk.split_rooms import SplitRooms
from connector.telephony import facts
from connector.telephony.facts import Fact
from connector.telephony.pbx import Refused

ROOM = CUSTOMER


class Bench:
    """A PBX that has a room twice; who enters comes into `known`, the one that is found by the name."""

    def __init__(self, known: str, *, join_first: bool = False) -> None:
        self.join_first = join_first
        self.exchange = Exchange(proof_timeout=0.2)
        self.exchange.set_available(available=True)
        self.exchange.model.watch("1001")
        self.known, self.sent, self.gone = known, list[str](), set[str]()
        self.foreign: set[str] = set()
        self.split = SplitRooms(self.exchange, lambda room: room not in self.foreign, self.enter_anew)
        self.tell(*agent_in_call(), facts.LegLeft(AGENT, "b1"), facts.LegLeft(CUSTOMER, "b1"))

    def tell(self, *told: Fact) -> None:
        for fact in told:
            self.exchange.apply(fact)

    def enters(self, leg: str, bridge: str) -> None:
        """ConfbridgeJoin comes before BridgeEnter, or after it."""
        told = facts.LegJoined(leg, bridge), facts.RoomOpened(bridge, ROOM)
        self.tell(*(reversed(told) if self.join_first else told))

    async def enter_anew(self, leg: str, room: str) -> None:
        assert room == ROOM
        self.sent.append(leg)
        if leg in self.gone:
            raise Refused("The call could not be moved: Channel does not exist.")
        live = self.exchange.model.legs.get(leg)
        assert live is not None
        assert live.bridge is not None
        left = live.bridge
        self.tell(facts.LegLeft(leg, left))
        if left == self.known and not self.exchange.model.legs.halves_of(ROOM)[1:]:
            # The last one has left: the next room of that name is a new one.
            self.known = f"{left}-again"
        self.enters(leg, self.known)

    async def done(self) -> None:
        await asyncio.gather(*self.split._chores)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(split_rooms, "_GRACE", 0.02)
    monkeypatch.setattr(split_rooms, "ON_ITS_WAY", 0.02)


@pytest.mark.parametrize("join_first", [False, True])
@pytest.mark.parametrize("known", ["r1", "r2"])
async def test_the_halves_are_put_together_whichever_is_known(known: str, *, join_first: bool) -> None:
    bench = Bench(known, join_first=join_first)
    bench.enters(AGENT, "r1")
    bench.enters(CUSTOMER, "r2")
    legs = bench.exchange.model.legs
    assert legs.halves_of(ROOM) == [{AGENT}, {CUSTOMER}]
    assert legs.in_room(ROOM) == {AGENT, CUSTOMER}
    await bench.done()
    assert legs.halves_of(ROOM) == [{AGENT, CUSTOMER}]
    assert bench.sent == ([AGENT] if known == "r2" else [AGENT, CUSTOMER])
    assert not bench.split._looked_at


async def test_who_only_passes_from_one_to_the_other_is_left_alone() -> None:
    bench = Bench("r2")
    bench.enters(AGENT, "r1")
    bench.enters(CUSTOMER, "r2")
    bench.tell(facts.LegLeft(AGENT, "r1"))
    bench.enters(AGENT, "r2")
    await bench.done()
    assert not bench.sent


async def test_who_is_gone_ends_it() -> None:
    bench = Bench("r2")
    bench.gone = {AGENT, CUSTOMER}
    bench.enters(AGENT, "r1")
    bench.enters(CUSTOMER, "r2")
    await bench.done()
    assert bench.sent == [AGENT, CUSTOMER, AGENT, CUSTOMER]
    bench.tell(facts.LegEnded(AGENT, 16))
    assert bench.exchange.model.legs.halves_of(ROOM) == [{CUSTOMER}]


async def test_conferences_of_the_site_are_left_alone() -> None:
    bench = Bench("r2")
    bench.foreign = {ROOM}
    bench.enters(AGENT, "r1")
    bench.enters(CUSTOMER, "r2")
    await bench.done()
    assert not bench.sent
