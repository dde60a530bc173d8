"""The laboratory for the end-to-end tests: started once, checked to be clean after every test."""

import os
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
from atxfer_desk import atxfer_desk
from cable import Cable
from calls import Call, make_call
from desk import Desk, desk
from gaps import behind
from seen import Seen

from connector.lab.provider import LabInfo, LabProvider, choose_provider


def pytest_configure(config: pytest.Config) -> None:
    """Note which messages the tests exercise, if `SEEN` asks for it."""
    if os.environ.get("SEEN"):
        config.pluginmanager.register(Seen())


@pytest.fixture(scope="session")
def provider() -> Iterator[LabProvider]:
    """Start a laboratory of our own, of the provider that `LAB` names (native or docker)."""
    # Two test runs at once must not share (and stop) one laboratory.
    lab = choose_provider(os.environ.get("LAB") or None, f"e2e-{os.getpid()}")
    lab.up()
    yield lab
    lab.down()


@pytest.fixture(scope="session")
def lab(provider: LabProvider) -> LabInfo:
    """Where everything is in the running laboratory."""
    return provider.info()


@pytest.fixture(autouse=True)
def _nothing_left_over(request: pytest.FixtureRequest) -> Iterator[None]:
    """After a test the PBX has no channel, no conference room and no queue member left, paused or not."""
    yield
    if "provider" not in request.fixturenames and "lab" not in request.fixturenames:
        return
    provider: LabProvider = request.getfixturevalue("provider")
    left = _left_over(provider)
    for channel in left["channels"]:
        provider.asterisk_cli(f"channel request hangup {channel}")
    for queue, interface in left["members"]:
        provider.asterisk_cli(f"queue remove member {interface} from {queue}")
    assert not any(left.values()), f"the test left this on the PBX: {left}"


def _is_forgotten(channel: list[str]) -> bool:
    """Whether a channel is what Asterisk (22.10) leaves at times of a standing call that Bridge() has taken.

    It has no thread, no application and no other end, and outlives every hang-up until Asterisk ends.
    """
    name, context, _, _, state, application = channel[:6]
    nothing_runs = (state, application) == ("Down", "(None)")
    return name.startswith("Surrogate/") and context == "harmony-standing" and nothing_runs


def _left_over(provider: LabProvider) -> dict[str, list[Any]]:
    listed = [
        line.split("!")
        for line in provider.asterisk_cli("core show channels concise").splitlines()
        if "!" in line
    ]
    forgotten = [one[0] for one in listed if _is_forgotten(one)]
    if forgotten:
        warnings.warn(f"Asterisk's Bridge() has forgotten {forgotten}: nothing can end that.", stacklevel=2)
    channels = [one[0] for one in listed if one[0] not in forgotten]
    rooms = provider.asterisk_cli("confbridge list").splitlines()
    heading = next(place for place, line in enumerate(rooms) if line.startswith("==="))
    members = [
        (queue, word.strip("()"))
        for queue in ("support", "sales", "hotline")
        for word in provider.asterisk_cli(f"queue show {queue}").split()
        if word.strip("()").startswith(("PJSIP/", "Local/"))
    ]
    return {"channels": channels, "rooms": rooms[heading + 1 :], "members": members}


@pytest.fixture
async def at_desk(
    request: pytest.FixtureRequest, provider: LabProvider, lab: LabInfo, tmp_path: Path
) -> AsyncIterator[Desk]:
    """Run a bridge, a connector and phones; of the strategy atxfer where the test is marked so."""
    async with _kind(request)(provider, lab, tmp_path) as found:
        yield found


@pytest.fixture
async def cable(lab: LabInfo) -> AsyncIterator[Cable]:
    """Lay a cable to the PBX that can be cut."""
    async with Cable(lab.host, lab.ports.ami) as found:
        yield found


@pytest.fixture
async def far_desk(
    request: pytest.FixtureRequest, provider: LabProvider, lab: LabInfo, tmp_path: Path, cable: Cable
) -> AsyncIterator[Desk]:
    """Run a desk as `at_desk` does, behind the cable."""
    async with _kind(request)(provider, lab, tmp_path, behind(cable)) as found:
        yield found


@pytest.fixture
async def tcp_desk(
    request: pytest.FixtureRequest, provider: LabProvider, lab: LabInfo, tmp_path: Path
) -> AsyncIterator[Desk]:
    """Run a desk as `at_desk` does, whose bridge begins anew when the connector does."""
    async with _kind(request)(provider, lab, tmp_path, transport="tcp") as found:
        yield found


def _kind(request: pytest.FixtureRequest) -> Callable[..., AbstractAsyncContextManager[Desk]]:
    return atxfer_desk if request.node.get_closest_marker("atxfer") else desk


@pytest.fixture
async def call(at_desk: Desk, request: pytest.FixtureRequest) -> Call:
    """Make an answered call; its origin is the fixture's parameter."""
    return await make_call(at_desk, request.param)


@pytest.fixture
async def queue_call(at_desk: Desk) -> Call:
    """Make an answered call that came by a queue."""
    return await make_call(at_desk, "queue")
