"""From Asterisk's manager events to the model's facts. Pure: no clock, no I/O, and no event can raise.

An event that lacks a header that it must have, or that the model has no use for, gives no fact.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from connector.asterisk.channel_names import (
    channel_parts,
    endpoint_of_channel,
    endpoint_of_interface,
    endpoint_of_mobile,
    is_furniture,
)
from connector.asterisk.contexts import CONSULT, IDLE, ROOM, SUPERVISE, TRANSFER, WHISPER
from connector.asterisk.variable_names import data_key
from connector.asterisk.wire import AmiFieldMissing, AmiMessage
from connector.telephony import facts
from connector.telephony.facts import EndpointState
from connector.telephony.states import SUPERVISION_MODES, DialOutcome, Recording, Role, Supervision

_JOINT = "Local"
"""Technology of the channels that join others."""

_ENTRANCES = frozenset("apvw")
"""First letters of the extensions by which legs enter a room there."""

ROOMS: Mapping[str, Role] = {"HARMONY_P1": Role.PRIMARY, "HARMONY_P2": Role.CONSULT}
"""Variables on an agent's leg that name the rooms of its conversations."""

_MODES: Mapping[str, Supervision] = {mode.value: mode for mode in SUPERVISION_MODES}
_RECORDINGS: Mapping[str, Recording] = {each.value: each for each in (Recording.ON, Recording.PAUSED)}

_HANDED_ON = frozenset({"Bridge", "App", "Link"})
"""Where the parties of an attended transfer are, when the one who transfers leaves them."""

_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ESCAPED = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}

_NOBODY = frozenset({"", "<unknown>", "<none>", "(null)"})

