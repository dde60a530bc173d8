"""The agents' YAML file: read like the configuration, and edited in place, so that comments stay."""

import os
import tempfile
from collections.abc import Mapping as AbstractMapping
from contextlib import suppress
from pathlib import Path
from typing import Final

import yaml

from connector.settings_yaml import ConfigError, Kind, Mapping, Scalar, read_file

_KEY: Final = "agents"
_HEAD: Final = (
    "# Agents of the Harmony connector, kept by `connector agents`. Changes count after SIGHUP.\nagents:\n"
)
_PRIVATE: Final = 0o600


class AgentFile:
    """A file with the one key `agents`: agents by id, as in the configuration."""

    def __init__(self, path: str) -> None:
        self._path = Path(path)

    @property
    def name(self) -> str:
        """The file's path."""
        return str(self._path)

    def read(self) -> Mapping:
        """Return the agents by id. Raises ConfigError."""
        if not self._path.exists():
            raise ConfigError(
                self.name, "", "there is no such file; make it by adding an agent: `connector agents add`"
            )
        root = read_file(self._path)
        for key in root.nodes:
            if key != _KEY:
                raise ConfigError(root.where(key), "", f"expected the key `{_KEY}` and no other")
        agents = root.nodes.get(_KEY, Scalar("", Kind.NOTHING, root.origin))
        if isinstance(agents, Scalar) and agents.kind is Kind.NOTHING:
            return Mapping({}, agents.origin)
        if not isinstance(agents, Mapping):
            raise ConfigError(agents.origin, _KEY, "expected agents by id, found something else")
        return agents

    def add(self, agent_id: str, fields: AbstractMapping[str, str | int | list[str]]) -> None:
        """Write an agent at the end of the file. Raises ConfigError."""
        if not self._path.exists():
            self._write(_HEAD + _entry(agent_id, fields, "  "))
            return
        if agent_id in self.read().nodes:
            raise ConfigError(self.name, f"{_KEY}.{agent_id}", "the agent is there already")
        text = self._text()
        agents = _agents_of(text)
        if agents is None:
            # No key yet, or one without a value, which then is the only one.
            kept = "".join(line for line in text.splitlines(keepends=True) if not line.startswith(_KEY))
            changed = f"{_ended(kept)}{_KEY}:\n{_entry(agent_id, fields, '  ')}"
        elif agents.flow_style or not agents.value:
            raise ConfigError(
                self.name, _KEY, "expected one agent a line, found braces; write them as a block"
            )
        else:
            at = text.find("\n", _end_of(agents)) + 1
            head, tail = (text[:at], text[at:]) if at else (_ended(text), "")
            changed = head + _entry(agent_id, fields, " " * agents.start_mark.column) + tail
        self._write(changed)

    def set_password_hash(self, agent_id: str, password_hash: str) -> None:
        """Put another hash in the place of an agent's. Raises ConfigError."""
        if agent_id not in self.read().nodes:
            raise ConfigError(self.name, f"{_KEY}.{agent_id}", "there is no such agent")
        text = self._text()
        agents = _agents_of(text)
        agent = _value(agents, agent_id) if agents is not None else None
        old = _value(agent, "password_hash") if isinstance(agent, yaml.MappingNode) else None
        if not isinstance(old, yaml.ScalarNode):
            raise ConfigError(self.name, f"{_KEY}.{agent_id}", "expected the key `password_hash`, found none")
        start, end = old.start_mark.index, old.end_mark.index
        self._write(f"{text[:start]}'{password_hash}'{text[end:]}")

    def _text(self) -> str:
        return self._path.read_text("utf-8-sig")

    def _write(self, text: str) -> None:
        """Replace the file at once: who reads it meanwhile sees the old one or the new one."""
        mode = self._path.stat().st_mode & 0o777 if self._path.exists() else _PRIVATE
        temporary = ""
        try:
            descriptor, temporary = tempfile.mkstemp(dir=self._path.parent, prefix=f".{self._path.name}.")
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
                os.fchmod(file.fileno(), mode)
            Path(temporary).replace(self._path)
        except OSError as problem:
            if temporary:
                with suppress(OSError):
                    Path(temporary).unlink()
            raise ConfigError(self.name, "", f"cannot be written: {problem.strerror}") from None


def _ended(text: str) -> str:
    return text if not text or text.endswith("\n") else f"{text}\n"


def _entry(agent_id: str, fields: AbstractMapping[str, str | int | list[str]], indent: str) -> str:
    """Return an agent as lines of YAML; texts are quoted, so that none is taken for something else."""
    lines = [f"{indent}{_quoted(agent_id)}:"]
    for key, value in fields.items():
        if isinstance(value, list):
            shown = f"[{', '.join(_quoted(one) for one in value)}]"
        else:
            shown = _quoted(value) if isinstance(value, str) else str(value)
        lines.append(f"{indent}  {key}: {shown}")
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _agents_of(text: str) -> yaml.MappingNode | None:
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    found = _value(root, _KEY) if isinstance(root, yaml.MappingNode) else None
    return found if isinstance(found, yaml.MappingNode) else None


def _value(node: yaml.MappingNode, key: str) -> yaml.Node | None:
    return next((value for name, value in node.value if getattr(name, "value", None) == key), None)


def _end_of(node: yaml.Node) -> int:
    """Return where the last piece of a block ends: its own end is where the next token begins."""
    if isinstance(node, yaml.CollectionNode) and node.value and not node.flow_style:
        last = node.value[-1]
        return _end_of(last[1] if isinstance(last, tuple) else last)
    return int(node.end_mark.index)
