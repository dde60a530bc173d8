"""From request to proven state: ours (bridge, TCP, connector, AMI, events, answer) beside a bare AMI script.

Both work in turns on the same calls of the same Asterisk. Ours is timed from the bridge's request to the
connector's response, which comes when the events have shown the new state. The script sends the same
Redirects and Setvars, each after the reply to the one before, and is timed until it has seen such events.
"""

import asyncio
import os
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from desk import WAIT, settings_for
from raw_ami import Action, Script
from raw_ami import script as raw_script

from connector.bridge.catalogue.conversation import ConversationState
from connector.bridge.catalogue.interaction import InteractionState
from connector.bridge.stream import FramedConnection
from connector.lab.phones.fleet import PhoneFleet
from connector.lab.provider import LabInfo, LabProvider, choose_provider
from connector.processor.handles import Interaction
from connector.processor.server import ReferenceBridge, Session

TALKING, HELD = ConversationState.TALKING, ConversationState.HELD

START = 60.0
"""Seconds that the connector may take to start, on a machine that does other things too."""
ROUNDS = 200
SCRIPTS = 4
"""Processes of the script that share the rounds: where the system runs one makes a tenth of its time."""
SAMPLES = 25
"""Of what a call can have once only: its first hold, its transfer."""
CEILING = 1.5
"""Ours may take this many times as long as the script, at the median."""


@dataclass
class Times:
    """Seconds that one operation took, by who carried it out."""

    ours: list[float] = field(default_factory=list)
    raw: list[float] = field(default_factory=list)

    def show(self, what: str) -> float:
        """Print one line of the table and return how many times as long ours took at the median."""
        ratio = statistics.median(self.ours) / statistics.median(self.raw)
        sys.stdout.write(
            f"\n{what:<18} ours {_figures(self.ours)}   raw {_figures(self.raw)}   ratio {ratio:5.2f}"
            f"   load {os.getloadavg()[0]:.1f}"
        )
        return ratio


def _figures(seconds: list[float]) -> str:
    p99 = statistics.quantiles(seconds, n=100, method="inclusive")[98]
    return f"median {1000 * statistics.median(seconds):6.2f} ms  p99 {1000 * p99:6.2f} ms (n={len(seconds)})"


def script(info: LabInfo) -> AbstractAsyncContextManager[Script]:
    user = info.ami["harmony"]
    return raw_script(info.host, info.ports.ami, user.username, user.secret)


@pytest.fixture(scope="module")
def provider() -> Iterator[LabProvider]:
    lab = choose_provider(os.environ.get("LAB") or None, f"bench-{os.getpid()}")
    lab.up()
    yield lab
    lab.down()


@dataclass
class Bench:
    """A bridge and phones here; the connector in a process of its own, as in service."""

    lab: LabProvider
    info: LabInfo
    bridge: ReferenceBridge
    phones: PhoneFleet

    async def login(self) -> Session:
        account = self.info.agents["1001"]
        session = await self.bridge.login("1001", account.password, extension=account.extension)
        await session.channel.activate()
        await session.channel.ready()
        return session

    def leg(self, number: str) -> str:
        """Return the leg of a phone that has one call."""
        channels = self.lab.asterisk_cli("core show channels concise").splitlines()
        (found,) = [line for line in channels if line.startswith(f"PJSIP/{number}-")]
        return found.rpartition("!")[2]


@pytest.fixture
async def at(provider: LabProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    monkeypatch.setattr("connector.processor.server.FramedConnection", ClockedConnection)
    info = provider.info()
    accounts = {number: account.password for number, account in info.sip.items()}
    async with (
        PhoneFleet(info.host, info.ports.sip, accounts) as phones,
        ReferenceBridge(processor="LAB", port=0) as bridge,
    ):
        settings_for(info, tmp_path, bridge.port)
        connector = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "connector", "run", "--config", str(tmp_path / "connector.yaml")),
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            await bridge.wait_in_service(START)
            yield Bench(provider, info, bridge, phones)
        finally:
            connector.terminate()
            await connector.wait()


@dataclass
class Call:
    """Agent 1001 talks with customer 2001; names of the legs, for the script."""

    interaction: Interaction
    agent: str
    customer: str
    target: str = ""


