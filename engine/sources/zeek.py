"""Zeek's conn.log, dns.log and ssl.log, each tab-separated with a header or as JSON lines.

Which log a row is of shows in its fields, so one file may hold several: logs that were concatenated, or
Zeek's JSON stream. Each log has a file of its own with its mapping. Nothing is held between rows but the
header.
"""

from collections.abc import Collection, Iterable, Iterator
from typing import Any

from engine.sources import zeek_conn, zeek_dns, zeek_rows, zeek_ssl
from engine.sources.addresses import is_internal
from engine.sources.lines import Input, records
from engine.sources.records import Record, Refusal
from engine.sources.zeek_rows import Header, Log

__all__ = ["LOGS", "MAPPING", "SOURCE", "Header", "is_internal", "parse", "parse_header", "parse_tsv", "read"]

SOURCE = "zeek"
"""Events carry the name of their log: zeek.conn, zeek.dns, zeek.ssl."""

LOGS = (zeek_conn.LOG, zeek_dns.LOG, zeek_ssl.LOG)
MAPPING = zeek_conn.MAPPING

_DIRECTIVES = (b"#separator", b"#set_separator", b"#unset_field", b"#empty_field", b"#path", b"#fields")
"""Header lines that change how rows are read, the separator first because the others are split by it.
The rest (#types, #close ...) says nothing that is needed."""


def choose(fields: Collection[str], path: str | None = None) -> Log:
    """The log with these fields. A path decides only between logs that the fields allow, since it can be
    renamed. Anything that shows no log is taken for the first, whose required fields it then lacks."""
    fitting = [log for log in LOGS if not log.marks.isdisjoint(fields)]
    named = [log for log in fitting if log.path == path]
    return (named or fitting or list(LOGS))[0]


def parse_header(directives: Iterable[bytes]) -> Header:
    """The header from its lines, those that begin with "#"; #separator must come before what it separates.

    Raises Refused "missing_field" when there is no #fields line or it lacks a required field, and "not_utf8".
    """
    return zeek_rows.header(directives, choose)


def parse_tsv(line: bytes, header: Header, device: str | None = None) -> list[dict[str, Any]]:
    """The event of one row. Raises Refused as `parse` does, and "wrong_column_count"."""
    row = zeek_rows.tab_separated(line, header)
    zeek_rows.require(row, header.log, "The row")
    return [header.log.event(row, device)]


def parse(line: bytes, device: str | None = None) -> list[dict[str, Any]]:
    """The event of one JSON line.

    Raises Refused: the reasons of `json_text.decode_object`, "missing_field", "wrong_type", "bad_time".
    """
    row = zeek_rows.json_line(line)
    path = row.get("_path")
    log = choose(row, path if isinstance(path, str) else None)
    zeek_rows.require(row, log, "The row")
    return [log.event(row, device)]


def read(source: Input, name: str, device: str | None) -> Iterator[Record | Refusal]:
    """All rows of a file in either form; a header in the middle (concatenated files) holds from there on."""
    # One line of each directive: a file of nothing but header lines must not fill the memory.
    directives: dict[bytes, bytes] = {}
    header: Header | None = None

    def events(line: bytes) -> list[dict[str, Any]]:
        nonlocal header
        start = line.lstrip(b" \t")
        if start.startswith(b"{"):
            return parse(line, device)
        if start.startswith(b"#"):
            directive = next((known for known in _DIRECTIVES if start.startswith(known)), None)
            if directive == b"#separator":
                directives.clear()
            if directive is not None:
                directives[directive] = line
                header = None
            return []
        if header is None:
            header = parse_header([directives[known] for known in _DIRECTIVES if known in directives])
        return parse_tsv(line, header, device)

    for item in records(source, name, events):
        if isinstance(item, Record):
            item.event["raw_ref"] = item.origin
        yield item
