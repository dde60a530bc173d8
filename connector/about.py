"""What a log line belongs to: whoever works on something says so here, whoever logs asks."""

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Final

About = Callable[[], Mapping[str, str | None]]
"""Returns fields (ids of request, session, interaction ...); asked only if something is logged."""

ABOUT: Final[ContextVar[About | None]] = ContextVar("about", default=None)
"""What is worked on in this task, and in those that it starts."""
