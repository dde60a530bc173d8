"""The model on the PBX's own attended transfer, as Asterisk 22 tells it."""

import pytest
from telephony_script import (
    AGENT,
    CUSTOMER,
    TARGET,
    agent_in_call,
    feed,
    pbx_lets_agent_consult,
    target_answers_consult,
    watching,
)

from connector.telephony import facts
from connector.telephony.changes import Anomaly, ConversationAdded, MemberJoined, MemberType
from connector.telephony.facts import Fact
from connector.telephony.interactions import Conversation, Interaction
from connector.telephony.model import TelephonyModel
from connector.telephony.states import Cause, ConversationState, DialOutcome

TALKING, HELD = ConversationState.TALKING, ConversationState.HELD
DIALING, RELEASED = ConversationState.DIALING, ConversationState.RELEASED

SWAP_TO_CUSTOMER = (
    facts.PhoneHeld(AGENT),
    facts.LegLeft(AGENT, "b2"),
    facts.LegJoined(AGENT, "b1"),
    facts.MusicStarted("l1"),
    facts.MusicStopped(CUSTOMER),
    facts.PhoneResumed(AGENT),
)
SWAP_TO_TARGET = (
    facts.PhoneHeld(AGENT),
    facts.LegLeft(AGENT, "b1"),
    facts.LegJoined(AGENT, "b2"),
    facts.MusicStarted(CUSTOMER),
    facts.MusicStopped("l1"),
    facts.PhoneResumed(AGENT),
)
BACK_TO_CUSTOMER = (
    facts.LegLeft(AGENT, "b2"),
    facts.LegJoined(AGENT, "b1"),
    facts.MusicStopped(CUSTOMER),
    facts.PhoneResumed(AGENT),
)
JOINT_GOES = (facts.LegLeft("l1", "b2"), facts.LegEnded("l2", 16), facts.LegEnded("l1", 16))


def consulting(*then: Fact) -> tuple[TelephonyModel, Interaction, Conversation]:
    model = watching()
    changes = feed(model, *agent_in_call(), *pbx_lets_agent_consult(), *then)
    assert not [one for one in changes if isinstance(one, Anomaly)]
    interaction = model.interaction(AGENT)
    assert interaction is not None
    assert interaction.consult is not None
    return model, interaction, interaction.consult


def test_the_ringing_consult_has_the_number_and_does_not_talk() -> None:
    _model, interaction, consult = consulting()
    assert (interaction.primary.state, consult.state) == (HELD, DIALING)
    assert [(one.address, one.type) for one in consult.members] == [("1002", MemberType.OTHER)]


def test_the_answered_consult_talks_and_swaps() -> None:
    model, interaction, consult = consulting(*target_answers_consult())
    assert (interaction.primary.state, consult.state) == (HELD, TALKING)
    assert set(consult.parties) == {TARGET}
    for _ in range(3):
        feed(model, *SWAP_TO_CUSTOMER)
        assert (interaction.primary.state, consult.state) == (TALKING, HELD)
        feed(model, *SWAP_TO_TARGET)
        assert (interaction.primary.state, consult.state) == (HELD, TALKING)


def test_the_dropped_consult_leaves_the_primary() -> None:
    _model, interaction, consult = consulting(
        *target_answers_consult(), *BACK_TO_CUSTOMER, *JOINT_GOES, facts.LegEnded(TARGET, 16)
    )
    assert (interaction.primary.state, consult.state, consult.cause) == (TALKING, RELEASED, Cause.NORMAL)


