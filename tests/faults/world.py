"""The campaign's world: laboratory, bridge, a connector process behind wires that can fail, and phones."""

import asyncio
import json
import random
import signal
import sys
import tempfile
from collections import Counter, deque
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from desk import amqp_settings, deep_merge, own_names
from wires import BridgeWire, Wire

from connector.asterisk.link import AmiLink, AmiSettings
from connector.asterisk.wire import AmiMessage
from connector.lab.configuration import connector_config
from connector.lab.phones.base import Phone
from connector.lab.phones.fleet import PhoneFleet
from connector.lab.provider import LabInfo, LabProvider
from connector.processor.amqp import broker_end
from connector.processor.server import ReferenceBridge

START = 60.0
"""Seconds that anything may take to be there again, on a machine that has other work too."""
PING = 0.5
"""Seconds between two pings to the PBX, and for their answer."""
GRACE = 1.5
ANSWERED_BY_REQUEST = "1004"
"""The agent whose phone obeys NOTIFY talk: calls are picked up at the desktop, too."""
DRAIN = 1.0
"""Seconds for which a connector that is asked to end waits for calls."""


_EVENTS = 20_000
_TELLING = (
    *(
        "Uniqueid",
        "Channel",
        "DestUniqueid",
        "DestChannel",
        "TransfereeUniqueid",
        "BridgeUniqueid",
        "BridgeType",
    ),
    *("BridgeNumChannels", "Context", "Exten", "Priority", "Application", "AppData", "Class", "Conference"),
    *("Variable", "Value", "Result", "DialStatus", "Cause", "Device", "State", "UserEvent", "Status", "Dest"),
    *("SwapUniqueid", "Extension", "IsExternal", "OrigTransfererUniqueid", "SecondTransfererUniqueid"),
)
"""Headers that a report shows."""
_IDLE_TALK = ("RTCP", "ChallengeSent", "SuccessfulAuth", "ContactStatus", "CEL", "Cdr", "NewConnectedLine")


class Rung:
    """Notes which phones the PBX calls, and what else it tells: the newest events, each with its time."""

    def __init__(self) -> None:
        self.times: Counter[str] = Counter()
        self.events: deque[tuple[datetime, AmiMessage]] = deque(maxlen=_EVENTS)

    def notice(self, event: AmiMessage) -> None:
        """Take an event."""
        self.events.append((datetime.now(UTC), event))
        name = event.get("Channel") or ""
        if (
            event.name == "Newchannel"
            and event.get("ChannelStateDesc") == "Down"
            and name.startswith("PJSIP/")
        ):
            self.times[name.removeprefix("PJSIP/").partition("-")[0]] += 1

    def told(self) -> Iterator[str]:
        """Iterate over the events, a line each."""
        for at, event in self.events:
            if not event.name.startswith(_IDLE_TALK):
                shown = [f"{key}={value}" for key in _TELLING if (value := event.get(key))]
                yield f"{at:%H:%M:%S.%f} {event.name} {' '.join(shown)}"


@dataclass
class World:
    """Everything that can fail, and what else there is."""

    lab: LabProvider
    info: LabInfo
    chance: random.Random
    bridge: ReferenceBridge
    phones: PhoneFleet
    pbx_wire: Wire
    bridge_wire: BridgeWire
    observer: AmiLink
    """A manager session of our own, past the wire: the PBX's truth."""
    rung: Rung
    transport: str
    folder: Path
    process: asyncio.subprocess.Process | None = None
    log: Path = field(init=False)
    _seat: int = 0
    """Which of two configurations the connector has: they differ in the file of its store only."""
    _standby: asyncio.subprocess.Process | None = None

    def __post_init__(self) -> None:
        self.log = self.folder / "connector.log"

    @property
    def alive(self) -> asyncio.subprocess.Process:
        """The connector's process."""
        assert self.process is not None
        return self.process

    async def start(self) -> None:
        """Start a connector. It is not waited for."""
        self.process = await self._launch(self._seat)

    async def stand_by(self) -> None:
        """Start a second connector (on a broker), and wait until it stands by."""
        mark = self.log.stat().st_size
        self._standby = await self._launch(1 - self._seat)
        async with asyncio.timeout(START):
            while b"standing by" not in self.log.read_bytes()[mark:]:  # noqa: ASYNC110 - the log is all that tells
                await asyncio.sleep(0.05)

    async def take_over(self, *, kill: bool) -> None:
        """End the connector, suddenly or in order; the one that stands by is it from now on."""
        await (self.kill() if kill else self.terminate(hurry=self.chance.uniform(0, 0.5)))
        self._swap()
        self._standby = None

    async def leader_found(self) -> None:
        """Wait until one of two connectors leads; the other one ends, and may have left the lead in order."""
        async with asyncio.timeout(START):
            while not (leads := [seat for seat in (0, 1) if await self._leads(seat)]):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        if leads != [self._seat]:
            self._swap()
        other, self._standby = self._standby, None
        if other is not None:
            await _kill(other)

    async def _leads(self, seat: int) -> bool:
        try:
            return bool((await self.held(seat))["leads"])
        except (OSError, ValueError):
            return False

    def _swap(self) -> None:
        self.process, self._standby = self._standby, self.process
        self._seat = 1 - self._seat

    async def _launch(self, seat: int) -> asyncio.subprocess.Process:
        self._socket(seat).unlink(missing_ok=True)
        with self.log.open("ab") as log:
            return await asyncio.create_subprocess_exec(
                *(sys.executable, str(Path(__file__).with_name("inspected.py")), str(self._socket(seat))),
                *("run", "--config", str(self.folder / f"connector-{seat}.yaml")),
                stderr=log,
            )

    def _socket(self, seat: int) -> Path:
        return self.folder / f"s{seat}"

    async def kill(self) -> None:
        """End the connector as a crash does."""
        await _kill(self.alive)

    async def kill_all(self) -> None:
        """End the connector, and one that stands by, if it is still there."""
        for process in (self._standby, self.process):
            if process is not None:
                await _kill(process)
        self._standby = None

    async def terminate(self, *, hurry: float | None = None) -> None:
        """End the connector as a service manager does; after `hurry` seconds a second time.

        Raises AssertionError if it does not end, or not in order.
        """
        self.alive.send_signal(signal.SIGTERM)
        if hurry is not None:
            await asyncio.sleep(hurry)
            with suppress(ProcessLookupError):
                self.alive.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(START):
                status = await self.alive.wait()
        except TimeoutError:
            raise AssertionError(f"the connector did not end within {START} s") from None
        assert status == 0, f"the connector ended with status {status}"

    async def held(self, seat: int | None = None) -> dict[str, Any]:
        """Ask the connector, or that of a seat, what it holds."""
        socket = self._socket(self._seat if seat is None else seat)
        reader, writer = await asyncio.open_unix_connection(str(socket))
        try:
            told: dict[str, Any] = json.loads(await reader.read())
        finally:
            writer.close()
        return told

    async def rows(self) -> list[AmiMessage]:
        """Return the PBX's list of channels."""
        return [
            row
            for row in await self.observer.send_list("Status", {"AllVariables": "true"})
            if row.name == "Status"
        ]

    async def phone(self, number: str) -> Phone:
        """Return a registered phone that picks up by itself."""
        by_request = number == ANSWERED_BY_REQUEST
        phone = await self.phones.phone(number, "pjsua2" if by_request else "baresip")
        phone.honour_auto_answer = True
        phone.honour_notify_talk = by_request
        phone.answer_mode = "auto"
        return phone


