"""Agent desktops on the Interaction Processor service: from the desktop to the phones and back."""

from collections.abc import AsyncIterator

import pytest
from desk import Desk

from connector.processor.desktop_client import DesktopClient
from connector.processor.service.door import DesktopDoor
from connector.processor.service.processor import InteractionProcessor


@pytest.fixture
async def door(at_desk: Desk) -> AsyncIterator[DesktopDoor]:
    """Run the service on the desk's bridge."""
    async with DesktopDoor(InteractionProcessor(at_desk.bridge)) as found:
        yield found


@pytest.fixture
async def desktop(door: DesktopDoor) -> AsyncIterator[DesktopClient]:
    """Connect a desktop."""
    async with DesktopClient(door.url) as client:
        yield client


async def test_a_queue_call_from_login_to_logout(at_desk: Desk, desktop: DesktopClient) -> None:
    agent, customer = await at_desk.agent_phone("1001"), await at_desk.phones.phone("2001")
    session = await desktop.login("1001", at_desk.info.agents["1001"].password)
    await session.activate()
    await session.ready()
    await customer.dial("7000")
    interaction = await session.next_interaction("ALERTING")
    primary = interaction.conversation("primary")
    assert primary is not None
    assert (interaction.data["ANI"], primary.addresses) == ("2001", ["2001"])
    await session.do(primary, "conversation.request.answer")
    await session.wait_state(primary, "TALKING")
    await session.do(primary, "conversation.release")
    await session.wait_state(interaction, "ENDED")
    await session.do(interaction, "interaction.complete")
    await session.until(lambda: interaction.gone, "interaction.disposed")
    await session.logout()
