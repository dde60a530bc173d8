"""Secrets run through every door of a connector process, and are looked for in everything that comes out."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml
from calls import make_call
from desk import Desk, deep_merge, dialect_file
from process_desk import Plain, ProcessDesk, process_desk
from yarl import URL

from connector.lab.ports import LOOPBACK, free_port
from connector.lab.provider import LabInfo, LabProvider

WRONG = "c4nary-wrong-password"
MISPLACED = "c4nary-in-the-wrong-field"
"""Nobody can know that it is a password: a recording has it, and nothing else."""
TONES = "9182736450"


@pytest.fixture(params=["tcp", "broker"])
async def talkative(
    provider: LabProvider,
    lab: LabInfo,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> AsyncIterator[ProcessDesk]:
    """Run a connector process that tells as much as it can; its AMI secret comes from a file.

    By way of the broker, whose URL has a password, it has a second AMI user and keeps its state in a file.
    """
    broker, system = request.param == "broker", lab.ami["harmony-system"]
    secret = tmp_path / "ami"
    monkeypatch.setenv("CONNECTOR_ASTERISK__SECRET_FILE", str(secret))

    def adapt(plain: Plain) -> Plain:
        secret.write_text(plain["asterisk"].pop("secret"))
        if broker:
            second = {"system": {"username": system.username, "secret": system.secret}}
            more = {"asterisk": second, "amqp": {"store": str(tmp_path / "state.db")}}
            plain = deep_merge(plain, {**more, "extensions": {"enabled": True}})
        return deep_merge(
            plain,
            {
                "log": {"level": "debug", "format": "json"},
                "bridge": {"record": str(tmp_path / "wire.log")},
                "monitoring": {"port": free_port()},
            },
        )

    async with process_desk(provider, lab, tmp_path, adapt, broker=broker) as found:
        yield found


async def every_door(at: Desk) -> None:
    """Give the connector secrets wherever the protocol has a place for them, and where it has none."""
    right = at.info.agents["1001"].password
    for password in (WRONG, right):
        body = {"agentId": "1001", "agentLogin": "1001", "agentPassword": password}
        await at.bridge.request("", "cti.request.validateagentcredentials", body)
        asked = {"agentId": "1002", "requestingAgentLogin": "1001", "requestingAgentPassword": password}
        await at.bridge.request("", "cti.query.agentinfo", asked)
        odd = {**body, "agentPassword": {"nested": [password]}, "sessionId": [], "destination": 7}
        await at.bridge.request("", "cti.request.createsession", odd)
    # Typed into the wrong field, as people do.
    wrong_field = {"agentId": MISPLACED, "agentPassword": "x", "sessionId": "s", "destination": "LAB.S"}
    await at.bridge.request("", "cti.request.createsession", wrong_field)
    call = await make_call(at, "direct")
    await call.primary.send_dtmf(TONES)
    await call.customers_call.hangup()
    await call.over()


async def output_of(*command: str) -> bytes:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "connector", *command, stdout=-1, stderr=asyncio.subprocess.STDOUT
    )
    printed, _ = await process.communicate()
    assert printed
    return printed


async def page(port: int, path: str) -> bytes:
    reader, writer = await asyncio.open_connection(LOOPBACK, port)
    writer.write(f"GET {path} HTTP/1.1\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    assert answer
    return answer


def shown_by_the_kernel(process: int) -> dict[str, bytes]:
    return {name: Path(f"/proc/{process}/{name}").read_bytes() for name in ("cmdline", "environ")}


def files(folder: Path) -> dict[str, bytes]:
    """Return recordings of the wire, and the state that is kept."""
    found = [*folder.glob("wire.log*"), *folder.glob("state.db*")]
    return {file.name: file.read_bytes() for file in found if file.is_file()}


async def test_no_secret_comes_out_anywhere(talkative: ProcessDesk, tmp_path: Path) -> None:
    settings = yaml.safe_load(talkative.file.read_text())
    await every_door(talkative)
    process = talkative.process
    assert process is not None
    port = settings["monitoring"]["port"]
    told = {
        "metrics": await page(port, "/metrics"),
        "readiness": await page(port, "/readyz"),
        **shown_by_the_kernel(process.pid),
        "check": await output_of("check", "--config", str(talkative.file)),
        "doctor": await output_of("doctor", "--config", str(talkative.file)),
    }
    told["log"] = await talkative.end(signal.SIGTERM)
    told |= files(tmp_path)
    assert b"conversation.request.senddtmf" in told["wire.log"] or dialect_file(tmp_path) is not None
    assert b"wrong agent id or password" in told["log"]
    secrets = {
        "AMI secret": talkative.info.ami["harmony"].secret,
        "second AMI secret": talkative.info.ami["harmony-system"].secret,
        "broker's password": URL(talkative.info.amqp_url).password or "",
        "agent's password": talkative.info.agents["1001"].password,
        "agent's hash": talkative.info.agents["1001"].password_hash,
        "wrong password": WRONG,
        "tones": TONES,
    }
    assert all(secrets.values())
    found = [
        f"{name} in {where}"
        for where, text in told.items()
        for name, secret in secrets.items()
        if secret.encode() in text
    ]
    found += [where for where, text in told.items() if MISPLACED.encode() in text and "wire" not in where]
    assert not found
