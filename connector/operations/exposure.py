"""What a configuration leaves open to others on the network: told at the start, and by `connector check`."""

import re
from collections.abc import Iterator
from ipaddress import ip_address

from connector.config import AgentSource, Settings, TlsSettings, Transport


def exposures(settings: Settings) -> Iterator[str]:
    """Iterate over sentences, one for each thing that is not protected and leaves this machine."""
    asterisk, bridge, amqp = settings.asterisk, settings.bridge, settings.amqp
    yield from _link("asterisk", asterisk.host, asterisk.tls, secured=asterisk.tls.enabled)
    if bridge.transport is Transport.TCP:
        yield from _link("bridge", bridge.host, bridge.tls, secured=bridge.tls.enabled)
    elif amqp.url:
        url = amqp.url.reveal()
        yield from _link("amqp", _host(url), amqp.tls, secured=url.startswith("amqps:"))
    directory = settings.directory
    if directory.source is AgentSource.SQL and directory.url is not None:
        host = _host(directory.url.reveal())
        if host:
            yield from _link("directory.url", host, directory.tls, secured=directory.tls.enabled)
    if settings.monitoring.port and not is_loopback(settings.monitoring.host):
        yield "monitoring.host: everybody who reaches this address can read metrics and health"


def _host(url: str) -> str:
    """Return the host of a URL, whatever its password looks like; "" if there is none."""
    place = url.partition("://")[2]
    # A password may hold anything but an @, even what only a host may; a path may hold that.
    user, at, rest = place.partition("@")
    where = re.split(r"[/?#]", rest if at and (":" in user or "/" not in user) else place, maxsplit=1)[0]
    if where.startswith("["):
        return where[1:].partition("]")[0]
    return where.partition(":")[0]


def is_loopback(host: str) -> bool:
    """Tell whether a host is this machine for certain."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _link(name: str, host: str, tls: TlsSettings, *, secured: bool) -> Iterator[str]:
    if is_loopback(host):
        return
    if not secured:
        yield f"{name}: not encrypted on the way to {host}; use TLS"
    elif not tls.verify:
        yield f"{name}.tls.verify: false: the certificate of {host} is not checked, anybody can be in between"
