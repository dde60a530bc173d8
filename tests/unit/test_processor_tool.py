"""`connector bridge` as a process, and the lines that it prints."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from processor_client import Client

from connector.bridge.messages import Kind, Message, Result, control, request_message
from connector.bridge.tcp import TcpSettings, TcpTransport
from connector.processor.link import Direction, Entry
from connector.processor.timeline import line_of

DEADLINE = 20.0
START = "from connector.processor.commands import bridge_command; import typer; typer.run(bridge_command)"


@asynccontextmanager
async def tool(*options: str, password: str = "") -> AsyncIterator[tuple[asyncio.subprocess.Process, int]]:
    """Run the tool on a free port, and see to its end."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-u", "-c", START, "--port", "0", *options),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "CONNECTOR_BRIDGE_PASSWORD": password},
    )
    try:
        first = await line(process)
        assert "listens on 127.0.0.1:" in first
        yield process, int(first.partition("127.0.0.1:")[2].partition(".")[0])
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def line(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    return (await asyncio.wait_for(process.stdout.readline(), DEADLINE)).decode()


async def until(process: asyncio.subprocess.Process, wanted: str) -> list[str]:
    seen: list[str] = []
    while True:
        seen.append(await line(process))
        assert seen[-1], f"the tool ended without {wanted!r}: {seen}"
        if wanted in seen[-1]:
            return seen


@asynccontextmanager
async def client_of(port: int) -> AsyncIterator[Client]:
    transport = TcpTransport(TcpSettings("127.0.0.1", port))
    client = Client(transport.send)
    task = asyncio.create_task(transport.run(client))
    try:
        yield client
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_it_logs_agents_in_prints_what_goes_by_and_ends_on_ctrl_c() -> None:
    async with tool("--login", "1001:1001", password="right") as (process, port), client_of(port):
        seen = "".join(await until(process, "Agent 1001 is ready at 1001."))
        process.send_signal(signal.SIGINT)
        assert await asyncio.wait_for(process.wait(), DEADLINE) == 0
    assert "→ request  cti.request.createsession" in seen
    assert "← event    channel.ready" in seen
    assert "right" not in seen


async def test_a_broken_rule_is_printed_and_is_the_exit_status() -> None:
    async with tool() as (process, port), client_of(port) as client:
        await until(process, "cti.query.capabilities")
        client.send(Message(Kind.EVENT, "cti.exploded", "LAB.CONTROL"))
        await until(process, "BROKEN RULE: The client sends the catalogue's events.")
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), DEADLINE) == 1


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--login", "1001"), "--login needs a password"),
        (("--tls-key", "key.pem"), "--tls-key needs --tls-cert"),
        (("--tls-cert", "there-is-no-such-file.pem"), "No such file"),
        (("--host", "203.0.113.1"), "cannot listen on 203.0.113.1"),
    ],
)
async def test_wrong_options_are_one_line_and_status_two(options: tuple[str, ...], sentence: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", START, "--port", "0", *options),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={key: value for key, value in os.environ.items() if key != "CONNECTOR_BRIDGE_PASSWORD"},
    )
    said, _ = await asyncio.wait_for(process.communicate(), DEADLINE)
    assert process.returncode == 2
    assert sentence in said.decode()
    assert len(said.decode().splitlines()) == 1


def test_a_line_shows_no_password_and_no_control_character() -> None:
    at = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)
    create = control.CreateSession(
        agent_id="10\x1b[31m01", agent_password="geheim", session_id="s", destination="LAB.SESSION.1"
    )
    text = line_of(Entry(at, Direction.SENT, request_message("LAB.CONTROL", create, "1")))
    assert text.startswith("03:04:05.678 → request  cti.request.createsession")
    assert "geheim" not in text
    assert "\x1b" not in text
    failed = Message(
        Kind.RESPONSE,
        "x",
        "LAB.SESSION.123.g1.c1",
        request_id="1",
        result=Result.FAILURE,
        error_message="No\nway.",
    )
    assert line_of(Entry(at, Direction.RECEIVED, failed)).endswith("…g1.c1 FAILURE No\\nway.")


def test_a_long_body_does_not_flood_the_screen() -> None:
    event = Message(Kind.EVENT, "interaction.datachanged", "s", {"interaction-data": {"a": "x" * 5000}})
    assert len(line_of(Entry(datetime.now(UTC), Direction.RECEIVED, event))) < 500


def test_the_password_may_come_from_a_file(tmp_path: Path) -> None:
    from connector.processor.options import read_password

    file = tmp_path / "password"
    file.write_text("geheim\n")
    assert read_password(file, "--login") == "geheim"
    file.write_text("\n")
    with pytest.raises(ValueError, match="needs a password"):
        read_password(file, "--login")
