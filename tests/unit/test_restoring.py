"""A tree that is built again from its rows: what is new is told once, and nothing is done twice."""

import asyncio
import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from fake_pbx import FakePbx
from one_agent import OneAgent
from telephony_script import (
    AGENT,
    CUSTOMER,
    agent_answers,
    agent_rings,
    customer_waits,
    pbx_lets_agent_consult,
    taken_aside,
    target_answers_consult,
    third_joins,
)
from tree_door import CHANNEL, CONVERSATION, INTERACTION, SESSION, Bridge, Wire, credentials, settle

from connector.bridge.ledger import Ledger, NoStore, packed, unpacked
from connector.bridge.messages import Kind, Message
from connector.destinations import tree as tree_module
from connector.destinations.control import Control
from connector.destinations.interrupted import judge, proves
from connector.destinations.keeping import Keeper
from connector.destinations.restoring import restore, row_of
from connector.destinations.tree import Tree
from connector.telephony import facts

IDS = itertools.count(1)


class Working(FakePbx):
    """A PBX that has the procedures of an answered call too: done at once, unless a test stops them."""

    listed: tuple[facts.Fact, ...] = ()
    """What its lists tell of it when it comes."""

    def read_lists(self) -> None:
        """Come: what the lists tell is told first."""
        self.tell(*self.listed)
        self.set_available(available=True)

    def __getattr__(self, name: str) -> Any:
        known = {"hold", "alternate", "consult", "blind_transfer", "blind_conference", "send_dtmf"}
        if name not in known | {"private_word"}:
            raise AttributeError(name)
        return lambda *_arguments: self._do(name)


class Kept(Bridge):
    """A bridge and a tree that is kept; `again` is the tree of the next process."""

    carried_out: list[str]
    pbx: Working

    def __init__(self, rows: Mapping[str, bytes] | None = None, pbx: Working | None = None) -> None:
        self.pbx = pbx or Working()
        self.wire = Wire()
        self.tree = Tree("P", self.pbx, OneAgent(), self.wire)
        Control(self.tree)
        self._ids = IDS
        self.ledger = Ledger(NoStore())
        self.ledger.replace(rows or {})
        keeper = Keeper(self.ledger, row_of, judge, proves)
        self.tree.keeper = keeper
        restore(self.tree, keeper, self.ledger.rows)

    async def again(self, pbx: Working | None = None, *, told: tuple[facts.Fact, ...] = ()) -> "Kept":
        """Kill this one; what is `told` happens while nobody looks."""
        await settle()
        rows = dict(self.ledger.rows)
        self.tree._unsubscribe()
        pbx = pbx or self.pbx
        pbx._listeners.clear()
        pbx.tell(*told)
        return Kept(rows, pbx)

    def answer(self, request_id: str) -> Message | None:
        """Return the answer to a request, if there is one yet."""
        return next((one for one in self.wire.sent if one.request_id == request_id), None)

    def target_of(self) -> list[str]:
        return [one.target for one in self.tree.destinations]


@pytest.fixture
async def kept() -> Kept:
    bridge = Kept()
    await bridge.log_in()
    await bridge.must("channel.request.activate", CHANNEL)
    await bridge.must("channel.request.ready", CHANNEL)
    return bridge


async def test_the_same_destinations_are_there_and_work(kept: Kept) -> None:
    await kept.take_call()
    kept.pbx.tell(*agent_answers())
    again = await kept.again()
    assert again.target_of() == kept.target_of()
    assert again.take_events() == []
    await again.must("conversation.request.hold", CONVERSATION)
    again.pbx.tell(facts.LegEnded(AGENT, 16))
    assert [event.split()[0] for event in again.take_events()] == [
        "conversation.statechanged",
        "conversation.disposed",
        "interaction.ended",
    ]
    refused = await again.ask("session.query.init", "desk.S2", name="x")
    assert refused.error_message == "There is no destination desk.S2."


async def test_what_happened_meanwhile_is_told_once(kept: Kept) -> None:
    await kept.take_call()
    kept.take_events()
    again = await kept.again(told=agent_answers())
    assert again.take_events() == [
        "conversation.statechanged TALKING",
        "interaction.started",
        *[event for event in again.take_events() if event.startswith("interaction.datachanged")],
    ]
    last = await again.again()
    assert last.take_events() == []


