"""A desktop's connection as the service knows it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from connector.processor.service.resource import Resource
from connector.processor.service.wire import Code, Failed

_WRONG_LOGINS = 5
"""Wrong passwords in a row that end a connection."""


class Peer(Protocol):
    """The way to a desktop."""

    def send(self, message: Mapping[str, Any]) -> None:
        """Send a message; a connection that is gone takes it, too."""
        ...

    def end(self, reason: str) -> None:
        """Close the connection for a breach of the rules, after what was sent so far."""
        ...


@dataclass(eq=False, slots=True)
class Client:
    """One connection: whether it has bound the service, and the sessions that it has bound."""

    peer: Peer
    monitors: bool = False
    resources: dict[str, Resource] = field(default_factory=dict)
    waiting: int = 0
    wrong_logins: int = 0

    @property
    def guesses(self) -> bool:
        """Whether so many passwords were wrong that the connection is to be ended."""
        return self.wrong_logins >= _WRONG_LOGINS

    def logged_in(self, *, rightly: bool, sentence: str) -> None:
        """Count wrong passwords. Raises Failed after a wrong one."""
        if rightly:
            self.wrong_logins = 0
            return
        self.wrong_logins += 1
        raise Failed(Code.INVALID_CREDENTIALS, sentence)
