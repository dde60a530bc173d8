"""The configuration: defaults, then the file, then the site's file, then the environment; typed and checked.

`docs/configuration.md` tells how the layers work and lists every key.
"""

import os
import re
from collections.abc import Mapping as AbstractMapping
from pathlib import Path

import msgspec
import yaml

from connector.settings_checks import check
from connector.settings_environ import read_environment
from connector.settings_schema import (
    AgentSettings,
    AgentSource,
    AmqpSettings,
    Answer,
    AsteriskSettings,
    BridgeSettings,
    Consult,
    DialSettings,
    DirectorySettings,
    LimitSettings,
    LogFormat,
    LogLevel,
    LogSettings,
    PhoneSettings,
    QueueSettings,
    ReasonSettings,
    Secret,
    Settings,
    SystemUser,
    TlsSettings,
    Transport,
)
from connector.settings_secretless import needs_of, with_examples
from connector.settings_typed import root_shape, typed, variable_of
from connector.settings_yaml import (
    ConfigError,
    Mapping,
    Node,
    Scalar,
    SourceUnavailable,
    find,
    merge,
    parse,
    read_file,
)
from connector.wording import closest, listed

__all__ = [
    "AgentSettings",
    "AgentSource",
    "AmqpSettings",
    "Answer",
    "AsteriskSettings",
    "BridgeSettings",
    "ConfigError",
    "Consult",
    "DialSettings",
    "DirectorySettings",
    "LimitSettings",
    "LogFormat",
    "LogLevel",
    "LogSettings",
    "PhoneSettings",
    "QueueSettings",
    "ReasonSettings",
    "Secret",
    "Settings",
    "SourceUnavailable",
    "SystemUser",
    "TlsSettings",
    "Transport",
    "explain",
    "load_settings",
]

_BUILT_IN = "phones: {default: {}}"
_SITE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


def load_settings(
    path: Path,
    *,
    site: str | None = None,
    environ: AbstractMapping[str, str] = os.environ,
    secrets: bool | frozenset[str] = True,
) -> Settings:
    """Read and check the configuration: `path`, then `sites/<site>.yaml` next to it, then `CONNECTOR_...`.

    Reads files, and those that `CONNECTOR_..._FILE` name; connects to nothing. `secrets` tells which
    are needed: all, none, or those of these sections. Of the others examples stand in for those that
    are missing, and no file that holds one, nor any for TLS, is looked at.

    Raises:
        ConfigError: one line with the file or variable, the key, what was expected and what was found.

    """
    # The built-in layer bears the file's name: what is missing from both is missing from the file.
    needs = needs_of(secrets)
    tree: Node = merge(parse(_BUILT_IN, str(path), lines=False), read_file(path))
    if site is not None:
        tree = merge(tree, read_file(_site_file(path, site)))
    tree = merge(tree, read_environment(environ, tree, needs))
    if isinstance(tree, Mapping):
        tree = with_examples(tree, root_shape(), needs)
    try:
        plain = typed(tree, root_shape())
    except ConfigError as problem:
        raise _of_the_directory(problem, tree) from None
    settings = msgspec.convert(plain, Settings, dec_hook=_keep)
    settings = _with_paths(settings, path.parent)
    check(settings, tree, str(path), needs)
    return settings


def explain(settings: Settings) -> str:
    """Return the whole configuration in force as YAML, secrets hidden."""
    return yaml.safe_dump(settings.redacted(), sort_keys=False, allow_unicode=True, width=100)


def _site_file(path: Path, site: str) -> Path:
    folder = path.parent / "sites"
    file = folder / f"{site}.yaml"
    if _SITE.fullmatch(site) is None or not file.is_file():
        known = sorted(one.stem for one in folder.glob("*.yaml"))
        near = closest(site, known)
        hint = (
            f"did you mean `{near}`?" if near else f"there is {listed(known)}" if known else "there is none"
        )
        raise ConfigError(
            str(folder), "", f'expected the name of a site (NAME of NAME.yaml), found "{site}"; {hint}'
        )
    return file


def _of_the_directory(problem: ConfigError, tree: Node) -> ConfigError:
    """Return the problem; of an agent begun by a variable, with what to do if the directory has that one."""
    source = find(tree, ("directory", "source"))
    kind = source.text if isinstance(source, Scalar) else ""
    if kind in {"", AgentSource.NONE} or not problem.origin.startswith(variable_of(("agents", ""))):
        return problem
    hint = f"if the agent is in the directory ({kind}), unset {problem.origin}: it makes another one"
    return ConfigError(problem.origin, problem.path, f"{problem.problem}; {hint}")


def _keep(wanted: type, value: object) -> object:
    if isinstance(value, wanted):
        return value
    raise TypeError(wanted.__name__)


def _with_paths(settings: Settings, folder: Path) -> Settings:
    """Return the settings with paths that hold from any working directory."""
    replace = msgspec.structs.replace
    bridge, directory = settings.bridge, settings.directory
    return replace(
        settings,
        bridge=replace(
            bridge,
            tls=_absolute(bridge.tls, folder),
            dialect=str(folder.absolute() / bridge.dialect) if bridge.dialect else "",
            record=str(folder.absolute() / bridge.record) if bridge.record else "",
        ),
        amqp=replace(
            settings.amqp,
            tls=_absolute(settings.amqp.tls, folder),
            store=str(folder.absolute() / settings.amqp.store) if settings.amqp.store else "",
        ),
        asterisk=replace(settings.asterisk, tls=_absolute(settings.asterisk.tls, folder)),
        directory=replace(
            directory,
            file=str(folder.absolute() / directory.file),
            url=_database(directory.url, folder),
            tls=_absolute(directory.tls, folder),
        ),
    )


def _database(url: Secret | None, folder: Path) -> Secret | None:
    """Return the URL of the agents' database; an SQLite file has its whole path in it."""
    if not url:
        return None
    text = url.reveal()
    kind, separator, path = text.partition(":///")
    if separator and kind.startswith("sqlite"):
        text = f"{kind}:///{folder.absolute() / path}"
    return Secret(text)


def _absolute(tls: TlsSettings, folder: Path) -> TlsSettings:
    names = ("ca_file", "cert_file", "key_file")
    paths = {name: str(folder.absolute() / getattr(tls, name)) for name in names if getattr(tls, name)}
    return msgspec.structs.replace(tls, **paths)
