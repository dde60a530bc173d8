"""The life of the link: up, lost, back; what happens to actions meanwhile; hostile and broken peers; TLS."""

import asyncio
import shutil
import ssl
import subprocess
from pathlib import Path

import pytest
import structlog
from scripted_ami import SECRET, Peer, ScriptedAmi, linked

from connector.asterisk import protocol
from connector.asterisk.link import (
    AmiBusy,
    AmiDown,
    AmiLink,
    AmiRefused,
    AmiSettings,
    AmiTimeout,
    AmiTls,
    AmiTlsProblem,
)
from connector.asterisk.trace import TraceReader, TraceWriter


async def idle(peer: Peer) -> None:
    await peer.log_in()
    await peer.stall()


async def test_up_comes_before_the_first_event_even_in_one_segment() -> None:
    async def script(peer: Peer) -> None:
        await peer.greet()
        await peer.reply(await peer.expect("Challenge"), Challenge="1")
        login = await peer.expect("Login")
        reply = f"Response: Success\r\nActionID: {login['ActionID']}\r\n\r\n"
        await peer.raw(f"{reply}Event: FullyBooted\r\n\r\nEvent: Hangup\r\n\r\n".encode())
        await peer.stall()

    async with ScriptedAmi(script) as ami, linked(ami) as watched:
        await watched.until(lambda seen: len(seen.told) == 3)
        assert watched.told[0] == "up"
        assert [event.name for event in watched.events] == ["FullyBooted", "Hangup"]


async def test_lost_and_back_are_told_once_each() -> None:
    async def leaves(peer: Peer) -> None:
        await peer.log_in()
        await peer.expect("CoreStatus")

    async def refuses(peer: Peer) -> None:
        peer.abort()

    with structlog.testing.capture_logs() as logs:
        async with ScriptedAmi(leaves, refuses, refuses, refuses, idle) as ami, linked(ami) as watched:
            with pytest.raises(AmiDown):
                await watched.link.send("CoreStatus")
            assert not watched.link.up
            await watched.until(lambda seen: seen.changes.count("up") == 2)
            assert watched.changes == ["up", "down: closed by the PBX", "up"]
    told = [entry["event"] for entry in logs if entry["log_level"] in {"info", "warning", "error"}]
    assert told.count("PBX link lost") == 1
    assert told.count("PBX link back") == 1
    assert told.count("the PBX cannot be reached; trying on") <= 2  # one per reason, not per attempt


async def test_an_error_is_a_refusal_with_the_words_of_asterisk() -> None:
    async def script(peer: Peer) -> None:
        await peer.log_in()
        await peer.reply(await peer.expect("Hangup"), "Error", Message="No such channel")
        await peer.reply(await peer.expect("ConfbridgeListRooms"), "Error", Message="No active conferences.")
        await peer.reply(await peer.expect("CoreStatus"), "Error")
        await peer.reply(await peer.expect("QueueStatus"), Message="no list at all")
        await peer.stall()

    async with ScriptedAmi(script) as ami, linked(ami) as watched:
        with pytest.raises(AmiRefused, match=r"^No such channel$") as caught:
            await watched.link.send("Hangup", {"Channel": "u-1"})
        assert (caught.value.action, caught.value.message) == ("Hangup", "No such channel")
        with pytest.raises(AmiRefused, match=r"^No active conferences\.$"):
            await watched.link.send_list("ConfbridgeListRooms")
        with pytest.raises(AmiRefused, match="no reason given"):
            await watched.link.send("CoreStatus")
        with pytest.raises(AmiRefused, match="not a list"):
            await watched.link.send_list("QueueStatus")


