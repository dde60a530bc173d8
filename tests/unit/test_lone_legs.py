"""Which of an agent's legs are hung up because nobody is left for them, and which the PBX still needs."""

import asyncio

import pytest
from telephony_script import AGENT, CUSTOMER, TARGET, agent_in_call

from connector.asterisk import lone_legs
from connector.asterisk.exchange import Exchange
from connector.asterisk.lone_legs import LoneLegs
from connector.telephony import facts
from connector.telephony.facts import Fact
from connector.telephony.interactions import Interaction
from connector.telephony.pbx import Refused
from connector.telephony.states import DialOutcome

SECOND = "a2-leg"

PHONE_CONSULTS_OUT_OF_A_ROOM = (
    facts.LegJoined(CUSTOMER, "r1"),
    facts.LegJoined(AGENT, "r1"),
    facts.RoomOpened("r1", CUSTOMER),
    facts.PhoneHeld(AGENT),
    facts.LegLeft(AGENT, "r1", waits=True),
    facts.MusicStarted(CUSTOMER),
    facts.LegCreated(SECOND, "1001", SECOND, placed=True, number="1001", dialled="1002"),
    facts.LegCreated(TARGET, "1002", SECOND, placed=False, number="1002"),
    facts.DialStarted(SECOND, TARGET),
    facts.LegAnswered(TARGET),
    facts.DialEnded(SECOND, TARGET, DialOutcome.ANSWERED),
    facts.LegAnswered(SECOND),
    facts.LegJoined(TARGET, "b2"),
    facts.LegJoined(SECOND, "b2"),
)
JOINED_BY_THE_PHONE = facts.PartiesTransferred((AGENT, SECOND), (TARGET,))


class Bench:
    """Agents 1001 and 1002 at their phones; 1001 in a call with a customer."""

    def __init__(self, *told: Fact) -> None:
        self.exchange = Exchange(proof_timeout=0.2)
        self.exchange.set_available(available=True)
        for phone in ("1001", "1002"):
            self.exchange.model.watch(phone)
        self.marked, self.gone = {AGENT, SECOND}, set[str]()
        self.hung_up: list[str] = []
        self.lone = LoneLegs(self.exchange, self.read, self.hang_up)
        self.tell(*agent_in_call(), *told)

    async def read(self, leg: str, variable: str) -> str:
        assert variable == lone_legs.AGENT_MARK
        if leg in self.gone:
            raise Refused("The call ended at this moment.")
        return "3602" if leg in self.marked else ""

    async def hang_up(self, leg: str) -> None:
        self.hung_up.append(leg)

    def tell(self, *told: Fact) -> None:
        for fact in told:
            self.exchange.apply(fact)

    def interaction(self, leg: str) -> Interaction:
        found = self.exchange.model.interaction(leg)
        assert found is not None
        return found


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lone_legs, "ON_ITS_WAY", 0.02)
    monkeypatch.setattr(lone_legs, "_HANDED_ON", 0.02)


async def test_a_leg_that_waits_for_nobody_is_hung_up() -> None:
    bench = Bench(facts.LegLeft(AGENT, "b1", waits=True), facts.LegEnded(CUSTOMER, 16))
    await bench.lone.let_go(AGENT)
    assert bench.hung_up == [AGENT]


async def test_a_leg_on_its_way_to_nobody_is_hung_up_when_it_arrives() -> None:
    bench = Bench(facts.LegLeft(AGENT, "b1"), facts.LegEnded(CUSTOMER, 16))
    letting = asyncio.create_task(bench.lone.let_go(AGENT))
    await asyncio.sleep(0)
    assert bench.hung_up == []
    bench.tell(facts.MusicStarted(AGENT, waits=True))
    await letting
    assert bench.hung_up == [AGENT]


async def test_a_leg_that_ended_meanwhile_is_left_alone() -> None:
    bench = Bench(facts.LegLeft(AGENT, "b1", waits=True), facts.LegEnded(CUSTOMER, 16))
    bench.gone.add(AGENT)
    await bench.lone.let_go(AGENT)
    assert bench.hung_up == []


