"""Who works and calls during the campaign: agents do all operations at random, customers call and hang up."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from agents import PACE, Agent
from repertoire import Act
from world import START, World

from connector.bridge.messages import Message
from connector.lab.phones.base import Phone, PhoneError
from connector.processor.link import Direction
from connector.processor.problems import BridgeGone, BridgeRequestFailed, BridgeTimeout, StateUnreachable


@dataclass(frozen=True)
class Cast:
    """Who takes part: agents who work, customers who call, outsiders who are called."""

    agents: tuple[str, ...] = ("1001", "1002", "1003", "1004", "1005")
    customers: tuple[str, ...] = ("2001", "2002", "2003")
    outsiders: tuple[str, ...] = ("2004", "2005")
    control: str = "2006"
    """Phone of a call with which the connector has nothing to do."""
    hang_up: float = 0.05
    """How likely a customer is to hang up, each time that one thinks of it."""


@dataclass
class People:
    """Everybody, what they asked for, and what came of it."""

    world: World
    cast: Cast
    go: asyncio.Event = field(default_factory=asyncio.Event)
    """Cleared: nobody begins anything new."""
    calls: int = 0
    """Interactions that the bridge was told of."""
    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    """How often what was done, and what came of it."""
    refusals: Counter[str] = field(default_factory=Counter)
    asked: Counter[str] = field(default_factory=Counter)
    """How often the bridge asked for a call to a number."""
    tones: Counter[str] = field(default_factory=Counter)
    """How many tones the bridge asked to be sent to a number at most."""
    ended: dict[str, float] = field(default_factory=dict)
    """When somebody last did what may end calls of a number (time.monotonic)."""
    resting: set[str] = field(default_factory=set)
    """Who does nothing for a while."""
    faults: list[str] = field(default_factory=list)
    busy: int = 0
    agents: dict[str, Agent] = field(default_factory=dict)
    phones: dict[str, Phone] = field(default_factory=dict)
    _work: list[asyncio.Task[None]] = field(default_factory=list)
    _fingers: set[asyncio.Task[bool]] = field(default_factory=set)
    """What is being done at phones, whatever becomes of the desktop meanwhile."""

    async def arrive(self, idle: tuple[str, ...] = ()) -> None:
        """Register the phones and begin; agents of `idle` log in and do nothing, not even take calls."""
        for number in (*self.cast.agents, *self.cast.customers, *self.cast.outsiders, *idle):
            self.phones[number] = await self.world.phone(number)
        self.world.bridge.listeners.add(self._heard)
        for number in (*self.cast.agents, *idle):
            agent = self.agents[number] = Agent(self, number, works=number in self.cast.agents)
            self._work.append(asyncio.create_task(agent.live()))
        self._work += [asyncio.create_task(self.agents[number].pick_up()) for number in self.cast.agents]
        self._work += [asyncio.create_task(self._customer(number)) for number in self.cast.customers]

    async def leave(self) -> None:
        """Log everybody out, once all calls are over, and end everybody's work."""
        async with asyncio.timeout(START):
            while self.busy or any(agent.interactions for agent in self.agents.values()):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        for agent in self.agents.values():
            if agent.session is not None:
                await agent.session.close()
        for task in self._work:
            task.cancel()
        for result in await asyncio.gather(*self._work, return_exceptions=True):
            if isinstance(result, Exception):
                raise result

    @property
    def sessions(self) -> set[str]:
        """The targets of the sessions that agents have."""
        return {one.session.target for one in self.agents.values() if one.session is not None}

    async def all_here(self) -> None:
        """Wait until every agent has a session that works."""
        async with asyncio.timeout(START):
            for agent in self.agents.values():
                await agent.here.wait()

    async def finish(self) -> None:
        """Wait until nobody waits for the end of an operation, when `go` is cleared."""
        try:
            async with asyncio.timeout(20):
                while self.busy or self.world.bridge.link.busy:  # noqa: ASYNC110 - people tell nobody
                    await asyncio.sleep(0.02)
        except TimeoutError:
            waiting = [message.name for message in self.world.bridge.link.rules.outstanding()]
            raise AssertionError(
                f"operations do not come to an end: {self.busy}, unanswered {waiting}"
            ) from None

    async def do(self, what: str, act: Act) -> bool:
        """Carry something out and note what came of it; True if it was carried out.

        What somebody does at a phone is done to its end, also when who waits for it is cancelled.
        """
        if not what.startswith("phone: "):
            return await self._do(what, act)
        task = asyncio.create_task(self._do(what, act))
        self._fingers.add(task)
        task.add_done_callback(self._fingers.discard)
        return await asyncio.shield(task)

    async def _do(self, what: str, act: Act) -> bool:
        self.busy += 1
        try:
            await act()
        except BridgeRequestFailed as problem:
            self.outcomes[what, "refused"] += 1
            self.refusals[str(problem)] += 1
            return False
        except BridgeTimeout as problem:
            self.faults.append(f"{what}: {str(problem).partition(' Last messages')[0]}")
            return False
        except (StateUnreachable, LookupError, PhoneError):
            self.outcomes[what, "over"] += 1
            return False
        except BridgeGone:
            self.outcomes[what, "connection gone"] += 1
            raise
        else:
            self.outcomes[what, "done"] += 1
            return True
        finally:
            self.busy -= 1

    def ending(self, act: Act, whom: Callable[[], Iterable[str]]) -> Act:
        """Have it noted whose calls it may end: when it begins, and when it is done, whatever came of it."""

        def note() -> None:
            self.ended |= dict.fromkeys(whom(), time.monotonic())

        async def done() -> None:
            note()
            try:
                await act()
            finally:
                note()

        return done

    def recent(self, since: float) -> set[str]:
        """Return whose calls somebody may have ended since then."""
        return {number for number, when in self.ended.items() if when >= since}

    def idle(self, *numbers: str) -> str | None:
        """Choose one of the numbers whose phone is on no call."""
        free = [phone.extension for phone in self.world.phones.phones if not phone.calls]
        there = [number for number in numbers if number in free]
        return self.world.chance.choice(there) if there else None

    def _heard(self, direction: Direction, message: Message) -> None:
        """Have all log in again when the service is gone, and when the bridge begins anew."""
        self.calls += message.name == "channel.interaction.added"
        gone = (
            message.body.get("status") == "out-of-service"
            if direction is Direction.RECEIVED
            else message.name == "cti.request.serverstatus"
        )
        if gone:
            for agent in self.agents.values():
                agent.lost.set()
                agent.here.clear()

    async def _customer(self, number: str) -> None:
        """Call a queue or an agent now and then, and hang up now and then."""
        chance, phone = self.world.chance, self.phones[number]
        while True:
            await asyncio.sleep(chance.uniform(0, 2 * PACE))
            await self.go.wait()
            if not phone.calls:
                agent = self.idle(*self.cast.agents)
                called = "7000" if agent is None or chance.random() < 0.5 else agent
                await self.do("customer: call", lambda to=called: phone.dial(to))
            elif chance.random() < self.cast.hang_up and number not in self.resting:
                hang_up = self.ending(phone.calls[0].hangup, lambda: (number,))
                await self.do("customer: hang up", hang_up)
