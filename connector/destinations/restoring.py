"""The tree of an earlier process, built again from the rows that it kept."""

from collections.abc import Mapping
from typing import Any

import msgspec
import structlog

from connector.bridge.ledger import unpacked
from connector.bridge.messages import Kind, Message
from connector.bridge.messages import control as control_wire
from connector.destinations.base import Destination, Refusal
from connector.destinations.catching_up import catch_up
from connector.destinations.channel import Channel
from connector.destinations.channelgroup import ChannelGroup
from connector.destinations.control import Control
from connector.destinations.conversation import Conversation
from connector.destinations.interaction import Interaction
from connector.destinations.keeping import DESTINATION, REQUEST, Begun, Keeper
from connector.destinations.session import Session
from connector.destinations.tree import Tree
from connector.destinations.unsupported import UnsupportedChannel
from connector.telephony.pbx import Seat

log = structlog.get_logger(__name__)


def row_of(destination: Destination) -> dict[str, Any]:
    """Return what must be known to build a destination again, and what the bridge was told of it."""
    parent = destination.parent.target if destination.parent is not None else None
    row: dict[str, Any] = {
        "kind": type(destination).__name__,
        "parent": parent,
        "open": destination.open,
        "closed": destination.closed,
        "told": destination.told,
    }
    match destination:
        case Session():
            row |= {
                "agent": destination.agent.agent_id,
                "session": destination.session_id,
                "out_of_service": destination.out_of_service,
                "media": destination.media,
                "had_group": destination.had_group,
                "team": destination.tree.team.is_subscribed(destination),
            }
        case ChannelGroup():
            row |= {
                "name": destination.cti_id,
                "seat": _seat(destination.seat),
                "media": destination.media,
                "elsewhere": sorted(destination.elsewhere),
            }
        case Channel():
            row["seat"] = _seat(destination.seat)
        case UnsupportedChannel():
            row["endpoint"] = destination.cti_id
        case Interaction():
            row |= {"seat": _seat(destination.seat), "nativeid": destination.nativeid}
        case Conversation():
            row["seat"] = _seat(destination.seat)
            row["nativeids"] = [destination.interaction, destination.nativeid]
        case _:
            pass
    return row


def restore(tree: Tree, keeper: Keeper, rows: Mapping[str, bytes]) -> None:
    """Build the tree again; what has changed meanwhile is told as soon as the PBX shows it.

    The tree must have nothing but its control destination. A session whose agent is no longer configured is
    left out, with all below it.
    """
    kept = {
        key.removeprefix(DESTINATION): unpacked(row)
        for key, row in rows.items()
        if key.startswith(DESTINATION)
    }
    for target in sorted(kept, key=lambda target: (kept[target]["parent"] is not None, len(target))):
        try:
            _build(tree, target, kept[target])
        except (Refusal, LookupError) as problem:
            log.warning("a destination was not restored", target=target, reason=str(problem))
            keeper.forget(target)
    _restore_requests(tree, keeper, rows)
    tree.await_pbx(lambda: catch_up(tree, keeper))
    if isinstance(tree.root, Control) and tree.root.open:
        tree.root.tell_news()
    log.info("destinations restored", destinations=len(tree.destinations))


def _build(tree: Tree, target: str, row: dict[str, Any]) -> None:
    built = _root(tree, row) if row["parent"] is None else _child(tree, target, row)
    built.told.update(row["told"])
    built.open, built.closed = row["open"], row["closed"]


def _root(tree: Tree, row: dict[str, Any]) -> Destination:
    control = tree.root
    if not isinstance(control, Control):
        raise LookupError("there is no control destination")  # noqa: TRY004 - as for all that is not there
    if (status := row["told"].get("status")) is not None:
        control.go_on_from(control_wire.ServiceStatus(status))
    return control


def _child(tree: Tree, target: str, row: dict[str, Any]) -> Destination:
    parent = tree.find(row["parent"])
    if parent is None:
        raise LookupError("what it belongs to was not restored")
    match row["kind"]:
        case "Session":
            return _session(tree, target, parent, row)
        case "ChannelGroup":
            group = ChannelGroup(tree, target, parent, _seated(row), tuple(row["media"]))
            group.cti_id = row["name"]
            group.elsewhere = set(row["elsewhere"])
            return group
        case "Channel":
            seat = _seated(row)
            tree.pbx.watch(seat.endpoint)
            return Channel(tree, target, parent, seat)
        case "UnsupportedChannel":
            unsupported = UnsupportedChannel(tree, target, parent)
            unsupported.cti_id = row["endpoint"]
            return unsupported
        case "Interaction":
            return Interaction(tree, target, parent, _seated(row), row["nativeid"])
        case "Conversation":
            first, second = row["nativeids"]
            return Conversation(tree, target, parent, _seated(row), (first, second))
        case kind:
            raise LookupError(f"there is no kind {kind}")


def _session(tree: Tree, target: str, parent: Destination, row: dict[str, Any]) -> Session:
    agent = tree.directory.get(row["agent"])
    if agent is None:
        raise LookupError(f"agent {row['agent']} is not configured any more")
    session = Session(tree, target, parent, agent, row["session"])
    session.go_on_from(media=row["media"], had_group=row["had_group"], out_of_service=row["out_of_service"])
    if row["team"]:
        session.watch_team()
    return session


def _restore_requests(tree: Tree, keeper: Keeper, rows: Mapping[str, bytes]) -> None:
    found = {key.removeprefix(REQUEST): unpacked(row) for key, row in rows.items() if key.startswith(REQUEST)}
    for request_id, row in sorted(found.items(), key=lambda each: each[1]["number"]):
        keeper.go_on_after(row["number"])
        if "response" not in row:
            keeper.interrupted[request_id] = Begun(row["name"], row["target"], row["lane"], row["proven"])
            tree.hold_back(row["lane"])
            continue
        kind, name, target = row["question"]
        tree.know_request(request_id, (Kind(kind), name, target), msgspec.convert(row["response"], Message))


def _seat(seat: Seat) -> dict[str, Any]:
    return {
        "agent": seat.agent,
        "endpoint": seat.endpoint,
        "queues": list(seat.queues),
        "penalty": seat.penalty,
    }


def _seated(row: dict[str, Any]) -> Seat:
    seat = row["seat"]
    return Seat(seat["agent"], seat["endpoint"], tuple(seat["queues"]), seat["penalty"])
