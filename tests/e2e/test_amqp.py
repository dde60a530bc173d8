"""The AMQP transport on the real RabbitMQ: nothing lost, nothing executed twice, whatever is cut."""

import asyncio
import json
import signal
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel, AbstractQueue
from desk import WAIT, Desk, amqp_settings, deep_merge, desk, dialect_of, own_names, settings_for
from structlog.testing import capture_logs
from test_command import environment, start
from test_link import Cable
from yarl import URL

from connector.app import Connector
from connector.bridge.amqp import AmqpTransport
from connector.bridge.amqp_link import BrokerLink
from connector.bridge.amqp_settings import AmqpSettings
from connector.bridge.amqp_topology import DELIVERY_LIMIT, Names, Role, declare
from connector.bridge.catalogue.conversation import ConversationState
from connector.bridge.catalogue.interaction import InteractionState
from connector.bridge.codec import Malformed, decode_parts
from connector.bridge.envelope import MAX_TEXT
from connector.bridge.messages import Kind, Message
from connector.bridge.tcp import TlsClient
from connector.lab.provider import LabInfo, LabProvider
from connector.processor.amqp import broker_end
from connector.processor.link import Direction
from connector.processor.server import ReferenceBridge
from connector.telephony.changes import InteractionAdded, ServiceChanged


@pytest.fixture
async def met(provider: LabProvider, lab: LabInfo, tmp_path: Path) -> AsyncIterator[Desk]:
    """Run a bridge, a connector and phones on the broker, whatever the rest of the run uses."""
    async with desk(provider, lab, tmp_path, transport="amqp") as found:
        yield found


class HandBridge:
    """A bridge of a few lines of plain aio-pika, to send what the reference bridge never would."""

    def __init__(self, names: Names, channel: AbstractChannel, queue: AbstractQueue) -> None:
        self.names = names
        self.channel = channel
        self._queue = queue
        self.heard: list[aio_pika.abc.AbstractIncomingMessage] = []
        self._news = asyncio.Event()

    @classmethod
    @asynccontextmanager
    async def at(cls, url: str, names: Names) -> AsyncIterator[Self]:
        connection = await aio_pika.connect(url)
        async with connection:
            channel = await connection.channel(on_return_raises=True)
            queue = await channel.declare_queue(names.queue_of(Role.BRIDGE), durable=True)
            await channel.declare_exchange(names.client_exchange, "topic", durable=True)
            await queue.bind(names.client_exchange, f"{names.processor}.#")
            bridge = cls(names, channel, queue)
            await queue.consume(bridge._hear, no_ack=True)
            yield bridge

    async def _hear(self, letter: aio_pika.abc.AbstractIncomingMessage) -> None:
        self.heard.append(letter)
        self._news.set()

    async def publish(self, body: bytes, headers: dict[str, Any], **properties: Any) -> None:
        exchange = await self.channel.get_exchange(self.names.bridge_exchange, ensure=False)
        letter = aio_pika.Message(body, headers=headers, content_type="application/json", **properties)
        await exchange.publish(letter, f"{self.names.processor}.{headers.get('target', 'x')}")

    async def ask(self, name: str, request_id: str, **properties: Any) -> None:
        kind = "cti.query" if ".query." in name else "cti.request"
        await self.publish(
            b"{}",
            {"type": kind, "name": name, "target": "LAB.CONTROL", "requestId": request_id},
            **properties,
        )

    async def until(self, ready: Callable[[], Any]) -> None:
        async with asyncio.timeout(WAIT):
            while not ready():
                self._news.clear()
                await self._news.wait()

    def answers(self, request_id: str) -> list[dict[str, Any]]:
        return [dict(each.headers) for each in self.heard if each.headers.get("requestId") == request_id]

    async def answer(self, request_id: str) -> dict[str, Any]:
        await self.until(lambda: self.answers(request_id))
        return self.answers(request_id)[0]


@asynccontextmanager
async def connector_at(lab: LabInfo, folder: Path, over: dict[str, Any]) -> AsyncIterator[Connector]:
    # What it talks to here speaks the catalogue's words, whatever dialect the suite runs in.
    connector = Connector(settings_for(lab, folder, 1, deep_merge(over, {"bridge": {"dialect": ""}})))
    in_service = asyncio.Event()
    connector.pbx.subscribe(lambda change: in_service.set() if isinstance(change, ServiceChanged) else None)
    stop = asyncio.Event()
    running = asyncio.create_task(connector.run(stop))
    try:
        await asyncio.wait_for(in_service.wait(), WAIT)
        yield connector
    finally:
        stop.set()
        await running


