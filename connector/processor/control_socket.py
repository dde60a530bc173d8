"""The door of a running `connector bridge` for `connector send`: a local socket, the owner's only.

One connection is one order: a line of JSON in, lines of JSON out: `{"show": text}`, at the end
`{"ok": bool}` or `{"refused": sentence}`.
"""

import asyncio
import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from connector.processor.sending import CannotSend, Order, send
from connector.processor.server import ReferenceBridge

_LONGEST = 2 * 1024 * 1024
_PATIENCE = 10.0


class ControlError(Exception):
    """The socket cannot be used. One line."""


class ControlSocket:
    """Listens for orders and has a bridge carry them out."""

    def __init__(self, bridge: ReferenceBridge, path: Path) -> None:
        self._bridge = bridge
        self._path = path
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen. Raises ControlError."""
        try:
            _remove_dead(self._path)
            before = os.umask(0o177)
            try:
                self._server = await asyncio.start_unix_server(self._serve, str(self._path), limit=_LONGEST)
            finally:
                os.umask(before)
        except OSError as problem:
            raise ControlError(f"cannot listen at {self._path}: {problem.strerror or problem}") from None

    async def stop(self) -> None:
        """Stop listening and remove the socket."""
        if self._server is not None:
            self._server.close()
            self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        def say(**what: Any) -> None:
            if not writer.is_closing():
                writer.write(msgspec.json.encode(what) + b"\n")

        try:
            async with asyncio.timeout(_PATIENCE):
                line = await reader.readline()
            order = msgspec.json.decode(line, type=Order)
            say(ok=await send(self._bridge, order, lambda text: say(show=text)))
        except (OSError, ValueError):
            # A connection that breaks or waits, a line that is too long, and what msgspec says of no order.
            say(refused="This is no order.")
        except CannotSend as problem:
            say(refused=str(problem))
        finally:
            writer.close()


def _remove_dead(path: Path) -> None:
    """Remove a socket that nobody listens at any more; anything else at the place stays."""
    if not path.exists():
        return
    if not stat.S_ISSOCK(path.stat().st_mode):
        raise OSError(0, "there is something else already")
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
        else:
            raise OSError(0, "another bridge listens there")


async def order_at(path: Path, order: Order, show: Callable[[str], None]) -> bool:
    """Hand an order to the bridge at a socket and show what it shows; return whether it succeeded.

    Raises:
        ControlError: nobody listens there, or it stops in between. CannotSend: nothing was sent.

    """
    try:
        reader, writer = await asyncio.open_unix_connection(str(path), limit=_LONGEST)
    except OSError as problem:
        raise ControlError(f"no bridge listens at {path}: {problem.strerror or problem}") from None
    try:
        writer.write(msgspec.json.encode(order) + b"\n")
        while line := await reader.readline():
            said = msgspec.json.decode(line, type=dict[str, Any])
            if "show" in said:
                show(str(said["show"]))
            elif "refused" in said:
                raise CannotSend(str(said["refused"]))
            else:
                return said.get("ok") is True
    except (OSError, ValueError) as problem:
        raise ControlError(f"the bridge at {path} does not speak our language: {problem}") from None
    finally:
        writer.close()
    raise ControlError(f"the bridge at {path} ended before the answer came")
