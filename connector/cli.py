"""The command line: `connector run|check|doctor|agents|replay|record|bridge|desk|send|dialect|site|lab|…`."""

import asyncio
import gc
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from connector import __version__
from connector.options import DEFAULT_CONFIG, ConfigOption, SiteOption
from connector.processor.options import DialectOption, PasswordFileOption

if TYPE_CHECKING:
    from collections.abc import Callable

    from connector.app import Connector
    from connector.config import Settings

app = typer.Typer(
    name="connector",
    help="Harmony connector for Asterisk: the client of Harmony's Processor Bridge on a real PBX.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

_USAGE = 2
_FAILURE = 1


def _fail(text: str, status: int) -> NoReturn:
    typer.echo(text, err=True)
    raise typer.Exit(status)


@app.callback(invoke_without_command=True)
def root(
    *, version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False
) -> None:
    """Take the options that belong to no command."""
    if version:
        typer.echo(f"connector {__version__}")
        raise typer.Exit


@app.command()
def run(
    config: ConfigOption = DEFAULT_CONFIG,
    site: SiteOption = None,
    record_bridge: Annotated[
        Path | None,
        typer.Option(help="Record the traffic with the bridge into this file; wins over `bridge.record`."),
    ] = None,
) -> None:
    """Run the connector until SIGTERM or Ctrl-C. Calls in progress stay up when it ends.

    SIGHUP has configuration, site and agents read again.
    """
    _run(config, site, record_bridge)


def _run(config: Path, site: str | None, record_bridge: Path | None) -> None:
    from msgspec.structs import replace

    from connector import event_loop
    from connector.app import Connector
    from connector.config import ConfigError, Settings, SourceUnavailable, load_settings
    from connector.observability import configure_logging

    def load() -> Settings:
        settings = load_settings(config, site=site)
        if record_bridge is None:
            return settings
        return replace(settings, bridge=replace(settings.bridge, record=str(record_bridge)))

    try:
        settings = load()
        configure_logging(settings.log)
        connector = Connector(settings, load=load)
    except SourceUnavailable as problem:
        # Not for ever: who started us may try again.
        _fail(str(problem), _FAILURE)
    except ConfigError as problem:
        _fail(str(problem), _USAGE)

    # What is there now stays: looking through it for garbage again and again only makes calls wait.
    gc.collect()
    gc.freeze()
    try:
        event_loop.run(_serve(connector, load))
    except (OSError, ConfigError) as problem:
        _fail(f"the connector stopped: {problem}", _FAILURE)


async def _serve(connector: "Connector", load: "Callable[[], Settings]") -> None:
    """Run the connector until a signal says to stop; one whose state is void is made anew, to stand by."""
    from connector.app import Connector
    from connector.bridge.amqp_standby import Superseded

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def asked() -> None:
        """Stop when the calls are over; if asked once more, at once."""
        if stop.is_set():
            connector.hurry()
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked)
    reloads: set[asyncio.Task[None]] = set()

    def reload() -> None:
        task = loop.create_task(connector.reload())
        reloads.add(task)
        task.add_done_callback(reloads.discard)

    loop.add_signal_handler(signal.SIGHUP, reload)
    while not stop.is_set():
        try:
            await connector.run(stop)
        except Superseded:
            connector = Connector(connector.configured, load=load)


@app.command()
def check(config: ConfigOption = DEFAULT_CONFIG, site: SiteOption = None) -> None:
    """Check a configuration without a PBX, and print what would be in force (secrets hidden).

    The agents of `directory.source` are read and checked too.
    """
    from connector.agents import agents_of, store_of
    from connector.asterisk.atxfer import LIMITS
    from connector.config import ConfigError, Consult, explain, load_settings
    from connector.operations.exposure import exposures

    try:
        settings = load_settings(config, site=site)
        store, everybody = store_of(settings), agents_of(settings)
    except ConfigError as problem:
        _fail(str(problem), _USAGE)
    typer.echo(explain(settings), nl=False)
    for exposure in exposures(settings):
        typer.echo(f"note: {exposure}", err=True)
    if store is not None:
        more = len(everybody) - len(settings.agents)
        typer.echo(f"note: directory.source: {more} agents in {store.name}, all right", err=True)
    if settings.dial.consult is Consult.ATXFER:
        for limit in LIMITS:
            typer.echo(f"note: dial.consult: atxfer: {limit}", err=True)


