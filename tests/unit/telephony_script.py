"""Facts of typical calls, for tests of the model: agent 1001, customer 2001."""

from connector.telephony import facts
from connector.telephony.changes import Change
from connector.telephony.facts import Fact
from connector.telephony.model import TelephonyModel
from connector.telephony.states import DialOutcome, Role

AGENT, CUSTOMER, TARGET = "a-leg", "c-leg", "x-leg"


def watching() -> TelephonyModel:
    model = TelephonyModel()
    model.watch("1001")
    return model


def feed(model: TelephonyModel, *told: Fact) -> list[Change]:
    return [change for fact in told for change in model.apply(fact)]


def customer_waits() -> tuple[Fact, ...]:
    return (
        facts.LegCreated(CUSTOMER, "2001", CUSTOMER, placed=True, number="2001", name="Ann", dialled="7000"),
        facts.VariableSet(CUSTOMER, "SKILL", "gold"),
        facts.LegAnswered(CUSTOMER),
        facts.QueueEntered(CUSTOMER, "support", 1, 100.0),
        facts.MusicStarted(CUSTOMER),
    )


def agent_rings() -> tuple[Fact, ...]:
    return (
        facts.LegCreated(AGENT, "1001", CUSTOMER, placed=False, number="1001"),
        facts.QueueOffered(CUSTOMER, AGENT, "support", 103.5),
        facts.DialStarted(CUSTOMER, AGENT),
        facts.LegRinging(AGENT),
    )


def agent_answers() -> tuple[Fact, ...]:
    return (
        facts.LegAnswered(AGENT),
        facts.DialEnded(CUSTOMER, AGENT, DialOutcome.ANSWERED),
        facts.MusicStopped(CUSTOMER),
        facts.QueueLeft(CUSTOMER, "support", abandoned=False),
        facts.LegJoined(AGENT, "b1"),
        facts.LegJoined(CUSTOMER, "b1"),
    )


def agent_in_call() -> tuple[Fact, ...]:
    """Put agent and customer into an answered call, in bridge `b1`."""
    return customer_waits() + agent_rings() + agent_answers()


def pbx_lets_agent_consult() -> tuple[Fact, ...]:
    """Begin the PBX's own attended transfer: `1002` rings, and the agent hears it in `b2`."""
    return (
        facts.PhoneHeld(AGENT),
        facts.MusicStarted(CUSTOMER),
        facts.LegCreated("l1", "", CUSTOMER, placed=False, internal=True, dialled="1002"),
        facts.LegCreated("l2", "", CUSTOMER, placed=False, internal=True, dialled="1002"),
        facts.LegsPaired("l1", "l2"),
        facts.LegJoined("l1", "b2"),
        facts.LegCreated(TARGET, "1002", CUSTOMER, placed=False, number="1002"),
        facts.LegLeft(AGENT, "b1"),
        facts.LegJoined(AGENT, "b2"),
        facts.DialStarted("l2", TARGET),
        facts.LegRinging(TARGET),
        facts.LegRinging("l1"),
    )


def target_answers_consult() -> tuple[Fact, ...]:
    """Have the consulted party pick up; it stays behind the joint as long as the consult lasts."""
    return (
        facts.LegAnswered(TARGET),
        facts.DialEnded("l2", TARGET, DialOutcome.ANSWERED),
        facts.LegAnswered("l1"),
        facts.DialEnded(None, "l1", DialOutcome.ANSWERED),
        facts.LegJoined(TARGET, "b3"),
        facts.LegJoined("l2", "b3"),
    )


def third_joins() -> tuple[Fact, ...]:
    """Have agent and customer in the customer's room `b1`, and a third one come in."""
    return (
        facts.RoomOpened("b1", CUSTOMER),
        facts.LegCreated(TARGET, "1002", CUSTOMER, placed=False, number="1002"),
        facts.DialStarted(None, TARGET),
        facts.LegAnswered(TARGET),
        facts.LegJoined(TARGET, "b1"),
    )


def taken_aside() -> tuple[Fact, ...]:
    """Let the agent and the third one go to a room of their own; the customer hears music."""
    return (
        facts.RoomAssigned(AGENT, Role.CONSULT, TARGET),
        facts.LegLeft(AGENT, "b1"),
        facts.LegLeft(TARGET, "b1"),
        facts.MusicStarted(CUSTOMER),
        facts.LegJoined(AGENT, "b2"),
        facts.RoomOpened("b2", TARGET),
        facts.LegJoined(TARGET, "b2"),
    )


def agent_dials() -> tuple[Fact, ...]:
    """After `model.expect_dial(AGENT, "2001")`: the agent's phone is rung and picked up, then 2001 rings."""
    return (
        facts.LegCreated(AGENT, "1001", AGENT, placed=False, number="1001"),
        facts.DialStarted(None, AGENT),
        facts.LegRinging(AGENT),
        facts.LegAnswered(AGENT),
        facts.DialEnded(None, AGENT, DialOutcome.ANSWERED),
        facts.LegCreated("l1", "", AGENT, placed=False, internal=True),
        facts.LegCreated("l2", "", AGENT, placed=False, internal=True),
        facts.LegsPaired("l1", "l2"),
        facts.DialStarted(AGENT, "l1"),
        facts.LegCreated(CUSTOMER, "2001", AGENT, placed=False, number="2001"),
        facts.DialStarted("l2", CUSTOMER),
        facts.LegRinging(CUSTOMER),
    )


def customer_answers_dial() -> tuple[Fact, ...]:
    """Have the far end pick up; the joint is then taken out."""
    return (
        facts.LegAnswered(CUSTOMER),
        facts.DialEnded("l2", CUSTOMER, DialOutcome.ANSWERED),
        facts.DialEnded(AGENT, "l1", DialOutcome.ANSWERED),
        facts.LegJoined("l2", "b2"),
        facts.LegJoined(CUSTOMER, "b2"),
        facts.LegJoined(AGENT, "b1"),
        facts.LegJoined("l1", "b1"),
        facts.LegLeft("l1", "b1"),
        facts.LegLeft(CUSTOMER, "b2"),
        facts.LegJoined(CUSTOMER, "b1"),
        facts.LegEnded("l1", 16),
        facts.LegEnded("l2", 16),
    )
