"""The TCP transport against a real loopback listener."""

import asyncio
import socket
import ssl
import struct
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import structlog

from connector.bridge.codec import Malformed, encode_frame
from connector.bridge.messages import (
    Message,
    Result,
    channel,
    control,
    event_message,
    request_message,
    success,
)
from connector.bridge.reconnecting import Pauses
from connector.bridge.stream import FramedConnection
from connector.bridge.tcp import TcpSettings, TcpTransport, TlsClient

DEADLINE = 5.0


@dataclass
class Ear:
    """A receiver that remembers, and lets a test wait for what it remembers."""

    seen: list[object] = field(default_factory=list)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    on_message: Callable[[Message], None] | None = None
    on_connected: Callable[[], object] | None = None

    def connected(self) -> None:
        self._note("connected")
        if self.on_connected is not None:
            self.on_connected()

    def disconnected(self, reason: str) -> None:
        self._note(f"disconnected: {reason}")

    def received(self, message: Message) -> None:
        self._note(message)
        if self.on_message is not None:
            self.on_message(message)

    def malformed(self, problem: Malformed) -> None:
        self._note(problem)

    def _note(self, thing: object) -> None:
        self.seen.append(thing)
        asyncio.get_running_loop().create_task(self._wake())

    async def _wake(self) -> None:
        async with self.changed:
            self.changed.notify_all()

    async def until(self, ready: Callable[[list[object]], bool]) -> None:
        async with asyncio.timeout(DEADLINE), self.changed:
            await self.changed.wait_for(lambda: ready(self.seen))

    def messages(self) -> list[Message]:
        return [each for each in self.seen if isinstance(each, Message)]

    def problems(self) -> list[Malformed]:
        return [each for each in self.seen if isinstance(each, Malformed)]


class Listener:
    """The bridge's end of the wire, without any manners of its own."""

    def __init__(self) -> None:
        self.connections: list[FramedConnection] = []
        self.ear = Ear()
        self.port = 0

    def make(self) -> FramedConnection:
        connection = FramedConnection()
        connection.receiver = self.ear
        self.connections.append(connection)
        return connection

    @property
    def last(self) -> FramedConnection:
        return self.connections[-1]


@asynccontextmanager
async def listening(context: ssl.SSLContext | None = None, port: int = 0) -> AsyncIterator[Listener]:
    listener = Listener()
    server = await asyncio.get_running_loop().create_server(listener.make, "127.0.0.1", port, ssl=context)
    listener.port = server.sockets[0].getsockname()[1]
    try:
        yield listener
    finally:
        server.close()
        for connection in listener.connections:
            connection.abort("test over")


@asynccontextmanager
async def running(transport: TcpTransport, ear: Ear) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(transport.run(ear))
    try:
        yield task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def quick(port: int, **more: object) -> TcpSettings:
    return TcpSettings("127.0.0.1", port, reconnect_initial=0.01, reconnect_max=0.05, **more)  # type: ignore[arg-type]


async def test_messages_go_both_ways_in_order() -> None:
    async with listening() as bridge:
        ear = Ear()
        transport = TcpTransport(quick(bridge.port))
        ear.on_message = lambda message: transport.send(success(message))
        async with running(transport, ear):
            await ear.until(lambda seen: "connected" in seen)
            assert transport.is_connected
            for number in range(50):
                bridge.last.send(request_message("LAB.CONTROL", control.ServerStatus(), str(number)))
            await bridge.ear.until(lambda seen: len([m for m in seen if isinstance(m, Message)]) == 50)
    answers = bridge.ear.messages()
    assert [each.request_id for each in answers] == [str(number) for number in range(50)]
    assert {each.result for each in answers} == {Result.SUCCESS}


async def test_keep_alive_finds_a_peer_that_fell_silent_on_either_side() -> None:
    async with listening() as bridge:
        ear = Ear()
        transport = TcpTransport(quick(bridge.port))
        async with running(transport, ear):
            await bridge.ear.until(lambda seen: "connected" in seen)
            await ear.until(lambda seen: "connected" in seen)
            for connection in (bridge.last, transport._connection):
                assert connection is not None
                assert connection._transport is not None
                wire: socket.socket = connection._transport.get_extra_info("socket")
                assert wire.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
                idle, pause, tries = (
                    wire.getsockopt(socket.IPPROTO_TCP, option)
                    for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
                )
                assert idle + pause * tries == 60
                assert wire.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 60_000


async def test_reconnects_and_says_lost_and_back_once() -> None:
    with structlog.testing.capture_logs() as logs:
        async with listening() as bridge:
            port = bridge.port
            ear = Ear()
            transport = TcpTransport(quick(port))
            task = asyncio.create_task(transport.run(ear))
            await ear.until(lambda seen: "connected" in seen)
            bridge.last.send(request_message("P.CONTROL", control.ServerStatus(), "1"))
            await ear.until(lambda _seen: bool(ear.messages()))
        # The listener is gone: several attempts fail before the next one is there.
        await ear.until(lambda seen: any(str(each).startswith("disconnected") for each in seen))
        transport.send(event_message("s", channel.BecameReady()))
        async with listening(port=port):
            await ear.until(lambda seen: seen.count("connected") == 2)
            await transport.close()
            await task
    said = [each["event"] for each in logs]
    assert said == ["bridge connected", "bridge lost", "bridge back"]
    assert logs[-1]["dropped"] == 1


