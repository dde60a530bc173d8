"""`connector desk`: what its screens show, what its keys do, on the service without a PBX."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import typer
from desk_screen import Screen
from desktop_service import Service, logged_in, service
from typer.testing import CliRunner

from connector.processor.desk.app import DeskApp
from connector.processor.desk.commands import desk_command
from connector.processor.desk.rows import clock, shown
from connector.processor.desk.screens import Ask, Choose, Confirm
from connector.processor.desk.shift import Shift
from connector.processor.desktop_client import DesktopClient


class Desk(Screen):
    """The screen, and the connector that it works with."""

    at: Service

    async def asked(self, name: str) -> dict[str, object]:
        """Wait until the connector was asked for something, and return the last such body."""
        await self.until(lambda: self.at.asked(name), name)
        return self.at.asked(name)[-1]


@asynccontextmanager
async def desk(at: Service, *, rightly: bool = True, others: tuple[str, ...] = ()) -> AsyncIterator[Desk]:
    app = DeskApp(Shift("1001", "right" if rightly else "wrong", (at.door.url, *others)))
    async with app.run_test(size=(140, 30)) as pilot:
        screen = Desk(app, pilot)
        screen.at = at
        yield screen
    if app.shift.client is not None:
        await app.shift.end()


@asynccontextmanager
async def working() -> AsyncIterator[tuple[Desk, Service]]:
    async with service() as at, desk(at) as screen:
        await screen.until(lambda: "NOT_READY" in screen.line("status"), "logged in")
        await screen.until(lambda: screen.table("team"), "the team")
        yield screen, at


async def test_login_state_reasons_and_team() -> None:
    async with working() as (screen, at):
        assert screen.line("status").startswith("Agent 1001  phone 1001  NOT_READY  00:0")
        assert screen.table("team") == [["1002", "Ada Lovelace", "1002", "NOT_READY"]]
        await screen.press("r")
        await screen.until(lambda: "  READY" in screen.line("status"), "ready")
        await screen.press("n")
        await screen.answer(Choose, "enter")
        assert await screen.asked("channel.request.notready") == {"reasonCodeId": "1"}
        await screen.until(lambda: "NOT_READY (1)" in screen.line("status"), "not ready")
        await screen.press("r")
        await screen.until(lambda: "  READY" in screen.line("status"), "ready")
        await screen.press("n")
        await screen.answer(Choose, "escape")
        assert "  READY" in screen.line("status")
        del at


async def test_a_call_from_offer_to_wrap_up_by_keys() -> None:
    async with working() as (screen, at):
        at.client.ring("call-1")
        await screen.until(lambda: screen.states == ["ALERTING", "ALERTING"], "the offer")
        assert screen.table("calls")[0][1] == "2001"
        assert screen.table("calls")[1][:2] == ["  primary", "2001 Ada"]
        await screen.press("a")
        await screen.asked("interaction.request.accept")
        at.client.talk()
        await screen.until(lambda: screen.states == ["STARTED", "TALKING"], "the talk")
        await screen.press("h")
        await screen.until(lambda: screen.states == ["STARTED", "HELD"], "hold")
        await screen.press("h")
        await screen.until(lambda: screen.states == ["STARTED", "TALKING"], "retrieve")
        await screen.press("c")
        await screen.answer(Ask, *"1002", "enter")
        assert await screen.asked("interaction.request.consult") == {"destination": "1002"}
        await screen.until(lambda: len(screen.states) == 3, "the consult")
        for key, name in (
            ("x", "interaction.request.alternate"),
            ("f", "interaction.request.consultconference"),
            ("t", "interaction.request.consulttransfer"),
            ("m", "interaction.request.x-mute"),
            ("v", "interaction.request.x-startrecording"),
        ):
            at.client.on[name] = lambda *_: "Not now."
            await screen.press(key)
            await screen.asked(name)
            await screen.until(lambda: screen.line("notice") == "Not now.", "the refusal")


async def test_hang_up_and_the_verbs_with_a_number() -> None:
    async with working() as (screen, at):
        at.client.ring("call-1")
        await screen.until(lambda: screen.states, "the offer")
        at.client.talk()
        await screen.until(lambda: screen.states == ["STARTED", "TALKING"], "the talk")
        for key, name, typed, body in (
            ("t", "conversation.request.blindtransfer", "2002", {"destination": "2002"}),
            ("f", "conversation.request.blindconference", "2003", {"destination": "2003"}),
            ("p", "conversation.request.senddtmf", "12", {"tones": "12"}),
        ):
            await screen.press(key)
            await screen.answer(Ask, *typed, "enter")
            assert await screen.asked(name) == body
        await screen.press("down", "k")
        await screen.until(lambda: screen.states == ["ENDED NORMAL"], "the end")
        await screen.press("k")
        await screen.until(lambda: screen.line("notice") == "There is nothing to hang up.", "the refusal")
        await screen.press("w")
        await screen.until(lambda: screen.table("calls") == [], "the wrap-up's end")
        await screen.press("h")
        await screen.until(lambda: screen.line("notice") == "There is no call.", "the refusal")


async def test_dial_and_a_number_that_is_thought_better_of() -> None:
    async with working() as (screen, at):
        await screen.press("d")
        await screen.answer(Ask, "escape")
        await screen.press("d")
        await screen.answer(Ask, *"2001", "enter")
        assert await screen.asked("channel.request.dial") == {"destination": "2001"}
        assert len(at.asked("channel.request.dial")) == 1
        await screen.until(lambda: screen.states == ["DIALING", "DIALING"], "the call")


async def test_logout_ends_the_shift() -> None:
    async with working() as (screen, _):
        await screen.press("l")
        await screen.until(lambda: screen.app.return_value, "the end")
        assert screen.app.return_value == "Logged out."


async def test_leaving_is_asked_about_and_keeps_the_session() -> None:
    async with working() as (screen, at):
        await screen.press("q")
        await screen.answer(Confirm, "n")
        await screen.press("q")
        await screen.until(lambda: isinstance(screen.app.screen, Confirm), "the question")
        await screen.press("y")
        await screen.until(lambda: screen.app.return_value, "the end")
        assert screen.app.return_value == "Left without logging out."
        assert not at.asked("session.request.close")


@pytest.mark.parametrize("wanted", [True, False])
async def test_a_session_elsewhere_is_asked_about(wanted: bool) -> None:
    async with service() as at, logged_in(at) as (other, session), desk(at) as screen:
        await screen.until(lambda: isinstance(screen.app.screen, Confirm), "the question")
        await screen.press("y" if wanted else "n")
        if wanted:
            await other.until(lambda: session.view.closed, "session.closed")
            await screen.until(lambda: screen.table("team"), "the login")
        else:
            await screen.until(lambda: screen.app.return_value, "the end")
            assert (session.view.closed, screen.app.began) == (None, False)


async def test_another_desktop_takes_over() -> None:
    async with working() as (screen, at), logged_in_over(at):
        await screen.until(lambda: screen.app.return_value, "the end")
        assert screen.app.return_value == "This agent has logged in at another desktop."


@asynccontextmanager
async def logged_in_over(at: Service) -> AsyncIterator[None]:
    async with DesktopClient(at.door.url) as other:
        await other.login("1001", "right", override=True)
        yield


async def test_a_wrong_password_and_no_service_are_one_sentence() -> None:
    async with service() as at, desk(at, rightly=False) as screen:
        await screen.until(lambda: screen.app.return_value, "the end")
        assert "Agent id or password is wrong" in (screen.app.return_value or "")
        assert not screen.app.began


async def test_the_desk_comes_back_to_its_session_after_a_broken_connection() -> None:
    async with working() as (screen, at):
        at.client.ring("call-1")
        await screen.until(lambda: screen.states == ["ALERTING", "ALERTING"], "the offer")
        before = screen.app.shift.session
        assert before is not None
        await before.client.drop()
        at.client.talk()
        await screen.until(lambda: screen.states == ["STARTED", "TALKING"], "back with the call as it is")
        assert screen.app.shift.session is not before
        assert screen.app.shift.session is not None
        assert screen.app.shift.session.id == before.id


async def test_the_desk_waits_until_its_old_connection_is_known_to_be_gone() -> None:
    async with working() as (screen, at), DesktopClient(at.door.url) as stale:
        before = screen.app.shift.session
        assert before is not None
        await before.client.drop()
        await stale.bind(before.id, "1001", "right")
        await screen.until(lambda: screen.line("notice").startswith("The connection is lost"), "the notice")
        (attempt,) = [at.door.processor.clients]
        await screen.until(lambda: at.door.processor.clients > attempt, "an attempt")
        await stale.do("unbindResource", {"resource": before.id})
        await screen.until(lambda: not screen.line("notice"), "back")
        assert screen.app.shift.session is not None
        assert screen.app.shift.session.id == before.id


async def test_the_desk_goes_to_another_service_when_its_own_stays_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("connector.processor.desk.app._AGAIN", 0.02)
    async with service() as at, service() as other, DesktopClient(other.door.url) as busy:
        # One desktop is there already, so the first service is taken.
        await busy.bind_service()
        async with desk(at, others=(other.door.url,)) as screen:
            await screen.until(lambda: screen.table("team"), "logged in")
            before = screen.app.shift.session
            assert before is not None
            assert before.client.url == at.door.url
            at.door._server.close(close_connections=False)  # type: ignore[union-attr]
            await before.client.drop()
            shift = screen.app.shift
            await screen.until(
                lambda: shift.session is not None and shift.session.client.url == other.door.url,
                "a session at the other service",
            )
            await screen.until(lambda: not screen.line("notice") and screen.table("team"), "at work")


async def test_the_desk_waits_for_the_service_to_come_back() -> None:
    async with working() as (screen, at):
        at.transport.drop("the network failed")
        await screen.until(lambda: screen.line("notice").startswith("Out of service"), "the notice")
        at.transport.reconnect()
        await screen.until(lambda: not screen.line("notice") and screen.table("team"), "the new session")


def test_what_comes_from_outside_stays_on_its_line() -> None:
    assert shown("20\n01\x1b[2J") == "20·01·[2J"
    assert shown("x" * 100) == "x" * 39 + "…"
    assert (clock(0), clock(61.9), clock(3661)) == ("00:00", "01:01", "1:01:01")


desk_app = typer.Typer()
desk_app.command()(desk_command)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--url", "http://127.0.0.1"), "--url takes"),
        (("--url", "ws://127.0.0.1:99999"), "--url takes"),
        (("--url", "ws://[127.0.0.1"), "--url takes"),
        (("--url", "ws://"), "--url takes"),
        (("--url", "ws://desks.example:7761"), "--url to desks.example must be wss://"),
        (("--ca", "there-is-no-such-file.pem"), "--ca is for wss"),
        (("--ca", "there-is-no-such-file.pem", "--url", "wss://127.0.0.1"), "No such file"),
    ],
)
def test_wrong_options_are_one_line(options: tuple[str, ...], sentence: str, tmp_path: Path) -> None:
    (word := tmp_path / "password").write_text("right\n")
    done = CliRunner().invoke(desk_app, ["--agent", "1001", "--password-file", str(word), *options])
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith("connector desk: ")
    assert sentence in done.stderr


@pytest.mark.parametrize("command", ["desk", "bridge"])
def test_without_its_packages_the_command_names_them_and_the_others_work(
    command: str, tmp_path: Path
) -> None:
    (word := tmp_path / "password").write_text("right\n")
    options = {
        "desk": ("--agent", "1001", "--password-file", str(word)),
        "bridge": ("--port", "0", "--desktop-port", "0"),
    }
    done = run(command, *options[command], without=("textual", "websockets", "rich"))
    assert done.returncode == 2
    assert "install harmony-connector[" in done.stderr
    assert "Traceback" not in done.stderr


def run(*arguments: str, without: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    hidden = f"import sys; sys.modules.update(dict.fromkeys({without!r})); " if without else ""
    code = f"{hidden}from connector.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def test_no_key_is_used_twice() -> None:
    keys = [each[0] for each in DeskApp.BINDINGS if isinstance(each, tuple)]
    assert len(keys) == len(set(keys)) == 17
