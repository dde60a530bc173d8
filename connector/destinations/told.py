"""What the bridge was told of a destination, read off the messages themselves.

Kept where a ledger is: a connector that takes the place of another tells the difference, and nothing twice.
"""

from collections.abc import Callable, Mapping
from typing import Any

from connector.bridge.messages import Kind, Message, Result

_ANNOUNCED = 64
"""Interactions of a channel whose announcement is remembered."""

_NAMED = 16
"""Conversations of an interaction that are remembered."""

Told = dict[str, Any]
Body = Mapping[str, Any]


def note(told: Told, message: Message) -> None:
    """Bring `told` up to date with a message that is sent."""
    if message.kind is Kind.RESPONSE and message.result is not Result.SUCCESS:
        return
    read = _READ.get(message.name)
    if read is not None:
        told.update(read(told, message.body))


def _always(**news: Any) -> Callable[[Told, Body], Told]:
    return lambda _told, _body: news


def _channel(_told: Told, body: Body) -> Told:
    return {
        "state": body["channel-state"],
        "agent": body["agent-state"],
        "reason": body["reason"],
        "interactions": [one["id"] for one in body.get("interactions") or ()],
    }


def _announced(told: Told, body: Body) -> Told:
    return {"interactions": [*told.get("interactions", ()), body["nativeid"]][-_ANNOUNCED:]}


def _interaction(_told: Told, body: Body) -> Told:
    named = {role: one["id"] for role, one in body["conversations"].items() if one}
    return {
        "state": body["interaction-state"],
        "data": dict(body["interaction-data"]),
        "consult": named.get("consult"),
        "conversations": list(named.values()),
    }


def _consult(told: Told, body: Body) -> Told:
    consult = body["nativeid"]
    return {
        "consult": consult,
        "conversations": [*told.get("conversations", ()), consult][-_NAMED:],
    }


def _data(told: Told, body: Body) -> Told:
    return {"data": told.get("data", {}) | dict(body["interaction-data"])}


def _conversation(_told: Told, body: Body) -> Told:
    return {
        "state": body["conversation-state"],
        "members": {one["id"]: dict(one) for one in body["members"]},
    }


def _joined(told: Told, body: Body) -> Told:
    return {"members": told.get("members", {}) | {body["id"]: dict(body)}}


def _left(told: Told, body: Body) -> Told:
    return {"members": {key: one for key, one in told.get("members", {}).items() if key != body["id"]}}


_READ: Mapping[str, Callable[[Told, Body], Told]] = {
    "cti.serverstatuschanged": lambda _told, body: {"status": body["status"]},
    "channel.query.init": _channel,
    "channel.activated": _always(state="ACTIVE"),
    "channel.deactivated": _always(state="INACTIVE", agent="NOT_READY", reason=None),
    "channel.unavailable": _always(state="UNAVAILABLE", agent="NOT_READY", reason=None),
    "channel.available": _always(state="INACTIVE"),
    "channel.request.ready": _always(promised="READY"),
    "channel.request.notready": _always(promised="NOT_READY"),
    "channel.ready": _always(agent="READY", reason=None, promised=""),
    "channel.notready": lambda _told, body: {"agent": "NOT_READY", "reason": body["reason"], "promised": ""},
    "channel.interaction.added": _announced,
    "channel.query.x-supervision": lambda _told, body: {"supervision": body["state"]},
    "channel.x-supervisionchanged": lambda _told, body: {"supervision": body["state"]},
    "interaction.query.init": _interaction,
    "interaction.started": _always(state="STARTED"),
    "interaction.ended": _always(state="ENDED"),
    "interaction.request.complete": _always(promised="COMPLETED"),
    "interaction.completed": _always(state="COMPLETED"),
    "interaction.datachanged": _data,
    "interaction.consult": _consult,
    "interaction.request.consult": _consult,
    "conversation.query.init": _conversation,
    "conversation.statechanged": lambda _told, body: {"state": body["conversation-state"]},
    "conversation.member.added": _joined,
    "conversation.member.removed": _left,
}
