"""The referee names each broken rule."""

from collections.abc import Callable
from typing import Any

import pytest
from courses import (
    CALL,
    CAUSE,
    CHANNEL,
    GROUP,
    PRIME,
    SESSION,
    Course,
    active,
    call_created,
    channel_open,
    channel_reply,
    closed,
    ended,
    group_open,
    in_service,
    interaction_reply,
    out_of_service,
    ringing,
    session_open,
    talking,
    unsupported,
)
from processor_client import CONTROL, PHONE, State, changed, raw_event

from connector.bridge.codec import Malformed
from connector.bridge.messages import (
    Body,
    Kind,
    Message,
    Result,
    channel,
    channelgroup,
    control,
    conversation,
    failure,
    interaction,
    request_message,
    session,
    success,
    warning_message,
)
from connector.processor.rules import ProtocolViolation

Act = Callable[[Course], None]


def answered(body: Body, target: str = CONTROL, reply: Body | None = None, /, **changes: Any) -> Act:
    """Answer a request with SUCCESS, with some headers or the body changed."""

    def act(course: Course) -> None:
        good = success(course.sent(target, body), reply)
        values = {name: getattr(good, name) for name in good.__slots__}
        course.rules.received(Message(**{**values, **changes}))

    return act


def told(target: str, body: Body) -> Act:
    return lambda course: course.tell(target, body)


def raw(message: Message) -> Act:
    def act(course: Course) -> None:
        course.rules.received(message)

    return act


def accepted(target: str, body: Body, reply: Body | None = None) -> Act:
    return lambda course: course.ask(target, body, reply)


def twice(course: Course) -> None:
    asked = course.sent(CONTROL, control.ServerStatus())
    course.rules.received(success(asked))
    course.rules.received(success(asked))


def consult_from_outside_twice(course: Course) -> None:
    course.tell(CALL, interaction.ConsultStarted(nativeid="k"))
    course.tell(CALL, interaction.ConsultStarted(nativeid="k"))


def malformed(course: Course) -> None:
    course.rules.malformed(Malformed("The frame has no `header` object."))


def busy_close(course: Course) -> None:
    course.ask(SESSION, session.Close())


def ready_reply() -> channel.ChannelInitReply:
    return channel_reply(agent_state=channel.AgentState.READY)


def create_channel() -> Body:
    return channelgroup.CreateChannel(id="c", endpoint="1001", type=PHONE)


def opened(target: str, query: Body, reply: Body) -> Act:
    return accepted(target, query, reply)


def channel_created() -> Course:
    course = group_open()
    course.ask(GROUP, create_channel())
    return course


def disposed_session() -> Course:
    course = channel_open()
    course.ask(SESSION, session.Dispose())
    return course


def released() -> Course:
    course = talking()
    course.tell(PRIME, changed(State.RELEASED, CAUSE))
    return course


ONE_RESPONSE = r"exactly one response"
GATE = r"No event for a destination before its init query"
FAILS = r"Unsupported operation, wrong state, unknown target, malformed body: FAILURE"
TYPES = r"has the catalogue's keys and types"
CREATE = control.CreateSession(agent_id="1", agent_password="x", session_id="1", destination=SESSION)

