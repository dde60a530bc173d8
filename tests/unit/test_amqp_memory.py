"""What the AMQP transport knows again after a restart; no message leaves before its batch is written."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Self, cast

import aio_pika
import pytest

from connector.bridge.amqp_inbox import Inbox
from connector.bridge.amqp_memory import ANSWERED, Memory
from connector.bridge.amqp_outbox import Outbox, Outgoing, OutgoingRecord
from connector.bridge.amqp_peers import Peers
from connector.bridge.amqp_standby import Standby, Superseded
from connector.bridge.amqp_succession import Succession
from connector.bridge.ledger import Ledger, NoStore, position_of
from connector.bridge.ledger_copy import Record
from connector.bridge.messages import Kind, Message, success

if TYPE_CHECKING:
    from connector.bridge.amqp_link import BrokerLink


def event(number: int) -> Message:
    return Message(Kind.EVENT, "x", "P.CONTROL", {"n": number})


def answer(request_id: str) -> Message:
    return success(Message(Kind.REQUEST, "cti.request.serverstatus", "P.CONTROL", request_id=request_id))


def record(number: int) -> OutgoingRecord:
    return OutgoingRecord(Record("batch", 1, number, b""))


async def next_of(outbox: Outbox) -> Outgoing | OutgoingRecord | None:
    for _ in range(9):
        await asyncio.sleep(0)
    return outbox.take()


def taken(outbox: Outbox, committed: int) -> list[str]:
    found = []
    while (one := outbox.take(committed)) is not None:
        found.append(
            f"r{one.record.number}" if isinstance(one, OutgoingRecord) else f"m{one.message.body['n']}"
        )
    return found


def test_a_message_waits_for_its_batch_and_comes_after_its_record() -> None:
    outbox = Outbox(limit=9, window=9)
    for number in (1, 2, 3):
        outbox.put(event(number), turn=number)
    assert taken(outbox, 0) == []
    outbox.put_record(record(1).record)
    assert taken(outbox, 1) == ["r1", "m1"]
    outbox.put_record(record(2).record)
    assert taken(outbox, 2) == ["r2", "m2"]
    outbox.rewind()
    outbox.put_record(record(3).record)
    assert taken(outbox, 3) == ["r1", "m1", "r2", "m2", "r3", "m3"]
    outbox.put_record(record(4).record)
    assert not outbox.is_empty
    assert [one.message.body["n"] for one in outbox.clear()] == [1, 2, 3]
    assert outbox.is_empty


@pytest.fixture
async def ledger() -> Ledger:
    return Ledger(NoStore())


async def test_a_successor_is_the_same_to_the_bridge_and_answers_nothing_twice(ledger: Ledger) -> None:
    memory, peers, outbox = Memory(ledger), Peers(), Outbox(limit=9, window=9)
    now = datetime.now(UTC)
    peers.meets("bridge-1", now)
    memory.introduce("me", peers)
    sent: list[Outgoing] = []
    for message in (event(1), answer("done"), answer("unconfirmed")):
        if message.request_id is not None:
            memory.took_in(message.request_id, f"letter-{message.request_id}")
        outgoing = outbox.put(message)
        assert outgoing is not None
        memory.put(outgoing)
        sent.append(outgoing)
    memory.settle(sent[1])
    await ledger.flushed()

    heir_ledger = Ledger(NoStore())
    heir_ledger.replace(ledger.rows)
    heirs_peers, heirs_outbox = Peers(), Outbox(limit=9, window=9)
    inbox: Inbox[str] = Inbox()
    instance = await Succession(heir_ledger, None, None).go_on("new", heirs_peers, heirs_outbox, inbox)  # type: ignore[arg-type]
    assert instance == "me"
    assert (heirs_peers.current, heirs_peers.newest) == ("bridge-1", now)
    again = [heirs_outbox.take(), heirs_outbox.take(), heirs_outbox.take()]
    assert [one.message_id for one in again if isinstance(one, Outgoing)] == [
        sent[0].message_id,
        sent[2].message_id,
    ]
    assert inbox.repeated("letter-done", "d") is True
    assert inbox.repeated("letter-unconfirmed", "d") is False
    assert inbox.answered("unconfirmed") == ["d"]
    assert inbox.repeated("letter-unknown", "d") is None
    following = heirs_outbox.put(event(9))
    assert following is not None
    assert following.number > sent[2].number


async def test_who_begins_keeps_nothing_of_before(ledger: Ledger) -> None:
    instance = await Succession(ledger, None, None).go_on("new", Peers(), Outbox(9, 9), Inbox())
    assert instance == "new"


async def test_who_lost_the_link_while_taking_over_must_begin_anew(ledger: Ledger) -> None:
    """It works with the PBX already: it may not do so and stand by."""

    async def resume(_rows: Mapping[str, bytes]) -> None:
        raise ConnectionError

    succession = Succession(ledger, resume, Standby("state", "P", declare=True))
    with pytest.raises(ConnectionError):
        await succession.go_on("new", Peers(), Outbox(9, 9), Inbox())
    with pytest.raises(Superseded):
        await succession.lead(cast("BrokerLink", object()))


@dataclass
class Delivery:
    headers: Mapping[str, object]
    body: bytes = b""

    async def ack(self) -> None: ...


class Broker:
    """Link, channel, exchange and queues in one: the token comes first, then the records and the mark."""

    def __init__(self, headers: Mapping[str, int | str]) -> None:
        self.headers = headers
        self.takers: dict[str, Callable[[Delivery], Awaitable[None]]] = {}
        self.queue = ""

    async def side_channel(self, _prefetch: int) -> Self:
        return self

    async def get_exchange(self, _name: str, *, ensure: bool) -> Self:
        assert not ensure
        return self

    async def get_queue(self, name: str, *, ensure: bool) -> Self:
        assert not ensure
        self.queue = name
        return self

    async def consume(self, take: Callable[[Delivery], Awaitable[None]], **_arguments: object) -> str:
        self.takers[self.queue] = take
        return self.queue

    async def cancel(self, queue: str) -> None:
        del self.takers[queue]

    async def publish(self, letter: aio_pika.Message, queue: str) -> None:
        if not queue.endswith(".lead"):
            await self.takers[queue](Delivery(self.headers))
        await self.takers[queue](Delivery(letter.headers))

    def spawn(self, task: Coroutine[object, object, None]) -> None:
        task.close()


async def test_who_gets_the_lead_back_after_another_has_had_it_is_superseded() -> None:
    """The token may come before the records that tell who has led meanwhile."""
    link = cast("BrokerLink", Broker({"kind": "batch", "term": 2, "number": 1}))
    standby = Standby("state", "P", declare=False)
    with pytest.raises(Superseded):
        await standby.lead(link, (1, 100))
    assert (await standby.lead(link, (2, 1))).newest == (2, 1)
    assert (await standby.lead(link, None)).newest == (2, 1)


async def test_nothing_is_begun_before_those_who_stand_by_can_know_of_it(ledger: Ledger) -> None:
    """Else the one that takes over, to whom the broker gives the request again, would do it once more."""

    class Link:
        async def publish(self, *_letter: object) -> None:
            await allowed.wait()

    allowed = asyncio.Event()
    succession, outbox = Succession(ledger, None, Standby("state", "P", declare=True)), Outbox(9, 9)
    ledger.committed = lambda batch: succession.committed(batch, outbox)
    link = cast("BrokerLink", Link())
    ledger.put("req/1", lambda: 1)
    begun = asyncio.create_task(ledger.flushed())
    first = await next_of(outbox)
    # The link breaks and comes back; the same part is published again, and another one beside it.
    outbox.rewind()
    ledger.put("req/2", lambda: 2)
    again = outbox.take()
    second = await next_of(outbox)
    assert again is first
    assert isinstance(first, OutgoingRecord)
    assert isinstance(second, OutgoingRecord)
    allowed.set()
    await succession.post(link, second, 1.0)
    await asyncio.sleep(0)
    assert not begun.done()
    await succession.post(link, first, 1.0)
    await begun


async def test_what_is_dropped_on_its_way_is_waited_for_no_longer(ledger: Ledger) -> None:
    succession, outbox = Succession(ledger, None, Standby("state", "P", declare=True)), Outbox(9, 9)
    ledger.committed = lambda batch: succession.committed(batch, outbox)
    ledger.put("req/1", lambda: 1)
    begun = asyncio.create_task(ledger.flushed())
    assert await next_of(outbox) is not None
    outbox.clear()
    succession.replication.forget()
    await begun


async def test_the_memory_of_answered_requests_is_bounded(ledger: Ledger) -> None:
    memory, outbox = Memory(ledger), Outbox(limit=10 * ANSWERED, window=9)
    for number in range(ANSWERED + 10):
        memory.took_in(f"r{number}", f"m{number}")
        outgoing = outbox.put(answer(f"r{number}"))
        assert outgoing is not None
        memory.put(outgoing)
        memory.settle(outgoing)
    await ledger.flushed()
    seen = {key for key in ledger.rows if key.startswith("seen/")}
    assert len(seen) == ANSWERED
    assert "seen/m9" not in seen
    assert not any(key.startswith("out/") for key in ledger.rows)


async def test_a_row_that_cannot_be_read_costs_no_other_one(ledger: Ledger) -> None:
    memory, peers, outbox = Memory(ledger), Peers(), Outbox(limit=9, window=9)
    memory.introduce("me", peers)
    for number in (1, 2):
        memory.took_in(f"r{number}", f"letter-{number}")
        outgoing = outbox.put(answer(f"r{number}"))
        assert outgoing is not None
        memory.put(outgoing)
    await ledger.flushed()
    sound = Memory(ledger).recall(ledger.rows)
    assert (len(sound.waiting), len(sound.answered), sound.instance) == (2, 2, "me")
    spoilt = [
        b"[]",
        b"7",
        b'"x"',
        b"null",
        b"{}",
        b'{"message": 1, "message_id": 2, "number": "x"}',
        b"no JSON",
    ]
    for key in ledger.rows:
        for row in [*spoilt, b"[" * 100_000 + b"]" * 100_000]:
            found = Memory(ledger).recall({**ledger.rows, key: row})
            left = len(found.waiting) + len(found.answered) + (found.instance == "me")
            assert left == (5 if key.startswith("meta/") else 4), key
            if row != b"7":
                assert position_of({**ledger.rows, key: row}) <= ledger.position
    found = Memory(ledger).recall({**ledger.rows, "out/x": ledger.rows["out/000000000000001"]})
    assert [one.number for one in found.waiting] == [0, 1]
