"""The link to the PBX breaks in the middle of calls: what happened in the gap is told when it is back."""

import asyncio
from pathlib import Path

import pytest
from cable import Cable, TearingCable
from calls import DIALING, ENDED, HELD, RELEASED, TALKING, make_call
from desk import WAIT, Desk, cause_of, deep_merge, desk
from found import log_in_again
from gaps import QUICK, behind, gap, in_step
from test_recording import extended

from connector.asterisk.link import AmiLink
from connector.bridge.catalogue.channel import AgentState
from connector.bridge.catalogue.conversation import Cause
from connector.lab.phones.base import CallState
from connector.lab.phones.hearing import expect_hears
from connector.lab.provider import LabInfo, LabProvider
from connector.processor.problems import BridgeRequestFailed


def statuses(at_desk: Desk) -> list[object]:
    log = at_desk.bridge.log
    return [one.message.body["status"] for one in log if one.message.name == "cti.serverstatuschanged"]


async def test_a_short_gap_is_not_told_but_requests_are_refused(far_desk: Desk, cable: Cable) -> None:
    call = await make_call(far_desk, "queue")
    await call.interaction.set_data({"ORDER": "4711"})
    async with gap(cable, far_desk):
        reply = await far_desk.bridge.request(call.primary.target, "conversation.request.hold", {})
        assert reply.error_message == (
            "The telephone system cannot be reached at the moment; please try again soon."
        )
        reply = await far_desk.bridge.request(
            "LAB.CONTROL",
            "cti.request.createsession",
            {"agentId": "1002", "agentPassword": "x", "sessionId": "s", "destination": "LAB.S"},
        )
        assert reply.error_message == (
            "No new sessions at the moment: the telephone system cannot be reached."
        )
        await expect_hears({call.agent: {"2001"}, call.customer: {"1001"}})
    assert call.interaction.data["ORDER"] == "4711"
    assert statuses(far_desk)[-1] == "in-service"
    assert "out-of-service" not in statuses(far_desk)
    await call.primary.hold()
    async with gap(cable, far_desk):
        pass
    await call.primary.retrieve()
    await expect_hears({call.agent: {"2001"}, call.customer: {"1001"}})
    await call.primary.release()
    await call.over()


@pytest.mark.parametrize("answered", [True, False])
async def test_a_consult_goes_on_in_the_gap(far_desk: Desk, cable: Cable, *, answered: bool) -> None:
    call = await make_call(far_desk, "dial")
    consult = await call.interaction.consult("1002")
    ringing = await call.target.next_call(WAIT)
    async with gap(cable, far_desk):
        if answered:
            await ringing.answer()
            await expect_hears({call.agent: {"1002"}, call.target: {"1001"}, call.customer: {"MOH"}})
        else:
            assert consult.state is DIALING
            await ringing.reject()
            await ringing.wait_state("ended", WAIT)
            await expect_hears({call.agent: set(), call.customer: {"MOH"}})
    if answered:
        await consult.wait_state(TALKING)
        await call.interaction.alternate()
        await expect_hears({call.agent: {"2001"}, call.customer: {"1001"}, call.target: {"MOH"}})
        async with gap(cable, far_desk):
            await ringing.hangup()
        await consult.wait_state(RELEASED)
    else:
        await consult.wait_state(RELEASED)
        assert (consult.cause, call.primary.state) == (Cause.BUSY, HELD)
        await call.primary.retrieve()
        await expect_hears({call.agent: {"2001"}, call.customer: {"1001"}})
    await call.primary.release()
    await call.over()


async def test_a_call_that_ended_and_one_that_began_in_the_gap(far_desk: Desk, cable: Cable) -> None:
    call = await make_call(far_desk, "queue")
    (agents_call,) = call.agent.calls
    async with gap(cable, far_desk):
        await call.customers_call.hangup()
        await agents_call.wait_state("ended", WAIT)
        again = await call.customer.dial("1001")
        await again.wait_state("talking", WAIT)
    await call.interaction.wait_state(ENDED)
    assert cause_of(call.interaction) is Cause.NORMAL
    await call.interaction.complete()
    found = await call.session.channel.next_interaction()
    await found.primary.wait_state(TALKING)
    assert (found.data["ANI"], found.data["DIRECTION"]) == ("2001", "INBOUND")
    await found.primary.hold()
    await expect_hears({call.agent: set(), call.customer: {"MOH"}})
    await found.primary.release()
    await found.wait_state(ENDED)
    await found.complete()
    await call.session.close()


