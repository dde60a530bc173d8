"""The laboratory in containers: Asterisk and RabbitMQ of `docker/compose.yaml`, driven by `docker compose`.

Connector and bridge of the same file are for people who type `docker compose up`; tests bring their own.
"""

import base64
import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

from connector.lab import debian_root, files, ports, ready
from connector.lab.named import NamedLab
from connector.lab.provider import RECORDINGS, AmiUser, LabError, LabInfo, tree_folder
from connector.lab.state import LabState

OVERRIDE: Final = "LAB_COMPOSE_OVERRIDE"
"""Environment variable: a second compose file on top, for what can't be pulled here (tests/docker/)."""

_VERBS = frozenset({"docker", "compose", "exec", "build", "up", "ps", "stop", "kill", "down"})
_BOOT_SECONDS = 120.0
_BUILD_SECONDS = 1800.0


class DockerLab(NamedLab):
    """A `LabProvider` on a Docker engine with compose; labs of different names have projects of their own."""

    _LABS = "docker-labs"

    def up(self, *, broker: bool = True) -> LabInfo:
        """Build the images if they are missing, start what isn't running, and wait until it is ready."""
        with self._locked():
            state = LabState.load(self._state_file)
            if state is not None and not self._running():
                # Left behind by a machine that was switched off: start over with new secrets.
                self._remove()
                state = None
            if state is None:
                state = self._fresh(broker=broker)
            state.broker = state.broker or broker
            state.save(self._state_file)
            try:
                self._start("asterisk")
                if state.broker:
                    self._start("rabbitmq")
                self._await_asterisk(state)
                if state.broker:
                    self._await_broker(state)
            except BaseException:
                self._remove()
                raise
        return files.describe(state, self._folder)

    def down(self) -> None:
        """Remove the containers and the lab's folder; images stay."""
        with self._locked():
            if self._folder.exists():
                self._remove()

    def info(self) -> LabInfo:
        """Describe the running lab; LabError if Asterisk isn't running."""
        state = self._known()
        if "asterisk" not in self._running():
            raise LabError(f"Asterisk of the laboratory {self.name!r} isn't running: `connector lab up`.")
        return files.describe(state, self._folder)

    def asterisk_cli(self, command: str) -> str:
        """Run a command of Asterisk's console and return what it prints."""
        self._known()
        return self._inside("asterisk", "asterisk", "-rx", command, seconds=30)

    def asterisk_stop(self, *, kill: bool = False) -> None:
        """Stop Asterisk: orderly, or (`kill`) as a crash would."""
        self._stop("asterisk", kill=kill)

    def asterisk_start(self) -> None:
        """Start Asterisk on the ports that it had, and wait until it is fully booted."""
        with self._locked():
            state = self._known()
            self._start("asterisk")
            self._await_asterisk(state)

    def recording(self, name: str) -> bytes:
        """Return a recording's file."""
        place = f"/var/spool/asterisk/{RECORDINGS}/{name}"
        return base64.b64decode(self._inside("asterisk", "base64", place, seconds=20))

    def rabbitmq_ctl(self, *arguments: str) -> str:
        """Run `rabbitmqctl` and return what it prints."""
        self._known()
        return self._inside("rabbitmq", "rabbitmqctl", *arguments, seconds=60)

    def rabbitmq_stop(self, *, kill: bool = False) -> None:
        """Stop RabbitMQ: orderly, or (`kill`) as a crash would."""
        self._stop("rabbitmq", kill=kill)

    def rabbitmq_start(self) -> None:
        """Start RabbitMQ on the port that it had; durable queues and persistent messages are still there."""
        with self._locked():
            state = self._known()
            self._start("rabbitmq")
            self._await_broker(state)

    # --- how

    def _fresh(self, *, broker: bool) -> LabState:
        with debian_root.locked(self._labs / "ports.lock"):
            others = [LabState.load(file) for file in self._labs.glob(f"*/{files.STATE_FILE}")]
            chosen = ports.choose([other.ports for other in others if other is not None])
            state = LabState.create(self.name, "docker", chosen, broker=broker)
            self._folder.mkdir(mode=0o711, parents=True)
            state.save(self._state_file)
        files.write(self._folder, state, overlay=self._overlay)
        return state

    def _start(self, service: str) -> None:
        # Cached after the first time; a service that has only an image to pull builds nothing.
        self._say(f"Image of {service}: building what isn't there yet …")
        self._compose("build", service, seconds=_BUILD_SECONDS)
        # The files that the service `setup` would write are there already.
        self._compose("up", "--detach", "--no-deps", "--no-build", service, seconds=_BUILD_SECONDS)

    def _stop(self, service: str, *, kill: bool) -> None:
        with self._locked():
            self._known()
            if kill:
                # `kill` alone would wake the restart policy: a crash that stays one until `start`.
                self._compose("kill", "--signal", "KILL", service, seconds=30)
            self._compose("stop", "--timeout", "10", service, seconds=60)

    def _await_asterisk(self, state: LabState) -> None:
        ready.asterisk(
            ports.LOOPBACK,
            state.ports.ami,
            AmiUser("observer", state.ami["observer"]),
            seconds=_BOOT_SECONDS,
            running=lambda: "asterisk" in self._running(),
        )

    def _await_broker(self, state: LabState) -> None:
        ready.broker(
            ports.LOOPBACK,
            state.ports.amqp,
            files.describe(state, self._folder).amqp_url,
            seconds=_BOOT_SECONDS,
            running=lambda: "rabbitmq" in self._running(),
        )

    def _running(self) -> set[str]:
        return set(self._compose("ps", "--services", "--status", "running", seconds=30).split())

    def _remove(self) -> None:
        self._compose("down", "--volumes", "--timeout", "10", seconds=120)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _known(self) -> LabState:
        state = LabState.load(self._state_file)
        if state is None:
            raise LabError(f"The laboratory {self.name!r} isn't running: start it with `connector lab up`.")
        return state

    @property
    def _project(self) -> str:
        return f"harmony-lab-{self.name}"

    def _inside(self, service: str, *argv: str, seconds: float) -> str:
        """Run a program in a service's container; several times as fast as `docker compose exec`."""
        return self._run(["docker", "exec", f"{self._project}-{service}-1", *argv], seconds)

    def _compose(self, *arguments: str, seconds: float) -> str:
        command = ["docker", "compose", "--project-name", self._project]
        command += ["--file", str(tree_folder("docker") / "compose.yaml")]
        if override := os.environ.get(OVERRIDE):
            command += ["--file", str(Path(override).resolve())]
        return self._run([*command, *arguments], seconds)

    def _run(self, command: list[str], seconds: float) -> str:
        state = LabState.load(self._state_file)
        variables = {**os.environ, "LAB_FOLDER": str(self._folder)}
        if state is not None:
            variables |= files.environment(state.ports)
        what = " ".join(part for part in command if part in _VERBS)
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                stdin=subprocess.DEVNULL,
                text=True,
                errors="replace",
                timeout=seconds,
                check=False,
                env=variables,
            )
        except FileNotFoundError as problem:
            raise LabError("There is no Docker on this machine: use --provider native.") from problem
        except subprocess.TimeoutExpired as problem:
            raise LabError(f"{what} didn't end within {seconds:.0f} s.") from problem
        if done.returncode:
            lines = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
            raise LabError(f"{what} failed: {lines[-1] if lines else done.returncode}")
        return done.stdout
