"""What the rows of `Status` tell beyond events: our variables, and by them which calls a leg is in.

An event says what changes; a leg that is found after a (re)start must itself say the rest. Most stands on it
as variables that connector and dialplan set for each other anyway (`asterisk/variables.py`).
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from types import MappingProxyType

from connector.asterisk.channel_names import is_furniture
from connector.asterisk.contexts import CONSULT, IDLE, TRANSFER
from connector.asterisk.events import (
    DIAL_OUTCOMES,
    ROOMS,
    bridge_of_row,
    translate_channel_row,
    translate_named_row,
)
from connector.asterisk.variable_names import RESERVED_VARIABLES, data_key
from connector.asterisk.wire import AmiMessage
from connector.telephony import facts
from connector.telephony.legs import Leg
from connector.telephony.model import TelephonyModel
from connector.telephony.states import ConversationState

_TIES = ("HARMONY_P1", "HARMONY_P2", "HARMONY_AGENT", "HARMONY_CUR", "HARMONY_CONSULT")
"""Variables that name other legs, or rooms that are named after legs."""
TRUSTED = (
    "HARMONY_ASKED",
    *_TIES,
    "HARMONY_CONSULTS",
    "HARMONY_DEST",
    "HARMONY_DIALLED",
    "HARMONY_QUEUED_IN",
    "HARMONY_QUEUED_FOR",
    "TRANSFERERNAME",
    "BRIDGEPEER",
)
"""Variables that are asked for by name, besides all: by these a leg says which calls it is in.

Nobody sets the first one: it shows that a row has them.
"""
_TOLD_BY_NAME = RESERVED_VARIABLES | frozenset(TRUSTED)
_UNSET = "(null)"
_MOST_DIGITS = 7
_QUEUE, _DIAL = "Queue", "Dial"


def variables_of(row: AmiMessage) -> dict[str, str]:
    """Return the channel variables of a row that was asked for with `AllVariables`; the newest counts.

    Asterisk escapes no value, so one with line breaks can add lines that look like variables. But those that
    were asked for by name (`TRUSTED`) come before all others, in that order: what is said of them later is
    not believed.
    """
    lines = [header.partition("=") for header in row.all("Variable")]
    by_name = lines[: len(TRUSTED)] if lines and lines[0][0] == TRUSTED[0] else []
    found: dict[str, str] = {}
    if tuple(name for name, _, _ in by_name) == TRUSTED:
        found = {name: value for name, _, value in by_name if value != _UNSET}
    for name, _, value in lines[len(by_name) :]:
        if not (by_name and name in _TOLD_BY_NAME):
            found.setdefault(name, value)
    return found


def entangled(rows: Sequence[AmiMessage], legs: set[str]) -> set[str]:
    """Return these `legs` and those that cannot be judged without them: same call, same bridge, same room."""
    found = set(legs)
    if not found:
        return found
    ties: dict[str, list[str]] = {}
    names_of: dict[str, set[str]] = {}
    for row in rows:
        leg, variables = row["Uniqueid"], variables_of(row)
        names = {leg, row.get("Linkedid") or "", row.get("BridgeID") or ""}
        names_of[leg] = names | {variables.get(name, "") for name in _TIES}
        names_of[leg].discard("")
        for name in names_of[leg]:
            ties.setdefault(name, []).append(leg)
    frontier = list(found)
    while frontier:
        for name in names_of.get(frontier.pop(), ()):
            new = [leg for leg in ties[name] if leg not in found]
            found.update(new)
            frontier.extend(new)
    return found


def facts_of_fresh(row: AmiMessage, variables: Mapping[str, str]) -> Iterator[facts.Fact]:
    """Iterate over the facts about a leg that nobody saw begin: the leg, where it is, what it waited for."""
    for fact in translate_channel_row(row, variables.get("HARMONY_CONSULT", "")):
        if not isinstance(fact, facts.LegCreated):
            yield fact
            continue
        # Who dialled tells the number for as long as the leg lives; the extension only until it moves on.
        dialled = row.get("DNID") or ""
        data = {key: value for name, value in variables.items() if value and (key := data_key(name))}
        yield replace(
            fact,
            listed=True,
            placed=fact.placed or bool(dialled and not fact.internal),
            dialled=fact.dialled if fact.internal or row.get("DNID") is None else dialled,
            destination=fact.destination and variables.get("HARMONY_DIALLED", fact.destination),
            variables={**fact.variables, **data},
        )
    yield from translate_named_row(row)
    yield from _queued(row, variables)


def facts_of_data(row: AmiMessage, known: Leg, variables: Mapping[str, str]) -> Iterator[facts.Fact]:
    """Iterate over the interaction data that changed on a known leg while nobody looked."""
    now = {key: value for name, value in variables.items() if (key := data_key(name))}
    for key in [*now, *(known.variables.keys() - now.keys())]:
        if known.variables.get(key, "") != now.get(key, ""):
            yield facts.VariableSet(row["Uniqueid"], key, now.get(key, ""))


def facts_of_rooms(known: Leg, variables: Mapping[str, str]) -> Iterator[facts.Fact]:
    """Iterate over the rooms that an agent's leg was told while nobody looked."""
    for name, role in ROOMS.items():
        if (room := variables.get(name, "")) != known.rooms.get(role, ""):
            yield facts.RoomAssigned(known.id, role, room)


def guests_of(variables: Mapping[str, Mapping[str, str]]) -> dict[str, tuple[str, ...]]:
    """Return the outside parties of agents' legs, by what stands on the parties' own legs."""
    found: dict[str, tuple[str, ...]] = {}
    for leg, noted in variables.items():
        agent = noted.get("HARMONY_AGENT", "")
        if agent and noted.get("HARMONY_SIDE") != "agent":
            found[agent] = (*found.get(agent, ()), leg)
    return found


