"""`connector lab up|down|info|config`: the laboratory from the command line.

`info` and `config` print secrets, because that is what they are for; nothing else does. Exit status: 1 if the
laboratory can't do it, 2 for wrong usage.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from connector.lab import accounts, configuration
from connector.lab.provider import LabError, LabInfo, LabProvider, choose_provider

app = typer.Typer(
    name="lab",
    help="The laboratory: a private Asterisk and RabbitMQ for tests, examples and the demo.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

_USAGE = 2
_FAILURE = 1

Kind = Annotated[
    str | None,
    typer.Option(
        "--provider",
        envvar="LAB",
        help="native or docker; without it docker if an engine answers, else native.",
    ),
]
Name = Annotated[str, typer.Option("--name", help="Which laboratory, if there are several.")]


@contextmanager
def _one_line_errors() -> Iterator[None]:
    try:
        yield
    except LabError as problem:
        typer.echo(f"lab: {problem}", err=True)
        raise typer.Exit(_FAILURE) from problem


def _provider(kind: str | None, name: str) -> LabProvider:
    try:
        return choose_provider(kind, name)
    except LabError as problem:
        typer.echo(f"lab: {problem}", err=True)
        raise typer.Exit(_USAGE) from problem


@app.command()
def up(
    provider: Kind = None,
    name: Name = "default",
    *,
    foreground: Annotated[
        bool, typer.Option("--foreground", help="Stay until Ctrl-C, then stop the laboratory.")
    ] = False,
    broker: Annotated[bool, typer.Option("--broker/--no-broker", help="With or without RabbitMQ.")] = True,
) -> None:
    """Start the laboratory and wait until it is ready; it stays in the background."""
    lab = _provider(provider, name)
    with _one_line_errors():
        if not foreground:
            typer.echo(_summary(lab.up(broker=broker)))
            return
        # Before anything starts, so that a signal at any moment ends in an orderly stop.
        stops = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
        for number in stops:
            signal.signal(number, _interrupt)
        try:
            typer.echo(_summary(lab.up(broker=broker)))
            typer.echo("Running until Ctrl-C.")
            signal.pthread_sigmask(signal.SIG_BLOCK, stops)
            signal.sigwait(stops)
        except KeyboardInterrupt:
            pass
        finally:
            for number in stops:
                signal.signal(number, signal.SIG_IGN)
            typer.echo("Stopping the laboratory …")
            lab.down()


def _interrupt(number: int, _frame: object) -> None:
    raise KeyboardInterrupt(signal.Signals(number).name)


@app.command()
def down(provider: Kind = None, name: Name = "default") -> None:
    """Stop the laboratory and remove what it wrote. Nothing to stop is no error."""
    lab = _provider(provider, name)
    with _one_line_errors():
        lab.down()


@app.command()
def info(
    provider: Kind = None,
    name: Name = "default",
    *,
    json: Annotated[bool, typer.Option("--json", help="Everything, for programs. Holds secrets.")] = False,
) -> None:
    """Describe the running laboratory, with its passwords."""
    lab = _provider(provider, name)
    with _one_line_errors():
        found = lab.info()
    typer.echo(found.to_json().decode() if json else _details(found))


@app.command()
def config(
    provider: Kind = None,
    name: Name = "default",
    *,
    bridge_port: Annotated[
        int, typer.Option("--bridge-port", min=1, max=65535, help="TCP port of the bridge on 127.0.0.1.")
    ] = configuration.BRIDGE_PORT,
) -> None:
    """Print a complete configuration of the connector for the running laboratory. Holds the AMI secret."""
    lab = _provider(provider, name)
    with _one_line_errors():
        found = lab.info()
    typer.echo(configuration.connector_config(found, bridge_port=bridge_port), nl=False)


def _summary(found: LabInfo) -> str:
    ports = found.ports
    lines = [
        f"Laboratory {found.name!r} ({found.provider}) is ready on {found.host}:",
        f"  Asterisk   SIP udp/{ports.sip}, RTP udp/{ports.rtp_first}-{ports.rtp_last}",
        f"  manager    AMI tcp/{ports.ami}, with TLS tcp/{ports.ami_tls}",
        "  RabbitMQ   "
        + (f"tcp/{ports.amqp}, with TLS tcp/{ports.amqp_tls}" if found.amqp_url else "not started"),
        f"  agents     {accounts.AGENTS[0].number}-{accounts.AGENTS[-1].number}",
        f"  customers  {accounts.CUSTOMERS[0].number}-{accounts.CUSTOMERS[-1].number}",
        "  queues     " + ", ".join(f"{name} ({number})" for name, number in found.queues.items()),
        "  numbers    " + ", ".join(f"{number} {what}" for number, what in accounts.TEST_NUMBERS.items()),
        f"  logs       {found.log_directory}",
    ]
    return "\n".join(lines)


def _details(found: LabInfo) -> str:
    lines = [_summary(found), "", "AMI users:"]
    lines += [f"  {user.username:10} {user.secret}" for user in found.ami.values()]
    lines += ["Phones (SIP user = extension):"]
    lines += [f"  {each.number:10} {each.password}  {each.display_name}" for each in found.sip.values()]
    lines += ["Agents (password at the connector):"]
    lines += [
        f"  {agent.agent_id:10} {agent.password}  {', '.join(agent.queues)}"
        for agent in found.agents.values()
    ]
    if found.amqp_url:
        lines += ["Broker:", f"  {found.amqp_url}", f"  {found.amqps_url}"]
    return "\n".join([*lines, "Certificate authority of manager and broker:", f"  {found.ca_file}"])


if __name__ == "__main__":
    app()
