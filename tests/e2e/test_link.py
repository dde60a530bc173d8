"""The AMI link against the real Asterisk: logins, replies, events, lists, a cable cut and frozen."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from cable import Cable

from connector.asterisk.link import AmiDown, AmiLink, AmiRefused, AmiSettings, AmiTls
from connector.asterisk.wire import LONGEST_LINE, MOST_HEADERS, AmiMessage, AmiValueRejected
from connector.lab.provider import LabInfo

WAIT = 10.0


class Seen:
    """A running link and all that it told; the events of Asterisk's threads come in no certain order."""

    def __init__(self, settings: AmiSettings) -> None:
        self.events: list[AmiMessage] = []
        self.changes: asyncio.Queue[str] = asyncio.Queue()
        self._news = asyncio.Event()
        self.link = AmiLink(
            settings,
            on_event=self._take,
            on_up=lambda: self.changes.put_nowait("up"),
            on_down=self.changes.put_nowait,
        )

    def _take(self, event: AmiMessage) -> None:
        self.events.append(event)
        self._news.set()

    async def change(self) -> str:
        """Wait for the next "up" or reason of a loss."""
        async with asyncio.timeout(WAIT):
            return await self.changes.get()

    async def event(self, name: str, **fields: str) -> AmiMessage:
        """Give the event with these headers, be it here already or to come."""
        async with asyncio.timeout(WAIT):
            while True:
                for event in self.events:
                    if event.name == name and fields.items() <= set(event):
                        return event
                self._news.clear()
                await self._news.wait()


@asynccontextmanager
async def running(settings: AmiSettings, *, up: bool = True) -> AsyncIterator[Seen]:
    seen = Seen(settings)
    task = asyncio.create_task(seen.link.run())
    try:
        if up:
            await seen.link.wait_up(WAIT)
            assert await seen.change() == "up"
        yield seen
    finally:
        await seen.link.close()
        await task


def observer(lab: LabInfo, **changes: Any) -> AmiSettings:
    """Give the settings of the lab's user that may do all."""
    user = lab.ami["observer"]
    return replace(AmiSettings(lab.host, lab.ports.ami, user.username, user.secret), **changes)


@pytest.mark.parametrize("user", ["harmony", "observer"])
@pytest.mark.parametrize("login", ["md5", "plain"])
async def test_login_by_challenge_and_by_plain_secret(lab: LabInfo, user: str, login: str) -> None:
    account = lab.ami[user]
    settings = observer(lab, username=account.username, secret=account.secret, login=login)
    async with running(settings) as seen:
        assert (await seen.link.send("Ping"))["Ping"] == "Pong"


async def test_login_over_tls(lab: LabInfo) -> None:
    tls = AmiTls(ca_file=lab.ca_file)
    async with running(observer(lab, port=lab.ports.ami_tls, tls=tls)) as seen:
        assert (await seen.link.send("CoreSettings"))["AsteriskVersion"]


@pytest.mark.parametrize(
    ("tls", "reason"),
    [
        (AmiTls(), "certificate verify failed"),
        (AmiTls(server_name="pbx.example"), "certificate verify failed"),
    ],
)
async def test_tls_without_trust_never_logs_in(lab: LabInfo, tls: AmiTls, reason: str) -> None:
    if tls.server_name is not None:
        tls = replace(tls, ca_file=lab.ca_file)
    async with running(observer(lab, port=lab.ports.ami_tls, tls=tls), up=False) as seen:
        await _fails(seen.link, reason)


@pytest.mark.parametrize("login", ["md5", "plain"])
async def test_a_refused_login_is_no_link(lab: LabInfo, login: str) -> None:
    async with running(observer(lab, secret="wrong", login=login), up=False) as seen:
        await _fails(seen.link, "Authentication failed")


async def _fails(link: AmiLink, reason: str) -> None:
    """Wait until sending tells that the first attempt to connect failed for this reason."""
    async with asyncio.timeout(WAIT):
        while True:
            with pytest.raises(AmiDown) as caught:
                await link.send("Ping")
            if caught.value.reason != "not connected yet":
                break
            await asyncio.sleep(0.01)  # nothing tells a failure but the log
    assert reason in caught.value.reason
    assert not link.up


async def test_replies_of_queued_do_not_end_the_link(lab: LabInfo) -> None:
    leg = f"t-{secrets.token_hex(4)}"
    async with running(observer(lab)) as seen:
        # A synchronous Originate answers "successfully queued", too.
        reply = await seen.link.send(
            "Originate",
            {
                "Channel": "Local/9000@from-internal/n",
                "Application": "Wait",
                "Data": "60",
                "ChannelId": leg,
                "OtherChannelId": f"{leg}-2",
            },
        )
        assert reply.message == "Originate successfully queued"
        reply = await seen.link.send(
            "PlayDTMF", {"Channel": leg, "Digit": "5", "Duration": "120", "Receive": "true"}
        )
        assert reply.message == "DTMF successfully queued"
        await seen.event("DTMFEnd", Uniqueid=leg, Digit="5", Direction="Received")
        await seen.link.send("Hangup", {"Channel": leg})
        await seen.event("Hangup", Uniqueid=leg)
        await seen.event("Hangup", Uniqueid=f"{leg}-2")
        assert seen.link.up


