"""What differs by phone model: answering and holding by NOTIFY, and nothing of it unless configured."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from desk import WAIT, Desk, desk

from connector.asterisk.link import AmiLink
from connector.bridge.catalogue.conversation import ConversationState
from connector.bridge.catalogue.interaction import InteractionState
from connector.lab.phones.base import CallState, Phone, PhoneCall
from connector.lab.phones.hearing import expect_hears
from connector.lab.provider import LabInfo, LabProvider
from connector.processor.handles import Interaction
from connector.processor.server import Session

TALKING, HELD, RELEASED = ConversationState.TALKING, ConversationState.HELD, ConversationState.RELEASED
ENDED = InteractionState.ENDED


@contextmanager
def actions_sent(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Note the names of the actions that go to the PBX."""
    sent: list[str] = []
    send = AmiLink.send

    async def noting(link: AmiLink, action: str, *rest: Any, **options: Any) -> Any:
        sent.append(action)
        return await send(link, action, *rest, **options)

    with monkeypatch.context() as patch:
        patch.setattr(AmiLink, "send", noting)
        yield sent


@asynccontextmanager
async def desk_of(
    provider: LabProvider, lab: LabInfo, folder: Path, **model: str
) -> AsyncIterator[tuple[Desk, Phone]]:
    """Run a desk whose agent 1001 has a phone of that model, one that obeys NOTIFY."""
    system = lab.ami["harmony-system"]
    over: dict[str, Any] = {
        "phones": {"desk-phone": model},
        "agents": {"1001": {"phone": "desk-phone"}},
        "asterisk": {"system": {"username": system.username, "secret": system.secret}},
    }
    async with desk(provider, lab, folder, over) as at:
        agent = await at.phones.phone("1001", "pjsua2")
        agent.honour_notify_talk = True
        yield at, agent


async def queue_call(at: Desk, agent: Phone) -> tuple[Session, Interaction, Phone, PhoneCall]:
    """Let agent 1001 and customer 2001 talk."""
    customer = await at.phones.phone("2001")
    session = await at.login("1001")
    customers = await customer.dial("7000")
    interaction = await session.channel.next_interaction()
    await (await agent.next_call(WAIT)).answer()
    await interaction.primary.wait_state(TALKING)
    await expect_hears({agent: {"2001"}, customer: {"1001"}})
    return session, interaction, customer, customers


async def over(session: Session, interaction: Interaction, customers: PhoneCall) -> None:
    await customers.hangup()
    await interaction.wait_state(ENDED)
    await interaction.complete()
    await session.close()


