"""The referee: a course that keeps the rules passes, and each broken rule is named."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from processor_client import CONTROL, PHONE, State, changed, customer, raw_event

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
    event_message,
    failure,
    interaction,
    request_message,
    session,
    success,
    warning_message,
)
from connector.processor.rules import ProtocolViolation, Rules

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


def test_a_whole_course_leaves_nothing_open() -> None:
    course = ended()
    course.ask(CALL, interaction.Complete())
    assert [sorted(each.events) for each in course.rules.owed()] == [["interaction.completed"]]
    course.tell(CALL, interaction.Completed())
    for target, body in (
        (PRIME, conversation.Dispose()),
        (CALL, interaction.Dispose()),
        (CHANNEL, channel.Dispose()),
        (GROUP, channelgroup.Dispose()),
        (SESSION, session.Dispose()),
        (CONTROL, control.Dispose()),
    ):
        course.ask(target, body)
    assert course.rules.outstanding() == []
    assert course.rules.owed() == []
    assert list(course.rules.nodes) == [CONTROL]


def test_consult_alternate_conference_and_data() -> None:
    course = talking()
    course.tell(PRIME, changed(State.HELD))
    course.ask(CALL, interaction.Consult(destination="2"), interaction.ConsultReply(nativeid="k"))
    course.ask(CALL, interaction.CreateConversation(id="k", nativeid="k"))
    dialing = conversation.ConversationInitReply(conversation_state=State.DIALING, members=())
    course.ask(SECOND, conversation.ConversationInit(), dialing)
    course.tell(SECOND, changed(State.TALKING))
    course.ask(CALL, interaction.Alternate())
    course.tell(SECOND, changed(State.HELD))
    course.tell(PRIME, changed(State.TALKING))
    course.ask(CALL, interaction.ConsultConference())
    course.tell(SECOND, changed(State.RELEASED, conversation.Cause.CONFERENCED))
    course.tell(SECOND, conversation.Disposed())
    values = {key: getattr(customer("c9"), key) for key in ("id", "address", "name", "type")}
    course.tell(PRIME, conversation.MemberAdded(**values))
    course.tell(PRIME, conversation.MemberRemoved(**values))
    course.tell(CALL, interaction.DataChanged(interaction_data={"a": {"b": "c"}}))
    course.rules.received(warning_message(CALL, "slow", "W1", "The PBX is slow."))


def test_a_state_that_is_there_already_is_told_again_on_request() -> None:
    course = active()
    course.ask(CHANNEL, channel.Activate())
    course.tell(CHANNEL, channel.Activated())
    course.tell(CHANNEL, channel.BecameNotReady(reason=None))
    with pytest.raises(ProtocolViolation, match=r"channel\.activated comes in INACTIVE only"):
        course.tell(CHANNEL, channel.Activated())


def test_outstanding_is_what_was_asked_and_not_answered() -> None:
    course = in_service()
    first = course.sent(CONTROL, control.Capabilities())
    second = course.sent(CONTROL, control.ServerStatus())
    assert course.rules.outstanding() == [first, second]
    course.rules.received(failure(first, "Not now."))
    assert course.rules.outstanding() == [second]


def test_an_event_before_the_response_is_not_the_one_that_follows_it() -> None:
    course = active()
    asked = course.sent(CHANNEL, channel.Ready())
    course.tell(CHANNEL, channel.BecameReady())
    course.rules.received(success(asked))
    (owed,) = course.rules.owed()
    assert (owed.request, owed.events, owed.early) == (asked, {"channel.ready"}, True)
    course.tell(CHANNEL, channel.BecameReady())
    assert course.rules.owed() == []


def test_what_a_refused_request_would_produce_may_have_happened_by_itself() -> None:
    course = active()
    asked = course.sent(CHANNEL, channel.Deactivate())
    course.tell(CHANNEL, channel.Deactivated())
    course.rules.received(failure(asked, "The channel is not active: activate it first."))
    assert course.rules.owed() == []


def test_a_violation_leaves_what_is_known_as_it_was() -> None:
    course = ringing()
    with pytest.raises(ProtocolViolation):
        course.tell(PRIME, changed(State.HELD))
    course.tell(PRIME, changed(State.TALKING))


@pytest.mark.parametrize("agent", ["1", "2"])
def test_a_login_after_the_service_was_out_ends_what_its_own_agent_had(agent: str) -> None:
    course = session_open()
    for status in (control.ServiceStatus.OUT_OF_SERVICE, control.ServiceStatus.IN_SERVICE):
        course.tell(CONTROL, control.ServerStatusChanged(status=status))
    create = control.CreateSession(agent_id=agent, agent_password="x", session_id="2", destination=SESSION)
    if agent == "1":
        course.ask(CONTROL, create)
        course.ask(SESSION, session.SessionInit(), session.SessionInitReply(channel_group="desk"))
    else:
        with pytest.raises(ProtocolViolation, match="exists already"):
            course.ask(CONTROL, create)


def test_the_bridge_may_not_reuse_a_request_id() -> None:
    course = in_service()
    with pytest.raises(ValueError, match="used before"):
        course.rules.sent(request_message(CONTROL, control.Capabilities(), "1"))


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
