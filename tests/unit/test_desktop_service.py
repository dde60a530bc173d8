"""The Interaction Processor service on its wire: what desktops ask, and what they are answered."""

import asyncio
from random import Random

import pytest
import structlog.testing
from desktop_service import LOGIN, logged_in, raw, say, service
from websockets.exceptions import ConnectionClosed

from connector import __version__
from connector.processor.desktop_client import DesktopClient, DesktopGone, DesktopRefused, SessionExists
from connector.processor.service.verbs import VERBS


async def test_services_tell_all_five_properties() -> None:
    async with (
        service(instance_domain="north", cti_version="22.10") as at,
        DesktopClient(at.door.url) as desktop,
    ):
        (found,) = await desktop.services()
    assert found["information"] == {
        "vendor": "Harmony Connector",
        "version": __version__,
        "cti-vendor": "Asterisk",
        "cti-version": "22.10",
        "instance-domain": "north",
    }
    assert (found["id"], found["status"], found["accepting"]) == ("LAB", "in-service", True)


async def test_prepare_session_is_answered_as_specified() -> None:
    request = {"command": "prepareSession", "data": {"model": "", "override": False, **LOGIN}}
    async with service() as at, raw(at) as socket:
        done = await say(socket, request)
        assert done == {
            "command": "prepareSession",
            "result": "success",
            "resource": {"id": done["resource"]["id"], "data": request["data"]},
        }
        asked = await say(socket, request)
        assert asked == {
            "command": "prepareSession",
            "result": "confirm",
            "message": "Agent 1001 has a session already. End it and begin a new one?",
            "original": request,
        }
        wrong = {"command": "prepareSession", "data": {"agent": {"id": "1001", "password": "wrong"}}}
        refused = await say(socket, wrong)
        assert refused == {
            "command": "prepareSession",
            "result": "failure",
            "failure": {"code": "invalid-credentials", "message": "Agent id or password is wrong."},
            "original": wrong,
        }


async def test_whether_there_is_a_session_is_told_only_to_who_has_the_password() -> None:
    async with service() as at, logged_in(at), DesktopClient(at.door.url) as other:
        with pytest.raises(DesktopRefused, match="invalid-credentials"):
            await other.prepare("1001", "wrong", override=True)
        with pytest.raises(SessionExists):
            await other.prepare("1001", "right")


@pytest.mark.parametrize("busy", [False, True])
async def test_override_ends_the_old_session_on_the_other_side_too(busy: bool) -> None:
    async with service() as at, logged_in(at) as (desktop, old), DesktopClient(at.door.url) as other:
        if busy:
            at.client.on["session.request.close"] = lambda *_: "The agent is on a call."
        new = await other.login("1001", "right", override=True)
        await desktop.until(lambda: old.view.closed, "session.closed")
        assert old.view.closed == "OVERRIDDEN"
        assert new.id != old.id
        with pytest.raises(DesktopRefused, match="not-bound"):
            await old.do(old.id, "session.request.getteamstatus")
        assert len(at.asked("session.request.close")) == 1
        assert at.asked("session.request.dispose")
        assert [one.session_id for one in at.bridge.sessions] == [new.id]


async def test_two_logins_at_once_make_one_session() -> None:
    async with service() as at, DesktopClient(at.door.url) as one, DesktopClient(at.door.url) as two:
        tries = await asyncio.gather(
            one.prepare("1001", "right"), two.prepare("1001", "right"), return_exceptions=True
        )
        assert sum(isinstance(each, SessionExists) for each in tries) == 1
        assert len(at.bridge.sessions) == 1


async def test_a_login_that_fails_half_way_leaves_nothing() -> None:
    async with service() as at, DesktopClient(at.door.url) as desktop:
        at.client.on["session.request.createchannelgroup"] = lambda *_: "There is no phone 999."
        with pytest.raises(DesktopRefused, match="There is no phone 999"):
            await desktop.prepare("1001", "right", extension="999")
        assert at.asked("session.request.createchannelgroup")[0]["extension"] == "999"
        await at.bridge.link.until(lambda: not at.bridge.sessions, None, lambda: "session given up")
        assert at.asked("session.request.dispose")


