"""Calls through the door of the destinations: what is told of them, when, and in which order."""

import asyncio

import pytest
from telephony_script import (
    AGENT,
    CUSTOMER,
    agent_answers,
    agent_rings,
    customer_waits,
    pbx_lets_agent_consult,
)
from tree_door import CHANNEL, CONVERSATION, INTERACTION, SESSION, Bridge, settle

from connector.telephony import facts
from connector.telephony.pbx import PbxDown
from connector.telephony.states import ConversationState


@pytest.fixture
async def bridge() -> Bridge:
    return Bridge()


async def test_an_inbound_call_from_offer_to_completion(bridge: Bridge) -> None:
    await bridge.log_in()
    await bridge.must("channel.request.activate", CHANNEL)
    bridge.take_events()
    await bridge.take_call()
    init = next(one for one in bridge.wire.sent if one.name == "interaction.query.init")
    assert init.body["interaction-state"] == "ALERTING"
    assert init.body["conversations"] == {"primary": {"id": f"{AGENT}-1"}}
    assert init.body["interaction-data"]["ANI"] == "2001"
    assert bridge.take_events() == [f"channel.interaction.added {AGENT} TELEPHONY"]
    bridge.pbx.tell(*agent_answers())
    assert bridge.take_events() == ["conversation.statechanged TALKING", "interaction.started"]
    bridge.pbx.tell(facts.LegEnded(CUSTOMER, 16), facts.LegEnded(AGENT, 16))
    assert bridge.take_events() == [
        "conversation.statechanged RELEASED NORMAL",
        "conversation.disposed",
        "interaction.ended NORMAL",
    ]
    await bridge.must("interaction.request.complete", INTERACTION)
    assert bridge.take_events() == ["interaction.completed"]
    again = await bridge.ask("interaction.request.complete", INTERACTION)
    assert again.error_message == "Only an ended interaction can be completed: this one is COMPLETED."


async def test_no_event_before_init_is_answered(bridge: Bridge) -> None:
    await bridge.log_in()
    bridge.take_events()
    bridge.pbx.tell(*customer_waits(), *agent_rings())
    await bridge.must("channel.request.createinteraction", CHANNEL, id="i1", nativeid=AGENT)
    bridge.pbx.tell(*agent_answers())
    bridge.pbx.tell(facts.LegEnded(CUSTOMER, 16), facts.LegEnded(AGENT, 16))
    assert bridge.take_events() == [f"channel.interaction.added {AGENT} TELEPHONY"]
    init = await bridge.must("interaction.query.init", INTERACTION)
    assert (init.body["interaction-state"], init.body["conversations"]) == ("ENDED", {})


async def test_the_release_of_a_conversation_that_ended_before_its_init_follows_it(bridge: Bridge) -> None:
    await bridge.log_in()
    bridge.pbx.tell(*customer_waits(), *agent_rings())
    await bridge.must("channel.request.createinteraction", CHANNEL, id="i1", nativeid=AGENT)
    await bridge.must("interaction.query.init", INTERACTION)
    bridge.pbx.tell(facts.LegEnded(CUSTOMER, 16), facts.LegEnded(AGENT, 16))
    await bridge.must("interaction.request.createconversation", INTERACTION, id="v1", nativeid=f"{AGENT}-1")
    bridge.take_events()
    init = await bridge.must("conversation.query.init", CONVERSATION)
    assert init.body["conversation-state"] == "ALERTING"
    assert bridge.take_events() == ["conversation.statechanged RELEASED ABANDONED", "conversation.disposed"]


