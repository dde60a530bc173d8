"""Check the dialplan as a PBX gets it: `asterisk-conf/` and its lab folder side by side, by asterisklint.

Exit status 0 if asterisklint has nothing to say, else 1 with its findings.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

TREE = Path(__file__).resolve().parents[1]


def main() -> int:
    """Lay the files out as in /etc/asterisk, where the includes are found, and check them."""
    linter = Path(sys.executable).parent / "asterisklint"
    with tempfile.TemporaryDirectory() as folder:
        for file in (*TREE.glob("asterisk-conf/*.conf"), *TREE.glob("asterisk-conf/lab/*.conf")):
            shutil.copy(file, folder)
        return subprocess.run(
            [str(linter), "dialplan-check", "extensions.conf"], cwd=folder, check=False
        ).returncode


if __name__ == "__main__":
    sys.exit(main())
