"""The reference bridge with a client that keeps the rules: over loopback TCP and over a memory pair."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from processor_client import Client, State, changed, customer, member

from connector.bridge.memory import memory_pair
from connector.bridge.messages import (
    Kind,
    Message,
    Result,
    channel,
    control,
    conversation,
    interaction,
    session,
)
from connector.bridge.tcp import TcpSettings, TcpTransport
from connector.processor.effects import ProtocolViolation
from connector.processor.floor import Session
from connector.processor.link import Direction
from connector.processor.problems import BridgeGone, BridgeRequestFailed, BridgeTimeout, StateUnreachable
from connector.processor.server import ReferenceBridge

InteractionState = interaction.InteractionState


@asynccontextmanager
async def over_tcp(bridge: ReferenceBridge) -> AsyncIterator[Client]:
    transport = TcpTransport(
        TcpSettings(bridge.host, bridge.port, reconnect_initial=0.01, reconnect_max=0.05)
    )
    client = Client(transport.send)
    task = asyncio.create_task(transport.run(client))
    try:
        yield client
        await transport.drain(1.0)
    finally:
        await transport.close()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def over_memory(bridge: ReferenceBridge) -> AsyncIterator[Client]:
    ours, theirs = memory_pair()
    client = Client(ours.send)
    task = asyncio.create_task(ours.run(client))
    bridge.attach(theirs)
    try:
        yield client
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def bridge_and_client(**settings: object) -> AsyncIterator[tuple[ReferenceBridge, Client]]:
    bridge = ReferenceBridge(timeout=5.0, **settings)  # type: ignore[arg-type]
    async with bridge, over_memory(bridge) as client:
        await bridge.wait_in_service()
        yield bridge, client
        await bridge.settle()


async def started_call(bridge: ReferenceBridge, client: Client) -> tuple[Session, str]:
    made = await bridge.login("1001", "right", extension="1001")
    await made.channel.activate()
    client.ring("call-1")
    offered = await made.channel.next_interaction()
    await offered.primary.answer()
    await offered.wait_state(InteractionState.STARTED)
    return made, offered.target


@pytest.mark.parametrize("wire", [over_tcp, over_memory])
async def test_a_day_of_an_agent(wire: object) -> None:
    async with ReferenceBridge(timeout=5.0) as bridge, wire(bridge) as client:  # type: ignore[operator]
        await bridge.wait_in_service()
        assert bridge.capabilities is not None
        assert bridge.capabilities.channel_groups_max_per_agent == 1
        agent = await bridge.login("1001", "right", extension="1001", chat=True)
        phone = agent.channel
        assert (phone.state, phone.agent_state) == ("INACTIVE", "NOT_READY")
        await phone.activate()
        assert (phone.state, phone.agent_state) == ("ACTIVE", "NOT_READY")
        await phone.ready()
        assert phone.agent_state == "READY"
        await phone.not_ready("LUNCH")
        assert (phone.agent_state, phone.reason) == ("NOT_READY", "LUNCH")

        client.ring("call-1")
        offered = await phone.next_interaction()
        assert (offered.state, offered.data) == ("ALERTING", {"ANI": "2001"})
        assert [each.address for each in offered.primary.members] == ["2001"]
        await offered.primary.answer()
        await offered.wait_state(InteractionState.STARTED)
        await offered.primary.hold()
        await offered.primary.wait_state(State.HELD)
        await offered.primary.retrieve()
        await offered.primary.wait_state(State.TALKING)
        await offered.primary.release()
        await offered.wait_state(InteractionState.ENDED)
        assert (offered.primary.state, offered.primary.cause) == ("RELEASED", "NORMAL")
        await offered.primary.wait_disposed()
        await offered.complete()
        assert offered.states == ["ALERTING", "STARTED", "ENDED", "COMPLETED"]
        await offered.dispose()

        client.targets.pop("primary")
        dialled = await phone.dial("2002")
        assert dialled.state == "DIALING"
        client.hang_up(conversation.Cause.BUSY)
        await dialled.wait_state(InteractionState.ENDED)
        assert dialled.primary.cause == "BUSY"
        with pytest.raises(StateUnreachable, match="BUSY"):
            await dialled.primary.wait_state(State.TALKING)
        await dialled.complete()

        await phone.deactivate()
        await agent.close()
        assert agent.closed
        await agent.dispose()
        assert bridge.violations == []
        assert bridge.link.rules.outstanding() == []


async def test_control_is_initialised_in_the_protocols_order() -> None:
    async with bridge_and_client() as (bridge, _):
        pass
    assert [(each.direction, each.message.kind, each.message.name) for each in bridge.log] == [
        (Direction.SENT, Kind.REQUEST, "cti.request.serverstatus"),
        (Direction.RECEIVED, Kind.RESPONSE, "cti.request.serverstatus"),
        (Direction.RECEIVED, Kind.EVENT, "cti.serverstatuschanged"),
        (Direction.SENT, Kind.QUERY, "cti.query.capabilities"),
        (Direction.RECEIVED, Kind.RESPONSE, "cti.query.capabilities"),
    ]


async def test_a_login_follows_the_protocols_steps() -> None:
    async with bridge_and_client() as (bridge, _):
        begin = len(bridge.log)
        await bridge.login("1001", "right", extension="1001")
        asked = [each.message for each in bridge.log[begin:] if each.direction is Direction.SENT]
    assert [each.name for each in asked] == [
        "cti.request.createsession",
        "session.query.init",
        "session.request.createchannelgroup",
        "channelgroup.query.init",
        "channelgroup.request.createchannel",
        "channel.query.init",
    ]
    destination = asked[0].body["destination"]
    assert asked[5].target == f"{destination}.{asked[2].body['id']}.{asked[4].body['id']}"
    assert asked[2].body["extension"] == "1001"
    assert asked[4].body["endpoint"] == "1001"


async def test_a_wrong_password_is_the_clients_sentence() -> None:
    async with bridge_and_client() as (bridge, _):
        with pytest.raises(BridgeRequestFailed, match=r"Agent id or password is wrong\.") as failed:
            await bridge.login("1001", "wrong", extension="1001")
        assert failed.value.reply.result is Result.FAILURE
        assert "wrong" not in repr(bridge.log[-2])
        assert bridge.sessions == []


async def test_a_recovered_channel_brings_its_interactions() -> None:
    async with bridge_and_client() as (bridge, client):
        client.channel_state = channel.ChannelState.ACTIVE
        client.listed = ["old-call"]
        client.interaction_state = InteractionState.STARTED
        client.conversation_state = State.TALKING
        agent = await bridge.login("1001", "right", extension="1001")
        found = await agent.channel.next_interaction()
        assert (found.nativeid, found.state, found.primary.state) == ("old-call", "STARTED", "TALKING")


async def test_a_call_that_is_over_already_has_no_conversations() -> None:
    async with bridge_and_client() as (bridge, client):
        agent = await bridge.login("1001", "right", extension="1001")
        client.interaction_state = InteractionState.ENDED
        client.ring("missed")
        missed = await agent.channel.next_interaction()
        assert missed.state == "ENDED"
        with pytest.raises(LookupError):
            _ = missed.primary
        await missed.complete()


async def test_consult_by_request_and_from_outside() -> None:
    async with bridge_and_client() as (bridge, client):
        agent, _ = await started_call(bridge, client)
        call = agent.channel.interactions[0]
        second = await call.consult("2002")
        assert second.state == "DIALING"
        assert call.consult_conversation is second
        client.emit(second.target, changed(State.TALKING))
        client.emit(second.target, changed(State.HELD))
        # Both were there before anybody waited for the first one.
        assert await second.wait_state(State.HELD) == "HELD"
        client.emit(second.target, changed(State.RELEASED, conversation.Cause.NORMAL))
        await second.wait_state(State.RELEASED)
        client.emit(second.target, conversation.Disposed())
        client.emit(call.target, interaction.ConsultStarted(nativeid="third"))
        await call.link.until(lambda: call.conversations.get("third"), 5.0, lambda: "the third conversation")
        third = await call.wait_consult()
        assert third.nativeid == "third"


async def test_members_data_reasons_and_team() -> None:
    async with bridge_and_client() as (bridge, client):
        agent, target = await started_call(bridge, client)
        call = agent.channel.interactions[0]
        joined = conversation.MemberAdded(
            **{key: getattr(customer("c2"), key) for key in ("id", "address", "name", "type")}
        )
        client.emit(call.primary.target, joined)
        members = await call.primary.wait_members(lambda all_of_them: len(all_of_them) == 2)
        assert {each.id for each in members} == {"c1", "c2"}
        client.emit(target, interaction.DataChanged(interaction_data={"queue": "support"}))
        assert await call.wait_data(lambda data: "queue" in data) == {"ANI": "2001", "queue": "support"}
        assert await call.get_data() == {"ANI": "2001", "vip": "yes"}
        assert await agent.logout_reasons() == ()
        assert [each.code for each in await agent.not_ready_reasons()] == ["LUNCH"]
        assert (await agent.team_status(realtime=True))["1002"].state == "NOT_READY"
        client.emit(agent.target, session.TeamStatusUpdated(teamstatus=(member("READY"),)))
        await bridge.link.until(lambda: agent.team["1002"].state == "READY", 5.0, lambda: "the new state")


async def test_raw_requests_get_their_failure() -> None:
    async with bridge_and_client() as (bridge, _):
        unknown = await bridge.request("", "cti.request.makecoffee", {"sugar": 2})
        assert not unknown.ok
        assert unknown.error_message == "cti.request.makecoffee is not known."


async def test_a_client_that_never_answers() -> None:
    bridge = ReferenceBridge(timeout=5.0)
    with pytest.raises(ProtocolViolation, match=r"exactly one response.*session.query.init"):  # noqa: PT012
        async with bridge, over_memory(bridge) as client:
            await bridge.wait_in_service()
            client.mute.add("session.query.init")
            bridge.link.timeout = 0.05
            with pytest.raises(BridgeTimeout, match=r"(?s)No response to session.query.init.*Last messages"):
                await bridge.login("1001", "right")
            await bridge.settle(0.05)


async def test_a_promised_event_that_never_comes() -> None:
    bridge = ReferenceBridge(timeout=5.0)
    with pytest.raises(ProtocolViolation, match=r"response, then the event.*channel.ready never followed"):  # noqa: PT012
        async with bridge, over_memory(bridge) as client:
            await bridge.wait_in_service()
            agent = await bridge.login("1001", "right", extension="1001")
            await agent.channel.activate()
            client.silent_after.add("channel.request.ready")
            with pytest.raises(BridgeTimeout, match=r"the events that follow channel\.request\.ready"):
                await agent.channel.ready(timeout=0.05)
            await bridge.settle(0.05)


async def test_a_violation_fails_every_wait_and_the_context() -> None:
    bridge = ReferenceBridge(timeout=5.0)
    with pytest.raises(ProtocolViolation, match=r"catalogue's events.*channel.exploded"):  # noqa: PT012
        async with bridge, over_memory(bridge) as client:
            await bridge.wait_in_service()
            agent = await bridge.login("1001", "right", extension="1001")
            waiting = asyncio.create_task(agent.channel.next_interaction())
            client.send(Message(Kind.EVENT, "channel.exploded", agent.channel.target))
            with pytest.raises(ProtocolViolation, match=r"channel\.exploded"):
                await waiting
            with pytest.raises(ProtocolViolation):
                await agent.channel.activate()


async def test_a_lenient_bridge_only_records() -> None:
    async with bridge_and_client(strict=False) as (bridge, client):
        told: list[str] = []
        bridge.on_violation = told.append
        agent = await bridge.login("1001", "right", extension="1001")
        client.send(Message(Kind.EVENT, "channel.exploded", agent.channel.target))
        await agent.channel.activate()
        assert bridge.violations == told
        assert len(told) == 1


async def test_a_lost_connection_fails_what_waits_and_the_client_comes_back() -> None:
    async with ReferenceBridge(timeout=5.0) as bridge, over_tcp(bridge) as client:
        await bridge.wait_in_service()
        agent = await bridge.login("1001", "right", extension="1001")
        waiting = asyncio.create_task(agent.channel.next_interaction())
        await asyncio.sleep(0)
        client.mute.add("channel.request.ready")
        asking = asyncio.create_task(bridge.request(agent.channel.target, channel.Ready()))
        await asyncio.sleep(0)
        await bridge.drop_connections()
        for task in (waiting, asking):
            with pytest.raises(BridgeGone):
                await task
        with pytest.raises(BridgeGone):
            await agent.channel.activate()
        await bridge.wait_in_service()
        again = await bridge.login("1001", "right", extension="1001")
        await again.channel.activate()
        assert [each.agent_id for each in bridge.sessions] == ["1001"]


async def test_malformed_bytes_of_the_client_are_a_violation() -> None:
    async with bridge_and_client(strict=False) as (bridge, client):
        client.send(Message(Kind.EVENT, "", "x"))
        await bridge.link.until(lambda: bridge.violations, 5.0, lambda: "a violation")
        assert "Header 'name' is missing" in bridge.violations[0]


async def test_malformed_requests_of_the_bridge_are_answered_by_the_client() -> None:
    async with ReferenceBridge(timeout=5.0) as bridge, over_tcp(bridge) as client:
        await bridge.wait_in_service()
        bridge.send_raw(b"\x00\x00\x00\x02{]")
        reply = await bridge.request("", control.Capabilities())
        assert reply.ok
        assert len(client.problems) == 1


async def test_serving_status_changes_are_waited_for() -> None:
    async with bridge_and_client() as (bridge, client):
        client.emit("LAB.CONTROL", control.ServerStatusChanged(status=control.ServiceStatus.OUT_OF_SERVICE))
        await bridge.wait_status(control.ServiceStatus.OUT_OF_SERVICE)
        with pytest.raises(BridgeTimeout, match="out-of-service"):
            await bridge.wait_in_service(0.05)
