"""Recorded manager sessions give the same changes as ever: each trace lies beside the changes it must give.

After a wanted change of the model: `python tests/replay/test_traces.py` writes the expectations anew; read
the difference before you commit it.
"""

import re
from collections import Counter
from pathlib import Path

import pytest
from typer.testing import CliRunner

from connector.asterisk.replay import ReplayError, agents_in, describe, replay
from connector.asterisk.trace import TraceError
from connector.cli import app

HERE = Path(__file__).parent
TRACES = sorted((HERE / "traces").glob("*.gz"))


def expected_file(trace: Path) -> Path:
    return HERE / "expected" / trace.name.replace(".txt.gz", ".changes")


def changes_of(trace: Path) -> list[str]:
    return [f"{at:10.1f}  {describe(change)}" for at, change in replay(trace, agents_in(trace))]


@pytest.mark.parametrize("trace", TRACES, ids=lambda trace: trace.name.removesuffix(".txt.gz"))
def test_a_trace_gives_its_changes(trace: Path) -> None:
    assert changes_of(trace) == expected_file(trace).read_text().splitlines()


@pytest.mark.parametrize("trace", TRACES, ids=lambda trace: trace.name.removesuffix(".txt.gz"))
def test_every_interaction_ends_once(trace: Path) -> None:
    counted = Counter(
        (match[1], match[2])
        for line in changes_of(trace)
        if (match := re.search(r"(InteractionAdded|InteractionEnded) interaction=(\S+)", line))
    )
    added = {leg for kind, leg in counted if kind == "InteractionAdded"}
    ended = {leg for kind, leg in counted if kind == "InteractionEnded"}
    assert added == ended
    assert set(counted.values()) == {1}


def test_the_command_prints_the_changes() -> None:
    result = CliRunner().invoke(app, ["replay", str(TRACES[0])])
    assert result.exit_code == 0
    assert result.output.splitlines() == expected_file(TRACES[0]).read_text().splitlines()


def test_a_file_that_is_no_trace_is_one_line_and_status_1(tmp_path: Path) -> None:
    file = tmp_path / "broken.txt"
    file.write_text("<<< 1.0\nthis is no header\n\n<<< 2.0\nEvent: Hangup\n\n")
    with pytest.raises(TraceError):
        changes_of(file)
    result = CliRunner().invoke(app, ["replay", str(file)])
    assert result.exit_code == 1
    assert "Traceback" not in result.output
    assert str(file) in result.output


def test_a_trace_that_the_model_cannot_follow_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tables allow all that Asterisk does; so one is narrowed here to see the error."""
    from connector.telephony import interactions
    from connector.telephony.states import ConversationState

    narrow = dict(interactions.CONVERSATION_STEPS) | {
        ConversationState.ALERTING: frozenset({ConversationState.RELEASED})
    }
    monkeypatch.setattr(interactions, "CONVERSATION_STEPS", narrow)
    trace = next(one for one in TRACES if one.name.startswith("02_"))
    with pytest.raises(ReplayError, match=r"cannot go from ALERTING to TALKING"):
        changes_of(trace)
    result = CliRunner().invoke(app, ["replay", str(trace)])
    assert result.exit_code == 1


if __name__ == "__main__":
    (HERE / "expected").mkdir(exist_ok=True)
    for each in TRACES:
        expected_file(each).write_text("\n".join(changes_of(each)) + "\n")
