"""What a connector finds that is started in the middle of live calls, beside one that has seen them begin."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

from desk import WAIT

from connector.app import Connector
from connector.asterisk.pbx import AsteriskPbx
from connector.config import Settings
from connector.telephony.changes import Change, ServiceChanged
from connector.telephony.interactions import Interaction
from connector.telephony.model import TelephonyModel


def view(model: TelephonyModel, phones: tuple[str, ...] = ("1001", "1002")) -> dict[str, str]:
    """Return all that a desk shows of the live interactions of some phones, by native ids."""
    return {
        key: value
        for phone in phones
        for one in model.interactions(phone)
        if not one.over
        for key, value in _shown(one)
    }


def _shown(interaction: Interaction) -> Iterator[tuple[str, str]]:
    yield interaction.id, f"{interaction.endpoint} {interaction.state}"
    for key, value in interaction.data.items():
        yield f"{interaction.id} {key}", value
    # Of a consult that is over a newcomer knows nothing, and a desk shows it no more.
    for one in interaction.live_conversations:
        members = sorted(member.address for member in one.members)
        yield one.id, f"{one.role} {one.state} on {one.leg} with {members}"


@asynccontextmanager
async def newcomer(settings: Settings) -> AsyncIterator[AsteriskPbx]:
    """Run the PBX side of one more connector, in step with the PBX."""
    pbx = Connector(settings).pbx
    up = asyncio.Event()

    def listen(change: Change) -> None:
        if isinstance(change, ServiceChanged) and change.available:
            up.set()

    pbx.subscribe(listen)
    running = asyncio.create_task(pbx.run())
    try:
        async with asyncio.timeout(WAIT):
            await up.wait()
        yield pbx
    finally:
        await pbx.close()
        await running