@app.command(name="hash-password")
def hash_password() -> None:
    """Read a password (hidden on a terminal, else one line of standard input) and print its argon2 hash."""
    from connector.directory import hash_password as hashed

    password = typer.prompt("Password", hide_input=True) if sys.stdin.isatty() else sys.stdin.readline()
    try:
        typer.echo(hashed(password.rstrip("\n")))
    except ValueError as problem:
        _fail(str(problem), _USAGE)


@app.command()
def replay(
    file: Annotated[
        Path, typer.Argument(help="A recording, made by `connector record` (a trace also by hand).")
    ],
    agent: Annotated[
        list[str] | None,
        typer.Option("--agent", help="Phone of an agent (repeat it). Default: those that the trace shows."),
    ] = None,
    *,
    bridge: Annotated[
        bool,
        typer.Option("--bridge", help="Play the bridge's side of a recorded wire against a connector."),
    ] = False,
    host: Annotated[str, typer.Option(help="With --bridge: address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="With --bridge: TCP port to listen on; 0 takes any.")] = 7760,
    deadline: Annotated[
        float, typer.Option(help="With --bridge: seconds to wait for what was recorded.", min=0.1)
    ] = 30.0,
    settle: Annotated[
        float, typer.Option(help="With --bridge: seconds to listen on after the end.", min=0.0)
    ] = 1.0,
    ignore: Annotated[
        list[str] | None,
        typer.Option(help="With --bridge: a key whose value may differ (repeat it)."),
    ] = None,
    password_file: PasswordFileOption = None,
    dialect: DialectOption = None,
) -> None:
    """Play a recorded manager session through the model and print every change; or, with --bridge, a wire.

    Exit status with --bridge: 0, 1 if the connector behaves otherwise than recorded, 2 for wrong options.
    """
    if bridge:
        from connector.processor.replay import replay_bridge

        raise typer.Exit(
            replay_bridge(
                file,
                host=host,
                port=port,
                deadline=deadline,
                settle=settle,
                ignore=ignore or (),
                password_file=password_file,
                dialect_file=dialect,
            )
        )
    from connector.asterisk.replay import ReplayError, agents_in, describe
    from connector.asterisk.replay import replay as changes_of
    from connector.asterisk.trace import TraceError

    try:
        for at, change in changes_of(file, agent or agents_in(file)):
            typer.echo(f"{at:10.1f}  {describe(change)}")
    except (TraceError, ReplayError) as problem:
        _fail(str(problem), _FAILURE)
    except OSError as problem:
        _fail(f"{file}: {problem.strerror}", _FAILURE)


@app.command()
def record(
    file: Annotated[Path, typer.Argument(help="Where to write the trace; `.gz` at the end compresses it.")],
    config: ConfigOption = DEFAULT_CONFIG,
    site: SiteOption = None,
    *,
    bridge: Annotated[
        bool,
        typer.Option(
            "--bridge", help="Record the bridge's side instead: runs the connector, in place of another one."
        ),
    ] = False,
) -> None:
    """Record the manager session of the configured PBX until Ctrl-C, secrets left out."""
    if bridge:
        _run(config, site, file)
        return
    from connector.app import ami_settings
    from connector.asterisk.recorder import record_until
    from connector.asterisk.trace import TraceError
    from connector.config import ConfigError, load_settings
    from connector.observability import configure_logging

    try:
        settings = load_settings(config, site=site)
    except ConfigError as problem:
        _fail(str(problem), _USAGE)
    configure_logging(settings.log)

    async def serve() -> int:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        return await record_until(file, ami_settings(settings), stop)

    try:
        typer.echo(f"{asyncio.run(serve())} messages written to {file}")
    except (TraceError, OSError) as problem:
        _fail(f"{file}: {problem}", _FAILURE)


def main() -> None:
    """Run the command line; what goes wrong is told in one line."""
    _mount()
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(130)


def _mount() -> None:
    from connector.agents_commands import app as agents_app
    from connector.doctor.commands import doctor
    from connector.lab.commands import app as lab_app
    from connector.lab.demo import demo
    from connector.processor.commands import bridge_command
    from connector.processor.desk.commands import desk_command
    from connector.processor.dialect_commands import app as dialect_app
    from connector.processor.send_command import send_command
    from connector.site.commands import app as site_app

    app.command(name="bridge")(bridge_command)
    app.command(name="desk")(desk_command)
    app.command(name="send")(send_command)
    app.add_typer(dialect_app, name="dialect")
    app.add_typer(site_app, name="site")
    app.command(name="doctor")(doctor)
    app.command(name="demo")(demo)
    app.add_typer(lab_app, name="lab")
    app.add_typer(agents_app, name="agents")
