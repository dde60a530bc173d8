"""Whatever a bridge sends in whatever order, mixed with whatever the PBX does: the tree keeps the rules.

The judge is the reference bridge's own referee (`connector/processor/rules.py`). What it finds broken, and
what the harness below counts itself (responses to repeated requests, lanes, memory, tasks), fails the test.
"""

import asyncio
import dataclasses
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from scripted_pbx import Fate, ScriptedPbx
from structlog.testing import capture_logs
from test_model_properties import fact as any_fact

from connector.bridge.codec import Malformed, decode, encode
from connector.bridge.messages import CATALOGUE, Kind, Message, Result
from connector.destinations import lanes as lanes_module
from connector.destinations import tree as tree_module
from connector.destinations.control import Control
from connector.destinations.tree import Tree
from connector.processor.nodes import ChannelNode, GroupNode, InteractionNode, SessionNode
from connector.processor.rules import ProtocolViolation, Rules
from connector.telephony import facts
from connector.telephony.facts import Fact

# -- what can happen ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ask:
    """The bridge asks `name` of `target`; `pick` chooses among what it was told (ids, endpoints)."""

    name: str
    target: str
    body: Any = None
    pick: int = 0
    kind: Kind | None = None


@dataclass(frozen=True)
class Again:
    """The bridge repeats an earlier request, same requestId."""

    which: int


@dataclass(frozen=True)
class Raw:
    """Bytes come that need not be a message."""

    payload: bytes


@dataclass(frozen=True)
class Told:
    """The PBX tells something."""

    fact: Fact


@dataclass(frozen=True)
class Next:
    """The next procedure of the PBX has that fate."""

    fate: Fate


@dataclass(frozen=True)
class Service:
    """The PBX goes or comes."""

    available: bool


@dataclass(frozen=True)
class Turns:
    """The loop runs for a while; what was held up goes on if `let_go`."""

    count: int
    let_go: bool = False


@dataclass(frozen=True)
class Disconnect:
    """The connection breaks, a new one begins."""


Step = Ask | Again | Raw | Told | Next | Service | Turns | Disconnect

CONTROL = "P.CONTROL"
SESSIONS = ("S1", "S2", "P.S3")
PATHS = (
    CONTROL,
    *SESSIONS,
    *(f"{session}.g" for session in SESSIONS),
    *(f"{session}.g.c" for session in SESSIONS),
    *(f"{session}.g.c.{i}" for session in SESSIONS[:2] for i in ("i", "j")),
    *(f"{session}.g.c.{i}.{c}" for session in SESSIONS[:2] for i in ("i", "j") for c in ("p", "q")),
)
LEVEL = {"control": 0, "session": 1, "channel group": 2, "channel": 3, "interaction": 4, "conversation": 5}
ASKED = tuple(spec.name for spec in CATALOGUE.values() if spec.kind is not Kind.EVENT)

targets = st.sampled_from(PATHS)
junk_values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.text(max_size=5),
    st.lists(st.text(max_size=2), max_size=2),
    st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=2),
)
keys = st.sampled_from(
    ["id", "nativeid", "endpoint", "name", "destination", "agentId", "agentPassword", "type", "reasonCodeId"]
)
junk_bodies = st.dictionaries(keys, junk_values, max_size=4)
picks = st.integers(0, 3)


def at_its_place(name: str) -> st.SearchStrategy[str]:
    level = LEVEL[CATALOGUE[name].scope]
    there = [each for each in PATHS if depth(each) == level]
    return st.sampled_from([each for each in there if each.startswith("S1")] * 3 + there)


def depth(target: str) -> int:
    if target == CONTROL:
        return 0
    return 1 + target.removeprefix("P.").count(".")