@pytest.mark.parametrize("how", ["dial", "queue"])
@pytest.mark.parametrize("answered", [True, False])
async def test_the_link_breaks_as_a_call_begins(
    provider: LabProvider, lab: LabInfo, tmp_path: Path, how: str, *, answered: bool
) -> None:
    """The phone's leg is known then, and nothing of what for: the lists have it."""
    async with (
        TearingCable(lab.host, lab.ports.ami) as cable,
        desk(provider, lab, tmp_path, behind(cable)) as at,
    ):
        agent, customer = await at.agent_phone(), await at.phones.phone("2001")
        session = await at.login("1001", ready=how == "queue")
        cable.tear_behind("Event: Newchannel", "Channel: PJSIP/1001-")
        refused = None
        if how == "dial":
            refused = asyncio.create_task(session.channel.dial("2001"))
        else:
            await customer.dial("7000")
        # A phone that was told to dial picks up by itself.
        rings = await (customer if how == "dial" else agent).next_call(WAIT)
        await asyncio.wait_for(cable.torn.wait(), WAIT)
        if answered:
            await rings.answer()
            await expect_hears({agent: {"2001"}, customer: {"1001"}})
        async with gap(cable, at):
            pass
        if refused is not None:
            with pytest.raises(BridgeRequestFailed, match="The link to the telephone system broke"):
                await refused
        found = await session.channel.next_interaction()
        if not answered:
            await rings.answer()
        await found.primary.wait_state(TALKING)
        assert [one.address for one in found.primary.members] == ["2001"]
        await expect_hears({agent: {"2001"}, customer: {"1001"}})
        await found.primary.hold()
        await expect_hears({agent: set(), customer: {"MOH"}})
        await found.primary.release()
        await found.wait_state(ENDED)
        await found.complete()
        await session.close()


async def test_who_held_and_was_left_in_the_gap_is_let_go(far_desk: Desk, cable: Cable) -> None:
    call = await make_call(far_desk, "direct")
    await call.primary.hold()
    async with gap(cable, far_desk):
        await call.customers_call.hangup()
    await call.over()


async def test_asterisk_says_that_it_ends_and_everything_is_there_again_after_it(
    provider: LabProvider, lab: LabInfo, tmp_path: Path
) -> None:
    async with desk(provider, lab, tmp_path, QUICK) as at_desk:
        call = await make_call(at_desk, "queue")
        await call.primary.hold()
        await asyncio.to_thread(provider.asterisk_stop)
        await call.interaction.wait_state(ENDED)
        assert cause_of(call.interaction) is Cause.NORMAL
        await at_desk.bridge.wait_status("out-of-service", timeout=WAIT)
        assert statuses(at_desk)[-3:] == ["in-service", "stopping-service", "out-of-service"]
        await asyncio.to_thread(provider.asterisk_start)
        await at_desk.bridge.wait_in_service(WAIT)
        await log_in_again(call)
        assert call.session.channel.agent_state is AgentState.READY
        ended = await call.session.channel.next_interaction()
        assert ended.state is ENDED
        await ended.complete()
        await call.session.close()


async def test_a_crash_of_asterisk_within_the_grace_ends_calls_and_leaves_agents_logged_in(
    provider: LabProvider, lab: LabInfo, tmp_path: Path
) -> None:
    over = {"asterisk": QUICK["asterisk"] | {"grace": 60}}
    async with desk(provider, lab, tmp_path, over) as at_desk:
        call = await make_call(at_desk, "queue")
        await asyncio.to_thread(provider.asterisk_restart, kill=True)
        await call.interaction.wait_state(ENDED, timeout=WAIT)
        await in_step(at_desk)
        assert cause_of(call.interaction) is Cause.FAILED
        await call.interaction.complete()
        assert call.session.channel.agent_state is AgentState.READY
        await call.session.close()


@pytest.mark.parametrize("held", ["before", "in the gap"])
async def test_a_consult_that_the_phone_began_in_the_gap_is_one(
    far_desk: Desk, cable: Cable, held: str
) -> None:
    call = await make_call(far_desk, "queue")
    first = call.agent.calls[0]
    if held == "before":
        await first.hold()
        await call.primary.wait_state(HELD)
    async with gap(cable, far_desk):
        if held != "before":
            await first.hold()
        second = await call.agent.dial("1002")
        await (await call.target.next_call(WAIT)).answer()
        await expect_hears({call.agent: {"1002"}, call.customer: {"MOH"}})
    consult = await call.interaction.wait_consult()
    await consult.wait_state(TALKING)
    await call.primary.wait_state(HELD)
    assert call.session.channel.interactions == [call.interaction]
    await second.hangup()
    await consult.wait_state(RELEASED)
    await first.resume()
    await call.primary.wait_state(TALKING)
    await call.customers_call.hangup()
    await call.over()


