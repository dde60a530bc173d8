"""A small authority of the lab's own, and the certificate of its manager interface."""

from collections.abc import Callable
from pathlib import Path

CA_FILE = "ca.pem"

_SCRIPT = """
set -eu
cd "$1"
umask 077
key() { openssl ecparam -name prime256v1 -genkey -noout -out "$1"; }
key ca.key
openssl req -x509 -new -key ca.key -days 365 -subj "/CN=Harmony laboratory" -out ca.pem \
  -addext "basicConstraints=critical,CA:TRUE" -addext "keyUsage=critical,keyCertSign,cRLSign"
key server.key
openssl req -new -key server.key -subj "/CN=localhost" -out server.csr
printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\\nbasicConstraints=critical,CA:FALSE\\n' > server.ext
openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 365 \
  -extfile server.ext -out server.pem
rm -f ca.key server.csr server.ext ca.srl
"""


def create(run: Callable[[list[str]], object], seen: str, folder: Path) -> None:
    """Make `ca.pem`, `server.pem` and `server.key` in `folder`, unless they are there.

    `run` runs a command where openssl is; `seen` is the folder's path there. The authority's key is
    thrown away.
    """
    if (folder / "server.pem").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    run(["/bin/sh", "-c", _SCRIPT, "certificates", seen])
