"""Checkpoints in a SQLite file, written on a thread of its own.

One transaction a checkpoint: the devices that have changed, what belongs to no device, and the mark. The file
is in WAL mode, so ``thenwire state inspect`` can read it while the service writes, and every transaction is
written through to the disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from heapq import merge
from itertools import chain, islice
from operator import itemgetter
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from engine.service.checkpoints.model import (
    Checkpoint,
    DamagedStateError,
    Mark,
    Saved,
    StoreUnavailableError,
    check_format,
)
from engine.service.connection import Connection
from engine.service.errors import ServiceError

APPLICATION_ID: Final = 0x7468656E
"""In the header of the file, so that another program's database is recognised as such (bytes 68 to 71)."""
_BUSY_SECONDS: Final = 2.0
_SORTED_AT_ONCE: Final = 4_000
"""Devices that are sorted in one call, which takes some milliseconds."""
_ROWS_IN_A_STATEMENT: Final = 200
"""SQLite allows 999 values in a statement, older ones at least."""
_Result = TypeVar("_Result")

_TABLES: Final = (
    "CREATE TABLE IF NOT EXISTS checkpoint (one INTEGER PRIMARY KEY CHECK (one = 1), generation INTEGER NOT "
    "NULL, mark TEXT NOT NULL, shared BLOB NOT NULL)",
    "CREATE TABLE IF NOT EXISTS devices (device BLOB PRIMARY KEY, state BLOB NOT NULL) WITHOUT ROWID",
)
_READABLE: Final = {
    "SQLITE_FULL": "the disk is full",
    "SQLITE_BUSY": "another program has it locked",
    "SQLITE_LOCKED": "another program has it locked",
    "SQLITE_READONLY": "it may not be written to",
    "SQLITE_CANTOPEN": "it cannot be opened",
    "SQLITE_PERM": "it may not be opened",
    "SQLITE_NOMEM": "there is no memory left",
}
_DAMAGED: Final = ("SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_FORMAT")


