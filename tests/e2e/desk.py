"""What the end-to-end tests work with: a bridge, a connector and phones on the running laboratory."""

import asyncio
import os
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from renamed_dialect import renamed_yaml

from connector.app import Connector
from connector.bridge.amqp_topology import Names
from connector.bridge.catalogue.conversation import Cause
from connector.bridge.dialect import IDENTITY, Dialect
from connector.bridge.dialect_file import load_dialect
from connector.bridge.messages import Kind
from connector.config import Settings, load_settings
from connector.lab.configuration import connector_config
from connector.lab.phones.base import Phone
from connector.lab.phones.fleet import PhoneFleet, Stack
from connector.lab.provider import LabInfo, LabProvider
from connector.processor.amqp import broker_end
from connector.processor.handles import Interaction
from connector.processor.server import ReferenceBridge
from connector.telephony.facts import EndpointState
from connector.telephony.pbx import TimedOut

WAIT = 10.0
"""Seconds that anything may take which happens at once on an idle machine."""


TRANSPORT = os.environ.get("BRIDGE", "tcp")
"""How bridge and connector talk in this run: `tcp` or `amqp`."""

if TRANSPORT not in {"tcp", "amqp"}:
    raise ValueError(f"BRIDGE must be tcp or amqp, not {TRANSPORT!r}")


_THERE = {EndpointState.IDLE, EndpointState.RINGING, EndpointState.IN_USE}


