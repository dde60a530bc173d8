"""The link to the PBX breaks and comes back: what tests of that have in common."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from cable import Cable
from desk import WAIT, Desk

from connector.telephony.pbx import PbxDown

QUICK: dict[str, dict[str, Any]] = {
    "asterisk": {"host": "127.0.0.1", "reconnect_initial": 0.05, "reconnect_max": 0.1}
}


def behind(cable: Cable) -> dict[str, dict[str, Any]]:
    """Return the settings of a connector behind a cable; a gap of any length stays within the grace."""
    return {"asterisk": QUICK["asterisk"] | {"port": cable.port, "grace": 60}}


@asynccontextmanager
async def gap(cable: Cable, at_desk: Desk) -> AsyncIterator[None]:
    """Break the link; in step again at the end."""
    exchange, pbx = at_desk.connector.pbx._exchange, at_desk.connector.pbx
    cable.freeze()
    cable.cut()
    with pytest.raises(PbxDown):
        await exchange.until(lambda: not pbx.available, "the loss", WAIT)
    yield
    cable.thaw()
    await in_step(at_desk)


async def in_step(at_desk: Desk) -> None:
    """Wait until the link is up and the PBX's lists are read: within the grace nobody is told that."""
    pbx = at_desk.connector.pbx
    await pbx._link.wait_up(WAIT)
    assert pbx._resync is not None
    await pbx._resync
