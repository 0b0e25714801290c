"""Pathway: an interval join over the file, in its static mode."""

from __future__ import annotations

from importlib.metadata import version

import pathway as pw

from benchmarks.peers.peer import Ready, Task

VERSION = version("pathway")
_TROUBLE = ("app.crash", "exec.anomaly", "security.context")


class Event(pw.Schema):
    """The fields that the join reads."""

    kind: str
    device: str
    time: int
    app: str
    score: float = pw.column_definition(default_value=0.0)


def prepare(task: Task) -> Ready:
    """Every pair."""
    events = pw.io.jsonlines.read(task.path, schema=Event, mode="static")
    firsts = events.filter(events.score >= 4)
    kind = events.kind
    seconds = events.filter((kind == _TROUBLE[0]) | (kind == _TROUBLE[1]) | (kind == _TROUBLE[2]))
    joined = pw.temporal.interval_join(
        firsts,
        seconds,
        firsts.time,
        seconds.time,
        pw.temporal.interval(1, 300_000),
        firsts.device == seconds.device,
        firsts.app == seconds.app,
    ).select(since=firsts.time, time=seconds.time)
    found = 0

    def take(key: object, row: object, time: int, is_addition: bool) -> None:
        nonlocal found
        found += 1 if is_addition else -1

    pw.io.subscribe(joined, on_change=take)

    def run() -> int:
        pw.run(monitoring_level=pw.MonitoringLevel.NONE)
        return found

    return run
