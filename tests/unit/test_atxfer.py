"""The strategy atxfer where the laboratory's Asterisk has no fault to show: sentences of refusal."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

import pytest
from telephony_script import (
    AGENT,
    CUSTOMER,
    TARGET,
    agent_in_call,
    pbx_lets_agent_consult,
    target_answers_consult,
)
from typer.testing import CliRunner

from connector.asterisk.atxfer import LIMITS, AttendedTransfers
from connector.asterisk.exchange import Exchange
from connector.asterisk.link import AmiLink, AmiRefused, Fields
from connector.asterisk.notify import PhoneNotifier
from connector.asterisk.settings import ConsultStrategy, DialSettings
from connector.asterisk.variables import LegVariables
from connector.asterisk.wire import AmiMessage
from connector.cli import app
from connector.telephony import facts
from connector.telephony.pbx import Refused, TimedOut
from connector.telephony.states import ConversationState, DialOutcome


class SilentLink(AmiLink):
    """Takes every action and knows the variables that it is given; nothing ever happens."""

    def __init__(self, variables: Mapping[str, str], refused: str = "") -> None:
        self.sent: list[tuple[str, Fields]] = []
        self._variables = variables
        self._refused = refused

    async def send(self, action: str, fields: Fields = {}, **_more: object) -> AmiMessage:  # noqa: B006
        self.sent.append((action, fields))
        if action == self._refused:
            raise AmiRefused(action, "Feature not configured")
        value = self._variables.get(str(fields.get("Variable")), "")
        return AmiMessage([("Response", "Success"), ("Value", value)])


def strategy(exchange: Exchange, link: AmiLink) -> AttendedTransfers:
    settings = DialSettings(consult=ConsultStrategy.ATXFER)
    notifier = PhoneNotifier(exchange, link, settings, None)
    return AttendedTransfers(exchange, link, settings, notifier, LegVariables(link))


def at_work(link: SilentLink, *, consulting: bool = False) -> AttendedTransfers:
    exchange = Exchange(proof_timeout=0.1)
    exchange.model.watch("1001")
    exchange.set_available(available=True)
    told = agent_in_call()
    if consulting:
        told += pbx_lets_agent_consult() + target_answers_consult()
    for fact in told:
        exchange.apply(fact)
    return strategy(exchange, link)


EXISTS = {f"DIALPLAN_EXISTS(from-internal,{number},1)": "1" for number in ("1002", "+491234")}


async def test_a_site_without_the_code_of_atxfer() -> None:
    handling = at_work(SilentLink(EXISTS, refused="Atxfer"))
    with pytest.raises(Refused, match="refused the consult call: Feature not configured"):
        await handling.consult(AGENT, "1002")


async def test_a_number_that_is_not_only_tones() -> None:
    link = SilentLink(EXISTS)
    with pytest.raises(Refused, match=r"dialled by tones, and \+491234 is not only tones"):
        await at_work(link).consult(AGENT, "+491234")
    assert "Atxfer" not in [action for action, _fields in link.sent]


async def test_no_consult_about_a_menu() -> None:
    link = SilentLink(EXISTS)
    exchange = Exchange(proof_timeout=0.1)
    exchange.model.watch("1001")
    exchange.set_available(available=True)
    exchange.apply(facts.LegCreated(AGENT, "1001", AGENT, placed=True, dialled="9000"))
    exchange.apply(facts.LegAnswered(AGENT))
    with pytest.raises(Refused, match="no other party that could be moved"):
        await strategy(exchange, link).consult(AGENT, "1002")
    assert link.sent == []


@pytest.mark.parametrize(
    ("verb", "option"),
    [
        ("alternate", "atxferswap"),
        ("consult_transfer", "atxfercomplete"),
        ("consult_conference", "atxferthreeway"),
    ],
)
async def test_a_site_without_a_code(verb: str, option: str) -> None:
    link = SilentLink({})
    handling = at_work(link, consulting=True)
    with pytest.raises(Refused, match=f"its features.conf must have {option}, and has not"):
        await getattr(handling, verb)(AGENT)
    assert "PlayDTMF" not in [action for action, _fields in link.sent]


async def test_no_atxfer_where_one_may_be_under_way_since_before_a_restart() -> None:
    """What is found after a restart: the agent beside a joint of which nobody knows who dialled it."""
    link = SilentLink(EXISTS)
    exchange = Exchange(proof_timeout=0.1)
    exchange.model.watch("1001")
    exchange.set_available(available=True)
    for fact in (
        facts.LegCreated(AGENT, "1001", CUSTOMER, placed=False, answered=True),
        facts.LegCreated("l1", "", CUSTOMER, placed=False, internal=True, answered=True),
        facts.LegCreated("l2", "", CUSTOMER, placed=False, internal=True, answered=True),
        facts.LegCreated(TARGET, "1002", CUSTOMER, placed=False, answered=True),
        facts.LegsPaired("l1", "l2"),
        facts.LegJoined(AGENT, "b2"),
        facts.LegJoined("l1", "b2"),
        facts.LegJoined(TARGET, "b3"),
        facts.LegJoined("l2", "b3"),
    ):
        exchange.apply(fact)
    handling = strategy(exchange, link)
    with pytest.raises(Refused, match="or may be, a consult call itself"):
        await handling.consult(AGENT, "1002")
    assert link.sent == []


@pytest.mark.parametrize(("atxfer", "notes"), [(True, len(LIMITS)), (False, 0)])
def test_the_check_of_a_configuration_tells_the_limits(tmp_path: Path, *, atxfer: bool, notes: int) -> None:
    file = tmp_path / "connector.yaml"
    file.write_text(
        "processor: LAB\nbridge: {host: bridge.example.com}\nasterisk: {username: harmony, secret: x}\n"
        f"dial: {{consult: {'atxfer' if atxfer else 'rooms'}}}\n"
    )
    shown = CliRunner().invoke(app, ["check", "--config", str(file)])
    assert shown.exit_code == 0
    assert shown.stderr.count("note: dial.consult: atxfer: ") == notes
    assert "note:" not in shown.stdout


async def test_no_second_atxfer_while_the_first_lasts() -> None:
    link = SilentLink(EXISTS)
    handling = at_work(link, consulting=True)
    with pytest.raises(Refused, match="There is a consult call already"):
        await handling.consult(AGENT, "1002")
    assert link.sent == []


async def test_a_transfer_that_fails_is_not_announced_any_more() -> None:
    link = SilentLink({})
    handling = at_work(link, consulting=True)
    interaction = handling._exchange.model.interaction(AGENT)
    assert interaction is not None
    assert interaction.primary.state is ConversationState.HELD
    with pytest.raises(Refused):
        await handling.consult_transfer(AGENT)
    assert interaction.departure is None


async def test_no_private_word_out_of_a_conference() -> None:
    link = SilentLink({})
    handling = at_work(link)
    with pytest.raises(Refused, match="there is no private word with one member of a conference"):
        await handling.private_word(AGENT, f"{AGENT}-1", "m")
    assert handling.limits("1001").refused >= {"private_word"}
    assert link.sent == []


@pytest.mark.parametrize(
    ("complete", "disconnect", "wanted"),
    [("*2", "*0", ["*9"]), ("*2", "*9", ["*8"]), ("*2", "*", ["#9"]), ("*5", "*0", [])],
)
async def test_a_code_pressed_too_late_begins_nothing(
    complete: str, disconnect: str, wanted: list[str]
) -> None:
    """A site's code to complete a transfer may be the one that begins one: the leg gets another for that."""
    codes = {
        "FEATUREMAP(atxfer)": "*2",
        "FEATUREMAP(disconnect)": disconnect,
        "FEATURE(atxfercomplete)": complete,
        "FEATURE(atxferswap)": "*4",
    }
    link = SilentLink(EXISTS | codes)
    handling = at_work(link)
    consulting = asyncio.ensure_future(handling.consult(AGENT, "1002"))
    await asyncio.sleep(0)
    for fact in pbx_lets_agent_consult():
        handling._exchange.apply(fact)
        await asyncio.sleep(0)
    await consulting
    became = [(fields["Variable"], fields["Value"]) for action, fields in link.sent if action == "Setvar"]
    assert ("HARMONY_CONSULTS", "2") in became
    became.remove(("HARMONY_CONSULTS", "2"))
    assert became == [("FEATUREMAP(atxfer)", code) for code in wanted]
    asked = [fields["Variable"] for action, fields in link.sent if action == "Getvar" and "Channel" in fields]
    assert len(asked) == len(set(asked))


