"""What happened while nobody looked: the difference between what the bridge was told and what is so now."""

from typing import Any

from connector.bridge.messages import channel as channel_wire
from connector.bridge.messages import channelgroup as group_wire
from connector.bridge.messages import conversation as conversation_wire
from connector.bridge.messages import extensions as extension_wire
from connector.bridge.messages import interaction as wire
from connector.bridge.messages import session as session_wire
from connector.destinations.base import Destination
from connector.destinations.channel import Channel
from connector.destinations.channelgroup import ChannelGroup
from connector.destinations.conversation import Conversation, fields_of
from connector.destinations.datavalues import from_text
from connector.destinations.desks import is_taken, phones_of
from connector.destinations.interaction import Interaction
from connector.destinations.keeping import Keeper
from connector.destinations.session import Session
from connector.destinations.tree import Tree
from connector.telephony.changes import MuteChanged, Presence, RecordingChanged, SupervisionChanged
from connector.telephony.interactions import Interaction as Model
from connector.telephony.states import (
    ANSWERED_STATES,
    RINGING_STATES,
    Cause,
    ConversationState,
    InteractionState,
    Supervision,
)

_OVER = frozenset({wire.InteractionState.ENDED, wire.InteractionState.COMPLETED})
_TELEPHONY = session_wire.ChannelType.TELEPHONY


def catch_up(tree: Tree, keeper: Keeper) -> None:
    """Tell what has changed, destination by destination: of a call its conversations before itself."""
    for one in tree.destinations:
        if not one.open or one.over:
            continue
        match one:
            case Session():
                one.tell_team()
            case ChannelGroup():
                _group(one)
            case Channel():
                _presence(one)
                _supervision(one)
                _new_calls(one, keeper)
            case Interaction():
                _interaction(one, keeper)
            case _:
                pass


def _group(group: ChannelGroup) -> None:
    now = set(phones_of(group.tree.pbx, group.seat.agent)) - {group.seat.endpoint}
    for endpoint in sorted(now - group.elsewhere):
        group.emit(group_wire.ChannelAdded(endpoint=endpoint, type=_TELEPHONY))
        if group.parent is not None:
            group.parent.emit(session_wire.ChannelAdded(endpoint=endpoint, type=_TELEPHONY))
    for endpoint in sorted(group.elsewhere - now):
        group.emit(group_wire.ChannelRemoved(endpoint=endpoint, type=_TELEPHONY))
    group.elsewhere = now


def _presence(channel: Channel) -> None:
    presence = channel.tree.pbx.model.presence(channel.seat.endpoint)
    told = channel.told
    before, now = channel_wire.ChannelState(told["state"]), channel.state_of(presence)
    ready = (told["agent"], told["reason"] or "")
    if (promised := told.get("promised")) and before is channel_wire.ChannelState.ACTIVE:
        # The event of a request that was answered was kept back as the earlier process ended.
        channel.announce_readiness(Presence(channel.seat.agent, ready=promised == "READY"))
        ready = (promised, "")
    channel.tell_state(before, now)
    if now is not channel_wire.ChannelState.ACTIVE:
        return
    is_ready = ("READY" if presence.ready else "NOT_READY", "" if presence.ready else presence.reason)
    if before is not now or ready != is_ready:
        channel.announce_readiness(presence)


def _supervision(channel: Channel) -> None:
    leg = channel.tree.pbx.model.supervisor(channel.seat.endpoint)
    now = leg.supervision if leg is not None else Supervision.OFF
    if channel.told.get("supervision", Supervision.OFF) != now:
        call = leg.supervises if leg is not None else ""
        channel.tell_supervision(SupervisionChanged(channel.seat.endpoint, call, now))


def _new_calls(channel: Channel, keeper: Keeper) -> None:
    if is_taken(channel.tree.pbx, channel.seat):
        return
    for model in channel.tree.pbx.model.interactions(channel.seat.endpoint):
        if model.id not in channel.told.get("interactions", ()):
            keeper.found.add(model.id)
            channel.emit(channel_wire.InteractionAdded(nativeid=model.id, type=_TELEPHONY))


