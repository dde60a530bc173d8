"""The destinations through their own door: messages in, messages out, on a model that tests feed."""

import asyncio
from typing import Any

import pytest
from structlog.contextvars import merge_contextvars
from structlog.testing import capture_logs
from telephony_script import AGENT, CUSTOMER
from tree_door import CHANNEL, CONVERSATION, GROUP, SESSION, Bridge, credentials, settle

from connector.bridge.codec import Malformed
from connector.bridge.messages import Kind, Message, Result
from connector.destinations.control import Control
from connector.observability import spread
from connector.telephony import facts
from connector.telephony.pbx import Refused


@pytest.fixture
async def bridge() -> Bridge:
    return Bridge()


async def test_status_follows_its_request_and_every_change(bridge: Bridge) -> None:
    bridge.pbx.set_available(available=False)
    await settle()
    assert bridge.take_events() == []
    await bridge.must("cti.request.serverstatus")
    assert [one.kind for one in bridge.wire.sent] == [Kind.RESPONSE, Kind.EVENT]
    assert bridge.take_events() == ["cti.serverstatuschanged out-of-service"]
    bridge.pbx.set_available(available=True)
    assert bridge.take_events() == ["cti.serverstatuschanged in-service"]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"agentPassword": "wrong"}, "Agent id or password is wrong."),
        ({"agentId": "nobody"}, "Agent id or password is wrong."),
        ({"agentPassword": 7}, "Key 'agentPassword' must be a string, not a number."),
    ],
)
async def test_a_session_needs_the_right_password(bridge: Bridge, wrong: dict[str, Any], said: str) -> None:
    await bridge.must("cti.request.serverstatus")
    answer = await bridge.ask("cti.request.createsession", **(credentials() | wrong))
    assert (answer.result, answer.error_message) == (Result.FAILURE, said)
    assert (await bridge.ask("session.query.init", SESSION)).result is Result.FAILURE


async def test_a_login_shows_the_true_state(bridge: Bridge) -> None:
    await bridge.log_in()
    init = next(one for one in bridge.wire.sent if one.name == "channel.query.init")
    assert init.body == {
        "channel-state": "INACTIVE",
        "agent-state": "NOT_READY",
        "reason": None,
        "interactions": (),
    }


async def test_events_follow_the_response_that_produced_them(bridge: Bridge) -> None:
    await bridge.log_in()
    bridge.take_events()
    await bridge.must("channel.request.activate", CHANNEL)
    assert [one.name for one in bridge.wire.sent] == [
        "channel.request.activate",
        "channel.activated",
        "channel.notready",
    ]
    bridge.take_events()
    await bridge.must("channel.request.ready", CHANNEL)
    assert [one.name for one in bridge.wire.sent] == ["channel.request.ready", "channel.ready"]
    bridge.take_events()
    await bridge.must("channel.request.notready", CHANNEL, reasonCodeId="lunch")
    assert bridge.take_events() == ["channel.notready lunch"]


async def test_a_refused_request_changes_nothing(bridge: Bridge) -> None:
    await bridge.log_in()
    bridge.take_events()
    bridge.pbx.refuse = Refused("Phone 1001 is not registered.")
    answer = await bridge.ask("channel.request.dial", CHANNEL, destination="2001")
    assert (answer.result, answer.error_message) == (Result.FAILURE, "Phone 1001 is not registered.")
    assert bridge.take_events() == []


async def test_a_fault_of_ours_is_a_failure_and_not_a_silence(bridge: Bridge) -> None:
    await bridge.log_in()

    def fail(_what: str) -> None:
        raise ZeroDivisionError

    bridge.pbx._do = fail  # type: ignore[method-assign, assignment]
    answer = await bridge.ask("channel.request.dial", CHANNEL, destination="2001")
    assert answer.result is Result.FAILURE
    assert "ZeroDivision" not in str(answer.error_message)


async def test_what_is_logged_during_a_request_names_it_and_whom_it_is_about(bridge: Bridge) -> None:
    await bridge.log_in()
    await bridge.take_call()
    bridge.pbx.refuse = Refused("No.")
    with capture_logs(processors=(merge_contextvars, spread)) as logged:
        answer = await bridge.ask("conversation.request.hold", CONVERSATION)
        bridge.tree.disconnected("test")
    (refused,) = (line for line in logged if line["event"] == "request refused")
    after = logged[-1]
    about = {key: refused[key] for key in ("request_id", "agent", "phone", "interaction", "conversation")}
    assert about == {
        "request_id": answer.request_id,
        "agent": "1001",
        "phone": "1001",
        "interaction": AGENT,
        "conversation": f"{AGENT}-1",
    }
    assert "request_id" not in after


