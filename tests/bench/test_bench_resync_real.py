"""From a link that is back to a bridge that knows all, on the real Asterisk with 50 real calls."""

import asyncio
import os
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cable import Cable
from desk import WAIT, Desk, desk
from gaps import behind, gap

from connector.bridge.catalogue.conversation import ConversationState
from connector.bridge.catalogue.interaction import InteractionState
from connector.lab.provider import LabInfo, LabProvider, choose_provider
from connector.processor.handles import Interaction
from connector.processor.server import Session

CALLS, ENDED, TURNS = 50, 10, 7
"""Calls that are up; how many end in each gap; gaps."""
CEILING = 2.0
"""Seconds, at the median."""


@pytest.fixture(scope="module")
def provider() -> Iterator[LabProvider]:
    lab = choose_provider(os.environ.get("LAB") or None, f"bench-{os.getpid()}")
    lab.up(broker=False)
    yield lab
    lab.down()


async def _begin(at: Desk, agent: str, session: Session) -> Interaction:
    """Have a customer call an agent, whose phone may be on other calls already."""
    customer = await at.phones.phone(f"2{agent[1:]}")
    await customer.dial(agent)
    interaction = await session.channel.next_interaction(timeout=WAIT)
    await interaction.primary.wait_state(ConversationState.TALKING, timeout=WAIT)
    return interaction


async def _end_in_a_gap(at: Desk, cable: Cable, calls: list[Interaction]) -> float:
    """Have the first calls end while the link is away; return the seconds until the bridge knows."""
    gone, there = calls[:ENDED], calls[ENDED:]
    async with gap(cable, at):
        for interaction in gone:
            phone = await at.phones.phone(f"2{interaction.node.parent.endpoint[1:]}")  # type: ignore[union-attr]
            await phone.calls[0].hangup()
        began = time.perf_counter()
    for interaction in gone:
        await interaction.wait_state(InteractionState.ENDED, timeout=WAIT)
    took = time.perf_counter() - began
    assert {one.state for one in there} == {InteractionState.STARTED}
    model = at.connector.pbx.model
    assert {one.nativeid for one in there} == {
        one.id for agent in at.info.agents for one in model.interactions(agent) if not one.over
    }
    for interaction in gone:
        await interaction.complete()
    return took


async def test_a_resync_of_fifty_real_calls(provider: LabProvider, tmp_path: Path) -> None:
    lab: LabInfo = provider.info()
    async with (
        Cable(lab.host, lab.ports.ami) as cable,
        desk(provider, lab, tmp_path, behind(cable)) as at,
    ):
        sessions: dict[str, Session] = {}
        for agent in sorted(lab.agents):
            (await at.agent_phone(agent)).answer_mode = "auto"
            sessions[agent] = await at.login(agent, ready=False)
        calls: list[Interaction] = []
        times: list[float] = []
        for _ in range(TURNS):
            while len(calls) < CALLS:
                agent = sorted(lab.agents)[len(calls) % len(lab.agents)]
                calls.append(await _begin(at, agent, sessions[agent]))
            times.append(await _end_in_a_gap(at, cable, calls))
            calls = calls[ENDED:]
        sys.stdout.write(
            f"\nresync of {CALLS} real calls, {ENDED} of them ended in the gap: median "
            f"{statistics.median(times):.3f} s, worst {max(times):.3f} s, n={TURNS}, "
            f"load {os.getloadavg()[0]:.1f}"
        )
        for phone in at.phones.phones:
            await asyncio.gather(*(call.hangup() for call in phone.calls))
        for interaction in calls:
            await interaction.wait_state(InteractionState.ENDED, timeout=WAIT)
            await interaction.complete()
        for session in sessions.values():
            await session.close()
    assert statistics.median(times) < CEILING
