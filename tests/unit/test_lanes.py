"""Lanes: one branch is served in order, events wait for the response, other branches go on."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from connector.destinations.lanes import LANE_LIMIT, LaneFull, Lanes


def make() -> tuple[Lanes, list[str]]:
    return Lanes(lambda send: send(), lambda: None), []


def job(said: list[str], name: str, gate: asyncio.Event | None = None) -> Callable[[], Awaitable[None]]:
    async def run() -> None:
        said.append(f"{name} begins")
        if gate is not None:
            await gate.wait()
        said.append(f"{name} ends")

    return run


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_one_lane_is_served_in_order_and_others_do_not_wait() -> None:
    lanes, said = make()
    gate = asyncio.Event()
    lanes.run("S.g.c.i1", job(said, "one", gate))
    lanes.run("S.g.c.i1", job(said, "two"))
    lanes.run("S.g.c.i2", job(said, "other"))
    await settle()
    assert said == ["one begins", "other begins", "other ends"]
    gate.set()
    await settle()
    assert said[3:] == ["one ends", "two begins", "two ends"]


async def test_events_below_a_busy_lane_follow_its_request_in_order() -> None:
    lanes, said = make()
    gate = asyncio.Event()
    lanes.run("S.g.c", job(said, "dial", gate))
    await settle()
    assert lanes.busy_above("S.g.c") == "S.g.c"
    assert lanes.busy_above("S.g.c.i.p") == "S.g.c"
    assert lanes.busy_above("S.g") is None
    assert lanes.busy_above("S.g.c2") is None
    lanes.hold("S.g.c", lambda: said.append("event 1"))
    lanes.hold("S.g.c", lambda: said.append("event 2"))
    gate.set()
    await settle()
    assert said == ["dial begins", "dial ends", "event 1", "event 2"]
    assert lanes.busy_above("S.g.c.i") is None


async def test_kept_back_events_leave_before_the_next_request_begins() -> None:
    lanes, said = make()
    gate = asyncio.Event()
    lanes.run("S", job(said, "one", gate))
    lanes.run("S", job(said, "two"))
    await settle()
    lanes.hold("S", lambda: said.append("event of one"))
    gate.set()
    await settle()
    assert said == ["one begins", "one ends", "event of one", "two begins", "two ends"]


async def test_an_event_that_goes_on_waiting_in_another_lane_stays_before_later_ones() -> None:
    said: list[str] = []

    def tell(event: str) -> None:
        above = lanes.busy_above("S.g.c")
        if above is not None:
            lanes.hold(above, lambda: tell(event))
        else:
            said.append(event)

    lanes = Lanes(lambda send: send(), lambda: None)
    ready, create = asyncio.Event(), asyncio.Event()
    lanes.run("S.g.c", job(said, "ready", ready))
    await settle()
    tell("is ready")
    lanes.run("S", job(said, "create", create))
    await settle()
    tell("is active")
    ready.set()
    await settle()
    tell("is free")
    create.set()
    await settle()
    assert said == [
        *("ready begins", "create begins", "ready ends", "create ends"),
        *("is ready", "is active", "is free"),
    ]


async def test_a_lane_is_bounded() -> None:
    lanes, said = make()
    gate = asyncio.Event()
    lanes.run("S", job(said, "one", gate))
    await settle()
    for number in range(LANE_LIMIT):
        lanes.run("S", job(said, str(number)))
    with pytest.raises(LaneFull):
        lanes.run("S", job(said, "too many"))
    lanes.cancel_all()
    await settle()
    assert said == ["one begins"]


async def test_a_new_request_runs_after_everything_was_cancelled() -> None:
    lanes, said = make()
    lanes.run("S", job(said, "old", asyncio.Event()))
    await settle()
    lanes.cancel_all()
    lanes.run("S", job(said, "new"))
    await settle()
    assert said == ["old begins", "new begins", "new ends"]
    assert lanes.busy_above("S") is None


async def test_alone_waits_for_what_runs_below_and_nothing_begins_there() -> None:
    lanes, said = make()
    gate = asyncio.Event()

    async def close() -> None:
        async with lanes.alone("S"):
            await job(said, "close")()

    lanes.run("S.g.c", job(said, "dial", gate))
    lanes.run("S.g.c", job(said, "ready"))
    await settle()
    lanes.run("S", close)
    await settle()
    lanes.run("S.g", job(said, "group"))
    lanes.run("S2.g", job(said, "other session"))
    await settle()
    assert said == ["dial begins", "other session begins", "other session ends"]
    gate.set()
    await settle()
    assert said[3:6] == ["dial ends", "close begins", "close ends"]
    assert sorted(said[6:]) == ["group begins", "group ends", "ready begins", "ready ends"]


async def test_alone_does_not_wait_for_a_lane_that_awaits_its_request() -> None:
    lanes, said = make()
    lanes.keep_busy("S.g.c")
    over = asyncio.Event()

    async def close() -> None:
        async with lanes.alone("S"):
            said.append("alone")
            await over.wait()

    closing = asyncio.create_task(close())
    lanes.run("S.g.c", job(said, "again"))
    await settle()
    assert said == ["alone"]
    lanes.hold("S.g.c", lambda: said.append("event"))
    # It was kept back for too long; that its request has come and waits does not matter.
    lanes.let_go("S.g.c")
    assert said == ["alone", "event"]
    over.set()
    await closing
    await settle()
    assert said == ["alone", "event", "again begins", "again ends"]


async def test_what_waits_to_be_alone_is_cancelled_with_the_rest() -> None:
    lanes, said = make()

    async def close() -> None:
        async with lanes.alone("S"):
            said.append("close")

    lanes.run("S.g", job(said, "old", asyncio.Event()))
    await settle()
    lanes.run("S", close)
    await settle()
    lanes.cancel_all()
    lanes.run("S.g", job(said, "new"))
    await settle()
    assert said == ["old begins", "new begins", "new ends"]
