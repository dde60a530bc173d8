"""The model takes anything: no fact raises, and states move along their tables only."""

from hypothesis import given, settings
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
    ConversationState,
    DialOutcome,
    InteractionState,
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
    ),
    st.builds(facts.LegRinging, legs),
    st.builds(facts.LegAnswered, legs),
    st.builds(facts.LegEnded, legs, st.sampled_from([0, 3, 16, 17, 19, 21])),
    st.builds(facts.HangupAsked, legs, st.booleans()),
    st.builds(facts.DialStarted, st.none() | legs, legs),
    st.builds(facts.DialEnded, st.none() | legs, legs, outcomes),
    st.builds(facts.DialReported, legs, outcomes, st.sampled_from([0, 1, 17])),
    st.builds(facts.PlacementFailed, legs, st.booleans()),
    st.builds(facts.LegJoined, legs, bridges),
    st.builds(facts.LegLeft, legs, bridges),
    st.builds(facts.LegsPaired, legs, legs),
    st.builds(facts.MusicStarted, legs),
    st.builds(facts.MusicStopped, legs),
    st.builds(facts.PhoneHeld, legs),
    st.builds(facts.PhoneResumed, legs),
    st.builds(facts.VariableSet, legs, st.just("KEY"), st.text(max_size=3)),
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


def run(told: list[Fact]) -> tuple[TelephonyModel, list[Change]]:
    model = TelephonyModel()
    changes = [*model.watch("1001"), *model.watch("1002")]
    for one in told:
        changes.extend(model.apply(one))
    return model, changes


@given(st.lists(fact, max_size=40))
@settings(max_examples=400, deadline=None)
def test_states_move_along_their_tables(told: list[Fact]) -> None:
    model, changes = run(told)
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


@given(st.lists(fact, max_size=40))
@settings(max_examples=100, deadline=None)
def test_the_same_facts_give_the_same_changes(told: list[Fact]) -> None:
    assert run(told)[1] == run(told)[1]
