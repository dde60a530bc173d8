"""A consulted colleague who is an agent with a desktop, and uses it: who hears whom, what both see.

Agent 1001 has customer 2001 and consults agent 1002; 2002 is somebody whom the colleague consults in turn.
Whatever the colleague does with the first agent's call, that agent keeps the customer.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import pytest
from calls import ENDED, HELD, RELEASED, TALKING, Call, make_call
from desk import WAIT, Desk

from connector.bridge.catalogue.interaction import InteractionState
from connector.lab.phones.base import Phone, PhoneCall
from connector.lab.phones.hearing import expect_hears
from connector.processor.handles import Conversation, Interaction
from connector.processor.problems import BridgeRequestFailed
from connector.processor.server import Session


async def hear(expected: Mapping[Phone, set[str]]) -> None:
    """See who hears whom; with four phones a busy machine needs a while to bring everybody's audio."""
    await expect_hears(expected, WAIT)


@dataclass
class Pair:
    """Two agents in a consult call: the first one's side is `call` and `consult`, the other's `theirs`."""

    call: Call
    consult: Conversation
    session: Session
    theirs: Interaction
    colleagues_call: PhoneCall
    agents_call: PhoneCall

    @property
    def agent(self) -> Phone:
        return self.call.agent

    @property
    def colleague(self) -> Phone:
        return self.call.target

    @property
    def customer(self) -> Phone:
        return self.call.customer

    async def hear(self, agent: set[str], colleague: set[str], customer: set[str]) -> None:
        """See who hears whom, by extensions and MOH."""
        await hear({self.agent: agent, self.colleague: colleague, self.customer: customer})

    async def talk(self) -> None:
        """See that the two agents talk and the customer waits."""
        await self.hear({"1002"}, {"1001"}, {"MOH"})

    async def customer_is_back(self) -> None:
        """See the colleague gone and the first agent talking to the customer, then end."""
        await self.theirs.wait_state(ENDED)
        await self.colleagues_call.wait_state("ended", WAIT)
        await hear({self.agent: {"2001"}, self.customer: {"1001"}})
        await self.call.primary.release()
        await self.over()

    async def agent_goes_on(self) -> None:
        """See the colleague gone and the customer on hold at the first agent's; take that back and end."""
        await self.consult.wait_state(RELEASED)
        await self.theirs.wait_state(ENDED)
        await self.colleagues_call.wait_state("ended", WAIT)
        assert (self.call.primary.state, self.call.interaction.state) == (HELD, InteractionState.STARTED)
        await hear({self.agent: set(), self.customer: {"MOH"}})
        await self.call.primary.retrieve()
        await self.customer_is_back()

    async def over(self) -> None:
        """End both interactions' wrap-up, and log both agents out: neither has a call any more."""
        await self.theirs.wait_state(ENDED)
        await self.theirs.complete()
        for each in (self.agents_call, self.colleagues_call, self.call.customers_call):
            await each.wait_state("ended", WAIT)
        await self.call.over()
        await self.session.close()

    async def colleague_consults(self) -> tuple[Conversation, Phone]:
        """Let the colleague consult 2002, who answers; the first agent waits."""
        third = await self.call.desk.phones.phone("2002")
        further = await self.theirs.consult("2002")
        await (await third.next_call(WAIT)).answer()
        await further.wait_state(TALKING)
        assert self.theirs.primary.state is HELD
        await hear({self.agent: {"MOH"}, self.colleague: {"2002"}, third: {"1002"}, self.customer: {"MOH"}})
        assert (self.consult.state, self.call.primary.state) == (TALKING, HELD)
        return further, third


async def make_pair(at: Desk) -> Pair:
    """Bring 1001, with customer 2001, into a consult call with 1002; both agents are logged in."""
    session = await at.login("1002", ready=False)
    call = await make_call(at, "queue")
    consult = await call.interaction.consult("1002")
    theirs = await session.channel.next_interaction()
    await (await call.target.next_call(WAIT)).answer()
    await consult.wait_state(TALKING)
    await theirs.primary.wait_state(TALKING)
    pair = Pair(call, consult, session, theirs, call.target.calls[0], call.agent.calls[0])
    await pair.talk()
    return pair


@pytest.fixture
async def pair(at_desk: Desk) -> Pair:
    """Two agents in a consult call."""
    return await make_pair(at_desk)


