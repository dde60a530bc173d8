"""`connector bridge`: the reference bridge as a tool, to watch a connector speak."""

import asyncio
import signal
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from connector.bridge.amqp import AmqpTransport
from connector.bridge.dialect import Dialect
from connector.bridge.messages import Message
from connector.bridge.tcp import TlsClient
from connector.processor.amqp import broker_end
from connector.processor.control_socket import ControlError, ControlSocket
from connector.processor.desktop_options import (
    DesktopCertOption,
    DesktopCtiVersionOption,
    DesktopDebugOption,
    DesktopGraceOption,
    DesktopHostOption,
    DesktopKeyOption,
    DesktopOriginOption,
    DesktopPortOption,
    Desktops,
    DesktopsError,
    InstanceDomainOption,
    desktops_of,
)
from connector.processor.link import Direction, Entry
from connector.processor.options import (
    DialectOption,
    Login,
    LoginOption,
    PasswordFileOption,
    logins_of,
    read_dialect,
    read_password,
    server_tls,
)
from connector.processor.problems import BridgeGone, BridgeRequestFailed, BridgeTimeout
from connector.processor.server import ReferenceBridge
from connector.processor.service.options import ServiceOptions
from connector.processor.timeline import line_of

AMQP_VARIABLE = "CONNECTOR_BRIDGE_AMQP"
"""Environment variable with the broker's URL, which holds a password: better there than in a command line."""

_USAGE = 2
_KEPT = 1000
_FOREVER = 365.0 * 24 * 3600


def bridge_command(
    *,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="TCP port to listen on; 0 takes a free one.")] = 7760,
    processor: Annotated[str, typer.Option(help="Name of the interaction processor.")] = "LAB",
    login: LoginOption = None,
    password_file: PasswordFileOption = None,
    amqp: Annotated[
        str | None,
        typer.Option(
            help="Meet the client at this message broker (amqp://… or amqps://…) instead of listening.",
            envvar=AMQP_VARIABLE,
            show_envvar=True,
        ),
    ] = None,
    amqp_ca: Annotated[
        Path | None, typer.Option(help="PEM file of the authorities to trust, for amqps.")
    ] = None,
    tls_cert: Annotated[
        Path | None, typer.Option(help="PEM file of the certificate: switches TLS on.")
    ] = None,
    tls_key: Annotated[
        Path | None, typer.Option(help="PEM file of its key, if it is not in the same file.")
    ] = None,
    dialect: DialectOption = None,
    control: Annotated[
        Path | None,
        typer.Option(help="Local socket at which `connector send --control` may hand in messages."),
    ] = None,
    desktop_port: DesktopPortOption = None,
    desktop_host: DesktopHostOption = "127.0.0.1",
    desktop_origin: DesktopOriginOption = None,
    desktop_tls_cert: DesktopCertOption = None,
    desktop_tls_key: DesktopKeyOption = None,
    desktop_grace: DesktopGraceOption = 30.0,
    desktop_debug: DesktopDebugOption = False,
    desktop_cti_version: DesktopCtiVersionOption = "unknown",
    instance_domain: InstanceDomainOption = "lab",
) -> None:
    """Play Harmony's Processor Bridge: print every message and every broken rule, until Ctrl-C.

    Exit status: 0, 1 if the client broke a rule, 2 for wrong options.
    """
    logins = logins_of(login)
    try:
        password = read_password(password_file, "--login") if logins else ""
        tls = server_tls(tls_cert, tls_key)
        words = read_dialect(dialect)
        broker = _broker(amqp, amqp_ca, processor, words)
        desktops = desktops_of(
            port=desktop_port,
            host=desktop_host,
            origins=desktop_origin or (),
            tls=(desktop_tls_cert, desktop_tls_key),
            options=ServiceOptions(
                instance_domain, desktop_grace, desktop_debug, cti_version=desktop_cti_version
            ),
        )
    except (OSError, ValueError) as problem:
        typer.echo(f"connector bridge: {problem}", err=True)
        raise typer.Exit(_USAGE) from None
    bridge = ReferenceBridge(
        processor, host, port, tls=tls, strict=False, on_message=_print, dialect=words, keep=_KEPT
    )
    bridge.on_violation = lambda text: typer.echo(f"BROKEN RULE: {text}", err=True)
    try:
        asyncio.run(_serve(bridge, logins, password, control, broker, desktops))
    except (ControlError, DesktopsError) as problem:
        typer.echo(f"connector bridge: {problem}", err=True)
        raise typer.Exit(_USAGE) from None
    except OSError as problem:
        typer.echo(f"connector bridge: cannot listen on {host}:{port}: {problem}", err=True)
        raise typer.Exit(_USAGE) from None
    if bridge.violations:
        raise typer.Exit(1)


def _broker(url: str | None, ca_file: Path | None, processor: str, dialect: Dialect) -> AmqpTransport | None:
    if url is None:
        return None
    if not url.startswith(("amqp://", "amqps://")):
        raise ValueError("--amqp takes a URL that starts with amqp:// or amqps://.")
    tls = TlsClient(ca_file=str(ca_file or ""))
    if ca_file is not None:
        tls.context()
    try:
        return broker_end(url, processor, tls=tls, dialect=dialect)
    except ValueError:
        raise ValueError("--amqp takes a URL such as amqp://USER:PASSWORD@HOST/VHOST.") from None


def _print(direction: Direction, message: Message) -> None:
    typer.echo(line_of(Entry(datetime.now(UTC), direction, message)))


async def _serve(
    bridge: ReferenceBridge,
    logins: list[Login],
    password: str,
    control: Path | None,
    broker: AmqpTransport | None,
    desktops: Desktops | None,
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    door = ControlSocket(bridge, control) if control is not None else None
    if broker is None:
        await bridge.start()
        typer.echo(f"Bridge {bridge.processor} listens on {bridge.host}:{bridge.port}. Ctrl-C ends it.")
    else:
        bridge.attach(broker)
        typer.echo(f"Bridge {bridge.processor} is at the broker {broker.where}. Ctrl-C ends it.")
    if door is not None:
        await door.start()
    service = await desktops.open(bridge) if desktops is not None else None
    if service is not None:
        typer.echo(f"Agent desktops connect to {service.url}.")
    agents = asyncio.create_task(_keep_logged_in(bridge, logins, password)) if logins else None
    try:
        await stop.wait()
    finally:
        if agents is not None:
            agents.cancel()
            await asyncio.gather(agents, return_exceptions=True)
        if door is not None:
            await door.stop()
        if service is not None:
            await service.stop()
        await bridge.stop()


async def _keep_logged_in(bridge: ReferenceBridge, logins: list[Login], password: str) -> None:
    """Log the agents in whenever a client comes into service, ready for calls."""
    while True:
        await bridge.wait_in_service(_FOREVER)
        link = bridge.link
        for each in logins:
            try:
                session = await bridge.login(each.agent, password, extension=each.extension)
                if session.channel.state != "ACTIVE":
                    await session.channel.activate()
                await session.channel.ready()
                typer.echo(f"Agent {each.agent} is ready at {session.channel.endpoint}.")
            except (BridgeRequestFailed, BridgeTimeout, BridgeGone, LookupError) as problem:
                typer.echo(f"Agent {each.agent} could not be logged in: {problem}", err=True)
        await bridge.wait_lost(link, _FOREVER)
