"""Who may do what at a phone, and how many destinations stand for one thing."""

import asyncio

import pytest
from telephony_script import AGENT, CUSTOMER, agent_answers, agent_rings, customer_waits
from tree_door import CHANNEL, CONVERSATION, GROUP, INTERACTION, SESSION, Bridge, credentials, settle

from connector.bridge.codec import MAX_HEADER
from connector.telephony import facts


@pytest.fixture
async def bridge() -> Bridge:
    return Bridge()


async def without_group(bridge: Bridge) -> None:
    """Open a session in which no group is created, for an agent who works at two phones."""
    for phone in ("1001", "1010"):
        bridge.pbx.tell(facts.MemberChanged("support", phone, "1001", paused=False, reason=""))
    await bridge.must("cti.request.serverstatus")
    await bridge.must("cti.request.createsession", **credentials())
    await bridge.must("session.query.init", SESSION, name="x")


async def test_close_without_group_logs_out_everywhere(bridge: Bridge) -> None:
    await without_group(bridge)
    bridge.take_events()
    await bridge.must("session.request.close", SESSION)
    assert bridge.pbx.model.board.endpoints() == frozenset()
    assert bridge.take_events() == ["session.closed"]


async def test_close_with_a_group_that_was_not_initialised_logs_out_everywhere(bridge: Bridge) -> None:
    await without_group(bridge)
    await bridge.must("session.request.createchannelgroup", SESSION, name="group-1001", id="g1")
    await bridge.must("session.request.close", SESSION)
    assert bridge.pbx.model.board.endpoints() == frozenset()


async def test_close_without_group_is_refused_while_a_call_is_up(bridge: Bridge) -> None:
    await without_group(bridge)
    bridge.pbx.tell(*customer_waits(), *agent_rings(), *agent_answers())
    refused = await bridge.ask("session.request.close", SESSION)
    assert refused.error_message == "The session cannot be closed: the agent is on a call."
    assert bridge.pbx.model.presence("1001").ready
    bridge.pbx.tell(facts.LegEnded(CUSTOMER, 16), facts.LegEnded(AGENT, 16))
    await bridge.must("session.request.close", SESSION)
    assert bridge.pbx.model.board.endpoints() == frozenset()
    assert bridge.pbx.model.interactions("1001") == []


async def test_close_waits_for_a_call_that_is_being_placed_and_is_refused_then(bridge: Bridge) -> None:
    await bridge.log_in()
    bridge.pbx.gate = asyncio.Event()
    bridge.send("channel.request.dial", CHANNEL, destination="2001")
    bridge.send("session.request.close", SESSION)
    await settle()
    assert bridge.pbx.done[-1] == "dial 2001"
    bridge.pbx.gate.set()
    await settle()
    last = [(one.name, one.error_message) for one in bridge.wire.sent[-3:]]
    assert last == [
        ("channel.request.dial", None),
        ("session.request.close", "The session cannot be closed: the agent is on a call."),
        ("channel.interaction.added", None),
    ]


async def test_nothing_begins_below_a_session_that_closes(bridge: Bridge) -> None:
    await bridge.log_in()
    await bridge.must("channel.request.activate", CHANNEL)
    bridge.pbx.gate = asyncio.Event()
    bridge.send("session.request.close", SESSION)
    await settle()
    bridge.send("channel.request.dial", CHANNEL, destination="2001")
    await settle()
    assert bridge.pbx.done[-1] == "log_out"
    bridge.pbx.gate.set()
    await settle()
    refused = bridge.wire.sent[-1]
    assert refused.name == "channel.request.dial"
    assert refused.error_message == "The telephony channel is closed: it can only be disposed."
    assert bridge.pbx.done[-1] == "log_out"


BUSY_DESK = "The channel is unavailable: another agent works at this phone."
COLLEAGUE = facts.MemberChanged("support", "1001", "1002", paused=False, reason="")


async def test_foreign_desk_shows_and_touches_none_of_the_colleagues_calls(bridge: Bridge) -> None:
    bridge.pbx.watch("1001")
    bridge.pbx.tell(COLLEAGUE, *customer_waits(), *agent_rings())
    await bridge.log_in()
    init = next(one for one in bridge.wire.sent if one.name == "channel.query.init")
    assert (init.body["channel-state"], init.body["interactions"]) == ("UNAVAILABLE", ())
    for name, body in (
        ("createinteraction", {"id": "i1", "nativeid": AGENT}),
        ("dial", {"destination": "2"}),
    ):
        refused = await bridge.ask(f"channel.request.{name}", CHANNEL, **body)
        assert refused.error_message == BUSY_DESK
    assert bridge.pbx.done == []
    bridge.pbx.tell(*agent_answers())
    await bridge.must("session.request.close", SESSION)
    assert not bridge.pbx.model.interactions("1001")[0].over
    assert bridge.pbx.model.presence("1001").agent == "1002"