@pytest.fixture
async def hand(provider: LabProvider, lab: LabInfo, tmp_path: Path) -> AsyncIterator[HandBridge]:
    names = own_names()
    over = deep_merge(amqp_settings(lab, names), {"bridge": {"max_frame_bytes": 65536}})
    async with HandBridge.at(lab.amqp_url, names) as bridge, connector_at(lab, tmp_path, over) as connector:
        await eventually_up(connector.transport)
        yield bridge


async def eventually_up(transport: Any) -> None:
    async with asyncio.timeout(WAIT):
        while not transport.is_connected:  # noqa: ASYNC110 - it tells its receiver only: the connector
            await asyncio.sleep(0.01)


async def test_headers_and_properties_are_those_of_the_protocol(hand: HandBridge) -> None:
    await hand.ask("cti.query.capabilities", "r-1")
    await hand.answer("r-1")
    (letter,) = hand.heard
    assert letter.headers["type"] == "cti.response"
    assert letter.headers["name"] == "cti.query.capabilities"
    assert letter.headers["target"] == "LAB.CONTROL"
    assert letter.headers["result"] == "SUCCESS"
    assert letter.routing_key == "LAB.LAB.CONTROL"
    assert letter.exchange == hand.names.client_exchange
    assert letter.correlation_id == "r-1"
    assert letter.content_type == "application/json"
    assert letter.message_id
    assert letter.timestamp is not None
    assert letter.delivery_mode == aio_pika.DeliveryMode.PERSISTENT
    assert isinstance(json.loads(letter.body)["channel-groups-supported"], bool)


async def test_a_thousand_queries_are_answered_once_each_and_in_order(hand: HandBridge) -> None:
    ids = [f"r-{number}" for number in range(1000)]
    for first in range(0, len(ids), 50):
        batch = ids[first : first + 50]
        for each in batch:
            await hand.ask("cti.query.capabilities", each)
        await hand.answer(batch[-1])
    assert [letter.headers["requestId"] for letter in hand.heard] == ids


async def test_the_same_request_twice_is_carried_out_once_and_answered_twice(hand: HandBridge) -> None:
    await hand.ask("cti.request.serverstatus", "r-1")
    await hand.until(lambda: len(hand.heard) == 2)
    await hand.ask("cti.request.serverstatus", "r-1")
    await hand.ask("cti.query.capabilities", "r-2")
    await hand.answer("r-2")
    assert [letter.headers["name"] for letter in hand.heard] == [
        "cti.request.serverstatus",
        "cti.serverstatuschanged",
        "cti.request.serverstatus",
        "cti.query.capabilities",
    ]


async def test_a_letter_that_is_delivered_twice_is_answered_once(hand: HandBridge) -> None:
    message_id = uuid.uuid4().hex
    for _ in range(2):
        await hand.ask("cti.request.serverstatus", "r-1", message_id=message_id)
    await hand.ask("cti.query.capabilities", "r-2")
    await hand.answer("r-2")
    assert len(hand.answers("r-1")) == 1


@pytest.mark.parametrize("request_id", ["r" * 255, "r" * 256, "r" * 512, "ü" * 200])
async def test_a_long_request_id_is_answered(hand: HandBridge, request_id: str) -> None:
    await hand.ask("cti.query.capabilities", request_id)
    await hand.ask("cti.query.capabilities", "proof")
    assert (await hand.answer(request_id))["result"] == "SUCCESS"
    assert (await hand.answer("proof"))["result"] == "SUCCESS"


async def test_a_refusal_that_would_quote_a_whole_body_keeps_the_link(
    lab: LabInfo, provider: LabProvider, tmp_path: Path
) -> None:
    names = own_names()
    over = amqp_settings(lab, names)
    async with HandBridge.at(lab.amqp_url, names) as hand, connector_at(lab, tmp_path, over) as connector:
        await eventually_up(connector.transport)
        agent = lab.agents["1001"]
        await hand.ask("cti.request.serverstatus", "open")
        await hand.answer("open")
        body = {
            "agentId": "x" * 200_000,
            "requestingAgentLogin": "1001",
            "requestingAgentPassword": agent.password,
        }
        with capture_logs() as logs:
            await hand.publish(
                json.dumps(body).encode(), GOOD | {"name": "cti.query.agentinfo", "requestId": "huge"}
            )
            await hand.ask("cti.query.capabilities", "proof")
            refusal = await hand.answer("huge")
            assert (await hand.answer("proof"))["result"] == "SUCCESS"
        assert refusal["result"] == "FAILURE"
        assert len(refusal["errorMessage"]) == MAX_TEXT
        assert "bridge lost" not in [each["event"] for each in logs]


