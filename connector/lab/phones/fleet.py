"""All phones of a test or a demo; whatever happens, calls are ended, accounts unregistered, stacks closed."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Literal, Protocol, Self

from connector.lab.phones.base import PhoneError, SipAccount
from connector.lab.phones.ear import Pulse

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from connector.lab.phones.base import Phone

_log = logging.getLogger(__name__)

Stack = Literal["baresip", "pjsua2"]


class _Engine(Protocol):
    async def start(self) -> None: ...
    async def phone(self, account: SipAccount) -> Phone: ...
    async def close(self) -> None: ...


class PhoneFleet:
    """Softphones at one PBX; `async with`, because native stacks must be closed.

    `host` and `port` are the PBX's SIP address over UDP, `accounts` maps extension to password. One fleet at
    a time in a process: each SIP stack exists once in it. A stack starts with the first phone that uses it.
    """

    def __init__(self, host: str, port: int, accounts: Mapping[str, str]) -> None:
        self.pulse = Pulse()
        self._accounts = {
            extension: SipAccount(extension, host, port, password) for extension, password in accounts.items()
        }
        self._engines: dict[Stack, _Engine] = {}
        self._phones: dict[str, Phone] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def phones(self) -> tuple[Phone, ...]:
        """All phones made so far, in that order."""
        return tuple(self._phones.values())

    async def phone(self, extension: str, stack: Stack = "baresip") -> Phone:
        """Make the phone of `extension` and register it; the same phone when it is asked for again.

        `PhoneError` when there is no such account, its stack differs from before, or the PBX refuses it.
        """
        known = self._phones.get(extension)
        if known is not None:
            if known.stack != stack:
                raise PhoneError(f"phone {extension} already runs on {known.stack}")
            return known
        if extension not in self._accounts:
            raise PhoneError(f"phone {extension}: the PBX has no such account")
        phone = await (await self._engine(stack)).phone(self._accounts[extension])
        self._phones[extension] = phone
        await phone.register()
        return phone

    def place(self, account: SipAccount) -> None:
        """Say that the phone of an extension, not made yet, is at another PBX."""
        self._accounts[account.extension] = account

    async def close(self) -> None:
        """End every call, unregister every phone and close the stacks, each whatever became of the others."""
        try:
            results = await asyncio.gather(*(phone.close() for phone in self.phones), return_exceptions=True)
            for phone, result in zip(self.phones, results, strict=True):
                if isinstance(result, BaseException):
                    _log.warning("phone %s did not close: %s", phone.extension, str(result))
        finally:
            self._phones.clear()
            for stack in tuple(self._engines):
                await self._close_engine(stack)

    async def _close_engine(self, stack: Stack) -> None:
        try:
            await self._engines.pop(stack).close()
        except Exception:  # noqa: BLE001  (the other stack must be closed whatever this one does)
            _log.exception("%s did not close", stack)

    async def _engine(self, stack: Stack) -> _Engine:
        if stack not in self._engines:
            engine: _Engine
            # Only the stack that is asked for is loaded: each is a native library with threads of its own.
            if stack == "baresip":
                from connector.lab.phones.baresip_phone import BaresipEngine

                engine = BaresipEngine(self.pulse)
            else:
                from connector.lab.phones.pjsua_phone import PjsuaEngine

                engine = PjsuaEngine(self.pulse)
            await engine.start()
            self._engines[stack] = engine
        return self._engines[stack]
