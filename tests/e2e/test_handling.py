"""Hold, consult, alternate, transfer and conference, proven by ear."""

import asyncio

import pytest
from calls import ENDED, HELD, ORIGINS, RELEASED, TALKING, Call
from desk import WAIT, cause_of

from connector.bridge.catalogue.conversation import Cause
from connector.lab.phones.hearing import expect_hears
from connector.processor.problems import BridgeRequestFailed

pytestmark = pytest.mark.parametrize("call", ORIGINS, indirect=True)


async def test_hold_and_retrieve(call: Call) -> None:
    for _ in range(2):
        await call.primary.hold()
        assert call.primary.state is HELD
        await expect_hears({call.agent: set(), call.customer: {"MOH"}})
        # Silence, and not nothing: phones end calls on which no audio comes.
        assert call.agent.calls[0].ear.receiving()
        await call.primary.retrieve()
        assert call.primary.state is TALKING
        await expect_hears({call.agent: {"2001"}, call.customer: {"1001"}})
    await call.primary.release()
    assert call.primary.cause is Cause.NORMAL
    await call.customers_call.wait_state("ended", WAIT)
    await call.over()


async def test_a_party_on_hold_hangs_up_and_the_agent_is_free(call: Call) -> None:
    agents_call = call.agent.calls[0]
    await call.primary.hold()
    await call.customers_call.hangup()
    await call.primary.wait_state(RELEASED)
    await call.over()
    await agents_call.wait_state("ended", WAIT)


async def test_releasing_a_held_call_ends_it_for_both(call: Call) -> None:
    await call.primary.hold()
    await call.primary.release()
    await call.customers_call.wait_state("ended", WAIT)
    await call.over()


async def test_consult_alternate_and_back(call: Call) -> None:
    consult = await call.consult()
    for _ in range(2):
        await call.interaction.alternate()
        assert (call.primary.state, consult.state) == (TALKING, HELD)
        await expect_hears({call.agent: {"2001"}, call.customer: {"1001"}, call.target: {"MOH"}})
        await call.interaction.alternate()
        assert (call.primary.state, consult.state) == (HELD, TALKING)
        await expect_hears({call.agent: {"1002"}, call.customer: {"MOH"}, call.target: {"1001"}})
    await consult.release()
    await call.primary.wait_state(TALKING)
    await expect_hears({call.agent: {"2001"}, call.customer: {"1001"}})
    await call.primary.release()
    await call.over()


@pytest.mark.parametrize("last", ["primary", "consult"])
async def test_alternate_with_both_on_hold_goes_to_the_one_that_did_not_talk_last(
    call: Call, last: str
) -> None:
    consult = await call.consult()
    if last == "primary":
        await call.interaction.alternate()
    await (call.primary if last == "primary" else consult).hold()
    assert (call.primary.state, consult.state) == (HELD, HELD)
    await call.interaction.alternate()
    if last == "primary":
        assert (call.primary.state, consult.state) == (HELD, TALKING)
        await expect_hears({call.agent: {"1002"}, call.customer: {"MOH"}, call.target: {"1001"}})
    else:
        assert (call.primary.state, consult.state) == (TALKING, HELD)
        await expect_hears({call.agent: {"2001"}, call.customer: {"1001"}, call.target: {"MOH"}})
    await call.interaction.consult_transfer()
    await call.customers_call.hangup()
    await call.over()


async def test_a_consult_is_cancelled_while_it_rings(call: Call) -> None:
    consult = await call.interaction.consult("1002")
    ringing = await call.target.next_call(WAIT)
    await consult.release()
    await ringing.wait_state("ended", WAIT)
    await expect_hears({call.agent: {"2001"}, call.customer: {"1001"}})
    await call.primary.release()
    await call.over()


async def test_a_consult_to_somebody_busy_leaves_the_primary_on_hold(call: Call) -> None:
    call.target.answer_mode = 486
    consult = await call.interaction.consult("1002")
    await consult.wait_state(RELEASED)
    assert consult.cause is Cause.BUSY
    assert call.primary.state is HELD
    await expect_hears({call.agent: set(), call.customer: {"MOH"}})
    await call.primary.retrieve()
    await expect_hears({call.agent: {"2001"}, call.customer: {"1001"}})
    await call.primary.release()
    await call.over()


