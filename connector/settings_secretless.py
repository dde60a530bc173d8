"""A configuration without its secrets, for those who only look: examples stand in for missing ones."""

from collections.abc import Callable

from msgspec import inspect

from connector.settings_typed import Shape, fields_of, shape_of
from connector.settings_yaml import Kind, Mapping, Node, Scalar

Needs = Callable[[str], bool]
"""Whether the secrets of a section, by its name, are needed."""


def needs_of(secrets: bool | frozenset[str]) -> Needs:
    """Return whether a section's secrets are needed: of all, of none, or of the named ones."""
    return lambda section: secrets if isinstance(secrets, bool) else section in secrets


def with_examples(tree: Mapping, shape: Shape, needs: Needs) -> Mapping:
    """Return the configuration with examples for missing secrets, but for sections whose own are needed."""
    nodes = dict(tree.nodes)
    for key, field in fields_of(shape).items():
        inner = shape_of(field.type)
        if not needs(key) and (key in nodes or isinstance(inner.type, inspect.StructType)):
            nodes[key] = _filled(nodes.get(key, Mapping({}, tree.origin)), inner)
    return Mapping(nodes, tree.origin, tree.keys)


def _filled(node: Node, shape: Shape) -> Node:
    """Return the node with the example of each secret that is missing; optional sections stay away."""
    if not isinstance(node, Mapping):
        return node
    if isinstance(shape.type, inspect.DictType):
        entry = shape_of(shape.type.value_type)
        return Mapping({key: _filled(one, entry) for key, one in node.nodes.items()}, node.origin, node.keys)
    if not isinstance(shape.type, inspect.StructType):
        return node
    nodes = dict(node.nodes)
    for key, field in fields_of(shape).items():
        inner = shape_of(field.type)
        if inner.secret and key not in nodes and inner.example:
            nodes[key] = Scalar(inner.example, Kind.TEXT, node.origin)
        elif key in nodes:
            nodes[key] = _filled(nodes[key], inner)
        elif isinstance(inner.type, inspect.StructType) and field.default is not None:
            nodes[key] = _filled(Mapping({}, node.origin), inner)
    return Mapping(nodes, node.origin, node.keys)
