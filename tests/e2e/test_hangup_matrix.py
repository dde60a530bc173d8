"""The hang-up matrix: each party hangs up in each state; who hears whom then, and is the agent free again."""

from collections.abc import Mapping
from typing import Literal

import pytest
from calls import DIALING, HELD, ORIGINS, TALKING, Call, Origin, make_call
from desk import WAIT, Desk
from hangups import ALONE, GO_ON, WITH_TARGET, WITHOUT_AGENT, Heard, Outcome, Who, somebody_hangs_up

from connector.bridge.catalogue.conversation import Cause
from connector.lab.phones.hearing import expect_hears
from connector.processor.handles import Conversation

State = Literal[
    "talking", "held", "ringing", "consulting", "alternated", "both held", "conference", "retrieved"
]
ON_HOLD: Heard = {"agent": set(), "customer": {"MOH"}}

MATRIX: Mapping[tuple[State, Who], Outcome] = {
    ("talking", "agent"): ALONE,
    ("talking", "customer"): ALONE,
    ("held", "agent"): ALONE,
    ("held", "customer"): ALONE,
    ("ringing", "agent"): Outcome(Cause.NORMAL, Cause.CANCELLED),
    ("ringing", "customer"): Outcome(Cause.NORMAL, DIALING, {"agent": {"RINGBACK"}, "target": set()}),
    ("ringing", "target"): Outcome(HELD, Cause.BUSY, ON_HOLD),
    ("consulting", "agent"): Outcome(Cause.NORMAL, Cause.NORMAL),
    ("consulting", "customer"): Outcome(Cause.NORMAL, TALKING, WITH_TARGET),
    ("consulting", "target"): Outcome(HELD, Cause.NORMAL, ON_HOLD),
    ("alternated", "agent"): Outcome(Cause.NORMAL, Cause.NORMAL),
    ("alternated", "customer"): Outcome(Cause.NORMAL, HELD, {"agent": set(), "target": {"MOH"}}),
    ("alternated", "target"): Outcome(TALKING, Cause.NORMAL, GO_ON),
    ("both held", "agent"): Outcome(Cause.NORMAL, Cause.NORMAL),
    ("both held", "customer"): Outcome(Cause.NORMAL, HELD, {"agent": set(), "target": {"MOH"}}),
    ("both held", "target"): Outcome(HELD, Cause.NORMAL, ON_HOLD),
    ("conference", "agent"): Outcome(Cause.NORMAL, Cause.CONFERENCED, WITHOUT_AGENT),
    ("conference", "customer"): Outcome(TALKING, Cause.CONFERENCED, WITH_TARGET),
    ("conference", "target"): Outcome(TALKING, Cause.CONFERENCED, GO_ON),
    ("retrieved", "agent"): ALONE,
    ("retrieved", "customer"): ALONE,
}


async def _bring_to(call: Call, state: State) -> Conversation | None:
    """Bring a fresh call into a state; return its consult conversation, if that has one."""
    consult = None
    if state in {"held", "retrieved"}:
        await call.primary.hold()
    if state == "retrieved":
        await call.primary.retrieve()
    if state == "ringing":
        consult = await call.interaction.consult("1002")
        await call.target.next_call(WAIT)
        await expect_hears({call.agent: {"RINGBACK"}, call.customer: {"MOH"}})
    if state in {"consulting", "alternated", "both held", "conference"}:
        consult = await call.consult()
    if state == "both held" and consult is not None:
        await consult.hold()
    if state == "alternated":
        await call.interaction.alternate()
    if state == "conference":
        await call.interaction.consult_conference()
    return consult


@pytest.mark.parametrize("origin", ORIGINS)
@pytest.mark.parametrize(("state", "who"), MATRIX)
async def test_somebody_hangs_up(at_desk: Desk, state: State, who: Who, origin: Origin) -> None:
    call = await make_call(at_desk, origin)
    consult = await _bring_to(call, state)
    await somebody_hangs_up(call, who, consult, MATRIX[state, who])
