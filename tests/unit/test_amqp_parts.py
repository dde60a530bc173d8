"""The parts of the AMQP transport that need no broker: outbox, inbox, names, the transport's own rules."""

import asyncio
import struct
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import aio_pika
import pytest
from aio_pika.exceptions import AMQPConnectionError
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from connector.bridge import amqp
from connector.bridge.amqp import AmqpTransport
from connector.bridge.amqp_inbox import Inbox
from connector.bridge.amqp_letter import LONGEST_CORRELATION, MAX_HEADERS, PEER_HEADER, letter_of
from connector.bridge.amqp_outbox import Outbox
from connector.bridge.amqp_settings import AmqpSettings
from connector.bridge.amqp_topology import LONGEST_KEY, Names, Role
from connector.bridge.codec import Malformed, decode_parts, encode_parts
from connector.bridge.messages import Kind, Message, Result, failure, success


def event(number: int) -> Message:
    return Message(Kind.EVENT, "x", "P.CONTROL", {"n": number})


def asked(request_id: str = "r") -> Message:
    return Message(Kind.REQUEST, "cti.request.serverstatus", "P.CONTROL", request_id=request_id)


# -- outbox --------------------------------------------------------------------------------------------


@given(st.lists(st.sampled_from(["put", "take", "settle first", "settle last", "rewind"])))
def test_the_outbox_loses_nothing_and_keeps_the_order_of_first_publication(steps: list[str]) -> None:
    outbox, window = Outbox(limit=5, window=3), 3
    put = settled = 0
    flying: list[Any] = []
    published: list[int] = []
    for step in steps:
        if step == "put":
            put += outbox.put(event(put)) is not None
        elif step == "take" and (outgoing := outbox.take()) is not None:
            flying.append(outgoing)
            published.append(outgoing.message.body["n"])
        elif step.startswith("settle") and flying:
            outbox.settle(flying.pop(0 if "first" in step else -1))
            settled += 1
        elif step == "rewind":
            outbox.rewind()
            flying.clear()
        assert len(flying) <= window
        assert len(outbox) == put - settled
    firsts = list(dict.fromkeys(published))
    assert firsts == list(range(len(firsts)))
    assert outbox.is_empty == (put == settled)


def test_what_is_published_again_has_its_old_message_id() -> None:
    outbox = Outbox(limit=9, window=9)
    for number in range(3):
        outbox.put(event(number))
    taken = [outbox.take() for _ in range(3)]
    assert taken[1] is not None
    outbox.settle(taken[1])
    outbox.rewind()
    again = [outbox.take(), outbox.take(), outbox.take()]
    assert again == [taken[0], taken[2], None]


def test_the_outbox_is_bounded() -> None:
    outbox = Outbox(limit=2, window=1)
    assert [outbox.put(event(number)) is not None for number in range(3)] == [True, True, False]
    assert outbox.take() is not None
    assert outbox.take() is None
    assert len(outbox.clear()) == 2
    assert outbox.is_empty


# -- inbox ---------------------------------------------------------------------------------------------


def test_a_repeated_request_is_acknowledged_with_its_answer() -> None:
    inbox: Inbox[str] = Inbox()
    assert inbox.repeated("m", "first") is None
    inbox.saw("m", "r")
    inbox.opened("r", "first")
    assert inbox.repeated("m", "second") is False
    assert inbox.answered("r") == ["first", "second"]
    assert inbox.repeated("m", "third") is True
    assert inbox.answered("r") == []


def test_a_repetition_without_message_id_cannot_be_told_apart_here() -> None:
    inbox: Inbox[str] = Inbox()
    inbox.saw(None, "r")
    assert inbox.repeated(None, "again") is None


def test_the_memory_of_the_inbox_is_bounded() -> None:
    inbox: Inbox[str] = Inbox(remembered=2)
    for each in "abc":
        inbox.saw(each)
    assert [inbox.repeated(each, "d") for each in "abc"] == [None, True, True]


def test_when_all_is_void_everything_may_be_acknowledged() -> None:
    inbox: Inbox[str] = Inbox()
    inbox.opened("r", "one")
    inbox.opened("s", "two")
    assert inbox.close_all() == ["one", "two"]
    assert len(inbox) == 0


# -- names and codec -----------------------------------------------------------------------------------


def test_the_names_are_those_of_the_protocol() -> None:
    names = Names("ASTERISK_1")
    assert names.queue_of(Role.CLIENT) == "harmony.client.ASTERISK_1"
    assert names.queue_of(Role.BRIDGE) == "harmony.bridge.ASTERISK_1"
    assert (names.source_of(Role.CLIENT), names.exchange_of(Role.CLIENT)) == (
        "harmony.bridge",
        "harmony.client",
    )
    assert (names.source_of(Role.BRIDGE), names.exchange_of(Role.BRIDGE)) == (
        "harmony.client",
        "harmony.bridge",
    )
    assert names.routing_key("ASTERISK_1.CONTROL") == "ASTERISK_1.ASTERISK_1.CONTROL"


