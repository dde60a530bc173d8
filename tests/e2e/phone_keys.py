"""An agent uses the phone's own keys: what tests of that have in common."""

import pytest
from calls import DIALING, HELD, TALKING, Call
from desk import WAIT

from connector.bridge.catalogue.conversation import MemberType
from connector.lab.phones.base import PhoneCall, PhoneError
from connector.lab.phones.hearing import expect_hears
from connector.processor.handles import Conversation

PLACES = pytest.mark.parametrize(
    "where", ["bridge", "room", pytest.param("bridge", marks=pytest.mark.atxfer, id="atxfer")]
)
"""Where the calls are: in a plain bridge, in a party room, or in a bridge and the strategy is atxfer."""


async def hold(call: Call) -> PhoneCall:
    """Hold the customer with the phone's key; the customer hears music, whatever bridge or room it is in."""
    first = call.agent.calls[0]
    await first.hold()
    await call.primary.wait_state(HELD)
    await expect_hears({call.agent: set(), call.customer: {"MOH"}})
    return first


async def resume(call: Call) -> None:
    await call.agent.calls[0].resume()
    await call.primary.wait_state(TALKING)
    await expect_hears({call.agent: {"2001"}, call.customer: {"1001"}})


async def into_room(call: Call) -> None:
    """Have the bridge hold and retrieve once: from then on the call is in a party room."""
    await call.primary.hold()
    await call.primary.retrieve()
    await expect_hears({call.agent: {"2001"}, call.customer: {"1001"}})


async def consult(call: Call) -> tuple[Conversation, PhoneCall]:
    """Have the agent consult colleague 1002 on the phone: hold, dial, answered."""
    await hold(call)
    found = await consult_while_held(call)
    await expect_hears({call.agent: {"1002"}, call.target: {"1001"}, call.customer: {"MOH"}})
    return found


async def consult_while_held(call: Call) -> tuple[Conversation, PhoneCall]:
    """Do the rest, whoever hears it."""
    before = call.interaction.node.consult
    second = await call.agent.dial("1002")
    await call.interaction.link.until(
        lambda: call.interaction.node.consult != before, WAIT, lambda: "another consult"
    )
    found = await call.interaction.wait_consult()
    assert found.states[0] is DIALING
    assert [(one.address, one.type) for one in found.members] == [("1002", MemberType.AGENT)]
    await (await call.target.next_call(WAIT)).answer()
    await found.wait_state(TALKING)
    assert call.primary.state is HELD
    assert call.session.channel.interactions == [call.interaction]
    return found, second


async def join(call: Call, second: PhoneCall, where: str) -> None:
    """Have the phone join its two calls with its own key."""
    first = call.agent.calls[0]
    if where == "bridge":
        await first.transfer_to(second)
        return
    # Asterisk joins nobody out of a room and tells the phone so; the connector does it.
    await in_a_room(call, "1002")
    with pytest.raises(PhoneError, match="400"):
        await first.transfer_to(second)


async def in_a_room(call: Call, endpoint: str) -> None:
    """Wait until the party at that phone is in a room, as it is when the phone's other call is in one."""
    exchange = call.desk.connector.pbx._exchange
    legs = exchange.model.legs
    await exchange.until(
        lambda: any(legs.room_of(leg.id) for leg in legs.of_endpoint(endpoint)), "room", WAIT
    )


async def gone(call: Call) -> None:
    """Have everybody left hang up, and the agent be free."""
    for phone in (call.agent, call.target, call.customer):
        for each in phone.calls:
            await each.hangup()
    await call.over()
