"""The model on plain calls: every outcome of an offered and of a dialled call."""

import pytest
from telephony_script import (
    AGENT,
    CUSTOMER,
    agent_answers,
    agent_dials,
    agent_in_call,
    agent_rings,
    customer_answers_dial,
    customer_waits,
    feed,
    watching,
)

from connector.telephony import facts
from connector.telephony.changes import (
    Anomaly,
    ConversationChanged,
    InteractionAdded,
    InteractionCompleted,
    InteractionEnded,
    InteractionStarted,
    MemberType,
)
from connector.telephony.facts import Fact
from connector.telephony.model import TelephonyModel
from connector.telephony.states import Cause, ConversationState, DialOutcome, InteractionState


def released(model: TelephonyModel, *told: Fact) -> Cause | None:
    changes = feed(model, *told)
    assert not [one for one in changes if isinstance(one, Anomaly)]
    ended = [one.cause for one in changes if isinstance(one, InteractionEnded)]
    causes = [
        one.cause
        for one in changes
        if isinstance(one, ConversationChanged) and one.state is ConversationState.RELEASED
    ]
    assert causes == ended
    assert len(ended) == 1
    return ended[0]


def test_an_offered_call_alerts_with_its_data() -> None:
    model = watching()
    assert feed(model, *customer_waits()) == []
    assert feed(model, *agent_rings()) == [InteractionAdded(AGENT, "1001")]
    interaction = model.interaction(AGENT)
    assert interaction is not None
    assert interaction.state is InteractionState.ALERTING
    assert interaction.data == {
        "DIRECTION": "INBOUND",
        "ANI": "2001",
        "CALLER_NAME": "Ann",
        "DNIS": "7000",
        "QUEUE": "support",
        "WAIT_TIME": "3",
        "SKILL": "gold",
    }
    (member,) = interaction.primary.members
    assert (member.address, member.name, member.type) == ("2001", "Ann", MemberType.CUSTOMER)


def test_answering_starts_the_interaction_once_both_are_joined() -> None:
    model = watching()
    feed(model, *customer_waits(), *agent_rings())
    assert feed(model, *agent_answers()) == [
        ConversationChanged(AGENT, f"{AGENT}-1", ConversationState.TALKING),
        InteractionStarted(AGENT),
    ]


@pytest.mark.parametrize("first", [AGENT, CUSTOMER])
def test_either_side_ends_the_call_normally(first: str) -> None:
    model = watching()
    feed(model, *customer_waits(), *agent_rings(), *agent_answers())
    second = CUSTOMER if first == AGENT else AGENT
    told = (
        facts.HangupAsked(first, by_phone=True),
        facts.LegLeft(first, "b1"),
        facts.MusicStarted(CUSTOMER),
        facts.LegLeft(second, "b1"),
        facts.LegEnded(first, 16),
        facts.LegEnded(second, 16),
    )
    assert released(model, *told) is Cause.NORMAL
    assert model.complete(AGENT) == [InteractionCompleted(AGENT)]
    assert model.interactions("1001") == []


@pytest.mark.parametrize(
    ("told", "cause"),
    [
        pytest.param(
            (
                facts.DialEnded(CUSTOMER, AGENT, DialOutcome.NO_ANSWER),
                facts.DialEnded(CUSTOMER, AGENT, DialOutcome.CANCELLED),
                facts.LegEnded(AGENT, 0),
            ),
            Cause.NO_ANSWER,
            id="nobody picks up",
        ),
        pytest.param(
            (facts.DialEnded(CUSTOMER, AGENT, DialOutcome.BUSY), facts.LegEnded(AGENT, 17)),
            Cause.REJECTED,
            id="the phone says 486",
        ),
        pytest.param(
            (facts.DialEnded(CUSTOMER, AGENT, DialOutcome.NO_ANSWER), facts.LegEnded(AGENT, 21)),
            Cause.REJECTED,
            id="the phone says 603",
        ),
        pytest.param(
            (
                facts.HangupAsked(CUSTOMER, by_phone=True),
                facts.DialEnded(CUSTOMER, AGENT, DialOutcome.CANCELLED),
                facts.QueueLeft(CUSTOMER, "support", abandoned=True),
                facts.LegEnded(AGENT, 0),
                facts.LegEnded(CUSTOMER, 0),
            ),
            Cause.ABANDONED,
            id="the caller gives up",
        ),
        pytest.param(
            (
                facts.DialEnded(CUSTOMER, AGENT, DialOutcome.CANCELLED),
                facts.QueueLeft(CUSTOMER, "support", abandoned=True),
                facts.LegEnded(AGENT, 0),
            ),
            Cause.CANCELLED,
            id="the queue takes the offer back",
        ),
    ],
)
def test_an_offer_that_is_not_taken(told: tuple[Fact, ...], cause: Cause) -> None:
    model = watching()
    feed(model, *customer_waits(), *agent_rings())
    assert released(model, *told) is cause


