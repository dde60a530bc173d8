"""The event loop of the long-running processes: uvloop's where it is installed, for it is faster."""

import asyncio
import signal
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

_T = TypeVar("_T")

_ASKED: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Signals that a process of ours listens to."""


def run(main: Coroutine[Any, Any, _T]) -> _T:
    """Run a coroutine as `asyncio.run` does, in the main thread; its signal handlers end with it."""
    before = {number: signal.getsignal(number) for number in _ASKED}
    try:
        with asyncio.Runner(loop_factory=_factory()) as runner:
            return runner.run(main)
    finally:
        # uvloop leaves them to a loop that is closed.
        for number, handler in before.items():
            # None: somebody who is not Python has it.
            if handler is not None:
                signal.signal(number, handler)


def _factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None  # it is not built for every platform
    return uvloop.new_event_loop
