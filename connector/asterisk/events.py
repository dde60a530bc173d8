"""From Asterisk's manager events to the model's facts. Pure: no clock, no I/O, and no event can raise.

An event that lacks a header that it must have, or that the model has no use for, gives no fact.
"""

import re
from collections.abc import Callable, Mapping

from connector.asterisk.wire import AmiFieldMissing, AmiMessage
from connector.telephony import facts
from connector.telephony.facts import EndpointState
from connector.telephony.states import DialOutcome

VARIABLE_PREFIX = "HARMONY_"
"""Channel variables of this prefix are interaction data, but for the connector's own."""

RESERVED_VARIABLES = frozenset(
    {
        "HARMONY_AGENT",
        "HARMONY_CALLERID",
        "HARMONY_CTX",
        "HARMONY_CUR",
        "HARMONY_DEST",
        "HARMONY_ID",
        "HARMONY_NUMBER",
        "HARMONY_ORPHAN_QUEUE",
        "HARMONY_P1",
        "HARMONY_P2",
        "HARMONY_ROLE",
        "HARMONY_STATUS",
        "HARMONY_TIMEOUT",
    }
)
"""Variables with which connector and dialplan speak to one another: never interaction data."""

_CHANNEL = re.compile(r"^(?P<technology>[A-Za-z0-9]+)/(?P<rest>.+)-(?P<serial>[0-9a-f]+)(?P<half>;[12])?$")
_INTERFACE = re.compile(r"^PJSIP/(?P<endpoint>[^/@]+)$")
_JOINTS = frozenset({"Local"})
_FURNITURE = frozenset({"CBAnn", "CBRec", "Announcer", "Recorder", "Surrogate", "Message", "Bridge"})
"""Channels that Asterisk makes for itself inside bridges: nobody is at their far end."""

_IDLE, _CONSULTING, _VISITING = "harmony-didle", "harmony-dconsult", "harmony-room"
"""Contexts in which an agent's leg is while its parties are on hold."""

_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ESCAPED = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}

_NOBODY = frozenset({"", "<unknown>", "<none>", "(null)"})

_OUTCOMES: Mapping[str, DialOutcome] = {
    "ANSWER": DialOutcome.ANSWERED,
    "BUSY": DialOutcome.BUSY,
    "NOANSWER": DialOutcome.NO_ANSWER,
    "CANCEL": DialOutcome.CANCELLED,
    "ABORT": DialOutcome.CANCELLED,
    "CHANUNAVAIL": DialOutcome.UNREACHABLE,
    "CONGESTION": DialOutcome.FAILED,
    "INVALID": DialOutcome.INVALID,
    "INVALIDARGS": DialOutcome.INVALID,
}

_DEVICE_STATES: Mapping[str, EndpointState] = {
    "NOT_INUSE": EndpointState.IDLE,
    "INUSE": EndpointState.IN_USE,
    "BUSY": EndpointState.IN_USE,
    # ONHOLD shows on the phone that is being held, so it says nothing of this one's user.
    "ONHOLD": EndpointState.IN_USE,
    "RINGING": EndpointState.RINGING,
    "RINGINUSE": EndpointState.RINGING,
    "UNAVAILABLE": EndpointState.UNAVAILABLE,
    "INVALID": EndpointState.UNAVAILABLE,
}

_STATE_RING = "4"
_STATE_UP = "6"
_REASON_TIMEOUT = "3"


def endpoint_of_channel(channel: str) -> str:
    """Return the phone of a channel name (`PJSIP/1001-0000002a` is phone 1001), or an empty string."""
    match = _CHANNEL.match(channel)
    return match["rest"] if match is not None and match["technology"] == "PJSIP" else ""


def endpoint_of_interface(interface: str, state_interface: str = "") -> str:
    """Return the phone behind a queue member's interface, else behind its state interface, else ''."""
    for name in (interface, state_interface):
        match = _INTERFACE.match(name)
        if match is not None:
            return match["endpoint"]
    return ""


def data_key(variable: str) -> str:
    """Return the interaction data key of a channel variable, or an empty string if it is none."""
    bare = variable.lstrip("_")
    if not bare.startswith(VARIABLE_PREFIX) or bare in RESERVED_VARIABLES:
        return ""
    return bare[len(VARIABLE_PREFIX) :]


def translate(event: AmiMessage) -> list[facts.Fact]:
    """Return the facts that one manager event holds, in order; none if it holds none."""
    handler = _HANDLERS.get(event.name)
    if handler is None:
        return []
    try:
        return handler(event)
    except (AmiFieldMissing, ValueError):
        return []


