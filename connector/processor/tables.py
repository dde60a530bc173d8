"""The protocol's rules as data: which step may follow which, what a request produces, what it needs."""

from collections.abc import Mapping
from typing import Final

from connector.bridge.messages import Scope
from connector.bridge.messages import channel as channel_wire
from connector.bridge.messages import conversation as conversation_wire
from connector.bridge.messages import interaction as interaction_wire

Channel = channel_wire.ChannelState
Conversation = conversation_wire.ConversationState
Interaction = interaction_wire.InteractionState

CONVERSATION_STEPS: Final[Mapping[Conversation, frozenset[Conversation]]] = {
    Conversation.ALERTING: frozenset({Conversation.TALKING, Conversation.RELEASED}),
    Conversation.DIALING: frozenset({Conversation.TALKING, Conversation.RELEASED}),
    Conversation.TALKING: frozenset({Conversation.HELD, Conversation.RELEASED}),
    Conversation.HELD: frozenset({Conversation.TALKING, Conversation.RELEASED}),
    Conversation.RELEASED: frozenset(),
}

INTERACTION_STEPS: Final[Mapping[str, tuple[frozenset[Interaction], Interaction]]] = {
    "interaction.started": (frozenset({Interaction.ALERTING, Interaction.DIALING}), Interaction.STARTED),
    "interaction.ended": (
        frozenset({Interaction.ALERTING, Interaction.DIALING, Interaction.STARTED}),
        Interaction.ENDED,
    ),
    "interaction.completed": (frozenset({Interaction.ENDED}), Interaction.COMPLETED),
}
"""Event: from which states, to which."""

CHANNEL_STEPS: Final[Mapping[str, tuple[frozenset[Channel], Channel]]] = {
    "channel.activated": (frozenset({Channel.INACTIVE}), Channel.ACTIVE),
    "channel.deactivated": (frozenset({Channel.ACTIVE}), Channel.INACTIVE),
    "channel.unavailable": (frozenset({Channel.ACTIVE, Channel.INACTIVE}), Channel.UNAVAILABLE),
    "channel.available": (frozenset({Channel.UNAVAILABLE}), Channel.INACTIVE),
    "channel.ready": (frozenset({Channel.ACTIVE}), Channel.ACTIVE),
    "channel.notready": (frozenset({Channel.ACTIVE}), Channel.ACTIVE),
}
"""Event: from which channel states, to which."""

# The call may end at this moment.
_RECORDED: Final = (frozenset({"interaction.x-recordingchanged", "interaction.ended"}),)
_MUTED: Final = (frozenset({"interaction.x-mutechanged", "interaction.ended"}),)

PRODUCES: Final[Mapping[str, tuple[frozenset[str], ...]]] = {
    "cti.request.serverstatus": (frozenset({"cti.serverstatuschanged"}),),
    "session.request.externallogoutreasons": (frozenset({"session.externallogoutreasons.updated"}),),
    "session.request.externalnotreadyreasons": (frozenset({"session.externalnotreadyreasons.updated"}),),
    "session.request.close": (frozenset({"session.closed"}),),
    "channel.request.activate": (
        frozenset({"channel.activated"}),
        frozenset({"channel.notready", "channel.ready"}),
    ),
    "channel.request.deactivate": (frozenset({"channel.deactivated"}),),
    "channel.request.ready": (frozenset({"channel.ready"}),),
    "channel.request.notready": (frozenset({"channel.notready"}),),
    "channel.request.dial": (frozenset({"channel.interaction.added"}),),
    "interaction.request.complete": (frozenset({"interaction.completed"}),),
    "interaction.request.x-startrecording": _RECORDED,
    "interaction.request.x-stoprecording": _RECORDED,
    "interaction.request.x-pauserecording": _RECORDED,
    "interaction.request.x-resumerecording": _RECORDED,
    "interaction.request.x-mute": _MUTED,
    "interaction.request.x-unmute": _MUTED,
    "channel.request.x-supervise": (frozenset({"channel.x-supervisionchanged"}),),
    "channel.request.x-stopsupervision": (frozenset({"channel.x-supervisionchanged"}),),
}
"""Request: the events that follow its success; of each set one."""

