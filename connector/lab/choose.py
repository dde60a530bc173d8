"""Which laboratory: by option, by the environment variable LAB, or by what this machine has."""

import os
import shutil
import subprocess

from connector.lab.provider import LabError, LabProvider

PROVIDERS = ("docker", "native")


def engine_answers() -> bool:
    """Tell whether a Docker engine answers here, with the compose plugin."""
    if shutil.which("docker") is None:
        return False
    for command in (
        ["docker", "version", "--format", "{{.Server.Version}}"],
        ["docker", "compose", "version"],
    ):
        try:
            if subprocess.run(command, capture_output=True, timeout=10, check=False).returncode:
                return False
        except subprocess.TimeoutExpired:
            return False
    return True


def provider(kind: str | None = None, name: str = "default") -> LabProvider:
    """Return the laboratory called `name`; LabError for a kind that doesn't exist.

    `kind` is `native` or `docker`; without it LAB decides, and without that: docker if an engine answers, else native.
    """
    kind = kind or os.environ.get("LAB") or ("docker" if engine_answers() else "native")
    if kind == "native":
        from connector.lab.native import NativeLab

        return NativeLab(name)
    if kind == "docker":
        from connector.lab.docker import DockerLab

        return DockerLab(name)
    raise LabError(f"There is no laboratory of the kind {kind!r}: choose {' or '.join(PROVIDERS)}.")
