"""Whether the locked dependencies have known vulnerabilities, as pip-audit finds out.

Exit status: 0 none known, 1 some are known (each is listed), 2 nobody could be asked, which is told.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
LOCK = ROOT / "requirements.lock"
PATIENCE = 60
SERVICES = ("pypi", "osv")
"""Where pip-audit may ask; the second is asked when the first cannot be."""


def ask(service: str) -> tuple[list[dict[str, Any]] | None, str]:
    """Return what is known of each dependency, or None and the reason why nothing is."""
    command = [
        *(sys.executable, "-m", "pip_audit", "--requirement", str(LOCK), "--require-hashes"),
        *("--disable-pip", "--no-deps", "--format", "json", "--progress-spinner", "off"),
        *("--vulnerability-service", service, "--timeout", "20"),
    ]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        return None, f"no answer within {PATIENCE} s"
    try:
        found: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError, TypeError):
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        return None, lines[-1].strip() if lines else f"pip-audit ended with status {done.returncode}"
    unknown = [one["name"] for one in found if "skip_reason" in one]
    if unknown:
        return None, f"nothing could be learnt of {len(unknown)} of {len(found)} dependencies"
    return found, ""


def main() -> int:
    """Ask, tell, return the exit status."""
    reasons = []
    for service in SERVICES:
        found, reason = ask(service)
        if found is None:
            reasons.append(f"{service}: {reason}")
            continue
        bad = [(one["name"], one["version"], vuln) for one in found for vuln in one["vulns"]]
        for name, version, vuln in bad:
            fixed = ", ".join(vuln["fix_versions"]) or "no version yet"
            print(f"{name} {version}: {vuln['id']} (fixed in {fixed})")  # noqa: T201
        print(f"{len(found)} dependencies, {len(bad)} known vulnerabilities (asked: {service})")  # noqa: T201
        return 1 if bad else 0
    print("The dependencies were NOT audited: data about vulnerabilities could not be had.")  # noqa: T201
    for reason in reasons:
        print(f"  {reason}")  # noqa: T201
    return 2


if __name__ == "__main__":
    sys.exit(main())