@pytest.mark.parametrize(
    ("data", "code"),
    [
        ({}, "invalid-data"),
        ({"agent": {"id": "1001"}}, "invalid-data"),
        ({"agent": {"id": 1, "password": "right"}}, "invalid-data"),
        ({**LOGIN, "override": "yes"}, "invalid-data"),
        ({**LOGIN, "model": "other"}, "unknown-model"),
        ({**LOGIN, "extensions": {"MaxChats": []}}, "invalid-data"),
    ],
)
async def test_a_prepare_session_that_cannot_be_read(data: dict[str, object], code: str) -> None:
    async with service() as at, raw(at) as socket:
        answer = await say(socket, {"command": "prepareSession", "data": data})
        assert answer["failure"]["code"] == code
        assert not at.asked("cti.request.createsession")


async def test_a_blank_model_is_the_default_one() -> None:
    async with service() as at, DesktopClient(at.door.url) as desktop:
        session = await desktop.bind(await desktop.prepare("1001", "right", model=" "))
        assert session.view.agent == "1001"


async def test_many_wrong_passwords_end_the_connection() -> None:
    async with service() as at, DesktopClient(at.door.url) as desktop:
        for _ in range(5):
            with pytest.raises(DesktopRefused, match="invalid-credentials"):
                await desktop.prepare("1001", "guess")
        assert (await desktop.wait_lost()).startswith("1008")


async def test_one_desktop_only_is_bound_to_a_session() -> None:
    async with service() as at, logged_in(at) as (_, session), DesktopClient(at.door.url) as other:
        for agent, password, code in [
            ("", "", "invalid-data"),
            ("1001", "guess", "invalid-credentials"),
            ("1001", "right", "already-bound"),
        ]:
            with pytest.raises(DesktopRefused, match=code):
                await other.bind(session.id, agent, password)
        with pytest.raises(DesktopRefused, match="unknown-resource"):
            await other.bind("nonsense")
        with pytest.raises(DesktopRefused, match="not-bound"):
            await other.do("session.request.getteamstatus", target=session.id)


async def test_a_session_that_was_given_back_can_be_bound_again() -> None:
    async with service() as at, logged_in(at) as (desktop, session):
        await desktop.do("unbindResource", {"resource": session.id})
        with pytest.raises(DesktopRefused, match="not-bound"):
            await desktop.do("unbindResource", {"resource": session.id})
        assert (await desktop.bind(session.id)).id == session.id


async def test_a_desktop_that_drops_finds_its_session_as_it_is_now() -> None:
    async with service(grace=30) as at, DesktopClient(at.door.url) as again:
        async with logged_in(at) as (desktop, session):
            await session.activate()
            await desktop.drop()
        at.client.ring("call-1")
        await at.bridge.link.until(
            lambda: at.bridge.sessions[0].channel.interactions, None, lambda: "the call at the bridge"
        )
        back = await again.bind(session.id, "1001", "right")
        assert back.view.channel.state == "ACTIVE"
        (interaction,) = back.view.interactions()
        primary = interaction.conversation("primary")
        assert primary is not None
        assert (interaction.state, interaction.data, primary.state) == (
            "ALERTING",
            {"ANI": "2001"},
            "ALERTING",
        )
        assert primary.addresses == ["2001"]
        at.client.talk()
        await back.wait_state(interaction, "STARTED")


async def test_a_session_that_no_desktop_comes_back_to_is_disposed() -> None:
    async with service(grace=1) as at:
        async with logged_in(at) as (desktop, session):
            await desktop.drop()
        await at.bridge.link.until(lambda: not at.bridge.sessions, None, lambda: "session disposed")
        assert at.asked("session.request.dispose")
        assert not at.asked("session.request.close")
        async with DesktopClient(at.door.url) as again:
            with pytest.raises(DesktopRefused, match="unknown-resource"):
                await again.bind(session.id, "1001", "right")


async def test_a_session_that_nobody_binds_is_disposed() -> None:
    async with service(grace=0) as at, DesktopClient(at.door.url) as desktop:
        await desktop.prepare("1001", "right")
        await at.bridge.link.until(lambda: not at.bridge.sessions, None, lambda: "session disposed")


async def test_the_desktop_gives_its_session_up() -> None:
    async with service() as at, logged_in(at) as (desktop, session):
        await session.do(session.id, "session.dispose")
        await desktop.until(lambda: session.view.closed, "session.closed")
        assert session.view.closed == "DISPOSED"
        assert not at.bridge.sessions
        assert not at.asked("session.request.close")


async def test_logout_is_answered_then_told_and_the_session_is_given_up() -> None:
    async with service() as at, logged_in(at) as (desktop, session):
        await session.logout()
        assert session.view.closed == "LOGOUT"
        await at.bridge.link.until(lambda: not at.bridge.sessions, None, lambda: "session given up")
        await desktop.login("1001", "right")