@pytest.mark.parametrize("verb", ["consult_transfer", "consult_conference"])
async def test_who_is_consulted_hangs_up_as_the_code_is_pressed(verb: str) -> None:
    codes = {"FEATURE(atxfercomplete)": "*2", "FEATURE(atxferthreeway)": "*3"}
    handling = at_work(SilentLink(codes), consulting=True)
    interaction = handling._started(AGENT)
    asked = asyncio.ensure_future(getattr(handling, verb)(AGENT))
    await asyncio.sleep(0)
    for fact in (
        *(facts.LegEnded(TARGET, 16), facts.LegEnded("l2", 16), facts.LegEnded("l1", 16)),
        *(facts.LegLeft(AGENT, "b2"), facts.LegJoined(AGENT, "b1"), facts.MusicStopped(CUSTOMER)),
    ):
        handling._exchange.apply(fact)
    with pytest.raises(Refused, match=r"The consult call ended meanwhile \(NORMAL\)"):
        await asked
    assert interaction.primary.state is ConversationState.TALKING
    assert interaction.departure is None


# -- what the phone holds -----------------------------------------------------------------------------


def sent(link: SilentLink) -> list[tuple[str, str]]:
    """Return what was asked of which leg, but for questions and notes."""
    asked = [(action, str(fields.get("Channel"))) for action, fields in link.sent]
    return [one for one in asked if one[0] not in {"Getvar", "Setvar"}]


