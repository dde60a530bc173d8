"""The ledger's rows in an SQLite file of our own: written in a thread, in WAL mode, by one process only."""

import asyncio
import errno
import os
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import structlog

from connector.bridge.ledger import Batch, unpacked

log = structlog.get_logger(__name__)

SCHEMA = 1
"""Version of the file (`user_version`)."""

_PROCESSOR = "meta/processor"


class StoreError(Exception):
    """The file cannot be used. The text is one sentence that says how to mend it.

    `may_pass`: that may be otherwise in a while (somebody reads the file, the disk is full).
    """

    def __init__(self, text: str, *, may_pass: bool = False) -> None:
        super().__init__(text)
        self.may_pass = may_pass


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
        self._db: sqlite3.Connection | None = None
        self._rows: dict[str, bytes] = {}
        try:
            self._open_or_put_aside()
        except sqlite3.Error as problem:
            self._give_up()
            may_pass = isinstance(problem, sqlite3.OperationalError)
            raise StoreError(_words(path, problem), may_pass=may_pass) from None
        except OSError as problem:
            words = f'The file "{path}" cannot be replaced: {problem.strerror}.'
            raise StoreError(words, may_pass=problem.errno == errno.ENOSPC) from None
        except StoreError:
            self._give_up()
            raise

    def load(self) -> dict[str, bytes]:
        """Return all rows that were there when the file was opened."""
        rows, self._rows = self._rows, {}
        return rows

    async def write(self, batch: Batch) -> None:
        """Write a batch, all of it or nothing. Raises OSError if that fails."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._write, dict(batch))

    async def close(self) -> None:
        """Close the file."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._give_up)
        self._thread.shutdown()

    def _open_or_put_aside(self) -> None:
        try:
            self._open()
            self._rows = self._read()
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError as problem:
            aside = self._path.with_name(f"{self._path.name}.broken")
            log.error(  # noqa: TRY400 - where it was found broken says nothing
                "the state cannot be read; beginning anew", file=str(self._path), problem=str(problem)
            )
            self._give_up()
            self._path.replace(aside)
            for rest in ("-wal", "-shm"):
                self._path.with_name(self._path.name + rest).unlink(missing_ok=True)
            self._open()

    def _give_up(self) -> None:
        if self._db is not None:
            self._db.close()

    @property
    def _open_db(self) -> sqlite3.Connection:
        if self._db is None:
            raise sqlite3.ProgrammingError("the file is not open")
        return self._db

    def _open(self) -> None:
        try:
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        except OSError as problem:
            words = f'The file "{self._path}" cannot be made: {problem.strerror}.'
            raise StoreError(words, may_pass=problem.errno == errno.ENOSPC) from None
        db = self._db = sqlite3.connect(
            self._path, timeout=0.5, isolation_level=None, check_same_thread=False
        )
        # Locked by us alone: a process that was killed leaves no lock behind.
        db.execute("PRAGMA locking_mode = EXCLUSIVE")
        db.execute("PRAGMA journal_mode = WAL")
        # Safe against the death of the process; a power cut may cost the latest batches, never the file.
        db.execute("PRAGMA synchronous = NORMAL")
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if version > SCHEMA:
            raise StoreError(f'The file "{self._path}" was made by a newer version of the connector.')
        db.execute("BEGIN IMMEDIATE")
        db.execute("CREATE TABLE IF NOT EXISTS rows (key TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID")
        db.execute(f"PRAGMA user_version = {SCHEMA}")
        db.execute("INSERT OR IGNORE INTO rows VALUES (?, ?)", (_PROCESSOR, self._processor.encode()))
        db.execute("COMMIT")
        (whose,) = db.execute("SELECT value FROM rows WHERE key = ?", (_PROCESSOR,)).fetchone()
        if bytes(whose).decode() != self._processor:
            raise StoreError(f'The file "{self._path}" is that of the processor {bytes(whose).decode()}.')

    def _read(self) -> dict[str, bytes]:
        """Return all rows. Raises sqlite3.DatabaseError if one of them is broken."""
        rows: dict[str, bytes] = {}
        found = self._open_db.execute("SELECT key, value FROM rows WHERE key <> ?", (_PROCESSOR,))
        for key, value in found:
            try:
                unpacked(value)
            except (ValueError, TypeError, RecursionError):
                raise sqlite3.DatabaseError(f"the row {str(key)!r} is no JSON") from None
            rows[str(key)] = bytes(value)
        return rows

    def _write(self, batch: dict[str, bytes | None]) -> None:
        db = self._open_db
        gone = [(key,) for key, value in batch.items() if value is None]
        here = [(key, value) for key, value in batch.items() if value is not None]
        try:
            db.execute("BEGIN IMMEDIATE")
            try:
                db.executemany("DELETE FROM rows WHERE key = ?", gone)
                db.executemany("INSERT OR REPLACE INTO rows VALUES (?, ?)", here)
                db.execute("COMMIT")
            except sqlite3.Error:
                db.execute("ROLLBACK")
                raise
        except sqlite3.Error as problem:
            raise OSError(str(problem)) from problem


def _words(path: Path, problem: sqlite3.Error) -> str:
    if "locked" in str(problem):
        return f'The file "{path}" is used by another process: give each connector a file of its own.'
    return f'The file "{path}" cannot be used: {problem}.'
