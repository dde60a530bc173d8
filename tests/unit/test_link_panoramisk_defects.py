"""One test per known defect of panoramisk 1.4, against a scripted server: our link must not have them."""

import asyncio

import pytest
import structlog
from scripted_ami import Peer, ScriptedAmi, linked

from connector.asterisk.link import AmiDown, AmiTimeout
from connector.asterisk.wire import AmiFieldMissing, AmiMessage, AmiValueRejected


async def idle(peer: Peer) -> None:
    await peer.log_in()
    await peer.stall()


async def test_row_1_a_reply_of_queued_to_an_action_without_async_is_an_ordinary_reply() -> None:
    async def script(peer: Peer) -> None:
        await peer.log_in()
        for sentence in ("DTMF successfully queued", "Atxfer successfully queued"):
            await peer.reply(await peer.expect(), Message=sentence)
        await peer.stall()

    async with ScriptedAmi(script) as ami, linked(ami) as watched:
        first = await watched.link.send("PlayDTMF", {"Channel": "u-1", "Digit": "5", "Receive": "true"})
        second = await watched.link.send("Atxfer", {"Channel": "u-1", "Exten": "1002"})
        assert [first.message, second.message] == ["DTMF successfully queued", "Atxfer successfully queued"]
        assert watched.link.up
        assert watched.changes == ["up"]


async def test_row_2_an_action_without_answer_is_never_sent_again() -> None:
    async def breaks(peer: Peer) -> None:
        await peer.log_in()
        await peer.expect("Originate")
        await peer.expect("Redirect")
        peer.abort()

    async def returns(peer: Peer) -> None:
        await peer.log_in()
        await peer.emit("FullyBooted")
        await peer.reply(await peer.expect("CoreStatus"))
        await peer.stall()

    async with ScriptedAmi(breaks, returns) as ami, linked(ami) as watched:
        results = await asyncio.gather(
            watched.link.send("Originate", {"Channel": "PJSIP/1001"}),
            watched.link.send("Redirect", {"Channel": "u-1"}),
            return_exceptions=True,
        )
        assert [type(result) for result in results] == [AmiDown, AmiDown]
        await watched.until(lambda seen: seen.changes.count("up") == 2)
        await watched.link.send("CoreStatus")
        actions = [message["Action"] for message in ami.peers[1].received]
        assert actions == ["Challenge", "Login", "CoreStatus"]


async def test_row_3_every_action_and_every_list_has_a_deadline() -> None:
    late: list[AmiMessage] = []
    go_on = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.log_in()
        late.append(await peer.expect("CoreStatus"))
        late.append(listing := await peer.expect("CoreShowChannels"))
        await peer.reply(listing, EventList="start")
        await peer.emit("CoreShowChannel", ActionID=listing["ActionID"], Uniqueid="u-1")
        await go_on.wait()
        await peer.reply(late[0], Message="too late")
        await peer.emit("CoreShowChannel", ActionID=listing["ActionID"], Uniqueid="u-2")
        await peer.emit("CoreShowChannelsComplete", ActionID=listing["ActionID"], EventList="Complete")
        await peer.emit("Hangup", Uniqueid="u-1")
        await peer.reply(await peer.expect("CoreStatus"), Message="in time")
        await peer.stall()

    async with ScriptedAmi(script) as ami, linked(ami) as watched:
        with pytest.raises(AmiTimeout, match=r"CoreStatus was not answered within 0.05 s"):
            await watched.link.send("CoreStatus", timeout=0.05)
        with pytest.raises(AmiTimeout, match="CoreShowChannels"):
            await watched.link.send_list("CoreShowChannels", timeout=0.05)
        go_on.set()
        assert (await watched.link.send("CoreStatus")).message == "in time"
        # What comes late belongs to nobody, and is no event either.
        assert [event.name for event in watched.events] == ["Hangup"]


