# ruff: noqa: INP001 - a script that is copied into an image, not a module of a package
"""Health checks that disturb nobody: they read the kernel's list of sockets and connect to nothing.

`health.py listens PORT`: some process listens on the TCP port. `health.py connected PORT...`: the container's
first process has a connection to each of the ports. Exit status 0 if so, else 1 with a sentence.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

_ESTABLISHED, _LISTEN = "01", "0A"


def _sockets() -> Iterator[tuple[int, int, str, str]]:
    """Local port, remote port, state and inode of each TCP socket (IPv4)."""
    with Path("/proc/net/tcp").open(encoding="ascii") as table:
        next(table)
        for line in table:
            fields = line.split()
            yield int(fields[1].split(":")[1], 16), int(fields[2].split(":")[1], 16), fields[3], fields[9]


def _own_inodes() -> set[str]:
    links = (str(entry.readlink()) for entry in Path("/proc/1/fd").iterdir())
    return {link[8:-1] for link in links if link.startswith("socket:[")}


def main() -> None:
    """Check what the command line says."""
    question, *ports = sys.argv[1:]
    wanted = {int(port) for port in ports}
    if question == "listens":
        found = {local for local, _, state, _ in _sockets() if state == _LISTEN}
    else:
        own = _own_inodes()
        found = {remote for _, remote, state, inode in _sockets() if state == _ESTABLISHED and inode in own}
    if wanted - found:
        sys.exit(f"not {question}: {', '.join(map(str, sorted(wanted - found)))}")


if __name__ == "__main__":
    main()
