"""Wiring: settings in, a running connector out."""

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path

import structlog
from msgspec.structs import replace

from connector.agents import agents_of
from connector.asterisk.link import AmiSettings, AmiTls
from connector.asterisk.meter import Meter
from connector.asterisk.pbx import AsteriskPbx
from connector.asterisk.settings import (
    AnswerMethod,
    ConsultStrategy,
    DialSettings,
    HandlingSettings,
    HoldMethod,
    PhoneModel,
    RecordingSettings,
    Way,
)
from connector.asterisk.wire import AmiMessage
from connector.bridge.amqp import AmqpTransport
from connector.bridge.amqp_settings import AmqpSettings
from connector.bridge.amqp_succession import Resume
from connector.bridge.amqp_topology import Names
from connector.bridge.dialect import IDENTITY, Dialect
from connector.bridge.dialect_file import load_dialect
from connector.bridge.ledger import Ledger, NoStore
from connector.bridge.ledger_file import StoreError, StoreFile
from connector.bridge.recorder import RecordedTransport
from connector.bridge.tcp import TcpSettings, TcpTransport, TlsClient
from connector.bridge.transport import Transport
from connector.bridge.wirelog import MIB, WireLogError, WireWriter
from connector.config import ConfigError, ReasonSettings, Settings, SourceUnavailable, TlsSettings
from connector.config import Transport as TransportKind
from connector.destinations.control import Control
from connector.destinations.interrupted import judge, proves
from connector.destinations.keeping import Keeper
from connector.destinations.restoring import restore, row_of
from connector.destinations.site import Label, Reason, Site
from connector.destinations.tree import Tree
from connector.directory import AgentDirectory
from connector.memberships import Memberships
from connector.observability import configure_logging
from connector.operations.exposure import exposures
from connector.operations.health import Parts
from connector.operations.metrics import Metrics
from connector.operations.watch import Operations
from connector.operations.wire import MeteredTransport
from connector.reloading import changed_sections, takeable
from connector.site.numbers import writer

log = structlog.get_logger(__name__)


