"""Packet lists that Wireshark exported as CSV -> net.flow, one event a packet.

Columns: Source, Destination, Protocol, Length and Time, which is seconds since the capture began unless it is
set to be an absolute time. A list without absolute times is read as if the capture had begun in 1970:
order and distances are right, dates are not. Streams: nothing is held between rows.
"""

from collections.abc import Iterator
from typing import Any

from engine.sources import times
from engine.sources.addresses import address
from engine.sources.csv_rows import rows
from engine.sources.lines import Input
from engine.sources.records import Record, Refusal, Refused, shown

SOURCE = "wireshark.csv"

MAPPING = {
    "Time": "time",
    "Source": "device",  # the side inside the network, or what Type says (out: Source, in: Destination)
    "Destination": "ip",  # the other side; and internal
    "Protocol": "transport, service",
    "Length": "bytes_out, bytes_in",  # by direction
}

COLUMNS = ("Time", "Source", "Destination", "Protocol", "Length")

TRANSPORTS = {"TCP": "tcp", "UDP": "udp", "ICMP": "icmp", "ICMPv6": "icmp"}
"""Where the last protocol that was recognised is none of a service."""


def event(row: dict[str, str], device: str | None) -> dict[str, Any]:
    """The event of a row. Raises Refused: "missing_field", "wrong_type", "bad_time"."""
    for name in COLUMNS:
        if not row.get(name, "").strip():
            raise Refused("missing_field", f"The row has no {name}.")
    source, source_inside = address(row["Source"].strip(), "Source")
    destination, destination_inside = address(row["Destination"].strip(), "Destination")
    direction = row.get("Type", "").strip()
    outward = direction == "out" or (direction != "in" and (source_inside is True or not destination_inside))
    mine, other, inside = (
        (source, destination, destination_inside) if outward else (destination, source, source_inside)
    )
    length = row["Length"].strip()
    if not length.isascii() or not length.isdigit() or len(length) > 9:
        raise Refused("wrong_type", f"Length is '{shown(length)}', not a number of bytes.")
    protocol = row["Protocol"].strip()
    found: dict[str, Any] = {
        "kind": "net.flow",
        "device": device or mine,
        "time": _time(row["Time"].strip()),
        "source": SOURCE,
        "quality": "exact",
        "attribution": "device" if device else "ip",
        "client_ip": mine,
        "ip": other,
        "service": "unknown" if protocol in TRANSPORTS else protocol.lower(),
        "bytes_out" if outward else "bytes_in": int(length),
    }
    if protocol in TRANSPORTS:
        found["transport"] = TRANSPORTS[protocol]
    if inside is not None:
        found["internal"] = inside
    return found


def read(source: Input, name: str, device: str | None) -> Iterator[Record | Refusal]:
    """All rows of a list."""
    for item in rows(source, name, COLUMNS):
        if isinstance(item, Refusal):
            yield item
            continue
        origin, row = item
        try:
            yield Record(event(row, device) | {"raw_ref": origin}, origin)
        except Refused as refused:
            yield refused.at(origin)


def _time(text: str) -> int:
    return times.from_text(text) if "-" in text[1:] or ":" in text else times.from_seconds(text)
