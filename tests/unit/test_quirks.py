"""Every quirk that `protocol.md` lists: both spellings are read, the first one is sent."""

from typing import Any

import msgspec
import pytest

from connector.bridge.codec import encode, from_wire
from connector.bridge.messages import (
    Empty,
    Kind,
    Message,
    Result,
    channelgroup,
    event_message,
    failure,
    interaction,
    parse_body,
    request_message,
    session,
    success,
)

SERVER_STATUS = "cti.request.serverstatus"
CREATE_SESSION = "cti.request.createsession"


def response(name: str, /, **other: str) -> dict[str, Any]:
    return {"type": "cti.response", "name": name, "target": "P.CONTROL", "requestId": "1", **other}


def sent_headers(message: Message) -> dict[str, Any]:
    headers: dict[str, Any] = msgspec.json.decode(encode(message))["header"]
    return headers


@pytest.mark.parametrize(("result", "text"), [("result", "errorMessage"), ("cti.result", "error.message")])
def test_serverstatus_result_is_read_in_both_spellings(result: str, text: str) -> None:
    good = from_wire(response(SERVER_STATUS, **{result: "SUCCESS"}), None)
    assert good.result is Result.SUCCESS
    bad = from_wire(response(SERVER_STATUS, **{result: "FAILURE", text: "No."}), None)
    assert (bad.result, bad.error_message) == (Result.FAILURE, "No.")


def test_serverstatus_result_is_sent_without_dots() -> None:
    asked = Message(Kind.REQUEST, SERVER_STATUS, "P.CONTROL", request_id="1")
    headers = sent_headers(failure(asked, "No."))
    assert (headers["result"], headers["errorMessage"]) == ("FAILURE", "No.")
    assert not {"cti.result", "error.message"} & set(headers)


@pytest.mark.parametrize("kind", ["cti.request", "cti.response"])
def test_createsession_is_read_with_a_blank_and_answered_without(kind: str) -> None:
    headers = response("cti.request. createsession", result="SUCCESS") | {"type": kind}
    message = from_wire(headers, {})
    assert message.name == CREATE_SESSION
    if kind == "cti.request":
        assert sent_headers(success(message))["name"] == CREATE_SESSION


def test_the_response_to_consulttransfer_is_read_under_the_printed_name_and_sent_under_its_own() -> None:
    printed = from_wire(response("interaction.request.reject", result="SUCCESS"), {})
    assert parse_body(printed) == Empty()
    asked = request_message("S.g.c.i", interaction.ConsultTransfer(), "1")
    assert sent_headers(success(asked))["name"] == "interaction.request.consulttransfer"


@pytest.mark.parametrize("key", ["endpoint", "end-point"])
def test_endpoint_is_read_in_both_spellings(key: str) -> None:
    asked = Message(
        Kind.REQUEST,
        "channelgroup.request.createchannel",
        "S.g",
        {"id": "c1", key: "1001", "type": "TELEPHONY"},
        request_id="1",
    )
    body = parse_body(asked)
    assert isinstance(body, channelgroup.CreateChannel)
    assert body.endpoint == "1001"
    listed = Message(
        Kind.RESPONSE,
        "channelgroup.query.init",
        "S.g",
        {"channels": [{key: "1001", "type": "TELEPHONY"}]},
        request_id="1",
        result=Result.SUCCESS,
    )
    reply = parse_body(listed)
    assert isinstance(reply, channelgroup.ChannelGroupInitReply)
    assert reply.channels[0].endpoint == "1001"


def test_endpoint_is_sent_with_a_hyphen_in_the_groups_init_only() -> None:
    telephony = session.ChannelType.TELEPHONY
    event = event_message("S.g", channelgroup.ChannelAdded(endpoint="1001", type=telephony))
    assert event.body == {"endpoint": "1001", "type": "TELEPHONY"}
    asked = request_message("S.g", channelgroup.ChannelGroupInit(), "1")
    listed = channelgroup.ListedChannel(endpoint="1001", type=telephony)
    reply = success(asked, channelgroup.ChannelGroupInitReply(channels=(listed,)))
    (one,) = msgspec.json.decode(encode(reply))["body"]["channels"]
    assert one == {"end-point": "1001", "type": "TELEPHONY"}


@pytest.mark.parametrize("prefix", ["extension", "extensions"])
def test_group_settings_are_read_nested_flat_and_with_the_odd_prefix(prefix: str) -> None:
    group = {"name": "g", "id": "g1", "extension": "1001"}
    flat = {f"{prefix}.MaxChats": "3", "extensions.mobileagent-mode": "none", "properties.chat": True}
    nested = {
        "extensions": {"MaxChats": "3", "mobileagent-mode": "none"},
        "properties": {"chat": True},
    }
    name = "session.request.createchannelgroup"
    read = [
        parse_body(Message(Kind.REQUEST, name, "S", group | settings, request_id="1"))
        for settings in (flat, nested)
    ]
    assert read[0] == read[1]
    assert isinstance(read[0], session.CreateChannelGroup)
    assert (read[0].extension, read[0].extensions.max_chats) == ("1001", "3")
