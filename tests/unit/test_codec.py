"""The codec: framing in any slicing, the envelope in both directions, and everything that is no message."""

import json
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.bridge.codec import (
    MAX_DEPTH,
    FrameDecoder,
    FrameTooLong,
    Malformed,
    decode,
    encode,
    encode_frame,
    from_wire,
    headers_of,
    salvaged,
)
from connector.bridge.dialect import Dialect
from connector.bridge.envelope import MAX_TEXT
from connector.bridge.framing import HEAD, frame
from connector.bridge.messages import (
    Kind,
    Message,
    Result,
    channel,
    conversation,
    error_message,
    event_message,
    failure,
    request_message,
    session,
    success,
    warning_message,
)

# -- framing ------------------------------------------------------------------------------------------------


@given(st.lists(st.binary(max_size=40), max_size=6), st.integers(1, 13))
def test_frames_survive_any_slicing(payloads: list[bytes], step: int) -> None:
    stream = b"".join(frame(each) for each in payloads)
    decoder = FrameDecoder(64)
    out: list[bytes | FrameTooLong] = []
    for start in range(0, len(stream), step):
        out.extend(decoder.feed(stream[start : start + step]))
    assert out == payloads
    assert decoder.buffered == 0


@given(st.integers(17, 200), st.integers(1, 50))
def test_an_oversized_frame_is_reported_once_and_skipped(size: int, step: int) -> None:
    stream = frame(b"a") + frame(b"x" * size) + frame(b"b")
    decoder = FrameDecoder(16)
    out: list[bytes | FrameTooLong] = []
    for start in range(0, len(stream), step):
        out.extend(decoder.feed(stream[start : start + step]))
        assert decoder.buffered <= 16 + 4
    assert out == [b"a", FrameTooLong(size, 16), b"b"]
    assert decoder.skipping == 0


@given(st.integers(17, 200), st.integers(1, 50))
def test_the_head_of_an_oversized_frame_is_kept(size: int, step: int) -> None:
    payload = bytes(range(size))
    stream = frame(payload) + frame(b"b")
    decoder = FrameDecoder(16)
    heads: list[bytes] = []
    for start in range(0, len(stream), step):
        found = decoder.feed(stream[start : start + step])
        heads += [each.head for each in found if isinstance(each, FrameTooLong)]
    assert heads == [payload]


def test_the_head_of_an_oversized_frame_is_bounded_and_reported_at_once() -> None:
    decoder = FrameDecoder(2000)
    (found,) = decoder.feed(struct.pack(">I", 100_000) + b"x" * HEAD)
    assert isinstance(found, FrameTooLong)
    assert found.head == b"x" * HEAD
    assert decoder.feed(b"x" * 50_000) == []
    assert decoder.skipping == 50_000 - HEAD


def test_a_frame_of_the_maximum_is_no_problem() -> None:
    assert FrameDecoder(16).feed(frame(b"x" * 16)) == [b"x" * 16]


def test_a_huge_announcement_costs_no_memory() -> None:
    decoder = FrameDecoder(16)
    assert decoder.feed(b"\xff\xff\xff\xff") == [FrameTooLong(0xFFFFFFFF, 16)]
    for _ in range(100):
        assert decoder.feed(b"x" * 1000) == []
    assert decoder.buffered == 0
    assert decoder.skipping == 0xFFFFFFFF - 100_000


# -- envelope -----------------------------------------------------------------------------------------------


def test_the_wire_form_is_the_protocols() -> None:
    data = encode_frame(event_message("s.1.2", channel.BecameNotReady(reason="LUNCH")))
    (length,) = struct.unpack(">I", data[:4])
    assert length == len(data) - 4
    assert json.loads(data[4:]) == {
        "header": {"type": "cti.event", "name": "channel.notready", "target": "s.1.2"},
        "body": {"reason": "LUNCH"},
    }


def test_a_failure_has_its_headers() -> None:
    query = request_message("s", session.SessionInit(), "42")
    assert headers_of(failure(query, "No.")) == {
        "type": "cti.response",
        "name": "session.query.init",
        "target": "s",
        "requestId": "42",
        "result": "FAILURE",
        "errorMessage": "No.",
    }


def test_a_text_that_quotes_a_whole_body_is_cut() -> None:
    asked = Message(Kind.QUERY, "cti.query.agentinfo", "P.CONTROL", request_id="r")
    long = "x" * 200_000
    texts = (
        failure(asked, long).error_message,
        warning_message("P.CONTROL", "w", "c", long).text,
        error_message("P.CONTROL", "e", "c", long).text,
    )
    assert texts == ("x" * (MAX_TEXT - 1) + "…",) * 3
    assert failure(asked, "x" * MAX_TEXT).error_message == "x" * MAX_TEXT


