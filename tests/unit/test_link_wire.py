"""AMI messages as values: reading hostile text, writing actions."""

import itertools

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from connector.asterisk.wire import (
    LONGEST_MESSAGE,
    AmiFieldMissing,
    AmiMessage,
    AmiValueRejected,
    AmiWireError,
    MessageSplitter,
    parse_message,
    render_action,
)

DIAL_BEGIN = """Event: DialBegin
Privilege: call,all
Channel: PJSIP/1001-00000001
AccountCode: 
Uniqueid: h1-agent
ChanVariable: HARMONY_ID=h1
ChanVariable: HARMONY_ROLE=agent
DestChannel: PJSIP/2001-00000002
DestUniqueid: 1795.2
DestChanVariable: HARMONY_ID=
DestChanVariable: HARMONY_NOTE=a=b: c
DialString: 2001""".replace("\n", "\r\n")  # noqa: W291 - an empty value ends in a blank


def test_an_event_with_repeated_and_empty_headers() -> None:
    event = parse_message(DIAL_BEGIN)
    assert (event.name, event.is_event, event.is_response) == ("DialBegin", True, False)
    assert event["AccountCode"] == ""
    assert "AccountCode" in event
    assert "Linkedid" not in event
    assert event.get("Linkedid") is None
    assert event.get("Linkedid", "x") == "x"
    assert event["ChanVariable"] == "HARMONY_ID=h1"
    assert event.all("ChanVariable") == ("HARMONY_ID=h1", "HARMONY_ROLE=agent")
    assert event.variables() == {"HARMONY_ID": "h1", "HARMONY_ROLE": "agent"}
    assert event.variables(prefix="Dest") == {"HARMONY_ID": "", "HARMONY_NOTE": "a=b: c"}
    assert [name for name, _ in event][:3] == ["Event", "Privilege", "Channel"]
    assert len(event) == 12
    with pytest.raises(AmiFieldMissing, match="DialBegin without header Linkedid") as caught:
        event["Linkedid"]
    assert isinstance(caught.value, KeyError)


def test_a_header_is_found_in_any_case_but_the_exact_one_comes_first() -> None:
    message = parse_message("Event: X\r\nuniqueid: low\r\nUniqueid: exact")
    assert message["Uniqueid"] == "exact"
    assert message["UniqueID"] == "low"
    assert "UNIQUEID" in message


def test_variables_of_a_named_channel() -> None:
    text = """Event: OriginateResponse
Response: Failure
ActionID: a-1
ChanVariable(PJSIP/1001-00000013): HARMONY_ID=h1
ChanVariable(PJSIP/1001-00000013): HARMONY_ROLE=agent
ChanVariable(Local/7: 8@ctx-01;2): HARMONY_ID=h2""".replace("\n", "\r\n")
    message = parse_message(text)
    assert message.variables() == {}
    assert message.variables("PJSIP/1001-00000013") == {"HARMONY_ID": "h1", "HARMONY_ROLE": "agent"}
    assert message.variables("Local/7: 8@ctx-01;2") == {"HARMONY_ID": "h2"}
    assert (message.is_event, message.is_response, message.action_id) == (True, False, "a-1")


def test_a_response_and_its_sentence() -> None:
    message = parse_message("Response: Error\r\nActionID: a-1\r\nMessage: No such channel")
    assert (message.name, message.response, message.message) == ("", "Error", "No such channel")
    assert (message.is_response, message.id) == (True, "a-1")
    assert "No such channel" not in repr(message)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("Event: E\r\nName: a\nEvent: Forged", "a\nEvent: Forged"),
        ("Event: E\r\nName: a\rb", "a\rb"),
        ("Event: E\r\nName:", ""),
        ("Event: E\r\nName: ", ""),
        ("Event: E\r\nName:  two blanks ", " two blanks "),
        ("Event: E\r\nName: one\r\nno header", "one\nno header"),
        ("Event: E\r\nName: one\r\n folded: on", "one\nfolded: on"),
        ("\r\nEvent: E\r\nName: after an empty line", "after an empty line"),
        ("Event: E\r\nName: a: b: c", "a: b: c"),
    ],
)
def test_odd_values(text: str, value: str) -> None:
    message = parse_message(text)
    assert message.name == "E"
    assert message["Name"] == value


@pytest.mark.parametrize("text", ["", "\r\n", "nonsense", "nonsense\r\nEvent: E", " Event: E", ": value"])
def test_what_is_no_message(text: str) -> None:
    with pytest.raises(AmiWireError):
        parse_message(text)


@given(st.text(alphabet=st.sampled_from("Ev:ent \r\n()Chan;\0é"), max_size=80) | st.text(max_size=200))
def test_no_text_breaks_the_parser(text: str) -> None:
    try:
        message = parse_message(text)
    except AmiWireError:
        return
    assert len(message) > 0
    for name, _ in message:
        assert name
        assert name in message


def test_an_action_has_its_id_first_and_repeats_headers() -> None:
    fields = {"Channel": "PJSIP/1001", "Variable": ["A=1", "B=ż"], "Account": ""}
    assert render_action("Originate", fields, "t-7").decode() == (
        "Action: Originate\r\nActionID: t-7\r\nChannel: PJSIP/1001\r\n"
        "Variable: A=1\r\nVariable: B=ż\r\nAccount: \r\n\r\n"
    )


