"""Which of several services a desktop uses: one of its domain that accepts, with the fewest desktops (S1)."""

import asyncio
import random
import ssl
from collections.abc import Sequence
from dataclasses import dataclass

from connector.processor.desktop_client import DesktopClient, DesktopGone, DesktopRefused


class NoService(Exception):
    """No service can be used. One line that says why for each."""


@dataclass(frozen=True, slots=True)
class _Found:
    client: DesktopClient
    service: str
    clients: int


async def fewest_clients(
    urls: Sequence[str], domain: str, *, tls: ssl.SSLContext | None = None, timeout: float = 10.0
) -> DesktopClient:
    """Ask all services at once, and return a desktop that is connected to one and has bound it.

    Only services of the instance domain count, and of these the ones that accept sessions. Among equals
    chance decides: desktops that all start at once, before any of them is counted, spread as well.

    Raises:
        NoService: there is none.

    """
    asked = [_ask(DesktopClient(url, tls=tls, timeout=timeout), domain) for url in urls]
    answers = await asyncio.gather(*asked)
    found = [one for one in answers if isinstance(one, _Found)]
    random.shuffle(found)
    found.sort(key=lambda one: one.clients)
    reasons = [one for one in answers if isinstance(one, str)]
    chosen: DesktopClient | None = None
    for one in found:
        if chosen is None:
            try:
                await one.client.bind_service(one.service)
            except (DesktopGone, DesktopRefused, TimeoutError) as problem:
                reasons.append(str(problem))
            else:
                chosen = one.client
                continue
        await one.client.close()
    if chosen is None:
        raise NoService(f"No service of domain {domain} can be used. {' '.join(reasons)}")
    return chosen


async def _ask(client: DesktopClient, domain: str) -> _Found | str:
    try:
        await client.connect()
        services = await client.services()
    except (DesktopGone, DesktopRefused, TimeoutError) as problem:
        await client.close()
        return str(problem)
    for one in services:
        if one["information"]["instance-domain"] == domain and one["accepting"]:
            return _Found(client, one["id"], one["clients"])
    await client.close()
    return f"{client.url} has no service of this domain that accepts sessions."