def test_a_warning_has_code_and_message_in_its_headers() -> None:
    assert headers_of(warning_message("s", "slow", "W1", "The PBX is slow.")) == {
        "type": "cti.warning",
        "name": "slow",
        "target": "s",
        "code": "W1",
        "message": "The PBX is slow.",
    }


def test_messages_survive_the_way_there_and_back() -> None:
    query = request_message("s", session.SessionInit(chat=True), "42")
    for message in (
        query,
        success(query, session.SessionInitReply(channel_group="ä€😀")),
        failure(query, "Über."),
        event_message(
            "s.1", conversation.StateChanged(conversation_state=conversation.ConversationState.HELD)
        ),
        warning_message("s", "slow", "W1", "x"),
    ):
        assert decode(encode(message)) == message


def test_text_in_a_broken_encoding_costs_a_character_not_the_message() -> None:
    event = Message(
        Kind.EVENT, "interaction.datachanged", "s", {"interaction-data": {"na\udce9": ["M\udcfc"]}}
    )
    assert decode(encode(event)).body == {"interaction-data": {"na?": ["M?"]}}


def test_quirks_of_the_printed_tables_are_read() -> None:
    headers = {
        "type": "cti.response",
        "name": "cti.request. createsession",
        "target": "LAB.CONTROL",
        "requestId": "1",
        "cti.result": "FAILURE",
        "error.message": "No.",
    }
    message = from_wire(headers, None)
    assert (message.name, message.result, message.error_message) == (
        "cti.request.createsession",
        Result.FAILURE,
        "No.",
    )


def test_only_the_status_event_may_come_without_a_target() -> None:
    status = from_wire({"type": "cti.event", "name": "cti.serverstatuschanged"}, {"status": "in-service"})
    assert status.target == ""
    with pytest.raises(Malformed, match="'target' is missing"):
        from_wire({"type": "cti.event", "name": "session.closed"}, {})


GOOD = {"type": "cti.request", "name": "channel.request.ready", "target": "s.1.2", "requestId": "7"}


@pytest.mark.parametrize(
    ("change", "body", "reason"),
    [
        ({"type": None}, {}, "'type' is missing or unknown"),
        ({"type": "cti.wish"}, {}, "'type' is missing or unknown"),
        ({"type": 5}, {}, "'type' must be a string"),
        ({"type": "cti.response"}, {}, "'result' must be SUCCESS or FAILURE"),
        ({"type": "cti.response", "result": "PERHAPS"}, {}, "'result' must be SUCCESS or FAILURE"),
        ({"type": "cti.response", "result": ["SUCCESS"]}, {}, "'result' must be SUCCESS or FAILURE"),
        ({"name": None}, {}, "'name' is missing"),
        ({"name": " "}, {}, "'name' is missing"),
        ({"name": ["x"]}, {}, "'name' must be a string"),
        ({"target": None}, {}, "'target' is missing"),
        ({"target": ""}, {}, "'target' is missing"),
        ({"target": {}}, {}, "'target' must be a string"),
        ({"requestId": None}, {}, "'requestId' is missing"),
        ({"requestId": 7}, {}, "'requestId' must be a string"),
        ({"requestId": "x" * 513}, {}, "longer than 512"),
        ({"errorMessage": 1}, {}, "'errorMessage' must be a string"),
        ({}, [], "body must be a JSON object"),
        ({}, "x", "body must be a JSON object"),
        ({}, 0, "body must be a JSON object"),
    ],
)
def test_headers_that_are_wrong_are_named(change: dict[str, Any], body: Any, reason: str) -> None:
    headers = {key: value for key, value in {**GOOD, **change}.items() if value is not None}
    payload = json.dumps({"header": headers, "body": body}).encode()
    with pytest.raises(Malformed, match=reason):
        decode(payload)


def test_a_malformed_request_can_be_answered_if_it_says_who_asks() -> None:
    with pytest.raises(Malformed) as malformed:
        from_wire(GOOD, [])
    to = malformed.value.answer_to
    assert to == Message(Kind.REQUEST, "channel.request.ready", "s.1.2", request_id="7")
    for key in ("requestId", "name", "target"):
        with pytest.raises(Malformed) as malformed:
            from_wire({**GOOD, key: None}, [])
        assert malformed.value.answer_to is None
    with pytest.raises(Malformed) as malformed:
        from_wire({**GOOD, "type": "cti.event"}, [])
    assert malformed.value.answer_to is None
    with pytest.raises(Malformed) as malformed:
        from_wire({**GOOD, "type": "cti.wish"}, {})
    assert malformed.value.answer_to is not None


