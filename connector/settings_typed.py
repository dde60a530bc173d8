"""Located nodes to typed values: checks each one against the schema and words what is wrong."""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from msgspec import inspect

from connector.settings_schema import Secret, Settings
from connector.settings_yaml import ConfigError, Items, Kind, Mapping, Node, Scalar, dotted
from connector.wording import closest, listed

Path = tuple[str, ...]

_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,17})")
_REAL = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
_BOOLEANS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_NAME_LIKE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_ .@-]{0,40}")
_SHOWN = 40
_LINE_ONLY = re.compile(r"[\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\U0010ffff]+")
_SECRET_EXPECTED = "a secret: text on one line"  # noqa: S105 - a wording, not a secret # nosec B105


@dataclass(frozen=True, slots=True)
class Shape:
    """A type of the schema with what its `Meta` says."""

    type: inspect.Type
    description: str = ""
    expected: str = ""
    pattern: str = ""
    unit: str = ""
    example: str = ""

    @property
    def secret(self) -> bool:
        """Whether values must not be shown."""
        return isinstance(self.type, inspect.CustomType) and self.type.cls is Secret


def shape_of(node_type: inspect.Type) -> Shape:
    """Take `Meta` and an optional's `None` off a type."""
    description = ""
    extra: dict[str, str] = {}
    while isinstance(node_type, inspect.Metadata | inspect.UnionType):
        if isinstance(node_type, inspect.Metadata):
            extra = (node_type.extra or {}) | extra
            description = description or (node_type.extra_json_schema or {}).get("description", "")
            node_type = node_type.type
        else:
            node_type = next(one for one in node_type.types if not isinstance(one, inspect.NoneType))
    pattern = node_type.pattern if isinstance(node_type, inspect.StrType) else None
    return Shape(
        node_type,
        description,
        extra.get("expected", ""),
        pattern or extra.get("pattern", ""),
        extra.get("unit", ""),
        extra.get("example", ""),
    )


def root_shape() -> Shape:
    """Return the shape of the whole configuration."""
    return Shape(inspect.type_info(Settings))


def fields_of(shape: Shape) -> dict[str, inspect.Field]:
    """Return the fields of a section by name."""
    if not isinstance(shape.type, inspect.StructType):
        return {}
    return {one.encode_name: one for one in shape.type.fields}


def typed(node: Node, shape: Shape, path: Path = (), *, variables: bool = True) -> Any:
    """Return plain data (dicts, lists, scalars, `Secret`s) that fits the shape.

    `variables` tells whether the environment can set what is missing, so that errors name the variable.

    Raises:
        ConfigError: something doesn't fit; tells the first such key.

    """
    match shape.type:
        case inspect.StructType():
            return _section(node, shape, path, variables=variables)
        case inspect.DictType():
            return _map(node, shape, path, variables=variables)
        case inspect.VarTupleType(item_type=item):
            if not isinstance(node, Items):
                raise _wrong(node, shape, path)
            inner = shape_of(item)
            return [
                typed(one, inner, (*path, str(at)), variables=variables) for at, one in enumerate(node.nodes)
            ]
        case _:
            return _scalar(node, shape, path)


def _section(node: Node, shape: Shape, path: Path, *, variables: bool) -> dict[str, Any]:
    node = _as_mapping(node, shape, path)
    fields = fields_of(shape)
    for key in node.nodes:
        if key not in fields:
            shown = key if _NAME_LIKE.fullmatch(key) else "?"
            raise ConfigError(node.where(key), dotted((*path, shown)), _unknown(key, path, fields))
    values = {}
    for key, field in fields.items():
        inner = shape_of(field.type)
        here = (*path, key)
        found = node.nodes.get(key)
        if found is None and isinstance(inner.type, inspect.StructType) and field.required:
            found = Mapping({}, node.origin)
        if found is None:
            if field.required:
                mend = f"add the key or set {variable_of(here)}" if variables else "add the key"
                raise ConfigError(
                    node.origin, dotted(here), f"expected {expected(inner)}, found nothing; {mend}"
                )
        elif field.required or not (_is_nothing(found) and _may_be_empty(inner, field)):
            values[key] = typed(found, inner, here, variables=variables)
    return values


