"""Agent desktops on the Interaction Processor service: from the desktop to the phones and back."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from desk import TRANSPORT, WAIT, Desk, desk
from desk_screen import Screen

from connector.bridge.messages import session as session_wire
from connector.lab.phones.base import Phone, PhoneCall
from connector.lab.phones.hearing import expect_hears
from connector.lab.provider import LabInfo, LabProvider
from connector.processor.desk.app import DeskApp
from connector.processor.desk.shift import Shift
from connector.processor.desktop_client import DesktopClient, DesktopRefused, DesktopSession, SessionExists
from connector.processor.desktop_model import ConversationView, InteractionView
from connector.processor.desktop_pool import fewest_clients
from connector.processor.service.door import DesktopDoor
from connector.processor.service.options import ServiceOptions
from connector.processor.service.processor import InteractionProcessor


@pytest.fixture
async def door(at_desk: Desk) -> AsyncIterator[DesktopDoor]:
    """Run the service on the desk's bridge."""
    async with DesktopDoor(InteractionProcessor(at_desk.bridge)) as found:
        yield found


@pytest.fixture
async def desktop(door: DesktopDoor) -> AsyncIterator[DesktopClient]:
    """Connect a desktop."""
    async with DesktopClient(door.url) as client:
        yield client


async def log_in(
    at: Desk, desktop: DesktopClient, agent: str = "1001", *, ready: bool = True
) -> DesktopSession:
    session = await desktop.login(agent, at.info.agents[agent].password)
    await session.activate()
    if ready:
        await session.ready()
    return session


class OnCall:
    """Agent 1001 at a desktop, with customer 2001 in an answered queue call; 1002 at hand."""

    session: DesktopSession
    interaction: InteractionView
    primary: ConversationView
    agent: Phone
    customer: Phone
    colleague: Phone
    customers_call: PhoneCall

    @classmethod
    async def make(cls, at: Desk, desktop: DesktopClient) -> "OnCall":
        call = cls()
        call.agent, call.customer = await at.agent_phone("1001"), await at.phones.phone("2001")
        call.colleague = await at.phones.phone("1002")
        call.session = await log_in(at, desktop)
        call.customers_call = await call.customer.dial("7000")
        call.interaction = await call.session.next_interaction("ALERTING")
        primary = call.interaction.conversation("primary")
        assert primary is not None
        call.primary = primary
        await (await call.agent.next_call(WAIT)).answer()
        await call.session.wait_state(call.primary, "TALKING")
        await call.session.wait_state(call.interaction, "STARTED")
        return call

    async def consult(self) -> ConversationView:
        consult = await self.session.consult(self.interaction, "1002")
        await self.session.wait_now(self.primary, "HELD")
        await (await self.colleague.next_call(WAIT)).answer()
        await self.session.wait_state(consult, "TALKING")
        await expect_hears({self.agent: {"1002"}, self.colleague: {"1001"}, self.customer: {"MOH"}})
        return consult

    async def over(self) -> None:
        await self.session.wait_state(self.interaction, "ENDED")
        await self.session.do(self.interaction, "interaction.complete")
        await self.session.until(lambda: self.interaction.gone, "interaction.disposed")
        await self.session.logout()


async def test_login_with_confirm_and_override(
    at_desk: Desk, door: DesktopDoor, desktop: DesktopClient
) -> None:
    password = at_desk.info.agents["1001"].password
    with pytest.raises(DesktopRefused, match="invalid-credentials"):
        await desktop.login("1001", "not-it")
    old = await log_in(at_desk, desktop)
    async with DesktopClient(door.url) as other:
        with pytest.raises(SessionExists):
            await other.prepare("1001", password)
        with pytest.raises(DesktopRefused, match="already-bound"):
            await other.bind(old.id, "1001", password)
        assert old.view.closed is None
        new = await other.login("1001", password, override=True)
        await desktop.until(lambda: old.view.closed, "session.closed")
        assert old.view.closed == "OVERRIDDEN"
        # No call was up, so the old session was closed: the agent is out of the queues.
        assert new.view.channel.state == "INACTIVE"
        assert "1001" not in await members(at_desk)
        await new.activate()
        assert "1001" in await members(at_desk)
        await new.logout()


