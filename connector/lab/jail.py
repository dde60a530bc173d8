"""Runs programs inside the private root, in namespaces of their own.

Mounts, processes and the host name of a program live in its namespaces: they vanish with it, however it ends,
and nothing of the host's own Asterisk or RabbitMQ can be touched. The root is read-only; what has to be
written (configuration, logs, sockets, data) is bound in from the run folder.
"""

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from connector.lab.debian_root import HOSTNAME
from connector.lab.provider import LabError

WRITABLE: Final = {
    "etc-asterisk": "etc/asterisk",
    "etc-rabbitmq": "etc/rabbitmq",
    "lib-asterisk": "var/lib/asterisk",
    "lib-rabbitmq": "var/lib/rabbitmq",
    "spool-asterisk": "var/spool/asterisk",
    "log": "var/log",
    "run": "run",
}
"""Folders of the run folder, and where they are seen in the root."""

# $1 root, $2 mount point, $3 run folder; then "FOLDER=PLACE" up to "--", then the program.
_SCRIPT: Final = f"""
set -eu
root=$1 mnt=$2 run=$3; shift 3
hostname {HOSTNAME}
mount --bind "$root" "$mnt"
mount -o remount,bind,ro "$mnt"
mount --rbind /dev "$mnt/dev"
mount -t proc proc "$mnt/proc"
mount -t tmpfs -o mode=1777 tmpfs "$mnt/tmp"
while [ "$1" != -- ]; do mount --bind "$run/${{1%%=*}}" "$mnt/${{1#*=}}"; shift; done
shift
cd "$mnt"
exec chroot "$mnt" "$@"
"""

_ENVIRONMENT: Final = {
    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",
    "HOME": "/root",
    "TERM": "dumb",
}


class Jail:
    """A root and a run folder put together."""

    def __init__(self, root: Path, run: Path) -> None:
        self._root = root
        self._run = run

    def prepare(self) -> None:
        """Make the run folder's places; call it before the first program."""
        for folder in (*WRITABLE, "mnt"):
            (self._run / folder).mkdir(parents=True, exist_ok=True)

    def command(self, argv: Sequence[str]) -> list[str]:
        """Return the host's command line that runs `argv` inside."""
        return [
            *("unshare", "--mount", "--uts", "--ipc", "--pid", "--fork", "--kill-child"),
            *("--propagation", "private", "--", "/bin/sh", "-c", _SCRIPT, "lab"),
            *(str(self._root), str(self._run / "mnt"), str(self._run)),
            *(f"{folder}={place}" for folder, place in WRITABLE.items()),
            "--",
            *argv,
        ]

    def run(
        self, argv: Sequence[str], *, seconds: float = 60, environment: Mapping[str, str] | None = None
    ) -> str:
        """Run a program to its end and return what it prints; LabError if it fails or takes too long."""
        try:
            done = subprocess.run(
                self.command(argv),
                capture_output=True,
                stdin=subprocess.DEVNULL,
                text=True,
                errors="replace",
                timeout=seconds,
                check=False,
                env={**_ENVIRONMENT, **(environment or {})},
            )
        except subprocess.TimeoutExpired as problem:
            raise LabError(f"{argv[0]} didn't end within {seconds:.0f} s.") from problem
        if done.returncode:
            lines = (done.stderr.strip() or done.stdout.strip()).splitlines()
            raise LabError(f"{argv[0]} failed in the laboratory: {lines[-1] if lines else done.returncode}")
        return done.stdout

    def start(
        self, argv: Sequence[str], *, output: Path, environment: Mapping[str, str] | None = None
    ) -> int:
        """Start a program that goes on without us, its output in a file; return its process id here."""
        with output.open("ab") as log:
            # A session of its own: Ctrl-C in the terminal is for us, and we end it in order.
            process = subprocess.Popen(
                self.command(argv),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**_ENVIRONMENT, **(environment or {})},
                cwd="/",
            )
        _children[process.pid] = process
        return process.pid


_children: dict[int, "subprocess.Popen[bytes]"] = {}
"""Kept so that a program that ends while we live is reaped (a zombie would look alive)."""


def reap(pid: int) -> None:
    """Collect the exit status of a program that we started, if it has ended."""
    child = _children.get(pid)
    if child is not None and child.poll() is not None:
        del _children[pid]


def missing_privilege() -> str:
    """Return why the native laboratory can't run here, as a sentence; empty if it can."""
    if os.name != "posix" or not Path("/proc/self/ns/mnt").exists():
        return "The native laboratory needs Linux; use --provider docker instead."
    if os.geteuid() != 0:
        return (
            "The native laboratory needs root (it mounts a private Debian); use sudo, or --provider docker."
        )
    if subprocess.run(
        ["unshare", "--mount", "--pid", "--fork", "true"], capture_output=True, check=False
    ).returncode:
        return "The native laboratory may not create namespaces here; use --provider docker instead."
    return ""
