"""What the strategy of rooms does on its own: who is called off, brought back, or rung no more."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest
from telephony_script import AGENT, CUSTOMER, agent_answers, agent_in_call, agent_rings, customer_waits

from connector.asterisk.control import CallControl
from connector.asterisk.exchange import Exchange
from connector.asterisk.former_agents import FormerAgents
from connector.asterisk.invitations import Invitations
from connector.asterisk.link import AmiLink, AmiRefused, Fields
from connector.asterisk.notify import PhoneNotifier
from connector.asterisk.rooms import PartyRooms
from connector.asterisk.settings import DialSettings, HandlingSettings, Way
from connector.asterisk.turns import Turns
from connector.asterisk.variables import LegVariables
from connector.asterisk.wire import AmiMessage
from connector.telephony import facts
from connector.telephony.facts import Fact
from connector.telephony.interactions import Interaction
from connector.telephony.model import TelephonyModel
from connector.telephony.pbx import Refused, Seat
from connector.telephony.states import ConversationState, DialOutcome, Role

TARGET, ROOM = "x-leg", "r1"
IN_ROOM: tuple[Fact, ...] = (
    facts.RoomOpened(ROOM, CUSTOMER),
    facts.LegJoined(AGENT, ROOM),
    facts.LegJoined(CUSTOMER, ROOM),
)
"""Agent and customer in the customer's room."""


class Link(AmiLink):
    """Takes every action, but refuses those named in `refused`; `on_send` may tell facts meanwhile."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, Fields]] = []
        self.refused: set[str] = set()
        self.values: dict[str, str] = {}
        """What variables are found to be, by their names; else 1."""
        self.on_send: Callable[[str, Fields], None] = lambda _action, _fields: None

    async def send(self, action: str, fields: Fields = {}, **_more: object) -> AmiMessage:  # noqa: B006
        self.sent.append((action, fields))
        await asyncio.sleep(0)
        self.on_send(action, fields)
        if action in self.refused:
            raise AmiRefused(action, "Channel does not exist")
        value = self.values.get(str(fields.get("Variable")), "1")
        return AmiMessage([("Response", "Success"), ("Value", value)])

    def hung_up(self) -> list[str]:
        return [str(fields["Channel"]) for action, fields in self.sent if action == "Hangup"]

    def variables(self) -> dict[str, str]:
        """Return what was set last, by leg and name."""
        found: dict[str, str] = {}
        for action, fields in self.sent:
            if action == "Setvar":
                names = str(fields["Variable"]).removeprefix("ARRAY(").removesuffix(")").split(",")
                for name, value in zip(names, str(fields["Value"]).split(","), strict=True):
                    found[f"{fields['Channel']} {name}"] = value
        return found


class Bench:
    """An agent in a call with a customer, both in the customer's room, or in a plain bridge."""

    def __init__(self, *, in_room: bool = True) -> None:
        self.exchange, self.link = Exchange(proof_timeout=0.2), Link()
        self.exchange.set_available(available=True)
        self.exchange.model.watch("1001")
        self.tell(*agent_in_call(), *(IN_ROOM if in_room else ()))
        self.variables = LegVariables(self.link)
        found = self.exchange.model.interaction(AGENT)
        assert found is not None
        self.interaction: Interaction = found

    def tell(self, *told: Fact) -> None:
        for fact in told:
            self.exchange.apply(fact)

    def rooms(self, turns: Turns | None = None) -> PartyRooms:
        settings = DialSettings()
        notifier = PhoneNotifier(self.exchange, self.link, settings, None)
        return PartyRooms(self.exchange, self.link, settings, notifier, self.variables, turns)

    async def invite(self) -> tuple[Invitations, str]:
        """Call 1002 into the room; return the leg of that call, which rings."""

        def placed(action: str, fields: Fields) -> None:
            if action == "Originate":
                leg = str(fields["ChannelId"])
                self.tell(facts.LegCreated(leg, "", leg, placed=False, internal=True))

        self.link.on_send = placed
        invitations = Invitations(self.exchange, self.link, DialSettings())
        await invitations.call(self.interaction, AGENT, "1002", CUSTOMER)
        return invitations, str(self.link.sent[-1][1]["ChannelId"])


async def settled() -> None:
    """Let every chore that was begun come to its end."""
    while others := [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]:
        await asyncio.wait(others)


