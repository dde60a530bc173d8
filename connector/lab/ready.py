"""A server is ready when it serves us: the manager has us in and is booted, the broker opens our vhost."""

import asyncio
import socket
import threading
import time
from collections.abc import Callable

import aio_pika

from connector.lab.provider import AmiUser, LabError

_PAUSE = 0.02
"""Between two attempts to connect to a port that isn't open yet: there is no event to wait for."""


def asterisk(host: str, port: int, user: AmiUser, *, seconds: float, running: Callable[[], bool]) -> None:
    """Wait until the manager accepts `user` and says FullyBooted; LabError if it doesn't in time."""
    deadline = time.monotonic() + seconds
    with _connect("Asterisk", host, port, deadline, running) as link:
        link.sendall(f"Action: Login\r\nUsername: {user.username}\r\nSecret: {user.secret}\r\n\r\n".encode())
        heard = b""
        while b"Event: FullyBooted\r\n" not in heard:
            if b"Response: Error" in heard:
                raise LabError(f"Asterisk refuses the manager user {user.username}.")
            link.settimeout(max(deadline - time.monotonic(), 0.001))
            try:
                heard += (more := link.recv(65536))
            except OSError as problem:
                raise LabError(f"Asterisk isn't ready after {seconds:.0f} s.") from problem
            if not more:
                raise LabError("Asterisk ended the connection while it started.")


def broker(host: str, port: int, url: str, *, seconds: float, running: Callable[[], bool]) -> None:
    """Wait until the broker opens a connection for `url`'s user and vhost; LabError if it doesn't in time."""
    deadline = time.monotonic() + seconds
    _connect("RabbitMQ", host, port, deadline, running).close()
    problems: list[BaseException] = []

    def attempt() -> None:
        try:
            asyncio.run(_open(url, max(deadline - time.monotonic(), 1)))
        except Exception as problem:  # noqa: BLE001 - carried over to the caller's thread
            problems.append(problem)

    # A thread of its own, because the caller may be inside an event loop.
    thread = threading.Thread(target=attempt)
    thread.start()
    thread.join()
    if problems:
        raise LabError(f"RabbitMQ refuses our user: {problems[0]}.") from problems[0]


async def _open(url: str, seconds: float) -> None:
    connection = await aio_pika.connect(url, timeout=seconds)
    await connection.close()


def _connect(what: str, host: str, port: int, deadline: float, running: Callable[[], bool]) -> socket.socket:
    while True:
        try:
            return socket.create_connection((host, port), timeout=1)
        except OSError as problem:
            if not running():
                raise LabError(f"{what} ended while it started.") from problem
            if time.monotonic() > deadline:
                raise LabError(f"{what} doesn't listen on port {port}.") from problem
            time.sleep(_PAUSE)
