"""A desk of the strategy `consult: atxfer`: on a PBX without our dialplan that gives its calls the codes.

Tests that are marked `atxfer` get it as their `at_desk`.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from calls import DIALING, HELD, TALKING, Call
from desk import TRANSPORT, WAIT, Desk, deep_merge, desk

from connector.lab.phones.base import PhoneCall
from connector.lab.phones.hearing import expect_hears, hears
from connector.lab.provider import LabInfo, LabProvider, tree_folder
from connector.processor.handles import Conversation

_OUR_DIALPLAN = (tree_folder("asterisk-conf") / "harmony.conf").read_text("utf-8")
_OUR_CONTEXTS = re.findall(r"^\[(.+)\]", _OUR_DIALPLAN, re.MULTILINE)
_NOTHING: Mapping[str, Any] = {}
_STRATEGY: dict[str, Any] = {"dial": {"consult": "atxfer"}, "extensions": {"enabled": True}}


@asynccontextmanager
async def atxfer_desk(
    provider: LabProvider,
    lab: LabInfo,
    folder: Path,
    over: Mapping[str, Any] = _NOTHING,
    *,
    transport: str = TRANSPORT,
) -> AsyncIterator[Desk]:
    """Run a connector of that strategy, with our dialplan taken away as long as it lasts."""
    provider.asterisk_cli("dialplan set global DIAL_OPTIONS tT")
    for context in _OUR_CONTEXTS:
        provider.asterisk_cli(f"dialplan remove context {context}")
    assert "harmony" not in provider.asterisk_cli("dialplan show")
    try:
        async with desk(provider, lab, folder, deep_merge(_STRATEGY, over), transport=transport) as found:
            yield found
    finally:
        provider.asterisk_cli("dialplan reload")


async def ring(call: Call) -> tuple[Conversation, PhoneCall]:
    """Consult colleague 1002, who does not answer yet."""
    consult = await call.interaction.consult("1002")
    assert (call.primary.state, consult.state) == (HELD, DIALING)
    targets_call = await call.target.next_call(WAIT)
    await expect_hears({call.customer: {"MOH"}})
    # No more can be said of the agent: a phone that rings before Asterisk has moved that leg rings unheard.
    async with asyncio.timeout(WAIT):
        while "2001" in hears(call.agent):
            await call.agent.pulse.wait()
    return consult, targets_call


async def all_three_talk(call: Call) -> None:
    """See that agent, customer and target hear each other."""
    phones = (call.agent, call.target, call.customer)
    everybody = {phone.extension for phone in phones}
    await expect_hears({phone: everybody - {phone.extension} for phone in phones})


async def agent_and_customer_talk(call: Call) -> None:
    """See that the two talk to each other, and the target hears nobody."""
    await call.primary.wait_state(TALKING)
    await expect_hears({call.agent: {"2001"}, call.customer: {"1001"}, call.target: set()})
