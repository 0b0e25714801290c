"""Rows of Zeek's logs, in both their forms, as dicts of typed values.

Forms: tab-separated with header lines (Zeek's ASCII writer) and JSON lines. Field types are those of Zeek's
documentation of its logs.
"""

import re
from collections.abc import Callable, Collection, Iterable
from typing import Any

import msgspec

from engine.sources import times
from engine.sources.addresses import address
from engine.sources.json_text import decode_object
from engine.sources.records import Refused, shown

MAX_COUNT = 2**63 - 1
"""Byte counts above this do not fit the engine's integers; no connection has carried them."""

MILLISECONDS_FROM = 10**11
"""From here on a whole-number `ts` is in milliseconds (JSON::TS_MILLIS); in seconds it is the year 5138."""

_ESCAPE = re.compile(rb"\\x([0-9a-fA-F]{2})")


class Literal(str):
    """A number with a fraction, as its digits: see `times` for why it does not become a float."""


_DECODER: msgspec.json.Decoder[Any] = msgspec.json.Decoder(float_hook=Literal)

COUNTS = frozenset({"id.resp_p", "orig_bytes", "resp_bytes", "trans_id"})
TIMES = frozenset({"ts", "duration"})
LISTS = frozenset({"answers"})
TRUTHS = {b"T": True, b"F": False}
TRUTH_FIELDS = frozenset({"established"})


class Log(msgspec.Struct, frozen=True):
    """One of Zeek's logs and what becomes of its rows."""

    source: str
    """What its events carry as `source`."""
    path: str
    """Zeek's name for it, in `#path` and `_path`."""
    fields: frozenset[str]
    """The fields that are read."""
    marks: frozenset[str]
    """Fields of which no other log that is read has any."""
    required: tuple[str, ...]
    event: Callable[[dict[str, Any], str | None], dict[str, Any]]
    """Row and device to event."""


class Header(msgspec.Struct, frozen=True):
    """How to read the rows of a tab-separated log."""

    separator: bytes
    inner: bytes
    """Between the values of a list."""
    missing: tuple[bytes, ...]
    """Cells that stand for no value: Zeek's unset field and its empty field."""
    columns: tuple[tuple[int, str], ...]
    """Position and name of the columns that are read."""
    width: int
    log: Log


def header(directives: Iterable[bytes], choose: Callable[[Collection[str], str | None], Log]) -> Header:
    """The header from its lines, those that begin with "#"; #separator must come before what it separates.

    `choose` finds the log by its fields and its path. Raises Refused "missing_field" when there is no
    #fields line or it lacks a required field, and "not_utf8".
    """
    separator, inner, unset, empty = b"\t", b",", b"-", b"(empty)"
    names: list[bytes] = []
    path = b""
    for line in directives:
        # Real files exist whose first line is indented.
        line = line.lstrip(b" \t")
        if line.startswith(b"#separator "):
            separator = unescaped(line[len(b"#separator ") :].strip()) or b"\t"
            continue
        directive, _, value = line.partition(separator)
        if directive == b"#unset_field":
            unset = value
        elif directive == b"#empty_field":
            empty = value
        elif directive == b"#set_separator":
            inner = value or b","
        elif directive == b"#path":
            path = value
        elif directive == b"#fields":
            names = _unglued(value.split(separator))
    if not names:
        raise Refused("missing_field", "No #fields line says what the columns are.")
    try:
        texts = [name.decode() for name in names]
    except UnicodeDecodeError:
        raise Refused("not_utf8", "The #fields line is not UTF-8.") from None
    log = choose(set(texts), path.decode("utf-8", "replace"))
    columns = tuple((place, name) for place, name in enumerate(texts) if name in log.fields)
    require({name for _, name in columns}, log, "The #fields line")
    return Header(separator, inner, (unset, empty), columns, len(names), log)


def tab_separated(line: bytes, head: Header) -> dict[str, Any]:
    """One row. Raises Refused: "wrong_column_count", "wrong_type", "not_utf8"."""
    cells = line.split(head.separator)
    if len(cells) != head.width:
        cells = _unglued(cells)
    if len(cells) != head.width:
        raise Refused("wrong_column_count", f"The row has {len(cells)} columns, the header {head.width}.")
    row: dict[str, Any] = {}
    for place, name in head.columns:
        cell = cells[place]
        if cell not in head.missing:
            row[name] = _typed(name, cell, head)
    return row


