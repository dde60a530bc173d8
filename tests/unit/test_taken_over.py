"""Who waits in an agent's place after a gap is brought in; who was on hold before stays on hold."""

import asyncio

from test_found_calls import AGENT, CUSTOMER, Found, customer, row

from connector.asterisk.taken_over import TakenOver


async def test_only_whom_a_phone_put_there_in_a_gap_is_brought_in() -> None:
    found, brought = Found("1001", "1002", "1003"), list[tuple[str, str]]()

    async def retrieve(interaction: str, conversation: str) -> None:
        brought.append((interaction, conversation))

    taken_over = TakenOver(found.exchange, found.link, retrieve)  # type: ignore[arg-type]
    held = (row(AGENT, "1001", "harmony-didle,s", HARMONY_P1=CUSTOMER), customer())
    taken_over.look_away()
    await found.read(*held)
    # At the start: whoever is on hold was put there by an earlier process.
    taken_over.look()
    more = [
        row(f"a-{each}", f"100{each}", "harmony-didle,s", tree=f"c-{each}", HARMONY_P1=f"c-{each}")
        for each in (2, 3)
    ]
    more += [
        row(f"c-{each}", f"200{each}", f"harmony-room,pc-{each}", f"r{each}", tree=f"c-{each}")
        for each in (2, 3)
    ]
    taken_over.look_away()
    await found.read(*held)
    # The link breaks once more before all is read: what was known counts, not what is known now.
    taken_over.look_away()
    await found.read(*held, *more)
    # The caller of 1003 notes that agent's leg: another connector has put it on hold.
    found.link.answers = {("c-2", "HARMONY_AGENT"): "gone", ("c-3", "HARMONY_AGENT"): "a-3"}
    taken_over.look()
    await asyncio.gather(*taken_over._chores)
    assert brought == [("a-2", "a-2-1")]
    taken_over.close()
