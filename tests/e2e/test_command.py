"""The command line as a user runs it: the daemon, the checks, the recorder."""

import asyncio
import os
import signal
import socket
import sys
from pathlib import Path

import pytest
from desk import WAIT
from typer.testing import CliRunner

from connector.asterisk.trace import TraceReader
from connector.cli import app
from connector.lab.configuration import connector_config
from connector.lab.phones.fleet import PhoneFleet
from connector.lab.provider import LabInfo
from connector.processor.server import ReferenceBridge


def environment(**more: str) -> dict[str, str]:
    plain = {key: value for key, value in os.environ.items() if not key.startswith("CONNECTOR_")}
    return plain | more


async def start(*arguments: str, env: dict[str, str] | None = None) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "connector",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=env or environment(),
    )


async def test_run_serves_a_bridge_and_ends_on_sigterm(lab: LabInfo, tmp_path: Path) -> None:
    async with ReferenceBridge(processor="LAB", port=0) as bridge:
        file = tmp_path / "connector.yaml"
        file.write_text(connector_config(lab, bridge_port=bridge.port))
        process = await start("run", "--config", str(file))
        await bridge.wait_in_service(20)
        account = lab.agents["1001"]
        session = await bridge.login("1001", account.password, extension="1001")
        await session.channel.activate()
        await session.close()
        process.send_signal(signal.SIGTERM)
        _, log = await asyncio.wait_for(process.communicate(), WAIT)
    assert process.returncode == 0
    assert b"Traceback" not in log
    assert lab.ami["harmony"].secret.encode() not in log


async def test_a_secret_may_come_from_a_file(lab: LabInfo, tmp_path: Path) -> None:
    secret = tmp_path / "ami-secret"
    secret.write_text(lab.ami["harmony"].secret + "\n")
    file = tmp_path / "connector.yaml"
    file.write_text(connector_config(lab).replace(lab.ami["harmony"].secret, "not-this-one"))
    async with ReferenceBridge(processor="LAB", port=0) as bridge:
        env = environment(
            CONNECTOR_ASTERISK__SECRET_FILE=str(secret), CONNECTOR_BRIDGE__PORT=str(bridge.port)
        )
        process = await start("run", "--config", str(file), env=env)
        await bridge.wait_in_service(20)
        process.send_signal(signal.SIGINT)
        await asyncio.wait_for(process.communicate(), WAIT)
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("processor: LAB", "processsor: LAB", "processsor"),
        ("context: from-internal", "context: 7.5.x", "dial.context"),
        ("transport: tcp", "transport: carrier-pigeon", "bridge.transport"),
    ],
)
async def test_a_wrong_configuration_is_one_line_and_status_2(
    lab: LabInfo, tmp_path: Path, old: str, new: str, said: str
) -> None:
    file = tmp_path / "connector.yaml"
    file.write_text(connector_config(lab).replace(old, new))
    for command in ("run", "check"):
        process = await start(command, "--config", str(file))
        out, log = await asyncio.wait_for(process.communicate(), 20)
        assert process.returncode == 2
        assert out == b""
        (line,) = log.decode().splitlines()
        assert str(file) in line
        assert said in line


def test_check_prints_what_is_in_force_without_secrets(lab: LabInfo, tmp_path: Path) -> None:
    file = tmp_path / "connector.yaml"
    file.write_text(connector_config(lab))
    result = CliRunner().invoke(app, ["check", "--config", str(file)])
    assert result.exit_code == 0
    assert "processor: LAB" in result.output
    assert lab.ami["harmony"].secret not in result.output
    assert lab.agents["1001"].password_hash not in result.output


async def test_record_writes_a_trace_that_replays(lab: LabInfo, tmp_path: Path) -> None:
    file, trace = tmp_path / "connector.yaml", tmp_path / "call.txt.gz"
    file.write_text(connector_config(lab))
    process = await start("record", str(trace), "--config", str(file))
    accounts = {number: account.password for number, account in lab.sip.items()}
    async with PhoneFleet(lab.host, lab.ports.sip, accounts) as phones:
        agent, customer = await phones.phone("1001"), await phones.phone("2001")
        agent.answer_mode = "auto"
        assert process.stderr is not None
        async with asyncio.timeout(WAIT):
            while b"link up" not in await process.stderr.readline():
                pass
        call = await customer.dial("1001")
        await call.wait_state("talking", WAIT)
        await call.hangup()
    process.send_signal(signal.SIGINT)
    await asyncio.wait_for(process.communicate(), WAIT)
    assert process.returncode == 0
    assert [one for _, _, one in TraceReader(trace) if one.name == "Newchannel"]
    replayed = CliRunner().invoke(app, ["replay", str(trace), "--agent", "1001"])
    assert replayed.exit_code == 0
    assert "InteractionStarted" in replayed.output
    assert "InteractionEnded" in replayed.output


async def test_a_pbx_that_is_not_there_is_told_and_waited_for(lab: LabInfo, tmp_path: Path) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
        async with ReferenceBridge(processor="LAB", port=0) as bridge:
            file = tmp_path / "connector.yaml"
            text = connector_config(lab, bridge_port=bridge.port)
            file.write_text(text.replace(f"port: {lab.ports.ami}", f"port: {port}"))
            process = await start("run", "--config", str(file))
            await bridge.wait_status("starting-service", timeout=20)
            reply = await bridge.request(
                "LAB.CONTROL",
                "cti.request.createsession",
                {"agentId": "1001", "agentPassword": "x", "sessionId": "s", "destination": "LAB.S"},
            )
            assert reply.error_message is not None
            process.send_signal(signal.SIGTERM)
            await asyncio.wait_for(process.communicate(), WAIT)
    assert process.returncode == 0