def json_line(line: bytes) -> dict[str, Any]:
    """One row, all its fields. Raises Refused: the reasons of `json_text.decode_object`."""
    known = decode_object(line, _DECODER)
    return {name: value for name, value in known.items() if value not in (None, "")}


def require(present: Collection[str], log: Log, what: str) -> None:
    """Raises Refused "missing_field" when a required field is not present."""
    for name in log.required:
        if name not in present:
            raise Refused("missing_field", f"{what} has no {name}; is it a {log.path} log of Zeek?")


def envelope(row: dict[str, Any], log_source: str, kind: str, device: str | None) -> dict[str, Any]:
    """What every event of a Zeek log has; the device is the originator unless the caller knows it."""
    client = address(row["id.orig_h"], "id.orig_h")[0]
    return {
        "kind": kind,
        "device": device or client,
        "time": moment(row["ts"]),
        "source": log_source,
        "quality": "exact",
        "attribution": "device" if device else "ip",
        "client_ip": client,
    }


def moment(value: object) -> int:
    """`ts` in epoch milliseconds, in each of the ways in which Zeek writes it."""
    if isinstance(value, Literal):
        return times.from_seconds(value)
    if isinstance(value, str):
        return times.from_text(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return times.checked(value if value >= MILLISECONDS_FROM else value * 1000, value)
    raise Refused("wrong_type", "ts is neither a number nor a date and time.")


def length(value: object) -> int:
    """A duration in milliseconds."""
    if isinstance(value, Literal):
        found = times.milliseconds(value)
    elif isinstance(value, int) and not isinstance(value, bool):
        found = value * 1000
    else:
        raise Refused("wrong_type", "duration is not a number.")
    if not 0 <= found <= times.LAST_TIME:
        raise Refused("wrong_type", f"duration is {shown(value)} seconds, which no connection lasts.")
    return found


def count(row: dict[str, Any], name: str, largest: int) -> int | None:
    """A whole number from 0 to `largest`, or None where there is none."""
    value = row.get(name)
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= largest:
        return value
    raise Refused("wrong_type", f"{name} is '{shown(value)}', not a whole number from 0 to {largest}.")


def text(row: dict[str, Any], name: str) -> str | None:
    """A text, or None where there is none."""
    value = row.get(name)
    if value is None:
        return None
    if isinstance(value, str) and not isinstance(value, Literal):
        return value
    raise Refused("wrong_type", f"{name} is '{shown(value)}', not a text.")


def texts(row: dict[str, Any], name: str) -> list[str] | None:
    """A list of texts, or None where there is none or it is empty."""
    value = row.get(name)
    if value is None:
        return None
    if isinstance(value, list) and all(type(one) is str for one in value):
        return value or None
    raise Refused("wrong_type", f"{name} is '{shown(value)}', not a list of texts.")


def truth(row: dict[str, Any], name: str) -> bool | None:
    """True or false, or None where it is not said."""
    value = row.get(name)
    if value is None or isinstance(value, bool):
        return value
    raise Refused("wrong_type", f"{name} is '{shown(value)}', neither true nor false.")


def unescaped(cell: bytes) -> bytes:
    """Zeek writes bytes that would break the row, or that are not text, as \\xHH."""
    if b"\\x" not in cell:
        return cell
    return _ESCAPE.sub(lambda found: bytes((int(found[1], 16),)), cell)


def _typed(name: str, cell: bytes, head: Header) -> Any:
    """A cell in the type that the JSON form of the log would have given it."""
    if name in COUNTS:
        # More digits than any count has are not worth converting.
        if not cell.isdigit() or len(cell) > 19:
            raise Refused("wrong_type", f"{name} is '{shown(cell)}', not a count.")
        return int(cell)
    if name in TRUTH_FIELDS:
        if cell not in TRUTHS:
            raise Refused("wrong_type", f"{name} is '{shown(cell)}', neither T nor F.")
        return TRUTHS[cell]
    try:
        if name in LISTS:
            # What a server answers may be any bytes, and must not hide what the device asked.
            parts = [part for part in cell.split(head.inner) if part not in head.missing]
            return [unescaped(part).decode("utf-8", "replace") for part in parts]
        decoded = unescaped(cell).decode()
    except UnicodeDecodeError:
        raise Refused("not_utf8", f"{name} is not UTF-8.") from None
    return Literal(decoded) if name in TIMES else decoded


def _unglued(cells: list[bytes]) -> list[bytes]:
    """Labelled data sets append label columns to the last one with spaces in place of the separator."""
    return cells[:-1] + cells[-1].split()