class Connector:
    """One processor's connector: bridge transport, destinations and PBX."""

    def __init__(
        self,
        settings: Settings,
        *,
        load: Callable[[], Settings] | None = None,
        on_event: Callable[[AmiMessage], None] | None = None,
    ) -> None:
        """`load` reads the configuration again; `on_event` sees every event of the PBX before the model does.

        Reads the agents, too. Raises ConfigError.
        """
        self._load = load
        self._reloading = asyncio.Lock()
        self._configured = settings
        self.settings = settings = replace(settings, agents=agents_of(settings))
        self._dial = _dial(settings)
        self.metrics = Metrics()
        self.pbx = _pbx(settings, self._dial, on_event, self.metrics)
        self._ledger = _ledger(settings)
        self.transport = _recorded(_transport(settings, self._ledger, self._resume), settings)
        self.directory = AgentDirectory(settings)
        self._wire = MeteredTransport(self.transport, self.metrics)
        self.tree = Tree(settings.processor, self.pbx, self.directory, self._wire, _site(settings))
        self._control = Control(self.tree)
        parts = Parts(self.pbx, self._wire, self.tree, self._control, self.directory)
        self.operations = Operations(parts, self.metrics, settings.processor)
        self._hurry = asyncio.Event()
        self._leads = asyncio.Event()
        if not (settings.amqp.standby and self._ledger):
            self._leads.set()
        for agent in settings.agents.values():
            self.pbx.watch(agent.extension)

    @property
    def configured(self) -> Settings:
        """The configuration in force, without the agents of `directory.source`."""
        return self._configured

    async def _resume(self, rows: Mapping[str, bytes]) -> None:
        """Go on with the destinations of an earlier process, once the PBX is there or late."""
        if self._ledger is None:
            return
        self._leads.set()
        keeper = Keeper(self._ledger, row_of, judge, proves)
        await self._pbx_there()
        self.tree.keeper = keeper
        restore(self.tree, keeper, rows)

    async def _run_pbx(self) -> None:
        """Work with the PBX, once we lead: two at once would both mind what phones do."""
        await self._leads.wait()
        if self._ledger is not None:
            directory = self.directory
            Memberships(self.pbx, self._ledger, lambda agent: directory.get(agent) is not None).recall()
        await self.pbx.run()

    async def _pbx_there(self) -> None:
        """Wait for the PBX, as long as its absence is kept from the bridge, and it may take to connect."""
        asterisk = self.settings.asterisk
        there = asyncio.Event()
        unsubscribe = self.pbx.subscribe(lambda _change: there.set() if self.pbx.available else None)
        try:
            async with asyncio.timeout(max(asterisk.grace, asterisk.connect_timeout)):
                while not self.pbx.available:
                    there.clear()
                    await there.wait()
        except TimeoutError:
            log.warning("the telephone system is not there yet; going on without it")
        finally:
            unsubscribe()

    async def reload(self) -> None:
        """Read configuration, site and agents again; if something is not right, all stays as it was.

        Sessions that are open go on with what they know of their agent; a new password counts at once. What
        counts only after a restart (`connector.reloading.FIXED`) is told.
        """
        self.operations.systemd.reloading()
        try:
            await self._reload(self._load)
        finally:
            self.operations.systemd.ready()

    async def _reload(self, load: Callable[[], Settings] | None) -> None:
        async with self._reloading:
            try:
                configured = await asyncio.to_thread(load) if load is not None else self._configured
                configured, waiting = takeable(self._configured, configured)
                agents = await asyncio.to_thread(agents_of, configured)
                settings = replace(configured, agents=agents)
                dial = _dial(settings)
            except ConfigError as problem:
                self.metrics.reloaded(good=False)
                log.error(  # noqa: TRY400 - the problem says where and what
                    "configuration and agents not read again; those of before stay", problem=str(problem)
                )
                return
            self.metrics.reloaded(good=True)
            if waiting:
                log.warning("changes that count after a restart only", keys=waiting)
            changed = changed_sections(self.settings, settings)
            self._configured = configured
            if changed:
                self._take(settings, dial)
                log.info("configuration and agents read again", changed=changed, agents=len(agents))
            else:
                # By the timer it is no news; who asked for it wants an answer.
                tell = log.debug if load is None else log.info
                tell("configuration and agents read again: no change")

    def _take(self, settings: Settings, dial: DialSettings) -> None:
        """Work by these settings from now on."""
        before, self.settings = self.settings, settings
        if settings.log != before.log:
            configure_logging(settings.log)
        self._dial.adopt(dial)
        self.tree.site = _site(settings)
        self.directory.replace(settings.agents)
        for agent in settings.agents.values():
            self.pbx.watch(agent.extension)

    async def _refresh(self) -> None:
        while pause := self._configured.directory.refresh:
            await asyncio.sleep(pause)
            await self._reload(None)
        await asyncio.Event().wait()

    async def run(self, stop: asyncio.Event, *, ready: Callable[[], None] | None = None) -> None:
        """Run until `stop` is set; `ready` is called when the tasks are under way. Calls stay up after it.

        Calls that agents have then are waited for, `limits.drain` seconds at most, or until `hurry`.

        Raises:
            Superseded: another connector has taken over; one that is made anew may stand by.

        """
        watched = self.settings.monitoring
        tasks = [
            asyncio.create_task(self._run_pbx(), name="pbx"),
            asyncio.create_task(self._wire.run(self.tree), name="bridge"),
            asyncio.create_task(self._refresh(), name="agents"),
            asyncio.create_task(self.operations.run(watched.host, watched.port), name="operations"),
        ]
        stopping = asyncio.create_task(stop.wait(), name="stop")
        log.info("connector started", processor=self.settings.processor, agents=len(self.settings.agents))
        for exposure in exposures(self.settings):
            log.warning("not protected", what=exposure)
        self.operations.systemd.ready()
        if ready is not None:
            ready()
        try:
            done, _ = await asyncio.wait([*tasks, stopping], return_when=asyncio.FIRST_COMPLETED)
            for task in done - {stopping}:
                task.result()
            self.operations.systemd.stopping()
            await self._drain()
        finally:
            stopping.cancel()
            self._control.stop()
            await self._wire.close()
            self.tree.stop()
            await self.pbx.close()
            await self.directory.close()
            if self._ledger is not None:
                await self._ledger.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, stopping, return_exceptions=True)
            log.info("connector stopped")

    def hurry(self) -> None:
        """Wait for calls no longer."""
        self._hurry.set()

    async def _drain(self) -> None:
        """Take no new sessions, and wait until no agent is on a call."""
        self._control.pause()
        news = asyncio.Event()
        unsubscribe = self.pbx.subscribe(lambda _change: news.set())
        try:
            async with asyncio.timeout(self.settings.limits.drain):
                while self._control.busy and not self._hurry.is_set():
                    news.clear()
                    waits = [asyncio.create_task(each.wait()) for each in (news, self._hurry)]
                    try:
                        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
                    finally:
                        for wait in waits:
                            wait.cancel()
        except TimeoutError:
            log.info("calls are still up; they go on without the connector")
        finally:
            unsubscribe()


