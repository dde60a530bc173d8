"""Agent state on queue members: wrap-up, automatic pauses, and what a PBX that forgot is told again."""

import asyncio
from collections.abc import AsyncIterator, Mapping

import pytest

from connector.asterisk.exchange import Exchange
from connector.asterisk.link import AmiRefused
from connector.asterisk.projection import MemberWatch, known_members, member_of_row, project
from connector.asterisk.queues import QueueMembership
from connector.asterisk.wire import AmiMessage
from connector.asterisk.wrapup import AUTO_PAUSE, WrapUp
from connector.telephony import facts
from connector.telephony.changes import (
    Change,
    InteractionCompleted,
    Presence,
    PresenceChanged,
    QueueMissing,
)
from connector.telephony.pbx import Refused, Seat
from connector.telephony.presence import WRAP_UP, PresenceBoard

SEAT = Seat("ada", "1001", ("support", "sales"))
State = tuple[bool, str]
READY: State = (False, "")
WRAPS: State = (True, WRAP_UP)


class Queues:
    """Stands for the link: a PBX with queues, which tells what changes in them."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.queues: dict[str, dict[str, facts.MemberChanged]] = {"support": {}, "sales": {}}
        self.loaded = True
        self.sent: list[str] = []

    async def send(self, action: str, fields: Mapping[str, str]) -> None:
        # As on a real link, others run while the answer is on its way.
        await asyncio.sleep(0)
        self.sent.append(action)
        if not self.loaded:
            raise AmiRefused(
                action, "Invalid/unknown command: X. Use Action: ListCommands to show available."
            )
        phone = fields["Interface"].removeprefix("PJSIP/")
        if action == "QueueAdd":
            self._add(fields, phone)
            return
        for name in (fields["Queue"],) if "Queue" in fields else tuple(self.queues):
            if phone not in self.queues[name]:
                continue
            if action == "QueueRemove":
                self.tell(facts.MemberGone(name, phone))
            else:
                paused = fields["Paused"] == "true"
                self.pause(name, phone, paused=paused, reason=fields.get("Reason", "") if paused else "")

    def _add(self, fields: Mapping[str, str], phone: str) -> None:
        name = fields["Queue"]
        if name not in self.queues:
            raise AmiRefused("QueueAdd", "Unable to add interface to queue: No such queue")
        if phone in self.queues[name]:
            raise AmiRefused("QueueAdd", "Unable to add interface: Already there")
        paused, reason = fields["Paused"] == "true", fields.get("Reason", "")
        member = fields["MemberName"]
        self.tell(facts.MemberChanged(name, phone, member, paused, reason, int(fields["Penalty"])))

    async def send_list(self, _action: str, _fields: object = None, **_more: object) -> list[AmiMessage]:
        await asyncio.sleep(0)
        return [
            AmiMessage([("Event", "QueueMember"), ("Queue", queue), ("Location", f"PJSIP/{phone}")])
            for queue, there in self.queues.items()
            for phone in there
        ]

    def pause(self, queue: str, phone: str, *, paused: bool, reason: str = "") -> None:
        one = self.queues[queue][phone]
        self.tell(facts.MemberChanged(queue, phone, one.member, paused, reason, one.penalty))

    def tell(self, fact: facts.MemberChanged | facts.MemberGone) -> None:
        if isinstance(fact, facts.MemberChanged):
            self.queues[fact.queue][fact.endpoint] = fact
        else:
            self.queues[fact.queue].pop(fact.endpoint)
        self.exchange.apply(fact)

    def states(self, phone: str = "1001") -> list[State]:
        return [
            (there[phone].paused, there[phone].reason) for there in self.queues.values() if phone in there
        ]


class Bench:
    """An agent at phone 1001, ready in two queues, and what the connector does by itself."""

    def __init__(self, limit: float = 60.0) -> None:
        self.exchange = Exchange(proof_timeout=1.0)
        self.exchange.available = True
        self.told: list[Change] = []
        self.news = asyncio.Event()
        self.exchange.subscribe(self._hear)
        self.pbx = Queues(self.exchange)
        link = self.pbx
        self.membership = QueueMembership(self.exchange, link, wrap_up=limit > 0)  # type: ignore[arg-type]
        self.watch = MemberWatch(self.exchange, link, self.membership, 0.01)  # type: ignore[arg-type]
        self.wrap_up = WrapUp(self.exchange, self.membership, limit)
        self.exchange.publish(self.exchange.model.watch("1001"))

    def _hear(self, change: Change) -> None:
        self.told.append(change)
        self.news.set()

    @property
    def readiness(self) -> list[tuple[bool, str]]:
        """What was told of the agent's readiness, in order."""
        return [(one.now.ready, one.now.reason) for one in self.told if isinstance(one, PresenceChanged)]

    def call(self, leg: str, *, answered: bool = True) -> None:
        """Offer a call to the phone, and have it answered."""
        apply = self.exchange.apply
        apply(facts.LegCreated("c" + leg, "", "c" + leg, placed=True))
        apply(facts.LegCreated(leg, "1001", "c" + leg, placed=False))
        apply(facts.DialStarted("c" + leg, leg))
        if answered:
            apply(facts.LegAnswered(leg))
            apply(facts.LegJoined("c" + leg, "b" + leg))
            apply(facts.LegJoined(leg, "b" + leg))

    def end(self, leg: str) -> None:
        self.exchange.apply(facts.LegEnded(leg, 16))

    def complete(self, leg: str) -> None:
        self.exchange.publish(self.exchange.model.complete(leg))

    async def settle(self) -> None:
        """Let the chores that the connector gave itself be done."""
        while self.wrap_up._chores:
            await asyncio.gather(*self.wrap_up._chores)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    found = Bench()
    await found.membership.log_in(SEAT)
    await found.membership.set_ready(SEAT)
    found.told.clear()
    yield found
    found.wrap_up.close()


