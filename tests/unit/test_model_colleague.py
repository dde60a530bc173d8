"""The model on two agents in a consult call: 1001, with customer 2001, consults 1002, who is watched too."""

import pytest
from telephony_script import AGENT, CUSTOMER, TARGET, agent_in_call, feed

from connector.telephony import facts
from connector.telephony.changes import Anomaly, Change
from connector.telephony.facts import Fact
from connector.telephony.interactions import Conversation, Interaction
from connector.telephony.model import TelephonyModel
from connector.telephony.states import Cause, ConversationState, DialOutcome, InteractionState, Role

TALKING, HELD, RELEASED = ConversationState.TALKING, ConversationState.HELD, ConversationState.RELEASED
THIRD = "t-leg"


def play(model: TelephonyModel, *told: Fact) -> list[Change]:
    changes = feed(model, *told)
    assert not [one for one in changes if isinstance(one, Anomaly)]
    return changes


def customers_room() -> tuple[Fact, ...]:
    """Put the customer on hold and let the agent's leg go."""
    return (
        facts.LegLeft(AGENT, "b1"),
        facts.LegLeft(CUSTOMER, "b1"),
        facts.LegJoined(CUSTOMER, "rc"),
        facts.RoomOpened("rc", CUSTOMER),
        facts.MusicStarted(CUSTOMER),
    )


def colleague_answers() -> tuple[Fact, ...]:
    return (
        facts.LegCreated(TARGET, "1002", CUSTOMER, placed=False, number="1002"),
        facts.DialStarted(AGENT, TARGET),
        facts.LegRinging(TARGET),
        facts.LegAnswered(TARGET),
        facts.LegJoined(TARGET, "b2"),
        facts.LegJoined(AGENT, "b2"),
    )


def meet() -> tuple[Fact, ...]:
    """Bring both into the room that is named after the colleague."""
    return (
        facts.RoomAssigned(AGENT, Role.CONSULT, TARGET),
        facts.RoomAssigned(TARGET, Role.PRIMARY, TARGET),
        facts.LegLeft(AGENT, "b2"),
        facts.LegLeft(TARGET, "b2"),
        facts.LegJoined(AGENT, "rx"),
        facts.RoomOpened("rx", TARGET),
        facts.LegJoined(TARGET, "rx"),
    )


def consulting() -> tuple[TelephonyModel, Interaction, Conversation, Interaction]:
    """Return the model in a consult call: both interactions, and the first one's consult."""
    model = TelephonyModel()
    model.watch("1001")
    model.watch("1002")
    play(model, *agent_in_call(), *customers_room(), *colleague_answers(), *meet())
    own, theirs = model.interaction(AGENT), model.interaction(TARGET)
    assert own is not None
    assert own.consult is not None
    assert theirs is not None
    assert (own.consult.state, theirs.primary.state) == (TALKING, TALKING)
    return model, own, own.consult, theirs


def test_a_consult_that_the_colleague_declines_as_it_is_given_up_is_over() -> None:
    """The agent's leg is called back before its dialplan can report how its call went."""
    model = TelephonyModel()
    model.watch("1001")
    play(model, *agent_in_call(), *customers_room(), *colleague_answers()[:3])
    own = model.interaction(AGENT)
    assert own is not None
    assert own.consult is not None
    play(model, facts.DialEnded(AGENT, TARGET, DialOutcome.BUSY), facts.LegEnded(TARGET, 17))
    assert own.consult.state is ConversationState.DIALING
    play(model, facts.MusicStopped(CUSTOMER), facts.LegJoined(AGENT, "rc"))
    assert (own.primary.state, own.consult.state, own.consult.cause) == (TALKING, RELEASED, Cause.BUSY)


def test_who_is_held_by_the_colleague_still_talks() -> None:
    model, own, consult, theirs = consulting()
    play(model, facts.LegLeft(TARGET, "rx", waits=True), facts.MusicStarted(AGENT))
    assert (theirs.primary.state, consult.state) == (HELD, TALKING)
    play(model, facts.MusicStopped(AGENT), facts.LegJoined(TARGET, "rx"))
    assert (theirs.primary.state, consult.state) == (TALKING, TALKING)
    assert own.primary.state is HELD


