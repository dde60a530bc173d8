"""The laboratory without Docker: Asterisk and RabbitMQ in a private Debian root, on the loopback address."""

import shutil
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from connector.lab import broker, certificates, debian_root, jail, ports, processes, ready, render
from connector.lab.jail import Jail
from connector.lab.named import NamedLab
from connector.lab.provider import NO_FILES, RECORDINGS, AmiUser, LabError, LabInfo, tree_folder
from connector.lab.state import LabState

_ASTERISK = "asterisk"
_BROKER = "rabbitmq"
_BOOT_SECONDS = 60.0
_KEYS = "/etc/asterisk/keys"
_SOUNDS = "/var/lib/asterisk/tones"


class NativeLab(NamedLab):
    """A `LabProvider` on this machine. Needs root and a Debian-like Linux; several names, several labs."""

    _LABS = "labs"

    def __init__(
        self,
        name: str = "default",
        *,
        overlay: Mapping[str, str] = NO_FILES,
        say: debian_root.Say = debian_root.say_on_stderr,
    ) -> None:
        super().__init__(name, overlay=overlay, say=say)
        self._noting = threading.Lock()

    # --- starting and stopping

    def up(self, *, broker: bool = True) -> LabInfo:
        """Start what isn't running; build the root first if there is none (a minute or two, once)."""
        if reason := jail.missing_privilege():
            raise LabError(reason)
        root = debian_root.ensure(self._say)
        with self._locked():
            state = LabState.load(self._state_file)
            if state is not None and not self._alive(state):
                # What a crash left behind: a lab starts from a clean folder, with new secrets.
                state = None
            if state is None:
                state = self._fresh(root, broker=broker)
            state.broker = state.broker or broker
            try:
                self._start_missing(state)
            except BaseException:
                self._stop_all(state)
                raise
        return self._info(state)

    def down(self) -> None:
        """Stop everything and remove the run folder; the logs go with it."""
        with self._locked():
            state = LabState.load(self._state_file)
            if state is not None:
                self._stop_all(state)
            shutil.rmtree(self._folder, ignore_errors=True)

    def info(self) -> LabInfo:
        """Describe the running lab; LabError if Asterisk isn't running."""
        return self._info(self._running(_ASTERISK))

    # --- Asterisk

    def asterisk_cli(self, command: str) -> str:
        """Run a command of Asterisk's console and return what it prints."""
        return self._jail(self._running(_ASTERISK)).run(["asterisk", "-rx", command], seconds=20)

    def asterisk_stop(self, *, kill: bool = False) -> None:
        """Stop Asterisk: orderly, or (`kill`) as a crash would."""
        self._stop_one(_ASTERISK, kill=kill)

    def asterisk_start(self) -> None:
        """Start Asterisk on the ports that it had, and wait until it is fully booted."""
        self._start_one(self._start_asterisk)

    def recording(self, name: str) -> bytes:
        """Return a recording's file."""
        try:
            return (self._folder / "spool-asterisk" / RECORDINGS / name).read_bytes()
        except OSError as problem:
            raise LabError(f"There is no recording {name}: {problem.strerror}.") from problem

    # --- RabbitMQ

    def rabbitmq_ctl(self, *arguments: str) -> str:
        """Run `rabbitmqctl` and return what it prints."""
        state = self._running(_BROKER)
        return self._jail(state).run([broker.CONTROL, *arguments], environment=broker.environment(state))

    def rabbitmq_stop(self, *, kill: bool = False) -> None:
        """Stop RabbitMQ: orderly, or (`kill`) as a crash would."""
        self._stop_one(_BROKER, kill=kill)

    def rabbitmq_start(self) -> None:
        """Start RabbitMQ on the port that it had; durable queues and persistent messages are still there."""
        self._start_one(self._start_broker)

    # --- how

    def _fresh(self, root: Path, *, broker: bool) -> LabState:
        shutil.rmtree(self._folder, ignore_errors=True)
        with debian_root.locked(self._labs / "ports.lock"):
            others = [LabState.load(file) for file in self._labs.glob("*/state.json")]
            chosen = ports.choose([other.ports for other in others if other is not None])
            state = LabState.create(self.name, "native", chosen, broker=broker)
            state.root = str(root)
            self._folder.mkdir(mode=0o700, parents=True)
            state.save(self._state_file)
        return state

    def _start_missing(self, state: LabState) -> None:
        inside = self._jail(state)
        inside.prepare()
        certificates.create(inside.run, _KEYS, self._folder / "etc-asterisk/keys")
        starts = {_ASTERISK: self._start_asterisk} | ({_BROKER: self._start_broker} if state.broker else {})
        missing = [start for service, start in starts.items() if service not in self._alive(state)]
        with ThreadPoolExecutor(len(starts)) as pool:
            for done in [pool.submit(start, state) for start in missing]:
                done.result()

    def _stop_all(self, state: LabState) -> None:
        with ThreadPoolExecutor(2) as pool:
            for done in [pool.submit(self._stop_service, state, service, kill=False) for service in _STOPS]:
                done.result()

    def _start_asterisk(self, state: LabState) -> None:
        etc = self._folder / "etc-asterisk"
        values = render.tokens(state, bind=ports.LOOPBACK, sounds=_SOUNDS)
        render.asterisk(tree_folder("asterisk-conf"), etc, values)
        render.overlay(etc, self._overlay, values)
        render.tones(self._folder / "lib-asterisk/tones")
        for folder in ("run/asterisk", "log/asterisk", "spool-asterisk/outgoing", "spool-asterisk/tmp"):
            (self._folder / folder).mkdir(parents=True, exist_ok=True)
        (self._folder / "run/asterisk/asterisk.ctl").unlink(missing_ok=True)
        self._launch(state, _ASTERISK, ["asterisk", "-f", "-q", "-C", "/etc/asterisk/asterisk.conf"], {})
        ready.asterisk(
            ports.LOOPBACK,
            state.ports.ami,
            AmiUser("observer", state.ami["observer"]),
            seconds=_BOOT_SECONDS,
            running=lambda: processes.alive(state.processes[_ASTERISK]),
        )

    def _start_broker(self, state: LabState) -> None:
        broker.render(state, self._folder / "etc-rabbitmq", keys=_KEYS)
        (self._folder / "log/rabbitmq").mkdir(parents=True, exist_ok=True)
        self._launch(state, _BROKER, [broker.SERVER], broker.environment(state))
        ready.broker(
            ports.LOOPBACK,
            state.ports.amqp,
            self._info(state).amqp_url,
            seconds=_BOOT_SECONDS,
            running=lambda: processes.alive(state.processes[_BROKER]),
        )

    def _launch(self, state: LabState, service: str, argv: list[str], environment: dict[str, str]) -> None:
        output = self._folder / "log" / f"{service}.out"
        pid = self._jail(state).start(argv, output=output, environment=environment)
        started = processes.identify(pid)
        # Services are started side by side: one must not write the other out of the state.
        with self._noting:
            state.processes = {**state.processes, service: started}
            state.save(self._state_file)

    def _stop_service(self, state: LabState, service: str, *, kill: bool) -> None:
        process = state.processes.get(service)
        if process is not None:
            program, seconds = _STOPS[service]
            processes.stop(process, seconds=seconds, program=program, kill=kill)

    def _stop_one(self, service: str, *, kill: bool) -> None:
        with self._locked():
            self._stop_service(self._known(), service, kill=kill)

    def _start_one(self, start: Callable[[LabState], None]) -> None:
        with self._locked():
            start(self._known())

    def _alive(self, state: LabState) -> set[str]:
        return {service for service, process in state.processes.items() if processes.alive(process)}

    def _known(self) -> LabState:
        state = LabState.load(self._state_file)
        if state is None:
            raise LabError(f"The laboratory {self.name!r} isn't running: start it with `connector lab up`.")
        return state

    def _running(self, service: str) -> LabState:
        state = self._known()
        if service not in self._alive(state):
            raise LabError(f"{service} of the laboratory {self.name!r} isn't running: `connector lab up`.")
        return state

    def _info(self, state: LabState) -> LabInfo:
        return state.info(
            host=ports.LOOPBACK,
            ca_file=self._folder / "etc-asterisk/keys" / certificates.CA_FILE,
            log_directory=self._folder / "log",
        )

    def _jail(self, state: LabState) -> Jail:
        return Jail(Path(state.root), self._folder)


_STOPS = {_ASTERISK: ("asterisk", 10.0), _BROKER: (broker.PROGRAM, 15.0)}
"""Service to the program that gets the SIGTERM, and the seconds it has."""