async def test_a_list_takes_its_own_items_and_leaves_the_events() -> None:
    async def script(peer: Peer) -> None:
        await peer.log_in()
        one = (await peer.expect("CoreShowChannels"))["ActionID"]
        two = (await peer.expect("QueueStatus"))["ActionID"]
        for action_id in (one, two):
            await peer.send(("Response", "Success"), ("ActionID", action_id), ("EventList", "start"))
        await peer.emit("CoreShowChannel", ActionID=one, N="1")
        await peer.emit("Hangup", N="2")
        await peer.emit("QueueMember", N="3", ActionID=two)
        await peer.emit("OriginateResponse", ActionID="another session's", N="4")
        await peer.emit("CoreShowChannel", ActionID=one, N="5")
        await peer.emit("CoreShowChannelsComplete", ActionID=one, EventList="Complete", ListItems="2")
        await peer.emit("QueueStatusComplete", ActionID=two, EventList="cancelled")
        await peer.stall()

    async with ScriptedAmi(script) as ami, linked(ami) as watched:
        channels, queues = await asyncio.gather(
            watched.link.send_list("CoreShowChannels"),
            watched.link.send_list("QueueStatus"),
            return_exceptions=True,
        )
        assert isinstance(channels, list)
        assert [item["N"] for item in channels] == ["1", "5"]
        assert isinstance(queues, AmiRefused)
        assert [event["N"] for event in watched.events] == ["2", "4"]


async def test_of_a_long_list_only_what_is_wanted_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connector.asterisk.protocol._MOST_LIST_ITEMS", 2)

    async def script(peer: Peer) -> None:
        await peer.log_in()
        for _ in range(2):
            asked = (await peer.expect("DeviceStateList"))["ActionID"]
            await peer.send(("Response", "Success"), ("ActionID", asked), ("EventList", "start"))
            for device in ("room 1", "phone 1", "room 2", "phone 2", "room 3"):
                await peer.emit("DeviceStateChange", ActionID=asked, Device=device)
            await peer.emit("DeviceStateListComplete", ActionID=asked, EventList="Complete")
        await peer.stall()

    async with ScriptedAmi(script) as ami, linked(ami) as watched:
        phones = await watched.link.send_list("DeviceStateList", keep=lambda row: "phone" in row["Device"])
        assert [row["Device"] for row in phones] == ["phone 1", "phone 2"]
        with pytest.raises(AmiRefused, match="more than 2 items"):
            await watched.link.send_list("DeviceStateList")


async def test_down_refuses_at_once_and_close_fails_what_waits() -> None:
    arrived = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.log_in()
        await peer.expect("Originate")
        arrived.set()
        await peer.stall()

    async with ScriptedAmi(script) as ami:
        async with linked(ami) as watched:
            waiting = asyncio.create_task(watched.link.send("Originate", timeout=60))
            await arrived.wait()
            await watched.link.close()
            with pytest.raises(AmiDown, match="Originate: the link was closed"):
                await waiting
            assert watched.changes == ["up", "down: the link was closed"]
            with pytest.raises(AmiDown, match="the link was closed"):
                await watched.link.send("CoreStatus")
        assert len(ami.peers) == 1


