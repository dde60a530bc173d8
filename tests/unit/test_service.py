"""The link comes and goes: what is told when, and when a PBX that starts is asked."""

import asyncio

import pytest

from connector.asterisk.booting import Booting
from connector.asterisk.exchange import Exchange
from connector.asterisk.service import Service
from connector.asterisk.wire import AmiMessage
from connector.telephony.changes import Change, ServiceChanged
from connector.telephony.pbx import PbxDown


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


@pytest.mark.parametrize("grace", [0, 60])
async def test_our_own_end_is_no_loss(grace: float) -> None:
    at = At(grace)
    at.service.up()
    await at.next()
    at.service.close()
    at.service.down("the link was closed")
    assert at.service._timer is None
    with pytest.raises(PbxDown):
        at.exchange.require_available()


async def test_a_link_that_is_back_within_the_grace_was_never_lost() -> None:
    """Who came meanwhile, and found it away, is told that it is there."""
    at = At(60)
    at.service.up()
    await at.next()
    for _ in range(3):
        at.service.down("cable")
        assert at.told.empty()
        at.service.up()
        assert await at.next() == ServiceChanged(available=True)
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


async def test_a_pbx_that_starts_is_waited_for() -> None:
    booting = Booting()
    # Nobody knows whether it will ever tell.
    await booting.ready()
    booted = AmiMessage([("Event", "FullyBooted"), ("Uptime", "0")])
    booting.on_event(booted)
    await booting.ready()
    booting.lost()
    waiting = asyncio.create_task(booting.ready())
    await asyncio.sleep(0)
    booting.on_event(AmiMessage([("Event", "Reload")]))
    await asyncio.sleep(0)
    assert not waiting.done()
    booting.on_event(booted)
    async with asyncio.timeout(5):
        await waiting
