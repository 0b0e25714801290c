"""Apple's App Privacy Report (and the older "Record App Activity") -> app.access, net.flow.

One JSON object a line. The layout is read off real exports; Apple documents the meaning of the fields in
"Inspecting app activity data", but no schema. The report does not say which phone it is from.
"""

import hashlib
from collections.abc import Iterator
from typing import Any

import msgspec

from engine.sources import times
from engine.sources.hosts import host_fields
from engine.sources.json_text import decode
from engine.sources.lines import Input, records
from engine.sources.records import Record, Refusal, Refused, missing_device, shown
from engine.sources.resources import resource, resource_of_service

SOURCE = "ios.app_privacy"

ACCESS_MAPPING = {
    "accessor.identifier": "app",  # "process" where accessor.identifierType is not bundleID
    "category": "resource",
    "stream, tccService": "resource",  # older rows have these in place of category
    "kind": "phase",  # intervalBegin -> begin, intervalEnd -> end, event -> both
    "identifier": "access_id",
    "timeStamp, timestamp": "time",
}
"""Rows of type "access", and older rows, which have no type but a `stream`."""

NETWORK_MAPPING = {
    "bundleID": "app",
    "domain": "host",  # lower case; and domain, its registered part
    "hits": "hits",
    "firstTimeStamp": "time",  # of the first event
    "timeStamp": "time",  # of the last event
}
"""Rows of type "networkActivity": a summary of all contacts of an app with a host."""

PHASES = {"intervalBegin": ("begin",), "intervalEnd": ("end",), "event": ("begin", "end")}
"""An "event" is an access without length. It begins and ends, so that no rule believes that it goes on."""

STREAM_PREFIX = "com.apple.privacy.accounting.stream."


class Accessor(msgspec.Struct, rename="camel"):
    """Who accessed the resource."""

    identifier: str | None = None
    identifier_type: str | None = None


class Row(msgspec.Struct):
    """The fields of a row that are read, under the report's names."""

    type: str | None = None
    accessor: Accessor | None = None
    category: str | None = None
    stream: str | None = None
    tccService: str | None = None
    kind: str | None = None
    identifier: str | None = None
    timeStamp: str | None = None
    timestamp: str | None = None
    firstTimeStamp: str | None = None
    bundleID: str | None = None
    domain: str | None = None
    hits: int | None = None


_DECODER = msgspec.json.Decoder(Row)


def parse(line: bytes, device: str) -> list[dict[str, Any]]:
    """The events of one row of the report of `device`.

    Raises Refused: the reasons of `json_text.decode`, "missing_device" when `device` is empty,
    "missing_field", "wrong_type", "bad_time", and "unsupported_row" for a kind of row not known here.
    """
    if not device:
        raise missing_device("An App Privacy Report")
    row = decode(line, _DECODER)
    if row.type == "networkActivity":
        return _network(row, device)
    if row.type == "access" or (row.type is None and row.stream):
        return _access(row, device)
    raise Refused("unsupported_row", f"Rows of type '{shown(row.type)}' are not read.")


def read(source: Input, name: str, device: str | None) -> Iterator[Record | Refusal]:
    """All rows of a report. Without a `device` the file is refused as a whole, once, and not read."""
    if not device:
        yield missing_device("An App Privacy Report").at(shown(name))
        return
    owner = device
    for item in records(source, name, lambda line: parse(line, owner)):
        if isinstance(item, Record):
            item.event["raw_ref"] = item.origin
        yield item


def _access(row: Row, device: str) -> list[dict[str, Any]]:
    if row.accessor is None or not row.accessor.identifier:
        raise Refused("missing_field", "The row has no accessor.identifier.")
    phases = PHASES.get(row.kind or "")
    if phases is None:
        raise Refused("unsupported_row", f"Accesses of kind '{shown(row.kind)}' are not read.")
    time = times.from_text(_needed(row.timeStamp or row.timestamp, "timeStamp"))
    resource = _resource(row)
    is_app = row.accessor.identifier_type in (None, "bundleID")
    events = []
    for phase in phases:
        event: dict[str, Any] = {
            "kind": "app.access",
            "device": device,
            "time": time,
            "id": _id(device, row.accessor.identifier, resource, row.identifier or str(time), phase),
            "source": SOURCE,
            "quality": "exact",
            "attribution": "app" if is_app else "device",
            "app" if is_app else "process": row.accessor.identifier,
            "resource": resource,
            "phase": phase,
        }
        if row.identifier:
            event["access_id"] = row.identifier
        events.append(event)
    return events


def _network(row: Row, device: str) -> list[dict[str, Any]]:
    host = _needed(row.domain, "domain")
    last = times.from_text(_needed(row.timeStamp, "timeStamp"))
    first = times.from_text(row.firstTimeStamp) if row.firstTimeStamp else last
    if first > last:
        raise Refused("bad_time", "firstTimeStamp is later than timeStamp.")
    if row.hits is not None and not 0 <= row.hits < 2**63:
        raise Refused("wrong_type", f"hits is {shown(row.hits)}.")
    events = []
    # Equal times are one known moment. Two events would let one contact count as two.
    for time in (first, last) if first < last else (last,):
        event: dict[str, Any] = {
            "kind": "net.flow",
            "device": device,
            "time": time,
            "id": _id(device, row.bundleID or "", host, str(time)),
            "source": SOURCE,
            "quality": "first_last",
            "attribution": "app" if row.bundleID else "device",
            **host_fields(host),
        }
        if row.bundleID:
            event["app"] = row.bundleID
        if row.hits is not None:
            event["hits"] = row.hits
        events.append(event)
    return events


def _resource(row: Row) -> str:
    stream = (row.stream or "").removeprefix(STREAM_PREFIX)
    if row.category or not row.tccService:
        return resource(_needed(row.category or stream, "category"))
    return resource_of_service(row.tccService)


def _id(*parts: str) -> str:
    """The same for the same fact in every export of the same phone, so that reading two exports that overlap
    gives each event once."""
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=16).hexdigest()


def _needed(value: str | None, name: str) -> str:
    if not value:
        raise Refused("missing_field", f"The row has no {name}.")
    return value