DIAL_OUTCOMES: Mapping[str, DialOutcome] = {
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
"""What Asterisk's DIALSTATUS means."""

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


def room_of_row(row: AmiMessage) -> str:
    """Return the extension by which a listed leg is in one of our rooms (`aROOM`, `pROOM`), else ''."""
    extension = row.get("Exten") or ""
    joined = bridge_of_row(row)
    return extension if joined and row.get("Context") == ROOM and extension[:1] in _ENTRANCES else ""


def translate(event: AmiMessage) -> list[facts.Fact]:
    """Return the facts that one manager event holds, in order; none if it holds none."""
    handler = _HANDLERS.get(event.name)
    if handler is None:
        return []
    try:
        return [*handler(event)]
    except (AmiFieldMissing, ValueError):
        return []


def translate_channel_row(row: AmiMessage, consult_of: str = "") -> list[facts.Fact]:
    """Return the facts of one row of `CoreShowChannels` or `Status`: the leg, and its bridge.

    `consult_of` is the interaction that the leg is known to consult for.
    """
    found = [replace(leg, consult_of=consult_of) for leg in _created(row)]
    return [*found, *_whereabouts(row, None)] if found else []


def translate_named_row(row: AmiMessage) -> list[facts.Fact]:
    """Return who is at the two ends of a listed leg."""
    return _named(row) if row.get("Uniqueid") else []


def bridge_of_row(row: AmiMessage) -> str:
    """Return the bridge that a listed leg is in, or an empty string."""
    return row.get("BridgeId") or row.get("BridgeID") or ""


def translate_known_row(row: AmiMessage, bridge: str | None) -> list[facts.Fact]:
    """Return the facts of a row about a leg that is known; `bridge` is the one that it was last seen in."""
    try:
        return [*_new_state(row), *_named(row), *_whereabouts(row, bridge)]
    except AmiFieldMissing:
        return []


def translate_marks(row: AmiMessage) -> list[facts.Fact]:
    """Return what a row tells of supervision, and by our own variables of recording and muting.

    It may speak of another row's leg.
    """
    leg, variables = row.get("Uniqueid") or "", row.variables()
    found: list[facts.Fact] = []
    # Empty says nothing: a recording that the dialplan started has no variable of ours.
    if (recording := _RECORDINGS.get(variables.get("HARMONY_X_RECORDING", ""))) is not None:
        found.append(facts.LegRecorded(leg, recording))
    if "HARMONY_X_MUTED" in variables:
        found.append(facts.LegMuted(leg, variables["HARMONY_X_MUTED"] == "1"))
    if row.get("Application") == "ChanSpy":
        spied = (row.get("ApplicationData") or row.get("Data") or "").partition(",")[0]
        linked = row.get("Linkedid") or leg
        found.append(_spying(leg, linked, spied, row.get("Context"), row.get("Exten")))
    return found


def _spying(leg: str, linked: str, spied: str, place: str | None, extension: str | None) -> facts.SpyStarted:
    # A Local channel has the linked id of the leg that dialled it, as that was the first of its calls.
    return facts.SpyStarted(
        linked if place == WHISPER else leg,
        spied,
        _MODES.get(extension or "") if place in {SUPERVISE, WHISPER} else None,
    )


def _whereabouts(row: AmiMessage, before: str | None) -> list[facts.Fact]:
    leg, place = row["Uniqueid"], row.get("Context")
    now = bridge_of_row(row)
    found: list[facts.Fact] = []
    if now:
        if room := room_of_row(row):
            found.append(facts.RoomOpened(now, room[1:]))
        found.append(facts.LegJoined(leg, now))
    elif before is not None or place in {IDLE, CONSULT}:
        found.append(facts.LegLeft(leg, before or "", place in {IDLE, CONSULT}))
    return found


def _text(value: str | None) -> str:
    return "" if value is None or value in _NOBODY else value


def _at(event: AmiMessage) -> float:
    return float(event.get("Timestamp") or 0.0)


def _created(event: AmiMessage) -> list[facts.LegCreated]:
    parts = channel_parts(event["Channel"])
    technology = parts[0] if parts is not None else ""
    endpoint = endpoint_of_channel(event["Channel"])
    # The far half of a mobile agent's leg is plumbing outside of the picture.
    if is_furniture(event["Channel"]) or (not endpoint and endpoint_of_mobile(event["Channel"])):
        return []
    internal = technology == _JOINT and not endpoint
    placed = event["ChannelState"] == _STATE_RING and not internal
    told = event.variables()
    variables = {key: value for name, value in told.items() if value and (key := data_key(name)) and key}
    return [
        facts.LegCreated(
            leg=event["Uniqueid"],
            endpoint=endpoint,
            tree=event["Linkedid"],
            placed=placed,
            internal=internal,
            number=_text(event.get("CallerIDNum")),
            name=_text(event.get("CallerIDName")),
            # A leg that is being called has a place in the dialplan, which is no number.
            dialled=_text(event.get("Exten")) if placed or internal else "",
            answered=event["ChannelState"] == _STATE_UP,
            variables=variables,
            destination=told.get("HARMONY_DEST", "") if told.get("HARMONY_ROLE") == "agent" else "",
            supervises=told.get("HARMONY_ID", "") if told.get("HARMONY_ROLE") == "supervisor" else "",
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
    sent_on = event.get("Context") == TRANSFER
    return [facts.DialStarted(event.get("Uniqueid"), event["DestUniqueid"], sent_on)]


def _dial_end(event: AmiMessage) -> list[facts.Fact]:
    outcome = DIAL_OUTCOMES.get(event["DialStatus"], DialOutcome.FAILED)
    return [facts.DialEnded(event.get("Uniqueid"), event["DestUniqueid"], outcome)]


def _bridge_enter(event: AmiMessage) -> list[facts.Fact]:
    # ConfbridgeJoin has told the room, but the last leg may have left it since.
    room = event["BridgeName"] if event.get("BridgeCreator") == "ConfBridge" else ""
    return [facts.LegJoined(event["Uniqueid"], event["BridgeUniqueid"], room)]


def _bridge_leave(event: AmiMessage) -> list[facts.Fact]:
    place = event.get("Context")
    # From a plain bridge a leg also leaves for a moment when a Local channel takes itself out of the path.
    from_room = event.get("BridgeTechnology") == "softmix"
    waits = place == IDLE or (place == CONSULT and from_room)
    return [facts.LegLeft(event["Uniqueid"], event["BridgeUniqueid"], waits)]


def _music(event: AmiMessage) -> list[facts.Fact]:
    # A leg that is moved as its bridge ends has told its old place when it left that.
    return [facts.MusicStarted(event["Uniqueid"], waits=event.get("Context") == IDLE)]


def _blind_transfer(event: AmiMessage) -> list[facts.Fact]:
    by = event["TransfererUniqueid"]
    match event["Result"]:
        case "Success":
            return [facts.PartiesTransferred((by,), _named_legs(event, "TransfereeUniqueid"))]
        case "Invalid":
            return [facts.TransferRefused(by, event["Extension"])]
        case _:
            return []


def _attended_transfer(event: AmiMessage) -> list[facts.Fact]:
    by = (event["OrigTransfererUniqueid"], event["SecondTransfererUniqueid"])
    if by[0] == by[1]:
        # The PBX's own transfer, which a phone asked for with one call only.
        away = event["Result"] == "Success" and event.get("DestType") != "Threeway"
        return [facts.LegTransferredAway(by[0])] if away else []
    if event["Result"] == "Invalid":
        return [facts.JoinRefused(by)]
    # `Threeway` is a conference: nobody was handed on.
    if event["Result"] != "Success" or event["DestType"] not in _HANDED_ON:
        return []
    parties = _named_legs(event, "TransfereeUniqueid", "TransferTargetUniqueid")
    return [facts.PartiesTransferred(by, parties)]


def _named_legs(event: AmiMessage, *headers: str) -> tuple[str, ...]:
    return tuple(leg for header in headers if (leg := event.get(header)))


def _room(event: AmiMessage) -> list[facts.Fact]:
    return [facts.RoomOpened(event["BridgeUniqueid"], event["Conference"])]


def _local_bridge(event: AmiMessage) -> list[facts.Fact]:
    return [facts.LegsPaired(event["LocalOneUniqueid"], event["LocalTwoUniqueid"])]


def _variable(event: AmiMessage) -> list[facts.Fact]:
    name = event["Variable"]
    if name == "HARMONY_X_MUTED":
        return [facts.LegMuted(event["Uniqueid"], event["Value"] == "1")]
    if (role := ROOMS.get(name)) is not None:
        return [facts.RoomAssigned(event["Uniqueid"], role, event["Value"])]
    key = data_key(name)
    return [facts.VariableSet(event["Uniqueid"], key, _unescaped(event["Value"]))] if key else []


def _unescaped(value: str) -> str:
    """Undo the C escapes that VarSet, alone among the events, puts into values."""
    return _ESCAPE.sub(lambda found: _ESCAPED.get(found[1], found[1]), value)


def _mix_monitor(event: AmiMessage) -> list[facts.Fact]:
    state = Recording.ON if event.name == "MixMonitorStart" else Recording.OFF
    return [facts.LegRecorded(event["Uniqueid"], state)]


def _mix_monitor_mute(event: AmiMessage) -> list[facts.Fact]:
    if event["Direction"] != "both":
        return []
    state = Recording.PAUSED if event["State"] == "1" else Recording.ON
    return [facts.LegRecorded(event["Uniqueid"], state)]


def _spy_started(event: AmiMessage) -> list[facts.Fact]:
    leg, linked, spied = event["SpyerUniqueid"], event["SpyerLinkedid"], event["SpyeeUniqueid"]
    return [_spying(leg, linked, spied, event.get("SpyerContext"), event.get("SpyerExten"))]


def _queue_join(event: AmiMessage) -> list[facts.Fact]:
    return [facts.QueueEntered(event["Uniqueid"], event["Queue"], int(event["Position"]), _at(event))]


def _agent_called(event: AmiMessage) -> list[facts.Fact]:
    return [facts.QueueOffered(event["Uniqueid"], event["DestUniqueid"], event["Queue"], _at(event))]


def _queue_left(event: AmiMessage) -> list[facts.Fact]:
    return [facts.QueueLeft(event["Uniqueid"], event["Queue"], event.name == "QueueCallerAbandon")]


def _member(event: AmiMessage) -> list[facts.Fact]:
    # A row of a list has other names for two headers than an event.
    listed = event.name == "QueueMember"
    interface = event["Location" if listed else "Interface"]
    endpoint = endpoint_of_interface(interface, event.get("StateInterface") or "")
    if not endpoint:
        return []
    member = event.get("Name" if listed else "MemberName") or ""
    reason, paused = event.get("PausedReason") or "", event["Paused"] == "1"
    penalty, dynamic = int(event.get("Penalty") or 0), event.get("Membership", "dynamic") == "dynamic"
    return [facts.MemberChanged(event["Queue"], endpoint, member, paused, reason, penalty, dynamic)]


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
    if event["UserEvent"] == "HarmonyOrphan":
        return [facts.LegOrphaned(event["Uniqueid"])]
    if event["UserEvent"] != "HarmonyDial":
        return []
    outcome = DIAL_OUTCOMES.get(event["Status"], DialOutcome.FAILED)
    cause = event.get("Cause") or "0"
    return [facts.DialReported(event["Uniqueid"], outcome, int(cause) if cause.isdigit() else 0)]


_HANDLERS: Mapping[str, Callable[[AmiMessage], Sequence[facts.Fact]]] = {
    "AgentCalled": _agent_called,
    "AttendedTransfer": _attended_transfer,
    "BlindTransfer": _blind_transfer,
    "BridgeEnter": _bridge_enter,
    "BridgeLeave": _bridge_leave,
    "ChanSpyStart": _spy_started,
    "ConfbridgeJoin": _room,
    "ConfbridgeStart": _room,
    "DeviceStateChange": _device_state,
    "DialBegin": _dial_begin,
    "DialEnd": _dial_end,
    "Hangup": _ended,
    "HangupRequest": _hangup_asked,
    "Hold": lambda event: [facts.PhoneHeld(event["Uniqueid"])],
    "LocalBridge": _local_bridge,
    "MixMonitorMute": _mix_monitor_mute,
    "MixMonitorStart": _mix_monitor,
    "MixMonitorStop": _mix_monitor,
    "MusicOnHoldStart": _music,
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