@pytest.mark.parametrize("held", ["at the desktop", "by the phone"])
async def test_the_phone_hands_its_call_in_the_gap_to_a_colleague_who_rang_before(
    far_desk: Desk, cable: Cable, held: str
) -> None:
    call = await make_call(far_desk, "queue")
    colleague = await far_desk.login("1002", ready=False)
    first = call.agent.calls[0]
    await (call.primary.hold() if held == "at the desktop" else first.hold())
    await call.primary.wait_state(HELD)
    second = await call.agent.dial("1002")
    theirs = await colleague.channel.next_interaction()
    async with gap(cable, far_desk):
        await (await call.target.next_call(WAIT)).answer()
        await second.wait_state(CallState.TALKING, WAIT)
        await first.transfer_to(second)
        await first.wait_state(CallState.ENDED, WAIT)
        if held == "by the phone":
            await expect_hears({call.target: {"2001"}, call.customer: {"1002"}})
    await call.interaction.wait_state(ENDED)
    if held == "at the desktop":
        await theirs.primary.wait_state(HELD)
        await theirs.primary.retrieve()
    await theirs.primary.wait_state(TALKING)
    assert [one.address for one in theirs.primary.members] == ["2001"]
    await expect_hears({call.target: {"2001"}, call.customer: {"1002"}})
    await theirs.primary.release()
    await theirs.wait_state(ENDED)
    await call.over()
    await colleague.close()


@pytest.mark.atxfer
async def test_what_the_phone_does_in_gaps_is_told_after_them(far_desk: Desk, cable: Cable) -> None:
    call = await make_call(far_desk, "queue")
    talking = {call.agent: {"1002"}, call.customer: {"MOH"}, call.target: {"1001"}}
    async with gap(cable, far_desk):
        await call.agent.calls[0].send_dtmf("*21002")
        await (await call.target.next_call(WAIT)).answer()
        await expect_hears(talking)
    await call.primary.wait_state(HELD)
    consult = await call.interaction.wait_consult()
    await consult.wait_state(TALKING)
    async with gap(cable, far_desk):
        await call.agent.calls[0].send_dtmf("*4")
        await expect_hears({call.agent: {"2001"}, call.customer: {"1001"}, call.target: {"MOH"}})
    await call.primary.wait_state(TALKING)
    await consult.wait_state(HELD)
    async with gap(cable, far_desk):
        await call.agent.calls[0].send_dtmf("*4")
        await expect_hears(talking)
    await consult.wait_state(TALKING)
    await call.primary.wait_state(HELD)
    await consult.release()
    await call.primary.wait_state(TALKING)
    # Asterisk beeps to the agent, and obeys no code meanwhile.
    await expect_hears({call.agent: {"2001"}, call.customer: {"1001"}}, stable=0.7)
    async with gap(cable, far_desk):
        await call.agent.calls[0].send_dtmf("*21002")
        await (await call.target.next_call(WAIT)).answer()
        await expect_hears(talking)
        await call.agent.calls[0].send_dtmf("*4")
        await expect_hears({call.agent: {"2001"}, call.customer: {"1001"}, call.target: {"MOH"}})
    second = await call.interaction.wait_consult()
    await second.wait_state(HELD)
    assert call.primary.state is TALKING
    await call.interaction.alternate()
    await expect_hears(talking)
    async with gap(cable, far_desk):
        await call.target.calls[0].hangup()
        await expect_hears({call.agent: {"2001"}, call.customer: {"1001"}})
    await second.wait_state(RELEASED)
    await call.primary.wait_state(TALKING)
    await call.primary.release()
    await call.over()


@pytest.mark.parametrize("how", ["both links", "one after the other", "another connector"])
async def test_a_muted_agent_who_began_a_consult_in_the_gap_is_not_heard(
    provider: LabProvider, lab: LabInfo, tmp_path: Path, how: str
) -> None:
    async with desk(provider, lab, tmp_path, deep_merge(extended(lab), {"asterisk": {"grace": 60}})) as at:
        call = await make_call(at, "queue")
        await call.interaction.mute()
        pbx = at.connector.pbx
        links = pbx.links
        back = {link: asyncio.Event() for link in links}

        def hold_back(link: AmiLink) -> None:
            async def wait(_failures: int) -> None:
                await back[link].wait()

            link._pause = wait  # type: ignore[method-assign]
            link._drop("the test cuts it")

        if how == "another connector":
            await at.close()
        else:
            for link in links:
                hold_back(link)
        await call.agent.calls[0].hold()
        second = await call.agent.dial("1002")
        await (await call.target.next_call(WAIT)).answer()
        await expect_hears({call.agent: {"1002"}, call.target: {"1001"}})
        if how == "another connector":
            await at.renew_connector()
        for link in links:
            back[link].set()
            if how == "one after the other":
                await in_step(at)
                # Longer than an action waits for its link.
                await asyncio.sleep(1.2)
        await expect_hears({call.agent: {"1002"}, call.target: set(), call.customer: {"MOH"}}, WAIT)
        (found,) = at.connector.pbx.model.interactions("1001")
        assert [one.state for one in found.live_conversations] == [HELD, TALKING]
        await second.hangup()
        await call.customers_call.hangup()
        await call.agent.calls[0].wait_state("ended", WAIT)
        if how == "another connector":
            await at.log_out()
        else:
            await call.over()
