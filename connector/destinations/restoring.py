"""The tree of an earlier process, built again from the rows that it kept."""

from collections.abc import Mapping
from typing import Any

import structlog

from connector.bridge.ledger import rows_of
from connector.destinations.base import Destination, Refusal
from connector.destinations.catching_up import catch_up
from connector.destinations.channel import Channel
from connector.destinations.channelgroup import ChannelGroup
from connector.destinations.control import Control
from connector.destinations.conversation import SEND_DTMF, Conversation
from connector.destinations.interaction import Interaction
from connector.destinations.keeping import DESTINATION, REQUEST, Begun, Keeper
from connector.destinations.rows import (
    AnyRow,
    ChannelGroupRow,
    ChannelRow,
    ControlRow,
    ConversationRow,
    DestinationRow,
    InteractionRow,
    RequestRow,
    SeatRow,
    SessionRow,
    UnsupportedChannelRow,
)
from connector.destinations.session import Session
from connector.destinations.tree import Tree
from connector.destinations.unsupported import UnsupportedChannel
from connector.telephony.pbx import Seat

log = structlog.get_logger(__name__)


def row_of(destination: Destination) -> DestinationRow:
    """Return what must be known to build a destination again, and what the bridge was told of it."""
    parent = destination.parent.target if destination.parent is not None else None
    same: dict[str, Any] = {
        "parent": parent,
        "open": destination.open,
        "closed": destination.closed,
        "told": destination.told,
    }
    match destination:
        case Session():
            return SessionRow(
                **same,
                agent=destination.agent.agent_id,
                session=destination.session_id,
                out_of_service=destination.out_of_service,
                media=destination.media,
                had_group=destination.had_group,
                team=destination.tree.team.is_subscribed(destination),
            )
        case ChannelGroup():
            return ChannelGroupRow(
                **same,
                name=destination.cti_id,
                seat=_row_of_seat(destination.seat),
                media=destination.media,
                elsewhere=sorted(destination.elsewhere),
            )
        case Channel():
            return ChannelRow(**same, seat=_row_of_seat(destination.seat))
        case UnsupportedChannel():
            return UnsupportedChannelRow(**same, endpoint=destination.cti_id)
        case Interaction():
            return InteractionRow(**same, seat=_row_of_seat(destination.seat), nativeid=destination.nativeid)
        case Conversation():
            nativeids = destination.interaction, destination.nativeid
            return ConversationRow(**same, seat=_row_of_seat(destination.seat), nativeids=nativeids)
        case _:
            return ControlRow(**same)


def restore(tree: Tree, keeper: Keeper, rows: Mapping[str, bytes]) -> None:
    """Build the tree again; what has changed meanwhile is told as soon as the PBX shows it.

    The tree must have nothing but its control destination. A session whose agent is no longer configured is
    left out, with all below it; so is a row that cannot be read.
    """
    kept: dict[str, DestinationRow] = rows_of(rows, DESTINATION, AnyRow)
    for key in rows.keys() - {DESTINATION + target for target in kept}:
        if key.startswith(DESTINATION):
            keeper.forget(key.removeprefix(DESTINATION))
    for target in sorted(kept, key=lambda target: (kept[target].parent is not None, len(target))):
        try:
            _build(tree, target, kept[target])
        except (Refusal, LookupError) as problem:
            log.warning("a destination was not restored", target=target, reason=str(problem))
            keeper.forget(target)
    if tree.root is not None and tree.root.children and tree.root.target not in kept:
        # Without its own row it is not known to have been initialised, but sessions prove it.
        tree.root.open = True
    _restore_requests(tree, keeper, rows)
    tree.await_pbx(lambda: catch_up(tree, keeper))
    if isinstance(tree.root, Control) and tree.root.open:
        tree.root.tell_news()
    log.info("destinations restored", destinations=len(tree.destinations))


def _build(tree: Tree, target: str, row: DestinationRow) -> None:
    if row.open and not row.needs <= row.told.keys():
        raise LookupError("what the bridge was told of it is missing")
    built = _root(tree, row) if isinstance(row, ControlRow) else _child(tree, target, row)
    built.told.update(row.told)
    built.open, built.closed = row.open, row.closed


def _root(tree: Tree, row: ControlRow) -> Destination:
    control = tree.root
    if not isinstance(control, Control):
        raise LookupError("there is no control destination")  # noqa: TRY004 - as for all that is not there
    if (status := row.told.get("status")) is not None:
        control.go_on_from(status)
    return control


def _child(tree: Tree, target: str, row: DestinationRow) -> Destination:
    parent = tree.find(row.parent) if row.parent is not None else None
    if parent is None:
        raise LookupError("what it belongs to was not restored")
    match row:
        case SessionRow():
            return _session(tree, target, parent, row)
        case ChannelGroupRow():
            group = ChannelGroup(tree, target, parent, _seat(row.seat), row.media)
            group.cti_id = row.name
            group.elsewhere = set(row.elsewhere)
            return group
        case ChannelRow():
            tree.pbx.watch(row.seat.endpoint)
            return Channel(tree, target, parent, _seat(row.seat))
        case UnsupportedChannelRow():
            unsupported = UnsupportedChannel(tree, target, parent)
            unsupported.cti_id = row.endpoint
            return unsupported
        case InteractionRow():
            return Interaction(tree, target, parent, _seat(row.seat), row.nativeid)
        case ConversationRow():
            return Conversation(tree, target, parent, _seat(row.seat), row.nativeids)
        case _:
            raise LookupError("there is no such kind of destination")


def _session(tree: Tree, target: str, parent: Destination, row: SessionRow) -> Session:
    agent = tree.directory.get(row.agent)
    if agent is None:
        raise LookupError(f"agent {row.agent} is not configured any more")
    session = Session(tree, target, parent, agent, row.session)
    session.go_on_from(media=row.media, had_group=row.had_group, out_of_service=row.out_of_service)
    if row.team:
        session.watch_team()
    return session


def _restore_requests(tree: Tree, keeper: Keeper, rows: Mapping[str, bytes]) -> None:
    found = rows_of(rows, REQUEST, RequestRow)
    for request_id, row in sorted(found.items(), key=lambda each: each[1].number):
        keeper.go_on_after(row.number)
        if row.response is None or row.question is None:
            keeper.interrupted[request_id] = Begun(row.name, row.target, row.lane, row.proven)
            if row.name != SEND_DTMF:
                tree.hold_back(row.lane)
        else:
            tree.know_request(request_id, row.question, row.response)


def _row_of_seat(seat: Seat) -> SeatRow:
    return SeatRow(seat.agent, seat.endpoint, seat.queues, seat.penalty)


def _seat(row: SeatRow) -> Seat:
    return Seat(row.agent, row.endpoint, row.queues, row.penalty)