def ami_settings(settings: Settings) -> AmiSettings:
    """Return the link's settings for the configured PBX."""
    asterisk = settings.asterisk
    return AmiSettings(
        host=asterisk.host,
        port=asterisk.port,
        username=asterisk.username,
        secret=asterisk.secret.reveal(),
        tls=_ami_tls(asterisk.tls),
        connect_timeout=asterisk.connect_timeout,
        action_timeout=asterisk.action_timeout,
        ping_interval=asterisk.ping_interval,
        ping_timeout=asterisk.ping_timeout,
        reconnect_initial=asterisk.reconnect_initial,
        reconnect_max=asterisk.reconnect_max,
    )


def _ami_tls(tls: TlsSettings) -> AmiTls | None:
    if not tls.enabled:
        return None
    return AmiTls(
        ca_file=tls.ca_file or None,
        verify=tls.verify,
        server_name=tls.server_name or None,
        cert_file=tls.cert_file or None,
        key_file=tls.key_file or None,
    )


def _models(settings: Settings) -> dict[str, PhoneModel]:
    return {
        name: PhoneModel(AnswerMethod(phone.answer), phone.auto_answer_header, HoldMethod(phone.hold))
        for name, phone in settings.phones.items()
    }


def _phones(settings: Settings) -> dict[str, PhoneModel]:
    models = _models(settings)
    return {agent.extension: models[agent.phone] for agent in settings.agents.values()}


def _dial(settings: Settings) -> DialSettings:
    dial, handling = settings.dial, settings.handling
    return DialSettings(
        context=dial.context,
        agent_timeout=dial.agent_timeout,
        timeout=dial.timeout,
        caller_id=dial.caller_id,
        written=writer(settings.numbers),
        permits=dial.permits,
        consult=ConsultStrategy(dial.consult),
        phones=_phones(settings),
        other_phones=_models(settings)["default"],
        handling=HandlingSettings(
            failed_transfer=tuple(Way(way) for way in handling.failed_transfer),
            orphans=tuple(Way(way) for way in handling.orphans),
            queue=handling.fallback_queue,
            patience=handling.fallback_patience,
            hold_limit=handling.hold_limit,
        ),
    )


def _pbx(
    settings: Settings,
    dial: DialSettings,
    on_event: Callable[[AmiMessage], None] | None,
    meter: Meter,
) -> AsteriskPbx:
    system = settings.asterisk.system
    return AsteriskPbx(
        ami_settings(settings),
        dial,
        system=(system.username, system.secret.reveal()) if system is not None else None,
        recording=RecordingSettings(
            settings.extensions.recording.directory,
            settings.extensions.recording.name,
            settings.extensions.recording.format,
        ),
        proof_timeout=settings.limits.proof_timeout,
        grace=settings.asterisk.grace,
        wrap_up=settings.handling.wrap_up,
        member_check=settings.limits.member_check,
        on_event=on_event,
        meter=meter,
    )


def _site(settings: Settings) -> Site:
    return Site(
        _reasons(settings.reasons.not_ready),
        _reasons(settings.reasons.logout),
        extensions=settings.extensions.enabled,
    )


