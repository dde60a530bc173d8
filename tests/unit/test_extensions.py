"""Our own extension: facts of events, the model's word on them, names of files, the destinations."""

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from one_agent import Ada
from scripted_pbx import ScriptedPbx
from telephony_script import (
    AGENT,
    CUSTOMER,
    agent_answers,
    agent_rings,
    customer_waits,
    feed,
    watching,
)
from test_events import event
from tree_door import CHANNEL, INTERACTION, Bridge, Wire

from connector.asterisk.events import translate, translate_channel_row, translate_marks
from connector.asterisk.recording import file_name
from connector.asterisk.settings import RECORDING_FIELDS, RecordingSettings
from connector.asterisk.wire import AmiMessage
from connector.bridge.messages import Message, Result, event_message
from connector.bridge.messages import extensions as wire
from connector.destinations.control import Control
from connector.destinations.site import Site
from connector.destinations.tree import Tree
from connector.processor.effects import ProtocolViolation, apply_event
from connector.processor.nodes import ChannelNode, InteractionNode, Scope
from connector.settings_schema import RecordingSettings as Schema
from connector.telephony import facts
from connector.telephony.changes import (
    InteractionAdded,
    MuteChanged,
    RecordingChanged,
    SupervisionChanged,
)
from connector.telephony.facts import Fact
from connector.telephony.model import TelephonyModel
from connector.telephony.states import Recording, Supervision

SUPERVISOR = "s-leg"


# -- facts ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "headers", "state"),
    [
        ("MixMonitorStart", {}, Recording.ON),
        ("MixMonitorStop", {}, Recording.OFF),
        ("MixMonitorMute", {"Direction": "both", "State": "1"}, Recording.PAUSED),
        ("MixMonitorMute", {"Direction": "both", "State": "0"}, Recording.ON),
    ],
)
def test_what_asterisk_says_of_recordings(name: str, headers: dict[str, str], state: Recording) -> None:
    assert translate(event(name, Uniqueid="9.1", **headers)) == [facts.LegRecorded("9.1", state)]


def test_half_a_pause_is_none() -> None:
    assert translate(event("MixMonitorMute", Uniqueid="9.1", Direction="read", State="1")) == []


@pytest.mark.parametrize(("value", "muted"), [("1", True), ("", False)])
def test_muting_is_told_by_our_own_variable(value: str, muted: bool) -> None:
    said = event("VarSet", Uniqueid="9.1", Variable="HARMONY_X_MUTED", Value=value)
    assert translate(said) == [facts.LegMuted("9.1", muted)]


@pytest.mark.parametrize(
    ("context", "extension", "fact"),
    [
        ("harmony-supervise", "WHISPER", facts.SpyStarted("9.8", "9.1", Supervision.WHISPER)),
        ("harmony-whisper", "BARGE", facts.SpyStarted("hs-1", "9.1", Supervision.BARGE)),
        ("harmony-whisper", "VOICE", facts.SpyStarted("hs-1", "9.1")),
        ("harmony-voice", "listen", facts.SpyStarted("9.8", "9.1")),
        ("somebody-elses", "MONITOR", facts.SpyStarted("9.8", "9.1")),
    ],
)
def test_who_spies_on_whom(context: str, extension: str, fact: Fact) -> None:
    said = {"SpyerContext": context, "SpyerExten": extension, "SpyeeUniqueid": "9.1"}
    assert translate(event("ChanSpyStart", SpyerUniqueid="9.8", SpyerLinkedid="hs-1", **said)) == [fact]
    row = {"Context": context, "Exten": extension, "Application": "ChanSpy", "ApplicationData": "9.1,quES"}
    assert translate_marks(event("CoreShowChannel", Uniqueid="9.8", Linkedid="hs-1", **row)) == [fact]


def test_a_row_tells_of_recording_and_muting_by_our_variables() -> None:
    def marks(*variables: str) -> list[Fact]:
        headers = [("ChanVariable", one) for one in variables]
        return translate_marks(AmiMessage([("Event", "CoreShowChannel"), ("Uniqueid", "9.1"), *headers]))

    assert marks("HARMONY_X_RECORDING=PAUSED") == [facts.LegRecorded("9.1", Recording.PAUSED)]
    assert marks("HARMONY_X_RECORDING=", "HARMONY_X_MUTED=1") == [facts.LegMuted("9.1", muted=True)]
    assert marks("HARMONY_X_RECORDING=perhaps") == marks() == []