@pytest.mark.parametrize("alternated", [False, True])
async def test_consult_transfer(call: Call, alternated: bool) -> None:
    consult = await call.consult()
    if alternated:
        await call.interaction.alternate()
    agents_call = call.agent.calls[0]
    await call.interaction.consult_transfer()
    await call.interaction.wait_state(ENDED)
    assert call.primary.cause is Cause.TRANSFERRED
    assert consult.cause is Cause.TRANSFERRED
    await expect_hears({call.customer: {"1002"}, call.target: {"2001"}})
    await agents_call.wait_state("ended", WAIT)
    await call.customers_call.hangup()
    await call.over()


async def test_transfer_to_a_consult_that_still_rings(call: Call) -> None:
    await call.interaction.consult("1002")
    await call.target.next_call(WAIT)
    await call.interaction.consult_transfer()
    await call.interaction.wait_state(ENDED)
    await (await call.target.next_call(WAIT)).answer()
    await expect_hears({call.customer: {"1002"}, call.target: {"2001"}})
    await call.customers_call.hangup()
    await call.over()


async def test_consult_conference_and_the_agent_leaves_it(call: Call) -> None:
    consult = await call.consult()
    await call.interaction.consult_conference()
    assert consult.state is RELEASED
    assert consult.cause is Cause.CONFERENCED
    assert call.primary.state is TALKING
    await call.primary.wait_members(lambda members: {one.address for one in members} == {"2001", "1002"})
    await expect_hears(
        {call.agent: {"2001", "1002"}, call.customer: {"1001", "1002"}, call.target: {"1001", "2001"}}
    )
    await call.primary.release()
    await call.interaction.wait_state(ENDED)
    await expect_hears({call.customer: {"1002"}, call.target: {"2001"}})
    await call.customers_call.hangup()
    await call.over()


async def test_one_leaves_a_conference_and_the_others_go_on(call: Call) -> None:
    await call.consult()
    await call.interaction.consult_conference()
    await call.target.calls[0].hangup()
    await call.primary.wait_members(lambda members: [one.address for one in members] == ["2001"])
    await expect_hears({call.agent: {"2001"}, call.customer: {"1001"}})
    await call.primary.release()
    await call.customers_call.wait_state("ended", WAIT)
    await call.over()


async def test_blind_transfer(call: Call) -> None:
    await call.primary.blind_transfer("1002")
    await call.interaction.wait_state(ENDED)
    assert cause_of(call.interaction) is Cause.TRANSFERRED
    await (await call.target.next_call(WAIT)).answer()
    await expect_hears({call.customer: {"1002"}, call.target: {"2001"}})
    await call.customers_call.hangup()
    await call.over()


async def test_a_transfer_to_a_number_that_does_not_exist_changes_nothing(call: Call) -> None:
    for name in ("conversation.request.blindtransfer", "conversation.request.blindconference"):
        reply = await call.desk.bridge.request(call.primary.target, name, {"destination": "8888"})
        assert reply.error_message == "The number 8888 does not exist."
    reply = await call.desk.bridge.request(
        call.interaction.target, "interaction.request.consult", {"destination": "8888"}
    )
    assert reply.error_message == "The number 8888 does not exist."
    assert call.primary.state is TALKING
    await expect_hears({call.agent: {"2001"}, call.customer: {"1001"}})
    await call.primary.release()
    await call.over()


async def test_blind_conference(call: Call) -> None:
    await call.primary.blind_conference("1002")
    await (await call.target.next_call(WAIT)).answer()
    await call.primary.wait_members(lambda members: len(members) == 2)
    await expect_hears(
        {call.agent: {"2001", "1002"}, call.customer: {"1001", "1002"}, call.target: {"1001", "2001"}}
    )
    await call.target.calls[0].hangup()
    await call.primary.wait_members(lambda members: len(members) == 1)
    await expect_hears({call.agent: {"2001"}, call.customer: {"1001"}})
    await call.primary.release()
    await call.over()


async def test_tones_reach_the_customer(call: Call) -> None:
    await call.primary.send_dtmf("12#")
    await call.customers_call.wait_dtmf("12#", WAIT)
    await call.primary.release()
    await call.over()


async def test_tones_are_no_code_of_the_pbx(call: Call) -> None:
    # Blind transfer and attended transfer in features.conf; a desktop may send each key by itself.
    for tones in ("9#1", "*", "2"):
        await call.primary.send_dtmf(tones)
    await call.customers_call.wait_dtmf("9#1*2", WAIT)
    await expect_hears({call.agent: {"2001"}, call.customer: {"1001"}})
    assert call.primary.state is TALKING
    await call.primary.release()
    await call.over()