async def test_a_consult_that_was_over_before_the_bridge_asked_for_it_can_be_created(bridge: Bridge) -> None:
    """The connector was stopped for a while: it was told of two, one after the other, in one go."""
    await bridge.log_in()
    await bridge.take_call()
    bridge.pbx.tell(*agent_answers(), facts.PhoneHeld(AGENT))
    bridge.take_events()
    for second in ("s-1", "s-2"):
        bridge.pbx.tell(facts.LegCreated(second, "1001", second, placed=True, number="1001", dialled="1002"))
        bridge.pbx.tell(facts.LegEnded("s-1", 16))
    (call,) = bridge.pbx.model.interactions("1001")
    assert call.conversation(f"{AGENT}-2") is None
    named = [one for one in bridge.take_events() if one.startswith("interaction.consult ")]
    assert named == [f"interaction.consult {AGENT}-2", f"interaction.consult {AGENT}-3"]
    await bridge.must("interaction.request.createconversation", INTERACTION, id="v2", nativeid=f"{AGENT}-2")
    init = await bridge.must("conversation.query.init", f"{INTERACTION}.v2")
    assert init.body["conversation-state"] == "RELEASED"
    assert bridge.take_events() == ["conversation.disposed"]
    refused = await bridge.ask(
        "interaction.request.createconversation", INTERACTION, id="v4", nativeid="other"
    )
    assert refused.error_message == "The interaction has no conversation other."


async def test_the_end_of_a_call_that_is_kept_back_follows_that_of_a_conversation_opened_meanwhile(
    bridge: Bridge,
) -> None:
    """The request of the channel keeps back; that of the conversation is answered at once."""
    await bridge.log_in()
    bridge.pbx.tell(*customer_waits(), *agent_rings())
    await bridge.must("channel.request.createinteraction", CHANNEL, id="i1", nativeid=AGENT)
    await bridge.must("interaction.query.init", INTERACTION)
    bridge.pbx.gate = asyncio.Event()
    bridge.send("channel.request.dial", CHANNEL, destination="2002")
    await settle()
    bridge.pbx.tell(*agent_answers(), facts.LegEnded(CUSTOMER, 16), facts.LegEnded(AGENT, 16))
    await bridge.must("interaction.request.createconversation", INTERACTION, id="v1", nativeid=f"{AGENT}-1")
    init = await bridge.must("conversation.query.init", CONVERSATION)
    assert init.body["conversation-state"] == "TALKING"
    bridge.take_events()
    bridge.pbx.gate.set()
    await settle()
    assert bridge.take_events()[:4] == [
        "interaction.started",
        "conversation.statechanged RELEASED NORMAL",
        "conversation.disposed",
        "interaction.ended NORMAL",
    ]


async def test_a_conversation_that_was_over_when_it_was_found_is_disposed_of_at_once(bridge: Bridge) -> None:
    await bridge.log_in()
    bridge.pbx.tell(
        *customer_waits(),
        facts.LegCreated(
            AGENT,
            "1001",
            CUSTOMER,
            placed=True,
            answered=True,
            consult_of="gone",
            dialled="2001",
            listed=True,
        ),
        facts.CallFound(AGENT),
    )
    (found,) = bridge.pbx.model.interactions("1001")
    assert (found.primary.state, found.primary.before) == (ConversationState.RELEASED, None)
    await bridge.must("channel.request.createinteraction", CHANNEL, id="i1", nativeid="gone")
    await bridge.must("interaction.query.init", INTERACTION)
    await bridge.must("interaction.request.createconversation", INTERACTION, id="v1", nativeid="gone-1")
    bridge.take_events()
    init = await bridge.must("conversation.query.init", CONVERSATION)
    assert init.body["conversation-state"] == "RELEASED"
    assert bridge.take_events() == ["conversation.disposed"]


async def test_dial_answers_first_then_announces(bridge: Bridge) -> None:
    await bridge.log_in()
    bridge.take_events()
    bridge.pbx.gate = asyncio.Event()
    bridge.send("channel.request.dial", CHANNEL, destination="2001")
    await settle()
    assert bridge.wire.sent == []
    bridge.pbx.gate.set()
    await settle()
    assert [one.name for one in bridge.wire.sent] == ["channel.request.dial", "channel.interaction.added"]


async def test_close_is_refused_while_a_call_is_up_and_has_its_order(bridge: Bridge) -> None:
    await bridge.log_in()
    await bridge.must("channel.request.activate", CHANNEL)
    await bridge.must("channel.request.ready", CHANNEL)
    await bridge.take_call()
    refused = await bridge.ask("session.request.close", SESSION)
    assert refused.error_message == "The session cannot be closed: the agent is on a call."
    bridge.pbx.tell(facts.LegEnded(CUSTOMER, 16), facts.LegEnded(AGENT, 16))
    bridge.take_events()
    await bridge.must("session.request.close", SESSION)
    assert [one.name for one in bridge.wire.sent] == [
        "session.request.close",
        "interaction.completed",
        "channel.notready",
        "channel.deactivated",
        "channel.disposed",
        "channelgroup.channel.removed",
        "channelgroup.disposed",
        "session.closed",
    ]
    assert bridge.pbx.model.presence("1001").agent is None


