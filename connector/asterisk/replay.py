"""Plays a recorded manager session through the model, to see what the desks would have shown."""

from collections.abc import Iterable, Iterator
from dataclasses import fields
from pathlib import Path

from connector.asterisk.channel_names import endpoint_of_channel, endpoint_of_interface
from connector.asterisk.events import translate, translate_channel_row
from connector.asterisk.trace import TraceReader
from connector.asterisk.wire import AmiMessage
from connector.telephony.changes import Anomaly, Change
from connector.telephony.model import TelephonyModel

_RECEIVED = "<<<"


class ReplayError(Exception):
    """The model cannot follow the trace. The text says where and why."""


def agents_in(path: Path) -> frozenset[str]:
    """Return the phones that a trace shows as agents': queue members, and those that calls were placed from.

    A trace that shows neither gives every phone in it.

    Raises:
        TraceError: the file is no trace.

    """
    found: set[str] = set()
    seen: set[str] = set()
    for direction, _at, message in TraceReader(path):
        if direction == _RECEIVED and message.name.startswith("QueueMember"):
            found.add(endpoint_of_interface(message.get("Interface") or message.get("Location") or ""))
        elif direction == _RECEIVED:
            seen.add(endpoint_of_channel(message.get("Channel") or ""))
        elif message.get("Action") in {"Originate", "QueueAdd"}:
            found.add(endpoint_of_interface(message.get("Interface") or message.get("Channel") or ""))
    return frozenset(found - {""}) or frozenset(seen - {""})


def replay(path: Path, watch: Iterable[str]) -> Iterator[tuple[float, Change]]:
    """Yield every change of the model with its time in milliseconds.

    Raises:
        TraceError: the file is no trace.
        ReplayError: the trace holds something that the state tables do not allow.

    """
    model = TelephonyModel()
    for endpoint in sorted(watch):
        model.watch(endpoint)
    empty = True
    for direction, at, message in TraceReader(path):
        empty = False
        if direction != _RECEIVED:
            _announce(model, message)
            continue
        for change in _apply(model, message):
            if isinstance(change, Anomaly):
                raise ReplayError(f"{path}: at {at:.1f} ms, {message.name}: {change.subject}: {change.text}")
            yield at, change
    if empty:
        raise ReplayError(f"{path}: the trace holds no message")


def describe(change: Change) -> str:
    """Return a change as one readable line."""
    said = " ".join(
        f"{each.name}={value}" for each in fields(change) if (value := getattr(change, each.name)) is not None
    )
    return f"{type(change).__name__} {said}"


def _announce(model: TelephonyModel, action: AmiMessage) -> None:
    leg = action.get("ChannelId")
    if action.get("Action") != "Originate" or not leg:
        return
    variables = dict(one.partition("=")[::2] for one in action.all("Variable"))
    model.expect_dial(leg, variables.get("HARMONY_DEST") or action.get("Exten") or "")


def _apply(model: TelephonyModel, message: AmiMessage) -> list[Change]:
    if message.name == "CoreShowChannel":
        if message.get("Uniqueid") in model.legs.legs:
            return []
        return [change for fact in translate_channel_row(message) for change in model.apply(fact)]
    return [change for fact in translate(message) for change in model.apply(fact)]
