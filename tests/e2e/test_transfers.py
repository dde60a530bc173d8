"""Transfers and invitations at odd moments: whoever was called is not left ringing, waiting or alone."""

from pathlib import Path
from typing import Any

import pytest
from calls import ENDED, HELD, ORIGINS, TALKING, Call, make_call
from desk import WAIT, Desk, desk

from connector.bridge.catalogue.channel import AgentState
from connector.bridge.catalogue.conversation import Cause
from connector.lab.phones.hearing import expect_hears
from connector.lab.provider import LabInfo, LabProvider
from connector.processor.problems import BridgeRequestFailed

EITHER = pytest.mark.parametrize("call", ["queue", "dial"], indirect=True)

ORPHANS_TO_SALES = {
    "handling": {"fallback_queue": "sales", "orphans": ["queue"]},
    "agents": {"1001": {"queues": ["support"]}, "1003": {"queues": ["sales"]}},
}


@EITHER
@pytest.mark.parametrize("by", ["agent", "customer", "transfer"])
async def test_whom_nobody_waits_for_any_more_is_called_off(call: Call, by: str) -> None:
    await call.primary.blind_conference("1002")
    invited = await call.target.next_call(WAIT)
    if by == "agent":
        await call.primary.release()
    elif by == "customer":
        await call.customers_call.hangup()
    else:
        # It rings: where nobody can be reached the customer would come back to the agent.
        outsider = await call.desk.phones.phone("2002")
        await call.primary.blind_transfer("2002")
        await outsider.next_call(WAIT)
    await invited.wait_state("ended", WAIT)
    await call.customers_call.hangup()
    await call.over()


@EITHER
async def test_who_is_invited_joins_the_others_though_the_agent_has_left(call: Call) -> None:
    await call.consult()
    await call.interaction.consult_conference()
    fourth = await call.desk.phones.phone("2002")
    await call.primary.blind_conference("2002")
    ringing = await fourth.next_call(WAIT)
    await call.primary.release()
    await call.interaction.wait_state(ENDED)
    await ringing.answer()
    await expect_hears(
        {call.customer: {"1002", "2002"}, call.target: {"2001", "2002"}, fourth: {"2001", "1002"}}
    )
    await call.customers_call.hangup()
    await expect_hears({call.target: {"2002"}, fourth: {"1002"}})
    await ringing.hangup()
    await call.over()


@EITHER
async def test_without_the_connector_who_is_invited_into_an_empty_room_is_let_go(
    call: Call, provider: LabProvider
) -> None:
    await call.primary.blind_conference("1002")
    invited = await call.target.next_call(WAIT)
    await call.desk.connector.pbx.close()
    await call.agent.calls[0].hangup()
    await call.customers_call.wait_state("ended", WAIT)
    await invited.answer()
    await invited.wait_state("ended", WAIT)
    # Nobody was there to log the agent out.
    for queue in ("support", "sales"):
        provider.asterisk_cli(f"queue remove member PJSIP/1001 from {queue}")


@EITHER
async def test_a_conference_is_handed_on_to_a_consult_that_still_rings(call: Call) -> None:
    await call.consult()
    await call.interaction.consult_conference()
    fourth = await call.desk.phones.phone("2002")
    consult = await call.interaction.consult("2002")
    first = await fourth.next_call(WAIT)
    await call.interaction.consult_transfer()
    await call.interaction.wait_state(ENDED)
    assert (call.primary.cause, consult.cause) == (Cause.TRANSFERRED, Cause.TRANSFERRED)
    await first.wait_state("ended", WAIT)
    await expect_hears({call.customer: {"1002"}, call.target: {"2001"}})
    second = await fourth.next_call(WAIT)
    await second.answer()
    await expect_hears(
        {call.customer: {"1002", "2002"}, call.target: {"2001", "2002"}, fourth: {"2001", "1002"}}
    )
    await call.customers_call.hangup()
    await call.target.calls[0].hangup()
    await second.wait_state("ended", WAIT)
    await call.over()


@EITHER
async def test_the_members_of_a_conference_go_on_if_the_consulted_does_not_come(call: Call) -> None:
    await call.consult()
    await call.interaction.consult_conference()
    assert call.primary.state is TALKING
    fourth = await call.desk.phones.phone("2002")
    await call.interaction.consult("2002")
    await fourth.next_call(WAIT)
    await call.interaction.consult_transfer()
    await call.interaction.wait_state(ENDED)
    await (await fourth.next_call(WAIT)).reject(486)
    await expect_hears({call.customer: {"1002"}, call.target: {"2001"}})
    await call.customers_call.hangup()
    await call.over()


