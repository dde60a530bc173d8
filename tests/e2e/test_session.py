"""Session features: reasons, team status, media that Asterisk has not, warnings, credentials."""

import asyncio
import re
from datetime import datetime
from pathlib import Path

from desk import WAIT, Desk, desk, seen

from connector.bridge.catalogue.channel import ChannelInitReply
from connector.bridge.catalogue.session import ChannelType
from connector.bridge.messages import Kind
from connector.lab.provider import LabInfo, LabProvider


async def test_reasons_come_with_their_labels(at_desk: Desk) -> None:
    session = await at_desk.login("1001", ready=False)
    for verb in ("externalnotreadyreasons", "externallogoutreasons"):
        reply = await at_desk.bridge.request(session.target, f"session.request.{verb}", {})
        assert reply.ok
    found = await seen(at_desk, Kind.EVENT, "session.externalnotreadyreasons.updated")
    reasons = {one["reasonCodeId"]: one for one in found["reasonCodes"]}
    lunch, busy = reasons["lunch"], reasons["busy"]
    assert (lunch["reasonCodeId"], lunch["reasonCodeCode"], lunch["selectable"]) == ("lunch", "lunch", True)
    assert {(one["language"], one["country"], one["name"]) for one in lunch["labels"]} == {
        ("en", "US", "Lunch"),
        ("de", "DE", "Mittagspause"),
    }
    assert busy["selectable"] is False
    found = await seen(at_desk, Kind.EVENT, "session.externallogoutreasons.updated")
    assert [one["logoutReasonId"] for one in found["logoutReasons"]] == ["shift-end"]
    await session.close()


async def test_team_status_now_and_as_it_changes(at_desk: Desk) -> None:
    session = await at_desk.login("1001", ready=False)
    reply = await at_desk.bridge.request(session.target, "session.request.getteamstatus", {"realtime": True})
    members = {one["loginid"]: one for one in reply.response.body["teamstatus"]}
    assert len(members) == len(at_desk.info.agents)
    assert members["1001"]["state"] == "NOT_READY"
    assert members["1002"]["state"] == "LOGGED_OUT"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", members["1001"]["statechangetime"])
    assert datetime.fromisoformat(members["1001"]["statechangetime"]).utcoffset() is not None

    colleague = await at_desk.login("1002", ready=False)
    found = await seen(at_desk, Kind.EVENT, "session.teamstatus.updated")
    (changed,) = found["teamstatus"]
    assert (changed["loginid"], changed["state"], changed["extension"]) == ("1002", "NOT_READY", "1002")
    reply = await at_desk.bridge.request(session.target, "session.request.stopteamstatus", {})
    assert reply.ok
    before = len([one for one in at_desk.bridge.log if one.message.name == "session.teamstatus.updated"])
    await colleague.close()
    after = len([one for one in at_desk.bridge.log if one.message.name == "session.teamstatus.updated"])
    assert before == after
    await session.close()


async def test_media_that_asterisk_has_not_are_unsupported_channels(at_desk: Desk) -> None:
    account = at_desk.info.agents["1001"]
    session = await at_desk.bridge.login(
        "1001", account.password, extension="1001", chat=True, email=True, callback=True
    )
    channels = {one.endpoint: one.type for one in session.channels}
    assert channels == {
        "1001": ChannelType.TELEPHONY,
        "1001-callback": ChannelType.UNSUPPORTED,
        "1001-chat": ChannelType.UNSUPPORTED,
        "1001-email": ChannelType.UNSUPPORTED,
    }
    chat = next(one for one in session.channels if one.endpoint == "1001-chat")
    reply = await at_desk.bridge.request(chat.target, "channel.request.activate", {})
    assert reply.error_message == "A channel of an unsupported type does not know channel.request.activate."
    reply = await at_desk.bridge.request(chat.target, "channel.query.init", {})
    assert isinstance(reply.body, ChannelInitReply)
    assert reply.body.interactions is None
    await chat.dispose()
    await session.close()


async def test_a_phone_that_is_lost_while_ready_is_a_warning_and_so_is_its_return(at_desk: Desk) -> None:
    phone = await at_desk.phones.phone("1001")
    session = await at_desk.login("1001")
    await phone.unregister()
    found = await seen(at_desk, Kind.WARNING, "phone.unregistered")
    assert found["code"] == "PHONE_UNREGISTERED"
    assert "1001" in str(found["text"])
    await phone.register()
    found = await seen(at_desk, Kind.WARNING, "phone.registered")
    assert found["code"] == "PHONE_REGISTERED"
    assert found["text"] == "Phone 1001 is registered again: calls reach you."
    await session.close()


async def test_a_queue_that_is_missing_is_a_warning(
    provider: LabProvider, lab: LabInfo, tmp_path: Path
) -> None:
    over = {"queues": {"ghosts": {}}, "agents": {"1001": {"queues": ["support", "ghosts"]}}}
    async with desk(provider, lab, tmp_path, over) as at_desk:
        session = await at_desk.login("1001")
        found = await seen(at_desk, Kind.WARNING, "queue.missing")
        assert found["code"] == "QUEUE_MISSING"
        assert "ghosts" in str(found["text"])
        assert session.channel.state == "ACTIVE"
        await session.close()


