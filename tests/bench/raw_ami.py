"""The bare script beside which call handling is measured: a socket, action by action, proof by events.

It knows nothing of the connector, and is a process of its own as that is (`Script`): so what either does with
the events of the other's operations costs the bridge nothing.
"""

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import AsyncIterator
from typing import Any

PATIENCE = 10.0
"""Seconds that a reply or the events of a proof may take."""

QUIET = 0.02
"""Seconds without an event after which an operation counts as over, with all that belongs to it."""

Message = dict[str, str]
Action = list[list[str]]
"""Headers of an action: name and value."""


class Script:
    """The script's process, from outside. It is told by lines of JSON what to do, and answers each by one."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def run(self, actions: list[Action], *proof: Message) -> float:
        """See `RawAmi.run`."""
        return float(await self._ask({"actions": actions, "proof": proof}))

    async def drain(self) -> None:
        """See `RawAmi.drain`."""
        await self._ask({"actions": []})

    async def _ask(self, question: dict[str, Any]) -> Any:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(f"{json.dumps(question)}\n".encode())
        answer = json.loads(await stdout.readline() or '{"error": "the script has ended"}')
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer["took"]


@contextlib.asynccontextmanager
async def script(host: str, port: int, user: str, secret: str) -> AsyncIterator[Script]:
    """Run the script beside the caller, logged in to the manager interface."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, __file__), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    running = Script(process)
    try:
        await running._ask({"host": host, "port": port, "user": user, "secret": secret})
        yield running
    finally:
        if process.stdin is not None:
            process.stdin.close()
        await process.wait()


async def serve() -> None:
    """Log in as the first line of standard input says, then do what each further one says."""
    lines = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    raw = await RawAmi.log_in(**json.loads(await lines.readline()))
    _answer(took=0.0)
    while line := await lines.readline():
        asked = json.loads(line)
        try:
            if asked["actions"]:
                _answer(took=await raw.run(asked["actions"], *asked["proof"]))
            else:
                await raw.drain()
                _answer(took=0.0)
        except (TimeoutError, RuntimeError) as failed:
            _answer(error=str(failed))
    await raw.close()


def _answer(**said: Any) -> None:
    sys.stdout.write(f"{json.dumps(said)}\n")
    sys.stdout.flush()


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


if __name__ == "__main__":
    asyncio.run(serve())