_TALKS = frozenset({Conversation.TALKING, Conversation.HELD})
_LIVES = frozenset(Conversation) - {Conversation.RELEASED}

NEEDS_CONVERSATION: Final[Mapping[str, frozenset[Conversation]]] = {
    "conversation.request.answer": frozenset({Conversation.ALERTING, Conversation.DIALING}),
    "conversation.request.release": _LIVES,
    "conversation.request.hold": _TALKS,
    "conversation.request.retrieve": _TALKS,
    "conversation.request.blindtransfer": _TALKS,
    "conversation.request.blindconference": _TALKS,
    "conversation.request.senddtmf": _TALKS,
    "conversation.request.x-dropmember": _TALKS,
    "conversation.request.x-privateword": _TALKS,
}
"""Request: the conversation's states in which it can succeed."""

NEEDS_INTERACTION: Final[Mapping[str, frozenset[Interaction]]] = {
    "interaction.request.accept": frozenset({Interaction.ALERTING, Interaction.DIALING}),
    "interaction.request.reject": frozenset({Interaction.ALERTING, Interaction.DIALING}),
    "interaction.request.complete": frozenset({Interaction.ENDED}),
    "interaction.request.consult": frozenset({Interaction.STARTED}),
    "interaction.request.consulttransfer": frozenset({Interaction.STARTED}),
    "interaction.request.consultconference": frozenset({Interaction.STARTED}),
    "interaction.request.alternate": frozenset({Interaction.STARTED}),
    "interaction.request.x-startrecording": frozenset({Interaction.STARTED}),
    "interaction.request.x-stoprecording": frozenset({Interaction.STARTED}),
    "interaction.request.x-pauserecording": frozenset({Interaction.STARTED}),
    "interaction.request.x-resumerecording": frozenset({Interaction.STARTED}),
    "interaction.request.x-mute": frozenset({Interaction.STARTED}),
    "interaction.request.x-unmute": frozenset({Interaction.STARTED}),
}
"""Request: the interaction's states in which it can succeed."""

NEEDS_CHANNEL: Final[Mapping[str, frozenset[Channel]]] = {
    "channel.request.activate": frozenset({Channel.ACTIVE, Channel.INACTIVE}),
    "channel.request.deactivate": frozenset({Channel.ACTIVE}),
    "channel.request.ready": frozenset({Channel.ACTIVE}),
    "channel.request.notready": frozenset({Channel.ACTIVE}),
}
"""Request: the channel's states in which it can succeed."""

LIVE_INTERACTION: Final = frozenset({Interaction.ALERTING, Interaction.DIALING, Interaction.STARTED})
"""States that have a primary conversation, and keep a session busy."""

UNSUPPORTED_MAY: Final = frozenset({"channel.query.init", "channel.request.dispose"})
UNSUPPORTED_SAYS: Final = frozenset(
    {
        "channel.activated",
        "channel.deactivated",
        "channel.available",
        "channel.unavailable",
        "channel.disposed",
    }
)
"""All that an unsupported channel answers with success, and all that it says."""

DISPOSALS: Final = frozenset(
    {
        "cti.request.dispose",
        "session.request.dispose",
        "channelgroup.request.dispose",
        "channel.request.dispose",
        "interaction.request.dispose",
        "conversation.request.dispose",
    }
)

INITS: Final[Mapping[str, Scope]] = {
    "cti.request.serverstatus": Scope.CONTROL,
    "session.query.init": Scope.SESSION,
    "channelgroup.query.init": Scope.CHANNEL_GROUP,
    "channel.query.init": Scope.CHANNEL,
    "interaction.query.init": Scope.INTERACTION,
    "conversation.query.init": Scope.CONVERSATION,
}
"""What opens a destination for events."""

LAST_EVENTS: Final = frozenset(
    {"session.closed", "channelgroup.disposed", "channel.disposed", "conversation.disposed"}
)
"""Nothing comes from a destination after these."""