@given(st.text(max_size=512))
def test_a_routing_key_always_fits(target: str) -> None:
    key = Names("P").routing_key(target).encode()
    assert len(key) <= LONGEST_KEY
    assert key.startswith(b"P.")


@pytest.mark.parametrize(
    "message",
    [
        asked(),
        success(asked()),
        failure(asked(), "No ☎."),
        event(1),
        Message(Kind.WARNING, "w", "P", code="1"),
    ],
)
def test_headers_and_body_come_back_as_they_went(message: Message) -> None:
    assert decode_parts(*encode_parts(message)) == message


def test_half_a_character_does_not_cost_the_message() -> None:
    headers, body = encode_parts(failure(asked(), "half \ud800"))
    assert headers["errorMessage"] == "half ?"
    assert decode_parts(headers, body).result is Result.FAILURE


@pytest.mark.parametrize("body", [b"{", b"\xff", b"[" * 100_000, b"7", b"[]"])
def test_a_broken_body_is_malformed_and_can_be_answered(body: bytes) -> None:
    with pytest.raises(Malformed) as caught:
        decode_parts(encode_parts(asked())[0], body)
    assert caught.value.answer_to == asked()


# -- the transport's own rules -------------------------------------------------------------------------


class Ear:
    def __init__(self) -> None:
        self.told: list[str] = []

    def connected(self) -> None:
        self.told.append("connected")

    def disconnected(self, reason: str) -> None:
        self.told.append(reason)

    def received(self, message: Message) -> None:
        self.told.append(message.name)

    def malformed(self, problem: Malformed) -> None:
        self.told.append(problem.reason)


class Delivery:
    """As much of an incoming message as the transport looks at."""

    def __init__(
        self,
        message: Message,
        app_id: str | None = None,
        *,
        to: str | None = None,
        at: int | None = None,
        redelivered: bool = False,
    ) -> None:
        self.headers, self.body = encode_parts(message)
        if to is not None:
            self.headers[PEER_HEADER] = to
        self.body_size = len(self.body)
        self.message_id = uuid4().hex
        self.app_id = app_id
        self.timestamp = None if at is None else datetime.fromtimestamp(at, UTC)
        self.redelivered = redelivered


def transport(role: Role = Role.CLIENT, **changes: Any) -> AmqpTransport:
    return AmqpTransport(AmqpSettings("amqp://u:hunter2@127.0.0.1:1/v", Names("P"), role, **changes))


def look(at: AmqpTransport, ear: Ear, delivery: Delivery) -> str:
    return at._look_at(delivery, ear).name  # type: ignore[arg-type]


async def test_another_bridge_process_makes_the_client_begin_anew() -> None:
    ear, client = Ear(), transport()
    assert look(client, ear, Delivery(asked("1"), "bridge-1")) == "OPEN"
    assert look(client, ear, Delivery(asked("2"), "bridge-2")) == "OPEN"
    assert ear.told == [
        "cti.request.serverstatus",
        "the other side started anew",
        "connected",
        "cti.request.serverstatus",
    ]
    with capture_logs() as logs:
        assert look(client, ear, Delivery(asked("3"), "bridge-1", redelivered=True)) == "DONE"
    assert len(ear.told) == 4
    assert [(each["request_id"], each["reason"]) for each in logs] == [("3", "it is delivered again")]


async def test_a_bridge_whose_app_id_returns_is_served() -> None:
    ear, client = Ear(), transport()
    for at, sender in enumerate(("bridge-a", "bridge-b", "bridge-a", "bridge-b")):
        assert look(client, ear, Delivery(asked(str(at)), sender, at=100 + at)) == "OPEN"
    assert ear.told.count("cti.request.serverstatus") == 4
    assert ear.told.count("the other side started anew") == 3


@pytest.mark.parametrize(("at", "verdict"), [(99, "DONE"), (100, "OPEN"), (101, "OPEN"), (None, "OPEN")])
async def test_only_what_is_provably_of_the_past_is_dropped(at: int | None, verdict: str) -> None:
    """AMQP tells time in seconds: within the same one nothing is proven."""
    ear, client = Ear(), transport()
    look(client, ear, Delivery(asked("1"), "bridge-a", at=90))
    look(client, ear, Delivery(asked("2"), "bridge-b", at=100))
    look(client, ear, Delivery(asked("3"), "bridge-b", at=95))
    assert look(client, ear, Delivery(asked("4"), "bridge-a", at=at)) == verdict


async def test_a_bridge_without_app_id_is_served_and_changes_nothing() -> None:
    ear, client = Ear(), transport()
    for sender in ("bridge-1", None, "bridge-1"):
        assert look(client, ear, Delivery(asked(str(sender)), sender)) == "OPEN"
    assert ear.told == ["cti.request.serverstatus"] * 3


