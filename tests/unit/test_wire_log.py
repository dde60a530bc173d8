"""Recordings of the bridge's wire: what is in them, what is not, and how large they become."""

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest
from processor_client import Client
from typer.testing import CliRunner

from connector.bridge.memory import memory_pair
from connector.bridge.messages import Kind, Message, control, conversation, request_message, success
from connector.bridge.recorder import RecordedTransport
from connector.bridge.wirelog import (
    FORMAT,
    MIB,
    Way,
    WireLogError,
    WireWriter,
    earlier,
    read_wire,
)
from connector.cli import app
from connector.processor.server import ReferenceBridge

CREATE = control.CreateSession(
    agent_id="1001", agent_password="geheim", session_id="s", destination="LAB.SESSION.1"
)

FIRST = f'{{"at":"2026-01-01T00:00:00Z","way":"start","format":"{FORMAT}"}}\n'
EVENT = '{"at":"2026-01-01T00:00:00Z","way":"to-bridge","header":{"type":"cti.event","name":"x"}}\n'


def lines_of(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()]


def test_a_message_comes_back_as_it_was_but_for_its_password(tmp_path: Path) -> None:
    file = tmp_path / "wire.jsonl"
    asked = request_message("LAB.CONTROL", CREATE, "r1")
    writer = WireWriter(file)
    writer.note(Way.UP)
    writer.message(Way.TO_CONNECTOR, asked)
    writer.message(Way.TO_BRIDGE, success(asked))
    writer.note(Way.DOWN, "closed")
    writer.close()
    text = file.read_text("utf-8")
    assert "geheim" not in text
    assert [each.get("way") for each in lines_of(file)] == [
        "start",
        "up",
        "to-connector",
        "to-bridge",
        "down",
    ]
    assert lines_of(file)[0]["format"] == FORMAT
    up, there, back, down = read_wire(file)
    assert (up.way, down.way, down.text) == (Way.UP, Way.DOWN, "closed")
    assert there.message is not None
    assert there.message.body == {**asked.body, "agentPassword": "…"}
    assert (there.message.name, there.message.request_id) == (asked.name, "r1")
    assert back.message == success(asked)
    assert up.at <= there.at <= back.at


def test_passwords_are_left_out_wherever_they_are_and_tones_too(tmp_path: Path) -> None:
    file = tmp_path / "wire.jsonl"
    writer = WireWriter(file)
    odd = Message(Kind.REQUEST, "x.y", "t", {"a": [{"Old-PASSWORD": "geheim"}]}, request_id="1")
    writer.message(Way.TO_CONNECTOR, odd)
    tones = conversation.SendDtmf(tones="4711#")
    writer.message(Way.TO_CONNECTOR, request_message("t", tones, "2"))
    writer.close()
    text = file.read_text("utf-8")
    assert "geheim" not in text
    assert "4711#" not in text  # the bare digits may stand in a time
    assert read_wire(file)[1].message == request_message("t", conversation.SendDtmf(tones="00000"), "2")


def test_the_file_is_the_owners_only_and_never_larger_than_allowed(tmp_path: Path) -> None:
    file = tmp_path / "wire.jsonl"
    file.touch(0o666)
    writer = WireWriter(file, limit=20_000)
    event = Message(Kind.EVENT, "interaction.datachanged", "t", {"interaction-data": {"a": "x" * 500}})
    most = 0
    for _ in range(200):
        writer.message(Way.TO_BRIDGE, event)
        sizes = [each.stat().st_size for each in (file, earlier(file)) if each.exists()]
        most = max(most, sum(sizes))
    writer.close()
    assert 15_000 < most <= 20_000 + 400
    assert {each.stat().st_mode & 0o777 for each in (file, earlier(file))} == {0o600}
    # The older half is read with the newer: together they are what came last.
    records = read_wire(file)
    assert 15 < len(records) < 40
    assert all(each.message == event for each in records)


def test_a_recording_that_is_there_becomes_the_older_one(tmp_path: Path) -> None:
    file = tmp_path / "wire.jsonl"
    for reason in ("first", "second"):
        writer = WireWriter(file)
        writer.note(Way.DOWN, reason)
        writer.close()
    assert [each.text for each in read_wire(file)] == ["second"]
    assert [each.text for each in read_wire(earlier(file))] == ["first"]


