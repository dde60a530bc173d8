"""The limit on a hold: warned of at half, given up at the end, stopped by every other state."""

import asyncio

import pytest

from connector.asterisk.exchange import Exchange
from connector.asterisk.hold_limits import HoldLimits, dialplan_limit
from connector.asterisk.link import AmiTimeout
from connector.telephony.changes import Change, ConversationChanged, HoldLasts
from connector.telephony.pbx import PbxDown, Refused, TimedOut
from connector.telephony.states import ConversationState

LIMIT = 0.04


class Bench:
    """Limits on an exchange, and what came of them."""

    def __init__(self) -> None:
        self.exchange = Exchange(proof_timeout=1.0)
        self.told: list[HoldLasts] = []
        self.given_up: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
        self.problem: Exception = Refused("It went off hold at this moment.")
        self.exchange.subscribe(self._hear)
        self.limits = HoldLimits(self.exchange, self._give_up, LIMIT)

    def _hear(self, change: Change) -> None:
        if isinstance(change, HoldLasts):
            self.told.append(change)

    async def _give_up(self, interaction: str, conversation: str) -> None:
        self.given_up.put_nowait((interaction, conversation))
        raise self.problem

    def step(self, state: ConversationState, conversation: str = "i-1") -> None:
        self.exchange.publish([ConversationChanged("i", conversation, state)])


async def test_a_hold_is_told_at_half_and_given_up_at_the_limit() -> None:
    bench = Bench()
    bench.step(ConversationState.HELD)
    async with asyncio.timeout(5):
        assert await bench.given_up.get() == ("i", "i-1")
    assert bench.told == [
        HoldLasts("i", "i-1", LIMIT / 2, LIMIT / 2),
        HoldLasts("i", "i-1", LIMIT, 0.0),
    ]


@pytest.mark.parametrize("state", [ConversationState.TALKING, ConversationState.RELEASED])
async def test_what_is_held_no_more_is_left_alone(state: ConversationState) -> None:
    bench = Bench()
    bench.step(ConversationState.HELD)
    bench.step(state)
    # A hold that begins later reaches its limit later: by then the first would have been given up.
    bench.step(ConversationState.HELD, "i-2")
    async with asyncio.timeout(5):
        assert await bench.given_up.get() == ("i", "i-2")
    assert {each.conversation for each in bench.told} == {"i-2"}


async def test_every_hold_counts_from_its_own_beginning() -> None:
    bench = Bench()
    for state in (ConversationState.HELD, ConversationState.TALKING, ConversationState.HELD):
        bench.step(state)
    async with asyncio.timeout(5):
        await bench.given_up.get()
    assert len(bench.told) == 2
    assert bench.given_up.empty()


async def test_a_limit_that_comes_while_the_pbx_is_away_counts_when_it_is_back() -> None:
    bench = Bench()
    bench.problem = PbxDown("It is away.")
    for conversation in ("i-1", "i-2"):
        bench.step(ConversationState.HELD, conversation)
    async with asyncio.timeout(5):
        assert {await bench.given_up.get(), await bench.given_up.get()} == {("i", "i-1"), ("i", "i-2")}
    # This one was taken back meanwhile.
    bench.step(ConversationState.TALKING, "i-2")
    bench.problem = Refused("It went off hold at this moment.")
    for _ in range(2):
        bench.exchange.set_available(available=True)
        bench.exchange.set_available(available=False)
    async with asyncio.timeout(5):
        assert await bench.given_up.get() == ("i", "i-1")
    bench.step(ConversationState.HELD, "i-3")
    async with asyncio.timeout(5):
        assert await bench.given_up.get() == ("i", "i-3")
    assert bench.given_up.empty()


@pytest.mark.parametrize("problem", [TimedOut("It says nothing."), AmiTimeout("Redirect", 5.0)])
async def test_a_limit_that_the_pbx_does_not_answer_is_tried_again(
    problem: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connector.asterisk.hold_limits._AGAIN", 0.01)
    bench = Bench()
    bench.exchange.set_available(available=True)
    bench.problem = problem
    bench.step(ConversationState.HELD)
    async with asyncio.timeout(5):
        await bench.given_up.get()
        bench.problem = Refused("It went off hold at this moment.")
        assert await bench.given_up.get() == ("i", "i-1")
    bench.limits.close()
    assert bench.given_up.empty()


async def test_after_close_nothing_is_given_up() -> None:
    bench, later = Bench(), Bench()
    bench.step(ConversationState.HELD)
    bench.limits.close()
    later.step(ConversationState.HELD)
    async with asyncio.timeout(5):
        await later.given_up.get()
    assert bench.told == []
    assert bench.given_up.empty()


def test_the_dialplan_waits_a_little_longer() -> None:
    assert (dialplan_limit(3600.0), dialplan_limit(1.5)) == ("3602", "4")
