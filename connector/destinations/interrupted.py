"""Requests that an earlier process had begun and not answered: done, to be carried out again, or neither.

The earlier process ended in the middle, so nobody knows how far it came. What the PBX shows now tells it for
most. What it cannot tell is not carried out again if that could ring somebody twice.
"""

from collections.abc import Mapping

from connector.bridge.messages import Body
from connector.bridge.messages import interaction as interaction_wire
from connector.destinations.base import Destination
from connector.destinations.channel import Channel
from connector.destinations.conversation import Conversation
from connector.destinations.interaction import Interaction
from connector.destinations.keeping import Fate, Keeper
from connector.telephony.interactions import Conversation as ConversationModel
from connector.telephony.states import ConversationState, InteractionState

_AGAIN = frozenset(
    {
        "channel.request.ready",
        "channel.request.notready",
        "interaction.request.setdata",
        "interaction.request.deletedata",
        "interaction.request.complete",
        "interaction.request.getdata",
        "session.request.close",
        "session.request.externallogoutreasons",
        "session.request.externalnotreadyreasons",
        "session.request.getteamstatus",
        "session.request.stopteamstatus",
    }
)

_PRIVATE_WORD = "conversation.request.x-privateword"

_GOALS: Mapping[str, frozenset[ConversationState]] = {
    "conversation.request.hold": frozenset({ConversationState.HELD}),
    "conversation.request.retrieve": frozenset({ConversationState.TALKING}),
    "conversation.request.answer": frozenset({ConversationState.TALKING, ConversationState.HELD}),
    "conversation.request.release": frozenset({ConversationState.RELEASED}),
}
_LEAVES = frozenset(
    {
        "interaction.request.reject",
        "interaction.request.consulttransfer",
        "conversation.request.blindtransfer",
    }
)
"""After these the agent has no part in the call."""


_REPEATED = frozenset(
    {"channel.request.activate", "channel.request.deactivate", "interaction.request.accept"}
)


_FROM_CALL: Mapping[str, InteractionState] = {
    "interaction.request.accept": InteractionState.ALERTING,
    "interaction.request.reject": InteractionState.ALERTING,
    "interaction.request.consult": InteractionState.STARTED,
    "interaction.request.consulttransfer": InteractionState.STARTED,
    "interaction.request.consultconference": InteractionState.STARTED,
    "conversation.request.blindtransfer": InteractionState.STARTED,
    _PRIVATE_WORD: InteractionState.STARTED,
}
"""The state of the call in which a request can be carried out."""
_FROM_LEG: Mapping[str, frozenset[ConversationState]] = {
    "conversation.request.hold": frozenset({ConversationState.TALKING}),
    "conversation.request.retrieve": frozenset({ConversationState.HELD}),
    "conversation.request.answer": frozenset({ConversationState.ALERTING}),
}
"""The states of the conversation in which a request can be carried out."""


def judge(
    destination: Destination, name: str, keeper: Keeper, *, proven: bool = True
) -> tuple[Fate, Body | None]:
    """Return what became of a request, with the body of its response where it is done.

    Not `proven`: that what it asks for is so is not its work (`proves`, when it began).
    """
    fate, reply = _fate_of(destination, name, keeper)
    if fate is Fate.DONE and not proven:
        return Fate.OPEN if name in _GOALS or name in _REPEATED else Fate.UNKNOWN, None
    return fate, reply


def proves(destination: Destination, name: str, keeper: Keeper) -> bool:
    """Tell whether what a request asks for is neither so nor impossible: found so later, it did it."""
    if _fate_of(destination, name, keeper)[0] is Fate.DONE:
        return False
    if name in _FROM_CALL and isinstance(destination, Interaction | Conversation):
        call = destination.interaction if isinstance(destination, Conversation) else destination.nativeid
        model = destination.tree.pbx.model.interaction(call)
        return model is not None and model.state is _FROM_CALL[name]
    if name in _FROM_LEG and isinstance(destination, Conversation):
        return _state(_leg_of(destination)) in _FROM_LEG[name]
    return True


def _fate_of(destination: Destination, name: str, keeper: Keeper) -> tuple[Fate, Body | None]:
    if name in _AGAIN:
        return Fate.OPEN, None
    if destination.tree.behind and destination.asks_of_pbx(name):
        return Fate.UNKNOWN, None
    if isinstance(destination, Channel):
        return _of_channel(destination, name, keeper)
    if isinstance(destination, Interaction):
        return _of_interaction(destination, name)
    if isinstance(destination, Conversation):
        return _of_conversation(destination, name)
    return Fate.OPEN, None


def _of_channel(channel: Channel, name: str, keeper: Keeper) -> tuple[Fate, Body | None]:
    presence = channel.tree.pbx.model.presence(channel.seat.endpoint)
    mine = presence.agent == channel.seat.agent
    if name == "channel.request.activate":
        return Fate.DONE if mine else Fate.OPEN, None
    if name == "channel.request.deactivate":
        return Fate.OPEN if mine else Fate.DONE, None
    if name == "channel.request.dial":
        model = channel.tree.pbx.model
        dialled = [one for one in model.interactions(channel.seat.endpoint) if model.is_dialled_for(one)]
        return Fate.DONE if any(one.id in keeper.found for one in dialled) else Fate.UNKNOWN, None
    return Fate.UNKNOWN, None


def _of_interaction(interaction: Interaction, name: str) -> tuple[Fate, Body | None]:
    model = interaction.tree.pbx.model.interaction(interaction.nativeid)
    over = model is None or model.over
    if name in _LEAVES:
        return Fate.DONE if over else Fate.UNKNOWN, None
    if model is None or over:
        return Fate.UNKNOWN, None
    if name == "interaction.request.accept":
        return Fate.OPEN if model.state is InteractionState.ALERTING else Fate.DONE, None
    consult = model.consult if model.consult is not None and not model.consult.released else None
    if name == "interaction.request.consult" and consult is not None and consult.leg == model.primary.leg:
        # On a leg of its own it is one that the phone has begun.
        return Fate.DONE, interaction_wire.ConsultReply(nativeid=consult.id)
    if name == "interaction.request.consultconference" and consult is None and len(model.primary.members) > 1:
        return Fate.DONE, None
    return Fate.UNKNOWN, None


def _of_conversation(destination: Conversation, name: str) -> tuple[Fate, Body | None]:
    if name in _LEAVES:
        interaction = destination.tree.pbx.model.interaction(destination.interaction)
        return Fate.DONE if interaction is None or interaction.over else Fate.UNKNOWN, None
    if name == _PRIVATE_WORD:
        interaction = destination.tree.pbx.model.interaction(destination.interaction)
        apart = interaction is not None and len(interaction.live_conversations) > 1
        return Fate.DONE if apart else Fate.UNKNOWN, None
    if name not in _GOALS:
        return Fate.UNKNOWN, None
    return Fate.DONE if _state(_leg_of(destination)) in _GOALS[name] else Fate.OPEN, None


def _leg_of(destination: Conversation) -> ConversationModel | None:
    interaction = destination.tree.pbx.model.interaction(destination.interaction)
    return interaction.conversation(destination.nativeid) if interaction is not None else None


def _state(conversation: ConversationModel | None) -> ConversationState:
    return conversation.state if conversation is not None else ConversationState.RELEASED
