"""The wire's tools on real calls: what is recorded can be played, and a request can be sent by hand."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from desk import WAIT, Desk, desk, settings_for
from test_command import environment, start

from connector.app import Connector
from connector.bridge.catalogue.conversation import ConversationState
from connector.bridge.catalogue.interaction import InteractionState
from connector.bridge.wirelog import Way, read_wire
from connector.lab.configuration import connector_config
from connector.lab.phones.fleet import PhoneFleet
from connector.lab.provider import LabInfo, LabProvider
from connector.processor.link import Direction, Entry
from connector.processor.playback import Playback
from connector.processor.server import ReferenceBridge

PROCESS = 30.0
"""Seconds within which a process of ours starts or ends, on a machine with other work."""


async def a_dialled_call(at_desk: Desk) -> None:
    await at_desk.agent_phone()
    customer = await at_desk.phones.phone("2001")
    session = await at_desk.login("1001")
    call = await session.channel.dial("2001")
    await (await customer.next_call(WAIT)).answer()
    await call.primary.wait_state(ConversationState.TALKING)
    await call.wait_state(InteractionState.STARTED)
    await call.primary.release()
    await call.wait_state(InteractionState.ENDED)
    await call.complete()
    await session.close()


def is_initialised(entry: Entry) -> bool:
    return entry.direction is Direction.RECEIVED and entry.message.name == "conversation.query.init"


@asynccontextmanager
async def connector_at(lab: LabInfo, folder: Path, port: int) -> AsyncIterator[None]:
    """Run a connector without a dialect against whatever listens at a port."""
    stop = asyncio.Event()
    connector = Connector(settings_for(lab, folder, port, {"bridge": {"dialect": ""}}))
    running = asyncio.create_task(connector.run(stop))
    try:
        yield
    finally:
        stop.set()
        await running


async def test_a_recorded_call_is_played_again_without_a_difference(
    provider: LabProvider, lab: LabInfo, tmp_path: Path
) -> None:
    file = tmp_path / "wire.jsonl"
    async with desk(provider, lab, tmp_path, {"bridge": {"record": str(file)}}) as at_desk:
        await a_dialled_call(at_desk)
    account = lab.agents["1001"]
    text = file.read_text("utf-8")
    assert account.password not in text
    assert lab.ami["harmony"].secret not in text
    records = read_wire(file)
    assert sum(each.way is Way.TO_CONNECTOR for each in records) > 15

    accounts = {number: each.password for number, each in lab.sip.items()}
    async with PhoneFleet(lab.host, lab.ports.sip, accounts) as phones:
        agent, customer = await phones.phone("1001"), await phones.phone("2001")
        agent.honour_auto_answer = True
        for _ in range(2):
            asked = asyncio.Event()
            playback = Playback(
                records,
                password=account.password,
                deadline=WAIT,
                settle=0.3,
                on_entry=lambda entry, asked=asked: asked.set() if is_initialised(entry) else None,  # type: ignore[misc]
            )
            await playback.start()
            try:
                async with connector_at(lab, tmp_path, playback.port):
                    playing = asyncio.create_task(playback.play())
                    # As in the recording: the customer picks up when the bridge knows the conversation.
                    await asyncio.wait_for(asked.wait(), WAIT)
                    await (await customer.next_call(WAIT)).answer()
                    await playing
            finally:
                await playback.stop()
            assert playback.differences == []


async def test_a_customer_who_does_not_answer_is_told(
    provider: LabProvider, lab: LabInfo, tmp_path: Path
) -> None:
    file = tmp_path / "wire.jsonl"
    async with desk(provider, lab, tmp_path, {"bridge": {"record": str(file)}}) as at_desk:
        await a_dialled_call(at_desk)
    playback = Playback(read_wire(file), password=lab.agents["1001"].password, deadline=1.0, settle=0.3)
    accounts = {number: each.password for number, each in lab.sip.items()}
    async with PhoneFleet(lab.host, lab.ports.sip, accounts) as phones:
        agent, customer = await phones.phone("1001"), await phones.phone("2001")
        agent.honour_auto_answer = True
        await playback.start()
        try:
            async with connector_at(lab, tmp_path, playback.port):
                await playback.play()
        finally:
            await playback.stop()
    told = " / ".join(playback.differences)
    assert "interaction.started for LAB.SESSION." in told
    assert "did not come within 1 s" in told
    assert customer.calls == ()


def mode_of(file: Path) -> int:
    return file.stat().st_mode & 0o777


async def until(process: asyncio.subprocess.Process, wanted: str) -> str:
    assert process.stdout is not None
    seen = ""
    async with asyncio.timeout(PROCESS):
        while wanted not in seen:
            line = (await process.stdout.readline()).decode()
            assert line, f"ended without {wanted!r}: {seen}"
            seen += line
    return seen


@pytest.fixture
async def bridge_tool(lab: LabInfo, tmp_path: Path) -> AsyncIterator[Path]:
    """Run `connector bridge` with an agent logged in, and a connector; return its control socket."""
    control = tmp_path / "control"
    env = environment(CONNECTOR_BRIDGE_PASSWORD=lab.agents["1001"].password, PYTHONUNBUFFERED="1")
    bridge = await start("bridge", "--port", "0", "--login", "1001", "--control", str(control), env=env)
    try:
        first = await until(bridge, "listens on")
        port = int(first.partition("127.0.0.1:")[2].partition(".")[0])
        async with connector_at(lab, tmp_path, port):
            await until(bridge, "Agent 1001 is ready")
            yield control
            done = await start("send", "session.request.close", "session", "--control", str(control))
            assert await done.wait() == 0
    finally:
        bridge.send_signal(signal.SIGTERM)
        await asyncio.wait_for(bridge.communicate(), PROCESS)


async def said_by(*arguments: str, env: dict[str, str] | None = None) -> tuple[int, str]:
    process = await start(*arguments, env=env)
    out, err = await asyncio.wait_for(process.communicate(), PROCESS)
    assert b"Traceback" not in out + err
    return process.returncode or 0, (out + err).decode()


async def test_a_request_goes_by_hand_into_a_running_session(
    bridge_tool: Path, lab: LabInfo, tmp_path: Path
) -> None:
    accounts = {number: each.password for number, each in lab.sip.items()}
    async with PhoneFleet(lab.host, lab.ports.sip, accounts) as phones:
        agent, customer = await phones.phone("1001"), await phones.phone("2001")
        agent.honour_auto_answer = True
        customer.answer_mode = "auto"
        at = ("--control", str(bridge_tool))
        status, text = await said_by("send", "channel.request.dial", "channel", "destination=2001", *at)
        assert status == 0
        assert "channel.request.dial" in text
        assert "SUCCESS" in text
        assert "conversation-state=TALKING" in text
        rest = ("send", "channel.request.notready", "channel@1001", "reasonCodeId=lunch")
        status, text = await said_by(*rest, *at, "--listen", "0.5")
        assert (status, "channel.notready" in text, "reason=lunch" in text) == (0, True, True)
        status, text = await said_by("send", "interaction.request.complete", "interaction", *at)
        assert status == 1
        assert "FAILURE" in text
        status, text = await said_by("send", "conversation.request.release", "primary", *at)
        assert (status, "conversation.disposed" in text) == (0, True)
        status, text = await said_by("send", "conversation.request.release", "consult", *at)
        assert (status, len(text.splitlines())) == (2, 1)
        assert "has no consult conversation" in text
    assert mode_of(bridge_tool) == 0o600
    status, text = await said_by("bridge", "--port", "0", "--control", str(bridge_tool))
    assert (status, "another bridge listens there" in text) == (2, True)


async def test_send_brings_its_own_bridge(lab: LabInfo, tmp_path: Path) -> None:
    async with ReferenceBridge() as free:
        port = free.port
    password = lab.agents["1001"].password
    file = tmp_path / "connector.yaml"
    file.write_text(connector_config(lab, bridge_port=port))
    wire = tmp_path / "wire.jsonl"
    connector = await start("record", "--bridge", str(wire), "--config", str(file))
    try:
        status, text = await said_by(
            *("send", "channel.query.init", "channel", "--port", str(port)),
            *("--login", "1001:1001", "--listen", "0"),
            env=environment(CONNECTOR_BRIDGE_PASSWORD=password),
        )
        assert status == 0, text
        assert "channel-state=INACTIVE" in text
        assert password not in text
        guess = ("agentId=1001", "agentPassword=s3cret-guess", "sessionId=x", "destination=LAB.X")
        status, text = await said_by(
            *("send", "cti.request.createsession", "control", *guess, "--port", str(port), "--listen", "0")
        )
        assert status == 1
        assert "Agent id or password is wrong." in text
        assert "s3cret-guess" not in text
    finally:
        connector.send_signal(signal.SIGTERM)
        _, log = await asyncio.wait_for(connector.communicate(), PROCESS)
    assert connector.returncode == 0
    assert b"s3cret-guess" not in log
    assert "s3cret-guess" not in wire.read_text("utf-8")
    assert mode_of(wire) == 0o600
    names = [each.message.name for each in read_wire(wire) if each.message is not None]
    assert "channel.query.init" in names
