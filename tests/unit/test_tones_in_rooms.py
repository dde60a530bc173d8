"""Before tones are sent: a plain bridge is left for a room, where Asterisk takes none for a code."""

from moving_bench import MovingBench
from telephony_script import AGENT, CUSTOMER, TARGET
from test_model_phone_side import PHONE_DIALS, PHONE_HOLDS, SECOND, TARGET_ANSWERS
from test_rooms_chores import ROOM

from connector.telephony import facts
from connector.telephony.states import ConversationState, Role

TALKING, HELD, RELEASED = ConversationState.TALKING, ConversationState.HELD, ConversationState.RELEASED


class Plain(MovingBench):
    """An agent who talks in a plain bridge."""

    def __init__(self) -> None:
        super().__init__(in_room=False)

    async def ready(self, which: str = "primary") -> None:
        one = self.interaction.primary if which == "primary" else self.interaction.consult
        assert one is not None
        await self.strategy.ready_for_tones(AGENT, one.id)


PRIMARY_ALONE = (CUSTOMER, f"p{CUSTOMER}", AGENT, f"a{CUSTOMER}")
PRIMARY_WAITS = (CUSTOMER, f"p{CUSTOMER}", AGENT, "s")
CONSULT = (TARGET, f"p{TARGET}", SECOND, f"a{TARGET}")


async def test_the_only_call() -> None:
    bench = Plain()
    await bench.ready()
    await bench.ready()
    assert bench.moves() == [PRIMARY_ALONE]
    assert bench.states() == (TALKING, None)


async def test_a_consult_of_the_phone_takes_the_call_along_that_the_phone_holds() -> None:
    bench = Plain()
    bench.tell(*PHONE_HOLDS, *PHONE_DIALS)
    await bench.ready("consult")
    assert bench.moves() == []
    bench.tell(*TARGET_ANSWERS)
    await bench.ready("consult")
    await bench.ready("consult")
    assert bench.moves() == [PRIMARY_WAITS, CONSULT]
    assert bench.states() == (HELD, TALKING)
    # So the phone can take it back, as any call that it holds in a room.
    assert bench.link.variables()[f"{AGENT} HARMONY_RESUME"] == CUSTOMER


async def test_a_consult_of_the_phone_that_is_the_only_call_left() -> None:
    bench = Plain()
    bench.tell(*PHONE_HOLDS, *PHONE_DIALS, *TARGET_ANSWERS, facts.LegEnded(CUSTOMER, 16))
    assert bench.states() == (RELEASED, TALKING)
    await bench.ready("consult")
    assert bench.moves() == [CONSULT]


async def test_a_consult_of_the_bridge_which_the_site_has_dialled() -> None:
    bench = Plain()
    bench.tell(
        facts.LegLeft(AGENT, "b1"),
        facts.MusicStarted(CUSTOMER),
        facts.LegCreated(TARGET, "1002", CUSTOMER, placed=False, number="1002"),
        facts.DialStarted(AGENT, TARGET),
        facts.LegAnswered(TARGET),
        facts.LegJoined(AGENT, "b2"),
        facts.LegJoined(TARGET, "b2"),
    )
    assert bench.states() == (HELD, TALKING)
    await bench.ready("primary")
    assert bench.moves() == []
    await bench.ready("consult")
    assert bench.moves() == [(TARGET, f"p{TARGET}", AGENT, f"a{TARGET}")]
    assert bench.states() == (HELD, TALKING)
    known = bench.link.variables()
    assert (known[f"{AGENT} HARMONY_P2"], known[f"{TARGET} HARMONY_AGENT"]) == (TARGET, AGENT)


async def test_a_colleague_who_holds_is_not_waited_for() -> None:
    """The agent's leg is alone where the two meet: nobody hears the tones, and nobody moves for them."""
    bench = MovingBench()
    bench.exchange.model.watch("2001")
    bench.tell(
        facts.RoomAssigned(AGENT, Role.PRIMARY, CUSTOMER),
        facts.RoomAssigned(CUSTOMER, Role.PRIMARY, CUSTOMER),
    )
    bench.tell(facts.LegLeft(CUSTOMER, ROOM, waits=True), facts.MusicStarted(AGENT))
    assert bench.states() == (TALKING, None)
    await bench.strategy.ready_for_tones(AGENT, bench.interaction.primary.id)
    assert bench.moves() == []