Moment = Literal["held", "retrieved", "alternated"]


async def bring_to(pair: Pair, moment: Moment) -> None:
    """Let the colleague hold the first agent, and take back, or let that agent go to the customer."""
    if moment == "alternated":
        await pair.call.interaction.alternate()
        await pair.hear({"2001"}, {"MOH"}, {"1001"})
        assert pair.theirs.primary.state is TALKING
        return
    await pair.theirs.primary.hold()
    await pair.hear({"MOH"}, set(), {"MOH"})
    assert (pair.consult.state, pair.call.primary.state) == (TALKING, HELD)
    if moment == "retrieved":
        await pair.theirs.primary.retrieve()
        await pair.talk()


# -- who hangs up ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("moment", "by"), [("held", "desktop"), ("retrieved", "phone")])
async def test_the_colleague_leaves(pair: Pair, moment: Moment, by: str) -> None:
    await bring_to(pair, moment)
    await (pair.theirs.primary.release() if by == "desktop" else pair.colleagues_call.hangup())
    await pair.agent_goes_on()


async def test_the_agent_cancels_the_consult(pair: Pair) -> None:
    await bring_to(pair, "held")
    await pair.consult.release()
    await pair.customer_is_back()


@pytest.mark.parametrize("moment", ["held", "alternated"])
async def test_the_agent_hangs_up(pair: Pair, moment: Moment) -> None:
    await bring_to(pair, moment)
    await pair.agents_call.hangup()
    await pair.consult.wait_state(RELEASED)
    await pair.over()


async def test_the_customer_hangs_up(pair: Pair) -> None:
    await bring_to(pair, "held")
    await pair.call.customers_call.hangup()
    await pair.call.primary.wait_state(RELEASED)
    await hear({pair.agent: {"MOH"}, pair.colleague: set()})
    await pair.theirs.primary.retrieve()
    await hear({pair.agent: {"1002"}, pair.colleague: {"1001"}})
    await pair.theirs.primary.release()
    await pair.consult.wait_state(RELEASED)
    await pair.over()


@pytest.mark.parametrize("who", ["colleague", "customer"])
async def test_somebody_hangs_up_while_the_agent_talks_to_the_customer(pair: Pair, who: str) -> None:
    await bring_to(pair, "alternated")
    if who == "colleague":
        await pair.theirs.primary.release()
        await pair.consult.wait_state(RELEASED)
        await pair.customer_is_back()
        return
    await pair.call.customers_call.hangup()
    await pair.call.primary.wait_state(RELEASED)
    await hear({pair.agent: set(), pair.colleague: {"MOH"}})
    await pair.consult.retrieve()
    await hear({pair.agent: {"1002"}, pair.colleague: {"1001"}})
    await pair.consult.release()
    await pair.over()


# -- both attend to other things -------------------------------------------------------------------------


async def test_each_comes_and_goes_and_nobody_hears_a_third(pair: Pair) -> None:
    await bring_to(pair, "alternated")
    await pair.theirs.primary.hold()
    await pair.hear({"2001"}, set(), {"1001"})
    await pair.theirs.primary.retrieve()
    await pair.hear({"2001"}, {"MOH"}, {"1001"})
    await pair.call.interaction.alternate()
    await pair.talk()
    await pair.theirs.primary.hold()
    await pair.call.interaction.alternate()
    await pair.hear({"2001"}, set(), {"1001"})
    await pair.consult.retrieve()
    await pair.hear({"MOH"}, set(), {"MOH"})
    await pair.theirs.primary.retrieve()
    await pair.talk()
    await pair.consult.release()
    await pair.customer_is_back()


async def test_the_agent_holds_the_consult_too(pair: Pair) -> None:
    await pair.consult.hold()
    await pair.hear(set(), {"MOH"}, {"MOH"})
    await pair.theirs.primary.hold()
    await pair.consult.retrieve()
    await pair.hear({"MOH"}, set(), {"MOH"})
    await pair.theirs.primary.retrieve()
    await pair.talk()
    await pair.theirs.primary.release()
    await pair.agent_goes_on()