async def test_a_ready_agent_is_paused_from_answer_to_completion_and_stays_ready(bench: Bench) -> None:
    bench.call("a", answered=False)
    await bench.settle()
    assert bench.pbx.states() == [READY, READY]
    bench.exchange.apply(facts.LegAnswered("a"))
    await bench.settle()
    assert bench.pbx.states() == [WRAPS, WRAPS]
    bench.end("a")
    await bench.settle()
    assert bench.pbx.states() == [WRAPS, WRAPS]
    bench.complete("a")
    await bench.settle()
    assert bench.pbx.states() == [READY, READY]
    assert bench.readiness == []
    assert bench.exchange.model.presence("1001") == Presence("ada", ready=True)


async def test_an_offer_that_nobody_answers_needs_no_wrap_up(bench: Bench) -> None:
    bench.call("a", answered=False)
    bench.end("a")
    await bench.settle()
    assert bench.pbx.states() == [READY, READY]


async def test_two_calls_are_wrapped_up_both(bench: Bench) -> None:
    bench.call("a")
    bench.call("b")
    bench.end("a")
    bench.complete("a")
    await bench.settle()
    assert bench.pbx.states() == [WRAPS, WRAPS]
    bench.end("b")
    bench.complete("b")
    await bench.settle()
    assert bench.pbx.states() == [READY, READY]


async def test_not_ready_in_wrap_up_stays_and_ready_waits_for_the_end(bench: Bench) -> None:
    bench.call("a")
    await bench.settle()
    await bench.membership.set_not_ready(SEAT, "lunch")
    bench.end("a")
    await bench.settle()
    assert bench.pbx.states() == [(True, "lunch")] * 2
    await bench.membership.set_ready(SEAT)
    assert bench.pbx.states() == [WRAPS, WRAPS]
    await bench.membership.set_not_ready(SEAT, "lunch")
    bench.complete("a")
    await bench.settle()
    assert bench.pbx.states() == [(True, "lunch")] * 2
    assert bench.readiness == [(False, "lunch"), (True, ""), (False, "lunch")]


async def test_a_request_that_is_under_way_is_not_overtaken(bench: Bench) -> None:
    bench.call("a")
    await bench.settle()
    bench.end("a")
    # Completion would end the pause; the agent's wish was there first.
    wish = asyncio.create_task(bench.membership.set_not_ready(SEAT, "lunch"))
    await asyncio.sleep(0)
    bench.complete("a")
    await wish
    await bench.settle()
    assert bench.pbx.states() == [(True, "lunch")] * 2


@pytest.mark.parametrize("later", range(8))
async def test_a_call_that_is_over_before_its_pause_is_shown_leaves_none(bench: Bench, later: int) -> None:
    bench.call("a")
    for _ in range(later):
        await asyncio.sleep(0)
    bench.end("a")
    bench.complete("a")
    await bench.settle()
    assert bench.pbx.states() == [READY, READY]


@pytest.mark.parametrize("later", range(8))
async def test_a_call_that_is_completed_as_its_agent_becomes_ready_leaves_no_pause(
    bench: Bench, later: int
) -> None:
    bench.call("a")
    await bench.settle()
    await bench.membership.set_not_ready(SEAT, "lunch")
    bench.end("a")
    wish = asyncio.create_task(bench.membership.set_ready(SEAT))
    for _ in range(later):
        await asyncio.sleep(0)
    bench.complete("a")
    await wish
    await bench.settle()
    assert bench.pbx.states() == [READY, READY]


async def test_a_queue_in_which_somebody_else_paused_the_agent_is_left_alone(bench: Bench) -> None:
    bench.pbx.pause("sales", "1001", paused=True, reason="training")
    bench.call("a")
    await bench.settle()
    assert bench.pbx.states() == [WRAPS, (True, "training")]
    bench.end("a")
    bench.complete("a")
    await bench.settle()
    assert bench.pbx.states() == [READY, (True, "training")]


async def test_the_limit_completes_what_has_ended() -> None:
    bench = Bench(limit=0.01)
    await bench.membership.log_in(SEAT)
    await bench.membership.set_ready(SEAT)
    bench.call("a")
    bench.end("a")
    async with asyncio.timeout(5):
        while InteractionCompleted("a") not in bench.told:
            bench.news.clear()
            await bench.news.wait()
    await bench.settle()
    assert bench.pbx.states() == [READY, READY]


