"""What a desktop hears of its calls through the service, in which order, and which commands it may give."""

from typing import Any

import pytest
from desktop_service import LOGIN, Service, hear, logged_in, raw, say, service
from processor_client import State, changed

from connector.bridge.messages import CATALOGUE, Kind, conversation, error_message, interaction
from connector.processor.desktop_client import DesktopRefused, DesktopSession
from connector.processor.service.verbs import VERBS, verb_of
from connector.processor.service.wire import Code, Failed

STORY = [
    "channel.infochanged",
    "state.updated",
    "interaction.created",
    "state.updated",
    "conversation.created",
    "state.updated",
    "conversation.member.added",
    "conversation.initialized",
    "interaction.datachanged",
    "interaction.preview",
    "interaction.initialized",
]
"""The events of a new call, in order (W)."""


async def on_a_call(at: Service, session: DesktopSession) -> Any:
    await session.activate()
    at.client.ring("call-1")
    offered = await session.next_interaction("ALERTING")
    await session.do(offered.conversation("primary") or "", "conversation.request.answer")
    await session.wait_state(offered, "STARTED")
    return offered


@pytest.mark.parametrize("origin", ["dialled", "offered"])
async def test_a_new_call_is_told_in_the_order_given(origin: str) -> None:
    async with service() as at, logged_in(at) as (_, session):
        await session.activate()
        told, phone = len(session.view.log), session.view.channel
        if origin == "dialled":
            call = await session.dial("2001")
        else:
            at.client.ring("call-1")
            call = await session.next_interaction("ALERTING")
        events = session.view.log[told:]
        assert [one["name"] for one in events] == STORY
        assert all(set(one) == {"messageType", "target", "name", "data"} for one in events)
        assert {one["messageType"] for one in events} == {"objectEvent"}
        primary = call.conversation("primary")
        assert primary is not None
        targets = [phone.target] * 2 + [call.target] * 2 + [primary.target] * 4 + [call.target] * 3
        assert [one["target"] for one in events] == targets
        assert phone.target.split(".")[0] == session.id
        state = "DIALING" if origin == "dialled" else "ALERTING"
        assert (call.state, primary.state, primary.role) == (state, state, "primary")
        assert events[0]["data"] == {"endpoint": "1001", "type": "TELEPHONY", "interactions": [call.id]}
        assert events[9]["data"]["interaction-data"] == {"ANI": "2001"}
        assert [one["address"] for one in events[9]["data"]["members"]] == ["2001"]


async def test_the_answer_comes_before_the_events_that_follow_it() -> None:
    async with service() as at, raw(at) as socket:
        prepared = await say(socket, {"command": "prepareSession", "data": LOGIN})
        name = prepared["resource"]["id"]
        snapshot = (await say(socket, {"command": "bindResource", "data": {"resource": name}}))["data"]
        group = f"{name}.{snapshot['channelgroup']['id']}"
        phone = f"{group}.{snapshot['channelgroup']['channels'][0]['id']}"
        answer = await say(socket, {"command": "channelgroup.activate", "target": group})
        assert answer == {
            "command": "channelgroup.activate",
            "target": group,
            "result": "success",
            "data": {},
        }
        events = [await hear(socket), await hear(socket)]
        state = {"state": "ACTIVE", "agent-state": "NOT_READY", "reason": None}
        assert [one["data"] for one in events] == [state, state]
        told = {"reasonCodeId": "LUNCH"}
        answer = await say(socket, {"command": "channel.notready", "target": phone, "data": told})
        assert answer["result"] == "success"
        assert (await hear(socket))["data"] == {**state, "reason": "LUNCH"}
        assert (
            await say(socket, {"command": "channel.dial", "target": phone, "data": {"destination": "2"}})
        )["result"] == "success"
        assert [(await hear(socket))["name"] for _ in STORY] == STORY


async def test_a_call_through_all_its_states() -> None:
    async with service() as at, logged_in(at) as (_, session):
        call = await on_a_call(at, session)
        primary = call.conversation("primary")
        await session.do(primary, "conversation.hold")
        await session.wait_state(primary, "HELD")
        await session.do(primary, "conversation.retrieve")
        await session.wait_now(primary, "TALKING")
        at.client.emit(
            at.client.targets["interaction"], interaction.DataChanged(interaction_data={"vip": "yes"})
        )
        await session.until(lambda: call.data.get("vip"), "the data")
        consult = await session.consult(call, "1002")
        assert (consult.role, consult.state, consult.addresses) == ("consult", "DIALING", ["2001"])
        at.client.emit(at.client.targets["consult"], changed(State.TALKING))
        await session.wait_state(consult, "TALKING")
        told = await session.do(call, "interaction.getdata")
        assert told == {"interaction-data": {"ANI": "2001", "vip": "yes"}}
        at.client.emit(at.client.targets["consult"], changed(State.RELEASED, conversation.Cause.NORMAL))
        at.client.emit(at.client.targets["consult"], conversation.Disposed())
        await session.do(primary, "conversation.release")
        await session.wait_state(call, "ENDED")
        assert consult.gone
        assert (primary.state, primary.cause, primary.gone, call.cause) == (
            "RELEASED",
            "NORMAL",
            True,
            "NORMAL",
        )


