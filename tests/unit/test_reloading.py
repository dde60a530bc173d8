"""A configuration that is read again: what counts at once, what is told to wait, what is refused."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from msgspec.structs import replace
from structlog.testing import capture_logs

from connector.app import Connector
from connector.asterisk.settings import AnswerMethod, ConsultStrategy
from connector.config import Settings, load_settings
from connector.directory import hash_password
from connector.reloading import FIXED, changed_sections, takeable

HASH = hash_password("right")
FIRST: dict[str, Any] = {
    "processor": "P",
    "bridge": {"host": "bridge.example.com"},
    "asterisk": {"username": "harmony", "secret": "hunter2"},
    "agents": {"1001": {"password_hash": HASH, "extension": "1001"}},
    "monitoring": {"port": 0},
}


def written(file: Path, text: str) -> None:
    file.write_text(text)


def loaded(file: Path, **over: Any) -> Settings:
    written(file, yaml.safe_dump(FIRST | over))
    return load_settings(file, environ={})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "connector.yaml"


def connector_of(file: Path) -> Connector:
    return Connector(loaded(file), load=lambda: load_settings(file, environ={}))


async def test_a_reload_counts_for_the_next_request(file: Path) -> None:
    connector = connector_of(file)
    dial, directory = connector._dial, connector.directory
    loaded(
        file,
        dial={"timeout": 7, "deny": ["_0900."]},
        phones={"desk": {"answer": "auto-answer"}},
        agents={"1002": {"password_hash": HASH, "extension": "1002", "phone": "desk"}},
        reasons={"not_ready": {"lunch": {"labels": {"en-US": {"name": "Lunch"}}}}},
        numbers={"region": "DE"},
        handling={"fallback_queue": "", "orphans": ["agent"]},
        limits={"drain": 1},
    )
    with capture_logs() as logged:
        await connector.reload()
    (line,) = logged
    assert (line["event"], line["agents"]) == ("configuration and agents read again", 1)
    assert line["changed"] == ["dial", "phones", "numbers", "handling", "agents", "reasons", "limits"]
    assert (dial.timeout, dial.permits("0900123"), dial.permits("123")) == (7, False, True)
    assert dial.written("04419922000") == "+494419922000"
    assert dial.phone_at("1002").answer is AnswerMethod.AUTO_ANSWER
    assert directory.get("1001") is None
    assert directory.get("1002") is not None
    assert connector.pbx.model.watches("1002")
    assert [reason.id for reason in connector.tree.site.not_ready] == ["lunch"]
    assert connector.settings.limits.drain == 1
    await directory.close()


async def test_what_needs_a_restart_is_told_by_key_and_left_as_it_was(file: Path) -> None:
    connector = connector_of(file)
    loaded(
        file,
        asterisk={"username": "harmony", "secret": "other-secret", "port": 5039},
        dial={"consult": "atxfer", "timeout": 9},
        handling={"hold_limit": 60},
    )
    with capture_logs() as logged:
        await connector.reload()
        await connector.reload()
    waiting = [line["keys"] for line in logged if "keys" in line]
    assert waiting == [["asterisk.port", "asterisk.secret", "dial.consult", "handling.hold_limit"]] * 2
    assert "other-secret" not in str(logged)
    assert connector.settings.asterisk.port == 5038
    assert connector._dial.consult is ConsultStrategy.ROOMS
    assert connector._dial.handling.hold_limit == 3600
    assert connector._dial.timeout == 9
    await connector.directory.close()


@pytest.mark.parametrize(
    "wrong",
    [
        "agents: [",
        "processor: P\n",
        yaml.safe_dump(FIRST | {"dial": {"timeout": -1}}),
        yaml.safe_dump(FIRST | {"agents": {"1001": {"password_hash": "plain", "extension": "1001"}}}),
    ],
)
async def test_a_bad_file_changes_nothing_and_is_told_in_one_line(file: Path, wrong: str) -> None:
    connector = connector_of(file)
    before = connector.settings
    written(file, wrong)
    with capture_logs() as logged:
        await connector.reload()
    (line,) = logged
    assert (line["log_level"], line["event"]) == (
        "error",
        "configuration and agents not read again; those of before stay",
    )
    assert "connector.yaml" in line["problem"]
    assert connector.settings is before
    assert connector.metrics.registry.get_sample_value("connector_reloads_total", {"result": "bad"}) == 1
    loaded(file, dial={"timeout": 5})
    await connector.reload()
    assert connector._dial.timeout == 5
    await connector.directory.close()


def test_every_fixed_key_exists_and_stays(file: Path) -> None:
    old = loaded(file)
    for path in FIXED:
        section: Any = old
        for name in path:
            section = getattr(section, name)
    new = replace(old, processor="Q")
    assert takeable(old, new) == (old, ["processor"])
    assert changed_sections(old, new) == ["processor"]
