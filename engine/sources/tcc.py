"""TCC.db of iOS -> permission.change: which app was allowed or refused which sensor or data, and when last.

The database keeps the last state of each permission, not its history. Columns and values: read off real files
and Apple's platform documentation of privacy services. The database is held, its rows stream (`database`).
"""

import hashlib
import sqlite3
from collections.abc import Iterator
from typing import Any

from engine.sources import database, device_database
from engine.sources.lines import Input
from engine.sources.records import Record, Refusal, Refused, shown
from engine.sources.resources import resource_of_service

SOURCE = "ios.tcc"
WHAT = "A TCC.db"

MAPPING = {
    "last_modified": "time",  # seconds since 1970
    "service": "permission",  # kTCCServiceMicrophone -> mic
    "client": "app",  # "process" where client_type is not 0
    "auth_value, allowed": "granted",  # 0 refused; 2 and 3 (limited) granted; 1 undecided gives no event
}

GRANTED = {0: False, 2: True, 3: True}
UNDECIDED = 1


def fits(tables: dict[str, frozenset[str]]) -> bool:
    """Whether a database with these tables is a TCC.db."""
    found = tables.get("access", frozenset())
    return found >= {"service", "client", "client_type"} and bool(found & {"auth_value", "allowed"})


def parse(data: bytes, device: str) -> list[dict[str, Any]]:
    """All events of a database at hand. Raises Refused as `device_database.parse` does."""
    return device_database.parse(data, device, WHAT, _rows)


def read(source: Input, name: str, device: str | None) -> Iterator[Record | Refusal]:
    """All rows of a database; origins are "name:access:row number"."""
    return device_database.read(source, name, device, WHAT, _rows, "The database lists no permission.")


def _rows(connection: sqlite3.Connection, device: str) -> Iterator[tuple[str, dict[str, Any] | Refused]]:
    tables = database.columns(connection)
    if not fits(tables):
        raise Refused("unsupported_row", "The database has no table `access` as a TCC.db has.")
    known = tables["access"]
    value = "auth_value" if "auth_value" in known else "allowed"
    changed = "last_modified" if "last_modified" in known else "NULL"
    query = f"SELECT service, client, client_type, {value}, {changed} FROM access"
    for number, row in enumerate(database.rows(connection, query), 1):
        try:
            yield f"access:{number}", _event(row, value, device)
        except Refused as refused:
            yield f"access:{number}", refused


def _event(row: tuple[Any, ...], column: str, device: str) -> dict[str, Any]:
    service, client, client_type, value, changed = row
    name = database.text(service, "service")
    owner = database.text(client, "client")
    if name is None or owner is None:
        raise Refused("missing_field", "The row has no service or no client.")
    time = database.seconds(changed, "last_modified")
    if column == "allowed" and value in (0, 1):
        granted = bool(value)
    elif value == UNDECIDED:
        raise Refused("unsupported_row", "The permission was not decided (auth_value 1).")
    elif isinstance(value, int) and value in GRANTED:
        granted = GRANTED[value]
    else:
        raise Refused("wrong_type", f"{column} is '{shown(value)}', which stands for no decision.")
    is_app = client_type == 0
    parts = (device, name, owner, str(time), str(granted))
    return {
        "kind": "permission.change",
        "device": device,
        "time": time,
        "id": hashlib.blake2b("\0".join(parts).encode("utf-8", "replace"), digest_size=16).hexdigest(),
        "source": SOURCE,
        "quality": "exact",
        "attribution": "app" if is_app else "device",
        "app" if is_app else "process": owner,
        "permission": resource_of_service(name),
        "granted": granted,
    }
