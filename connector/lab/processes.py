"""Processes of the laboratory: told apart from strangers, stopped in order, awaited without polling."""

import contextlib
import os
import select
import signal
from pathlib import Path

from connector.lab import jail
from connector.lab.provider import LabError
from connector.lab.state import Process

_STARTED_FIELD = 21 - 2
"""Field 22 of /proc/PID/stat, counted after the pid and the name in parentheses."""


def identify(pid: int) -> Process:
    """Return the process with its start time; LabError if it has ended already."""
    started = _started(pid)
    if started is None:
        raise LabError(f"Process {pid} ended at once.")
    return Process(pid, started)


def alive(process: Process) -> bool:
    """Tell whether this very process (not a later one with its number) is running."""
    jail.reap(process.pid)
    return _started(process.pid) == process.started


def _started(pid: int) -> int | None:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in {"Z", "X"} else int(fields[_STARTED_FIELD])


def stop(process: Process, *, seconds: float, program: str, kill: bool = False) -> None:
    """Stop what runs in a jail: SIGTERM to `program` and `seconds` to obey, then SIGKILL to the whole jail.

    `process` is the jail's outer end (unshare), which ends after the last program inside.
    """
    if not alive(process):
        return
    try:
        handle = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return
    try:
        # Between check and handle the number could have changed hands: look again, the handle is fixed.
        if alive(process):
            _stop(process.pid, handle, seconds, "" if kill else program)
    finally:
        os.close(handle)
        jail.reap(process.pid)


def _stop(outer: int, handle: int, seconds: float, program: str) -> None:
    inside = _descendants(outer)
    asked = [pid for pid in inside if program and _name(pid) == program]
    for pid in asked:
        _signal(pid, signal.SIGTERM)
    if asked and _ended(handle, seconds):
        return
    # The first process of the namespace takes all others with it; the outer end goes when they are gone.
    for pid in inside[:1]:
        _signal(pid, signal.SIGKILL)
    if not _ended(handle, 10):
        signal.pidfd_send_signal(handle, signal.SIGKILL)


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _ended(handle: int, seconds: float) -> bool:
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _descendants(pid: int) -> list[int]:
    """Children and their children, nearest first."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (FileNotFoundError, ProcessLookupError):
                continue
            parents.setdefault(parent, []).append(int(entry.name))
    found, front = [], [pid]
    while front:
        front = [child for parent in front for child in parents.get(parent, [])]
        found += front
    return found
