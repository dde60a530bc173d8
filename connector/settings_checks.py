"""Checks across keys, after each one is right by itself."""

import ssl
from collections.abc import Iterator
from pathlib import Path

from connector.bridge.dialect_file import load_dialect
from connector.bridge.tcp import NO_PASS_PHRASE
from connector.settings_schema import AgentSource, Answer, Hold, Settings, TlsSettings, Transport
from connector.settings_secretless import Needs
from connector.settings_site_checks import site_problems
from connector.settings_typed import variable_of
from connector.settings_yaml import ConfigError, Mapping, Node, dotted, find
from connector.wording import closest, listed

_Path = tuple[str, ...]


def check(settings: Settings, tree: Node, origin: str, needs: Needs) -> None:
    """Check what keys say of each other. `tree` tells where each key was set, `origin` stands for defaults.

    TLS is checked, with its files, for sections whose secrets are needed.

    Raises:
        ConfigError: the first contradiction, or what is wrong in the file of the dialect.

    """
    for path, problem in _problems(settings):
        if "tls" in path and not needs(path[0]):
            continue
        raise ConfigError(_place(tree, path, origin), dotted(path), problem)
    if settings.bridge.dialect:
        load_dialect(Path(settings.bridge.dialect))


def check_agents(settings: Settings, tree: Node, origin: str) -> None:
    """Check what the agents say of each other and of queues and phones; see `check`.

    Raises:
        ConfigError: the first contradiction.

    """
    for path, problem in _agents(settings):
        raise ConfigError(_place(tree, path, origin), dotted(path), problem)


def _place(tree: Node, path: _Path, origin: str) -> str:
    for length in range(len(path), 0, -1):
        parent = find(tree, path[: length - 1])
        if isinstance(parent, Mapping) and path[length - 1] in parent.nodes:
            return parent.where(path[length - 1])
    return origin


def _problems(settings: Settings) -> Iterator[tuple[_Path, str]]:
    yield from _connections(settings)
    yield from site_problems(settings)
    queue = settings.handling.fallback_queue
    if queue and queue not in settings.queues:
        yield ("handling", "fallback_queue"), _missing("queues", queue, list(settings.queues))
    yield from _notified(settings)
    yield from _queue_numbers(settings)
    if settings.directory.source is AgentSource.NONE:
        # Else they are checked when all are known (`connector.agents`).
        yield from _agents(settings)


def _agents(settings: Settings) -> Iterator[tuple[_Path, str]]:
    yield from _references(settings)
    yield from _names(settings)
    yield from _numbers(settings)


def _connections(settings: Settings) -> Iterator[tuple[_Path, str]]:
    bridge, asterisk = settings.bridge, settings.asterisk
    if bridge.transport is Transport.TCP and not bridge.host:
        path = ("bridge", "host")
        yield (
            path,
            f"expected a host name or an address, found nothing; add the key or set {variable_of(path)}",
        )
    if bridge.transport is Transport.AMQP and not settings.amqp.url:
        path = ("amqp", "url")
        yield path, f"expected a URL, as bridge.transport is amqp, found nothing; set {variable_of(path)}"
    if bridge.dialect and not Path(bridge.dialect).is_file():
        yield ("bridge", "dialect"), f'expected a file, found none at "{bridge.dialect}"'
    for name, section in (("bridge", bridge), ("asterisk", asterisk)):
        if section.reconnect_initial > section.reconnect_max:
            yield (
                (name, "reconnect_initial"),
                _at_most(section.reconnect_initial, f"{name}.reconnect_max", section.reconnect_max),
            )
        yield from _tls(name, section.tls, used=section.tls.enabled)
    yield from _broker(settings)
    directory = settings.directory
    yield from _tls("directory", directory.tls, used=directory.tls.enabled)
    if directory.tls.server_name:
        yield (
            ("directory", "tls", "server_name"),
            "expected nothing: the name that is checked is the host in directory.url",
        )
    if asterisk.ping_timeout > asterisk.ping_interval:
        yield (
            ("asterisk", "ping_timeout"),
            _at_most(asterisk.ping_timeout, "asterisk.ping_interval", asterisk.ping_interval),
        )
    if asterisk.system is not None and asterisk.system.username == asterisk.username:
        yield ("asterisk", "system", "username"), "expected another user than asterisk.username"


def _broker(settings: Settings) -> Iterator[tuple[_Path, str]]:
    amqp = settings.amqp
    secured = amqp.url is not None and amqp.url.reveal().startswith("amqps:")
    yield from _tls("amqp", amqp.tls, used=amqp.tls.enabled or secured)
    if amqp.url and amqp.tls.enabled and not secured:
        yield ("amqp", "url"), "expected a URL that starts with amqps://, as amqp.tls.enabled is true"
    exchanges = (amqp.bridge_exchange, amqp.client_exchange, amqp.dead_exchange)
    if amqp.standby in exchanges:
        yield ("amqp", "standby"), "expected an exchange of its own"
    if len(set(exchanges)) < len(exchanges):
        yield ("amqp", "client_exchange"), "expected three different exchanges"


