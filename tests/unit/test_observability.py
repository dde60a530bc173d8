"""Logs: one line a record, secrets hidden, whoever writes them."""

import asyncio
import io
import json
import logging
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from connector.config import LogFormat, LogLevel, LogSettings, Secret
from connector.observability import bound, clean_text, configure_logging, is_secret


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level, raising = root.handlers[:], root.level, logging.raiseExceptions
    yield
    root.handlers[:], logging.raiseExceptions = handlers, raising
    root.setLevel(level)
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def to(
    stream: io.StringIO, form: LogFormat = LogFormat.JSON, level: LogLevel = LogLevel.INFO
) -> structlog.typing.FilteringBoundLogger:
    configure_logging(LogSettings(level=level, format=form), stream=stream)
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger("connector.test")
    return logger


def records(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_record_is_a_json_line() -> None:
    stream = io.StringIO()
    to(stream).info("login", agent="1001", queues=("a", "b"), wait=1.5, held=None, busy=True)
    (record,) = records(stream)
    assert record.pop("timestamp").endswith("Z")
    assert record == {
        "event": "login",
        "level": "info",
        "logger": "connector.test",
        "agent": "1001",
        "queues": ["a", "b"],
        "wait": 1.5,
        "held": None,
        "busy": True,
    }


def test_auto_is_console_on_a_terminal_and_json_elsewhere() -> None:
    terminal, file = Terminal(), io.StringIO()
    to(terminal, LogFormat.AUTO).info("login", agent="1001")
    to(file, LogFormat.AUTO).info("login", agent="1001")
    assert "\x1b[" in terminal.getvalue()
    assert not terminal.getvalue().startswith("{")
    assert records(file)[0]["agent"] == "1001"


@pytest.mark.parametrize("form", [LogFormat.JSON, LogFormat.CONSOLE])
def test_never_more_than_one_line(form: LogFormat) -> None:
    stream = io.StringIO()
    log = to(stream, form)
    evil = "a\nb\r\nc\u2028d\x1b[2Je\x00\x85\ud800"
    log.info(evil, name=evil, body={evil: [evil]}, raw=evil.encode("utf-8", "replace"), thing=Odd(evil))
    try:
        fail(evil)
    except RuntimeError:
        log.exception("failed")
        logging.getLogger("library").exception("failed %s", evil)
    log.info("where", stack_info=True)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("old\nway", stacklevel=1)
    lines = stream.getvalue().splitlines()
    assert len(lines) == 5
    assert stream.getvalue().count("\n") == 5
    assert not set("\r\x1b\x00\u2028\x85") & set(stream.getvalue())
    assert "RuntimeError" in lines[1]
    assert "RuntimeError" in lines[2]
    assert "test_observability" in lines[3]
    assert "old" in lines[4]


def fail(text: str) -> None:
    raise RuntimeError(text)


class Odd:
    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return f"Odd({self.text})"


class Broken:
    def __repr__(self) -> str:
        raise ValueError("no repr")


@pytest.mark.parametrize("form", [LogFormat.JSON, LogFormat.CONSOLE])
def test_secrets_are_hidden_at_any_depth(form: LogFormat) -> None:
    stream = io.StringIO()
    log = to(stream, form)
    log.info(
        "in",
        password="hunter2",
        agentPassword="hunter2",
        body={
            "requestingAgentPassword": "hunter2",
            "deeper": [{"Secret": "hunter2"}, ("a", {"key": "hunter2"})],
        },
        held=Secret("hunter2"),
        nested={"held": Secret("hunter2")},
        password_hash=b"hunter2",
        headers={"Authorization": "Basic hunter2"},
    )
    log.info("connect amqps://user:hunter2@broker/v", cause=ValueError("Secret: hunter2"))
    logging.getLogger("panoramisk").warning("action %s", {"Action": "Login", "Secret": "hunter2"})
    logging.getLogger("panoramisk").warning("action Action: Login\r\nSecret: hunter2\r\n")
    logging.getLogger("yarl").warning("lost %r", "amqp://u:hunter2@h")
    try:
        fail("password=hunter2, token: 'hunter2'")
    except RuntimeError:
        log.exception("failed")
    assert stream.getvalue().count("\n") == 6
    assert "hunter2" not in stream.getvalue()
    assert stream.getvalue().count("***") >= 13


def test_what_is_no_secret_stays() -> None:
    stream = io.StringIO()
    to(stream).info(
        "in", routing_key="LAB.#", monkey="m", keypad="k", secret=None, hashtag="h", number="0441"
    )
    (record,) = records(stream)
    shown = {
        name: record[name] for name in ("routing_key", "monkey", "keypad", "secret", "hashtag", "number")
    }
    assert shown == {
        "routing_key": "LAB.#",
        "monkey": "m",
        "keypad": "k",
        "secret": None,
        "hashtag": "h",
        "number": "0441",
    }


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("agentPassword", True),
        ("api-key", True),
        ("apiKey", True),
        ("KEY", True),
        ("password_hash", True),
        ("accessToken", True),
        ("auth", True),
        ("tones", True),
        ("author", False),
        ("agentId", False),
        ("routing_key", False),
        ("", False),
    ],
)
def test_names_of_secrets(name: str, secret: bool) -> None:
    assert is_secret(name) is secret


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Secret: hunter2", "Secret: ***"),
        ("{'Secret': 'hunter2', 'Action': 'Login'}", "{'Secret': '***', 'Action': 'Login'}"),
        ('{"agentPassword":"hunter2"}', '{"agentPassword":"***"}'),
        ("Authorization: Bearer hunter2", "Authorization: Bearer ***"),
        ("hash $argon2id$v=19$m=1,t=1,p=1$YQ$Yg end", "hash *** end"),
        ("amqps://user:hunter2@broker/v", "amqps://***@broker/v"),
        ("https://example.com/a@b", "https://example.com/a@b"),
        ("the password is wrong", "the password is wrong"),
    ],
)
def test_secrets_in_texts(text: str, shown: str) -> None:
    assert clean_text(text) == shown


