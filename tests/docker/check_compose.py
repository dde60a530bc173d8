"""Look at a stack that `docker compose up` has started: healthy, without root, in service.

Usage: `check_compose.py COMPOSE_FILE...`. Exit status 0, or 1 with the first thing that isn't so.
"""

import json
import subprocess
import sys
from typing import Any

_HEALTHY = {"asterisk", "rabbitmq", "bridge", "connector"}
_IN_SERVICE = "cti.serverstatuschanged"


def _docker(*arguments: str) -> str:
    return subprocess.run(["docker", *arguments], capture_output=True, text=True, check=True).stdout


def _services(files: list[str]) -> list[dict[str, Any]]:
    chosen = [part for file in files for part in ("--file", file)]
    lines = _docker("compose", *chosen, "ps", "--all", "--format", "json").splitlines()
    return [json.loads(line) for line in lines]


def _check(files: list[str]) -> str:
    chosen = [part for file in files for part in ("--file", file)]
    services = {each["Service"]: each for each in _services(files)}
    if unhealthy := {name for name in _HEALTHY if services.get(name, {}).get("Health") != "healthy"}:
        return f"not healthy: {', '.join(sorted(unhealthy))}"
    if services.get("setup", {}).get("ExitCode") != 0:
        return "setup didn't end with status 0"
    for name in sorted(_HEALTHY):
        user = _docker(
            "compose", *chosen, "exec", "-T", name, "sh", "-c", "grep ^Uid: /proc/1/status"
        ).split()
        if user[1] == "0":
            return f"{name} runs as root"
    for name in ("bridge", "connector"):
        for folder in ("/", "/app", "/lab", "/opt/connector"):
            tried = ["compose", *chosen, "exec", "-T", name, "sh", "-c", f"test -w {folder} && echo open"]
            if subprocess.run(["docker", *tried], capture_output=True, check=False).stdout:
                return f"{name} can write to {folder}"
    log = _docker("compose", *chosen, "logs", "--no-color", "bridge")
    if not any(_IN_SERVICE in line and "status=in-service" in line for line in log.splitlines()):
        return f"the bridge never heard that the connector is in service:\n{log[-2000:]}"
    return ""


def main() -> None:
    """Check, and say what was found."""
    if problem := _check(sys.argv[1:]):
        sys.exit(f"docker compose: {problem}")
    sys.stdout.write("docker compose: all services healthy, none runs as root, connector in service\n")


if __name__ == "__main__":
    main()