async def test_a_service_that_is_stopped_takes_the_answers_that_it_waits_for() -> None:
    async with service() as at:
        async with logged_in(at) as (desktop, session):
            link = at.bridge.link
            with at.slow_connector("session.request.dispose"):
                await session.logout()
                await link.until(link.rules.outstanding, None, lambda: "the session given up")
                stopping = asyncio.create_task(at.door.stop())
                await desktop.wait_lost()
                done, _ = await asyncio.wait([stopping], timeout=0.2)
                assert not done
            await stopping
        assert not at.bridge.link.rules.outstanding()


# -- the service monitor -------------------------------------------------------------------------------------


async def test_who_has_bound_the_service_hears_of_it() -> None:
    async with service() as at, DesktopClient(at.door.url) as desktop, DesktopClient(at.door.url) as deaf:
        told = await desktop.bind_service()
        assert (told["clients"], told["accepting"]) == (1, True)
        with pytest.raises(DesktopRefused, match="unknown-service"):
            await desktop.bind_service("nonsense")
        async with DesktopClient(at.door.url) as second:
            await second.bind_service("LAB")
            await desktop.until(lambda: len(desktop.service_events) == 1, "one more desktop")
        await desktop.until(lambda: len(desktop.service_events) == 2, "one desktop less")
        await deaf.services()
        assert [one["data"]["clients"] for one in desktop.service_events] == [2, 1]
        assert {one["name"] for one in desktop.service_events} == {"service.statuschanged"}
        assert deaf.service_events == []


async def test_the_connectors_status_is_told_and_ends_sessions() -> None:
    async with service() as at, logged_in(at) as (desktop, session):
        await desktop.bind_service()
        at.status("pausing-service")
        await desktop.until(lambda: len(desktop.service_events) == 1, "the status")
        assert session.view.closed is None
        with pytest.raises(DesktopRefused, match="unavailable"):
            await desktop.prepare("1001", "right", override=True)
        at.status("out-of-service")
        await desktop.until(lambda: session.view.closed, "session.closed")
        assert session.view.closed == "OUT_OF_SERVICE"
        at.status("in-service")
        await desktop.until(lambda: len(desktop.service_events) == 3, "service up")
        assert [(one["name"], one["data"]["status"]) for one in desktop.service_events] == [
            ("service.statuschanged", "pausing-service"),
            ("service.down", "out-of-service"),
            ("service.up", "in-service"),
        ]
        await desktop.login("1001", "right")


async def test_the_service_is_up_when_sessions_can_be_prepared() -> None:
    async with service() as at, DesktopClient(at.door.url) as desktop:
        await desktop.bind_service()
        for status in ("out-of-service", "starting-service", "in-service", "pausing-service", "in-service"):
            at.status(status)
        await desktop.until(lambda: len(desktop.service_events) == 5, "all statuses")
        told = [(one["name"].partition(".")[2], one["data"]["accepting"]) for one in desktop.service_events]
        assert told == [
            ("down", False),
            ("statuschanged", False),
            ("up", True),
            ("statuschanged", False),
            ("statuschanged", True),
        ]


async def test_a_connector_that_is_lost_and_comes_back() -> None:
    async with service() as at, logged_in(at) as (desktop, session):
        await desktop.bind_service()
        at.transport.drop("the network failed")
        await desktop.until(lambda: session.view.closed, "session.closed")
        assert session.view.closed == "CONNECTOR_LOST"
        with pytest.raises(DesktopRefused, match="unavailable"):
            await desktop.prepare("1001", "right")
        at.transport.reconnect()
        await desktop.until(lambda: len(desktop.service_events) == 2, "service up")
        assert [one["name"] for one in desktop.service_events] == ["service.down", "service.up"]
        await desktop.login("1001", "right")


# -- limits ------------------------------------------------------------------------------------------------


async def test_broken_messages_are_answered_and_the_connection_is_kept() -> None:
    async with service() as at, raw(at) as socket:
        for text, code in [
            ("{", "invalid-json"),
            ("[" * 30_000, "invalid-json"),
            ('"word"', "invalid-message"),
            ('{"command": 5}', "invalid-message"),
            ('{"command": "getServices", "data": []}', "invalid-message"),
            ('{"command": "getServices", "target": {}}', "invalid-message"),
            ('{"command": "getServices", "requestId": 5}', "invalid-message"),
        ]:
            answer = await say(socket, text)
            assert (answer["result"], answer["failure"]["code"]) == ("failure", code), text
            assert "original" in answer
        assert (await say(socket, {"command": "getServices"}))["result"] == "success"