async def test_a_bridge_hears_only_what_is_meant_for_it() -> None:
    ear, bridge = Ear(), transport(Role.BRIDGE)
    assert look(bridge, ear, Delivery(event(1), "c", to="somebody else")) == "DONE"
    assert ear.told == []
    look(bridge, ear, Delivery(event(1), "c", to=bridge.instance))
    assert ear.told == ["x"]


async def test_a_receiver_that_fails_does_not_keep_the_letter() -> None:
    class Broken(Ear):
        def received(self, message: Message) -> None:
            raise ValueError(message.name)

    client = transport()
    assert look(client, Broken(), Delivery(asked())) == "DEAD"
    assert len(client._inbox) == 0


async def test_too_much_waiting_drops_all_once_and_both_sides_begin_anew() -> None:
    client = transport(send_queue=3)
    before = client.instance
    with capture_logs() as logs:
        for number in range(10):
            client.send(event(number))
        await asyncio.sleep(0)
    assert [(each["event"], each["dropped"]) for each in logs] == [("messages to the other side dropped", 3)]
    assert client.instance != before
    assert await client.drain(0.1)
    client.send(event(11))
    assert not await client.drain(0.01)


async def test_a_broker_that_is_away_is_told_once_without_its_password(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    attempts = 0
    enough = asyncio.Event()

    async def refuse(*_: Any) -> Any:
        nonlocal attempts
        attempts += 1
        if attempts == 5:
            enough.set()
        raise AMQPConnectionError("refused")

    monkeypatch.setattr(amqp.BrokerLink, "open", refuse)
    client = transport(reconnect_initial=0.001, reconnect_max=0.002)
    with capture_logs() as logs:
        task = asyncio.create_task(client.run(Ear()))
        await asyncio.wait_for(enough.wait(), 5)
        await client.close()
        await task
    assert [each["event"] for each in logs] == ["bridge not reachable"]
    assert "hunter2" not in str(logs)


# -- what fits into no letter --------------------------------------------------------------------------


class Link:
    """As much of a link as publishing needs; `refuses` says at which letters the library gives up."""

    def __init__(self) -> None:
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.was_useful = False
        self.refuses: Callable[[aio_pika.Message], bool] = lambda _letter: False
        self.letters: list[aio_pika.Message] = []
        self.acknowledged: list[object] = []
        self._tasks: list[asyncio.Task[None]] = []

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.append(asyncio.create_task(work))

    async def publish(self, letter: aio_pika.Message, *_: object) -> None:
        if self.refuses(letter):
            raise struct.error("too long")
        self.letters.append(letter)

    async def acknowledge(self, delivery: object) -> None:
        self.acknowledged.append(delivery)

    def fail(self, reason: str) -> None:
        self.lost.set_result(reason)


def linked() -> tuple[AmqpTransport, Link]:
    client, link = transport(), Link()
    client._link = link  # type: ignore[assignment]
    return client, link


@pytest.mark.parametrize(
    "request_id", ["r" * LONGEST_CORRELATION, "r" * (LONGEST_CORRELATION + 1), "ü" * 200]
)
def test_a_long_request_id_travels_in_its_header_only(request_id: str) -> None:
    letter = letter_of(success(asked(request_id)), message_id="m", app_id="a")
    assert letter.headers["requestId"] == request_id
    fits = len(request_id.encode()) <= LONGEST_CORRELATION
    assert letter.correlation_id == (request_id if fits else None)


async def test_a_response_that_fits_into_no_letter_becomes_a_failure() -> None:
    client, link = linked()
    delivery = Delivery(asked())
    assert look(client, Ear(), delivery) == "OPEN"
    huge = Message(Kind.RESPONSE, "x", "P.C", request_id="r", error_message="x" * MAX_HEADERS)
    with capture_logs() as logs:
        client.send(huge)
        assert await client.drain(1)
    (letter,) = link.letters
    assert letter.headers["result"] == "FAILURE"
    assert letter.headers["requestId"] == "r"
    assert link.acknowledged == [delivery]
    assert [each["event"] for each in logs] == ["a message cannot be sent"]


@pytest.mark.parametrize("message", [event(1), success(asked())], ids=["event", "response"])
async def test_what_the_library_cannot_send_is_given_up_and_the_link_lives(message: Message) -> None:
    client, link = linked()
    link.refuses = lambda letter: letter.headers["name"] == message.name
    with capture_logs() as logs:
        client.send(message)
        client.send(Message(Kind.EVENT, "after", "P.C"))
        assert await client.drain(1)
    assert [letter.headers["name"] for letter in link.letters] == ["after"]
    assert not link.lost.done()
    assert logs[0]["event"] == "a message cannot be sent"


async def test_a_target_that_is_longer_than_all_headers_is_given_up() -> None:
    client, link = linked()
    client.send(Message(Kind.EVENT, "x", "t" * MAX_HEADERS))
    client.send(failure(Message(Kind.QUERY, "x", "t" * MAX_HEADERS, request_id="r"), "No."))
    assert await client.drain(1)
    assert link.letters == []
    assert not link.lost.done()
