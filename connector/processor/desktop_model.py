"""What an agent desktop knows of its session: a snapshot, kept up to date by object events. No I/O."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from connector.bridge.catalogue.extensions import MUTED_KEY, RECORDING_KEY


@dataclass(slots=True, eq=False)
class CallObject:
    """Something that has a target and goes through states; `states` are all that were told, oldest first."""

    target: str
    state: str = ""
    cause: str | None = None
    states: list[str] = field(default_factory=list)
    gone: bool = False

    @property
    def id(self) -> str:
        """The last segment of its target."""
        return self.target.rpartition(".")[2]

    def take_state(self, data: Mapping[str, Any]) -> None:
        """Take over what `state.updated` tells."""
        self.state = str(data.get("state", ""))
        self.states.append(self.state)
        self.cause = data.get("cause", self.cause)


@dataclass(slots=True, eq=False)
class ConversationView(CallObject):
    """A call leg: `primary` or `consult`. Members by id, each with address, name and type."""

    nativeid: str = ""
    role: str = ""
    members: dict[str, dict[str, Any]] = field(default_factory=dict)
    initialized: bool = False

    def take_event(self, name: str, data: Mapping[str, Any]) -> None:
        """Take over an event other than `state.updated`."""
        match name:
            case "conversation.member.added":
                self.members[data["id"]] = dict(data)
            case "conversation.member.removed":
                self.members.pop(data["id"], None)
            case "conversation.initialized":
                self.initialized = True
            case "conversation.disposed":
                self.gone = True

    @property
    def addresses(self) -> list[str]:
        """The members' numbers."""
        return [str(one.get("address", "")) for one in self.members.values()]


@dataclass(slots=True, eq=False)
class InteractionView(CallObject):
    """A contact with its conversations by target."""

    nativeid: str = ""
    data: dict[str, Any] = field(default_factory=dict)
    conversations: dict[str, ConversationView] = field(default_factory=dict)
    initialized: bool = False
    recording: str = "OFF"
    muted: bool = False

    def take_event(self, name: str, data: Mapping[str, Any]) -> None:
        """Take over an event other than `state.updated`."""
        match name:
            case "interaction.datachanged":
                self.take_data(data["interaction-data"])
            case "interaction.initialized":
                self.initialized = True
            case "interaction.x-recordingchanged":
                self.recording = data["recording"]
            case "interaction.x-mutechanged":
                self.muted = data["muted"]
            case "interaction.disposed":
                self.gone = True

    def take_data(self, data: Mapping[str, Any]) -> None:
        """Take over keys of the interaction data; two of them tell of recording and muting."""
        self.data.update(data)
        self.recording = str(data.get(RECORDING_KEY, self.recording))
        self.muted = bool(data.get(MUTED_KEY, self.muted))

    def conversation(self, role: str) -> ConversationView | None:
        """Return the newest conversation of a role that is not over, else the newest one."""
        found = [one for one in self.conversations.values() if one.role == role]
        return next((one for one in reversed(found) if one.state != "RELEASED"), found[-1] if found else None)


@dataclass(slots=True, eq=False)
class ChannelView(CallObject):
    """A phone: `state` is ACTIVE, INACTIVE or UNAVAILABLE; its interactions by target."""

    endpoint: str = ""
    type: str = ""
    agent_state: str = ""
    reason: str | None = None
    interactions: dict[str, InteractionView] = field(default_factory=dict)

    def take_state(self, data: Mapping[str, Any]) -> None:
        """Take over what `state.updated` tells: the agent's state is part of it."""
        CallObject.take_state(self, data)
        self.agent_state = str(data.get("agent-state", ""))
        self.reason = data.get("reason")