async def test_foreign_desk_hears_of_no_new_call_and_wraps_none_up(bridge: Bridge) -> None:
    bridge.pbx.tell(COLLEAGUE)
    await bridge.log_in()
    bridge.take_events()
    bridge.pbx.tell(*customer_waits(), *agent_rings())
    assert bridge.take_events() == []
    bridge.pbx.tell(facts.LegEnded(CUSTOMER, 16), facts.LegEnded(AGENT, 16))
    assert bridge.pbx.model.interactions("1001") == [], "no session of the colleague's wraps it up"


async def test_foreign_desk_leaves_the_wrap_up_to_the_colleague(bridge: Bridge) -> None:
    await bridge.log_in()
    await bridge.take_call()
    bridge.pbx.tell(facts.LegEnded(CUSTOMER, 16), facts.LegEnded(AGENT, 16), COLLEAGUE)
    await bridge.must("interaction.request.dispose", INTERACTION)
    await bridge.must("session.request.close", SESSION)
    assert [one.id for one in bridge.pbx.model.interactions("1001")] == [AGENT]


@pytest.mark.parametrize(
    ("parent", "name", "body", "there"),
    [
        (SESSION, "session.request.createchannelgroup", {"name": "group-1001"}, GROUP),
        (GROUP, "channelgroup.request.createchannel", {"endpoint": "1001", "type": "TELEPHONY"}, CHANNEL),
        (CHANNEL, "channel.request.createinteraction", {"nativeid": AGENT}, INTERACTION),
        (INTERACTION, "interaction.request.createconversation", {"nativeid": f"{AGENT}-1"}, CONVERSATION),
    ],
)
async def test_two_groups_or_twins_below_one_parent_are_refused(
    bridge: Bridge, parent: str, name: str, body: dict[str, str], there: str
) -> None:
    await bridge.log_in()
    await bridge.take_call()
    refused = await bridge.ask(name, parent, id="other", **body)
    cti_id = next(body[key] for key in ("name", "endpoint", "nativeid") if key in body)
    assert refused.error_message == f"There is a destination for {cti_id} here already: {there}."
    await bridge.must(f"{there_kind(there)}.request.dispose", there)
    await bridge.must(name, parent, id="other", **body)


def there_kind(target: str) -> str:
    """Return the kind of a destination, as its messages begin."""
    return {GROUP: "channelgroup", CHANNEL: "channel", INTERACTION: "interaction"}.get(target, "conversation")


async def test_two_sessions_of_one_agent_may_stand_side_by_side(bridge: Bridge) -> None:
    await bridge.log_in()
    await bridge.must("cti.request.createsession", **credentials(destination="desk.S2", sessionId="S2"))
    await bridge.must("session.query.init", "desk.S2", name="standby")
    await bridge.must("session.request.createchannelgroup", "desk.S2", name="group-1001", id="g1")


TOO_LONG = f"The target of a destination needs 1 to {MAX_HEADER} characters."


@pytest.mark.parametrize("destination", ["", "x" * (MAX_HEADER + 1)])
async def test_a_session_whose_target_no_message_can_carry_is_refused(
    bridge: Bridge, destination: str
) -> None:
    await bridge.must("cti.request.serverstatus")
    refused = await bridge.ask("cti.request.createsession", **credentials(destination=destination))
    assert refused.error_message == TOO_LONG
    await bridge.must("cti.request.createsession", **credentials(destination="x" * MAX_HEADER))


async def test_an_id_that_makes_the_target_too_long_is_refused(bridge: Bridge) -> None:
    await bridge.log_in()
    await bridge.take_call()
    await bridge.must("conversation.request.dispose", CONVERSATION)
    again = {"nativeid": f"{AGENT}-1"}
    name, room = "interaction.request.createconversation", MAX_HEADER - len(INTERACTION) - 1
    refused = await bridge.ask(name, INTERACTION, id="i" * (room + 1), **again)
    assert refused.error_message == TOO_LONG
    await bridge.must(name, INTERACTION, id="i" * room, **again)
