"""Rows of Apple's power log, exported as JSON lines -> net.flow, app.lifecycle.

The power log of an iPhone or iPad is an SQLite database (CurrentPowerlog.PLSQL, part of a sysdiagnose). This
source reads its tables as JSON lines: one object a row, its columns under their own names, and `table` with
the name of the table. Apple documents none of it; the layout is read off a real log.

Times in the log are seconds of a clock that nobody sets. What to add for the time of day stands in rows of
their own (-411 s on the tablet that this was read from), so a file is read as a whole before its first event.
"""

import hashlib
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Any

import msgspec

from engine.sources import times
from engine.sources.json_text import decode
from engine.sources.lines import MAX_NAME_CHARACTERS, Input, lines
from engine.sources.records import Record, Refusal, Refused, missing_device, shown

SOURCE = "ios.powerlog"

MAX_DOCUMENT_BYTES = 16 * 1024 * 1024
"""A larger file is refused, since all of it is held. The three tables of some days are about 100 KiB."""

HELD_ROW_BYTES = 200
"""What a row counts at least: the memory it takes, so that a file of `{}` lines is bounded as well."""

OFFSETS = "PLStorageOperator_EventForward_TimeOffset"
USAGE = "PLProcessNetworkAgent_EventInterval_UsageDiff"
STATES = "PLApplicationAgent_EventForward_Application"

USAGE_MAPPING = {
    "timestamp": "start",
    "timestampEnd": "time",
    "BundleName": "app",
    "ProcessName": "process",
    "WifiOut, CellOut": "bytes_out",  # their sum; absent when both are
    "WifiIn, CellIn": "bytes_in",
}
"""Bytes of one process in an interval. They say nothing of where the bytes went."""

STATE_MAPPING = {
    "timestamp": "time",
    "Identifier": "app",
    "State": "phase",
}
"""An app, or an extension of one, changed its state."""

PHASES = {1: "stop", 2: "suspend", 4: "background", 8: "foreground", 32: "foreground"}
"""States of an app, one bit each; 32 is a foreground app with something in front of it."""


class Row(msgspec.Struct):
    """The columns that are read. Times as text, for their digits."""

    table: str = ""
    ID: int | None = None
    timestamp: msgspec.Raw = msgspec.Raw()
    timestampEnd: msgspec.Raw = msgspec.Raw()
    system: msgspec.Raw = msgspec.Raw()
    BundleName: str | None = None
    ProcessName: str | None = None
    WifiIn: int | None = None
    WifiOut: int | None = None
    CellIn: int | None = None
    CellOut: int | None = None
    Identifier: str | None = None
    State: int | None = None


class Offsets:
    """What to add to a time of the log, from its rows of the table `OFFSETS`.

    An offset holds from its row's time to that of the next one; the first one holds before it as well.
    """

    def __init__(self, rows: Iterable[Row]) -> None:
        """Raises Refused: a row without the two numbers ("missing_field", "wrong_type")."""
        found = sorted((_seconds(row.timestamp, "timestamp"), _seconds(row.system, "system")) for row in rows)
        self._from = [since for since, _ in found]
        self._seconds = [seconds for _, seconds in found]

    def __len__(self) -> int:
        return len(self._seconds)

    def time(self, raw: msgspec.Raw, name: str) -> int:
        """The time of day, in epoch milliseconds, of the column `name` of a row.

        Raises Refused: "missing_field", "wrong_type", "bad_time". There must be an offset.
        """
        seconds = _seconds(raw, name)
        place = max(bisect_right(self._from, seconds) - 1, 0)
        return times.checked(int((seconds + self._seconds[place]).scaleb(3)), bytes(raw))


_DECODER = msgspec.json.Decoder(Row)


def row(line: bytes) -> Row:
    """One line as a row. Raises Refused: the reasons of `json_text.decode`."""
    return decode(line, _DECODER)


def events(row: Row, offsets: Offsets, device: str) -> list[dict[str, Any]]:
    """The events of one row; none for a row of offsets.

    Raises Refused: "missing_field", "wrong_type", "bad_time", and "unsupported_row" for another table or a
    state that is not known.
    """
    if row.table == USAGE:
        return [_usage(row, offsets, device)]
    if row.table == STATES:
        return [_state(row, offsets, device)]
    if row.table == OFFSETS:
        return []
    raise Refused("unsupported_row", f"Rows of the table '{shown(row.table)}' are not read.")


def parse(document: bytes, device: str) -> list[dict[str, Any]]:
    """The events of an export that is at hand as a whole.

    Raises Refused: those of `row` and `events` for the first line that has one, "missing_device", and
    "missing_field" where no row says what to add to the times.
    """
    if not device:
        raise missing_device("A power log")
    rows = [row(line) for line in document.splitlines() if line.strip()]
    offsets = Offsets(found for found in rows if found.table == OFFSETS)
    if not offsets:
        raise missing_offset()
    return [event for found in rows for event in events(found, offsets, device)]


