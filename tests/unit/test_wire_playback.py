"""A recorded bridge against clients of today: the same one, one with other ids, and some that misbehave."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from processor_client import Client
from renamed_dialect import renamed_yaml
from typer.testing import CliRunner

from connector.bridge.dialect import IDENTITY, Dialect
from connector.bridge.dialect_file import parse_dialect
from connector.bridge.messages import channel, control, interaction
from connector.bridge.recorder import RecordedTransport
from connector.bridge.tcp import TcpSettings, TcpTransport
from connector.bridge.wirelog import Record, Way, WireWriter, read_wire
from connector.cli import app
from connector.processor.matching import Ids, differences
from connector.processor.playback import Playback, PlaybackError, needs_password
from connector.processor.server import ReferenceBridge


@asynccontextmanager
async def client_at(
    port: int, *, record: Path | None = None, dialect: Dialect = IDENTITY
) -> AsyncIterator[Client]:
    """Run a client that keeps the rules, if wanted with a tap."""
    plain = TcpTransport(TcpSettings("127.0.0.1", port, reconnect_initial=0.05), dialect)
    transport = RecordedTransport(plain, WireWriter(record)) if record is not None else plain
    client = Client(transport.send)
    running = asyncio.create_task(transport.run(client))
    try:
        yield client
    finally:
        await transport.close()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def recorded(file: Path, act: Callable[[ReferenceBridge, Client], Any]) -> list[Record]:
    """Record what `act` does on a bridge and return the recording."""
    async with ReferenceBridge() as bridge, client_at(bridge.port, record=file) as client:
        await bridge.wait_in_service()
        await act(bridge, client)
        await bridge.settle()
    return read_wire(file)


async def a_call(bridge: ReferenceBridge, client: Client) -> None:
    """Log in, take a call, hang up."""
    session = await bridge.login("1001", "right")
    await session.channel.activate()
    await session.channel.ready()
    client.ring("leg-1.17")
    call = await session.channel.next_interaction()
    await call.primary.answer()
    await call.wait_state(interaction.InteractionState.STARTED)
    await call.primary.release()
    await call.wait_state(interaction.InteractionState.ENDED)
    await call.complete()
    await session.close()


async def played(records: list[Record], prepare: Callable[[Client], None], **options: Any) -> Playback:
    """Play against a client that rings as the recorded one did, as soon as it is ready."""
    dialect = options.get("dialect", IDENTITY)
    settings = {"deadline": 5.0, "settle": 0.05, "password": "right", **options}
    playback = Playback(records, **settings)
    await playback.start()
    try:
        async with client_at(playback.port, dialect=dialect) as client:
            prepare(client)
            await playback.play()
    finally:
        await playback.stop()
    return playback


def rings(nativeid: str) -> Callable[[Client], None]:
    """Make a client get a call of that id when its agent is ready."""

    def prepare(client: Client) -> None:
        follow_up = client.follow_up

        def and_ring(message: Any, body: Any) -> None:
            follow_up(message, body)
            if isinstance(body, channel.Ready):
                client.ring(nativeid)

        client.follow_up = and_ring  # type: ignore[method-assign]

    return prepare


@pytest.fixture
async def call(tmp_path: Path) -> list[Record]:
    return await recorded(tmp_path / "wire.jsonl", a_call)


async def test_the_same_client_behaves_as_recorded(call: list[Record]) -> None:
    assert needs_password(call)
    playback = await played(call, rings("leg-1.17"))
    assert playback.differences == []
    assert playback.sent == sum(each.way is Way.TO_CONNECTOR for each in call)
    assert playback.matched == sum(each.way is Way.TO_BRIDGE for each in call)


async def test_another_id_of_the_call_is_followed(call: list[Record]) -> None:
    playback = await played(call, rings("quite-another-id"))
    assert playback.differences == []


async def test_another_dialect_makes_no_difference(call: list[Record]) -> None:
    playback = await played(call, rings("leg-2"), dialect=parse_dialect(renamed_yaml()))
    assert playback.differences == []


async def test_what_differs_is_told(call: list[Record]) -> None:
    def prepare(client: Client) -> None:
        rings("leg-2")(client)
        client.on["interaction.query.init"] = lambda client, message, _body: interaction.InteractionInitReply(
            interaction_state=interaction.InteractionState.ALERTING,
            interaction_data={"ANI": "2002", "VIP": True},
            conversations=_remember(client, message),
        )

    def _remember(client: Client, message: Any) -> interaction.Conversations:
        client.targets["interaction"] = message.target
        return interaction.Conversations(primary=interaction.ConversationRef(id="prime"))

    playback = await played(call, prepare)
    told = " / ".join(playback.differences)
    assert "interaction-data.ANI is 2002, recorded 2001" in told
    assert "interaction-data.VIP is True, recorded nothing" in told
    assert len(playback.differences) == 2
    assert (await played(call, prepare, ignore=frozenset({"ANI", "VIP"}))).differences == []


async def test_a_refusal_is_told(call: list[Record]) -> None:
    def prepare(client: Client) -> None:
        rings("leg-2")(client)
        client.on["interaction.request.complete"] = lambda *_: "Not now."

    playback = await played(call, prepare, deadline=0.3)
    told = " / ".join(playback.differences)
    assert "result is FAILURE, recorded SUCCESS" in told
    assert "errorMessage is Not now., recorded nothing" in told
    assert "interaction.completed" in told


async def test_an_event_too_many_and_one_too_few_are_told(call: list[Record]) -> None:
    def prepare(client: Client) -> None:
        rings("leg-2")(client)
        client.silent_after.add("session.request.close")
        client.on["interaction.request.complete"] = lambda client, *_: client.emit(
            client.targets["channel"], channel.BecameReady()
        )

    playback = await played(call, prepare, deadline=0.3)
    assert len(playback.differences) == 2
    assert "session.closed" in playback.differences[0]
    assert "did not come within 0.3 s" in playback.differences[0]
    assert "channel.ready" in playback.differences[1]
    assert "is not in the recording" in playback.differences[1]


async def test_a_call_that_does_not_come_about_ends_it(call: list[Record]) -> None:
    with pytest.raises(PlaybackError, match=r"needs the call leg-1.17, which has not come about today"):
        await played(call, lambda _client: None, deadline=0.3)


async def test_a_client_that_hangs_up_ends_it(call: list[Record]) -> None:
    playback = Playback(call, deadline=5.0, password="right")
    await playback.start()
    try:
        async with client_at(playback.port) as client:
            reached = asyncio.Event()

            def refuse(*_: Any) -> str:
                reached.set()
                return "No."

            client.on["session.query.init"] = refuse
            playing = asyncio.create_task(playback.play())
            await asyncio.wait_for(reached.wait(), 5.0)
        with pytest.raises(PlaybackError, match="hung up before"):
            await playing
    finally:
        await playback.stop()


async def test_the_service_status_is_reached_whatever_it_was_before(tmp_path: Path) -> None:
    async def slow_start(bridge: ReferenceBridge, client: Client) -> None:
        client.emit("LAB.CONTROL", control.ServerStatusChanged(status=control.ServiceStatus.OUT_OF_SERVICE))
        await bridge.wait_status(control.ServiceStatus.OUT_OF_SERVICE)
        client.emit("LAB.CONTROL", control.ServerStatusChanged(status=control.ServiceStatus.IN_SERVICE))
        await bridge.wait_in_service()

    records = await recorded(tmp_path / "wire.jsonl", slow_start)
    assert (await played(records, lambda _client: None)).differences == []

    def never(client: Client) -> None:
        client.silent_after.add("cti.request.serverstatus")

    told = (await played(records, never, deadline=0.1)).differences
    assert "is None, recorded in-service" in told[0]


async def test_nobody_who_connects_ends_it(call: list[Record]) -> None:
    playback = Playback(call, deadline=0.05)
    await playback.start()
    try:
        with pytest.raises(PlaybackError, match=r"No client connected within 0.05 s"):
            await playback.play()
    finally:
        await playback.stop()


async def test_a_connection_that_was_lost_is_lost_again(tmp_path: Path) -> None:
    async def twice(bridge: ReferenceBridge, _client: Client) -> None:
        await bridge.login("1001", "right")
        await bridge.drop_connections()
        await bridge.wait_in_service()
        await bridge.login("1001", "right")

    records = await recorded(tmp_path / "wire.jsonl", twice)
    assert [each.way for each in records].count(Way.UP) == 2
    playback = await played(records, lambda _client: None)
    assert playback.differences == []


async def test_a_wrong_id_is_as_wrong_today(tmp_path: Path) -> None:
    async def wrong(bridge: ReferenceBridge, client: Client) -> None:
        client.on["channel.request.createinteraction"] = lambda *_: "There is no such call."
        session = await bridge.login("1001", "right")
        body = {"id": "i9", "nativeid": "nobody-knows"}
        reply = await bridge.request(session.channel.target, "channel.request.createinteraction", body)
        assert not reply.ok

    records = await recorded(tmp_path / "wire.jsonl", wrong)

    def prepare(client: Client) -> None:
        client.on["channel.request.createinteraction"] = lambda *_: "There is no such call."

    assert (await played(records, prepare)).differences == []


def test_a_recording_without_a_beginning_cannot_be_played() -> None:
    with pytest.raises(PlaybackError, match="No connection begins"):
        Playback([])


def test_ids_have_one_counterpart_each() -> None:
    ids = Ids()
    assert ids.same("a", "1")
    assert ids.same("a", "1")
    assert not ids.same("a", "2")
    assert not ids.same("b", "1")
    assert ids.same("a-1", "9-1")
    assert ids.in_text("a-1 and a") == "9-1 1nd 1"


def test_lists_of_other_lengths_differ() -> None:
    from connector.bridge.messages import Kind, Message

    then = Message(Kind.EVENT, "x", "t", {"members": [1, 2], "a": {"b": 1}})
    now = Message(Kind.EVENT, "x", "t", {"members": [1], "a": 7})
    assert list(differences(then, now, Ids())) == [
        "members has 1 entries, recorded 2",
        "a is 7, recorded {'b': 1}",
    ]


@pytest.mark.parametrize(
    ("prepare", "options", "said"),
    [
        (lambda _file: None, (), "cannot be read: No such file"),
        (lambda file: file.write_text("x\n"), (), "expected a line of a recording"),
        (lambda file: WireWriter(file).close(), (), "No connection begins in the recording"),
        (lambda _file: None, ("--dialect", "none.yaml"), "cannot be read"),
    ],
)
def test_the_command_tells_a_mistake_in_one_line(
    tmp_path: Path, prepare: Callable[[Path], Any], options: tuple[str, ...], said: str
) -> None:
    file = tmp_path / "wire.jsonl"
    prepare(file)
    result = CliRunner().invoke(app, ["replay", "--bridge", str(file), "--port", "0", *options])
    assert result.exit_code == 2
    assert said in result.stderr
    assert len(result.stderr.splitlines()) == 1


async def test_the_command_needs_the_password_that_is_not_in_the_file(
    tmp_path: Path, call: list[Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CONNECTOR_BRIDGE_PASSWORD", raising=False)
    result = CliRunner().invoke(app, ["replay", "--bridge", str(tmp_path / "wire.jsonl")])
    assert (result.exit_code, len(result.stderr.splitlines())) == (2, 1)
    assert "needs a password" in result.stderr
