"""What `connector bridge` takes to serve agent desktops, and the service made of it."""

import ipaddress
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from connector.processor.options import server_tls
from connector.processor.server import ReferenceBridge
from connector.processor.service.options import ServiceOptions

if TYPE_CHECKING:
    from connector.processor.service.door import DesktopDoor

DesktopPortOption = Annotated[
    int | None,
    typer.Option(help="Serve agent desktops at this WebSocket port; 0 takes a free one.", min=0, max=65535),
]
DesktopHostOption = Annotated[
    str, typer.Option(help="Address at which desktops are served; beyond this machine with TLS only.")
]
DesktopOriginOption = Annotated[
    list[str] | None,
    typer.Option(help="Web origin (https://HOST) whose pages may be desktops. May be given several times."),
]
DesktopCertOption = Annotated[
    Path | None, typer.Option(help="PEM file of the desktops' certificate: switches TLS on for them.")
]
DesktopKeyOption = Annotated[
    Path | None, typer.Option(help="PEM file of its key, if it is not in the same file.")
]
DesktopGraceOption = Annotated[
    float, typer.Option(help="Seconds that a session waits for a desktop that dropped.", min=0.0)
]
DesktopDebugOption = Annotated[bool, typer.Option(help="Give `context` in messages to desktops.")]
DesktopCtiVersionOption = Annotated[
    str, typer.Option(help="Version of the telephone system, as desktops are told it (`cti-version`).")
]
InstanceDomainOption = Annotated[
    str, typer.Option(help="Name of the group of processors that serve one pool of desktops.")
]


class DesktopsError(Exception):
    """Desktops cannot be served. One line."""


@dataclass(frozen=True, slots=True)
class Desktops:
    """How desktops are served."""

    port: int
    host: str
    origins: tuple[str, ...]
    tls: ssl.SSLContext | None
    options: ServiceOptions

    async def open(self, bridge: ReferenceBridge) -> "DesktopDoor":
        """Begin to serve. Raises DesktopsError."""
        try:
            from connector.processor.service.door import DesktopDoor
        except ModuleNotFoundError as missing:
            if (missing.name or "").partition(".")[0] != "websockets":
                raise
            raise DesktopsError(
                "--desktop-port needs the package websockets: install harmony-connector[desktop]."
            ) from None
        from connector.processor.service.processor import InteractionProcessor

        processor = InteractionProcessor(bridge, self.options)
        door = DesktopDoor(processor, self.host, self.port, tls=self.tls, origins=self.origins)
        try:
            await door.start()
        except OSError as problem:
            raise DesktopsError(
                f"cannot serve desktops on {self.host}:{self.port}: {problem.strerror or problem}"
            ) from None
        return door


def desktops_of(
    *,
    port: int | None,
    host: str,
    origins: Iterable[str],
    tls: tuple[Path | None, Path | None],
    options: ServiceOptions,
) -> Desktops | None:
    """Return how desktops are served; None without a port.

    Raises:
        ValueError: options that do not fit together. OSError: a file cannot be used.

    """
    if port is None:
        if any(tls) or tuple(origins):
            raise ValueError("--desktop-tls-… and --desktop-origin need --desktop-port.")
        return None
    for origin in origins:
        parts = urlsplit(origin)
        if (
            parts.scheme not in {"http", "https"}
            or not parts.netloc
            or origin != f"{parts.scheme}://{parts.netloc}"
        ):
            raise ValueError("--desktop-origin takes an origin such as https://desk.example, without a path.")
    try:
        context = server_tls(*tls)
    except ValueError as problem:
        raise ValueError(str(problem).replace("--tls-", "--desktop-tls-")) from None
    if context is None and not is_here(host):
        raise ValueError(
            "--desktop-host beyond this machine needs --desktop-tls-cert: passwords go by there."
        )
    return Desktops(port, host, tuple(origins), context, options)


def is_here(host: str) -> bool:
    """Tell whether an address is this machine's own."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