async def test_the_agent_cannot_join_who_holds(pair: Pair) -> None:
    await bring_to(pair, "held")
    with pytest.raises(BridgeRequestFailed, match="has the consult call on hold"):
        await pair.call.interaction.consult_conference()
    with pytest.raises(BridgeRequestFailed, match="cannot be sent to a number"):
        await pair.theirs.primary.blind_transfer("2002")
    await pair.hear({"MOH"}, set(), {"MOH"})
    await pair.theirs.primary.release()
    await pair.agent_goes_on()


# -- the colleague consults in turn ----------------------------------------------------------------------


@pytest.mark.parametrize("how", ["third", "alternate"])
async def test_a_further_consult_and_back(pair: Pair, how: str) -> None:
    further, third = await pair.colleague_consults()
    thirds_call = third.calls[0]
    if how == "alternate":
        await pair.theirs.alternate()
        await pair.talk()
        await pair.theirs.alternate()
        await hear({pair.agent: {"MOH"}, pair.colleague: {"2002"}, third: {"1002"}})
    if how == "third":
        await thirds_call.hangup()
        await further.wait_state(RELEASED)
        await pair.theirs.primary.retrieve()
    else:
        await further.release()
    await thirds_call.wait_state("ended", WAIT)
    await pair.talk()
    await pair.theirs.primary.release()
    await pair.agent_goes_on()


@pytest.mark.parametrize("who", ["agent cancels", "agent transfers", "agent hangs up", "colleague lets go"])
async def test_the_first_agent_goes_while_the_colleague_consults(pair: Pair, who: str) -> None:
    further, third = await pair.colleague_consults()
    if who == "agent cancels":
        await pair.consult.release()
    elif who == "agent transfers":
        await pair.call.interaction.consult_transfer()
    elif who == "agent hangs up":
        await pair.agents_call.hangup()
    else:
        await pair.theirs.primary.release()
    await pair.consult.wait_state(RELEASED)
    # The colleague's own call goes on, undisturbed.
    await hear({pair.colleague: {"2002"}, third: {"1002"}})
    assert further.state is TALKING
    if who == "agent transfers":
        await pair.call.interaction.wait_state(ENDED)
        assert pair.theirs.primary.state is HELD
        await pair.theirs.alternate()
        await hear({pair.colleague: {"2001"}, pair.customer: {"1002"}, third: {"MOH"}})
        await pair.theirs.consult_conference()
        await hear(
            {pair.colleague: {"2001", "2002"}, pair.customer: {"1002", "2002"}, third: {"1002", "2001"}}
        )
        await third.calls[0].hangup()
        await pair.theirs.primary.release()
    else:
        await pair.theirs.primary.wait_state(RELEASED)
        await further.release()
        if who == "colleague lets go":
            await hear({pair.agent: set(), pair.customer: {"MOH"}})
            await pair.call.primary.retrieve()
        if who != "agent hangs up":
            await hear({pair.agent: {"2001"}, pair.customer: {"1001"}})
            await pair.call.primary.release()
    await pair.over()


@pytest.mark.parametrize("who", ["colleague", "customer"])
async def test_somebody_hangs_up_while_the_colleague_consults(pair: Pair, who: str) -> None:
    further, third = await pair.colleague_consults()
    thirds_call = third.calls[0]
    if who == "colleague":
        await pair.colleagues_call.hangup()
        await thirds_call.wait_state("ended", WAIT)
        await pair.agent_goes_on()
        return
    await pair.call.customers_call.hangup()
    await pair.call.primary.wait_state(RELEASED)
    await hear({pair.agent: {"MOH"}, pair.colleague: {"2002"}, third: {"1002"}})
    await further.release()
    await hear({pair.agent: {"1002"}, pair.colleague: {"1001"}})
    await pair.consult.release()
    await pair.over()


async def test_the_colleague_hands_the_agent_on(pair: Pair) -> None:
    _, third = await pair.colleague_consults()
    thirds_call = third.calls[0]
    await pair.theirs.consult_transfer()
    await pair.theirs.wait_state(ENDED)
    await pair.colleagues_call.wait_state("ended", WAIT)
    await hear({pair.agent: {"2002"}, third: {"1001"}, pair.customer: {"MOH"}})
    assert pair.consult.state is TALKING
    await pair.call.interaction.alternate()
    await hear({pair.agent: {"2001"}, third: {"MOH"}, pair.customer: {"1001"}})
    await pair.call.interaction.alternate()
    await pair.call.interaction.consult_transfer()
    await hear({third: {"2001"}, pair.customer: {"2002"}})
    await thirds_call.hangup()
    await pair.over()