async def test_row_4_a_peer_that_no_longer_answers_pings_is_given_up() -> None:
    async def falls_silent(peer: Peer) -> None:
        await peer.log_in()
        peer.answer_pings = False
        await peer.reply(await peer.expect("Ping"), Ping="Pong")
        await peer.expect("Ping")
        await peer.stall()

    async with (
        ScriptedAmi(falls_silent, idle) as ami,
        linked(ami, ping_interval=0.05, ping_timeout=0.1) as watched,
    ):
        await watched.until(lambda seen: seen.changes.count("up") == 2)
        assert watched.changes[:3] == ["up", "down: no answer to a ping within 0.1 s", "up"]


async def test_row_4_what_was_sent_to_a_silent_peer_is_not_delivered_later() -> None:
    resets: list[Peer] = []

    async def falls_silent(peer: Peer) -> None:
        await peer.log_in()
        peer.answer_pings = False
        await peer.expect("Ping")
        try:
            await peer.stall()
        except ConnectionResetError:
            resets.append(peer)

    async with (
        ScriptedAmi(falls_silent, idle) as ami,
        linked(ami, ping_interval=0.05, ping_timeout=0.1) as watched,
    ):
        await watched.until(lambda seen: seen.changes.count("up") == 2)
        assert len(resets) == 1


