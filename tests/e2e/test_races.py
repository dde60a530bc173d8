"""Races: two things at the same moment. No call is lost, no state is wrong, nobody is left over.

Offsets are drawn from a fixed seed; what came of them is printed (see `offsets.py`).

Listening takes some tenths of a second, in which a race would be over: so it is done in some of the rounds
only, and the others follow each other as quickly as they can.
"""

import asyncio
from collections import Counter
from functools import partial
from pathlib import Path

import pytest
from calls import ENDED, HELD, ORIGINS, RELEASED, TALKING, Call, Origin, connect
from desk import WAIT, Desk, desk
from offsets import after, offsets, print_outcomes

from connector.lab.phones.base import CallState, Phone, PhoneCall
from connector.lab.phones.hearing import expect_hears
from connector.lab.provider import LabInfo, LabProvider
from connector.processor.problems import BridgeRequestFailed
from connector.processor.server import Session


def _rounds(origin: Origin, of_the_queue: int) -> int:
    """Return the number of rounds: fewer of other origins: answered calls are all alike."""
    return of_the_queue if origin == "queue" else of_the_queue * 2 // 5


def _listens(number: int) -> bool:
    """Whether it is listened to in a round, by its number from 0."""
    return number % 5 == 4


async def _quiet(*phones: Phone) -> None:
    """See that these phones have no call any more, and so hear nothing."""
    for phone in phones:
        for left in phone.calls:
            await left.wait_state(CallState.ENDED, WAIT)
    await expect_hears(dict.fromkeys(phones, ()), stable=0.0)


@pytest.mark.parametrize("origin", ORIGINS)
@pytest.mark.parametrize("verb", ["hold", "retrieve"])
async def test_the_customer_hangs_up_as_the_agent_moves(at_desk: Desk, verb: str, origin: Origin) -> None:
    outcomes: Counter[str] = Counter()
    agent, customer = await at_desk.agent_phone(), await at_desk.phones.phone("2001")
    session = await at_desk.login("1001", ready=origin == "queue")
    for number, offset in enumerate(offsets(_rounds(origin, 25))):
        interaction, call = await connect(session, agent, customer, origin)
        primary = interaction.primary
        if _listens(number):
            await expect_hears({agent: {"2001"}, customer: {"1001"}}, stable=0.1)
        if verb == "retrieve":
            await primary.hold()
            if _listens(number):
                await expect_hears({agent: (), customer: {"MOH"}}, stable=0.1)
        act = primary.hold if verb == "hold" else primary.retrieve
        moved, _ = await asyncio.gather(
            after(-offset, act), after(offset, call.hangup), return_exceptions=True
        )
        assert moved is None or isinstance(moved, BridgeRequestFailed)
        outcomes["carried out" if moved is None else str(moved).partition("harmony-lab")[0]] += 1
        await primary.wait_state(RELEASED)
        await interaction.wait_state(ENDED)
        await _quiet(agent, customer)
        await interaction.complete()
    print_outcomes(f"customer hangs up within 10 ms of {verb}, {origin}", outcomes)
    await session.close()


@pytest.mark.parametrize("call", ORIGINS, indirect=True)
async def test_the_consulted_answers_as_the_consult_is_cancelled(call: Call) -> None:
    outcomes: Counter[str] = Counter()
    for offset in offsets(_rounds(call.origin, 20)):
        consult = await call.interaction.consult("1002")
        ringing = await call.target.next_call(WAIT)
        # Whose answer comes too late has nothing left to answer.
        answer, cancel = after(offset, ringing.answer), after(-offset, consult.release)
        _, cancelled = await asyncio.gather(answer, cancel, return_exceptions=True)
        assert cancelled is None
        await consult.wait_state(RELEASED)
        await call.primary.wait_state(TALKING)
        await _quiet(call.target)
        await expect_hears({call.agent: {"2001"}, call.customer: {"1001"}}, stable=0.1)
        outcomes["answered before" if TALKING in consult.states else "never talked"] += 1
    print_outcomes(f"consulted answers within 10 ms of the cancel, {call.origin}", outcomes)
    await call.primary.release()
    await call.over()


