"""The catalogue: complete, self-consistent, hard to surprise; and the documentation made of it."""

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.bridge import docs
from connector.bridge.messages import (
    CATALOGUE,
    Body,
    BodyInvalid,
    Kind,
    Message,
    Result,
    Scope,
    Unknown,
    channel,
    control,
    conversation,
    error_message,
    event_message,
    failure,
    interaction,
    parse_body,
    request_message,
    session,
    spec_of,
    success,
    warning_message,
)
from connector.bridge.targets import Path as TargetPath
from connector.bridge.targets import child, control_target, parent, parse

NAMES = [
    "cti.query.capabilities",
    "cti.query.agentinfo",
    "cti.request.validateagentcredentials",
    "cti.request.serverstatus",
    "cti.request.createsession",
    "cti.request.dispose",
    "cti.serverstatuschanged",
    "session.query.init",
    "session.request.createchannelgroup",
    "session.request.close",
    "session.request.externallogoutreasons",
    "session.request.externalnotreadyreasons",
    "session.request.dispose",
    "session.request.getteamstatus",
    "session.request.stopteamstatus",
    "session.closed",
    "session.channel.added",
    "session.channelgroup.added",
    "session.externallogoutreasons.updated",
    "session.externalnotreadyreasons.updated",
    "session.teamstatus.updated",
    "channelgroup.query.init",
    "channelgroup.request.createchannel",
    "channelgroup.request.dispose",
    "channelgroup.channel.added",
    "channelgroup.channel.removed",
    "channelgroup.disposed",
    "channel.query.init",
    "channel.request.activate",
    "channel.request.deactivate",
    "channel.request.ready",
    "channel.request.notready",
    "channel.request.createinteraction",
    "channel.request.dial",
    "channel.request.dispose",
    "channel.activated",
    "channel.deactivated",
    "channel.available",
    "channel.unavailable",
    "channel.disposed",
    "channel.ready",
    "channel.notready",
    "channel.interaction.added",
    "interaction.query.init",
    "interaction.request.createconversation",
    "interaction.request.accept",
    "interaction.request.reject",
    "interaction.request.complete",
    "interaction.request.getdata",
    "interaction.request.setdata",
    "interaction.request.deletedata",
    "interaction.request.consult",
    "interaction.request.consulttransfer",
    "interaction.request.consultconference",
    "interaction.request.alternate",
    "interaction.request.dispose",
    "interaction.started",
    "interaction.ended",
    "interaction.completed",
    "interaction.datachanged",
    "interaction.consult",
    "conversation.query.init",
    "conversation.request.answer",
    "conversation.request.release",
    "conversation.request.hold",
    "conversation.request.retrieve",
    "conversation.request.blindtransfer",
    "conversation.request.blindconference",
    "conversation.request.senddtmf",
    "conversation.request.dispose",
    "conversation.statechanged",
    "conversation.member.added",
    "conversation.member.removed",
    "conversation.disposed",
]
EXTENSION = [
    "channel.query.x-capabilities",
    "channel.query.x-supervision",
    "channel.request.x-supervise",
    "channel.request.x-stopsupervision",
    "channel.x-supervisionchanged",
    "interaction.request.x-startrecording",
    "interaction.request.x-stoprecording",
    "interaction.request.x-pauserecording",
    "interaction.request.x-resumerecording",
    "interaction.request.x-mute",
    "interaction.request.x-unmute",
    "interaction.x-recordingchanged",
    "interaction.x-mutechanged",
    "conversation.request.x-dropmember",
    "conversation.request.x-privateword",
]
"""Ours: whatever begins with x- after the last dot, and nothing else."""

SCOPES = {
    "cti": Scope.CONTROL,
    "session": Scope.SESSION,
    "channelgroup": Scope.CHANNEL_GROUP,
    "channel": Scope.CHANNEL,
    "interaction": Scope.INTERACTION,
    "conversation": Scope.CONVERSATION,
}


def asked(name: str, body: dict[str, Any]) -> Message:
    return Message(CATALOGUE[name].kind, name, "t", body, request_id="1")


