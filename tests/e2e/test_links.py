"""Lost and found: the bridge goes away, the PBX goes away, calls stay."""

import asyncio
from pathlib import Path

from desk import WAIT, Desk, desk

from connector.bridge.catalogue.conversation import ConversationState
from connector.bridge.catalogue.interaction import InteractionState
from connector.bridge.messages import Kind
from connector.lab.phones.hearing import expect_hears
from connector.lab.provider import LabInfo, LabProvider


async def test_a_call_outlives_the_bridge_and_is_found_again(at_desk: Desk) -> None:
    agent, customer = await at_desk.agent_phone(), await at_desk.phones.phone("2001")
    agent.answer_mode = "auto"
    session = await at_desk.login("1001")
    call = await customer.dial("7000")
    interaction = await session.channel.next_interaction()
    await interaction.primary.wait_state(ConversationState.TALKING)
    nativeid = interaction.nativeid

    await at_desk.bridge.drop_connections()
    await at_desk.bridge.wait_in_service(20)
    await expect_hears({agent: {"2001"}, customer: {"1001"}})
    account = at_desk.info.agents["1001"]
    session = await at_desk.bridge.login("1001", account.password, extension="1001")
    found = await session.channel.next_interaction()
    assert (found.nativeid, found.state) == (nativeid, InteractionState.STARTED)
    assert found.primary.state is ConversationState.TALKING
    assert found.data["ANI"] == "2001"
    assert session.channel.state == "ACTIVE"
    await call.hangup()
    await found.wait_state(InteractionState.ENDED)
    await found.complete()
    await session.close()


def codes(at_desk: Desk, kind: Kind) -> list[str | None]:
    return [one.message.code for one in at_desk.bridge.log if one.message.kind is kind]


async def test_the_bridge_hears_when_the_pbx_goes_and_comes_back(at_desk: Desk) -> None:
    password = at_desk.info.agents["1001"].password
    session = await at_desk.bridge.login("1001", password, extension="1001")
    await asyncio.to_thread(at_desk.lab.asterisk_stop)
    await at_desk.bridge.wait_status("out-of-service", timeout=20)
    await at_desk.bridge.link.until(
        lambda: "PBX_LOST" in codes(at_desk, Kind.ERROR) or None, WAIT, lambda: "the error for the agent"
    )
    reply = await at_desk.bridge.request(
        "LAB.CONTROL",
        "cti.request.createsession",
        {"agentId": "1001", "agentPassword": "x", "sessionId": "s", "destination": "LAB.S"},
    )
    assert reply.error_message == "No new sessions at the moment: the telephone system cannot be reached."
    await asyncio.to_thread(at_desk.lab.asterisk_start)
    await at_desk.bridge.wait_in_service(40)
    # The bridge has ended its session with the service: it begins a new one, and that is the only one then.
    anew = await at_desk.login("1001", ready=False)
    reply = await at_desk.bridge.request(session.channel.target, "channel.query.init", {})
    assert reply.error_message == f"There is no destination {session.channel.target}."
    await anew.close()


async def test_a_connector_that_is_stopped_tells_the_bridge(
    provider: LabProvider, lab: LabInfo, tmp_path: Path
) -> None:
    async with desk(provider, lab, tmp_path) as at_desk:
        bridge = at_desk.bridge
    said = [one.message.body["status"] for one in bridge.log if one.message.name == "cti.serverstatuschanged"]
    assert said[-2:] == ["in-service", "stopping-service"]