@pytest.mark.parametrize(
    ("name", "target", "said"),
    [
        ("channel.request.dial", "nowhere.g.c", "There is no destination nowhere.g.c."),
        ("channel.request.fly", CHANNEL, "A telephony channel does not know channel.request.fly."),
        ("session.request.close", CHANNEL, "A telephony channel does not know session.request.close."),
        ("channel.request.dial", CHANNEL, "Key 'destination' is missing."),
    ],
)
async def test_what_makes_no_sense_is_answered(bridge: Bridge, name: str, target: str, said: str) -> None:
    await bridge.log_in()
    assert (await bridge.ask(name, target)).error_message == said


async def test_the_same_request_twice_is_carried_out_once(bridge: Bridge) -> None:
    await bridge.log_in()
    bridge.pbx.gate = asyncio.Event()
    message = Message(
        Kind.REQUEST, "channel.request.dial", CHANNEL, {"destination": "2001"}, request_id="dup"
    )
    bridge.tree.received(message)
    await settle()
    bridge.tree.received(message)
    bridge.pbx.gate.set()
    await settle()
    bridge.tree.received(message)
    await settle()
    assert bridge.pbx.done == ["dial 2001"]
    answers = [one for one in bridge.wire.sent if one.request_id == "dup"]
    assert len(answers) == 2
    assert answers[0] == answers[1]


@pytest.mark.parametrize(
    "other",
    [
        Message(Kind.REQUEST, "channel.request.ready", CHANNEL, request_id="dup"),
        Message(Kind.QUERY, "channel.request.dial", CHANNEL, request_id="dup"),
        Message(Kind.REQUEST, "channel.request.dial", "P.CONTROL", request_id="dup"),
    ],
    ids=["name", "kind", "target"],
)
async def test_another_request_with_a_known_id_is_refused(bridge: Bridge, other: Message) -> None:
    await bridge.log_in()
    first = Message(Kind.REQUEST, "channel.request.dial", CHANNEL, {"destination": "2001"}, request_id="dup")
    for message in (first, other, first):
        bridge.tree.received(message)
        await settle()
    answers = [one for one in bridge.wire.sent if one.request_id == "dup"]
    assert [one.result for one in answers] == [Result.SUCCESS, Result.FAILURE, Result.SUCCESS]
    assert answers[1].error_message == "This requestId was used for another request."
    assert (answers[1].name, answers[1].target) == (other.name, other.target)
    assert bridge.pbx.done == ["dial 2001"]


async def test_broken_input_is_answered_where_it_can_be(bridge: Bridge) -> None:
    bridge.tree.malformed(
        Malformed("the body is no JSON object", request_id="r9", name="x", target="P.CONTROL")
    )
    bridge.tree.malformed(Malformed("broken JSON"))
    (answer,) = bridge.wire.sent
    assert (answer.request_id, answer.result) == ("r9", Result.FAILURE)


async def test_dispose_leaves_the_agent_alone(bridge: Bridge) -> None:
    await bridge.log_in()
    await bridge.must("channel.request.activate", CHANNEL)
    await bridge.must("session.request.dispose", SESSION)
    assert bridge.pbx.model.presence("1001").agent == "1001"
    assert (await bridge.ask("channel.query.init", CHANNEL)).result is Result.FAILURE
    bridge.take_events()
    await bridge.log_in()
    init = next(one for one in bridge.wire.sent if one.name == "channel.query.init")
    assert init.body["channel-state"] == "ACTIVE"


async def test_somebody_elses_phone_is_unavailable_until_they_leave(bridge: Bridge) -> None:
    bridge.pbx.tell(facts.MemberChanged("support", "1001", "1002", paused=False, reason=""))
    await bridge.log_in()
    init = next(one for one in bridge.wire.sent if one.name == "channel.query.init")
    assert (init.body["channel-state"], init.body["agent-state"]) == ("UNAVAILABLE", "NOT_READY")
    bridge.take_events()
    bridge.pbx.tell(facts.MemberGone("support", "1001"))
    assert bridge.take_events() == ["channel.available"]