async def members(at: Desk) -> str:
    """Return what the real queue says of itself."""
    return await asyncio.to_thread(at.lab.asterisk_cli, "queue show support")


async def test_a_call_is_kept_while_desktops_come_and_go(at_desk: Desk, door: DesktopDoor) -> None:
    """Dropped with a call, back to a snapshot; overridden with a call, which the new session finds."""
    password = at_desk.info.agents["1001"].password
    first = DesktopClient(door.url)
    await first.connect()
    call = await OnCall.make(at_desk, first)
    await first.drop()
    async with DesktopClient(door.url) as second, DesktopClient(door.url) as third:
        back = await second.bind(call.session.id, "1001", password)
        (interaction,) = back.view.interactions()
        assert (interaction.target, interaction.state) == (call.interaction.target, "STARTED")
        primary = interaction.conversation("primary")
        assert primary is not None
        await back.do(primary, "conversation.hold")
        await back.wait_state(primary, "HELD")
        new = await third.login("1001", password, override=True)
        await second.until(lambda: back.view.closed, "session.closed")
        found = await new.next_interaction("STARTED")
        held = found.conversation("primary")
        assert held is not None
        assert (held.state, new.view.channel.agent_state) == ("HELD", "READY")
        await expect_hears({call.customer: {"MOH"}})
        await new.do(held, "conversation.retrieve")
        await new.wait_now(held, "TALKING")
        await expect_hears({call.agent: {"2001"}, call.customer: {"1001"}})
        await call.customers_call.hangup()
        await new.wait_state(found, "ENDED")
        await new.do(found, "interaction.complete")
        await new.logout()


async def test_a_desktop_that_does_not_return_leaves_agent_and_call_as_they_are(at_desk: Desk) -> None:
    """After the grace the session is disposed of; a new one needs no override, and finds the call."""
    options = ServiceOptions(grace=1)
    async with DesktopDoor(InteractionProcessor(at_desk.bridge, options)) as short:
        first = DesktopClient(short.url)
        await first.connect()
        call = await OnCall.make(at_desk, first)
        (old,) = at_desk.bridge.sessions
        await first.drop()
        await at_desk.bridge.link.until(
            lambda: not at_desk.bridge.sessions, WAIT, lambda: "the session's disposal"
        )
        assert not (await at_desk.bridge.request(old.target, session_wire.GetTeamStatus())).ok
        assert "1001" in await members(at_desk)
        await expect_hears({call.agent: {"2001"}, call.customer: {"1001"}})
        password = at_desk.info.agents["1001"].password
        async with DesktopClient(short.url) as second:
            with pytest.raises(DesktopRefused, match="unknown-resource"):
                await second.bind(call.session.id, "1001", password)
            new = await second.login("1001", password)
            assert (new.view.channel.state, new.view.channel.agent_state) == ("ACTIVE", "READY")
            found = await new.next_interaction("STARTED")
            primary = found.conversation("primary")
            assert primary is not None
            assert (primary.state, primary.addresses) == ("TALKING", ["2001"])
            await new.do(primary, "conversation.release")
            await new.wait_state(found, "ENDED")
            await call.customers_call.wait_state("ended", WAIT)
            await new.do(found, "interaction.complete")
            await new.logout()


