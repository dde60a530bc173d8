"""Resync: the lists of the PBX are laid over the model, after a (re)connection or a missed event.

What the model has and the PBX no longer lists has ended; what the PBX lists and the model lacks is new; what
both have is brought up to date. The difference goes out as ordinary changes, and nothing is replayed towards
the PBX.
"""

import asyncio
from collections.abc import Mapping

import structlog

from connector.asterisk.channel_list import alone, kinship
from connector.asterisk.events import (
    endpoint_of_channel,
    translate,
    translate_channel_row,
    translate_known_row,
    translate_marks,
)
from connector.asterisk.exchange import Exchange
from connector.asterisk.link import AmiDown, AmiError, AmiLink
from connector.asterisk.phoneside import consulted_interaction, phone_holds
from connector.asterisk.projection import (
    is_ours,
    known_members,
    member_of_row,
    member_rows,
    project,
    time_of_start,
)
from connector.asterisk.wire import AmiMessage
from connector.telephony import facts

log = structlog.get_logger(__name__)

_UNKNOWN_CAUSE = 0


async def resync(exchange: Exchange, link: AmiLink, *, restarted: bool = False) -> None:
    """Read channels, queue members and device states (CoreShowChannels, QueueStatus, DeviceStateList).

    If the PBX has `restarted`, the agents' memberships are not read from it but written to it.

    Events go on meanwhile: lists are no atomic snapshots, so a leg that ended or began while they were read
    is left to its own events.
    """
    legs_before = set(exchange.model.legs.legs)
    members_before = known_members(exchange)
    newer: set[str] = set()
    exchange.touched = newer
    try:
        channels = await link.send_list("CoreShowChannels")
        rows = [row for row in channels if row.name == "CoreShowChannel"]
        members = await member_rows(link)
        devices = [row for row in await link.send_list("DeviceStateList") if row.name == "DeviceStateChange"]
        consults = await _consults(exchange, link, rows)
    finally:
        exchange.touched = None

    listed = {row.get("Uniqueid") for row in rows}
    for leg in sorted(legs_before - listed - newer):
        exchange.apply(facts.LegEnded(leg, _UNKNOWN_CAUSE))
    _take_legs(exchange, rows, newer, consults)
    kept = {key: one for key, one in members_before.items() if restarted and is_ours(exchange, one)}
    for endpoint, queue in members_before.keys() - kept.keys() - set(map(member_of_row, members)):
        exchange.apply(facts.MemberGone(queue, endpoint))
    for row in (*(row for row in members if member_of_row(row) not in kept), *devices):
        for fact in translate(row):
            exchange.apply(fact)
    await project(exchange, link, kept.values())
    await _ask_for_holds(exchange, link)
    log.info("in step with the PBX", channels=len(rows), members=len(members), devices=len(devices))


async def _consults(exchange: Exchange, link: AmiLink, rows: list[AmiMessage]) -> dict[str, str]:
    """Return which interactions the phones' unknown legs consult for, as it stands on these legs."""
    found: dict[str, str] = {}
    for row in rows:
        leg = row["Uniqueid"]
        if exchange.model.legs.get(leg) is None and endpoint_of_channel(row.get("Channel") or ""):
            found[leg] = await consulted_interaction(link, leg)
    return {leg: interaction for leg, interaction in found.items() if interaction}


async def _ask_for_holds(exchange: Exchange, link: AmiLink) -> None:
    """Bring up to date which phones hold: no list of Asterisk tells it."""
    for leg in exchange.model.agent_legs():
        exchange.touched = set()
        holds = await phone_holds(link, leg.id)
        newer, exchange.touched = exchange.touched, None
        if holds is not None and holds is not leg.phone_hold and leg.id not in newer:
            exchange.apply(facts.PhoneHeld(leg.id) if holds else facts.PhoneResumed(leg.id))


def _take_legs(
    exchange: Exchange, rows: list[AmiMessage], newer: set[str], consults: Mapping[str, str]
) -> None:
    """Take the legs of the list in, but those of which newer events spoke."""
    fresh = {row["Uniqueid"] for row in rows} - exchange.model.legs.legs.keys() - newer
    # A consult that a phone runs on a leg of its own belongs to a call that must be there first.
    for row in sorted(rows, key=lambda row: row["Uniqueid"] in consults):
        leg = row["Uniqueid"]
        if leg in newer:
            continue
        known = exchange.model.legs.get(leg)
        if known is None:
            found = translate_channel_row(row, consults.get(leg, ""))
        else:
            found = translate_known_row(row, known.bridge)
        for fact in found:
            exchange.apply(fact)
    # Last: a call that is dialled is told from one that talks by where its legs are.
    for fact in (*kinship(rows, fresh), *alone(rows)):
        if getattr(fact, "leg", None) not in newer:
            exchange.apply(fact)
    # A mark may be about another row's leg: so they come when all legs are there.
    for row in rows:
        if row["Uniqueid"] not in newer:
            for fact in translate_marks(row):
                exchange.apply(fact)


class Reconciler:
    """Brings the model in step when an event that had to come did not. One reading at a time, shared."""

    def __init__(self, exchange: Exchange, link: AmiLink) -> None:
        self._exchange = exchange
        self._link = link
        self._reading = asyncio.Lock()
        self._next: asyncio.Task[None] | None = None
        self._started = ""

    async def read(self) -> None:
        """Read the lists of a PBX that is there (again). Raises an `AmiError` if that fails."""
        async with self._reading:
            started = await time_of_start(self._link)
            await resync(self._exchange, self._link, restarted=self._started not in {"", started})
            # Last: after an error all is still to be done.
            self._started = started

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