async def test_close_logs_out_at_every_phone_and_takes_every_channel_out_of_the_group(bridge: Bridge) -> None:
    await bridge.log_in()
    await bridge.must("channel.request.activate", CHANNEL)
    bridge.pbx.tell(facts.MemberChanged("support", "1010", "1001", paused=False, reason=""))
    await bridge.must("channelgroup.request.createchannel", GROUP, id="c2", endpoint="1010", type="TELEPHONY")
    await bridge.must("channel.query.init", f"{GROUP}.c2")
    bridge.take_events()
    await bridge.must("session.request.close", SESSION)
    assert bridge.pbx.model.presence("1001").agent is None
    assert bridge.pbx.model.presence("1010").agent is None
    said = [(one.target, one.name) for one in bridge.wire.sent if one.kind is Kind.EVENT]
    assert said == [
        (CHANNEL, "channel.deactivated"),
        (f"{GROUP}.c2", "channel.notready"),
        (f"{GROUP}.c2", "channel.deactivated"),
        (CHANNEL, "channel.disposed"),
        (f"{GROUP}.c2", "channel.disposed"),
        (GROUP, "channelgroup.channel.removed"),
        (GROUP, "channelgroup.channel.removed"),
        (GROUP, "channelgroup.disposed"),
        (SESSION, "session.closed"),
    ]


async def test_close_takes_unsupported_channels_out_of_the_group_too(bridge: Bridge) -> None:
    await bridge.must("cti.request.serverstatus")
    await bridge.must("cti.request.createsession", **credentials())
    await bridge.must("session.query.init", SESSION, name="x", chat=True)
    await bridge.must("session.request.createchannelgroup", SESSION, name="group-1001", id="g1")
    await bridge.must("channelgroup.query.init", GROUP)
    bridge.take_events()
    await bridge.must("session.request.close", SESSION)
    assert bridge.take_events() == [
        "channelgroup.channel.removed 1001 TELEPHONY",
        "channelgroup.channel.removed 1001-chat UNSUPPORTED",
        "channelgroup.disposed",
        "session.closed",
    ]


async def test_a_phone_at_which_the_agent_works_already_is_in_the_groups_init(bridge: Bridge) -> None:
    bridge.pbx.tell(facts.MemberChanged("support", "1010", "1001", paused=True, reason=""))
    await bridge.log_in()
    init = next(one for one in bridge.wire.sent if one.name == "channelgroup.query.init")
    assert [one["end-point"] for one in init.body["channels"]] == ["1001", "1010"]
    bridge.take_events()
    bridge.pbx.tell(facts.MemberGone("support", "1010"))
    assert bridge.take_events() == ["channelgroup.channel.removed 1010 TELEPHONY"]


async def test_a_group_that_was_given_up_is_told_when_the_agent_works_again(bridge: Bridge) -> None:
    await bridge.log_in()
    bridge.take_events()
    login = facts.MemberChanged("support", "1001", "1001", paused=True, reason="")
    bridge.pbx.tell(login)
    assert "session.channelgroup.added group-1001" not in bridge.take_events()
    await bridge.must("channelgroup.request.dispose", GROUP)
    bridge.pbx.tell(facts.MemberChanged("support", "1001", "1001", paused=False, reason=""))
    assert bridge.take_events() == []
    bridge.pbx.tell(facts.MemberGone("support", "1001"), login)
    assert bridge.take_events() == ["session.channelgroup.added group-1001"]
    await bridge.must("session.request.createchannelgroup", SESSION, name="group-1001", id="g2")


async def test_realtime_says_whether_changes_of_the_team_are_told(bridge: Bridge) -> None:
    await bridge.log_in()
    await bridge.must("session.request.getteamstatus", SESSION, realtime=True)
    bridge.take_events()
    await bridge.must("channel.request.activate", CHANNEL)
    assert any(one.startswith("session.teamstatus.updated") for one in bridge.take_events())
    await bridge.must("session.request.getteamstatus", SESSION, realtime=False)
    await bridge.must("channel.request.ready", CHANNEL)
    assert not any(one.startswith("session.teamstatus.updated") for one in bridge.take_events())


def warnings_of(bridge: Bridge) -> list[str | None]:
    return [one.code for one in bridge.wire.sent if one.kind is Kind.WARNING]


