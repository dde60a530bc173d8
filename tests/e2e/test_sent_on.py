"""An agent whom another agent sends on to a number: the call goes on, with whoever answers there."""

from dataclasses import dataclass
from typing import Literal

import pytest
from calls import ENDED, HELD, RELEASED, TALKING
from desk import WAIT, Desk

from connector.bridge.catalogue.interaction import InteractionState
from connector.lab.phones.base import Phone, PhoneCall
from connector.lab.phones.hearing import expect_hears
from connector.processor.handles import Conversation, Interaction
from connector.processor.problems import BridgeRequestFailed
from connector.processor.server import Session

Kind = Literal["call", "consult"]
"""What the agent who is sent on has with the other: a call that it dialled, or a consult without its call."""


@dataclass
class SentOn:
    """Agent 1001 talks to agent 1002, who can send it on; `talk` is the conversation as 1001 has it."""

    interaction: Interaction
    talk: Conversation
    theirs: Interaction
    agent: Phone
    other: Phone
    others_call: PhoneCall
    sessions: tuple[Session, Session]

    async def is_with(self, number: str) -> None:
        """Wait until that number is the only one that the agent is shown as talking to."""
        await self.talk.wait_members(lambda members: [one.address for one in members] == [number])

    async def goes_to(self, number: str, third: Phone) -> PhoneCall:
        """See the call ring at a number, be shown so, and be answered: both talk."""
        rings = await third.next_call(WAIT)
        await self.others_call.wait_state("ended", WAIT)
        await self.theirs.wait_state(ENDED)
        await self.is_with(number)
        assert self.talk.state is TALKING
        await rings.answer()
        await expect_hears({self.agent: {number}, third: {"1001"}})
        assert (self.talk.state, [one.address for one in self.talk.members]) == (TALKING, [number])
        return rings

    async def over(self) -> None:
        """End the wrap-up and log both agents out."""
        for one in (self.interaction, self.theirs):
            await one.wait_state(ENDED)
            await one.complete()
        for session in self.sessions:
            await session.close()


async def bring_together(at: Desk, kind: Kind, *, alone: bool = True) -> SentOn:
    """Have them talk; customer 2002, about whom 1001 consults, has hung up if they are `alone`."""
    agent, other = await at.agent_phone("1001"), await at.agent_phone("1002")
    agent.answer_mode = "auto"
    sessions = (await at.login("1001", ready=False), await at.login("1002", ready=False))
    if kind == "call":
        interaction = await sessions[0].channel.dial("1002")
        talk = interaction.primary
    else:
        customers_call = await (await at.phones.phone("2002")).dial("1001")
        interaction = await sessions[0].channel.next_interaction()
        await interaction.wait_state(InteractionState.STARTED)
        talk = await interaction.consult("1002")
    others_call = await other.next_call(WAIT)
    theirs = await sessions[1].channel.next_interaction()
    await others_call.answer()
    await talk.wait_state(TALKING)
    await theirs.primary.wait_state(TALKING)
    if kind == "consult" and alone:
        await customers_call.hangup()
        await interaction.primary.wait_state(RELEASED)
    await expect_hears({agent: {"1002"}, other: {"1001"}})
    return SentOn(interaction, talk, theirs, agent, other, others_call, sessions)


@pytest.mark.parametrize("kind", ["call", "consult"])
@pytest.mark.parametrize("by", ["desktop", "phone"])
async def test_the_call_goes_on_with_whoever_answers(at_desk: Desk, kind: Kind, by: str) -> None:
    sent = await bring_together(at_desk, kind)
    third = await at_desk.phones.phone("2001")
    if by == "desktop":
        await sent.theirs.primary.blind_transfer("2001")
    else:
        await sent.others_call.transfer("2001")
    thirds_call = await sent.goes_to("2001", third)
    await sent.talk.hold()
    await expect_hears({sent.agent: set(), third: {"MOH"}})
    await sent.talk.retrieve()
    await expect_hears({sent.agent: {"2001"}, third: {"1001"}})
    await thirds_call.hangup()
    await sent.over()


@pytest.mark.parametrize(("number", "heard"), [("9000", "1001"), ("7001", "MOH")])
async def test_to_a_number_that_is_nobodys_phone(at_desk: Desk, number: str, heard: str) -> None:
    """A program of the PBX, here the echo, and a queue in which nobody is ready."""
    sent = await bring_together(at_desk, "call")
    await sent.theirs.primary.blind_transfer(number)
    await sent.theirs.wait_state(ENDED)
    await sent.is_with(number)
    await expect_hears({sent.agent: {heard}})
    assert (sent.talk.state, sent.interaction.state) == (TALKING, InteractionState.STARTED)
    await sent.talk.release()
    await sent.over()


