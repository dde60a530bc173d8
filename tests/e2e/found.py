"""What a connector finds that is started in the middle of live calls, beside one that has seen them begin."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

from calls import Call
from desk import WAIT

from connector.app import Connector
from connector.asterisk.pbx import AsteriskPbx
from connector.bridge.catalogue.channel import ChannelState
from connector.config import Settings
from connector.processor.handles import Conversation
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


async def agree(call: Call, pbx: AsteriskPbx, state: str, *, but: tuple[str, ...] = ()) -> None:
    """Wait until a newcomer shows what the connector in service shows; events reach the two one by one.

    The data keys `but` are left out.
    """

    def difference() -> list[tuple[str, str]]:
        shown = view(pbx.model).items() ^ view(known.model).items()
        return sorted(one for one in shown if not one[0].endswith(tuple(f" {key}" for key in but)))

    known, news = call.desk.connector.pbx, asyncio.Event()
    unsubscribe = [each.subscribe(lambda _change: news.set()) for each in (known, pbx)]
    try:
        async with asyncio.timeout(WAIT):
            while difference():
                news.clear()
                await news.wait()
    except TimeoutError:
        raise AssertionError(f"{state}: found and known differ in {difference()}") from None
    finally:
        for stop in unsubscribe:
            stop()


async def log_in_again(call: Call) -> None:
    """Begin a new session of the agent, who is at work already."""
    account = call.desk.info.agents["1001"]
    call.session = await call.desk.bridge.login("1001", account.password, extension=account.extension)
    assert call.session.channel.state is ChannelState.ACTIVE


async def find_again(call: Call) -> Conversation | None:
    """Log the agent in once more and put the found interaction into `call`; its consult is returned.

    Ids, states and data must be what they were.
    """
    before = _seen(call)
    await log_in_again(call)
    call.interaction = await call.session.channel.next_interaction()
    assert _seen(call) == before
    return call.interaction.consult_conversation


def _seen(call: Call) -> dict[str, object]:
    interaction, consult = call.interaction, call.interaction.consult_conversation
    live = [one for one in (interaction.primary, consult) if one is not None and one.state != "RELEASED"]
    return {
        "interaction": (interaction.nativeid, interaction.state, interaction.data),
        "conversations": [
            (one.nativeid, one.state, sorted(member.address for member in one.members)) for one in live
        ],
    }


async def after_restart(call: Call) -> Conversation | None:
    """Have a new connector in the place of the old one, and go on with what it finds."""
    await call.desk.replace_connector()
    return await find_again(call)
