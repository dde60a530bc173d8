"""Notes which message of the catalogue each passed end-to-end test exercised: a pytest plugin.

With `SEEN=1` in the environment `tests/e2e/conftest.py` registers it, and `tests/e2e/seen.json` is brought up
to date: message name to node ids. `make coverage` does that and writes the table in `docs/protocol.md`.
A query or request counts when the connector answered it with SUCCESS, an event, warning or error when it
came.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from connector.bridge.dialect_file import NAMES
from connector.bridge.messages import Kind, Message, Result
from connector.processor.link import Entry, Link
from connector.processor.server import ReferenceBridge

PLACE = Path(__file__).with_name("seen.json")

_PROPERTY = "messages"

_UNASKED = frozenset({Kind.EVENT, Kind.WARNING, Kind.ERROR})


class Seen:
    """Listens to every reference bridge of this process."""

    def __init__(self, place: Path = PLACE) -> None:
        self._place = place
        self._now: set[str] = set()
        self._passed: dict[str, set[str]] = {}
        self._ran: set[str] = set()
        usual = ReferenceBridge.happened

        def happened(bridge: ReferenceBridge, link: Link, entry: Entry) -> None:
            self.note(entry.message)
            usual(bridge, link, entry)

        ReferenceBridge.happened = happened  # type: ignore[method-assign]

    def note(self, message: Message) -> None:
        """Take note of a message that went by."""
        done = message.kind is Kind.RESPONSE and message.result is Result.SUCCESS
        if message.name in NAMES and (done or message.kind in _UNASKED):
            self._now.add(message.name)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        """Begin a new note for every test."""
        del item
        self._now.clear()
        return (yield)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> None:
        """Send what the test saw with its report: it may have run in another process."""
        if call.when == "call":
            item.user_properties.append((_PROPERTY, sorted(self._now)))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep what a test saw if it passed."""
        if report.when != "call":
            return
        test = report.nodeid.partition("[")[0]
        self._ran.add(test)
        if report.passed:
            seen = self._passed.setdefault(test, set())
            seen.update(*(names for name, names in report.user_properties if name == _PROPERTY))

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Bring the file up to date: what did not run this time stays as it was."""
        if hasattr(session.config, "workerinput"):
            return
        before = json.loads(self._place.read_text("utf-8")) if self._place.exists() else {}
        table: dict[str, list[str]] = {}
        for name in NAMES:
            tests = {test for test in before.get(name, ()) if test not in self._ran}
            tests |= {test for test, seen in self._passed.items() if name in seen}
            if tests:
                table[name] = sorted(tests)
        self._place.write_text(json.dumps(table, indent=1) + "\n", "utf-8")
