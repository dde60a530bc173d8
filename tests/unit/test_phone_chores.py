"""What the connector does after the phone's own keys: which chore, for which leg, in which order."""

import asyncio
from collections.abc import Callable

import pytest
from telephony_script import AGENT, CUSTOMER, TARGET, agent_answers, agent_rings, customer_waits

from connector.asterisk.exchange import Exchange
from connector.asterisk.link import AmiRefused
from connector.asterisk.phoneside import PhoneSide
from connector.asterisk.recovery import resync
from connector.asterisk.turns import Turns
from connector.asterisk.wire import AmiMessage
from connector.telephony import facts
from connector.telephony.facts import Fact
from connector.telephony.interactions import Interaction
from connector.telephony.pbx import Refused, Seat
from connector.telephony.states import ConversationState, DialOutcome, InteractionState

SECOND = "a2-leg"


class Handling:
    """Writes down what it is asked."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.prepared: list[tuple[str, list[str]]] = []
        self.housed: list[tuple[str, str]] = []
        self.noted: list[tuple[int | str, ...]] = []
        self.listened: list[str] = []
        self.refuse = False
        self.gate = asyncio.Event()
        self.gate.set()

    async def _do(self, what: str) -> None:
        self.done.append(what)
        await self.gate.wait()
        if self.refuse:
            raise Refused("no")

    async def step_out(self, leg: str) -> None:
        await self._do(f"out {leg}")

    async def step_in(self, leg: str) -> None:
        await self._do(f"in {leg}")

    async def seat(self, newcomer: str, party: str) -> None:
        await self._do(f"seat {newcomer} with {party}")

    async def blind_transfer(self, interaction: str, conversation: str, number: str) -> None:
        await self._do(f"transfer {conversation} of {interaction} to {number}")

    async def consult_transfer(self, interaction: str) -> None:
        await self._do(f"join {interaction}")

    async def join(self, first: str, second: str) -> None:
        await self._do(f"join {first} and {second}")

    async def prepare(self, interaction: Interaction) -> None:
        self.prepared.append((interaction.id, sorted(interaction.primary.parties)))

    async def note_consult(self, number: int, *legs: str) -> None:
        self.noted.append((number, *legs))

    async def house(self, interaction: str, conversation: str) -> None:
        self.housed.append((interaction, conversation))

    async def ready_for_listeners(self, interaction: str) -> None:
        self.listened.append(interaction)

    async def leave_if_alone(self, *legs: str) -> None:
        await self._do(f"leave {' '.join(legs)}")

    async def set_not_ready(self, seat: Seat, reason: str) -> None:
        await self._do(f"not ready {seat.agent}{reason}")


class Link:
    """An AMI that answers from a table."""

    def __init__(self, answers: dict[tuple[str, str], str] | None = None) -> None:
        self.answers = answers or {}
        self.sent: list[tuple[str, str, str]] = []
        self.rows: list[AmiMessage] = []

    async def send(self, action: str, fields: dict[str, str]) -> AmiMessage:
        await asyncio.sleep(0)
        if action == "Setvar":
            self.sent.append((fields["Channel"], fields["Variable"], fields["Value"]))
            return AmiMessage([("Response", "Success")])
        if (fields["Channel"], fields["Variable"]) not in self.answers:
            raise AmiRefused("Getvar", "No such channel")
        return AmiMessage(
            [("Response", "Success"), ("Value", self.answers[fields["Channel"], fields["Variable"]])]
        )

    async def send_list(
        self, action: str, fields: dict[str, str] | None = None, **_more: object
    ) -> list[AmiMessage]:
        await asyncio.sleep(0)
        assert (fields is None) is (action != "Status")
        return self.rows if action == "Status" else []


class Bench:
    def __init__(self, *told: Fact) -> None:
        self.exchange = Exchange(proof_timeout=0.2)
        self.exchange.set_available(available=True)
        self.exchange.model.watch("1001")
        self.handling, self.link = Handling(), Link()
        self.turns = Turns()
        self.side = PhoneSide(
            self.exchange,
            self.link,  # type: ignore[arg-type]
            self.handling,  # type: ignore[arg-type]
            self.handling,  # type: ignore[arg-type]
            self.turns,
        )
        self.tell(*customer_waits(), *agent_rings(), *agent_answers(), *told)

    def tell(self, *told: Fact) -> None:
        for fact in told:
            self.exchange.apply(fact)

    async def until(self, ready: Callable[[], bool]) -> None:
        async with asyncio.timeout(2):
            while not ready():  # noqa: ASYNC110 - chores are tasks without an event of their own
                await asyncio.sleep(0)

    async def settled(self) -> None:
        await self.until(lambda: not self.side._chores)


IN_A_ROOM = (
    facts.LegJoined(AGENT, "r1"),
    facts.LegJoined(CUSTOMER, "r1"),
    facts.RoomOpened("r1", CUSTOMER),
)


async def test_a_hold_in_a_room_steps_out_and_in_in_this_order() -> None:
    bench = Bench(*IN_A_ROOM)
    bench.handling.gate.clear()
    bench.tell(facts.PhoneHeld(AGENT))
    await bench.until(lambda: bench.handling.done == [f"out {AGENT}"])
    bench.tell(facts.PhoneResumed(AGENT))
    assert bench.handling.done == [f"out {AGENT}"]
    bench.handling.gate.set()
    await bench.settled()
    assert bench.handling.done == [f"out {AGENT}", f"in {AGENT}"]


async def test_a_call_is_prepared_once_when_it_is_answered() -> None:
    bench = Bench(*IN_A_ROOM, facts.PhoneHeld(AGENT), facts.PhoneResumed(AGENT))
    await bench.settled()
    assert bench.handling.prepared == [(AGENT, [CUSTOMER])]


async def test_whoever_takes_the_party_s_place_is_prepared_too() -> None:
    bench = Bench()
    await bench.settled()
    bench.tell(
        facts.LegCreated(TARGET, "2002", TARGET, placed=True, number="2002"),
        facts.LegAnswered(TARGET),
        facts.LegLeft(CUSTOMER, "b1"),
        facts.LegJoined(TARGET, "b1"),
        facts.LegEnded(CUSTOMER, 16),
    )
    await bench.settled()
    assert bench.handling.prepared == [(AGENT, [CUSTOMER]), (AGENT, [TARGET])]


async def test_a_second_call_of_the_phone_that_talks_is_looked_at_beside_the_first() -> None:
    bench = Bench(*IN_A_ROOM, *CONSULT)
    await bench.settled()
    assert bench.handling.housed == []
    bench.tell(facts.LegAnswered(TARGET), facts.DialEnded(SECOND, TARGET, DialOutcome.ANSWERED))
    bench.tell(facts.LegAnswered(SECOND), facts.LegJoined(TARGET, "b2"), facts.LegJoined(SECOND, "b2"))
    await bench.settled()
    assert bench.handling.housed == [(AGENT, f"{AGENT}-2")]


async def test_a_second_call_is_not_moved_while_a_request_for_it_is_under_way() -> None:
    bench = Bench(*IN_A_ROOM, *CONSULT)
    async with bench.turns.of(AGENT):
        bench.tell(facts.LegAnswered(TARGET), facts.DialEnded(SECOND, TARGET, DialOutcome.ANSWERED))
        bench.tell(facts.LegAnswered(SECOND), facts.LegJoined(TARGET, "b2"), facts.LegJoined(SECOND, "b2"))
        # A later chore of the same leg does not wait for that.
        bench.tell(facts.PhoneHeld(SECOND), facts.PhoneResumed(SECOND))
        await bench.until(lambda: f"in {SECOND}" in bench.handling.done)
        assert bench.handling.housed == []
    await bench.settled()
    assert set(bench.handling.housed) == {(AGENT, f"{AGENT}-2")}


async def test_who_comes_to_a_leg_whose_phone_holds_gets_music() -> None:
    """The hold was told to the joint in whose place the party is now."""
    bench = Bench(*CONSULT, facts.LegAnswered(TARGET), facts.LegAnswered(SECOND))
    bench.tell(facts.LegJoined(SECOND, "b2"), facts.PhoneHeld(SECOND))
    await bench.settled()
    assert bench.handling.listened == []
    bench.tell(facts.LegJoined(TARGET, "b2"))
    await bench.settled()
    assert bench.handling.listened == [AGENT]
    bench.tell(facts.MusicStarted(TARGET), facts.LegJoined(TARGET, "b2"))
    await bench.settled()
    assert bench.handling.listened == [AGENT]


async def test_a_party_that_holds_has_no_chores() -> None:
    bench = Bench(*IN_A_ROOM)
    bench.tell(facts.PhoneHeld(CUSTOMER), facts.PhoneResumed(CUSTOMER))
    await bench.settled()
    assert bench.handling.done == []


async def test_a_refused_transfer_is_done_only_where_the_room_was_the_reason() -> None:
    bench = Bench()
    bench.tell(facts.TransferRefused(AGENT, "1002"), facts.TransferRefused("unknown", "1002"))
    await bench.settled()
    assert bench.handling.done == []
    bench.tell(*IN_A_ROOM, facts.TransferRefused(AGENT, "1002"))
    await bench.settled()
    assert bench.handling.done == [f"transfer {AGENT}-1 of {AGENT} to 1002"]


async def test_what_fails_is_logged_and_the_next_chore_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    bench = Bench(*IN_A_ROOM)
    bench.handling.refuse = True
    bench.tell(facts.TransferRefused(AGENT, "8888"), facts.TransferRefused(AGENT, "9999"))
    await bench.settled()
    assert [one.rpartition(" ")[2] for one in bench.handling.done] == ["8888", "9999"]
    assert capsys.readouterr().out.count("the phone's wish was not carried out") == 2


CONSULT = (
    facts.PhoneHeld(AGENT),
    facts.LegCreated(SECOND, "1001", SECOND, placed=True, dialled="1002"),
    facts.LegCreated(TARGET, "1002", SECOND, placed=False),
    facts.DialStarted(SECOND, TARGET),
)


async def test_a_consult_is_marked_and_its_target_learns_the_data() -> None:
    bench = Bench(facts.VariableSet(AGENT, "SKILL", "gold"), *CONSULT)
    await bench.settled()
    assert set(bench.link.sent) == {
        (SECOND, "HARMONY_CONSULT", AGENT),
        (SECOND, "__HARMONY_SKILL", "gold"),
        (TARGET, "__HARMONY_SKILL", "gold"),
    }
    assert bench.handling.noted == [(2, SECOND, AGENT)]
    bench.tell(facts.JoinRefused((AGENT, SECOND)), facts.JoinRefused((AGENT, "other")))
    await bench.settled()
    assert bench.handling.done == [f"join {AGENT}"]


async def test_a_consult_is_marked_anew_after_a_gap() -> None:
    """The link may have broken before it was: whoever comes next would take it for a call of its own."""
    bench = Bench(*CONSULT)
    await bench.settled()
    bench.link.sent.clear()
    bench.side.look()
    await bench.settled()
    assert bench.link.sent == [(SECOND, "HARMONY_CONSULT", AGENT)]
    assert bench.handling.noted[1:] == [(2, SECOND, AGENT)]
    bench.link.sent.clear()
    bench.tell(facts.LegEnded(TARGET, 16), facts.LegEnded(SECOND, 16))
    bench.side.look()
    await bench.settled()
    assert bench.link.sent == []


async def test_two_calls_that_asterisk_could_not_join_are_joined() -> None:
    bench = Bench(facts.LegCreated(SECOND, "1001", SECOND, placed=True, dialled="2002"))
    bench.tell(facts.JoinRefused((AGENT, SECOND)))
    await bench.settled()
    assert bench.handling.done == [f"join {AGENT} and {SECOND}"]


async def test_after_an_attended_transfer_into_a_room_the_newcomer_is_seated_once_the_phone_is_gone() -> None:
    bench = Bench(*CONSULT, facts.LegAnswered(TARGET), facts.DialEnded(SECOND, TARGET, DialOutcome.ANSWERED))
    bench.tell(facts.LegAnswered(SECOND), facts.LegJoined(SECOND, "b2"), facts.LegJoined(TARGET, "b2"))
    bench.tell(facts.LegLeft(AGENT, "b1", waits=True), facts.LegLeft(CUSTOMER, "b1"))
    bench.tell(facts.LegJoined(CUSTOMER, "r1"), facts.RoomOpened("r1", CUSTOMER))
    bench.tell(facts.PartiesTransferred((AGENT, SECOND), (TARGET,)), facts.LegEnded(SECOND, 16))
    assert bench.handling.done == []
    bench.tell(facts.LegEnded(AGENT, 16))
    await bench.settled()
    assert bench.handling.done == [f"seat {TARGET} with {CUSTOMER}"]


@pytest.mark.parametrize(
    "told", [facts.LegLeft(AGENT, "r1", waits=True), facts.MusicStarted(AGENT, waits=True)]
)
async def test_a_leg_that_comes_to_wait_when_its_party_is_gone_is_let_go(told: Fact) -> None:
    bench = Bench(*IN_A_ROOM, facts.LegEnded(CUSTOMER, 16), told)
    await bench.settled()
    assert bench.handling.done == [f"leave {AGENT}"]


@pytest.mark.parametrize(("ready", "done"), [(True, ["not ready 1001"]), (False, [])])
async def test_who_declines_a_queues_call_goes_not_ready(ready: bool, done: list[str]) -> None:
    bench = Bench()
    bench.tell(facts.LegEnded(AGENT, 16), facts.LegEnded(CUSTOMER, 16))
    bench.exchange.publish(bench.exchange.model.complete(AGENT))
    bench.tell(facts.MemberChanged("support", "1001", "1001", paused=not ready, reason=""))
    bench.tell(*customer_waits(), *agent_rings(), facts.LegEnded(AGENT, 21))
    await bench.settled()
    assert bench.handling.done == done


def row(leg: str, endpoint: str, bridge: str, *variables: str) -> AmiMessage:
    return AmiMessage(
        [
            ("Event", "Status"),
            ("Channel", f"PJSIP/{endpoint}-0000000a"),
            ("Uniqueid", leg),
            ("Linkedid", leg),
            ("ChannelState", "6"),
            ("BridgeID", bridge),
            *(("Variable", variable) for variable in variables),
        ]
    )


async def test_a_resync_asks_who_holds_and_who_consults_and_asks_again_later() -> None:
    exchange, link = Exchange(proof_timeout=0.2), Link()
    exchange.model.watch("1001")
    link.rows = [
        row(SECOND, "1001", "b2", f"HARMONY_CONSULT={AGENT}", "HARMONY_CONSULTS=3"),
        row(TARGET, "2002", "b2"),
        row(CUSTOMER, "2001", "b1"),
        row(AGENT, "1001", "b1", "HARMONY_CONSULTS=3"),
    ]
    hold = "CHANNEL(rtp,hold)"
    link.answers = {(AGENT, hold): "1", (SECOND, hold): "0"}
    await resync(exchange, link)  # type: ignore[arg-type]
    (interaction,) = exchange.model.interactions("1001")
    assert interaction.consult is not None
    assert interaction.consult.id == f"{AGENT}-3"
    assert (interaction.primary.state, interaction.consult.state) == (
        ConversationState.HELD,
        ConversationState.TALKING,
    )
    # The first leg answers no more: what was known of it stays.
    link.answers = {(SECOND, hold): "1"}
    await resync(exchange, link)  # type: ignore[arg-type]
    assert (interaction.primary.state, interaction.consult.state) == (
        ConversationState.HELD,
        ConversationState.HELD,
    )


@pytest.mark.parametrize("rings", [False, True])
async def test_a_consult_whose_first_call_is_over_is_found_as_that(rings: bool) -> None:
    """The bridge knows the interaction as one that was started, and the consult by its id."""
    exchange, link = Exchange(proof_timeout=0.2), Link()
    exchange.model.watch("1001")
    marks = (f"HARMONY_CONSULT={AGENT}", "HARMONY_CONSULTS=3")
    link.rows = [row(SECOND, "1001", "" if rings else "b2", *marks)]
    if not rings:
        link.rows.append(row(TARGET, "2002", "b2"))
    link.answers = {(SECOND, "CHANNEL(rtp,hold)"): "0"}
    await resync(exchange, link)  # type: ignore[arg-type]
    (interaction,) = exchange.model.interactions("1001")
    assert (interaction.id, interaction.state) == (AGENT, InteractionState.STARTED)
    assert (interaction.primary.id, interaction.primary.state) == (f"{AGENT}-1", ConversationState.RELEASED)
    assert interaction.consult is not None
    state = ConversationState.DIALING if rings else ConversationState.TALKING
    assert (interaction.consult.id, interaction.consult.state) == (f"{AGENT}-3", state)
    assert "DIRECTION" not in interaction.data
