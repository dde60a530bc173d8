"""A request right after the answer of a dialled call, when the PBX has not told yet who answered."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from telephony_script import AGENT, CUSTOMER, agent_dials
from test_rooms_chores import Link

from connector.asterisk.exchange import Exchange
from connector.asterisk.link import Fields
from connector.asterisk.notify import PhoneNotifier
from connector.asterisk.rooms import PartyRooms
from connector.asterisk.settings import DialSettings
from connector.asterisk.variables import LegVariables
from connector.telephony import facts
from connector.telephony.pbx import Refused
from connector.telephony.states import ConversationState, DialOutcome

TALK = f"{AGENT}-1"

Request = Callable[[PartyRooms], Awaitable[object]]

REQUESTS: dict[str, Request] = {
    "hold": lambda rooms: rooms.hold(AGENT, TALK),
    "consult": lambda rooms: rooms.consult(AGENT, "1002"),
    "blindtransfer": lambda rooms: rooms.blind_transfer(AGENT, TALK, "1002"),
    "blindconference": lambda rooms: rooms.blind_conference(AGENT, TALK, "1002"),
}


class Bench:
    """An agent has dialled a number that has answered; of the far side nothing is told yet."""

    def __init__(self) -> None:
        self.exchange, self.link = Exchange(proof_timeout=0.2), Link()
        self.exchange.set_available(available=True)
        self.exchange.model.watch("1001")
        self.exchange.model.expect_dial(AGENT, "2001")
        self.tell(
            *agent_dials(),
            facts.LegAnswered(CUSTOMER),
            facts.DialEnded("l2", CUSTOMER, DialOutcome.ANSWERED),
            facts.LegAnswered("l1"),
            facts.DialEnded(AGENT, "l1", DialOutcome.ANSWERED),
            facts.LegJoined(AGENT, "b1"),
            facts.LegJoined("l1", "b1"),
        )
        interaction = self.exchange.model.interaction(AGENT)
        assert interaction is not None
        assert interaction.primary.state is ConversationState.TALKING
        assert not interaction.primary.parties

    def tell(self, *told: facts.Fact) -> None:
        for fact in told:
            self.exchange.apply(fact)

    def ask(self, request: Request) -> Awaitable[object]:
        settings = DialSettings()
        notifier = PhoneNotifier(self.exchange, self.link, settings, None)
        rooms = PartyRooms(self.exchange, self.link, settings, notifier, LegVariables(self.link))
        return request(rooms)


@pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS)
async def test_who_answered_is_waited_for(request_: Request) -> None:
    bench = Bench()
    moved: asyncio.Future[Fields] = asyncio.get_running_loop().create_future()

    def sent(action: str, fields: Fields) -> None:
        if action == "Redirect":
            moved.set_result(fields)

    bench.link.on_send = sent
    asked = asyncio.ensure_future(bench.ask(request_))
    await asyncio.sleep(0)
    bench.tell(facts.LegJoined("l2", "b2"), facts.LegJoined(CUSTOMER, "b2"))
    await asyncio.wait((asked, moved), return_when=asyncio.FIRST_COMPLETED)
    assert moved.done()
    assert moved.result()["Channel"] == CUSTOMER
    asked.cancel()
    await asyncio.gather(asked, return_exceptions=True)


@pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS)
async def test_where_a_program_answered_there_is_nobody_to_move(request_: Request) -> None:
    with pytest.raises(Refused, match="no other party that could be moved"):
        await Bench().ask(request_)


async def test_whoever_hangs_up_meanwhile_has_ended_the_call() -> None:
    bench = Bench()
    asked = asyncio.ensure_future(bench.ask(REQUESTS["hold"]))
    await asyncio.sleep(0)
    bench.tell(facts.LegEnded(CUSTOMER, 16), facts.LegEnded("l1", 16), facts.LegEnded(AGENT, 16))
    with pytest.raises(Refused, match="The call ended at this moment"):
        await asked
