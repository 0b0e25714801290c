"""DataUsage.sqlite and netusage.sqlite of iOS -> net.flow: which process used the network when, and how much.

Apple documents neither; the layout is read off real files. The database is held, its rows stream
(`database`). The tables read are ZPROCESS and ZLIVEUSAGE; others of the file give nothing.
"""

import hashlib
import re
import sqlite3
from collections.abc import Iterator
from typing import Any

from engine.sources import database, device_database
from engine.sources.lines import Input
from engine.sources.records import Record, Refusal, Refused, shown

SOURCE = "ios.netusage"
WHAT = "The database"

PROCESS_MAPPING = {
    "ZFIRSTTIMESTAMP": "time",  # of the first event
    "ZTIMESTAMP": "time",  # of the last event
    "ZBUNDLENAME": "app",
    "ZPROCNAME": "process",
}
"""ZPROCESS: the first and the last time that a process used the network, as two events."""

USAGE_MAPPING = {
    "ZLIVEUSAGE.ZTIMESTAMP": "start",
    "ZPROCESS.ZTIMESTAMP": "time",
    "ZWIFIOUT, ZWWANOUT, ZWIREDOUT": "bytes_out",  # their sum
    "ZWIFIIN, ZWWANIN, ZWIREDIN": "bytes_in",  # newer systems lack some of the columns
}
"""ZLIVEUSAGE: bytes of a process since `start`, as one interval."""

NEEDED = {"ZPROCESS": {"Z_PK", "ZFIRSTTIMESTAMP", "ZTIMESTAMP", "ZPROCNAME"}}
USAGE_NEEDED = {"Z_PK", "ZHASPROCESS", "ZTIMESTAMP"}
BYTES_OUT = ("ZWIFIOUT", "ZWWANOUT", "ZWIREDOUT")
BYTES_IN = ("ZWIFIIN", "ZWWANIN", "ZWIREDIN")

_UUID = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}", re.ASCII)


def fits(tables: dict[str, frozenset[str]]) -> bool:
    """Whether a database with these tables is one of the two."""
    return all(tables.get(table, frozenset()) >= needed for table, needed in NEEDED.items())


def parse(data: bytes, device: str) -> list[dict[str, Any]]:
    """All events of a database at hand. Raises Refused as `device_database.parse` does."""
    return device_database.parse(data, device, WHAT, _rows)


def read(source: Input, name: str, device: str | None) -> Iterator[Record | Refusal]:
    """All rows of a database; origins are "name:TABLE:primary key"."""
    return device_database.read(source, name, device, WHAT, _rows, "The database lists no process.")


def process_name(text: str | None) -> str | None:
    """The process in a ZPROCNAME: "apsd" in "apsd/com.apple.datausage.push" (what it worked for follows), and
    what follows in "<UUID>/com.apple.tv", where an identifier stands in place of a process."""
    head, slash, rest = (text or "").partition("/")
    return (rest if slash and _UUID.fullmatch(head) else head) or None


def _rows(connection: sqlite3.Connection, device: str) -> Iterator[tuple[str, dict[str, Any] | Refused]]:
    tables = database.columns(connection)
    if not fits(tables):
        raise Refused("unsupported_row", "The database has no table ZPROCESS as DataUsage and netusage have.")
    bundle = "ZBUNDLENAME" if "ZBUNDLENAME" in tables["ZPROCESS"] else "NULL"
    query = f"SELECT Z_PK, ZFIRSTTIMESTAMP, ZTIMESTAMP, {bundle}, ZPROCNAME FROM ZPROCESS ORDER BY Z_PK"
    for row in database.rows(connection, query):
        origin = f"ZPROCESS:{shown(row[0])}"
        try:
            for event in _process(row, device):
                yield origin, event
        except Refused as refused:
            yield origin, refused
    usage = tables.get("ZLIVEUSAGE", frozenset())
    if not usage >= USAGE_NEEDED:
        return
    sums = [
        ", ".join(f"l.{column}" if column in usage else "NULL" for column in some)
        for some in (BYTES_OUT, BYTES_IN)
    ]
    owner = "p.ZBUNDLENAME" if bundle != "NULL" else bundle
    query = (
        f"SELECT l.Z_PK, l.ZTIMESTAMP, p.ZTIMESTAMP, {owner},"
        f" p.ZPROCNAME, {sums[0]}, {sums[1]}"
        " FROM ZLIVEUSAGE l LEFT JOIN ZPROCESS p ON p.Z_PK = l.ZHASPROCESS ORDER BY l.Z_PK"
    )
    for row in database.rows(connection, query):
        origin = f"ZLIVEUSAGE:{shown(row[0])}"
        try:
            yield origin, _usage(row, device)
        except Refused as refused:
            yield origin, refused


def _process(row: tuple[Any, ...], device: str) -> Iterator[dict[str, Any]]:
    key, first, last, bundle, name = row
    last_time = database.cocoa_time(last, "ZTIMESTAMP")
    first_time = last_time if first is None else database.cocoa_time(first, "ZFIRSTTIMESTAMP")
    # Some rows of real files have them the wrong way round, by milliseconds.
    begin, end = min(first_time, last_time), max(first_time, last_time)
    for time in (begin, end) if begin < end else (end,):
        yield _event(device, time, bundle, name) | {
            "id": _id(device, "ZPROCESS", str(key), str(name), str(time)),
            "quality": "first_last",
        }


def _usage(row: tuple[Any, ...], device: str) -> dict[str, Any]:
    key, start, last, bundle, name, *numbers = row
    begin = database.cocoa_time(start, "ZTIMESTAMP")
    # A process row that was deleted leaves its usage behind: the moment is known, the interval is not.
    end = begin if last is None else database.cocoa_time(last, "ZPROCESS.ZTIMESTAMP")
    event = _event(device, max(begin, end), bundle, name)
    event["id"] = _id(device, "ZLIVEUSAGE", str(key), str(name), str(begin), str(end))
    if end > begin:
        event |= {"start": begin, "quality": "interval"}
    else:
        event["quality"] = "first_last"
    for field, some in (("bytes_out", numbers[:3]), ("bytes_in", numbers[3:])):
        total = _sum(some)
        if total is not None:
            event[field] = total
    return event


def _event(device: str, time: int, bundle: object, name: object) -> dict[str, Any]:
    app = database.text(bundle, "ZBUNDLENAME")
    process = process_name(database.text(name, "ZPROCNAME"))
    event: dict[str, Any] = {
        "kind": "net.flow",
        "device": device,
        "time": time,
        "source": SOURCE,
        "attribution": "app" if app else "device",
    }
    if app:
        event["app"] = app
    if process:
        event["process"] = process
    return event


def _sum(values: list[object]) -> int | None:
    """Bytes, which the database keeps as numbers with a fraction of zero."""
    known = [value for value in values if value is not None]
    if not known:
        return None
    total = 0
    for value in known:
        if not isinstance(value, int | float) or not 0 <= value < 2**62:
            raise Refused("wrong_type", f"'{shown(value)}' is no count of bytes.")
        total += int(value)
    return total


def _id(*parts: str) -> str:
    return hashlib.blake2b("\0".join(parts).encode("utf-8", "replace"), digest_size=16).hexdigest()
