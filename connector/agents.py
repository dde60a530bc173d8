"""Where agents come from: the configuration, and a YAML file or a table of a database.

All of them pass the same checks as `agents` in the configuration: a source gives located nodes
(`connector.settings_yaml`), which are typed and compared as those of the configuration are.
"""

from collections.abc import Mapping as AbstractMapping
from pathlib import Path
from typing import Final, Protocol

import msgspec

from connector.agents_file import AgentFile
from connector.agents_sql import AgentTable
from connector.settings_checks import check_agents
from connector.settings_schema import AgentSettings, AgentSource, Secret, Settings
from connector.settings_typed import fields_of, root_shape, shape_of, typed, variable_of
from connector.settings_yaml import ConfigError, Mapping, dotted

_KEY: Final = "agents"


class AgentStore(Protocol):
    """A source of agents that can be written to. Its methods block; they raise `ConfigError`."""

    @property
    def name(self) -> str:
        """The file or table, as errors call it."""
        ...

    def read(self) -> Mapping:
        """Return the agents by id, each one a mapping like an entry of `agents`."""
        ...

    def add(self, agent_id: str, fields: AbstractMapping[str, str | int | list[str]]) -> None:
        """Add an agent with keys of `AgentSettings`. Makes the file or table if there is none."""
        ...

    def set_password_hash(self, agent_id: str, password_hash: str) -> None:
        """Give an agent that is there another password."""
        ...


def store_of(settings: Settings) -> AgentStore | None:
    """Return what `directory.source` names."""
    directory = settings.directory
    match directory.source:
        case AgentSource.FILE:
            return AgentFile(directory.file)
        case AgentSource.SQL:
            embedded = f"sqlite:///{Path(directory.file).with_name('agents.db')}"
            url = directory.url.reveal() if directory.url is not None else embedded
            return AgentTable(url, directory.table, directory.tls)
        case AgentSource.NONE:
            return None


def agents_of(settings: Settings) -> dict[str, AgentSettings]:
    """Return all agents by id: those of the configuration, then those of `directory.source`. Blocks.

    Raises:
        ConfigError: the source cannot be read, or something in it is wrong.

    """
    store = store_of(settings)
    if store is None:
        return dict(settings.agents)
    nodes = store.read()
    found = typed_agents(nodes)
    for agent_id in found:
        if agent_id in settings.agents:
            raise ConfigError(
                nodes.where(agent_id),
                dotted((_KEY, agent_id)),
                "the agent is in the configuration too (or in its environment, "
                f"{variable_of((_KEY, agent_id))}__...); take it out of one of them",
            )
    return _together(settings, nodes, found)


def check_addition(settings: Settings, nodes: Mapping, store: AgentStore) -> None:
    """Check agents that are to be added to a source, each by itself and beside those that are there. Blocks.

    Raises:
        ConfigError: something is wrong with the new ones. What is wrong with the others does not count here.

    """
    new = typed_agents(nodes)
    try:
        there = store.read()
        _together(settings, there, typed_agents(there))
    except ConfigError:
        there = Mapping({}, nodes.origin)
    everybody = Mapping({**there.nodes, **nodes.nodes}, nodes.origin)
    _together(settings, everybody, {**typed_agents(there), **new})


def _together(
    settings: Settings, nodes: Mapping, found: dict[str, AgentSettings]
) -> dict[str, AgentSettings]:
    everybody = {**settings.agents, **found}
    tree = Mapping({_KEY: nodes}, nodes.origin)
    check_agents(msgspec.structs.replace(settings, agents=everybody), tree, nodes.origin)
    return everybody


def typed_agents(nodes: Mapping) -> dict[str, AgentSettings]:
    """Return agents that are right, each by itself.

    Raises:
        ConfigError: the first that is not.

    """
    shape = shape_of(fields_of(root_shape())[_KEY].type)
    return msgspec.convert(
        typed(nodes, shape, (_KEY,), variables=False), dict[str, AgentSettings], dec_hook=_keep
    )


def _keep(wanted: type, value: object) -> object:
    if wanted is Secret and isinstance(value, Secret):
        return value
    raise TypeError(wanted.__name__)
