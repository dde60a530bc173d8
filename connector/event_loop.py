"""The event loop of the long-running processes: uvloop's where it is installed, for it is faster."""

import asyncio
import gc
import signal
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

_T = TypeVar("_T")

_ASKED: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Signals that a process of ours listens to."""

_YOUNG: Final = 10_000
"""Objects made after which Python looks for garbage among the new ones: a request makes some hundred."""


def run(main: Coroutine[Any, Any, _T]) -> _T:
    """Run a coroutine as `asyncio.run` does, in the main thread; its signal handlers end with it."""
    # What was loaded lives as long as the process: to look through it again and again is time for nothing.
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG)
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
