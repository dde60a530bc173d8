"""What the destinations need to know of agents: a port, filled by the connector's agent directory."""

from collections.abc import Sequence
from typing import Protocol


class Agent(Protocol):
    """One agent as the site's configuration describes it."""

    @property
    def agent_id(self) -> str:
        """Id that the bridge knows the agent by."""
        ...

    @property
    def login(self) -> str:
        """Name with which the agent logs in; often the id."""
        ...

    @property
    def first_name(self) -> str:
        """First name, or empty."""
        ...

    @property
    def last_name(self) -> str:
        """Last name, or empty."""
        ...

    @property
    def extension(self) -> str:
        """Phone at which the agent usually sits."""
        ...

    @property
    def queues(self) -> tuple[str, ...]:
        """Queues that the agent serves."""
        ...

    @property
    def penalty(self) -> int:
        """Rank in the queues: 0 is asked first."""
        ...

    @property
    def team(self) -> str:
        """Name of the agent's team, or empty."""
        ...

    @property
    def supervises(self) -> tuple[str, ...]:
        """Teams whose calls the agent may listen to; `*` stands for all."""
        ...


class TooManyChecks(Exception):
    """Too many passwords wait to be checked already, after wrong ones: this one was not looked at."""

    def __init__(self) -> None:
        super().__init__("Too many wrong passwords came; this one was not checked. Please try again soon.")


class Directory(Protocol):
    """Finds agents and checks their passwords."""

    def get(self, agent_id: str) -> Agent | None:
        """Return the agent of that id or login name."""
        ...

    def agents(self) -> Sequence[Agent]:
        """Return all agents."""
        ...

    async def verify(self, agent_id: str, password: str) -> bool:
        """Return whether this is the agent's password; takes the same time for agents that don't exist."""
        ...
