"""The hang-up matrix: each party hangs up in each state; who hears whom then, and is the agent free again."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import pytest
from calls import DIALING, ENDED, HELD, ORIGINS, RELEASED, TALKING, Call, Origin, make_call
from desk import WAIT, Desk, cause_of
from members import members, until_queues

from connector.bridge.catalogue.conversation import Cause, ConversationState
from connector.lab.phones.base import Phone
from connector.lab.phones.hearing import expect_hears
from connector.processor.handles import Conversation

State = Literal[
    "talking", "held", "ringing", "consulting", "alternated", "both held", "conference", "retrieved"
]
Who = Literal["agent", "customer", "target"]

LATER_CALLER = "2002"


@dataclass(frozen=True)
class Outcome:
    """What is left after somebody hung up: both conversations, and who hears whom (others are gone)."""

    primary: ConversationState | Cause
    consult: ConversationState | Cause | None = None
    hears: Mapping[Who, set[str]] | None = None


ALONE = Outcome(Cause.NORMAL)
GO_ON: Mapping[Who, set[str]] = {"agent": {"2001"}, "customer": {"1001"}}
WITH_TARGET: Mapping[Who, set[str]] = {"agent": {"1002"}, "target": {"1001"}}
ON_HOLD: Mapping[Who, set[str]] = {"agent": set(), "customer": {"MOH"}}

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
    ("conference", "agent"): Outcome(
        Cause.NORMAL, Cause.CONFERENCED, {"customer": {"1002"}, "target": {"2001"}}
    ),
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


async def _is(conversation: Conversation, wanted: ConversationState | Cause) -> None:
    if isinstance(wanted, Cause):
        await conversation.wait_state(RELEASED)
        assert conversation.cause is wanted
    else:
        await conversation.wait_state(wanted)


@pytest.mark.parametrize("origin", ORIGINS)
@pytest.mark.parametrize(("state", "who"), MATRIX)
async def test_somebody_hangs_up(at_desk: Desk, state: State, who: Who, origin: Origin) -> None:
    expected = MATRIX[state, who]
    call = await make_call(at_desk, origin)
    consult = await _bring_to(call, state)
    phones: dict[Who, Phone] = {"agent": call.agent, "customer": call.customer, "target": call.target}
    calls = {name: phone.calls[0] for name, phone in phones.items() if phone.calls}

    if who == "target" and state == "ringing":
        await calls[who].reject(486)
    else:
        await calls[who].hangup()

    await _is(call.primary, expected.primary)
    if consult is not None and expected.consult is not None:
        await _is(consult, expected.consult)
    if expected is ALONE:
        # No other state in between: that the others hear music for a moment is no hold.
        assert call.primary.states[-2] is (HELD if state == "held" else TALKING)
    hears = expected.hears or {}
    for name in calls.keys() - hears.keys():
        await calls[name].wait_state("ended", WAIT)
    if hears:
        await expect_hears({phones[name]: heard for name, heard in hears.items()})

    await _end(call, state, who)
    assert cause_of(call.interaction) is Cause.NORMAL
    for each in calls.values():
        await each.wait_state("ended", WAIT)
    await _next_call_arrives(call)
    await call.session.close()


async def _end(call: Call, state: State, who: Who) -> None:
    """End what goes on, as the agent or, without an agent, the customer would."""
    if (state, who) == ("conference", "agent"):
        await call.customers_call.hangup()
    for each in (call.primary, call.interaction.consult_conversation):
        if each is not None and each.state is not RELEASED:
            await each.release()
    await call.interaction.wait_state(ENDED)
    await call.interaction.complete()


async def _next_call_arrives(call: Call) -> None:
    """See that the agent is free: no leg is left, no queue pauses the phone, and one offers the next call."""
    await call.desk.nobody_left()
    if call.origin != "queue":
        # Who was ready for that call must be so by now without a word.
        await call.session.channel.ready()
    await until_queues(call.desk, lambda: _paused(call.desk))
    call.agent.answer_mode = "auto"
    caller = await call.desk.phones.phone(LATER_CALLER)
    later = await caller.dial("7000")
    interaction = await call.session.channel.next_interaction()
    await interaction.primary.wait_state(TALKING)
    await expect_hears({call.agent: {LATER_CALLER}, caller: {"1001"}})
    await later.hangup()
    await interaction.wait_state(ENDED)
    await interaction.complete()


async def _paused(at: Desk) -> str | None:
    """Say how it is if the agent's phone is not in both its queues, or is paused in one."""
    found = {queue: one.paused for queue, one in (await members(at, "1001")).items()}
    return None if found == {"support": False, "sales": False} else f"paused by queue: {found}"