async def test_a_leg_whose_place_a_transfer_gives_away_is_the_pbxs_to_end() -> None:
    """A hang-up between AttendedTransfer and the end of the leg would meet the party that takes its place."""
    bench = Bench(*PHONE_CONSULTS_OUT_OF_A_ROOM, JOINED_BY_THE_PHONE)
    letting = asyncio.create_task(bench.lone.let_go(AGENT))
    await asyncio.sleep(0)
    bench.tell(facts.LegLeft(TARGET, "b2"), facts.LegEnded(SECOND, 16), facts.LegEnded(AGENT, 16))
    await letting
    assert bench.hung_up == []


async def test_a_leg_that_was_handed_on_and_stays_is_hung_up_in_the_end() -> None:
    bench = Bench(*PHONE_CONSULTS_OUT_OF_A_ROOM, JOINED_BY_THE_PHONE, facts.LegEnded(SECOND, 16))
    await bench.lone.let_go(AGENT)
    assert bench.hung_up == [AGENT]


async def test_a_colleague_whom_the_end_of_the_phones_call_leaves_in_its_place_is_not_hung_up() -> None:
    """The bad order: the phone's second leg ends before the transfer is told, and the colleague waits."""
    bench = Bench(*PHONE_CONSULTS_OUT_OF_A_ROOM)
    bench.tell(facts.LegLeft(TARGET, "b2"), facts.LegEnded(SECOND, 16))
    bench.tell(facts.MusicStarted(TARGET, waits=True))
    await bench.lone.let_go(TARGET)
    assert bench.hung_up == []
    bench.tell(JOINED_BY_THE_PHONE)
    letting = asyncio.create_task(bench.lone.let_go(AGENT))
    await asyncio.sleep(0)
    bench.tell(facts.LegEnded(AGENT, 16))
    await letting
    assert bench.hung_up == []


@pytest.mark.parametrize("first", ["the colleague", "the customer"])
async def test_a_colleague_who_is_brought_to_the_customer_is_alone_for_a_moment(first: str) -> None:
    bench = Bench(*PHONE_CONSULTS_OUT_OF_A_ROOM)
    bench.marked.add(TARGET)
    bench.lone.bind(TARGET, CUSTOMER)
    if first == "the colleague":
        bench.tell(facts.LegLeft(CUSTOMER, "r1"))
    own_room = (facts.LegJoined(TARGET, "r2"), facts.RoomOpened("r2", TARGET))
    bench.tell(*own_room, facts.LegEnded(SECOND, 16))
    await bench.lone.let_go(TARGET)
    assert bench.hung_up == []
    bench.tell(facts.LegLeft(TARGET, "r2"), facts.LegJoined(TARGET, "r1"), facts.RoomOpened("r1", CUSTOMER))
    if first == "the colleague":
        await bench.lone.let_go(TARGET)
        bench.tell(facts.LegJoined(CUSTOMER, "r1"))
    await bench.lone.let_go(TARGET)
    assert bench.hung_up == []
    # They have met; from now on the colleague's leg is one like any other.
    bench.tell(facts.LegEnded(CUSTOMER, 16))
    await bench.lone.let_go(TARGET)
    assert bench.hung_up == [TARGET]


async def test_a_colleague_who_is_brought_to_somebody_who_has_gone_is_let_go() -> None:
    bench = Bench(*PHONE_CONSULTS_OUT_OF_A_ROOM)
    bench.marked.add(TARGET)
    bench.lone.bind(TARGET, CUSTOMER)
    bench.tell(facts.LegLeft(TARGET, "b2"), facts.LegEnded(SECOND, 16), facts.LegEnded(CUSTOMER, 16))
    bench.tell(facts.LegJoined(TARGET, "r3"), facts.RoomOpened("r3", CUSTOMER))
    await bench.lone.let_go(TARGET)
    assert bench.hung_up == [TARGET]
