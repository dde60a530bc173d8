"""The strategy of rooms on a private word: who is moved where, what is noted, and what is refused."""

import pytest
from moving_bench import MovingBench
from telephony_script import AGENT, CUSTOMER, TARGET
from test_rooms_chores import ROOM

from connector.asterisk.link import Fields
from connector.telephony import facts
from connector.telephony.facts import Fact
from connector.telephony.pbx import Refused
from connector.telephony.states import ConversationState

TALKING, HELD = ConversationState.TALKING, ConversationState.HELD


def comes(leg: str, number: str) -> tuple[Fact, ...]:
    return (
        facts.LegCreated(leg, number, CUSTOMER, placed=False, number=number),
        facts.DialStarted(None, leg),
        facts.LegAnswered(leg),
        facts.LegJoined(leg, ROOM),
    )


class Conference(MovingBench):
    """A conference of agent, customer and third in the customer's room, and of those who came then."""

    def __init__(self, *more: Fact) -> None:
        super().__init__()
        self.tell(*comes(TARGET, "1002"), *more)

    async def ask(self, leg: str) -> None:
        primary = self.interaction.primary
        await self.strategy.private_word(AGENT, primary.id, primary.parties[leg].id)


async def test_agent_and_member_go_to_the_members_own_room_at_once() -> None:
    bench = Conference()
    await bench.ask(TARGET)
    assert bench.moves() == [(TARGET, f"p{TARGET}", AGENT, f"a{TARGET}")]
    assert bench.states() == (HELD, TALKING)
    known = bench.link.variables()
    assert {name: known[f"{AGENT} {name}"] for name in ("HARMONY_P1", "HARMONY_P2", "HARMONY_CONSULTS")} == {
        "HARMONY_P1": CUSTOMER,
        "HARMONY_P2": TARGET,
        "HARMONY_CONSULTS": "2",
    }
    assert known[f"{AGENT} HARMONY_DEST"] == "1002"
    assert (known[f"{TARGET} HARMONY_AGENT"], known[f"{CUSTOMER} HARMONY_AGENT"]) == (AGENT, AGENT)


async def test_nobody_is_called_into_a_room_that_changes_its_owner() -> None:
    bench = Conference(facts.RoomOpened(ROOM, TARGET))
    placing = bench.strategy._invitations

    def placed(action: str, fields: Fields) -> None:
        if action == "Originate":
            leg = str(fields["ChannelId"])
            bench.tell(facts.LegCreated(leg, "", leg, placed=False, internal=True))

    bench.link.on_send = placed
    await placing.call(bench.interaction, AGENT, "2002", TARGET)
    bench.link.on_send = bench.moves_them
    with pytest.raises(Refused, match="2002 is being called into the conference: wait for the answer"):
        await bench.ask(TARGET)
    assert bench.moves() == []


async def test_whom_the_call_is_about_is_not_taken_aside() -> None:
    bench = Conference()
    with pytest.raises(Refused, match="not whom the call is about"):
        await bench.ask(CUSTOMER)
    assert bench.moves() == []


async def test_a_move_that_is_refused_leaves_no_note_of_it() -> None:
    bench = Conference()
    bench.link.refused = {"Redirect"}
    bench.link.on_send = lambda _action, _fields: None
    with pytest.raises(Refused, match="could not be moved"):
        await bench.ask(TARGET)
    known = bench.link.variables()
    assert (known[f"{AGENT} HARMONY_P1"], known[f"{AGENT} HARMONY_P2"]) == (CUSTOMER, "")
    assert bench.states() == (TALKING, None)


async def test_who_hangs_up_on_the_way_is_missed_and_the_agent_is_back() -> None:
    bench = Conference()
    bench.lost = {TARGET}
    with pytest.raises(Refused, match="The member left the conference at this moment"):
        await bench.ask(TARGET)
    assert bench.moves()[-1] == (AGENT, f"a{CUSTOMER}")
    assert bench.states() == (TALKING, None)
    assert bench.link.variables()[f"{AGENT} HARMONY_P2"] == ""


async def test_who_hangs_up_before_the_move_is_missed() -> None:
    bench = Conference()

    def gone(action: str, fields: Fields) -> None:
        if action == "Setvar" and bench.exchange.model.legs.get(TARGET) is not None:
            bench.tell(facts.LegEnded(TARGET, 16))
            bench.link.refused = {"Redirect"}
        if action == "Setvar":
            bench.moves_them(action, fields)

    bench.link.on_send = gone
    with pytest.raises(Refused):
        await bench.ask(TARGET)
    assert bench.states() == (TALKING, None)
    assert bench.link.variables()[f"{AGENT} HARMONY_P2"] == ""


async def test_where_the_others_hang_up_the_member_is_left() -> None:
    bench = Conference(facts.RoomOpened(ROOM, TARGET))
    bench.lost = {CUSTOMER}
    with pytest.raises(Refused, match="only that member is left"):
        await bench.ask(TARGET)
    assert bench.states() == (TALKING, None)
    known = bench.link.variables()
    assert (known[f"{AGENT} HARMONY_P1"], known[f"{AGENT} HARMONY_P2"]) == (TARGET, "")


async def test_in_other_states_it_is_refused_by_their_names() -> None:
    bench = Conference()
    primary = bench.interaction.primary
    name = next(one.id for leg, one in primary.parties.items() if leg == TARGET)
    with pytest.raises(Refused, match="The conversation has no member m-9"):
        await bench.strategy.private_word(AGENT, primary.id, "m-9")
    await bench.ask(TARGET)
    with pytest.raises(Refused, match=r"Only a call that is TALKING can be left .*: this one is HELD"):
        await bench.strategy.private_word(AGENT, primary.id, name)
    assert bench.interaction.consult is not None
    with pytest.raises(Refused, match="of the first call, not of the consult call"):
        await bench.strategy.private_word(AGENT, bench.interaction.consult.id, name)
    await bench.strategy.alternate(AGENT)
    with pytest.raises(Refused, match="There is a consult call already"):
        await bench.strategy.private_word(AGENT, primary.id, primary.members[0].id)
    bench.tell(facts.LegEnded(TARGET, 16))
    with pytest.raises(Refused, match="Only a member of a conference can be taken aside"):
        await bench.strategy.private_word(AGENT, primary.id, primary.members[0].id)
    assert len(bench.moves()) == 2
