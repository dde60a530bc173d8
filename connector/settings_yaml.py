"""YAML as located nodes: every value knows the file and line (or the variable) that it came from.

Scalars keep the text as written: `0100` stays the extension 0100 and `1001:` is a key like `"1001":`,
whatever YAML would make of them. What a scalar means is decided by the key's type, later.
"""

import re
from dataclasses import dataclass, field
from enum import Enum, auto
from pathlib import Path

import yaml

_TAG = "tag:yaml.org,2002:"
_MERGE = f"{_TAG}merge"
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_LONGEST_FILE = 4 * 1024 * 1024
_DEEPEST = 20
_ALIASES_WORTH = 10
"""Values that a file may have for each of its characters: more are aliases of aliases, and fill memory."""


class ConfigError(Exception):
    """The configuration is wrong. One line: where, which key, what was expected, what was found."""

    def __init__(self, origin: str, path: str, problem: str) -> None:
        parts = (origin, path, problem) if path else (origin, problem)
        super().__init__(_CONTROLS.sub(" ", ": ".join(parts)))
        self.origin = origin
        self.path = path
        self.problem = problem


class SourceUnavailable(ConfigError):
    """What a part of the configuration is read from is not there now; nothing in it needs to be wrong."""


class Kind(Enum):
    """What YAML takes a scalar for."""

    TEXT = auto()
    INTEGER = auto()
    REAL = auto()
    BOOLEAN = auto()
    NOTHING = auto()
    OTHER = auto()


@dataclass(frozen=True, slots=True)
class Scalar:
    """A single value, as written."""

    text: str = field(repr=False)
    kind: Kind
    origin: str


@dataclass(frozen=True, slots=True)
class Items:
    """A list."""

    nodes: tuple["Node", ...]
    origin: str


@dataclass(frozen=True, slots=True)
class Mapping:
    """A mapping; keys are texts. `keys` tells where each key stands."""

    nodes: dict[str, "Node"]
    origin: str
    keys: dict[str, str] = field(default_factory=dict)

    def where(self, key: str) -> str:
        """Return the place of a key."""
        return self.keys.get(key, self.origin)


Node = Scalar | Items | Mapping

_KINDS = {
    f"{_TAG}str": Kind.TEXT,
    f"{_TAG}int": Kind.INTEGER,
    f"{_TAG}float": Kind.REAL,
    f"{_TAG}bool": Kind.BOOLEAN,
    f"{_TAG}null": Kind.NOTHING,
    f"{_TAG}timestamp": Kind.TEXT,
    f"{_TAG}value": Kind.TEXT,
}


def read_file(path: Path) -> Mapping:
    """Read a YAML file that holds a mapping (an empty one counts as an empty mapping).

    Raises:
        ConfigError: it can't be read, isn't UTF-8 or YAML, or has a key twice.

    """
    origin = str(path)
    try:
        with path.open("rb") as stream:
            raw = stream.read(_LONGEST_FILE + 1)
    except OSError as error:
        raise ConfigError(origin, "", f"cannot be read: {error.strerror or type(error).__name__}") from None
    if len(raw) > _LONGEST_FILE:
        raise ConfigError(origin, "", "cannot be read: longer than 4 MiB")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{origin}:{line}", "", "expected UTF-8 text, found other bytes") from None
    node = parse(text, origin)
    if isinstance(node, Scalar) and node.kind is Kind.NOTHING:
        return Mapping({}, origin)
    if not isinstance(node, Mapping):
        raise ConfigError(
            node.origin, "", "expected a mapping such as `processor: NAME`, found something else"
        )
    return Mapping(node.nodes, origin, node.keys)


def parse(text: str, name: str, *, lines: bool = True) -> Node:
    """Parse one YAML document; `name` is told in errors, with the line if `lines`.

    Raises:
        ConfigError: it isn't YAML, or has a key twice. Never quotes more of the text than a character.

    """
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.reader.ReaderError as error:
        where = f"{name}:{text.count(chr(10), 0, error.position) + 1}" if lines else name
        raise ConfigError(where, "", "not YAML: a control character that YAML does not allow") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{name}:{mark.line + 1}:{mark.column + 1}" if lines and mark else name
        raise ConfigError(where, "", f"not YAML: {_problem(error.problem or '')}") from None
    except RecursionError:
        raise ConfigError(name, "", "not YAML: nested too deeply") from None
    if root is None:
        return Scalar("", Kind.NOTHING, name)
    return _Locator(name, _ALIASES_WORTH * (len(text) + 100), lines=lines).node(root, "", 0)