def sharers_of(variables: Mapping[str, Mapping[str, str]]) -> dict[str, tuple[str, ...]]:
    """Return the agents' legs that are told a room, by the room."""
    found: dict[str, tuple[str, ...]] = {}
    for leg, noted in variables.items():
        for room in {noted.get(name, "") for name in ROOMS} - {""}:
            found[room] = (*found.get(room, ()), leg)
    return found


def call_of(
    row: AmiMessage,
    variables: Mapping[str, str],
    guests: tuple[str, ...] = (),
    sharers: Mapping[str, tuple[str, ...]] = MappingProxyType({}),
) -> facts.CallFound:
    """Return what stands on a leg about the calls that its phone has.

    `guests` are of `guests_of`, `sharers` as of `sharers_of`.
    """
    consult = variables.get("HARMONY_CONSULTS", "")

    def sharing(room: str) -> tuple[str, ...]:
        return tuple(leg for leg in sharers.get(room, ()) if leg != row["Uniqueid"])

    return facts.CallFound(
        leg=row["Uniqueid"],
        primary_room=variables.get("HARMONY_P1", ""),
        consult_room=variables.get("HARMONY_P2", ""),
        consulting=row.get("Context") == CONSULT,
        number=variables.get("HARMONY_DEST", ""),
        consult=_bounded(consult),
        partner=variables.get("HARMONY_AGENT", ""),
        guests=guests,
        primary_sharers=sharing(variables.get("HARMONY_P1", "")),
        consult_sharers=sharing(variables.get("HARMONY_P2", "")),
        sent_on=row.get("Context") == TRANSFER,
    )


def sent_on(
    model: TelephonyModel, rows: Sequence[AmiMessage], gone: AbstractSet[str]
) -> Iterator[facts.LegSentOn]:
    """Tell of agents' legs with a party that is `gone`, which are with a stranger or dial somebody.

    Who had such a leg has sent it on while nobody looked.
    """
    mates: dict[str, set[str]] = {}
    for row in rows:
        if (bridge := bridge_of_row(row)) and not is_furniture(row["Channel"]):
            mates.setdefault(bridge, set()).add(row["Uniqueid"])
    for row in rows:
        leg = row["Uniqueid"]
        interaction = model.interaction_on(leg)
        talks = interaction.on_leg(leg) if interaction is not None else ()
        # Of two, who was on hold has not sent the leg on: it is only gone.
        left = [
            one
            for one in talks
            if one.parties
            and one.parties.keys() <= gone
            and (len(talks) == 1 or one.state is not ConversationState.HELD)
        ]
        if len(left) != 1:
            continue
        bridge, known = bridge_of_row(row), {leg}.union(*(one.parties for one in talks))
        dials = not bridge and row.get("Application") == _DIAL and row.get("Context") != CONSULT
        if dials or mates.get(bridge, set()) - known:
            yield facts.LegSentOn(leg, next(iter(left[0].parties)))


def missed_report(row: AmiMessage, variables: Mapping[str, str]) -> facts.DialReported | None:
    """Return how the consult call of a leg that waits went, as its dialplan said while nobody heard."""
    outcome = DIAL_OUTCOMES.get(variables.get("DIALSTATUS", ""))
    if row.get("Context") != IDLE or outcome is None:
        return None
    cause = variables.get("HANGUPCAUSE", "")
    return facts.DialReported(row["Uniqueid"], outcome, _bounded(cause))


def serial_of(leg: str) -> tuple[int, str]:
    """Return what legs are sorted by as they began, as far as Asterisk itself named them."""
    number = leg.rpartition(".")[2]
    return (int(number) if number.isdecimal() else 0, leg)


def queue_offers(rows: Sequence[AmiMessage], waiting: Sequence[AmiMessage]) -> Iterator[facts.Fact]:
    """Iterate over the facts about callers who wait in queues, of whom `QueueEntry` rows tell.

    A queue offers each caller to somebody sooner or later; what counts here is when.
    """
    now = time.time()
    listed = {row["Uniqueid"] for row in rows}
    for entry in waiting:
        leg, queue, wait = entry.get("Uniqueid") or "", entry.get("Queue") or "", entry.get("Wait") or ""
        if leg in listed and queue and wait.isdecimal():
            yield facts.QueueEntered(leg, queue, 0, now - _bounded(wait))
            yield facts.QueueOffered(leg, "", queue, now)


def _bounded(text: str) -> int:
    """Return a number that a caller may have written: nobody waits for years."""
    return int(text) if text.isdecimal() and len(text) <= _MOST_DIGITS else 0


def _queued(row: AmiMessage, variables: Mapping[str, str]) -> Iterator[facts.Fact]:
    """Tell the queue that a caller came by: the one that it is in, or what was noted when it left that."""
    leg = row["Uniqueid"]
    if row.get("Application") == _QUEUE:
        # The ring counts here, and a second is what the clock begins: it may be one or more too many.
        queue, wait = data_of(row).partition(",")[0], variables.get("QUEUEWAIT", "")
    else:
        queue, wait = variables.get("HARMONY_QUEUED_IN", ""), variables.get("HARMONY_QUEUED_FOR", "")
    if queue:
        now = time.time()
        yield facts.QueueEntered(leg, queue, 0, now - _bounded(wait))
        yield facts.QueueOffered(leg, "", queue, now)


def data_of(row: AmiMessage) -> str:
    """Return the arguments of the application that a listed leg runs."""
    return row.get("ApplicationData") or row.get("Data") or ""