@pytest.mark.parametrize(
    ("told", "cause"),
    [
        ((facts.DialEnded("l2", TARGET, DialOutcome.BUSY),), Cause.BUSY),
        ((facts.DialEnded("l2", TARGET, DialOutcome.NO_ANSWER),), Cause.NO_ANSWER),
        ((facts.DialEnded("l2", TARGET, DialOutcome.CANCELLED),), Cause.CANCELLED),
        ((facts.DialEnded(None, "l1", DialOutcome.BUSY),), Cause.BUSY),
        ((), Cause.CANCELLED),
    ],
)
def test_the_consult_that_nobody_takes(told: tuple[Fact, ...], cause: Cause) -> None:
    _model, interaction, consult = consulting(*told, *BACK_TO_CUSTOMER, *JOINT_GOES)
    assert (interaction.primary.state, consult.state, consult.cause) == (TALKING, RELEASED, cause)


def test_a_refusal_that_is_told_before_the_agent_hears_it() -> None:
    model = watching()
    feed(model, *agent_in_call())
    told = list(pbx_lets_agent_consult())
    told.insert(told.index(facts.LegLeft(AGENT, "b1")), facts.DialEnded(None, "l1", DialOutcome.BUSY))
    feed(model, *told)
    interaction = model.interaction(AGENT)
    assert interaction is not None
    assert interaction.consult is not None
    assert (interaction.primary.state, interaction.consult.state) == (HELD, RELEASED)
    assert interaction.consult.cause is Cause.BUSY


def test_a_consult_with_a_program_talks_and_is_held() -> None:
    model = watching()
    feed(model, *agent_in_call())
    told = [
        one
        for one in pbx_lets_agent_consult()
        if TARGET not in {getattr(one, "leg", ""), getattr(one, "callee", "")}
    ]
    feed(model, *told, facts.LegAnswered("l1"), facts.DialEnded(None, "l1", DialOutcome.ANSWERED))
    interaction = model.interaction(AGENT)
    assert interaction is not None
    assert interaction.consult is not None
    assert interaction.consult.state is TALKING
    feed(model, *SWAP_TO_CUSTOMER)
    assert (interaction.primary.state, interaction.consult.state) == (TALKING, HELD)
    feed(model, *JOINT_GOES)
    assert (interaction.primary.state, interaction.consult.state) == (TALKING, RELEASED)


def test_three_hear_each_other() -> None:
    model, interaction, consult = consulting(*target_answers_consult())
    changes = feed(
        model,
        facts.LegLeft("l1", "b2"),
        facts.LegJoined("l1", "b1"),
        facts.MusicStopped(CUSTOMER),
        facts.LegLeft(AGENT, "b2"),
        facts.LegJoined(AGENT, "b1"),
    )
    assert (interaction.primary.state, consult.state, consult.cause) == (TALKING, RELEASED, Cause.CONFERENCED)
    assert set(interaction.primary.parties) == {CUSTOMER, TARGET}
    assert [one for one in changes if isinstance(one, MemberJoined)]


def test_the_interaction_ends_with_the_transfer_though_the_leg_stays() -> None:
    model, interaction, _consult = consulting()
    feed(model, facts.LegTransferredAway(AGENT))
    assert interaction.over
    assert interaction.cause is Cause.TRANSFERRED
    assert feed(model, facts.LegEnded(AGENT, 16)) == []


def test_a_joint_that_somebody_dialled_is_no_consult() -> None:
    """A phone that holds, in a room with a party that was called into it."""
    model = watching()
    feed(
        model,
        *agent_in_call(),
        facts.PhoneHeld(AGENT),
        facts.LegCreated("l1", "", "l1", placed=False, internal=True),
        facts.LegCreated("l2", "", "l1", placed=False, internal=True),
        facts.LegsPaired("l1", "l2"),
        facts.DialStarted(None, "l1"),
        facts.LegAnswered("l1"),
        facts.LegJoined("l1", "b1"),
    )
    interaction = model.interaction(AGENT)
    assert interaction is not None
    assert interaction.consult is None
    assert interaction.primary.state is HELD


