"""Addresses of destinations: the control target and the dotted path of bridge ids below a session."""

from dataclasses import dataclass

_CONTROL = ".CONTROL"


def control_target(processor: str) -> str:
    """Return the target of a processor's control destination."""
    return processor + _CONTROL


def child(target: str, bridge_id: str) -> str:
    """Return the target of a child.

    Raises:
        ValueError: the id is empty or would break the path (dot, blank, control character).

    """
    if not bridge_id or any(each == "." or each.isspace() or not each.isprintable() for each in bridge_id):
        raise ValueError("An id must be a word without dots and blanks.")
    return f"{target}.{bridge_id}"


def parent(target: str) -> str:
    """Return the target one level up; empty for a target without a dot."""
    return target.rpartition(".")[0]


@dataclass(frozen=True, slots=True)
class Path:
    """A target below a session: the session's own target and up to four bridge ids."""

    session: str
    group: str | None = None
    channel: str | None = None
    interaction: str | None = None
    conversation: str | None = None


_LEVELS = 4


def parse(target: str, session: str) -> Path | None:
    """Split a target below a session, whose own target may hold dots; None if it is somewhere else."""
    if target == session:
        return Path(session)
    if not target.startswith(session + "."):
        return None
    ids = target[len(session) + 1 :].split(".")
    if len(ids) > _LEVELS or not all(ids):
        return None
    return Path(session, *ids)