VIOLATIONS: list[tuple[str, Callable[[], Course], Act, str]] = [
    ("second response", in_service, twice, ONE_RESPONSE),
    (
        "response to nothing",
        in_service,
        raw(success(request_message(CONTROL, control.ServerStatus(), "?"))),
        "never asked",
    ),
    ("other requestId", in_service, answered(control.ServerStatus(), request_id="other"), "echoed unchanged"),
    (
        "other name",
        in_service,
        answered(control.ServerStatus(), name="cti.query.capabilities"),
        "repeats the name",
    ),
    ("other target", in_service, answered(control.ServerStatus(), target="LAB"), "repeats the target"),
    (
        "failure without a sentence",
        in_service,
        answered(control.ServerStatus(), result=Result.FAILURE),
        "one human-readable sentence",
    ),
    (
        "success with an error",
        in_service,
        answered(control.ServerStatus(), error_message="Hm."),
        "errorMessage comes on FAILURE",
    ),
    ("reply lacks a key", in_service, answered(control.Capabilities(), body={}), TYPES),
    (
        "reply has a key too many",
        in_service,
        answered(control.ServerStatus(), body={"status": "fine"}),
        "not in the catalogue",
    ),
    (
        "reply has a wrong type",
        session_open,
        answered(session.SessionInit(), SESSION, body={"channelGroup": 7}),
        TYPES,
    ),
    (
        "nested key too many",
        group_open,
        answered(
            channelgroup.ChannelGroupInit(),
            GROUP,
            body={"channels": [{"end-point": "1", "type": "TELEPHONY", "x": 1}]},
        ),
        r"channels\[0\]\.x",
    ),
    (
        "second spelling",
        group_open,
        answered(
            channelgroup.ChannelGroupInit(),
            GROUP,
            body={"channels": [{"endpoint": "1", "type": "TELEPHONY"}]},
        ),
        TYPES,
    ),
    (
        "a request of the client",
        in_service,
        raw(request_message(CONTROL, control.ServerStatus(), "9")),
        "responses, events, warnings and errors only",
    ),
    ("malformed", in_service, malformed, "headers and a JSON body"),
    ("unknown event", in_service, raw(raw_event("cti.exploded", CONTROL)), "catalogue's events"),
    (
        "request's name as an event",
        in_service,
        raw(raw_event("cti.request.dispose", CONTROL)),
        "catalogue's events",
    ),
    (
        "event with requestId",
        in_service,
        raw(raw_event("cti.serverstatuschanged", CONTROL, {"status": "in-service"}, request_id="1")),
        "Events have no requestId",
    ),
    (
        "event with result",
        in_service,
        raw(raw_event("cti.serverstatuschanged", CONTROL, {"status": "in-service"}, result=Result.SUCCESS)),
        "Events have no result",
    ),
    (
        "unknown status",
        in_service,
        raw(raw_event("cti.serverstatuschanged", CONTROL, {"status": "fine"})),
        TYPES,
    ),
    (
        "status before serverstatus",
        Course,
        told(CONTROL, control.ServerStatusChanged(status=control.ServiceStatus.IN_SERVICE)),
        GATE,
    ),
    ("event for nobody", active, told("s.g.x", channel.BecameReady()), "does not exist"),
    ("event of another scope", active, told(GROUP, channel.BecameReady()), "sent for a channel destination"),
    ("event before init", channel_created, told(CHANNEL, channel.Activated()), GATE),
    ("event of a child before init", call_created, told(CALL, interaction.Started()), GATE),
    (
        "event after dispose",
        disposed_session,
        told(CHANNEL, channel.Deactivated()),
        "respond first, then release",
    ),
    ("event after session.closed", closed, told(CHANNEL, channel.Unavailable()), "Nothing follows"),
    ("event after conversation.disposed", ended, told(PRIME, changed(State.TALKING)), "Nothing follows"),
    (
        "warning without texts",
        in_service,
        raw(Message(Kind.WARNING, "slow", CONTROL)),
        "`code` and `message`",
    ),
    ("warning for nobody", in_service, raw(warning_message("x", "slow", "1", "t")), "does not exist"),
    ("success for nobody", in_service, answered(channel.Ready(), "nowhere"), FAILS),
    ("success of another scope", active, answered(channel.Ready(), GROUP), FAILS),
    ("session that exists", session_open, answered(CREATE), "exists already"),
    ("session out of service", out_of_service, answered(CREATE), "the service is out-of-service"),
    (
        "group that nobody named",
        session_open,
        answered(session.CreateChannelGroup(name="other", id="g"), SESSION),
        "nobody named",
    ),
    (
        "group without a name",
        session_open,
        answered(session.SessionInit(), SESSION, session.SessionInitReply(channel_group="")),
        "exactly one group",
    ),
    (
        "channel that nobody named",
        group_open,
        answered(channelgroup.CreateChannel(id="c", endpoint="9", type=PHONE), GROUP),
        "nobody named",
    ),
    ("channel that exists", active, answered(create_channel(), GROUP), "exists already"),
    (
        "bridge id with a dot",
        group_open,
        answered(channelgroup.CreateChannel(id="a.b", endpoint="1001", type=PHONE), GROUP),
        "bridge id is not valid",
    ),
    (
        "interaction that nobody named",
        active,
        answered(channel.CreateInteraction(id="i", nativeid="?"), CHANNEL),
        "nobody named",
    ),
    (
        "conversation that nobody named",
        ringing,
        answered(interaction.CreateConversation(id="k", nativeid="k"), CALL),
        "nobody named",
    ),
    (
        "second group in a session",
        group_open,
        answered(session.CreateChannelGroup(name="desk", id="h"), SESSION),
        "one group in a session",
    ),
    (
        "second destination for a phone",
        channel_open,
        answered(channelgroup.CreateChannel(id="d", endpoint="1001", type=PHONE), GROUP),
        "One live destination",
    ),
    (
        "second destination for an interaction",
        call_created,
        answered(channel.CreateInteraction(id="j", nativeid="call"), CHANNEL),
        "One live destination",
    ),
    (
        "second destination for a conversation",
        ringing,
        answered(interaction.CreateConversation(id="q", nativeid="p"), CALL),
        "One live destination",
    ),
    (
        "channel joins twice",
        group_open,
        told(GROUP, channelgroup.ChannelAdded(endpoint="1001", type=PHONE)),
        "joins its group once",
    ),
    (
        "channel leaves that was not there",
        group_open,
        told(GROUP, channelgroup.ChannelRemoved(endpoint="9", type=PHONE)),
        "Only a group's channel",
    ),
    (
        "ready while inactive",
        channel_created,
        opened(CHANNEL, channel.ChannelInit(), ready_reply()),
        "READY on an active channel only",
    ),
    (
        "no interactions in init",
        channel_created,
        opened(CHANNEL, channel.ChannelInit(), channel_reply(interactions=None)),
        "answers with `interactions`",
    ),
    ("ready succeeds inactive", channel_open, answered(channel.Ready(), CHANNEL), FAILS),
    ("deactivate succeeds inactive", channel_open, answered(channel.Deactivate(), CHANNEL), FAILS),
    ("activated twice", active, told(CHANNEL, channel.Activated()), "comes in INACTIVE only"),
    (
        "ready event while inactive",
        channel_open,
        told(CHANNEL, channel.BecameReady()),
        "comes in ACTIVE only",
    ),
    (
        "available without unavailable",
        active,
        told(CHANNEL, channel.Available()),
        "comes in UNAVAILABLE only",
    ),
    (
        "interaction named twice",
        call_created,
        told(CHANNEL, channel.InteractionAdded(nativeid="call", type=PHONE)),
        "a new interaction",
    ),
    (
        "unsupported channel works",
        unsupported,
        answered(channel.Activate(), CHANNEL),
        "the channel is unsupported",
    ),
    (
        "unsupported channel talks",
        unsupported,
        told(CHANNEL, channel.InteractionAdded(nativeid="x", type=PHONE)),
        "An unsupported channel sends",
    ),
    (
        "no primary while ringing",
        call_created,
        opened(CALL, interaction.InteractionInit(), interaction_reply("ALERTING", primary=None)),
        "must be there in ALERTING",
    ),
    (
        "conversations after the end",
        call_created,
        opened(CALL, interaction.InteractionInit(), interaction_reply("ENDED")),
        "empty in ENDED",
    ),
    (
        "consult while ringing",
        call_created,
        opened(CALL, interaction.InteractionInit(), interaction_reply("ALERTING", consult="k")),
        "only in STARTED",
    ),
    (
        "started before talking",
        ringing,
        told(CALL, interaction.Started()),
        "TALKING comes before interaction.started",
    ),
    ("started twice", talking, told(CALL, interaction.Started()), "interaction.started comes in"),
    (
        "ended before released",
        talking,
        told(CALL, interaction.Ended()),
        "RELEASED comes before interaction.ended",
    ),
    (
        "ended before disposed",
        released,
        told(CALL, interaction.Ended()),
        "conversation.disposed comes before",
    ),
    ("ended twice", ended, told(CALL, interaction.Ended()), "interaction.ended comes in"),
    (
        "completed before the end",
        talking,
        told(CALL, interaction.Completed()),
        "interaction.completed comes in ENDED only",
    ),
    ("complete succeeds before the end", talking, answered(interaction.Complete(), CALL), FAILS),
    (
        "consult succeeds while ringing",
        ringing,
        answered(interaction.Consult(destination="2"), CALL, interaction.ConsultReply(nativeid="k")),
        FAILS,
    ),
    (
        "consult event while ringing",
        ringing,
        told(CALL, interaction.ConsultStarted(nativeid="k")),
        "interaction.consult comes in STARTED only",
    ),
    ("consult event twice", talking, consult_from_outside_twice, "started outside Harmony"),
    ("close succeeds on a call", talking, busy_close, "is STARTED"),
    (
        "ringing goes on hold",
        ringing,
        told(PRIME, changed(State.HELD)),
        "goes from ALERTING to RELEASED or TALKING",
    ),
    ("same state again", talking, told(PRIME, changed(State.TALKING)), "goes from TALKING"),
    (
        "back from the dead",
        released,
        told(PRIME, changed(State.TALKING)),
        "goes from RELEASED to nothing else",
    ),
    ("release without cause", talking, told(PRIME, changed(State.RELEASED)), "`cause` on release"),
    ("cause without release", talking, told(PRIME, changed(State.HELD, CAUSE)), "`cause` on release"),
    ("disposed while talking", talking, told(PRIME, conversation.Disposed()), "follows RELEASED"),
    (
        "member joins twice",
        talking,
        raw(
            raw_event(
                "conversation.member.added", PRIME, {"id": "c1", "address": "", "name": "", "type": "OTHER"}
            )
        ),
        "joins once",
    ),
    (
        "stranger leaves",
        talking,
        raw(
            raw_event(
                "conversation.member.removed", PRIME, {"id": "x", "address": "", "name": "", "type": "OTHER"}
            )
        ),
        "Only a member",
    ),
    ("hold succeeds while ringing", ringing, answered(conversation.Hold(), PRIME), FAILS),
    ("release succeeds after the end", released, answered(conversation.Release(), PRIME), FAILS),
]


