"""Calls that nobody touches, listened to all the time: whatever fails beside the PBX, they must not.

Beside them there may be one with which the connector has nothing to do: somebody calls the echo. A gap in
that one is the laboratory's.
"""

import asyncio
from collections.abc import Mapping

from agents import Agent
from desk import WAIT
from listening import Listening
from world import World

from connector.bridge.catalogue.conversation import ConversationState
from connector.lab.phones.base import CallState, Phone, PhoneError
from connector.processor.handles import Interaction

TALK, HOLD, CONFERENCE = ("1008", "2008"), ("1009", "2009"), ("1010", "2010", "2007")
ECHO = "9000"
AGENTS = tuple(sorted(numbers[0] for numbers in (TALK, HOLD, CONFERENCE)))


class Witnesses:
    """A call that talks, one on hold, and a conference."""

    def __init__(self, world: World, agents: Mapping[str, Agent], control: str = "") -> None:
        """`control` is the number of a phone for the call that is not the connector's, if there is one."""
        self._world = world
        self._control = control
        self._agents = agents
        self.heard = Listening()
        self.control = Listening()
        """The same, of the call that is not the connector's."""

    @property
    def numbers(self) -> set[str]:
        """Whose phones they are."""
        return {*TALK, *HOLD, *CONFERENCE, self._control}

    async def call(self) -> None:
        """Make the calls, from the bridge, and begin to listen."""
        agent, customer = await self._connect(*TALK)
        expected = {agent: frozenset({TALK[1]}), customer: frozenset({TALK[0]})}
        agent, customer = await self._connect(*HOLD)
        await self._interaction(HOLD[0]).primary.hold()
        expected |= {agent: frozenset(), customer: frozenset({"MOH"})}
        agent, customer = await self._connect(*CONFERENCE[:2])
        await self._world.phone(CONFERENCE[2])
        primary = self._interaction(CONFERENCE[0]).primary
        await primary.blind_conference(CONFERENCE[2])
        await primary.wait_members(lambda members: len(members) == len(CONFERENCE) - 1)
        for number in CONFERENCE:
            phone = await self._world.phone(number)
            expected[phone] = frozenset(CONFERENCE) - {number}
        if self._control:
            caller = await self._world.phone(self._control)
            await (await caller.dial(ECHO)).wait_state(CallState.TALKING, WAIT)
            await self.control.begin({caller: frozenset({self._control})})
        await self.heard.begin(expected)

    async def stop(self) -> None:
        """Listen no more."""
        await self.heard.stop()
        await self.control.stop()

    async def _connect(self, agent: str, customer: str) -> tuple[Phone, Phone]:
        theirs, ours = await self._world.phone(customer), await self._world.phone(agent)
        call = await theirs.dial(agent)
        await call.wait_state(CallState.TALKING, WAIT)
        async with asyncio.timeout(WAIT):
            while not self._agents[agent].interactions:  # noqa: ASYNC110 - the agent's tasks take them
                await asyncio.sleep(0.02)
        await self._interaction(agent).primary.wait_state(ConversationState.TALKING)
        return ours, theirs

    def _interaction(self, agent: str) -> Interaction:
        (found,) = self._agents[agent].interactions
        return found


async def hang_up(world: World, *, but: set[str]) -> None:
    """Hang up all phones but some."""
    calls = [call for phone in world.phones.phones if phone.extension not in but for call in phone.calls]
    for result in await asyncio.gather(*(call.hangup() for call in calls), return_exceptions=True):
        if isinstance(result, BaseException) and not isinstance(result, PhoneError):
            raise result
