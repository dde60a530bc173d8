"""200 agent desktops on one bridge: how long from an event of the PBX to the desktop that it concerns.

Everything is real but the PBX, a script that writes what Asterisk 22 writes: manager link, model,
destinations, bridge protocol, service, WebSockets, desktops; all in one process, so all their work counts.
"""

import asyncio
import itertools
import sys
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack
from typing import Any

from scripted_ami import SECRET, USERNAME, Peer, ScriptedAmi
from test_bench_resync import Agent, rendered

from connector.asterisk.link import AmiSettings
from connector.asterisk.pbx import AsteriskPbx
from connector.asterisk.settings import DialSettings
from connector.bridge.memory import memory_pair
from connector.destinations.control import Control
from connector.destinations.tree import Tree
from connector.processor.desktop_client import DesktopClient, DesktopSession
from connector.processor.server import ReferenceBridge
from connector.processor.service.door import DesktopDoor
from connector.processor.service.processor import InteractionProcessor

DESKTOPS, RATE, SECONDS = 200, 100, 10
CEILING = 0.050
"""Seconds, at the 99th percentile."""
QUEUE = "support"


class Agents:
    def __init__(self) -> None:
        self.numbers = [str(10000 + number) for number in range(DESKTOPS)]
        self._all = {number: Agent(number, queues=(QUEUE,)) for number in self.numbers}

    def agents(self) -> tuple[Agent, ...]:
        return tuple(self._all.values())

    def get(self, agent_id: str) -> Agent | None:
        return self._all.get(agent_id)

    async def verify(self, agent_id: str, password: str) -> bool:
        return agent_id in self._all and password == "right"


def member(agent: str, *, paused: bool) -> dict[str, str]:
    return {
        "Queue": QUEUE,
        "Interface": f"PJSIP/{agent}",
        "StateInterface": f"PJSIP/{agent}",
        "Membership": "dynamic",
        "Penalty": "0",
        "CallsTaken": "17",
        "LastCall": "0",
        "LastPause": "0",
        "LoginTime": "1795270825",
        "InCall": "0",
        "Status": "1",
        "Paused": str(int(paused)),
        "PausedReason": "",
        "Wrapuptime": "0",
    }


class Pbx:
    """A PBX on which all agents are logged in, and take calls or not as it likes."""

    def __init__(self, agents: Agents) -> None:
        self.agents = agents
        self.peer: asyncio.Future[Peer] = asyncio.get_running_loop().create_future()

    def rows(self, action: str) -> Iterator[list[str]]:
        for agent in self.agents.agents():
            if action == "QueueStatus":
                fields = {**member(agent.agent_id, paused=True), "Name": agent.agent_id}
                fields["Location"] = fields.pop("Interface")
                yield ["Event: QueueMember", *(f"{key}: {value}" for key, value in fields.items())]
            elif action == "DeviceStateList":
                yield ["Event: DeviceStateChange", f"Device: PJSIP/{agent.agent_id}", "State: NOT_INUSE"]

    async def serve(self, peer: Peer) -> None:
        await peer.log_in()
        self.peer.set_result(peer)
        while True:
            asked = await peer._next(None)
            if asked["Action"] not in {"Status", "QueueStatus", "DeviceStateList"}:
                await peer.reply(asked, Variable=asked.get("Variable") or "", Value="0")
                continue
            await peer.reply(asked, EventList="start")
            await peer.raw(rendered(self.rows(asked["Action"]), asked))
            await peer.emit(f"{asked['Action']}Complete", ActionID=asked["ActionID"], EventList="Complete")

    async def pause(self, agent: str, *, paused: bool) -> None:
        fields = {**member(agent, paused=paused), "MemberName": agent}
        await (await self.peer).emit("QueueMemberPause", **fields)


class Stopwatch:
    """Notes when an event was told by the PBX, and when its desktop had it."""

    def __init__(self, session: DesktopSession) -> None:
        self.session = session
        self.waiting: deque[float] = deque()
        self.took: list[float] = []
        self._take = session.view.take_event
        session.view.take_event = self._noted  # type: ignore[method-assign]

    def _noted(self, event: Mapping[str, Any]) -> None:
        self._take(event)
        self.took.append(time.perf_counter() - self.waiting.popleft())


async def test_two_hundred_desktops_hear_of_everything_at_once() -> None:
    agents = Agents()
    script = Pbx(agents)
    async with AsyncExitStack() as stack:
        ami = await stack.enter_async_context(ScriptedAmi(script.serve))
        link = AmiSettings("127.0.0.1", ami.port, USERNAME, SECRET, ping_interval=3600.0)
        pbx = AsteriskPbx(link, DialSettings())
        for agent in agents.agents():
            pbx.watch(agent.extension)
        ours, theirs = memory_pair()
        tree = Tree("LAB", pbx, agents, ours)
        Control(tree)
        running = [asyncio.create_task(pbx.run()), asyncio.create_task(ours.run(tree))]
        bridge = await stack.enter_async_context(ReferenceBridge(timeout=30.0))
        door = await stack.enter_async_context(DesktopDoor(InteractionProcessor(bridge)))
        bridge.attach(theirs)
        await bridge.wait_in_service()
        began = time.perf_counter()
        desktops = {agent: DesktopClient(door.url, timeout=30) for agent in agents.numbers}
        for one in desktops.values():
            await stack.enter_async_context(one)
        sessions = await asyncio.gather(*(one.login(agent, "right") for agent, one in desktops.items()))
        login = time.perf_counter() - began
        took = await _measure(script, [Stopwatch(one) for one in sessions])
        await asyncio.gather(*(one.close() for one in desktops.values()))
        await ours.close()
        await pbx.close()
        await asyncio.gather(*running, return_exceptions=True)
    took.sort()
    p50, p99 = took[len(took) // 2], took[len(took) * 99 // 100]
    sys.stdout.write(
        f"\n{DESKTOPS} desktops: logged in after {login:4.2f} s; {len(took)} events at {RATE}/s, "
        f"PBX to desktop: median {p50 * 1000:5.2f} ms, p99 {p99 * 1000:5.2f} ms, "
        f"worst {took[-1] * 1000:5.2f} ms"
    )
    assert p99 < CEILING


async def _measure(script: Pbx, watches: list[Stopwatch]) -> list[float]:
    """Change agents' states, RATE a second; return the seconds that each change took to its desktop."""
    for watch in watches:
        assert watch.session.view.channel.agent_state == "NOT_READY"
    began = time.perf_counter()
    for number, watch in zip(range(RATE * SECONDS), itertools.cycle(watches), strict=False):
        await asyncio.sleep(max(0.0, began + number / RATE - time.perf_counter()))
        watch.waiting.append(time.perf_counter())
        await script.pause(watch.session.view.agent, paused=bool(number // len(watches) % 2))
    for watch in watches:
        await watch.session.until(lambda watch=watch: not watch.waiting, "the last event")
        rounds = RATE * SECONDS // len(watches)
        assert watch.session.view.channel.agent_state == ("READY" if rounds % 2 else "NOT_READY")
    return [each for watch in watches for each in watch.took]