def test_a_dialled_call_talks_through_a_joint_that_goes() -> None:
    model = watching()
    model.expect_dial(AGENT, "2001")
    changes = feed(model, *agent_dials())
    assert changes[0] == InteractionAdded(AGENT, "1001")
    interaction = model.interaction(AGENT)
    assert interaction is not None
    assert interaction.state is InteractionState.DIALING
    assert [one.address for one in interaction.primary.members] == ["2001"]
    before = interaction.primary.members[0].id
    changes = feed(model, *customer_answers_dial())
    assert changes == [
        ConversationChanged(AGENT, f"{AGENT}-1", ConversationState.TALKING),
        InteractionStarted(AGENT),
    ]
    assert [one.id for one in interaction.primary.members] == [before]


@pytest.mark.parametrize(
    ("told", "cause"),
    [
        pytest.param(
            (facts.DialReported(AGENT, DialOutcome.BUSY, 17), facts.LegEnded(AGENT, 17)),
            Cause.BUSY,
            id="busy",
        ),
        pytest.param(
            (facts.DialReported(AGENT, DialOutcome.NO_ANSWER, 21), facts.LegEnded(AGENT, 21)),
            Cause.REJECTED,
            id="declined",
        ),
        pytest.param(
            (facts.DialReported(AGENT, DialOutcome.NO_ANSWER, 0), facts.LegEnded(AGENT, 16)),
            Cause.NO_ANSWER,
            id="no answer",
        ),
        pytest.param(
            (facts.DialReported(AGENT, DialOutcome.UNREACHABLE, 3), facts.LegEnded(AGENT, 3)),
            Cause.UNREACHABLE,
            id="not registered",
        ),
        pytest.param(
            (facts.DialReported(AGENT, DialOutcome.INVALID, 1), facts.LegEnded(AGENT, 1)),
            Cause.INVALID_NUMBER,
            id="no such number",
        ),
        pytest.param(
            (
                facts.HangupAsked(AGENT, by_phone=True),
                facts.DialReported(AGENT, DialOutcome.CANCELLED, 0),
                facts.LegEnded(AGENT, 0),
            ),
            Cause.CANCELLED,
            id="the agent gives up",
        ),
    ],
)
def test_a_dialled_call_that_is_not_answered(told: tuple[Fact, ...], cause: Cause) -> None:
    model = watching()
    model.expect_dial(AGENT, "2001")
    feed(model, *agent_dials())
    ends = (facts.LegEnded(CUSTOMER, 16), *told)
    assert released(model, *ends) is cause


@pytest.mark.parametrize(
    ("told", "cause"),
    [
        ((facts.DialEnded(None, AGENT, DialOutcome.BUSY), facts.LegEnded(AGENT, 17)), Cause.REJECTED),
        ((facts.DialEnded(None, AGENT, DialOutcome.NO_ANSWER), facts.LegEnded(AGENT, 21)), Cause.REJECTED),
        ((facts.LegEnded(AGENT, 19),), Cause.NO_ANSWER),
    ],
)
def test_the_agent_does_not_pick_up_for_an_own_call(told: tuple[Fact, ...], cause: Cause) -> None:
    model = watching()
    model.expect_dial(AGENT, "2001")
    feed(model, *agent_dials()[:3])
    assert released(model, *told) is cause


def test_a_placement_that_makes_no_leg_makes_no_interaction() -> None:
    model = watching()
    model.expect_dial(AGENT, "2001")
    assert feed(model, facts.PlacementFailed(AGENT, timed_out=False)) == []
    assert model.interactions("1001") == []


def test_a_call_to_a_program_of_the_pbx_talks() -> None:
    model = watching()
    model.expect_dial(AGENT, "9000")
    feed(model, *agent_dials()[:9])
    told = (
        facts.LegAnswered("l1"),
        facts.DialEnded(AGENT, "l1", DialOutcome.ANSWERED),
        facts.LegJoined(AGENT, "b1"),
        facts.LegJoined("l1", "b1"),
    )
    assert ConversationChanged(AGENT, f"{AGENT}-1", ConversationState.TALKING) in feed(model, *told)


def test_the_phones_own_hold_shows() -> None:
    model = watching()
    feed(model, *customer_waits(), *agent_rings(), *agent_answers())
    conversation = f"{AGENT}-1"
    assert feed(model, facts.PhoneHeld(AGENT), facts.MusicStarted(CUSTOMER)) == [
        ConversationChanged(AGENT, conversation, ConversationState.HELD)
    ]
    assert feed(model, facts.PhoneResumed(AGENT), facts.MusicStopped(CUSTOMER)) == [
        ConversationChanged(AGENT, conversation, ConversationState.TALKING)
    ]