async def test_what_waits_is_bounded() -> None:
    async with ScriptedAmi(idle) as ami, linked(ami, max_pending=3) as watched:
        waiting = [asyncio.create_task(watched.link.send("Originate", timeout=0.2)) for _ in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(AmiBusy, match="too many actions"):
            await watched.link.send("Originate")
        assert {type(one) for one in await asyncio.gather(*waiting, return_exceptions=True)} == {AmiTimeout}
        # Who gave up or ran out of time makes room again.
        gone = asyncio.create_task(watched.link.send("Originate"))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.wait((gone,))
        assert gone.cancelled()
        with pytest.raises(AmiTimeout) as caught:
            await watched.link.send("Originate", timeout=0.01)
        assert not isinstance(caught.value, AmiBusy)


async def test_a_talking_peer_survives_one_missed_ping_but_not_two() -> None:
    async def misses(peer: Peer) -> None:
        await peer.log_in()
        await peer.expect("Ping")
        await peer.emit("Newstate", N="1")
        await peer.reply(await peer.expect("Ping"), Ping="Pong")
        for n in "23":
            await peer.expect("Ping")
            await peer.emit("Newstate", N=n)
        peer.answer_pings = False
        await peer.stall()

    async with (
        ScriptedAmi(misses, idle) as ami,
        linked(ami, ping_interval=0.05, ping_timeout=0.1) as watched,
    ):
        await watched.until(lambda seen: "down: no answer to a ping within 0.1 s" in seen.changes)
        assert [event["N"] for event in watched.events] == ["1", "2", "3"]


@pytest.mark.parametrize(
    ("noise", "reason"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "no Asterisk manager interface"),
        (b"", "no connection and login within 0.2 s"),
        (b"Asterisk Call Manager/11.0.0\r\n", "no connection and login within 0.2 s"),
    ],
)
async def test_a_peer_that_is_not_what_it_should_be(noise: bytes, reason: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.raw(noise)
        await peer.stall()

    async with ScriptedAmi(script, idle) as ami, linked(ami, up=False, connect_timeout=0.2) as watched:
        await ami.wait_connections(1)
        with pytest.raises(AmiDown, match="not connected yet"):
            await watched.link.send("CoreStatus")
        with structlog.testing.capture_logs() as logs:
            await watched.link.wait_up(5)
    assert reason in str(logs)


async def test_garbage_costs_only_itself_but_a_message_without_end_costs_the_connection() -> None:
    async def script(peer: Peer) -> None:
        await peer.log_in()
        await peer.raw(b"nonsense\r\n\r\n\r\n\r\n\0\xff\r\n\r\nEvent: Hangup\r\nN: 1\r\n\r\n")
        await peer.raw(b"Response: Success\r\nActionID: never asked\r\n\r\nEvent: Hangup\r\nN: 2\r\n\r\n")
        await peer.expect("CoreStatus")
        await peer.raw(b"Event: " + b"x" * (1 << 21))

    async with ScriptedAmi(script, idle) as ami, linked(ami) as watched:
        await watched.until(lambda seen: len(seen.events) == 2)
        assert watched.changes == ["up"]
        with pytest.raises(AmiDown, match="a message of more than 1048576 bytes"):
            await watched.link.send("CoreStatus")
        await watched.until(lambda seen: seen.changes.count("up") == 2)


async def test_events_before_the_login_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "_MOST_EARLY_EVENTS", 10)

    async def floods(peer: Peer) -> None:
        await peer.greet()
        await peer.raw(b"Event: E\r\n\r\n" * 11)
        await peer.stall()

    with structlog.testing.capture_logs() as logs:
        async with ScriptedAmi(floods, idle) as ami, linked(ami) as watched:
            assert watched.events == []
    assert "too many events before the login" in str(logs)


async def test_faulty_callbacks_do_not_stop_the_link() -> None:
    def fails(*_args: object) -> None:
        raise ZeroDivisionError

    async with ScriptedAmi(idle) as ami:
        settings = AmiSettings("127.0.0.1", ami.port, "harmony", SECRET)
        link = AmiLink(settings, on_event=fails, on_up=fails, on_down=fails, tap=fails)
        with structlog.testing.capture_logs() as logs:
            running = asyncio.create_task(link.run())
            await link.wait_up(5)
            with pytest.raises(RuntimeError, match="runs already"):
                await link.run()
            await link.close()
            await running
    assert [entry["event"] for entry in logs if entry["log_level"] == "error"] == [
        "the recorder of the AMI link failed; recording stops",
        "a callback of the PBX link failed",
        "a callback of the PBX link failed",
    ]


async def test_cancelling_run_tears_the_connection_down() -> None:
    gone = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.log_in()
        try:
            await peer.stall()
        finally:
            gone.set()

    async with ScriptedAmi(script) as ami:
        link = AmiLink(AmiSettings("127.0.0.1", ami.port, "harmony", SECRET), on_event=lambda _event: None)
        running = asyncio.create_task(link.run())
        await link.wait_up(5)
        running.cancel()
        await asyncio.wait((running,))
        assert running.cancelled()
        assert not link.up
        async with asyncio.timeout(5):
            await gone.wait()
        await link.close()


