"""The model on a conference that its agent leaves for a consult, and on who was called into one."""

from telephony_script import AGENT, CUSTOMER, agent_in_call, feed

from connector.telephony import facts
from connector.telephony.facts import Fact
from connector.telephony.interactions import Interaction
from connector.telephony.model import TelephonyModel
from connector.telephony.states import ConversationState

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
    model = TelephonyModel()
    model.watch("1001")
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