def test_the_room_counts_though_the_other_is_away() -> None:
    model, own, consult, theirs = consulting()
    # The colleague holds, and so does the agent by going to the customer.
    play(model, facts.LegLeft(TARGET, "rx", waits=True), facts.LegLeft(AGENT, "rx"))
    play(model, facts.LegJoined(AGENT, "rc"))
    assert (own.primary.state, consult.state, theirs.primary.state) == (TALKING, HELD, HELD)
    # Back in the room, whose name may be told a moment later, and nobody there.
    play(model, facts.LegLeft(AGENT, "rc"), facts.MusicStarted(CUSTOMER), facts.LegJoined(AGENT, "rx2"))
    play(model, facts.RoomOpened("rx2", TARGET))
    assert (own.primary.state, consult.state, theirs.primary.state) == (HELD, TALKING, HELD)


def test_a_transfer_leaves_the_customer_to_the_colleague_before_they_hear_each_other() -> None:
    model, own, _, theirs = consulting()
    model.expect_departure(AGENT, Cause.TRANSFERRED)
    play(model, facts.LegLeft(AGENT, "rx"), facts.LegEnded(AGENT, 16))
    assert own.state is InteractionState.ENDED
    assert (theirs.state, list(theirs.primary.parties)) == (InteractionState.STARTED, [CUSTOMER])
    play(model, facts.LegLeft(TARGET, "rx"), facts.LegJoined(TARGET, "rc"), facts.MusicStopped(CUSTOMER))
    assert theirs.primary.state is TALKING


def test_a_transfer_to_a_colleague_who_holds() -> None:
    model, _, _, theirs = consulting()
    model.expect_departure(AGENT, Cause.TRANSFERRED)
    play(model, facts.LegLeft(TARGET, "rx", waits=True), facts.LegEnded(AGENT, 16))
    assert (theirs.primary.state, list(theirs.primary.parties)) == (HELD, [CUSTOMER])
    play(model, facts.LegJoined(TARGET, "rc"))
    assert theirs.primary.state is TALKING


def test_the_customer_comes_to_the_right_conversation_of_a_colleague_who_consults() -> None:
    model, _, _, theirs = consulting()
    further = (
        facts.LegLeft(TARGET, "rx", waits=True),
        facts.LegCreated(THIRD, "2002", CUSTOMER, placed=False, number="2002"),
        facts.DialStarted(TARGET, THIRD),
        facts.LegAnswered(THIRD),
        facts.LegJoined(THIRD, "b3"),
        facts.LegJoined(TARGET, "b3"),
        facts.LegLeft(THIRD, "b3"),
        facts.MusicStarted(THIRD),
        facts.LegLeft(TARGET, "b3"),
        facts.LegJoined(TARGET, "rx"),
    )
    play(model, *further)
    assert theirs.consult is not None
    assert (theirs.primary.state, theirs.consult.state) == (TALKING, HELD)
    model.expect_departure(AGENT, Cause.TRANSFERRED)
    play(model, facts.LegLeft(TARGET, "rx"), facts.LegJoined(TARGET, "rc"), facts.LegEnded(AGENT, 16))
    assert (list(theirs.primary.parties), list(theirs.consult.parties)) == ([CUSTOMER], [THIRD])


def test_parting_ends_the_conversation_on_both_sides_and_nothing_else() -> None:
    model, own, consult, theirs = consulting()
    # Still in the room for a moment: that makes them no parties again.
    play(model, facts.LegsParted(AGENT, TARGET))
    assert (consult.state, consult.cause, theirs.primary.state) == (RELEASED, Cause.NORMAL, RELEASED)
    play(model, facts.LegLeft(AGENT, "rx", waits=True))
    assert (own.primary.state, own.state) == (HELD, InteractionState.STARTED)
    assert (consult.state, theirs.primary.parties) == (RELEASED, {})


def test_parting_of_unknown_legs_changes_nothing() -> None:
    model, _, consult, _ = consulting()
    assert play(model, facts.LegsParted("nobody", TARGET), facts.LegsParted(AGENT, "nobody")) == []
    assert consult.state is TALKING


def sent_on(*, first: str) -> tuple[TelephonyModel, Conversation]:
    """Have the agent send the colleague on to THIRD, of whom the PBX tells before its leg ends or after."""
    model, _, _, theirs = consulting()
    play(model, facts.LegEnded(CUSTOMER, 16))
    model.expect_departure(AGENT, Cause.TRANSFERRED)
    play(model, facts.LegLeft(TARGET, "rx"))
    rings = (
        facts.LegCreated(THIRD, "", CUSTOMER, placed=False, number="2002"),
        facts.DialStarted(TARGET, THIRD),
        facts.LegRinging(THIRD),
    )
    ends = (facts.LegLeft(AGENT, "rx"), facts.LegEnded(AGENT, 16))
    play(model, *((*rings, *ends) if first == "dial" else (*ends, *rings)))
    assert theirs.consult is None
    return model, theirs.primary