@pytest.mark.parametrize(
    ("told", "state"),
    [
        ((facts.LegLeft(CUSTOMER, "b1"), facts.MusicStarted(CUSTOMER)), "HELD"),
        ((facts.LegEnded(CUSTOMER, 16),), "RELEASED NORMAL"),
    ],
)
async def test_a_call_that_was_answered_meanwhile_talked_before_whatever_followed(
    kept: Kept, told: tuple[facts.Fact, ...], state: str
) -> None:
    await kept.take_call()
    kept.take_events()
    again = await kept.again(told=(*agent_answers(), *told))
    assert again.take_events()[:3] == [
        "conversation.statechanged TALKING",
        "interaction.started",
        f"conversation.statechanged {state}",
    ]


async def test_a_call_that_ended_meanwhile_is_ended_and_can_be_completed(kept: Kept) -> None:
    await kept.take_call()
    kept.pbx.tell(*agent_answers())
    fresh = Working()
    fresh.watch("1001")
    fresh.tell(facts.MemberChanged("support", "1001", "1001", paused=False, reason=""))
    again = await kept.again(fresh)
    assert again.take_events() == [
        "conversation.statechanged RELEASED NORMAL",
        "conversation.disposed",
        "interaction.ended NORMAL",
    ]
    last = await again.again()
    await last.must("interaction.request.complete", INTERACTION)
    assert last.take_events() == ["interaction.completed"]
    refused = await last.ask("interaction.request.complete", INTERACTION)
    assert refused.error_message == "Only an ended interaction can be completed: this one is COMPLETED."


async def test_a_call_that_was_announced_and_ended_can_still_be_created(kept: Kept) -> None:
    kept.pbx.tell(facts.LegCreated("l", "2001", "l", placed=True, number="2001"))
    kept.pbx.tell(facts.LegCreated("r", "1001", "l", placed=False), facts.DialStarted("l", "r"))
    assert kept.take_events()[-1] == "channel.interaction.added r TELEPHONY"
    fresh = Working()
    fresh.tell(facts.MemberChanged("support", "1001", "1001", paused=False, reason=""))
    again = await kept.again(fresh)
    await again.must("channel.request.createinteraction", CHANNEL, id="i9", nativeid="r")
    answer = await again.must("interaction.query.init", f"{CHANNEL}.i9")
    assert answer.body["interaction-state"] == "COMPLETED"


async def test_a_call_and_a_state_that_are_new_are_told(kept: Kept) -> None:
    fresh = Working()
    fresh.watch("1001")
    fresh.tell(facts.MemberChanged("support", "1001", "1001", paused=True, reason="lunch"))
    fresh.tell(facts.LegCreated("n", "1001", "n", placed=True, number="1001", dialled="2002"))
    again = await kept.again(fresh)
    assert again.take_events() == ["channel.notready lunch", "channel.interaction.added n TELEPHONY"]


async def test_nothing_is_told_before_the_pbx_is_there(kept: Kept) -> None:
    await kept.take_call()
    fresh = Working()
    fresh.available = False
    again = await kept.again(fresh)
    assert again.take_events() == ["cti.serverstatuschanged out-of-service"]
    fresh.tell(facts.MemberChanged("support", "1001", "1001", paused=False, reason=""))
    assert again.take_events() == []
    fresh.set_available(available=True)
    assert again.take_events() == [
        "conversation.statechanged RELEASED NORMAL",
        "conversation.disposed",
        "interaction.ended NORMAL",
        "cti.serverstatuschanged in-service",
    ]


def away(*told: facts.Fact) -> Working:
    """Return a PBX that a new process knows when it is in step: what is `told` it learns then."""
    fresh = Working()
    fresh.available = False
    fresh.watch("1001")
    fresh.listed = told
    return fresh


async def test_a_channel_that_is_asked_before_the_pbx_is_there_tells_what_is_so(kept: Kept) -> None:
    """A bridge may ask once more; a call that was named before is not announced as new."""
    await kept.take_call()
    rings = (facts.MemberChanged("support", "1001", "1001", paused=False, reason=""), *customer_waits())
    again = await kept.again(away(*rings, *agent_rings()))
    asked = again.send("channel.query.init", CHANNEL)
    await settle()
    assert again.answer(asked) is None
    again.take_events()
    again.pbx.read_lists()
    await settle()
    answer = again.answer(asked)
    assert answer is not None
    assert (answer.body["channel-state"], answer.body["agent-state"]) == ("ACTIVE", "READY")
    assert [one["id"] for one in answer.body["interactions"]] == [AGENT]
    assert again.take_events() == ["cti.serverstatuschanged in-service"]