class SessionView:
    """A session as last told. `log` has all events, oldest first; `closed` is the cause once it is over."""

    def __init__(self, snapshot: Mapping[str, Any]) -> None:
        self.id = str(snapshot["id"])
        self.closed: str | None = None
        self.log: list[dict[str, Any]] = []
        self.channels: dict[str, ChannelView] = {}
        self.team: dict[str, dict[str, Any]] = {}
        self.not_ready_reasons: list[dict[str, Any]] = []
        self.logout_reasons: list[dict[str, Any]] = []
        self.notices: list[dict[str, Any]] = []
        self.agent = ""
        self.group = ""
        self.take_snapshot(snapshot)

    @property
    def channel(self) -> ChannelView:
        """The telephony channel. Raises LookupError if there is none."""
        for each in self.channels.values():
            if each.type == "TELEPHONY":
                return each
        raise LookupError(f"Session {self.id} has no telephony channel.")

    def interactions(self) -> Iterator[InteractionView]:
        """Iterate over the interactions of all channels, oldest first."""
        for channel in self.channels.values():
            yield from channel.interactions.values()

    # -- the snapshot ----------------------------------------------------------------------------------

    def take_snapshot(self, told: Mapping[str, Any]) -> None:
        """Begin anew with what a binding was answered with; objects that went on keep their identity."""
        self.agent = str(told["agent"])
        group = told["channelgroup"]
        self.group = f"{self.id}.{group['id']}"
        old, self.channels = self.channels, {}
        for each in group["channels"]:
            target = f"{self.group}.{each['id']}"
            channel = self.channels[target] = old.get(target) or ChannelView(target)
            channel.endpoint, channel.type = each["endpoint"], each["type"]
            channel.take_state(each)
            known, channel.interactions = channel.interactions, {}
            for one in each["interactions"]:
                self._take_interaction(channel, one, known)
            for target, lost in known.items():
                lost.gone = lost.gone or target not in channel.interactions

    @staticmethod
    def _take_interaction(
        channel: ChannelView, told: Mapping[str, Any], known: Mapping[str, InteractionView]
    ) -> None:
        target = f"{channel.target}.{told['id']}"
        interaction = channel.interactions[target] = known.get(target) or InteractionView(target)
        interaction.nativeid, interaction.data = told["nativeid"], {}
        interaction.take_data(told["interaction-data"])
        interaction.initialized = True
        interaction.take_state(told)
        before, interaction.conversations = interaction.conversations, {}
        for each in told["conversations"]:
            inner = f"{target}.{each['id']}"
            conversation = before.get(inner) or ConversationView(inner)
            interaction.conversations[inner] = conversation
            conversation.nativeid, conversation.role = each["nativeid"], each["role"]
            conversation.members = {one["id"]: one for one in each["members"]}
            conversation.initialized = True
            conversation.take_state(each)

    # -- events ----------------------------------------------------------------------------------------

    def take_event(self, event: Mapping[str, Any]) -> None:
        """Take over an object event; one that is not known changes nothing."""
        self.log.append(dict(event))
        target, name, data = event["target"], event["name"], event["data"]
        if name == "state.updated":
            if (one := self.find(target)) is not None:
                one.take_state(data)
        elif target == self.id:
            self._session_event(name, data)
        elif name == "interaction.created":
            channel = self.channels[target.rpartition(".")[0]]
            channel.interactions[target] = InteractionView(target, nativeid=data["nativeid"])
        elif name == "conversation.created":
            interaction = self.find(target.rpartition(".")[0])
            if isinstance(interaction, InteractionView):
                made = ConversationView(target, nativeid=data["nativeid"], role=data["role"])
                interaction.conversations[target] = made
        else:
            self._call_event(self.find(target), name, data)

    def _session_event(self, name: str, data: Mapping[str, Any]) -> None:
        if name == "session.closed":
            self.closed = str(data.get("cause", ""))
        elif name == "session.teamstatus.updated":
            self.take_team(data["teamstatus"])
        elif name == "session.externalnotreadyreasons.updated":
            self.not_ready_reasons = list(data["reasonCodes"])
        elif name == "session.externallogoutreasons.updated":
            self.logout_reasons = list(data["logoutReasons"])
        elif name in {"cti.warning", "cti.error"}:
            self.notices.append(dict(data))

    def take_team(self, members: list[dict[str, Any]]) -> None:
        """Take over what was told of members of the team."""
        self.team.update({one["loginid"]: one for one in members})

    @staticmethod
    def _call_event(one: CallObject | None, name: str, data: Mapping[str, Any]) -> None:
        if isinstance(one, ConversationView | InteractionView):
            one.take_event(name, data)

    def find(self, target: str) -> CallObject | None:
        """Return the object with a target."""
        for channel in self.channels.values():
            if target == channel.target:
                return channel
            if target.startswith(channel.target + "."):
                return _inside(channel, target)
        return None

    def drop_gone(self, when: Callable[[InteractionView], bool] = lambda _one: True) -> None:
        """Forget interactions that were disposed of."""
        for channel in self.channels.values():
            for target, one in tuple(channel.interactions.items()):
                if one.gone and when(one):
                    del channel.interactions[target]


def _inside(channel: ChannelView, target: str) -> CallObject | None:
    for interaction in channel.interactions.values():
        if target == interaction.target:
            return interaction
        if (conversation := interaction.conversations.get(target)) is not None:
            return conversation
    return None