async def test_a_recording_of_a_session_holds_no_secret(tmp_path: Path) -> None:
    async def script(peer: Peer) -> None:
        await peer.log_in()
        await peer.emit("Hangup", Uniqueid="u-1")
        await peer.stall()

    path = tmp_path / "session.txt.gz"
    for login in ("md5", "plain"):
        with TraceWriter(path) as tap:
            async with ScriptedAmi(script) as ami, linked(ami, tap=tap, login=login) as watched:
                await watched.until(lambda seen: bool(seen.events))
                key = ami.peers[0].received[-1].get("Key")
        records = list(TraceReader(path))
        names = [
            way + (message.name or message.get("Action") or message.response) for way, _, message in records
        ]
        assert names[-4:] == ["<<<Success", "<<<Hangup", ">>>Logoff", "<<<Goodbye"]
        text = str([list(message) for _, _, message in records])
        assert "'Username', 'harmony'" in text
        assert SECRET not in text
        assert key is None or key not in text


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("the program openssl is needed to make a certificate for the TLS tests")
    folder = tmp_path_factory.mktemp("tls")
    command = [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-keyout", "key.pem", "-out", "cert.pem", "-days", "2", "-subj", "/CN=pbx.test"]
    command += ["-addext", "subjectAltName=DNS:pbx.test"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return folder


def serving(certificate: Path, *, client: bool = False) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    if client:
        context.load_verify_locations(certificate / "cert.pem")
        context.verify_mode = ssl.CERT_REQUIRED
    return context


async def test_tls_with_the_right_name(certificate: Path) -> None:
    tls = AmiTls(ca_file=certificate / "cert.pem", server_name="pbx.test")
    async with ScriptedAmi(idle, tls=serving(certificate)) as ami, linked(ami, tls=tls) as watched:
        assert watched.link.up


async def test_tls_with_a_certificate_of_our_own(certificate: Path) -> None:
    ca, key = certificate / "cert.pem", certificate / "key.pem"
    tls = AmiTls(ca_file=ca, server_name="pbx.test", cert_file=ca, key_file=key)
    async with (
        ScriptedAmi(idle, tls=serving(certificate, client=True)) as ami,
        linked(ami, tls=tls) as watched,
    ):
        assert watched.link.up


async def test_tls_without_verification(certificate: Path) -> None:
    async with (
        ScriptedAmi(idle, tls=serving(certificate)) as ami,
        linked(ami, tls=AmiTls(verify=False)) as watched,
    ):
        assert watched.link.up


@pytest.mark.parametrize("trusted", [True, False])
async def test_tls_refuses_a_wrong_name_and_an_unknown_authority(certificate: Path, *, trusted: bool) -> None:
    tls = AmiTls(ca_file=certificate / "cert.pem") if trusted else AmiTls(server_name="pbx.test")
    attempts: asyncio.Queue[str | None] = asyncio.Queue()
    context = serving(certificate)
    context.sni_callback = lambda _socket, name, _context: attempts.put_nowait(name)
    async with ScriptedAmi(idle, tls=context) as ami, linked(ami, tls=tls, up=False) as watched:
        async with asyncio.timeout(5):
            await attempts.get()
            await attempts.get()  # the first has failed, then
        with pytest.raises(AmiDown, match="certificate verify failed"):
            await watched.link.send("CoreStatus")
        assert ami.peers == []


def test_tls_files_are_checked_before_anything_starts(tmp_path: Path) -> None:
    (tmp_path / "junk.pem").write_text("junk")
    for tls, setting in (
        (AmiTls(ca_file=tmp_path / "none.pem"), "tls.ca_file"),
        (AmiTls(ca_file=tmp_path / "junk.pem"), "tls.ca_file"),
        (AmiTls(cert_file=tmp_path / "junk.pem"), "tls.cert_file"),
    ):
        with pytest.raises(AmiTlsProblem, match=setting):
            AmiLink(AmiSettings("127.0.0.1", 1, "u", "s", tls=tls), on_event=lambda _event: None)


def test_settings_never_show_the_secret() -> None:
    assert SECRET not in repr(AmiSettings("127.0.0.1", 5038, "harmony", SECRET))