async def test_what_the_pbx_shows_at_last_is_told_before_a_request_that_waited_for_it(kept: Kept) -> None:
    """Else a conversation that the answer calls released would be released once more."""
    await kept.take_call()
    again = await kept.again(away(facts.MemberChanged("support", "1001", "1001", paused=False, reason="")))
    again.send("conversation.query.init", CONVERSATION)
    await settle()
    again.take_events()
    again.pbx.read_lists()
    await settle()
    assert [one.name for one in again.wire.sent] == [
        "conversation.statechanged",
        "conversation.disposed",
        "interaction.ended",
        "cti.serverstatuschanged",
        "conversation.query.init",
    ]
    again.take_events()
    refused = await again.ask("conversation.request.hold", CONVERSATION)
    assert refused.result == "FAILURE"
    assert again.take_events() == []


async def test_nothing_is_made_below_what_was_given_up_while_a_request_waited_for_the_pbx(kept: Kept) -> None:
    kept.pbx.tell(*customer_waits(), *agent_rings())
    again = await kept.again(away(*customer_waits(), *agent_rings()))
    asked = again.send("channel.request.createinteraction", CHANNEL, id="i1", nativeid=AGENT)
    await again.must("session.request.dispose", SESSION)
    again.pbx.read_lists()
    await settle()
    answer = again.answer(asked)
    assert answer is not None
    assert answer.error_message == f"There is no destination {CHANNEL}."
    assert again.target_of() == ["P.CONTROL"]


async def test_the_team_is_not_called_logged_out_before_the_pbx_is_there(kept: Kept) -> None:
    again = await kept.again(away(facts.MemberChanged("support", "1001", "1001", paused=False, reason="")))
    asked = again.send("session.request.getteamstatus", SESSION, realtime=False)
    await settle()
    again.pbx.read_lists()
    await settle()
    answer = again.answer(asked)
    assert answer is not None
    assert [one["state"] for one in answer.body["teamstatus"]] == ["READY"]


async def test_an_agent_is_not_taken_for_logged_out_before_the_pbx_is_there(kept: Kept) -> None:
    """A logout that was begun is not done because nobody is known to be logged in yet."""
    works = facts.MemberChanged("support", "1001", "1001", paused=False, reason="")
    answer = await interrupted(kept, "channel.request.deactivate", CHANNEL, pbx=away(works))
    assert (answer.result, kept.carried_out) == ("SUCCESS", ["log_out"])
    assert [one.name for one in kept.wire.sent].count("channel.deactivated") == 1


async def test_what_an_answer_promised_is_told_if_it_was_kept_back_as_the_connector_ended(kept: Kept) -> None:
    """A request above is under way: what happens below waits for its answer."""
    await kept.must("channel.request.notready", CHANNEL)
    await kept.take_call()
    kept.pbx.tell(facts.LegEnded(AGENT, 16))
    kept.take_events()
    kept.tree._lanes.keep_busy(SESSION)
    await kept.must("channel.request.notready", CHANNEL)
    await kept.must("interaction.request.complete", INTERACTION)
    assert kept.take_events() == []
    again = await kept.again()
    assert again.take_events() == ["channel.notready None", "interaction.completed"]
    last = await again.again()
    assert last.take_events() == []


async def test_an_answered_request_is_answered_again_and_not_carried_out(kept: Kept) -> None:
    await kept.take_call()
    kept.pbx.tell(*agent_answers())
    request_id = kept.send("conversation.request.hold", CONVERSATION)
    await settle()
    again = await kept.again()
    done = list(again.pbx.done)
    again.tree.received(
        Message(Kind.REQUEST, "conversation.request.hold", CONVERSATION, request_id=request_id)
    )
    await settle()
    assert [one.result for one in again.wire.sent if one.request_id == request_id] == ["SUCCESS"]
    assert again.pbx.done == done


async def interrupted(
    kept: Kept,
    name: str,
    target: str,
    told: tuple[Any, ...] = (),
    pbx: Working | None = None,
    **body: Any,
) -> Message:
    """Kill the connector while the PBX works on a request; return the answer of the next one.

    That finds what is `told`, or knows `pbx` only, which comes when it has the request.
    """
    kept.pbx.gate = asyncio.Event()
    request_id = kept.send(name, target, **body)
    await settle()
    kept.pbx.gate = None
    done = len(kept.pbx.done) if pbx is None else 0
    again = await kept.again(pbx, told=told)
    kept.__dict__ = again.__dict__
    kind = Kind.QUERY if ".query." in name else Kind.REQUEST
    again.tree.received(Message(kind, name, target, body, request_id=request_id))
    await settle()
    if pbx is not None:
        pbx.read_lists()
        await settle()
    kept.carried_out = again.pbx.done[done:]
    (answer,) = [one for one in again.wire.sent if one.request_id == request_id]
    return answer


