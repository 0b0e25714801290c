"""Batches of log shippers, above all Fluent Bit -> the events of what is inside.

Fluent Bit's NATS output sends a JSON array of [time, record]; its `format json` writes an array of records
with the time as `date`. Forms: Fluent Bit's manual, outputs "nats" and "file", and the source of its JSON
packer ([[time, metadata], record] since version 2.1). A record is an event of a format that has one JSON
object a line, or holds such a line as text in `log` or `message`, as Fluent Bit's tail input without a parser
writes it. Streams: one element is held at a time, however long the array.
"""

from collections.abc import Iterator
from typing import Any

import msgspec

from engine.sources import ndjson, times
from engine.sources.json_elements import elements
from engine.sources.json_text import decode
from engine.sources.lines import Input
from engine.sources.recognise import LINE_PARSERS, recognise
from engine.sources.records import Record, Refusal, Refused

SOURCE = "fluent_bit"

MAPPING = {
    "[time, record]": "time",  # of a canonical event that has none: Fluent Bit takes it out of the record
    "date": "time",  # likewise
    "log, message": "all of the event",
}


class Shipped(msgspec.Struct):
    """What a shipper adds to a record."""

    date: msgspec.Raw = msgspec.Raw()
    log: msgspec.Raw = msgspec.Raw()
    message: msgspec.Raw = msgspec.Raw()
    time: msgspec.Raw = msgspec.Raw()


_PAIR = msgspec.json.Decoder(list[msgspec.Raw])
_SHIPPED = msgspec.json.Decoder(Shipped)
_TEXT = msgspec.json.Decoder(str)


def unwrap(element: bytes) -> tuple[bytes, int | None]:
    """The record of an element of a batch, and its time in epoch milliseconds where the shipper says it.

    Raises Refused: the reasons of `json_text.decode`, and "wrong_type" for an element that is neither a
    record nor a pair of time and record.
    """
    element = element.strip()
    if element.startswith(b"{"):
        return element, None
    pair = decode(element, _PAIR)
    if len(pair) == 2 and bytes(pair[1]).startswith(b"{"):
        time = bytes(pair[0])
        if time.startswith(b"["):
            with_metadata = decode(time, _PAIR)
            time = bytes(with_metadata[0]) if with_metadata else b""
        return bytes(pair[1]), times.from_seconds(time.decode("utf-8", "replace"))
    raise Refused("wrong_type", "An element of a batch is a record or a pair of time and record.")


def with_time(record: bytes, time: int) -> bytes:
    """The record with `time` where it has none: Fluent Bit's parsers take it out of the record."""
    try:
        has_none = not _SHIPPED.decode(record).time
    except (msgspec.MsgspecError, RecursionError, ValueError):
        return record
    has_fields = not record[1:].lstrip().startswith(b"}")
    return b'{"time":%d,%b' % (time, record[1:]) if has_none and has_fields else record


def parse(element: bytes, device: str | None = None) -> list[dict[str, Any]]:
    """The events of one element of a batch.

    Raises Refused: those of `unwrap` and of the format of the record; "unsupported_row" when that is none.
    """
    record, time = unwrap(element)
    shipped = decode(record, _SHIPPED)
    source = recognise(record, first=False)
    if source not in LINE_PARSERS:
        for held in (shipped.log, shipped.message):
            if bytes(held).startswith(b'"'):
                line = decode(bytes(held), _TEXT).strip().encode("utf-8", "surrogatepass")
                source = recognise(line, first=False)
                if source in LINE_PARSERS:
                    record = line
                    break
        else:
            raise Refused("unsupported_row", "The record is of no format that has one JSON object a line.")
    events = LINE_PARSERS[source or ""](record, device)
    if source == ndjson.SOURCE:
        if time is None and bytes(shipped.date)[:1].isdigit():
            time = times.from_seconds(bytes(shipped.date).decode())
        if time is not None:
            events = [{"time": time} | event for event in events]
    return events


def read(source: Input, name: str, device: str | None) -> Iterator[Record | Refusal]:
    """All elements of all arrays of a stream."""
    for item in elements(source, name):
        if isinstance(item, Refusal):
            yield item
            continue
        origin, element = item
        try:
            events = parse(element, device)
        except Refused as refused:
            yield refused.at(origin)
            continue
        for event in events:
            yield Record(event | {"raw_ref": origin}, origin)