def _interaction(destination: Interaction, keeper: Keeper) -> None:
    model = destination.tree.pbx.model.interaction(destination.nativeid)
    legs = [one for one in destination.children.values() if isinstance(one, Conversation)]
    legs = [one for one in legs if one.open and not one.over]
    if model is not None and not model.over:
        believed = {one: _answered(one, model) for one in legs}
        if (
            model.state is InteractionState.STARTED
            and destination.told["state"] != wire.InteractionState.STARTED
        ):
            destination.emit(wire.Started())
        for one, state in believed.items():
            _conversation(one, model, state)
        _live_interaction(destination, model, keeper)
        return
    for one in legs:
        one.tell_release(model.cause if model is not None else Cause.NORMAL)
    told = wire.InteractionState(destination.told["state"])
    if told is wire.InteractionState.ENDED and destination.told.get("promised"):
        destination.emit(wire.Completed())
    if told in _OVER:
        return
    cause = model.cause if model is not None and model.cause is not None else Cause.NORMAL
    destination.emit(wire.Ended(cause=conversation_wire.Cause(cause)))


def _live_interaction(destination: Interaction, model: Model, keeper: Keeper) -> None:
    told = destination.told
    consult = model.consult
    # One that the bridge asked for is named in the response to its request.
    asked = keeper.is_interrupted("interaction.request.consult", destination.target)
    if consult is not None and not consult.released and consult.id != told.get("consult") and not asked:
        destination.emit(wire.ConsultStarted(nativeid=consult.id))
    known = told.get("data", {})
    now: dict[str, Any] = {key: from_text(value) for key, value in model.data.items()}
    if news := {key: value for key, value in now.items() if known.get(key) != value}:
        destination.emit(wire.DataChanged(interaction_data=news))
    marks = destination.marks(model)
    if marks.get(extension_wire.RECORDING_KEY) != known.get(extension_wire.RECORDING_KEY):
        destination.tell_marks(RecordingChanged(model.id, model.recording))
    if marks.get(extension_wire.MUTED_KEY) != known.get(extension_wire.MUTED_KEY):
        destination.tell_marks(MuteChanged(model.id, muted=model.muted))


def _answered(destination: Conversation, interaction: Model) -> ConversationState:
    """Tell that a conversation was answered that rang when it was told last; return its state as told now."""
    told = ConversationState(destination.told["state"])
    model = interaction.conversation(destination.nativeid)
    if told not in RINGING_STATES or model is None:
        return told
    first = model is interaction.primary and interaction.state is InteractionState.STARTED
    if model.state not in ANSWERED_STATES and not first:
        return told
    # It may be held or over by now: that it talked comes first.
    _tell_state(destination, ConversationState.TALKING)
    return ConversationState.TALKING


def _conversation(destination: Conversation, interaction: Model, believed: ConversationState) -> None:
    model = interaction.conversation(destination.nativeid)
    if model is None or model.released:
        destination.tell_release(model.cause if model is not None else Cause.NORMAL)
        return
    # What talked cannot ring again: how the call goes on is found out by what follows.
    if believed is not model.state and not (believed in ANSWERED_STATES and model.state in RINGING_STATES):
        _tell_state(destination, model.state)
    known = destination.told.get("members", {})
    now = {one.id: fields_of(one) for one in model.members}
    for key, member in now.items():
        if _party(known.get(key)) != _party(member):
            if key in known:
                destination.emit(conversation_wire.MemberRemoved(**_typed(known[key])))
            destination.emit(conversation_wire.MemberAdded(**member))
    for key in known.keys() - now.keys():
        destination.emit(conversation_wire.MemberRemoved(**_typed(known[key])))


def _tell_state(destination: Destination, state: ConversationState) -> None:
    now = conversation_wire.ConversationState(state)
    destination.emit(conversation_wire.StateChanged(conversation_state=now))


def _party(member: dict[str, Any] | None) -> tuple[str, str] | None:
    return (str(member["address"]), str(member["type"])) if member is not None else None


def _typed(member: dict[str, Any]) -> dict[str, Any]:
    return member | {"type": conversation_wire.MemberType(member["type"])}
