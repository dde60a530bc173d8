"""The connection of a desk to its session: found, made, and made again after it broke."""

import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field

from connector.processor.desktop_client import DesktopClient, DesktopSession
from connector.processor.desktop_pool import fewest_clients


@dataclass(slots=True)
class Shift:
    """Who works, where, and by which of the services `urls` of a domain."""

    agent: str
    password: str = field(repr=False)
    urls: Sequence[str] = ("ws://127.0.0.1:7761",)
    domain: str = "lab"
    extension: str = ""
    tls: ssl.SSLContext | None = None
    timeout: float = 10.0
    client: DesktopClient | None = None
    session: DesktopSession | None = None

    async def begin(self, *, override: bool = False) -> DesktopSession:
        """Log in at the service with the fewest desktops, into the queues, and ask for team and reasons.

        Raises:
            NoService, SessionExists, DesktopRefused, DesktopGone, TimeoutError: it did not work out.

        """
        await self.end()
        client = self.client = await fewest_clients(
            self.urls, self.domain, tls=self.tls, timeout=self.timeout
        )
        session = await client.login(self.agent, self.password, override=override, extension=self.extension)
        self.session = session
        await session.activate()
        await self._ask(session)
        return session

    async def resume(self) -> DesktopSession:
        """Find the session again after the connection broke.

        Raises:
            DesktopGone, DesktopRefused, TimeoutError: it is not there (yet).

        """
        if self.client is None or self.session is None:
            return await self.begin()
        before, name = self.client, self.session.id
        self.client = DesktopClient(before.url, tls=self.tls, timeout=self.timeout)
        await before.close()
        await self.client.connect()
        await self.client.bind_service()
        session = self.session = await self.client.bind(name, self.agent, self.password)
        await self._ask(session)
        return session

    async def end(self) -> None:
        """End the connection."""
        if self.client is not None:
            await self.client.close()
        self.client = self.session = None

    @staticmethod
    async def _ask(session: DesktopSession) -> None:
        await session.team(realtime=True)
        await session.not_ready_reasons()
