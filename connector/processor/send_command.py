"""`connector send`: one query or request by hand, in the lab."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from connector.bridge.dialect import Dialect
from connector.processor.control_socket import ControlError, order_at
from connector.processor.options import (
    DialectOption,
    Login,
    LoginOption,
    PasswordFileOption,
    logins_of,
    read_dialect,
    read_password,
)
from connector.processor.problems import BridgeGone, BridgeRequestFailed, BridgeTimeout
from connector.processor.sending import PLACES, CannotSend, Order, body_of, check_name, resolve_word, send
from connector.processor.server import ReferenceBridge

_FAILURE = 1
_USAGE = 2


def send_command(
    name: Annotated[str, typer.Argument(help="Name of the query or request, as in docs/protocol.md.")],
    target: Annotated[
        str,
        typer.Argument(help=f"An address, or one of {', '.join(PLACES)}, if need be with `@AGENT`."),
    ],
    words: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=TEXT | KEY:=JSON]...", help="The body, key by key.")
    ] = None,
    *,
    json: Annotated[str, typer.Option(help="The body as a JSON object; keys given singly win.")] = "",
    control: Annotated[
        Path | None,
        typer.Option(help="Socket of a running `connector bridge --control`; else a bridge is started."),
    ] = None,
    host: Annotated[str, typer.Option(help="Address at which the started bridge listens.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Its TCP port.")] = 7760,
    processor: Annotated[str, typer.Option(help="Name of the interaction processor.")] = "LAB",
    login: LoginOption = None,
    password_file: PasswordFileOption = None,
    dialect: DialectOption = None,
    listen: Annotated[
        float, typer.Option(help="Seconds to show what follows the answer.", min=0.0, max=3600.0)
    ] = 2.0,
    timeout: Annotated[
        float, typer.Option(help="Seconds to wait for a connector, and for the answer.", min=0.1, max=3600.0)
    ] = 30.0,
) -> None:
    """Send one query or request to a connector and show the answer and the events that follow.

    Exit status: 0 on SUCCESS, 1 on FAILURE or without an answer, 2 if nothing could be sent.
    """
    try:
        check_name(name)
        order = Order(name, target, body_of(words or (), json), listen, timeout)
        resolve_word(target)
        if control is not None:
            done = asyncio.run(order_at(control, order, typer.echo))
        else:
            logins = logins_of(login)
            password = read_password(password_file, "--login") if logins else ""
            bridge = _bridge(processor, host, port, read_dialect(dialect), timeout)
            done = asyncio.run(_through(bridge, order, logins, password, typer.echo))
    except (CannotSend, ControlError, OSError, ValueError) as problem:
        typer.echo(f"connector send: {problem}", err=True)
        raise typer.Exit(_USAGE) from None
    raise typer.Exit(0 if done else _FAILURE)


def _bridge(processor: str, host: str, port: int, dialect: Dialect, timeout: float) -> ReferenceBridge:
    return ReferenceBridge(processor, host, port, strict=False, timeout=timeout, dialect=dialect)


async def _through(
    bridge: ReferenceBridge, order: Order, logins: list[Login], password: str, show: Callable[[str], None]
) -> bool:
    try:
        await bridge.start()
    except OSError as problem:
        raise CannotSend(f"cannot listen on {bridge.host}:{bridge.port}: {problem}") from None
    try:
        show(f"Waiting for a connector at {bridge.host}:{bridge.port}.")
        await bridge.wait_connected(order.timeout)
        for each in logins:
            await bridge.wait_in_service(order.timeout)
            await bridge.login(each.agent, password, extension=each.extension)
        # Calls in progress get their destinations first, so that they can be named.
        await bridge.wait_idle(order.timeout)
        return await send(bridge, order, show)
    except (BridgeTimeout, BridgeGone, BridgeRequestFailed) as problem:
        raise CannotSend(str(problem).partition(" Last messages:")[0]) from None
    finally:
        await bridge.stop()
