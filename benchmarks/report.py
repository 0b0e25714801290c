"""A run's results as a table, as JSON and as Markdown."""

from __future__ import annotations

from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from benchmarks.result import NatsResult, Report, Result

FOLDER = Path(__file__).parent / "results"
_HEADS = (
    "work", "rules", "events", "alerts", "right", "CPU s", "events/CPU s", "x floor", "budget", "x reference",
    "reference x floor", "build µs", "encode µs",
)  # fmt: skip
_NATS_HEADS = (
    "events a message", "events", "alerts", "right", "empty events/s", "engine events/s", "share",
    "empty µs", "engine µs",
)  # fmt: skip


def show(report: Report, console: Console) -> None:
    """The tables, on a terminal."""
    console.print(_title(report))
    console.print(_table(_HEADS, [_row(result) for result in report.results]))
    if report.nats:
        console.print("Through NATS: an empty callback, and the engine in it")
        console.print(_table(_NATS_HEADS, [_nats_row(result) for result in report.nats]))


def write(report: Report, folder: Path = FOLDER) -> tuple[Path, Path]:
    """Write ``<form>.json`` and ``<form>.md`` into the folder, over what an earlier run wrote."""
    folder.mkdir(parents=True, exist_ok=True)
    as_json, as_markdown = folder / f"{report.form}.json", folder / f"{report.form}.md"
    as_json.write_bytes(encode(report))
    as_markdown.write_text(markdown(report), encoding="utf-8")
    return as_json, as_markdown


def encode(report: Report) -> bytes:
    """The report as indented JSON."""
    return msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n"


def markdown(report: Report) -> str:
    """The report as a page."""
    parts = [f"# {_title(report)}", "", *_lines(_HEADS, [_row(result) for result in report.results]), ""]
    parts += [f"- **{r.work}**: {r.about}. Median of {r.rounds} rounds." for r in report.results]
    if report.nats:
        rows = [_nats_row(result) for result in report.nats]
        parts += ["", "## Through NATS", "", *_lines(_NATS_HEADS, rows)]
    if report.wrong:
        parts += ["", "## Wrong counts", "", *(f"- {sentence}" for sentence in report.wrong)]
    return "\n".join(parts) + "\n"


def _title(report: Report) -> str:
    return (
        f"thenwire benchmarks, {report.form} form, seed {report.seed}: "
        f"Python {report.python}, msgspec {report.msgspec}, {report.machine}"
    )


def _row(result: Result) -> list[str]:
    cost = result.alert
    return [
        result.work,
        f"{result.rules:,}",
        f"{result.events:,}",
        f"{result.alerts:,}",
        "NO" if result.wrong else "yes",
        f"{result.seconds:.3f}",
        f"{result.events_per_second:,.0f}",
        f"{result.to_floor:.2f}",
        "" if result.budget is None else f"{result.budget:g}",
        f"{result.to_reference:.2f}",
        f"{result.reference_to_floor:.2f}",
        "" if cost is None else f"{cost.build_us:.1f}",
        "" if cost is None else f"{cost.encode_us:.1f}",
    ]


def _nats_row(result: NatsResult) -> list[str]:
    return [
        f"{result.events_per_message:,}",
        f"{result.events:,}",
        f"{result.alerts:,}",
        "NO" if result.wrong else "yes",
        f"{result.empty_events_per_second:,.0f}",
        f"{result.engine_events_per_second:,.0f}",
        f"{result.share:.2f}",
        f"{result.empty_cpu_us:.2f}",
        f"{result.engine_cpu_us:.2f}",
    ]


def _table(heads: tuple[str, ...], rows: list[list[str]]) -> Table:
    table = Table()
    for number, head in enumerate(heads):
        table.add_column(head, justify="left" if number == 0 else "right")
    for row in rows:
        table.add_row(*row)
    return table


def _lines(heads: tuple[str, ...], rows: list[list[str]]) -> list[str]:
    """A table in Markdown."""
    rule = ["---", *("--:" for _ in heads[1:])]
    return ["| " + " | ".join(cells) + " |" for cells in ([*heads], rule, *rows)]