fitting = st.sampled_from(ASKED).flatmap(
    lambda name: st.builds(Ask, st.just(name), at_its_place(name), pick=picks)
)
wild = st.builds(
    Ask,
    st.sampled_from([*ASKED, "cti.serverstatuschanged", "session.request.fly", "cti.request. createsession"]),
    targets | st.sampled_from(["", "X", "S1.", ".g", "S1..g", "P.CONTROL.x", "S1.g.c.i.p.z"]),
    st.none() | junk_bodies,
    picks,
    st.none() | st.sampled_from(Kind),
)
LIKELY: tuple[Fact, ...] = (
    facts.LegAnswered("a"),
    facts.LegJoined("a", "b1"),
    facts.LegJoined("c", "b1"),
    facts.MusicStarted("c"),
    facts.MusicStopped("c"),
    facts.VariableSet("a", "KEY", "value"),
    facts.LegEnded("a", 16),
    facts.LegEnded("c", 16),
    facts.LegJoined("d", "b1"),
    facts.LegCreated("d", "2002", "d", placed=True, number="2002"),
    facts.DialStarted("a", "d"),
    facts.MemberChanged("support", "1001", "1001", paused=False, reason=""),
    facts.MemberChanged("support", "1001", "1002", paused=True, reason=""),
    facts.MemberGone("support", "1001"),
    facts.PbxStopped(),
)
told: st.SearchStrategy[Step] = st.builds(Told, any_fact | st.sampled_from(LIKELY))
step: st.SearchStrategy[Step] = st.one_of(
    fitting,
    fitting,
    wild,
    st.builds(Again, st.integers(0, 30)),
    st.builds(Raw, st.binary(max_size=30) | st.sampled_from([b'{"header": {"requestId": "r"}}', b"[]"])),
    told,
    told,
    st.builds(Next, st.sampled_from(Fate)),
    st.builds(Service, st.booleans()),
    st.builds(Turns, st.integers(1, 6), st.booleans()),
    st.just(Disconnect()),
)


def desk_of(session: str, agent: int) -> tuple[Step, ...]:
    """Return the login of an agent, so that not every sequence spends itself before the first door."""
    return (
        Ask("cti.request.serverstatus", CONTROL),
        Ask("cti.query.capabilities", CONTROL),
        Ask("cti.request.createsession", CONTROL, pick=SESSIONS.index(session) + 4 * agent),
        Turns(6),
        Ask("session.query.init", session),
        Ask("session.request.createchannelgroup", session),
        Ask("channelgroup.query.init", f"{session}.g"),
        Ask("channelgroup.request.createchannel", f"{session}.g"),
        Ask("channel.query.init", f"{session}.g.c"),
        Ask("channel.request.activate", f"{session}.g.c"),
        Turns(6),
    )


def call_at(endpoint: str, session: str) -> tuple[Step, ...]:
    """Return an incoming call, and a bridge that takes it up."""
    here = f"{session}.g.c"
    return (
        Told(facts.LegCreated("c", "2001", "c", placed=True, number="2001", dialled="7000")),
        Told(facts.LegCreated("a", endpoint, "c", placed=False)),
        Told(facts.DialStarted("c", "a")),
        Told(facts.LegRinging("a")),
        Turns(3),
        Ask("channel.request.createinteraction", here),
        Ask("interaction.query.init", f"{here}.i"),
        Ask("interaction.request.createconversation", f"{here}.i"),
        Ask("conversation.query.init", f"{here}.i.p"),
        Turns(6),
    )


TALK: tuple[Step, ...] = tuple(Told(each) for each in LIKELY[:3])


beginnings: st.SearchStrategy[tuple[Step, ...]] = st.sampled_from(
    [
        (),
        desk_of("S1", 0),
        (*desk_of("S1", 0), *desk_of("S2", 1)),
        (*desk_of("S1", 0), *call_at("1001", "S1")),
        (*desk_of("S1", 0), Ask("channel.request.dial", "S1.g.c"), *call_at("1001", "S1")[-6:]),
        (*desk_of("S1", 0), *call_at("1001", "S1"), *TALK),
        (*desk_of("S1", 0), *call_at("1001", "S1"), *TALK, Told(facts.LegEnded("c", 16)), Turns(3)),
        (*desk_of("S1", 0), *desk_of("S2", 0), *call_at("1001", "S2")),
    ]
)

# -- how it is carried out ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Somebody:
    agent_id: str
    login: str
    extension: str
    first_name: str = "Ada"
    last_name: str = ""
    queues: tuple[str, ...] = ("support",)
    penalty: int = 0
    phone: str = "default"
    team: str = ""


class Agents:
    def agents(self) -> tuple[Somebody, ...]:
        return (Somebody("1001", "ada", "1001"), Somebody("1002", "bob", "1002"))

    def get(self, agent_id: str) -> Somebody | None:
        known = {"1001": "1001", "ada": "1001", "1002": "1002", "bob": "1002"}
        number = known.get(agent_id)
        return Somebody(number, "ada" if number == "1001" else "bob", number) if number else None

    async def verify(self, agent_id: str, password: str) -> bool:
        await asyncio.sleep(0)
        return password == "right" and self.get(agent_id) is not None