def test_what_does_not_fit_is_refused_without_showing_the_value() -> None:
    line = "Variable: X="
    fitting = "9" * (1000 - len(line))
    assert len(render_action("Setvar", {"Variable": f"X={fitting}"}, "t-1")) > 1000
    with pytest.raises(AmiValueRejected, match="longer than 1000 bytes") as caught:
        render_action("Setvar", {"Variable": f"X={fitting}9"}, "t-1")
    assert (caught.value.header, "999" in str(caught.value)) == ("Variable", False)
    assert render_action("Originate", {"Variable": ["A=1"] * 118}, "t-1").count(b"\r\n") == 121
    with pytest.raises(AmiValueRejected, match="120"):
        render_action("Originate", {"Variable": ["A=1"] * 119}, "t-1")
    with pytest.raises(AmiValueRejected, match="Secret"):
        render_action("Login", {"Secret": "hush\r\n"}, "t-1")


@given(
    st.dictionaries(
        st.text(max_size=12) | st.sampled_from(["Channel", "Variable", "Action"]),
        st.text(max_size=30) | st.lists(st.text(max_size=10), max_size=3),
        max_size=4,
    )
)
def test_whatever_goes_out_is_exactly_one_action_with_exactly_these_headers(
    fields: dict[str, str | list[str]],
) -> None:
    try:
        data = render_action("Setvar", fields, "t-1")
    except AmiValueRejected:
        return
    expected = [("Action", "Setvar"), ("ActionID", "t-1")]
    for name, value in fields.items():
        expected += [(name, one) for one in ([value] if isinstance(value, str) else value)]
    # Asterisk takes a bare LF for a line's end, too.
    lines = data.decode().replace("\r\n", "\n").split("\n")
    assert lines == [f"{name}: {value}" for name, value in expected] + ["", ""]


@given(st.lists(st.integers(min_value=1, max_value=20), min_size=1, max_size=60))
def test_any_segments_give_the_same_messages(sizes: list[int]) -> None:
    stream = (
        b"Asterisk Call Manager/11.0.0\r\n"
        + "".join(f"Event: E\r\nN: {n}\r\nName: żółć 📞\r\n\r\n" for n in range(5)).encode()
    )
    splitter, texts, position = MessageSplitter(), list[str](), 0
    for size in itertools.cycle(sizes):
        texts += splitter.feed(stream[position : position + size])
        position += size
        if position >= len(stream):
            break
    assert [parse_message(text)["N"] for text in texts] == ["0", "1", "2", "3", "4"]
    assert {parse_message(text)["Name"] for text in texts} == {"żółć 📞"}
    assert splitter.version == "11.0.0"


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\x16\x03\x01",
        b"Asterisk Call Manager/" + b"1" * 300,
    ],
)
def test_a_peer_that_is_no_manager_interface(data: bytes) -> None:
    with pytest.raises(AmiWireError, match="no Asterisk manager interface"):
        MessageSplitter().feed(data)


def test_a_message_without_end_is_given_up() -> None:
    splitter = MessageSplitter()
    splitter.feed(b"Asterisk Call Manager/11.0.0\r\n")
    for _ in range(LONGEST_MESSAGE // 65536):
        splitter.feed(b"x" * 65536)
    with pytest.raises(AmiWireError, match="more than"):
        splitter.feed(b"x" * 65536)


def test_bytes_that_are_no_utf8_cost_only_themselves() -> None:
    splitter = MessageSplitter()
    texts = splitter.feed(b"Asterisk Call Manager/11.0.0\r\nEvent: E\r\nName: M\xfcller\xff\r\nN: 1\r\n\r\n")
    message = parse_message(texts[0])
    assert (message["Name"], message["N"]) == ("M�ller�", "1")


def test_messages_are_equal_by_their_headers() -> None:
    one, other = AmiMessage([("Event", "E"), ("N", "1")]), parse_message("Event: E\r\nN: 1")
    assert one == other
    assert len({one, other}) == 1
    assert one != AmiMessage([("N", "1"), ("Event", "E")])


LINES = st.sampled_from(
    (
        *(
            "Uniqueid: 1.1",
            "Uniqueid: 2.2",
            "uniqueid: 3",
            "Context: a b: c",
            "Event: Other",
            "Value: ",
            "Value:",
        ),
        *(
            "ChanVariable: Uniqueid=9",
            "ChanVariable(PJSIP/1: 2): X=1",
            " goes on",
            "no header",
            "",
            "a\nContext: 7",
        ),
    )
)


@example(["Value:", " goes on", "Value: "])
@example(["Uniqueid: 1.1", "Value:", " goes on", "Value: "])
@given(st.lists(LINES, max_size=8))
def test_a_header_looked_up_alone_is_the_one_of_the_whole_event(lines: list[str]) -> None:
    text = "\r\n".join(["Event: Hold", *lines])
    whole = AmiMessage(tuple(parse_message(text)))
    for name in ("Event", "Uniqueid", "uniqueid", "Context", "Value", "ActionID", "a"):
        assert parse_message(text).get(name) == whole.get(name), name
    assert parse_message(text).action_id == whole.action_id