async def test_who_an_agent_is_and_whether_a_password_fits(at_desk: Desk) -> None:
    account = at_desk.info.agents["1002"]
    own = {"requestingAgentLogin": "1002", "requestingAgentPassword": account.password}
    reply = await at_desk.bridge.request("", "cti.query.agentinfo", {"agentId": "1001", **own})
    assert reply.response.body["full-name"] == "Ada Ashdown"
    assert reply.response.body["switch-agent-id"] == "1001"
    wrong = own | {"requestingAgentPassword": "wrong"}
    reply = await at_desk.bridge.request("", "cti.query.agentinfo", {"agentId": "1001", **wrong})
    assert reply.error_message == "Agent id or password is wrong."
    name = "cti.request.validateagentcredentials"
    body = {"agentId": "1002", "agentLogin": "1002", "agentPassword": account.password}
    assert (await at_desk.bridge.request("", name, body)).ok
    reply = await at_desk.bridge.request("", name, body | {"agentId": "1001"})
    assert reply.error_message == "Agent id or password is wrong."


async def test_a_desk_that_somebody_else_uses_is_unavailable(at_desk: Desk) -> None:
    first = await at_desk.login("1001")
    account = at_desk.info.agents["1002"]
    second = await at_desk.bridge.login("1002", account.password, extension="1001")
    assert second.channel.state == "UNAVAILABLE"
    reply = await at_desk.bridge.request(second.channel.target, "channel.request.activate", {})
    assert reply.error_message == "Agent 1001 is logged in at phone 1001."
    await first.close()
    await second.channel.wait_state("INACTIVE", timeout=WAIT)
    await second.channel.activate()
    await second.close()


async def test_a_login_at_another_phone_by_another_tool_is_told(at_desk: Desk) -> None:
    session = await at_desk.login("1001", ready=False)
    cli = at_desk.lab.asterisk_cli
    await asyncio.to_thread(
        cli, "queue add member PJSIP/1010 to support penalty 0 as 1001 state_interface PJSIP/1010"
    )
    for name in ("session.channel.added", "channelgroup.channel.added"):
        found = await seen(at_desk, Kind.EVENT, name)
        assert (found["endpoint"], found["type"]) == ("1010", "TELEPHONY")
    await asyncio.to_thread(cli, "queue remove member PJSIP/1010 from support")
    found = await seen(at_desk, Kind.EVENT, "channelgroup.channel.removed")
    assert found["endpoint"] == "1010"
    await session.close()


async def test_close_logs_out_at_the_other_phone_too(at_desk: Desk) -> None:
    session = await at_desk.login("1001", ready=False)
    cli = at_desk.lab.asterisk_cli
    await asyncio.to_thread(cli, "queue add member PJSIP/1010 to support penalty 0 as 1001")
    await seen(at_desk, Kind.EVENT, "channelgroup.channel.added")
    await session.close()
    removed = [
        one.message.body["endpoint"]
        for one in at_desk.bridge.log
        if one.message.name == "channelgroup.channel.removed"
    ]
    assert removed == ["1001", "1010"]
    members = await asyncio.to_thread(cli, "queue show support")
    assert "PJSIP/1010" not in members
    assert "PJSIP/1001" not in members


async def test_a_group_that_was_given_up_is_told_when_another_tool_logs_the_agent_in(at_desk: Desk) -> None:
    session = await at_desk.login("1001", ready=False)
    reply = await at_desk.bridge.request(session.group.target, "channelgroup.request.dispose", {})
    assert reply.ok
    cli = at_desk.lab.asterisk_cli
    for queue in at_desk.connector.directory.agents()[0].queues:
        await asyncio.to_thread(cli, f"queue remove member PJSIP/1001 from {queue}")
    await asyncio.to_thread(cli, "queue add member PJSIP/1001 to support penalty 0 as 1001")
    found = await seen(at_desk, Kind.EVENT, "session.channelgroup.added")
    assert found["name"] == "group-1001"
    body = {"name": "group-1001", "id": "anew", "extension": "1001"}
    assert (await at_desk.bridge.request(session.target, "session.request.createchannelgroup", body)).ok
    await asyncio.to_thread(cli, "queue remove member PJSIP/1001 from support")


async def test_an_agent_who_goes_ready_without_a_phone_is_warned(at_desk: Desk) -> None:
    phone = await at_desk.phones.phone("1001")
    await phone.unregister()
    session = await at_desk.login("1001", ready=False)
    await session.channel.ready()
    found = await seen(at_desk, Kind.WARNING, "phone.unregistered")
    assert (found["code"], "1001" in str(found["text"])) == ("PHONE_UNREGISTERED", True)
    await session.close()
