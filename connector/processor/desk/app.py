"""The desk: an agent's state, calls and team in a terminal, and a key for every operation."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import ClassVar

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal
from textual.css.query import NoMatches
from textual.widgets import DataTable, Footer, Static

from connector.processor.desk import work
from connector.processor.desk.rows import (
    CallRow,
    Since,
    call_rows,
    reason_label,
    shown,
    status_line,
    team_rows,
)
from connector.processor.desk.screens import Ask, Choose, Confirm
from connector.processor.desk.shift import Shift
from connector.processor.desktop_client import DesktopGone, DesktopRefused, DesktopSession, SessionExists
from connector.processor.desktop_model import SessionView
from connector.processor.desktop_pool import NoService
from connector.processor.service.wire import Code

_OVER = {
    "LOGOUT": "Logged out.",
    "OVERRIDDEN": "This agent has logged in at another desktop.",
    "DISPOSED": "The session was given up.",
}
"""Causes after which the shift is over; after others the service comes back."""

_AGAIN = 1.0
"""Seconds between attempts to reach the service."""

_PATIENCE = 10
"""Attempts to reach the service that has the session, before another one of the pool is taken."""

_TROUBLE = (DesktopGone, DesktopRefused, NoService, TimeoutError)

Verb = Callable[[DesktopSession, work.Selection], Awaitable[None]]
NumberVerb = Callable[[DesktopSession, work.Selection, str], Awaitable[None]]


class DeskApp(App[str]):
    """Works one shift; what it returns is the sentence with which it ended."""

    TITLE = "Agent desk"
    CSS = """
    #status { height: 1; background: $primary; color: $text; padding: 0 1; }
    #calls { width: 2fr; height: 1fr; }
    #team { width: 1fr; height: 1fr; border-left: solid $primary; }
    #notice { height: 1; padding: 0 1; color: $warning; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        ("r", "ready", "Ready"),
        ("n", "not_ready", "Not ready"),
        ("a", "answer", "Answer"),
        ("j", "reject", "Reject"),
        ("d", "dial", "Dial"),
        ("h", "hold", "Hold"),
        ("c", "consult", "Consult"),
        ("x", "alternate", "Alternate"),
        ("t", "transfer", "Transfer"),
        ("f", "conference", "Conference"),
        ("k", "release", "Hang up"),
        ("w", "complete", "Wrapped up"),
        ("m", "mute", "Mute"),
        ("v", "record", "Record"),
        ("p", "tones", "Tones"),
        ("l", "logout", "Log out"),
        ("q", "leave", "Leave"),
    ]
    ENABLE_COMMAND_PALETTE = False

    def __init__(self, shift: Shift) -> None:
        super().__init__()
        self.shift = shift
        self.began = False
        self._since = Since()
        self._rows: list[CallRow] = []

    def compose(self) -> ComposeResult:
        """Show state, calls and team."""
        yield Static(id="status", markup=False)
        with Horizontal():
            yield DataTable(id="calls", cursor_type="row")
            yield DataTable(id="team", show_cursor=False)
        yield Static(id="notice", markup=False)
        yield Footer()

    def on_mount(self) -> None:
        """Begin the shift."""
        self.query_one("#calls", DataTable).add_columns("call", "who", "state", "for")
        self.query_one("#team", DataTable).add_columns("agent", "name", "phone", "state")
        self.query_one("#calls", DataTable).focus()
        self.set_interval(1.0, self.show_all)
        self.run_worker(self._work())

    # -- the shift -------------------------------------------------------------------------------------

    async def _work(self) -> None:
        self.say(f"Logging in agent {self.shift.agent} …")
        try:
            session = await self._begin()
        except _TROUBLE as problem:
            await self._end(shown(problem, 300))
            return
        self.began = session is not None
        while session is not None:
            client, told = session.client, 0
            self.say("")
            while client.alive and session.view.closed is None:
                if session.view.notices[told:]:
                    told = len(session.view.notices)
                    self.say(shown(session.view.notices[-1]["message"], 200))
                session.view.drop_gone()
                self.show_all()
                await client.ticker.wait()
            closed = session.view.closed
            if closed in _OVER:
                await self._end(_OVER[closed])
                return
            session = await self._return(lost=closed is None)
        await self._end("The session was not begun.")

    async def _begin(self) -> DesktopSession | None:
        """Log in; None if there is a session that is not to be ended."""
        try:
            return await self.shift.begin()
        except SessionExists as question:
            if await self.push_screen_wait(Confirm(str(question))) != "yes":
                return None
            return await self.shift.begin(override=True)

    async def _return(self, *, lost: bool) -> DesktopSession | None:
        """Come back to the session after a broken connection, or begin one when the service is back."""
        tries = 0
        while True:
            self.say("The connection is lost; trying again …" if lost else "Out of service; waiting for it …")
            self.show_all()
            await asyncio.sleep(_AGAIN)
            try:
                return await (self.shift.resume() if lost else self._begin())
            except DesktopRefused as refused:
                # Perhaps the service does not know yet that our old connection is gone. Else the session did
                # not wait so long, or no new ones are taken yet.
                lost = lost and refused.code == Code.ALREADY_BOUND
            except (DesktopGone, NoService, TimeoutError):
                tries += 1
                # A service that is away for so long may not return: another one of the pool will do.
                lost = lost and (tries < _PATIENCE or len(self.shift.urls) == 1)

    async def _end(self, sentence: str) -> None:
        await self.shift.end()
        self.exit(sentence)

    # -- what is shown ---------------------------------------------------------------------------------

    def say(self, sentence: str) -> None:
        """Show a sentence below the lists."""
        # While the screen is taken down at the end, parts of it are missing already.
        with suppress(NoMatches):
            self.query_one("#notice", Static).update(Text(sentence))

    def show_all(self) -> None:
        """Show everything as it is now."""
        session = self.shift.session
        if session is not None and len(self.screen_stack) == 1:
            with suppress(NoMatches):
                self._show(session.view)

    def _show(self, view: SessionView) -> None:
        now = time.monotonic()
        self.query_one("#status", Static).update(Text(status_line(view, self._since, now)))
        calls = self.query_one("#calls", DataTable)
        chosen = self._chosen_key()
        self._rows = call_rows(view, self._since, now)
        calls.clear()
        for row in self._rows:
            calls.add_row(*(Text(cell) for cell in row.cells))
        keys = [_key(row) for row in self._rows]
        if chosen in keys:
            calls.move_cursor(row=keys.index(chosen))
        team = self.query_one("#team", DataTable)
        team.clear()
        for cells in team_rows(view):
            team.add_row(*(Text(cell) for cell in cells))

    def _chosen_key(self) -> str:
        row = self.query_one("#calls", DataTable).cursor_row
        return _key(self._rows[row]) if 0 <= row < len(self._rows) else ""

    def _selection(self) -> work.Selection:
        key = self._chosen_key()
        for row in self._rows:
            if _key(row) == key:
                return work.Selection(row.interaction, row.conversation)
        raise work.CannotDo("There is no call.")

    # -- keys ------------------------------------------------------------------------------------------

    def _do(self, job: Callable[[DesktopSession], Awaitable[object]]) -> None:
        """Carry a job out beside the screen, and show what went wrong."""

        async def run() -> None:
            session = self.shift.session
            if session is None:
                self.say("There is no session.")
                return
            try:
                await job(session)
            except DesktopRefused as refused:
                self.say(shown(refused.message, 200))
            except (work.CannotDo, DesktopGone, TimeoutError) as problem:
                self.say(shown(problem, 200))
            else:
                self.say("")

        self.run_worker(run())

    def _with_call(self, verb: Verb) -> None:
        async def job(session: DesktopSession) -> None:
            await verb(session, self._selection())

        self._do(job)

    def _with_number(self, question: str, verb: NumberVerb) -> None:
        async def job(session: DesktopSession) -> None:
            chosen = self._selection()
            if number := await self.push_screen_wait(Ask(question)):
                await verb(session, chosen, number)

        self._do(job)

    def action_ready(self) -> None:
        """Take calls."""
        self._do(lambda session: session.ready())

    def action_not_ready(self) -> None:
        """Take no calls, for a reason."""

        async def job(session: DesktopSession) -> None:
            reasons = [one for one in session.view.not_ready_reasons if one.get("selectable")]
            choices = [(str(one["reasonCodeId"]), reason_label(one)) for one in reasons]
            chosen = await self.push_screen_wait(Choose("Not ready: why?", [*choices, ("", "no reason")]))
            if chosen is not None:
                await session.not_ready(chosen or None)

        self._do(job)

    def action_answer(self) -> None:
        """Pick up."""
        self._with_call(work.answer)

    def action_reject(self) -> None:
        """Decline."""
        self._with_call(work.reject)

    def action_dial(self) -> None:
        """Call a number."""

        async def job(session: DesktopSession) -> None:
            if number := await self.push_screen_wait(Ask("Dial which number?")):
                await session.do(session.view.channel, "channel.request.dial", destination=number)

        self._do(job)

    def action_hold(self) -> None:
        """Hold or take back."""
        self._with_call(work.hold_or_retrieve)

    def action_consult(self) -> None:
        """Call somebody while the customer waits."""
        self._with_number("Consult which number?", work.consult)

    def action_alternate(self) -> None:
        """Swap customer and consulted party."""
        self._with_call(work.alternate)

    def action_transfer(self) -> None:
        """Connect customer and consulted party, or send the customer to a number."""
        if self._consults():
            self._with_call(work.transfer)
        else:
            self._with_number("Send the caller to which number?", work.transfer)

    def action_conference(self) -> None:
        """Bring everybody together, or call a number into the conversation."""
        if self._consults():
            self._with_call(work.conference)
        else:
            self._with_number("Call which number in?", work.conference)

    def _consults(self) -> bool:
        try:
            return self._selection().consult is not None
        except work.CannotDo:
            return False

    def action_release(self) -> None:
        """Hang up."""
        self._with_call(work.release)

    def action_complete(self) -> None:
        """End the wrap-up."""
        self._with_call(work.complete)

    def action_mute(self) -> None:
        """Be silent, or be heard again."""
        self._with_call(work.mute_or_unmute)

    def action_record(self) -> None:
        """Record, or stop it."""
        self._with_call(work.record_or_stop)

    def action_tones(self) -> None:
        """Send tones."""
        self._with_number("Which tones?", work.tones)

    def action_logout(self) -> None:
        """Log the agent out; that ends the shift."""
        self._do(lambda session: session.do(session.id, "session.request.logout"))

    def action_leave(self) -> None:
        """Leave the desk; the session waits for a while."""

        async def ask() -> None:
            question = "Leave without logging out? Calls go on, and the session waits for a while."
            if await self.push_screen_wait(Confirm(question)) == "yes":
                await self._end("Left without logging out.")

        self.run_worker(ask())


def _key(row: CallRow) -> str:
    return (row.conversation or row.interaction).target
