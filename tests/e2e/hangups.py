"""Somebody hangs up: who hears whom then, what the bridge is told, and is the agent free again."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from calls import ENDED, RELEASED, TALKING, Call
from desk import WAIT, Desk, cause_of
from members import members, until_queues

from connector.bridge.catalogue.conversation import Cause, ConversationState
from connector.lab.phones.base import CallState, Phone
from connector.lab.phones.hearing import expect_hears
from connector.processor.handles import Conversation

Who = Literal["agent", "customer", "target"]
Heard = Mapping[Who, set[str]]

LATER_CALLER = "2002"


@dataclass(frozen=True)
class Outcome:
    """What is left after somebody hung up: both conversations, and who hears whom (others are gone)."""

    primary: ConversationState | Cause
    consult: ConversationState | Cause | None = None
    hears: Heard | None = None
    answered: Heard | None = None
    """Who hears whom when the target, whose phone rings on, answers then."""
    cause: Cause = Cause.NORMAL
    """Why the interaction ended."""


ALONE = Outcome(Cause.NORMAL)
GO_ON: Heard = {"agent": {"2001"}, "customer": {"1001"}}
WITH_TARGET: Heard = {"agent": {"1002"}, "target": {"1001"}}
WITHOUT_AGENT: Heard = {"customer": {"1002"}, "target": {"2001"}}


async def somebody_hangs_up(call: Call, who: Who, consult: Conversation | None, expected: Outcome) -> None:
    """Have a party hang up, or decline if it rings; then end what goes on, and log the agent out."""
    phones: dict[Who, Phone] = {"agent": call.agent, "customer": call.customer, "target": call.target}
    calls = {name: phone.calls[0] for name, phone in phones.items() if phone.calls}
    before = call.primary.state

    if calls[who].state is CallState.RINGING_IN:
        await calls[who].reject(486)
    else:
        await calls[who].hangup()

    await _is(call.primary, expected.primary)
    if consult is not None and expected.consult is not None:
        await _is(consult, expected.consult)
    if expected is ALONE:
        # No other state in between: that the others hear music for a moment is no hold.
        assert call.primary.states[-2] is before
    hears = expected.hears or {}
    for name in calls.keys() - hears.keys():
        await calls[name].wait_state(CallState.ENDED, WAIT)
    if hears:
        await expect_hears({phones[name]: heard for name, heard in hears.items()})
    if expected.answered is not None:
        await calls["target"].answer()
        await expect_hears({phones[name]: heard for name, heard in expected.answered.items()})

    if "agent" not in hears and "customer" in hears:
        await call.customers_call.hangup()
    await _release_what_is_left(call)
    assert cause_of(call.interaction) is expected.cause
    for each in calls.values():
        await each.wait_state(CallState.ENDED, WAIT)
    await _next_call_arrives(call)
    await call.session.close()


async def _is(conversation: Conversation, wanted: ConversationState | Cause) -> None:
    if isinstance(wanted, Cause):
        await conversation.wait_state(RELEASED)
        assert conversation.cause is wanted
    else:
        await conversation.wait_state(wanted)


async def _release_what_is_left(call: Call) -> None:
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
