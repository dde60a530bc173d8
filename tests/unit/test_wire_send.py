"""Sending by hand: where a word leads, what a body becomes, what is shown, and the local socket."""

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from processor_client import Client
from typer.testing import CliRunner

from connector.bridge.memory import memory_pair
from connector.cli import app
from connector.processor.control_socket import ControlError, ControlSocket, order_at
from connector.processor.sending import CannotSend, Order, body_of, check_name, resolve, resolve_word, send
from connector.processor.server import ReferenceBridge


class Bench:
    """A bridge with a client that keeps the rules, and what was shown."""

    def __init__(self, bridge: ReferenceBridge, client: Client) -> None:
        self.bridge = bridge
        self.client = client
        self.shown: list[str] = []

    async def send(self, name: str, target: str, body: dict[str, Any] | None = None, **more: Any) -> bool:
        order = Order(name, target, body or {}, **{"listen": 0.05, "timeout": 2.0, **more})
        return await send(self.bridge, order, self.shown.append)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    near, far = memory_pair()
    client = Client(near.send)
    bridge = ReferenceBridge(strict=False)
    await bridge.start()
    bridge.attach(far)
    running = asyncio.create_task(near.run(client))
    await bridge.wait_in_service()
    yield Bench(bridge, client)
    await near.close()
    await running
    await bridge.stop()


@pytest.fixture
async def session(bench: Bench) -> Any:
    return await bench.bridge.login("1001", "right")


def test_a_body_is_made_of_words_and_json() -> None:
    body = body_of(["destination=2001", "a:=[1, true]", "empty=", "b=x=y"], '{"destination": "1", "c": null}')
    assert body == {"destination": "2001", "a": [1, True], "empty": "", "b": "x=y", "c": None}
    assert body_of([]) == {}


@pytest.mark.parametrize(
    ("words", "json", "said"),
    [
        (["geheim"], "", "Expected key=text or key:=JSON"),
        (["=geheim"], "", "Expected key=text or key:=JSON"),
        ([":=1"], "", "Expected key=text or key:=JSON"),
        (["a:=geheim"], "", "a: this is not JSON."),
        ([], "{geheim", "--json: this is not JSON."),
        ([], '["geheim"]', "--json must be an object."),
    ],
)
def test_a_body_that_cannot_be_read_is_told_without_quoting_it(
    words: list[str], json: str, said: str
) -> None:
    with pytest.raises(CannotSend) as told:
        body_of(words, json)
    assert said in str(told.value)
    assert "geheim" not in str(told.value)


def test_names_are_checked_before_anything_is_sent() -> None:
    assert check_name("channel.request.dial") == ""
    assert check_name("channel.request.dail").endswith("did you mean channel.request.dial?")
    with pytest.raises(CannotSend, match="is an event"):
        check_name("channel.ready")
    assert resolve_word("primary@1001") == ("primary", "1001")
    assert resolve_word("LAB.SESSION.a@b") == ("LAB.SESSION.a@b", "")
    with pytest.raises(CannotSend, match="did you mean channel"):
        resolve_word("chanel")
    with pytest.raises(CannotSend, match="give an address"):
        resolve_word("xyzzy")


async def test_words_lead_to_what_is_there(bench: Bench, session: Any) -> None:
    bridge = bench.bridge
    assert resolve(bridge, "control") == "LAB.CONTROL"
    assert resolve(bridge, "session") == resolve(bridge, "session@1001") == session.target
    assert resolve(bridge, "group") == session.group.target
    assert resolve(bridge, "channel") == session.channel.target
    assert resolve(bridge, "any.address") == "any.address"
    with pytest.raises(CannotSend, match="Agent 1009 has no session"):
        resolve(bridge, "channel@1009")
    with pytest.raises(CannotSend, match="has no interaction"):
        resolve(bridge, "interaction")
    await session.channel.activate()
    bench.client.ring("leg-1")
    call = await session.channel.next_interaction()
    assert resolve(bridge, "interaction") == call.target
    assert resolve(bridge, "primary") == call.primary.target
    with pytest.raises(CannotSend, match="has no consult conversation"):
        resolve(bridge, "consult")


async def test_nobody_logged_in_is_told(bench: Bench) -> None:
    with pytest.raises(CannotSend, match="log an agent in"):
        await bench.send("channel.request.ready", "channel")


async def test_request_answer_and_events_are_shown(bench: Bench, session: Any) -> None:
    assert await bench.send("channel.request.activate", "channel")
    assert ["→ request" in bench.shown[0], "← response" in bench.shown[1]] == [True, True]
    assert "channel.activated" in bench.shown[2]
    assert "channel.notready" in bench.shown[3]
    assert len(bench.shown) == 4
    assert bench.bridge.listeners == set()


async def test_a_failure_is_shown_and_is_no_success(bench: Bench) -> None:
    guess = {"agentId": "1", "agentPassword": "geheim", "sessionId": "s", "destination": "LAB.S"}
    assert not await bench.send("cti.request.createsession", "control", guess)
    assert "Agent id or password is wrong." in bench.shown[-1]
    assert "geheim" not in "".join(bench.shown)


