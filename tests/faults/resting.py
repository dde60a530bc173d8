"""A call that people work on and let rest while something breaks: those who are in it are listened to."""

import asyncio

from agents import Agent
from calls import HELD, RELEASED, TALKING
from desk import WAIT
from listening import Listening
from people import People
from repertoire import members
from survival import Groups
from truth import read, these_hear
from world import World

from connector.bridge.catalogue.interaction import InteractionState
from connector.lab.phones.base import PhoneError
from connector.processor.handles import Interaction
from connector.processor.problems import BridgeGone, BridgeRequestFailed, BridgeTimeout, StateUnreachable

_PATIENCE = 30.0
_UP = {TALKING, HELD, RELEASED}
SHAPES = ("on hold", "held by the phone", "consult", "conference")


class RestingCall:
    """One call of an agent who works: brought to a shape if it only talks, and left alone from then on."""

    def __init__(self, world: World, people: People) -> None:
        self._world = world
        self._people = people
        self.listening = Listening()
        self.shape = ""

    async def begin(self) -> None:
        """Choose a call, have it rest, and begin to listen. Raises AssertionError if there is none."""
        try:
            async with asyncio.timeout(_PATIENCE):
                while not await self._try():
                    self._people.resting.clear()
                    await asyncio.sleep(0.1)
        except TimeoutError:
            raise AssertionError(f"no call that can rest within {_PATIENCE} s") from None

    async def end(self) -> None:
        """Let people work on, and listen no more."""
        await self.listening.stop()
        self._people.resting.clear()

    async def _try(self) -> bool:
        people = self._people
        for agent in self._world.chance.sample(list(people.agents.values()), len(people.agents)):
            if agent.number not in people.cast.agents or not agent.interactions:
                continue
            people.resting |= await self._group(agent)
            while any(people.agents[one].busy for one in people.resting & people.agents.keys()):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
            if await self._settle(agent):
                numbers = await self._group(agent)
                people.resting |= numbers
                expected = await these_hear(self._world, people.agents, numbers)
                if expected and self._in_no_other_call(numbers) and not await self._expects_anybody(numbers):
                    await self.listening.begin(expected)
                    return True
            people.resting.clear()
        return False

    async def _group(self, agent: Agent) -> frozenset[str]:
        return Groups(await read(self._world), self._people).of(agent.number)

    async def _expects_anybody(self, numbers: frozenset[str]) -> bool:
        """Tell whether somebody who rings is to join them: no conversation shows that."""
        truth = await read(self._world)
        return any(truth.invites(number) for number in numbers)

    def _in_no_other_call(self, numbers: frozenset[str]) -> bool:
        """Tell whether the callers among these phones have one call each: all of a phone are heard."""
        callers = numbers - self._people.agents.keys()
        return all(len(self._people.phones[number].calls) == 1 for number in callers)

    async def _settle(self, agent: Agent) -> bool:
        """Bring the agent's call to a shape; False if that could not be."""
        people = self._people
        if not self._fit(agent):
            return False
        (one,) = agent.interactions
        for number in members(one) & people.agents.keys():
            if not self._fit(people.agents[number]):
                return False
        try:
            self.shape = _shape(agent, one, people) or await self._bring(agent, one)
        except (BridgeRequestFailed, BridgeGone, BridgeTimeout, StateUnreachable, LookupError, PhoneError):
            return False
        return self._fit(agent)

    def _fit(self, agent: Agent) -> bool:
        """Tell whether an agent has one call, and in that nothing rings."""
        if len(agent.interactions) != 1:
            return False
        (one,) = agent.interactions
        states = {each.state for each in one.conversations.values()}
        return one.state is InteractionState.STARTED and states <= _UP and one.primary.state is not RELEASED

    async def _bring(self, agent: Agent, one: Interaction) -> str:
        people, chance = self._people, self._world.chance
        shape = chance.choice(SHAPES)
        number = people.idle(*people.cast.outsiders, *people.cast.agents)
        if shape == "held by the phone":
            calls = people.phones[agent.number].calls
            if len(calls) != 1:
                raise LookupError(f"the phone has {len(calls)} calls")
            await calls[0].hold()
            await one.primary.wait_state(HELD, timeout=WAIT)
        elif shape == "on hold" or number is None:
            shape = "on hold"
            await one.primary.hold()
        else:
            people.resting.add(number)
            if number in people.cast.outsiders:
                people.phones[number].answer_mode = "auto"
            people.asked[number] += 1
            consult = await one.consult(number)
            await consult.wait_state(TALKING)
            if shape == "conference":
                await one.consult_conference()
        return shape


def _shape(agent: Agent, one: Interaction, people: People) -> str:
    """Tell what a call is already; nothing if it just talks."""
    consult = one.consult_conversation
    if consult is not None and consult.state is not RELEASED:
        return "consult"
    if len(one.primary.members) > 1:
        return "conference"
    if one.primary.state is HELD:
        holding = any(call.state == "held" for call in people.phones[agent.number].calls)
        return "held by the phone" if holding else "on hold"
    return ""
