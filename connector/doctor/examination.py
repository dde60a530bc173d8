"""One manager session with which the doctor asks the PBX: values, actions, and events that prove something.

It needs no more than the connector's own user: AMI Getvar evaluates dialplan functions without a channel.
"""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

from connector.asterisk.link import AmiLink, AmiRefused, AmiSettings
from connector.asterisk.wire import AmiMessage, AmiValueRejected

_PRIVILEGES = re.compile(r"\(Priv: ([a-z,]+)\)$")
PATIENCE = 3.0
"""Seconds that an event may take which follows an action within milliseconds on an idle machine."""


class NoPbx(Exception):
    """There is no session; the text is the link's reason."""


class Examination:
    """A manager session on the PBX under examination."""

    def __init__(self, link: AmiLink, patience: float) -> None:
        self._link = link
        self._patience = patience
        self.events: list[AmiMessage] = []
        self._news = asyncio.Event()
        self._values: dict[str, str] = {}
        self._actions: dict[str, frozenset[str]] | None = None

    def take(self, event: AmiMessage) -> None:
        """Keep an event."""
        self.events.append(event)
        self._news.set()

    async def value(self, variable: str) -> str:
        """Return a global variable or a function's value (AMI Getvar); '' if there is none.

        Asked once: the same question gets the same answer.
        """
        if variable not in self._values:
            reply = await self.act("Getvar", {"Variable": variable})
            self._values[variable] = (reply.get("Value") or "").strip() if reply is not None else ""
        return self._values[variable]

    async def configured(self, file: str, section: str, key: str) -> str:
        """Return a key of a configuration file of the PBX (AST_CONFIG of func_config); '' if it has none."""
        return await self.value(f"AST_CONFIG({file},{section},{key})")

    async def sees_files(self) -> bool:
        """Return whether `configured` works: func_config is loaded (manager.conf must say `enabled`)."""
        return bool(await self.configured("manager.conf", "general", "enabled"))

    async def act(self, action: str, fields: Mapping[str, str] | None = None) -> AmiMessage | None:
        """Send an action; None if it is refused.

        Raises:
            AmiError: the session broke, or there is no answer in time.

        """
        try:
            return await self._link.send(action, fields or {})
        except (AmiRefused, AmiValueRejected):
            return None

    async def actions(self) -> dict[str, frozenset[str]]:
        """Return the actions that this user may send, each with its classes (ListCommands)."""
        if self._actions is None:
            reply = await self.act("ListCommands")
            self._actions = {}
            for name, text in reply or ():
                if (found := _PRIVILEGES.search(text)) is not None:
                    self._actions[name] = frozenset(found[1].split(",")) - {"all"}
                elif "(Priv: <none>)" in text:
                    self._actions[name] = frozenset()
        return self._actions

    async def hear(self, wanted: Callable[[AmiMessage], bool]) -> AmiMessage | None:
        """Wait for an event of this session; None if it doesn't come in time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._patience):
                while True:
                    self._news.clear()
                    if (found := self.heard(wanted)) is not None:
                        return found
                    await self._news.wait()
        return None

    def heard(self, wanted: Callable[[AmiMessage], bool]) -> AmiMessage | None:
        """Return the first such event that has come so far."""
        return next((event for event in self.events if wanted(event)), None)


@asynccontextmanager
async def examination(settings: AmiSettings, patience: float = PATIENCE) -> AsyncIterator[Examination]:
    """Log in for an examination; `patience` is how many seconds events may take.

    Raises:
        NoPbx: no connection or no login.

    """
    failed: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def refuse(reason: str) -> None:
        if not failed.done():
            failed.set_result(reason)

    link = AmiLink(settings, on_event=lambda event: take(event), on_failed=refuse)  # noqa: PLW0108 - made below
    found = Examination(link, patience)
    take = found.take
    running = asyncio.create_task(link.run())
    up = asyncio.create_task(link.wait_up())
    try:
        await asyncio.wait((up, failed), return_when=asyncio.FIRST_COMPLETED)
        if not up.done():
            raise NoPbx(failed.result())
        yield found
    finally:
        up.cancel()
        await link.close()
        await asyncio.gather(running, up, return_exceptions=True)
