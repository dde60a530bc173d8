"""The soak: real calls, two a second, with all operations mixed, for half an hour.

    make soak
    make soak MINUTES=3 SEED=7

Every half minute people pause, and the same must hold as after a fault of the campaign: the bridge's view is
the PBX's truth, everybody hears the right ones, nothing is unanswered, and once the calls are over nothing is
left.
At the end the connector may not have grown.
"""

import argparse
import asyncio
import os
import random
import secrets
import sys
import time

from campaign import Campaign, Figures, run_episodes, say
from people import Cast
from world import World, world

from connector.lab.provider import LabInfo, LabProvider, choose_provider

RATE = 2.0
"""Calls a second, at least."""
SPELL = 30.0
"""Seconds between two pauses."""
GROWTH = 0.05
"""Part by which the connector's memory may grow after the first fifth of the time."""
_CAST = Cast(
    agents=("1001", "1002", "1003", "1004", "1005", "1006", "1007"),
    customers=("2001", "2002", "2003", "2004"),
    outsiders=("2005", "2006"),
    control="",
    hang_up=0.2,
)


async def nothing_fails(_world: World) -> None:
    """Let people work."""
    await asyncio.sleep(SPELL)


async def soak(lab: LabProvider, info: LabInfo, minutes: float, seed: int) -> Figures:
    """Run it and return the figures; the rate, the growth and what nobody did count as failures, too."""
    figures, began = Figures(), time.monotonic()
    async with world(lab, info, random.Random(seed), "tcp") as at:  # noqa: S311
        campaign = Campaign(at, figures, _CAST, listens=False)
        await campaign.begin()
        spells = max(1, round(60 * minutes / SPELL))
        await run_episodes(campaign, [nothing_fails] * spells, f"soak, seed {seed}")
        await campaign.end()
        calls = campaign.people.calls / (spells * SPELL)
    figures.seconds = time.monotonic() - began
    say(f"{campaign.people.calls} calls, {calls:.1f} a second of work")
    if calls < RATE:
        figures.failures.append(f"only {calls:.1f} calls a second")
    if figures.never_done:
        figures.failures.append(f"never carried out: {figures.never_done}")
    steady = figures.kib[len(figures.kib) // 5 :]
    if steady and steady[-1] > steady[0] * (1 + GROWTH):
        figures.failures.append(f"the connector grew from {steady[0]} to {steady[-1]} KiB")
    return figures


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description="Real calls for a long time.")
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seed", type=int)
    asked = parser.parse_args()
    seed = secrets.randbelow(10**6) if asked.seed is None else asked.seed
    say(f"seed {seed}")
    lab = choose_provider(os.environ.get("LAB") or None, f"soak-{os.getpid()}")
    try:
        figures = asyncio.run(soak(lab, lab.up(broker=False), asked.minutes, seed))
    finally:
        lab.down()
    figures.show()
    return 1 if figures.failures else 0


if __name__ == "__main__":
    sys.exit(main())
