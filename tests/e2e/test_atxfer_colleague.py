"""The strategy `consult: atxfer` with a consulted colleague who is an agent with a desktop: what both see.

Agent 1001 has customer 2001 and consults agent 1002. What the colleague cannot do there is refused, in words;
it never costs the first agent the customer.
"""

import pytest
from calls import ENDED, HELD, RELEASED, TALKING
from desk import Desk, cause_of
from test_colleague import Pair, hear, make_pair

from connector.bridge.catalogue.conversation import Cause
from connector.processor.problems import BridgeRequestFailed

pytestmark = pytest.mark.atxfer


@pytest.fixture
async def pair(at_desk: Desk) -> Pair:
    """Two agents in a consult call that Asterisk itself runs."""
    return await make_pair(at_desk)


def members(pair: Pair) -> tuple[list[str], list[str]]:
    """Return whom the first agent's consult and the colleague's call show."""
    return (
        sorted(one.address for one in pair.consult.members),
        sorted(one.address for one in pair.theirs.primary.members),
    )


async def test_both_see_one_another(pair: Pair) -> None:
    assert members(pair) == (["1002"], ["1001"])
    assert (pair.theirs.data["ANI"], pair.theirs.data["DIRECTION"]) == ("1001", "INBOUND")
    await pair.theirs.primary.release()
    await pair.consult.wait_state(RELEASED)
    await pair.customer_is_back()


async def test_the_agent_swaps_and_the_colleague_waits(pair: Pair) -> None:
    for _ in range(3):
        await pair.call.interaction.alternate()
        await pair.hear({"2001"}, {"MOH"}, {"1001"})
        assert pair.theirs.primary.state is TALKING
        await pair.call.interaction.alternate()
        await pair.talk()
    await pair.consult.release()
    await pair.customer_is_back()


async def test_the_transfer_gives_the_colleague_the_customer(pair: Pair) -> None:
    await pair.call.interaction.consult_transfer()
    await pair.call.interaction.wait_state(ENDED)
    assert cause_of(pair.call.interaction) is Cause.TRANSFERRED
    await hear({pair.customer: {"1002"}, pair.colleague: {"2001"}, pair.agent: set()})
    await pair.theirs.primary.wait_members(lambda them: [one.address for one in them] == ["2001"])
    assert pair.theirs.primary.state is TALKING
    await pair.colleagues_call.hold()
    await pair.theirs.primary.wait_state(HELD)
    await hear({pair.customer: {"MOH"}, pair.colleague: set()})
    await pair.colleagues_call.resume()
    await hear({pair.customer: {"1002"}, pair.colleague: {"2001"}})
    await pair.theirs.primary.release()
    await pair.over()


@pytest.mark.parametrize("leaves", ["agent", "colleague", "customer"])
async def test_a_conference_of_both_with_the_customer(pair: Pair, leaves: str) -> None:
    await pair.call.interaction.consult_conference()
    await pair.hear({"1002", "2001"}, {"1001", "2001"}, {"1001", "1002"})
    await pair.theirs.primary.wait_members(
        lambda them: sorted(one.address for one in them) == ["1001", "2001"]
    )
    if leaves == "agent":
        await pair.call.primary.release()
        await pair.call.interaction.wait_state(ENDED)
        await hear({pair.customer: {"1002"}, pair.colleague: {"2001"}})
        await pair.theirs.primary.wait_members(lambda them: [one.address for one in them] == ["2001"])
        await pair.theirs.primary.release()
    elif leaves == "colleague":
        await pair.theirs.primary.release()
        await hear({pair.customer: {"1001"}, pair.agent: {"2001"}})
        await pair.call.primary.wait_members(lambda them: [one.address for one in them] == ["2001"])
        await pair.call.primary.release()
    else:
        await pair.call.customers_call.hangup()
        await hear({pair.colleague: {"1001"}, pair.agent: {"1002"}})
        await pair.call.primary.wait_members(lambda them: [one.address for one in them] == ["1002"])
        await pair.theirs.primary.wait_members(lambda them: [one.address for one in them] == ["1001"])
        await pair.call.primary.release()
    await pair.over()


async def test_the_colleague_holds_by_the_phone_and_takes_back(pair: Pair) -> None:
    with pytest.raises(BridgeRequestFailed, match="without the connector's dialplan"):
        await pair.theirs.primary.hold()
    await pair.colleagues_call.hold()
    await pair.theirs.primary.wait_state(HELD)
    await pair.hear({"MOH"}, set(), {"MOH"})
    assert (pair.consult.state, pair.call.primary.state) == (TALKING, HELD)
    await pair.colleagues_call.resume()
    await pair.theirs.primary.wait_state(TALKING)
    await pair.talk()
    await pair.consult.release()
    await pair.customer_is_back()


async def test_who_is_consulted_cannot_consult(pair: Pair) -> None:
    third = await pair.call.desk.phones.phone("2002")
    with pytest.raises(BridgeRequestFailed, match="consult"):
        await pair.theirs.consult("2002")
    assert not third.calls
    await pair.talk()
    await pair.theirs.primary.release()
    await pair.customer_is_back()


async def test_the_customer_goes_and_the_agents_talk_on(pair: Pair) -> None:
    await pair.call.customers_call.hangup()
    await pair.call.primary.wait_state(RELEASED)
    await hear({pair.agent: {"1002"}, pair.colleague: {"1001"}})
    assert (pair.consult.state, pair.theirs.primary.state) == (TALKING, TALKING)
    await pair.consult.release()
    await pair.over()


@pytest.mark.parametrize("moment", ["talking", "swapped"])
async def test_the_colleague_hangs_up(pair: Pair, moment: str) -> None:
    if moment == "swapped":
        await pair.call.interaction.alternate()
        await pair.hear({"2001"}, {"MOH"}, {"1001"})
    await pair.colleagues_call.hangup()
    await pair.consult.wait_state(RELEASED)
    await pair.customer_is_back()
