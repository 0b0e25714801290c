"""A run's results as tables, as JSON, as Markdown and as a picture."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec
from rich.console import Console

from benchmarks import plot
from benchmarks.peers import page as peers_page
from benchmarks.promises import promises
from benchmarks.result import DevicesResult, LatencyResult, NatsResult, PeerResult, Report, Result
from benchmarks.tables import Rows, markdown_lines, rich_table

_R = TypeVar("_R")
FOLDER = Path(__file__).parent / "results"
_WORK_HEADS = (
    "work", "rules", "events", "alerts", "right", "CPU s", "events/CPU s", "x floor", "budget", "x by hand",
    "by hand x floor", "x keeping", "keeping x floor", "build µs", "encode µs", "whole µs",
)  # fmt: skip
_NATS_HEADS = (
    "events a message", "events", "alerts", "right", "empty events/s", "decode events/s", "engine events/s",
    "of empty", "of decode", "empty µs", "decode µs", "engine µs",
)  # fmt: skip
_LATENCY_HEADS = (
    "events", "most events/s", "sent events/s", "alerts", "right", "p50 ms", "p99 ms", "max ms",
)  # fmt: skip
_DEVICES_HEADS = (
    "state", "devices", "events", "bytes a device", "held", "of one", "µs an event",
    "longest collection ms", "in full ms", "MiB",
)  # fmt: skip
_PEER_HEADS = (
    "work", "engine", "version", "style", "reading", "events", "count", "right", "CPU s", "wall s",
    "CPU x thenwire", "wall x thenwire", "MiB",
)  # fmt: skip


def show(report: Report, console: Console) -> None:
    """The tables, on a terminal."""
    console.print(_title(report))
    for title, heads, rows in _tables(report):
        if title:
            console.print(title)
        console.print(rich_table(heads, rows))
    for sentence in report.skipped:
        console.print(f"skipped: {sentence}")


def write(report: Report, folder: Path = FOLDER) -> tuple[Path, ...]:
    """Write ``<form>.json``, ``<form>.md`` and ``<form>.svg`` into the folder, over what an earlier run
    wrote; and
    ``peers.md`` where peers were measured.
    """
    folder.mkdir(parents=True, exist_ok=True)
    found = [folder / f"{report.form}.{ending}" for ending in ("json", "md", "svg")]
    found[0].write_bytes(encode(report))
    found[1].write_text(markdown(report), encoding="utf-8")
    found[2].write_text(plot.svg(report), encoding="utf-8")
    if report.peers:
        found.append(folder / "peers.md")
        found[-1].write_text(peers_page.page(report), encoding="utf-8")
    return tuple(found)


def encode(report: Report) -> bytes:
    """The report as indented JSON."""
    return msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n"


def markdown(report: Report) -> str:
    """The report as a page."""
    parts = [f"# {_title(report)}"]
    for title, heads, rows in _tables(report):
        if title:
            parts += ["", f"## {title}"]
        parts += ["", *markdown_lines(heads, rows)]
        if not title:
            parts += [
                "",
                *(f"- **{r.work}**: {r.about}. Median of {r.rounds} rounds." for r in report.results),
            ]
    if report.skipped:
        parts += ["", "## Skipped", "", *(f"- {sentence}" for sentence in report.skipped)]
    if report.wrong:
        parts += ["", "## Wrong counts", "", *(f"- {sentence}" for sentence in report.wrong)]
    return "\n".join(parts) + "\n"


def _tables(report: Report) -> list[tuple[str, tuple[str, ...], Rows]]:
    """Title, heads and rows of each table that has any."""
    latency = [] if report.latency is None else [report.latency]
    kept = [
        [promise.about, f"{promise.figure:.2f}", f"{promise.bound:g}", "yes" if promise.holds else "NO"]
        for promise in promises(report)
    ]
    found: list[tuple[str, tuple[str, ...], Rows]] = [
        ("", _WORK_HEADS, _rows(_work, report.results)),
        (
            "Through NATS: an empty callback, one that decodes, the engine",
            _NATS_HEADS,
            _rows(_nats, report.nats),
        ),
        ("From an event published to its alert received", _LATENCY_HEADS, _rows(_latency, latency)),
        ("Many devices", _DEVICES_HEADS, _rows(_devices, report.devices)),
        ("Beside other engines, a process each", _PEER_HEADS, _rows(_peer, report.peers)),
        ("What is promised", ("promise", "measured", "bound", "holds"), kept),
    ]
    return [(title, heads, rows) for title, heads, rows in found if rows]


def _rows(row: Callable[[_R], list[str]], results: list[_R]) -> Rows:
    return [row(result) for result in results]


def _title(report: Report) -> str:
    return (
        f"thenwire benchmarks, {report.form} form, seed {report.seed}: "
        f"Python {report.python}, msgspec {report.msgspec}, {report.machine}"
    )


def _right(holds: bool) -> str:
    return "yes" if holds else "NO"


def _work(result: Result) -> list[str]:
    cost = result.alert
    return [
        result.work,
        f"{result.rules:,}",
        f"{result.events:,}",
        f"{result.alerts:,}",
        _right(not result.wrong),
        f"{result.seconds:.3f}",
        f"{result.events_per_second:,.0f}",
        f"{result.to_floor:.2f}",
        "" if result.budget is None else f"{result.budget:g}",
        "" if result.to_reference is None else f"{result.to_reference:.2f}",
        f"{result.reference_to_floor:.2f}",
        "" if result.to_keeping is None else f"{result.to_keeping:.2f}",
        "" if result.keeping_to_floor is None else f"{result.keeping_to_floor:.2f}",
        "" if cost is None else f"{cost.build_us:.1f}",
        "" if cost is None else f"{cost.encode_us:.1f}",
        "" if cost is None else f"{cost.whole_us:.1f}",
    ]


def _nats(result: NatsResult) -> list[str]:
    return [
        f"{result.events_per_message:,}",
        f"{result.events:,}",
        f"{result.alerts:,}",
        _right(not result.wrong),
        f"{result.empty_events_per_second:,.0f}",
        f"{result.decode_events_per_second:,.0f}",
        f"{result.engine_events_per_second:,.0f}",
        f"{result.share:.2f}",
        f"{result.share_of_decode:.2f}",
        f"{result.empty_cpu_us:.2f}",
        f"{result.decode_cpu_us:.2f}",
        f"{result.engine_cpu_us:.2f}",
    ]


def _latency(result: LatencyResult) -> list[str]:
    return [
        f"{result.events:,}",
        f"{result.most_per_second:,.0f}",
        f"{result.per_second:,.0f}",
        f"{result.alerts:,}",
        _right(not result.wrong),
        f"{result.p50_ms:.2f}",
        f"{result.p99_ms:.2f}",
        f"{result.max_ms:.2f}",
    ]


def _devices(result: DevicesResult) -> list[str]:
    return [
        result.state,
        f"{result.devices:,}",
        f"{result.events:,}",
        f"{result.bytes_per_device:,.0f}",
        "" if result.held_per_device is None else f"{result.held_per_device:,.0f}",
        "" if result.of_device == 1 else f"{result.bytes_each:,.0f}",
        f"{result.microseconds:.2f}",
        f"{result.longest_collection_ms:.1f}",
        f"{result.full_collection_ms:.1f}",
        f"{result.resident / 2**20:,.0f}",
    ]


def _peer(result: PeerResult) -> list[str]:
    return [
        result.work,
        result.peer,
        result.version,
        result.style,
        result.reading,
        f"{result.events:,}",
        f"{result.count:,}",
        _right(result.right),
        f"{result.cpu:.3f}",
        f"{result.wall:.3f}",
        f"{result.cpu_ratio:.2f}",
        f"{result.wall_ratio:.2f}",
        f"{result.resident / 2**20:,.0f}",
    ]