def deep_merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` with the values of `over` laid on top, mapping by mapping."""
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        merged[key] = deep_merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def dialect_file(folder: Path) -> Path | None:
    """Return the dialect in which the suite runs, as the environment's `DIALECT` wants it.

    `renamed` has every name and key of the catalogue changed; else it is a file's path. None: no dialect.
    """
    wanted = os.environ.get("DIALECT", "")
    if wanted != "renamed":
        return Path(wanted).absolute() if wanted else None
    file = folder / "renamed.yaml"
    file.write_text(renamed_yaml(), "utf-8")
    return file


def dialect_of(folder: Path) -> Dialect:
    """Return that dialect for a bridge."""
    file = dialect_file(folder)
    return load_dialect(file) if file is not None else IDENTITY


def settings_for(info: LabInfo, folder: Path, port: int, over: Mapping[str, Any] | None = None) -> Settings:
    """Load the configuration of the running lab as a user would: from a file."""
    quick = {"bridge": {"port": port}, "dial": {"agent_timeout": 4, "timeout": 4}, "limits": {"drain": 0}}
    quick["asterisk"] = {"grace": 0.3}
    plain = deep_merge(yaml.safe_load(connector_config(info)), quick)
    if (dialect := dialect_file(folder)) is not None:
        plain["bridge"]["dialect"] = str(dialect)
    file = folder / "connector.yaml"
    file.write_text(yaml.safe_dump(deep_merge(plain, over or {})))
    return load_settings(file, environ={})


def own_names() -> Names:
    """Make names on the broker that no other test uses."""
    own = f"t{secrets.token_hex(4)}"
    return Names(
        processor="LAB",
        bridge_exchange=f"{own}.bridge",
        client_exchange=f"{own}.client",
        dead_exchange=f"{own}.dead",
        client_queue=f"{own}.client.LAB",
        bridge_queue=f"{own}.bridge.LAB",
        dead_queue=f"{own}.dead.LAB",
    )


def amqp_settings(info: LabInfo, names: Names) -> dict[str, Any]:
    """Return the part of the configuration that puts a connector on the lab's broker."""
    return {
        "bridge": {"transport": "amqp", "reconnect_initial": 0.1, "reconnect_max": 1},
        "amqp": {
            "url": info.amqp_url,
            "bridge_exchange": names.bridge_exchange,
            "client_exchange": names.client_exchange,
            "dead_exchange": names.dead_exchange,
            "queue": names.client_queue,
            "dead_queue": names.dead_queue,
        },
    }


@dataclass
class Desk:
    """One bridge and one connector in service, and phones at hand."""

    lab: LabProvider
    info: LabInfo
    bridge: ReferenceBridge
    connector: Connector
    phones: PhoneFleet
    names: Names
    """Names on the broker, if that is how they talk."""
    _stop: asyncio.Event = field(default_factory=asyncio.Event)
    _running: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Begin to run the connector."""
        self._stop.clear()
        self._running = asyncio.create_task(self.connector.run(self._stop))

    async def close(self) -> None:
        """End the connector; calls stay."""
        self._stop.set()
        assert self._running is not None
        await self._running

    async def replace_connector(self) -> None:
        """End the connector and run one that knows nothing of the calls that there are."""
        await self.close()
        await self.renew_connector()

    async def renew_connector(self) -> None:
        """Run a new connector in the place of one that has ended."""
        self.connector = Connector(self.connector.settings)
        self.open()
        await self.bridge.wait_in_service(WAIT)

    async def agent_phone(self, extension: str = "1001", stack: Stack = "baresip") -> Phone:
        """Register an agent's phone: it picks up by itself when a call asks for that."""
        phone = await self.phones.phone(extension, stack)
        phone.honour_auto_answer = True
        await self.knows(extension)
        return phone

    async def log_out(self, agent: str = "1001") -> None:
        """Take an agent out of the queues, by the PBX itself: no session is left that could."""
        for queue in self.info.queues:
            command = f"queue remove member PJSIP/{self.info.agents[agent].extension} from {queue}"
            await asyncio.to_thread(self.lab.asterisk_cli, command)

    async def knows(self, extension: str) -> None:
        """Wait until the connector has heard that the phone is there: the news follows the registration."""
        pbx, news = self.connector.pbx, asyncio.Event()
        unsubscribe = pbx.subscribe(lambda _change: news.set())
        try:
            async with asyncio.timeout(WAIT):
                while pbx.available and pbx.model.phone(extension) not in _THERE:
                    news.clear()
                    await news.wait()
        finally:
            unsubscribe()

    async def nobody_left(self) -> None:
        """Wait until the PBX has no leg any more, while the phones would still hold on to theirs.

        Nothing to see where a test has cut the connector off: then the look at the PBX after the test counts.
        """
        exchange = self.connector.pbx._exchange
        if not exchange.available:
            return
        legs = exchange.model.legs.legs
        try:
            # A test may have kept events away: then the PBX is asked.
            with suppress(TimedOut):
                await exchange.until(lambda: not legs, "end of all legs")
            await exchange.until(lambda: not legs, "end of all legs", WAIT)
        except TimedOut:
            left = [leg.number or leg.id for leg in legs.values()]
            raise AssertionError(f"the test is over, but these legs live on: {left}") from None

    async def login(self, agent: str = "1001", *, ready: bool = True) -> Any:
        """Log an agent in at its own phone and go ready."""
        account = self.info.agents[agent]
        session = await self.bridge.login(agent, account.password, extension=account.extension)
        await session.channel.activate()
        if ready:
            await session.channel.ready()
        return session


def _bridge(folder: Path) -> ReferenceBridge:
    return ReferenceBridge(processor="LAB", port=0, dialect=dialect_of(folder))


@asynccontextmanager
async def desk(
    lab: LabProvider,
    info: LabInfo,
    folder: Path,
    over: Mapping[str, Any] | None = None,
    *,
    transport: str = TRANSPORT,
    configure: Callable[[LabInfo, Path, int, Mapping[str, Any]], Settings] = settings_for,
    calls_stay: bool = False,
) -> AsyncIterator[Desk]:
    """Run bridge, connector and phones; the bridge must find no fault, and no leg be left.

    `calls_stay`: the calls are those of another desk, which goes on.
    """
    accounts = {number: account.password for number, account in info.sip.items()}
    fleet = PhoneFleet(info.host, info.ports.sip, accounts)
    async with fleet as phones, _bridge(folder) as bridge:
        names = own_names()
        over = over or {}
        if transport == "amqp":
            bridge.attach(broker_end(info.amqp_url, "LAB", names=names, dialect=dialect_of(folder)))
            over = deep_merge(amqp_settings(info, names), over)
        settings = configure(info, folder, bridge.port, over)
        found = Desk(lab, info, bridge, Connector(settings), phones, names)
        found.open()
        try:
            await bridge.wait_in_service(WAIT)
            yield found
            if not calls_stay:
                await found.nobody_left()
        finally:
            await found.close()


async def seen(at: Desk, kind: Kind, name: str) -> dict[str, object]:
    """Wait for a message (the first of its name counts) and return it as a mapping."""

    def found() -> dict[str, object] | None:
        for entry in at.bridge.log:
            message = entry.message
            if message.kind is kind and message.name == name:
                return {"code": message.code, "text": message.text, **message.body}
        return None

    message = await at.bridge.link.until(found, WAIT, lambda: f"{kind} {name}")
    assert message is not None
    return message


def cause_of(interaction: Interaction) -> Cause:
    """Return why an interaction ended: from its event, or from its data if it was over before its init."""
    return interaction.cause or Cause(interaction.data["CAUSE"])