async def test_without_wrap_up_nobody_is_paused() -> None:
    bench = Bench(limit=0.0)
    await bench.membership.log_in(SEAT)
    await bench.membership.set_ready(SEAT)
    bench.call("a")
    bench.end("a")
    await bench.settle()
    assert bench.pbx.states() == [READY, READY]
    assert bench.exchange.model.interactions("1001") != []


async def test_an_automatic_pause_counts_for_all_queues(bench: Bench) -> None:
    bench.pbx.pause("support", "1001", paused=True, reason=AUTO_PAUSE)
    await bench.settle()
    assert bench.pbx.states() == [(True, AUTO_PAUSE)] * 2
    assert bench.readiness == [(False, AUTO_PAUSE)]
    await bench.membership.set_ready(SEAT)
    assert bench.pbx.states() == [READY, READY]


async def test_a_pause_that_was_left_behind_ends_when_the_pbx_is_there(bench: Bench) -> None:
    for queue in ("support", "sales"):
        bench.pbx.pause(queue, "1001", paused=True, reason=WRAP_UP)
    bench.exchange.set_available(available=False)
    bench.exchange.set_available(available=True)
    await bench.settle()
    assert bench.pbx.states() == [READY, READY]


@pytest.mark.parametrize("reason", ["a,b", "a;b", "a|b", "x" * 81, WRAP_UP])
async def test_a_reason_that_asterisk_cannot_keep_is_refused(bench: Bench, reason: str) -> None:
    with pytest.raises(Refused, match="reason"):
        await bench.membership.set_not_ready(SEAT, reason)
    assert bench.pbx.states() == [READY, READY]


def test_a_pause_for_wrap_up_is_no_not_ready() -> None:
    board = PresenceBoard()
    board.apply(facts.MemberChanged("support", "1001", "ada", paused=True, reason=WRAP_UP))
    assert board.presence("1001") == Presence("ada", ready=True)
    assert board.apply(facts.MemberChanged("support", "1001", "ada", paused=False, reason="")) == []
    (change,) = board.apply(facts.MemberChanged("support", "1001", "ada", paused=True, reason="lunch"))
    assert change.now == Presence("ada", ready=False, reason="lunch")


# -- projection ---------------------------------------------------------------------------------------------


async def test_what_the_pbx_forgot_is_written_again_as_it_was(bench: Bench) -> None:
    await bench.membership.set_not_ready(SEAT, "lunch")
    known = known_members(bench.exchange)
    told = len(bench.told)
    bench.pbx.queues = {"support": {}, "sales": {}}
    await project(bench.exchange, bench.pbx, known.values())  # type: ignore[arg-type]
    assert known_members(bench.exchange) == known
    assert bench.pbx.states() == [(True, "lunch")] * 2
    assert bench.told[told:] == []


async def test_a_queue_that_is_no_more_is_told(bench: Bench) -> None:
    known = known_members(bench.exchange)
    bench.pbx.queues = {"support": {}}
    await project(bench.exchange, bench.pbx, known.values())  # type: ignore[arg-type]
    assert QueueMissing("1001", "sales") in bench.told
    assert list(bench.exchange.model.board.queues("1001")) == ["support"]


async def test_while_the_module_is_not_there_nothing_is_given_up(bench: Bench) -> None:
    known = known_members(bench.exchange)
    bench.pbx.loaded = False
    with pytest.raises(AmiRefused):
        await project(bench.exchange, bench.pbx, known.values())  # type: ignore[arg-type]
    assert known_members(bench.exchange) == known


async def test_members_that_vanish_without_a_word_are_put_back(bench: Bench) -> None:
    known = known_members(bench.exchange)
    bench.pbx.queues = {"support": {}, "sales": {}}
    watching = asyncio.create_task(bench.watch.run())
    news = asyncio.Event()
    bench.exchange.follow(lambda _fact: news.set())
    async with asyncio.timeout(10):
        while len(bench.pbx.states()) < 2:
            news.clear()
            await news.wait()
    watching.cancel()
    assert known_members(bench.exchange) == known


async def test_only_dynamic_members_at_phones_that_are_watched_are_looked_after(bench: Bench) -> None:
    bench.exchange.apply(facts.MemberChanged("support", "1009", "zoe", paused=False, reason=""))
    bench.exchange.apply(
        facts.MemberChanged("sales", "1001", "ada", paused=False, reason="", penalty=0, dynamic=False)
    )
    bench.pbx.queues = {"support": {}, "sales": {}}
    assert [(one.endpoint, one.queue) for one in await bench.watch._missing()] == [("1001", "support")]


def test_a_row_names_phone_and_queue() -> None:
    row = AmiMessage([("Queue", "support"), ("Location", "Local/1@x"), ("StateInterface", "PJSIP/1001")])
    assert member_of_row(row) == ("1001", "support")
