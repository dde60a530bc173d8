"""Dialects: what is translated, what is left alone, and what a wrong file is told."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from renamed_dialect import paths_of, renamed_yaml

from connector.app import Connector
from connector.bridge.catalogue.notices import NOTICES, Notice
from connector.bridge.codec import decode, encode
from connector.bridge.dialect import IDENTITY, Dialect
from connector.bridge.dialect_file import NAMES, load_dialect, parse_dialect
from connector.bridge.messages import CATALOGUE, Body, Kind, Message, Result, failure
from connector.bridge.schema import keys_of
from connector.config import load_settings
from connector.settings_yaml import ConfigError

EVERYTHING = parse_dialect(renamed_yaml())


def sample(shape: type[Body]) -> dict[str, Any]:
    """Return a body with every key, and in every opaque place the catalogue's own words."""
    return {
        key: [sample(inner), sample(inner)] if inner is not None and key.endswith("s") else
        sample(inner) if inner is not None else {"destination": 1, "nativeid": {"id": [None]}}
        for key, inner in keys_of(shape).items()
    }  # fmt: skip


def messages() -> list[Message]:
    """Return every message of the catalogue, and the response to it."""
    found = []
    for name, spec in CATALOGUE.items():
        if spec.reply is None:
            found.append(Message(spec.kind, name, "t", sample(spec.body)))
            continue
        found += [
            Message(spec.kind, name, "t", sample(spec.body), request_id="1"),
            Message(Kind.RESPONSE, name, "t", sample(spec.reply), request_id="1", result=Result.SUCCESS),
        ]
    return found


@pytest.mark.parametrize("message", messages(), ids=lambda each: f"{each.name} {each.kind}")
def test_every_name_and_key_is_translated_and_comes_back(message: Message) -> None:
    wire = json.loads(encode(message, EVERYTHING))
    spec = CATALOGUE[message.name]
    shape = spec.reply if message.kind is Kind.RESPONSE else spec.body
    assert shape is not None
    assert wire["header"]["name"] == f"Site/{message.name[::-1]}"
    assert not _keys_left(wire["body"], shape, message.body)
    assert decode(encode(message, EVERYTHING), EVERYTHING) == message
    assert decode(encode(message)) == message


@pytest.mark.parametrize("notice", NOTICES, ids=lambda each: each.name)
def test_warnings_and_errors_have_names_too_and_keep_their_codes(notice: Notice) -> None:
    message = Message(notice.kind, notice.name, "t", {}, code=notice.code, text="Said.")
    header = json.loads(encode(message, EVERYTHING))["header"]
    assert (header["name"], header["code"]) == (f"Site/{notice.name[::-1]}", notice.code)
    assert decode(encode(message, EVERYTHING), EVERYTHING) == message


def _keys_left(wire: Any, shape: type[Body], original: Any) -> list[str]:
    # As many keys, none of the catalogue's; what is opaque is the same object.
    assert len(wire) == len(original)
    left = [key for key in wire if key in keys_of(shape)]
    for (_, theirs), (key, ours) in zip(wire.items(), original.items(), strict=True):
        inner = keys_of(shape)[key]
        if inner is None:
            assert theirs == ours
            continue
        for one, other in zip(theirs, ours, strict=True) if isinstance(ours, list) else [(theirs, ours)]:
            left += _keys_left(one, inner, other)
    return left


def test_the_renaming_file_leaves_out_nothing() -> None:
    shapes = [shape for spec in CATALOGUE.values() for shape in (spec.body, spec.reply) if shape]
    assert sum(len(paths_of(shape)) for shape in shapes) > 100
    assert len(EVERYTHING._into) == len(NAMES)  # type: ignore[attr-defined]


def test_data_of_the_site_passes_untouched() -> None:
    data = {"nativeid": "x", "interaction-data": {"id": 1}, "PRIO": [1, {"keys": 2}]}
    message = Message(Kind.EVENT, "interaction.datachanged", "t", {"interaction-data": data})
    wire = json.loads(encode(message, EVERYTHING))
    assert list(wire["body"].values()) == [data]
    reason = {"reasonCodeId": "1", "extensions": [{"labels": 1}], "labels": []}
    told = Message(Kind.EVENT, "session.externalnotreadyreasons.updated", "t", {"reasonCodes": [reason]})
    (entry,) = next(iter(json.loads(encode(told, EVERYTHING))["body"].values()))
    assert [{"labels": 1}] in entry.values()
    assert "labels" not in entry


