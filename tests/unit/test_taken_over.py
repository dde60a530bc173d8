"""Who waits in an agent's place after a gap is brought in; who was on hold before stays on hold."""

import asyncio

from test_found_calls import AGENT, CUSTOMER, Found, customer, row

from connector.asterisk.taken_over import TakenOver


async def test_only_who_came_to_wait_in_a_gap_is_brought_in() -> None:
    found, brought = Found("1001", "1002"), list[tuple[str, str]]()

    async def retrieve(interaction: str, conversation: str) -> None:
        brought.append((interaction, conversation))

    taken_over, model = TakenOver(found.exchange, retrieve), found.exchange.model
    held = (row(AGENT, "1001", "harmony-didle,s", HARMONY_P1=CUSTOMER), customer())
    await found.read(*held)
    # At the start: whoever is on hold was put there by an earlier process.
    taken_over.look_for(())
    known = set(model.legs.legs)
    more = (
        row("a-2", "1002", "harmony-didle,s", tree="c-2", HARMONY_P1="c-2"),
        row("c-2", "2002", "harmony-room,pc-2", "r2", tree="c-2", HARMONY_AGENT="a-2"),
    )
    await found.read(*held, *more)
    taken_over.look_for(known)
    await asyncio.gather(*taken_over._chores)
    assert brought == [("a-2", "a-2-1")]
    taken_over.close()
