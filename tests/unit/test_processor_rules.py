"""The referee: a course that keeps the rules passes, and what it knows is what happened."""

import pytest
from courses import (
    CALL,
    CHANNEL,
    GROUP,
    PRIME,
    SECOND,
    SESSION,
    active,
    ended,
    in_service,
    ringing,
    session_open,
    talking,
)
from processor_client import CONTROL, State, changed, customer

from connector.bridge.catalogue import extensions
from connector.bridge.messages import (
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


def test_a_call_that_ends_as_its_recording_begins_owes_nothing_more() -> None:
    course = talking()
    course.ask(CALL, extensions.StartRecording(), extensions.RecordingStarted(file="a.wav"))
    course.tell(PRIME, changed(State.RELEASED, conversation.Cause.NORMAL))
    course.tell(PRIME, conversation.Disposed())
    course.tell(CALL, interaction.Ended(cause=conversation.Cause.NORMAL))
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
