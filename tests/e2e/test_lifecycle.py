"""Destinations that come and go without a call, and interaction data that grows during one."""

import asyncio

import pytest
from desk import WAIT, Desk

from connector.bridge.messages import channel, channelgroup, control
from connector.processor.problems import BridgeRequestFailed

CONTROL = ""
"""What the reference bridge takes for the control destination."""


async def test_who_an_agent_is_and_whether_the_password_is_right(at_desk: Desk) -> None:
    account = at_desk.info.agents["1001"]
    asked = control.AgentInfo(
        agent_id="1002", requesting_agent_login="1001", requesting_agent_password=account.password
    )
    reply = await at_desk.bridge.request(CONTROL, asked)
    assert isinstance(reply.body, control.AgentInfoReply)
    assert reply.body.cti_specific["extension"] == at_desk.info.agents["1002"].extension
    for password, right in ((account.password, True), ("wrong", False)):
        check = control.ValidateAgentCredentials(agent_id="1001", agent_password=password)
        reply = await at_desk.bridge.request(CONTROL, check)
        assert (reply.ok, reply.error_message) == (right, None if right else "Agent id or password is wrong.")


async def test_dispose_leaves_the_agent_at_work_and_a_new_session_finds_it(at_desk: Desk) -> None:
    session = await at_desk.login("1001")
    group = session.channel.target.rpartition(".")[0]
    await session.channel.dispose()
    assert (await at_desk.bridge.request(group, channelgroup.Dispose())).ok
    await session.dispose()
    account = at_desk.info.agents["1001"]
    again = await at_desk.bridge.login("1001", account.password, extension=account.extension)
    assert (again.channel.state, again.channel.agent_state) == ("ACTIVE", "READY")
    await again.channel.deactivate()
    assert again.channel.state is channel.ChannelState.INACTIVE
    with pytest.raises(BridgeRequestFailed, match="not active"):
        await again.channel.ready()
    await again.close()
    await again.dispose()


async def test_after_the_control_destination_was_disposed_the_bridge_begins_anew(at_desk: Desk) -> None:
    await (await at_desk.login("1001")).close()
    assert (await at_desk.bridge.request(CONTROL, control.Dispose())).ok
    assert (await at_desk.bridge.request(CONTROL, control.ServerStatus())).ok
    await at_desk.bridge.wait_in_service(WAIT)
    await (await at_desk.login("1001")).close()


async def test_a_desk_that_somebody_else_took_is_unavailable_until_it_is_free(at_desk: Desk) -> None:
    first = at_desk.info.agents["1001"]
    waiting = await at_desk.bridge.login("1001", first.password, extension=first.extension)
    other = at_desk.info.agents["1002"]
    guest = await at_desk.bridge.login("1002", other.password, extension=first.extension)
    await guest.channel.activate()
    await waiting.channel.wait_state(channel.ChannelState.UNAVAILABLE)
    with pytest.raises(BridgeRequestFailed, match="Agent 1002 is logged in at phone 1001"):
        await waiting.channel.activate()
    await guest.channel.deactivate()
    await waiting.channel.wait_state(channel.ChannelState.INACTIVE)
    await guest.close()
    await waiting.channel.activate()
    await waiting.close()


async def test_what_the_dialplan_learns_during_the_call_reaches_the_bridge(at_desk: Desk) -> None:
    await at_desk.agent_phone()
    customer = await at_desk.phones.phone("2001")
    session = await at_desk.login("1001")
    call = await customer.dial("7000")
    interaction = await session.channel.next_interaction()
    await asyncio.to_thread(
        at_desk.lab.asterisk_cli, f"dialplan set chanvar {_customer(at_desk)} HARMONY_ORDER 4711"
    )
    data = await interaction.wait_data(lambda found: found.get("ORDER") == "4711")
    assert data == await interaction.get_data()
    await call.hangup()
    await interaction.wait_state("ENDED")
    await interaction.complete()
    await session.close()


def _customer(at_desk: Desk) -> str:
    lines = at_desk.lab.asterisk_cli("core show channels concise").splitlines()
    return next(line.split("!")[0] for line in lines if line.startswith("PJSIP/2001-"))
