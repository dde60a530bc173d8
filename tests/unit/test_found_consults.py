"""Consults that the PBX itself runs (`consult: atxfer`), found in its list of channels."""

import pytest
from test_found_calls import AGENT, CUSTOMER, DIALING, HELD, RELEASED, TALKING, TARGET, Found, row

from connector.asterisk.wire import AmiMessage
from connector.telephony.states import ConversationState

FIRST, SECOND = "l-1", "l-2"
AGENTS, CUSTOMERS = "PJSIP/1001-0000000a", "PJSIP/2001-0000000a"
JOINT = "Local/1002@from-internal-00000000"


def agents_row(bridge: str, peer: str) -> AmiMessage:
    return row(AGENT, "1001", bridge=bridge, application="AppQueue (Outgoing Line)", BRIDGEPEER=peer)


def customers_row(bridge: str = "b-1") -> AmiMessage:
    return row(CUSTOMER, "2001", bridge=bridge, dnid="7000", application="Queue support", BRIDGEPEER=AGENTS)


def consult_rows(*, answered: bool = True, bridge: str = "b-2") -> tuple[AmiMessage, ...]:
    """Return the rows of the joint and of who is consulted."""
    talks = "b-3" if answered else ""
    return (
        row(
            FIRST,
            "1002",
            "from-internal,1002",
            bridge,
            "6" if answered else "5",
            name=f"{JOINT};1",
            TRANSFERERNAME=AGENTS,
            BRIDGEPEER=AGENTS,
        ),
        row(
            SECOND,
            "1001",
            "from-internal,1002",
            talks,
            "6" if answered else "4",
            application="Dial PJSIP/1002,30,tT",
            name=f"{JOINT};2",
            TRANSFERERNAME=AGENTS,
        ),
        row(
            TARGET,
            "1002",
            "from-internal,1002",
            talks,
            "6" if answered else "5",
            application="AppDial (Outgoing Line)",
            BRIDGEPEER=f"{JOINT};2",
        ),
    )


def states(found: Found) -> list[tuple[ConversationState, set[str]]]:
    one = found.interaction
    return [(each.state, set(each.parties)) for each in one.conversations()]


RINGING = (customers_row(), agents_row("b-2", f"{JOINT};1"), *consult_rows(answered=False))
CONSULTING = (customers_row(), agents_row("b-2", f"{JOINT};1"), *consult_rows())
SWAPPED = (customers_row(), agents_row("b-1", CUSTOMERS), *consult_rows())
CONFERENCE = (customers_row(), agents_row("b-1", CUSTOMERS), *consult_rows(bridge="b-1"))
ALONE = (agents_row("b-2", f"{JOINT};1"), *consult_rows())


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (RINGING, [(HELD, {CUSTOMER}), (DIALING, set())]),
        (CONSULTING, [(HELD, {CUSTOMER}), (TALKING, {TARGET})]),
        (SWAPPED, [(TALKING, {CUSTOMER}), (HELD, {TARGET})]),
        (CONFERENCE, [(TALKING, {CUSTOMER, TARGET})]),
        (ALONE, [(RELEASED, set()), (TALKING, {TARGET})]),
    ],
)
async def test_the_states_of_a_consult(
    rows: tuple[AmiMessage, ...], expected: list[tuple[ConversationState, set[str]]]
) -> None:
    found = Found()
    await found.read(*rows)
    assert states(found) == expected
    before = states(found)
    assert not await found.read(*rows)
    assert states(found) == before


async def test_who_is_consulted_sees_the_agent_in_each_state() -> None:
    for rows in (RINGING, CONSULTING, SWAPPED, CONFERENCE):
        found = Found("1001", "1002")
        await found.read(*rows)
        (theirs,) = found.exchange.model.interactions("1002")
        assert theirs.data["ANI"] == "1001"