def _may_be_empty(shape: Shape, field: inspect.Field) -> bool:
    """Return whether a key without a value means the default: sections, maps and what is empty by default."""
    if isinstance(shape.type, inspect.StructType | inspect.DictType | inspect.VarTupleType):
        return True
    return field.default is None or field.default == ""


def _map(node: Node, shape: Shape, path: Path, *, variables: bool) -> dict[str, Any]:
    node = _as_mapping(node, shape, path)
    map_type = shape.type
    if not isinstance(map_type, inspect.DictType):
        raise TypeError(map_type)
    key_shape, value_shape = shape_of(map_type.key_type), shape_of(map_type.value_type)
    values = {}
    for key, value in node.nodes.items():
        if re.fullmatch(key_shape.pattern, key) is None:
            raise ConfigError(
                node.where(key),
                dotted(path),
                f"expected {key_shape.expected} as the key, found {_quoted(key)}",
            )
        values[key] = typed(value, value_shape, (*path, key), variables=variables)
    return values


def _as_mapping(node: Node, shape: Shape, path: Path) -> Mapping:
    if _is_nothing(node):
        return Mapping({}, node.origin)
    if not isinstance(node, Mapping):
        raise _wrong(node, shape, path)
    return node


def _is_nothing(node: Node) -> bool:
    return isinstance(node, Scalar) and (node.kind is Kind.NOTHING or not node.text)


def _scalar(node: Node, shape: Shape, path: Path) -> Any:
    if not isinstance(node, Scalar):
        raise _wrong(node, shape, path)
    value: Any
    match shape.type:
        case inspect.BoolType():
            value = _BOOLEANS.get(node.text.lower()) if node.kind is Kind.BOOLEAN else None
        case inspect.IntType():
            plain = node.kind is Kind.INTEGER and _INTEGER.fullmatch(node.text)
            value = _bounded(int(node.text), shape.type) if plain else None
        case inspect.FloatType():
            # PyYAML takes `1e3` for text and `1:30` for a number: the text decides.
            plain = node.kind in {Kind.INTEGER, Kind.REAL} and _REAL.fullmatch(node.text)
            value = _bounded(float(node.text), shape.type) if plain else None
        case inspect.EnumType(cls=choices):
            value = node.text if node.text in {one.value for one in choices} else None
        case _:
            value = _text(node, shape)
    if value is None:
        raise _wrong(node, shape, path)
    return value


def _text(node: Scalar, shape: Shape) -> str | Secret | None:
    if node.kind not in {Kind.TEXT, Kind.INTEGER, Kind.REAL}:
        return None
    if shape.pattern and re.fullmatch(shape.pattern.removesuffix("$"), node.text) is None:
        return None
    if not shape.secret:
        return node.text
    return Secret(node.text) if _LINE_ONLY.fullmatch(node.text) else None


def _bounded(value: float, bounds: inspect.IntType | inspect.FloatType) -> float | None:
    low = bounds.ge is None or value >= bounds.ge
    high = bounds.le is None or value <= bounds.le
    return value if low and high and math.isfinite(value) else None


def expected(shape: Shape) -> str:
    """Return what a key of that shape takes, in words."""
    if shape.secret:
        return shape.expected or _SECRET_EXPECTED
    match shape.type:
        case inspect.BoolType():
            return "true or false"
        case inspect.IntType(ge=low, le=high):
            return f"a whole number from {low} to {high}"
        case inspect.FloatType(ge=low, le=high):
            return f"a number{f' of {shape.unit}' if shape.unit else ''} from {low:g} to {high:g}"
        case inspect.EnumType(cls=choices):
            return f"one of {listed(one.value for one in choices)}"
        case inspect.VarTupleType():
            return "a list such as [a, b]"
        case inspect.StructType() | inspect.DictType():
            return "a mapping"
        case _:
            return shape.expected or "text"


def variable_of(path: Path) -> str:
    """Return the environment variable that sets a key."""
    return "CONNECTOR_" + "__".join(segment_of(key) for key in path)


