"""Silent monitoring, whispering and barging in, proven by ear."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from calls import HELD, Call, Origin, make_call
from desk import WAIT, Desk, deep_merge, desk
from phone_keys import consult_while_held
from test_colleague import make_pair
from test_recording import extended, finish, refusal
from test_sent_on import bring_together

from connector.bridge.catalogue.conversation import ConversationState
from connector.bridge.catalogue.extensions import SupervisionMode, SupervisionState
from connector.lab.phones.base import CallState, Phone, PhoneCall
from connector.lab.phones.hearing import expect_hears, hears
from connector.lab.provider import LabInfo, LabProvider
from connector.processor.handles import Channel, Conversation
from connector.processor.server import Session

MONITOR, WHISPER, BARGE = SupervisionMode.MONITOR, SupervisionMode.WHISPER, SupervisionMode.BARGE
State = SupervisionState
TALKING = ConversationState.TALKING

_LASTING = 0.8
"""Seconds of music that are no remainder."""

BLUE = {
    "agents": {
        "1001": {"team": "blue"},
        "1002": {"team": "red"},
        "1003": {"team": "", "supervises": ["blue"]},
        "1004": {"team": "blue"},
    }
}
"""1003 may supervise 1001 and 1004 but not 1002; 1004 nobody."""


EVERYBODY = {"agents": {"1003": {"supervises": ["*"]}}}


@dataclass
class Watched:
    """A call of agent 1001 with customer 2001; supervisor 1003 at hand."""

    call: Call
    session: Session
    supervisor: Phone
    target: Phone

    @property
    def channel(self) -> Channel:
        channel: Channel = self.session.channel
        return channel

    async def supervise(self, mode: SupervisionMode) -> None:
        await self.channel.supervise("1001", mode)
        await self.channel.wait_supervision(State(mode))

    async def expect(self, agent: str, customer: str, supervisor: str, target: str = "") -> None:
        """Expect who hears whom; names are separated by blanks."""
        phones = {self.call.agent: agent, self.call.customer: customer, self.supervisor: supervisor}
        if self.target.calls:
            phones[self.target] = target
        await expect_hears({phone: set(names.split()) for phone, names in phones.items()})

    async def consult(self) -> Conversation:
        consult = await self.call.interaction.consult("1002")
        await (await self.target.next_call(WAIT)).answer()
        await consult.wait_state(TALKING)
        return consult

    async def consult_on_the_phone(self) -> tuple[Conversation, PhoneCall]:
        await self.call.agent.calls[0].hold()
        await self.call.primary.wait_state(HELD)
        return await consult_while_held(self.call)

    async def over(self) -> None:
        await finish(self.call)
        await self.channel.wait_supervision(State.OFF)
        await self.session.close()
        await no_leg_left(self.call.desk)


async def no_leg_left(at_desk: Desk) -> None:
    """Wait until the last internal leg is gone: each ends on its own when its call does."""
    pbx = at_desk.connector.pbx
    await pbx._exchange.until(lambda: not pbx.model.legs.legs, "end of every leg", WAIT)


async def watched_at(at_desk: Desk, origin: Origin) -> Watched:
    """Log supervisor 1003 in, and make the call."""
    supervisor = await at_desk.agent_phone("1003")
    session = await at_desk.login("1003", ready=False)
    call = await make_call(at_desk, origin)
    return Watched(call, session, supervisor, call.target)


@pytest.fixture(params=["queue", "dial"])
async def watched(
    provider: LabProvider, lab: LabInfo, tmp_path: Path, request: pytest.FixtureRequest
) -> AsyncIterator[Watched]:
    over = deep_merge(extended(lab), BLUE)
    async with desk(provider, lab, tmp_path, over) as at_desk:
        yield await watched_at(at_desk, request.param)


async def test_a_supervisor_listens_unheard_then_whispers_then_barges_in(watched: Watched) -> None:
    await watched.supervise(MONITOR)
    await watched.expect("2001", "1001", "1001 2001")
    await watched.supervise(WHISPER)
    await watched.expect("2001 1003", "1001", "1001 2001")
    await watched.supervise(BARGE)
    await watched.expect("2001 1003", "1001 1003", "1001 2001")
    await watched.supervise(MONITOR)
    await watched.expect("2001", "1001", "1001 2001")
    told = await watched.channel.ask_supervision()
    assert told is not None
    assert (told.state, told.endpoint, told.nativeid) == (
        State.MONITOR,
        "1001",
        watched.call.interaction.nativeid,
    )
    await watched.channel.stop_supervision()
    assert watched.channel.supervision is not None
    assert watched.channel.supervision.state is State.OFF
    await expect_hears({watched.call.agent: {"2001"}, watched.call.customer: {"1001"}})
    # A supervision is no contact with a customer.
    assert watched.channel.interactions == []
    await watched.over()


async def test_listening_follows_the_agent_through_hold_consult_and_conference(watched: Watched) -> None:
    call = watched.call
    await watched.supervise(MONITOR)
    await call.interaction.primary.hold()
    await watched.expect("", "MOH", "1001")
    await call.interaction.primary.retrieve()
    await watched.expect("2001", "1001", "1001 2001")
    await watched.consult()
    await watched.expect("1002", "MOH", "1001 1002", "1001")
    await call.interaction.alternate()
    await watched.expect("2001", "1001", "1001 2001", "MOH")
    await call.interaction.consult_conference()
    await watched.expect("2001 1002", "1001 1002", "1001 1002 2001", "1001 2001")
    await watched.target.calls[0].hangup()
    await watched.over()


async def test_a_whisper_reaches_the_agent_only_wherever_the_call_goes(watched: Watched) -> None:
    call = watched.call
    await watched.supervise(WHISPER)
    await call.interaction.primary.hold()
    await watched.expect("1003", "MOH", "1001")
    await call.interaction.primary.retrieve()
    await watched.expect("2001 1003", "1001", "1001 2001")
    await watched.consult()
    await watched.expect("1002 1003", "MOH", "1001 1002", "1001")
    await call.interaction.consult_conference()
    await watched.expect("2001 1002 1003", "1001 1002", "1001 1002 2001", "1001 2001")
    await watched.target.calls[0].hangup()
    await watched.over()


async def test_who_barges_in_is_heard_by_those_that_talk_to_the_agent(watched: Watched) -> None:
    call = watched.call
    await watched.supervise(BARGE)
    await call.interaction.primary.hold()
    await watched.expect("1003", "MOH", "1001")
    await call.interaction.primary.retrieve()
    await watched.expect("2001 1003", "1001 1003", "1001 2001")
    consult = await watched.consult()
    await watched.expect("1002 1003", "MOH", "1001 1002", "1001 1003")
    await call.interaction.alternate()
    await watched.expect("2001 1003", "1001 1003", "1001 2001", "MOH")
    await call.interaction.consult_conference()
    assert consult.state is ConversationState.RELEASED
    await watched.expect("2001 1002 1003", "1001 1002 1003", "1001 1002 2001", "1001 1003 2001")
    await watched.supervise(WHISPER)
    await watched.expect("2001 1002 1003", "1001 1002", "1001 1002 2001", "1001 2001")
    await watched.target.calls[0].hangup()
    await watched.over()


@pytest.mark.parametrize("mode", [MONITOR, BARGE])
async def test_listening_follows_the_agent_into_a_consult_on_the_phone_itself(
    watched: Watched, mode: SupervisionMode
) -> None:
    call = watched.call
    heard = " 1003" if mode is BARGE else ""
    await watched.supervise(mode)
    consult, second = await watched.consult_on_the_phone()
    await watched.expect("1002" + heard, "MOH", "1001 1002", "1001" + heard)
    # The phone alternates with its own keys, then the desktop does: that brings both calls onto one leg.
    await second.hold()
    await consult.wait_state(HELD)
    await call.agent.calls[0].resume()
    await call.primary.wait_state(TALKING)
    await watched.expect("2001" + heard, "1001" + heard, "1001 2001", "MOH")
    await call.interaction.alternate()
    await watched.expect("1002" + heard, "MOH", "1001 1002", "1001" + heard)
    assert len(call.agent.calls) == 1
    await call.interaction.alternate()
    await watched.expect("2001" + heard, "1001" + heard, "1001 2001", "MOH")
    await consult.release()
    await watched.expect("2001" + heard, "1001" + heard, "1001 2001")
    await watched.over()


@pytest.mark.parametrize("mode", [MONITOR, BARGE])
async def test_whom_the_phone_holds_keeps_the_music_when_a_supervisor_comes(
    watched: Watched, mode: SupervisionMode
) -> None:
    call, heard = watched.call, " 1003" if mode is BARGE else ""
    first = call.agent.calls[0]
    await first.hold()
    await call.primary.wait_state(HELD)
    await watched.supervise(mode)
    await expect_hears({call.agent: set(), call.customer: {"MOH"}}, stable=_LASTING)
    await first.resume()
    await call.primary.wait_state(TALKING)
    await watched.expect("2001" + heard, "1001" + heard, "1001 2001")
    await watched.over()


@pytest.mark.parametrize("who", ["talks", "is held"])
async def test_listening_goes_on_where_the_first_of_the_phones_calls_ends(watched: Watched, who: str) -> None:
    call = watched.call
    await watched.supervise(WHISPER)
    consult, second = await watched.consult_on_the_phone()
    first = call.agent.calls[0]
    await watched.expect("1002 1003", "MOH", "1001 1002", "1001")
    if who == "talks":
        await second.hold()
        await consult.wait_state(HELD)
        await first.resume()
        await call.primary.wait_state(TALKING)
        await watched.expect("2001 1003", "1001", "1001 2001", "MOH")
    await call.customers_call.hangup()
    await call.primary.wait_state(ConversationState.RELEASED)
    if who == "talks":
        await second.resume()
        await consult.wait_state(TALKING)
    await expect_hears(
        {call.agent: {"1002", "1003"}, call.target: {"1001"}, watched.supervisor: {"1001", "1002"}}
    )
    # Who begins to supervise now has no first leg to listen to.
    await watched.channel.stop_supervision()
    await watched.supervise(MONITOR)
    await expect_hears({call.agent: {"1002"}, call.target: {"1001"}, watched.supervisor: {"1001", "1002"}})
    await second.hangup()
    await watched.channel.wait_supervision(State.OFF)
    await call.over()
    await watched.session.close()
    await no_leg_left(call.desk)


@pytest.mark.parametrize("mode", [MONITOR, BARGE])
@pytest.mark.parametrize("who", ["agent", "consulted", "bridge"])
async def test_listening_goes_on_where_the_second_of_the_phones_calls_ends(
    watched: Watched, mode: SupervisionMode, who: str
) -> None:
    call, heard = watched.call, " 1003" if mode is BARGE else ""
    await watched.supervise(mode)
    consult, second = await watched.consult_on_the_phone()
    await watched.expect("1002" + heard, "MOH", "1001 1002", "1001" + heard)
    if who == "bridge":
        await consult.release()
    else:
        await (second if who == "agent" else call.target.calls[0]).hangup()
    await consult.wait_state(ConversationState.RELEASED)
    await call.agent.calls[0].resume()
    await call.primary.wait_state(TALKING)
    await watched.expect("2001" + heard, "1001" + heard, "1001 2001")
    await watched.over()


async def test_who_picks_up_late_hears_the_leg_that_is_left(watched: Watched) -> None:
    call = watched.call
    watched.supervisor.honour_auto_answer = False
    await watched.channel.supervise("1001", MONITOR)
    ringing = await watched.supervisor.next_call(WAIT)
    _, second = await watched.consult_on_the_phone()
    await call.customers_call.hangup()
    await call.primary.wait_state(ConversationState.RELEASED)
    await ringing.answer()
    await watched.channel.wait_supervision(State.MONITOR)
    await expect_hears({call.agent: {"1002"}, call.target: {"1001"}, watched.supervisor: {"1001", "1002"}})
    await second.hangup()
    await watched.channel.wait_supervision(State.OFF)
    await call.over()
    await watched.session.close()


@pytest.mark.parametrize("mode", [MONITOR, WHISPER, BARGE])
async def test_a_leg_that_is_told_nobody_to_listen_to_hears_nobody(
    watched: Watched, mode: SupervisionMode
) -> None:
    """What a connector sends that goes with another version of `harmony.conf`."""
    call = watched.call
    watched.supervisor.answer_mode = "auto"
    await call.desk.connector.pbx._link.send(
        "Originate",
        {
            "Channel": "PJSIP/1003",
            "Context": "harmony-supervise",
            "Exten": mode,
            "Priority": "1",
            "Async": "true",
            "ChannelId": "hs-old",
            "Variable": ["HARMONY_ID=another-leg", "HARMONY_ROLE=supervisor"],
        },
    )
    spying = await watched.supervisor.next_call(WAIT)
    while spying.state is not CallState.ENDED:
        assert not hears(watched.supervisor)
        await watched.supervisor.pulse.wait()
    await expect_hears({call.agent: {"2001"}, call.customer: {"1001"}})
    await finish(call)
    await watched.session.close()
    await no_leg_left(call.desk)


async def test_a_supervision_begins_in_the_middle_and_ends_with_the_agents_part(watched: Watched) -> None:
    call = watched.call
    await watched.consult()
    await watched.supervise(BARGE)
    await watched.expect("1002 1003", "MOH", "1001 1002", "1001 1003")
    await call.interaction.consult_transfer()
    await watched.channel.wait_supervision(State.OFF)
    await expect_hears({call.customer: {"1002"}, watched.target: {"2001"}})
    assert not watched.supervisor.calls
    await watched.over()


async def test_the_supervisor_hangs_up_and_may_come_back(watched: Watched) -> None:
    for mode in (BARGE, MONITOR):
        await watched.supervise(mode)
        await watched.expect(
            "2001 1003" if mode is BARGE else "2001", "1001 1003" if mode is BARGE else "1001", "1001 2001"
        )
        await watched.supervisor.calls[0].hangup()
        await watched.channel.wait_supervision(State.OFF)
        await watched.expect("2001", "1001", "")
    await watched.over()


async def test_two_supervisors_of_one_agent_do_not_hear_each_other(
    provider: LabProvider, lab: LabInfo, tmp_path: Path
) -> None:
    over = deep_merge(deep_merge(extended(lab), BLUE), {"agents": {"1005": {"supervises": ["*"]}}})
    async with desk(provider, lab, tmp_path, over) as at_desk:
        watched = await watched_at(at_desk, "dial")
        second, fifth = await at_desk.agent_phone("1005"), await at_desk.login("1005", ready=False)
        await watched.supervise(BARGE)
        await fifth.channel.supervise("1001", BARGE)
        await fifth.channel.wait_supervision(State.BARGE)
        await watched.expect("2001 1003 1005", "1001 1003 1005", "1001 2001")
        await expect_hears({second: {"1001", "2001"}})
        await fifth.channel.stop_supervision()
        await watched.expect("2001 1003", "1001 1003", "1001 2001")
        await fifth.close()
        await watched.over()


async def test_a_phone_that_is_not_picked_up_or_declines_supervises_nothing(watched: Watched) -> None:
    watched.supervisor.honour_auto_answer = False
    await watched.channel.supervise("1001", MONITOR)
    assert watched.channel.supervision is not None
    assert watched.channel.supervision.state is State.CALLING
    said = await refusal(lambda: watched.channel.supervise("1001", WHISPER))
    assert said == "Phone 1003 still rings for this call."
    await (await watched.supervisor.next_call(WAIT)).reject()
    await watched.channel.wait_supervision(State.OFF)
    # The call that was to be supervised ends: the phone stops ringing.
    await watched.channel.supervise("1001", MONITOR)
    ringing = await watched.supervisor.next_call(WAIT)
    await watched.over()
    await ringing.wait_state("ended", WAIT)


async def test_who_may_not_supervise_is_refused(watched: Watched) -> None:
    bridge, channel = watched.call.desk.bridge, watched.channel
    for agent in ("1002", "9999"):
        assert (
            await refusal(lambda who=agent: channel.supervise(who, MONITOR))
            == "You may not supervise this agent."
        )  # type: ignore[misc]
    assert await refusal(lambda: channel.supervise("1004", MONITOR)) == (
        "Agent 1004 has no answered call at the moment."
    )
    account = watched.call.desk.info.agents["1004"]
    fourth = await bridge.login("1004", account.password, extension="1004")
    assert await refusal(lambda: fourth.channel.supervise("1001", MONITOR)) == (
        "You may not supervise other agents."
    )
    await fourth.close()
    assert await refusal(channel.stop_supervision) == "Phone 1003 supervises no call."
    await watched.supervise(MONITOR)
    assert await refusal(lambda: channel.supervise("1001", MONITOR)) == (
        "Phone 1003 supervises this call in mode MONITOR already."
    )
    assert await refusal(lambda: channel.dial("2002")) == "Phone 1003 supervises a call: stop that first."
    await watched.over()


async def test_a_session_that_closes_stops_listening(watched: Watched) -> None:
    await watched.supervise(BARGE)
    await watched.session.close()
    await expect_hears({watched.call.agent: {"2001"}, watched.call.customer: {"1001"}})
    assert not watched.supervisor.calls
    await finish(watched.call)
    await no_leg_left(watched.call.desk)


async def test_a_connector_that_is_started_anew_knows_the_supervision_and_can_change_it(
    provider: LabProvider, lab: LabInfo, tmp_path: Path
) -> None:
    over = deep_merge(extended(lab), BLUE)
    async with desk(provider, lab, tmp_path, over) as first:
        watched = await watched_at(first, "dial")
        await watched.supervise(BARGE)
        await watched.expect("2001 1003", "1001 1003", "1001 2001")
        async with desk(provider, lab, tmp_path, over, calls_stay=True) as second:
            account = lab.agents["1003"]
            later = await second.bridge.login("1003", account.password, extension="1003")
            told = await later.channel.ask_supervision()
            assert told is not None
            assert (told.state, told.endpoint) == (State.BARGE, "1001")
            await later.channel.supervise("1001", MONITOR)
            await watched.expect("2001", "1001", "1001 2001")
        await watched.over()


async def test_without_the_system_user_there_is_no_supervision(
    provider: LabProvider, lab: LabInfo, tmp_path: Path
) -> None:
    over = deep_merge({"extensions": {"enabled": True}}, BLUE)
    async with desk(provider, lab, tmp_path, over) as at_desk:
        watched = await watched_at(at_desk, "dial")
        said = await refusal(lambda: watched.channel.supervise("1001", MONITOR))
        assert said == (
            "Supervision is not set up: the connector has no system AMI user on the telephone system."
        )
        await finish(watched.call)
        await watched.session.close()


async def test_who_barges_in_is_not_heard_by_an_agent_who_has_gone_elsewhere(
    provider: LabProvider, lab: LabInfo, tmp_path: Path
) -> None:
    """The colleague who is supervised waits in the room of the consult, and nothing of it changes state."""
    async with desk(provider, lab, tmp_path, deep_merge(extended(lab), EVERYBODY)) as at:
        supervisor, session = await at.agent_phone("1003"), await at.login("1003", ready=False)
        pair = await make_pair(at)
        await session.channel.supervise("1002", BARGE)
        await session.channel.wait_supervision(State(BARGE))
        together = {pair.agent: {"1002", "1003"}, pair.colleague: {"1001", "1003"}}
        await expect_hears(together | {pair.customer: {"MOH"}, supervisor: {"1001", "1002"}}, WAIT)
        await pair.call.interaction.alternate()
        apart = {pair.agent: {"2001"}, pair.colleague: {"MOH", "1003"}, pair.customer: {"1001"}}
        await expect_hears(apart, WAIT, stable=_LASTING)
        await pair.call.interaction.alternate()
        await expect_hears(together | {pair.customer: {"MOH"}}, WAIT)
        await session.channel.stop_supervision()
        await session.close()
        await pair.consult.release()
        await pair.customer_is_back()


@pytest.mark.parametrize("mode", [MONITOR, BARGE])
async def test_an_agent_who_is_sent_on_is_supervised_still(
    provider: LabProvider, lab: LabInfo, tmp_path: Path, mode: SupervisionMode
) -> None:
    async with desk(provider, lab, tmp_path, deep_merge(extended(lab), EVERYBODY)) as at:
        supervisor, session = await at.agent_phone("1003"), await at.login("1003", ready=False)
        third = await at.phones.phone("2001")
        sent = await bring_together(at, "call")
        await session.channel.supervise("1001", mode)
        await session.channel.wait_supervision(State(mode))
        await expect_hears({supervisor: {"1001", "1002"}}, WAIT)
        await sent.theirs.primary.blind_transfer("2001")
        rings = await third.next_call(WAIT)
        await sent.is_with("2001")
        await rings.answer()
        voice = {"1003"} if mode is BARGE else set()
        heard = {sent.agent: {"2001"} | voice, third: {"1001"} | voice, supervisor: {"1001", "2001"}}
        await expect_hears(heard, WAIT, stable=_LASTING)
        await session.channel.stop_supervision()
        await session.close()
        await rings.hangup()
        await sent.over()