async def test_to_another_agent(at_desk: Desk) -> None:
    sent = await bring_together(at_desk, "call")
    third = await at_desk.agent_phone("1003")
    session = await at_desk.login("1003", ready=False)
    await sent.theirs.primary.blind_transfer("1003")
    taken = await session.channel.next_interaction()
    await sent.goes_to("1003", third)
    await taken.primary.wait_state(TALKING)
    assert [one.address for one in taken.primary.members] == ["1001"]
    # Either agent can hold the other now.
    await taken.primary.hold()
    await expect_hears({sent.agent: {"MOH"}, third: set()})
    await taken.primary.retrieve()
    await expect_hears({sent.agent: {"1003"}, third: {"1001"}})
    await taken.primary.release()
    await taken.wait_state(ENDED)
    await taken.complete()
    await sent.over()
    await session.close()


async def test_a_consult_transfer_while_the_number_rings(at_desk: Desk) -> None:
    sent = await bring_together(at_desk, "call")
    third = await at_desk.phones.phone("2001")
    await sent.theirs.consult("2001")
    first = await third.next_call(WAIT)
    await sent.theirs.consult_transfer()
    await first.wait_state("ended", WAIT)
    thirds_call = await sent.goes_to("2001", third)
    await thirds_call.hangup()
    await sent.over()


async def test_nobody_answers_and_the_other_agent_is_rung_again(at_desk: Desk) -> None:
    sent = await bring_together(at_desk, "call")
    third = await at_desk.phones.phone("2001")
    await sent.theirs.primary.blind_transfer("2001")
    rings = await third.next_call(WAIT)
    await sent.theirs.wait_state(ENDED)
    await sent.theirs.complete()
    await rings.reject(486)
    again = await sent.sessions[1].channel.next_interaction()
    back = await sent.other.next_call(WAIT)
    await sent.is_with("1002")
    await back.answer()
    await expect_hears({sent.agent: {"1002"}, sent.other: {"1001"}})
    assert sent.talk.state is TALKING
    await again.primary.release()
    await again.wait_state(ENDED)
    await again.complete()
    await sent.interaction.wait_state(ENDED)
    await sent.interaction.complete()
    for session in sent.sessions:
        await session.close()


@pytest.mark.parametrize("how", ["desktop", "phone"])
async def test_who_is_sent_on_gives_up_while_it_rings(at_desk: Desk, how: str) -> None:
    sent = await bring_together(at_desk, "call")
    third = await at_desk.phones.phone("2001")
    await sent.theirs.primary.blind_transfer("2001")
    rings = await third.next_call(WAIT)
    await sent.is_with("2001")
    with pytest.raises(BridgeRequestFailed):
        await sent.talk.hold()
    if how == "desktop":
        await sent.talk.release()
    else:
        await sent.agent.calls[0].hangup()
    await sent.talk.wait_state(RELEASED)
    await rings.wait_state("ended", WAIT)
    await sent.over()


async def test_who_is_sent_on_had_the_call_on_hold(at_desk: Desk) -> None:
    sent = await bring_together(at_desk, "call")
    third = await at_desk.phones.phone("2001")
    await sent.talk.hold()
    await expect_hears({sent.agent: set(), sent.other: {"MOH"}})
    await sent.theirs.primary.blind_transfer("2001")
    rings = await third.next_call(WAIT)
    await sent.is_with("2001")
    assert sent.talk.state is HELD
    await rings.answer()
    # Whom the agent put on hold is gone: nobody else is.
    await sent.talk.wait_state(TALKING)
    await expect_hears({sent.agent: {"2001"}, third: {"1001"}})
    await sent.talk.release()
    await sent.over()


@pytest.mark.parametrize("called_by", ["agent", "outsider"])
async def test_somebody_without_a_desktop_sends_the_agent_on(at_desk: Desk, called_by: str) -> None:
    agent, office = await at_desk.agent_phone("1001"), await at_desk.phones.phone("2002")
    third = await at_desk.phones.phone("2001")
    session = await at_desk.login("1001", ready=False)
    if called_by == "agent":
        interaction = await session.channel.dial("2002")
        offices_call = await office.next_call(WAIT)
        await offices_call.answer()
    else:
        agent.answer_mode = "auto"
        offices_call = await office.dial("1001")
        interaction = await session.channel.next_interaction()
    talk = interaction.primary
    await talk.wait_state(TALKING)
    await expect_hears({agent: {"2002"}, office: {"1001"}})
    await offices_call.transfer("2001")
    rings = await third.next_call(WAIT)
    await talk.wait_members(lambda members: [one.address for one in members] == ["2001"])
    await rings.answer()
    await expect_hears({agent: {"2001"}, third: {"1001"}})
    assert talk.state is TALKING
    await talk.hold()
    await expect_hears({agent: set(), third: {"MOH"}})
    await talk.retrieve()
    await expect_hears({agent: {"2001"}, third: {"1001"}})
    await talk.release()
    await rings.wait_state("ended", WAIT)
    await interaction.wait_state(ENDED)
    await interaction.complete()
    await session.close()
