"""A configuration without its secrets, for those who only look: examples stand in for missing ones."""

from msgspec import inspect

from connector.settings_typed import Shape, fields_of, shape_of
from connector.settings_yaml import Kind, Mapping, Node, Scalar


def with_examples(node: Node, shape: Shape) -> Node:
    """Return the tree with the example of each secret that is missing; optional sections stay away."""
    if isinstance(shape.type, inspect.DictType):
        if not isinstance(node, Mapping):
            return node
        entry = shape_of(shape.type.value_type)
        return Mapping(
            {key: with_examples(value, entry) for key, value in node.nodes.items()}, node.origin, node.keys
        )
    if not isinstance(shape.type, inspect.StructType) or not isinstance(node, Mapping):
        return node
    nodes = dict(node.nodes)
    for key, field in fields_of(shape).items():
        inner = shape_of(field.type)
        if inner.secret and key not in nodes and inner.example:
            nodes[key] = Scalar(inner.example, Kind.TEXT, node.origin)
        elif key in nodes:
            nodes[key] = with_examples(nodes[key], inner)
        elif isinstance(inner.type, inspect.StructType) and field.default is not None:
            nodes[key] = with_examples(Mapping({}, node.origin), inner)
    return Mapping(nodes, node.origin, node.keys)
