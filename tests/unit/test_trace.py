"""Traces: what is written reads back the same, without secrets; faults name file and line."""

import gzip
from collections.abc import Sequence
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.asterisk.trace import Record, TraceError, TraceReader, TraceWriter, redacted, render_record
from connector.asterisk.wire import AmiMessage, AmiWireError, parse_message

HANGUP = AmiMessage([("Event", "Hangup"), ("Uniqueid", "u-1"), ("AccountCode", "")])


def written(path: Path, text: str) -> Path:
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def record(path: Path, messages: Sequence[AmiMessage]) -> list[Record]:
    ticks = count()
    with TraceWriter(path, clock=lambda: next(ticks) / 1000) as writer:
        for message in messages:
            writer("<<<", message)
    return list(TraceReader(path))


@pytest.mark.parametrize("name", ["a.txt", "a.txt.gz"])
def test_a_recording_reads_back_with_its_times_and_metadata(tmp_path: Path, name: str) -> None:
    now = iter((100.0, 100.0452, 101.5))
    metadata = {"started": "2026-11-21T04:17:57Z", "pbx": "Asterisk 22.10.1 = lab #1", "empty": ""}
    with TraceWriter(tmp_path / name, metadata, clock=lambda: next(now)) as writer:
        writer(">>>", AmiMessage([("Action", "Ping"), ("ActionID", "t-1")]))
        writer("<<<", HANGUP)
        assert writer.records == 2
    reader = TraceReader(tmp_path / name)
    assert list(reader) == [
        (">>>", 45.2, AmiMessage([("Action", "Ping"), ("ActionID", "t-1")])),
        ("<<<", 1500.0, HANGUP),
    ]
    assert reader.metadata == metadata
    assert not reader.cut_off
    assert (tmp_path / name).stat().st_mode & 0o777 == 0o600
    head = (gzip.open if name.endswith(".gz") else open)(tmp_path / name, "rb").readline()
    assert head.startswith(b"# harmony-connector trace 1 started=2026-11-21T04%3A17%3A57Z ")


_HEADERS = st.lists(
    st.tuples(
        st.sampled_from(["Event", "CallerIDName", "ChanVariable(PJSIP/1-1)", "Value"]),
        st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
        | st.text(st.sampled_from("\n\r #<> 1:"), max_size=12),
    ),
    min_size=1,
    max_size=4,
)


@given(_HEADERS)
def test_any_received_message_reads_back_the_same(
    tmp_path_factory: pytest.TempPathFactory, headers: list[tuple[str, str]]
) -> None:
    try:
        message = parse_message("\r\n".join(f"{name}: {value}" for name, value in headers))
    except AmiWireError:
        return
    path = tmp_path_factory.mktemp("trace") / "any.txt"
    assert [read for _, _, read in record(path, [message, HANGUP])] == [message, HANGUP]


def test_secrets_never_reach_the_file(tmp_path: Path) -> None:
    hush = "h4sh-m3"
    messages = [
        AmiMessage([("Action", "Login"), ("Username", "harmony"), ("Secret", hush)]),
        AmiMessage([("Action", "Login"), ("AuthType", "MD5"), ("Key", hush)]),
        AmiMessage([("Action", "Originate"), ("Variable", f"__AGENT_PASSWORD={hush}"), ("Variable", "A=1")]),
        AmiMessage([("Event", "VarSet"), ("Variable", "API_SECRET"), ("Value", hush)]),
        AmiMessage([("Event", "Newchannel"), ("ChanVariable", f"token={hush}")]),
        AmiMessage([("Event", "BridgeEnter"), ("ChanVariable(PJSIP/1-1)", f"Passwd={hush}")]),
        AmiMessage([("Event", "X"), ("AuthPassword", hush), ("client_secret", hush), ("PrivateKey", hush)]),
    ]
    record(tmp_path / "a.txt", messages)
    text = (tmp_path / "a.txt").read_text()
    assert hush not in text
    for kept in ("Username: harmony", "Variable: A=1", "Variable: __AGENT_PASSWORD=***", "Key: ***"):
        assert f"\n{kept}\n" in text