@pytest.mark.skipif(
    TRANSPORT == "amqp",
    reason="a broker tells the bridge of no loss: test_store.py and test_amqp.py have the like",
)
async def test_the_connector_goes_and_comes_back_and_the_call_is_there(
    at_desk: Desk, desktop: DesktopClient
) -> None:
    await desktop.bind_service()
    password = at_desk.info.agents["1001"].password
    call = await OnCall.make(at_desk, desktop)
    await at_desk.close()
    await desktop.until(lambda: call.session.view.closed, "session.closed")
    assert call.session.view.closed == "CONNECTOR_LOST"
    with pytest.raises(DesktopRefused, match="unavailable"):
        await desktop.prepare("1001", password)
    told = len(desktop.service_events)
    await at_desk.renew_connector()
    (up,) = await desktop.until(
        lambda: [one for one in desktop.service_events[told:] if one["name"] == "service.up"], "service.up"
    )
    assert (up["data"]["status"], up["data"]["accepting"]) == ("in-service", True)
    session = await desktop.login("1001", password)
    found = await session.next_interaction("STARTED")
    primary = found.conversation("primary")
    assert primary is not None
    assert primary.addresses == ["2001"]
    await expect_hears({call.agent: {"2001"}, call.customer: {"1001"}})
    await session.do(primary, "conversation.release")
    await session.wait_state(found, "ENDED")
    await session.do(found, "interaction.complete")
    await session.logout()


async def test_hold_consult_alternate_conference(at_desk: Desk, desktop: DesktopClient) -> None:
    call = await OnCall.make(at_desk, desktop)
    session = call.session
    await session.do(call.primary, "conversation.request.hold")
    await session.wait_now(call.primary, "HELD")
    await session.do(call.primary, "conversation.retrieve")
    await session.wait_now(call.primary, "TALKING")
    consult = await call.consult()
    await session.do(call.interaction, "interaction.alternate")
    await session.wait_now(call.primary, "TALKING")
    await session.wait_now(consult, "HELD")
    await expect_hears({call.agent: {"2001"}, call.colleague: {"MOH"}})
    await session.do(call.interaction, "interaction.consultconference")
    await session.until(lambda: consult.gone, "the consult's end")
    await session.until(lambda: len(call.primary.members) == 2, "both members")
    assert sorted(call.primary.addresses) == ["1002", "2001"]
    await expect_hears({call.agent: {"2001", "1002"}, call.customer: {"1001", "1002"}})
    await session.do(call.primary, "conversation.release")
    await call.over()
    await call.customers_call.hangup()


@pytest.mark.parametrize("way", ["consulttransfer", "blindtransfer"])
async def test_transfer(at_desk: Desk, desktop: DesktopClient, way: str) -> None:
    call = await OnCall.make(at_desk, desktop)
    if way == "consulttransfer":
        await call.consult()
        await call.session.do(call.interaction, "interaction.consulttransfer")
    else:
        await call.session.do(call.primary, "conversation.blindtransfer", destination="1002")
        await (await call.colleague.next_call(WAIT)).answer()
    await call.over()
    assert call.primary.cause == "TRANSFERRED"
    await expect_hears({call.customer: {"1002"}, call.colleague: {"2001"}})
    await call.customers_call.hangup()


async def test_dial_wrap_up_and_what_the_team_sees(
    at_desk: Desk, door: DesktopDoor, desktop: DesktopClient
) -> None:
    async with DesktopClient(door.url) as other:
        watching = await log_in(at_desk, other, "1002", ready=False)
        await watching.team(realtime=True)
        await at_desk.agent_phone("1001")
        customer = await at_desk.phones.phone("2001")
        session = await log_in(at_desk, desktop, ready=False)
        reasons = [one for one in await session.not_ready_reasons() if one["selectable"]]
        await session.not_ready(reasons[0]["reasonCodeId"])
        assert session.view.channel.reason == reasons[0]["reasonCodeCode"]
        call = await session.dial("2001")
        assert call.states[0] == "DIALING"
        await (await customer.next_call(WAIT)).answer()
        await session.wait_state(call, "STARTED")
        await session.do(call, "interaction.setdata", **{"interaction-data": {"ticket": "77"}})
        await session.until(lambda: call.data.get("ticket") == "77", "the data")
        team = watching.view.team
        await watching.until(lambda: team["1001"]["state"] == "ON_CALL", "1001 on a call")
        primary = call.conversation("primary")
        assert primary is not None
        await session.do(primary, "conversation.release")
        await session.wait_state(call, "ENDED")
        await session.do(call, "interaction.complete")
        await session.until(lambda: call.gone, "interaction.disposed")
        await session.logout()
        await watching.until(lambda: team["1001"]["state"] == "LOGGED_OUT", "1001 logged out")
        await watching.logout()


