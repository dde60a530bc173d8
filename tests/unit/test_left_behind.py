"""Whom an agent leaves alone in a room: who is seen to by the connector, and who is somebody's and stays."""

import asyncio

import pytest
from telephony_script import AGENT, CUSTOMER, TARGET, agent_in_call

from connector.asterisk import left_behind
from connector.asterisk.exchange import Exchange
from connector.asterisk.left_behind import CALLERS_MARK, LeftBehind
from connector.telephony import facts
from connector.telephony.facts import Fact
from connector.telephony.pbx import Refused
from connector.telephony.states import Cause

ROOM = "r1"
IN_ROOM: tuple[Fact, ...] = (facts.RoomOpened(ROOM, CUSTOMER), facts.LegJoined(CUSTOMER, ROOM))
CONFERENCE: tuple[Fact, ...] = (
    *IN_ROOM,
    facts.LegJoined(AGENT, ROOM),
    facts.LegCreated(TARGET, "2002", TARGET, placed=False, number="2002"),
    facts.LegAnswered(TARGET),
    facts.LegJoined(TARGET, ROOM),
)
HELD_CONFERENCE = (*CONFERENCE, facts.LegLeft(AGENT, ROOM, waits=True))
AGENT_ENDS, CUSTOMER_ENDS = facts.LegEnded(AGENT, 16), facts.LegEnded(CUSTOMER, 16)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(left_behind, "ON_ITS_WAY", 0.02)
    monkeypatch.setattr(left_behind, "_DIALPLAN", 0.02)
    monkeypatch.setattr(left_behind, "_LATE", 0.2)


class Bench:
    """Agents 1001 and 1002 at their phones; 1001 in a call with a customer, who is known as a caller."""

    def __init__(self, *told: Fact) -> None:
        self.exchange = Exchange(proof_timeout=0.2)
        self.exchange.set_available(available=True)
        for phone in ("1001", "1002"):
            self.exchange.model.watch(phone)
        self.callers, self.gone = {CUSTOMER}, set[str]()
        self.orphans: list[str] = []
        self.hung_up: list[str] = []
        self.left = LeftBehind(self.exchange, self.read, self.make_orphan, self.hang_up)
        self.tell(*agent_in_call(), *told)

    async def read(self, leg: str, variable: str) -> str:
        assert variable == CALLERS_MARK
        if leg in self.gone:
            raise Refused("The call ended at this moment.")
        return "queue" if leg in self.callers else ""

    async def make_orphan(self, leg: str) -> None:
        self.orphans.append(leg)

    async def hang_up(self, leg: str) -> None:
        self.hung_up.append(leg)

    def tell(self, *told: Fact) -> None:
        for fact in told:
            self.exchange.apply(fact)

    async def outcome(self) -> tuple[list[str], list[str]]:
        """Let every chore come to its end; return who was made an orphan and who was hung up."""
        while others := [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]:
            await asyncio.wait(others)
        return self.orphans, self.hung_up


async def test_a_caller_who_comes_into_the_room_when_the_agent_is_gone_is_an_orphan() -> None:
    bench = Bench(AGENT_ENDS, *IN_ROOM)
    assert await bench.outcome() == ([CUSTOMER], [])


async def test_a_caller_may_be_long_in_coming() -> None:
    bench = Bench(AGENT_ENDS)
    await asyncio.sleep(3 * left_behind.ON_ITS_WAY)
    bench.tell(*IN_ROOM)
    assert await bench.outcome() == ([CUSTOMER], [])


async def test_a_caller_whom_the_dialplan_takes_out_of_the_room_is_left_to_it() -> None:
    bench = Bench(*IN_ROOM, AGENT_ENDS)
    bench.tell(facts.LegLeft(CUSTOMER, ROOM, waits=False))
    assert await bench.outcome() == ([], [])


@pytest.mark.parametrize("ends", [(AGENT_ENDS, CUSTOMER_ENDS), (CUSTOMER_ENDS, AGENT_ENDS)])
async def test_the_last_of_a_conference_who_was_called_in_is_let_go(ends: tuple[Fact, Fact]) -> None:
    bench = Bench(*HELD_CONFERENCE, *ends)
    assert await bench.outcome() == ([], [TARGET])


async def test_a_conference_goes_on() -> None:
    bench = Bench(*HELD_CONFERENCE, AGENT_ENDS)
    assert await bench.outcome() == ([], [])


async def test_who_is_on_hold_at_another_agent_stays() -> None:
    second = "a2-leg"
    bench = Bench(
        *HELD_CONFERENCE,
        facts.LegCreated(second, "1002", second, placed=True, number="1002", answered=True),
        facts.LegJoined(second, ROOM),
        facts.LegLeft(second, ROOM, waits=True),
    )
    assert bench.exchange.model.interaction_on(second) is not None
    bench.tell(AGENT_ENDS, facts.LegLeft(CUSTOMER, ROOM, waits=False), CUSTOMER_ENDS)
    assert await bench.outcome() == ([], [])


async def test_whom_a_transfer_takes_along_is_left_to_that() -> None:
    bench = Bench(*IN_ROOM)
    bench.exchange.model.expect_departure(AGENT, Cause.TRANSFERRED)
    bench.tell(AGENT_ENDS)
    assert await bench.outcome() == ([], [])


async def test_whom_the_agent_leaves_for_another_call_is_seen_to_when_asked() -> None:
    bench = Bench(*HELD_CONFERENCE, CUSTOMER_ENDS)
    bench.tell(facts.LegsParted(AGENT, TARGET))
    bench.left.look_after([CUSTOMER, TARGET])
    assert await bench.outcome() == ([], [TARGET])


async def test_who_hangs_up_meanwhile_is_forgotten() -> None:
    bench = Bench(AGENT_ENDS, *IN_ROOM)
    bench.gone.add(CUSTOMER)
    assert await bench.outcome() == ([], [])
    bench.left.close()