@pytest.mark.parametrize(
    ("before", "act", "rule"), [each[1:] for each in VIOLATIONS], ids=[each[0] for each in VIOLATIONS]
)
def test_each_broken_rule_is_named(before: Callable[[], Course], act: Act, rule: str) -> None:
    course = before()
    with pytest.raises(ProtocolViolation, match=rule):
        act(course)


@pytest.mark.parametrize(
    ("before", "target", "body"),
    [
        (in_service, "nowhere", channel.Ready()),
        (channel_open, CHANNEL, channel.Ready()),
        (talking, SESSION, session.Close()),
        (unsupported, CHANNEL, channel.Activate()),
        (ringing, CALL, interaction.Consult(destination="1")),
    ],
    ids=["unknown target", "inactive", "busy", "unsupported", "not started"],
)
def test_a_refusal_is_right_where_success_would_be_wrong(
    before: Callable[[], Course], target: str, body: Body
) -> None:
    before().refuse(target, body)


def test_unknown_and_malformed_requests_must_be_refused() -> None:
    course = in_service()
    for name, body in (("cti.request.fly", {}), ("cti.request.createsession", {"agentId": 7})):
        message = Message(Kind.REQUEST, name, CONTROL, body, request_id=f"x{name}")
        course.rules.sent(message)
        with pytest.raises(ProtocolViolation, match=FAILS):
            course.rules.received(success(message))
        again = Message(Kind.REQUEST, name, CONTROL, body, request_id=f"y{name}")
        course.rules.sent(again)
        course.rules.received(failure(again, "No."))


def test_a_state_that_changed_while_asking_excuses_the_client() -> None:
    course = talking()
    asked = course.sent(PRIME, conversation.Release())
    course.tell(PRIME, changed(State.RELEASED, CAUSE))
    course.rules.received(success(asked))