async def test_tones_end_with_their_call(call: Call) -> None:
    consult = await call.consult()
    sending = asyncio.create_task(consult.send_dtmf("1" * 20))
    await call.target.calls[0].wait_dtmf("1", WAIT)
    await call.target.calls[0].hangup()
    with pytest.raises(BridgeRequestFailed, match=r"did not go on: \d+ of 20 tones"):
        await sending
    await call.interaction.primary.retrieve()
    await expect_hears({call.agent: {"2001"}, call.customer: {"1001"}})
    assert call.customers_call.dtmf_received == ""
    await call.primary.release()
    await call.over()


async def test_nothing_waits_for_tones(call: Call) -> None:
    sending = asyncio.create_task(call.primary.send_dtmf("1" * 64))
    await call.customers_call.wait_dtmf("1", WAIT)
    await call.primary.hold()
    with pytest.raises(BridgeRequestFailed, match=r"did not go on: \d of 64 tones"):
        await sending
    await call.primary.retrieve()
    heard = call.customers_call.dtmf_received
    sending = asyncio.create_task(call.primary.send_dtmf("2" * 64))
    await call.customers_call.wait_dtmf(f"{heard}2", WAIT)
    await call.primary.release()
    with pytest.raises(BridgeRequestFailed, match=r"did not go on: \d of 64 tones"):
        await sending
    await call.over()


async def test_interaction_data_is_set_changed_and_travels_with_a_transfer(call: Call) -> None:
    address = {"city": "Köln", "zip": "50667"}
    await call.interaction.set_data({"ACCOUNT": "4711", "ADDRESS": address, "SCORE": 1.5})
    await call.interaction.wait_data(lambda data: (data.get("ACCOUNT"), data.get("SCORE")) == ("4711", 1.5))
    assert (await call.interaction.get_data())["ADDRESS"] == address
    with pytest.raises(BridgeRequestFailed, match="CAUSE is the connector's own"):
        await call.interaction.set_data({"CAUSE": "BUSY"})
    await call.interaction.delete_data(["ADDRESS"])
    assert "ADDRESS" not in await call.interaction.get_data()
    colleague = await call.desk.login("1002", ready=False)
    await call.primary.blind_transfer("1002")
    received = await colleague.channel.next_interaction()
    assert (received.data["ACCOUNT"], received.data["SCORE"]) == ("4711", "1.5")
    await (await call.target.next_call(WAIT)).answer()
    await received.primary.wait_state(TALKING)
    await call.customers_call.hangup()
    await received.wait_state(ENDED)
    await colleague.close()
    await call.over()


async def test_a_verb_in_the_wrong_state_says_which(call: Call) -> None:
    async def refused(target: str, name: str, **body: str) -> str:
        reply = await call.desk.bridge.request(target, name, body)
        assert reply.error_message is not None
        return reply.error_message

    said = await refused(call.primary.target, "conversation.request.retrieve")
    assert said == "Only a call that is HELD can be retrieved: this one is TALKING."
    for verb in ("alternate", "consulttransfer", "consultconference"):
        said = await refused(call.interaction.target, f"interaction.request.{verb}")
        assert said == "There is no consult call."
    await call.primary.hold()
    said = await refused(call.primary.target, "conversation.request.hold")
    assert said == "Only a call that is TALKING can be held: this one is HELD."
    await call.primary.retrieve()
    await call.primary.release()
    await call.over()


async def test_a_consult_that_another_tool_starts_is_told(call: Call) -> None:
    ami, leg = call.desk.connector.pbx._link, call.interaction.nativeid
    await call.primary.hold()
    for name, value in {
        "HARMONY_DEST": "1002",
        "HARMONY_CTX": call.desk.info.dial_context,
        "HARMONY_TIMEOUT": "20",
    }.items():
        await ami.send("Setvar", {"Channel": leg, "Variable": name, "Value": value})
    place = {"Context": "harmony-dconsult", "Exten": "s", "Priority": "1"}
    await ami.send("Redirect", {"Channel": leg, **place})
    consult = await call.interaction.wait_consult()
    await (await call.target.next_call(WAIT)).answer()
    await consult.wait_state(TALKING)
    await expect_hears({call.agent: {"1002"}, call.target: {"1001"}, call.customer: {"MOH"}})
    await call.interaction.consult_transfer()
    await expect_hears({call.customer: {"1002"}, call.target: {"2001"}})
    await call.customers_call.hangup()
    await call.over()
