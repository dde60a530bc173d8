"""The long-running processes work on uvloop, and without it."""

import asyncio
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


def test_what_goes_wrong_comes_out() -> None:
    async def fails() -> None:
        raise OSError("no")

    with pytest.raises(OSError, match="no"):
        event_loop.run(fails())
