"""Zeek's conn.log (tab-separated with a header, or JSON lines) -> net.flow.

Field names and meanings: Zeek's documentation of `Conn::Info` and of its ASCII writer. The reasons for what
`time` and `device` are stand in docs/reference/sources.md.
"""

import functools
import ipaddress
import re
from collections.abc import Collection, Iterable, Iterator
from typing import Any

import msgspec

from engine.sources import times
from engine.sources.json_text import decode_object
from engine.sources.lines import Input, records
from engine.sources.records import Record, Refusal, Refused, shown

SOURCE = "zeek.conn"

MAPPING = {
    "ts": "time",  # start of the connection; seconds, with a fraction -> milliseconds
    "uid": "id",
    "id.orig_h": "device",  # unless the caller knows the device
    "id.resp_h": "ip",
    "id.resp_p": "port",  # not for ICMP, where Zeek keeps the ICMP code in this field
    "proto": "transport",
    "service": "service",  # unset -> "unknown"
    "duration": "duration_ms",  # seconds -> milliseconds
    "orig_bytes": "bytes_out",
    "resp_bytes": "bytes_in",
    "conn_state": "state",
}
"""Zeek field -> canonical. `internal` comes from id.resp_h, `attribution` says how `device` is known."""

REQUIRED = ("ts", "id.orig_h", "id.resp_h", "proto", "conn_state")
"""No row of a connection log lacks these. conn_state also tells it from Zeek's other logs."""

MAX_COUNT = 2**63 - 1
"""Byte counts above this do not fit the engine's integers; no connection has carried them."""

MILLISECONDS_FROM = 10**11
"""From here on a whole-number `ts` is in milliseconds (JSON::TS_MILLIS); in seconds it is the year 5138."""

_ESCAPE = re.compile(rb"\\x([0-9a-fA-F]{2})")
_INTERNAL_V4 = tuple(
    (int(network.network_address), int(network.netmask))
    for network in map(
        ipaddress.IPv4Network,
        ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "127.0.0.0/8"),
    )
)


class Literal(str):
    """A number with a fraction, as its digits: see `times` for why it does not become a float."""


_DECODER: msgspec.json.Decoder[Any] = msgspec.json.Decoder(float_hook=Literal)


class Header(msgspec.Struct, frozen=True):
    """How to read the rows of a tab-separated log."""

    separator: bytes
    missing: tuple[bytes, ...]
    """Cells that stand for no value: Zeek's unset field and its empty field."""
    columns: tuple[tuple[int, str], ...]
    """Position and name of the columns that are read."""
    width: int


def parse_header(directives: Iterable[bytes]) -> Header:
    """The header from its lines, those that begin with "#"; #separator must come before what it separates.

    Raises Refused "missing_field" when there is no #fields line or it lacks one of REQUIRED, and "not_utf8".
    """
    separator, unset, empty = b"\t", b"-", b"(empty)"
    names: list[bytes] = []
    for line in directives:
        # Real files exist whose first line is indented.
        line = line.lstrip(b" \t")
        if line.startswith(b"#separator "):
            separator = _unescaped(line[len(b"#separator ") :].strip()) or b"\t"
            continue
        directive, _, value = line.partition(separator)
        if directive == b"#unset_field":
            unset = value
        elif directive == b"#empty_field":
            empty = value
        elif directive == b"#fields":
            names = _unglued(value.split(separator))
    known = {name.encode() for name in MAPPING}
    columns = tuple((place, name.decode()) for place, name in enumerate(names) if name in known)
    if not names:
        raise Refused("missing_field", "No #fields line says what the columns are.")
    _require({name for _, name in columns}, "The #fields line")
    return Header(separator, (unset, empty), columns, len(names))


def parse_tsv(line: bytes, header: Header, device: str | None = None) -> list[dict[str, Any]]:
    """The event of one row. Raises Refused as `parse_json` does, and "wrong_column_count"."""
    cells = line.split(header.separator)
    if len(cells) != header.width:
        cells = _unglued(cells)
    if len(cells) != header.width:
        raise Refused("wrong_column_count", f"The row has {len(cells)} columns, the header {header.width}.")
    row: dict[str, Any] = {}
    for place, name in header.columns:
        cell = cells[place]
        if cell not in header.missing:
            row[name] = _typed(name, cell)
    return [_event(row, device)]


def parse_json(line: bytes, device: str | None = None) -> list[dict[str, Any]]:
    """The event of one JSON line.

    Raises Refused: the reasons of `json_text.decode_object`, "missing_field", "wrong_type", "bad_time".
    """
    known = decode_object(line, _DECODER)
    row = {name: value for name in MAPPING if (value := known.get(name)) not in (None, "")}
    return [_event(row, device)]


def read(source: Input, name: str, device: str | None) -> Iterator[Record | Refusal]:
    """All rows of a file in either form; a header in the middle (concatenated files) holds from there on."""
    # One line of each directive: a file of nothing but header lines must not fill the memory.
    directives: dict[bytes, bytes] = {}
    header: Header | None = None

    def parse(line: bytes) -> list[dict[str, Any]]:
        nonlocal header
        start = line.lstrip(b" \t")
        if start.startswith(b"{"):
            events = parse_json(line, device)
        elif start.startswith(b"#"):
            directive = next((known for known in _DIRECTIVES if start.startswith(known)), None)
            if directive == b"#separator":
                directives.clear()
            if directive is not None:
                directives[directive] = line
                header = None
            return []
        else:
            if header is None:
                header = parse_header([directives[known] for known in _DIRECTIVES if known in directives])
            events = parse_tsv(line, header, device)
        return events

    for item in records(source, name, parse):
        if isinstance(item, Record):
            item.event["raw_ref"] = item.origin
        yield item


