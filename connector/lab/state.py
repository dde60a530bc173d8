"""A lab's memory: secrets, ports and processes, in one file that only its owner may read.

Secrets are made once for each lab and live as long as its state file; `connector lab down` removes it.
"""

import os
import secrets
from pathlib import Path

import msgspec
from argon2 import PasswordHasher

from connector.lab import accounts
from connector.lab.provider import AgentAccount, AmiUser, LabError, LabInfo, Ports, SipAccount

AMQP_USER = "harmony"
AMQP_VHOST = "harmony"

_LIGHT = PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1)
"""Ten hashes in a few milliseconds: these passwords are random and of a laboratory."""


class Process(msgspec.Struct, frozen=True):
    """A process of ours, told apart from a later one of the same number by its start time (clock ticks)."""

    pid: int
    started: int


class LabState(msgspec.Struct, kw_only=True):
    """What has to be remembered between two commands."""

    name: str
    provider: str
    ports: Ports
    sip: dict[str, str]
    ami: dict[str, str]
    agents: dict[str, tuple[str, str]]
    """Agent id to password and its argon2 hash."""
    amqp: str
    broker: bool
    root: str = ""
    processes: dict[str, Process] = {}

    @classmethod
    def create(cls, name: str, provider: str, ports: Ports, *, broker: bool) -> "LabState":
        """Make a lab's secrets: random, URL-safe, 144 bits each."""
        agents = {}
        for agent in accounts.AGENTS:
            password = secrets.token_urlsafe(18)
            agents[agent.number] = (password, _LIGHT.hash(password))
        return cls(
            name=name,
            provider=provider,
            ports=ports,
            sip={who.number: secrets.token_urlsafe(18) for who in accounts.AGENTS + accounts.CUSTOMERS},
            ami={user: secrets.token_urlsafe(18) for user in ("harmony", "harmony-system", "observer")},
            agents=agents,
            amqp=secrets.token_urlsafe(18),
            broker=broker,
        )

    @classmethod
    def load(cls, path: Path) -> "LabState | None":
        """Read a state file; None if there is none, LabError if it can't be read."""
        try:
            return msgspec.json.decode(path.read_bytes(), type=cls)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.MsgspecError) as problem:
            raise LabError(f"The laboratory's state file {path} can't be read: {problem}.") from problem

    def save(self, path: Path) -> None:
        """Write the state file, mode 0600, in one step: a reader sees the old one or the new one."""
        fresh = path.with_suffix(".new")
        fresh.unlink(missing_ok=True)
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(msgspec.json.encode(self))
        fresh.replace(path)

    def info(self, *, host: str, ca_file: Path, log_directory: Path) -> LabInfo:
        """Describe the lab for its users."""
        people = {who.number: who for who in accounts.AGENTS + accounts.CUSTOMERS}
        return LabInfo(
            name=self.name,
            provider=self.provider,
            host=host,
            ports=self.ports,
            ami={user: AmiUser(user, secret) for user, secret in self.ami.items()},
            ca_file=str(ca_file),
            agents={
                agent.number: AgentAccount(
                    agent_id=agent.number,
                    password=self.agents[agent.number][0],
                    password_hash=self.agents[agent.number][1],
                    extension=agent.number,
                    first_name=agent.first_name,
                    last_name=agent.last_name,
                    queues=agent.queues,
                )
                for agent in accounts.AGENTS
            },
            customers=tuple(who.number for who in accounts.CUSTOMERS),
            sip={
                number: SipAccount(
                    number, password, f"{people[number].first_name} {people[number].last_name}"
                )
                for number, password in self.sip.items()
            },
            queues={queue.name: queue.extension for queue in accounts.QUEUES},
            dial_context=accounts.DIAL_CONTEXT,
            amqp_url=self._broker_url("amqp", host, self.ports.amqp),
            amqps_url=self._broker_url("amqps", host, self.ports.amqp_tls),
            log_directory=str(log_directory),
        )

    def _broker_url(self, scheme: str, host: str, port: int) -> str:
        return f"{scheme}://{AMQP_USER}:{self.amqp}@{host}:{port}/{AMQP_VHOST}" if self.broker else ""
