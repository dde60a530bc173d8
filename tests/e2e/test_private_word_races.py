"""A member of a conference hangs up as one is taken aside: whoever is left talks to the agent in the end."""

import asyncio
from collections import Counter

import pytest
from calls import ENDED, HELD, RELEASED, TALKING
from desk import WAIT, Desk
from offsets import after, offsets, print_outcomes
from test_private_word import NAME, member_of

from connector.lab.phones.hearing import expect_hears
from connector.processor.handles import Interaction

ROUNDS = 8
LATER = 0.010
"""Seconds after the request around which the member hangs up."""


def only_one_left(interaction: Interaction, number: str) -> bool:
    """Whether one conversation is left, with that member, and its state says who hears whom."""
    primary, word = interaction.primary, interaction.consult_conversation
    live = [one for one in (primary, word) if one is not None and one.state is not RELEASED]
    if len(live) != 1 or [one.address for one in live[0].members] != [number]:
        return False
    return live[0].state is TALKING or (live[0] is primary and primary.state is HELD)


@pytest.mark.parametrize("who", ["1002", "2001"])
@pytest.mark.parametrize("number", ["1002"])
async def test_a_member_hangs_up_as_one_is_taken_aside(at_desk: Desk, number: str, who: str) -> None:
    outcomes: Counter[str] = Counter()
    agent = await at_desk.agent_phone()
    customer, target = await at_desk.phones.phone("2001"), await at_desk.phones.phone("1002")
    agent.answer_mode = target.answer_mode = "auto"
    session = await at_desk.login("1001", ready=False)
    for offset in offsets(ROUNDS):
        await customer.dial("1001")
        interaction = await session.channel.next_interaction()
        primary = interaction.primary
        await primary.wait_state(TALKING)
        consult = await interaction.consult("1002")
        await consult.wait_state(TALKING)
        await interaction.consult_conference()
        await primary.wait_members(lambda members: len(members) == 2)
        leaving, left = (customer, target) if who == "2001" else (target, customer)
        calls = [leaving.calls[0], left.calls[0], agent.calls[0]]
        body = {"id": member_of(interaction, number).id}
        asked = asyncio.create_task(at_desk.bridge.request(primary.target, NAME, body))
        await after(LATER + offset, calls[0].hangup)
        reply = await asked
        outcomes["carried out" if reply.ok else str(reply.error_message).partition("harmony-lab")[0]] += 1
        await interaction.link.until(
            lambda interaction=interaction, left=left: only_one_left(interaction, left.extension),  # type: ignore[misc]
            WAIT,
            lambda: "one who is left",
        )
        if primary.state is HELD:
            await expect_hears({agent: set(), left: {"MOH"}}, WAIT)
            await primary.retrieve()
        await expect_hears({agent: {left.extension}, left: {"1001"}}, WAIT)
        await calls[1].hangup()
        for each in calls:
            await each.wait_state("ended", WAIT)
        await interaction.wait_state(ENDED)
        await interaction.complete()
    print_outcomes(f"{who} hangs up within 20 ms of a private word with {number}", outcomes)
    await session.close()