async def test_the_phone_itself_holds_and_retrieves_by_request(
    provider: LabProvider, lab: LabInfo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with desk_of(provider, lab, tmp_path, hold="notify") as (at, agent):
        session, interaction, customer, customers = await queue_call(at, agent)
        primary, own = interaction.primary, agent.calls[0]
        with actions_sent(monkeypatch) as sent:
            for _ in range(3):
                await primary.hold()
                assert primary.state is HELD
                await own.wait_state(CallState.HELD, WAIT)
                await expect_hears({agent: set(), customer: {"MOH"}})
                await primary.retrieve()
                assert primary.state is TALKING
                await own.wait_state(CallState.TALKING, WAIT)
                await expect_hears({agent: {"2001"}, customer: {"1001"}})
        assert sent.count("PJSIPNotify") == 6
        assert "Redirect" not in sent
        await over(session, interaction, customers)


async def test_a_hold_of_the_phone_is_ended_for_what_needs_a_room(
    provider: LabProvider, lab: LabInfo, tmp_path: Path
) -> None:
    async with desk_of(provider, lab, tmp_path, hold="notify") as (at, agent):
        session, interaction, customer, customers = await queue_call(at, agent)
        target = await at.phones.phone("1002")
        await interaction.primary.hold()
        await expect_hears({agent: set(), customer: {"MOH"}})
        consult = await interaction.consult("1002")
        await (await target.next_call(WAIT)).answer()
        await consult.wait_state(TALKING)
        await expect_hears({agent: {"1002"}, target: {"1001"}, customer: {"MOH"}})
        await interaction.alternate()
        await expect_hears({agent: {"2001"}, target: {"MOH"}, customer: {"1001"}})
        await consult.release()
        # From now on the call has a room, so that it is held there.
        await interaction.primary.hold()
        await expect_hears({agent: set(), customer: {"MOH"}})
        await interaction.primary.retrieve()
        await expect_hears({agent: {"2001"}, customer: {"1001"}})
        await over(session, interaction, customers)


async def test_a_hold_that_the_agent_made_by_hand_is_retrieved_by_request(
    provider: LabProvider, lab: LabInfo, tmp_path: Path
) -> None:
    async with desk_of(provider, lab, tmp_path, hold="notify") as (at, agent):
        session, interaction, customer, customers = await queue_call(at, agent)
        await agent.calls[0].hold()
        await interaction.primary.wait_state(HELD)
        await expect_hears({agent: set(), customer: {"MOH"}})
        await interaction.primary.retrieve()
        await expect_hears({agent: {"2001"}, customer: {"1001"}})
        await over(session, interaction, customers)


async def test_a_transfer_takes_the_caller_from_a_phone_that_holds(
    provider: LabProvider, lab: LabInfo, tmp_path: Path
) -> None:
    async with desk_of(provider, lab, tmp_path, hold="notify") as (at, agent):
        session, interaction, customer, customers = await queue_call(at, agent)
        target = await at.phones.phone("1002")
        target.answer_mode = "auto"
        await interaction.primary.hold()
        await interaction.primary.blind_transfer("1002")
        await interaction.wait_state(ENDED)
        await expect_hears({target: {"2001"}, customer: {"1002"}})
        await over(session, interaction, customers)


async def test_a_hold_by_key_in_a_room_is_taken_back_by_the_bridge_at_once(
    provider: LabProvider, lab: LabInfo, tmp_path: Path
) -> None:
    async with desk_of(provider, lab, tmp_path, hold="notify") as (at, agent):
        session, interaction, customer, customers = await queue_call(at, agent)
        primary, target = interaction.primary, await at.phones.phone("1002")
        consult = await interaction.consult("1002")
        await (await target.next_call(WAIT)).answer()
        await consult.wait_state(TALKING)
        await consult.release()
        await primary.wait_state(TALKING)
        for _ in range(3):
            told = len(primary.states)
            await agent.calls[0].hold()
            await primary.wait_state(HELD)
            await expect_hears({agent: set(), customer: {"MOH"}})
            await primary.retrieve()
            await expect_hears({agent: {"2001"}, customer: {"1001"}})
            assert primary.states[told:] == [HELD, TALKING]
        await over(session, interaction, customers)


@pytest.mark.parametrize("answer", ["none", "auto-answer"])
async def test_without_configuration_no_phone_is_sent_notify(
    provider: LabProvider, lab: LabInfo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    async with desk_of(provider, lab, tmp_path, answer=answer) as (at, agent):
        with actions_sent(monkeypatch) as sent:
            customer = await at.phones.phone("2001")
            session = await at.login("1001")
            customers = await customer.dial("7000")
            interaction = await session.channel.next_interaction()
            reply = await at.bridge.request(interaction.primary.target, "conversation.request.answer", {})
            assert reply.error_message == (
                "This phone cannot be answered from the desktop: please lift the handset."
            )
            ringing = await agent.next_call(WAIT)
            assert ringing.state is CallState.RINGING_IN
            await ringing.answer()
            await interaction.primary.wait_state(TALKING)
            await interaction.primary.hold()
            assert ringing.state is CallState.TALKING
            await expect_hears({agent: set(), customer: {"MOH"}})
            await interaction.primary.retrieve()
            await expect_hears({agent: {"2001"}, customer: {"1001"}})
            await agent.calls[0].hold()
            await interaction.primary.wait_state(HELD)
            reply = await at.bridge.request(interaction.primary.target, "conversation.request.retrieve", {})
            assert reply.error_message == "The phone itself holds the call: take it back there first."
            await agent.calls[0].resume()
            await interaction.primary.wait_state(TALKING)
            await expect_hears({agent: {"2001"}, customer: {"1001"}})
        assert "PJSIPNotify" not in sent
        await over(session, interaction, customers)


async def test_the_model_goes_with_the_phone_and_not_with_the_agent(
    provider: LabProvider, lab: LabInfo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Agent 1001 sits at 1003 today, where no phone that obeys NOTIFY stands: one would end the call."""
    async with desk_of(provider, lab, tmp_path, answer="notify-talk", hold="notify") as (at, _):
        elsewhere, customer = await at.phones.phone("1003"), await at.phones.phone("2001")
        session = await at.bridge.login("1001", lab.agents["1001"].password, extension="1003")
        await session.channel.activate()
        await session.channel.ready()
        with actions_sent(monkeypatch) as sent:
            customers = await customer.dial("7000")
            interaction = await session.channel.next_interaction()
            reply = await at.bridge.request(interaction.primary.target, "conversation.request.answer", {})
            assert reply.error_message is not None
            await (await elsewhere.next_call(WAIT)).answer()
            await interaction.primary.wait_state(TALKING)
            await interaction.primary.hold()
            await expect_hears({elsewhere: set(), customer: {"MOH"}})
            await interaction.primary.retrieve()
            await expect_hears({elsewhere: {"2001"}, customer: {"1003"}})
        assert "PJSIPNotify" not in sent
        await over(session, interaction, customers)


async def test_a_call_that_the_agent_places_answers_by_a_header_if_the_model_says_so(
    provider: LabProvider, lab: LabInfo, tmp_path: Path
) -> None:
    for model, asked in (("auto-answer", True), ("none", False)):
        async with desk_of(provider, lab, tmp_path, answer=model) as (at, agent):
            agent.honour_auto_answer = True
            customer = await at.phones.phone("2001")
            session = await at.login("1001", ready=False)
            interaction = await session.channel.dial("2001")
            own = await agent.next_call(WAIT)
            assert own.auto_answer is asked
            if not asked:
                await own.answer()
            customers = await customer.next_call(WAIT)
            await customers.answer()
            await interaction.primary.wait_state(TALKING)
            await expect_hears({agent: {"2001"}, customer: {"1001"}})
            await over(session, interaction, customers)