def merge(base: Node, over: Node) -> Node:
    """Lay `over` on `base`: mappings are joined key by key, everything else is replaced.

    A key without a value in `over` leaves a mapping of `base` as it is.
    """
    if isinstance(base, Mapping):
        if isinstance(over, Mapping):
            nodes = dict(base.nodes)
            for key, node in over.nodes.items():
                nodes[key] = merge(nodes[key], node) if key in nodes else node
            return Mapping(nodes, base.origin if base.nodes else over.origin, base.keys | over.keys)
        if isinstance(over, Scalar) and over.kind is Kind.NOTHING:
            return base
    return over


def find(node: Node, path: tuple[str, ...]) -> Node | None:
    """Return the node at a path, if there is one."""
    for key in path:
        if not isinstance(node, Mapping) or key not in node.nodes:
            return None
        node = node.nodes[key]
    return node


def dotted(path: tuple[str, ...]) -> str:
    """Return a path as it is told in errors: `agents.1001.queues`."""
    return ".".join(path)


class _Locator:
    def __init__(self, name: str, most: int, *, lines: bool) -> None:
        self._name = name
        self._left = most
        self._lines = lines

    def node(self, node: yaml.Node, path: str, depth: int) -> Node:
        origin = self._place(node)
        if depth > _DEEPEST:
            raise ConfigError(origin, "", "nested too deeply")
        self._left -= 1
        if self._left < 0:
            raise ConfigError(origin, "", "too many values by aliases of aliases; write them out")
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path, depth, origin)
        if isinstance(node, yaml.SequenceNode):
            return Items(
                tuple(self.node(one, f"{path}.{at}", depth + 1) for at, one in enumerate(node.value)), origin
            )
        return Scalar(node.value, _KINDS.get(node.tag, Kind.OTHER), origin)

    def _mapping(self, node: yaml.MappingNode, path: str, depth: int, origin: str) -> Mapping:
        nodes: dict[str, Node] = {}
        keys: dict[str, str] = {}
        merged: list[Mapping] = []
        for key_node, value_node in node.value:
            place = self._place(key_node)
            if not isinstance(key_node, yaml.ScalarNode):
                raise ConfigError(place, path, "expected a name as the key, found a list or a mapping")
            value = self.node(value_node, f"{path}.{key_node.value}" if path else key_node.value, depth + 1)
            if key_node.tag == _MERGE:
                merged += self._merged(value, path, place)
                continue
            key = key_node.value
            if key in nodes:
                first = keys[key].rpartition(":")[2]
                seen = f" (first in line {first})" if self._lines else ""
                raise ConfigError(place, f"{path}.{key}" if path else key, f"the key is there twice{seen}")
            nodes[key] = value
            keys[key] = place
        for one in merged:
            for key, value in one.nodes.items():
                if key not in nodes:
                    nodes[key] = value
                    keys[key] = one.where(key)
        return Mapping(nodes, origin, keys)

    def _merged(self, value: Node, path: str, place: str) -> list[Mapping]:
        ones = value.nodes if isinstance(value, Items) else (value,)
        found = [one for one in ones if isinstance(one, Mapping)]
        if len(found) != len(ones):
            raise ConfigError(place, path, "expected a mapping after `<<`, such as `*name`")
        return found

    def _place(self, node: yaml.Node) -> str:
        return f"{self._name}:{node.start_mark.line + 1}" if self._lines else self._name


def _problem(text: str) -> str:
    """Return PyYAML's problem without anything quoted from the file, which may be a password."""
    if "character '\\t'" in text:
        return "a tab; indent with blanks"
    if text.startswith("mapping values"):
        return "a `:` where none can be; check the indentation, or put the value in quotes"
    if any(word in text for word in ("alias", "anchor", "tag", "cannot start any token", "directive")):
        return "put a value that starts with * & ! % @ ` in quotes"
    if "but found" in text and "block end" in text:
        return "the indentation does not fit the lines above, or a quote above is not closed"
    if text == "but found another document":
        return "a second document; take the `---` out"
    if "but found" in text and "document start" in text:
        return "more after the end of the value; check quotes and brackets"
    if "end of stream" in text or "flow" in text or "',' or" in text:
        return "a quote or bracket is not closed"
    return re.sub(r"'[^']{2,}'", "...", text) or "cannot be understood"
