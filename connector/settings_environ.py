"""The environment as a layer: `CONNECTOR_ASTERISK__PORT=5039` is `asterisk.port: 5039`."""

from collections.abc import Iterator
from collections.abc import Mapping as AbstractMapping
from pathlib import Path as FilePath

from msgspec import inspect

from connector.settings_secretless import Needs
from connector.settings_typed import (
    Path,
    Shape,
    expected,
    fields_of,
    root_shape,
    segment_of,
    shape_of,
    variable_of,
)
from connector.settings_yaml import ConfigError, Kind, Mapping, Node, Scalar, dotted, find, merge, parse
from connector.wording import closest

PREFIX = "CONNECTOR_"
OPTIONS = frozenset(
    {"CONNECTOR_CONFIG", "CONNECTOR_SITE", "CONNECTOR_BRIDGE_AMQP", "CONNECTOR_BRIDGE_PASSWORD"}
)
"""Not keys: they stand for options of the command line, `--config` and `--site` and those of `bridge`."""

_LONGEST_SECRET = 64 * 1024


def read_environment(environ: AbstractMapping[str, str], files: Node, needs: Needs) -> Mapping:
    """Return the keys that the environment sets. `files` tells the names of agents, queues and phones.

    Files of secrets that are not needed are not read.

    Raises:
        ConfigError: a `CONNECTOR_...` variable names no key, or its value isn't what the key takes.

    """
    layer: Node = Mapping({}, "environment")
    taken: dict[Path, str] = {}
    names = (name for name in environ if name.startswith(PREFIX) and name not in OPTIONS)
    # Whole sections first, so that single keys win over them.
    for name in sorted(names, key=lambda one: (one.count("__"), one)):
        segments = name.removeprefix(PREFIX).split("__")
        path, shape, from_file = _resolve(name, segments, merge(files, layer))
        if path in taken:
            raise ConfigError(name, dotted(path), f"set twice, by {taken[path]} too; keep one of them")
        taken[path] = name
        if from_file and not needs(path[0]):
            continue
        text = environ[name]
        value = _file(name, path, text) if from_file else _value(name, path, text, shape)
        for key in reversed(path):
            value = Mapping({key: value}, name, {key: name})
        layer = merge(layer, value)
    return layer if isinstance(layer, Mapping) else Mapping({}, "environment")


def _resolve(name: str, segments: list[str], known: Node) -> tuple[Path, Shape, bool]:
    shape = root_shape()
    path: Path = ()
    for at, segment in enumerate(segments):
        last = at == len(segments) - 1
        if isinstance(shape.type, inspect.DictType):
            node = find(known, path)
            keys = list(node.nodes) if isinstance(node, Mapping) else []
            matching = [key for key in keys if segment_of(key) == segment.upper()]
            if len(matching) > 1:
                raise ConfigError(name, dotted(path), f"may mean {' or '.join(matching)}; set it in the file")
            path = (*path, matching[0] if matching else segment.lower())
            shape = shape_of(shape.type.value_type)
            continue
        fields = {segment_of(key): (key, field) for key, field in fields_of(shape).items()}
        secret = fields.get(segment.removesuffix("_FILE"))
        if segment in fields:
            key, field = fields[segment]
            path, shape = (*path, key), shape_of(field.type)
        elif last and secret is not None and shape_of(secret[1].type).secret:
            return (*path, secret[0]), shape_of(secret[1].type), True
        else:
            near = closest(name, set(_variables(root_shape(), (), known)))
            raise ConfigError(name, "", "names no key" + (f", did you mean {near}?" if near else ""))
    return path, shape, False


def _variables(shape: Shape, path: Path, known: Node) -> Iterator[str]:
    if path:
        yield variable_of(path)
    if shape.secret:
        yield f"{variable_of(path)}_FILE"
    if isinstance(shape.type, inspect.DictType):
        node = find(known, path)
        for key in node.nodes if isinstance(node, Mapping) else ():
            yield from _variables(shape_of(shape.type.value_type), (*path, key), known)
    for key, field in fields_of(shape).items():
        yield from _variables(shape_of(field.type), (*path, key), known)


def _value(name: str, path: Path, text: str, shape: Shape) -> Node:
    if shape.secret or isinstance(shape.type, inspect.StrType | inspect.EnumType):
        return Scalar(text, Kind.TEXT, name)
    try:
        return parse(text, name, lines=False)
    except ConfigError as error:
        raise ConfigError(name, dotted(path), f"expected {expected(shape)}; {error.problem}") from None


def _file(name: str, path: Path, text: str) -> Node:
    # The value is not shown: it may be the secret itself, given to the wrong variable.
    try:
        with FilePath(text).open("rb") as stream:
            raw = stream.read(_LONGEST_SECRET + 1)
        content = raw.decode()
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else "") or "not text in UTF-8"
        raise ConfigError(
            name, dotted(path), f"expected the path of a file that can be read: {reason}"
        ) from None
    if len(raw) > _LONGEST_SECRET:
        raise ConfigError(name, dotted(path), "expected the path of a file of at most 64 KiB")
    return Scalar(content.removesuffix("\n").removesuffix("\r"), Kind.TEXT, name)
