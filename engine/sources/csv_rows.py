"""Comma-separated files with a header line, row by row.

A quoted field may hold line ends, so a row may be several lines; never more than one line may have bytes.
"""

import csv
from collections.abc import Collection, Iterator

from engine.sources.lines import MAX_LINE_BYTES, Input, lines
from engine.sources.records import Refusal, Refused, shown


def header(line: bytes) -> list[str]:
    """The names of the columns, without blanks around them; empty when the line is no row."""
    try:
        return [name.strip() for name in _cells(line)]
    except Refused:
        return []


def rows(source: Input, name: str, needed: Collection[str]) -> Iterator[tuple[str, dict[str, str]] | Refusal]:
    """Each row as (origin, column -> value), origin being the row's first line.

    The first row is the header; a later row that equals it (files that were joined) is passed over. Refusals:
    those of `lines`, "not_utf8", "malformed_line", "wrong_column_count"; and "missing_field", with which
    reading ends, for a header without a needed column.
    """
    names: list[str] = []
    held: list[bytes] = []
    size = quotes = 0
    first = ""
    for item in lines(source, name):
        if isinstance(item, Refusal):
            yield item
            continue
        origin, line = item
        if not held:
            first = origin
        held.append(line)
        size += len(line)
        quotes += line.count(b'"')
        if quotes % 2 and size <= MAX_LINE_BYTES:
            continue
        row = b"\n".join(held)
        held, size, quotes = [], 0, 0
        try:
            cells = _cells(row)
            if not names:
                names = [cell.strip() for cell in cells]
                for column in needed:
                    if column not in names:
                        yield Refusal(first, "missing_field", f"The header has no column {column}.")
                        return
            elif len(cells) != len(names):
                raise Refused(
                    "wrong_column_count", f"The row has {len(cells)} columns, the header {len(names)}."
                )
            elif [cell.strip() for cell in cells] != names:
                yield first, dict(zip(names, cells, strict=True))
        except Refused as refused:
            yield refused.at(first)
    if held:
        yield Refusal(first, "truncated", "The file ends inside a quoted field that begins here.")


def _cells(row: bytes) -> list[str]:
    try:
        return next(csv.reader([row.decode()], strict=True))
    except UnicodeDecodeError:
        raise Refused("not_utf8", "The row is not UTF-8.") from None
    except (csv.Error, StopIteration) as error:
        raise Refused("malformed_line", f"The row is not comma-separated: {shown(error)}.") from None
