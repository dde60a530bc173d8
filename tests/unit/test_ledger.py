"""The ledger: what is staged together is committed together, in order, and the file outlives the process."""

import asyncio
import sqlite3
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from connector.bridge.ledger import Batch, Ledger, NoStore, packed, position_of, unpacked
from connector.bridge.ledger_copy import Record, Recorder, Replica
from connector.bridge.ledger_file import SCHEMA, StoreError, StoreFile


class Slow(NoStore):
    """Keeps batches, when it is let."""

    def __init__(self) -> None:
        self.batches: list[dict[str, bytes | None]] = []
        self.free = asyncio.Event()
        self.fails = False

    async def write(self, batch: Batch) -> None:
        await self.free.wait()
        if self.fails:
            raise OSError("no space")
        self.batches.append(dict(batch))


def plain(batch: Batch) -> dict[str, Any]:
    return {
        key: unpacked(value) if value else None for key, value in batch.items() if not key.startswith("meta/")
    }


async def test_one_turn_is_one_batch_and_a_later_turn_waits() -> None:
    store = Slow()
    ledger = Ledger(store)
    ledger.put("a", lambda: 1)
    ledger.put("b", lambda: 2)
    first = ledger.staged_turn
    await asyncio.sleep(0)
    ledger.put("a", lambda: 3)
    ledger.drop("b")
    assert (ledger.staged_turn, ledger.done_turn) == (first + 1, 0)
    done = asyncio.create_task(ledger.flushed())
    await asyncio.sleep(0)
    assert not done.done()
    store.free.set()
    await done
    assert [plain(each) for each in store.batches] == [{"a": 1, "b": 2}, {"a": 3, "b": None}]
    assert ledger.done_turn == first + 1
    await ledger.flushed()


async def test_what_could_not_be_written_goes_with_the_next_batch_and_blocks_nobody() -> None:
    store = Slow()
    store.free.set()
    ledger, told = Ledger(store), []
    ledger.committed = told.append
    store.fails = True
    with capture_logs() as logs:
        ledger.put("a", lambda: 1)
        await ledger.flushed()
        ledger.put("b", lambda: 2)
        await ledger.flushed()
    assert [each["event"] for each in logs] == ["the state cannot be written"]
    assert len(told) == 2
    store.fails = False
    ledger.drop("b")
    await ledger.flushed()
    assert [plain(each) for each in store.batches] == [{"a": 1, "b": None}]


async def test_rows_of_a_newer_copy_are_written_though_a_batch_is_under_way() -> None:
    store = Slow()
    ledger = Ledger(store)
    ledger.put("a", lambda: 1)
    under_way = asyncio.create_task(ledger.flushed())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    ledger.replace({"b": packed(2)})
    store.free.set()
    await under_way
    await ledger.close()
    assert [plain(each) for each in store.batches] == [{"a": 1}, {"a": None, "b": 2}]


@pytest.mark.parametrize("text", ["plain", "ü€😀", "\udc80 half a character", 'quote " and \x00'])
def test_any_text_comes_back(text: str) -> None:
    assert unpacked(packed({"text": text})) == {"text": text}


async def test_the_file_outlives_the_process(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    ledger = Ledger(StoreFile(path, "LAB"))
    ledger.put("a", lambda: {"x": 1})
    ledger.put("b", lambda: 2)
    await ledger.flushed()
    ledger.drop("b")
    await ledger.close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    again = Ledger(StoreFile(path, "LAB"))
    assert plain(again.rows) == {"a": {"x": 1}}
    assert again.position == ledger.position
    await again.close()


async def test_a_file_has_one_process_one_processor_and_a_known_version(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    store = StoreFile(path, "LAB")
    with pytest.raises(StoreError, match="used by another process") as used:
        StoreFile(path, "LAB")
    assert used.value.may_pass
    await store.close()
    with pytest.raises(StoreError, match="that of the processor LAB") as others:
        StoreFile(path, "OTHER")
    assert not others.value.may_pass
    raw = sqlite3.connect(path)
    raw.execute(f"PRAGMA user_version = {SCHEMA + 1}")
    raw.close()
    with pytest.raises(StoreError, match="newer version"):
        StoreFile(path, "LAB")
    with pytest.raises(StoreError, match="cannot be made"):
        StoreFile(tmp_path / "nowhere" / "state.db", "LAB")


async def test_a_broken_file_is_put_aside(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    path.write_bytes(b"this is no database" * 500)
    with capture_logs() as logs:
        store = StoreFile(path, "LAB")
    assert store.load() == {}
    assert logs[0]["event"] == "the state cannot be read; beginning anew"
    assert (tmp_path / "state.db.broken").exists()
    await store.close()


@pytest.mark.parametrize("harm", ["row", "page"])
async def test_a_file_with_a_broken_row_or_page_is_put_aside(tmp_path: Path, harm: str) -> None:
    path = tmp_path / "state.db"
    ledger = Ledger(StoreFile(path, "LAB"))
    for number in range(200):
        ledger.put(f"req/{number}", lambda: {"text": "x" * 200})
    await ledger.close()
    if harm == "row":
        with sqlite3.connect(path) as raw:
            raw.execute("UPDATE rows SET value = x'ff00' WHERE key = 'req/7'")
        raw.close()
    else:
        whole = path.read_bytes()
        path.write_bytes(whole[:8192] + b"\xff" * 8192 + whole[16384:])
    with capture_logs() as logs:
        again = Ledger(StoreFile(path, "LAB"))
    assert again.rows == {}
    assert [each["event"] for each in logs] == ["the state cannot be read; beginning anew"]
    assert (tmp_path / "state.db.broken").exists()
    again.put("a", lambda: 1)
    await again.close()
    assert plain(Ledger(StoreFile(path, "LAB")).rows) == {"a": 1}


STEPS = st.lists(
    st.tuples(st.sampled_from("abc"), st.one_of(st.none(), st.integers(0, 9))), min_size=1, max_size=30
)


@given(STEPS, st.sets(st.integers(0, 30)), st.integers(0, 30))
def test_a_replica_has_the_rows_or_knows_that_it_has_not(
    steps: list[tuple[str, int | None]], snapshots: set[int], heard_from: int
) -> None:
    rows: dict[str, bytes] = {}
    recorder, replica = Recorder(), Replica()
    records: list[Record] = []
    for number, (key, value) in enumerate(steps, 1):
        batch = {key: packed(value) if value is not None else None}
        batch |= {"meta/term": packed(1), "meta/number": packed(number)}
        rows |= {one: text for one, text in batch.items() if text is not None}
        if value is None:
            rows.pop(key, None)
        recorder.snapshot_due = number in snapshots or number == 1
        records.append(recorder.record(rows, batch))
    for record in records[heard_from:]:
        replica.take(record.kind, record.term, record.number, record.body)
        # The broker may deliver it twice.
        replica.take(record.kind, record.term, record.number, record.body)
    whole = any(one.kind == "snapshot" for one in records[heard_from:])
    assert replica.complete == whole
    if whole:
        assert replica.rows == rows
        assert replica.newest == position_of(rows)


def test_a_replica_does_not_trust_what_it_cannot_read_nor_what_comes_too_late() -> None:
    replica = Replica()
    first = Recorder().record({"meta/term": packed(2), "meta/number": packed(5), "a": packed(1)}, {})
    replica.take(first.kind, first.term, first.number, first.body)
    replica.take("batch", 1, 9, b"from an earlier leader")
    assert replica.complete
    replica.take("batch", 2, 6, b"no zlib")
    assert not replica.complete
