"""What a laboratory is, whichever way it is run: one interface, one description.

A provider starts a private Asterisk (and RabbitMQ) from `asterisk-conf/` and tells where everything is. Calls
are synchronous; from a coroutine use `asyncio.to_thread`.
"""

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Final, Protocol, Self

import msgspec


class LabError(Exception):
    """The laboratory can't do it; the text is one sentence for a person."""


class Ports(msgspec.Struct, frozen=True, kw_only=True):
    """Where things listen, on the loopback address only. SIP and RTP are UDP, the others TCP; 0: not used."""

    sip: int
    ami: int
    ami_tls: int
    rtp_first: int
    rtp_last: int
    amqp: int = 0
    amqp_tls: int = 0
    epmd: int = 0
    erlang: int = 0


class AmiUser(msgspec.Struct, frozen=True):
    """A user of `manager.conf`."""

    username: str
    secret: str


class SipAccount(msgspec.Struct, frozen=True):
    """A phone's account; `number` is its SIP user name, its authentication name and its extension."""

    number: str
    password: str
    display_name: str


class AgentAccount(msgspec.Struct, frozen=True, kw_only=True):
    """An agent of the connector's configuration."""

    agent_id: str
    password: str
    password_hash: str
    extension: str
    first_name: str
    last_name: str
    queues: tuple[str, ...]


class LabInfo(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a phone, a test or the connector needs to know of a running lab. Holds secrets."""

    name: str
    provider: str
    host: str
    ports: Ports
    ami: dict[str, AmiUser]
    """`harmony`: the connector's least privilege; `harmony-system`: only the class `system`, for
    NOTIFY; `observer`: sees all, may ask all (tests)."""
    ca_file: str
    """PEM file of the authority that signed the certificate of AMI and broker."""
    agents: dict[str, AgentAccount]
    customers: tuple[str, ...]
    sip: dict[str, SipAccount]
    queues: dict[str, str]
    """Queue name to extension."""
    dial_context: str
    amqp_url: str = ""
    """Empty if the lab runs without a broker."""
    amqps_url: str = ""
    """The same broker by TLS; its certificate is of `ca_file`'s authority."""
    log_directory: str

    def to_json(self) -> bytes:
        """Return the JSON form, indented; `from_json` reads it back."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2)

    @classmethod
    def from_json(cls, text: bytes | str) -> "LabInfo":
        """Read what `to_json` wrote; LabError if it is something else."""
        try:
            return msgspec.json.decode(text, type=cls)
        except msgspec.MsgspecError as problem:
            raise LabError(f"This is no description of a laboratory: {problem}.") from problem


class LabProvider(Protocol):
    """A laboratory that can be started and stopped. Every method raises LabError with one clear sentence."""

    def up(self, *, broker: bool = True) -> LabInfo:
        """Start what isn't running, wait until it is ready, and describe it. Idempotent."""
        ...

    def down(self) -> None:
        """Stop everything and remove the run-time state. Nothing to do is no error."""
        ...

    def info(self) -> LabInfo:
        """Describe the running lab; LabError if it isn't running."""
        ...

    def asterisk_cli(self, command: str) -> str:
        """Run a command of Asterisk's console and return what it prints."""
        ...

    def asterisk_stop(self, *, kill: bool = False) -> None:
        """Stop Asterisk: orderly, or as a crash would."""
        ...

    def asterisk_start(self) -> None:
        """Start Asterisk on the ports that it had, and wait until it is fully booted."""
        ...

    def asterisk_restart(self, *, kill: bool = False) -> None:
        """Stop and start Asterisk; calls are lost, accounts and ports stay."""
        ...

    def recording(self, name: str) -> bytes:
        """Return a recording by its path in Asterisk's folder of recordings; LabError if there is none."""
        ...

    def rabbitmq_ctl(self, *arguments: str) -> str:
        """Run `rabbitmqctl` with these arguments and return what it prints."""
        ...

    def rabbitmq_stop(self, *, kill: bool = False) -> None:
        """Stop RabbitMQ: orderly, or as a crash would."""
        ...

    def rabbitmq_start(self) -> None:
        """Start RabbitMQ on the port that it had, and wait until it accepts our user."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def tree_folder(name: str) -> Path:
    """Return a folder of the source tree (`asterisk-conf`, `docker`); LabError if we don't run from one."""
    for base in (Path(__file__).resolve().parents[2], Path.cwd()):
        if (base / name).is_dir():
            return base / name
    raise LabError(f"The folder {name}/ is missing: the laboratory runs from a checkout of the source tree.")


RECORDINGS: Final = "monitor"
"""Asterisk's folder of recordings, below its spool folder."""

NO_FILES: Final[Mapping[str, str]] = MappingProxyType({})

PROVIDERS: Final = ("docker", "native")


def engine_answers() -> bool:
    """Tell whether a Docker engine answers here, with the compose plugin."""
    if shutil.which("docker") is None:
        return False
    for command in (
        ["docker", "version", "--format", "{{.Server.Version}}"],
        ["docker", "compose", "version"],
    ):
        try:
            if subprocess.run(command, capture_output=True, timeout=10, check=False).returncode:
                return False
        except subprocess.TimeoutExpired:
            return False
    return True


def choose_provider(
    kind: str | None = None, name: str = "default", *, overlay: Mapping[str, str] = NO_FILES
) -> LabProvider:
    """Return the laboratory called `name`; LabError for a kind that doesn't exist.

    `overlay` are files of the PBX's configuration (name to text) on top of, or in place of, the lab's own.

    `kind` is `native` or `docker`; without it LAB decides, and without that: docker if an engine answers,
    else native.
    """
    kind = kind or os.environ.get("LAB") or ("docker" if engine_answers() else "native")
    if kind == "native":
        from connector.lab.native import NativeLab

        return NativeLab(name, overlay=overlay)
    if kind == "docker":
        from connector.lab.docker import DockerLab

        return DockerLab(name, overlay=overlay)
    raise LabError(f"There is no laboratory of the kind {kind!r}: choose {' or '.join(PROVIDERS)}.")
