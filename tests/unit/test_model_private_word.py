"""The model on a private word: one member of a conference is alone with the agent, the others wait."""

import itertools
from collections.abc import Sequence

import pytest
from telephony_script import AGENT, CUSTOMER, TARGET, agent_in_call, feed, taken_aside, third_joins

from connector.telephony import facts
from connector.telephony.changes import (
    Anomaly,
    Change,
    ConversationAdded,
    ConversationChanged,
    MemberJoined,
    MemberLeft,
    MemberType,
    RecordingChanged,
)
from connector.telephony.facts import Fact
from connector.telephony.interactions import Conversation, Interaction
from connector.telephony.model import TelephonyModel
from connector.telephony.states import Cause, ConversationState, Recording, Role

TALKING, HELD, RELEASED = ConversationState.TALKING, ConversationState.HELD, ConversationState.RELEASED
FOURTH = "y-leg"


class Play:
    """An agent in a conference with customer and third; `more` who came in then. Anomalies are errors."""

    def __init__(self, *more: Fact, watched: Sequence[str] = ("1001",)) -> None:
        self.model = TelephonyModel()
        for phone in watched:
            self.model.watch(phone)
        self.tell(*agent_in_call(), *third_joins(), *more)

    def tell(self, *told: Fact) -> list[Change]:
        changes = feed(self.model, *told)
        assert not [one for one in changes if isinstance(one, Anomaly)]
        return changes

    @property
    def interaction(self) -> Interaction:
        found = self.model.interaction(AGENT)
        assert found is not None
        return found

    @property
    def word(self) -> Conversation:
        found = self.interaction.consult
        assert found is not None
        return found

    def states(self) -> tuple[ConversationState, ConversationState]:
        return self.interaction.primary.state, self.word.state


def fourth_joins() -> tuple[Fact, ...]:
    return (
        facts.LegCreated(FOURTH, "2002", CUSTOMER, placed=False, number="2002"),
        facts.LegAnswered(FOURTH),
        facts.LegJoined(FOURTH, "b1"),
    )


def shown(changes: list[Change]) -> list[str]:
    """Return what a desk is told of it, in order."""
    told = []
    for one in changes:
        match one:
            case ConversationAdded(role=role):
                told.append(f"{role} added")
            case ConversationChanged(conversation=name, state=state):
                told.append(f"{name} {state}")
            case MemberLeft(conversation=name, member=member):
                told.append(f"{name} without {member.address}")
            case MemberJoined(conversation=name, member=member):
                told.append(f"{name} with {member.address}")
            case _:
                pass
    return told


def test_who_is_alone_with_the_agent_is_a_consults_party() -> None:
    play = Play()
    (before,) = [one for one in play.interaction.primary.members if one.address == "1002"]
    told = shown(play.tell(*taken_aside()))
    first, second = f"{AGENT}-1", f"{AGENT}-2"
    assert sorted(told) == sorted(
        [f"{first} without 1002", "consult added", f"{second} TALKING", f"{first} HELD"]
    )
    assert told.index("consult added") < told.index(f"{second} TALKING")
    assert play.states() == (HELD, TALKING)
    assert [one.address for one in play.interaction.primary.members] == ["2001"]
    assert [(one.address, one.type) for one in play.word.members] == [("1002", before.type)]


@pytest.mark.parametrize("order", list(itertools.permutations(range(5))))
def test_the_order_of_events_does_not_matter(order: Sequence[int]) -> None:
    play = Play()
    assigned, left_agent, left_third, music, joined_agent, opened, joined_third = taken_aside()
    told = (
        (left_agent, joined_agent),
        (left_third, joined_third),
        (music,),
        (opened,),
        (facts.MusicStopped(TARGET),),
    )
    play.tell(assigned, *(fact for place in order for fact in told[place]), opened)
    assert play.states() == (HELD, TALKING)


def test_music_while_they_meet_is_no_hold_of_the_conference_before_the_word_has_begun() -> None:
    """The member may be first in its room, where the agent is told to be before whose room that is."""
    play = Play()
    assigned, left_agent, left_third, music, joined_agent, opened, joined_third = taken_aside()
    play.model.expect_meeting(AGENT, under_way=True)
    early = (assigned, left_agent, left_third, music, joined_third, facts.MusicStarted(TARGET))
    assert shown(play.tell(*early, joined_agent)) == []
    told = shown(play.tell(opened, facts.MusicStopped(TARGET)))
    assert told[-2:] == [f"{AGENT}-1 HELD", f"{AGENT}-2 TALKING"]
    assert play.states() == (HELD, TALKING)


def test_several_others_are_on_hold_while_they_hear_each_other() -> None:
    play = Play(*fourth_joins())
    play.tell(*[fact for fact in taken_aside() if not isinstance(fact, facts.MusicStarted)])
    assert play.states() == (HELD, TALKING)
    assert sorted(one.address for one in play.interaction.primary.members) == ["2001", "2002"]


