"""A configuration that is read again while the connector runs: what counts at once, what after a restart."""

from collections.abc import Iterator
from typing import Final

import msgspec

from connector.config import Settings

FIXED: Final = (
    ("processor",),
    ("bridge",),
    ("amqp",),
    ("asterisk",),
    ("dial", "consult"),
    ("directory", "refresh"),
    ("handling", "hold_limit"),
    ("handling", "wrap_up"),
    ("extensions", "recording"),
    ("monitoring",),
    ("limits", "proof_timeout"),
    ("limits", "member_check"),
    ("limits", "password_free_failures"),
    ("limits", "password_delay_max"),
    ("limits", "password_failures_per_minute"),
)
"""What a running connector keeps: its links, and what is under way by the old rules."""


def takeable(old: Settings, new: Settings) -> tuple[Settings, list[str]]:
    """Return the new settings with everything fixed as it was, and the dotted keys for which that matters."""
    waiting: list[str] = []
    for path in FIXED:
        before, now = _at(old, path), _at(new, path)
        waiting.extend(".".join(key) for key in _differences(path, before, now))
        new = _with(new, path, before)
    return new, waiting


def changed_sections(old: Settings, new: Settings) -> list[str]:
    """Return the top-level keys that differ."""
    return [name for name in Settings.__struct_fields__ if getattr(old, name) != getattr(new, name)]


def _at(section: object, path: tuple[str, ...]) -> object:
    for name in path:
        section = getattr(section, name)
    return section


def _with(settings: Settings, path: tuple[str, ...], value: object) -> Settings:
    if len(path) == 1:
        return msgspec.structs.replace(settings, **{path[0]: value})
    section = getattr(settings, path[0])
    return msgspec.structs.replace(
        settings, **{path[0]: msgspec.structs.replace(section, **{path[1]: value})}
    )


def _differences(path: tuple[str, ...], before: object, now: object) -> Iterator[tuple[str, ...]]:
    """Iterate over the keys that differ; never their values, which may be secret."""
    if before == now:
        return
    if isinstance(before, msgspec.Struct) and type(before) is type(now):
        for name in before.__struct_fields__:
            yield from _differences((*path, name), getattr(before, name), getattr(now, name))
    else:
        yield path