def read(source: Input, name: str, device: str | None) -> Iterator[Record | Refusal]:
    """All rows of an export, in its order.

    Refused as a whole, once: without a `device`, above MAX_DOCUMENT_BYTES, and where no row says what to add
    to the times.
    """
    whole = shown(name, MAX_NAME_CHARACTERS)
    if not device:
        yield missing_device("A power log").at(whole)
        return
    answers: list[tuple[str, Row] | Refusal] = []
    offsets: list[Row] = []
    size = 0
    for item in lines(source, name):
        size += max(HELD_ROW_BYTES, 0 if isinstance(item, Refusal) else len(item[1]))
        if size > MAX_DOCUMENT_BYTES:
            yield Refusal(
                whole, "document_too_large", f"The power log is larger than {MAX_DOCUMENT_BYTES} bytes."
            )
            return
        if isinstance(item, Refusal):
            answers.append(item)
            continue
        origin, line = item
        try:
            found = row(line)
            if found.table == OFFSETS:
                Offsets([found])
                offsets.append(found)
            else:
                answers.append((origin, found))
        except Refused as refused:
            answers.append(refused.at(origin))
    usable = Offsets(offsets)
    if not usable and any(isinstance(answer, tuple) for answer in answers):
        yield missing_offset().at(whole)
        return
    said_something = False
    for answer in answers:
        if isinstance(answer, Refusal):
            yield answer
            said_something = True
            continue
        origin, found = answer
        try:
            for event in events(found, usable, device):
                yield Record(event | {"raw_ref": origin}, origin)
                said_something = True
        except Refused as refused:
            yield refused.at(origin)
            said_something = True
    if not said_something:
        yield Refusal(whole, "unsupported_row", "No row of the power log is of a table that gives events.")


def missing_offset() -> Refused:
    """Why a log without offsets is not read: its times would be wrong by minutes, and nobody would see it."""
    return Refused("missing_field", f"The power log has no row of the table {OFFSETS}, so no time of day.")


def _usage(row: Row, offsets: Offsets, device: str) -> dict[str, Any]:
    start = offsets.time(row.timestamp, "timestamp")
    end = offsets.time(row.timestampEnd, "timestampEnd")
    if start > end:
        raise Refused("bad_time", "timestampEnd is earlier than timestamp.")
    if not row.ProcessName and not row.BundleName:
        raise Refused("missing_field", "The row has neither ProcessName nor BundleName.")
    return _known(
        {
            "kind": "net.flow",
            "device": device,
            "time": end,
            "start": start,
            "id": _id(row, device),
            "source": SOURCE,
            "quality": "interval",
            "attribution": "app" if row.BundleName else "device",
            "app": row.BundleName,
            "process": row.ProcessName,
            "bytes_out": _sum(row.WifiOut, row.CellOut),
            "bytes_in": _sum(row.WifiIn, row.CellIn),
        }
    )


def _state(row: Row, offsets: Offsets, device: str) -> dict[str, Any]:
    if not row.Identifier:
        raise Refused("missing_field", "The row has no Identifier.")
    if row.State not in PHASES:
        raise Refused("unsupported_row", f"State {shown(row.State)} of an app is not known.")
    return {
        "kind": "app.lifecycle",
        "device": device,
        "time": offsets.time(row.timestamp, "timestamp"),
        "id": _id(row, device),
        "source": SOURCE,
        "quality": "exact",
        "attribution": "app",
        "app": row.Identifier,
        "phase": PHASES[row.State],
    }


def _seconds(raw: msgspec.Raw, name: str) -> Decimal:
    text = bytes(raw).decode("utf-8", "replace")
    if text in ("", "null"):
        raise Refused("missing_field", f"The row has no {name}.")
    # Also bounds the exponent, as Decimal does not.
    times.milliseconds(text)
    return Decimal(text)


def _sum(one: int | None, other: int | None) -> int | None:
    if one is None and other is None:
        return None
    both = (one or 0) + (other or 0)
    if min(one or 0, other or 0) < 0 or both >= 2**63:
        raise Refused("wrong_type", f"{shown(one)} and {shown(other)} are no counts of bytes.")
    return both


def _id(row: Row, device: str) -> str:
    """The same for the same row in every export of the same device. Row numbers begin again when a device is
    erased, hence the time."""
    parts = (device, row.table, str(row.ID), bytes(row.timestamp).decode())
    return hashlib.blake2b("\0".join(parts).encode("utf-8", "replace"), digest_size=16).hexdigest()


def _known(event: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in event.items() if value not in (None, "")}
