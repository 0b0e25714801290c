"""Timelines of MVT (Mobile Verification Toolkit), as CSV or JSON -> net.flow, forensic.trace.

CSV: timeline.csv, with the columns "UTC Timestamp", "Plugin", "Event", "Description". JSON: an array, or one
object a line, of {timestamp, module, event, data}. Times are UTC. The layout is MVT's published one; the
toolkit itself is not used: its licence is not an open one, and nothing but a table has to be read. Streams.
"""

import hashlib
import re
from collections.abc import Iterator
from typing import Any

import msgspec

from engine.sources import times
from engine.sources.csv_rows import rows
from engine.sources.json_elements import elements
from engine.sources.json_text import decode
from engine.sources.lines import MAX_NAME_CHARACTERS, Input, records
from engine.sources.netusage import process_name
from engine.sources.records import Record, Refusal, Refused, missing_device, shown

SOURCE = "mvt.timeline"

MAPPING = {
    "UTC Timestamp, timestamp": "time",
    "Plugin, module": "module",
    "Event, event": "event",
    "Description, data": "text",
}
"""forensic.trace: every row that is not about network use."""

USAGE_MAPPING = {
    "UTC Timestamp, timestamp": "time",
    "Bundle ID": "app",
    "name": "process",
    "WIFI OUT, WWAN OUT": "bytes_out",  # their sum
    "WIFI IN, WWAN IN": "bytes_in",
}
"""net.flow, quality first_last: rows of USAGE_EVENTS, whose text has a fixed form."""

USAGE_EVENTS = frozenset({"first_usage", "current_usage", "live_usage", "osanalytics_addaily"})

COLUMNS = ("UTC Timestamp", "Plugin", "Event", "Description")

_USAGE = re.compile(
    r"(?P<name>.{1,300}?)"
    r"(?: \(Bundle ID: (?P<bundle>[^,()]{1,300}), ID: [^()]{1,20}\))?"
    r"(?: WIFI IN: (?P<a>[\d.]+|None), WIFI OUT: (?P<b>[\d.]+|None) -"
    r" WWAN IN: (?P<c>[\d.]+|None), WWAN OUT: (?P<d>[\d.]+|None))?",
    re.ASCII,
)


class Row(msgspec.Struct):
    """One row, in either form."""

    timestamp: str | None = None
    module: str | None = None
    event: str | None = None
    data: str | None = None


_DECODER = msgspec.json.Decoder(Row)


def parse(line: bytes, device: str) -> list[dict[str, Any]]:
    """The event of one JSON object.

    Raises Refused: the reasons of `json_text.decode`, "missing_device", "missing_field", "bad_time".
    """
    if not device:
        raise missing_device("A timeline")
    return [event(decode(line, _DECODER), device)]


def event(row: Row, device: str) -> dict[str, Any]:
    """The event of a row. Raises Refused "missing_field", "bad_time"."""
    if not row.timestamp or not row.module or not row.event:
        raise Refused("missing_field", "The row has no timestamp, no module or no event.")
    text = row.data or ""
    found: dict[str, Any] = {
        "kind": "forensic.trace",
        "device": device,
        "time": _time(row.timestamp),
        "source": SOURCE,
        "quality": "exact",
        "attribution": "device",
    }
    parts = (device, str(found["time"]), row.module, row.event, text)
    found["id"] = hashlib.blake2b("\0".join(parts).encode("utf-8", "replace"), digest_size=16).hexdigest()
    usage = _USAGE.fullmatch(text) if row.event.lower() in USAGE_EVENTS else None
    if usage is not None:
        return found | _usage(usage)
    found |= {"module": row.module, "event": row.event}
    if text:
        found["text"] = text
    return found


def read(source: Input, name: str, device: str | None) -> Iterator[Record | Refusal]:
    """All rows of a timeline. Without a device it is refused as a whole, once."""
    if not device:
        yield missing_device("A timeline").at(shown(name, MAX_NAME_CHARACTERS))
        return
    owner = device
    start = source.peek().lstrip()[:1]
    if start == b"{":
        for record in records(source, name, lambda line: parse(line, owner)):
            if isinstance(record, Record):
                record.event["raw_ref"] = record.origin
            yield record
        return
    for item in elements(source, name) if start == b"[" else rows(source, name, COLUMNS):
        if isinstance(item, Refusal):
            yield item
            continue
        origin, content = item
        try:
            if isinstance(content, bytes):
                row = decode(content, _DECODER)
            else:
                row = Row(*(content.get(column) for column in COLUMNS))
            yield Record(event(row, owner) | {"raw_ref": origin}, origin)
        except Refused as refused:
            yield refused.at(origin)


def _usage(usage: re.Match[str]) -> dict[str, Any]:
    app = usage["bundle"] if usage["bundle"] not in (None, "None", "") else None
    process = process_name(usage["name"])
    found: dict[str, Any] = {
        "kind": "net.flow",
        "quality": "first_last",
        "attribution": "app" if app else "device",
    }
    if app:
        found["app"] = app
    if process:
        found["process"] = process
    for field, parts in (("bytes_in", "ac"), ("bytes_out", "bd")):
        total = _sum([usage[part] for part in parts])
        if total is not None:
            found[field] = total
    return found


def _sum(parts: list[str | None]) -> int | None:
    """Bytes, which the timeline writes as numbers with a fraction of zero."""
    known = [part.partition(".")[0] for part in parts if part not in (None, "None")]
    if not known:
        return None
    if any(not part.isdigit() or len(part) > 18 for part in known):
        raise Refused("wrong_type", "The row has a count of bytes that is none.")
    return sum(int(part) for part in known)


def _time(text: str) -> int:
    try:
        return times.from_text(text)
    except Refused:
        # MVT writes UTC and does not say so in the value.
        return times.from_text(f"{text}Z")
