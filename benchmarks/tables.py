"""Tables for a terminal and in Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

Rows = list[list[str]]


def rich_table(heads: Sequence[str], rows: Rows) -> Table:
    """For a terminal: the first column to the left."""
    table = Table()
    for number, head in enumerate(heads):
        table.add_column(head, justify="left" if number == 0 else "right")
    for row in rows:
        table.add_row(*row)
    return table


def markdown_lines(heads: Sequence[str], rows: Rows) -> list[str]:
    """In Markdown, a line each."""
    rule = ["---", *("--:" for _ in heads[1:])]
    return ["| " + " | ".join(cells) + " |" for cells in ([*heads], rule, *rows)]