@pytest.mark.parametrize("asked", [False, True])
@pytest.mark.parametrize("alternated", [False, True])
def test_the_phone_hands_on_whom_it_talks_to(alternated: bool, asked: bool) -> None:
    """Asterisk names who is in the agent's bridge: of a consult that is the joint.

    The phone's hanging up may be told before.
    """
    model, interaction, consult = consulting(*target_answers_consult(), *(SWAP_TO_CUSTOMER * alternated))
    feed(
        model,
        *((facts.HangupAsked(AGENT, by_phone=True),) if asked else ()),
        facts.PartiesTransferred((AGENT,), (CUSTOMER if alternated else "l1",)),
        facts.LegLeft(AGENT, "b1" if alternated else "b2"),
        facts.LegEnded(AGENT, 16),
    )
    causes = (Cause.TRANSFERRED, Cause.NORMAL) if alternated else (Cause.NORMAL, Cause.TRANSFERRED)
    assert (interaction.primary.cause, consult.cause) == causes
    assert interaction.over


def test_who_was_handed_on_is_sent_to_the_number_before_the_agents_leg_ends() -> None:
    """There is no second consult, and the colleague's call goes on with whoever answers there."""
    model = watching()
    model.watch("1002")
    feed(model, *agent_in_call(), *pbx_lets_agent_consult(), *target_answers_consult())
    interaction, colleague = model.interaction(AGENT), model.interaction(TARGET)
    assert interaction is not None
    assert colleague is not None
    consult = interaction.consult
    assert consult is not None
    changes = feed(
        model,
        facts.PartiesTransferred((AGENT,), ("l1",)),
        facts.LegLeft(AGENT, "b2"),
        facts.LegLeft("l1", "b2"),
        facts.LegCreated("o-leg", "2002", AGENT, placed=False),
        facts.DialStarted("l1", "o-leg"),
        facts.LegEnded(AGENT, 16),
    )
    assert not [one for one in changes if isinstance(one, ConversationAdded)]
    assert interaction.consult is consult
    assert (interaction.primary.cause, consult.cause) == (Cause.NORMAL, Cause.TRANSFERRED)
    assert colleague.primary.state is TALKING


@pytest.mark.parametrize("answered", [1, 2, 3, 4])
def test_a_consult_that_is_answered_as_it_is_given_up(answered: int) -> None:
    """Asterisk has the agent back with the customer already, and joins whoever answered to nobody."""
    late = target_answers_consult()[:answered]
    gone = (*JOINT_GOES, facts.LegEnded(TARGET, 16))
    _model, interaction, consult = consulting(*BACK_TO_CUSTOMER, *late, *gone)
    assert consult.state is RELEASED
    assert consult.cause is (Cause.CANCELLED if answered == 1 else Cause.NORMAL)
    assert interaction.primary.state is TALKING


@pytest.mark.parametrize("agent_first", [True, False])
def test_the_customer_goes_while_the_consult_rings(agent_first: bool) -> None:
    """Asterisk ends the rest, in any order."""
    agent, joint = (facts.LegEnded(AGENT, 16),), JOINT_GOES
    then = (*agent, *joint) if agent_first else (*joint, *agent)
    _model, interaction, consult = consulting(facts.LegEnded(CUSTOMER, 16), *then)
    assert (interaction.primary.cause, consult.cause) == (Cause.NORMAL, Cause.CANCELLED)


@pytest.mark.parametrize("swapped", [False, True])
def test_a_phone_that_hangs_up_in_a_consult_transfers_whatever_is_told_first(swapped: bool) -> None:
    model, interaction, consult = consulting(*target_answers_consult())
    feed(model, *(SWAP_TO_CUSTOMER if swapped else ()), facts.HangupAsked(AGENT, by_phone=True))
    # The bridges become one while the agent is still there: that is no conference.
    together = "b1" if swapped else "b2"
    feed(model, facts.LegJoined("l1", together), facts.LegJoined(CUSTOMER, together))
    feed(model, facts.LegEnded(AGENT, 16), facts.LegTransferredAway(AGENT))
    assert (interaction.primary.cause, consult.cause, interaction.cause) == (Cause.TRANSFERRED,) * 3
