"""The unit for systemd agrees with the program that it starts; the container confines it likewise."""

import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from prometheus_client import CollectorRegistry
from prometheus_client.process_collector import ProcessCollector

from connector import cli
from connector.config import LimitSettings
from connector.operations.metrics import Metrics

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def service() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for key, value in _lines((ROOT / "config" / "connector.service").read_text()):
        found.setdefault(key, []).append(value)
    return found


def _lines(text: str) -> Iterator[tuple[str, str]]:
    section = ""
    for line in text.splitlines():
        if line.startswith("["):
            section = line
        elif section == "[Service]" and line and not line.startswith("#"):
            key, _, value = line.partition("=")
            yield key, value


def test_it_speaks_as_the_connector_does(service: dict[str, list[str]]) -> None:
    assert service["Type"] == ["notify"]
    assert service["ExecReload"] == ["/bin/kill -HUP $MAINPID"]
    assert service["RestartPreventExitStatus"] == [str(cli._USAGE)]
    (start,) = service["ExecStart"]
    program, command, *options = shlex.split(start)
    assert Path(program).name == "connector"
    (known,) = (each for each in cli.app.registered_commands if each.callback is cli.run)
    assert known.callback is not None
    assert command == known.callback.__name__
    assert options[0] == "--config"


def test_it_waits_longer_for_the_end_than_the_connector_for_calls(service: dict[str, list[str]]) -> None:
    assert float(service["TimeoutStopSec"][0]) > LimitSettings().drain
    assert float(service["WatchdogSec"][0]) >= 10


def test_it_runs_without_rights_and_has_its_secret_from_a_file(service: dict[str, list[str]]) -> None:
    assert service["User"] == ["harmony-connector"]
    assert service["NoNewPrivileges"] == ["yes"]
    assert service["CapabilityBoundingSet"] == [""]
    assert service["ProtectSystem"] == ["strict"]
    assert service["Environment"] == ["CONNECTOR_ASTERISK__SECRET_FILE=%d/ami"]


def test_it_can_measure_itself(service: dict[str, list[str]], tmp_path: Path) -> None:
    # With ProcSubset=pid there are the processes in /proc, and nothing else.
    (tmp_path / "self").symlink_to("/proc/self")
    blind = CollectorRegistry()
    ProcessCollector(proc=str(tmp_path), registry=blind)
    assert blind.get_sample_value("process_resident_memory_bytes") is None
    assert "ProcSubset" not in service
    assert Metrics().registry.get_sample_value("process_resident_memory_bytes")


def test_the_container_can_change_nothing_and_has_no_rights() -> None:
    services = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text())["services"]
    for name in ("bridge", "connector"):
        service = services[name]
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert "user" not in service
        assert all(volume.endswith(":ro") for volume in service.get("volumes", ()))
    image = (ROOT / "docker" / "connector.Dockerfile").read_text().splitlines()
    (user,) = (line for line in image if line.startswith("USER "))
    assert user == "USER connector"
    assert image.index(user) < next(at for at, line in enumerate(image) if line.startswith("ENTRYPOINT"))