def test_the_others_may_leave_the_room_one_by_one() -> None:
    """Where the member stays, the word begins when nobody else is left there."""
    play = Play(*fourth_joins())
    play.tell(
        facts.RoomAssigned(AGENT, Role.CONSULT, CUSTOMER),
        facts.LegLeft(TARGET, "b1"),
        facts.LegJoined(TARGET, "b3"),
        facts.RoomOpened("b3", TARGET),
    )
    assert play.interaction.consult is None
    assert play.interaction.primary.state is TALKING
    play.tell(facts.LegLeft(FOURTH, "b1"), facts.LegJoined(FOURTH, "b3"))
    assert play.states() == (HELD, TALKING)
    assert [(one.address, one.type) for one in play.word.members] == [("2001", MemberType.CUSTOMER)]


def test_where_the_member_hangs_up_first_nobody_else_is_taken_aside() -> None:
    """The others were about to leave the room of the one who stays."""
    play = Play()
    play.tell(facts.RoomAssigned(AGENT, Role.CONSULT, CUSTOMER), facts.LegLeft(CUSTOMER, "b1"))
    assert play.interaction.consult is None
    play.tell(facts.LegLeft(TARGET, "b1"), facts.LegJoined(TARGET, "b3"), facts.LegEnded(CUSTOMER, 16))
    play.tell(facts.RoomOpened("b3", TARGET), facts.MusicStarted(TARGET))
    assert play.interaction.consult is None
    assert (play.interaction.primary.state, list(play.interaction.primary.parties)) == (HELD, [TARGET])


def test_without_a_room_for_it_nobody_is_taken_aside() -> None:
    """Where members hold the conference themselves they are members still."""
    play = Play()
    play.tell(facts.LegLeft(TARGET, "b1", waits=True))
    assert play.interaction.consult is None
    play = Play()
    play.tell(*taken_aside()[1:])
    assert play.interaction.consult is None


def test_back_in_the_conference_everybody_is_a_member() -> None:
    play = Play()
    play.tell(
        facts.RoomAssigned(AGENT, Role.CONSULT, CUSTOMER),
        facts.LegLeft(TARGET, "b1"),
        facts.LegJoined(TARGET, "b3"),
        facts.MusicStarted(TARGET),
    )
    assert play.states() == (HELD, TALKING)
    play.tell(facts.LegLeft(TARGET, "b3"), facts.MusicStopped(TARGET), facts.LegJoined(TARGET, "b1"))
    assert play.states() == (TALKING, RELEASED)
    assert play.word.cause is Cause.CONFERENCED
    assert play.interaction.primary.parties.keys() == {CUSTOMER, TARGET}
    # And once more: another consult.
    play.tell(facts.RoomAssigned(AGENT, Role.CONSULT, TARGET), *taken_aside()[1:])
    assert (play.word.id, *play.states()) == (f"{AGENT}-3", HELD, TALKING)


@pytest.mark.parametrize(
    ("leg", "expected"), [(TARGET, (HELD, RELEASED)), (CUSTOMER, (RELEASED, TALKING)), (AGENT, None)]
)
def test_somebody_hangs_up(leg: str, expected: tuple[ConversationState, ConversationState] | None) -> None:
    play = Play()
    play.tell(*taken_aside(), facts.LegEnded(leg, 16))
    assert play.states() == (expected or (RELEASED, RELEASED))
    assert play.interaction.over is (leg == AGENT)


def test_a_recording_ends_with_whose_it_is_also_if_that_one_had_left_before() -> None:
    play = Play()
    play.tell(facts.LegRecorded(CUSTOMER, Recording.ON), facts.LegLeft(CUSTOMER, "b1"))
    assert play.interaction.recording is Recording.ON
    assert RecordingChanged(AGENT, Recording.OFF) in play.tell(facts.LegEnded(CUSTOMER, 16))


def test_a_colleague_who_is_taken_aside_has_the_agent_only() -> None:
    play = Play(watched=("1001", "1002"))
    theirs = play.model.interaction(TARGET)
    assert theirs is not None
    assert theirs.primary.parties.keys() == {AGENT, CUSTOMER}
    play.tell(facts.RoomAssigned(TARGET, Role.PRIMARY, TARGET), *taken_aside())
    assert (theirs.primary.state, set(theirs.primary.parties)) == (TALKING, {AGENT})
    back = (facts.LegLeft(AGENT, "b2"), facts.LegLeft(TARGET, "b2"))
    play.tell(*back, facts.LegJoined(TARGET, "b1"), facts.LegJoined(AGENT, "b1"))
    assert theirs.primary.parties.keys() == {AGENT, CUSTOMER}
    assert (theirs.primary.state, *play.states()) == (TALKING, TALKING, RELEASED)


def test_a_colleague_who_waits_has_not_the_customer_meanwhile() -> None:
    play = Play(watched=("1001", "1002"))
    theirs = play.model.interaction(TARGET)
    assert theirs is not None
    play.tell(
        facts.RoomAssigned(TARGET, Role.PRIMARY, TARGET),
        facts.RoomAssigned(AGENT, Role.CONSULT, CUSTOMER),
        facts.LegLeft(TARGET, "b1"),
        facts.LegJoined(TARGET, "b3"),
        facts.RoomOpened("b3", TARGET),
        facts.MusicStarted(TARGET),
    )
    # One who waits for the other agent is not on hold at the own desk.
    assert (theirs.primary.state, set(theirs.primary.parties)) == (TALKING, {AGENT})
    assert play.states() == (HELD, TALKING)
