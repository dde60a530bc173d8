"""What systemd is told (`Type=notify`, see sd_notify(3)): ready, reloading, stopping, alive."""

import os
import socket
import time
from collections.abc import Mapping
from typing import Final

import structlog

log = structlog.get_logger(__name__)

_MICROSECONDS: Final = 1_000_000
_SIGNS_A_PERIOD: Final = 3
"""Signs of life within the time that the watchdog allows."""


class Systemd:
    """The service manager that started us, if there is one. No method blocks or raises."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self._socket: socket.socket | None = None
        self._status = ""
        self._failed = False
        self.watchdog: float | None = None
        """Seconds between two signs of life; None: no watchdog."""
        address = environ.get("NOTIFY_SOCKET", "")
        # A path, or a name of Linux's abstract namespace, which is written with an @.
        if address[:1] not in {"/", "@"}:
            return
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.setblocking(False)
        self.watchdog = _watchdog(environ)

    def ready(self) -> None:
        """Tell that the start, or a reload, is over."""
        self._tell("READY=1")

    def reloading(self) -> None:
        """Tell that the configuration is being read again; `ready` ends it."""
        self._tell("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self) -> None:
        """Tell that the connector ends."""
        self._tell("STOPPING=1")

    def alive(self) -> None:
        """Give a sign of life."""
        if self.watchdog is not None:
            self._tell("WATCHDOG=1")

    def status(self, text: str) -> None:
        """Show a sentence in `systemctl status`, if it is another one."""
        text = " ".join(text.split())
        if text != self._status:
            self._status = text
            self._tell(f"STATUS={text}")

    def close(self) -> None:
        """Let go of the socket."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _tell(self, *lines: str) -> None:
        if self._socket is None:
            return
        try:
            self._socket.sendto("\n".join(lines).encode(), self._address)
        except BlockingIOError:
            # Its queue is full; what matters is told again.
            return
        except OSError as problem:
            # It may pass, and without signs of life systemd would end us.
            if not self._failed:
                log.warning("systemd cannot be told anything", reason=problem.strerror)
            self._failed = True
        else:
            self._failed = False


def _watchdog(environ: Mapping[str, str]) -> float | None:
    period, process = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", "")
    if not period.isdecimal() or int(period) == 0 or process not in {"", str(os.getpid())}:
        return None
    return int(period) / _MICROSECONDS / _SIGNS_A_PERIOD
