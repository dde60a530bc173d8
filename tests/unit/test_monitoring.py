"""Metrics, health pages, and what systemd is told."""

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from scripted_ami import Peer, ScriptedAmi, linked

from connector.asterisk.link import AmiRefused, AmiTimeout
from connector.bridge.codec import Malformed
from connector.bridge.memory import memory_pair
from connector.bridge.messages import Kind, Message, control, event_message, failure, success
from connector.operations.metrics import OTHER, Metrics
from connector.operations.systemd import Systemd
from connector.operations.web import JSON, TEXT, Page, Pages
from connector.operations.wire import MeteredTransport
from connector.telephony.changes import Anomaly


def value(registry: CollectorRegistry, name: str, /, **labels: str) -> float | None:
    return registry.get_sample_value(name, labels)


# -- the bridge's side -----------------------------------------------------------------------------------


class Listener:
    """The connector's own receiver."""

    def __init__(self) -> None:
        self.heard: list[object] = []

    def connected(self) -> None:
        self.heard.append("connected")

    def disconnected(self, reason: str) -> None:
        self.heard.append(reason)

    def received(self, message: Message) -> None:
        self.heard.append(message)

    def malformed(self, problem: Malformed) -> None:
        self.heard.append(problem)


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_requests_are_timed_by_name_and_result_until_their_first_response() -> None:
    metrics, mine, theirs = Metrics(), Listener(), Listener()
    near, far = memory_pair()
    wire = MeteredTransport(near, metrics)
    async with asyncio.TaskGroup() as group:
        group.create_task(wire.run(mine))
        group.create_task(far.run(theirs))
        await settle()
        assert wire.is_connected
        asked = Message(Kind.REQUEST, "cti.request.serverstatus", "LAB.CONTROL", request_id="1")
        strange = Message(Kind.REQUEST, "no.such.name", "LAB.CONTROL", request_id="2")
        far.send(asked)
        far.send(strange)
        far.send_raw(b"{")
        await settle()
        assert mine.heard[1:3] == [asked, strange]
        assert wire.unanswered == 2
        wire.send(success(asked, None))
        wire.send(success(asked, None))
        wire.send(failure(strange, "no"))
        assert wire.unanswered == 0
        far.send(Message(Kind.QUERY, "cti.query.capabilities", "LAB.CONTROL", request_id="3"))
        await settle()
        assert wire.unanswered == 1
        await far.close()
        await settle()
        assert wire.unanswered == 0
        await wire.close()
    registry = metrics.registry
    count = "connector_request_seconds_count"
    assert value(registry, count, name="cti.request.serverstatus", result="SUCCESS") == 1
    assert value(registry, count, name=OTHER, result="FAILURE") == 1
    assert value(registry, "connector_bridge_messages_total", direction="in", kind="cti.request") == 2
    assert value(registry, "connector_bridge_messages_total", direction="out", kind="cti.response") == 3
    assert value(registry, "connector_bridge_malformed_total") == 1
    assert value(registry, "connector_bridge_connections_total") == 1


async def test_only_what_an_event_of_the_pbx_causes_at_once_is_timed_from_it() -> None:
    metrics = Metrics()
    near, _far = memory_pair()
    wire = MeteredTransport(near, metrics)
    news = event_message("LAB.CONTROL", control.ServerStatusChanged(status=control.ServiceStatus.IN_SERVICE))
    count = "connector_event_to_bridge_seconds_count"
    wire.send(news)
    assert value(metrics.registry, count) == 0
    metrics.event("Hangup", time.monotonic() - 3)
    wire.send(news)
    wire.send(news)
    metrics.event_over()
    wire.send(news)
    assert value(metrics.registry, count) == 2
    assert value(metrics.registry, "connector_event_to_bridge_seconds_bucket", le="1.0") == 0


# -- the PBX's side --------------------------------------------------------------------------------------


async def test_actions_are_timed_by_outcome_and_logins_counted() -> None:
    metrics = Metrics()

    async def script(peer: Peer) -> None:
        await peer.log_in()
        await peer.reply(await peer.expect("Redirect"))
        await peer.reply(await peer.expect("Hangup"), "Error", Message="No such channel")
        await peer.expect("Setvar")
        await peer.stall()

    async with ScriptedAmi(script) as ami, linked(ami, meter=metrics) as watched:
        link = watched.link
        assert link.pending == 0
        await link.send("Redirect")
        with pytest.raises(AmiRefused):
            await link.send("Hangup")
        waiting = asyncio.create_task(link.send("Setvar", timeout=0.05))
        await asyncio.sleep(0)
        assert link.pending == 1
        with pytest.raises(AmiTimeout):
            await waiting
        user = link.user
    count = "connector_ami_action_seconds_count"
    outcomes = {"Redirect": "accepted", "Hangup": "refused", "Setvar": "timeout"}
    for action, outcome in outcomes.items():
        assert value(metrics.registry, count, user=user, action=action, outcome=outcome) == 1, action
    assert value(metrics.registry, "connector_ami_logins_total", user=user) == 1


def test_names_that_a_pbx_makes_up_do_not_make_endless_series() -> None:
    metrics = Metrics()
    for number in range(1000):
        metrics.event(f"Event{number}", 0.0)
    assert value(metrics.registry, "connector_ami_events_total", event="Event7") == 1
    assert value(metrics.registry, "connector_ami_events_total", event="Event999") is None
    assert value(metrics.registry, "connector_ami_events_total", event=OTHER) == 700


