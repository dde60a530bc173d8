"""A desk whose connector is a process of its own, as in service: to be killed, stopped and looked at."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from desk import Desk, amqp_settings, deep_merge, dialect_file, dialect_of, own_names

from connector.lab.configuration import connector_config
from connector.lab.phones.base import Phone
from connector.lab.phones.fleet import PhoneFleet, Stack
from connector.lab.provider import LabInfo, LabProvider
from connector.processor.amqp import broker_end
from connector.processor.server import ReferenceBridge

START = 30.0
"""Seconds that a process may take to be there on a busy machine."""

Plain = dict[str, Any]
"""A configuration as it stands in its file."""


async def launch(file: Path) -> asyncio.subprocess.Process:
    """Start a connector of that configuration; its log is the process's standard error."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "connector", "run", "--config", str(file)),
        stderr=asyncio.subprocess.PIPE,
    )


@dataclass
class ProcessDesk(Desk):
    """A desk whose connector is a process of its own."""

    file: Path = field(kw_only=True)
    process: asyncio.subprocess.Process | None = None

    async def agent_phone(self, extension: str = "1001", stack: Stack = "baresip") -> Phone:
        """Register an agent's phone. Nobody can ask the process whether it knows that."""
        phone = await self.phones.phone(extension, stack)
        phone.honour_auto_answer = True
        return phone

    async def start(self) -> None:
        """Start the connector and wait until it is in service."""
        self.process = await launch(self.file)
        await self.bridge.wait_in_service(START)

    async def end(self, number: signal.Signals) -> bytes:
        """Send a signal, wait for the end, return the log."""
        assert self.process is not None
        self.process.send_signal(number)
        return await self.ended()

    async def ended(self) -> bytes:
        """Wait for the end; return the log."""
        assert self.process is not None
        _, log = await asyncio.wait_for(self.process.communicate(), START)
        assert b"Traceback" not in log
        return log


@asynccontextmanager
async def process_desk(
    provider: LabProvider,
    lab: LabInfo,
    folder: Path,
    adapt: Callable[[Plain], Plain] = lambda plain: plain,
    *,
    broker: bool = False,
) -> AsyncIterator[ProcessDesk]:
    """Run a bridge, phones and a connector process on TCP, or on names of its own on the broker.

    `adapt` changes the configuration before it is written.
    """
    accounts = {number: account.password for number, account in lab.sip.items()}
    names, dialect, file = own_names(), dialect_of(folder), folder / "connector.yaml"
    async with (
        PhoneFleet(lab.host, lab.ports.sip, accounts) as phones,
        ReferenceBridge(processor="LAB", port=0, timeout=START, dialect=dialect) as bridge,
    ):
        if broker:
            bridge.attach(broker_end(lab.amqp_url, "LAB", names=names, dialect=dialect))
            plain = deep_merge(yaml.safe_load(connector_config(lab)), amqp_settings(lab, names))
        else:
            plain = yaml.safe_load(connector_config(lab, bridge_port=bridge.port))
        if (renamed := dialect_file(folder)) is not None:
            plain = deep_merge(plain, {"bridge": {"dialect": str(renamed)}})
        file.write_text(yaml.safe_dump(adapt(plain)))
        connector: Any = None
        found = ProcessDesk(provider, lab, bridge, connector, phones, names, file=file)
        await found.start()
        try:
            yield found
        finally:
            assert found.process is not None
            if found.process.returncode is None:
                await found.end(signal.SIGKILL)
