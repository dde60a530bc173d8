"""An agent: logs in whenever it has to, picks up, and does one thing after the other with the calls."""

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from calls import ENDED
from repertoire import Act, Repertoire
from world import START

from connector.bridge.catalogue.channel import AgentState, ChannelState, Dial
from connector.bridge.catalogue.interaction import InteractionState
from connector.lab.phones.base import CallState
from connector.processor.handles import Interaction
from connector.processor.problems import BridgeGone, BridgeRequestFailed
from connector.processor.server import Session

if TYPE_CHECKING:
    from people import People

OVER = {InteractionState.ENDED, InteractionState.COMPLETED}
ENDLESS = 1e6
PACE = 0.25
"""Seconds between two things that somebody does, at most."""
_RINGS = 0.8
"""Seconds after which an agent who is not there at once picks up, at most."""


class Agent:
    """An agent whose desktop logs in again whenever it has to."""

    def __init__(self, people: "People", number: str, *, works: bool) -> None:
        self.number = number
        self.session: Session | None = None
        self.here = asyncio.Event()
        self.lost = asyncio.Event()
        self.busy = 0
        """How many things the agent is doing with calls."""
        self._people = people
        self._world = people.world
        self._chance = people.world.chance
        self._works = works
        self._repertoire = Repertoire(number, people)
        self._serving: set[asyncio.Task[None]] = set()

    @property
    def interactions(self) -> list[Interaction]:
        """The interactions that are not over, as the bridge has them."""
        if self.session is None:
            return []
        return [one for one in self.session.channel.interactions if one.state not in OVER]

    async def live(self) -> None:
        """Work until cancelled."""
        try:
            while True:
                with suppress(BridgeGone, BridgeRequestFailed):
                    await self._log_in()
                    await self._until_lost()
                self.here.clear()
                self.session = None
                await self._stop_serving()
                await asyncio.sleep(0.02)
        finally:
            await self._stop_serving()

    async def pick_up(self) -> None:
        """Answer what rings at the phone, half of it at once, whatever becomes of connector and bridge."""
        phone = self._people.phones[self.number]
        phone.answer_mode = "manual"
        while True:
            call = await phone.next_call(ENDLESS)
            if not call.auto_answer:
                await asyncio.sleep(self._chance.choice((0.0, self._chance.uniform(0.2, _RINGS))))
                if call.state is CallState.RINGING_IN:
                    await self._people.do("phone: answer", call.answer)

    async def _stop_serving(self) -> None:
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def _log_in(self) -> None:
        bridge = self._world.bridge
        await bridge.wait_in_service(START)
        self.lost.clear()
        account = self._world.info.agents[self.number]
        session = await bridge.login(self.number, account.password, extension=account.extension)
        channel = session.channel
        if channel.state is not ChannelState.ACTIVE:
            await channel.activate()
        if self._works and channel.agent_state is not AgentState.READY:
            await channel.ready()
        self.session = session

    async def _until_lost(self) -> None:
        session = self.session
        assert session is not None
        self.here.set()
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(self._take(session)),
                group.create_task(self._dial_now_and_then(session)),
            ]
            lost = group.create_task(self.lost.wait())
            try:
                await asyncio.wait([*tasks, lost], return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in (*tasks, lost):
                    task.cancel()

    async def _take(self, session: Session) -> None:
        with suppress(BridgeGone):
            while True:
                interaction = await session.channel.next_interaction(timeout=ENDLESS)
                task = asyncio.create_task(self._serve(interaction))
                self._serving.add(task)
                task.add_done_callback(self._serving.discard)

    async def _dial_now_and_then(self, session: Session) -> None:
        people, channel = self._people, session.channel
        with suppress(BridgeGone):
            while True:
                await asyncio.sleep(self._chance.uniform(0, 4 * PACE))
                await people.go.wait()
                if not self._works or self.interactions or self.number in people.resting:
                    if not session.link.alive:
                        return
                    continue
                draw = self._chance.random()
                number = people.idle(*people.cast.customers, *people.cast.outsiders)
                if draw < 0.3 and number is not None:
                    people.asked[number] += 1
                    # The interaction is taken like all others.
                    await people.do("dial", lambda to=number: channel._do(Dial(destination=to), None))
                elif draw < 0.4:
                    await people.do("notready", lambda: channel.not_ready("lunch"))
                elif channel.agent_state is not AgentState.READY:
                    await people.do("ready", channel.ready)

    async def _serve(self, interaction: Interaction) -> None:
        """Do one thing after the other until the interaction is over; complete and dispose of it then."""
        people = self._people
        with suppress(BridgeGone):
            while interaction.state not in OVER:
                if not interaction.link.alive:
                    return
                await asyncio.sleep(self._chance.uniform(0, PACE))
                if self._works and people.go.is_set() and self.number not in people.resting:
                    chosen = self._repertoire.choose(interaction, only=self.interactions == [interaction])
                    if chosen is not None:
                        await self._do(*chosen)
            if interaction.state is ENDED:
                await people.do("complete", interaction.complete)
            if interaction.state is InteractionState.COMPLETED:
                await people.do("dispose", interaction.dispose)

    async def _do(self, what: str, act: Act) -> None:
        self.busy += 1
        try:
            await self._people.do(what, act)
        finally:
            self.busy -= 1
