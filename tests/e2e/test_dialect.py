"""Real calls through a bridge that calls everything otherwise: no name and no key is the catalogue's.

The whole suite runs that way with `DIALECT=renamed`.
"""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from desk import Desk, desk
from test_dial import test_a_dialled_call_is_answered_heard_and_ended as dialled
from test_inbound import test_a_queue_call_from_offer_to_completion as queued

from connector.bridge.codec import encode
from connector.bridge.dialect import MappedDialect
from connector.bridge.messages import CATALOGUE
from connector.lab.provider import LabInfo, LabProvider


@pytest.fixture
async def foreign_desk(
    provider: LabProvider, lab: LabInfo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Desk]:
    """Run a bridge and a connector that share the renamed dialect."""
    monkeypatch.setenv("DIALECT", "renamed")
    async with desk(provider, lab, tmp_path) as found:
        yield found
        _nothing_of_the_catalogue(found)


def _nothing_of_the_catalogue(found: Desk) -> None:
    dialect = found.bridge._dialect
    assert isinstance(dialect, MappedDialect)
    assert {each.message.name for each in found.bridge.log} <= set(CATALOGUE)
    for each in found.bridge.log:
        document = json.loads(encode(each.message, dialect))
        assert document["header"]["name"] not in CATALOGUE
        assert not set(document["body"]) & set(each.message.body)


async def test_a_queue_call_in_another_dialect(foreign_desk: Desk) -> None:
    await queued(foreign_desk)


@pytest.mark.parametrize("who", ["agent's phone", "bridge"])
async def test_a_dialled_call_in_another_dialect(foreign_desk: Desk, who: str) -> None:
    await dialled(foreign_desk, who)