async def test_a_leg_that_ends_as_the_calls_are_gathered_on_it_is_not_taken() -> None:
    """The interaction would be on a leg that is gone, and never end."""
    bench, second = Bench(in_room=False), "a2-leg"
    bench.tell(
        *(facts.PhoneHeld(AGENT), facts.MusicStarted(CUSTOMER)),
        facts.LegCreated(second, "1001", second, placed=True, number="1001", dialled="1002"),
        facts.LegCreated(TARGET, "1002", second, placed=False, number="1002"),
        *(facts.DialStarted(second, TARGET), facts.LegAnswered(TARGET), facts.LegAnswered(second)),
        *(facts.LegJoined(TARGET, "b2"), facts.LegJoined(second, "b2")),
    )
    assert bench.interaction.legs == (AGENT, second)

    def hangs_up(action: str, fields: Fields) -> None:
        if action == "Setvar" and fields["Channel"] == AGENT and second in bench.exchange.model.legs.legs:
            bench.tell(facts.LegEnded(TARGET, 16), facts.LegEnded(second, 16))

    bench.link.on_send = hangs_up
    with pytest.raises(Refused, match="The call ended at this moment"):
        await bench.rooms().alternate(bench.interaction.id)
    assert bench.interaction.leg == AGENT
    bench.tell(facts.LegEnded(CUSTOMER, 16), facts.LegEnded(AGENT, 16))
    assert bench.interaction.over


async def test_a_configuration_that_is_loaded_anew_says_where_lost_callers_go() -> None:
    bench, settings = Bench(), DialSettings(handling=HandlingSettings(queue="old", patience=10))
    notifier = PhoneNotifier(bench.exchange, bench.link, settings, None)
    rooms = PartyRooms(bench.exchange, bench.link, settings, notifier, bench.variables)
    await rooms._introduce(bench.interaction, bench.interaction.primary)
    before = bench.link.variables()
    assert before[f"{CUSTOMER} HARMONY_FALLBACK_QUEUE"] == "old"
    settings.adopt(DialSettings(handling=HandlingSettings(queue="new", patience=99, orphans=(Way.AGENT,))))
    await rooms._introduce(bench.interaction, bench.interaction.primary)
    now = bench.link.variables()
    told = ("HARMONY_FALLBACK_QUEUE", "HARMONY_PATIENCE", "HARMONY_ORPHANS")
    assert [now[f"{CUSTOMER} {name}"] for name in told] == ["new", "99", "agent"]


GOES = {
    "ends": (facts.LegEnded(CUSTOMER, 16), facts.LegEnded(AGENT, 16)),
    "ends, the agent first": (facts.LegEnded(AGENT, 16), facts.LegEnded(CUSTOMER, 16)),
    "is handed on": (facts.LegLeft(CUSTOMER, ROOM, waits=False), facts.LegEnded(AGENT, 16)),
}


@pytest.mark.parametrize("how", GOES)
async def test_who_is_invited_is_called_off_when_the_room_is_empty(how: str) -> None:
    bench = Bench()
    invitations, leg = await bench.invite()
    first, last = GOES[how]
    bench.tell(first)
    await settled()
    assert bench.link.hung_up() == []
    bench.tell(last)
    await settled()
    assert bench.link.hung_up() == [leg]
    invitations.require_none(bench.interaction, "1002")


async def test_a_call_that_comes_to_be_after_everybody_left_is_called_off() -> None:
    bench = Bench()
    invitations = Invitations(bench.exchange, bench.link, DialSettings())
    calling = asyncio.create_task(invitations.call(bench.interaction, AGENT, "1002", CUSTOMER))
    await asyncio.sleep(0)
    leg = str(bench.link.sent[-1][1]["ChannelId"])
    bench.tell(*GOES["ends"], facts.LegCreated(leg, "", leg, placed=False, internal=True))
    await calling
    await settled()
    assert bench.link.hung_up() == [leg]


async def test_who_has_joined_goes_on_hold_as_any_party() -> None:
    bench = Bench()
    _, leg = await bench.invite()
    bench.tell(facts.LegAnswered(leg), facts.LegJoined(leg, ROOM), facts.LegEnded(CUSTOMER, 16))
    bench.tell(facts.LegLeft(AGENT, ROOM, waits=True))
    await settled()
    assert bench.link.hung_up() == []


async def test_a_number_that_rings_is_not_called_twice_but_again_once_that_ended() -> None:
    bench = Bench()
    invitations, leg = await bench.invite()
    with pytest.raises(Refused, match="1002 is being called into the conference already"):
        invitations.require_none(bench.interaction, "1002")
    invitations.require_none(bench.interaction, "1003")
    bench.tell(facts.LegEnded(leg, 17), facts.PlacementFailed(leg, timed_out=False))
    invitations.require_none(bench.interaction, "1002")
    assert bench.link.hung_up() == []


async def test_an_invitation_that_the_pbx_refuses_is_forgotten() -> None:
    bench = Bench()
    bench.link.refused = {"Originate"}
    invitations = Invitations(bench.exchange, bench.link, DialSettings())
    with pytest.raises(Refused, match="refused the call"):
        await invitations.call(bench.interaction, AGENT, "1002", CUSTOMER)
    assert invitations._open == {}


