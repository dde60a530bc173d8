"""Proofs that never come, against a scripted manager interface: the lists of the PBX decide."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import pytest
from scripted_ami import DEADLINE, SECRET, USERNAME, Peer, Script, ScriptedAmi

from connector.asterisk.channel_list import alone, kinship
from connector.asterisk.link import AmiSettings
from connector.asterisk.pbx import AsteriskPbx
from connector.asterisk.settings import DialSettings
from connector.asterisk.wire import AmiMessage
from connector.telephony import facts
from connector.telephony.changes import Change, ServiceChanged
from connector.telephony.pbx import TimedOut
from connector.telephony.states import ConversationState, DialOutcome

Row = Mapping[str, str]


def row(leg: str, channel: str, *, bridge: str = "", place: str = "from-internal,s", **more: str) -> Row:
    """Return what Status says of an answered leg."""
    context, _, extension = place.partition(",")
    usual = {"Uniqueid": leg, "Linkedid": "c", "Channel": channel, "ChannelState": "6", "BridgeID": bridge}
    return usual | {"Context": context, "Exten": extension, "CallerIDNum": channel[6:10]} | more


AGENT, CUSTOMER = "PJSIP/1001-00000001", "PJSIP/2001-00000002"
TALKING = (row("a", AGENT, bridge="b1"), row("c", CUSTOMER, bridge="b1"))
HELD = (
    row("a", AGENT, place="harmony-didle,s"),
    row("c", CUSTOMER, bridge="b2", place="harmony-room,pc"),
    row("x", "CBAnn/c-00000000;2", bridge="b2"),
)


LISTS = ("Status", "QueueStatus", "DeviceStateList")


async def other_than_getvar(peer: Peer) -> AmiMessage:
    """Answer what is asked about variables (none is set) and the start; return the first other action."""
    while (action := await peer.expect())["Action"] in {"Getvar", "CoreStatus"}:
        if action["Action"] == "Getvar":
            await peer.reply(action, Variable=action["Variable"], Value="")
        else:
            await peer.reply(action, CoreStartupDate="2026-11-21", CoreStartupTime="04:00:00")
    return action


async def send_list(peer: Peer, asked: AmiMessage, rows: tuple[Row, ...]) -> None:
    """Answer an action that asks for a list; only that of the channels has rows."""
    await peer.reply(asked, EventList="start")
    if asked["Action"] == "Status":
        for one in rows:
            await peer.emit("Status", *one.items(), ("ActionID", asked["ActionID"]))
    await peer.emit(f"{asked['Action']}Complete", ("ActionID", asked["ActionID"]), EventList="Complete")


async def answer_lists(peer: Peer, channels: tuple[Row, ...]) -> None:
    """Answer the three lists of a resync."""
    for action in LISTS:
        asked = await other_than_getvar(peer)
        assert asked["Action"] == action
        await send_list(peer, asked, channels)


def hold_without_events(*lists: tuple[Row, ...]) -> Script:
    """Accept a hold, tell no event of it, and answer each resync with the next list, the last one again."""

    async def script(peer: Peer) -> None:
        await peer.log_in()
        await answer_lists(peer, TALKING)
        while (action := await other_than_getvar(peer))["Action"] == "Setvar":
            await peer.reply(action)
        assert action["Action"] == "Redirect"
        await peer.reply(action)
        for rows in lists:
            await answer_lists(peer, rows)
        while asked := await other_than_getvar(peer):
            if asked["Action"] in LISTS:
                await send_list(peer, asked, lists[-1])
            else:
                await peer.reply(asked)

    return script


@asynccontextmanager
async def pbx_at(ami: ScriptedAmi) -> AsyncIterator[AsteriskPbx]:
    settings = AmiSettings("127.0.0.1", ami.port, USERNAME, SECRET, ping_interval=3600.0)
    pbx = AsteriskPbx(settings, DialSettings(), proof_timeout=0.1)
    up = asyncio.Event()

    def listen(change: Change) -> None:
        if isinstance(change, ServiceChanged) and change.available:
            up.set()

    pbx.subscribe(listen)
    pbx.watch("1001")
    running = asyncio.create_task(pbx.run())
    try:
        async with asyncio.timeout(DEADLINE):
            await up.wait()
        yield pbx
    finally:
        await pbx.close()
        await running


async def test_a_hold_whose_events_are_lost_is_answered_by_the_list() -> None:
    async with ScriptedAmi(hold_without_events(HELD)) as ami, pbx_at(ami) as pbx:
        (interaction,) = pbx.model.interactions("1001")
        assert interaction.primary.state is ConversationState.TALKING
        await pbx.hold(interaction.id, interaction.primary.id)
        assert interaction.primary.state is ConversationState.HELD


async def test_a_hold_that_did_not_happen_says_what_is_so() -> None:
    async with ScriptedAmi(hold_without_events(TALKING)) as ami, pbx_at(ami) as pbx:
        (interaction,) = pbx.model.interactions("1001")
        with pytest.raises(TimedOut, match=r"primary conversation HELD\. It is TALKING\."):
            await pbx.hold(interaction.id, interaction.primary.id)


async def test_a_customer_who_is_gone_is_found_out() -> None:
    async with ScriptedAmi(hold_without_events(HELD[:1])) as ami, pbx_at(ami) as pbx:
        (interaction,) = pbx.model.interactions("1001")
        with pytest.raises(Exception, match="The call ended meanwhile"):
            await pbx.hold(interaction.id, interaction.primary.id)


async def test_who_waits_at_once_shares_one_reading() -> None:
    async with ScriptedAmi(hold_without_events(TALKING)) as ami, pbx_at(ami) as pbx:
        (interaction,) = pbx.model.interactions("1001")
        waits = [
            asyncio.create_task(pbx._exchange.until(lambda: False, f"what {number} waits for"))
            for number in range(20)
        ]
        with pytest.raises(TimedOut):
            await pbx.hold(interaction.id, interaction.primary.id)
        found = await asyncio.gather(*waits, return_exceptions=True)
        assert all(isinstance(one, TimedOut) for one in found)
        asked = [message["Action"] for message in ami.peers[0].received]
        # How many depends on the machine; alone, each of them would read once.
        assert asked.count("Status") <= 10


def rows_of(*found: Row) -> list[AmiMessage]:
    return [AmiMessage(tuple(one.items())) for one in found]


DIALLING = (
    row("a", AGENT, Application="Dial", Data="Local/1002@from-internal,20,g"),
    row("l1", "Local/1002@from-internal-00000000;1", Application="AppDial", ChannelState="5"),
    row("l2", "Local/1002@from-internal-00000000;2", Application="Dial", Data="PJSIP/1002,20"),
    row("x", "PJSIP/1002-00000003", Application="AppDial", ChannelState="5"),
    row("o", "PJSIP/1003-00000004", ChannelState="5", Linkedid="o"),
)


def test_who_dials_whom_is_read_off_the_list() -> None:
    rows = rows_of(*DIALLING)
    assert list(kinship(rows, {"l1", "l2", "x", "o"})) == [
        facts.LegsPaired("l1", "l2"),
        facts.DialStarted("a", "l1"),
        facts.DialStarted("l2", "x"),
        facts.DialStarted(None, "o"),
    ]
    assert list(kinship(rows, set())) == []


def test_an_answered_dial_rings_no_more() -> None:
    answered = {**DIALLING[3], "ChannelState": "6"}
    assert list(kinship(rows_of(*DIALLING[:3], answered), {"x"})) == [
        facts.DialStarted("l2", "x"),
        facts.DialEnded("l2", "x", DialOutcome.ANSWERED),
    ]


def test_who_is_alone_in_a_room_hears_music() -> None:
    assert list(alone(rows_of(*HELD))) == [facts.MusicStarted("c")]
    visited = row("a", AGENT, bridge="b2", place="harmony-room,ac")
    assert list(alone(rows_of(visited, *HELD[1:]))) == [facts.MusicStopped("c")]
