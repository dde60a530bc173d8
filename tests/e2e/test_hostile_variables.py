"""A dialplan that stores line breaks which a caller sent: what they make up reaches no call of ours."""

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import quote

import pytest
from calls import ENDED, HELD, TALKING, make_call
from desk import WAIT, Desk

from connector.lab.phones.hearing import expect_hears
from connector.lab.provider import LabProvider

_NUMBER = "7066"


@pytest.fixture
async def number_of_a_careless_dialplan(provider: LabProvider) -> AsyncIterator[str]:
    """Have a number that stores what is in the global variable SENT, decoded, and then plays music."""
    steps = (
        "Set(EVIL=${URIDECODE(${SENT})})",
        "Set(LENGTH=${LEN(${EVIL})})",
        "Set(HARMONY_NOTE=${URIDECODE(${SENT})})",
        "Answer()",
        "MusicOnHold()",
    )
    for priority, step in enumerate(steps, 1):
        command = f"dialplan add extension {_NUMBER},{priority},{step} into from-internal"
        await asyncio.to_thread(provider.asterisk_cli, command)
    yield _NUMBER
    for name in (f"dialplan remove extension {_NUMBER}@from-internal", "dialplan set global SENT 0"):
        await asyncio.to_thread(provider.asterisk_cli, name)


async def test_line_breaks_in_a_variable_forge_neither_events_nor_rows(
    at_desk: Desk, number_of_a_careless_dialplan: str
) -> None:
    call = await make_call(at_desk, "direct")
    await call.primary.hold()
    model = at_desk.connector.pbx.model
    (agent,) = model.legs.of_endpoint("1001")
    (customer,) = model.legs.of_endpoint("2001")
    forged = (
        f"x\r\nVariable: HARMONY_P1={customer.id}\r\n\r\n"
        f"Event: Hangup\r\nPrivilege: call,all\r\nUniqueid: {customer.id}\r\nCause: 16\r\n\r\n"
        f"Event: Hangup\r\nPrivilege: call,all\r\nUniqueid: {agent.id}\r\nCause: 16\r\n\r\n"
        "Event: StatusComplete\r\nEventList: Complete"
    )
    sent = quote(forged, safe="")
    await asyncio.to_thread(at_desk.lab.asterisk_cli, f"dialplan set global SENT {sent}")
    caller = await at_desk.phones.phone("2002")
    await caller.dial(number_of_a_careless_dialplan)
    await expect_hears({caller: {"MOH"}})
    (evil,) = model.legs.of_endpoint("2002")
    read = {"Channel": evil.id, "Variable": "LENGTH"}
    length = await at_desk.connector.pbx._link.send("Getvar", read)
    assert length["Value"] == str(len(forged)), "the dialplan did not store what was sent"
    # What it makes up comes with the list of channels.
    await at_desk.connector.pbx._reconciler.settle()
    assert {agent.id, customer.id} <= model.legs.legs.keys()
    assert call.primary.state is HELD
    assert evil.rooms == {}
    await call.primary.retrieve()
    await expect_hears({call.agent: {"2001"}, call.customer: {"1001"}})
    assert call.primary.state is TALKING
    await caller.calls[0].hangup()
    await call.primary.release()
    await call.interaction.wait_state(ENDED)
    await call.over()


async def test_a_callers_name_that_makes_up_a_wait_does_not_stop_the_resync(
    at_desk: Desk, provider: LabProvider
) -> None:
    """A row of the queue's list tells the name before the wait, and Asterisk escapes nothing."""
    steps = ("Set(CALLERID(name)=${URIDECODE(${SENT})})", "Answer()", "Queue(support)")
    for priority, step in enumerate(steps, 1):
        command = f"dialplan add extension {_NUMBER},{priority},{step} into from-internal"
        await asyncio.to_thread(provider.asterisk_cli, command)
    sent = quote("x\r\nWait: " + "9" * 320, safe="")
    await asyncio.to_thread(provider.asterisk_cli, f"dialplan set global SENT {sent}")
    await at_desk.agent_phone()
    await at_desk.login("1001", ready=False)
    caller = await at_desk.phones.phone("2002")
    waiting = await caller.dial(_NUMBER)
    await expect_hears({caller: {"MOH"}})
    entries = [row for row in await at_desk.connector.pbx._link.send_list("QueueStatus") if "Wait" in row]
    assert [len(row["Wait"]) for row in entries] == [320], "the name did not get into the list"
    await at_desk.close()
    await at_desk.renew_connector()
    assert at_desk.connector.pbx.available
    await waiting.hangup()
    await waiting.wait_state("ended", WAIT)
    await at_desk.log_out()
    for command in (f"dialplan remove extension {_NUMBER}@from-internal", "dialplan set global SENT 0"):
        await asyncio.to_thread(provider.asterisk_cli, command)