def _at_most(found: float, other: str, limit: float) -> str:
    return f"expected at most {other} ({limit:g}), found {found:g}"


def _tls(name: str, tls: TlsSettings, *, used: bool) -> Iterator[tuple[_Path, str]]:
    for one, other in (("cert_file", "key_file"), ("key_file", "cert_file")):
        if getattr(tls, one) and not getattr(tls, other):
            yield (name, "tls", one), f"expected {name}.tls.{other} with it, found nothing"
    named = [(key, getattr(tls, key)) for key in ("ca_file", "cert_file", "key_file") if used]
    missing = [(key, path) for key, path in named if path and not Path(path).is_file()]
    for key, path in missing:
        yield (name, "tls", key), f'expected a file, found none at "{path}"'
    if used and not missing:
        yield from ((((name, "tls", key), problem)) for key, problem in _unusable(tls))


def _unusable(tls: TlsSettings) -> Iterator[tuple[str, str]]:
    """Try the files as they will be used: a fault must not wait until a connection is made."""
    try:
        context = ssl.create_default_context(cafile=tls.ca_file or None)
    except OSError as problem:
        yield "ca_file", f'expected certificates in PEM form in "{tls.ca_file}": {_reason(problem)}'
        return
    if not tls.cert_file or not tls.key_file:
        return
    try:
        context.load_cert_chain(tls.cert_file, tls.key_file, password=NO_PASS_PHRASE)
    except OSError as problem:
        yield (
            "cert_file",
            (
                f'expected a certificate in "{tls.cert_file}" and its key, without a pass phrase, in '
                f'"{tls.key_file}", both in PEM form: {_reason(problem)}'
            ),
        )


def _reason(problem: OSError) -> str:
    return getattr(problem, "reason", None) or problem.strerror or str(problem)


def _references(settings: Settings) -> Iterator[tuple[_Path, str]]:
    teams = sorted({agent.team for agent in settings.agents.values() if agent.team})
    for agent_id, agent in settings.agents.items():
        for queue in agent.queues:
            if queue not in settings.queues:
                yield ("agents", agent_id, "queues"), _missing("queues", queue, list(settings.queues))
        for team in agent.supervises:
            if team != "*" and team not in teams:
                path = ("agents", agent_id, "supervises")
                yield path, f'expected the `team` of an agent or "*", found "{team}"; {_known(team, teams)}'
        if agent.phone not in settings.phones:
            yield ("agents", agent_id, "phone"), _missing("phones", agent.phone, list(settings.phones))


def _notified(settings: Settings) -> Iterator[tuple[_Path, str]]:
    for name, phone in settings.phones.items():
        if phone.answer is Answer.NOTIFY_TALK and settings.asterisk.system is None:
            yield ("phones", name, "answer"), "notify-talk needs asterisk.system.username and .secret"
        if phone.hold is Hold.NOTIFY and settings.asterisk.system is None:
            yield ("phones", name, "hold"), "notify needs asterisk.system.username and .secret"


def _missing(section: str, name: str, known: list[str]) -> str:
    return f'expected a key of `{section}`, found "{name}"; {_known(name, known)}'


def _known(name: str, known: list[str]) -> str:
    near = closest(name, known)
    return f"did you mean `{near}`?" if near else f"it has {listed(known)}" if known else "it is empty"


def _names(settings: Settings) -> Iterator[tuple[_Path, str]]:
    taken = {agent_id: agent_id for agent_id in settings.agents}
    for agent_id, agent in settings.agents.items():
        if agent.login and taken.setdefault(agent.login, agent_id) != agent_id:
            yield (
                ("agents", agent_id, "login"),
                f'"{agent.login}" is the id or login of agent {taken[agent.login]} already',
            )


def _queue_numbers(settings: Settings) -> Iterator[tuple[_Path, str]]:
    taken: dict[str, str] = {}
    for name, queue in settings.queues.items():
        if queue.extension:
            other = taken.setdefault(queue.extension, f"queue {name}")
            if other != f"queue {name}":
                yield ("queues", name, "extension"), f'"{queue.extension}" belongs to {other} already'


def _numbers(settings: Settings) -> Iterator[tuple[_Path, str]]:
    taken = {queue.extension: f"queue {name}" for name, queue in settings.queues.items() if queue.extension}
    for agent_id, agent in settings.agents.items():
        other = taken.setdefault(agent.extension, f"agent {agent_id}")
        if other != f"agent {agent_id}":
            yield ("agents", agent_id, "extension"), f'"{agent.extension}" belongs to {other} already'