def test_music_for_whom_a_leaving_agent_leaves_is_no_hold() -> None:
    model = watching()
    feed(model, *customer_waits(), *agent_rings(), *agent_answers())
    model.expect_departure(AGENT, Cause.TRANSFERRED)
    changes = feed(
        model, facts.LegLeft(CUSTOMER, "b1"), facts.MusicStarted(CUSTOMER), facts.LegEnded(AGENT, 16)
    )
    assert [change.state for change in changes if isinstance(change, ConversationChanged)] == [
        ConversationState.RELEASED
    ]


def test_music_for_who_comes_first_into_a_common_room_is_no_hold() -> None:
    model = watching()
    feed(model, *customer_waits(), *agent_rings(), *agent_answers())
    model.expect_meeting(AGENT, under_way=True)
    assert not feed(
        model,
        facts.LegLeft(CUSTOMER, "b1"),
        facts.LegJoined(CUSTOMER, "room"),
        facts.MusicStarted(CUSTOMER),
        facts.LegLeft(AGENT, "b1"),
        facts.LegJoined(AGENT, "room"),
        facts.MusicStopped(CUSTOMER),
    )
    model.expect_meeting(AGENT, under_way=False)
    assert feed(model, facts.LegLeft(AGENT, "room", waits=True), facts.MusicStarted(CUSTOMER)) == [
        ConversationChanged(AGENT, f"{AGENT}-1", ConversationState.HELD)
    ]


@pytest.mark.parametrize("music_first", [False, True])
def test_an_agents_leg_that_lost_its_place_on_the_way_waits(*, music_first: bool) -> None:
    model = watching()
    feed(model, *customer_waits(), *agent_rings(), *agent_answers())
    told: list[Fact] = [facts.LegLeft(AGENT, "b1", waits=False), facts.MusicStarted(AGENT, waits=True)]
    changes = feed(model, *(told[::-1] if music_first else told), facts.MusicStarted(CUSTOMER))
    assert [change.state for change in changes if isinstance(change, ConversationChanged)] == [
        ConversationState.HELD
    ]
    leg = model.legs.get(AGENT)
    assert leg is not None
    assert leg.waits
    feed(model, facts.LegJoined(AGENT, "b2"))
    assert not leg.waits


def test_a_phone_watched_in_mid_call_shows_its_call() -> None:
    model = TelephonyModel()
    feed(model, *customer_waits(), *agent_rings(), *agent_answers())
    assert model.watch("1001") == [InteractionAdded(AGENT, "1001")]
    changes = feed(model, facts.LegNamed(AGENT, "1001", "", "2001", ""))
    assert InteractionStarted(AGENT) in changes


def test_when_the_pbx_stops_every_call_ends() -> None:
    model = watching()
    feed(model, *customer_waits(), *agent_rings(), *agent_answers())
    assert released(model, facts.PbxStopped()) is Cause.NORMAL


def test_a_party_that_is_taken_away_ends_its_conversation_and_comes_back_as_another_call() -> None:
    model = watching()
    feed(model, *customer_waits(), *agent_rings(), *agent_answers())
    feed(model, facts.LegLeft(CUSTOMER, "b1"), facts.LegLeft(AGENT, "b1", waits=True))
    assert feed(model, facts.LegOrphaned(CUSTOMER)) == [
        ConversationChanged(AGENT, f"{AGENT}-1", ConversationState.RELEASED, Cause.NORMAL)
    ]
    # Whom the party hears now, or its end, is no business of that agent's any more.
    assert feed(model, facts.MusicStarted(CUSTOMER), facts.MusicStopped(CUSTOMER)) == []
    back = "a-leg-2"
    assert feed(
        model, facts.LegCreated(back, "1001", CUSTOMER, placed=False), facts.DialStarted(CUSTOMER, back)
    ) == [InteractionAdded(back, "1001")]
    assert feed(model, facts.LegEnded(AGENT, 16)) == [InteractionEnded(AGENT, Cause.NORMAL)]


def test_who_answers_a_consult_and_is_gone_before_being_known_ends_it() -> None:
    model = watching()
    feed(model, *agent_in_call(), facts.LegLeft(AGENT, "b1", waits=True), facts.MusicStarted(CUSTOMER))
    near, far = "near", "far"
    feed(
        model,
        *(facts.LegCreated(half, "", AGENT, placed=False, internal=True) for half in (near, far)),
        facts.LegsPaired(near, far),
        facts.DialStarted(AGENT, near),
        facts.LegAnswered(near),
        facts.DialEnded(AGENT, near, DialOutcome.ANSWERED),
        facts.LegJoined(AGENT, "b9"),
        facts.LegJoined(near, "b9"),
    )
    interaction = model.interaction(AGENT)
    assert interaction is not None
    consult = interaction.consult
    assert consult is not None
    assert (consult.state, consult.parties) == (ConversationState.TALKING, {})
    feed(model, facts.LegEnded(near, 16), facts.LegEnded(far, 16), facts.LegLeft(AGENT, "b9", waits=True))
    feed(model, facts.DialReported(AGENT, DialOutcome.ANSWERED, 16))
    assert consult.state is ConversationState.RELEASED
    assert interaction.primary.state is ConversationState.HELD