def test_records_are_bounded() -> None:
    stream = io.StringIO()
    deep: dict[str, object] = {}
    inner = deep
    for _ in range(500):
        inner["in"] = inner = {}
    loop: list[object] = []
    loop.append(loop)
    to(stream).info("x" * 100_000, deep=deep, loop=loop, many=list(range(10_000)), broken=Broken())
    (record,) = records(stream)
    assert len(stream.getvalue()) < 40_000
    assert record["event"].endswith("(100000 characters)")
    assert record["broken"] == "<Broken: ValueError in repr>"


def test_levels() -> None:
    stream = io.StringIO()
    log = to(stream, level=LogLevel.WARNING)
    log.info("no")
    log.warning("yes")
    logging.getLogger("library").info("no")
    logging.getLogger("library").error("yes")
    assert [record["event"] for record in records(stream)] == ["yes", "yes"]


def test_libraries_are_quiet_unless_debugging() -> None:
    stream = io.StringIO()
    to(stream)
    logging.getLogger("panoramisk").info("no")
    logging.getLogger("aio_pika.connection").info("no")
    logging.getLogger("aiormq.connection").error("no: we tell it once")
    logging.getLogger("panoramisk").warning("yes")
    to(stream, level=LogLevel.DEBUG)
    logging.getLogger("panoramisk").debug("debug")
    assert [record["event"] for record in records(stream)] == ["yes", "debug"]


async def test_bound_fields_belong_to_a_task() -> None:
    stream = io.StringIO()
    log = to(stream)
    both = asyncio.Barrier(2)

    async def one(agent: str) -> None:
        with bound(agent=agent):
            await both.wait()
            log.info("in")
            logging.getLogger("library").warning("in")
        log.info("out")

    await asyncio.gather(one("1001"), one("1002"))
    seen = [(record["event"], record.get("agent")) for record in records(stream)]
    assert sorted(seen, key=str) == sorted(
        [("in", "1001"), ("in", "1001"), ("in", "1002"), ("in", "1002"), ("out", None), ("out", None)],
        key=str,
    )