async def test_ready_at_a_phone_that_is_not_registered_is_a_warning(bridge: Bridge) -> None:
    bridge.pbx.tell(facts.EndpointChanged("1001", facts.EndpointState.UNAVAILABLE))
    await bridge.log_in()
    await bridge.must("channel.request.activate", CHANNEL)
    assert warnings_of(bridge) == []
    await bridge.must("channel.request.ready", CHANNEL)
    assert warnings_of(bridge) == ["PHONE_UNREGISTERED"]
    bridge.tree.disconnected("connection reset")
    bridge.take_events()
    await bridge.log_in()
    assert bridge.wire.sent[-2].name == "channel.query.init"
    assert warnings_of(bridge) == ["PHONE_UNREGISTERED"]


async def test_a_phone_that_is_back_is_told_once_to_whom_its_loss_was_told(bridge: Bridge) -> None:
    await bridge.log_in()
    await bridge.must("channel.request.activate", CHANNEL)
    phone = [facts.EndpointChanged("1001", state) for state in facts.EndpointState]
    bridge.pbx.tell(*phone, *phone)
    assert warnings_of(bridge) == []
    await bridge.must("channel.request.ready", CHANNEL)
    bridge.pbx.tell(facts.EndpointChanged("1001", facts.EndpointState.UNAVAILABLE))
    await bridge.must("channel.request.notready", CHANNEL)
    assert warnings_of(bridge) == ["PHONE_UNREGISTERED"]
    bridge.pbx.tell(facts.EndpointChanged("1001", facts.EndpointState.UNKNOWN))
    assert warnings_of(bridge) == ["PHONE_UNREGISTERED"]
    bridge.pbx.tell(*phone[:3])
    assert warnings_of(bridge) == ["PHONE_UNREGISTERED", "PHONE_REGISTERED"]
    await bridge.must("channel.request.ready", CHANNEL)
    bridge.pbx.tell(phone[3])
    await bridge.must("channel.request.deactivate", CHANNEL)
    bridge.pbx.tell(phone[0])
    assert warnings_of(bridge)[2:] == ["PHONE_UNREGISTERED"]


async def test_a_connector_that_is_being_stopped_says_so_and_takes_no_session(bridge: Bridge) -> None:
    await bridge.must("cti.request.serverstatus")
    bridge.take_events()
    control = bridge.tree.root
    assert isinstance(control, Control)
    control.stop()
    bridge.pbx.set_available(available=False)
    assert bridge.take_events() == ["cti.serverstatuschanged stopping-service"]
    refused = await bridge.ask("cti.request.createsession", **credentials())
    assert refused.error_message == "No new sessions: the connector is being stopped."


async def test_no_session_is_made_after_everything_was_given_up(bridge: Bridge) -> None:
    """The password was still being checked."""
    await bridge.must("cti.request.serverstatus")
    asked = bridge.send("cti.request.createsession", **credentials())
    await bridge.must("cti.request.dispose")
    (answer,) = [one for one in bridge.wire.sent if one.request_id == asked]
    assert answer.error_message == "No sessions yet: the bridge has not asked for the service status."
    assert bridge.tree.find(SESSION) is None


async def test_a_session_from_before_the_service_was_lost_gives_way_to_a_new_one(bridge: Bridge) -> None:
    await bridge.log_in()
    twice = await bridge.ask("cti.request.createsession", **credentials())
    assert twice.error_message == f"The destination {SESSION} exists already."
    bridge.pbx.set_available(available=False)
    bridge.pbx.set_available(available=True)
    await bridge.must("channel.request.activate", CHANNEL)
    await bridge.must("cti.request.createsession", **credentials(destination="desk.S2"))
    assert bridge.tree.find(SESSION) is None
    assert bridge.pbx.model.presence("1001").agent == "1001"


async def test_what_happens_before_a_request_begins_is_told_before_its_response(bridge: Bridge) -> None:
    await bridge.log_in()
    await bridge.must("channel.request.activate", CHANNEL)
    await bridge.take_call()
    bridge.take_events()
    bridge.send("session.request.close", SESSION)
    bridge.pbx.tell(facts.LegEnded(CUSTOMER, 16), facts.LegEnded(AGENT, 16))
    await settle()
    names = [one.name for one in bridge.wire.sent]
    assert names.index("interaction.ended") < names.index("session.request.close")
    assert names[-1] == "session.closed"
