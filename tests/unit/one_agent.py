"""A directory with one agent, Ada, at phone 1001: enough for destinations that serve a single desk."""

import asyncio
from dataclasses import dataclass


@dataclass(frozen=True)
class Ada:
    agent_id: str = "1001"
    login: str = "ada"
    first_name: str = "Ada"
    last_name: str = "Ashdown"
    extension: str = "1001"
    queues: tuple[str, ...] = ("support",)
    penalty: int = 0
    phone: str = "default"
    team: str = "blue"
    supervises: tuple[str, ...] = ()


class OneAgent:
    """The directory. Ada's password is `right`, and she may log in by id or by name."""

    def agents(self) -> tuple[Ada, ...]:
        return (Ada(),)

    def get(self, agent_id: str) -> Ada | None:
        return Ada() if agent_id in {"1001", "ada"} else None

    async def verify(self, agent_id: str, password: str) -> bool:
        await asyncio.sleep(0)
        return self.get(agent_id) is not None and password == "right"