STRANGE = [None, True, 5, -1.5, "", "x" * 300, "\x00\n", "../..", [], [[]], {}, {"agent": {}}, {"id": None}]


async def test_strange_messages_get_exactly_one_answer_each() -> None:
    """Whatever stands where, one response comes, and it says what was asked."""
    random = Random(7)  # noqa: S311 - the same messages each time
    names = ["getServices", "bindService", "bindResource", "unbindResource", "prepareSession", *VERBS]
    async with service() as at, raw(at) as socket:
        for number in range(400):
            message = {
                key: random.choice(STRANGE)
                for key in ("target", "data", "context", "extra")
                if random.random() < 0.7
            }
            message["command"] = random.choice([*names, *STRANGE])
            if isinstance(message.get("data"), dict):
                keys = ("service", "resource", "agent", "override", "model", "extension", "extensions")
                message["data"] = {key: random.choice(STRANGE) for key in keys if random.random() < 0.5}
            answer = await say(socket, {**message, "requestId": str(number)})
            assert answer["requestId"] == str(number)
            assert answer["result"] in {"success", "failure"}
            if answer["result"] == "failure":
                assert answer["failure"]["code"] != "internal", message
                assert answer["original"] == {**message, "requestId": str(number)}
        assert not at.asked("cti.request.createsession")


@pytest.mark.parametrize(("message", "status"), [("x" * 70_000, 1009), (b"{}", 1003)])
async def test_what_ends_the_connection(message: str | bytes, status: int) -> None:
    async with service() as at, raw(at) as socket:
        with pytest.raises(ConnectionClosed):
            await say(socket, message)
        assert socket.close_code == status


async def test_other_origins_are_kept_out() -> None:
    async with service(origins=("https://desk.example",)) as at:
        async with DesktopClient(at.door.url, origin="https://desk.example") as desktop:
            assert await desktop.services()
        with pytest.raises(DesktopGone, match="403"):
            await DesktopClient(at.door.url, origin="https://elsewhere.example").connect()


async def test_no_more_desktops_than_there_may_be() -> None:
    async with service(most=1) as at, DesktopClient(at.door.url) as desktop:
        await desktop.services()
        with pytest.raises(DesktopGone, match="503"):
            await DesktopClient(at.door.url).connect()


async def test_too_many_commands_at_once_are_refused() -> None:
    async with service() as at, logged_in(at) as (desktop, session):
        with at.slow_connector():
            asked = [
                asyncio.create_task(desktop.do("session.getteamstatus", target=session.id)) for _ in range(33)
            ]
            done, _ = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
            with pytest.raises(DesktopRefused, match="busy"):
                await done.pop()
        answers = await asyncio.gather(*asked, return_exceptions=True)
        assert sum(isinstance(one, dict) for one in answers) == 32


# -- secrets and debugging -----------------------------------------------------------------------------------


@pytest.mark.parametrize("debug", [False, True])
async def test_context_is_there_in_debug_mode_only(debug: bool) -> None:
    async with service(debug=debug) as at, logged_in(at) as (desktop, session):
        at.client.on["channel.request.dial"] = lambda *_: "The number is refused."
        target = session.view.channel.target
        asked = {
            "command": "channel.dial",
            "target": target,
            "data": {"destination": "1"},
            "context": "test 7",
        }
        await desktop.do("unbindResource", {"resource": session.id})
        async with raw(at) as socket:
            await say(socket, {"command": "bindResource", "data": {"resource": session.id, **LOGIN}})
            answer = await say(socket, asked)
        assert answer["original"] == asked
        assert answer.get("context") == ("test 7" if debug else None)
        assert answer["failure"].pop("context", "").startswith("channel.request.dial" if debug else "")
        assert answer["failure"] == {"code": "refused", "message": "The number is refused."}


async def test_no_password_reaches_a_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    secret = "s3cr3t-word"
    with structlog.testing.capture_logs() as told:
        async with service(debug=True) as at, raw(at) as socket:
            for agent in ({"id": "1001", "password": secret}, {"id": secret, "password": [secret]}):
                answer = await say(socket, {"command": "prepareSession", "data": {"agent": agent}})
                assert answer["original"]["data"]["agent"] == agent
                for name in ("bindResource", "unknown", secret[:3] + "prepareSession"):
                    data = {"resource": "x", "agent": agent}
                    assert (await say(socket, {"command": name, "data": data}))["result"] == "failure"
    assert told
    assert secret not in repr(told)
    assert secret not in caplog.text
