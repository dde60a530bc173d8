"""The hang-up matrix of the strategy atxfer: what Asterisk's own attended transfer makes of each hang-up."""

from collections.abc import Mapping
from typing import Literal

import pytest
from atxfer_desk import agent_and_customer_talk, ring
from calls import HELD, ORIGINS, RELEASED, TALKING, Call, Origin, make_call
from desk import Desk
from hangups import ALONE, GO_ON, WITH_TARGET, WITHOUT_AGENT, Outcome, Who, somebody_hangs_up
from phone_keys import hold

from connector.bridge.catalogue.conversation import Cause
from connector.lab.phones.hearing import expect_hears
from connector.processor.handles import Conversation

pytestmark = pytest.mark.atxfer

State = Literal[
    "talking",
    "held",
    "ringing",
    "busy tone",
    "consulting",
    "alternated",
    "conference",
    "retrieved",
    "with the target",
]
"""Held is: on the phone. Retrieved: from a consult. With the target: the customer has gone in the consult."""

TRANSFERRED = Outcome(Cause.TRANSFERRED, Cause.TRANSFERRED, WITHOUT_AGENT, cause=Cause.TRANSFERRED)

MATRIX: Mapping[tuple[State, Who], Outcome] = {
    ("talking", "agent"): ALONE,
    ("talking", "customer"): ALONE,
    ("held", "agent"): ALONE,
    ("held", "customer"): ALONE,
    ("ringing", "agent"): Outcome(
        Cause.TRANSFERRED,
        Cause.TRANSFERRED,
        {"customer": {"RINGBACK"}, "target": set()},
        WITHOUT_AGENT,
        Cause.TRANSFERRED,
    ),
    ("ringing", "customer"): Outcome(Cause.NORMAL, Cause.CANCELLED),
    ("ringing", "target"): Outcome(TALKING, Cause.BUSY, GO_ON),
    ("busy tone", "agent"): Outcome(
        Cause.TRANSFERRED, Cause.BUSY, {"customer": {"RINGBACK"}}, cause=Cause.TRANSFERRED
    ),
    ("busy tone", "customer"): Outcome(Cause.NORMAL, Cause.BUSY),
    ("consulting", "agent"): TRANSFERRED,
    ("consulting", "customer"): Outcome(Cause.NORMAL, TALKING, WITH_TARGET),
    ("consulting", "target"): Outcome(TALKING, Cause.NORMAL, GO_ON),
    ("alternated", "agent"): TRANSFERRED,
    ("alternated", "customer"): Outcome(Cause.NORMAL, Cause.NORMAL),
    ("alternated", "target"): Outcome(TALKING, Cause.NORMAL, GO_ON),
    ("conference", "agent"): Outcome(Cause.NORMAL, Cause.CONFERENCED, WITHOUT_AGENT),
    ("conference", "customer"): Outcome(TALKING, Cause.CONFERENCED, WITH_TARGET),
    ("conference", "target"): Outcome(TALKING, Cause.CONFERENCED, GO_ON),
    ("retrieved", "agent"): Outcome(Cause.NORMAL, Cause.NORMAL),
    ("retrieved", "customer"): Outcome(Cause.NORMAL, Cause.NORMAL),
    ("with the target", "agent"): Outcome(Cause.NORMAL, Cause.NORMAL),
    ("with the target", "target"): Outcome(Cause.NORMAL, Cause.NORMAL),
}


async def _bring_to(call: Call, state: State) -> Conversation | None:
    """Bring a fresh call into a state; return its consult conversation, if that has one."""
    if state == "talking":
        return None
    if state == "held":
        await hold(call)
        return None
    if state == "ringing":
        consult, _targets_call = await ring(call)
        return consult
    if state == "busy tone":
        consult = await call.interaction.consult("9001")
        await consult.wait_state(RELEASED)
        assert call.primary.state is HELD
        return consult
    consult = await call.consult()
    if state == "alternated":
        await call.interaction.alternate()
    elif state == "conference":
        await call.interaction.consult_conference()
    elif state == "retrieved":
        await consult.release()
        await agent_and_customer_talk(call)
    elif state == "with the target":
        await call.customers_call.hangup()
        await call.primary.wait_state(RELEASED)
        await expect_hears({call.agent: {"1002"}, call.target: {"1001"}})
    return consult


@pytest.mark.parametrize("origin", ORIGINS)
@pytest.mark.parametrize(("state", "who"), MATRIX)
async def test_somebody_hangs_up(at_desk: Desk, state: State, who: Who, origin: Origin) -> None:
    call = await make_call(at_desk, origin)
    consult = await _bring_to(call, state)
    await somebody_hangs_up(call, who, consult, MATRIX[state, who])