def test_the_catalogue_has_every_message_of_the_protocol_and_no_other() -> None:
    assert set(CATALOGUE) == {*NAMES, *EXTENSION}
    assert len(NAMES) == len(set(NAMES))


def test_what_is_ours_is_marked_as_ours() -> None:
    assert {name for name, spec in CATALOGUE.items() if spec.origin == "X"} == set(EXTENSION)
    assert {name for name in CATALOGUE if name.rpartition(".")[2].startswith("x-")} == set(EXTENSION)


@pytest.mark.parametrize("name", [*NAMES, *EXTENSION])
def test_an_entry_says_what_its_name_says(name: str) -> None:
    spec = CATALOGUE[name]
    assert spec.name == name
    assert spec.scope is SCOPES[name.partition(".")[0]]
    wanted = Kind.QUERY if ".query." in name else Kind.REQUEST if ".request." in name else Kind.EVENT
    assert spec.kind is wanted
    assert (spec.reply is None) == (wanted is Kind.EVENT)
    assert re.fullmatch(r"[SWCX].*", spec.origin)
    assert spec.summary.endswith((".", "`."))
    assert spec_of(spec.body) is spec


@pytest.mark.parametrize("name", NAMES)
def test_a_typed_body_survives_the_way_to_the_wire_and_back(name: str) -> None:
    spec = CATALOGUE[name]
    shapes: list[tuple[type[Body], Kind]] = [(spec.body, spec.kind)]
    if spec.reply is not None:
        shapes.append((spec.reply, Kind.RESPONSE))
    for shape, kind in shapes:
        body = sample(shape)
        message = Message(kind, name, "t", msgspec.to_builtins(body), request_id="1", result=Result.SUCCESS)
        assert parse_body(message) == body
        assert parse_body(message, strict=True) == body


def sample(shape: Any) -> Any:
    """Return a value of a body's type with every key set."""
    info = msgspec.inspect.type_info(shape)
    return msgspec.convert(_sample(info), shape)


def _sample(info: Any) -> Any:
    kind = msgspec.inspect
    if isinstance(info, kind.Metadata):
        return "12*" if "tones" in str(info.extra_json_schema) else _sample(info.type)
    if isinstance(info, kind.StructType):
        return {each.encode_name: _sample(each.type) for each in info.fields}
    if isinstance(info, kind.EnumType):
        return next(iter(info.cls)).value
    if isinstance(info, kind.UnionType):
        return _sample(next(each for each in info.types if not isinstance(each, kind.NoneType)))
    if isinstance(info, kind.VarTupleType):
        return [_sample(info.item_type)]
    samples = {kind.StrType: "words", kind.IntType: 3, kind.BoolType: True, kind.DictType: {"key": "value"}}
    return samples[type(info)]


def test_the_documentation_is_current() -> None:
    committed = Path(__file__).parents[2] / docs.PLACE
    assert committed.read_text("utf-8") == docs.render(), "run: python -m connector.bridge.docs"


@pytest.mark.parametrize("name", NAMES)
def test_the_documentation_names_every_message(name: str) -> None:
    assert f"| `{name}` |" in docs.render()


# -- quirks -------------------------------------------------------------------------------------------------


def test_flat_and_nested_spelling_of_a_groups_settings_are_the_same() -> None:
    flat = parse_body(
        asked(
            "session.request.createchannelgroup",
            {
                "name": "g",
                "id": "1",
                "extension": "1001",
                "properties.chat": "true",
                "properties.email": False,
                "extensions.mobileagent-mode": "on",
                "extensions.MaxEmails": 3,
                "extension.MaxChats": "2",
            },
        )
    )
    nested = parse_body(
        asked(
            "session.request.createchannelgroup",
            {
                "name": "g",
                "id": "1",
                "extension": "1001",
                "properties": {"chat": True, "email": None},
                "extensions": {"mobileagent-mode": "on", "MaxEmails": "3", "MaxChats": "2"},
            },
        )
    )
    assert flat == nested
    assert isinstance(flat, session.CreateChannelGroup)
    assert (flat.extension, flat.properties.chat, flat.extensions.max_chats) == ("1001", True, "2")


def test_null_and_unknown_keys_are_not_held_against_the_bridge() -> None:
    body = {"name": None, "chat": "false", "email": None, "somethingNew": 7}
    assert parse_body(asked("session.query.init", body)) == session.SessionInit()


