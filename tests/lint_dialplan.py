"""Check the dialplans as PBXs get them, by asterisklint: the lab's, and that of each worked site.

Exit status 0 if asterisklint has nothing to say, else 1 with its findings.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

TREE = Path(__file__).resolve().parents[1]

NEWER_THAN_THE_LINTER = (
    "function 'CHANNEL_EXISTS' does not exist",
    "app 'ConfKick' does not exist",
    "function 'CONFBRIDGE_CHANNELS' does not exist",
)
"""In Asterisk since 16, the last since 18.12 and 19.4; the linter's lists are older."""


SITE = "[general]\n[globals]\n#include harmony.conf\n#include extensions.harmony-site.conf\n"
"""What a PBX that takes everything from its site has in extensions.conf."""


def main() -> int:
    """Lay the files out as in /etc/asterisk, where the includes are found, and check them."""
    found = _findings(*TREE.glob("asterisk-conf/*.conf"), *TREE.glob("asterisk-conf/lab/*.conf"))
    for site in sorted(TREE.glob("asterisk-conf/sites/*/extensions.harmony-site.conf")):
        files = (*TREE.glob("asterisk-conf/*.conf"), *site.parent.glob("*.conf"))
        found += [f"{site.parent.name}: {line}" for line in _findings(*files, start=SITE)]
    sys.stderr.write("".join(f"{line}\n" for line in found))
    return 1 if found else 0


def _findings(*files: Path, start: str = "") -> list[str]:
    linter = Path(sys.executable).parent / "asterisklint"
    with tempfile.TemporaryDirectory() as folder:
        for file in files:
            shutil.copy(file, folder)
        if start:
            Path(folder, "extensions.conf").write_text(start, "utf-8")
        done = subprocess.run(
            [str(linter), "dialplan-check", "extensions.conf"],
            cwd=folder,
            check=False,
            capture_output=True,
            text=True,
        )
    said = (done.stdout + done.stderr).splitlines()
    found = [line for line in said if not any(known in line for known in NEWER_THAN_THE_LINTER)]
    return found if found or said or not done.returncode else ["asterisklint failed"]


if __name__ == "__main__":
    sys.exit(main())
