"""The connector is killed at any moment, with anything under way: the bridge's referee notices nothing of it.

A message that was not committed to the ledger is lost with the process, a request that was not answered is
delivered to the next one, and what the PBX does meanwhile nobody sees.
"""

import asyncio
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from bridge_steps import LIKELY, Ask, Next, Service, Step, Told, Turns, beginnings, fitting
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted_pbx import Fate
from structlog.testing import capture_logs
from test_tree_properties import Agents, Bench

from connector.bridge.ledger import Batch, Ledger, NoStore
from connector.bridge.messages import Message
from connector.destinations.base import Destination
from connector.destinations.channel import Channel
from connector.destinations.control import Control
from connector.destinations.conversation import Conversation
from connector.destinations.interaction import Interaction
from connector.destinations.interrupted import judge, proves
from connector.destinations.keeping import Keeper
from connector.destinations.restoring import restore, row_of
from connector.destinations.site import Site
from connector.destinations.tree import Tree
from connector.processor.nodes import ChannelNode, ConversationNode, InteractionNode, Node
from connector.telephony import facts


@dataclass(frozen=True)
class Restart:
    """The connector is killed, the PBX goes on, another connector is started."""

    missed: tuple[Told, ...] = ()


class Mortal(Bench):
    """A bench whose tree is kept."""

    def __init__(self) -> None:
        super().__init__()
        self.tree._unsubscribe()
        self.outbox: deque[tuple[int, Message]] = deque()
        self.ledger = Ledger(NoStore())
        self._begin()

    def flush(self) -> None:
        pass

    def send(self, message: Message) -> None:
        self.outbox.append((self.ledger.staged_turn, message))

    def _committed(self, _batch: Batch) -> None:
        while self.outbox and self.outbox[0][0] <= self.ledger.done_turn:
            super().send(self.outbox.popleft()[1])

    def _begin(self) -> None:
        self.ledger.committed = self._committed
        self.tree = Tree("P", self.pbx, Agents(), self, Site(extensions=True))
        Control(self.tree)
        keeper = Keeper(self.ledger, row_of, judge, proves)
        self.tree.keeper = keeper
        restore(self.tree, keeper, self.ledger.rows)

    async def restart(self, missed: Iterable[Told]) -> None:
        self.tree._unsubscribe()
        self.tree._lanes.cancel_all()
        self.ledger.committed = lambda _batch: None
        # What is staged and not committed is lost, and so is what waits for it.
        rows = dict(self.ledger.rows)
        self.outbox.clear()
        await asyncio.sleep(0)
        for one in missed:
            await self.do(one)
        self.ledger = Ledger(NoStore())
        self.ledger.replace(rows)
        self._begin()
        for message in self.asked:
            if message.request_id not in self.answers:
                self.tree.received(message)


async def play(steps: Iterable[Step | Restart]) -> list[str]:
    """Carry the steps out, let everything come to rest, and return what was wrong."""
    with capture_logs() as logs:
        bench = Mortal()
        for one in steps:
            if isinstance(one, Restart):
                await bench.restart(one.missed)
            else:
                await bench.do(one)
        bench.pbx.fates.clear()
        bench.pbx.set_available(available=True)
        for _ in range(400):
            bench.pbx.let_go()
            await asyncio.sleep(0)
    faults = list(bench.faults)
    faults += [f"{each} has no response" for each in bench.rules.outstanding()]
    faults += [f"{sorted(each.events)} never followed {each.request}" for each in bench.rules.owed()]
    faults += untrue(bench)
    errors = [each for each in logs if each.get("exc_info")]
    if len(errors) != bench.pbx.broken:
        faults.append(f"exceptions came up: {errors}")
    return faults


def untrue(bench: Mortal) -> list[str]:
    """Return where the bridge believes something that is not so."""
    found = []
    for one in bench.tree.destinations:
        node = bench.rules.nodes.get(one.target)
        if node is None:
            found.append(f"the bridge does not know {one.target}")
        elif one.open and not one.over:
            believed, true = _views(bench, one, node)
            if believed != true:
                found.append(f"{one.target} is believed {believed}, but is {true}")
    return found