def test_what_is_always_present_is_sent_even_if_empty() -> None:
    reply = interaction.InteractionInitReply(
        interaction_state=interaction.InteractionState.ENDED,
        interaction_data={},
        conversations=interaction.Conversations(),
    )
    assert msgspec.to_builtins(reply) == {
        "interaction-state": "ENDED",
        "interaction-data": {},
        "conversations": {},
    }
    assert event_message("t", channel.BecameNotReady(reason=None)).body == {"reason": None}
    assert event_message("t", interaction.Ended()).body == {}


# -- what does not fit --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "body", "sentence"),
    [
        ("channel.request.dial", {}, "Key 'destination' is missing."),
        ("channel.request.dial", {"destination": 5}, "Key 'destination' must be a string, not a number."),
        ("channel.request.dial", {"destination": None}, "Key 'destination' must be a string, not null."),
        ("session.query.init", {"chat": "perhaps"}, "Key 'chat' must be true or false, not a string."),
        (
            "session.request.createchannelgroup",
            {"name": "g", "id": "1", "properties": 3},
            "Key 'properties' must be an object, not a number.",
        ),
        (
            "session.request.createchannelgroup",
            {"name": "g", "id": "1", "properties": 3, "properties.chat": True},
            "Key 'properties' must be an object, not a number.",
        ),
        (
            "session.request.createchannelgroup",
            {"name": "g", "id": "1", "properties": {"chat": []}},
            "Key 'properties.chat' must be true or false, not a list.",
        ),
        (
            "channelgroup.request.createchannel",
            {"id": "1", "endpoint": "1", "type": "FAX"},
            "Key 'type' has the unknown value 'FAX'.",
        ),
        (
            "conversation.request.senddtmf",
            {"tones": "12x"},
            "Key 'tones' must be 1 to 64 of the tones 0-9 A-D * #.",
        ),
        (
            "conversation.request.senddtmf",
            {"tones": "1\n"},
            "Key 'tones' must be 1 to 64 of the tones 0-9 A-D * #.",
        ),
        (
            "conversation.request.senddtmf",
            {"tones": "1" * 65},
            "Key 'tones' must be 1 to 64 of the tones 0-9 A-D * #.",
        ),
        (
            "interaction.request.setdata",
            {"interaction-data": {"a": [1]}},
            (
                "Key 'interaction-data[...]' must be true or false or a number or a string or an object "
                "or null, not a list."
            ),
        ),
        ("interaction.request.deletedata", {"keys": "a"}, "Key 'keys' must be a list, not a string."),
    ],
)
def test_a_body_that_does_not_fit_is_explained_in_one_sentence(
    name: str, body: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(BodyInvalid) as invalid:
        parse_body(asked(name, body))
    assert str(invalid.value) == sentence


def test_strict_reading_takes_no_second_spelling() -> None:
    with pytest.raises(BodyInvalid):
        parse_body(asked("session.query.init", {"chat": "true"}), strict=True)
    body = {"id": "c", "end-point": "1", "type": "CHAT"}
    with pytest.raises(BodyInvalid):
        parse_body(asked("channelgroup.request.createchannel", body), strict=True)


def test_unknown_messages_are_values_not_exceptions() -> None:
    assert parse_body(Message(Kind.REQUEST, "cti.request.fly", "t")) == Unknown(
        "cti.request.fly", Kind.REQUEST
    )
    wrong_kind = Message(Kind.EVENT, "channel.request.dial", "t", {"destination": "1"})
    assert parse_body(wrong_kind) == Unknown("channel.request.dial", Kind.EVENT)
    assert parse_body(Message(Kind.RESPONSE, "session.closed", "t")) == Unknown(
        "session.closed", Kind.RESPONSE
    )
    assert isinstance(parse_body(warning_message("t", "slow", "1", "x")), Unknown)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
keys = st.sampled_from(
    ["properties", "properties.chat", "extensions", "extension.MaxChats", "channels", "name", "id", "type"]
)


@given(st.sampled_from(NAMES), st.dictionaries(keys | st.text(max_size=6), anything, max_size=5))
def test_any_body_is_read_or_explained(name: str, body: dict[str, Any]) -> None:
    try:
        parsed = parse_body(asked(name, body))
    except BodyInvalid as invalid:
        sentence = str(invalid)
    else:
        sentence = "."
        assert isinstance(parsed, CATALOGUE[name].body)
    assert sentence.endswith(".")
    assert "\n" not in sentence


# -- secrets ------------------------------------------------------------------------------------------------


def test_no_password_in_any_repr_or_error() -> None:
    body = control.CreateSession(agent_id="1", agent_password="geheim", session_id="s", destination="d")
    message = request_message("LAB.CONTROL", body, "1")
    assert message.body["agentPassword"] == "geheim"
    nested = Message(
        Kind.EVENT, "x", "t", {"list": [{"Password": "geheim"}], "agent": {"password": "geheim"}}
    )
    info = control.AgentInfo(agent_id="1", requesting_agent_login="2", requesting_agent_password="geheim")
    check = control.ValidateAgentCredentials(agent_id="1", agent_password="geheim")
    for thing in (body, message, nested, info, check):
        assert "geheim" not in repr(thing)
    with pytest.raises(BodyInvalid) as invalid:
        parse_body(asked("cti.request.createsession", {"agentId": "1", "agentPassword": ["geheim"]}))
    assert "geheim" not in str(invalid.value)


def test_every_password_key_is_marked_as_a_secret() -> None:
    for spec in CATALOGUE.values():
        for each in msgspec.structs.fields(spec.body):
            assert ("password" in each.encode_name.lower()) == (each.name in spec.body.secrets)


# -- messages and targets -----------------------------------------------------------------------------------


def test_answers_repeat_what_they_answer() -> None:
    query = request_message("s.1", session.SessionInit(), "42")
    good = success(query, session.SessionInitReply(channel_group="g"))
    assert (good.kind, good.name, good.target, good.request_id) == (Kind.RESPONSE, query.name, "s.1", "42")
    assert (good.result, good.body) == (Result.SUCCESS, {"channelGroup": "g"})
    bad = failure(query, "No.")
    assert (bad.result, bad.error_message, bad.body) == (Result.FAILURE, "No.", {})


def test_messages_of_the_wrong_kind_are_not_made() -> None:
    with pytest.raises(ValueError, match="is no event"):
        event_message("t", channel.Ready())
    with pytest.raises(ValueError, match="neither a query nor a request"):
        request_message("t", channel.BecameReady(), "1")


def test_warnings_and_errors_carry_their_texts() -> None:
    assert warning_message("t", "n", "W1", "x").kind is Kind.WARNING
    problem = error_message("t", "n", "E1", "x")
    assert (problem.kind, problem.code, problem.text) == (Kind.ERROR, "E1", "x")


def test_targets_of_children_are_dotted_paths() -> None:
    assert control_target("LAB") == "LAB.CONTROL"
    target = child(child("LAB.SESSION.7", "g1"), "c1")
    assert target == "LAB.SESSION.7.g1.c1"
    assert parent(target) == "LAB.SESSION.7.g1"
    assert parse(target, "LAB.SESSION.7") == TargetPath("LAB.SESSION.7", "g1", "c1")
    assert parse("LAB.SESSION.7", "LAB.SESSION.7") == TargetPath("LAB.SESSION.7")
    assert parse("LAB.SESSION.77.g1", "LAB.SESSION.7") is None
    assert parse("s.1.2.3.4.5", "s") is None
    assert parse("s.1..3", "s") is None


@pytest.mark.parametrize("bridge_id", ["", "a.b", "a b", "a\n", "\x00"])
def test_a_bridge_id_cannot_break_the_path(bridge_id: str) -> None:
    with pytest.raises(ValueError, match="without dots"):
        child("s", bridge_id)


def test_states_are_the_protocols_words() -> None:
    assert {each.value for each in conversation.ConversationState} == {
        *("ALERTING", "DIALING", "TALKING", "HELD", "RELEASED")
    }
    assert [each.value for each in control.ServiceStatus] == [
        *("starting-service", "in-service", "pausing-service", "stopping-service", "out-of-service")
    ]