def segment_of(key: str) -> str:
    """Return a key as it stands in an environment variable: upper case, `_` for everything else."""
    return re.sub(r"[^A-Z0-9_]", "_", key.upper())


def _unknown(key: str, path: Path, fields: dict[str, inspect.Field]) -> str:
    if key.endswith("_file") and key.removesuffix("_file") in fields:
        variable = variable_of((*path, key))
        return f"unknown key, expected `{key.removesuffix('_file')}`; to read it from a file set {variable}"
    if not _NAME_LIKE.fullmatch(key):
        return "unknown key (not shown, as it may be a piece of a value); put the value before it in quotes"
    if near := closest(key, fields):
        return f"unknown key, did you mean `{near}`?"
    elsewhere = [dotted(one) for one in _known_paths(root_shape()) if one[-1] == key and one[:-1] != path]
    if elsewhere:
        return f"unknown key here, did you mean {' or '.join(f'`{one}`' for one in elsewhere)}?"
    return f"unknown key, expected one of {listed(fields)}"


def _known_paths(shape: Shape, path: Path = ()) -> Iterator[Path]:
    for key, field in fields_of(shape).items():
        yield (*path, key)
        yield from _known_paths(shape_of(field.type), (*path, key))


def _wrong(node: Node, shape: Shape, path: Path) -> ConfigError:
    return ConfigError(
        node.origin,
        dotted(path),
        f"expected {expected(shape)}, found {_found(node, shape)}{_hint(node, shape)}",
    )


def _found(node: Node, shape: Shape) -> str:
    if isinstance(node, Mapping):
        return "a mapping"
    if isinstance(node, Items):
        return "a list"
    if node.kind is Kind.NOTHING:
        return "nothing"
    if node.kind is Kind.OTHER:
        return "a value with a `!tag`"
    if shape.secret:
        return "something else (not shown)" if node.text else "nothing"
    # A single value in the place of a whole section may be anything, a password too.
    if isinstance(shape.type, inspect.StructType | inspect.DictType | inspect.VarTupleType):
        return {Kind.TEXT: "text", Kind.BOOLEAN: "true or false"}.get(node.kind, "a number")
    return _quoted(node.text) if node.kind is Kind.TEXT else node.text[:_SHOWN]


def _quoted(text: str) -> str:
    shown = "".join(char if char.isprintable() else "?" for char in text[:_SHOWN])
    return f'"{shown}{"..." if len(text) > _SHOWN else ""}"'


def _hint(node: Node, shape: Shape) -> str:  # noqa: PLR0911 - one return a kind of mistake
    kind = node.kind if isinstance(node, Scalar) else None
    text = node.text if isinstance(node, Scalar) else ""
    match shape.type:
        case inspect.StructType() if kind is Kind.BOOLEAN and "enabled" in fields_of(shape):
            return "; write `{enabled: true}`"
        case inspect.DictType() if isinstance(node, Items):
            return "; write each entry as `name: {...}`"
        case inspect.VarTupleType() if kind is Kind.TEXT:
            return "; put it in [ ]"
        case inspect.IntType() | inspect.FloatType():
            return _number_hint(text, quoted=kind is Kind.TEXT)
        case inspect.BoolType() if kind is Kind.TEXT and text.lower() in _BOOLEANS:
            return "; write it without quotes"
        case inspect.EnumType(cls=choices):
            near = closest(text, (one.value for one in choices)) if text else ""
            return f"; did you mean `{near}`?" if near else ""
        case inspect.StrType() | inspect.CustomType() if kind is Kind.BOOLEAN:
            return "; put it in quotes if it is meant as text"
    if shape.secret and shape.pattern.startswith(r"^\$argon2"):
        return "; make it with `connector hash-password` and put it in single quotes (compose: $$ for each $)"
    return ""


def _number_hint(text: str, *, quoted: bool) -> str:
    if re.fullmatch("0[0-9]+", text):
        return "; write it without the leading zero"
    if quoted and _REAL.fullmatch(text):
        return "; write it without an exponent" if "e" in text.lower() else "; write it without quotes"
    if quoted and re.fullmatch(r"[0-9.]+ ?(s|sec|seconds)", text):
        return "; write the number without a unit"
    return ""