def translate_channel_row(row: AmiMessage) -> list[facts.Fact]:
    """Return the facts of one row of `CoreShowChannels` or `Status`: the leg, and its bridge."""
    found = _created(row)
    return [*found, *_whereabouts(row, None)] if found else []


def translate_known_row(row: AmiMessage, bridge: str | None) -> list[facts.Fact]:
    """Return the facts of a row about a leg that is known; `bridge` is the one that it was last seen in."""
    try:
        return [*_new_state(row), *_named(row), *_whereabouts(row, bridge)]
    except AmiFieldMissing:
        return []


def _whereabouts(row: AmiMessage, before: str | None) -> list[facts.Fact]:
    leg, place, extension = row["Uniqueid"], row.get("Context"), row.get("Exten") or ""
    now = row.get("BridgeId") or row.get("BridgeID") or ""
    found: list[facts.Fact] = []
    if now:
        if place == _VISITING and extension[:1] in {"a", "p"}:
            found.append(facts.RoomOpened(now, extension[1:]))
        found.append(facts.LegJoined(leg, now))
    elif before is not None or place == _IDLE:
        found.append(facts.LegLeft(leg, before or "", place == _IDLE))
    return found


def _text(value: str | None) -> str:
    return "" if value is None or value in _NOBODY else value


def _at(event: AmiMessage) -> float:
    return float(event.get("Timestamp") or 0.0)


def _created(event: AmiMessage) -> list[facts.Fact]:
    match = _CHANNEL.match(event["Channel"])
    technology = match["technology"] if match is not None else ""
    if technology in _FURNITURE:
        return []
    internal = technology in _JOINTS
    variables = {
        key: value for name, value in event.variables().items() if value and (key := data_key(name)) and key
    }
    return [
        facts.LegCreated(
            leg=event["Uniqueid"],
            endpoint="" if internal else endpoint_of_channel(event["Channel"]),
            tree=event["Linkedid"],
            placed=event["ChannelState"] == _STATE_RING and not internal,
            internal=internal,
            number=_text(event.get("CallerIDNum")),
            name=_text(event.get("CallerIDName")),
            dialled=_text(event.get("Exten")),
            answered=event["ChannelState"] == _STATE_UP,
            variables=variables,
            destination=event.variables().get("HARMONY_DEST", "")
            if event.variables().get("HARMONY_ROLE") == "agent"
            else "",
        )
    ]


def _new_state(event: AmiMessage) -> list[facts.Fact]:
    match event["ChannelState"]:
        case "5":
            return [facts.LegRinging(event["Uniqueid"])]
        case "6":
            return [facts.LegAnswered(event["Uniqueid"])]
        case _:
            return []


def _named(event: AmiMessage) -> list[facts.Fact]:
    return [
        facts.LegNamed(
            event["Uniqueid"],
            _text(event.get("CallerIDNum")),
            _text(event.get("CallerIDName")),
            _text(event.get("ConnectedLineNum")),
            _text(event.get("ConnectedLineName")),
        )
    ]


def _ended(event: AmiMessage) -> list[facts.Fact]:
    return [facts.LegEnded(event["Uniqueid"], int(event.get("Cause") or 0))]


def _hangup_asked(event: AmiMessage) -> list[facts.Fact]:
    by_phone = event.name == "HangupRequest"
    return [facts.HangupAsked(event["Uniqueid"], by_phone, int(event.get("Cause") or 0))]


def _dial_begin(event: AmiMessage) -> list[facts.Fact]:
    return [facts.DialStarted(event.get("Uniqueid"), event["DestUniqueid"])]


def _dial_end(event: AmiMessage) -> list[facts.Fact]:
    outcome = _OUTCOMES.get(event["DialStatus"], DialOutcome.FAILED)
    return [facts.DialEnded(event.get("Uniqueid"), event["DestUniqueid"], outcome)]


def _bridge_enter(event: AmiMessage) -> list[facts.Fact]:
    return [facts.LegJoined(event["Uniqueid"], event["BridgeUniqueid"])]


def _bridge_leave(event: AmiMessage) -> list[facts.Fact]:
    place = event.get("Context")
    # From a plain bridge a leg also leaves for a moment when a Local channel takes itself out of the path.
    from_room = event.get("BridgeTechnology") == "softmix"
    waits = place == _IDLE or (place == _CONSULTING and from_room)
    return [facts.LegLeft(event["Uniqueid"], event["BridgeUniqueid"], waits)]