async def _kill(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGKILL)
    await process.wait()


def _settings(info: LabInfo, port: int, pbx_port: int, more: dict[str, Any]) -> str:
    plain = yaml.safe_load(connector_config(info, bridge_port=port))
    quick = {"reconnect_initial": 0.05, "reconnect_max": 0.3}
    system = info.ami["harmony-system"]
    over: dict[str, Any] = {
        "bridge": quick,
        "asterisk": {
            "system": {"username": system.username, "secret": system.secret},
            "host": "127.0.0.1",
            "port": pbx_port,
            "grace": GRACE,
            "ping_interval": PING,
            "ping_timeout": PING,
            **quick,
        },
        "dial": {"agent_timeout": 4, "timeout": 4},
        "limits": {"drain": DRAIN},
        "phones": {"desk-phone": {"answer": "notify-talk"}},
        "agents": {ANSWERED_BY_REQUEST: {"phone": "desk-phone"}},
        "extensions": {"enabled": True},
        "handling": {"fallback_patience": 5},
    }
    return yaml.safe_dump(deep_merge(deep_merge(plain, over), more))


@asynccontextmanager
async def world(
    lab: LabProvider, info: LabInfo, chance: random.Random, transport: str
) -> AsyncIterator[World]:
    """Run a world; its connector is started, but not waited for."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="faults-")))
        accounts = {number: account.password for number, account in info.sip.items()}
        phones = await stack.enter_async_context(PhoneFleet(info.host, info.ports.sip, accounts))
        bridge = ReferenceBridge(processor="LAB", port=0, strict=False, timeout=15.0)
        await stack.enter_async_context(bridge)
        pbx_wire = await stack.enter_async_context(Wire(info.host, info.ports.ami))
        bridge_wire = await stack.enter_async_context(BridgeWire(bridge.host, bridge.port, chance))
        more: dict[str, Any] = {}
        if transport == "amqp":
            names = own_names()
            bridge.attach(broker_end(info.amqp_url, "LAB", names=names))
            standby = names.client_exchange.replace("client", "state")
            more = deep_merge(amqp_settings(info, names), {"amqp": {"standby": standby}})
        user, rung = info.ami["observer"], Rung()
        observer = AmiLink(
            AmiSettings(
                info.host,
                info.ports.ami,
                user.username,
                user.secret,
                reconnect_initial=0.05,
                reconnect_max=0.2,
                ping_interval=3600.0,
            ),
            on_event=rung.notice,
        )
        found = World(
            lab, info, chance, bridge, phones, pbx_wire, bridge_wire, observer, rung, transport, folder
        )
        watching = asyncio.create_task(observer.run())
        for seat in (0, 1):
            store = {"amqp": {"store": f"state-{seat}.db"}} if transport == "amqp" else {}
            text = _settings(info, bridge_wire.port, pbx_wire.port, deep_merge(more, store))
            (folder / f"connector-{seat}.yaml").write_text(text)
        try:
            await observer.wait_up(START)
            await found.start()
            yield found
        finally:
            await found.kill_all()
            await observer.close()
            await watching
