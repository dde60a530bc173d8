"""A transfer right after the answer of a consult call, when the PBX has not told yet who answered."""

import asyncio

import pytest
from telephony_script import AGENT, CUSTOMER
from test_rooms_chores import ROOM, TARGET, Bench, settled

from connector.asterisk import room_transfers
from connector.asterisk.link import Fields
from connector.asterisk.settings import DialSettings
from connector.asterisk.turns import Turns
from connector.telephony import facts
from connector.telephony.pbx import Refused
from connector.telephony.states import ConversationState

NEAR, FAR = "joint-1", "joint-2"

ANSWERED = (
    facts.LegLeft(AGENT, "r1", waits=True),
    facts.MusicStarted(CUSTOMER),
    facts.LegCreated(NEAR, "", "t", placed=False, internal=True),
    facts.LegCreated(FAR, "", "t", placed=False, internal=True),
    facts.LegsPaired(NEAR, FAR),
    facts.DialStarted(AGENT, NEAR),
    facts.LegCreated(TARGET, "1002", "t", placed=False, number="1002"),
    facts.DialStarted(FAR, TARGET),
    facts.LegAnswered(TARGET),
    facts.LegAnswered(NEAR),
    facts.LegJoined(AGENT, "near"),
    facts.LegJoined(NEAR, "near"),
)
"""The agent's side of the consult call talks; the far side is told a moment later."""


async def moved_to(*told_later: facts.Fact) -> list[tuple[str, str]]:
    """Return which legs a consult transfer moves where; some of the facts come while it is under way."""
    bench = Bench()
    bench.tell(*ANSWERED)
    consult = bench.interaction.consult
    assert consult is not None
    assert consult.state is ConversationState.TALKING
    assert not consult.parties
    transfer = asyncio.create_task(bench.rooms().consult_transfer(bench.interaction.id))
    await asyncio.sleep(0)
    bench.tell(*told_later)

    while not any(action == "Redirect" for action, _ in bench.link.sent):
        assert not transfer.done()
        await asyncio.sleep(0.01)
    bench.tell(facts.LegEnded(AGENT, 16), facts.LegEnded(CUSTOMER, 16), facts.LegEnded(TARGET, 16))
    await transfer
    await settled()
    (redirect,) = [fields for action, fields in bench.link.sent if action == "Redirect"]
    return [(str(redirect[f"{each}Channel"]), str(redirect[f"{each}Context"])) for each in ("", "Extra")]


async def test_who_answered_is_waited_for() -> None:
    far = (facts.LegJoined(FAR, "far"), facts.LegJoined(TARGET, "far"))
    assert await moved_to(*far) == [(TARGET, "harmony-room"), (AGENT, "harmony-bye")]


async def test_where_a_program_answered_the_number_is_called_anew() -> None:
    assert await moved_to() == [(CUSTOMER, "harmony-xfer"), (AGENT, "harmony-bye")]


async def test_who_answers_as_the_number_is_looked_up_is_not_called_anew() -> None:
    bench, far = Bench(), (facts.LegJoined(FAR, "far"), facts.LegJoined(TARGET, "far"))
    bench.tell(*ANSWERED)

    def answers(action: str, fields: Fields) -> None:
        if action == "Getvar" and str(fields["Variable"]).startswith("DIALPLAN_EXISTS"):
            bench.tell(*far)
        if action == "Redirect":
            bench.tell(facts.LegEnded(AGENT, 16), facts.LegEnded(CUSTOMER, 16), facts.LegEnded(TARGET, 16))

    bench.link.on_send = answers
    await bench.rooms().consult_transfer(bench.interaction.id)
    await settled()
    (redirect,) = [fields for action, fields in bench.link.sent if action == "Redirect"]
    assert (redirect["Channel"], redirect["Context"]) == (TARGET, "harmony-room")


@pytest.mark.parametrize("verb", ["consult_transfer", "consult_conference"])
@pytest.mark.parametrize("long", [False, True])
async def test_a_colleague_who_does_something_with_the_own_leg_is_waited_for(
    verb: str, *, long: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The leg would be taken out of the consult call that its agent begins, say."""
    monkeypatch.setattr(room_transfers, "ON_ITS_WAY", 0.05)
    bench, turns = Bench(), Turns()
    bench.exchange.model.watch("1002")
    bench.tell(*ANSWERED, facts.LegJoined(FAR, "far"), facts.LegJoined(TARGET, "far"))
    colleague = bench.exchange.model.interaction_on(TARGET)
    assert colleague is not None
    moved = asyncio.Event()
    bench.link.on_send = lambda action, _fields: moved.set() if action == "Redirect" else None
    operation = asyncio.create_task(getattr(bench.rooms(turns), verb)(bench.interaction.id))
    async with turns.of(colleague.id):
        if long:
            with pytest.raises(Refused, match="The other agent is doing something with the call"):
                await operation
        for _ in range(50):
            await asyncio.sleep(0)
        assert not moved.is_set()
    if not long:
        await moved.wait()
    operation.cancel()
    await asyncio.gather(operation, return_exceptions=True)


async def test_nobody_is_sent_to_a_number_that_only_the_phone_can_dial() -> None:
    bench = Bench()
    bench.tell(*ANSWERED)
    context = DialSettings().context
    bench.link.values[f"DIALPLAN_EXISTS({context},1002,1)"] = "0"
    with pytest.raises(Refused, match="The number 1002 does not exist"):
        await bench.rooms().consult_transfer(bench.interaction.id)
    assert not [fields for action, fields in bench.link.sent if action == "Redirect"]


async def test_a_consult_is_over_when_the_agent_is_back_and_nobody_was_told_of() -> None:
    bench = Bench()
    bench.tell(*ANSWERED)
    consult = bench.interaction.consult
    assert consult is not None
    bench.tell(facts.LegLeft(AGENT, "near", waits=False))
    assert consult.state is ConversationState.TALKING
    bench.tell(facts.LegJoined(AGENT, ROOM))
    assert consult.state is ConversationState.RELEASED
    assert bench.interaction.primary.state is ConversationState.TALKING
    bench.tell(facts.LegEnded(FAR, 16), facts.LegEnded(NEAR, 16), facts.LegEnded(TARGET, 16))
    assert bench.interaction.primary.state is ConversationState.TALKING