async def test_a_bridge_whose_app_id_returns_is_answered(hand: HandBridge) -> None:
    """Two hosts that take turns, each with a fixed name."""
    for turn, app_id in enumerate(("bridge-a", "bridge-b", "bridge-a")):
        letter = {"app_id": app_id, "message_id": uuid.uuid4().hex, "timestamp": datetime.now(UTC)}
        await hand.ask("cti.request.serverstatus", f"r-{turn}", **letter)
        assert (await hand.answer(f"r-{turn}"))["result"] == "SUCCESS"


async def test_what_an_earlier_bridge_left_behind_is_dropped_and_logged(hand: HandBridge) -> None:
    now = datetime.now(UTC)
    with capture_logs() as logs:
        for turn, (app_id, at) in enumerate(
            [("bridge-a", now), ("bridge-b", now), ("bridge-a", now - timedelta(seconds=5))]
        ):
            await hand.ask("cti.request.serverstatus", f"r-{turn}", app_id=app_id, timestamp=at)
        await hand.ask("cti.query.capabilities", "proof", app_id="bridge-b", timestamp=now)
        await hand.answer("proof")
    assert hand.answers("r-2") == []
    (dropped,) = [each for each in logs if each["event"] == "a message of a former bridge dropped"]
    assert dropped["request_id"] == "r-2"


GOOD = {"type": "cti.query", "name": "cti.query.capabilities", "target": "LAB.CONTROL", "requestId": "r-1"}


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"no json", GOOD),
        (b"\xff\xfe", GOOD),
        (b"[1]", GOOD),
        (b'{"a":' * 50 + b"1" + b"}" * 50, GOOD),
        (b'"' + b"x" * 70_000 + b'"', GOOD),
        (b"{}", {key: value for key, value in GOOD.items() if key != "target"}),
        (b"{}", {key: value for key, value in GOOD.items() if key != "type"}),
        (b"{}", GOOD | {"type": "cti.nonsense"}),
        (b"{}", GOOD | {"name": 7}),
    ],
    ids=lambda value: repr(value)[:30],
)
async def test_a_poison_message_is_refused_and_becomes_a_dead_letter(
    hand: HandBridge, body: bytes, headers: dict[str, Any]
) -> None:
    await hand.publish(body, headers)
    assert (await hand.answer("r-1"))["result"] == "FAILURE"
    assert await dead_letter(hand) == body
    await hand.ask("cti.query.capabilities", "proof")
    assert (await hand.answer("proof"))["result"] == "SUCCESS"


async def test_what_nobody_can_answer_becomes_a_dead_letter_too(hand: HandBridge) -> None:
    await hand.publish(b"\x00\x01", {})
    assert await dead_letter(hand) == b"\x00\x01"
    await hand.ask("cti.query.capabilities", "proof")
    assert (await hand.answer("proof"))["result"] == "SUCCESS"