async def test_row_5_a_refused_login_is_said_once_and_tried_again_ever_more_slowly(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bounds: list[float] = []

    def at_once(low: float, high: float) -> float:
        bounds.append(high)
        return low

    monkeypatch.setattr("connector.asterisk.link.random.uniform", at_once)

    async def refuses(peer: Peer) -> None:
        await peer.greet()
        await peer.reply(await peer.expect("Challenge"), Challenge="1")
        await peer.reply(await peer.expect("Login"), "Error", Message="Authentication failed")

    scripts = [refuses] * 6 + [idle]
    with structlog.testing.capture_logs() as logs:
        async with (
            ScriptedAmi(*scripts) as ami,
            linked(ami, up=False, reconnect_initial=0.5, reconnect_max=6) as watched,
        ):
            with pytest.raises(AmiDown):
                await watched.link.send("CoreStatus")
            await watched.until(lambda seen: "up" in seen.changes)
            assert watched.changes == ["up"]
    errors = [entry for entry in logs if entry["log_level"] == "error"]
    assert len(errors) == 1
    assert "refuses our login" in errors[0]["event"]
    assert errors[0]["reason"] == "Authentication failed"
    assert "correct horse" not in str(logs)
    assert bounds[:6] == [0.5, 1, 2, 4, 6, 6]


async def test_row_6_close_ends_the_wait_for_the_next_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connector.asterisk.link.random.uniform", lambda _low, high: high)

    async def leaves(peer: Peer) -> None:
        await peer.log_in()

    async with ScriptedAmi(leaves) as ami:
        async with linked(ami, up=False, reconnect_initial=3600, reconnect_max=3600) as watched:
            await watched.until(lambda seen: seen.changes == ["up", "down: closed by the PBX"])
            async with asyncio.timeout(5):
                await watched.link.close()
        assert len(ami.peers) == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Channel", "u-1\r\nAction: Originate"),
        ("Channel", "u-1\nApplication: System"),
        ("Channel", "u-1\rX: y"),
        ("Channel", "u-1\0"),
        ("Cha\r\nnnel", "u-1"),
        ("Channel: x", "u-1"),
        ("", "u-1"),
        ("Channel", "7" * 1001),
        ("ActionID", "mine"),
        ("Channel", "half \ud800"),
    ],
)
async def test_row_7_what_could_become_another_header_or_action_is_not_sent(name: str, value: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.log_in()
        await peer.reply(await peer.expect("Hangup", Channel="u-2"))
        await peer.stall()

    async with ScriptedAmi(script) as ami, linked(ami) as watched:
        with pytest.raises(AmiValueRejected) as caught:
            await watched.link.send("Setvar", {name: value})
        assert "u-1" not in str(caught.value)
        await watched.link.send("Hangup", {"Channel": "u-2"})


async def test_row_8_characters_cut_by_segments_arrive_whole() -> None:
    name = "Żółć 📞 名前"

    async def script(peer: Peer) -> None:
        await peer.log_in()
        await peer.split(f"Event: NewCallerid\r\nCallerIDName: {name}\r\nUniqueid: u-1\r\n\r\n".encode())
        await peer.stall()

    async with ScriptedAmi(script) as ami, linked(ami) as watched:
        await watched.until(lambda seen: bool(seen.events))
        assert watched.events[0]["CallerIDName"] == name
        assert watched.events[0]["Uniqueid"] == "u-1"


async def test_row_9_empty_values_are_there_and_missing_headers_are_an_error() -> None:
    async def script(peer: Peer) -> None:
        await peer.log_in()
        await peer.emit("NewCallerid", AccountCode="", CallerIDName="")
        await peer.stall()

    async with ScriptedAmi(script) as ami, linked(ami) as watched:
        await watched.until(lambda seen: bool(seen.events))
        event = watched.events[0]
        assert event["AccountCode"] == ""
        assert event["CallerIDName"] == ""
        with pytest.raises(AmiFieldMissing, match="NewCallerid without header Uniqueid"):
            event["Uniqueid"]


async def test_row_10_a_failing_callback_costs_neither_the_connection_nor_the_next_event() -> None:
    seen: list[str] = []

    def fails(event: AmiMessage) -> None:
        seen.append(event["N"])
        raise ZeroDivisionError(event["N"])

    async def script(peer: Peer) -> None:
        await peer.log_in()
        await peer.raw(b"".join(f"Event: Hangup\r\nN: {n}\r\n\r\n".encode() for n in range(3)))
        await peer.reply(await peer.expect("CoreStatus"))
        await peer.stall()

    with structlog.testing.capture_logs() as logs:
        async with ScriptedAmi(script) as ami, linked(ami, up=False) as watched:
            watched.link._on_event = fails
            await watched.link.wait_up(5)
            await watched.link.send("CoreStatus")
            assert seen == ["0", "1", "2"]
            assert watched.changes == ["up"]
    assert [entry["amievent"] for entry in logs if entry["log_level"] == "error"] == ["Hangup"] * 3


@pytest.mark.parametrize("first", ["event", "reply"])
async def test_row_11_an_event_with_our_action_id_is_an_event(first: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.log_in()
        originate = await peer.expect("Originate")
        action_id = originate["ActionID"]
        event = f"Event: OriginateResponse\r\nActionID: {action_id}\r\nResponse: Failure\r\nReason: 5\r\n\r\n"
        reply = (
            f"Response: Success\r\nActionID: {action_id}\r\nMessage: Originate successfully queued\r\n\r\n"
        )
        await peer.raw((event + reply if first == "event" else reply + event).encode())
        await peer.stall()

    async with ScriptedAmi(script) as ami, linked(ami) as watched:
        reply = await watched.link.send("Originate", {"Channel": "PJSIP/1001", "Async": "true"})
        assert (reply.response, reply.is_response, reply.is_event) == ("Success", True, False)
        await watched.until(lambda seen: bool(seen.events))
        assert [(event.name, event["Reason"]) for event in watched.events] == [("OriginateResponse", "5")]


@pytest.mark.parametrize("login", ["md5", "plain"])
async def test_row_12_the_secret_is_proven_by_challenge_unless_plain_is_asked_for(login: str) -> None:
    async with ScriptedAmi(idle) as ami, linked(ami, login=login):
        sent = ami.peers[0].received
    first = ["Challenge", "Login"] if login == "md5" else ["Login"]
    assert [message["Action"] for message in sent] == [*first, "Logoff"]
    assert ("correct horse" in str([list(message) for message in sent])) == (login == "plain")


async def test_row_13_events_and_replies_keep_their_order() -> None:
    count = 2000

    async def script(peer: Peer) -> None:
        await peer.log_in()
        status = await peer.expect("CoreStatus")
        events = [f"Event: Newstate\r\nN: {n}\r\n\r\n".encode() for n in range(count)]
        events.append(f"Response: Success\r\nActionID: {status['ActionID']}\r\n\r\n".encode())
        await peer.split(b"".join(events), size=777)
        await peer.stall()

    async with ScriptedAmi(script) as ami, linked(ami) as watched:
        await watched.link.send("CoreStatus")
        # Whatever came before the reply was handled before its sender goes on.
        assert [event["N"] for event in watched.events] == [str(n) for n in range(count)]