async def test_a_lost_bridge_begins_anew_and_finds_the_call(bridge: Bridge) -> None:
    await bridge.log_in()
    await bridge.must("channel.request.activate", CHANNEL)
    await bridge.take_call()
    bridge.tree.disconnected("connection reset")
    bridge.take_events()
    bridge.pbx.tell(*agent_answers())
    assert bridge.take_events() == []
    await bridge.log_in()
    init = next(one for one in bridge.wire.sent if one.name == "channel.query.init")
    assert init.body["interactions"] == ({"id": AGENT, "type": "TELEPHONY"},)


async def test_a_call_of_a_phone_without_session_completes_by_itself(bridge: Bridge) -> None:
    bridge.pbx.watch("1001")
    bridge.pbx.tell(*customer_waits(), *agent_rings())
    assert len(bridge.pbx.model.interactions("1001")) == 1
    bridge.pbx.tell(facts.LegEnded(CUSTOMER, 16), facts.LegEnded(AGENT, 16))
    assert bridge.pbx.model.interactions("1001") == []


async def test_a_second_init_is_not_ahead_of_what_waits_for_the_answer_to_another_request(
    bridge: Bridge,
) -> None:
    await bridge.log_in()
    await bridge.take_call()
    bridge.pbx.gate = asyncio.Event()
    bridge.send("channel.request.dial", CHANNEL, destination="2002")
    await settle()
    bridge.pbx.tell(*agent_answers())
    refused = await bridge.ask("conversation.query.init", CONVERSATION)
    assert refused.error_message is not None
    assert "please ask again" in refused.error_message
    bridge.pbx.gate.set()
    await settle()
    assert "conversation.statechanged TALKING" in bridge.take_events()
    answer = await bridge.must("conversation.query.init", CONVERSATION)
    assert answer.body["conversation-state"] == "TALKING"


async def test_nothing_waits_for_tones(bridge: Bridge) -> None:
    await bridge.log_in()
    await bridge.take_call()
    bridge.pbx.tell(*agent_answers())
    bridge.take_events()
    bridge.pbx.gate = asyncio.Event()
    # What was asked before comes before.
    bridge.send("conversation.request.answer", CONVERSATION)
    first = bridge.send("conversation.request.senddtmf", CONVERSATION, tones="12")
    await settle()
    assert [one.split()[0] for one in bridge.pbx.done[-1:]] == ["answer"]
    bridge.pbx.gate.set()
    bridge.pbx.gate = asyncio.Event()
    await settle()
    second = bridge.send("conversation.request.senddtmf", CONVERSATION, tones="3")
    bridge.send("conversation.request.release", CONVERSATION)
    await settle()
    assert [one.split()[0] for one in bridge.pbx.done[-2:]] == ["send_dtmf", "release"]
    bridge.pbx.gate.set()
    await settle()
    assert [one.request_id for one in bridge.wire.sent if one.request_id in {first, second}] == [
        first,
        second,
    ]


async def test_a_consult_that_began_in_a_request_that_failed_is_told(bridge: Bridge) -> None:
    """The link to the PBX breaks after the number was dialled, before all is as it was asked for."""
    await bridge.log_in()
    await bridge.take_call()
    bridge.pbx.tell(*agent_answers())
    bridge.take_events()
    bridge.pbx.gate = asyncio.Event()
    bridge.send("interaction.request.consult", INTERACTION, destination="1002")
    await settle()
    bridge.pbx.tell(*pbx_lets_agent_consult())
    bridge.pbx.refuse = PbxDown("The telephone system cannot be reached at the moment.")
    bridge.pbx.gate.set()
    await settle()
    names = [one.name for one in bridge.wire.sent]
    assert names.index("interaction.request.consult") < names.index("interaction.consult")
    assert f"interaction.consult {AGENT}-2" in bridge.take_events()