async def test_no_consult_about_a_call_that_the_phone_holds() -> None:
    link = SilentLink(EXISTS)
    handling = at_work(link)
    handling._exchange.apply(facts.PhoneHeld(AGENT))
    with pytest.raises(Refused, match="The phone itself holds the call"):
        await handling.consult(AGENT, "1002")
    assert link.sent == []


async def test_no_conference_with_whom_the_phone_holds() -> None:
    link = SilentLink({"FEATURE(atxferthreeway)": "*3"})
    handling = at_work(link, consulting=True)
    handling._exchange.apply(facts.PhoneHeld(AGENT))
    with pytest.raises(Refused, match="The phone itself holds the call"):
        await handling.consult_conference(AGENT)
    assert link.sent == []


async def test_a_call_that_the_phone_holds_is_transferred() -> None:
    link = SilentLink(EXISTS)
    handling = at_work(link)
    handling._exchange.apply(facts.PhoneHeld(AGENT))
    interaction = handling._started(AGENT)
    with pytest.raises(TimedOut):
        await handling.blind_transfer(AGENT, interaction.primary.id, "1002")
    assert sent(link) == [("BlindTransfer", AGENT)]


async def test_the_first_call_is_released_while_the_phone_holds_the_consult() -> None:
    """No swap: the agent is with the consulted party, though that hears music."""
    link = SilentLink({"FEATURE(atxferswap)": "*4"})
    handling = at_work(link, consulting=True)
    exchange = handling._exchange
    exchange.apply(facts.PhoneHeld(AGENT))
    interaction = handling._started(AGENT)
    assert [one.state for one in interaction.live_conversations] == [ConversationState.HELD] * 2
    with pytest.raises(TimedOut):
        await handling.release_primary(interaction)
    assert sent(link) == [("Hangup", CUSTOMER)]


async def test_a_consult_that_the_phone_holds_is_dropped() -> None:
    link = SilentLink({})
    handling = at_work(link, consulting=True)
    exchange = handling._exchange
    exchange.apply(facts.PhoneHeld(AGENT))
    interaction = handling._started(AGENT)
    assert interaction.consult is not None
    dropping = asyncio.ensure_future(handling.cancel(interaction, interaction.consult))
    await asyncio.sleep(0)
    for fact in (
        *(facts.LegEnded("l1", 16), facts.LegEnded("l2", 16), facts.LegEnded(TARGET, 16)),
        *(facts.LegLeft(AGENT, "b2"), facts.LegJoined(AGENT, "b1")),
    ):
        exchange.apply(fact)
    await dropping
    assert sent(link) == [("CancelAtxfer", AGENT)]
    assert interaction.primary.state is ConversationState.HELD


