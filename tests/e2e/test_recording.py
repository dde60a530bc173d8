"""Recording and muting: what is in the file, and who is heard."""

import asyncio
import io
import re
import wave
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from calls import Call, make_call
from desk import WAIT, desk
from phone_keys import consult_while_held
from test_colleague import make_pair

from connector.bridge.catalogue.conversation import ConversationState
from connector.bridge.catalogue.extensions import RecordingState
from connector.bridge.catalogue.interaction import InteractionState
from connector.lab.phones import tones
from connector.lab.phones.base import Phone
from connector.lab.phones.hearing import expect_hears
from connector.lab.provider import LabInfo, LabProvider
from connector.processor.problems import BridgeRequestFailed

_TICKS = 70
"""Of the media clock, 20 ms each."""

ON, PAUSED, OFF = RecordingState.ON, RecordingState.PAUSED, RecordingState.OFF


def extended(lab: LabInfo, **extensions: Any) -> dict[str, Any]:
    """Return the settings of a site that uses the extension."""
    system = lab.ami["harmony-system"]
    return {
        "asterisk": {"system": {"username": system.username, "secret": system.secret}},
        "extensions": {"enabled": True, **extensions},
    }


async def finish(call: Call) -> None:
    """Have the customer hang up, and end the agent's work."""
    await call.customers_call.hangup()
    await call.over()


@pytest.fixture(params=["queue", "dial"])
async def call(
    provider: LabProvider, lab: LabInfo, tmp_path: Path, request: pytest.FixtureRequest
) -> AsyncIterator[Call]:
    async with desk(provider, lab, tmp_path, extended(lab)) as at_desk:
        yield await make_call(at_desk, request.param)