class Bench:
    """The tree between a scripted PBX and the referee."""

    def __init__(self) -> None:
        self.pbx = ScriptedPbx()
        self.rules = Rules("P")
        self.tree = Tree("P", self.pbx, Agents(), self)
        Control(self.tree)
        self.asked: list[Message] = []
        self.answers: dict[str, Message] = {}
        self.expected: deque[Message] = deque()
        """Responses that are sent once more, at once, to a request that came again."""
        self.faults: list[str] = []
        self.longest_lane = 0
        self._generation: dict[str, int] = {}
        self._number = 0

    # -- the wire --------------------------------------------------------------------------------------

    def send(self, message: Message) -> None:
        came = decode(encode(message))
        if self.expected:
            again = self.expected.popleft()
            if came != again:
                self.faults.append(f"{again} was to be sent again, {came} came")
            return
        if came.kind is Kind.RESPONSE:
            self.answers[came.request_id or ""] = came
        try:
            self.rules.received(came)
        except ProtocolViolation as violation:
            self.faults.append(str(violation))

    # -- the steps -------------------------------------------------------------------------------------

    async def do(self, one: Step) -> None:
        match one:
            case Ask() | Again() | Raw() | Disconnect():
                self._bridge_does(one)
            case Told(fact=fact):
                self._tell(fact)
            case Next(fate=fate):
                self.pbx.fates.append(fate)
            case Service(available=available):
                self.pbx.set_available(available=available)
            case Turns(count=count, let_go=let_go):
                if let_go:
                    self.pbx.let_go()
                for _ in range(count):
                    await asyncio.sleep(0)
        waiting = self.tree._lanes._waiting
        self.longest_lane = max(self.longest_lane, *map(len, waiting.values()), 0)

    def _bridge_does(self, one: Ask | Again | Raw | Disconnect) -> None:
        match one:
            case Ask():
                self._ask(one)
            case Again():
                self._again(one)
            case Raw(payload=payload):
                self._raw(payload)
            case Disconnect():
                self.tree.disconnected("the test cut it")
                self.rules = Rules("P")
                self.asked.clear()
                self.answers.clear()

    def _ask(self, one: Ask) -> None:
        self._number += 1
        spec = CATALOGUE.get(one.name)
        kind = one.kind or (spec.kind if spec is not None else Kind.REQUEST)
        body = one.body if one.body is not None else self._body(one)
        message = Message(kind, one.name, one.target or "", body, request_id=f"r{self._number}")
        try:
            came = decode(encode(message))
        except Malformed as problem:
            self._malformed(problem)
            return
        if came.kind in {Kind.QUERY, Kind.REQUEST}:
            self.rules.sent(came)
            self.asked.append(came)
        self.tree.received(came)

    def _malformed(self, problem: Malformed) -> None:
        due = bool(problem.request_id) and problem.kind in {Kind.QUERY, Kind.REQUEST, None}
        failures: list[Message] = []
        usual, self.tree._wire = self.tree._wire, Collector(failures)
        self.tree.malformed(problem)
        self.tree._wire = usual
        if [each.result for each in failures] != ([Result.FAILURE] if due else []):
            self.faults.append(f"{problem.reason} was answered by {failures}")

    def _raw(self, payload: bytes) -> None:
        try:
            came = decode(payload)
        except Malformed as problem:
            self._malformed(problem)
        else:
            self.tree.received(came)

    def _again(self, one: Again) -> None:
        if not self.asked:
            return
        message = self.asked[one.which % len(self.asked)]
        earlier = self.answers.get(message.request_id or "")
        if earlier is not None:
            self.expected.append(earlier)
        self.tree.received(message)
        if self.expected:
            self.faults.append(f"the response to {message} was not sent again")
            self.expected.clear()

    def _tell(self, fact: Fact) -> None:
        """Tell a fact as a PBX could: the id of a leg is never used for another one."""
        fields = {
            each.name: self._leg(getattr(fact, each.name))
            for each in dataclasses.fields(fact)
            if each.name in {"leg", "tree", "caller", "callee", "one", "two"}
        }
        if isinstance(fact, facts.LegCreated):
            name = fact.leg
            if self.pbx.model.legs.get(fields["leg"]) is not None:
                return
            self._generation[name] = self._generation.get(name, -1) + 1
            fields["leg"] = self._leg(name)
        self.pbx.tell(dataclasses.replace(fact, **fields))

    def _leg(self, name: str | None) -> str | None:
        if name is None:
            return None
        number = self._generation.get(name, 0)
        return f"{name}.{number}" if number else name

    # -- bodies that a bridge could send ----------------------------------------------------------------

    def _body(self, one: Ask) -> dict[str, Any]:
        node = self.rules.nodes.get(one.target)
        agent = "1002" if one.pick >= 4 else "1001"
        session = SESSIONS[one.pick % 4 % len(SESSIONS)]
        whom = {"agentId": agent, "agentPassword": "right"}
        named = list(node.named) if isinstance(node, (ChannelNode, InteractionNode)) else []
        bodies: dict[str, Callable[[], dict[str, Any]]] = {
            "cti.request.createsession": lambda: whom | {"sessionId": "s", "destination": session},
            "cti.request.validateagentcredentials": lambda: whom | {"agentLogin": "ada"},
            "cti.query.agentinfo": lambda: {
                "agentId": agent,
                "requestingAgentLogin": "ada",
                "requestingAgentPassword": "right" if one.pick else "wrong",
            },
            "session.query.init": lambda: {"name": "n", "chat": False, "email": False, "callback": False},
            "session.request.createchannelgroup": lambda: {
                "id": "g",
                "name": (node.group if isinstance(node, SessionNode) else None) or f"group-{agent}",
                "extension": ("", "1001", "1002", "1001")[one.pick % 4],
            },
            "channelgroup.request.createchannel": lambda: {
                "id": "c",
                "endpoint": next(iter(node.channels), "1001") if isinstance(node, GroupNode) else "1001",
                "type": "TELEPHONY",
            },
            "channel.request.createinteraction": lambda: {
                "id": "ij"[one.pick % 2],
                "nativeid": chosen(named, one.pick, "a"),
            },
            "interaction.request.createconversation": lambda: {
                "id": "pq"[one.pick % 2],
                "nativeid": chosen(named, one.pick, "a-1"),
            },
            "channel.request.notready": lambda: {"reasonCodeId": ("LUNCH", "")[one.pick % 2]},
            "interaction.request.setdata": lambda: {"interaction-data": {"KEY": str(one.pick)}},
            "interaction.request.deletedata": lambda: {"keys": ["KEY"]},
            "conversation.request.senddtmf": lambda: {"tones": "12#"},
            "session.request.getteamstatus": lambda: {"realtime": bool(one.pick % 2)},
        }
        return bodies.get(one.name, lambda: {"destination": "2001"})()


