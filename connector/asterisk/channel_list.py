"""What only the rows of a channel list together tell: who dials whom, and who is alone in a room."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

from connector.asterisk.channel_names import channel_parts, is_furniture
from connector.asterisk.events import room_of_row
from connector.asterisk.found_legs import data_of
from connector.asterisk.wire import AmiMessage
from connector.telephony import facts
from connector.telephony.states import DialOutcome

_DIAL = "Dial"
_QUEUE, _QUEUED = "Queue", "AppQueue"
"""The application of who waits in a queue, and of the phones that it rings."""
_FIRST_HALF, _SECOND_HALF = ";1", ";2"
_BEFORE_OPTIONS = re.compile(r"[^,]*")
_RINGING, _UP = "5", "6"


_HEAR_MUSIC = frozenset("pvw")
"""First letters of the extensions by which somebody enters a room who hears music when alone there."""


def kinship(
    rows: Sequence[AmiMessage],
    fresh: set[str],
    consults: Mapping[str, facts.CallFound] = MappingProxyType({}),
) -> Iterator[facts.Fact]:
    """Iterate over the facts about the `fresh` legs that only the rows together tell.

    The halves of a Local channel belong together. A leg was dialled by the channel of its tree whose Dial
    names it; one that rings although no Dial does was placed by an Originate or a queue, unless the PBX lets
    somebody consult by it: `consults` has what its agent is in, by the joint.
    """
    halves = {_joint(row): row["Uniqueid"] for row in rows if row["Channel"].endswith(_SECOND_HALF)}
    callees = [row for row in rows if row["Uniqueid"] in fresh and not row["Channel"].endswith(_SECOND_HALF)]
    for row in callees:
        if row["Channel"].endswith(_FIRST_HALF) and (other := halves.get(_joint(row))) is not None:
            yield facts.LegsPaired(row["Uniqueid"], other)
    callers: dict[str, list[AmiMessage]] = {}
    for row in rows:
        if row.get("Application") in {_DIAL, _QUEUE}:
            callers.setdefault(row.get("Linkedid") or "", []).append(row)
    # Joints first: on whose behalf they dial on must be known then.
    for row in sorted(callees, key=lambda row: not row["Channel"].endswith(_FIRST_HALF)):
        leg = row["Uniqueid"]
        if leg in consults:
            yield consults[leg]
            continue
        tree = callers.get(row.get("Linkedid") or "", ())
        caller = next((one["Uniqueid"] for one in tree if _dials(one, row)), None)
        if caller is not None or row["ChannelState"] == _RINGING:
            yield facts.DialStarted(caller, leg)
        if caller is not None and row["ChannelState"] == _UP:
            yield facts.DialEnded(caller, leg, DialOutcome.ANSWERED)


def alone(rows: Sequence[AmiMessage]) -> Iterator[facts.Fact]:
    """Iterate over the facts about music: an outside party hears it while nobody else is in its room."""
    people = Counter(row.get("BridgeId") for row in rows if not is_furniture(row["Channel"]))
    for row in rows:
        if room_of_row(row)[:1] in _HEAR_MUSIC:
            waits = people[row.get("BridgeId")] == 1
            yield facts.MusicStarted(row["Uniqueid"]) if waits else facts.MusicStopped(row["Uniqueid"])


def _joint(row: AmiMessage) -> str:
    return row["Channel"].partition(";")[0]


def _dials(caller: AmiMessage, callee: AmiMessage) -> bool:
    parts = channel_parts(callee["Channel"])
    if parts is None:
        return False
    if caller.get("Application") == _QUEUE:
        return callee.get("Application") == _QUEUED
    dialled = _BEFORE_OPTIONS.match(data_of(caller))
    return dialled is not None and "/".join(parts) in dialled[0].split("&")
