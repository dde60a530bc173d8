"""The link comes and goes: what is told when, and who is put back into the queues of a new PBX."""

import asyncio
from collections.abc import Mapping

import pytest

from connector.asterisk.exchange import Exchange
from connector.asterisk.link import AmiRefused
from connector.asterisk.projection import Projection
from connector.asterisk.service import Service
from connector.asterisk.wire import AmiMessage
from connector.telephony.changes import Change, ServiceChanged
from connector.telephony.facts import MemberChanged
from connector.telephony.pbx import PbxDown
from connector.telephony.presence import NO_QUEUE


class At:
    """A service, and what it tells."""

    def __init__(self, grace: float) -> None:
        self.exchange = Exchange(proof_timeout=1)
        self.told: asyncio.Queue[Change] = asyncio.Queue()
        self.exchange.subscribe(self.told.put_nowait)
        self.service = Service(self.exchange, grace)

    async def next(self) -> Change:
        async with asyncio.timeout(5):
            return await self.told.get()


async def test_a_loss_is_told_after_the_grace_and_refused_at_once() -> None:
    at = At(0.01)
    at.service.up()
    assert await at.next() == ServiceChanged(available=True)
    at.service.down("cable")
    assert at.told.empty()
    with pytest.raises(PbxDown):
        at.exchange.require_available()
    assert await at.next() == ServiceChanged(available=False, reason="cable")
    at.service.up()
    assert await at.next() == ServiceChanged(available=True)


async def test_who_waits_for_a_proof_learns_of_the_loss_at_once() -> None:
    at = At(60)
    at.service.up()
    waiting = asyncio.create_task(at.exchange.until(lambda: False, "nothing"))
    await asyncio.sleep(0)
    at.service.down("cable")
    with pytest.raises(PbxDown):
        await waiting
    at.service.close()


async def test_a_link_that_is_back_within_the_grace_was_never_lost() -> None:
    at = At(60)
    at.service.up()
    await at.next()
    for _ in range(3):
        at.service.down("cable")
        at.service.up()
    assert at.told.empty()
    assert at.service._timer is None
    at.exchange.require_available()


async def test_a_pbx_that_ends_says_so_and_is_out_of_service_after_the_grace() -> None:
    at = At(0.01)
    at.service.up()
    at.service.ending()
    at.service.down("closed by the PBX")
    assert await at.next() == ServiceChanged(available=True)
    assert await at.next() == ServiceChanged(available=False, reason="it is being shut down", ending=True)
    assert await at.next() == ServiceChanged(available=False, reason="closed by the PBX")


async def test_a_link_that_never_was_is_not_lost() -> None:
    at = At(0)
    at.service.down("refused")
    assert at.service._timer is None
    assert at.told.empty()


def member(queue: str, *, paused: bool = False, reason: str = "", penalty: int = 0) -> MemberChanged:
    return MemberChanged(queue, "1001", "ada", paused, reason, penalty)


def listed(queue: str, *, paused: str = "0", reason: str = "") -> AmiMessage:
    return AmiMessage(
        [
            ("Event", "QueueMember"),
            ("Queue", queue),
            ("Location", "PJSIP/1001"),
            ("Paused", paused),
            ("PausedReason", reason),
        ]
    )


def booted(uptime: str) -> AmiMessage:
    return AmiMessage([("Event", "FullyBooted"), ("Uptime", uptime)])


class Queues:
    """An AMI with these members; one queue refuses."""

    def __init__(self, *rows: AmiMessage, refuses: str = "") -> None:
        self.rows = rows
        self.refuses = refuses
        self.sent: list[tuple[str, Mapping[str, str]]] = []

    async def send(self, action: str, fields: Mapping[str, str]) -> AmiMessage:
        self.sent.append((action, fields))
        if fields["Queue"] == self.refuses:
            raise AmiRefused(action, "No such queue")
        return AmiMessage([("Response", "Success")])

    async def send_list(self, action: str) -> list[AmiMessage]:
        assert action == "QueueStatus"
        return list(self.rows)


async def _after(link: Queues, uptime: str, *members: MemberChanged) -> list[tuple[str, Mapping[str, str]]]:
    """Have the link broken at second 100 of a PBX that started at 0, and back at 200."""
    exchange = Exchange(proof_timeout=1)
    projection = Projection(exchange, link)  # type: ignore[arg-type]
    projection.on_event(booted("10"), 10.0)
    for one in members:
        exchange.apply(one)
    projection.remember()
    projection.on_event(booted(uptime), 200.0)
    await projection.restore()
    first = list(link.sent)
    await projection.restore()
    assert link.sent == first
    return first


async def test_members_that_a_new_start_forgot_are_put_back_as_they_were() -> None:
    link = Queues(listed("sales", paused="1", reason="Lunch"), listed("gold", paused="1"))
    sent = await _after(
        link,
        "3",
        member("support", penalty=4),
        member("sales", paused=True, reason="Lunch"),
        member("gold"),
        member("vip", paused=True, reason="Training"),
        member(NO_QUEUE),
    )
    me = {"Interface": "PJSIP/1001"}
    new = {"MemberName": "ada", "StateInterface": "PJSIP/1001"}
    assert sent == [
        ("QueueAdd", {"Queue": "support", **me, **new, "Penalty": "4", "Paused": "false"}),
        ("QueuePause", {"Queue": "gold", **me, "Paused": "false"}),
        ("QueueAdd", {"Queue": "vip", **me, **new, "Penalty": "0", "Paused": "true"}),
        ("QueuePause", {"Queue": "vip", **me, "Paused": "true", "Reason": "Training"}),
    ]


async def test_a_queue_that_is_gone_does_not_keep_the_others_from_being_put_back() -> None:
    sent = await _after(Queues(refuses="gone"), "3", member("gone"), member("support"))
    assert [(action, fields["Queue"]) for action, fields in sent] == [
        ("QueueAdd", "gone"),
        ("QueueAdd", "support"),
    ]


@pytest.mark.parametrize("uptime", ["200", "199", "201", "", "soon"])
async def test_the_same_pbx_is_left_alone(uptime: str) -> None:
    """Who was taken out of a queue while the link was down was taken out by somebody."""
    assert await _after(Queues(), uptime, member("support")) == []


async def test_the_lists_of_a_pbx_that_boots_are_waited_for() -> None:
    projection = Projection(Exchange(proof_timeout=1), Queues())  # type: ignore[arg-type]
    # Nobody knows whether it will ever tell.
    await projection.ready()
    projection.on_event(booted("10"), 10.0)
    projection.remember()
    waiting = asyncio.create_task(projection.ready())
    await asyncio.sleep(0)
    assert not waiting.done()
    projection.on_event(booted("0"), 20.0)
    async with asyncio.timeout(5):
        await waiting
