"""Check the dialplan as a PBX gets it: `asterisk-conf/` and its lab folder side by side, by asterisklint.

Exit status 0 if asterisklint has nothing to say, else 1 with its findings.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

TREE = Path(__file__).resolve().parents[1]

NEWER_THAN_THE_LINTER = ("function 'CHANNEL_EXISTS' does not exist", "app 'ConfKick' does not exist")
"""In Asterisk since 16; the linter's lists are older."""


def main() -> int:
    """Lay the files out as in /etc/asterisk, where the includes are found, and check them."""
    linter = Path(sys.executable).parent / "asterisklint"
    with tempfile.TemporaryDirectory() as folder:
        for file in (*TREE.glob("asterisk-conf/*.conf"), *TREE.glob("asterisk-conf/lab/*.conf")):
            shutil.copy(file, folder)
        done = subprocess.run(
            [str(linter), "dialplan-check", "extensions.conf"],
            cwd=folder,
            check=False,
            capture_output=True,
            text=True,
        )
    said = (done.stdout + done.stderr).splitlines()
    found = [line for line in said if not any(known in line for known in NEWER_THAN_THE_LINTER)]
    if found or (done.returncode and not said):
        sys.stderr.write("\n".join(found or ["asterisklint failed"]) + "\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