def test_a_row_tells_that_a_leg_is_a_supervisors() -> None:
    row = AmiMessage(
        [
            *{
                "Event": "CoreShowChannel",
                "Channel": "PJSIP/1003-00000001",
                "Uniqueid": "hs-1",
                "Linkedid": "hs-1",
                "ChannelState": "6",
            }.items(),
            ("ChanVariable", "HARMONY_ID=9.1"),
            ("ChanVariable", "HARMONY_ROLE=supervisor"),
        ]
    )
    created = translate_channel_row(row)[0]
    assert isinstance(created, facts.LegCreated)
    assert created.supervises == "9.1"


# -- the model -----------------------------------------------------------------------------------------------


def talking() -> TelephonyModel:
    model = watching()
    feed(model, *customer_waits(), *agent_rings(), *agent_answers())
    return model


def test_a_recording_is_the_customers_legs() -> None:
    model = talking()
    assert feed(model, facts.LegRecorded(AGENT, Recording.ON)) == []
    assert feed(model, facts.LegRecorded(CUSTOMER, Recording.ON)) == [RecordingChanged(AGENT, Recording.ON)]
    assert feed(model, facts.LegRecorded(CUSTOMER, Recording.ON)) == []
    paused = facts.LegRecorded(CUSTOMER, Recording.PAUSED)
    assert feed(model, paused) == [RecordingChanged(AGENT, Recording.PAUSED)]


def test_a_caller_who_is_recorded_already_is_so_from_the_start() -> None:
    model = watching()
    feed(model, *customer_waits(), facts.LegRecorded(CUSTOMER, Recording.ON), *agent_rings())
    interaction = model.interaction(AGENT)
    assert interaction is not None
    assert interaction.recording is Recording.ON


def test_muting_is_the_agents_legs() -> None:
    model = talking()
    assert feed(model, facts.LegMuted(CUSTOMER, muted=True)) == []
    assert feed(model, facts.LegMuted(AGENT, muted=True)) == [MuteChanged(AGENT, muted=True)]


def test_a_supervisors_leg_is_no_interaction_and_its_life_is_told() -> None:
    model = talking()
    model.watch("1003")
    model.expect_supervision(SUPERVISOR, AGENT)
    called = feed(
        model,
        facts.LegCreated(SUPERVISOR, "1003", SUPERVISOR, placed=False),
        facts.DialStarted(None, SUPERVISOR),
        facts.LegAnswered(SUPERVISOR),
    )
    assert called == [SupervisionChanged("1003", AGENT, Supervision.CALLING)]
    spying = facts.SpyStarted(SUPERVISOR, AGENT, Supervision.MONITOR)
    assert feed(model, spying, spying) == [SupervisionChanged("1003", AGENT, Supervision.MONITOR)]
    assert [one.id for one in model.supervisors_of(AGENT)] == [SUPERVISOR]
    assert feed(model, facts.LegEnded(SUPERVISOR, 16)) == [SupervisionChanged("1003", AGENT, Supervision.OFF)]
    assert model.supervisor("1003") is None
    assert model.interactions("1003") == []


def test_a_supervision_that_a_new_connector_finds_is_no_interaction_either() -> None:
    model = TelephonyModel()
    found = facts.LegCreated(SUPERVISOR, "1003", SUPERVISOR, placed=False, answered=True, supervises=AGENT)
    feed(model, found, facts.SpyStarted(SUPERVISOR, AGENT, Supervision.BARGE))
    assert not [one for one in model.watch("1003") if isinstance(one, InteractionAdded)]
    leg = model.supervisor("1003")
    assert leg is not None
    assert leg.supervision is Supervision.BARGE


# -- names of files ------------------------------------------------------------------------------------------

NOW = datetime(2026, 11, 21, 9, 5, 7, tzinfo=UTC)
EVERYTHING = RecordingSettings(name="-".join(f"{{{field}}}" for field in RECORDING_FIELDS))


def test_the_name_of_a_recording() -> None:
    model = talking()
    interaction = model.interaction(AGENT)
    assert interaction is not None
    name = file_name(RecordingSettings(), interaction, "1001", NOW)
    assert re.fullmatch(r"harmony/2026-11-21/090507-1001-2001-[0-9a-f]{8}\.wav", name)
    every = file_name(EVERYTHING, interaction, "", NOW)
    assert every.startswith("harmony/2026-11-21-090507-none-1001-2001-INBOUND-support-a-leg-")


