"""Who works and calls during the campaign: agents do all operations at random, customers call and hang up."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field

from calls import DIALING, ENDED, HELD, RELEASED, TALKING
from world import START, World

from connector.bridge.catalogue.channel import AgentState, ChannelState, Dial
from connector.bridge.catalogue.interaction import InteractionState
from connector.bridge.messages import Message
from connector.lab.phones.base import PhoneError
from connector.processor.handles import Conversation, Interaction
from connector.processor.link import Direction
from connector.processor.problems import BridgeGone, BridgeRequestFailed, BridgeTimeout, StateUnreachable
from connector.processor.server import Session

OVER = {InteractionState.ENDED, InteractionState.COMPLETED}
_ENDLESS = 1e6
_PACE = 0.25
"""Seconds between two things that somebody does, at most."""

Act = Callable[[], Awaitable[object]]


@dataclass(frozen=True)
class Cast:
    """Who takes part: agents who work, customers who call, outsiders who are called."""

    agents: tuple[str, ...] = ("1001", "1002", "1003", "1004")
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
    outcomes: Counter[str] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)
    asked: Counter[str] = field(default_factory=Counter)
    """How often the bridge asked for a call to a number."""
    tones: Counter[str] = field(default_factory=Counter)
    """How many tones the bridge asked to be sent to a number at most."""
    faults: list[str] = field(default_factory=list)
    busy: int = 0
    agents: dict[str, "Agent"] = field(default_factory=dict)
    _work: list[asyncio.Task[None]] = field(default_factory=list)

    async def arrive(self, idle: tuple[str, ...] = ()) -> None:
        """Register the phones and begin; agents of `idle` log in and do nothing, not even take calls."""
        for number in (*self.cast.agents, *self.cast.customers, *self.cast.outsiders):
            await self.world.phone(number)
        for number in idle:
            await self.world.phone(number)
        self.world.bridge.listeners.add(self._heard)
        for number in (*self.cast.agents, *idle):
            agent = self.agents[number] = Agent(self, number, works=number in self.cast.agents)
            self._work.append(asyncio.create_task(agent.live()))
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
        """Carry something out and note what came of it; True if it was carried out."""
        self.busy += 1
        try:
            await act()
        except BridgeRequestFailed as problem:
            self.outcomes[f"{what}: refused"] += 1
            self.refusals[str(problem)] += 1
            return False
        except BridgeTimeout as problem:
            self.faults.append(f"{what}: {str(problem).partition(' Last messages')[0]}")
            return False
        except (StateUnreachable, LookupError, PhoneError):
            self.outcomes[f"{what}: over"] += 1
            return False
        except BridgeGone:
            self.outcomes[f"{what}: connection gone"] += 1
            raise
        else:
            self.outcomes[f"{what}: done"] += 1
            return True
        finally:
            self.busy -= 1

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
        chance, phone = self.world.chance, await self.world.phone(number)
        while True:
            await asyncio.sleep(chance.uniform(0, 2 * _PACE))
            await self.go.wait()
            with suppress(PhoneError):
                if not phone.calls:
                    agent = self.idle(*self.cast.agents)
                    await phone.dial("7000" if agent is None or chance.random() < 0.5 else agent)
                elif chance.random() < self.cast.hang_up:
                    await phone.calls[0].hangup()


class Agent:
    """An agent whose desktop logs in again whenever it has to."""

    def __init__(self, people: People, number: str, *, works: bool) -> None:
        self.number = number
        self.session: Session | None = None
        self.here = asyncio.Event()
        self.lost = asyncio.Event()
        self._people = people
        self._world = people.world
        self._chance = people.world.chance
        self._works = works
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
                interaction = await session.channel.next_interaction(timeout=_ENDLESS)
                task = asyncio.create_task(self._serve(interaction))
                self._serving.add(task)
                task.add_done_callback(self._serving.discard)

    async def _dial_now_and_then(self, session: Session) -> None:
        people, channel = self._people, session.channel
        with suppress(BridgeGone):
            while True:
                await asyncio.sleep(self._chance.uniform(0, 4 * _PACE))
                await people.go.wait()
                if not self._works or self.interactions:
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
                await asyncio.sleep(self._chance.uniform(0, _PACE))
                if self._works and people.go.is_set() and interaction.state is InteractionState.STARTED:
                    chosen = self._choose(interaction)
                    if chosen is not None:
                        await people.do(*chosen)
            if interaction.state is ENDED:
                await people.do("complete", interaction.complete)
            if interaction.state is InteractionState.COMPLETED:
                await people.do("dispose", interaction.dispose)

    def _choose(self, interaction: Interaction) -> tuple[str, Act] | None:
        primary, consult = interaction.primary, interaction.consult_conversation
        if consult is not None and consult.state is not RELEASED:
            acts = self._of_consult(interaction, consult)
        elif primary.state is TALKING:
            acts = [*self._of_talk(interaction), *self._of_both(interaction)]
        elif primary.state is HELD:
            acts = [("retrieve", primary.retrieve, 5), *self._of_both(interaction)]
        else:
            return None
        weights = [weight for _, _, weight in acts]
        what, act, _ = self._chance.choices(acts, weights)[0]
        return what, act

    def _of_talk(self, interaction: Interaction) -> list[tuple[str, Act, int]]:
        primary, people = interaction.primary, self._people
        acts: list[tuple[str, Act, int]] = [("hold", primary.hold, 6)]
        if len(primary.members) == 1:
            tones = str(self._chance.randrange(10, 100))
            (member,) = primary.members

            async def send() -> None:
                people.tones[member.address] += len(tones)
                try:
                    await primary.send_dtmf(tones)
                finally:
                    # Who has joined in the meantime may have heard them; the bridge learns of it late.
                    for other in primary.members:
                        if other.address != member.address:
                            people.tones[other.address] += len(tones)

            acts.append(("senddtmf", send, 2))
        if len(primary.members) < 3:
            acts.append(("blindconference", self._to_number(primary.blind_conference), 1))
        if len(primary.members) == 1:
            acts.append(("blindtransfer", self._to_number(primary.blind_transfer), 1))
        return acts

    def _of_both(self, interaction: Interaction) -> list[tuple[str, Act, int]]:
        data = {"STEP": str(self._chance.randrange(10**6))}
        return [
            (
                "consult",
                self._to_number(interaction.consult),
                4 if self._people.idle(*self._people.cast.outsiders) else 0,
            ),
            ("setdata", lambda: interaction.set_data(data), 2),
            ("release", interaction.primary.release, 1),
        ]

    def _of_consult(self, interaction: Interaction, consult: Conversation) -> list[tuple[str, Act, int]]:
        if consult.state is DIALING:
            return [
                ("wait for an answer", _nothing, 6),
                ("release consult", consult.release, 1),
                ("transfer while it rings", self._transfer_ringing(interaction, consult), 1),
            ]
        return [
            ("alternate", interaction.alternate, 5),
            ("consulttransfer", interaction.consult_transfer, 2),
            ("consultconference", interaction.consult_conference, 2),
            ("release consult", consult.release, 2),
        ]

    def _transfer_ringing(self, interaction: Interaction, consult: Conversation) -> Act:
        async def transfer() -> None:
            # Who rings is called once more, from the customer's leg.
            for member in consult.members:
                self._people.asked[member.address] += 1
            await interaction.consult_transfer()

        return transfer

    def _to_number(self, act: Callable[[str], Awaitable[object]]) -> Act:
        """Do it with a number whose phone is free; most answer, some are busy or let it ring."""

        async def done() -> None:
            number = self._people.idle(*self._people.cast.outsiders)
            if number is None:
                raise LookupError
            phone = await self._world.phone(number)
            phone.answer_mode = self._chance.choices(("auto", 486, "manual"), (8, 1, 1))[0]
            self._people.asked[number] += 1
            await act(number)

        return done


async def _nothing() -> None:
    """Let some time pass."""