_DIRECTIVES = (b"#separator", b"#unset_field", b"#empty_field", b"#fields")
"""Header lines that change how rows are read, the separator first because the others are split by it.
The rest (#path, #types, #close ...) says nothing that is needed."""


def _event(row: dict[str, Any], device: str | None) -> dict[str, Any]:
    _require(row, "The row")
    destination, internal = _address(row, "id.resp_h")
    transport = _text(row, "proto")
    event: dict[str, Any] = {
        "kind": "net.flow",
        "device": device or _address(row, "id.orig_h")[0],
        "time": _time(row["ts"]),
        "source": SOURCE,
        "quality": "exact",
        "attribution": "device" if device else "ip",
        "ip": destination,
        "transport": transport,
        "service": _text(row, "service") or "unknown",
        "state": _text(row, "conn_state"),
    }
    uid = _text(row, "uid")
    if uid is not None:
        event["id"] = uid
    if internal is not None:
        event["internal"] = internal
    port = _count(row, "id.resp_p", 65_535)
    if port is not None and transport != "icmp":
        event["port"] = port
    for name in ("orig_bytes", "resp_bytes"):
        count = _count(row, name, MAX_COUNT)
        if count is not None:
            event[MAPPING[name]] = count
    duration = row.get("duration")
    if duration is not None:
        event["duration_ms"] = _duration(duration)
    return event


def is_internal(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool | None:
    """Whether a destination is in a private, link-local, unique-local or loopback range.

    None for multicast, broadcast and unspecified addresses: they name no host, inside or outside.
    """
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return is_internal(address.ipv4_mapped)
        packed = address.packed
        if packed[0] == 0xFF or packed == bytes(16):
            return None
        unique_local = packed[0] & 0xFE == 0xFC
        link_local = packed[0] == 0xFE and packed[1] & 0xC0 == 0x80
        return unique_local or link_local or packed == bytes(15) + b"\x01"
    value = int(address)
    if value >> 28 == 0xE or value in (0, 0xFFFFFFFF):
        return None
    return any(value & mask == network for network, mask in _INTERNAL_V4)


def _typed(name: str, cell: bytes) -> str | int:
    """A cell in the type that the JSON form of the log would have given it."""
    if name in ("id.resp_p", "orig_bytes", "resp_bytes"):
        # More digits than any count has are not worth converting.
        if not cell.isdigit() or len(cell) > 19:
            raise Refused("wrong_type", f"{name} is '{shown(cell)}', not a count.")
        return int(cell)
    try:
        text = _unescaped(cell).decode("utf-8")
    except UnicodeDecodeError:
        raise Refused("not_utf8", f"{name} is not UTF-8.") from None
    return Literal(text) if name in ("ts", "duration") else text


def _time(value: object) -> int:
    if isinstance(value, Literal):
        return times.from_seconds(value)
    if isinstance(value, str):
        return times.from_text(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return times.checked(value if value >= MILLISECONDS_FROM else value * 1000, value)
    raise Refused("wrong_type", "ts is neither a number nor a date and time.")


def _duration(value: object) -> int:
    if isinstance(value, Literal):
        length = times.milliseconds(value)
    elif isinstance(value, int) and not isinstance(value, bool):
        length = value * 1000
    else:
        raise Refused("wrong_type", "duration is not a number.")
    if not 0 <= length <= times.LAST_TIME:
        raise Refused("wrong_type", f"duration is {shown(value)} seconds, which no connection lasts.")
    return length


def _count(row: dict[str, Any], name: str, largest: int) -> int | None:
    value = row.get(name)
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= largest:
        return value
    raise Refused("wrong_type", f"{name} is '{shown(value)}', not a whole number from 0 to {largest}.")


def _text(row: dict[str, Any], name: str) -> str | None:
    value = row.get(name)
    if value is None:
        return None
    if isinstance(value, str) and not isinstance(value, Literal):
        return value
    raise Refused("wrong_type", f"{name} is '{shown(value)}', not a text.")


def _address(row: dict[str, Any], name: str) -> tuple[str, bool | None]:
    """The canonical text of an address, and whether it is internal."""
    value = row[name]
    # ip_address would take an integer for an address, and a zone ("%eth0") that only the sensor knows.
    if isinstance(value, str) and "%" not in value:
        try:
            return _understood(value)
        except ValueError:
            pass
    raise Refused("wrong_type", f"{name} is '{shown(value)}', not an IP address.")


@functools.lru_cache(4096)
def _understood(text: str) -> tuple[str, bool | None]:
    # Remembered because it is half the cost of a row, and a log names the same addresses again and again.
    address = ipaddress.ip_address(text)
    return str(address), is_internal(address)


def _require(present: Collection[str], what: str) -> None:
    for name in REQUIRED:
        if name not in present:
            raise Refused("missing_field", f"{what} has no {name}; is it a connection log?")


def _unglued(cells: list[bytes]) -> list[bytes]:
    """Labelled data sets append label columns to the last one with spaces in place of the separator."""
    return cells[:-1] + cells[-1].split()


def _unescaped(cell: bytes) -> bytes:
    """Zeek writes bytes that would break the row, or that are not text, as \\xHH."""
    if b"\\x" not in cell:
        return cell
    return _ESCAPE.sub(lambda found: bytes((int(found[1], 16),)), cell)