HEADER = (
    b'{"type": "cti.request", "name": "cti.request.serverstatus", "target": "P.CONTROL",'
    b' "requestId": "r\\"\\u00fc}{"}'
)


@pytest.mark.parametrize(
    "rest",
    [
        b"",
        b', "body": {"a":',
        b', "body": {"a": tru}}',
        b', "body": {"a": "\xff"}}',
        b', "body": ' + b"[" * 100_000,
        b"}}",
        b' "body": {}}',
    ],
    ids=lambda rest: repr(rest[:20]),
)
def test_a_frame_whose_header_comes_first_can_be_answered_however_it_ends(rest: bytes) -> None:
    with pytest.raises(Malformed) as caught:
        decode(b' {"header" :\n' + HEADER + rest)
    asked = caught.value.answer_to
    assert asked is not None
    assert (asked.request_id, asked.name) == ('r"ü}{', "cti.request.serverstatus")
    assert asked.kind is Kind.REQUEST


@pytest.mark.parametrize(
    "payload",
    [
        b'{"body": {}, "header": ' + HEADER + b", x",
        b'{"header": ' + HEADER[:-1] + b', "x": "\xff"}, "body": {',
        b'{"header": ' + HEADER[:-1],
        b'{"header": {"type": ' + b"[" * 3000 + b"}, ",
        b'{"header": {"x": ' + b'"' + b"y" * HEAD + b'", ' + HEADER[1:] + b", ",
        b'{"header": {"requestId"}, ',
        b'{"header": ' + b'"\\' * 2000,
    ],
    ids=lambda payload: repr(payload[:30]),
)
def test_what_cannot_be_salvaged_is_malformed_without_an_answer(payload: bytes) -> None:
    with pytest.raises(Malformed) as caught:
        decode(payload)
    assert caught.value.request_id is None
    assert salvaged(payload, "Why.").request_id is None


@given(st.binary(max_size=200), st.sampled_from([b"", b'{"header": {', b'{"header": ' + HEADER[:60]]))
def test_salvaging_never_raises(rest: bytes, before: bytes) -> None:
    assert salvaged(before + rest, "Why.").reason == "Why."


def nested(levels: int) -> dict[str, Any]:
    body: dict[str, Any] = {}
    for _ in range(levels):
        body = {"a": body}
    return body


def test_nesting_is_bounded() -> None:
    assert from_wire(GOOD, nested(MAX_DEPTH)).body
    with pytest.raises(Malformed, match="nested more than"):
        from_wire(GOOD, nested(MAX_DEPTH + 1))
    with pytest.raises(Malformed, match="nested"):
        decode(b'{"header":' * 100_000)


@pytest.mark.parametrize(
    "payload",
    [b"", b"{", b"null", b"[]", b"{}", b'{"header":[]}', b'{"header":{}}', b"\xff\xfe", b'"\\ud800"', b"NaN"],
)
def test_what_is_no_message_says_so(payload: bytes) -> None:
    with pytest.raises(Malformed) as malformed:
        decode(payload)
    assert malformed.value.answer_to is None
    assert malformed.value.reason.endswith(".")


@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_malformed(payload: bytes) -> None:
    with pytest.raises(Malformed):
        decode(payload)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
header_keys = st.sampled_from(
    ["type", "name", "target", "requestId", "result", "cti.result", "errorMessage", "error.message", "code"]
)


@given(st.dictionaries(header_keys, json_values | st.sampled_from(list(Kind)), max_size=8), json_values)
def test_any_json_is_a_message_or_malformed(headers: dict[str, Any], body: Any) -> None:
    try:
        message = decode(json.dumps({"header": headers, "body": body}).encode())
    except Malformed as malformed:
        assert malformed.reason.endswith(".")  # noqa: PT017 - both ends are right
    else:
        assert decode(encode(message)) == message


def test_a_dialect_translates_at_the_edge_only() -> None:
    class Shouting(Dialect):
        def name_out(self, name: str) -> str:
            return name.upper()

        def name_in(self, name: str) -> str:
            return name.lower()

        def body_out(self, _name: str, body: Any, **_: Any) -> Any:
            return {key.upper(): value for key, value in body.items()}

        def body_in(self, _name: str, body: Any, **_: Any) -> Any:
            return {key.lower(): value for key, value in body.items()}

    event = event_message("s.1", channel.BecameNotReady(reason="x"))
    wire = encode(event, Shouting())
    assert json.loads(wire)["header"]["name"] == "CHANNEL.NOTREADY"
    assert json.loads(wire)["body"] == {"REASON": "x"}
    assert decode(wire, Shouting()) == event