class SqliteStore:
    """One file. ``readonly`` opens it only to look at it."""

    def __init__(self, path: Path, *, readonly: bool = False) -> None:
        self._path = path
        self._readonly = readonly
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="thenwire-state")
        self._database: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None

    @property
    def name(self) -> str:
        """See `StateStore`."""
        return f"the file {self._path}"

    async def open(self, connection: Connection | None) -> None:
        """See `StateStore`. The connection to NATS is not used."""
        await self._do(self._open)

    async def load(self) -> Saved | None:
        """See `StateStore`."""
        return await self._do(self._load)

    async def commit(self, checkpoint: Checkpoint) -> None:
        """See `StateStore`."""
        await self._do(lambda: self._commit(checkpoint))

    async def reset(self) -> None:
        """See `StateStore`."""
        await self._do(self._reset)

    async def close(self) -> None:
        """See `StateStore`."""
        with contextlib.suppress(Exception):
            await self._do(self._close)
        self._thread.shutdown(wait=False)

    async def _do(self, work: Callable[[], _Result]) -> _Result:
        """Run ``work`` on the thread. What is begun is finished even if nobody waits for it any more."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._guarded, work)

    def _guarded(self, work: Callable[[], _Result]) -> _Result:
        try:
            return work()
        except sqlite3.Error as error:
            # Whatever went wrong, the next attempt begins with the file as it is on the disk.
            self._close()
            raise self._said(error) from None
        except OSError as error:
            self._close()
            raise StoreUnavailableError((error.strerror or str(error)).lower()) from None

    def _said(self, error: sqlite3.Error) -> Exception:
        code: str = getattr(error, "sqlite_errorname", "") or ""
        family = "_".join(code.split("_")[:2])
        if family in _DAMAGED:
            return DamagedStateError(self.name)
        if family in _READABLE:
            return StoreUnavailableError(_READABLE[family])
        if family == "SQLITE_IOERR":
            return StoreUnavailableError(f"the disk reports an error ({code})")
        return StoreUnavailableError(f"{error}")

    def _open(self) -> sqlite3.Connection:
        if self._database is not None:
            return self._database
        if not self._readonly:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        elif not self._path.is_file():
            raise ServiceError(f"There is no file {self._path}.")
        uri = self._path.absolute().as_uri() + ("?mode=ro" if self._readonly else "?mode=rwc")
        if not self._path.exists():
            # Device ids and what they did are nobody else's business.
            os.close(os.open(self._path, os.O_CREAT | os.O_WRONLY, 0o600))
        database = sqlite3.connect(
            uri, uri=True, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        self._database = database
        owner = database.execute("PRAGMA application_id").fetchone()[0]
        tables = database.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
        if owner != APPLICATION_ID and (tables or self._readonly):
            self._close()
            raise DamagedStateError(self.name)
        if not self._readonly:
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = FULL")
            database.execute("PRAGMA journal_size_limit = 67108864")
            self._try_to_write(database, owner)
        self._see_file()
        return database

    def _try_to_write(self, database: sqlite3.Connection, owner: int) -> None:
        """One that may not write shall learn it now and not at the first checkpoint."""
        database.execute("BEGIN IMMEDIATE")
        try:
            for statement in _TABLES:
                database.execute(statement)
            database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            database.execute("COMMIT")
        except sqlite3.OperationalError as error:
            if owner != APPLICATION_ID or error.sqlite_errorname != "SQLITE_FULL":
                raise
            # A state that exists is gone on from, and what comes next waits for room.
            with contextlib.suppress(sqlite3.Error):
                database.execute("ROLLBACK")

    def _see_file(self) -> None:
        """A file that was removed is still written to, and nobody would ever find that."""
        try:
            found = os.stat(self._path)
        except FileNotFoundError:
            found = None
        identity = None if found is None else (found.st_dev, found.st_ino)
        if self._identity is None:
            self._identity = identity
        if identity is None or identity != self._identity:
            self._close()
            raise ServiceError(
                f"The state file {self._path} was removed or replaced while thenwire was running; start it "
                "again."
            )

    def _load(self) -> Saved | None:
        database = self._open()
        # In one transaction, so that a service that writes meanwhile does not mix two checkpoints.
        database.execute("BEGIN")
        try:
            row = database.execute("SELECT mark, shared FROM checkpoint").fetchone()
            if row is None:
                return None
            mark = self._mark(row[0])
            devices = [
                (bytes(device).decode("utf-8", "surrogatepass"), bytes(state))
                for device, state in database.execute("SELECT device, state FROM devices ORDER BY device")
            ]
        finally:
            with contextlib.suppress(sqlite3.Error):
                database.execute("ROLLBACK")
        return Saved(mark, bytes(row[1]), devices)

    def _mark(self, text: str) -> Mark:
        try:
            mark = msgspec.json.decode(text, type=Mark)
        except msgspec.MsgspecError:
            raise DamagedStateError(self.name) from None
        check_format(mark, self.name)
        return mark

    def _commit(self, checkpoint: Checkpoint) -> None:
        mark = checkpoint.mark
        if self._database is None:
            self._identity_must_stay()
        database = self._open()
        self._see_file()
        self._empty_log(database, checkpoint)
        database.execute("BEGIN IMMEDIATE")
        try:
            row = database.execute("SELECT generation, mark FROM checkpoint").fetchone()
            text = msgspec.json.encode(mark).decode()
            if row is not None and row[1] == text:
                # An attempt before was written though it failed at the end.
                return
            if (0 if row is None else row[0]) != mark.generation - 1:
                raise ServiceError(
                    f"Another thenwire has written to {self.name} meanwhile; give each one a state of its "
                    "own."
                )
            _write(database, checkpoint.devices)
            database.execute(
                "INSERT OR REPLACE INTO checkpoint VALUES (1, ?, ?, ?)",
                (mark.generation, text, checkpoint.shared),
            )
            database.execute("COMMIT")
        finally:
            if database.in_transaction:
                with contextlib.suppress(sqlite3.Error):
                    database.execute("ROLLBACK")

    def _empty_log(self, database: sqlite3.Connection, checkpoint: Checkpoint) -> None:
        """Bring what is in SQLite's log into the file, after which the log is used from its beginning again.

        Whoever reads the file meanwhile keeps it from that, and the log grows. It must not take the last of
        the disk: the file could then never grow to take in what is in the log, and nothing could be stored
        again, however small the state is.
        """
        _, logged, emptied = database.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        if logged == emptied:
            return
        page = database.execute("PRAGMA page_size").fetchone()[0]
        pages = database.execute("PRAGMA page_count").fetchone()[0]
        owed = max(0, pages * page - self._path.stat().st_size)
        devices = checkpoint.devices
        new = len(checkpoint.shared) + sum(len(name) + len(state or b"") for name, state in devices.items())
        # Each device may stand on a page of its own, which goes into the log as a whole.
        log = new + min(len(devices), pages) * page
        if shutil.disk_usage(self._path.parent).free < owed + new + log:
            raise StoreUnavailableError(_READABLE["SQLITE_FULL"])

    def _identity_must_stay(self) -> None:
        """Opening again makes a missing file anew, which would lack all that was stored before."""
        if self._identity is not None and not self._path.exists():
            self._see_file()

    def _reset(self) -> None:
        database = self._open()
        database.execute("BEGIN IMMEDIATE")
        database.execute("DELETE FROM checkpoint")
        database.execute("DELETE FROM devices")
        database.execute("COMMIT")

    def _close(self) -> None:
        if self._database is not None:
            with contextlib.suppress(sqlite3.Error):
                self._database.close()
            self._database = None


def _write(database: sqlite3.Connection, devices: dict[str, bytes | None]) -> None:
    """Write what has changed, in the order of the table: in any other, most of its pages are read and written
    several times.

    The event loop goes on meanwhile, and Python runs one thread at a time. So nothing here is one long call
    into C, and a statement has many rows: each means to wait once until the loop lets this thread go on.
    """
    rows = ((_key(device), state) for device, state in devices.items())
    runs = []
    while run := sorted(islice(rows, _SORTED_AT_ONCE), key=_device):
        runs.append(run)
    in_order = merge(*runs, key=_device)
    while some := list(islice(in_order, _ROWS_IN_A_STATEMENT)):
        kept = [row for row in some if row[1] is not None]
        if kept:
            values = ", ".join(["(?, ?)"] * len(kept))
            database.execute(
                f"INSERT INTO devices VALUES {values} "
                "ON CONFLICT (device) DO UPDATE SET state = excluded.state",
                list(chain.from_iterable(kept)),
            )
        if len(kept) < len(some):
            gone = [row[0] for row in some if row[1] is None]
            marks = ", ".join("?" * len(gone))
            database.execute(f"DELETE FROM devices WHERE device IN ({marks})", gone)


_device = itemgetter(0)


def _key(device: str) -> bytes:
    # JSON can carry half a surrogate pair, which SQLite's text cannot.
    return device.encode("utf-8", "surrogatepass")