def test_a_key_may_have_another_word_in_one_message() -> None:
    dialect = parse_dialect(
        "keys: {destination: number}\n"
        "messages: {interaction.request.consult: {body: {destination: consultNumber}, "
        "reply: {nativeid: callId}}}\n"
    )
    assert dialect.body_out("channel.request.dial", {"destination": "1"}) == {"number": "1"}
    assert dialect.body_out("interaction.request.consult", {"destination": "1"}) == {"consultNumber": "1"}
    reply = dialect.body_in("interaction.request.consult", {"callId": "a"}, is_reply=True)
    assert reply == {"nativeid": "a"}
    # A message without such keys is not even copied.
    body = {"tones": "1"}
    assert dialect.body_out("conversation.request.senddtmf", body) is body


def test_nested_keys_have_words_of_their_own() -> None:
    dialect = parse_dialect(
        "messages: {interaction.query.init: {reply: {conversations: calls, conversations.primary: main, "
        "conversations.primary.id: ref}}}\n"
    )
    body = {"conversations": {"primary": {"id": "1"}, "consult": {"id": "2"}}, "interaction-data": {"id": 3}}
    wire = {"calls": {"main": {"ref": "1"}, "consult": {"id": "2"}}, "interaction-data": {"id": 3}}
    assert dialect.body_out("interaction.query.init", body, is_reply=True) == wire
    assert dialect.body_in("interaction.query.init", wire, is_reply=True) == body


def test_two_keys_may_swap_their_words() -> None:
    dialect = parse_dialect(
        "messages: {channel.request.createinteraction: {body: {id: nativeid, nativeid: id}}}"
    )
    body = {"id": "bridge", "nativeid": "cti"}
    wire = {"nativeid": "bridge", "id": "cti"}
    assert dialect.body_out("channel.request.createinteraction", body) == wire
    assert dialect.body_in("channel.request.createinteraction", wire) == body


def test_the_flat_spelling_is_translated_part_by_part() -> None:
    dialect = parse_dialect("keys: {properties: props, chat: webchat, MaxChats: chats}")
    wire = {
        "props.webchat": True,
        "props.fax": 1,
        "extensions.chats": "2",
        "extension.MaxChats": "3",
        "a.b": 1,
    }
    assert dialect.body_in("session.request.createchannelgroup", wire) == {
        "properties.chat": True,
        "properties.fax": 1,
        "extensions.MaxChats": "2",
        "extension.MaxChats": "3",
        "a.b": 1,
    }


def test_what_the_catalogue_does_not_know_passes() -> None:
    body = {"destination": "1", "x": 2}
    for name in ("channel.request.fly", "?", "?channel.request.dial", ""):
        assert EVERYTHING.name_out(EVERYTHING.name_in(name)) == name
        assert EVERYTHING.body_in(name, body) is body
    assert EVERYTHING.body_in("channel.request.dial", {"x": 2}) == {"x": 2}
    assert EVERYTHING.body_out("channel.request.dial", {"x": 2}) == {"x": 2}


def test_the_catalogues_word_means_nothing_where_the_bridge_has_another() -> None:
    name = EVERYTHING.name_in("channel.request.dial")
    assert name not in CATALOGUE
    payload = b'{"header":{"type":"cti.request","name":"channel.request.dial","target":"t","requestId":"1"}}'
    answer = json.loads(encode(failure(decode(payload, EVERYTHING), "no"), EVERYTHING))
    assert answer["header"]["name"] == "channel.request.dial"
    assert EVERYTHING.body_in("channel.request.dial", {"destination": "1"}) == {}


def test_a_password_is_recognised_where_it_does_not_belong() -> None:
    dialect = parse_dialect("keys: {agentPassword: pin, destination: number}")
    assert dialect.body_in("cti.request.creatsession", {"pin": "geheim", "a": 1}) == {
        "agentPassword": "geheim",
        "a": 1,
    }
    payload = (
        b'{"header":{"type":"cti.request","name":"x.y","target":"t","requestId":"1"},"body":{"pin":"geheim"}}'
    )
    assert "geheim" not in repr(decode(payload, dialect))
    assert dialect.body_in("channel.request.dial", {"pin": "1", "number": "2"}) == {
        "agentPassword": "1",
        "destination": "2",
    }


def test_junk_instead_of_objects_passes() -> None:
    dialect = parse_dialect("keys: {id: ref}")
    for junk in (None, 1, "x", [1, [2], {"ref": 1}]):
        told = dialect.body_in("interaction.query.init", {"conversations": junk}, is_reply=True)
        assert json.dumps(told).count("conversations") == 1


