"""The ledger's rows in an SQLite file of our own: written in a thread, in WAL mode, by one process only."""

import asyncio
import os
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import structlog

from connector.bridge.ledger import Batch

log = structlog.get_logger(__name__)

SCHEMA = 1
"""Version of the file (`user_version`)."""

_PROCESSOR = "meta/processor"


class StoreError(Exception):
    """The file cannot be used. The text is one sentence that says how to mend it."""


class StoreFile:
    """Rows of one processor. A file that is broken is put aside, and the rows begin anew."""

    def __init__(self, path: Path, processor: str) -> None:
        """Open or make the file, readable for its owner only.

        Raises:
            StoreError: another process has it, it is another processor's or a newer version's, or no file
                can be there.

        """
        self._path = path
        self._processor = processor
        self._thread = ThreadPoolExecutor(1, "ledger")
        try:
            self._open()
        except sqlite3.OperationalError as problem:
            raise StoreError(_words(path, problem)) from None
        except sqlite3.DatabaseError as problem:
            aside = path.with_name(f"{path.name}.broken")
            log.exception("the state cannot be read; beginning anew", file=str(path), aside=str(aside))
            self._db.close()
            try:
                path.replace(aside)
                for rest in ("-wal", "-shm"):
                    path.with_name(path.name + rest).unlink(missing_ok=True)
                self._open()
            except (OSError, sqlite3.Error):
                raise StoreError(_words(path, problem)) from None

    def load(self) -> dict[str, bytes]:
        """Return all rows."""
        found = self._db.execute("SELECT key, value FROM rows WHERE key <> ?", (_PROCESSOR,))
        return {str(key): bytes(value) for key, value in found}

    async def write(self, batch: Batch) -> None:
        """Write a batch, all of it or nothing. Raises OSError if that fails."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._write, dict(batch))

    async def close(self) -> None:
        """Close the file."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._db.close)
        self._thread.shutdown()

    def _open(self) -> None:
        try:
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        except OSError as problem:
            raise StoreError(f'The file "{self._path}" cannot be made: {problem.strerror}.') from None
        self._db = sqlite3.connect(self._path, timeout=0.5, isolation_level=None, check_same_thread=False)
        # Locked by us alone: a process that was killed leaves no lock behind.
        self._db.execute("PRAGMA locking_mode = EXCLUSIVE")
        self._db.execute("PRAGMA journal_mode = WAL")
        # Safe against the death of the process; a power cut may cost the latest batches, never the file.
        self._db.execute("PRAGMA synchronous = NORMAL")
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version > SCHEMA:
            raise StoreError(f'The file "{self._path}" was made by a newer version of the connector.')
        self._db.execute("BEGIN IMMEDIATE")
        self._db.execute("CREATE TABLE IF NOT EXISTS rows (key TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID")
        self._db.execute(f"PRAGMA user_version = {SCHEMA}")
        self._db.execute("INSERT OR IGNORE INTO rows VALUES (?, ?)", (_PROCESSOR, self._processor.encode()))
        self._db.execute("COMMIT")
        (whose,) = self._db.execute("SELECT value FROM rows WHERE key = ?", (_PROCESSOR,)).fetchone()
        if bytes(whose).decode() != self._processor:
            raise StoreError(f'The file "{self._path}" is that of the processor {bytes(whose).decode()}.')

    def _write(self, batch: dict[str, bytes | None]) -> None:
        gone = [(key,) for key, value in batch.items() if value is None]
        here = [(key, value) for key, value in batch.items() if value is not None]
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                self._db.executemany("DELETE FROM rows WHERE key = ?", gone)
                self._db.executemany("INSERT OR REPLACE INTO rows VALUES (?, ?)", here)
                self._db.execute("COMMIT")
            except sqlite3.Error:
                self._db.execute("ROLLBACK")
                raise
        except sqlite3.Error as problem:
            raise OSError(str(problem)) from problem


def _words(path: Path, problem: sqlite3.Error) -> str:
    if "locked" in str(problem):
        return f'The file "{path}" is used by another process: give each connector a file of its own.'
    return f'The file "{path}" cannot be used: {problem}.'
