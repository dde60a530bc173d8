"""Wiring: settings in, a running connector out."""

import asyncio
from collections.abc import Callable

import structlog

from connector.asterisk.control import AnswerMethod, DialSettings, PhoneModel
from connector.asterisk.link import AmiSettings, AmiTls
from connector.asterisk.pbx import AsteriskPbx
from connector.bridge.tcp import TcpSettings, TcpTransport, TlsClient
from connector.bridge.transport import Transport
from connector.config import Settings, TlsSettings
from connector.destinations.control import Control
from connector.destinations.tree import Tree
from connector.directory import AgentDirectory

log = structlog.get_logger(__name__)


class Connector:
    """One processor's connector: bridge transport, destinations and PBX."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.pbx = _pbx(settings)
        self.transport = _transport(settings)
        self.directory = AgentDirectory(settings)
        self.tree = Tree(settings.processor, self.pbx, self.directory, self.transport)
        Control(self.tree)
        for agent in settings.agents.values():
            self.pbx.watch(agent.extension)

    async def run(self, stop: asyncio.Event, *, ready: Callable[[], None] | None = None) -> None:
        """Run until `stop` is set; `ready` is called when the tasks are under way. Calls stay up after it."""
        tasks = [
            asyncio.create_task(self.pbx.run(), name="pbx"),
            asyncio.create_task(self.transport.run(self.tree), name="bridge"),
        ]
        stopping = asyncio.create_task(stop.wait(), name="stop")
        log.info("connector started", processor=self.settings.processor, agents=len(self.settings.agents))
        if ready is not None:
            ready()
        try:
            done, _ = await asyncio.wait([*tasks, stopping], return_when=asyncio.FIRST_COMPLETED)
            for task in done - {stopping}:
                task.result()
        finally:
            stopping.cancel()
            await self.transport.close()
            await self.pbx.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, stopping, return_exceptions=True)
            log.info("connector stopped")
