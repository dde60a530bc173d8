"""The lab and the machine it runs on: apt's configuration, ports, processes, locks, and the command line."""

import itertools
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from typer.testing import CliRunner

from connector.lab import apt, commands, debian_root, jail, ports, processes, provider
from connector.lab.native import NativeLab
from connector.lab.provider import LabError, Ports
from connector.lab.state import LabState, Process


def sources(etc: Path, **texts: str) -> Path:
    (etc / "sources.list.d").mkdir(parents=True)
    for name, text in texts.items():
        place = etc / "sources.list" if name == "main" else etc / "sources.list.d" / name.replace("__", ".")
        place.write_text(text)
    return etc


def test_a_one_line_source_gives_mirror_and_keyring(tmp_path: Path) -> None:
    keyring = tmp_path / "k.gpg"
    keyring.touch()
    etc = sources(
        tmp_path / "apt",
        main=f"# deb http://old.example/debian x main\n"
        f"deb [arch=amd64 signed-by={keyring}] http://mirror.example/debian bookworm main contrib # ours\n",
    )
    assert apt.find_mirror(etc) == ("http://mirror.example/debian", keyring)


def test_a_deb822_source_gives_mirror_and_skips_what_is_no_debian(tmp_path: Path) -> None:
    etc = sources(
        tmp_path / "apt",
        a__list="deb https://tools.example/apt stable main\n",
        b__sources="Types: deb\nURIs: http://off.example/debian\nSuites: x\nComponents: main\nEnabled: no\n",
        c__sources="# comment\nTypes: deb\nURIs: http://s.example/debian\nSuites: x-security\n"
        "Components: main\n\n"
        "Types: deb deb-src\nURIs: https://third.example/node\n  http://mirror.example/debian/\n"
        "Suites: x x-updates\nComponents: main\nSigned-By: /nowhere.gpg\n",
    )
    assert apt.find_mirror(etc).uri == "http://mirror.example/debian/"


def test_without_a_debian_archive_it_says_so(tmp_path: Path) -> None:
    etc = sources(tmp_path / "apt", main="deb http://archive.example/ubuntu noble main\n")
    with pytest.raises(LabError, match=r"No Debian archive.*docker"):
        apt.find_mirror(etc)


def test_chosen_ports_are_free_and_nobody_elses() -> None:
    first = ports.choose([])
    taken = [first]
    for _ in range(5):
        taken.append(ports.choose(taken))
    spans = sorted((each.rtp_first, each.erlang) for each in taken)
    assert all(before[1] < after[0] for before, after in itertools.pairwise(spans))
    assert all(each.rtp_first % 2 == 0 for each in taken)


def test_a_port_in_use_is_not_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind((ports.LOOPBACK, 0))
        in_use = other.getsockname()[1]
        assert not ports._free(in_use, socket.SOCK_DGRAM)
        monkeypatch.setattr(ports, "_bases", lambda: iter([in_use - 10]))
        with pytest.raises(LabError, match="No free ports"):
            ports.choose([])
    monkeypatch.setattr(ports, "_bases", lambda: iter([12000]))
    with pytest.raises(LabError, match="No free ports"):
        ports.choose([Ports(sip=12400, ami=1, ami_tls=1, rtp_first=12100, rtp_last=12200)])


def test_a_process_is_told_from_a_stranger_with_its_number() -> None:
    with subprocess.Popen(["sleep", "60"]) as child:
        ours = processes.identify(child.pid)
        assert processes.alive(ours)
        stranger = Process(ours.pid, ours.started - 1)
        assert not processes.alive(stranger)
        processes.stop(stranger, seconds=1, program="sleep")
        assert child.poll() is None
        child.kill()
        child.wait()
        assert not processes.alive(ours)
        processes.stop(ours, seconds=1, program="sleep")


def test_a_dead_process_is_not_identified() -> None:
    with subprocess.Popen(["true"]) as child:
        child.wait()
    with pytest.raises(LabError, match="ended"):
        processes.identify(child.pid)


@pytest.mark.parametrize(
    ("trap", "seconds", "fate"), [("exit 0", 10.0, "asked"), ("", 0.2, "killed")], ids=["obeys", "ignores"]
)
def test_a_jailed_program_is_asked_first_and_killed_if_it_ignores_that(
    tmp_path: Path, trap: str, seconds: float, fate: str
) -> None:
    if jail.missing_privilege():
        pytest.skip(jail.missing_privilege())
    said = tmp_path / "said"
    script = f"trap 'echo asked > {said}; {trap}' TERM; echo up > {tmp_path}/up; while :; do sleep 0.05; done"
    os.mkfifo(tmp_path / "up")
    outer = subprocess.Popen(
        ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--", "sh", "-c", script],
        start_new_session=True,
    )
    try:
        assert (tmp_path / "up").read_text() == "up\n"
        process = processes.identify(outer.pid)
        children = processes._descendants(outer.pid)
        processes.stop(process, seconds=seconds, program="sh")
        assert said.read_text() == "asked\n"
        assert not processes.alive(process)
        assert (outer.wait(5) == 0) is (fate == "asked")
        assert not any(Path(f"/proc/{pid}").exists() for pid in children)
    finally:
        outer.kill()
        outer.wait()