def consulting(*, answered: bool) -> tuple[Fact, ...]:
    """Let the agent talk to a consulted party in a plain bridge, the customer alone in the room."""
    ringing = (
        facts.LegLeft(AGENT, ROOM, waits=False),
        facts.MusicStarted(CUSTOMER),
        facts.LegCreated(TARGET, "1002", CUSTOMER, placed=False, number="1002"),
        facts.DialStarted(AGENT, TARGET),
    )
    joined = (facts.LegAnswered(TARGET), facts.LegJoined(AGENT, "b2"), facts.LegJoined(TARGET, "b2"))
    return ringing + (joined if answered else ())


@pytest.mark.parametrize("answered", [True, False])
async def test_a_transfer_that_cannot_move_them_leaves_the_party_the_agents(answered: bool) -> None:
    bench = Bench()
    bench.tell(*consulting(answered=answered))
    bench.link.refused = {"Redirect"}
    with pytest.raises(Refused, match="could not be moved"):
        await bench.rooms().consult_transfer(AGENT)
    known = bench.link.variables()
    assert not {f"{AGENT} HARMONY_P1", f"{AGENT} HARMONY_P2"} & known.keys()
    assert known.get(f"{CUSTOMER} HARMONY_AGENT", AGENT) == AGENT


@pytest.mark.parametrize("arrives", [True, False])
async def test_a_caller_whose_target_dies_on_its_way_becomes_an_orphan(arrives: bool) -> None:
    bench = Bench()
    bench.tell(*consulting(answered=True))

    def moved(action: str, fields: Fields) -> None:
        if action == "Redirect" and fields["Context"] == "harmony-room":
            bench.tell(facts.LegEnded(AGENT, 16))
            bench.tell(*([facts.LegJoined(TARGET, ROOM)] if arrives else []), facts.LegEnded(TARGET, 16))

    bench.link.on_send = moved
    await bench.rooms().consult_transfer(AGENT)
    await settled()
    redirected = [(f["Channel"], f["Context"]) for action, f in bench.link.sent if action == "Redirect"]
    orphaned = [] if arrives else [(CUSTOMER, "harmony-orphan")]
    assert redirected == [(TARGET, "harmony-room"), *orphaned]


async def test_a_logout_is_told_to_callers_who_might_come_back() -> None:
    bench = Bench()
    former = FormerAgents(bench.exchange, bench.variables)
    for leg, back in {CUSTOMER: "PJSIP/1001", "other": "PJSIP/1002"}.items():
        header = [("Event", "VarSet"), ("Uniqueid", leg), ("Variable", "HARMONY_BACK"), ("Value", back)]
        bench.variables.on_event(AmiMessage(header))
    bench.tell(facts.MemberChanged("support", "1001", "1001", paused=True, reason=""))
    assert former.back("1001") == "PJSIP/1001"
    bench.tell(facts.MemberGone("support", "1001"))
    await settled()
    assert bench.link.variables() == {f"{CUSTOMER} HARMONY_BACK": ""}
    assert (former.back("1001"), former.back("1002")) == ("", "PJSIP/1002")
    bench.tell(facts.MemberChanged("support", "1001", "1001", paused=True, reason=""))
    assert former.back("1001") == "PJSIP/1001"


@pytest.mark.parametrize("busy", [1, 3, None])
async def test_a_leg_that_is_being_moved_is_moved_again_until_it_can_be(busy: int | None) -> None:
    bench, refusals = Bench(), 0

    def move(action: str, _fields: Fields) -> None:
        nonlocal refusals
        if action != "Redirect":
            return
        if busy is None or refusals < busy:
            refusals += 1
            raise AmiRefused(action, "Redirect failed, channel not up.")
        bench.tell(facts.LegLeft(AGENT, ROOM, waits=True), facts.MusicStarted(CUSTOMER))

    bench.link.on_send = move
    conversation = bench.interaction.primary
    hold = bench.rooms().hold(bench.interaction.id, conversation.id)
    if busy is None:
        with pytest.raises(Refused, match="channel not up"):
            await hold
        assert refusals == 5
    else:
        await hold
        assert (refusals, conversation.state) == (busy, ConversationState.HELD)


@pytest.mark.parametrize("shows_up", [True, False])
async def test_a_leg_that_was_moved_is_not_moved_again_before_it_has_shown_up(shows_up: bool) -> None:
    """Asterisk would take it for one that hangs up, at times; it may also be there without a sign."""
    bench = Bench()
    rooms = bench.rooms()

    def moves() -> list[str]:
        return [str(fields["Context"]) for action, fields in bench.link.sent if action == "Redirect"]

    await rooms._move((AGENT, "harmony-didle", "s"))
    bench.tell(facts.LegLeft(AGENT, ROOM, waits=True))
    again = asyncio.create_task(rooms._move((AGENT, "harmony-room", f"a{CUSTOMER}")))
    for _ in range(20):
        await asyncio.sleep(0)
    assert moves() == ["harmony-didle"]
    if shows_up:
        bench.tell(facts.MusicStarted(AGENT, waits=True))
        for _ in range(20):
            await asyncio.sleep(0)
        assert again.done()
    await again
    assert moves() == ["harmony-didle", "harmony-room"]


