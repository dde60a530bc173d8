"""The model on what the phone does itself: a consult on a leg of its own, and transfers by REFER."""

import pytest
from telephony_script import (
    AGENT,
    CUSTOMER,
    TARGET,
    agent_answers,
    agent_rings,
    customer_waits,
    feed,
    watching,
)

from connector.telephony import facts
from connector.telephony.changes import (
    Anomaly,
    Change,
    ConversationAdded,
    ConversationChanged,
    InteractionAdded,
    InteractionEnded,
    MemberJoined,
    MemberLeft,
    PartiesLeftTogether,
)
from connector.telephony.facts import Fact
from connector.telephony.interactions import Interaction
from connector.telephony.model import TelephonyModel
from connector.telephony.states import Cause, ConversationState, DialOutcome, InteractionState, Role

SECOND = "a2-leg"
PRIMARY, CONSULT = f"{AGENT}-1", f"{AGENT}-2"
TALKING, HELD, RELEASED = ConversationState.TALKING, ConversationState.HELD, ConversationState.RELEASED
PHONE_HOLDS = (facts.PhoneHeld(AGENT), facts.MusicStarted(CUSTOMER))
PHONE_DIALS = (
    facts.LegCreated(SECOND, "1001", SECOND, placed=True, number="1001", dialled="1002"),
    facts.LegCreated(TARGET, "1002", SECOND, placed=False, number="1002"),
    facts.DialStarted(SECOND, TARGET),
    facts.LegRinging(TARGET),
)
TARGET_ANSWERS = (
    facts.LegAnswered(TARGET),
    facts.DialEnded(SECOND, TARGET, DialOutcome.ANSWERED),
    facts.LegAnswered(SECOND),
    facts.LegJoined(TARGET, "b2"),
    facts.LegJoined(SECOND, "b2"),
)
HANDED_ON = facts.PartiesTransferred((AGENT, SECOND), (CUSTOMER, TARGET))


def on_a_call(*told: Fact) -> TelephonyModel:
    model = watching()
    feed(model, *customer_waits(), *agent_rings(), *agent_answers(), *told)
    return model


def consulting() -> tuple[TelephonyModel, Interaction]:
    model = on_a_call(*PHONE_HOLDS, *PHONE_DIALS, *TARGET_ANSWERS)
    interaction = model.interaction(AGENT)
    assert interaction is not None
    return model, interaction


def changed(conversation: str, state: ConversationState, cause: Cause | None = None) -> Change:
    return ConversationChanged(AGENT, conversation, state, cause)


def test_a_phone_that_holds_before_its_party_has_come_holds_it() -> None:
    model = watching()
    feed(model, *customer_waits(), *agent_rings(), facts.LegAnswered(AGENT), facts.LegJoined(AGENT, "b1"))
    feed(model, facts.PhoneHeld(AGENT), facts.MusicStopped(CUSTOMER))
    told = feed(model, facts.LegJoined(CUSTOMER, "b1"))
    states = [one.state for one in told if isinstance(one, ConversationChanged)]
    assert states == [TALKING, HELD]


def test_a_leg_that_turns_out_to_be_another_phones_is_that_phones_only() -> None:
    model = on_a_call()
    feed(model, facts.LegCreated(CUSTOMER, "2002", CUSTOMER, placed=True))
    assert [leg.id for leg in model.legs.of_endpoint("2002")] == [CUSTOMER]
    assert model.legs.of_endpoint("2001") == []
    feed(model, facts.LegEnded(CUSTOMER, 16))
    assert model.legs.of_endpoint("2001") == model.legs.of_endpoint("2002") == []


def test_a_call_placed_while_the_phone_holds_is_a_consult_of_the_same_interaction() -> None:
    model = on_a_call(*PHONE_HOLDS)
    assert feed(model, *PHONE_DIALS) == [ConversationAdded(AGENT, CONSULT, Role.CONSULT)]
    (interaction,) = model.interactions("1001")
    assert interaction.consult is not None
    assert [one.address for one in interaction.consult.members] == ["1002"]
    assert interaction.legs == (AGENT, SECOND)
    assert feed(model, *TARGET_ANSWERS) == [changed(CONSULT, TALKING)]
    assert interaction.primary.state is HELD


def test_a_call_placed_without_a_hold_is_an_interaction_of_its_own() -> None:
    model = on_a_call()
    assert InteractionAdded(SECOND, "1001") in feed(model, *PHONE_DIALS)


def test_with_two_calls_on_hold_a_third_one_is_nobodys_consult() -> None:
    model, _ = consulting()
    third = facts.LegCreated("a3", "1001", "a3", placed=True, dialled="2002")
    assert feed(model, facts.PhoneHeld(SECOND), third)[-1] == InteractionAdded("a3", "1001")


def test_an_incoming_call_on_a_busy_phone_is_an_interaction_of_its_own() -> None:
    model = on_a_call(*PHONE_HOLDS)
    told = (
        facts.LegCreated("d-leg", "2002", "d-leg", placed=True, number="2002", dialled="1001"),
        facts.LegCreated(SECOND, "1001", "d-leg", placed=False),
        facts.DialStarted("d-leg", SECOND),
    )
    assert feed(model, *told) == [InteractionAdded(SECOND, "1001")]