@pytest.mark.parametrize(
    "text", ["", "names:\n", "keys: {id: id}\n", "messages: {channel.query.init: {body: }}"]
)
def test_a_dialect_that_changes_nothing_is_the_identity(text: str) -> None:
    dialect = parse_dialect(text)
    assert type(dialect) is Dialect
    body = {"id": 1}
    assert dialect.body_in("channel.request.dial", body) is body
    assert IDENTITY.name_out("x") == "x"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: {}", 'd:1: name: expected a section, found "name"; did you mean `names`?'),
        ("names: [a]", "d:1: names: expected a mapping"),
        (
            "names: {channel.request.dail: x}",
            "d:1: names.channel.request.dail: expected a message of the catalogue, found ",
        ),
        ("names:\n  channel.request.dial: [x]", "d:2: names.channel.request.dial: expected the "),
        ("names:\n  channel.request.dial: ", "expected the bridge's word, found nothing"),
        ("names: {channel.request.dial: 'a b'}", "expected a name without blanks"),
        ("names: {channel.request.dial: " + "x" * 201 + "}", "expected at most 200 characters, found 201"),
        ('keys: {id: "a\\nb"}', "control characters"),
        (
            "names: {channel.request.dial: x, channel.ready: x}",
            'names.channel.ready: expected a word of its own, found "x", the word for `channel.request.d',
        ),
        (
            "names: {channel.activated: channel.ready}",
            'expected a word of its own, found "channel.ready", the word for `channel.ready`, which keeps ',
        ),
        ("keys: {nativeID: x}", 'd:1: keys.nativeID: expected a key of the catalogue, found "nativeID"; did'),
        (
            "keys: {id: nativeid}",
            "the word for `nativeid`, which keeps its name, in the body of channel.request.createinteraction",
        ),
        (
            "messages: {channel.request.dial: {body: {number: x}}}",
            "d:1: messages.channel.request.dial.body.number: expected a key of this body",
        ),
        ("messages: {channel.request.dail: {}}", "did you mean `channel.request.dial`?"),
        ("messages: {channel.request.dial: {bdy: {}}}", "did you mean `body`?"),
        ("messages: {channel.request.dial: {reply: {a: b}}}", "there is none"),
        ("messages: {channel.ready: {reply: {}}}", "expected `body` only: nobody answers an event"),
        (
            "messages: {interaction.request.setdata: {body: {interaction-data.ANI: caller}}}",
            "expected nothing below `interaction-data`: what is in it passes as it is",
        ),
        (
            "messages:\n  interaction.query.init:\n    reply:\n      conversations.primery: x",
            "d:4: messages.interaction.query.init.reply.conversations.primery: expected a key of `conv",
        ),
        ("keys: {id: x, id: y}", "the key is there twice"),
        ("- a", "expected a mapping"),
        ("keys: {", "not YAML"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_with_its_place(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as told:
        parse_dialect(text, "d")
    assert said in str(told.value)
    assert len(str(told.value).splitlines()) == 1


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_dialect(tmp_path / "none.yaml")


SITE = """
bridge: {host: bridge.example.com, dialect: words.yaml}
asterisk: {host: 127.0.0.1, username: harmony, secret: x}
processor: LAB
"""


def test_the_configuration_names_the_dialect(tmp_path: Path) -> None:
    file = tmp_path / "connector.yaml"
    file.write_text(SITE)
    with pytest.raises(ConfigError, match=r"bridge.dialect: expected a file, found none at"):
        load_settings(file, environ={})
    words = tmp_path / "words.yaml"
    words.write_text("keys: {tone: x}\n")
    with pytest.raises(ConfigError, match=r"words.yaml:1: keys.tone: expected a key of the catalogue"):
        load_settings(file, environ={})
    words.write_text("keys: {tones: digits}\n")
    site = load_settings(file, environ={})
    assert site.bridge.dialect == str(words)
    dialect = Connector(site).transport._dialect  # type: ignore[attr-defined]
    assert dialect.body_out("conversation.request.senddtmf", {"tones": "1"}) == {"digits": "1"}


_ANSWER = parse_dialect(renamed_yaml()).body_out(
    "interaction.query.init",
    {"interaction-state": 1, "conversations": {"primary": 2, "consult": 3}},
    is_reply=True,
)
_KEYS = sorted(
    {*_ANSWER, *next(each for each in _ANSWER.values() if each != 1), "id", "conversations", "a.b"}
)
_BODIES = st.recursive(
    st.none() | st.booleans() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_KEYS), inner, max_size=4),
    max_leaves=12,
)


# Drawing the first body takes hypothesis seconds on a busy machine; that is no finding.
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(sorted(CATALOGUE)), st.dictionaries(st.sampled_from(_KEYS), _BODIES), st.booleans())
def test_no_body_upsets_a_dialect(name: str, body: dict[str, Any], is_reply: bool) -> None:
    given_body = json.dumps(body)
    json.dumps(EVERYTHING.body_in(name, body, is_reply=is_reply))
    json.dumps(EVERYTHING.body_out(name, body, is_reply=is_reply))
    assert json.dumps(body) == given_body
