"""The model on a conference that its agent leaves for a consult, and on who was called into one."""

import pytest
from telephony_script import AGENT, CUSTOMER, agent_in_call, feed, watching

from connector.telephony import facts
from connector.telephony.changes import Change, ConversationAdded, MemberJoined, MemberLeft
from connector.telephony.facts import Fact
from connector.telephony.interactions import Interaction
from connector.telephony.model import TelephonyModel
from connector.telephony.states import ConversationState, Role

TALKING, HELD = ConversationState.TALKING, ConversationState.HELD
GUEST, NEAR, FAR, OTHER = "g-leg", "l1", "l2", "o-leg"


def with_guest() -> tuple[Fact, ...]:
    """Bring agent and customer into a room, and a guest by a joint that stays."""
    return (
        facts.RoomOpened("b1", CUSTOMER),
        facts.LegCreated(NEAR, "", NEAR, placed=False, internal=True),
        facts.LegCreated(FAR, "", NEAR, placed=False, internal=True),
        facts.LegsPaired(NEAR, FAR),
        facts.DialStarted(None, NEAR),
        facts.LegCreated(GUEST, "2002", NEAR, placed=False, number="2002"),
        facts.DialStarted(FAR, GUEST),
        facts.LegAnswered(GUEST),
        facts.LegAnswered(NEAR),
        facts.LegJoined(NEAR, "b1"),
        facts.LegAnswered(FAR),
        facts.LegJoined(GUEST, "b2"),
        facts.LegJoined(FAR, "b2"),
    )


def elsewhere() -> tuple[Fact, ...]:
    """Bring the agent into the room of somebody else."""
    return (
        facts.LegCreated(OTHER, "2003", AGENT, placed=False, number="2003"),
        facts.LegAnswered(OTHER),
        facts.LegJoined(OTHER, "r2"),
        facts.RoomOpened("r2", OTHER),
        facts.LegLeft(AGENT, "b1"),
        facts.LegJoined(AGENT, "r2"),
    )


def conference() -> tuple[TelephonyModel, Interaction]:
    model = watching()
    feed(model, *agent_in_call(), *with_guest())
    interaction = model.interaction(AGENT)
    assert interaction is not None
    assert interaction.primary.parties.keys() == {CUSTOMER, GUEST}
    return model, interaction


def test_a_guest_is_in_the_room_by_the_joint() -> None:
    model, _ = conference()
    assert model.legs.room_of(GUEST) == CUSTOMER
    assert model.legs.seat_of(GUEST) == NEAR
    assert model.legs.seat_of(CUSTOMER) == CUSTOMER


def test_members_without_music_are_held_while_the_agent_is_elsewhere() -> None:
    model, interaction = conference()
    interaction.transferred.add(OTHER)
    feed(model, *elsewhere())
    assert interaction.primary.state is HELD


def test_a_guest_who_is_alone_hears_the_music_of_the_joint() -> None:
    model, interaction = conference()
    interaction.transferred.add(OTHER)
    feed(model, facts.LegEnded(CUSTOMER, 16))
    assert interaction.primary.state is TALKING
    feed(model, *elsewhere())
    assert interaction.primary.state is TALKING
    feed(model, facts.MusicStarted(NEAR))
    assert interaction.primary.state is HELD


def test_a_guest_is_a_party_until_the_agent_has_left() -> None:
    model, _ = conference()
    assert model.is_party(GUEST)
    assert not model.is_party(AGENT)
    feed(model, facts.LegEnded(AGENT, 16))
    assert not model.is_party(GUEST)


