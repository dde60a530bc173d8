"""An answered call at an agent's desk, however it came to be: what the tests of call handling begin with."""

from dataclasses import dataclass
from typing import Literal, get_args

from desk import WAIT, Desk

from connector.bridge.catalogue.conversation import ConversationState
from connector.bridge.catalogue.interaction import InteractionState
from connector.lab.phones.base import Phone, PhoneCall
from connector.lab.phones.fleet import Stack
from connector.lab.phones.hearing import expect_hears
from connector.processor.handles import Conversation, Interaction
from connector.processor.server import Session

TALKING, HELD, RELEASED = ConversationState.TALKING, ConversationState.HELD, ConversationState.RELEASED
DIALING = ConversationState.DIALING
ENDED = InteractionState.ENDED

Origin = Literal["queue", "dial", "hand", "direct"]
"""By a queue, dialled from the bridge, by hand on the agent's phone, straight to the agent's extension."""

ORIGINS: tuple[Origin, ...] = get_args(Origin)


@dataclass
class Call:
    """An answered call: agent 1001 with customer 2001; colleague 1002 and outsider 2002 at hand."""

    desk: Desk
    session: Session
    interaction: Interaction
    agent: Phone
    customer: Phone
    target: Phone
    customers_call: PhoneCall
    origin: Origin

    @property
    def primary(self) -> Conversation:
        return self.interaction.primary

    async def consult(self) -> Conversation:
        """Consult colleague 1002, who answers."""
        consult = await self.interaction.consult("1002")
        assert self.primary.state is HELD
        await (await self.target.next_call(WAIT)).answer()
        await consult.wait_state(TALKING)
        await expect_hears({self.agent: {"1002"}, self.target: {"1001"}, self.customer: {"MOH"}})
        return consult

    async def over(self, *others: Interaction) -> None:
        """End the wrap-up of the interaction, and of others of the agent, and log the agent out."""
        for one in (self.interaction, *others):
            await one.wait_state(ENDED)
            await one.complete()
        await self.session.close()


async def make_call(desk: Desk, origin: Origin, *, stack: Stack = "baresip") -> Call:
    """Put agent 1001, at a phone of that stack, and customer 2001 into a call that both have answered."""
    agent, customer = await desk.agent_phone(stack=stack), await desk.phones.phone("2001")
    target = await desk.phones.phone("1002")
    session = await desk.login("1001", ready=origin == "queue")
    interaction, customers_call = await connect(session, agent, customer, origin)
    await expect_hears({agent: {"2001"}, customer: {"1001"}})
    return Call(desk, session, interaction, agent, customer, target, customers_call, origin)


async def connect(
    session: Session, agent: Phone, customer: Phone, origin: Origin
) -> tuple[Interaction, PhoneCall]:
    """Have a logged-in agent 1001 and customer 2001 answer a call; return it and the customer's end of it."""
    if origin in {"queue", "direct"}:
        agent.answer_mode = "auto"
        customers_call = await customer.dial("7000" if origin == "queue" else "1001")
        interaction = await session.channel.next_interaction()
    else:
        if origin == "dial":
            interaction = await session.channel.dial("2001")
        else:
            await agent.dial("2001")
            interaction = await session.channel.next_interaction()
        customers_call = await customer.next_call(WAIT)
        await customers_call.answer()
    await interaction.primary.wait_state(TALKING)
    await interaction.wait_state(InteractionState.STARTED)
    return interaction, customers_call
