"""polars: the file as one batch."""

from __future__ import annotations

import polars as pl

from benchmarks.peers.peer import Ready, Task

VERSION = pl.__version__
_TROUBLE = ["app.crash", "exec.anomaly", "security.context"]
_SCHEMA = {
    "kind": pl.String, "device": pl.String, "time": pl.Int64, "app": pl.String, "port": pl.Int64,
    "score": pl.Float64,
}  # fmt: skip


def _events(task: Task, without: str) -> pl.DataFrame:
    schema = {name: kind for name, kind in _SCHEMA.items() if name != without}
    scan = pl.scan_ndjson(task.path, schema=schema)
    return scan.filter((pl.col("score") >= 4) | pl.col("kind").is_in(_TROUBLE)).collect()


def prepare(task: Task) -> Ready:
    """Every pair; for W3 one plan a rule, after one filter for all."""
    return _rules(task) if task.work.startswith("w3") else lambda: _pairs(_events(task, "port"))


def _pairs(events: pl.DataFrame) -> int:
    firsts = events.filter(pl.col("score") >= 4)
    seconds = events.filter(pl.col("score").is_null())
    gap = pl.col("time_right") - pl.col("time")
    joined = firsts.lazy().join(seconds.lazy(), on=["device", "app"])
    return int(joined.filter((gap > 0) & (gap <= 300_000)).select(pl.len()).collect().item())


def asof(task: Task) -> Ready:
    """Every second event that has a first one."""

    def run() -> int:
        events = _events(task, "port")
        firsts = events.filter(pl.col("score") >= 4).with_columns(since=pl.col("time"))
        seconds = events.filter(pl.col("score").is_null()).drop("score")
        joined = seconds.join_asof(
            firsts,
            on="time",
            by=["device", "app"],
            tolerance=300_000,
            allow_exact_matches=False,
            check_sortedness=False,
        )
        return int(joined.get_column("since").count())

    return run


def _rules(task: Task) -> Ready:
    def run() -> int:
        events = _events(task, "app")
        firsts, seconds = events.filter(pl.col("score") >= 4), events.filter(pl.col("score").is_null())
        of_port = {key[0]: part for key, part in firsts.group_by("port")}
        of_kind = {key[0]: part for key, part in seconds.group_by("kind")}
        found = 0
        for score, port, kind, window in task.rules:
            part = of_port.get(port)
            if part is None or kind not in of_kind:
                continue
            joined = part.filter(pl.col("score") >= score).join(of_kind[kind], on="device")
            gap = joined.get_column("time_right") - joined.get_column("time")
            found += int(((gap > 0) & (gap <= window)).sum())
        return found

    return run