def test_a_lock_is_held_until_it_is_let_go_and_leaves_no_file(tmp_path: Path) -> None:
    waited, entered = threading.Event(), threading.Event()

    def second() -> None:
        with debian_root.locked(tmp_path / "lock", waiting=waited.set):
            entered.set()

    thread = threading.Thread(target=second)
    with debian_root.locked(tmp_path / "lock"):
        thread.start()
        assert waited.wait(5)
        assert not entered.is_set()
    thread.join(5)
    assert entered.is_set()
    assert not (tmp_path / "lock").exists()


def test_a_lock_admits_one_at_a_time(tmp_path: Path) -> None:
    inside, most = 0, 0

    def worker() -> None:
        nonlocal inside, most
        for _ in range(100):
            with debian_root.locked(tmp_path / "lock"):
                inside += 1
                most = max(most, inside)
                inside -= 1

    threads = [threading.Thread(target=worker) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(30)
        assert not each.is_alive()
    assert most == 1


def test_a_built_root_is_used_and_a_changed_recipe_is_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(debian_root, "_build", lambda root, _say: root.mkdir())
    first = debian_root.ensure(print)
    assert first.parent == tmp_path / "harmony-connector/roots"
    monkeypatch.setattr(debian_root, "_build", lambda *_: pytest.fail("built twice"))
    assert debian_root.ensure(print) == first
    monkeypatch.setattr(debian_root, "PACKAGES", ("asterisk",))
    assert debian_root.recipe() not in first.name


def test_without_root_one_sentence_names_docker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(LabError, match=r"needs root.*docker"):
        NativeLab("unit").up()
    assert not (tmp_path / "harmony-connector").exists()


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(commands.app, arguments)
    return result.exit_code, result.stdout, result.stderr


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["info", "--provider", "native", "--name", "none"], 1),
        (["config", "--provider", "native", "--name", "none"], 1),
        (["up", "--provider", "cloud"], 2),
        (["up", "--provider", "native", "--name", "../x"], 2),
        (["up", "--provider", "docker", "--name", "UPPER"], 2),
    ],
)
def test_errors_are_one_line_and_a_status(
    arguments: list[str], status: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    code, out, err = run(*arguments)
    assert (code, out) == (status, "")
    assert err.startswith("lab: ")
    assert err.count("\n") == 1


def test_down_without_a_lab_is_no_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert run("down", "--provider", "native") == (0, "", "")


def test_only_info_and_config_tell_secrets() -> None:
    state = LabState.create("unit", "native", ports.choose([]), broker=True)
    info = state.info(host="127.0.0.1", ca_file=Path("/ca"), log_directory=Path("/log"))
    secrets = {*state.sip.values(), *state.ami.values(), state.amqp, *(p for p, _ in state.agents.values())}
    summary = commands._summary(info)
    assert not [secret for secret in secrets if secret in summary]
    details = commands._details(info)
    assert not [secret for secret in secrets - {state.ami["harmony-system"]} if secret not in details]


def test_lab_chooses_the_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provider, "engine_answers", lambda: pytest.fail("asked the engine"))
    monkeypatch.setenv("LAB", "native")
    assert type(provider.choose_provider()).__name__ == "NativeLab"
    assert type(provider.choose_provider("docker")).__name__ == "DockerLab"
    monkeypatch.delenv("LAB")
    monkeypatch.setattr(provider, "engine_answers", lambda: False)
    assert type(provider.choose_provider()).__name__ == "NativeLab"
    monkeypatch.setattr(provider, "engine_answers", lambda: True)
    assert type(provider.choose_provider()).__name__ == "DockerLab"


def test_a_signal_while_it_starts_stops_the_foreground_lab(tmp_path: Path) -> None:
    script = f"""
import os, signal, sys
from connector.lab import commands
class Lab:
    def up(self, *, broker):
        os.kill(os.getpid(), signal.SIGTERM)
        signal.pause()
    def down(self):
        open({str(tmp_path / "down")!r}, "w").close()
commands._provider = lambda kind, name: Lab()
commands.app(["up", "--foreground"])
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "down").exists()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
