"""What may go wrong with a connection to a broker, and in which words it is told."""

import logging

from aio_pika.exceptions import AMQPError

FAULTS = (AMQPError, OSError, EOFError, RuntimeError)
"""What a connection to a broker may fail with; a timeout is an OSError."""


def words(problem: BaseException) -> str:
    """Return a fault as a few words for the log."""
    if isinstance(problem, TimeoutError):
        return "no answer in time"
    return str(problem) or type(problem).__name__


def hush() -> None:
    """Keep the client library from logging every attempt to connect: we tell a loss once."""
    for name in ("aiormq", "aio_pika"):
        logger = logging.getLogger(name)
        if logger.level == logging.NOTSET:
            logger.setLevel(logging.CRITICAL)
