"""The connector's own destinations under the eyes of the reference bridge, on a PBX that the test plays."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from fake_pbx import FakePbx
from one_agent import OneAgent
from telephony_script import AGENT, CUSTOMER, agent_answers, agent_rings, customer_waits

from connector.bridge.memory import memory_pair
from connector.bridge.messages import channel, conversation, interaction
from connector.destinations.control import Control
from connector.destinations.tree import Tree
from connector.processor.problems import BridgeRequestFailed
from connector.processor.server import ReferenceBridge
from connector.telephony import facts

State = conversation.ConversationState
InteractionState = interaction.InteractionState


@asynccontextmanager
async def floor() -> AsyncIterator[tuple[ReferenceBridge, FakePbx]]:
    """Yield a bridge in service with a connector on a played PBX; the rules are checked at the end."""
    async with ReferenceBridge("P", timeout=5.0) as bridge:
        ours, theirs = memory_pair()
        pbx = FakePbx()
        tree = Tree("P", pbx, OneAgent(), ours)
        Control(tree)
        task = asyncio.create_task(ours.run(tree))
        bridge.attach(theirs)
        try:
            await bridge.wait_in_service()
            yield bridge, pbx
            await bridge.settle()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def test_a_queue_call_from_login_to_logout_keeps_the_rules() -> None:
    async with floor() as (bridge, pbx):
        agent = await bridge.login("1001", "right", extension="1001")
        await agent.channel.activate()
        await agent.channel.ready()
        pbx.tell(*customer_waits(), *agent_rings())
        call = await agent.channel.next_interaction()
        assert (call.state, call.primary.state) == ("ALERTING", "ALERTING")
        assert [each.address for each in call.primary.members] == ["2001"]
        pbx.tell(*agent_answers())
        await call.primary.wait_state(State.TALKING)
        await call.wait_state(InteractionState.STARTED)
        with pytest.raises(BridgeRequestFailed, match="on a call"):
            await agent.close()
        pbx.tell(facts.LegEnded(CUSTOMER, 16), facts.LegEnded(AGENT, 16))
        await call.wait_state(InteractionState.ENDED)
        assert call.primary.cause == "NORMAL"
        await call.complete()
        await call.dispose()
        await agent.close()
        await agent.dispose()


async def test_a_call_that_is_gone_before_the_bridge_asks_keeps_the_rules() -> None:
    async with floor() as (bridge, pbx):
        agent = await bridge.login("1001", "right", extension="1001")
        await agent.channel.activate()
        pbx.tell(*customer_waits(), *agent_rings())
        pbx.tell(facts.LegEnded(CUSTOMER, 16), facts.LegEnded(AGENT, 16))
        call = await agent.channel.next_interaction()
        assert call.state == "ENDED"
        await call.complete()


async def test_a_dialled_call_and_a_recovered_one_keep_the_rules() -> None:
    async with floor() as (bridge, _):
        agent = await bridge.login("1001", "right", extension="1001")
        await agent.channel.activate()
        call = await agent.channel.dial("2001")
        assert (call.state, call.primary.state) == ("DIALING", "DIALING")
        await agent.dispose()
        again = await bridge.login("1001", "right", extension="1001")
        assert again.channel.state is channel.ChannelState.ACTIVE
        found = await again.channel.next_interaction()
        assert (found.nativeid, found.state) == (call.nativeid, "DIALING")
        await found.primary.release()
        await found.wait_state(InteractionState.ENDED)
        await found.complete()


async def test_asking_for_a_state_that_is_there_keeps_the_rules() -> None:
    async with floor() as (bridge, _):
        agent = await bridge.login("1001", "right", extension="1001")
        await agent.channel.activate()
        for _ in range(2):
            await agent.channel.ready()
        for _ in range(2):
            await agent.channel.not_ready("LUNCH")
        assert agent.channel.reason == "LUNCH"
        await agent.channel.deactivate()
        with pytest.raises(BridgeRequestFailed, match="not active"):
            await agent.channel.ready()


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("cti.request.fly", {}),
        ("channel.request.dial", {"destination": "1"}),
        ("cti.request.createsession", {"agentId": 7}),
        ("cti.request.createsession", {}),
        ("cti.serverstatuschanged", {"status": "in-service"}),
    ],
)
async def test_what_makes_no_sense_is_refused(name: str, data: dict[str, object]) -> None:
    async with floor() as (bridge, _):
        reply = await bridge.request("", name, data)
        assert not reply.ok
        assert reply.error_message
