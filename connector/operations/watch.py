"""The connector seen from outside, all together: its metrics, its pages, its signs of life."""

import asyncio
import json
from typing import Final

import structlog
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

from connector.operations.health import Parts, StateCollector, readiness
from connector.operations.metrics import Metrics
from connector.operations.systemd import Systemd
from connector.operations.web import JSON, TEXT, Page, Pages

log = structlog.get_logger(__name__)

_BEAT: Final = 1.0
"""Seconds between two looks at the clock."""


class Operations:
    """Serves the pages and beats the heart, as long as `run` runs."""

    def __init__(self, parts: Parts, metrics: Metrics, processor: str) -> None:
        self._parts = parts
        self._metrics = metrics
        self.systemd = Systemd()
        metrics.registry.register(StateCollector(parts, processor))
        parts.pbx.subscribe(metrics.changed)
        self.pages = Pages({"/livez": self._live, "/readyz": self._ready, "/metrics": self._show})

    async def run(self, host: str, port: int) -> None:
        """Serve on `host` and `port` (0: no pages) and give signs of life until cancelled."""
        if port:
            await self._listen(host, port)
        try:
            await self._beat()
        finally:
            self.systemd.close()
            await self.pages.close()

    async def _listen(self, host: str, port: int) -> None:
        try:
            await self.pages.listen(host, port)
        except OSError as problem:
            # Calls matter more than whoever looks at them.
            log.error(  # noqa: TRY400 - the traceback would show nothing more
                "metrics and health are not served: choose another monitoring.port, or 0 for none",
                host=host,
                port=port,
                reason=problem.strerror or str(problem),
            )
        else:
            log.info("metrics and health are served", host=host, port=port)

    async def _beat(self) -> None:
        loop = asyncio.get_running_loop()
        pause = min(_BEAT, self.systemd.watchdog or _BEAT)
        while True:
            self.systemd.alive()
            self.systemd.status(str(readiness(self._parts)))
            due = loop.time() + pause
            await asyncio.sleep(pause)
            self._metrics.late(max(0.0, loop.time() - due))

    @staticmethod
    def _live() -> Page:
        return Page(200, TEXT, b"alive\n")

    def _ready(self) -> Page:
        found = readiness(self._parts)
        shown = {"ready": found.ready, "service": found.service, "checks": found.checks}
        return Page(200 if found.ready else 503, JSON, json.dumps(shown, indent=2).encode() + b"\n")

    def _show(self) -> Page:
        return Page(200, CONTENT_TYPE_PLAIN_0_0_4, generate_latest(self._metrics.registry))
