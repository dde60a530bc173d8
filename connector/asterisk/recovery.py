"""Resync: after every (re)connection the lists of the PBX are laid over the model.

What the model has and the PBX no longer lists has ended; what the PBX lists and the model lacks is new; what
both have is brought up to date. The difference goes out as ordinary changes, and nothing is replayed towards
the PBX.
"""

import structlog

from connector.asterisk.events import (
    endpoint_of_interface,
    translate,
    translate_channel_row,
    translate_known_row,
)
from connector.asterisk.exchange import Exchange
from connector.asterisk.link import AmiLink
from connector.telephony import facts
from connector.telephony.presence import NO_QUEUE

log = structlog.get_logger(__name__)

_UNKNOWN_CAUSE = 0


async def resync(exchange: Exchange, link: AmiLink) -> None:
    """Read channels, queue members and device states (CoreShowChannels, QueueStatus, DeviceStateList).

    Events go on meanwhile: lists are no atomic snapshots, so a leg that ended or began while they were read
    is left to its own events.
    """
    legs_before = set(exchange.model.legs.legs)
    exchange.touched = set()
    members_before = {
        (endpoint, queue)
        for endpoint in exchange.model.board.endpoints()
        for queue in exchange.model.board.queues(endpoint)
    }
    channels = await link.send_list("CoreShowChannels")
    rows = [row for row in channels if row.name == "CoreShowChannel"]
    members = [row for row in await link.send_list("QueueStatus") if row.name == "QueueMember"]
    devices = [row for row in await link.send_list("DeviceStateList") if row.name == "DeviceStateChange"]

    newer, exchange.touched = exchange.touched, None
    listed = {row.get("Uniqueid") for row in rows}
    for leg in sorted(legs_before - listed - newer):
        exchange.apply(facts.LegEnded(leg, _UNKNOWN_CAUSE))
    for row in rows:
        if row.get("Uniqueid") in newer:
            continue
        known = exchange.model.legs.get(row.get("Uniqueid"))
        found = translate_channel_row(row) if known is None else translate_known_row(row, known.bridge)
        for fact in found:
            exchange.apply(fact)
    there = {
        (endpoint_of_interface(row.get("Location") or "", row.get("StateInterface") or ""), row.get("Queue"))
        for row in members
    }
    for endpoint, queue in members_before - there:
        if queue != NO_QUEUE:
            exchange.apply(facts.MemberGone(queue, endpoint))
    for row in (*members, *devices):
        for fact in translate(row):
            exchange.apply(fact)
    log.info("in step with the PBX", channels=len(rows), members=len(members), devices=len(devices))