async def test_a_caller_whose_transfer_was_refused_is_an_orphan_when_the_agent_goes(
    provider: LabProvider, lab: LabInfo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with desk(provider, lab, tmp_path, ORPHANS_TO_SALES) as at:
        call = await make_call(at, "queue")
        taker = await at.agent_phone("1003")
        colleague = await at.login("1003")
        await call.consult()
        link, model = at.connector.pbx._link, at.connector.pbx.model
        send, about = link.send, model.interaction(call.interaction.nativeid)
        assert about is not None

        async def hang_up_first(action: str, fields: Any) -> Any:
            if action == "Redirect":
                await call.target.calls[0].hangup()
            return await send(action, fields)

        with monkeypatch.context() as at_the_worst_moment:
            at_the_worst_moment.setattr(link, "send", hang_up_first)
            with pytest.raises(BridgeRequestFailed, match="could not be moved"):
                await call.interaction.consult_transfer()
        assert call.primary.state is HELD
        taker.answer_mode = "auto"
        await call.agent.calls[0].hangup()
        received = await colleague.channel.next_interaction()
        await expect_hears({call.customer: {"1003"}, taker: {"2001"}})
        await call.customers_call.hangup()
        await received.wait_state(ENDED)
        await colleague.close()
        await call.over()


async def test_a_failed_transfer_rings_no_agent_who_has_logged_out_meanwhile(
    provider: LabProvider, lab: LabInfo, tmp_path: Path
) -> None:
    async with desk(provider, lab, tmp_path, ORPHANS_TO_SALES) as at:
        call = await make_call(at, "queue")
        taker = await at.agent_phone("1003")
        colleague = await at.login("1003")
        taker.answer_mode = "auto"
        await call.primary.blind_transfer("1002")
        ringing = await call.target.next_call(WAIT)
        await call.over()
        # The caller's leg has been told when an action that comes later is answered.
        await at.connector.pbx._link.send("Ping")
        await ringing.reject(486)
        received = await colleague.channel.next_interaction()
        assert received.data["RETURNED_BECAUSE"] == "BUSY"
        await expect_hears({call.customer: {"1003"}, taker: {"2001"}})
        assert not call.agent.calls
        await call.customers_call.hangup()
        await received.wait_state(ENDED)
        await colleague.close()


async def test_who_declines_a_caller_from_another_queue_is_asked_once(at_desk: Desk) -> None:
    call = await make_call(at_desk, "direct")
    taker = await at_desk.agent_phone("1003")
    colleague = await at_desk.login("1003")
    await call.primary.blind_transfer("7001")
    offered = await colleague.channel.next_interaction()
    assert offered.data["QUEUE"] == "sales"
    assert "WAIT_TIME" in offered.data
    await (await taker.next_call(WAIT)).reject(486)
    await colleague.channel.wait_state(agent_state=AgentState.NOT_READY)
    await offered.wait_state(ENDED)
    await call.customers_call.hangup()
    await colleague.close()
    await call.over()


@pytest.mark.parametrize("call", ORIGINS, indirect=True)
async def test_a_menu_that_is_consulted_can_be_left_for_good_or_be_given_the_caller(call: Call) -> None:
    consult = await call.interaction.consult("9000")
    await consult.wait_state(TALKING)
    await expect_hears({call.agent: {"1001"}, call.customer: {"MOH"}})
    for act in (
        call.interaction.alternate,
        call.primary.retrieve,
        consult.hold,
        call.interaction.consult_conference,
    ):
        with pytest.raises(
            BridgeRequestFailed, match=r"The consult call has no other party .* it is TALKING with a menu"
        ):
            await act()
    await expect_hears({call.agent: {"1001"}, call.customer: {"MOH"}})
    await consult.release()
    await expect_hears({call.agent: {"2001"}, call.customer: {"1001"}})
    consult = await call.interaction.consult("9000")
    await consult.wait_state(TALKING)
    await call.interaction.consult_transfer()
    await expect_hears({call.customer: {"2001"}})
    await call.customers_call.hangup()
    await call.over()
