"""A dialect in which nothing has its catalogue's name: made from the catalogue, so that it misses nothing."""

from typing import Any

import yaml

from connector.bridge.dialect_file import NAMES
from connector.bridge.messages import CATALOGUE, Body
from connector.bridge.schema import keys_of


def paths_of(shape: type[Body], prefix: str = "") -> list[str]:
    """Return the dotted paths of all keys of a body."""
    found: list[str] = []
    for key, inner in keys_of(shape).items():
        found.append(prefix + key)
        if inner is not None:
            found += paths_of(inner, f"{prefix}{key}.")
    return found


def renamed() -> dict[str, Any]:
    """Return the dialect as plain data: every name, every key, and every second path another time."""
    shapes = {
        (name, part): shape
        for name, spec in CATALOGUE.items()
        for part, shape in (("body", spec.body), ("reply", spec.reply))
        if shape is not None
    }
    keys = {path.rpartition(".")[2] for shape in shapes.values() for path in paths_of(shape)}
    messages: dict[str, dict[str, dict[str, str]]] = {}
    for (name, part), shape in shapes.items():
        if chosen := paths_of(shape)[::2]:
            words = {path: f"own {path[::-1]}" for path in chosen}
            messages.setdefault(name, {})[part] = words
    return {
        "names": {name: f"Site/{name[::-1]}" for name in NAMES},
        "keys": {key: f"{key[::-1]}_" for key in sorted(keys)},
        "messages": messages,
    }


def renamed_yaml() -> str:
    """Return the dialect as the text of a file."""
    return yaml.safe_dump(renamed(), sort_keys=False)
