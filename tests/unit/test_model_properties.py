"""The model takes anything: no fact raises, and states move along their tables only."""

from hypothesis import example, given, settings
from hypothesis import strategies as st

from connector.telephony import facts
from connector.telephony.changes import (
    Change,
    ConversationChanged,
    InteractionAdded,
    InteractionEnded,
    InteractionStarted,
)
from connector.telephony.facts import EndpointState, Fact
from connector.telephony.model import TelephonyModel
from connector.telephony.states import (
    CONVERSATION_STEPS,
    INTERACTION_STEPS,
    SUPERVISION_MODES,
    ConversationState,
    DialOutcome,
    InteractionState,
    Recording,
    Role,
)

legs = st.sampled_from(["a", "b", "c", "d", "l1", "l2"])
bridges = st.sampled_from(["b1", "b2"])
outcomes = st.sampled_from(DialOutcome)
endpoints = st.sampled_from(["1001", "1002", "2001"])
fact: st.SearchStrategy[Fact] = st.one_of(
    st.builds(
        facts.LegCreated,
        leg=legs,
        endpoint=endpoints,
        tree=legs,
        placed=st.booleans(),
        internal=st.booleans(),
        answered=st.booleans(),
        consult_of=st.just("") | legs,
        supervises=st.sampled_from(["", "", "", "a"]),
    ),
    st.builds(facts.LegRinging, legs),
    st.builds(facts.LegAnswered, legs),
    st.builds(facts.LegEnded, legs, st.sampled_from([0, 3, 16, 17, 19, 21])),
    st.builds(facts.LegTransferredAway, legs),
    st.builds(facts.HangupAsked, legs, st.booleans()),
    st.builds(facts.DialStarted, st.none() | legs, legs),
    st.builds(facts.DialEnded, st.none() | legs, legs, outcomes),
    st.builds(facts.DialReported, legs, outcomes, st.sampled_from([0, 1, 17])),
    st.builds(facts.PlacementFailed, legs, st.booleans()),
    st.builds(facts.LegJoined, legs, bridges),
    st.builds(facts.LegLeft, legs, bridges, st.booleans()),
    st.builds(facts.LegsPaired, legs, legs),
    st.builds(facts.LegOrphaned, legs),
    st.builds(facts.LegsParted, legs, legs),
    st.builds(facts.RoomAssigned, legs, st.sampled_from(Role), st.sampled_from(["r1", "r2", ""])),
    st.builds(facts.MusicStarted, legs, st.booleans()),
    st.builds(facts.MusicStopped, legs),
    st.builds(facts.PhoneHeld, legs),
    st.builds(facts.PhoneResumed, legs),
    st.builds(
        facts.PartiesTransferred, st.tuples(legs) | st.tuples(legs, legs), st.tuples(legs) | st.just(())
    ),
    st.builds(facts.JoinRefused, st.tuples(legs, legs)),
    st.builds(facts.TransferRefused, legs, st.just("1002")),
    st.builds(facts.VariableSet, legs, st.just("KEY"), st.text(max_size=3)),
    st.builds(facts.LegRecorded, legs, st.sampled_from(Recording)),
    st.builds(facts.LegMuted, legs, st.booleans()),
    st.builds(facts.SpyStarted, legs, legs, st.none() | st.sampled_from(sorted(SUPERVISION_MODES))),
    st.builds(facts.QueueOffered, legs, legs, st.just("support"), st.just(1.0)),
    st.builds(
        facts.MemberChanged,
        st.just("support"),
        endpoints,
        st.sampled_from(["1001", "1002"]),
        st.booleans(),
        st.just(""),
    ),
    st.builds(facts.MemberGone, st.just("support"), endpoints),
    st.builds(facts.EndpointChanged, endpoints, st.sampled_from(EndpointState)),
    st.just(facts.PbxStopped()),
)


