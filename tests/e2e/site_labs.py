"""Laboratories whose PBX is that of a worked site: its files are rendered, the rest is the lab's."""

import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from desk import deep_merge, dialect_file

from connector.config import Settings, load_settings
from connector.lab.provider import LabInfo, LabProvider, choose_provider, tree_folder
from connector.site.render import render

CONFIG = tree_folder("config") / "connector.yaml"
FILES = Path(__file__).parent / "sites"
BASE = tree_folder("asterisk-conf") / "lab"

DIALPLAN = """\
[general]
static=yes
writeprotect=yes

#include harmony.conf
#include extensions.harmony-site.conf
"""
QUEUES = """\
[general]
persistentmembers = no
autofill = yes

#include queues.harmony.conf
"""


def site_files(site: str, environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """Render a worked site, with a little changed for the laboratory."""
    settings = load_settings(CONFIG, site=site, environ=environ or {}, secrets=False)
    return render(settings, f"connector.yaml and sites/{site}.yaml", tree_folder("asterisk-conf"))


@contextmanager
def running(name: str, overlay: Mapping[str, str]) -> Iterator[tuple[LabProvider, LabInfo]]:
    """Run a laboratory of our own with these files on top."""
    kind = os.environ.get("LAB") or None
    lab = choose_provider(kind, f"e2e-{os.getpid()}-{name}-{secrets.token_hex(2)}", overlay=overlay)
    try:
        yield lab, lab.up(broker=os.environ.get("BRIDGE") == "amqp")
    finally:
        lab.down()


def complaints(info: LabInfo) -> list[str]:
    """Return the warnings and errors in the log of a lab's Asterisk so far."""
    log = Path(info.log_directory, "asterisk/messages").read_text("utf-8")
    return [line for line in log.splitlines() if "WARNING" in line or "ERROR" in line]


def configured(site: str) -> Callable[[LabInfo, Path, int, Mapping[str, Any]], Settings]:
    """Return how a connector of that site is configured: as a user does, by file, site and environment."""

    def configure(info: LabInfo, folder: Path, port: int, over: Mapping[str, Any]) -> Settings:
        plain: dict[str, Any] = {"dial": {"agent_timeout": 4, "timeout": 4}}
        if (dialect := dialect_file(folder)) is not None:
            plain["bridge"] = {"dialect": str(dialect)}
        file = folder / "connector.yaml"
        file.write_text(yaml.safe_dump(deep_merge(plain, over)))
        (folder / "sites").mkdir()
        shutil.copy(CONFIG.parent / "sites" / f"{site}.yaml", folder / "sites")
        environ = {
            "CONNECTOR_PROCESSOR": "LAB",
            "CONNECTOR_ASTERISK__HOST": info.host,
            "CONNECTOR_ASTERISK__PORT": str(info.ports.ami),
            "CONNECTOR_ASTERISK__SECRET": info.ami["harmony"].secret,
            "CONNECTOR_BRIDGE__HOST": info.host,
            "CONNECTOR_BRIDGE__PORT": str(port),
        }
        for agent in ("1001", "1002"):
            environ[f"CONNECTOR_AGENTS__{agent}__PASSWORD_HASH"] = info.agents[agent].password_hash
        return load_settings(file, site=site, environ=environ)

    return configure
