"""What the bridge's tools take from their command lines alike."""

import os
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from connector.bridge.dialect import IDENTITY, Dialect
from connector.bridge.dialect_file import load_dialect
from connector.bridge.tcp import NO_PASS_PHRASE
from connector.settings_yaml import ConfigError

PASSWORD_VARIABLE = "CONNECTOR_BRIDGE_PASSWORD"  # noqa: S105 - a variable's name # nosec B105
"""Environment variable with the agents' password."""

DialectOption = Annotated[
    Path | None, typer.Option("--dialect", help="YAML file with the bridge's own names and keys.")
]
LoginOption = Annotated[
    list[str] | None,
    typer.Option(
        "--login", help="Log this agent in, as AGENT or AGENT:EXTENSION. May be given several times."
    ),
]
PasswordFileOption = Annotated[
    Path | None,
    typer.Option(
        "--password-file",
        help=f"File with the agents' password; else {PASSWORD_VARIABLE} of the environment.",
    ),
]


@dataclass(frozen=True, slots=True)
class Login:
    """An agent to log in, and the phone at which it sits (empty: its own)."""

    agent: str
    extension: str


def logins_of(said: Iterable[str] | None) -> list[Login]:
    """Read `AGENT` and `AGENT:EXTENSION`."""
    return [Login(agent, extension) for agent, _, extension in (each.partition(":") for each in said or [])]


def read_password(file: Path | None, needed_by: str) -> str:
    """Return the agents' password from a file or from the environment.

    Raises:
        ValueError: there is none. OSError: the file cannot be read.

    """
    password = (
        file.read_text("utf-8").rstrip("\r\n") if file is not None else os.environ.get(PASSWORD_VARIABLE)
    )
    if not password:
        raise ValueError(f"{needed_by} needs a password: --password-file or {PASSWORD_VARIABLE}.")
    return password


def server_tls(cert: Path | None, key: Path | None) -> ssl.SSLContext | None:
    """Return the context of a bridge that listens with TLS; None without a certificate.

    Raises:
        ValueError: a key without a certificate. OSError: a file cannot be used.

    """
    if cert is None:
        if key is not None:
            raise ValueError("--tls-key needs --tls-cert.")
        return None
    for file in (cert, key):
        # The library does not say which of the files it missed.
        if file is not None:
            file.open("rb").close()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(cert, key, password=NO_PASS_PHRASE)
    except ssl.SSLError as problem:
        files = f"{cert} and {key}" if key is not None else f"{cert}"
        raise ValueError(
            f"--tls-cert, --tls-key: expected a certificate and its key, without a pass phrase, "
            f"in PEM form in {files}: {problem.reason or problem}"
        ) from problem
    return context


def read_dialect(file: Path | None) -> Dialect:
    """Return the dialect in a file, or the catalogue's own. Raises ValueError: one line with the place."""
    if file is None:
        return IDENTITY
    try:
        return load_dialect(file)
    except ConfigError as problem:
        raise ValueError(str(problem)) from None
