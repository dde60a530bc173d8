"""Agents in a file or table of their own: read, checked, edited in place; the commands for it; reload."""

import asyncio
import sqlite3
import stat
from pathlib import Path
from typing import Any

import pytest
import yaml
from argon2 import PasswordHasher
from structlog.testing import capture_logs
from typer.testing import CliRunner

from connector.agents import agents_of, store_of
from connector.agents_commands import app
from connector.agents_sql import AgentTable
from connector.app import Connector
from connector.bridge.amqp_standby import Superseded
from connector.cli import app as main_app
from connector.config import ConfigError, Settings, load_settings
from connector.settings_schema import TlsSettings

HASH = "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2g"
BASE = {
    "processor": "LAB",
    "bridge": {"host": "bridge.example.com"},
    "asterisk": {"username": "harmony", "secret": "x"},
    "queues": {"support": None, "sales": None},
}
SYSTEM = {"username": "system"}
LOST_KEY = {"enabled": True, "cert_file": "not-there.pem", "key_file": "not-there.key"}


@pytest.fixture(autouse=True)
def _light(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make hashes that cost nothing: how strong they are is not asked here."""
    light = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
    monkeypatch.setattr("connector.directory.PasswordHasher", lambda: light)


def config(folder: Path, source: str, **over: Any) -> Path:
    file = folder / "connector.yaml"
    directory = {"source": source, **over.pop("directory", {})}
    file.write_text(yaml.safe_dump({**BASE, "directory": directory, **over}))
    return file


def settings(folder: Path, source: str, **over: Any) -> Settings:
    return load_settings(config(folder, source, **over), environ={})


def command(file: Path, *words: str, typed: str = "") -> tuple[int, str]:
    result = CliRunner().invoke(app, [*words, "--config", str(file)], input=typed)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


@pytest.mark.parametrize("source", ["file", "sql"])
def test_commands_add_list_check_and_change_the_password(tmp_path: Path, source: str) -> None:
    file = config(tmp_path, source)
    add = ("add", "1001", "--extension", "0101", "--first-name", "Ada's", "--queue", "support")
    status, said = command(file, *add, "--queue", "sales", "--penalty", "3", typed="pass word\n")
    assert status == 0, said
    assert command(file, "add", "b.1", "--extension", "1002", "--supervises", "*", typed="other\n")[0] == 0
    found = agents_of(load_settings(file, environ={}))
    assert list(found) == ["1001", "b.1"]
    ada = found["1001"]
    assert (ada.extension, ada.first_name, ada.queues, ada.penalty) == (
        "0101",
        "Ada's",
        ("support", "sales"),
        3,
    )
    assert found["b.1"].supervises == ("*",)
    assert PasswordHasher().verify(ada.password_hash.reveal(), "pass word")
    assert command(file, "passwd", "1001", typed="new\n")[0] == 0
    assert command(file, "check", "1001", typed="new\n") == (0, "the password of agent 1001 is right\n")
    assert command(file, "check", "1001", typed="pass word\n") == (1, "the password is wrong\n")
    assert command(file, "check") == (0, "2 agents, all right\n")
    status, said = command(file, "list")
    assert status == 0
    assert said.splitlines()[1].split() == ["1001", "1001", "Ada's", "0101", "-", "support,sales", source]
    assert "argon2" not in said
    # Nothing is changed by what is refused.
    for wrong in (add, ("passwd", "1009"), ("add", "1009", "--extension", "a&b"), ("check", "1009")):
        assert command(file, *wrong, typed="x\n")[0] == 2
    assert list(agents_of(load_settings(file, environ={}))) == ["1001", "b.1"]


@pytest.mark.parametrize("missing", [{"username": "harmony"}, {"username": "harmony", "system": SYSTEM}])
def test_commands_need_no_secret_of_the_rest(tmp_path: Path, missing: dict[str, Any]) -> None:
    over = {"asterisk": missing, "bridge": {**BASE["bridge"], "transport": "amqp", "tls": LOST_KEY}}
    file = config(tmp_path, "file", **over)
    with pytest.raises(ConfigError):
        load_settings(file, environ={})
    unreadable = {"CONNECTOR_AMQP__URL_FILE": str(tmp_path / "not-there")}
    runner = CliRunner(env=unreadable)
    for words, typed in (
        (["add", "1001", "--extension", "1001"], "one\n"),
        (["passwd", "1001"], "two\n"),
        (["check", "1001"], "two\n"),
        (["check"], ""),
        (["list"], ""),
    ):
        done = runner.invoke(app, [*words, "--config", str(file)], input=typed)
        assert done.exit_code == 0, done.output


def test_commands_need_the_agents_own_secrets(tmp_path: Path) -> None:
    file = config(tmp_path, "file", agents={"1": {"extension": "1"}})
    (tmp_path / "agents.yaml").write_text("agents:\n")
    status, said = command(file, "check")
    assert (status, "add the key or set CONNECTOR_AGENTS__1__PASSWORD_HASH" in said) == (2, True), said


def checked(file: Path, **environ: str) -> tuple[int, str]:
    """Run `connector check`; return its status and what it complains of."""
    done = CliRunner(env=environ).invoke(main_app, ["check", "--config", str(file)])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.stderr


@pytest.mark.parametrize("source", ["file", "sql"])
def test_connector_check_reads_the_directory_too(tmp_path: Path, source: str) -> None:
    file = config(tmp_path, source)
    status, said = checked(file)
    assert (status, "`connector agents add`" in said) == (2, True), said
    assert command(file, "add", "1001", "--extension", "1001", "--team", "day", typed="x\n")[0] == 0
    assert command(file, "add", "1002", "--extension", "1002", "--supervises", "day", typed="x\n")[0] == 0
    status, said = checked(file)
    assert (status, said.count("2 agents in ")) == (0, 1), said
    # Half an agent out of the environment: the configuration's, not the directory's.
    status, said = checked(file, CONNECTOR_AGENTS__1002__EXTENSION="1002")
    assert status == 2
    assert said.startswith("CONNECTOR_AGENTS__1002__EXTENSION: agents.1002.password_hash: expected an argon2")
    assert f"in the directory ({source}), unset CONNECTOR_AGENTS__1002__EXTENSION" in said
    whole = {"CONNECTOR_AGENTS__1002__EXTENSION": "1003", "CONNECTOR_AGENTS__1002__PASSWORD_HASH": HASH}
    status, said = checked(file, **whole)
    assert (status, "or in its environment, CONNECTOR_AGENTS__1002__" in said) == (2, True), said


def test_connector_check_names_no_variable_for_what_an_agents_file_lacks(tmp_path: Path) -> None:
    file = config(tmp_path, "file")
    (tmp_path / "agents.yaml").write_text("agents:\n  1001:\n    extension: 1001\n")
    what = "expected an argon2 hash that starts with $argon2, found nothing; add the key\n"
    assert checked(file) == (2, f"{tmp_path}/agents.yaml:3: agents.1001.password_hash: {what}")


def test_an_empty_password_is_refused_and_nobody_added(tmp_path: Path) -> None:
    file = config(tmp_path, "file")
    assert command(file, "add", "1001", "--extension", "1001", typed="\n") == (
        2,
        "expected a password of 1 to 1024 characters\n",
    )
    assert not (tmp_path / "agents.yaml").exists()


@pytest.mark.parametrize("source", ["file", "sql"])
def test_an_agent_who_would_keep_the_connector_from_starting_is_not_added(
    tmp_path: Path, source: str
) -> None:
    file = config(tmp_path, source)
    assert command(file, "add", "1001", "--extension", "1001", typed="x\n")[0] == 0
    for wrong, problem in (
        (("--extension", "1001"), '"1001" belongs to agent 1001 already'),
        (("--extension", "1002", "--queue", "nope"), "expected a key of `queues`"),
        (("--extension", "1002", "--login", "1001"), "is the id or login of agent 1001 already"),
    ):
        status, said = command(file, "add", "1002", *wrong, typed="x\n")
        assert (status, problem in said) == (2, True), said
    assert command(file, "check") == (0, "1 agents, all right\n")


def test_the_file_is_private_and_keeps_comments_and_order(tmp_path: Path) -> None:
    file = config(tmp_path, "file")
    agents = tmp_path / "agents.yaml"
    agents.write_text(
        "# who works here\nagents:\n"
        f"    a1:   # the first\n        password_hash: {HASH}\n        extension: 1001\n"
        "    a2:\n        extension: 1002\n        queues:\n        - support   # only\n"
        f"        password_hash: '{HASH}'\n"
        "# the end"
    )
    agents.chmod(0o640)
    assert command(file, "add", "a3", "--extension", "1003", typed="x\n")[0] == 0
    assert command(file, "passwd", "a1", typed="y\n")[0] == 0
    text = agents.read_text()
    for kept in ("# who works here\n", "# the first\n", "# only\n", "# the end"):
        assert kept in text
    assert stat.S_IMODE(agents.stat().st_mode) == 0o640
    found = agents_of(load_settings(file, environ={}))
    assert list(found) == ["a1", "a2", "a3"]
    assert PasswordHasher().verify(found["a1"].password_hash.reveal(), "y")
    assert found["a2"].password_hash.reveal() == HASH
    assert sorted(one.name for one in tmp_path.iterdir()) == ["agents.yaml", "connector.yaml"]


def test_a_new_file_can_be_read_by_its_owner_only(tmp_path: Path) -> None:
    assert command(config(tmp_path, "file"), "add", "1", "--extension", "1", typed="x\n")[0] == 0
    assert stat.S_IMODE((tmp_path / "agents.yaml").stat().st_mode) == 0o600


@pytest.mark.parametrize("text", ["", "# nobody\n", "agents:\n", "agents:   # nobody yet"])
def test_the_first_agent_of_an_empty_file(tmp_path: Path, text: str) -> None:
    file = config(tmp_path, "file")
    (tmp_path / "agents.yaml").write_text(text)
    assert agents_of(load_settings(file, environ={})) == {}
    assert command(file, "add", "1001", "--extension", "1001", typed="x\n")[0] == 0
    assert list(agents_of(load_settings(file, environ={}))) == ["1001"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (None, "there is no such file; make it by adding an agent: `connector agents add`"),
        ("agent: {}", "1: expected the key `agents` and no other"),
        ("agents: [a]", "1: agents: expected agents by id, found something else"),
        ("agents:\n  1001: {extension: 1}", "2: agents.1001.password_hash: expected an argon2 hash"),
        (f"agents:\n  1001: {{extension: 1, password_hash: '{HASH}', queues: [x]}}", "2: agents.1001.queues"),
        (f"agents:\n  1: {{extension: 1, password_hash: '{HASH}'}}", "2: agents.1: the agent is in the conf"),
        (
            f"agents:\n  2: {{extension: 1, password_hash: '{HASH}'}}",
            '2: agents.2.extension: "1" belongs to agent 1 already',
        ),
    ],
)
def test_what_is_wrong_in_a_file_is_told_with_its_place(
    tmp_path: Path, text: str | None, problem: str
) -> None:
    one = {"1": {"extension": "1", "password_hash": HASH}}
    there = settings(tmp_path, "file", agents=one)
    if text is not None:
        (tmp_path / "agents.yaml").write_text(text)
    with pytest.raises(ConfigError) as refused:
        agents_of(there)
    assert str(refused.value).startswith(f"{tmp_path}/agents.yaml:")
    assert problem in str(refused.value)


def test_a_flow_style_file_is_not_edited(tmp_path: Path) -> None:
    file = config(tmp_path, "file")
    before = f"agents: {{1: {{extension: 1, password_hash: '{HASH}'}}}}\n"
    (tmp_path / "agents.yaml").write_text(before)
    status, said = command(file, "add", "2", "--extension", "2", typed="x\n")
    assert (status, "write them as a block" in said) == (2, True)
    assert (tmp_path / "agents.yaml").read_text() == before


def test_agents_of_the_configuration_and_of_the_source_are_one_directory(tmp_path: Path) -> None:
    one = {"1": {"extension": "1", "password_hash": HASH, "supervises": ["night"]}}
    file = config(tmp_path, "file", agents=one)
    assert command(file, "add", "2", "--extension", "2", "--team", "night", typed="x\n")[0] == 0
    assert list(agents_of(load_settings(file, environ={}))) == ["1", "2"]
    # Without a source the agents are checked when the configuration is read.
    with pytest.raises(ConfigError, match=r"agents\.1\.supervises"):
        settings(tmp_path, "none", agents=one)


def test_commands_need_a_source(tmp_path: Path) -> None:
    status, said = command(config(tmp_path, "none"), "add", "1", "--extension", "1", typed="x\n")
    assert (status, "directory.source" in said) == (2, True)
    assert store_of(settings(tmp_path, "none")) is None


def test_a_table_of_the_site_with_fewer_and_other_columns(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "own.db") as database:
        database.execute("create table staff (agent_id integer primary key, name text, ext int, hash text)")
        database.execute("insert into staff values (1001, 'Ada', 2, ?)", (HASH,))
        database.execute(
            "create view agents as select agent_id, ext as extension, hash as password_hash, name as nick,"
            " ' support , sales' as queues, null as team from staff"
        )
    over = {"directory": {"url": "sqlite:///own.db"}}
    (agent,) = agents_of(settings(tmp_path, "sql", **over)).items()
    assert (agent[0], agent[1].extension, agent[1].queues) == ("1001", "2", ("support", "sales"))


def test_what_is_wrong_with_a_database_is_told_without_its_password(tmp_path: Path) -> None:
    def told(url: str) -> str:
        with pytest.raises(ConfigError) as refused:
            agents_of(settings(tmp_path, "sql", directory={"url": url}))
        return str(refused.value)

    assert "there is no such table; `connector agents add` makes it" in told("sqlite:///new.db")
    assert "unable to open database file" in told("sqlite:///no/where.db")
    for url in ("postgresql://connector:hunter2@127.0.0.1:1/x", "nosuch://connector:hunter2@host/x"):
        assert "hunter2" not in told(url)
    with sqlite3.connect(tmp_path / "poor.db") as database:
        database.execute("create table agents (agent_id text, extension text)")
    assert "expected a column `password_hash`, found none" in told("sqlite:///poor.db")


@pytest.mark.parametrize(
    ("url", "status", "problem"),
    [
        ("postgresql://connector:hunter2@127.0.0.1:1/x", 1, "the database"),
        ("sqlite:///no/where.db", 2, "unable to open database file"),
    ],
)
def test_a_database_server_that_is_not_there_yet_is_no_wrong_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str, status: int, problem: str
) -> None:
    monkeypatch.setattr("connector.observability.configure_logging", lambda _settings: None)
    file = config(tmp_path, "sql", directory={"url": url})
    done = CliRunner().invoke(main_app, ["run", "--config", str(file)])
    assert (done.exit_code, len(done.output.splitlines())) == (status, 1)
    assert problem in done.output
    assert "hunter2" not in done.output


def test_agents_that_are_gone_when_a_connector_makes_way_are_told_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def superseded(_connector: Connector, _stop: asyncio.Event) -> None:
        (tmp_path / "agents.yaml").unlink()
        raise Superseded

    monkeypatch.setattr("connector.observability.configure_logging", lambda _settings: None)
    monkeypatch.setattr(Connector, "run", superseded)
    monkeypatch.setattr("gc.freeze", lambda: None)
    file = config(tmp_path, "file")
    assert command(file, "add", "1001", "--extension", "1001", typed="one\n")[0] == 0
    done = CliRunner().invoke(main_app, ["run", "--config", str(file)])
    assert (done.exit_code, len(done.output.splitlines())) == (1, 1)
    assert "there is no such file" in done.output


async def test_reload_takes_changes_in_and_keeps_the_old_if_they_are_wrong(tmp_path: Path) -> None:
    file = config(tmp_path, "file")
    assert command(file, "add", "1001", "--extension", "1001", typed="one\n")[0] == 0
    connector = Connector(load_settings(file, environ={}))
    assert await connector.directory.verify("1001", "one")
    assert command(file, "passwd", "1001", typed="two\n")[0] == 0
    assert command(file, "add", "1002", "--extension", "1002", typed="x\n")[0] == 0
    await connector.reload()
    assert not await connector.directory.verify("1001", "one")
    assert await connector.directory.verify("1001", "two")
    assert connector.directory.get("1002") is not None
    (tmp_path / "agents.yaml").write_text("agents: [")
    with capture_logs() as records:
        await connector.reload()
    assert records[0]["event"] == "configuration and agents not read again; those of before stay"
    assert await connector.directory.verify("1002", "x")
    (tmp_path / "agents.yaml").write_text("agents:")
    await connector.reload()
    assert connector.directory.agents() == ()
    assert not await connector.directory.verify("1002", "x")
    await connector.directory.close()


@pytest.mark.parametrize("half_written", [False, True])
def test_a_file_of_tls_that_is_just_being_renewed_is_a_problem_with_words(
    tmp_path: Path, *, half_written: bool
) -> None:
    """The timer reads the agents again while a certificate is replaced: those of before stay."""
    authority = tmp_path / "ca.pem"
    if half_written:
        authority.write_text("-----BEGIN CERTIFICATE-----\nMIIB")
    with pytest.raises(ConfigError, match=r"directory\.tls: a file cannot be used: ") as problem:
        AgentTable(
            "postgresql://u:geheim@db.example.com/d",
            "agents",
            TlsSettings(enabled=True, ca_file=str(authority)),
        )
    assert "geheim" not in str(problem.value)


async def test_refresh_reads_again_by_itself(tmp_path: Path) -> None:
    file = config(tmp_path, "file", directory={"refresh": 0.01})
    assert command(file, "add", "1001", "--extension", "1001", typed="one\n")[0] == 0
    connector = Connector(load_settings(file, environ={}))
    refreshing = asyncio.create_task(connector._refresh())
    try:
        (tmp_path / "agents.yaml").write_text("agents:")
        async with asyncio.timeout(10):
            while connector.directory.agents():  # noqa: ASYNC110 - a timer's work has no event
                await asyncio.sleep(0.01)
    finally:
        refreshing.cancel()
        await connector.directory.close()