@given(st.text(max_size=60), st.text(max_size=60), st.text(max_size=60))
def test_nothing_from_outside_leads_out_of_the_directory(number: str, agent: str, queue: str) -> None:
    model = talking()
    interaction = model.interaction(AGENT)
    assert interaction is not None
    party = interaction.primary.parties[CUSTOMER]
    interaction.primary.parties[CUSTOMER] = replace(party, address=number)
    interaction.data["QUEUE"] = queue
    name = file_name(EVERYTHING, interaction, agent, NOW)
    assert re.fullmatch(r"harmony/[A-Za-z0-9_-]+\.wav", name)


@pytest.mark.parametrize(
    "wrong",
    [
        "{unique}/../x",
        "../{unique}",
        "/{unique}",
        "{unique}//x",
        "{who}{unique}",
        "x",
        "${unique}",
        "a,{unique}",
    ],
)
def test_a_pattern_that_could_lead_astray_is_refused(wrong: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"name": wrong}, Schema)
    msgspec.convert({"name": "{date}/x.{queue}/{unique}", "directory": "/var/rec.d/a"}, Schema)


# -- the destinations ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Agents:
    """1001 of the team blue; 1002, whose call is watched here, of the given team."""

    supervises: tuple[str, ...] = ()
    team: str = "red"

    def agents(self) -> tuple[Ada, ...]:
        return (Ada(supervises=self.supervises), Ada("1002", "bob", extension="1002", team=self.team))

    def get(self, agent_id: str) -> Ada | None:
        return next((one for one in self.agents() if agent_id in {one.agent_id, one.login}), None)

    async def verify(self, agent_id: str, password: str) -> bool:
        return self.get(agent_id) is not None and password == "right"


class Extended(Bridge):
    """A bridge of a site that uses the extension, or not."""

    def __init__(self, agents: Agents | None = None, *, enabled: bool = True) -> None:
        super().__init__()
        self.pbx: Any = ScriptedPbx()
        self.wire = Wire()
        self.tree = Tree("P", self.pbx, agents or Agents(), self.wire, Site(extensions=enabled))
        Control(self.tree)

    async def supervise(self, agent: str = "1002", mode: str = "MONITOR") -> Message:
        return await self.ask("channel.request.x-supervise", CHANNEL, agentId=agent, mode=mode)

    def colleague_talks(self) -> None:
        self.pbx.watch("1002")
        self.pbx.tell(
            facts.LegCreated("b", "1002", "b", placed=True, dialled="2002"),
            facts.LegAnswered("b"),
            facts.LegCreated("d", "2002", "b", placed=False, number="2002"),
            facts.DialStarted("b", "d"),
            facts.LegAnswered("d"),
            facts.LegJoined("b", "b9"),
            facts.LegJoined("d", "b9"),
        )


async def test_recording_and_muting_are_told_as_events_and_as_data() -> None:
    bridge = Extended()
    await bridge.log_in()
    await bridge.take_call()
    bridge.pbx.tell(*agent_answers())
    bridge.take_events()
    started = await bridge.must("interaction.request.x-startrecording", INTERACTION)
    assert started.body == {"file": "harmony/file.wav"}
    await bridge.must("interaction.request.x-pauserecording", INTERACTION)
    await bridge.must("interaction.request.x-mute", INTERACTION)
    assert bridge.take_events() == [
        "interaction.x-recordingchanged ON",
        "interaction.datachanged {'X_RECORDING': 'ON'}",
        "interaction.x-recordingchanged PAUSED",
        "interaction.datachanged {'X_RECORDING': 'PAUSED'}",
        "interaction.x-mutechanged True",
        "interaction.datachanged {'X_MUTED': True}",
    ]
    data = (await bridge.must("interaction.request.getdata", INTERACTION)).body["interaction-data"]
    assert (data["X_RECORDING"], data["X_MUTED"]) == ("PAUSED", True)
    await bridge.must("interaction.request.x-resumerecording", INTERACTION)
    await bridge.must("interaction.request.x-stoprecording", INTERACTION)
    await bridge.must("interaction.request.x-unmute", INTERACTION)
    data = (await bridge.must("interaction.request.getdata", INTERACTION)).body["interaction-data"]
    assert not {"X_RECORDING", "X_MUTED"} & data.keys()