PHONE_CONSULTS: list[Fact] = [
    facts.LegCreated("c", "2001", "c", placed=True, number="2001"),
    facts.LegCreated("a", "1001", "c", placed=False),
    facts.DialStarted("c", "a"),
    facts.LegAnswered("a"),
    facts.LegJoined("a", "b1"),
    facts.LegJoined("c", "b1"),
    facts.PhoneHeld("a"),
    facts.LegCreated("b", "1001", "b", placed=True, dialled="1002"),
    facts.LegCreated("d", "1002", "b", placed=False),
    facts.DialStarted("b", "d"),
    facts.LegAnswered("d"),
    facts.LegAnswered("b"),
    facts.LegJoined("b", "b2"),
    facts.LegJoined("d", "b2"),
]
"""A phone with two legs: `a` with `c` on hold, `b` with `d` talking. Anything may be told after any of it."""

told_facts = st.lists(fact, max_size=40) | st.builds(
    lambda at, more: [*PHONE_CONSULTS[:at], *more],
    st.integers(0, len(PHONE_CONSULTS)),
    st.lists(fact, max_size=20),
)
gathered = st.none() | st.tuples(st.integers(0, 40), legs)
"""After how many facts the recipes bring all conversations of interaction `a` onto one of its legs."""


def run(told: list[Fact], gather: tuple[int, str] | None = None) -> tuple[TelephonyModel, list[Change]]:
    model = TelephonyModel()
    changes = [*model.watch("1001"), *model.watch("1002")]
    for number, one in enumerate(told):
        changes.extend(model.apply(one))
        interaction = model.interaction("a")
        if gather is not None and gather[0] == number and interaction and gather[1] in interaction.legs:
            model.gather("a", gather[1])
        check_legs(model)
    return model, changes


def check_legs(model: TelephonyModel) -> None:
    """Every interaction that is not over has a live leg, and no leg of an agent belongs to two."""
    owned: set[str] = set()
    for endpoint in ("1001", "1002"):
        for interaction in model.interactions(endpoint):
            if interaction.over:
                continue
            assert any(leg in model.legs.legs for leg in interaction.legs)
            assert not owned & set(interaction.legs)
            owned.update(interaction.legs)
            for conversation in interaction.live_conversations:
                assert conversation.leg in interaction.legs


@given(told_facts, gathered)
@settings(max_examples=400, deadline=None)
@example([*PHONE_CONSULTS[:8], facts.LegOrphaned("b")], None)
def test_states_move_along_their_tables(told: list[Fact], gather: tuple[int, str] | None) -> None:
    model, changes = run(told, gather)
    conversations: dict[str, ConversationState] = {}
    interactions: dict[str, InteractionState] = {}
    for change in changes:
        match change:
            case InteractionAdded(interaction=one):
                # A leg's id may live again only after its interaction ended.
                assert interactions.get(one) in {None, InteractionState.ENDED}
                interactions[one] = InteractionState.ALERTING
                conversations = {key: v for key, v in conversations.items() if not key.startswith(f"{one}-")}
            case InteractionStarted(interaction=one):
                assert InteractionState.STARTED in INTERACTION_STEPS[interactions[one]]
                interactions[one] = InteractionState.STARTED
            case InteractionEnded(interaction=one):
                assert InteractionState.ENDED in INTERACTION_STEPS[interactions[one]]
                interactions[one] = InteractionState.ENDED
            case ConversationChanged(conversation=one, state=state):
                before = conversations.get(one)
                assert before is None or state in CONVERSATION_STEPS[before]
                conversations[one] = state
            case _:
                pass
    for leg in list(model.legs.legs):
        model.apply(facts.LegEnded(leg, 16))
    for endpoint in ("1001", "1002"):
        assert all(one.over for one in model.interactions(endpoint))
    assert not model.legs.legs


@given(told_facts)
@settings(max_examples=100, deadline=None)
def test_the_same_facts_give_the_same_changes(told: list[Fact]) -> None:
    assert run(told)[1] == run(told)[1]
