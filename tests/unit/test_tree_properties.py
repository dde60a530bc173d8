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

import pytest
from bridge_steps import (
    CONTROL,
    SESSIONS,
    Again,
    Ask,
    Disconnect,
    Next,
    Raw,
    Service,
    Step,
    Told,
    Turns,
    beginnings,
    desk_of,
    fitting,
    step,
)
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scripted_pbx import Fate, ScriptedPbx
from structlog.testing import capture_logs

from connector.bridge.codec import Malformed, decode, encode
from connector.bridge.messages import CATALOGUE, Body, Kind, Message, Result
from connector.destinations import lanes as lanes_module
from connector.destinations import tree as tree_module
from connector.destinations.base import Destination
from connector.destinations.control import Control
from connector.destinations.site import Site
from connector.destinations.tree import Tree
from connector.processor.nodes import ChannelNode, GroupNode, InteractionNode, SessionNode
from connector.processor.rules import ProtocolViolation, Rules
from connector.telephony import facts
from connector.telephony.facts import Fact


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
    supervises: tuple[str, ...] = ("*",)


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

    def __init__(self, pbx: ScriptedPbx | None = None) -> None:
        self.pbx = pbx or ScriptedPbx()
        self.rules = Rules("P")
        self.tree = Tree("P", self.pbx, Agents(), self, Site(extensions=True))
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

    def flush(self) -> None:
        pass

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
            if self.pbx.exists(fields["leg"]):
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
            "conversation.request.x-dropmember": lambda: {"id": "a-1.1"},
            "conversation.request.x-privateword": lambda: {"id": "a-1.1"},
            "channel.request.x-supervise": lambda: {
                "agentId": ("1001", "1002")[one.pick // 2 % 2],
                "mode": ("MONITOR", "BARGE")[one.pick % 2],
            },
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


LOGGED_OUT_MEANWHILE: list[Step] = [
    Ask("channel.request.deactivate", "S1.g.c"),
    Told(facts.MemberGone("support", "1001")),
]


@example(beginning=desk_of("S1", 0), steps=LOGGED_OUT_MEANWHILE)
@given(beginnings, st.lists(step, max_size=50))
@settings(max_examples=300, deadline=None)
def test_any_sequence_keeps_the_rules(beginning: tuple[Step, ...], steps: list[Step]) -> None:
    run((*beginning, *steps))


DISPOSE_AND_CREATE = [Ask("session.request.dispose", "S1"), Ask("cti.request.createsession", CONTROL)]
CREATE_AND_DEACTIVATE = [
    Ask("cti.request.createsession", CONTROL),
    Ask("channel.request.deactivate", "S1.g.c"),
]
CLOSE_AND_DIAL = [Ask("session.request.close", "S1"), Ask("channel.request.dial", "S1.g.c")]


@example(asked=DISPOSE_AND_CREATE, count=100)
@example(asked=CLOSE_AND_DIAL, count=100)
@example(asked=CREATE_AND_DEACTIVATE, count=3)
@given(st.lists(fitting, min_size=1, max_size=4), st.integers(100, 300))
@settings(max_examples=20, deadline=None)
def test_a_flood_behind_a_request_that_hangs_is_bounded_and_answered(asked: list[Ask], count: int) -> None:
    hangs = (Next(Fate.HELD_UP), Ask("channel.request.ready", "S1.g.c"), Turns(3))
    flood = tuple(asked[each % len(asked)] for each in range(count))
    run((*desk_of("S1", 0), *hangs, *flood))


def test_more_requests_than_are_remembered_leave_nothing_behind() -> None:
    asks = (Ask("cti.query.capabilities", CONTROL), Turns(2))
    run((Ask("cti.request.serverstatus", CONTROL), *asks * (tree_module.REMEMBERED_REQUESTS + 100)))


def test_the_harness_notices_an_event_before_its_init(monkeypatch: pytest.MonkeyPatch) -> None:
    def emit(destination: Destination, body: Body) -> None:
        destination.tree.emit(destination, body)

    monkeypatch.setattr(Destination, "emit", emit)
    taken = Told(facts.MemberChanged("support", "1001", "1001", paused=True, reason=""))
    with pytest.raises(AssertionError, match="before its init query was received"):
        run((*desk_of("S1", 0)[:10], Turns(6), taken))


def test_the_harness_notices_a_missing_response(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Tree, "_respond", lambda _tree, _message, _response: None)
    with pytest.raises(AssertionError, match="has no response"):
        run((Ask("cti.query.capabilities", CONTROL),))


def test_the_harness_notices_a_second_response(monkeypatch: pytest.MonkeyPatch) -> None:
    usual = Tree._respond

    def twice(tree: Tree, message: Message, response: Message) -> None:
        usual(tree, message, response)
        usual(tree, message, response)

    monkeypatch.setattr(Tree, "_respond", twice)
    with pytest.raises(AssertionError, match="exactly one response"):
        run((Ask("cti.query.capabilities", CONTROL),))
