"""Who may do what at a phone, and how many destinations stand for one thing."""

import asyncio

from desk import WAIT, Desk

from connector.bridge.messages import channel, channelgroup, control, conversation
from connector.bridge.messages import interaction as interaction_wire
from connector.bridge.messages import session as session_wire
from connector.bridge.targets import parent

NEW = "LAB.SESSION.new"


async def members(at: Desk) -> str:
    """Return what the real queue says of itself."""
    return await asyncio.to_thread(at.lab.asterisk_cli, "queue show support")


async def open_session(at: Desk, agent: str = "1001") -> None:
    """Open a session at NEW with nothing below it."""
    wanted = control.CreateSession(
        agent_id=agent, agent_password=at.info.agents[agent].password, session_id="new", destination=NEW
    )
    assert (await at.bridge.request("", wanted)).ok
    assert (await at.bridge.request(NEW, session_wire.SessionInit(name="x"))).ok


async def test_close_without_group_takes_the_agent_out_of_the_queues(at_desk: Desk) -> None:
    session = await at_desk.login("1001")
    await session.dispose()
    assert "1001" in await members(at_desk)
    await open_session(at_desk)
    reply = await at_desk.bridge.request(NEW, session_wire.Close())
    assert reply.ok, reply.error_message
    assert "1001" not in await members(at_desk)
    assert (await at_desk.bridge.request(NEW, session_wire.Dispose())).ok


async def test_foreign_desk_neither_sees_nor_touches_the_colleagues_call(at_desk: Desk) -> None:
    phone = await at_desk.agent_phone("1001")
    customer = await at_desk.phones.phone("2001")
    host = await at_desk.login("1001")
    account = at_desk.info.agents["1002"]
    guest = await at_desk.bridge.login("1002", account.password, extension="1001")
    call = await customer.dial("7000")
    interaction = await host.channel.next_interaction()
    assert guest.channel.state is channel.ChannelState.UNAVAILABLE
    assert interaction.nativeid not in guest.channel.node.named
    for wanted in (
        channel.CreateInteraction(id="peek", nativeid=interaction.nativeid),
        channel.Dial(destination="2001"),
        channel.Activate(),
    ):
        assert not (await at_desk.bridge.request(guest.channel.target, wanted)).ok
    await (await phone.next_call(WAIT)).answer()
    await interaction.primary.wait_state(conversation.ConversationState.TALKING, timeout=WAIT)
    await guest.close()
    assert interaction.state == "STARTED"
    await call.hangup()
    await interaction.wait_state("ENDED")
    await interaction.complete()
    await host.close()


async def test_two_groups_and_other_twins_are_refused_two_sessions_are_not(at_desk: Desk) -> None:
    phone = await at_desk.agent_phone("1001")
    customer = await at_desk.phones.phone("2001")
    host = await at_desk.login("1001")
    here = host.channel.target
    call = await customer.dial("7000")
    interaction = await host.channel.next_interaction()
    await (await phone.next_call(WAIT)).answer()
    await interaction.wait_state("STARTED")
    telephony = session_wire.ChannelType.TELEPHONY
    for target, wanted in (
        (parent(parent(here)), session_wire.CreateChannelGroup(name="group-1001", id="twin")),
        (parent(here), channelgroup.CreateChannel(id="twin", endpoint="1001", type=telephony)),
        (here, channel.CreateInteraction(id="twin", nativeid=interaction.nativeid)),
        (
            interaction.target,
            interaction_wire.CreateConversation(id="twin", nativeid=interaction.primary.nativeid),
        ),
    ):
        reply = await at_desk.bridge.request(target, wanted)
        assert "here already" in (reply.error_message or "")
    await open_session(at_desk)
    assert (await at_desk.bridge.request(NEW, session_wire.Dispose())).ok
    await call.hangup()
    await interaction.wait_state("ENDED")
    await interaction.complete()
    await host.close()


async def test_a_destination_that_no_message_can_carry_is_refused(at_desk: Desk) -> None:
    password = at_desk.info.agents["1001"].password
    wanted = control.CreateSession(
        agent_id="1001", agent_password=password, session_id="new", destination="a" * 600
    )
    reply = await at_desk.bridge.request("", wanted)
    assert reply.error_message == "The target of a destination needs 1 to 512 characters."