@pytest.mark.parametrize("there", ["a file", "a folder", "a link"])
def test_nothing_else_is_overwritten(tmp_path: Path, there: str) -> None:
    file = tmp_path / "connector.yaml"
    if there == "a folder":
        file.mkdir()
    elif there == "a link":
        (tmp_path / "target").touch()
        file.symlink_to(tmp_path / "target")
    else:
        file.write_text("processor: LAB\n")
    with pytest.raises(WireLogError) as told:
        WireWriter(file)
    assert len(str(told.value).splitlines()) == 1
    if there == "a file":
        assert file.read_text() == "processor: LAB\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("hello\n", ":1: expected a line of a recording"),
        ("{}\n", ":1: expected a line of a recording"),
        ('{"at":"2026-01-01T00:00:00Z","way":"up"}\n', "begins with format"),
        ('{"at":"2026-01-01T00:00:00Z","way":"start","format":"x/1"}\n', "begins with format"),
        (FIRST + EVENT, ":2: Header 'target' is missing."),
        (FIRST + FIRST, ":2: expected a recording that begins with format"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_recording_is_told_in_one_line(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "wire.jsonl"
    file.write_text(text)
    with pytest.raises(WireLogError) as told:
        read_wire(file)
    assert said in str(told.value)
    assert len(str(told.value).splitlines()) == 1


def test_a_line_that_was_cut_off_at_the_end_is_left_out(tmp_path: Path) -> None:
    file = tmp_path / "wire.jsonl"
    writer = WireWriter(file)
    writer.note(Way.UP)
    writer.close()
    with file.open("a") as more:
        more.write('{"at":"2026-01-01T00:00:00Z","way":"to-br')
    assert [each.way for each in read_wire(file)] == [Way.UP]


def test_a_file_that_is_missing_is_told(tmp_path: Path) -> None:
    with pytest.raises(WireLogError, match="cannot be read: No such file"):
        read_wire(tmp_path / "none")


async def test_the_tap_records_both_ways_and_the_connection(tmp_path: Path) -> None:
    file = tmp_path / "wire.jsonl"
    near, far = memory_pair()
    tapped = RecordedTransport(near, WireWriter(file, limit=64 * MIB))
    client = Client(tapped.send)
    async with ReferenceBridge() as bridge:
        bridge.attach(far)
        running = asyncio.create_task(tapped.run(client))
        await bridge.wait_in_service()
        await bridge.login("1001", "right")
        assert tapped.is_connected
        await tapped.close()
        await running
        # After the end nothing is recorded any more, and nothing fails.
        tapped.send(Message(Kind.EVENT, "channel.ready", "t"))
        seen = [each.message for each in bridge.log]
    records = read_wire(file)
    assert (records[0].way, records[-1].way) == (Way.UP, Way.DOWN)
    told = [each.message for each in records if each.message is not None]
    assert [(each.name, each.kind) for each in told] == [(each.name, each.kind) for each in seen]
    assert "right" not in file.read_text()


async def test_a_full_disk_ends_the_recording_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    near, far = memory_pair()
    tapped = RecordedTransport(near, WireWriter(tmp_path / "wire.jsonl"))
    client = Client(tapped.send)

    def full(_file: int, _data: object) -> int:
        raise OSError(28, "No space left on device")

    async with ReferenceBridge() as bridge:
        bridge.attach(far)
        running = asyncio.create_task(tapped.run(client))
        await bridge.wait_in_service()
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", full)
            session = await bridge.login("1001", "right")
            await session.channel.activate()
        await tapped.close()
        await running
    assert read_wire(tmp_path / "wire.jsonl")


def test_a_configuration_whose_recording_cannot_be_written_is_told(tmp_path: Path) -> None:
    file = tmp_path / "connector.yaml"
    plain = "bridge: {host: b.example.com, record: %s}\nasterisk: {username: u, secret: x}\nprocessor: LAB\n"
    for place in ("connector.yaml", "no-such-folder/wire.jsonl"):
        file.write_text(plain % place)
        result = CliRunner().invoke(app, ["run", "--config", str(file)])
        assert (result.exit_code, len(result.stderr.splitlines())) == (2, 1)
        assert "bridge.record" in result.stderr
        assert place in result.stderr
