"""What the destinations need to know of agents: a port, filled by the connector's agent directory."""

from typing import Protocol


class Agent(Protocol):
    """One agent as the site's configuration describes it."""

    @property
    def agent_id(self) -> str: ...

    @property
    def login(self) -> str: ...

    @property
    def first_name(self) -> str: ...

    @property
    def last_name(self) -> str: ...

    @property
    def extension(self) -> str: ...

    @property
    def queues(self) -> tuple[str, ...]: ...

    @property
    def penalty(self) -> int: ...

    @property
    def phone(self) -> str: ...


class Directory(Protocol):
    """Finds agents and checks their passwords."""

    def get(self, agent_id: str) -> Agent | None:
        """Return the agent of that id or login name."""
        ...

    async def verify(self, agent_id: str, password: str) -> bool:
        """Return whether this is the agent's password; takes the same time for agents that don't exist."""
        ...