async def test_the_consulted_declines_as_the_consult_is_cancelled(queue_call: Call) -> None:
    outcomes: Counter[str] = Counter()
    call = queue_call
    for offset in offsets(20):
        consult = await call.interaction.consult("1002")
        ringing = await call.target.next_call(WAIT)
        decline, cancel = after(offset, partial(ringing.reject, 486)), after(-offset, consult.release)
        _, cancelled = await asyncio.gather(decline, cancel, return_exceptions=True)
        await consult.wait_state(RELEASED)
        if cancelled is not None:
            # The consult was over already: the customer is still on hold.
            assert isinstance(cancelled, BridgeRequestFailed)
            await call.primary.retrieve()
        await call.primary.wait_state(TALKING)
        await _quiet(call.target)
        await expect_hears({call.agent: {"2001"}, call.customer: {"1001"}}, stable=0.1)
        outcomes["declined before" if cancelled is not None else str(consult.cause)] += 1
    print_outcomes("consulted declines within 10 ms of the cancel", outcomes)
    await call.primary.release()
    await call.over()


ORPHANS_TO_SALES = {
    "handling": {"fallback_queue": "sales", "orphans": ["queue"]},
    "agents": {"1001": {"queues": ["support"]}, "1003": {"queues": ["sales"]}},
}


async def _taken(customer: Phone, call: PhoneCall, taker: Phone, colleague: Session) -> bool:
    """Wait until the caller is let go, or is given to the colleague (True): then they hear each other."""
    let_go = asyncio.ensure_future(call.wait_state(CallState.ENDED, WAIT))
    taken = asyncio.ensure_future(colleague.channel.next_interaction())
    await asyncio.wait((let_go, taken), return_when=asyncio.FIRST_COMPLETED)
    if not taken.done():
        taken.cancel()
        await let_go
        return False
    received = taken.result()
    await received.primary.wait_state(TALKING)
    await expect_hears({customer: {"1003"}, taker: {"2001"}}, stable=0.1)
    await call.hangup()
    await let_go
    await received.wait_state(ENDED)
    await received.complete()
    return True


@pytest.mark.parametrize("origin", ORIGINS)
async def test_the_agent_hangs_up_as_the_call_is_held(
    provider: LabProvider, lab: LabInfo, tmp_path: Path, origin: Origin
) -> None:
    """Whoever was put on hold is an orphan then, even on the way into the room: no music for ever."""
    outcomes: Counter[str] = Counter()
    async with desk(provider, lab, tmp_path, ORPHANS_TO_SALES) as at:
        agent, taker = await at.agent_phone(), await at.agent_phone("1003")
        customer = await at.phones.phone("2001")
        taker.answer_mode = "auto"
        session, colleague = await at.login("1001"), await at.login("1003")
        for offset in offsets(15, earliest=0.0):
            interaction, call = await connect(session, agent, customer, origin)
            (agents_call,) = agent.calls
            held, _ = await asyncio.gather(
                interaction.primary.hold(), after(offset, agents_call.hangup), return_exceptions=True
            )
            assert held is None or isinstance(held, BridgeRequestFailed)
            await interaction.wait_state(ENDED)
            taken = await _taken(customer, call, taker, colleague)
            outcomes["orphan" if taken else "over"] += 1
            await _quiet(agent, customer, taker)
            await interaction.complete()
        await session.close()
        await colleague.close()
    print_outcomes(f"agent hangs up within 10 ms of hold, {origin}", outcomes)


