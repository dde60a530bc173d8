"""What the real queues say of their members and callers."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

from desk import WAIT, Desk

_UNTOLD = 0.25
"""Seconds after which the queues are asked again: they count a call without an event, after its end."""


@dataclass(frozen=True)
class Member:
    """One membership, as QueueStatus has it."""

    name: str
    state_interface: str
    penalty: str
    paused: bool
    reason: str


async def members(at: Desk, extension: str) -> dict[str, Member]:
    """Return the memberships of a phone by queue."""
    rows = await at.connector.pbx._link.send_list("QueueStatus")
    return {
        row["Queue"]: Member(
            row["Name"], row["StateInterface"], row["Penalty"], row["Paused"] == "1", row["PausedReason"]
        )
        for row in rows
        if row.name == "QueueMember" and row["Location"] == f"PJSIP/{extension}"
    }


async def waiting(at: Desk, queue: str) -> list[str]:
    """Return the numbers of those who wait in a queue."""
    rows = await at.connector.pbx._link.send_list("QueueStatus", {"Queue": queue})
    return [row["CallerIDNum"] for row in rows if row.name == "QueueEntry"]


async def until_queues(at: Desk, wrong: Callable[[], Awaitable[object]], timeout: float = WAIT) -> None:
    """Wait until nothing is wrong: asked anew with every fact that the connector hears, and now and then."""
    news = asyncio.Event()
    followers = at.connector.pbx._exchange._followers
    follower: Callable[[object], None] = lambda _fact: news.set()  # noqa: E731
    followers.append(follower)
    found: object = None
    try:
        async with asyncio.timeout(timeout):
            while True:
                # Before the question: what comes while it is asked counts.
                news.clear()
                if not (found := await wrong()):
                    return
                with suppress(TimeoutError):
                    await asyncio.wait_for(news.wait(), _UNTOLD)
    except TimeoutError:
        raise AssertionError(f"after {timeout} s still wrong: {found}") from None
    finally:
        followers.remove(follower)


async def until_waiting(at: Desk, number: str, queue: str = "support") -> None:
    """Wait until a caller is in the queue."""

    async def wrong() -> object:
        there = await waiting(at, queue)
        return None if number in there else f"{there} wait in {queue}"

    await until_queues(at, wrong)