@pytest.mark.parametrize("told", ["before", "after"])
def test_who_is_sent_on_by_a_phone_dials_before_or_after_that_is_told(told: str) -> None:
    """Asterisk tells the transfer and the dial from different threads."""
    model, own, consult, _ = consulting()
    play(model, facts.LegLeft(AGENT, "rx"))
    joint, far = "l-1", "l-2"
    dials = (
        facts.LegCreated(joint, "", CUSTOMER, placed=False, internal=True),
        facts.LegCreated(far, "", CUSTOMER, placed=False, internal=True),
        facts.LegsPaired(joint, far),
        facts.DialStarted(AGENT, joint, sent_on=True),
        facts.LegCreated(THIRD, "", CUSTOMER, placed=False, number="2002"),
        facts.DialStarted(far, THIRD),
        facts.LegRinging(THIRD),
    )
    transfer = facts.PartiesTransferred((TARGET,), (AGENT,))
    play(model, *((transfer, *dials) if told == "before" else (*dials, transfer)), facts.LegEnded(TARGET, 16))
    assert own.consult is consult
    assert (consult.state, [one.address for one in consult.members]) == (TALKING, ["2002"])
    assert (own.primary.state, list(own.primary.parties)) == (HELD, [CUSTOMER])


@pytest.mark.parametrize("first", ["dial", "end"])
def test_who_is_sent_on_has_another_party(first: str) -> None:
    model, talk = sent_on(first=first)
    assert (talk.state, [one.address for one in talk.members]) == (TALKING, ["2002"])
    play(model, facts.LegAnswered(THIRD), facts.LegJoined(THIRD, "b3"), facts.LegJoined(TARGET, "b3"))
    assert (talk.state, list(talk.parties)) == (TALKING, [THIRD])
    play(model, facts.LegEnded(THIRD, 16))
    assert (talk.state, talk.cause) == (RELEASED, Cause.NORMAL)


def test_who_is_sent_on_sees_the_number_before_anybodys_phone_rings() -> None:
    model, own, consult, _ = consulting()
    joint = facts.LegCreated("l-1", "", CUSTOMER, placed=False, internal=True, dialled="7001")
    play(model, facts.LegLeft(AGENT, "rx"), joint, facts.DialStarted(AGENT, "l-1", sent_on=True))
    play(model, facts.PartiesTransferred((TARGET,), (AGENT,)), facts.LegEnded(TARGET, 16))
    assert (consult.state, [one.address for one in consult.members]) == (TALKING, ["7001"])
    # Somebody of the queue is rung.
    play(model, facts.LegCreated(THIRD, "", CUSTOMER, placed=False, number="1003"))
    play(model, facts.DialStarted("l-1", THIRD), facts.LegRinging(THIRD))
    assert [one.address for one in consult.members] == ["1003"]
    assert own.consult is consult


@pytest.mark.parametrize("first", ["dial", "end"])
def test_who_is_sent_on_in_vain_waits_for_the_next_number(first: str) -> None:
    model, talk = sent_on(first=first)
    play(model, facts.DialEnded(TARGET, THIRD, DialOutcome.BUSY), facts.LegEnded(THIRD, 17))
    assert talk.state is TALKING
    again = "again"
    play(model, facts.LegCreated(again, "1001", CUSTOMER, placed=False, number="1001"))
    play(model, facts.DialStarted(TARGET, again), facts.LegRinging(again))
    assert [one.address for one in talk.members] == ["1001"]
    play(model, facts.LegEnded(TARGET, 16))
    assert talk.state is RELEASED


def test_of_two_agents_whom_the_pbx_took_along_both_are_told_that_it_failed() -> None:
    model, interaction, consult, theirs = consulting()
    for one in (interaction, theirs):
        model.expect_departure(one.id, Cause.FAILED)
    play(model, facts.LegEnded(AGENT, 0), facts.LegEnded(TARGET, 0), facts.LegEnded(CUSTOMER, 0))
    causes = {one.cause for one in (interaction, interaction.primary, consult, theirs, theirs.primary)}
    assert causes == {Cause.FAILED}