@pytest.mark.parametrize("then", ["transfer", "leave", "conference"])
async def test_a_conference_of_the_colleague(pair: Pair, then: str) -> None:
    _, third = await pair.colleague_consults()
    thirds_call = third.calls[0]
    await pair.theirs.consult_conference()
    await hear(
        {
            pair.agent: {"1002", "2002"},
            pair.colleague: {"1001", "2002"},
            third: {"1001", "1002"},
            pair.customer: {"MOH"},
        }
    )
    if then == "transfer":
        await pair.call.interaction.consult_transfer()
        await hear(
            {pair.colleague: {"2001", "2002"}, third: {"2001", "1002"}, pair.customer: {"1002", "2002"}}
        )
        await thirds_call.hangup()
        await hear({pair.colleague: {"2001"}, pair.customer: {"1002"}})
        await pair.call.customers_call.hangup()
    elif then == "conference":
        await pair.call.interaction.consult_conference()
        everybody = {"1001", "1002", "2001", "2002"}
        phones = (pair.agent, pair.colleague, third, pair.customer)
        await hear({phone: everybody - {phone.extension} for phone in phones})
        await thirds_call.hangup()
        await pair.theirs.primary.release()
        await hear({pair.agent: {"2001"}, pair.customer: {"1001"}})
        await pair.call.primary.release()
    else:
        await pair.consult.release()
        await hear(
            {
                pair.agent: {"2001"},
                pair.customer: {"1001"},
                pair.colleague: {"2002"},
                third: {"1002"},
            }
        )
        await pair.theirs.primary.release()
        await thirds_call.wait_state("ended", WAIT)
        await pair.call.primary.release()
    await pair.over()


# -- the customer and the colleague ----------------------------------------------------------------------


@pytest.mark.parametrize("moment", ["held", "alternated"])
async def test_after_a_transfer_the_customer_is_the_colleagues(pair: Pair, moment: Moment) -> None:
    await bring_to(pair, moment)
    await pair.call.interaction.consult_transfer()
    await pair.call.interaction.wait_state(ENDED)
    await pair.agents_call.wait_state("ended", WAIT)
    if moment == "held":
        assert pair.theirs.primary.state is HELD
        await hear({pair.colleague: set(), pair.customer: {"MOH"}})
        await pair.theirs.primary.retrieve()
    await hear({pair.colleague: {"2001"}, pair.customer: {"1002"}})
    await pair.theirs.primary.wait_members(lambda members: [one.address for one in members] == ["2001"])
    await pair.theirs.primary.hold()
    await hear({pair.colleague: set(), pair.customer: {"MOH"}})
    await pair.theirs.primary.retrieve()
    third = await pair.call.desk.phones.phone("2002")
    further = await pair.theirs.consult("2002")
    await (await third.next_call(WAIT)).answer()
    await further.wait_state(TALKING)
    await hear({pair.colleague: {"2002"}, third: {"1002"}, pair.customer: {"MOH"}})
    await pair.theirs.alternate()
    await hear({pair.colleague: {"2001"}, third: {"MOH"}, pair.customer: {"1002"}})
    await further.release()
    await pair.theirs.primary.release()
    await pair.over()


async def test_a_conference_of_both_agents_and_the_customer(pair: Pair) -> None:
    await bring_to(pair, "retrieved")
    await pair.call.interaction.consult_conference()
    await pair.hear({"1002", "2001"}, {"1001", "2001"}, {"1001", "1002"})
    await pair.theirs.primary.hold()
    await pair.hear({"2001"}, set(), {"1001"})
    await pair.theirs.primary.retrieve()
    await pair.hear({"1002", "2001"}, {"1001", "2001"}, {"1001", "1002"})
    await pair.call.primary.hold()
    await pair.hear(set(), {"2001"}, {"1002"})
    await pair.call.primary.release()
    await hear({pair.colleague: {"2001"}, pair.customer: {"1002"}})
    await pair.theirs.primary.hold()
    await hear({pair.colleague: set(), pair.customer: {"MOH"}})
    await pair.theirs.primary.release()
    await pair.over()


