"""Manager events to facts: names, numbers, variables, and events that lack what they should have."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.asterisk.channel_names import endpoint_of_channel, endpoint_of_interface
from connector.asterisk.events import translate, translate_channel_row, translate_known_row
from connector.asterisk.variable_names import data_key
from connector.asterisk.wire import AmiMessage
from connector.telephony import facts
from connector.telephony.model import TelephonyModel
from connector.telephony.states import DialOutcome


def event(name: str, **headers: str) -> AmiMessage:
    return AmiMessage([("Event", name), *headers.items()])


@pytest.mark.parametrize(
    ("channel", "endpoint"),
    [
        ("PJSIP/1001-0000002a", "1001"),
        ("PJSIP/desk-4.b-0000002a", "desk-4.b"),
        ("Local/2001@from-internal-00000001;1", ""),
        ("DAHDI/i1/5551234-1", ""),
        ("PJSIP/1001", ""),
        ("", ""),
    ],
)
def test_the_phone_of_a_channel(channel: str, endpoint: str) -> None:
    assert endpoint_of_channel(channel) == endpoint


@pytest.mark.parametrize(
    ("headers", "away"),
    [
        ({"Result": "Success", "DestType": "Bridge", "SecondTransfererUniqueid": "a"}, True),
        ({"Result": "Success", "DestType": "Threeway", "SecondTransfererUniqueid": "a"}, False),
        ({"Result": "Fail", "DestType": "Fail", "SecondTransfererUniqueid": "a"}, False),
        ({"Result": "Success", "DestType": "Bridge", "SecondTransfererUniqueid": "b"}, False),
        ({"Result": "Success", "DestType": "Bridge"}, False),
    ],
)
def test_an_attended_transfer_by_one_leg_takes_that_leg_away(headers: dict[str, str], *, away: bool) -> None:
    told = translate(event("AttendedTransfer", OrigTransfererUniqueid="a", **headers))
    assert (facts.LegTransferredAway("a") in told) is away


@pytest.mark.parametrize(
    ("interface", "state", "endpoint"),
    [
        ("PJSIP/1001", "", "1001"),
        ("Local/1001@agents/n", "PJSIP/1001", "1001"),
        ("Local/1001@agents/n", "", ""),
        ("PJSIP/1001@trunk", "", ""),
    ],
)
def test_the_phone_of_a_queue_member(interface: str, state: str, endpoint: str) -> None:
    assert endpoint_of_interface(interface, state) == endpoint


@pytest.mark.parametrize(
    ("variable", "key"),
    [
        ("HARMONY_ACCOUNT", "ACCOUNT"),
        ("__HARMONY_ACCOUNT", "ACCOUNT"),
        ("HARMONY_DEST", ""),
        ("__HARMONY_ID", ""),
        ("HARMONYX", ""),
        ("CALLERID", ""),
        ("HARMONY_", ""),
    ],
)
def test_which_variables_are_interaction_data(variable: str, key: str) -> None:
    assert data_key(variable) == key


def test_channels_that_asterisk_makes_for_itself_are_no_legs() -> None:
    furniture = event(
        "Newchannel", Channel="CBAnn/7000-00000001;1", Uniqueid="9.1", Linkedid="9.1", ChannelState="6"
    )
    assert translate(furniture) == []


def test_half_a_local_channel_is_internal_and_never_placed_by_a_phone() -> None:
    half = event(
        "Newchannel",
        Channel="Local/2001@from-internal-00000001;2",
        Uniqueid="9.1",
        Linkedid="9.1",
        ChannelState="4",
    )
    (fact,) = translate(half)
    assert isinstance(fact, facts.LegCreated)
    assert (fact.internal, fact.placed, fact.endpoint) == (True, False, "")


def test_a_row_of_a_list_tells_the_leg_and_its_bridge() -> None:
    row = event(
        "CoreShowChannel",
        Channel="PJSIP/1001-00000001",
        Uniqueid="9.1",
        Linkedid="9.1",
        ChannelState="6",
        BridgeId="b-1",
    )
    created, joined = translate_channel_row(row)
    assert isinstance(created, facts.LegCreated)
    assert created.answered
    assert joined == facts.LegJoined("9.1", "b-1")


@pytest.mark.parametrize(
    ("status", "outcome"),
    [("BUSY", DialOutcome.BUSY), ("TORTURE", DialOutcome.FAILED), ("INVALID", DialOutcome.INVALID)],
)
def test_the_dialplans_word_on_a_dial(status: str, outcome: DialOutcome) -> None:
    said = event("UserEvent", UserEvent="HarmonyDial", Uniqueid="9.1", Status=status, Cause="x")
    assert translate(said) == [facts.DialReported("9.1", outcome, 0)]


def test_escapes_in_a_variable_are_undone() -> None:
    said = event("VarSet", Uniqueid="9.1", Variable="__HARMONY_A", Value=r"{\"k\": \"a\\\\b\"}")
    assert translate(said) == [facts.VariableSet("9.1", "A", '{"k": "a\\\\b"}')]


def test_the_silence_of_a_leg_that_waits_tells_where_it_is() -> None:
    waiting = event("MusicOnHoldStart", Uniqueid="9.1", Context="harmony-didle")
    assert translate(waiting) == [facts.MusicStarted("9.1", waits=True)]
    elsewhere = event("MusicOnHoldStart", Uniqueid="9.1", Context="harmony-room")
    assert translate(elsewhere) == [facts.MusicStarted("9.1")]


def test_a_transfer_by_the_phone() -> None:
    blind = {"TransfererUniqueid": "9.1", "Extension": "1002"}
    done = event("BlindTransfer", Result="Success", TransfereeUniqueid="9.2", **blind)
    assert translate(done) == [facts.PartiesTransferred(("9.1",), ("9.2",))]
    refused = event("BlindTransfer", Result="Invalid", **blind)
    assert translate(refused) == [facts.TransferRefused("9.1", "1002")]
    assert translate(event("BlindTransfer", Result="Not Permitted", **blind)) == []


@pytest.mark.parametrize(
    ("result", "where", "told"),
    [
        ("Success", "Bridge", [facts.PartiesTransferred(("9.1", "9.3"), ("9.2", "9.4"))]),
        ("Success", "App", [facts.PartiesTransferred(("9.1", "9.3"), ("9.2", "9.4"))]),
        ("Success", "Threeway", []),
        ("Fail", "Fail", []),
        ("Invalid", "Fail", [facts.JoinRefused(("9.1", "9.3"))]),
    ],
)
def test_two_calls_joined_by_the_phone(result: str, where: str, told: list[facts.Fact]) -> None:
    said = event(
        "AttendedTransfer",
        Result=result,
        DestType=where,
        OrigTransfererUniqueid="9.1",
        SecondTransfererUniqueid="9.3",
        TransfereeUniqueid="9.2",
        TransferTargetUniqueid="9.4",
    )
    assert translate(said) == told


def test_other_peoples_user_events_are_none_of_ours() -> None:
    assert translate(event("UserEvent", UserEvent="Other", Uniqueid="9.1")) == []


KNOWN = [
    "Newchannel",
    "Newstate",
    "Hangup",
    "DialBegin",
    "DialEnd",
    "BridgeEnter",
    "QueueCallerJoin",
    "VarSet",
    "MixMonitorMute",
    "ChanSpyStart",
]


@given(
    st.sampled_from(KNOWN),
    st.dictionaries(
        st.sampled_from(
            ["Channel", "Uniqueid", "ChannelState", "Cause", "Position", "Timestamp", "Variable"]
        ),
        st.text(max_size=20),
    ),
)
def test_no_event_raises(name: str, headers: dict[str, str]) -> None:
    translate(event(name, **headers))


def test_a_leg_is_in_the_room_that_its_last_one_leaves_at_that_moment() -> None:
    model = TelephonyModel()
    room = {"BridgeUniqueid": "b-1", "BridgeCreator": "ConfBridge", "BridgeName": "9.1", "Conference": "9.1"}
    first = room | {"Channel": "PJSIP/2001-00000001", "Uniqueid": "9.1"}
    second = room | {"Channel": "PJSIP/1002-00000002", "Uniqueid": "9.2"}
    for told in (
        event("Newchannel", **first, ChannelState="6", Linkedid="9.1"),
        event("Newchannel", **second, ChannelState="6", Linkedid="9.2"),
        event("ConfbridgeStart", **room),
        event("ConfbridgeJoin", **first),
        event("BridgeEnter", **first),
        event("ConfbridgeJoin", **second),
        event("BridgeLeave", **first),
        event("BridgeEnter", **second),
    ):
        for fact in translate(told):
            model.apply(fact)
    assert model.legs.in_room("9.1") == {"9.2"}
    assert model.legs.room_of("9.2") == "9.1"


def test_a_row_brings_a_known_leg_up_to_date() -> None:
    row = event(
        "CoreShowChannel",
        Channel="PJSIP/1001-00000001",
        Uniqueid="9.1",
        Linkedid="9.1",
        ChannelState="6",
        BridgeId="b-2",
        Context="harmony-room",
        Exten="a9.7",
    )
    found = translate_known_row(row, "b-1")
    assert facts.LegAnswered("9.1") in found
    assert found[-2:] == [facts.RoomOpened("b-2", "9.7"), facts.LegJoined("9.1", "b-2")]
    waiting = event("CoreShowChannel", Uniqueid="9.1", ChannelState="6", Context="harmony-didle", Exten="s")
    assert translate_known_row(waiting, "b-1")[-1] == facts.LegLeft("9.1", "b-1", waits=True)
    assert translate_known_row(event("CoreShowChannel", Uniqueid="9.1"), None) == []