async def test_a_letter_that_ends_every_client_becomes_a_dead_letter(lab: LabInfo) -> None:
    """A message that brings the connector down each time must not do so for ever."""
    names = own_names()
    own = await aio_pika.connect(lab.amqp_url)
    async with own, HandBridge.at(lab.amqp_url, names) as hand:
        await declare(await own.channel(), names, Role.CLIENT, passive=False)
        await hand.publish(b"{}", GOOD, delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
        for _ in range(DELIVERY_LIMIT + 1):
            await die_with_a_letter(lab, names)
        assert await dead_letter(hand) == b"{}"


async def die_with_a_letter(lab: LabInfo, names: Names) -> None:
    """Take a letter and go without a word about it."""
    came: asyncio.Queue[None] = asyncio.Queue()

    async def take(_letter: aio_pika.abc.AbstractIncomingMessage) -> None:
        came.put_nowait(None)

    connection = await aio_pika.connect(lab.amqp_url)
    async with connection:
        queue = await (await connection.channel()).get_queue(names.queue_of(Role.CLIENT))
        await queue.consume(take)
        async with asyncio.timeout(WAIT):
            await came.get()


async def dead_letter(hand: HandBridge) -> bytes:
    queue = await hand.channel.get_queue(hand.names.dead_letters)
    came: asyncio.Queue[bytes] = asyncio.Queue()

    async def take(letter: aio_pika.abc.AbstractIncomingMessage) -> None:
        came.put_nowait(letter.body)

    tag = await queue.consume(take, no_ack=True)
    async with asyncio.timeout(WAIT):
        body = await came.get()
    await queue.cancel(tag)
    return body


@asynccontextmanager
async def cabled(provider: LabProvider, lab: LabInfo, folder: Path) -> AsyncIterator[tuple[Desk, Cable]]:
    async with Cable(lab.host, lab.ports.amqp) as cable:
        url = str(URL(lab.amqp_url).with_port(cable.port))
        async with desk(provider, lab, folder, {"amqp": {"url": url}}, transport="amqp") as found:
            yield found, cable


async def test_a_dial_cut_before_its_answer_is_delivered_again_but_dialled_once(
    provider: LabProvider, lab: LabInfo, tmp_path: Path
) -> None:
    async with cabled(provider, lab, tmp_path) as (at, cable):
        await at.agent_phone()
        customer = await at.phones.phone("2001")
        session = await at.login("1001", ready=False)
        transport = at.connector.transport
        assert isinstance(transport, AmqpTransport)
        repetitions: list[str] = []
        look_at = transport._look_at

        def spy(delivery: Any, receiver: Any) -> Any:
            if delivery.redelivered:
                repetitions.append(decode_parts(delivery.headers, delivery.body, dialect_of(tmp_path)).name)
            return look_at(delivery, receiver)

        transport._look_at = spy  # type: ignore[method-assign]
        cuts: list[str] = []

        def cut(change: object) -> None:
            if isinstance(change, InteractionAdded):
                # The call is there, its response is not on its way yet.
                cuts.append(change.interaction)
                cable.cut()

        at.connector.pbx.subscribe(cut)
        interaction = await session.channel.dial("2001")
        assert len(cuts) == 1
        assert "channel.request.dial" in repetitions
        ringing = await customer.next_call(WAIT)
        await ringing.answer()
        await interaction.primary.wait_state(ConversationState.TALKING)
        assert len(customer.calls) == 1
        await interaction.primary.release()
        await interaction.wait_state(InteractionState.ENDED)
        await interaction.complete()
        await session.close()


async def test_a_cut_between_answer_and_acknowledgement_gives_no_second_answer(
    provider: LabProvider, lab: LabInfo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with cabled(provider, lab, tmp_path) as (at, cable):
        acknowledge = BrokerLink.acknowledge
        acknowledged: list[bool] = []
        again = asyncio.Event()

        async def cut_first(link: BrokerLink, delivery: Any) -> None:
            if delivery.headers.get("requestId") == "the-one" and "result" not in delivery.headers:
                acknowledged.append(bool(delivery.redelivered))
                if len(acknowledged) == 1:
                    # The response is with the broker, which is how this came to be called.
                    cable.cut()
                    return
                again.set()
            await acknowledge(link, delivery)

        monkeypatch.setattr(BrokerLink, "acknowledge", cut_first)
        await at.bridge.request("", "cti.query.capabilities", request_id="the-one")
        async with asyncio.timeout(WAIT):
            await again.wait()
        assert acknowledged == [False, True]
        await at.bridge.request("", "cti.query.capabilities")
        answers = [one for one in at.bridge.log if one.direction is Direction.RECEIVED]
        assert [one.message.request_id for one in answers].count("the-one") == 1


async def test_the_broker_goes_and_comes_back_and_nothing_is_lost(met: Desk) -> None:
    agent, customer = await met.agent_phone(), await met.phones.phone("2001")
    agent.answer_mode = "auto"
    session = await met.login("1001")
    call = await customer.dial("7000")
    interaction = await session.channel.next_interaction()
    await interaction.primary.wait_state(ConversationState.TALKING)
    with capture_logs() as logs:
        await asyncio.to_thread(met.lab.rabbitmq_stop)
        await call.hangup()
        await agent.calls[0].wait_state("ended", WAIT)
        await asyncio.to_thread(met.lab.rabbitmq_start)
        await interaction.wait_state(InteractionState.ENDED, timeout=30)
        await interaction.complete()
    await session.close()
    told = [each["event"] for each in logs if each["event"] in {"bridge lost", "bridge back"}]
    # The bridge under test has a transport of its own, so each is told by both.
    assert sorted(told) == ["bridge back", "bridge back", "bridge lost", "bridge lost"]


@pytest.mark.parametrize("moment", ["while it is set up", "in the middle"])
async def test_a_broker_that_falls_silent_is_given_up(lab: LabInfo, moment: str) -> None:
    async with Cable(lab.host, lab.ports.amqp) as cable:
        url = str(URL(lab.amqp_url).with_port(cable.port))
        settings = AmqpSettings(url, own_names(), heartbeat=1, reconnect_initial=0.05)
        transport, receiver = AmqpTransport(settings), Quiet()
        task = asyncio.create_task(transport.run(receiver))
        async with asyncio.timeout(WAIT):
            await receiver.up.wait()
        link = transport._link
        assert link is not None
        if moment == "in the middle":
            transport.send(Message(Kind.EVENT, "cti.serverstatuschanged", "LAB.CONTROL"))
            assert await transport.drain(WAIT)
        cable.freeze()
        transport.send(Message(Kind.EVENT, "cti.serverstatuschanged", "LAB.CONTROL"))
        async with asyncio.timeout(20):
            await asyncio.shield(link.lost)
        assert not await transport.drain(0)
        cable.thaw()
        assert await transport.drain(WAIT)
        assert receiver.up.is_set()
        await transport.close()
        await task


async def test_a_queue_that_is_deleted_is_declared_again(hand: HandBridge) -> None:
    await hand.ask("cti.query.capabilities", "before")
    await hand.answer("before")
    queue = await hand.channel.get_queue(hand.names.queue_of(Role.CLIENT))
    await queue.delete(if_unused=False, if_empty=False)
    async with asyncio.timeout(WAIT):
        # A publication that no queue takes comes back to its sender: then there is no queue yet.
        while not hand.answers("after"):
            try:
                await hand.ask("cti.query.capabilities", "after", message_id="after")
            except aio_pika.exceptions.PublishError:
                continue
            await hand.answer("after")
    assert [each["result"] for each in hand.answers("after")] == ["SUCCESS"]


async def test_the_bridge_command_meets_a_connector_at_the_broker(lab: LabInfo, tmp_path: Path) -> None:
    process = await start("bridge", env=environment(CONNECTOR_BRIDGE_AMQP=lab.amqp_url))
    assert process.stdout is not None
    over = {"bridge": {"transport": "amqp"}, "amqp": {"url": lab.amqp_url}}
    async with connector_at(lab, tmp_path, over):
        seen = b""
        async with asyncio.timeout(20):
            while b"channel-groups-supported" not in seen and b"cti.query.capabilities" not in seen:
                line = await process.stdout.readline()
                assert line
                seen += line
        process.send_signal(signal.SIGTERM)
        await asyncio.wait_for(process.communicate(), WAIT)
    assert process.returncode == 0
    assert (URL(lab.amqp_url).password or "").encode() not in seen


async def test_a_connector_that_is_started_anew_is_noticed(
    provider: LabProvider, lab: LabInfo, tmp_path: Path
) -> None:
    names = own_names()
    over = amqp_settings(lab, names)
    account = lab.agents["1001"]
    async with ReferenceBridge(processor="LAB") as bridge:
        bridge.attach(broker_end(lab.amqp_url, "LAB", names=names))
        async with connector_at(lab, tmp_path, over):
            await bridge.wait_in_service(WAIT)
            session = await bridge.login("1001", account.password, extension="1001")
        # Nobody is there: this waits in the queue, and the answer comes from one who knows no session.
        pending = asyncio.create_task(bridge.request(session.target, "session.request.close"))
        async with connector_at(lab, tmp_path, over):
            with pytest.raises(ConnectionError):
                await pending
            await bridge.wait_in_service(WAIT)
            session = await bridge.login("1001", account.password, extension="1001")
            await session.close()


async def test_a_second_connector_stands_by(provider: LabProvider, lab: LabInfo, tmp_path: Path) -> None:
    names = own_names()
    over = amqp_settings(lab, names)
    account = lab.agents["1001"]
    async with ReferenceBridge(processor="LAB") as bridge:
        bridge.attach(broker_end(lab.amqp_url, "LAB", names=names))
        first = connector_at(lab, tmp_path, over)
        await first.__aenter__()
        await bridge.wait_in_service(WAIT)
        async with connector_at(lab, tmp_path, over) as second:
            await eventually_up(second.transport)
            await first.__aexit__(None, None, None)
            with pytest.raises(ConnectionError):
                await bridge.request("", "cti.query.capabilities")
            await bridge.wait_in_service(WAIT)
            session = await bridge.login("1001", account.password, extension="1001")
            await session.close()


async def test_a_user_with_the_documented_permissions_is_enough(
    provider: LabProvider, lab: LabInfo, tmp_path: Path
) -> None:
    vhost = URL(lab.amqp_url).path.lstrip("/")
    for user, configure in (("least", True), ("none", False)):
        names = Names("LAB", *(f"{user}.{each}" for each in ("bridge", "client", "dead")))
        names = replace(names, client_queue=f"{user}.client.LAB", bridge_queue=f"{user}.bridge.LAB")
        names = replace(names, dead_queue=f"{user}.dead.LAB")
        own = rf"{user}\.(client|dead)\.LAB"
        may_configure = rf"^({user}\.(bridge|client|dead)|{own})$" if configure else "^$"
        may_write = rf"^({user}\.(client|dead)|{own})$" if configure else rf"^{user}\.client$"
        may_read = rf"^({user}\.(bridge|dead)|{own})$" if configure else rf"^{user}\.client\.LAB$"
        await asyncio.to_thread(provider.rabbitmq_ctl, "add_user", user, "just-for-the-lab")
        await asyncio.to_thread(
            provider.rabbitmq_ctl, "set_permissions", "-p", vhost, user, may_configure, may_write, may_read
        )
        over = amqp_settings(lab, names)
        over["amqp"] |= {
            "url": str(URL(lab.amqp_url).with_user(user).with_password("just-for-the-lab")),
            "declare": configure,
        }
        async with ReferenceBridge(processor="LAB") as bridge:
            bridge.attach(broker_end(lab.amqp_url, "LAB", names=names))
            async with connector_at(lab, tmp_path, over):
                await bridge.wait_in_service(WAIT)
                await bridge.request("", "cti.query.capabilities")


class Quiet:
    """A receiver that keeps what it gets."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.up = asyncio.Event()

    def connected(self) -> None:
        self.up.set()

    def disconnected(self, reason: str) -> None:
        del reason
        self.up.clear()

    def received(self, message: Message) -> None:
        self.messages.append(message)

    def malformed(self, problem: Malformed) -> None:
        raise AssertionError(problem.reason)


async def test_an_agent_logs_in_by_way_of_a_verified_broker(
    provider: LabProvider, lab: LabInfo, tmp_path: Path
) -> None:
    names, account = own_names(), lab.agents["1001"]
    over = amqp_settings(lab, names)
    over["amqp"] |= {"url": lab.amqps_url, "tls": {"ca_file": lab.ca_file}}
    async with ReferenceBridge(processor="LAB") as bridge:
        bridge.attach(broker_end(lab.amqps_url, "LAB", names=names, tls=TlsClient(ca_file=lab.ca_file)))
        async with connector_at(lab, tmp_path, over):
            await bridge.wait_in_service(WAIT)
            session = await bridge.login("1001", account.password, extension="1001")
            await session.close()


@pytest.mark.parametrize("trust", ["nobody", "another name"])
async def test_a_broker_that_cannot_be_verified_is_not_used(lab: LabInfo, trust: str) -> None:
    tls = TlsClient() if trust == "nobody" else TlsClient(lab.ca_file, server_name="broker.example")
    transport = AmqpTransport(AmqpSettings(lab.amqps_url, own_names(), tls=tls, reconnect_initial=0.05))
    with capture_logs() as logs:
        task = asyncio.create_task(transport.run(Quiet()))
        async with asyncio.timeout(WAIT):
            while not logs:  # noqa: ASYNC110 - the log is all that tells
                await asyncio.sleep(0.01)
        await transport.close()
        await task
    assert logs[0]["event"] == "bridge not reachable"
    assert "certificate verify failed" in logs[0]["reason"]
    password = URL(lab.amqp_url).password or ""
    assert password not in str(logs)