def heard_in(recording: bytes) -> list[frozenset[str]]:
    """Return what sounds in a recording, step by step: what lasts 0.9 s at least, by windows of 0.3 s.

    A step of these tests lasts 1.4 s. What is shorter is the way from one to the next, or a moment in which
    the busy machine lost or delayed audio: a tone with gaps in it is noise. So noise ends no step; but if
    a third of the recording were noise, something else than the phones would be heard in it.
    """
    with wave.open(io.BytesIO(recording)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (tones.SAMPLE_RATE, 1, 2)
        pcm = file.readframes(file.getnframes())
    size = tones.SAMPLE_RATE * 2 * tones.WINDOW_MS // 1000
    windows = [tones.recognise(pcm[at : at + size]) for at in range(0, len(pcm) - size + 1, size)]
    clean = [each for each in windows if tones.NOISE not in each]
    assert len(windows) - len(clean) < len(windows) / 3, f"noise: {windows}"
    return _steps(_lasting(_lasting(clean, 2), 3))


def _lasting(windows: list[frozenset[str]], count: int) -> list[frozenset[str]]:
    """Return the windows of which that many in a row are alike."""
    runs = [list(run) for _, run in groupby(windows)]
    return [each for run in runs if len(run) >= count for each in run]


def _steps(windows: list[frozenset[str]]) -> list[frozenset[str]]:
    return [each for each, _ in groupby(windows)]


async def test_a_recording_has_both_voices_and_silence_where_it_was_paused(call: Call) -> None:
    one = call.interaction
    file = await one.start_recording()
    assert re.fullmatch(r"harmony/\d{4}-\d\d-\d\d/\d{6}-1001-2001-[0-9a-f]{8}\.wav", file)
    await one.wait_data(lambda data: data["X_RECORDING"] == "ON")
    assert one.recording is ON
    await for_a_while(call)
    await one.pause_recording()
    await one.wait_data(lambda data: data["X_RECORDING"] == "PAUSED")
    assert one.recording is PAUSED
    await for_a_while(call)
    await one.resume_recording()
    assert one.recording is ON
    await for_a_while(call)
    await one.stop_recording()
    await one.wait_data(lambda data: data["X_RECORDING"] is None)
    assert one.recording is OFF
    await finish(call)
    both = frozenset({"1001", "2001"})
    assert heard_in(call.desk.lab.recording(file)) == [both, frozenset(), both]


async def test_a_recording_follows_the_customer_through_hold_consult_and_transfer(call: Call) -> None:
    target = await call.desk.phones.phone("1002")
    file = await call.interaction.start_recording()
    await for_a_while(call)
    await call.interaction.primary.hold()
    await for_a_while(call, {call.agent: set(), call.customer: {"MOH"}})
    await call.interaction.primary.retrieve()
    await for_a_while(call)
    consult = await call.interaction.consult("1002")
    await (await target.next_call(WAIT)).answer()
    await consult.wait_state(ConversationState.TALKING)
    await for_a_while(call, {target: {"1001"}, call.customer: {"MOH"}})
    assert call.interaction.recording is ON
    await call.interaction.consult_transfer()
    await for_a_while(call, {target: {"2001"}, call.customer: {"1002"}})
    await finish(call)
    # On hold the music is recorded, and neither what the customer says to it nor the consult call.
    with_agent, held, with_target = {"2001", "1001"}, {"MOH"}, {"2001", "1002"}
    assert heard_in(call.desk.lab.recording(file)) == [with_agent, held, with_agent, held, with_target]


async def test_a_recording_is_of_the_customer_whoever_is_taken_aside(call: Call) -> None:
    one, all_three = call.interaction, {"1001", "1002", "2001"}
    first = await one.start_recording()
    await call.consult()
    await one.consult_conference()
    await for_a_while(call, {call.agent: all_three - {"1001"}, call.customer: all_three - {"2001"}})
    (colleague,) = [each for each in one.primary.members if each.address == "1002"]
    await one.private_word(colleague)
    await for_a_while(call, {call.agent: {"1002"}, call.customer: {"MOH"}, call.target: {"1001"}})
    assert (one.recording, one.data["X_RECORDING"]) == (ON, "ON")
    await one.stop_recording()
    second = await one.start_recording()
    assert "-1001-2001-" in second
    await for_a_while(call, {call.agent: {"1002"}, call.customer: {"MOH"}, call.target: {"1001"}})
    word = one.consult_conversation
    assert word is not None
    await word.release()
    await finish(call)
    # The way into the conference, by a consult, is shorter or longer than a step.
    assert heard_in(call.desk.lab.recording(first))[-2:] == [all_three, {"MOH"}]
    assert heard_in(call.desk.lab.recording(second))[0] == {"MOH"}


@pytest.mark.parametrize("ringing", [False, True])
async def test_a_recording_has_both_voices_after_a_transfer_to_a_number(call: Call, ringing: bool) -> None:
    target = await call.desk.phones.phone("1002")
    file = await call.interaction.start_recording()
    await for_a_while(call)
    if ringing:
        await call.interaction.consult("1002")
        await target.next_call(WAIT)
        await call.interaction.consult_transfer()
    else:
        await call.primary.blind_transfer("1002")
    await (await target.next_call(WAIT)).answer()
    await for_a_while(call, {target: {"2001"}, call.customer: {"1002"}})
    await finish(call)
    heard = heard_in(call.desk.lab.recording(file))
    assert (heard[0], heard[-1]) == ({"2001", "1001"}, {"2001", "1002"}), heard


async def test_a_desktop_that_comes_later_sees_the_recording(
    provider: LabProvider, lab: LabInfo, tmp_path: Path
) -> None:
    async with desk(provider, lab, tmp_path, extended(lab)) as first:
        call = await make_call(first, "dial")
        await call.interaction.start_recording()
        await call.interaction.pause_recording()
        await call.interaction.mute()
        # A connector that was started anew knows it from the PBX alone.
        async with desk(provider, lab, tmp_path, extended(lab)) as second:
            account = lab.agents["1001"]
            later = await second.bridge.login("1001", account.password, extension="1001")
            interaction = await later.channel.next_interaction()
            assert interaction.recording is PAUSED
            assert interaction.muted
            assert interaction.data["X_RECORDING"] == "PAUSED"
            assert interaction.data["X_MUTED"] is True
            await interaction.resume_recording()
            await interaction.unmute()
            await interaction.stop_recording()
            await call.interaction.link.until(lambda: call.interaction.recording is OFF, WAIT, lambda: "OFF")
            await call.interaction.link.until(lambda: not call.interaction.muted, WAIT, lambda: "unmuted")
            await expect_hears({call.agent: {"2001"}, call.customer: {"1001"}})
            await call.customers_call.hangup()
            await interaction.wait_state(InteractionState.ENDED)
        await call.interaction.wait_state(InteractionState.ENDED)
        await call.interaction.complete()
        await call.session.close()


async def test_a_muted_agent_is_not_heard_wherever_the_call_goes(call: Call) -> None:
    target = await call.desk.phones.phone("1002")
    await call.interaction.mute()
    assert call.interaction.muted
    await expect_hears({call.agent: {"2001"}, call.customer: set()})
    await call.interaction.primary.hold()
    await call.interaction.primary.retrieve()
    await expect_hears({call.agent: {"2001"}, call.customer: set()})
    consult = await call.interaction.consult("1002")
    await (await target.next_call(WAIT)).answer()
    await consult.wait_state(ConversationState.TALKING)
    await expect_hears({call.agent: {"1002"}, target: set()})
    await call.interaction.unmute()
    assert not call.interaction.muted
    await expect_hears({call.agent: {"1002"}, target: {"1001"}})
    await consult.release()
    await expect_hears({call.agent: {"2001"}, call.customer: {"1001"}})
    await finish(call)


async def test_a_muted_agent_is_not_heard_in_a_consult_on_the_phone_itself(call: Call) -> None:
    await call.interaction.mute()
    await call.agent.calls[0].hold()
    await call.primary.wait_state(ConversationState.HELD)
    consult, second = await consult_while_held(call)
    await expect_hears({call.agent: {"1002"}, call.target: set(), call.customer: {"MOH"}})
    await call.interaction.unmute()
    await expect_hears({call.agent: {"1002"}, call.target: {"1001"}, call.customer: {"MOH"}})
    await call.interaction.mute()
    await expect_hears({call.agent: {"1002"}, call.target: set(), call.customer: {"MOH"}})
    # On one leg as on two.
    await call.interaction.alternate()
    await expect_hears({call.agent: {"2001"}, call.target: {"MOH"}, call.customer: set()})
    assert call.agent.calls == (second,)
    assert call.interaction.muted
    await call.interaction.unmute()
    await expect_hears({call.agent: {"2001"}, call.target: {"MOH"}, call.customer: {"1001"}})
    await consult.release()
    await finish(call)


@pytest.mark.parametrize("what", ["mute", "recording"])
async def test_whom_the_phone_holds_keeps_the_music_when_it_begins(call: Call, what: str) -> None:
    first = call.agent.calls[0]
    await first.hold()
    await call.primary.wait_state(ConversationState.HELD)
    await (call.interaction.mute() if what == "mute" else call.interaction.start_recording())
    await expect_hears({call.agent: set(), call.customer: {"MOH"}}, stable=0.8)
    await first.resume()
    await call.primary.wait_state(ConversationState.TALKING)
    await expect_hears({call.agent: {"2001"}, call.customer: set() if what == "mute" else {"1001"}})
    await finish(call)


async def test_muting_as_the_phone_begins_a_consult_is_done_at_once(call: Call) -> None:
    await call.agent.calls[0].hold()
    await call.primary.wait_state(ConversationState.HELD)
    for milliseconds in range(0, 24, 2):
        before = call.interaction.node.consult
        _, second = await asyncio.gather(_after(milliseconds, call.interaction.mute), call.agent.dial("1002"))
        await call.interaction.link.until(
            lambda before=before: call.interaction.node.consult != before,  # type: ignore[misc]
            WAIT,
            lambda: "consult",
        )
        await (await call.target.next_call(WAIT)).answer()
        await expect_hears({call.agent: {"1002"}, call.target: set(), call.customer: {"MOH"}})
        await call.interaction.unmute()
        await second.hangup()
        consult = await call.interaction.wait_consult()
        await consult.wait_state(ConversationState.RELEASED)
    await finish(call)


async def _after(milliseconds: float, verb: Callable[[], Awaitable[object]]) -> None:
    await asyncio.sleep(milliseconds / 1000)
    await verb()


async def test_a_muted_agent_whose_first_call_ends_stays_so(call: Call) -> None:
    await call.interaction.mute()
    await call.agent.calls[0].hold()
    await call.primary.wait_state(ConversationState.HELD)
    _, second = await consult_while_held(call)
    await call.customers_call.hangup()
    await call.primary.wait_state(ConversationState.RELEASED)
    await expect_hears({call.agent: {"1002"}, call.target: set()})
    await call.interaction.unmute()
    await expect_hears({call.agent: {"1002"}, call.target: {"1001"}})
    await second.hangup()
    await call.over()


async def test_what_makes_no_sense_now_is_refused_in_one_sentence(call: Call) -> None:
    one = call.interaction
    not_recorded = "The call is not being recorded."
    for verb in (one.stop_recording, one.pause_recording, one.resume_recording):
        assert await refusal(verb) == not_recorded
    await one.start_recording()
    assert await refusal(one.start_recording) == "The call is recorded already: the recording is ON."
    assert await refusal(one.resume_recording) == "The recording is ON already."
    await one.stop_recording()
    assert await refusal(one.unmute) == "The agent is not muted already."
    await finish(call)


async def test_a_recording_of_the_telephone_system_is_told_and_can_be_paused_only(call: Call) -> None:
    one, pbx = call.interaction, call.desk.connector.pbx
    leg = next(iter(pbx.model.interaction(one.nativeid).primary.parties))  # type: ignore[union-attr]
    name = _channel_of(call.desk.lab, leg)
    call.desk.lab.asterisk_cli(f"mixmonitor start {name} own.wav")
    await one.link.until(lambda: one.recording is ON, WAIT, lambda: "ON")
    await one.pause_recording()
    await one.resume_recording()
    said = await refusal(one.stop_recording)
    assert said == "The telephone system itself records this call: that can be paused, not stopped."
    await finish(call)


@pytest.mark.parametrize("enabled", [True, False])
async def test_without_the_extension_or_its_user_nothing_of_it_works(
    provider: LabProvider, lab: LabInfo, tmp_path: Path, enabled: bool
) -> None:
    over = {"extensions": {"enabled": enabled}}
    async with desk(provider, lab, tmp_path, over) as at_desk:
        call = await make_call(at_desk, "dial")
        one, channel = call.interaction, call.session.channel
        why = "is not set up: the connector has no system AMI user on the telephone system."
        off = "Messages with x- are an extension that is not enabled here (extensions.enabled)."
        assert await refusal(one.start_recording) == (f"Recording {why}" if enabled else off)
        assert await refusal(one.mute) == (f"Muting {why}" if enabled else off)
        assert await refusal(channel.stop_supervision) == (
            "Phone 1001 supervises no call." if enabled else off
        )
        # Nothing of ours comes by itself either.
        pbx = at_desk.connector.pbx
        model = pbx.model.interaction(one.nativeid)
        assert model is not None
        leg = next(iter(model.primary.parties))
        provider.asterisk_cli(f"mixmonitor start {_channel_of(provider, leg)} own.wav")
        await pbx._exchange.until(lambda: model.recording == "ON", "recording", WAIT)
        assert ("X_RECORDING" in await one.get_data()) is enabled
        assert one.recording is (ON if enabled else OFF)
        await finish(call)


async def for_a_while(call: Call, heard: Mapping[Phone, set[str]] | None = None) -> None:
    """See who hears whom, then let the phones play on for a good second, by their own media clock."""
    await expect_hears(heard or {call.agent: {"2001"}, call.customer: {"1001"}})
    for _ in range(_TICKS):
        await call.customer.pulse.wait()


def _channel_of(lab: LabProvider, leg: str) -> str:
    """Return the name of the channel with that Uniqueid."""
    rows = (line.split("!") for line in lab.asterisk_cli("core show channels concise").splitlines())
    return next(row[0] for row in rows if row[-1] == leg)


async def refusal(verb: Callable[[], Awaitable[object]]) -> str:
    """Return the sentence with which a request is refused."""
    with pytest.raises(BridgeRequestFailed) as failed:
        await verb()
    return failed.value.reply.error_message or ""


async def test_a_call_between_agents_is_not_recorded(
    provider: LabProvider, lab: LabInfo, tmp_path: Path
) -> None:
    """A recorder on the other agent's leg would go with it into that agent's own calls."""
    async with desk(provider, lab, tmp_path, extended(lab)) as at:
        pair = await make_pair(at)
        with pytest.raises(BridgeRequestFailed, match="a call between agents cannot be recorded"):
            await pair.theirs.start_recording()
        # The first agent's call is with a customer, and what is recorded is that.
        await pair.call.interaction.start_recording()
        await pair.call.interaction.stop_recording()
        await pair.consult.release()
        await pair.customer_is_back()