def test_what_is_no_secret_stays() -> None:
    message = AmiMessage(
        [("Event", "DTMFEnd"), ("Variable", "KEYPAD=5"), ("Value", "password"), ("KeyCount", "1")]
    )
    assert redacted(message) == message


def test_a_trace_from_elsewhere(tmp_path: Path) -> None:
    path = written(
        tmp_path / "a.txt", ">>> 45\nAction: Ping\n\n\n<<< 45.3\nResponse: Success\nPing: Pong\n\n"
    )
    reader = TraceReader(path)
    assert [(way, ms) for way, ms, _ in reader] == [(">>>", 45.0), ("<<<", 45.3)]
    assert (reader.metadata, reader.cut_off) == ({}, False)


WHOLE = render_record("<<<", 1.0, HANGUP)


@pytest.mark.parametrize("length", range(len(WHOLE)))
def test_a_record_that_was_cut_off_is_left_out(tmp_path: Path, length: int) -> None:
    reader = TraceReader(written(tmp_path / "a.txt", WHOLE + WHOLE[:length]))
    assert [message for _, _, message in reader] == [HANGUP]
    assert reader.cut_off == (length > 0)


def test_a_compressed_trace_without_its_end(tmp_path: Path) -> None:
    path = tmp_path / "a.txt.gz"
    whole = gzip.compress("".join(render_record("<<<", n, HANGUP) for n in range(200)).encode(), 0)
    path.write_bytes(whole[: len(whole) // 2])
    reader = TraceReader(path)
    assert 0 < sum(1 for _ in reader) < 200
    assert reader.cut_off


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("hello\n", 1, "expected '>>> ms' or '<<< ms', found 'hello'"),
        ("<<< soon\nEvent: E\n\n", 1, "expected '>>> ms'"),
        (WHOLE + "<<< 1.0\n\n", 6, "an empty message"),
        (WHOLE + "<<< 1.0\nEvent: E\nnonsense\n\n", 8, "expected a header, found 'nonsense'"),
        (WHOLE + "<<< 1.0\nEvent: E\n on\n and on\nnonsense\n\n", 10, "expected a header, found 'nonsense'"),
        ("<<< 1.0\n no header\n\n", 2, "expected a header"),
        ("# harmony-connector trace 2\n", 1, "version"),
        ("# harmony-connector trace 1 what\n", 1, "expected key=value, found 'what'"),
        ("<<< 1.0\n" + "A: b\n" * 10_001, 1, "more than 10000 lines"),
        ("x" * (1 << 20), 1, "a line without end"),
    ],
)
def test_faults_are_told_with_file_and_line(tmp_path: Path, text: str, line: int, what: str) -> None:
    path = written(tmp_path / "a.txt", text)
    with pytest.raises(TraceError) as caught:
        list(TraceReader(path))
    assert (caught.value.file, caught.value.line) == (path, line)
    assert what in caught.value.what
    assert str(caught.value).startswith(f"{path}:{line}: ")


def test_files_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "latin.txt").write_bytes(b"<<< 1.0\nName: M\xfcller\n\n")
    with pytest.raises(TraceError, match=r"latin.txt:2: not UTF-8 text"):
        list(TraceReader(tmp_path / "latin.txt"))
    (tmp_path / "plain.txt.gz").write_text(WHOLE)
    with pytest.raises(TraceError, match=r"plain.txt.gz: Not a gzipped file"):
        list(TraceReader(tmp_path / "plain.txt.gz"))
    damaged = bytearray(gzip.compress((WHOLE * 50).encode()))
    damaged[20] ^= 0xFF
    (tmp_path / "damaged.txt.gz").write_bytes(damaged)
    with pytest.raises(TraceError, match=r"damaged.txt.gz"):
        list(TraceReader(tmp_path / "damaged.txt.gz"))
    with pytest.raises(TraceError, match=r"none.txt: No such file"):
        list(TraceReader(tmp_path / "none.txt"))


def test_a_recording_stays_within_its_limit(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with TraceWriter(path, limit=300) as writer:
        for _ in range(100):
            writer("<<<", HANGUP)
        assert writer.full
    assert path.stat().st_size < 400
    reader = TraceReader(path)
    assert 0 < len(list(reader)) < 10
    assert not reader.cut_off