async def test_an_unknown_name_is_sent_with_a_note(bench: Bench) -> None:
    assert not await bench.send("channel.request.dail", "control")
    assert (
        bench.shown[0]
        == "note: channel.request.dail is not in the catalogue; did you mean channel.request.dial?"
    )
    assert "FAILURE" in bench.shown[2]


async def test_no_answer_is_told(bench: Bench) -> None:
    bench.client.mute.add("cti.query.capabilities")
    assert not await bench.send("cti.query.capabilities", "control", timeout=0.05)
    assert bench.shown[-1] == "No answer within 0.05 s."


async def test_a_broken_rule_is_shown(bench: Bench) -> None:
    bench.client.silent_after.add("cti.request.serverstatus")
    bench.client.on["cti.request.serverstatus"] = lambda client, message, _body: client.send(message)
    assert await bench.send("cti.request.serverstatus", "control")
    assert any(each.startswith("BROKEN RULE: ") for each in bench.shown)


async def test_orders_come_through_the_socket(bench: Bench, session: Any, tmp_path: Path) -> None:
    path = tmp_path / "control"
    door = ControlSocket(bench.bridge, path)
    await door.start()
    assert path.stat().st_mode & 0o777 == 0o600
    shown: list[str] = []
    assert await order_at(path, Order("channel.request.activate", "channel", {}, 0.05), shown.append)
    assert "channel.notready" in shown[-1]
    assert not await order_at(path, Order("channel.request.fly", "channel", {}, 0.0), shown.append)
    with pytest.raises(CannotSend, match="has no interaction"):
        await order_at(path, Order("interaction.query.init", "interaction"), shown.append)
    for junk in (b"no json\n", b'{"name": 1}\n', b"\n"):
        reader, writer = await asyncio.open_unix_connection(str(path))
        writer.write(junk)
        assert b"This is no order." in await reader.readline()
        writer.close()
    with pytest.raises(ControlError, match="another bridge listens there"):
        await ControlSocket(bench.bridge, path).start()
    await door.stop()
    assert not path.exists()
    with pytest.raises(ControlError, match="no bridge listens at"):
        await order_at(path, Order("x", "control"), shown.append)


async def test_a_dead_socket_is_replaced_and_a_file_is_not(bench: Bench, tmp_path: Path) -> None:
    dead = tmp_path / "dead"
    with socket.socket(socket.AF_UNIX) as gone:
        gone.bind(str(dead))
    door = ControlSocket(bench.bridge, dead)
    await door.start()
    await door.stop()
    file = tmp_path / "file"
    file.write_text("mine")
    with pytest.raises(ControlError, match="there is something else already"):
        await ControlSocket(bench.bridge, file).start()
    assert file.read_text() == "mine"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("channel.ready", "channel"), "is an event"),
        (("channel.request.dial", "chanel"), "did you mean channel?"),
        (("channel.request.dial", "channel", "geheim"), "Expected key=text"),
        (("channel.request.dial", "channel", "--login", "1001"), "--login needs a password"),
        (("cti.request.serverstatus", "control", "--control", "/none"), "no bridge listens at /none"),
        (("cti.request.serverstatus", "control", "--dialect", "/none.yaml"), "cannot be read"),
    ],
)
def test_the_command_tells_a_mistake_in_one_line(
    arguments: tuple[str, ...], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from connector.cli import _mount

    monkeypatch.delenv("CONNECTOR_BRIDGE_PASSWORD", raising=False)
    if not any(each.name == "send" for each in app.registered_commands):
        _mount()
    result = CliRunner().invoke(app, ["send", *arguments])
    assert result.exit_code == 2
    assert said in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert "geheim" not in result.stderr


def test_the_dialect_commands(tmp_path: Path) -> None:
    from connector.processor.dialect_commands import app as dialect_app

    run = CliRunner().invoke
    template = run(dialect_app, ["template"]).stdout
    file = tmp_path / "dialect.yaml"
    file.write_text(template)
    assert run(dialect_app, ["check", str(file)]).stdout.endswith(
        "right; 0 words differ from the catalogue's.\n"
    )
    # With every # taken off it says the same in full.
    file.write_text(
        "".join(f"{line.removeprefix('#')}\n" for line in template.splitlines() if line[:2] != "# ")
    )
    assert run(dialect_app, ["check", str(file)]).stdout.endswith(
        "right; 0 words differ from the catalogue's.\n"
    )
    file.write_text("names: {channel.ready: up}\nkeys: {tones: digits}\n")
    assert run(dialect_app, ["show", str(file)]).stdout.splitlines() == [
        "channel.ready -> up",
        "conversation.request.senddtmf body: tones -> digits",
    ]
    file.write_text("keys: {tone: x}\n")
    wrong = run(dialect_app, ["check", str(file)])
    assert (wrong.exit_code, len(wrong.stderr.splitlines())) == (2, 1)
    assert "did you mean `tones`?" in wrong.stderr