def test_anomalies_and_resyncs_are_counted() -> None:
    metrics = Metrics()
    metrics.changed(Anomaly("1.1", "odd"))
    metrics.resynced(0.2)
    assert value(metrics.registry, "connector_model_anomalies_total") == 1
    assert value(metrics.registry, "connector_resync_seconds_sum") == pytest.approx(0.2)


# -- the pages -------------------------------------------------------------------------------------------


def broken() -> Page:
    raise RuntimeError("secret inside")


async def asked(port: int, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        return await asyncio.wait_for(reader.read(), 10)
    except ConnectionError:
        return b""
    finally:
        writer.close()


@pytest.fixture
async def port() -> AsyncIterator[int]:
    pages = Pages(
        {
            "/livez": lambda: Page(200, TEXT, b"alive\n"),
            "/readyz": lambda: Page(503, JSON, b"{}"),
            "/metrics": broken,
        }
    )
    await pages.listen("127.0.0.1", 0)
    yield pages.port
    await pages.close()


@pytest.mark.parametrize(
    ("line", "status", "content"),
    [
        (b"GET /livez HTTP/1.1", b"200 OK", b"alive\n"),
        (b"GET /livez?verbose HTTP/1.0", b"200 OK", b"alive\n"),
        (b"HEAD /livez HTTP/1.1", b"200 OK", b""),
        (b"GET /readyz HTTP/1.1", b"503 Service Unavailable", b"{}"),
        (b"GET /metrics HTTP/1.1", b"503 Service Unavailable", b"The log says why this cannot be shown.\n"),
        (b"GET /etc/passwd HTTP/1.1", b"404 Not Found", b"There are /livez, /metrics, /readyz.\n"),
        (b"POST /livez HTTP/1.1", b"405 Method Not Allowed", b"GET and HEAD only.\n"),
        (b"\x16\x03\x01", b"400 Bad Request", b"This is no HTTP request.\n"),
    ],
)
async def test_pages(port: int, line: bytes, status: bytes, content: bytes) -> None:
    head, _, body = (await asked(port, line + b"\r\nHost: x\r\n\r\n")).partition(b"\r\n\r\n")
    assert head.split(b"\r\n")[0] == b"HTTP/1.1 " + status
    assert b"Connection: close" in head
    assert body == content
    assert b"secret" not in head + body


async def test_a_request_that_is_too_long_gets_nothing_and_others_are_served(port: int) -> None:
    assert await asked(port, b"GET / HTTP/1.1\r\nX: " + b"x" * 100_000 + b"\r\n\r\n") == b""
    assert b"alive" in await asked(port, b"GET /livez HTTP/1.1\r\n\r\n")


async def test_connections_are_bounded_and_an_idle_one_blocks_nobody_below_that(port: int) -> None:
    idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(15)]
    assert b"alive" in await asked(port, b"GET /livez HTTP/1.1\r\n\r\n")
    idle.append(await asyncio.open_connection("127.0.0.1", port))
    assert await asked(port, b"GET /livez HTTP/1.1\r\n\r\n") == b""
    for _, writer in idle:
        writer.close()


# -- systemd ---------------------------------------------------------------------------------------------


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(str(tmp_path / "notify"))
        heard.settimeout(5)
        yield heard


def told(manager: socket.socket) -> list[str]:
    return manager.recv(4096).decode().split("\n")


def test_systemd_hears_of_the_start_a_reload_and_the_end(manager: socket.socket) -> None:
    systemd = Systemd({"NOTIFY_SOCKET": manager.getsockname(), "WATCHDOG_USEC": "30000000"})
    assert systemd.watchdog == 10
    systemd.ready()
    assert told(manager) == ["READY=1"]
    systemd.reloading()
    reloading, when = told(manager)
    assert reloading == "RELOADING=1"
    assert when.removeprefix("MONOTONIC_USEC=").isdecimal()
    systemd.status("in-service\nREADY=1")
    assert told(manager) == ["STATUS=in-service READY=1"]
    systemd.status("in-service READY=1")
    systemd.alive()
    assert told(manager) == ["WATCHDOG=1"]
    systemd.stopping()
    assert told(manager) == ["STOPPING=1"]
    systemd.close()


@pytest.mark.parametrize(
    ("environ", "watchdog"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(os.getpid())}, 1.0),
    ],
)
def test_the_watchdog_is_asked_for_by_systemd(
    manager: socket.socket, environ: dict[str, str], watchdog: float | None
) -> None:
    systemd = Systemd({"NOTIFY_SOCKET": manager.getsockname(), **environ})
    assert systemd.watchdog == watchdog
    systemd.close()


def test_without_systemd_nothing_is_told_and_nothing_fails(tmp_path: Path) -> None:
    for address in ("", "relative", "vsock:2:1"):
        systemd = Systemd({"NOTIFY_SOCKET": address})
        systemd.ready()
        systemd.alive()
        systemd.close()
    gone = Systemd({"NOTIFY_SOCKET": str(tmp_path / "nobody"), "WATCHDOG_USEC": "1000000"})
    gone.ready()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as back:
        # It may only have been busy: who gives no sign of life any more is ended by it.
        back.bind(str(tmp_path / "nobody"))
        gone.alive()
        assert told(back) == ["WATCHDOG=1"]
    gone.alive()
    gone.close()
