"""Logs: one line a record, on standard error, UTC, without secrets - ours and those of the libraries."""

import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Final, TextIO

import structlog

from connector.about import ABOUT
from connector.config import LogFormat, LogSettings, Secret

if TYPE_CHECKING:
    from structlog.typing import Processor

HIDDEN: Final = "***"
_SECRET_PARTS: Final = ("password", "passwd", "passphrase", "secret", "token", "authorization", "credential")
_SECRET_WORDS: Final = frozenset({"key", "hash", "auth", "cookie", "pwd", "tones"})
_NOT_SECRET: Final = frozenset({"routing_key", "key_path", "body_key", "event_key"})
_WORDS: Final = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])")

_IN_TEXT: Final = re.compile(
    r"""(?ix)
    ( \b (?: \w*password | \w*passwd | \w*secret | \w*token | authorization | credentials? | password_hash )
      ["']? \s* [:=] \s* ["']? (?: (?:basic|bearer) \s+ )? )
    ( [^\s"',;}&]+ )
    """
)
_IN_URL: Final = re.compile(r"(?i)\b([a-z][a-z0-9+.-]{0,20}://)[^\s/@\"']+@")
_ARGON2: Final = re.compile(r"\$argon2[a-z]{1,2}\$[A-Za-z0-9+/=,$]+")
_CONTROLS: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")

_LONGEST: Final = 8000
_DEEPEST: Final = 6
_MOST_ITEMS: Final = 100
_QUIET: Final = ("panoramisk", "aio_pika", "aiormq", "asyncio")
"""Loggers of libraries that tell what we tell better: warnings only, except at level `debug`."""
_SILENT: Final = ("aio_pika", "aiormq")
"""Of these not even errors: each attempt to connect is one, while we say "lost" and "back" once."""


def configure_logging(settings: LogSettings, *, stream: TextIO | None = None) -> None:
    """Send every record of structlog, logging and warnings to `stream` (standard error) as one line each.

    May be called again, with other settings.
    """
    target = stream if stream is not None else sys.stderr
    level = logging.getLevelNamesMapping()[settings.level.upper()]
    tty = target.isatty()
    console = settings.format is LogFormat.CONSOLE or (settings.format is LogFormat.AUTO and tty)
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        spread,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        clean,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    renderers: list[Processor] = (
        [flat, structlog.dev.ConsoleRenderer(colors=tty, pad_event_to=0)]
        if console
        else [structlog.processors.JSONRenderer()]
    )
    handler = logging.StreamHandler(target)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in _QUIET:
        least = logging.CRITICAL if name in _SILENT else logging.WARNING
        logging.getLogger(name).setLevel(logging.NOTSET if level == logging.DEBUG else least)
    # A log that can't be written must not write about it where the log goes.
    logging.raiseExceptions = False
    logging.captureWarnings(capture=True)


def bound(**fields: object) -> AbstractContextManager[None]:
    """Add fields to every record of this task (and the tasks it starts) while the context lasts."""
    return structlog.contextvars.bound_contextvars(**fields)


def spread(_logger: object, _method: str, record: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Put in what a line belongs to (a structlog processor)."""
    about = ABOUT.get()
    if about is not None:
        for key, value in about().items():
            record.setdefault(key, value)
    return record


def clean(_logger: object, _method: str, record: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Hide what looks like a secret, at any depth, and bound the rest (a structlog processor)."""
    for key, value in record.items():
        # structlog's own entries (`_record`, `_from_structlog`) are not part of the line.
        if not key.startswith("_"):
            record[key] = _clean(key, value, 0)
    return record


def is_secret(key: str) -> bool:
    """Return whether a field of that name holds a secret: `agentPassword`, `secret`, `api-key` ..."""
    lower = key.lower().replace("-", "_")
    if lower in _NOT_SECRET:
        return False
    if any(part in lower for part in _SECRET_PARTS):
        return True
    return not _SECRET_WORDS.isdisjoint(word.lower() for word in _WORDS.findall(key))


def clean_text(text: str) -> str:
    """Return a text of bounded length with `password=...`, `user:password@` of URLs and hashes hidden."""
    length = len(text)
    # More than is kept, so that a secret at the cut is still recognised; never all of something huge.
    text = _IN_URL.sub(rf"\1{HIDDEN}@", text[: 2 * _LONGEST])
    text = _ARGON2.sub(HIDDEN, text)
    text = _IN_TEXT.sub(rf"\1{HIDDEN}", text)
    if len(text) > _LONGEST:
        text = f"{text[:_LONGEST]}... ({length} characters)"
    return text


def flat(_logger: object, _method: str, record: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Make a cleaned record printable as one line: JSON escapes by itself, the console does not."""
    for name, inline in (("exception", "traceback"), ("stack", "stack_trace")):
        if name in record:
            lines = str(record.pop(name)).splitlines()
            record[inline] = " | ".join(line.strip() for line in lines)
    for key, value in record.items():
        if isinstance(value, str):
            record[key] = _CONTROLS.sub(_escape, value)
    return record


def _clean(key: str, value: object, depth: int) -> object:
    if value is None or isinstance(value, bool):
        return value
    if is_secret(key) or isinstance(value, Secret):
        return HIDDEN
    if type(value) in {int, float}:
        return value
    if isinstance(value, str):
        return clean_text(value)
    if depth < _DEEPEST:
        if isinstance(value, Mapping):
            some = list(value.items())[:_MOST_ITEMS]
            return {clean_text(str(name)): _clean(str(name), one, depth + 1) for name, one in some}
        if isinstance(value, list | tuple | set | frozenset):
            return [_clean("", one, depth + 1) for one in list(value)[:_MOST_ITEMS]]
    return clean_text(_repr(value))


def _repr(value: object) -> str:
    try:
        return str(value) if isinstance(value, BaseException) else repr(value)
    except Exception as error:  # noqa: BLE001 - a record must not fail for what it tells about
        return f"<{type(value).__name__}: {type(error).__name__} in repr>"


def _escape(match: re.Match[str]) -> str:
    return match.group().encode("unicode_escape", "surrogatepass").decode()
