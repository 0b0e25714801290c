"""SQLite files from untrusted devices, opened so that they can be read and can do nothing else.

The whole file is held: SQLite needs to go back and forth in it. What comes out of it streams row by row. From
bytes it is opened in memory (sqlite3_deserialize); from a path it is opened read-only and never written to.
Changes that were still in a separate write-ahead file (-wal) are not seen.
"""

import sqlite3
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from engine.sources import times
from engine.sources.records import Refused, shown

MAGIC = b"SQLite format 3\0"

MAX_DATABASE_BYTES = 64 * 1024 * 1024
"""A larger file is refused, since all of it is held. Real ones of the kinds read here have some hundred
KiB."""

MAX_STEPS = 200_000_000
"""Instructions of SQLite's machine for one file. Reading 64 MiB takes a few million; a table that is a
malicious view would run for ever."""

STEPS_AT_A_TIME = 100_000

COCOA_EPOCH_SECONDS = 978_307_200
"""2001-01-01T00:00:00Z, from which Apple's databases count."""


def open_bytes(data: bytes) -> sqlite3.Connection:
    """The database that `data` is. Raises Refused "document_too_large", "malformed_database"."""
    if len(data) > MAX_DATABASE_BYTES:
        raise too_large()
    # Two bytes of the header say that there is a write-ahead file; a database in memory cannot have one.
    if data[18:20] == b"\x02\x02":
        data = data[:18] + b"\x01\x01" + data[20:]
    connection = sqlite3.connect(":memory:")
    try:
        connection.deserialize(data)
        return _hardened(connection)
    except sqlite3.Error as error:
        connection.close()
        raise unreadable(error) from None


def open_path(path: Path) -> sqlite3.Connection:
    """The database in a file, read-only. Raises Refused "malformed_database"."""
    try:
        return _hardened(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True))
    except sqlite3.Error as error:
        raise unreadable(error) from None


def columns(connection: sqlite3.Connection) -> dict[str, frozenset[str]]:
    """The columns of every real table. Views and virtual tables are left out: they could run code.

    Raises Refused "malformed_database".
    """
    try:
        names = [
            name
            for name, text in connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'")
            if isinstance(name, str) and isinstance(text, str) and "VIRTUAL" not in text[:40].upper()
        ]
        return {
            name: frozenset(
                str(row[0]) for row in connection.execute("SELECT name FROM pragma_table_info(?)", (name,))
            )
            for name in names
        }
    except sqlite3.Error as error:
        raise unreadable(error) from None


def rows(connection: sqlite3.Connection, query: str) -> Iterator[tuple[Any, ...]]:
    """The rows of a query. Raises Refused "malformed_database" where the file is damaged."""
    try:
        yield from connection.execute(query)
    except sqlite3.Error as error:
        raise unreadable(error) from None


def cocoa_time(value: object, name: str) -> int:
    """Seconds since 2001 in epoch milliseconds, cut.

    Raises Refused: "missing_field" for NULL, "wrong_type" when it is no number, "bad_time".
    """
    return seconds(value, name, COCOA_EPOCH_SECONDS)


def seconds(value: object, name: str, epoch: int = 0) -> int:
    """Seconds since `epoch` in epoch milliseconds, cut. Raises as `cocoa_time`."""
    if value is None:
        raise Refused("missing_field", f"The row has no {name}.")
    if not isinstance(value, int | float) or value != value:
        raise Refused("wrong_type", f"{name} is '{shown(value)}', not a number of seconds.")
    if not abs(value) < 10**12:
        raise Refused("bad_time", f"{name} is '{shown(value)}', which lies before 1970 or after 9999.")
    # The shortest digits of the number, and not its binary value, which may lie below the millisecond.
    return times.checked(int((Decimal(repr(value)) + epoch).scaleb(3)), value)


def text(value: object, name: str) -> str | None:
    """A text column; NULL and empty are None. Raises Refused "wrong_type"."""
    if value in (None, ""):
        return None
    if isinstance(value, str):
        return value
    raise Refused("wrong_type", f"{name} is '{shown(value)}', not a text.")


def too_large() -> Refused:
    """Why a database above the limit is not read."""
    return Refused("document_too_large", f"The database is larger than {MAX_DATABASE_BYTES} bytes.")


def unreadable(error: Exception) -> Refused:
    """Why a database is not read."""
    return Refused("malformed_database", f"SQLite cannot read it: {shown(error, 200)}.")


def _hardened(connection: sqlite3.Connection) -> sqlite3.Connection:
    """Nothing in the schema may run, and nothing runs for ever."""
    left = MAX_STEPS // STEPS_AT_A_TIME

    def counted() -> int:
        nonlocal left
        left -= 1
        return left < 0

    connection.set_progress_handler(counted, STEPS_AT_A_TIME)
    # Bytes that are not UTF-8 in a text must not stop the reading of all other rows.
    connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA cell_size_check = ON")
    connection.execute("PRAGMA query_only = ON")
    connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    return connection