def setvar(leg: str, **variables: str) -> Action:
    name = ",".join(variables) if len(variables) == 1 else f"ARRAY({','.join(variables)})"
    return [
        ["Action", "Setvar"],
        ["Channel", leg],
        ["Variable", name],
        ["Value", ",".join(variables.values())],
    ]


def redirect(*moves: tuple[str, str, str]) -> Action:
    headers = [["Action", "Redirect"]]
    for prefix, (leg, context, extension) in zip(("", "Extra"), moves, strict=False):
        headers += [
            [f"{prefix}Channel", leg],
            [f"{prefix}Context", context],
            [f"{prefix}Exten", extension],
            [f"{prefix}Priority", "1"],
        ]
    return headers


class ClockedConnection(FramedConnection):
    """A connection of the bridge that knows when it wrote the first bytes, and when the newest came."""

    written: float | None = None
    arrived = 0.0

    def flush(self) -> None:
        if self._batch and self.written is None:
            type(self).written = time.perf_counter()
        super().flush()

    def data_received(self, data: bytes) -> None:
        type(self).arrived = time.perf_counter()
        super().data_received(data)


async def timed(at: Bench, raw: Script, request: Callable[[], Awaitable[object]]) -> float:
    """Return the seconds from a request to its response and the new state's event, at the bridge's wire.

    It begins when the bridge writes the request and ends when the last bytes have come: what the bridge
    does before and after, its referee above all, is not the connector's time.

    It begins as the script does: when the PBX has told all that belongs to the operation before. Either
    has the other beside it, which is told the same events.
    """
    await raw.drain()
    ClockedConnection.written = None
    await request()
    began, ended = ClockedConnection.written, ClockedConnection.arrived
    assert began is not None
    return ended - began


async def in_turn(at: Bench, rounds: int) -> AsyncIterator[Script]:
    """Iterate over rounds, each with a script that is logged in; it is another process now and then."""
    for turn in range(SCRIPTS):
        async with script(at.info) as raw:
            for _ in range(rounds * turn // SCRIPTS, rounds * (turn + 1) // SCRIPTS):
                yield raw


async def talk(at: Bench, session: Session) -> Call:
    """Have them talk, by the queue."""
    agent, customer = await at.phones.phone("1001"), await at.phones.phone("2001")
    agent.answer_mode = "auto"
    await customer.dial("7000")
    interaction = await session.channel.next_interaction()
    await interaction.primary.wait_state(TALKING)
    return Call(interaction, interaction.nativeid, at.leg("2001"))


async def consult(at: Bench, call: Call) -> None:
    """Consult 1002, who answers by itself."""
    target = await at.phones.phone("1002")
    target.answer_mode = "auto"
    conversation = await call.interaction.consult("1002")
    await conversation.wait_state(TALKING)
    call.target = at.leg("1002")


async def over(at: Bench, call: Call) -> None:
    for number in ("2001", "1001", "1002"):
        for live in (await at.phones.phone(number)).calls:
            await live.hangup()
    await call.interaction.wait_state(InteractionState.ENDED)
    await call.interaction.complete()
    async with asyncio.timeout(WAIT):
        while "PJSIP/" in at.lab.asterisk_cli("core show channels concise"):  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.02)


async def once_a_call(at: Bench) -> AsyncIterator[tuple[Script, Call, bool]]:
    """Iterate over calls for what each can have once only; in turns it is the script's, and ours (True)."""
    session = await at.login()
    ours = False
    async for raw in in_turn(at, 2 * SAMPLES):
        call = await talk(at, session)
        yield raw, call, ours
        await over(at, call)
        ours = not ours
    await session.close()


