"""Music that Asterisk did not end: whom the connector sends into the room anew, and whom it leaves alone."""

import asyncio

import pytest
from telephony_script import AGENT, CUSTOMER, agent_in_call

from connector.asterisk import lasting_music
from connector.asterisk.exchange import Exchange
from connector.asterisk.lasting_music import LastingMusic
from connector.telephony import facts
from connector.telephony.facts import Fact
from connector.telephony.pbx import Refused
from connector.telephony.states import ConversationState

HELD_IN_A_ROOM = (
    facts.LegLeft(AGENT, "b1", waits=True),
    facts.LegLeft(CUSTOMER, "b1"),
    facts.MusicStarted(CUSTOMER),
    facts.LegJoined(CUSTOMER, "r1"),
    facts.RoomOpened("r1", CUSTOMER),
)


class Bench:
    """An agent's call that is held in the customer's room."""

    def __init__(self) -> None:
        self.exchange = Exchange(proof_timeout=0.2)
        self.exchange.set_available(available=True)
        self.exchange.model.watch("1001")
        self.sent: list[tuple[str, str]] = []
        self.gone = False
        self.foreign: set[str] = set()
        self.lasting = LastingMusic(self.exchange, lambda room: room not in self.foreign, self.enter_anew)
        self.tell(*agent_in_call(), *HELD_IN_A_ROOM)

    async def enter_anew(self, leg: str, room: str) -> None:
        if self.gone:
            raise Refused("The call could not be moved: Channel does not exist.")
        self.sent.append((leg, room))
        self.tell(facts.LegLeft(leg, "r1"), facts.LegJoined(leg, "r1"))

    def tell(self, *told: Fact) -> None:
        for fact in told:
            self.exchange.apply(fact)

    def states(self) -> list[ConversationState]:
        interaction = self.exchange.model.interaction(AGENT)
        assert interaction is not None
        return [one.state for one in interaction.conversations()]

    async def done(self) -> None:
        await asyncio.gather(*self.lasting._chores)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lasting_music, "_GRACE", 0.02)


async def test_a_party_whose_music_goes_on_enters_anew_once() -> None:
    bench = Bench()
    bench.tell(facts.LegJoined(AGENT, "r1"), facts.RoomOpened("r1", CUSTOMER))
    assert len(bench.lasting._chores) == 1
    await bench.done()
    assert bench.sent == [(CUSTOMER, CUSTOMER)]
    assert bench.states() == [ConversationState.TALKING]
    assert not bench.lasting._chores


@pytest.mark.parametrize("later", [False, True])
async def test_music_that_ends_is_left_alone(later: bool) -> None:
    bench = Bench()
    end, comes = facts.MusicStopped(CUSTOMER), facts.LegJoined(AGENT, "r1")
    bench.tell(*((comes, end) if later else (end, comes)))
    assert len(bench.lasting._chores) == later
    await bench.done()
    assert not bench.sent


async def test_who_is_alone_again_hears_music_rightly() -> None:
    bench = Bench()
    bench.tell(facts.LegJoined(AGENT, "r1"), facts.LegLeft(AGENT, "r1", waits=True))
    await bench.done()
    assert not bench.sent
    assert bench.states() == [ConversationState.HELD]
    # The next one who comes is looked at like the first.
    bench.tell(facts.LegJoined(AGENT, "r1"))
    await bench.done()
    assert bench.sent == [(CUSTOMER, CUSTOMER)]


async def test_a_hold_by_the_phone_in_a_plain_bridge_is_left_alone() -> None:
    bench = Bench()
    bench.tell(
        facts.LegLeft(CUSTOMER, "r1"),
        facts.LegJoined(CUSTOMER, "b2"),
        facts.MusicStarted(CUSTOMER),
        facts.LegJoined(AGENT, "b2"),
    )
    assert not bench.lasting._chores


async def test_a_party_that_hangs_up_meanwhile_is_no_fault() -> None:
    bench = Bench()
    bench.gone = True
    bench.tell(facts.LegJoined(AGENT, "r1"))
    await bench.done()
    assert not bench.sent
    bench.tell(facts.LegEnded(CUSTOMER, 16))
    assert not bench.lasting._chores


async def test_a_conference_of_the_site_is_left_alone() -> None:
    bench = Bench()
    bench.foreign = {CUSTOMER}
    bench.tell(facts.LegJoined(AGENT, "r1"), facts.RoomOpened("r1", CUSTOMER))
    await bench.done()
    assert not bench.sent
