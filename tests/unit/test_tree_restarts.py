"""The connector is killed at any moment, with anything under way: the bridge's referee notices nothing of it.

A message that was not committed to the ledger is lost with the process, a request that was not answered is
delivered to the next one, and what the PBX does meanwhile nobody sees. The next one knows of no call, phone
or agent until the PBX is there and its lists are read.
"""

import asyncio
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pytest
from bridge_steps import (
    LIKELY,
    TALK,
    Ask,
    Next,
    Service,
    Step,
    Told,
    Turns,
    beginnings,
    call_at,
    desk_of,
    fitting,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from listed_pbx import ListedPbx
from scripted_pbx import Fate
from structlog.testing import capture_logs
from test_tree_properties import Agents, Bench

from connector.bridge.ledger import Batch, Ledger, NoStore
from connector.bridge.messages import Message
from connector.bridge.messages import extensions as extension_wire
from connector.destinations import tree as tree_module
from connector.destinations.base import Destination
from connector.destinations.channel import Channel
from connector.destinations.channelgroup import ChannelGroup
from connector.destinations.control import Control
from connector.destinations.conversation import Conversation
from connector.destinations.interaction import Interaction
from connector.destinations.interrupted import judge, proves
from connector.destinations.keeping import Keeper
from connector.destinations.restoring import restore, row_of
from connector.destinations.session import Session
from connector.destinations.site import Site
from connector.destinations.tree import Tree
from connector.destinations.unsupported import UnsupportedChannel
from connector.processor.nodes import (
    ChannelNode,
    ControlNode,
    ConversationNode,
    GroupNode,
    InteractionNode,
    Node,
    SessionNode,
)
from connector.telephony import facts
from connector.telephony.changes import Presence
from connector.telephony.states import Recording


@dataclass(frozen=True)
class Restart:
    """The connector is killed, the PBX goes on, another connector is started."""

    missed: tuple[Told, ...] = ()
    late: bool = False
    """Whether the bridge's requests come before the PBX's lists are read, though the PBX is there."""


class Mortal(Bench):
    """A bench whose tree is kept."""

    pbx: ListedPbx

    def __init__(self) -> None:
        super().__init__(ListedPbx())
        self.tree._unsubscribe()
        self.outbox: deque[tuple[int, Message]] = deque()
        self._begin({}, in_step=True)

    def flush(self) -> None:
        pass

    def send(self, message: Message) -> None:
        self.outbox.append((self.ledger.staged_turn, message))

    def _committed(self, _batch: Batch) -> None:
        while self.outbox and self.outbox[0][0] <= self.ledger.done_turn:
            super().send(self.outbox.popleft()[1])

    def _begin(self, rows: Mapping[str, bytes], *, in_step: bool) -> None:
        self.ledger = Ledger(NoStore())
        self.ledger.replace(rows)
        self.ledger.committed = self._committed
        self.tree = Tree("P", self.pbx, Agents(), self, Site(extensions=True))
        Control(self.tree)
        if in_step:
            self.pbx.set_available(available=True)
        keeper = Keeper(self.ledger, row_of, judge, proves)
        self.tree.keeper = keeper
        restore(self.tree, keeper, self.ledger.rows)

    async def restart(self, one: Restart) -> None:
        self.tree._unsubscribe()
        self.tree._lanes.cancel_all()
        self.ledger.committed = lambda _batch: None
        # What is staged and not committed is lost, and so is what waits for it.
        rows = dict(self.ledger.rows)
        self.outbox.clear()
        there = self.pbx.available
        self.pbx.taken_over()
        await asyncio.sleep(0)
        for each in one.missed:
            await self.do(each)
        self._begin(rows, in_step=there and not one.late)
        for message in self.asked:
            if message.request_id not in self.answers:
                self.tree.received(message)


async def play(steps: Iterable[Step | Restart]) -> list[str]:
    """Carry the steps out, let everything come to rest, and return what was wrong."""
    with capture_logs() as logs:
        bench = Mortal()
        for one in steps:
            if isinstance(one, Restart):
                await bench.restart(one)
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
    found = [f"{one} is not there" for one in bench.rules.nodes if bench.tree.find(one) is None]
    for one in bench.tree.destinations:
        node = bench.rules.nodes.get(one.target)
        if node is None:
            found.append(f"the bridge does not know {one.target}")
        elif (node.open, node.closed) != (one.open, one.closed):
            found.append(
                f"{one.target} is open, closed: {(node.open, node.closed)}, {(one.open, one.closed)}"
            )
        elif one.open and not one.over:
            believed, true = _views(bench, one, node)
            found += [
                f"{one.target}: {key} is believed {believed[key]}, but is {true[key]}"
                for key in true
                if believed[key] != true[key]
            ]
    return found


Views = tuple[dict[str, object], dict[str, object]]
"""What is believed, what is so."""


def _views(bench: Mortal, one: Destination, node: Node) -> Views:
    match one, node:
        case Control(), ControlNode():
            return {"status": node.status}, {"status": one.status}
        case Session(), SessionNode():
            return _team(bench, one, node)
        case ChannelGroup(), GroupNode():
            phones = {one.seat.endpoint, *bench.pbx.model.board.phones_of(one.seat.agent)}
            return {"channels": set(node.channels)}, {"channels": phones.union(one.unsupported)}
        case Channel(), ChannelNode():
            return _channel(bench, one, node)
        case Interaction(), InteractionNode():
            return _interaction(bench, one, node)
        case Conversation(), ConversationNode():
            return _conversation(bench, one, node)
        case UnsupportedChannel(), ChannelNode():
            return {}, {}
        case _:
            return {"kind": type(node)}, {"kind": type(one)}


def _team(bench: Mortal, one: Session, node: SessionNode) -> Views:
    board = bench.tree.team
    if not board.is_subscribed(one):
        return {}, {}
    believed = {each.loginid: (each.state, each.extension) for each in node.team.values()}
    now = {
        agent.login: (board._state_of(agent), board.endpoint_of(agent) or agent.extension)
        for agent in bench.tree.directory.agents()
    }
    return {"team": believed}, {"team": now}


def _channel(bench: Mortal, one: Channel, node: ChannelNode) -> Views:
    model = bench.pbx.model
    phone = one.seat.endpoint
    presence = model.presence(phone)
    calls = {each.id for each in model.interactions(phone)}
    mine = presence.agent == one.seat.agent
    believed: dict[str, object] = {
        "state": node.state,
        "ready": node.agent_state == "READY",
        "reason": node.reason or "",
        "calls": calls & node.named.keys(),
    }
    true: dict[str, object] = {
        "state": one.state_of(presence),
        "ready": mine and presence.ready,
        "reason": presence.reason if mine else "",
        # A colleague's calls are not told.
        "calls": calls if presence.agent in {None, one.seat.agent} else believed["calls"],
    }
    if node.supervision is not None:
        leg = model.supervisor(phone)
        seen = node.supervision
        believed["supervision"] = (seen.state, seen.nativeid, seen.endpoint)
        if leg is None:
            true["supervision"] = ("OFF", None, None)
        else:
            call = model.interaction(leg.supervises)
            whose = call.endpoint if call is not None else seen.endpoint
            true["supervision"] = (leg.supervision, leg.supervises, whose)
    return believed, true


def _interaction(bench: Mortal, one: Interaction, node: InteractionNode) -> Views:
    call = bench.pbx.model.interaction(one.nativeid)
    if call is None:
        return {"over": node.state in {"ENDED", "COMPLETED"}}, {"over": True}
    believed: dict[str, object] = {"state": node.state}
    true: dict[str, object] = {"state": call.state}
    if call.over:
        return believed, true
    # A key that the dialplan removed while nobody looked stays with the bridge.
    known = {key: value for key, value in node.data.items() if key in call.data}
    consult = call.consult if call.consult is not None and not call.consult.released else None
    believed |= {"recording": node.recording, "muted": node.muted, "data": known}
    believed |= {
        "marks": (
            node.data.get(extension_wire.RECORDING_KEY) or "OFF",
            bool(node.data.get(extension_wire.MUTED_KEY)),
        )
    }
    true |= {"recording": call.recording, "muted": call.muted, "data": call.data}
    true |= {"marks": (call.recording, call.muted)}
    if consult is not None:
        believed["consult"], true["consult"] = node.consult, consult.id
    if not call.primary.released:
        believed["primary"], true["primary"] = node.primary, call.primary.id
    return believed, true


def _conversation(bench: Mortal, one: Conversation, node: ConversationNode) -> Views:
    call = bench.pbx.model.interaction(one.interaction)
    leg = call.conversation(one.nativeid) if call is not None else None
    if leg is None or leg.released:
        return {"state": node.state}, {"state": "RELEASED"}
    members = {each.id: (each.address, each.name, each.type) for each in node.members.values()}
    now = {each.id: (each.address, each.name, each.type) for each in leg.members}
    return {"state": node.state, "members": members}, {"state": leg.state, "members": now}


CONSULTED = (
    facts.LegAnswered("con-1"),
    facts.LegJoined("con-1", "b2"),
    facts.LegJoined("a", "b2"),
    facts.LegEnded("con-1", 16),
)
"""What may become of the first consult that the bridge asks for."""
SEEN = (
    *(
        # A colleague who takes the phone over under the bridge's hands is a matter of its own.
        fact
        for fact in LIKELY
        if not (isinstance(fact, facts.MemberChanged) and fact.member == "1002")
    ),
    *CONSULTED,
    # The agent is logged in at a second phone, too.
    facts.MemberChanged("support", "1003", "1001", paused=True, reason="lunch"),
    facts.MemberGone("support", "1003"),
)
SECOND_CALL = (
    Told(facts.LegCreated("e", "2003", "e", placed=True, number="2003", dialled="7000")),
    Told(facts.LegCreated("f", "1001", "e", placed=False)),
    *(Told(facts.DialStarted("e", "f")), Told(facts.LegRinging("f"))),
)
seen = st.one_of(*[st.builds(Told, st.sampled_from(SEEN))] * 4, st.sampled_from(SECOND_CALL))
missed = st.one_of(st.lists(seen, max_size=4).map(tuple), st.just(SECOND_CALL))

IN_TALK: tuple[Step, ...] = (
    *(*desk_of("S1", 0), Ask("session.request.getteamstatus", "S1", pick=1)),
    *(*call_at("1001", "S1"), *TALK, Turns(3)),
)
CONSULTS: tuple[Step, ...] = (
    *(*IN_TALK, Ask("interaction.request.consult", "S1.g.c.i"), Turns(20)),
    Ask("interaction.request.createconversation", "S1.g.c.i", pick=1),
    *(Ask("conversation.query.init", "S1.g.c.i.q"), Turns(20)),
)
CONFERENCE: tuple[Step, ...] = (
    *(*IN_TALK, Told(facts.LegCreated("d", "2002", "d", placed=True, number="2002"))),
    *(Told(facts.LegJoined("d", "b1")), Told(facts.LegRecorded("c", Recording.ON)), Turns(3)),
)
begun = st.one_of(beginnings, st.sampled_from([IN_TALK, CONSULTS, CONFERENCE]))

restarts = st.builds(Restart, missed, st.booleans())
STEPS = st.one_of(
    fitting,
    fitting,
    seen,
    st.builds(Next, st.sampled_from(Fate)),
    st.builds(Service, st.booleans()),
    st.builds(Turns, st.integers(1, 6), st.booleans()),
    restarts,
)


@given(begun, st.lists(STEPS, max_size=40), restarts, st.booleans())
@settings(max_examples=200, deadline=None)
def test_the_referee_sees_no_restart(
    beginning: tuple[Step, ...], steps: list[Step | Restart], last: Restart, impatient: bool
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        if impatient:
            patch.setattr(tree_module, "_PATIENCE", 0.0)
        faults = asyncio.run(play((*beginning, Turns(6), *steps, last, Turns(6))))
    assert not faults, faults


def test_a_call_goes_on_through_a_restart_after_every_step() -> None:
    beginning = (Ask("cti.request.serverstatus", "P.CONTROL"),)
    assert asyncio.run(play((*beginning, Restart(), Turns(3), Restart(), Turns(3)))) == []


async def test_a_new_process_knows_nothing_until_the_lists_are_read() -> None:
    bench = Mortal()
    for one in CONSULTS:
        await bench.do(one)
    before = bench.pbx.model.interaction("a")
    await bench.restart(Restart(late=True))
    model = bench.pbx.model
    assert bench.tree.behind
    assert (model.interactions_everywhere(), model.presence("1001")) == ((), Presence())
    bench.pbx.set_available(available=True)
    found = model.interaction("a")
    assert before is not None
    assert found is not None
    assert [(one.id, one.state, one.members) for one in found.live_conversations] == [
        (one.id, one.state, one.members) for one in before.live_conversations
    ]
    assert untrue(bench) == []


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
