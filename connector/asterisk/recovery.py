"""Resync: the lists of the PBX are laid over the model, after a (re)connection or a missed event.

What the model has and the PBX no longer lists has ended; what the PBX lists and the model lacks is new; what
both have is brought up to date. The difference goes out as ordinary changes, and nothing is replayed towards
the PBX.
"""

import asyncio
from collections.abc import Collection, Iterable, Mapping

import structlog

from connector.asterisk.channel_list import alone, kinship
from connector.asterisk.channel_names import endpoint_of_interface
from connector.asterisk.events import ROOMS, translate, translate_known_row, translate_marks
from connector.asterisk.exchange import Exchange, subject_of
from connector.asterisk.found_consults import found_consults
from connector.asterisk.found_legs import (
    TRUSTED,
    call_of,
    entangled,
    facts_of_data,
    facts_of_fresh,
    facts_of_rooms,
    guests_of,
    missed_report,
    queue_offers,
    sent_on,
    serial_of,
    sharers_of,
    variables_of,
)
from connector.asterisk.link import AmiDown, AmiError, AmiLink
from connector.asterisk.phoneside import phone_holds
from connector.asterisk.projection import (
    is_ours,
    known_members,
    member_of_row,
    project,
    time_of_start,
)
from connector.asterisk.wire import AmiMessage
from connector.telephony import facts
from connector.telephony.model import TelephonyModel
from connector.telephony.states import Cause

log = structlog.get_logger(__name__)

_UNKNOWN_CAUSE = 0
_ASKED_AT_ONCE = 50
"""So many phones are asked before the first has answered."""
_MOST_READINGS = 5
"""A leg that moves while it is listed for the first time is looked at again, this often at most."""


async def resync(exchange: Exchange, link: AmiLink, *, restarted: bool = False) -> None:
    """Read channels, queue members and device states (Status, QueueStatus, DeviceStateList).

    If the PBX has `restarted`, the agents' memberships are not read from it but written to it.

    Events go on meanwhile: lists are no atomic snapshots, so a leg that ended or began while they were read
    is left to its own events.
    """
    second: dict[str, facts.CallFound] = {}
    try:
        for left in reversed(range(_MOST_READINGS)):
            if await _read(exchange, link, second, restarted=restarted, last=left == 0):
                break
        await _ask_for_holds(exchange, link)
    finally:
        for leg in sorted(second, key=serial_of):
            if exchange.model.legs.get(leg) is not None:
                exchange.apply(second[leg])


async def _read(
    exchange: Exchange,
    link: AmiLink,
    second: dict[str, facts.CallFound],
    *,
    restarted: bool,
    last: bool,
) -> bool:
    """Read the lists once; tell whether that told all. The `last` time what is there must do.

    What can be judged only when it is known which phones hold goes to `second`, by leg.
    """
    legs_before = set(exchange.model.legs.legs)
    members_before = known_members(exchange)
    newer: set[str] = set()
    exchange.touched = newer
    try:
        asked = {"AllVariables": "true", "Variables": ",".join(TRUSTED)}
        channels = await link.send_list("Status", asked)
        rows = [row for row in channels if row.name == "Status"]
        queues = await link.send_list("QueueStatus")
        # Asterisk remembers the device of each room that there ever was.
        devices = await link.send_list("DeviceStateList", keep=_is_phone)
    finally:
        exchange.touched = None

    members = [row for row in queues if row.name == "QueueMember"]
    listed = {row.get("Uniqueid") or "" for row in rows}
    rows = [row for row in rows if row.get("Uniqueid") and row.get("Channel")]
    ended = legs_before - listed - newer
    for handed in tuple(sent_on(exchange.model, rows, ended)):
        exchange.apply(handed)
    for leg in _lost_with_the_pbx(exchange.model, ended) if restarted else sorted(ended):
        exchange.apply(facts.LegEnded(leg, _UNKNOWN_CAUSE))
    unknown = newer & (listed - exchange.model.legs.legs.keys())
    # The events of a leg that is not known yet were in vain, and its row may be older than they.
    unsure = set() if last else entangled(rows, unknown)
    sure = [row for row in rows if row["Uniqueid"] not in unsure]
    waiting = [row for row in queues if row.name == "QueueEntry"]
    second |= _take_legs(exchange, sure, newer - unknown, waiting)
    kept = {key: one for key, one in members_before.items() if restarted and is_ours(exchange, one)}
    gone = members_before.keys() - kept.keys() - set(map(member_of_row, members))
    told = [row for row in members if member_of_row(row) not in kept]
    missing = [facts.MemberGone(queue, phone) for phone, queue in sorted(gone)]
    _apply_all(exchange, (fact for fact in missing if subject_of(fact) not in newer))
    for row in (*told, *devices):
        _apply_all(exchange, (fact for fact in translate(row) if subject_of(fact) not in newer))
    await project(exchange, link, kept.values())
    log.info("in step with the PBX", channels=len(rows), members=len(members), devices=len(devices))
    return not unsure


def _lost_with_the_pbx(model: TelephonyModel, ended: set[str]) -> list[str]:
    """Have calls end as failed, which the PBX took along; return their legs, agents' own ones first."""
    for interaction in model.interactions_everywhere():
        if not interaction.over and ended.issuperset(interaction.legs):
            model.expect_departure(interaction.id, Cause.FAILED)
    return sorted(ended, key=lambda leg: (model.interaction_on(leg) is None, leg))


def _is_phone(row: AmiMessage) -> bool:
    """Whether a row tells the state of a phone."""
    return row.name == "DeviceStateChange" and bool(endpoint_of_interface(row.get("Device") or ""))


