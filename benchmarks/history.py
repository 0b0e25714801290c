"""``python -m benchmarks history``: what earlier runs have measured, so that drift is seen.

A run is appended with ``python -m benchmarks --remember``: one line of JSON in ``results/history.jsonl``,
with
the commit, the date, the kind of machine and the ratios. Only runs of the same form on the same kind of
machine are compared; ratios hold elsewhere, seconds do not.
"""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from benchmarks.result import Report

FILE = Path(__file__).parent / "results" / "history.jsonl"
DRIFT = 1.15
"""A ratio this much above the median of the runs before is marked."""


class Past(msgspec.Struct, frozen=True, kw_only=True):
    """One run.

    Attributes:
        commit: of the checkout, with ``+`` where files differed from it.
        machine: system, processor, cores and Python: what a comparison needs to be alike.
        figures: by name; higher is worse in all of them.
    """

    commit: str
    date: str
    machine: str
    form: str
    figures: dict[str, float]


def figures(report: Report) -> dict[str, float]:
    """The ratios of a run, by name. Of shares, of which more is better, the inverse."""
    found: dict[str, float] = {}
    for result in report.results:
        found[f"{result.work} x floor"] = result.to_floor
        if result.to_reference is not None:
            found[f"{result.work} x by hand"] = result.to_reference
        if result.alert is not None:
            found[f"{result.work} alert µs"] = result.alert.build_us + result.alert.encode_us
    for nats in report.nats:
        found[f"nats {nats.events_per_message} a message, empty / engine"] = 1 / nats.share
    if report.latency is not None:
        found["latency p99 ms"] = report.latency.p99_ms
    for devices in report.devices:
        found[f"{devices.state} {devices.devices:,} bytes a device"] = devices.bytes_per_device
    return {name: round(value, 3) for name, value in found.items()}


def remember(report: Report, file: Path = FILE) -> Past:
    """Append a run."""
    past = Past(
        commit=_commit(),
        date=datetime.now(UTC).strftime("%Y-%m-%d"),
        machine=f"{report.machine}, Python {report.python.rpartition('.')[0]}",
        form=report.form,
        figures=figures(report),
    )
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("ab") as out:
        out.write(msgspec.json.encode(past) + b"\n")
    return past


def read(file: Path = FILE) -> list[Past]:
    """All runs, oldest first.

    Raises:
        ValueError: a line is no run; the message says which.
    """
    if not file.exists():
        return []
    found: list[Past] = []
    for number, line in enumerate(file.read_bytes().splitlines(), 1):
        try:
            found.append(msgspec.json.decode(line, type=Past))
        except msgspec.MsgspecError as error:
            raise ValueError(f"line {number} of {file.name} is no run: {error}") from None
    return found


def table(runs: list[Past], most: int = 8) -> list[list[str]]:
    """Rows of the table: its heads first, then a row a figure, the latest ``most`` runs like the last one.

    The last column is the last run over the median of those before, with ``!`` where it drifts up.
    """
    last = runs[-1]
    alike = [run for run in runs if (run.machine, run.form) == (last.machine, last.form)][-most:]
    rows = [["figure", *(f"{run.date} {run.commit}" for run in alike), "drift"]]
    for name, value in last.figures.items():
        before = sorted(run.figures[name] for run in alike[:-1] if name in run.figures)
        drift = ""
        if before and before[len(before) // 2] > 0:
            ratio = value / before[len(before) // 2]
            drift = f"{ratio:.2f}" + (" !" if ratio > DRIFT else "")
        rows.append([name, *(_shown(run.figures.get(name)) for run in alike), drift])
    return rows


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:,.2f}"


def _commit() -> str:
    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", *arguments], capture_output=True, text=True, check=False, cwd=Path(__file__).parent
        )
        return done.stdout.strip() if done.returncode == 0 else ""

    commit = git("rev-parse", "--short=9", "HEAD")
    return (commit or "unknown") + ("+" if git("status", "--porcelain", "--untracked-files=no") else "")