@pytest.mark.parametrize("who", ["caller", "called"])
async def test_two_agents_without_a_customer(at_desk: Desk, who: str) -> None:
    caller, called = await at_desk.agent_phone("1001"), await at_desk.agent_phone("1002")
    first, second = await at_desk.login("1001", ready=False), await at_desk.login("1002", ready=False)
    outbound = await first.channel.dial("1002")
    inbound = await second.channel.next_interaction()
    await (await called.next_call(WAIT)).answer()
    await outbound.primary.wait_state(TALKING)
    await inbound.primary.wait_state(TALKING)
    one, other = (outbound, inbound) if who == "caller" else (inbound, outbound)
    near, far = (caller, called) if who == "caller" else (called, caller)
    await one.primary.hold()
    await hear({near: set(), far: {"MOH"}})
    await other.primary.hold()
    await hear({near: set(), far: set()})
    await one.primary.retrieve()
    await hear({near: {"MOH"}, far: set()})
    await other.primary.retrieve()
    await hear({near: {far.extension}, far: {near.extension}})
    await one.primary.hold()
    await one.primary.release()
    for interaction, session in ((outbound, first), (inbound, second)):
        await interaction.wait_state(ENDED)
        await interaction.complete()
        await session.close()


# -- the colleague has somebody on hold when the first agent brings somebody in ---------------------------


async def with_a_held_consult(pair: Pair) -> tuple[Conversation, Phone]:
    """Let the colleague talk to the first agent, with 2002 on hold in a consult of its own."""
    further, third = await pair.colleague_consults()
    await pair.theirs.alternate()
    await hear({pair.agent: {"1002"}, pair.colleague: {"1001"}, third: {"MOH"}, pair.customer: {"MOH"}})
    return further, third


async def held_consult_goes_on(pair: Pair, further: Conversation, third: Phone) -> None:
    """See that the colleague still has 2002 on hold, and can go there."""
    assert (further.state, [one.address for one in further.members]) == (HELD, ["2002"])
    await pair.theirs.alternate()
    await hear({pair.colleague: {"2002"}, third: {"1002"}})
    await further.release()
    await pair.theirs.wait_state(InteractionState.STARTED)


async def test_the_agent_brings_the_customer_in(pair: Pair) -> None:
    further, third = await with_a_held_consult(pair)
    await pair.call.interaction.consult_conference()
    await hear(
        {
            pair.agent: {"1002", "2001"},
            pair.colleague: {"1001", "2001"},
            pair.customer: {"1001", "1002"},
            third: {"MOH"},
        }
    )
    await held_consult_goes_on(pair, further, third)
    await pair.call.customers_call.hangup()
    await pair.call.primary.release()
    await pair.over()


async def test_a_guest_comes_while_the_agent_who_invited_is_away(pair: Pair) -> None:
    """The colleague hears the guest before the agent: that makes the guest no party of the held consult."""
    further, third = await with_a_held_consult(pair)
    guest = await pair.call.desk.phones.phone("2003")
    await pair.consult.blind_conference("2003")
    rings = await guest.next_call(WAIT)
    await pair.consult.hold()
    await rings.answer()
    await hear({pair.agent: set(), pair.colleague: {"2003"}, guest: {"1002"}, third: {"MOH"}})
    await pair.consult.retrieve()
    await hear({pair.agent: {"1002", "2003"}, pair.colleague: {"1001", "2003"}, third: {"MOH"}})
    await held_consult_goes_on(pair, further, third)
    await rings.hangup()
    await pair.consult.release()
    await pair.customer_is_back()


# -- the colleague's phone sends the first agent on to a number -------------------------------------------


@pytest.mark.parametrize("ends", ["number", "agent"])
async def test_the_agent_is_sent_on_and_keeps_the_customer(pair: Pair, ends: str) -> None:
    third = await pair.call.desk.phones.phone("2003")
    await pair.colleagues_call.transfer("2003")
    rings = await third.next_call(WAIT)
    await pair.consult.wait_members(lambda members: [one.address for one in members] == ["2003"])
    await rings.answer()
    await hear({pair.agent: {"2003"}, third: {"1001"}, pair.customer: {"MOH"}})
    assert (pair.consult.state, pair.call.primary.state) == (TALKING, HELD)
    if ends == "number":
        await rings.hangup()
        await pair.agent_goes_on()
        return
    await pair.consult.release()
    await rings.wait_state("ended", WAIT)
    await pair.customer_is_back()
