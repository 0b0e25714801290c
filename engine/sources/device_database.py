"""What the SQLite sources have in common: a file of one device that does not say which, read row by row.

A source gives what it is called and a function from an open database to its events, each with the place
of its row in the file.
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

from engine.sources import database
from engine.sources.lines import MAX_NAME_CHARACTERS, Input
from engine.sources.records import Record, Refusal, Refused, missing_device, shown
from engine.sources.whole import whole

Rows = Callable[[sqlite3.Connection, str], Iterator[tuple[str, dict[str, Any] | Refused]]]
"""The events of an open database and a device. Raises Refused "unsupported_row" for another database."""


def parse(data: bytes, device: str, what: str, rows: Rows) -> list[dict[str, Any]]:
    """All events of a database at hand; `what` is "A TCC.db".

    Raises Refused: "missing_device", "malformed_database", "document_too_large", what `rows` raises, and the
    first refusal of a row.
    """
    if not device:
        raise missing_device(what)
    events = []
    with closing(database.open_bytes(data)) as connection:
        for _, found in rows(connection, device):
            if isinstance(found, Refused):
                raise found
            events.append(found)
    return events


def read(
    source: Input, name: str, device: str | None, what: str, rows: Rows, empty: str
) -> Iterator[Record | Refusal]:
    """All rows of a database; `empty` says in a sentence that there are none."""
    origin = shown(name, MAX_NAME_CHARACTERS)
    if not device:
        yield missing_device(what).at(origin)
        return
    try:
        with closing(database.open_bytes(whole(source, database.MAX_DATABASE_BYTES))) as connection:
            found_any = False
            for row, found in rows(connection, device):
                found_any = True
                where = f"{origin}:{row}"
                if isinstance(found, Refused):
                    yield found.at(where)
                else:
                    yield Record(found | {"raw_ref": where}, where)
            if not found_any:
                yield Refusal(origin, "unsupported_row", empty)
    except Refused as refused:
        yield refused.at(origin)