def _views(bench: Mortal, one: Destination, node: Node) -> tuple[object, object]:
    model = bench.pbx.model
    if isinstance(one, Channel) and isinstance(node, ChannelNode):
        presence = model.presence(one.seat.endpoint)
        ready = presence.agent == one.seat.agent and presence.ready
        supervisor = model.supervisor(one.seat.endpoint)
        return (
            (node.state, node.agent_state == "READY", node.supervision is None or node.supervision.state),
            (
                one.state_of(presence),
                ready,
                node.supervision is None or (supervisor.supervision if supervisor else "OFF"),
            ),
        )
    if isinstance(one, Interaction) and isinstance(node, InteractionNode):
        call = model.interaction(one.nativeid)
        if call is None:
            return node.state in {"ENDED", "COMPLETED"}, True
        if call.over:
            return node.state, call.state
        return (node.state, node.recording, node.muted), (call.state, call.recording, call.muted)
    if isinstance(one, Conversation) and isinstance(node, ConversationNode):
        call = model.interaction(one.interaction)
        leg = call.conversation(one.nativeid) if call is not None else None
        if leg is None:
            return node.state, "RELEASED"
        return (node.state, sorted(node.members)), (leg.state, sorted(each.id for each in leg.members))
    return None, None


SEEN = tuple(
    # A colleague who takes the phone over under the bridge's hands is a matter of its own.
    fact
    for fact in LIKELY
    if not (isinstance(fact, facts.MemberChanged) and fact.member == "1002")
)

STEPS = st.one_of(
    fitting,
    fitting,
    st.builds(Told, st.sampled_from(SEEN)),
    st.builds(Next, st.sampled_from(Fate)),
    st.builds(Service, st.booleans()),
    st.builds(Turns, st.integers(1, 6), st.booleans()),
    st.builds(Restart, st.lists(st.builds(Told, st.sampled_from(SEEN)), max_size=4).map(tuple)),
)


@given(beginnings, st.lists(STEPS, max_size=40))
@settings(max_examples=200, deadline=None)
def test_the_referee_sees_no_restart(beginning: tuple[Step, ...], steps: list[Step | Restart]) -> None:
    faults = asyncio.run(play((*beginning, Turns(6), *steps, Restart(), Turns(6))))
    assert not faults, faults


def test_a_call_goes_on_through_a_restart_after_every_step() -> None:
    beginning = (Ask("cti.request.serverstatus", "P.CONTROL"),)
    assert asyncio.run(play((*beginning, Restart(), Turns(3), Restart(), Turns(3)))) == []


RINGS = (
    *(Ask("cti.request.serverstatus", "P.CONTROL"), Ask("cti.query.capabilities", "P.CONTROL")),
    *(Ask("cti.request.createsession", "P.CONTROL"), Turns(6)),
    *(Ask("session.query.init", "S1"), Ask("session.request.createchannelgroup", "S1")),
    *(Ask("channelgroup.query.init", "S1.g"), Ask("channelgroup.request.createchannel", "S1.g")),
    *(Ask("channel.query.init", "S1.g.c"), Ask("channel.request.activate", "S1.g.c"), Turns(6)),
    Told(facts.LegCreated("c", "2001", "c", placed=True, number="2001", dialled="7000")),
    Told(facts.LegCreated("a", "1001", "c", placed=False)),
    *(Told(facts.DialStarted("c", "a")), Told(facts.LegRinging("a")), Turns(3)),
    *(Ask("channel.request.createinteraction", "S1.g.c"), Ask("interaction.query.init", "S1.g.c.i")),
    *(
        Ask("interaction.request.createconversation", "S1.g.c.i"),
        Ask("conversation.query.init", "S1.g.c.i.p"),
    ),
    Turns(6),
)
"""Agent 1001 has a session, and a call that rings."""


def test_a_session_is_not_closed_before_its_calls_are_known() -> None:
    """The PBX is away as the connector is killed: the next one does not know what became of the call."""
    gone = (Told(facts.MemberGone("support", "1001")), Told(facts.PbxStopped()), Service(False))
    close = Ask("session.request.close", "S1")
    assert asyncio.run(play((*RINGS, *gone, close, Restart(), Turns(6)))) == []
    assert asyncio.run(play((*RINGS, Service(False), Restart(), close, Turns(6)))) == []