class Collector:
    def __init__(self, into: list[Message]) -> None:
        self.into = into

    def send(self, message: Message) -> None:
        self.into.append(message)


def chosen(named: list[str], pick: int, otherwise: str) -> str:
    return named[pick % len(named)] if named else otherwise


async def play(steps: Iterable[Step]) -> tuple[Bench, list[str]]:
    """Carry the steps out, let everything come to rest, and return what was wrong."""
    bench = Bench()
    with capture_logs() as logs:
        for one in steps:
            await bench.do(one)
        bench.pbx.fates.clear()
        for _ in range(400):
            bench.pbx.let_go()
            await asyncio.sleep(0)
    faults = list(bench.faults)
    faults += [f"{each} has no response" for each in bench.rules.outstanding()]
    faults += [f"{sorted(each.events)} never followed {each.request}" for each in bench.rules.owed()]
    # A defect behind the port becomes a FAILURE and one entry in the log; our own must not come up at all.
    errors = [each for each in logs if each.get("exc_info")]
    if len(errors) != bench.pbx.broken:
        faults.append(f"exceptions came up: {errors}")
    return bench, faults


def run(steps: tuple[Step, ...]) -> None:
    async def judged() -> None:
        bench, faults = await play(steps)
        assert not faults, faults
        assert bench.longest_lane <= lanes_module.LANE_LIMIT
        assert at_rest(bench), "something is left over"
        others = asyncio.all_tasks() - {asyncio.current_task()}
        assert not others, others

    asyncio.run(judged())


def at_rest(bench: Bench) -> bool:
    """Whether nothing runs, waits or is kept back, and nobody listens who is not in the tree."""
    tree = bench.tree
    lanes = tree._lanes
    listening = {each for heard in tree._listening.values() for each in heard}
    return (
        not (lanes._waiting or lanes._tasks or lanes._held)
        and listening <= set(tree._destinations.values())
        and all(each.target in bench.rules.nodes for each in tree._destinations.values())
        and len(tree._requests) <= tree_module.REMEMBERED_REQUESTS
    )


@given(beginnings, st.lists(step, max_size=50))
@settings(max_examples=300, deadline=None)
def test_any_sequence_keeps_the_rules(beginning: tuple[Step, ...], steps: list[Step]) -> None:
    run((*beginning, *steps))