async def test_originate_response_is_an_event(lab: LabInfo) -> None:
    leg = f"t-{secrets.token_hex(4)}"
    async with running(observer(lab)) as seen:
        reply = await seen.link.send(
            "Originate",
            {
                "Channel": "Local/9001@from-internal/n",
                "Application": "Wait",
                "Data": "1",
                "Async": "true",
                "ChannelId": leg,
                "OtherChannelId": f"{leg}-2",
                "Variable": ["__HARMONY_ID=h-77", "HARMONY_ROLE=agent"],
            },
        )
        assert reply.is_response
        event = await seen.event("OriginateResponse", Uniqueid=leg)
        assert (event["Response"], event["Reason"]) == ("Failure", "5")
        assert event.action_id == reply.action_id
        ended = await seen.event("Hangup", Uniqueid=leg)
        told = ended.variables()
        assert (told["HARMONY_ID"], told["HARMONY_ROLE"], told["HARMONY_DEST"]) == ("h-77", "agent", "")
        await seen.event("Hangup", Uniqueid=f"{leg}-2")


async def test_asterisk_takes_the_longest_line_the_most_headers_and_any_letter(lab: LabInfo) -> None:
    name = f"T_{secrets.token_hex(4)}"
    async with running(observer(lab)) as seen:
        link = seen.link
        for value in ("Zażółć 📞 名前 ;&|'\"\\ ", "x" * (LONGEST_LINE - len("Value: "))):
            await link.send("Setvar", {"Variable": name, "Value": value})
            assert (await link.send("Getvar", {"Variable": name}))["Value"] == value
        many = [f"{name}{n}=1" for n in range(MOST_HEADERS - 8)]
        leg = f"t-{secrets.token_hex(4)}"
        fields = {
            "Channel": "Local/9001@from-internal/n",
            "Application": "Wait",
            "Data": "1",
            "ChannelId": leg,
        }
        await link.send("Originate", fields | {"Async": "true", "Variable": [*many, f"{name}=last"]})
        await seen.event("VarSet", Uniqueid=leg, Variable=name, Value="last")
        await seen.event("Hangup", Uniqueid=leg)
        await link.send("Setvar", {"Variable": name, "Value": ""})


async def test_line_breaks_never_reach_asterisk(lab: LabInfo) -> None:
    name = f"T_{secrets.token_hex(4)}"
    async with running(observer(lab)) as seen:
        for breaking in ("\r\n", "\n", "\r", "\0"):
            value = f"1{breaking}{breaking}Action: Setvar{breaking}Variable: {name}{breaking}Value: 2"
            with pytest.raises(AmiValueRejected):
                await seen.link.send("Setvar", {"Variable": f"{name}_", "Value": value})
        assert (await seen.link.send("Getvar", {"Variable": name}))["Value"] == ""


async def test_lists_are_collected_by_their_own_id(lab: LabInfo) -> None:
    async with running(observer(lab)) as seen:
        queues, devices, channels = await asyncio.gather(
            seen.link.send_list("QueueStatus"),
            seen.link.send_list("DeviceStateList"),
            seen.link.send_list("CoreShowChannels"),
        )
        assert {item["Queue"] for item in queues if item.name == "QueueParams"} >= set(lab.queues)
        assert {item.name for item in devices} == {"DeviceStateChange"}
        assert channels == []
        with pytest.raises(AmiRefused, match="No active conferences"):
            await seen.link.send_list("ConfbridgeListRooms")
        with pytest.raises(AmiRefused, match="No such channel"):
            await seen.link.send("Hangup", {"Channel": "t-none"})
        assert {event.name for event in seen.events} <= {"FullyBooted", "SuccessfulAuth", "ChallengeSent"}


async def test_a_cut_cable_is_told_once_and_mended(lab: LabInfo) -> None:
    async with (
        Cable(lab.host, lab.ports.ami) as cable,
        running(observer(lab, host="127.0.0.1", port=cable.port, reconnect_initial=0.05)) as seen,
    ):
        cable.freeze()
        waiting = asyncio.create_task(seen.link.send("CoreShowChannels"))
        await asyncio.sleep(0)
        cable.cut()
        with pytest.raises(AmiDown):
            await waiting
        assert await seen.change() != "up"
        cable.thaw()
        assert await seen.change() == "up"
        assert (await seen.link.send("Ping"))["Ping"] == "Pong"


async def test_a_half_open_connection_is_found_by_ping(lab: LabInfo) -> None:
    async with Cable(lab.host, lab.ports.ami) as cable:
        settings = observer(
            lab,
            host="127.0.0.1",
            port=cable.port,
            ping_interval=0.2,
            ping_timeout=0.3,
            reconnect_initial=0.05,
        )
        async with running(settings) as seen:
            cable.freeze()
            assert await seen.change() == "no answer to a ping within 0.3 s"
            assert not seen.link.up
            cable.thaw()
            assert await seen.change() == "up"