def _room(event: AmiMessage) -> list[facts.Fact]:
    return [facts.RoomOpened(event["BridgeUniqueid"], event["Conference"])]


def _local_bridge(event: AmiMessage) -> list[facts.Fact]:
    return [facts.LegsPaired(event["LocalOneUniqueid"], event["LocalTwoUniqueid"])]


def _variable(event: AmiMessage) -> list[facts.Fact]:
    key = data_key(event["Variable"])
    return [facts.VariableSet(event["Uniqueid"], key, _unescaped(event["Value"]))] if key else []


def _unescaped(value: str) -> str:
    """Undo the C escapes that VarSet, alone among the events, puts into values."""
    return _ESCAPE.sub(lambda found: _ESCAPED.get(found[1], found[1]), value)


def _queue_join(event: AmiMessage) -> list[facts.Fact]:
    return [facts.QueueEntered(event["Uniqueid"], event["Queue"], int(event["Position"]), _at(event))]


def _agent_called(event: AmiMessage) -> list[facts.Fact]:
    return [facts.QueueOffered(event["Uniqueid"], event["DestUniqueid"], event["Queue"], _at(event))]


def _queue_left(event: AmiMessage) -> list[facts.Fact]:
    return [facts.QueueLeft(event["Uniqueid"], event["Queue"], event.name == "QueueCallerAbandon")]


def _member(event: AmiMessage) -> list[facts.Fact]:
    interface = event.get("Interface") or event["Location"]
    endpoint = endpoint_of_interface(interface, event.get("StateInterface") or "")
    if not endpoint:
        return []
    member = event.get("MemberName") or event.get("Name") or ""
    reason = event.get("PausedReason") or ""
    return [facts.MemberChanged(event["Queue"], endpoint, member, event["Paused"] == "1", reason)]


def _member_removed(event: AmiMessage) -> list[facts.Fact]:
    endpoint = endpoint_of_interface(event["Interface"], event.get("StateInterface") or "")
    return [facts.MemberGone(event["Queue"], endpoint)] if endpoint else []


def _device_state(event: AmiMessage) -> list[facts.Fact]:
    endpoint = endpoint_of_interface(event["Device"])
    state = _DEVICE_STATES.get(event["State"], EndpointState.UNKNOWN)
    return [facts.EndpointChanged(endpoint, state)] if endpoint else []


def _originate_response(event: AmiMessage) -> list[facts.Fact]:
    if event["Response"] != "Failure":
        return []
    return [facts.PlacementFailed(event["Uniqueid"], event.get("Reason") == _REASON_TIMEOUT)]


def _user_event(event: AmiMessage) -> list[facts.Fact]:
    if event["UserEvent"] != "HarmonyDial":
        return []
    outcome = _OUTCOMES.get(event["Status"], DialOutcome.FAILED)
    cause = event.get("Cause") or "0"
    return [facts.DialReported(event["Uniqueid"], outcome, int(cause) if cause.isdigit() else 0)]


_HANDLERS: Mapping[str, Callable[[AmiMessage], list[facts.Fact]]] = {
    "AgentCalled": _agent_called,
    "BridgeEnter": _bridge_enter,
    "BridgeLeave": _bridge_leave,
    "ConfbridgeJoin": _room,
    "ConfbridgeStart": _room,
    "DeviceStateChange": _device_state,
    "DialBegin": _dial_begin,
    "DialEnd": _dial_end,
    "Hangup": _ended,
    "HangupRequest": _hangup_asked,
    "Hold": lambda event: [facts.PhoneHeld(event["Uniqueid"])],
    "LocalBridge": _local_bridge,
    "MusicOnHoldStart": lambda event: [facts.MusicStarted(event["Uniqueid"])],
    "MusicOnHoldStop": lambda event: [facts.MusicStopped(event["Uniqueid"])],
    "NewCallerid": _named,
    "NewConnectedLine": _named,
    "Newchannel": _created,
    "Newstate": _new_state,
    "OriginateResponse": _originate_response,
    "QueueCallerAbandon": _queue_left,
    "QueueCallerJoin": _queue_join,
    "QueueCallerLeave": _queue_left,
    "QueueMember": _member,
    "QueueMemberAdded": _member,
    "QueueMemberPause": _member,
    "QueueMemberRemoved": _member_removed,
    "QueueMemberStatus": _member,
    "Shutdown": lambda _event: [facts.PbxStopped()],
    "SoftHangupRequest": _hangup_asked,
    "Unhold": lambda event: [facts.PhoneResumed(event["Uniqueid"])],
    "UserEvent": _user_event,
    "VarSet": _variable,
}