async def test_who_hangs_up_without_a_word_is_lost_once_and_back_when_it_speaks() -> None:
    ear, times = Ear(), 4
    with structlog.testing.capture_logs() as logs:
        async with listening() as bridge:
            bridge.ear.on_connected = lambda: len(bridge.connections) <= times and bridge.last.abort("no")
            transport = TcpTransport(quick(bridge.port))
            async with running(transport, ear):
                await ear.until(lambda seen: seen.count("connected") == times + 1)
                assert [each["event"] for each in logs] == ["bridge connected", "bridge lost"]
                bridge.last.send(request_message("P.CONTROL", control.ServerStatus(), "1"))
                bridge.last.send(request_message("P.CONTROL", control.ServerStatus(), "2"))
                await ear.until(lambda _seen: len(ear.messages()) == 2)
    assert [each["event"] for each in logs] == ["bridge connected", "bridge lost", "bridge back"]


async def test_who_greets_but_is_no_bridge_is_lost_once_and_tried_ever_more_slowly(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun_anew: list[Pauses] = []
    monkeypatch.setattr(Pauses, "begin_anew", begun_anew.append)
    ear, times = Ear(), 4
    with structlog.testing.capture_logs() as logs:
        async with listening() as bridge:
            bridge.ear.on_connected = lambda: bridge.last.send_raw(b"SSH-2.0-OpenSSH_9.2p1\r\n")
            transport = TcpTransport(quick(bridge.port))
            async with running(transport, ear):
                await ear.until(lambda seen: seen.count("connected") == times)
    assert [each["event"] for each in logs] == ["bridge connected", "bridge lost"]
    assert begun_anew == []


async def test_close_flushes_and_ends_run() -> None:
    async with listening() as bridge:
        ear = Ear()
        transport = TcpTransport(quick(bridge.port))
        async with running(transport, ear) as task:
            await ear.until(lambda seen: "connected" in seen)
            for _ in range(200):
                transport.send(event_message("s.1", channel.BecameNotReady(reason="x" * 1000)))
            await transport.close()
            await asyncio.wait_for(task, DEADLINE)
        await bridge.ear.until(lambda seen: len(seen) >= 202)
    assert len(bridge.ear.messages()) == 200


async def test_cancelling_ends_the_connection() -> None:
    async with listening() as bridge:
        ear = Ear()
        transport = TcpTransport(quick(bridge.port))
        async with running(transport, ear):
            await ear.until(lambda seen: "connected" in seen)
        await ear.until(lambda seen: any(str(each).startswith("disconnected") for each in seen))
        assert not transport.is_connected


async def test_an_oversized_frame_is_skipped_and_the_stream_goes_on() -> None:
    async with listening() as bridge:
        ear = Ear()
        transport = TcpTransport(quick(bridge.port, max_frame=2000))
        async with running(transport, ear):
            await ear.until(lambda seen: "connected" in seen)
            bridge.last.send_raw(struct.pack(">I", 60_000))
            for _ in range(60):
                bridge.last.send_raw(b"x" * 1000)
            bridge.last.send(request_message("LAB.CONTROL", control.ServerStatus(), "after"))
            await ear.until(lambda seen: any(isinstance(each, Message) for each in seen))
    assert [each.reason for each in ear.problems()] == [
        "A frame of 60000 bytes came, at most 2000 are allowed."
    ]
    assert [each.request_id for each in ear.messages()] == ["after"]


async def test_a_stream_that_is_none_is_given_up() -> None:
    async with listening() as bridge:
        ear = Ear()
        transport = TcpTransport(quick(bridge.port, max_frame=2000))
        async with running(transport, ear):
            await ear.until(lambda seen: "connected" in seen)
            bridge.last.send_raw(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            await ear.until(lambda seen: "disconnected: the stream is out of step" in seen)
            await ear.until(lambda seen: seen.count("connected") == 2)
    assert "no stream of frames" in ear.problems()[0].reason


async def test_broken_json_is_reported_and_survived() -> None:
    async with listening() as bridge:
        ear = Ear()
        transport = TcpTransport(quick(bridge.port))
        async with running(transport, ear):
            await ear.until(lambda seen: "connected" in seen)
            bridge.last.send_raw(struct.pack(">I", 3) + b"{a}")
            bridge.last.send_raw(encode_frame(request_message("LAB.CONTROL", control.ServerStatus(), "1")))
            await ear.until(lambda seen: any(isinstance(each, Message) for each in seen))
    assert len(ear.problems()) == 1


async def test_a_receiver_that_fails_costs_one_message_only() -> None:
    def explode(message: Message) -> None:
        if message.request_id == "1":
            raise RuntimeError("boom")

    async with listening() as bridge:
        ear = Ear(on_message=explode)
        transport = TcpTransport(quick(bridge.port))
        async with running(transport, ear):
            await ear.until(lambda seen: "connected" in seen)
            bridge.last.send(request_message("LAB.CONTROL", control.ServerStatus(), "1"))
            bridge.last.send(request_message("LAB.CONTROL", control.ServerStatus(), "2"))
            await ear.until(lambda seen: len([m for m in seen if isinstance(m, Message)]) == 2)


async def test_a_peer_that_does_not_read_costs_the_connection_not_our_memory() -> None:
    reader_ready = asyncio.Event()
    writers: list[asyncio.StreamWriter] = []

    async def deaf(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        reader_ready.set()

    server = await asyncio.start_server(deaf, "127.0.0.1", 0)
    ear = Ear()
    transport = TcpTransport(quick(server.sockets[0].getsockname()[1], send_queue=100))
    big = event_message("s.1", channel.BecameNotReady(reason="x" * 100_000))
    async with running(transport, ear):
        await ear.until(lambda seen: "connected" in seen)
        await reader_ready.wait()
        assert await transport.drain(1.0)
        sent = 0
        while transport.is_connected and sent < 1000:
            transport.send(big)
            sent += 1
            if sent == 110:
                assert not await transport.drain(0.05), "everything fits into the network: a weak test"
        await ear.until(
            lambda seen: "disconnected: more than 100 messages waited for a peer that does not read" in seen
        )
    server.close()
    for writer in writers:
        writer.close()
    assert sent < 1000


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        (
            "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes "
            f"-keyout {key} -out {cert} -days 2 -subj /CN=bridge.test -addext subjectAltName=DNS:bridge.test"
        ).split(),
        check=True,
        capture_output=True,
    )
    return cert, key


async def test_tls_carries_messages_and_much_data(certificate: tuple[Path, Path]) -> None:
    cert, key = certificate
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    async with listening(context) as bridge:
        ear = Ear()
        tls = TlsClient(ca_file=str(cert), server_name="bridge.test")
        transport = TcpTransport(quick(bridge.port, tls=tls))
        async with running(transport, ear):
            await ear.until(lambda seen: "connected" in seen)
            for number in range(300):
                transport.send(event_message(f"s.{number}", channel.BecameNotReady(reason="x" * 20_000)))
            assert await transport.drain(DEADLINE)
            await bridge.ear.until(lambda seen: len([m for m in seen if isinstance(m, Message)]) == 300)
    assert [each.target for each in bridge.ear.messages()] == [f"s.{number}" for number in range(300)]


@pytest.mark.parametrize("own", [True, False], ids=["with a certificate", "without one"])
async def test_a_bridge_may_ask_for_our_certificate(certificate: tuple[Path, Path], *, own: bool) -> None:
    cert, key = certificate
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    context.load_verify_locations(cert)
    context.verify_mode = ssl.CERT_REQUIRED
    tls = TlsClient(ca_file=str(cert), server_name="bridge.test")
    if own:
        tls = replace(tls, cert_file=str(cert), key_file=str(key))
    ear = Ear()
    async with listening(context) as bridge:
        transport = TcpTransport(quick(bridge.port, tls=tls))
        async with running(transport, ear):
            if own:
                await ear.until(lambda seen: "connected" in seen)
                transport.send(event_message("s.1", channel.BecameReady()))
                await bridge.ear.until(lambda _seen: bool(bridge.ear.messages()))
            else:
                # With TLS 1.3 the client hears of it when it has finished its own part.
                await ear.until(lambda seen: len(seen) >= 4)
    assert bool(bridge.ear.seen) is own
    assert [each.target for each in bridge.ear.messages()] == (["s.1"] if own else [])


class LogEar:
    """Stands in for a logger and lets a test wait for its first warning."""

    def __init__(self) -> None:
        self.said: asyncio.Future[dict[str, object]] = asyncio.get_running_loop().create_future()

    def warning(self, event: str, **values: object) -> None:
        if not self.said.done():
            self.said.set_result({"event": event, **values})


@pytest.mark.parametrize("trusted", [True, False], ids=["wrong name", "unknown authority"])
async def test_tls_refuses_a_peer_that_it_cannot_trust(
    certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, *, trusted: bool
) -> None:
    cert, key = certificate
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    tls = TlsClient(ca_file=str(cert)) if trusted else TlsClient(server_name="bridge.test")
    logger = LogEar()
    monkeypatch.setattr("connector.bridge.tcp.log", logger)
    async with listening(context) as bridge:
        ear = Ear()
        async with running(TcpTransport(quick(bridge.port, tls=tls)), ear):
            said = await asyncio.wait_for(logger.said, DEADLINE)
    assert said["event"] == "bridge not reachable"
    assert "certificate verify failed" in str(said["reason"])
    assert ear.seen == []