@pytest.mark.parametrize("origin", ORIGINS)
async def test_the_consulted_hangs_up_as_the_call_is_transferred(
    provider: LabProvider, lab: LabInfo, tmp_path: Path, origin: Origin
) -> None:
    """The caller is with nobody then: the agent's leaving makes an orphan, whom another agent gets."""
    outcomes: Counter[str] = Counter()
    async with desk(provider, lab, tmp_path, ORPHANS_TO_SALES) as at:
        agent, taker = await at.agent_phone(), await at.agent_phone("1003")
        customer, target = await at.phones.phone("2001"), await at.phones.phone("1002")
        taker.answer_mode = "auto"
        session, colleague = await at.login("1001"), await at.login("1003")
        for number, offset in enumerate(offsets(_rounds(origin, 20))):
            interaction, call = await connect(session, agent, customer, origin)
            (agents_call,) = agent.calls
            consult = await interaction.consult("1002")
            targets = await target.next_call(WAIT)
            await targets.answer()
            await consult.wait_state(TALKING)
            if _listens(number):
                await expect_hears({agent: {"1002"}, target: {"1001"}, customer: {"MOH"}}, stable=0.1)
            transfer, hang_up = after(-offset, interaction.consult_transfer), after(offset, targets.hangup)
            transferred, hung_up = await asyncio.gather(transfer, hang_up, return_exceptions=True)
            assert hung_up is None
            assert transferred is None or isinstance(transferred, BridgeRequestFailed)
            if transferred is not None:
                await consult.wait_state(RELEASED)
                assert interaction.primary.state is HELD
                if number % 2:
                    await expect_hears({agent: (), customer: {"MOH"}}, stable=0.1)
                await agents_call.hangup()
            await interaction.wait_state(ENDED)
            # Whom the target left after the transfer is let go, as by anybody who hangs up.
            if await _taken(customer, call, taker, colleague):
                outcomes["carried out, orphan" if transferred is None else "refused, orphan"] += 1
            else:
                assert transferred is None
                outcomes["carried out, the target hung up on the caller"] += 1
            await _quiet(agent, customer, target, taker)
            await interaction.complete()
        await session.close()
        await colleague.close()
    print_outcomes(f"consulted hangs up within 10 ms of consulttransfer, {origin}", outcomes)


async def test_the_customer_hangs_up_as_the_call_is_transferred_to_a_colleague(at_desk: Desk) -> None:
    """The colleague is with nobody then, wherever it is: its call is over."""
    outcomes: Counter[str] = Counter()
    agent, customer = await at_desk.agent_phone(), await at_desk.phones.phone("2001")
    target = await at_desk.agent_phone("1002")
    target.answer_mode = "auto"
    session, colleague = await at_desk.login("1001"), await at_desk.login("1002", ready=False)
    for offset in offsets(20):
        interaction, call = await connect(session, agent, customer, "queue")
        consult = await interaction.consult("1002")
        await consult.wait_state(TALKING)
        theirs = await colleague.channel.next_interaction()
        transfer, hang_up = after(-offset, interaction.consult_transfer), after(offset, call.hangup)
        transferred, hung_up = await asyncio.gather(transfer, hang_up, return_exceptions=True)
        assert hung_up is None
        if transferred is not None:
            # The first call was over already, and they talk on.
            assert isinstance(transferred, BridgeRequestFailed)
            await consult.release()
        for one in (theirs, interaction):
            await one.wait_state(ENDED)
            await one.complete()
        await _quiet(agent, customer, target)
        outcomes["carried out" if transferred is None else "refused"] += 1
    print_outcomes("customer hangs up within 10 ms of consulttransfer to an agent", outcomes)
    await session.close()
    await colleague.close()


@pytest.mark.parametrize("call", ORIGINS, indirect=True)
async def test_alternate_forty_times_back_to_back(call: Call) -> None:
    consult = await call.consult()
    for times in range(1, 41):
        await call.interaction.alternate()
        with_customer = times % 2 == 1
        wanted = (TALKING, HELD) if with_customer else (HELD, TALKING)
        assert (call.primary.state, consult.state) == wanted
        if times % 7 and times != 40:
            continue
        if with_customer:
            await expect_hears({call.agent: {"2001"}, call.customer: {"1001"}, call.target: {"MOH"}})
        else:
            await expect_hears({call.agent: {"1002"}, call.customer: {"MOH"}, call.target: {"1001"}})
    assert len(call.primary.states) - len(consult.states) in {0, 1, 2}
    await call.interaction.consult_transfer()
    await expect_hears({call.customer: {"1002"}, call.target: {"2001"}, call.agent: ()})
    await call.customers_call.hangup()
    await call.over()


@pytest.mark.parametrize("call", ORIGINS, indirect=True)
async def test_hold_and_retrieve_a_hundred_times(call: Call) -> None:
    for times in range(1, 101):
        await call.primary.hold()
        if times % 20 == 0:
            await expect_hears({call.agent: (), call.customer: {"MOH"}})
        await call.primary.retrieve()
        if times % 20 == 0:
            await expect_hears({call.agent: {"2001"}, call.customer: {"1001"}})
    assert call.primary.states[-201:] == [TALKING, *[HELD, TALKING] * 100]
    await call.primary.release()
    await call.customers_call.wait_state("ended", WAIT)
    await call.over()
