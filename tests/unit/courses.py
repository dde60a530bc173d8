"""Courses of messages between bridge and client, each up to a certain state, for the tests of the referee."""

from dataclasses import dataclass, field
from typing import Any

from processor_client import CONTROL, PHONE, State, changed, customer

from connector.bridge.messages import (
    Body,
    Message,
    channel,
    channelgroup,
    control,
    conversation,
    event_message,
    failure,
    interaction,
    request_message,
    session,
    success,
)
from connector.processor.rules import Rules

SESSION, GROUP, CHANNEL = "s", "s.g", "s.g.c"
CALL, PRIME, SECOND = "s.g.c.i", "s.g.c.i.p", "s.g.c.i.k"
CAUSE = conversation.Cause.NORMAL


@dataclass
class Course:
    """Drives a referee: `ask` sends and answers, `tell` is an event of the client."""

    rules: Rules = field(default_factory=lambda: Rules("LAB"))
    count: int = 0

    def sent(self, target: str, body: Body) -> Message:
        self.count += 1
        message = request_message(target, body, str(self.count))
        self.rules.sent(message)
        return message

    def ask(self, target: str, body: Body, reply: Body | None = None) -> None:
        self.rules.received(success(self.sent(target, body), reply))

    def refuse(self, target: str, body: Body) -> None:
        self.rules.received(failure(self.sent(target, body), "No."))

    def tell(self, target: str, body: Body) -> None:
        self.rules.received(event_message(target, body))


def out_of_service() -> Course:
    course = Course()
    course.ask(CONTROL, control.ServerStatus())
    course.tell(CONTROL, control.ServerStatusChanged(status=control.ServiceStatus.OUT_OF_SERVICE))
    return course


def in_service() -> Course:
    course = Course()
    course.ask(CONTROL, control.ServerStatus())
    course.tell(CONTROL, control.ServerStatusChanged(status=control.ServiceStatus.IN_SERVICE))
    return course


def session_open() -> Course:
    course = in_service()
    create = control.CreateSession(agent_id="1", agent_password="x", session_id="1", destination=SESSION)
    course.ask(CONTROL, create)
    course.ask(SESSION, session.SessionInit(), session.SessionInitReply(channel_group="desk"))
    return course


def group_open(kind: session.ChannelType = PHONE) -> Course:
    course = session_open()
    course.ask(SESSION, session.CreateChannelGroup(name="desk", id="g"))
    listed = channelgroup.ListedChannel(endpoint="1001", type=kind)
    course.ask(GROUP, channelgroup.ChannelGroupInit(), channelgroup.ChannelGroupInitReply(channels=(listed,)))
    return course


def channel_reply(**more: Any) -> channel.ChannelInitReply:
    values: dict[str, Any] = {
        "channel_state": channel.ChannelState.INACTIVE,
        "agent_state": channel.AgentState.NOT_READY,
        "reason": None,
        "interactions": (),
    }
    return channel.ChannelInitReply(**{**values, **more})


def channel_open(**more: Any) -> Course:
    course = group_open()
    course.ask(GROUP, channelgroup.CreateChannel(id="c", endpoint="1001", type=PHONE))
    course.ask(CHANNEL, channel.ChannelInit(), channel_reply(**more))
    return course


def active() -> Course:
    course = channel_open()
    course.ask(CHANNEL, channel.Activate())
    course.tell(CHANNEL, channel.Activated())
    course.tell(CHANNEL, channel.BecameNotReady(reason=None))
    return course


def interaction_reply(
    state: str, *, primary: str | None = "p", consult: str | None = None
) -> interaction.InteractionInitReply:
    return interaction.InteractionInitReply(
        interaction_state=interaction.InteractionState(state),
        interaction_data={},
        conversations=interaction.Conversations(
            primary=interaction.ConversationRef(id=primary) if primary else None,
            consult=interaction.ConversationRef(id=consult) if consult else None,
        ),
    )


def call_created() -> Course:
    course = active()
    course.tell(CHANNEL, channel.InteractionAdded(nativeid="call", type=PHONE))
    course.ask(CHANNEL, channel.CreateInteraction(id="i", nativeid="call"))
    return course


def ringing() -> Course:
    course = call_created()
    course.ask(CALL, interaction.InteractionInit(), interaction_reply("ALERTING"))
    course.ask(CALL, interaction.CreateConversation(id="p", nativeid="p"))
    reply = conversation.ConversationInitReply(conversation_state=State.ALERTING, members=(customer("c1"),))
    course.ask(PRIME, conversation.ConversationInit(), reply)
    return course


def talking() -> Course:
    course = ringing()
    course.ask(PRIME, conversation.Answer())
    course.tell(PRIME, changed(State.TALKING))
    course.tell(CALL, interaction.Started())
    return course


def ended() -> Course:
    course = talking()
    course.tell(PRIME, changed(State.RELEASED, CAUSE))
    course.tell(PRIME, conversation.Disposed())
    course.tell(CALL, interaction.Ended(cause=CAUSE))
    return course


def closed() -> Course:
    course = active()
    course.ask(SESSION, session.Close())
    course.tell(CHANNEL, channel.Deactivated())
    course.tell(SESSION, session.Closed())
    return course


def unsupported() -> Course:
    kind = session.ChannelType.UNSUPPORTED
    course = group_open(kind)
    course.ask(GROUP, channelgroup.CreateChannel(id="c", endpoint="1001", type=kind))
    course.ask(CHANNEL, channel.ChannelInit(), channel_reply(interactions=None))
    return course