async def test_a_completed_call_is_given_up_and_costs_nothing_more() -> None:
    async with service() as at, logged_in(at) as (_, session):
        call = await on_a_call(at, session)
        await session.do(call.conversation("primary"), "conversation.release")
        await session.wait_state(call, "ENDED")
        told = len(session.view.log)
        await session.do(call, "interaction.complete")
        await session.until(lambda: call.gone, "interaction.disposed")
        await session.until(lambda: len(session.view.log) == told + 3, "the channel's change")
        assert [one["name"] for one in session.view.log[told:]] == [
            "state.updated",
            "interaction.disposed",
            "channel.infochanged",
        ]
        assert call.state == "COMPLETED"
        assert session.view.log[-1]["data"]["interactions"] == []
        with pytest.raises(DesktopRefused, match="unknown-target"):
            await session.do(call, "interaction.complete")
        link = at.bridge.link
        await link.until(lambda: not link.rules.outstanding(), None, lambda: "everything answered")
        assert [len(one.message.body) for one in at.bridge.log if one.message.name.endswith(".dispose")] == [
            0
        ] * 4
        floor = at.bridge._floor()
        assert not floor._interactions
        assert not floor._conversations


async def test_a_call_from_before_is_part_of_the_first_snapshot_or_told() -> None:
    async with service() as at:
        at.client.listed.append("call-0")
        async with logged_in(at) as (_, session):
            call = await session.next_interaction()
            assert (call.nativeid, call.state) == ("call-0", "ALERTING")


async def test_a_call_that_was_over_before_the_bridge_asked_tells_why() -> None:
    async with service() as at, logged_in(at) as (_, session):
        at.client.interaction_state = interaction.InteractionState.ENDED
        at.client.interaction_data = {"ANI": "2001", "CAUSE": "BUSY"}
        at.client.ring("call-1")
        call = await session.next_interaction("ENDED")
        assert call.cause == "BUSY"


async def test_reasons_team_and_notices_reach_the_desktop() -> None:
    async with service() as at, logged_in(at) as (_, session):
        (reason,) = await session.not_ready_reasons()
        assert reason["reasonCodeCode"] == "LUNCH"
        team = await session.team(realtime=True)
        assert team["1002"]["state"] == "NOT_READY"
        at.client.send(error_message(at.client.targets["session"], "pbx.lost", "PBX_LOST", "It is away."))
        await session.until(lambda: session.view.notices, "the error")
        assert session.view.notices == [{"name": "pbx.lost", "code": "PBX_LOST", "message": "It is away."}]


@pytest.mark.parametrize(
    ("command", "place", "code"),
    [
        ("channel.dial", "session", "wrong-target"),
        ("session.logout", "channel", "wrong-target"),
        ("channelgroup.activate", "channel", "wrong-target"),
        ("channel.dial", "nonsense", "unknown-target"),
        ("channel.dial", "", "not-bound"),
        ("channel.dail", "channel", "unknown-command"),
        ("nonsense", "channel", "unknown-command"),
        ("chat.sendmessage", "channel", "not-supported"),
        ("channel.request.createinteraction", "channel", "not-supported"),
        ("channel.dispose", "channel", "not-supported"),
        ("cti.request.dispose", "session", "not-supported"),
        ("channel.dial", "channel", "invalid-data"),
    ],
)
async def test_commands_that_are_refused_reach_no_connector(command: str, place: str, code: str) -> None:
    async with service() as at, logged_in(at) as (desktop, session):
        places = {"session": session.id, "channel": session.view.channel.target}
        target = places.get(place, f"{session.id}.{place}" if place else "")
        before = len(at.bridge.log)
        answer = await desktop.ask(
            command, {"destination": 5} if code == "invalid-data" else {}, target=target
        )
        assert answer["failure"]["code"] == code
        assert answer["original"]["command"] == command
        assert len(at.bridge.log) == before


async def test_what_the_connector_refuses_or_never_answers() -> None:
    async with service() as at, logged_in(at) as (desktop, session):
        at.client.on["channel.request.dial"] = lambda *_: "The number is refused."
        with pytest.raises(DesktopRefused, match=r"The number is refused\. \(refused\)"):
            await session.dial("0900")
        with at.slow_connector():
            at.bridge.link.timeout = 0.1
            with pytest.raises(DesktopRefused, match="timeout"):
                await session.dial("2001")
        # The late answer is nobody's any more: the next one is not mistaken for it.
        at.bridge.link.timeout = 5.0
        assert await desktop.services()


def test_every_verb_of_the_catalogue_has_its_command() -> None:
    names = {one.name for one in CATALOGUE.values() if one.kind in {Kind.REQUEST, Kind.QUERY}}
    own = {
        *(one for one in names if one.startswith("cti.") or one.endswith(".init") or ".create" in one),
        *(f"{each}.request.dispose" for each in ("channelgroup", "channel", "interaction", "conversation")),
    }
    assert names - set(VERBS) == own
    for name, verb in VERBS.items():
        head, _, rest = name.partition(".")
        assert verb_of(name) is verb
        assert verb_of(f"{head}.{rest.partition('.')[2]}") is verb
    assert {verb_of("session.logout").spec.name, verb_of("session.close").spec.name} == {
        "session.request.close"
    }
    for name in own:
        with pytest.raises(Failed) as refused:
            verb_of(name)
        assert refused.value.code is Code.NOT_SUPPORTED
