"""How a session's objects look on the desktop's wire: as a snapshot, and as the events that tell of them."""

from collections.abc import Iterator
from typing import Any

from connector.bridge.messages import Body, event_message
from connector.bridge.messages import conversation as conversation_wire
from connector.bridge.messages import interaction as interaction_wire
from connector.processor.floor import Session
from connector.processor.handles import Channel, Conversation, Interaction

Told = tuple[str, str, dict[str, Any]]
"""Target as the bridge has it, name and data of an object event."""

_OVER = {interaction_wire.InteractionState.ENDED, interaction_wire.InteractionState.COMPLETED}


def id_of(target: str) -> str:
    """Return the last segment of a target."""
    return target.rpartition(".")[2]


def plain(body: Body) -> dict[str, Any]:
    """Return an event's body as plain data, with the catalogue's keys."""
    return dict(event_message("", body).body)


def member_of(member: conversation_wire.Member) -> dict[str, Any]:
    """Return a party: id, address, name, type."""
    return {
        "id": member.id,
        "address": member.address,
        "name": member.name,
        "type": member.type.value,
    }


def channel_info(channel: Channel) -> dict[str, Any]:
    """Return what `channel.infochanged` tells: endpoint, type, ids of the interactions."""
    return {
        "endpoint": channel.endpoint,
        "type": channel.type.value,
        "interactions": [id_of(one.target) for one in channel.interactions if not one.node.gone],
    }


def channel_state(channel: Channel) -> dict[str, Any]:
    """Return what `state.updated` of a channel tells."""
    return {
        "state": str(channel.state),
        "agent-state": str(channel.agent_state),
        "reason": channel.reason,
    }


def call_state(one: Interaction | Conversation) -> dict[str, Any]:
    """Return what `state.updated` of an interaction or conversation tells; `cause` once it is over."""
    state = {"state": str(one.state)}
    cause: object = one.cause
    if cause is None and isinstance(one, Interaction) and one.state in _OVER:
        # A call that was over before the bridge asked has its cause in its data only.
        cause = one.data.get("CAUSE")
    return state if cause is None else {**state, "cause": str(cause)}


def role_of(interaction: Interaction, conversation: Conversation) -> str:
    """Return `primary` or `consult`."""
    return "primary" if conversation.nativeid == interaction.node.primary else "consult"


def conversations_of(interaction: Interaction) -> Iterator[Conversation]:
    """Iterate over the conversations that are not over."""
    for one in interaction.conversations.values():
        if not one.node.closed and not one.node.gone:
            yield one


# -- the story of a new call (W gives the order) ----------------------------------------------------------


def conversation_told(interaction: Interaction, conversation: Conversation) -> Iterator[Told]:
    """Tell of a new conversation."""
    target = conversation.target
    created = {
        "id": id_of(target),
        "nativeid": conversation.nativeid,
        "role": role_of(interaction, conversation),
    }
    yield target, "conversation.created", created
    yield target, "state.updated", call_state(conversation)
    for member in conversation.members:
        yield target, "conversation.member.added", member_of(member)
    yield target, "conversation.initialized", {}


def interaction_told(channel: Channel, interaction: Interaction) -> Iterator[Told]:
    """Tell of a new interaction, from the channel's change to `interaction.initialized`."""
    target = interaction.target
    yield channel.target, "channel.infochanged", channel_info(channel)
    yield channel.target, "state.updated", channel_state(channel)
    created = {"id": id_of(target), "nativeid": interaction.nativeid, "type": channel.type.value}
    yield target, "interaction.created", created
    yield target, "state.updated", call_state(interaction)
    members: list[dict[str, Any]] = []
    for conversation in conversations_of(interaction):
        members += [member_of(member) for member in conversation.members]
        yield from conversation_told(interaction, conversation)
    data = dict(interaction.data)
    yield target, "interaction.datachanged", {"interaction-data": data}
    yield target, "interaction.preview", {"interaction-data": data, "members": members}
    yield target, "interaction.initialized", {}


# -- all at once, for who comes (back) --------------------------------------------------------------------


def snapshot(session: Session, model: str, shown: "dict[str, Interaction]") -> dict[str, Any]:
    """Return the whole session; `shown` are the interactions that the desktop knows, by target."""
    group = session.group
    return {
        "id": session.session_id,
        "agent": session.agent_id,
        "model": model,
        "channelgroup": {
            "id": id_of(group.target) if group is not None else "",
            "name": session.node.group or "",
            "channels": [_channel(one, shown) for one in session.channels if not one.node.gone],
        },
    }


def _channel(channel: Channel, shown: "dict[str, Interaction]") -> dict[str, Any]:
    return {
        "id": id_of(channel.target),
        **channel_info(channel),
        **channel_state(channel),
        "interactions": [_interaction(one) for one in channel.interactions if one.target in shown],
    }


def _interaction(interaction: Interaction) -> dict[str, Any]:
    return {
        "id": id_of(interaction.target),
        "nativeid": interaction.nativeid,
        **call_state(interaction),
        "interaction-data": dict(interaction.data),
        "conversations": [
            {
                "id": id_of(one.target),
                "nativeid": one.nativeid,
                "role": role_of(interaction, one),
                **call_state(one),
                "members": [member_of(member) for member in one.members],
            }
            for one in conversations_of(interaction)
        ],
    }