def _reasons(reasons: Mapping[str, ReasonSettings]) -> tuple[Reason, ...]:
    return tuple(
        Reason(
            id=reason_id,
            code=reason.code or reason_id,
            labels=tuple(
                Label(*_language(tag), name=label.name, description=label.description)
                for tag, label in reason.labels.items()
            ),
            selectable=reason.selectable,
        )
        for reason_id, reason in reasons.items()
    )


def _language(tag: str) -> tuple[str, str]:
    language, _, country = tag.partition("-")
    return language, country


def _recorded(transport: Transport, settings: Settings) -> Transport:
    bridge = settings.bridge
    if not bridge.record:
        return transport
    try:
        writer = WireWriter(Path(bridge.record), limit=bridge.record_mib * MIB)
    except WireLogError as problem:
        raise ConfigError("configuration", "bridge.record", str(problem)) from None
    except OSError as problem:
        raise ConfigError(
            "configuration", "bridge.record", f'cannot write "{bridge.record}": {problem.strerror}'
        ) from None
    return RecordedTransport(transport, writer)


def _ledger(settings: Settings) -> Ledger | None:
    """Return what outlives the process. Only by way of a broker does the bridge go on with what it knows."""
    if settings.bridge.transport is not TransportKind.AMQP:
        return None
    if not settings.amqp.store:
        return Ledger(NoStore()) if settings.amqp.standby else None
    try:
        return Ledger(StoreFile(Path(settings.amqp.store), settings.processor))
    except StoreError as problem:
        wrong = SourceUnavailable if problem.may_pass else ConfigError
        raise wrong("configuration", "amqp.store", str(problem)) from None


def _transport(settings: Settings, ledger: Ledger | None, resume: Resume) -> Transport:
    bridge = settings.bridge
    dialect = load_dialect(Path(bridge.dialect)) if bridge.dialect else IDENTITY
    if bridge.transport is TransportKind.AMQP:
        return _amqp_transport(settings, dialect, ledger, resume)
    tls = bridge.tls
    return TcpTransport(
        TcpSettings(
            host=bridge.host,
            port=bridge.port,
            tls=tls_client(tls) if tls.enabled else None,
            max_frame=bridge.max_frame_bytes,
            send_queue=bridge.send_queue,
            connect_timeout=bridge.connect_timeout,
            reconnect_initial=bridge.reconnect_initial,
            reconnect_max=bridge.reconnect_max,
        ),
        dialect,
    )


def _amqp_transport(
    settings: Settings, dialect: Dialect, ledger: Ledger | None, resume: Resume
) -> AmqpTransport:
    amqp, bridge = settings.amqp, settings.bridge
    url = amqp.url.reveal() if amqp.url is not None else ""
    try:
        return AmqpTransport(
            AmqpSettings(
                url=url,
                names=broker_names(settings),
                tls=tls_client(amqp.tls) if url.startswith("amqps:") else None,
                declare=amqp.declare,
                standby=amqp.standby,
                prefetch=amqp.prefetch,
                unconfirmed=amqp.unconfirmed,
                send_queue=bridge.send_queue,
                max_body=bridge.max_frame_bytes,
                heartbeat=amqp.heartbeat,
                connect_timeout=bridge.connect_timeout,
                reconnect_initial=bridge.reconnect_initial,
                reconnect_max=bridge.reconnect_max,
            ),
            dialect,
            ledger=ledger,
            resume=resume,
        )
    except ValueError:
        # What is wrong with it is not told: it would quote the password.
        raise ConfigError(
            "configuration", "amqp.url", "expected a URL such as amqps://USER:PASSWORD@HOST/VHOST"
        ) from None


def broker_names(settings: Settings) -> Names:
    """Return what exchanges and queues are called on the message broker (`amqp` of the settings)."""
    amqp = settings.amqp
    return Names(
        processor=settings.processor,
        bridge_exchange=amqp.bridge_exchange,
        client_exchange=amqp.client_exchange,
        dead_exchange=amqp.dead_exchange,
        client_queue=amqp.queue,
        dead_queue=amqp.dead_queue,
    )


def tls_client(tls: TlsSettings) -> TlsClient:
    """Return how the way to the bridge or the broker is encrypted."""
    return TlsClient(tls.ca_file, tls.verify, tls.server_name, tls.cert_file, tls.key_file)