def test_the_phone_alternates() -> None:
    model, _ = consulting()
    assert feed(model, facts.PhoneHeld(SECOND), facts.PhoneResumed(AGENT)) == [
        changed(CONSULT, HELD),
        changed(PRIMARY, TALKING),
    ]
    assert feed(model, facts.PhoneHeld(AGENT), facts.PhoneResumed(SECOND)) == [
        changed(PRIMARY, HELD),
        changed(CONSULT, TALKING),
    ]


@pytest.mark.parametrize(
    ("told", "cause"),
    [
        ((facts.HangupAsked(SECOND, by_phone=True), facts.LegEnded(SECOND, 0)), Cause.CANCELLED),
        (
            (facts.DialEnded(SECOND, TARGET, DialOutcome.BUSY), facts.LegEnded(SECOND, 17)),
            Cause.BUSY,
        ),
    ],
)
def test_a_consult_of_the_phone_that_nobody_answers(told: tuple[Fact, ...], cause: Cause) -> None:
    model = on_a_call(*PHONE_HOLDS, *PHONE_DIALS)
    assert feed(model, *told) == [changed(CONSULT, RELEASED, cause)]
    assert [one.state for one in model.interactions("1001")] == [InteractionState.STARTED]
    assert feed(model, facts.PhoneResumed(AGENT)) == [changed(PRIMARY, TALKING)]


@pytest.mark.parametrize("order", [(AGENT, CUSTOMER), (CUSTOMER, AGENT)])
def test_when_the_first_call_ends_the_consult_keeps_the_interaction(order: tuple[str, ...]) -> None:
    model, interaction = consulting()
    ended = [facts.LegEnded(leg, 16) for leg in order]
    assert feed(model, *ended) == [changed(PRIMARY, RELEASED, Cause.NORMAL)]
    assert interaction.legs == (SECOND,)
    assert interaction.state is InteractionState.STARTED
    assert feed(model, facts.LegEnded(SECOND, 16)) == [
        changed(CONSULT, RELEASED, Cause.NORMAL),
        InteractionEnded(AGENT, Cause.NORMAL),
    ]


def test_an_attended_transfer_ends_both_conversations_and_then_the_interaction() -> None:
    model, _ = consulting()
    # Asterisk joins the parties before it says what it has done.
    assert feed(model, facts.LegLeft(AGENT, "b1"), facts.LegJoined(TARGET, "b1")) == []
    assert feed(model, HANDED_ON) == [
        changed(PRIMARY, RELEASED, Cause.TRANSFERRED),
        changed(CONSULT, RELEASED, Cause.TRANSFERRED),
        PartiesLeftTogether(AGENT, (CUSTOMER,), (TARGET,), (AGENT, SECOND)),
    ]
    ended = feed(model, facts.LegEnded(AGENT, 16), facts.LegEnded(SECOND, 16))
    assert ended == [InteractionEnded(AGENT, Cause.TRANSFERRED)]


def test_a_colleague_talks_to_the_customer_after_the_transfer() -> None:
    model = watching()
    model.watch("1002")
    told = (*customer_waits(), *agent_rings(), *agent_answers(), *PHONE_HOLDS, *PHONE_DIALS)
    feed(model, *told, *TARGET_ANSWERS)
    colleague = model.interaction(TARGET)
    assert colleague is not None
    changes = feed(model, HANDED_ON, facts.MusicStopped(CUSTOMER))
    joined = [one.member.address for one in changes if isinstance(one, MemberJoined)]
    left = [one.member.address for one in changes if isinstance(one, MemberLeft)]
    assert (joined, left) == (["2001"], ["1001"])
    feed(model, facts.LegEnded(AGENT, 16), facts.LegEnded(SECOND, 16))
    assert colleague.primary.state is TALKING
    assert list(colleague.primary.parties) == [CUSTOMER]


@pytest.mark.parametrize("ended", [(SECOND,), (AGENT,), (SECOND, AGENT)])
def test_an_attended_transfer_is_known_although_the_phones_legs_ended_before_it_was_told(
    ended: tuple[str, ...],
) -> None:
    model, _ = consulting()
    told = [facts.LegEnded(leg, 16) for leg in ended]
    (left,) = [one for one in feed(model, *told, HANDED_ON) if isinstance(one, PartiesLeftTogether)]
    assert {left.first, left.second} == {(CUSTOMER,), (TARGET,)}


def test_a_consult_that_was_answered_talks_once_the_two_are_joined() -> None:
    model = on_a_call(*PHONE_HOLDS, *PHONE_DIALS)
    rings_too = (
        facts.LegCreated("y-leg", "1003", SECOND, placed=False, number="1003"),
        facts.DialStarted(SECOND, "y-leg"),
    )
    *answered, last = TARGET_ANSWERS
    other_called_off = facts.DialEnded(SECOND, "y-leg", DialOutcome.CANCELLED)
    assert feed(model, *rings_too, *answered[:2], other_called_off, *answered[2:]) == []
    assert feed(model, last) == [changed(CONSULT, TALKING)]