async def test_bad_messages_harm_nobody(at_desk: Desk, door: DesktopDoor, desktop: DesktopClient) -> None:
    call = await OnCall.make(at_desk, desktop)
    with pytest.raises(DesktopRefused, match="unknown-target"):
        await call.session.do(call.session.id + ".nowhere", "channel.dial", destination="2002")
    async with DesktopClient(door.url) as other:
        await other.send_raw("{broken")
        assert await other.services()
        await other.send_raw("x" * 100_000)
        assert (await other.wait_lost()).startswith("1009")
    assert call.primary.state == "TALKING"
    await call.session.do(call.primary, "conversation.release")
    await call.over()


async def test_two_processors_serve_one_pool(
    at_desk: Desk, door: DesktopDoor, provider: LabProvider, lab: LabInfo, tmp_path: Path
) -> None:
    """Two bridges, two connectors, one PBX: desktops spread, and a call passes from the one to the other."""
    (folder := tmp_path / "second").mkdir()
    async with (
        desk(provider, lab, folder, calls_stay=True) as second,
        DesktopDoor(InteractionProcessor(second.bridge, ServiceOptions("lab"))) as other,
        DesktopDoor(InteractionProcessor(second.bridge, ServiceOptions("elsewhere"))) as foreign,
    ):
        urls = [foreign.url, door.url, other.url]
        desktops = [await fewest_clients(urls, "lab") for _ in range(2)]
        try:
            desktops.sort(key=lambda one: one.url != door.url)
            assert [one.url for one in desktops] == [door.url, other.url]
            phone, colleague = await at_desk.agent_phone("1001"), await at_desk.phones.phone("1002")
            first = await log_in(at_desk, desktops[0], "1001", ready=False)
            last = await log_in(second, desktops[1], "1002", ready=False)
            mine = await first.dial("1002")
            theirs = await last.next_interaction("ALERTING")
            await (await colleague.next_call(WAIT)).answer()
            await first.wait_state(mine, "STARTED")
            await last.wait_state(theirs, "STARTED")
            await expect_hears({phone: {"1002"}, colleague: {"1001"}})
            primary = theirs.conversation("primary")
            assert primary is not None
            await last.do(primary, "conversation.release")
            for session, call in ((first, mine), (last, theirs)):
                await session.wait_state(call, "ENDED")
                await session.do(call, "interaction.complete")
                await session.logout()
        finally:
            for one in desktops:
                await one.close()


async def test_a_desk_in_the_terminal_works_a_call(at_desk: Desk, door: DesktopDoor) -> None:
    agent, customer = await at_desk.agent_phone("1001"), await at_desk.phones.phone("2001")
    app = DeskApp(Shift("1001", at_desk.info.agents["1001"].password, (door.url,)))
    async with app.run_test(size=(140, 30)) as pilot:
        screen = Screen(app, pilot)
        await screen.until(lambda: "NOT_READY" in screen.line("status"), "logged in")
        await screen.press("r")
        await screen.until(lambda: "  READY" in screen.line("status"), "ready")
        customers_call = await customer.dial("7000")
        await screen.until(lambda: screen.states == ["ALERTING", "ALERTING"], "the offer")
        assert screen.table("calls")[0][1] == "2001 → support"
        await (await agent.next_call(WAIT)).answer()
        await screen.until(lambda: screen.states == ["STARTED", "TALKING"], "the talk")
        await screen.press("h")
        await screen.until(lambda: screen.states == ["STARTED", "HELD"], "hold")
        await expect_hears({customer: {"MOH"}})
        await screen.press("h")
        await screen.until(lambda: screen.states == ["STARTED", "TALKING"], "retrieve")
        await screen.press("k")
        await screen.until(lambda: screen.states == ["ENDED NORMAL"], "the end")
        await customers_call.wait_state("ended", WAIT)
        await screen.press("w")
        await screen.until(lambda: not screen.states, "the wrap-up's end")
        await screen.press("l")
        await screen.until(lambda: app.return_value, "the end of the shift")
    assert app.return_value == "Logged out."
