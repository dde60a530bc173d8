"""`connector agents add|passwd|list|check`: the agents of `directory.source`.

Passwords come from the terminal, unseen, or as one line of standard input; never as an argument, where other
users of the machine would see them.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final, NoReturn

import typer

from connector.agents import AgentStore, agents_of, check_addition, store_of
from connector.config import ConfigError, Settings, load_settings
from connector.directory import AgentDirectory, hash_password
from connector.options import DEFAULT_CONFIG, ConfigOption, SiteOption
from connector.settings_schema import AgentSettings
from connector.settings_yaml import Items, Kind, Mapping, Node, Scalar

app = typer.Typer(
    help="Agents in a file or database of their own (`directory.source`).", no_args_is_help=True
)

AgentArgument = Annotated[str, typer.Argument(metavar="AGENT", help="The agent's id.")]
_WRONG, _USAGE = 1, 2
_NEEDED: Final = frozenset({"agents", "directory"})
"""Whose secrets are needed: the PBX and the bridge are not asked."""


@app.command()
def add(
    agent: AgentArgument,
    extension: Annotated[str, typer.Option(help="The usual phone: its PJSIP endpoint.")],
    config: ConfigOption = DEFAULT_CONFIG,
    site: SiteOption = None,
    *,
    login: Annotated[str, typer.Option(help="Name used to log in instead of the id.")] = "",
    first_name: Annotated[str, typer.Option(help="First name.")] = "",
    last_name: Annotated[str, typer.Option(help="Last name.")] = "",
    queue: Annotated[list[str] | None, typer.Option(help="Queue served (repeat it).")] = None,
    phone: Annotated[str, typer.Option(help="Model of the phone, a key of `phones`.")] = "",
    team: Annotated[str, typer.Option(help="Team, for the team status.")] = "",
    penalty: Annotated[int, typer.Option(help="Queue penalty.")] = 0,
    supervises: Annotated[list[str] | None, typer.Option(help="Team supervised, or * (repeat it).")] = None,
) -> None:
    """Add an agent; asks for the password. Makes the file, or the table, if there is none yet."""
    with _told():
        settings, store = _opened(config, site)
        if agent in settings.agents:
            _fail(f"agent {agent} is in the configuration already", _USAGE)
        fields: dict[str, str | int | list[str]] = {
            "extension": extension,
            "login": login,
            "first_name": first_name,
            "last_name": last_name,
            "queues": queue or [],
            "phone": phone,
            "team": team,
            "penalty": penalty,
            "supervises": supervises or [],
        }
        fields = {key: value for key, value in fields.items() if value not in ("", [], 0)}
        # With some hash, only to check the rest: a typing error is told before the password is asked, and
        # nothing is written that would keep the connector from its next start.
        some_hash = "$argon2id$v=19$m=8,t=1,p=1$AAAA$AAAA"
        new = _nodes(agent, {"password_hash": some_hash, **fields})
        check_addition(settings, new, store)
        store.add(agent, {"password_hash": _hashed(agent), **fields})
        typer.echo(f"agent {agent} added to {store.name}")
        _complain(settings)


@app.command()
def passwd(agent: AgentArgument, config: ConfigOption = DEFAULT_CONFIG, site: SiteOption = None) -> None:
    """Give an agent another password."""
    with _told():
        _, store = _opened(config, site)
        if agent not in store.read().nodes:
            _fail(f"there is no agent {agent} in {store.name}", _USAGE)
        store.set_password_hash(agent, _hashed(agent))
        typer.echo(f"agent {agent} has another password in {store.name}")


@app.command(name="list")
def list_agents(config: ConfigOption = DEFAULT_CONFIG, site: SiteOption = None) -> None:
    """List all agents, those of the configuration too; passwords are not shown."""
    with _told():
        settings = load_settings(config, site=site, secrets=_NEEDED)
        everybody = agents_of(settings)
    rows: list[tuple[str, ...]] = [("AGENT", "LOGIN", "NAME", "PHONE", "TEAM", "QUEUES", "FROM")]
    rows += [
        _row(agent_id, one, "configuration" if agent_id in settings.agents else settings.directory.source)
        for agent_id, one in everybody.items()
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


@app.command()
def check(
    agent: Annotated[
        str | None, typer.Argument(metavar="AGENT", help="Also ask for this agent's password and check it.")
    ] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    site: SiteOption = None,
) -> None:
    """Check all agents as `connector run` does; with AGENT (id or login), a password too.

    Exit status: 0, 1 for a wrong password, 2 if something is wrong with the agents.
    """
    from argon2 import PasswordHasher
    from argon2.exceptions import Argon2Error, InvalidHashError
    from msgspec.structs import replace

    with _told():
        settings = load_settings(config, site=site, secrets=_NEEDED)
        everybody = agents_of(settings)
    if agent is None:
        typer.echo(f"{len(everybody)} agents, all right")
        return
    record = AgentDirectory(replace(settings, agents=everybody)).get(agent)
    if record is None:
        _fail(f"there is no agent {agent}", _USAGE)
    try:
        PasswordHasher().verify(
            everybody[record.agent_id].password_hash.reveal(), _password("Password", twice=False)
        )
    except (Argon2Error, InvalidHashError):
        _fail("the password is wrong", _WRONG)
    typer.echo(f"the password of agent {record.agent_id} is right")


def _opened(config: Path, site: str | None) -> tuple[Settings, AgentStore]:
    settings = load_settings(config, site=site, secrets=_NEEDED)
    store = store_of(settings)
    if store is None:
        _fail(
            f"{config}: directory.source: expected `file` or `sql`, found `none`: agents are in the "
            "configuration itself, which is edited by hand (`connector hash-password` makes hashes)",
            _USAGE,
        )
    return settings, store


def _nodes(agent: str, fields: dict[str, str | int | list[str]]) -> Mapping:
    """Return an agent as one that was read."""

    def node(value: str | int | list[str]) -> Node:
        if isinstance(value, list):
            return Items(tuple(node(one) for one in value), "command line")
        return Scalar(str(value), Kind.INTEGER if isinstance(value, int) else Kind.TEXT, "command line")

    nodes: dict[str, Node] = {key: node(value) for key, value in fields.items()}
    return Mapping({agent: Mapping(nodes, "command line")}, "command line")


def _complain(settings: Settings) -> None:
    """Say what is wrong with all agents together, now that one more is there."""
    try:
        agents_of(settings)
    except ConfigError as problem:
        typer.echo(f"mend this before the next SIGHUP or start: {problem}", err=True)


def _hashed(agent: str) -> str:
    try:
        return hash_password(_password(f"Password of agent {agent}", twice=True))
    except ValueError as problem:
        _fail(str(problem), _USAGE)


def _password(prompt: str, *, twice: bool) -> str:
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n")
    ask: Callable[..., str] = typer.prompt
    return ask(prompt, hide_input=True, confirmation_prompt=twice)


def _row(agent_id: str, agent: AgentSettings, source: str) -> tuple[str, ...]:
    name = f"{agent.first_name} {agent.last_name}".strip()
    return (
        agent_id,
        agent.login or agent_id,
        name or "-",
        agent.extension,
        agent.team or "-",
        ",".join(agent.queues) or "-",
        source,
    )


@contextmanager
def _told() -> Iterator[None]:
    """Tell what is wrong in one line."""
    try:
        yield
    except ConfigError as problem:
        _fail(str(problem), _USAGE)


def _fail(text: str, status: int) -> NoReturn:
    typer.echo(text, err=True)
    raise typer.Exit(status)