def test_a_blind_transfer_ends_the_call_transferred() -> None:
    model = on_a_call()
    told = facts.PartiesTransferred((AGENT,), (CUSTOMER,))
    assert feed(model, told, facts.LegEnded(AGENT, 16)) == [
        changed(PRIMARY, RELEASED, Cause.TRANSFERRED),
        InteractionEnded(AGENT, Cause.TRANSFERRED),
    ]


def test_who_was_transferred_out_of_a_consult_does_not_come_back_into_the_primary() -> None:
    model = on_a_call(facts.LegLeft(AGENT, "b1", waits=True), facts.MusicStarted(CUSTOMER))
    target = facts.LegCreated(TARGET, "1002", CUSTOMER, placed=False, number="1002")
    feed(model, target, facts.DialStarted(AGENT, TARGET), facts.LegAnswered(TARGET))
    feed(model, facts.LegJoined(AGENT, "b2"), facts.LegJoined(TARGET, "b2"))
    (interaction,) = model.interactions("1001")
    assert interaction.consult is not None
    assert interaction.consult.state is TALKING
    changes = feed(
        model, facts.PartiesTransferred((AGENT,), (TARGET,)), facts.LegLeft(AGENT, "b2", waits=True)
    )
    assert changes == [changed(CONSULT, RELEASED, Cause.TRANSFERRED)]
    assert list(interaction.primary.parties) == [CUSTOMER]
    assert interaction.primary.state is HELD


def test_gathered_on_one_leg_the_other_one_may_end() -> None:
    model, interaction = consulting()
    model.gather(AGENT, SECOND)
    assert interaction.legs == (SECOND,)
    assert feed(model, facts.LegLeft(CUSTOMER, "b1"), facts.LegEnded(AGENT, 16)) == []
    told = (
        facts.LegLeft(SECOND, "b2"),
        facts.MusicStarted(TARGET),
        facts.MusicStopped(CUSTOMER),
        facts.LegJoined(CUSTOMER, "b3"),
        facts.LegJoined(SECOND, "b3"),
    )
    assert feed(model, *told) == [changed(CONSULT, HELD), changed(PRIMARY, TALKING)]


def test_a_colleague_who_is_consulted_knows_the_leg_that_the_calls_are_gathered_on() -> None:
    model = watching()
    model.watch("1002")
    told = (*customer_waits(), *agent_rings(), *agent_answers())
    feed(model, *told, *PHONE_HOLDS, *PHONE_DIALS, *TARGET_ANSWERS)
    (theirs,) = model.interactions("1002")
    assert set(theirs.primary.parties) == {SECOND}
    model.gather(AGENT, AGENT)
    feed(model, facts.LegLeft(TARGET, "b2"), facts.LegJoined(TARGET, "r2"), facts.RoomOpened("r2", TARGET))
    assert feed(model, facts.LegLeft(SECOND, "b2"), facts.LegEnded(SECOND, 16)) == []
    assert set(theirs.primary.parties) == {AGENT}
    assert theirs.primary.state is TALKING
    changes = feed(model, facts.LegEnded(AGENT, 16))
    assert theirs.primary.state is RELEASED
    assert not [one for one in changes if isinstance(one, Anomaly)]


def test_a_restarted_connector_finds_the_consult_in_its_interaction() -> None:
    model = watching()
    found = (
        facts.LegCreated(AGENT, "1001", CUSTOMER, placed=False, answered=True),
        facts.LegJoined(AGENT, "b1"),
        facts.LegCreated(CUSTOMER, "2001", CUSTOMER, placed=False, answered=True, number="2001"),
        facts.LegJoined(CUSTOMER, "b1"),
        facts.LegCreated(SECOND, "1001", SECOND, placed=False, answered=True, consult_of=AGENT),
        facts.LegJoined(SECOND, "b2"),
        facts.LegCreated(TARGET, "1002", SECOND, placed=False, answered=True, number="1002"),
        facts.LegJoined(TARGET, "b2"),
        facts.PhoneHeld(AGENT),
    )
    changes = feed(model, *found)
    assert not [one for one in changes if isinstance(one, Anomaly)]
    (interaction,) = model.interactions("1001")
    assert (interaction.id, interaction.primary.state) == (AGENT, HELD)
    assert interaction.consult is not None
    assert interaction.consult.state is TALKING


def test_a_restarted_connector_finds_a_consult_whose_first_call_is_gone_under_the_same_id() -> None:
    model = watching()
    leg = facts.LegCreated(SECOND, "1001", SECOND, placed=False, answered=True, consult_of=AGENT)
    assert feed(model, leg) == [InteractionAdded(AGENT, "1001")]
    assert InteractionEnded(AGENT, Cause.NORMAL) in feed(
        model,
        facts.LegJoined(SECOND, "b2"),
        facts.LegCreated(TARGET, "1002", SECOND, placed=False, answered=True),
        facts.LegJoined(TARGET, "b2"),
        facts.LegEnded(SECOND, 16),
    )