@pytest.mark.parametrize("holds", [True, False])
async def test_the_phones_hold_outlasts_a_consult(holds: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connector.asterisk.atxfer._DEAF", 0.01)
    link = SilentLink({"CHANNEL(rtp,hold)": str(int(holds))})
    handling = at_work(link, consulting=True)
    exchange = handling._exchange
    for fact in (
        facts.PhoneHeld(AGENT),
        *(facts.LegEnded("l1", 16), facts.LegEnded("l2", 16), facts.LegEnded(TARGET, 16)),
        *(facts.LegLeft(AGENT, "b2"), facts.LegJoined(AGENT, "b1"), facts.PhoneResumed(AGENT)),
        facts.MusicStopped(CUSTOMER),
    ):
        exchange.apply(fact)
    primary = handling._started(AGENT).primary
    assert primary.state is ConversationState.TALKING
    await asyncio.gather(*handling._chores)
    assert primary.state is (ConversationState.HELD if holds else ConversationState.TALKING)


async def test_a_call_left_at_a_busy_tone_ends_without_a_transfer_to_it() -> None:
    link = SilentLink({})
    handling = at_work(link)
    exchange = handling._exchange
    told = pbx_lets_agent_consult()
    for fact in (*told[:-4], facts.LegJoined(AGENT, "b2"), facts.DialEnded(None, "l1", DialOutcome.BUSY)):
        exchange.apply(fact)
    interaction = handling._started(AGENT)
    assert interaction.consult is not None
    assert interaction.consult.released
    assert interaction.primary.state is ConversationState.HELD
    releasing = asyncio.ensure_future(handling.release_primary(interaction))
    await asyncio.sleep(0)
    assert sent(link) == [("Hangup", CUSTOMER)]
    exchange.apply(facts.LegEnded(CUSTOMER, 16))
    await releasing
    assert sent(link) == [("Hangup", CUSTOMER), ("Hangup", AGENT)]


# -- whom a transfer leaves on hold -------------------------------------------------------------------


async def after_the_phones_transfer(link: SilentLink, *then: facts.Fact, late: bool = False) -> None:
    """Let the phone hand the consulted party on, while the customer is on hold; then more happens.

    The transfer may be told `late`: after the end of the agent's leg.
    """
    handling = at_work(link, consulting=True)
    exchange = handling._exchange
    handed_on = facts.PartiesTransferred((AGENT,), ("l1",))
    left = (facts.LegLeft(AGENT, "b2"), facts.LegEnded(AGENT, 16))
    late_order = (facts.HangupAsked(AGENT, by_phone=True), *left, handed_on)
    for fact in (*(late_order if late else (handed_on, *left)), *then):
        exchange.apply(fact)
    async with asyncio.timeout(3):
        await asyncio.gather(*handling._held_by_nobody._chores)
    handling.close()


@pytest.mark.parametrize("late", [False, True])
async def test_whom_a_transfer_by_the_phone_leaves_on_hold_is_let_go(late: bool) -> None:
    link = SilentLink({})
    await after_the_phones_transfer(link, late=late)
    assert sent(link) == [("Hangup", CUSTOMER)]


async def test_who_is_with_somebody_after_a_transfer_is_left_alone() -> None:
    link = SilentLink({})
    other = facts.LegCreated("o-leg", "2002", "o-leg", placed=False, answered=True)
    await after_the_phones_transfer(link, other, facts.LegJoined("o-leg", "b1"))
    assert sent(link) == []


async def test_who_was_parked_by_a_transfer_that_is_told_late_is_left_alone() -> None:
    link = SilentLink({})
    parked = (facts.LegLeft(CUSTOMER, "b1"), facts.LegJoined(CUSTOMER, "parking"))
    await after_the_phones_transfer(link, *parked, late=True)
    assert sent(link) == []


async def test_who_is_gone_after_a_transfer_is_not_hung_up() -> None:
    link = SilentLink({})
    await after_the_phones_transfer(link, facts.LegEnded(CUSTOMER, 16))
    assert sent(link) == []