async def test_who_was_called_in_has_no_notes_of_who_takes_a_caller() -> None:
    """Else nobody's queue would get a colleague or an outsider who was consulted."""
    bench = Bench()
    bench.tell(*consulting(answered=True))
    bench.tell(facts.LegLeft(AGENT, "b2"), facts.LegLeft(TARGET, "b2"))
    bench.tell(facts.LegJoined(TARGET, ROOM), facts.LegJoined(AGENT, ROOM))
    assert bench.interaction.primary.parties.keys() == {CUSTOMER, TARGET}
    await bench.rooms().prepare(bench.interaction)
    known = bench.link.variables()
    assert known[f"{CUSTOMER} HARMONY_ORPHANS"] == "queue"
    assert f"{TARGET} HARMONY_ORPHANS" not in known
    assert known[f"{TARGET} HARMONY_REFER"] == known[f"{CUSTOMER} HARMONY_REFER"]


async def test_a_call_that_is_answered_as_it_is_rejected_is_not_hung_up() -> None:
    """Before the hang-up the queues are told to offer no more, and the phone may be picked up meanwhile."""

    class Membership:
        async def set_not_ready(self, _seat: Seat, _reason: str) -> None:
            bench.tell(*agent_answers())

    bench = Bench(in_room=False)
    bench.exchange.model = TelephonyModel()
    bench.exchange.model.watch("1001")
    bench.tell(facts.MemberChanged("support", "1001", "1001", paused=False, reason=""))
    bench.tell(*customer_waits(), *agent_rings())
    parts: list[Any] = [bench.exchange, bench.link, Membership(), bench.rooms(), DialSettings()]
    control = CallControl(*parts, cast("Any", None), cast("Any", None))
    with pytest.raises(Refused, match="answered meanwhile"):
        await control.reject(AGENT, Seat("1001", "1001", ("support",)))
    assert bench.link.hung_up() == []


@pytest.mark.parametrize("talks", [False, True])
async def test_a_colleague_who_holds_is_let_go_if_the_caller_hangs_up_as_the_call_is_handed_over(
    talks: bool,
) -> None:
    """But not out of another call that the colleague has."""
    bench = Bench()
    bench.exchange.model.watch("1002")
    bench.tell(*consulting(answered=True), facts.RoomAssigned(TARGET, Role.PRIMARY, AGENT))
    bench.tell(facts.LegLeft(TARGET, "b2", waits=True))
    if talks:
        bench.tell(
            facts.LegCreated("y-leg", "2003", TARGET, placed=False, number="2003"),
            facts.DialStarted(TARGET, "y-leg"),
            facts.LegAnswered("y-leg"),
            *(facts.LegJoined(TARGET, "b3"), facts.LegJoined("y-leg", "b3")),
        )

    def moved(action: str, fields: Fields) -> None:
        if action == "Redirect" and fields["Context"] == "harmony-bye":
            bench.tell(facts.LegEnded(CUSTOMER, 16), facts.LegEnded(AGENT, 16))

    bench.link.on_send = moved
    await bench.rooms().consult_transfer(AGENT)
    assert (TARGET in bench.link.hung_up()) is not talks


async def test_a_join_of_two_calls_that_is_refused_leaves_both_their_notes() -> None:
    """Else the dialplan would not know the party when the agent hangs up later."""
    bench = Bench()
    bench.tell(
        facts.LegCreated("a2-leg", "1001", "a2-leg", placed=True, number="1001", dialled="2002"),
        facts.LegCreated(TARGET, "2002", "a2-leg", placed=False, number="2002"),
        facts.DialStarted("a2-leg", TARGET),
        facts.LegAnswered(TARGET),
        facts.DialEnded("a2-leg", TARGET, DialOutcome.ANSWERED),
        facts.LegAnswered("a2-leg"),
        *(facts.LegJoined("a2-leg", "r2"), facts.LegJoined(TARGET, "r2"), facts.RoomOpened("r2", TARGET)),
    )
    bench.link.refused = {"Redirect"}
    with pytest.raises(Refused, match="could not be moved"):
        await bench.rooms().join(AGENT, "a2-leg")
    known = bench.link.variables()
    assert (known[f"{AGENT} HARMONY_P1"], known[f"{CUSTOMER} HARMONY_AGENT"]) == (CUSTOMER, AGENT)
    assert (known["a2-leg HARMONY_P1"], known[f"{TARGET} HARMONY_AGENT"]) == (TARGET, "a2-leg")
