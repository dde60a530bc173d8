"""Hostile and broken input from the bridge's side: answered where it can be, and the connector goes on."""

import asyncio
import json
import struct
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from desk import TRANSPORT, WAIT, Desk, settings_for

from connector.app import Connector
from connector.lab.provider import LabInfo, LabProvider
from connector.telephony.changes import ServiceChanged


class RawBridge:
    """A bridge that sends bytes as it likes and reads frames."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, payload: bytes) -> None:
        self.writer.write(struct.pack(">I", len(payload)) + payload)

    def ask(self, name: str, request_id: str, target: str = "LAB.CONTROL", **body: Any) -> None:
        kind = "cti.query" if ".query." in name else "cti.request"
        header = {"type": kind, "name": name, "target": target, "requestId": request_id}
        self.send(json.dumps({"header": header, "body": body}).encode())

    async def answer_to(self, request_id: str) -> dict[str, str]:
        async with asyncio.timeout(WAIT):
            while True:
                (length,) = struct.unpack(">I", await self.reader.readexactly(4))
                header: dict[str, str] = json.loads(await self.reader.readexactly(length))["header"]
                if header.get("requestId") == request_id:
                    return header

    async def still_works(self) -> None:
        self.ask("cti.query.capabilities", "proof")
        assert (await self.answer_to("proof"))["result"] == "SUCCESS"


@pytest.fixture
async def raw(provider: LabProvider, lab: LabInfo, tmp_path: Path) -> AsyncIterator[RawBridge]:
    if TRANSPORT != "tcp":
        pytest.skip("raw frames: there are none on a broker; test_amqp.py has the like")
    met: asyncio.Queue[RawBridge] = asyncio.Queue()

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        met.put_nowait(RawBridge(reader, writer))

    server = await asyncio.start_server(meet, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    # The raw bytes below are in the catalogue's words, whatever dialect the suite runs in.
    over = {"bridge": {"max_frame_bytes": 65536, "dialect": ""}}
    connector = Connector(settings_for(lab, tmp_path, port, over))
    in_service = asyncio.Event()
    connector.pbx.subscribe(lambda change: in_service.set() if isinstance(change, ServiceChanged) else None)
    stop = asyncio.Event()
    running = asyncio.create_task(connector.run(stop))
    bridge = await asyncio.wait_for(met.get(), WAIT)
    await asyncio.wait_for(in_service.wait(), WAIT)
    yield bridge
    stop.set()
    await running
    bridge.writer.close()
    server.close()
    await server.wait_closed()


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"no json",
        b"[1, 2",
        b"\xff\xfe\x00",
        b"[]",
        b'{"body": {}}',
        b'{"header": {"type": "cti.request"}}',
        b'{"header": {"type": "cti.nonsense", "name": "x", "target": "LAB.CONTROL", "requestId": "r"}}',
        b'{"header": {"type": 7, "name": [], "target": {}, "requestId": null}}',
        b'{"header": ' + b'{"a":' * 500 + b"1" + b"}" * 500 + b"}",
    ],
    ids=lambda payload: repr(payload[:30]),
)
async def test_broken_json_and_headers_do_not_end_the_connection(raw: RawBridge, payload: bytes) -> None:
    raw.send(payload)
    await raw.still_works()


async def test_a_body_that_is_no_object_is_answered(raw: RawBridge) -> None:
    raw.send(
        b'{"header": {"type": "cti.request", "name": "cti.request.serverstatus", "target": "LAB.CONTROL",'
        b' "requestId": "r1"}, "body": 7}'
    )
    answer = await raw.answer_to("r1")
    assert answer["result"] == "FAILURE"
    assert answer["errorMessage"]
    await raw.still_works()


@pytest.mark.parametrize("missing", ["name", "target", "type"])
async def test_a_request_without_a_header_is_answered_by_its_id(raw: RawBridge, missing: str) -> None:
    header = {"type": "cti.request", "name": "cti.request.serverstatus", "target": "LAB.CONTROL"}
    del header[missing]
    raw.send(json.dumps({"header": {**header, "requestId": "r1"}, "body": {}}).encode())
    answer = await raw.answer_to("r1")
    assert answer["result"] == "FAILURE"
    assert missing in answer["errorMessage"]


@pytest.mark.parametrize(
    "body",
    [b'{"a":', b'{"a": tru}}', b'{"a": "' + b"x" * 200_000 + b'"}}', b'{"a": "\xff"}}'],
    ids=["cut", "broken", "oversized", "no UTF-8"],
)
async def test_a_request_whose_body_cannot_be_read_is_answered_by_its_id(raw: RawBridge, body: bytes) -> None:
    header = (
        b'{"type": "cti.request", "name": "cti.request.serverstatus", "target": "LAB.CONTROL",'
        b' "requestId": "r1"}'
    )
    raw.send(b'{"header": ' + header + b', "body": ' + body)
    answer = await raw.answer_to("r1")
    assert answer["result"] == "FAILURE"
    assert answer["name"] == "cti.request.serverstatus"
    assert answer["errorMessage"].startswith("The message cannot be read: ")
    await raw.still_works()


async def test_an_oversized_frame_is_skipped_and_the_stream_goes_on(raw: RawBridge) -> None:
    raw.send(b"x" * 200_000)
    await raw.still_works()


async def test_a_frame_in_single_bytes_is_read(raw: RawBridge) -> None:
    header = {
        "type": "cti.query",
        "name": "cti.query.capabilities",
        "target": "LAB.CONTROL",
        "requestId": "r1",
    }
    payload = json.dumps({"header": header, "body": {}}).encode()
    for byte in struct.pack(">I", len(payload)) + payload:
        raw.writer.write(bytes([byte]))
        await raw.writer.drain()
    assert (await raw.answer_to("r1"))["result"] == "SUCCESS"


@pytest.mark.parametrize(
    ("name", "target", "body"),
    [
        ("cti.request.fly", "LAB.CONTROL", {}),
        ("session.query.init", "nowhere", {}),
        ("channel.request.dial", "a.b.c.d.e.f.g.h", {"destination": "2001"}),
        ("cti.request.createsession", "LAB.CONTROL", {"agentId": "1001"}),
        ("cti.request.createsession", "LAB.CONTROL", {"agentId": ["1001"], "agentPassword": {}}),
        ("cti.request.serverstatus", "OTHER.CONTROL", {}),
        ("cti.request.serverstatus", "", {}),
    ],
)
async def test_what_cannot_be_carried_out_is_a_failure_with_a_sentence(
    raw: RawBridge, name: str, target: str, body: dict[str, Any]
) -> None:
    raw.ask(name, "r1", target, **body)
    answer = await raw.answer_to("r1")
    assert answer["result"] == "FAILURE"
    assert answer["name"] == name
    assert answer["errorMessage"].endswith(".")
    assert "\n" not in answer["errorMessage"]
    await raw.still_works()


@pytest.mark.parametrize(("agent", "password"), [("1001", "wrong"), ("nobody", "x"), ("", ""), ("1001", "")])
async def test_a_wrong_password_opens_no_session(raw: RawBridge, agent: str, password: str) -> None:
    raw.ask("cti.request.serverstatus", "r0")
    assert (await raw.answer_to("r0"))["result"] == "SUCCESS"
    raw.ask(
        "cti.request.createsession",
        "r1",
        agentId=agent,
        agentPassword=password,
        sessionId="s",
        destination="LAB.S",
    )
    answer = await raw.answer_to("r1")
    assert (answer["result"], answer["errorMessage"]) == ("FAILURE", "Agent id or password is wrong.")
    raw.ask("session.query.init", "r2", "LAB.S")
    assert (await raw.answer_to("r2"))["result"] == "FAILURE"


async def test_a_password_never_reaches_the_log(at_desk: Desk, capfd: pytest.CaptureFixture[str]) -> None:
    account = at_desk.info.agents["1001"]
    session = await at_desk.login("1001", ready=False)
    await at_desk.bridge.request(
        "LAB.CONTROL",
        "cti.request.createsession",
        {"agentId": "1001", "agentPassword": "s3cret-guess", "sessionId": "x", "destination": "LAB.X"},
    )
    await session.close()
    printed = "".join(capfd.readouterr())
    secrets = {account.password, "s3cret-guess", at_desk.info.ami["harmony"].secret}
    assert not [secret for secret in secrets if secret in printed]
