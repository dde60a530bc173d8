"""Answering by request: phones that obey NOTIFY talk, configured per model."""

from pathlib import Path

import pytest
from desk import desk

from connector.bridge.catalogue.conversation import ConversationState
from connector.bridge.catalogue.interaction import InteractionState
from connector.lab.phones.hearing import expect_hears
from connector.lab.provider import LabInfo, LabProvider
from connector.processor.problems import BridgeRequestFailed


async def test_a_phone_that_obeys_notify_is_answered_by_request(
    provider: LabProvider, lab: LabInfo, tmp_path: Path
) -> None:
    system = lab.ami["harmony-system"]
    over = {
        "phones": {"desk-phone": {"answer": "notify-talk"}},
        "agents": {"1001": {"phone": "desk-phone"}},
        "asterisk": {"system": {"username": system.username, "secret": system.secret}},
    }
    async with desk(provider, lab, tmp_path, over) as at_desk:
        agent = await at_desk.phones.phone("1001", "pjsua2")
        agent.honour_notify_talk = True
        customer = await at_desk.phones.phone("2001")
        session = await at_desk.login("1001")
        for verb in ("conversation", "interaction"):
            call = await customer.dial("7000")
            interaction = await session.channel.next_interaction()
            if verb == "conversation":
                await interaction.primary.answer()
            else:
                await interaction.accept()
            await interaction.primary.wait_state(ConversationState.TALKING)
            await expect_hears({agent: {"2001"}, customer: {"1001"}})
            with pytest.raises(BridgeRequestFailed, match="cannot be answered: it is TALKING"):
                await (interaction.primary.answer() if verb == "conversation" else interaction.accept())
            await call.hangup()
            await interaction.wait_state(InteractionState.ENDED)
            await interaction.complete()
        await session.close()
