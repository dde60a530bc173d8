"""Agents in a file, in the embedded SQLite and in a real PostgreSQL, at a real desk."""

import asyncio
import os
import sys
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import pytest
import yaml
from desk import Desk, desk
from postgres import postgres
from typer.testing import CliRunner

from connector.agents_commands import app
from connector.bridge.messages import control
from connector.lab.provider import LabInfo, LabProvider

PASSWORD = "correct horse"


ADD = ("add", "ada", "--extension", "1001", "--first-name", "Ada", "--last-name", "Ashdown")
PASSWD = ("passwd", "ada")


async def command(folder: Path, environ: Mapping[str, str], *words: str, typed: str) -> None:
    """Run `connector agents …` as a user does; the database's password comes from the environment."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "connector", "agents", *words, "--config", folder / "agents-only.yaml"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, **environ},
    )
    said, _ = await process.communicate(f"{typed}\n".encode())
    assert process.returncode == 0, said.decode()


def write_config(folder: Path, directory: Mapping[str, str]) -> None:
    plain = {
        "processor": "LAB",
        "bridge": {"host": "127.0.0.1"},
        "asterisk": {"username": "harmony", "secret": "x"},
        "queues": {"support": None},
        "directory": dict(directory),
    }
    (folder / "agents-only.yaml").write_text(yaml.safe_dump(plain))


async def works(at: Desk, change: Callable[[], Awaitable[None]]) -> None:
    """Log the agent in, ask about it, `change` its password to "new", which counts after a reload."""
    session = await at.bridge.login("ada", PASSWORD, extension="1001")
    await session.channel.activate()
    asked = control.AgentInfo(
        agent_id="ada", requesting_agent_login="ada", requesting_agent_password=PASSWORD
    )
    reply = await at.bridge.request("", asked)
    assert reply.body.full_name == "Ada Ashdown"
    await session.close()
    await change()
    await at.connector.reload()
    for password, right in ((PASSWORD, False), ("new", True)):
        wanted = control.ValidateAgentCredentials(agent_id="ada", agent_login="ada", agent_password=password)
        assert (await at.bridge.request("", wanted)).ok is right


async def test_an_agent_of_a_postgresql_logs_in_and_changes_the_password(
    provider: LabProvider, lab: LabInfo, tmp_path: Path
) -> None:
    # Not below the test's own folder: nobody but its owner may enter that.
    with tempfile.TemporaryDirectory() as folder:
        async with postgres(Path(folder)) as url:
            write_config(tmp_path, {"source": "sql"})
            environ = {"CONNECTOR_DIRECTORY__URL": url}
            await command(tmp_path, environ, *ADD, "--queue", "support", typed=PASSWORD)
            # Without the lab's own agents: one of them has this phone.
            over = {"agents": None, "directory": {"source": "sql", "url": url}}
            async with desk(provider, lab, tmp_path, over) as at:
                await works(at, lambda: command(tmp_path, environ, *PASSWD, typed="new"))


@pytest.mark.parametrize("source", ["file", "sql"])
async def test_an_agent_of_a_file_or_of_the_embedded_database_does_too(
    provider: LabProvider, lab: LabInfo, tmp_path: Path, source: str
) -> None:
    directory = {"source": source, "file": str(tmp_path / "agents.yaml")}
    write_config(tmp_path, directory)

    async def here(*words: str, typed: str) -> None:
        """Run the command in this process: a new one takes longer than all the rest."""
        arguments = [*words, "--config", str(tmp_path / "agents-only.yaml")]
        done = CliRunner().invoke(app, arguments, input=f"{typed}\n")
        assert done.exit_code == 0, done.output

    await here(*ADD, "--queue", "support", typed=PASSWORD)
    assert (tmp_path / ("agents.db" if source == "sql" else "agents.yaml")).is_file()
    async with desk(provider, lab, tmp_path, {"agents": None, "directory": directory}) as at:
        await works(at, lambda: here(*PASSWD, typed="new"))
