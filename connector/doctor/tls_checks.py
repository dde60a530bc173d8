"""How long certificates are good: our peers' by a handshake, our own by one with ourselves."""

import asyncio
import contextlib
import ssl
import time
from collections.abc import AsyncIterator, Callable
from typing import Final
from urllib.parse import urlsplit

from connector.bridge.tcp import NO_PASS_PHRASE
from connector.config import Settings, TlsSettings, Transport
from connector.doctor.findings import Finding, fault, ok, warning

_SOON: Final = 30
"""Days before the end in which one should do something."""
_DAY: Final = 86400.0
_PATIENCE: Final = 5.0


async def certificates(settings: Settings, now: Callable[[], float]) -> AsyncIterator[Finding]:
    """Look at every certificate in use, the peers' and our own."""
    for name, tls, host, port in _secured(settings):
        async for finding in _peer(f"TLS of {name}", tls, host, port, now):
            yield finding
        if tls.cert_file:
            yield _own(f"our certificate for {name}", tls, now)


def _secured(settings: Settings) -> list[tuple[str, TlsSettings, str, int]]:
    found = []
    if settings.asterisk.tls.enabled:
        found.append(("asterisk", settings.asterisk.tls, settings.asterisk.host, settings.asterisk.port))
    if settings.bridge.transport is Transport.TCP and settings.bridge.tls.enabled:
        found.append(("bridge", settings.bridge.tls, settings.bridge.host, settings.bridge.port))
    if settings.bridge.transport is Transport.AMQP and settings.amqp.url is not None:
        url = urlsplit(settings.amqp.url.reveal())
        if url.scheme == "amqps":
            found.append(("amqp", settings.amqp.tls, url.hostname or "localhost", url.port or 5671))
    return found


async def _peer(
    check: str, tls: TlsSettings, host: str, port: int, now: Callable[[], float]
) -> AsyncIterator[Finding]:
    if not tls.verify:
        yield warning(
            check,
            "The certificate is not checked: whoever is in between can read and change everything.",
            "Take `verify: false` out, and name the authority in `ca_file`.",
        )
        return
    try:
        context = ssl.create_default_context(cafile=tls.ca_file or None)
        if tls.cert_file:
            context.load_cert_chain(tls.cert_file, tls.key_file or None, password=NO_PASS_PHRASE)
        async with asyncio.timeout(_PATIENCE):
            _, writer = await asyncio.open_connection(
                host, port, ssl=context, server_hostname=tls.server_name or host
            )
    except ssl.SSLCertVerificationError as problem:
        yield fault(
            check,
            f"The certificate is refused: {problem.verify_message}.",
            "Renew it there, or correct `ca_file` and `server_name` here.",
        )
    except (OSError, TimeoutError) as problem:
        why = getattr(problem, "reason", None) or problem or "no answer"
        yield fault(
            check,
            f"There is no TLS at {host}:{port}: {why}.",
            "Look whether it listens there, with TLS.",
        )
    else:
        certificate = writer.get_extra_info("peercert") or {}
        writer.close()
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(_PATIENCE):
                await writer.wait_closed()
        yield _judge(check, certificate, now)


def _own(check: str, tls: TlsSettings, now: Callable[[], float]) -> Finding:
    try:
        return _judge(check, _decoded(tls), now)
    except ssl.SSLCertVerificationError as problem:
        return fault(check, f"It is not good: {problem.verify_message}.", "Have it renewed.")
    except OSError as problem:
        return fault(
            check, f"It cannot be used: {problem.strerror or problem}.", "Look at cert_file and key_file."
        )


def _decoded(tls: TlsSettings) -> dict[str, object]:
    """Return our certificate as Python shows one: only to the other end of a handshake."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(tls.cert_file, tls.key_file or None, password=NO_PASS_PHRASE)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    client.load_verify_locations(tls.cert_file)
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [client.wrap_bio(back, there), server.wrap_bio(there, back, server_side=True)]
    for _ in range(4):
        for end in ends:
            with contextlib.suppress(ssl.SSLWantReadError):
                end.do_handshake()
    return dict(ends[0].getpeercert() or {})


def _judge(check: str, certificate: dict[str, object], now: Callable[[], float]) -> Finding:
    until = certificate.get("notAfter")
    if not isinstance(until, str):
        return fault(check, "The certificate does not say how long it is good.", "Have another one made.")
    ends = ssl.cert_time_to_seconds(until)
    days = (ends - now()) / _DAY
    day = time.strftime("%Y-%m-%d", time.gmtime(ends))
    if days < 0:
        return fault(check, f"The certificate ended on {day}.", "Renew it.")
    if days < _SOON:
        return warning(check, f"The certificate ends on {day}, in {days:.0f} days.", "Renew it.")
    return ok(check, f"good until {day}")
