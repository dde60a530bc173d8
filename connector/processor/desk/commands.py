"""`connector desk`: the command line of the agent's desktop."""

import ssl
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer

from connector.processor.desktop_options import is_here
from connector.processor.options import PasswordFileOption, read_password

_USAGE = 2


def desk_command(
    *,
    agent: Annotated[str, typer.Option(help="The agent who logs in.")],
    url: Annotated[
        list[str] | None,
        typer.Option(help="A service (ws://… or wss://…); of several the one with the fewest desktops."),
    ] = None,
    instance_domain: Annotated[str, typer.Option(help="The domain that the service must have.")] = "lab",
    extension: Annotated[str, typer.Option(help="The phone to sit at; without it the agent's own.")] = "",
    password_file: PasswordFileOption = None,
    ca: Annotated[Path | None, typer.Option(help="PEM file of the authorities to trust, for wss.")] = None,
) -> None:
    """Work a shift in the terminal: state, calls and team, a key for every operation.

    Exit status: 0, 1 if the session could not be begun, 2 for wrong options.
    """
    urls = tuple(url or ["ws://127.0.0.1:7761"])
    try:
        password = read_password(password_file, "connector desk")
        tls = _trust(urls, ca)
    except (OSError, ValueError) as problem:
        typer.echo(f"connector desk: {problem}", err=True)
        raise typer.Exit(_USAGE) from None
    try:
        from connector.processor.desk.app import DeskApp
        from connector.processor.desk.shift import Shift
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] not in {"textual", "rich", "websockets"}:
            raise
        typer.echo(
            "connector desk: the package textual is missing: install harmony-connector[desk].", err=True
        )
        raise typer.Exit(_USAGE) from None
    app = DeskApp(Shift(agent, password, urls, instance_domain, extension, tls))
    typer.echo(app.run() or "")
    if not app.began:
        raise typer.Exit(1)


def _trust(urls: tuple[str, ...], ca: Path | None) -> ssl.SSLContext | None:
    """Return the context for the services' URLs. Raises ValueError, OSError."""
    if not all(_is_url(one) for one in urls):
        raise ValueError("--url takes a URL such as ws://127.0.0.1:7761.")
    for one in map(urlsplit, urls):
        if one.scheme == "ws" and not is_here(one.hostname or ""):
            raise ValueError(f"--url to {one.hostname} must be wss://: the password goes by there.")
    if ca is None:
        return None
    if not all(one.startswith("wss://") for one in urls):
        raise ValueError("--ca is for wss:// only.")
    try:
        return ssl.create_default_context(cafile=ca)
    except ssl.SSLError as problem:
        raise ValueError(
            f"--ca: {ca} is no PEM file of authorities: {problem.reason or problem}"
        ) from problem


def _is_url(said: str) -> bool:
    try:
        parts = urlsplit(said)
        return parts.scheme in {"ws", "wss"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        # A port or an address that is none.
        return False
