"""The long-running processes work on uvloop, and without it."""

import asyncio
import signal
import sys

import pytest

from connector import event_loop


async def _name_of_loop() -> str:
    await asyncio.sleep(0)
    return type(asyncio.get_running_loop()).__module__


def test_uvloop_is_used_where_it_is_installed() -> None:
    pytest.importorskip("uvloop", reason="uvloop is not built for this platform")
    assert event_loop.run(_name_of_loop()).startswith("uvloop")


def test_without_uvloop_it_is_asyncios_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)
    assert event_loop.run(_name_of_loop()).startswith("asyncio")


@pytest.mark.parametrize("installed", [True, False])
def test_signal_handlers_end_with_it(installed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not installed:
        monkeypatch.setitem(sys.modules, "uvloop", None)

    async def is_told() -> None:
        told = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, told.set)
        signal.raise_signal(signal.SIGHUP)
        await told.wait()

    before = signal.getsignal(signal.SIGHUP)
    event_loop.run(is_told())
    assert signal.getsignal(signal.SIGHUP) is before


def test_what_goes_wrong_comes_out() -> None:
    async def fails() -> None:
        raise OSError("no")

    with pytest.raises(OSError, match="no"):
        event_loop.run(fails())
