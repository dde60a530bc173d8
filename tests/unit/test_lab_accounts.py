"""The cast and the PBX's files must tell the same story."""

import re
from pathlib import Path

import pytest

from connector.lab import accounts

CONF = Path(__file__).resolve().parents[2] / "asterisk-conf"


def test_every_queue_has_its_section_and_its_number() -> None:
    queues = (CONF / "lab/queues.conf").read_text()
    dialplan = (CONF / "lab/extensions.conf").read_text()
    for queue in accounts.QUEUES:
        assert re.search(rf"^\[{queue.name}\]\(lab\)$", queues, re.MULTILINE)
        steps = re.search(rf"^exten => {queue.extension},1,.*(?:\n same => .*)+", dialplan, re.MULTILINE)
        assert steps is not None
        assert f"Queue({queue.name}," in steps[0]


def test_every_test_number_is_in_the_dialplan() -> None:
    dialplan = (CONF / "lab/extensions.conf").read_text()
    for number in accounts.TEST_NUMBERS:
        assert f"exten => {number},1," in dialplan


def test_agents_serve_queues_that_exist() -> None:
    names = {queue.name for queue in accounts.QUEUES}
    assert [agent.number for agent in accounts.AGENTS] == [str(number) for number in range(1001, 1011)]
    assert [who.number for who in accounts.CUSTOMERS] == [str(number) for number in range(2001, 2011)]
    assert all(set(agent.queues) <= names and "support" in agent.queues for agent in accounts.AGENTS)
    assert [agent.number for agent in accounts.AGENTS if "sales" in agent.queues] == [
        "1001",
        "1002",
        "1003",
        "1004",
        "1005",
    ]


def _event_filter() -> re.Pattern[str]:
    text = (CONF / "manager.harmony.conf").read_text()
    match = re.search(r"header\(Variable\),method\(regex\)\) = (\S+)$", text, re.MULTILINE)
    assert match is not None
    return re.compile(match[1])


@pytest.mark.parametrize(
    "name", ["HARMONY_X", "_HARMONY_X", "__HARMONY_X", "HARMONY_", "HARMONY_HARMONY", "__HARMONY_h"]
)
def test_interaction_data_passes_the_event_filter(name: str) -> None:
    assert _event_filter().search(name) is None


@pytest.mark.parametrize(
    "name",
    [
        *("DIALSTATUS", "H", "HA", "HAR", "HARM", "HARMO", "HARMON", "HARMONY", "HARMONYX", "XHARMONY_A"),
        *("_OTHER", "__OTHER", "___HARMONY_X", "_H", "__HARMONY", "harmony_x", "HARM_ONY", "LOCAL(ARGC)"),
    ],
)
def test_other_variables_are_kept_from_the_connector(name: str) -> None:
    assert _event_filter().search(name) is not None


def test_the_connectors_user_has_least_privilege() -> None:
    text = (CONF / "manager.harmony.conf").read_text()
    granted = {
        key: set(value.split(",")) for key, value in re.findall(r"^(read|write) = (\S+)$", text, re.MULTILINE)
    }
    assert granted == {
        "read": {"call", "agent", "user", "dialplan", "system"},
        "write": {"call", "originate", "agent", "reporting"},
    }
    assert "action(include)" not in text
