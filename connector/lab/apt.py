"""Where this machine gets its Debian packages from, read from its own apt configuration.

No mirror is named in our tree: whatever the host uses (a mirror, a cache, a proxy) serves the laboratory too.
"""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from connector.lab.provider import LabError

_ONE_LINE = re.compile(
    r"^deb\s+(?:\[(?P<options>[^\]]*)\]\s+)?(?P<uri>\S+)\s+(?P<suite>\S+)\s+(?P<components>.+)$"
)
_STANZA_END = re.compile(r"\n\s*\n")
_FETCHABLE = ("http://", "https://", "file:")


class Mirror(NamedTuple):
    """A Debian archive and the keyring that its Release files are checked with (None: debootstrap's own)."""

    uri: str
    keyring: Path | None


class _Source(NamedTuple):
    uris: list[str]
    suites: list[str]
    components: list[str]
    signed_by: str


def find_mirror(etc: Path = Path("/etc/apt")) -> Mirror:
    """Return the host's archive of Debian proper; LabError if its apt configuration names none."""
    for source in _sources(etc):
        if "main" not in source.components or any("-security" in suite for suite in source.suites):
            continue
        for uri in source.uris:
            # Third parties call their component "main" too; only Debian's own archive ends like this.
            if uri.startswith(_FETCHABLE) and uri.rstrip("/").endswith("/debian"):
                return Mirror(uri, _keyring(source.signed_by))
    raise LabError(
        f"No Debian archive is configured in {etc}; the native laboratory needs one: use --provider docker."
    )


def _keyring(signed_by: str) -> Path | None:
    named = Path(signed_by) if signed_by.startswith("/") else None
    standard = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
    return next((file for file in (named, standard) if file is not None and file.is_file()), None)


def _sources(etc: Path) -> Iterator[_Source]:
    folder = etc / "sources.list.d"
    for file in (etc / "sources.list", *sorted(folder.glob("*.list"))):
        if file.is_file():
            yield from _one_line_style(file.read_text("utf-8", "replace"))
    for file in sorted(folder.glob("*.sources")):
        yield from _deb822_style(file.read_text("utf-8", "replace"))


def _one_line_style(text: str) -> Iterator[_Source]:
    for line in text.splitlines():
        match = _ONE_LINE.match(line.partition("#")[0].strip())
        if match:
            options = dict(option.partition("=")[::2] for option in (match["options"] or "").split())
            yield _Source(
                [match["uri"]], [match["suite"]], match["components"].split(), options.get("signed-by", "")
            )


def _deb822_style(text: str) -> Iterator[_Source]:
    bare = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    for stanza in _STANZA_END.split(bare):
        fields: dict[str, list[str]] = {}
        last: list[str] = []
        for line in stanza.splitlines():
            if line[:1] in {" ", "\t"}:
                last.extend(line.split())
            elif ":" in line:
                name, _, value = line.partition(":")
                last = fields.setdefault(name.strip().lower(), [])
                last.extend(value.split())
        if "deb" in fields.get("types", []) and fields.get("enabled", ["yes"])[0] != "no":
            signed_by = fields.get("signed-by", [""])
            yield _Source(
                fields.get("uris", []),
                fields.get("suites", []),
                fields.get("components", []),
                signed_by[0] if signed_by else "",
            )


def install(package: str) -> None:
    """Install a package on the host with apt-get; LabError if that fails. Needs root."""
    for command in (
        ["apt-get", "-o", "Acquire::Check-Valid-Until=false", "update", "-qq"],
        ["apt-get", "install", "-y", "-qq", "--no-install-recommends", package],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        # A stale index of some third party fails the update and doesn't matter if the install succeeds.
        if done.returncode and "install" in command:
            last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
            raise LabError(f"The package {package} can't be installed: {' '.join(last)}")
