"""The table of messages and end-to-end tests: complete, and about tests that exist."""

import ast
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from seen import Seen

from connector.bridge import docs
from connector.bridge.catalogue.notices import NOTICES
from connector.bridge.dialect_file import NAMES
from connector.bridge.messages import Kind, Message, Result
from connector.processor.server import ReferenceBridge

ROOT = Path(__file__).parents[2]
REMEDY = "run: make coverage"


def test_every_message_of_the_catalogue_has_an_end_to_end_test() -> None:
    seen = docs.read_seen()
    empty = [name for name in NAMES if not seen.get(name) and name not in docs.NEVER_SENT]
    assert not empty, f"{REMEDY}, or write tests for {', '.join(empty)}"
    assert set(seen) | set(docs.NEVER_SENT) == set(NAMES), REMEDY


def test_the_tests_of_the_table_exist() -> None:
    named = {test for tests in docs.read_seen().values() for test in tests}
    assert named, REMEDY
    defined: set[str] = set()
    for file in {test.partition("::")[0] for test in named}:
        tree = ast.parse((ROOT / file).read_text("utf-8"))
        functions = [
            each for each in ast.walk(tree) if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)
        ]
        defined |= {f"{file}::{each.name}" for each in functions}
    assert named <= defined, f"{REMEDY}: {', '.join(sorted(named - defined))} are gone"


def test_every_warning_and_error_is_in_the_catalogue_and_has_an_end_to_end_test() -> None:
    sent = set()
    for file in (ROOT / "connector/destinations").glob("*.py"):
        for call in ast.walk(ast.parse(file.read_text("utf-8"))):
            if not (isinstance(call, ast.Call) and ast.unparse(call.func).endswith((".warn", "tree.error"))):
                continue
            kind = Kind.WARNING if ast.unparse(call.func).endswith(".warn") else Kind.ERROR
            name, code = (each.value for each in call.args[1:3] if isinstance(each, ast.Constant))
            sent.add((kind, name, code))
    remedy = "say it in connector/bridge/catalogue/notices.py"
    assert sent == {(one.kind, one.name, one.code) for one in NOTICES}, remedy
    tests = "\n".join(file.read_text("utf-8") for file in (ROOT / "tests/e2e").glob("test_*.py"))
    assert [one.code for one in NOTICES if f'"{one.code}"' not in tests] == []


class Report:
    when = "call"

    def __init__(self, nodeid: str, properties: list[tuple[str, object]], *, passed: bool) -> None:
        self.nodeid, self.passed = nodeid, passed
        self.user_properties = properties


def test_only_what_succeeded_in_a_passed_test_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ReferenceBridge, "happened", ReferenceBridge.happened)
    place = tmp_path / "seen.json"
    place.write_text(
        json.dumps({"channel.ready": ["t.py::old", "t.py::good"], "channel.flew": ["t.py::old"]})
    )
    seen = Seen(place)
    ready, fails = "channel.request.ready", "channel.request.dial"

    def went_by(name: str, kind: Kind, result: Result | None = None) -> None:
        seen.note(Message(kind, name, "S.g.c", request_id="1" if result else None, result=result))

    def report(nodeid: str, *, passed: bool) -> Report:
        item = SimpleNamespace(user_properties=[])
        seen.pytest_runtest_makereport(item, SimpleNamespace(when="call"))  # type: ignore[arg-type]
        return Report(nodeid, item.user_properties, passed=passed)

    went_by(ready, Kind.RESPONSE, Result.SUCCESS)
    went_by(fails, Kind.RESPONSE, Result.FAILURE)
    went_by("channel.request.notready", Kind.REQUEST)
    went_by("phone.unregistered", Kind.WARNING)
    seen.pytest_runtest_logreport(report("t.py::good[1]", passed=True))  # type: ignore[arg-type]
    went_by("channel.activated", Kind.EVENT)
    seen.pytest_runtest_logreport(report("t.py::bad", passed=False))  # type: ignore[arg-type]
    worker = SimpleNamespace(config=SimpleNamespace(workerinput={}))
    seen.pytest_sessionfinish(worker)  # type: ignore[arg-type]
    assert "t.py::old" in place.read_text(), "one of several processes writes nothing"
    seen.pytest_sessionfinish(SimpleNamespace(config=SimpleNamespace()))  # type: ignore[arg-type]
    assert json.loads(place.read_text()) == {
        "channel.ready": ["t.py::old"],
        ready: ["t.py::good"],
        "phone.unregistered": ["t.py::good"],
    }
