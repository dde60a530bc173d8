"""A private Debian with Asterisk and RabbitMQ in the cache folder, built once by debootstrap.

The folder's name carries a hash of the recipe: a changed recipe builds a new root, an unchanged one is used
as it is. A root is built beside its place and renamed into it, so that a half-built one is never used;
afterwards it is never written to (a lab mounts it read-only).
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from connector.lab import apt
from connector.lab.provider import LabError

SUITE: Final = "forky"
PACKAGES: Final = ("asterisk", "rabbitmq-server", "openssl")
HOSTNAME: Final = "harmony-lab"
_HOSTS: Final = f"127.0.0.1 localhost {HOSTNAME}\n"
_RECIPE_VERSION: Final = 2
_TRIM: Final = (
    "var/cache/apt/archives",
    "var/lib/apt/lists",
    "usr/share/doc",
    "usr/share/man",
    "usr/share/locale",
)

Say = Callable[[str], None]


def cache_folder() -> Path:
    """Return our cache folder: `$XDG_CACHE_HOME/harmony-connector`, else `~/.cache/harmony-connector`."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if base.startswith("/") else Path.home() / ".cache") / "harmony-connector"


def recipe() -> str:
    """Return the hash of all that decides what is in a root."""
    text = repr((_RECIPE_VERSION, SUITE, PACKAGES, HOSTNAME, _HOSTS, _TRIM))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


@contextmanager
def locked(path: Path, *, waiting: Callable[[], None] | None = None) -> Iterator[None]:
    """Hold a lock file; the kernel frees it when we die. `waiting` is called once if another holds it.

    The file goes when the lock does, so whoever waited for it makes sure that it still is the file there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        with path.open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if waiting:
                    waiting()
                    waiting = None
                fcntl.flock(file, fcntl.LOCK_EX)
            if not _is_at(path, file.fileno()):
                continue
            try:
                yield
            finally:
                path.unlink(missing_ok=True)
            return


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def ensure(say: Say) -> Path:
    """Return a built root; if there is none yet, build it (a minute or two). LabError if that fails."""
    roots = cache_folder() / "roots"
    root = roots / f"{SUITE}-{recipe()}"
    if root.is_dir():
        return root
    with locked(
        roots / "build.lock", waiting=lambda: say("Another laboratory is building the root: waiting …")
    ):
        if not root.is_dir():
            _build(root, say)
    return root


def _build(root: Path, say: Say) -> None:
    # Leftovers of a build that was killed; we hold the lock, so nobody else's.
    for stale in root.parent.glob("building-*"):
        shutil.rmtree(stale, ignore_errors=True)
    if shutil.which("debootstrap") is None:
        if shutil.which("apt-get") is None:
            raise LabError("The native laboratory needs Debian or Ubuntu. Use --provider docker instead.")
        say("Installing debootstrap …")
        apt.install("debootstrap")
    mirror = apt.find_mirror()
    say(f"Building a private Debian {SUITE} with {', '.join(PACKAGES)} (once, a minute or two) …")
    building = Path(tempfile.mkdtemp(prefix="building-", dir=root.parent))
    try:
        _debootstrap(building, mirror, say)
        _finish(building)
        building.chmod(0o755)
        building.rename(root)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    for old in root.parent.glob(f"{SUITE}-*"):
        if old != root:
            say(f"An older root is not used by this version, you may remove it: {old}")


def _debootstrap(target: Path, mirror: apt.Mirror, say: Say) -> None:
    scripts = [Path("/usr/share/debootstrap/scripts") / name for name in (SUITE, "sid")]
    script = next((path for path in scripts if path.exists()), None)
    if script is None:
        raise LabError("debootstrap has no script for Debian here: update the package debootstrap.")
    # Namespaces of its own: if it is interrupted, what it mounted in the target goes with it, and clearing
    # the target away can't reach into the host's /proc or /sys.
    command = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--"]
    command += ["debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}"]
    if mirror.keyring:
        command.append(f"--keyring={mirror.keyring}")
    command += [SUITE, str(target), mirror.uri, str(script)]
    log = target.parent / "build.log"
    environment = {**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
    with (
        log.open("w") as file,
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
        ) as run,
    ):
        try:
            _show_progress(run.stdout or (), file.write, say)
        except BaseException:
            run.kill()
            raise
    if run.returncode:
        details = target / "debootstrap/debootstrap.log"
        if details.exists():
            shutil.copy(details, log)
        raise LabError(f"debootstrap failed; its log is {log}.")


def _show_progress(lines: Iterable[str], record: Callable[[str], object], say: Say) -> None:
    """Retell debootstrap's hundreds of lines as a few."""
    phases = {
        "I: Retrieving Release": "  reading the archive's index",
        "I: Resolving dependencies": "  resolving dependencies",
        "I: Retrieving adduser": "  fetching packages",
        "I: Installing core packages": "  installing the base system",
        "I: Configuring the base system": "  configuring the base system",
        "I: Configuring asterisk": "  configuring asterisk",
        "I: Configuring rabbitmq": "  configuring rabbitmq-server",
        "I: Base system installed": "  done",
    }
    for line in lines:
        record(line)
        for start in [start for start in phases if line.startswith(start)]:
            say(phases.pop(start))


def _finish(root: Path) -> None:
    """Make names resolve at once: else Asterisk stalls 170 ms a call and RabbitMQ doesn't start."""
    (root / "etc/hosts").write_text(_HOSTS)
    (root / "etc/hostname").write_text(HOSTNAME + "\n")
    # debootstrap copies the host's, which may be a link.
    (root / "etc/resolv.conf").unlink(missing_ok=True)
    (root / "etc/resolv.conf").write_text("options timeout:1 attempts:1\n")
    for folder in _TRIM:
        shutil.rmtree(root / folder, ignore_errors=True)
        (root / folder).mkdir(parents=True)


def say_on_stderr(text: str) -> None:
    """Show progress where it doesn't mix with output that a program reads."""
    print(text, file=sys.stderr, flush=True)
