"""An explanation as text for a terminal or a page."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence

from dsl.units import format_duration
from engine.explain.facts import Explanation

WIDTH = 100
"""Columns of the text, whatever the terminal: the same rule gives the same text."""
_COLUMNS = (8, 14, 34, 16, 14, 20)
_HEADINGS = ("", "step", "completed by", "bounds", "guards", "reads")


def as_text(found: Explanation, code: bool = False) -> str:
    """All of it in sections; the generated code last, if asked for."""
    sections = [[f"{found.rule}: {found.title}"], *_sections(found)]
    if code:
        sections += [
            [f"Generated code for {kind}", "", source.rstrip()] for kind, source in found.code.items()
        ]
    return "\n\n".join("\n".join(lines) for lines in sections) + "\n"


def _sections(found: Explanation) -> Iterator[list[str]]:
    if found.refused is not None:
        yield _wrapped([f"This engine does not run the rule: {found.refused}."], "")
    yield ["In words", *_wrapped(found.sentences)]
    rows = [
        (row.number, row.name, row.completed_by, _lines(row.bounds), _lines(row.guards), _lines(row.reads))
        for row in found.steps
    ]
    yield ["Steps", *_table(_HEADINGS, rows, _COLUMNS)]
    if found.unless:
        vetoes = [(row.what, row.when, _lines(row.reads)) for row in found.unless]
        yield ["Unless", *_table(("there is", "when", "reads"), vetoes, (44, 34, 18))]
    if found.automaton is not None:
        automaton = found.automaton
        yield [
            f"Automaton: {automaton.name}",
            *_wrapped([f"Why: {automaton.why}.", f"At most for each key: {automaton.state}."]),
        ]
    if found.kept is not None:
        kept = found.kept
        total = format_duration(kept.horizon_ms + kept.late_ms)
        yield [
            "Kept for each device",
            *_wrapped(
                [
                    f"Events that fit a step or a guard, for {total}: a match looks "
                    f"{format_duration(kept.horizon_ms)} back, and an event may come "
                    f"{format_duration(kept.late_ms)} late.",
                    f"At most {kept.events:,} of them; beyond that the oldest go, and results that need them "
                    "change no more.",
                ]
            ),
        ]
    if found.kinds:
        kinds = [
            (
                kind.kind,
                ", ".join(kind.fields) or "-",
                format_duration(kind.grace_ms),
                format_duration(kind.late_ms),
            )
            for kind in found.kinds
        ]
        yield ["Reads", *_table(("event", "fields", "grace", "late"), kinds, (20, 60, 8, 8))]
    if found.params:
        params = [
            (p.name.replace("_", " "), p.value + (" (set)" if p.overridden else ""), p.reason or "-")
            for p in found.params
        ]
        yield ["PARAMs", *_table(("name", "value", "reason"), params, (27, 12, 57))]
    for heading, named in (("Baselines", found.baselines), ("Lists", found.lists)):
        if named:
            yield [heading, *_wrapped(f"{x.name}: {x.what}." for x in named)]


def _lines(parts: Sequence[str]) -> str:
    return "\n".join(parts) or "-"


def _wrapped(paragraphs: Iterable[str], indent: str = "  ") -> list[str]:
    return [
        line
        for paragraph in paragraphs
        for line in textwrap.wrap(
            paragraph,
            WIDTH,
            initial_indent=indent,
            subsequent_indent=indent + "  ",
            break_long_words=False,
            break_on_hyphens=False,
        )
    ]


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]], widths: Sequence[int]) -> Iterator[str]:
    """Columns of text, wrapped; a column is no wider than it needs to be, up to its width.

    A line of a cell that is broken goes on one column further in, so that it is not taken for the next entry.
    """
    cells = [[_cell(text, width) for text, width in zip(row, widths, strict=True)] for row in rows]
    used = [
        max([len(headings[i]), *(len(line) for row in cells for line in row[i])])
        for i in range(len(headings))
    ]
    yield _line(headings, used)
    yield _line(["-" * width for width in used], used)
    for row in cells:
        for index in range(max(map(len, row))):
            yield _line([cell[index] if index < len(cell) else "" for cell in row], used)


def _cell(text: str, width: int) -> list[str]:
    return [
        line
        for part in text.split("\n")
        for line in textwrap.wrap(
            part, width, subsequent_indent=" ", break_long_words=True, break_on_hyphens=False
        )
    ] or [""]


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    joined = "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
    return f"  {joined}".rstrip()
