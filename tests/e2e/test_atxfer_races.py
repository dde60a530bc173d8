"""Races with the strategy atxfer: two things at the same moment, where Asterisk takes its time.

What is asked of it takes effect about a quarter of a second later; so the other thing happens within 10 ms
of the request, or of that later moment. Offsets as in `test_races.py`.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from atxfer_desk import agent_and_customer_talk, ring
from calls import DIALING, ENDED, HELD, RELEASED, TALKING, Call
from desk import WAIT, Desk, cause_of
from offsets import after, offsets, print_outcomes

from connector.bridge.catalogue.conversation import Cause
from connector.lab.phones.base import CallState, Phone, PhoneCall
from connector.lab.phones.hearing import expect_hears
from connector.processor.handles import Interaction
from connector.processor.problems import BridgeRequestFailed
from connector.processor.server import Session

pytestmark = pytest.mark.atxfer

_HOLDS = 0.25
"""Seconds after which Asterisk holds the call, or obeys a code of a consult call."""
_DIALS = 0.43
"""Seconds after which it dials."""
_COMPLETES = 0.34
"""Seconds after which it has heard both tones of the code that completes a transfer."""


@pytest.mark.parametrize("call", ["queue", "dial"], indirect=True)
async def test_alternate_forty_times_back_to_back(call: Call) -> None:
    consult = await call.consult()
    for times in range(1, 41):
        await call.interaction.alternate()
        wanted = (TALKING, HELD) if times % 2 else (HELD, TALKING)
        assert (call.primary.state, consult.state) == wanted
    assert call.primary.states[-41:] == [HELD, *[TALKING, HELD] * 20]
    assert consult.states[-41:] == [TALKING, *[HELD, TALKING] * 20]
    await expect_hears({call.agent: {"1002"}, call.customer: {"MOH"}, call.target: {"1001"}})
    await call.interaction.consult_transfer()
    await expect_hears({call.customer: {"1002"}, call.target: {"2001"}})
    await call.customers_call.hangup()
    await call.over()


@pytest.mark.parametrize("late", [0.0, _HOLDS])
@pytest.mark.parametrize("call", ["queue", "dial"], indirect=True)
async def test_the_consulted_answers_as_the_consult_is_cancelled(call: Call, late: float) -> None:
    outcomes: Counter[str] = Counter()
    for offset in offsets(20):
        consult, ringing = await ring(call)
        # Whose answer comes too late has nothing left to answer.
        answer, cancel = after(late + offset, ringing.answer), after(-offset, consult.release)
        _, cancelled = await asyncio.gather(answer, cancel, return_exceptions=True)
        assert cancelled is None
        await consult.wait_state(RELEASED)
        await ringing.wait_state(CallState.ENDED, WAIT)
        await agent_and_customer_talk(call)
        outcomes["answered before" if TALKING in consult.states else "never talked"] += 1
    print_outcomes(f"consulted answers {late} s after the cancel", outcomes)
    await call.primary.release()
    await call.over()


@dataclass
class Shift:
    """An agent who takes one call of the queue after the other."""

    session: Session
    agent: Phone
    customer: Phone
    target: Phone

    async def next_call(self) -> tuple[Interaction, PhoneCall]:
        """Have the customer call, and the agent answer."""
        customers_call = await self.customer.dial("7000")
        interaction = await self.session.channel.next_interaction()
        await interaction.primary.wait_state(TALKING)
        await expect_hears({self.agent: {"2001"}, self.customer: {"1001"}})
        return interaction, customers_call

    async def call_is_over(self, interaction: Interaction, *calls: PhoneCall) -> None:
        """See that all of a call has ended, for the bridge and for the phones."""
        await interaction.wait_state(ENDED)
        await interaction.complete()
        for each in (*calls, *self.agent.calls, *self.customer.calls, *self.target.calls):
            await each.wait_state(CallState.ENDED, WAIT)


@pytest.fixture
async def shift(at_desk: Desk) -> AsyncIterator[Shift]:
    agent = await at_desk.agent_phone()
    agent.answer_mode = "auto"
    customer, target = await at_desk.phones.phone("2001"), await at_desk.phones.phone("1002")
    session = await at_desk.login()
    yield Shift(session, agent, customer, target)
    await session.close()


@pytest.mark.parametrize("late", [0.0, _HOLDS, _DIALS])
async def test_the_customer_hangs_up_as_the_agent_consults(shift: Shift, late: float) -> None:
    outcomes: Counter[str] = Counter()
    for offset in offsets(15):
        interaction, customers_call = await shift.next_call()

        async def consult(interaction: Interaction = interaction) -> None:
            await interaction.consult("1002")

        asked, _ = await asyncio.gather(
            after(-offset, consult), after(late + offset, customers_call.hangup), return_exceptions=True
        )
        assert asked is None or isinstance(asked, BridgeRequestFailed)
        # While the consult call rings, all is over when the customer goes.
        await shift.call_is_over(interaction, customers_call)
        assert (interaction.primary.state, cause_of(interaction)) == (RELEASED, Cause.NORMAL)
        found = interaction.consult_conversation
        assert found is None or (found.state, found.cause) == (RELEASED, Cause.CANCELLED)
        outcomes["rang" if asked is None else str(asked).partition("harmony-lab")[0]] += 1
    print_outcomes(f"customer hangs up {late} s after consult", outcomes)


async def test_the_customer_hangs_up_as_the_consulted_answers(shift: Shift) -> None:
    """Either all is over, or agent and consulted talk: and the bridge is told which."""
    outcomes: Counter[str] = Counter()
    for offset in offsets(20):
        interaction, customers_call = await shift.next_call()
        consult = await interaction.consult("1002")
        ringing = await shift.target.next_call(WAIT)
        await asyncio.gather(
            after(-offset, ringing.answer), after(offset, customers_call.hangup), return_exceptions=True
        )
        await interaction.primary.wait_state(RELEASED)
        if await _answered(interaction, ringing):
            assert consult.state is TALKING
            await expect_hears({shift.agent: {"1002"}, shift.target: {"1001"}})
            await consult.release()
            outcomes["agent and consulted talk"] += 1
        else:
            outcomes["all is over"] += 1
        await shift.call_is_over(interaction, customers_call, ringing)
        assert consult.state is RELEASED
    print_outcomes("customer hangs up as the consulted answers", outcomes)


async def _answered(interaction: Interaction, ringing: PhoneCall) -> bool:
    """Wait until the consulted party is let go, or talks to the agent (True)."""
    consult = interaction.consult_conversation
    assert consult is not None
    await interaction.link.until(
        lambda: consult.state is not DIALING, WAIT, lambda: f"answer or end of {consult}"
    )
    return consult.state is TALKING and ringing.state is CallState.TALKING


@pytest.mark.parametrize("late", [0.0, _HOLDS, _COMPLETES])
async def test_the_consulted_hangs_up_as_the_call_is_transferred(shift: Shift, late: float) -> None:
    """Carried out, the target has hung up on the customer; else agent and customer talk again."""
    outcomes: Counter[str] = Counter()
    for offset in offsets(20):
        interaction, customers_call = await shift.next_call()
        consult = await interaction.consult("1002")
        targets_call = await shift.target.next_call(WAIT)
        await targets_call.answer()
        await consult.wait_state(TALKING)
        await expect_hears({shift.agent: {"1002"}, shift.target: {"1001"}})
        transfer = after(-offset, interaction.consult_transfer)
        transferred, hung_up = await asyncio.gather(
            transfer, after(late + offset, targets_call.hangup), return_exceptions=True
        )
        assert hung_up is None
        assert transferred is None or isinstance(transferred, BridgeRequestFailed)
        if transferred is None:
            outcomes["carried out"] += 1
            assert cause_of(interaction) is Cause.TRANSFERRED
        else:
            outcomes[str(transferred).partition("harmony-lab")[0]] += 1
            await consult.wait_state(RELEASED)
            await interaction.primary.wait_state(TALKING)
            await expect_hears({shift.agent: {"2001"}, shift.customer: {"1001"}})
            await interaction.primary.release()
        await shift.call_is_over(interaction, customers_call, targets_call)
    print_outcomes(f"consulted hangs up {late} s after consulttransfer", outcomes)


@pytest.mark.parametrize("late", [0.0, _HOLDS, _COMPLETES])
@pytest.mark.parametrize("verb", ["alternate", "consult_conference"])
@pytest.mark.parametrize("call", ["queue", "hand"], indirect=True)
async def test_the_consulted_hangs_up_as_the_agent_moves(call: Call, verb: str, late: float) -> None:
    """Before it or after it: in the end agent and customer talk."""
    outcomes: Counter[str] = Counter()
    for offset in offsets(8):
        consult, targets_call = await ring(call)
        await targets_call.answer()
        await consult.wait_state(TALKING)
        moved, hung_up = await asyncio.gather(
            after(-offset, getattr(call.interaction, verb)),
            after(late + offset, targets_call.hangup),
            return_exceptions=True,
        )
        assert hung_up is None
        assert moved is None or isinstance(moved, BridgeRequestFailed)
        outcomes["carried out" if moved is None else str(moved).partition("harmony-lab")[0]] += 1
        await consult.wait_state(RELEASED)
        await agent_and_customer_talk(call)
    print_outcomes(f"consulted hangs up {late} s after {verb}", outcomes)
    await call.primary.release()
    await call.over()
