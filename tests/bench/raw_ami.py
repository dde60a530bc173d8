"""The bare script beside which call handling is measured: a socket, action by action, proof by events.

It knows nothing of the connector.
"""

import asyncio
import contextlib
import time

PATIENCE = 10.0
"""Seconds that a reply or the events of a proof may take."""

QUIET = 0.02
"""Seconds without an event after which an operation counts as over, with all that belongs to it."""

Message = dict[str, str]
Action = list[list[str]]
"""Headers of an action: name and value."""


class RawAmi:
    """One manager session."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._number = 0
        self._events: list[Message] = []

    @classmethod
    async def log_in(cls, host: str, port: int, user: str, secret: str) -> "RawAmi":
        """Connect, with events."""
        raw = cls(*await asyncio.open_connection(host, port))
        await raw._reader.readline()
        await raw._act([["Action", "Login"], ["Username", user], ["Secret", secret], ["Events", "on"]])
        return raw

    async def run(self, actions: list[Action], *proof: Message) -> float:
        """Send the actions, each after the reply to the one before.

        Returns the seconds from the first until every event of the proof (headers that it must have) came.

        Raises:
            TimeoutError: they did not come; names those that are missing.

        """
        await self.drain()
        wanted = list(proof)
        began = time.perf_counter()
        try:
            async with asyncio.timeout(PATIENCE):
                for action in actions:
                    await self._act(action)
                while True:
                    for event in self._events:
                        wanted = [one for one in wanted if not one.items() <= event.items()]
                    if not wanted:
                        return time.perf_counter() - began
                    self._events = [await self._read()]
        except TimeoutError:
            raise TimeoutError(f"no proof of {actions[-1]} within {PATIENCE:g} s: {wanted}") from None

    async def drain(self) -> None:
        """Forget what happened up to now, and wait until nothing more of it is told.

        A leg that is moved as it enters a room may leave the others there without music and its event.
        """
        await self._act([["Action", "Ping"]])
        with contextlib.suppress(TimeoutError):
            while True:
                async with asyncio.timeout(QUIET):
                    await self._read()
        self._events = []

    async def close(self) -> None:
        """Hang up."""
        self._writer.close()
        await self._writer.wait_closed()

    async def _act(self, headers: Action) -> None:
        """Send an action and wait for its reply; events that come before it are kept."""
        self._number += 1
        own = str(self._number)
        text = "".join(f"{name}: {value}\r\n" for name, value in [*headers, ["ActionID", own]])
        self._writer.write(f"{text}\r\n".encode())
        while True:
            message = await self._read()
            if "Event" not in message and message.get("ActionID") == own:
                if message["Response"] != "Success":
                    raise RuntimeError(f"{headers} was refused: {message}")
                return
            self._events.append(message)

    async def _read(self) -> Message:
        text = (await self._reader.readuntil(b"\r\n\r\n")).decode()
        return dict(line.split(": ", 1) for line in text.split("\r\n") if ": " in line)
