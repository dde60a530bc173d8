"""Who is told what, and when: whoever waited goes on before the chores, facts stay in their order."""

import asyncio
import gc
import weakref
from collections.abc import Callable
from contextlib import suppress

import pytest

from connector.asterisk.exchange import Exchange
from connector.telephony.facts import EndpointChanged, EndpointState, Fact
from connector.telephony.pbx import TimedOut


def changed(phone: str) -> EndpointChanged:
    return EndpointChanged(phone, EndpointState.IDLE)


class Told:
    """An exchange with one follower, and the order in which things happened."""

    def __init__(self) -> None:
        self.exchange = Exchange(proof_timeout=5.0)
        self.exchange.available = True
        self.happened: list[str] = []
        self.exchange.attend(lambda change: self.happened.append(type(change).__name__))
        self.exchange.follow(self.follow, EndpointChanged)

    def follow(self, fact: Fact) -> None:
        assert isinstance(fact, EndpointChanged)
        self.happened.append(f"chore for {fact.endpoint}")

    def is_idle(self, phone: str) -> Callable[[], bool]:
        return lambda: self.exchange.model.phone(phone) is EndpointState.IDLE

    async def wait(self, phone: str) -> None:
        await self.exchange.until(self.is_idle(phone), phone)
        self.happened.append(f"answer about {phone}")


async def test_who_waited_goes_on_before_the_chores() -> None:
    told = Told()
    waiting = asyncio.create_task(told.wait("1001"))
    await asyncio.sleep(0)
    told.exchange.apply(changed("1001"))
    assert told.happened == []
    await waiting
    await asyncio.sleep(0)
    assert told.happened == ["answer about 1001", "PhoneChanged", "chore for 1001"]


async def test_chores_are_done_at_once_where_nobody_waited() -> None:
    told = Told()
    told.exchange.apply(changed("1001"))
    assert told.happened == ["PhoneChanged", "chore for 1001"]


async def test_chores_keep_the_order_of_the_facts_and_come_before_the_next_one() -> None:
    told = Told()
    waiting = asyncio.create_task(told.wait("1001"))
    await asyncio.sleep(0)
    told.exchange.apply(changed("1001"))
    seen: list[str] = []
    told.exchange.subscribe(lambda _change: seen.extend(told.happened))
    told.exchange.apply(changed("1002"))
    first, second = ["PhoneChanged", "chore for 1001"], ["PhoneChanged", "chore for 1002"]
    assert seen == first
    assert told.happened == first + second
    await waiting
    await asyncio.sleep(0)
    assert told.happened == [*first, *second, "answer about 1001"]


async def test_a_chore_that_fails_costs_the_others_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    told = Told()

    def broken(_fact: Fact) -> None:
        raise RuntimeError("broken")

    exchange = Exchange(proof_timeout=5.0)
    exchange.follow(broken)
    exchange.follow(told.follow, EndpointChanged)
    exchange.apply(changed("1001"))
    exchange.apply(changed("1002"))
    assert told.happened == ["chore for 1001", "chore for 1002"]
    assert "a listener failed" in capsys.readouterr().out


async def test_a_wait_in_vain_leaves_nothing_for_the_search_for_garbage() -> None:
    told = Told()
    asked: list[weakref.ref[Callable[[], bool]]] = []

    async def wait() -> None:
        def proven() -> bool:
            return False

        asked.append(weakref.ref(proven))
        with suppress(TimedOut):
            await told.exchange.until(proven, "nothing", 0.01)

    gc.disable()
    try:
        await asyncio.create_task(wait())
        assert [one() for one in asked] == [None]
    finally:
        gc.enable()
