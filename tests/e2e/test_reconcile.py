"""Events that never come: a request is answered by what the PBX says when it is asked."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cable import DeafCable
from calls import DIALING, ENDED, HELD, RELEASED, TALKING, Call, make_call
from desk import WAIT, Desk, desk

from connector.bridge.catalogue.channel import AgentState
from connector.lab.phones.hearing import expect_hears
from connector.lab.provider import LabInfo, LabProvider


@pytest.fixture
async def cable(lab: LabInfo) -> AsyncIterator[DeafCable]:
    async with DeafCable(lab.host, lab.ports.ami) as found:
        yield found


@pytest.fixture
async def far_desk(
    provider: LabProvider, lab: LabInfo, tmp_path: Path, cable: DeafCable
) -> AsyncIterator[Desk]:
    """Run a desk behind the cable whose connector does not wait long for events."""
    over = {"asterisk": {"host": "127.0.0.1", "port": cable.port}, "limits": {"proof_timeout": 0.5}}
    async with desk(provider, lab, tmp_path, over) as found:
        yield found


async def test_every_operation_is_answered_by_what_is_true(far_desk: Desk, cable: DeafCable) -> None:
    call = await make_call(far_desk, "queue")
    cable.deaf = True
    await call.primary.hold()
    await expect_hears({call.agent: set(), call.customer: {"MOH"}})
    await call.primary.retrieve()
    await expect_hears({call.agent: {"2001"}, call.customer: {"1001"}})
    assert call.primary.states[-3:] == [TALKING, HELD, TALKING]

    consult = await call.interaction.consult("1002")
    assert (call.primary.state, consult.state) == (HELD, DIALING)
    await (await call.target.next_call(WAIT)).answer()
    await expect_hears({call.agent: {"1002"}, call.target: {"1001"}, call.customer: {"MOH"}})
    # Nobody waits for the answer of the far end: it is seen with the next operation.
    cable.deaf = False
    await _ask(call)
    await consult.wait_state(TALKING)

    cable.deaf = True
    await call.interaction.alternate()
    assert (call.primary.state, consult.state) == (TALKING, HELD)
    await expect_hears({call.agent: {"2001"}, call.customer: {"1001"}, call.target: {"MOH"}})
    await call.interaction.consult_conference()
    assert (call.primary.state, consult.state) == (TALKING, RELEASED)
    await expect_hears(
        {call.agent: {"2001", "1002"}, call.customer: {"1001", "1002"}, call.target: {"1001", "2001"}}
    )
    await call.primary.release()
    await call.interaction.wait_state(ENDED)
    await expect_hears({call.customer: {"1002"}, call.target: {"2001"}})
    await call.session.channel.not_ready()
    assert call.session.channel.agent_state is AgentState.NOT_READY
    assert {"BridgeEnter", "ConfbridgeJoin", "Hangup", "QueueMemberPause"} <= set(cable.swallowed)
    await call.customers_call.hangup()
    cable.deaf = False
    await call.over()


async def test_a_transfer_and_a_dial_are_answered_by_what_is_true(far_desk: Desk, cable: DeafCable) -> None:
    call = await make_call(far_desk, "direct")
    cable.deaf = True
    await call.primary.blind_transfer("1002")
    await call.interaction.wait_state(ENDED)
    await (await call.target.next_call(WAIT)).answer()
    await expect_hears({call.customer: {"1002"}, call.target: {"2001"}})
    await call.customers_call.hangup()
    await call.interaction.complete()

    interaction = await call.session.channel.dial("2001")
    await (await call.customer.next_call(WAIT)).answer()
    await expect_hears({call.agent: {"2001"}, call.customer: {"1001"}})
    cable.deaf = False
    await interaction.primary.release()
    await interaction.wait_state(ENDED)
    await interaction.complete()
    await call.session.close()


async def test_what_did_not_happen_is_refused_with_the_state(far_desk: Desk, cable: DeafCable) -> None:
    call = await make_call(far_desk, "direct")
    pbx = far_desk.connector.pbx
    usual = pbx._link.send

    async def lost(action: str, *rest: object, **options: object) -> object:
        if action == "Redirect":
            return None
        return await usual(action, *rest, **options)  # type: ignore[arg-type]

    pbx._link.send = lost  # type: ignore[method-assign, assignment]
    reply = await far_desk.bridge.request(call.primary.target, "conversation.request.hold", {})
    assert reply.error_message == (
        "The telephone system did not confirm in time: primary conversation HELD. It is TALKING."
    )
    pbx._link.send = usual  # type: ignore[method-assign]
    await call.primary.hold()
    await call.primary.release()
    await call.over()


async def _ask(call: Call) -> None:
    """Have the PBX's lists read, as the next overdue proof would."""
    await call.desk.connector.pbx._reconciler.settle()