async def test_a_request_that_the_pbx_carried_out_is_a_success_before_its_events(kept: Kept) -> None:
    await kept.take_call()
    kept.pbx.tell(*agent_answers())
    held = (facts.LegLeft(CUSTOMER, "b1"), facts.MusicStarted(CUSTOMER))
    answer = await interrupted(kept, "conversation.request.hold", CONVERSATION, held)
    assert answer.result == "SUCCESS"
    assert kept.carried_out == []
    assert [one.name for one in kept.wire.sent] == [
        "conversation.request.hold",
        "conversation.statechanged",
    ]


async def test_a_private_word_that_was_begun_is_a_success_and_told_once(kept: Kept) -> None:
    await kept.take_call()
    kept.pbx.tell(*agent_answers(), *third_joins())
    kept.take_events()
    (member,) = [
        one for one in kept.pbx.model.interactions("1001")[0].primary.members if one.address == "1002"
    ]
    name = "conversation.request.x-privateword"
    answer = await interrupted(kept, name, CONVERSATION, taken_aside(), id=member.id)
    assert (answer.result, kept.carried_out) == ("SUCCESS", [])
    assert [event.split()[0] for event in kept.take_events()].count("interaction.consult") == 1


async def test_a_request_that_the_pbx_did_not_carry_out_is_carried_out_if_that_does_no_harm(
    kept: Kept,
) -> None:
    await kept.take_call()
    kept.pbx.tell(*agent_answers())
    answer = await interrupted(kept, "conversation.request.hold", CONVERSATION)
    assert answer.result == "SUCCESS"
    assert len(kept.carried_out) == 1


@pytest.mark.parametrize(
    ("name", "target", "body"),
    [
        ("channel.request.dial", CHANNEL, {"destination": "2002"}),
        ("interaction.request.consult", INTERACTION, {"destination": "1002"}),
        ("conversation.request.blindtransfer", CONVERSATION, {"destination": "1002"}),
        ("conversation.request.blindconference", CONVERSATION, {"destination": "1002"}),
        ("conversation.request.senddtmf", CONVERSATION, {"tones": "1"}),
        ("interaction.request.alternate", INTERACTION, {}),
        ("conversation.request.x-privateword", CONVERSATION, {"id": "m-1"}),
    ],
)
async def test_nothing_is_dialled_twice(kept: Kept, name: str, target: str, body: dict[str, Any]) -> None:
    await kept.take_call()
    kept.pbx.tell(*agent_answers())
    answer = await interrupted(kept, name, target, **body)
    assert answer.result == "FAILURE"
    assert answer.error_message is not None
    assert "does not do it twice" in answer.error_message
    assert kept.carried_out == []


@pytest.mark.parametrize(
    ("leg", "result"),
    [
        (facts.LegCreated("n", "1001", "n", placed=False, destination="2002", answered=True), "SUCCESS"),
        (facts.LegCreated("n", "1001", "n", placed=True, dialled="2003", answered=True), "FAILURE"),
        (facts.LegCreated("n", "1001", "n", placed=False, answered=True), "FAILURE"),
    ],
    ids=["from the desktop", "with the phone", "from somebody else"],
)
async def test_a_dial_was_carried_out_if_a_call_came_of_it_and_not_by_any_call(
    kept: Kept, leg: facts.LegCreated, result: str
) -> None:
    other = facts.LegCreated("o", "2003", "n", placed=True, number="2003", answered=True)
    rung = () if leg.placed or leg.destination else (facts.DialStarted("o", "n"),)
    told = (other, leg, *rung, facts.LegJoined("o", "b"), facts.LegJoined("n", "b"))
    answer = await interrupted(kept, "channel.request.dial", CHANNEL, told, destination="2002")
    assert len(kept.pbx.model.interactions("1001")) == 1
    assert answer.result == result


async def test_a_bridge_that_begins_anew_leaves_no_row_but_the_control_destination(kept: Kept) -> None:
    await kept.take_call()
    kept.tree.disconnected("the bridge began anew")
    await settle()
    assert [key for key in kept.ledger.rows if not key.startswith("meta/")] == ["dest/P.CONTROL"]