async def test_first_hold(at: Bench) -> None:
    """Out of the plain bridge: both legs are told of each other, then moved by one Redirect."""
    times = Times()
    async for raw, call, ours in once_a_call(at):
        primary = call.interaction.primary
        if ours:
            times.ours.append(await timed(at, raw, primary.hold))
        else:
            took = await raw.run(
                [
                    setvar(
                        call.agent, HARMONY_P1=call.customer, HARMONY_SIDE="agent", HARMONY_HOLD_LIMIT="3602"
                    ),
                    setvar(
                        call.customer,
                        HARMONY_AGENT=call.agent,
                        HARMONY_BACK="PJSIP/1001",
                        HARMONY_RETURN="agent-queue",
                        HARMONY_ORPHANS="queue",
                        HARMONY_FALLBACK_QUEUE="",
                        HARMONY_PATIENCE="120",
                        HARMONY_QUEUED_IN="support",
                        HARMONY_QUEUED_FOR="0",
                    ),
                    redirect(
                        (call.customer, "harmony-room", f"p{call.customer}"),
                        (call.agent, "harmony-didle", "s"),
                    ),
                ],
                {"Event": "BridgeLeave", "Uniqueid": call.agent},
                {"Event": "MusicOnHoldStart", "Uniqueid": call.customer},
            )
            times.raw.append(took)
            await primary.wait_state(HELD)
    assert times.show("first hold") <= CEILING


async def test_hold_and_retrieve(at: Bench) -> None:
    hold, retrieve = Times(), Times()
    session = await at.login()
    call = await talk(at, session)
    primary = call.interaction.primary
    await primary.hold()
    await primary.retrieve()
    async for raw in in_turn(at, ROUNDS):
        hold.ours.append(await timed(at, raw, primary.hold))
        retrieve.ours.append(await timed(at, raw, primary.retrieve))
        took = await raw.run(
            [redirect((call.agent, "harmony-didle", "s"))],
            {"Event": "BridgeLeave", "Uniqueid": call.agent},
            {"Event": "MusicOnHoldStart", "Uniqueid": call.customer},
        )
        hold.raw.append(took)
        await primary.wait_state(HELD)
        took = await raw.run(
            [redirect((call.agent, "harmony-room", f"a{call.customer}"))],
            {"Event": "BridgeEnter", "Uniqueid": call.agent},
            {"Event": "MusicOnHoldStop", "Uniqueid": call.customer},
        )
        retrieve.raw.append(took)
        await primary.wait_state(TALKING)
    await over(at, call)
    await session.close()
    ratios = [hold.show("hold"), retrieve.show("retrieve")]
    assert max(ratios) <= CEILING


async def test_alternate(at: Bench) -> None:
    times = Times()
    session = await at.login()
    call = await talk(at, session)
    await consult(at, call)
    primary = call.interaction.primary
    await call.interaction.alternate()
    await call.interaction.alternate()
    async for raw in in_turn(at, ROUNDS // 2):
        # Twice each, so that both have both directions.
        for _ in range(2):
            times.ours.append(await timed(at, raw, call.interaction.alternate))
        for to, left, state in (
            (call.customer, call.target, TALKING),
            (call.target, call.customer, HELD),
        ):
            took = await raw.run(
                [redirect((call.agent, "harmony-room", f"a{to}"))],
                {"Event": "BridgeEnter", "Uniqueid": call.agent},
                {"Event": "MusicOnHoldStop", "Uniqueid": to},
                {"Event": "MusicOnHoldStart", "Uniqueid": left},
            )
            times.raw.append(took)
            await primary.wait_state(state)
    await over(at, call)
    await session.close()
    assert times.show("alternate") <= CEILING


async def test_consult_transfer(at: Bench) -> None:
    times = Times()
    async for raw, call, ours in once_a_call(at):
        await consult(at, call)
        if ours:
            times.ours.append(await timed(at, raw, call.interaction.consult_transfer))
        else:
            took = await raw.run(
                [
                    setvar(call.target, HARMONY_AGENT=call.customer),
                    setvar(call.customer, HARMONY_AGENT=call.target),
                    setvar(call.agent, HARMONY_P1="", HARMONY_P2=""),
                    redirect(
                        (call.target, "harmony-room", f"p{call.customer}"),
                        (call.agent, "harmony-bye", "s"),
                    ),
                ],
                {"Event": "BridgeEnter", "Uniqueid": call.target},
                {"Event": "Hangup", "Uniqueid": call.agent},
            )
            times.raw.append(took)
    assert times.show("consult transfer") <= CEILING