async def test_where_it_is_not_enabled_nothing_of_it_is_on_the_wire() -> None:
    bridge = Extended(Agents(("*",)), enabled=False)
    await bridge.log_in()
    await bridge.take_call()
    bridge.pbx.tell(*agent_answers())
    bridge.take_events()
    bridge.pbx.tell(facts.LegRecorded(CUSTOMER, Recording.ON), facts.LegMuted(AGENT, muted=True))
    assert bridge.take_events() == []
    data = (await bridge.must("interaction.request.getdata", INTERACTION)).body["interaction-data"]
    assert not {"X_RECORDING", "X_MUTED"} & data.keys()
    asked = [("interaction.request.x-mute", INTERACTION), ("channel.query.x-supervision", CHANNEL)]
    asked.append(("channel.query.x-capabilities", CHANNEL))
    for name, target in asked:
        answer = await bridge.ask(name, target)
        assert answer.error_message == (
            "Messages with x- are an extension that is not enabled here (extensions.enabled)."
        )


@pytest.mark.parametrize(
    ("agents", "agent", "said"),
    [
        (Agents(), "1002", "You may not supervise other agents."),
        (Agents(("blue",)), "1002", "You may not supervise this agent."),
        (Agents(("blue",)), "9999", "You may not supervise this agent."),
        (Agents(("blue",)), "1001", "Nobody can supervise their own calls."),
        (Agents(("red",)), "1002", None),
        (Agents(("*",)), "bob", None),
    ],
)
async def test_who_may_supervise_whom(agents: Agents, agent: str, said: str | None) -> None:
    bridge = Extended(agents)
    bridge.colleague_talks()
    await bridge.log_in()
    answer = await bridge.supervise(agent)
    assert answer.error_message == said


async def test_what_the_pbx_cannot_do_at_a_phone_is_told_when_asked() -> None:
    bridge = Extended()
    await bridge.log_in()
    told = await bridge.must("channel.query.x-capabilities", CHANNEL)
    assert told.body == {
        "unsupported": ("conversation.request.hold",),
        "limits": ("A call is held on the phone.",),
    }


async def test_whoever_else_sits_at_an_agents_phone_is_not_listened_to() -> None:
    bridge = Extended(Agents(("red",)))
    bridge.colleague_talks()
    bridge.pbx.tell(facts.MemberChanged("support", "1002", "1001", paused=True, reason=""))
    await bridge.log_in()
    assert (await bridge.supervise()).error_message == "Agent 1002 has no answered call at the moment."
    bridge.pbx.tell(facts.MemberGone("support", "1002"))
    assert (await bridge.supervise()).result is Result.SUCCESS


async def test_a_supervision_is_told_asked_and_ended_with_the_session() -> None:
    bridge = Extended(Agents(("*",)))
    await bridge.log_in()
    assert (await bridge.supervise()).error_message == "Agent 1002 has no answered call at the moment."
    bridge.colleague_talks()
    assert (await bridge.supervise()).result is Result.SUCCESS
    assert bridge.take_events()[-2:] == [
        "channel.x-supervisionchanged CALLING 1002 b",
        "channel.x-supervisionchanged MONITOR 1002 b",
    ]
    told = await bridge.must("channel.query.x-supervision", CHANNEL)
    assert told.body == {"state": "MONITOR", "endpoint": "1002", "nativeid": "b"}
    await bridge.must("session.request.close", "desk.S1")
    assert "channel.x-supervisionchanged OFF" in bridge.take_events()


# -- the referee ---------------------------------------------------------------------------------------------


def test_the_referee_wants_news() -> None:
    call, channel = InteractionNode(Scope.INTERACTION, "s.g.c.i"), ChannelNode(Scope.CHANNEL, "s.g.c")
    on = wire.RecordingChanged(recording=wire.RecordingState.ON)
    apply_event(call, event_message("t", on).name, on, expected=False)
    ringing = wire.SupervisionChanged(state=wire.SupervisionState.CALLING, endpoint="1001", nativeid="a")
    apply_event(channel, event_message("t", ringing).name, ringing, expected=False)
    for node, body in ((call, on), (channel, ringing), (call, wire.MuteChanged(muted=False))):
        with pytest.raises(ProtocolViolation, match="tells something new"):
            apply_event(node, event_message("t", body).name, body, expected=False)
