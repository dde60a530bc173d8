"""A desk in a terminal that nobody sees."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from textual.widgets import DataTable, Static

if TYPE_CHECKING:
    from textual.pilot import Pilot

    from connector.processor.desk.app import DeskApp

DEADLINE = 20.0


class Screen:
    def __init__(self, app: DeskApp, pilot: Pilot[str]) -> None:
        self.app = app
        self.pilot = pilot

    def line(self, name: str) -> str:
        return str(self.app.screen_stack[0].query_one(f"#{name}", Static).render())

    def table(self, name: str) -> list[list[str]]:
        table = self.app.screen_stack[0].query_one(f"#{name}", DataTable)
        return [[str(cell) for cell in table.get_row_at(row)] for row in range(table.row_count)]

    @property
    def states(self) -> list[str]:
        """The third column of the call list."""
        return [row[2] for row in self.table("calls")]

    async def until(self, ready: Callable[[], object], what: str) -> None:
        """Let the application work until something is so."""
        try:
            async with asyncio.timeout(DEADLINE):
                while not ready():
                    await self.pilot.pause(0.01)
        except TimeoutError:
            shown = f"{self.line('status')!r} {self.table('calls')} {self.line('notice')!r}"
            raise AssertionError(f"never: {what}; the desk shows {shown}") from None

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)

    async def answer(self, question: type, *keys: str) -> None:
        """Wait for a question and answer it."""
        await self.until(lambda: isinstance(self.app.screen, question), question.__name__)
        await self.pilot.press(*keys)
        await self.until(lambda: not isinstance(self.app.screen, question), "the question answered")