async def _ask_for_holds(exchange: Exchange, link: AmiLink) -> None:
    """Bring up to date which phones hold: no list of Asterisk tells it."""
    legs = exchange.model.agent_legs()
    for start in range(0, len(legs), _ASKED_AT_ONCE):
        asked = legs[start : start + _ASKED_AT_ONCE]
        newer: set[str] = set()
        exchange.touched = newer
        try:
            answers = await asyncio.gather(*(phone_holds(link, leg.id) for leg in asked))
        finally:
            exchange.touched = None
        for leg, holds in zip(asked, answers, strict=True):
            if holds is not None and holds is not leg.phone_hold and leg.id not in newer:
                exchange.apply(facts.PhoneHeld(leg.id) if holds else facts.PhoneResumed(leg.id))


def _take_legs(
    exchange: Exchange, rows: list[AmiMessage], newer: set[str], waiting: list[AmiMessage]
) -> dict[str, facts.CallFound]:
    """Take the legs of the list in, but those of which newer events spoke.

    Returns what was found of calls that may be consults: their phones dialled them beside another call.
    """
    model, legs = exchange.model, exchange.model.legs
    steady = [row for row in rows if row["Uniqueid"] not in newer]
    variables = {row["Uniqueid"]: variables_of(row) for row in steady}
    fresh = {leg for leg in variables if legs.get(leg) is None or model.is_unexplained(leg)}
    consults = found_consults(steady, variables)
    for row in steady:
        leg = row["Uniqueid"]
        known = legs.get(leg)
        if known is None or leg in fresh:
            _apply_all(exchange, facts_of_fresh(row, variables[leg]))
            continue
        _apply_all(exchange, translate_known_row(row, known.bridge))
        _apply_all(exchange, facts_of_data(row, known, variables[leg]))
    _apply_all(exchange, queue_offers([row for row in steady if row["Uniqueid"] in fresh], waiting))
    # Last: a call that is dialled is told from one that talks by where its legs are.
    calls = {one.joint: one.call for one in consults.values()}
    begun = [one.begun for one in consults.values() if one.joint in fresh]
    music = [fact for one in consults.values() for fact in one.music]
    for fact in (*music, *begun, *kinship(rows, fresh, calls), *alone(rows)):
        if getattr(fact, "leg", None) not in newer:
            exchange.apply(fact)
    second = _take_calls(exchange, steady, variables, fresh - consults.keys())
    # A mark may be about another row's leg: so they come when all legs are there.
    for row in steady:
        _apply_all(exchange, translate_marks(row))
        there = legs.get(row["Uniqueid"])
        if there is not None:
            _apply_all(exchange, facts_of_rooms(there, variables[there.id]))
    return second


def _take_calls(
    exchange: Exchange,
    rows: list[AmiMessage],
    variables: Mapping[str, Mapping[str, str]],
    fresh: Collection[str],
) -> dict[str, facts.CallFound]:
    """Take in which calls the legs are in; returns what is left for later, as `_take_legs` does."""
    second: dict[str, facts.CallFound] = {}
    guests, sharers = guests_of(variables), sharers_of(variables)
    for row in sorted(rows, key=lambda row: "HARMONY_CONSULT" in variables[row["Uniqueid"]]):
        leg = row["Uniqueid"]
        if leg in fresh:
            # A consult that a phone runs on a leg of its own belongs to a call that must be there first.
            found = call_of(row, variables[leg], guests.get(leg, ()), sharers)
            if "HARMONY_CONSULT" not in variables[leg] and exchange.model.legs.is_phones_second(leg):
                second[leg] = found
            else:
                exchange.apply(found)
        elif exchange.model.rings_no_more(leg) and any(map(variables[leg].get, ROOMS)):
            # It has taken the place of another agent's leg, whose phone handed a call on that was on hold.
            exchange.apply(call_of(row, variables[leg], guests.get(leg, ()), sharers))
        elif exchange.model.consults_in_vain(leg) and (report := missed_report(row, variables[leg])):
            exchange.apply(report)
    return second


def _apply_all(exchange: Exchange, told: Iterable[facts.Fact]) -> None:
    """Take in what a row tells; one that nobody can make sense of costs only itself."""
    try:
        for fact in told:
            exchange.apply(fact)
    except (ValueError, ArithmeticError, LookupError, TypeError) as problem:
        log.warning("a row of the PBX's lists was left out", problem=repr(problem))


class Reconciler:
    """Brings the model in step when an event that had to come did not. One reading at a time, shared."""

    def __init__(self, exchange: Exchange, link: AmiLink) -> None:
        self._exchange = exchange
        self._link = link
        self._reading = asyncio.Lock()
        self._next: asyncio.Task[None] | None = None
        self.started = ""
        """When the PBX was started that was read last (`time_of_start`)."""

    async def read(self) -> None:
        """Read the lists of a PBX that is there (again). Raises an `AmiError` if that fails."""
        async with self._reading:
            started = await time_of_start(self._link)
            await resync(self._exchange, self._link, restarted=self.started not in {"", started})
            # Last: after an error all is still to be done.
            self.started = started

    async def settle(self) -> None:
        """Have the lists read once from now on, together with all who ask before that begins.

        Raises:
            AmiDown: the link broke.

        """
        if self._next is None:
            self._next = asyncio.get_running_loop().create_task(self._settle())
        await asyncio.shield(self._next)

    async def _settle(self) -> None:
        async with self._reading:
            # Who asks from now on needs a newer reading.
            self._next = None
            try:
                await resync(self._exchange, self._link)
            except AmiDown:
                raise
            except AmiError as problem:
                log.warning("the PBX's lists could not be read", problem=str(problem))
