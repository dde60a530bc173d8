"""A client of the bridge without a PBX: keeps the rules by default, and breaks them where a test says so."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from connector.bridge.messages import (
    Body,
    Kind,
    Message,
    Unknown,
    channel,
    channelgroup,
    control,
    conversation,
    event_message,
    failure,
    interaction,
    parse_body,
    session,
    success,
)

if TYPE_CHECKING:
    from connector.bridge.codec import Malformed

PHONE = session.ChannelType.TELEPHONY
CONTROL = "LAB.CONTROL"
State = conversation.ConversationState

Handler = Callable[["Client", Message, Any], "Body | str | None"]


class Client:
    """One agent, one phone. `on[name]` replaces the handler of a message; a string refuses it."""

    def __init__(self, send: Callable[[Message], Any]) -> None:
        self.send = send
        self.on: dict[str, Handler] = {}
        self.mute: set[str] = set()
        self.silent_after: set[str] = set()
        self.targets: dict[str, str] = {}
        self.channel_state = channel.ChannelState.INACTIVE
        self.interaction_state = interaction.InteractionState.ALERTING
        self.interaction_data: dict[str, Any] = {"ANI": "2001"}
        self.conversation_state = State.ALERTING
        self.listed: list[str] = []
        self.problems: list[Malformed] = []
        self.reasons: list[str] = []

    def connected(self) -> None:
        self.targets.clear()

    def disconnected(self, reason: str) -> None:
        self.reasons.append(reason)

    def malformed(self, problem: Malformed) -> None:
        self.problems.append(problem)
        if problem.answer_to is not None:
            self.send(failure(problem.answer_to, problem.reason))

    def received(self, message: Message) -> None:
        if message.name in self.mute:
            return
        body = parse_body(message)
        if isinstance(body, Unknown):
            self.send(failure(message, f"{message.name} is not known."))
            return
        handler = self.on.get(message.name)
        answer = handler(self, message, body) if handler is not None else self.answer(message, body)
        if isinstance(answer, str):
            self.send(failure(message, answer))
            return
        self.send(success(message, answer))
        if message.name not in self.silent_after:
            self.follow_up(message, body)

    def emit(self, target: str, body: Body) -> None:
        self.send(event_message(target, body))

    def answer(self, message: Message, body: Body) -> Body | str | None:
        """Return what a client that keeps the rules answers."""
        match body:
            case control.Capabilities():
                return control.CapabilitiesReply(
                    channel_groups_supported=True,
                    channel_groups_max_per_agent=1,
                    channel_groups_media_types="TELEPHONY",
                    single_channels_supported=False,
                    single_channels_media_types="",
                )
            case control.CreateSession(agent_password=password):
                return None if password == "right" else "Agent id or password is wrong."
            case session.SessionInit():
                self.targets["session"] = message.target
                return session.SessionInitReply(channel_group="group-1001")
            case session.GetTeamStatus():
                return session.TeamStatusReply(teamstatus=(member("NOT_READY"),))
            case channelgroup.ChannelGroupInit():
                self.targets["group"] = message.target
                return channelgroup.ChannelGroupInitReply(
                    channels=(channelgroup.ListedChannel(endpoint="1001", type=PHONE),)
                )
            case channel.ChannelInit():
                self.targets["channel"] = message.target
                return channel.ChannelInitReply(
                    channel_state=self.channel_state,
                    agent_state=channel.AgentState.NOT_READY,
                    reason=None,
                    interactions=tuple(
                        channel.ListedInteraction(id=each, type=PHONE) for each in self.listed
                    ),
                )
            case _:
                return self._answer_call(message, body)

    def _answer_call(self, message: Message, body: Body) -> Body | str | None:
        match body:
            case interaction.InteractionInit():
                self.targets["interaction"] = message.target
                live = self.interaction_state in {"ALERTING", "DIALING", "STARTED"}
                primary = interaction.ConversationRef(id="prime") if live else None
                return interaction.InteractionInitReply(
                    interaction_state=self.interaction_state,
                    interaction_data=self.interaction_data,
                    conversations=interaction.Conversations(primary=primary),
                )
            case interaction.Consult():
                self.conversation_state = State.DIALING
                return interaction.ConsultReply(nativeid="second")
            case interaction.GetData():
                return interaction.DataReply(interaction_data={"ANI": "2001", "vip": "yes"})
            case conversation.ConversationInit():
                key = "consult" if "primary" in self.targets else "primary"
                self.targets[key] = message.target
                return conversation.ConversationInitReply(
                    conversation_state=self.conversation_state,
                    members=(customer("c1"),),
                )
            case _:
                return None

    def follow_up(self, message: Message, body: Body) -> None:  # noqa: C901, PLR0912 - one table
        """Send the events that a request produces."""
        target = message.target
        match body:
            case control.ServerStatus():
                self.emit(target, control.ServerStatusChanged(status=control.ServiceStatus.IN_SERVICE))
            case session.Close():
                self.emit(target, session.Closed())
            case session.ExternalLogoutReasons():
                self.emit(target, session.LogoutReasonsUpdated(logout_reasons=()))
            case session.ExternalNotReadyReasons():
                reason = session.NotReadyReason(
                    id="1", code="LUNCH", selectable=True, extensions=(), labels=()
                )
                self.emit(target, session.NotReadyReasonsUpdated(reason_codes=(reason,)))
            case channel.Activate():
                self.emit(target, channel.Activated())
                self.emit(target, channel.BecameNotReady(reason=None))
            case channel.Deactivate():
                self.emit(target, channel.Deactivated())
            case channel.Ready():
                self.emit(target, channel.BecameReady())
            case channel.NotReady(reason_code_id=reason_id):
                self.emit(target, channel.BecameNotReady(reason=reason_id))
            case channel.Dial():
                self.interaction_state = interaction.InteractionState.DIALING
                self.conversation_state = State.DIALING
                self.ring("dialled")
            case interaction.Complete():
                self.emit(target, interaction.Completed())
            case conversation.Answer():
                self.talk()
            case conversation.Release():
                self.hang_up()
            case conversation.Hold():
                self.emit(target, changed(State.HELD))
            case conversation.Retrieve():
                self.emit(target, changed(State.TALKING))
            case _:
                pass

    # -- what happens at the phone ---------------------------------------------------------------------

    def ring(self, nativeid: str) -> None:
        self.emit(self.targets["channel"], channel.InteractionAdded(nativeid=nativeid, type=PHONE))

    def talk(self) -> None:
        self.emit(self.targets["primary"], changed(State.TALKING))
        self.emit(self.targets["interaction"], interaction.Started())

    def hang_up(self, cause: conversation.Cause = conversation.Cause.NORMAL) -> None:
        self.emit(self.targets["primary"], changed(State.RELEASED, cause))
        self.emit(self.targets["primary"], conversation.Disposed())
        self.emit(self.targets["interaction"], interaction.Ended(cause=cause))


def changed(state: State, cause: conversation.Cause | None = None) -> conversation.StateChanged:
    return conversation.StateChanged(conversation_state=state, cause=cause)


def customer(member_id: str) -> conversation.Member:
    return conversation.Member(
        id=member_id, address="2001", name="Ada", type=conversation.MemberType.CUSTOMER
    )


def member(state: str) -> session.TeamMember:
    return session.TeamMember(
        loginid="1002",
        firstname="Ada",
        lastname="Lovelace",
        extension="1002",
        state=state,
        statechangetime="2026-01-01T00:00:00Z",
    )


def raw_event(name: str, target: str, body: dict[str, Any] | None = None, **more: Any) -> Message:
    return Message(Kind.EVENT, name, target, body or {}, **more)
