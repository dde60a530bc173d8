"""A PostgreSQL of the tests' own: a new cluster on a loopback port, as a user that is not root."""

import asyncio
import os
import pwd
import secrets
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from connector.lab import apt

WAIT = 60.0
_LIBRARY = Path("/usr/lib/postgresql")


def programs() -> Path:
    """Return the folder of the server's programs; install them if the machine has none."""
    found = _installed()
    if found is None:
        apt.install("postgresql")
        found = _installed()
    assert found is not None, "PostgreSQL could not be installed: apt-get install postgresql"
    return found


def _installed() -> Path | None:
    return next((one.parent for one in sorted(_LIBRARY.glob("*/bin/initdb"), reverse=True)), None)


@asynccontextmanager
async def postgres(folder: Path) -> AsyncIterator[str]:
    """Run a cluster below `folder`, which that user must be able to enter. Yields the URL of a database."""
    binaries, password = await asyncio.to_thread(programs), secrets.token_hex(16)
    user = pwd.getpwnam("postgres" if os.getuid() == 0 else pwd.getpwuid(os.getuid()).pw_name)
    data, pwfile = folder / "data", folder / "password"
    pwfile.write_text(password)
    if os.getuid() == 0:
        for owned in (folder, pwfile):
            os.chown(owned, user.pw_uid, user.pw_gid)
    as_user = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if os.getuid() == 0 else {}
    made = await asyncio.create_subprocess_exec(
        binaries / "initdb",
        *("--pgdata", data, "--username", "connector", "--pwfile", pwfile),
        *("--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C", "--no-sync"),
        stdout=asyncio.subprocess.DEVNULL,
        cwd=folder,
        **as_user,
    )
    assert await made.wait() == 0
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = await asyncio.create_subprocess_exec(
        binaries / "postgres",
        *("-D", data, "-p", str(port), "-h", "127.0.0.1", "-k", "", "-c", "fsync=off"),
        stderr=asyncio.subprocess.PIPE,
        cwd=folder,
        **as_user,
    )
    assert server.stderr is not None
    try:
        async with asyncio.timeout(WAIT):
            async for line in server.stderr:
                if b"database system is ready to accept connections" in line:
                    break
            else:
                raise AssertionError("PostgreSQL ended before it was ready")
        drained = asyncio.create_task(server.stderr.read())
        yield f"postgresql://connector:{password}@127.0.0.1:{port}/postgres"
        server.terminate()
        await drained
    finally:
        if server.returncode is None:
            server.kill()
        await server.wait()
        shutil.rmtree(data, ignore_errors=True)