def invited(shown: str, *, inviter_there: bool) -> tuple[Interaction, list[Change]]:
    """Have agent 1001, in a room with a customer, call agent 1002 into it, who sees a number and answers."""
    model = TelephonyModel()
    model.watch("1001")
    model.watch("1002")
    feed(model, *agent_in_call(), facts.RoomOpened("b1", CUSTOMER))
    changes = feed(
        model,
        facts.LegCreated(NEAR, "", NEAR, placed=False, internal=True),
        facts.LegCreated(FAR, "", NEAR, placed=False, internal=True),
        facts.LegsPaired(NEAR, FAR),
        facts.DialStarted(None, NEAR),
        facts.LegCreated(GUEST, "1002", NEAR, placed=False, number="1002", name="Ben"),
        facts.LegNamed(GUEST, "1002", "Ben", shown, ""),
        facts.DialStarted(FAR, GUEST),
        facts.LegRinging(GUEST),
        *(() if inviter_there else (facts.LegLeft(AGENT, "b1", waits=True),)),
        facts.LegAnswered(GUEST),
        facts.LegAnswered(NEAR),
        facts.LegJoined(NEAR, "b1"),
        facts.LegAnswered(FAR),
        facts.LegJoined(GUEST, "b2"),
        facts.LegJoined(FAR, "b2"),
    )
    interaction = model.interaction(GUEST)
    assert interaction is not None
    return interaction, [one for one in changes if getattr(one, "interaction", "") == GUEST]


@pytest.mark.parametrize("shown", ["1001", "2001", "5550"])
def test_an_agent_who_is_called_in_sees_each_party_by_its_own_number(shown: str) -> None:
    interaction, _ = invited(shown, inviter_there=True)
    assert {leg: one.address for leg, one in interaction.primary.parties.items()} == {
        AGENT: "1001",
        CUSTOMER: "2001",
    }


def test_an_agent_who_is_called_in_by_somebody_who_has_left_is_told_who_is_there() -> None:
    interaction, changes = invited("1001", inviter_there=False)
    assert [one.address for one in interaction.primary.members] == ["2001"]
    members = [
        (type(one), one.member.address) for one in changes if isinstance(one, MemberJoined | MemberLeft)
    ]
    assert members == [(MemberJoined, "2001"), (MemberLeft, "1001")]


def test_who_comes_into_the_room_while_the_agent_holds_is_a_party() -> None:
    model = watching()
    feed(model, *agent_in_call(), facts.RoomAssigned(AGENT, Role.PRIMARY, CUSTOMER))
    feed(model, facts.RoomOpened("b1", CUSTOMER), facts.LegLeft(AGENT, "b1", waits=True))
    feed(model, facts.MusicStarted(CUSTOMER))
    interaction = model.interaction(AGENT)
    assert interaction is not None
    assert interaction.primary.state is HELD
    told = feed(model, facts.MusicStopped(CUSTOMER), *with_guest())
    assert [one.member.address for one in told if isinstance(one, MemberJoined)] == ["2002"]
    assert interaction.primary.parties.keys() == {CUSTOMER, GUEST}
    assert interaction.primary.state is HELD
    feed(model, facts.LegEnded(CUSTOMER, 16))
    assert interaction.primary.parties.keys() == {GUEST}
    assert interaction.primary.state is HELD


def test_a_consult_that_begins_as_the_customer_hangs_up_is_one() -> None:
    model = watching()
    feed(model, *agent_in_call())
    told = feed(
        model,
        facts.LegLeft(AGENT, "b1"),
        facts.LegEnded(CUSTOMER, 16),
        facts.LegCreated(NEAR, "", AGENT, placed=False, internal=True),
        facts.LegCreated(FAR, "", AGENT, placed=False, internal=True),
        facts.LegsPaired(NEAR, FAR),
        facts.DialStarted(AGENT, NEAR),
        facts.LegCreated(OTHER, "2003", AGENT, placed=False, number="2003"),
        facts.DialStarted(FAR, OTHER),
    )
    interaction = model.interaction(AGENT)
    assert interaction is not None
    assert interaction.consult is not None
    assert (interaction.primary.state, interaction.consult.state) == (
        ConversationState.RELEASED,
        ConversationState.DIALING,
    )
    assert any(isinstance(one, ConversationAdded) for one in told)