async def test_a_session_of_an_agent_who_is_gone_is_left_out(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("one_agent.OneAgent.get", lambda _self, _agent: None)
    again = await kept.again()
    assert again.target_of() == ["P.CONTROL"]
    await settle()
    assert f"dest/{SESSION}" not in again.ledger.rows


async def test_a_session_outlives_the_service_that_is_lost_with_the_connector(kept: Kept) -> None:
    """The bridge ends its sessions as it hears of the loss: the agent's next one takes their place."""
    again = await kept.again(away())
    assert [(one.name, one.target) for one in again.wire.sent] == [
        ("cti.serverstatuschanged", "P.CONTROL"),
        ("pbx.lost", SESSION),
    ]
    last = await again.again(away())
    assert last.wire.sent == []
    last.pbx.read_lists()
    await last.must("cti.request.createsession", **credentials(destination="desk.S2"))
    assert last.target_of() == ["P.CONTROL", "desk.S2"]


async def test_a_control_destination_that_was_given_up_stays_so(kept: Kept) -> None:
    """Sessions prove that it was initialised only where its own row is missing."""
    await settle()
    key = "dest/P.CONTROL"
    kept.ledger.put(key, lambda: unpacked(kept.ledger.rows[key]) | {"open": False})
    again = await kept.again()
    assert SESSION in again.target_of()
    again.pbx.set_available(available=False)
    assert [one.target for one in again.wire.sent] == [SESSION]


async def test_no_password_is_kept(kept: Kept) -> None:
    await settle()
    assert b"right" not in b"".join(kept.ledger.rows.values())


def _spoilt(value: Any) -> Iterator[Any]:
    """Yield a plain value with one part of it of another type, or missing, for each of its parts."""
    yield from ([], "x", 7, None)
    match value:
        case dict():
            for key, inner in value.items():
                yield {name: one for name, one in value.items() if name != key}
                for spoilt in _spoilt(inner):
                    yield value | {key: spoilt}
        case list():
            for place, inner in enumerate(value):
                yield value[:place]
                for spoilt in _spoilt(inner):
                    yield [*value[:place], spoilt, *value[place + 1 :]]
        case _:
            pass


async def test_a_row_of_another_shape_costs_its_destination_only(kept: Kept) -> None:
    await kept.take_call()
    kept.pbx.tell(*agent_answers())
    await kept.again()
    rows = dict(kept.ledger.rows)
    assert {key.partition("/")[0] for key in rows} == {"dest", "req", "meta"}
    tried = 0
    for key, row in rows.items():
        for spoilt in _spoilt(unpacked(row)):
            kept.pbx._listeners.clear()
            one = Kept({**rows, key: packed(spoilt)}, kept.pbx)
            again = [each.target for each in one.tree.destinations]
            if SESSION in again:
                # The bridge has initialised control: it goes on with it.
                agent = {
                    "agentId": "1001",
                    "agentPassword": "right",
                    "sessionId": "S2",
                    "destination": "desk.S2",
                }
                answer = await one.ask("cti.request.createsession", **agent)
                assert "No sessions yet" not in (answer.error_message or "")
            await one.must("cti.request.serverstatus")
            tried += 1
    assert tried > 300


async def test_a_consult_that_ended_meanwhile_can_still_be_created(kept: Kept) -> None:
    await kept.take_call()
    kept.pbx.tell(*agent_answers(), *pbx_lets_agent_consult(), *target_answers_consult())
    consult = f"{AGENT}-2"
    assert f"interaction.consult {consult}" in kept.take_events()
    fresh = Working()
    fresh.watch("1001")
    fresh.tell(facts.MemberChanged("support", "1001", "1001", paused=False, reason=""))
    fresh.tell(*customer_waits(), *agent_rings(), *agent_answers())
    again = await kept.again(fresh)
    again.take_events()
    refused = await again.ask(
        "interaction.request.createconversation", INTERACTION, id="v8", nativeid="other"
    )
    assert refused.error_message == "The interaction has no conversation other."
    await again.must("interaction.request.createconversation", INTERACTION, id="v9", nativeid=consult)
    answer = await again.must("conversation.query.init", f"{INTERACTION}.v9")
    assert answer.body == {"conversation-state": "RELEASED", "members": ()}
    assert again.take_events() == ["conversation.disposed"]
    await again.must("conversation.request.dispose", f"{INTERACTION}.v9")


async def test_requests_of_one_call_wait_for_the_pbx_together(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tree_module, "_PATIENCE", 0.2)
    await kept.take_call()
    kept.pbx.tell(*agent_answers())
    again = await kept.again(away())
    began = asyncio.get_running_loop().time()
    asked = [again.send("conversation.request.hold", CONVERSATION) for _ in range(20)]
    async with asyncio.timeout(10):
        while not all(map(again.answer, asked)):  # noqa: ASYNC110 - the wire tells nobody
            await asyncio.sleep(0.01)
    # One after the other they would have taken twenty times as long.
    assert asyncio.get_running_loop().time() - began < 2.0
    late = again.send("conversation.request.hold", CONVERSATION)
    await settle()
    answer = again.answer(late)
    assert answer is not None
    assert "cannot be reached" in answer.error_message
