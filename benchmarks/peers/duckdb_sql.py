"""DuckDB: the file as one batch, in SQL; and as a stream, in batches of a thousand events."""

from __future__ import annotations

from pathlib import Path

import duckdb
import msgspec

from benchmarks.peers.peer import Ready, Task

VERSION = duckdb.__version__
BATCH = 1_000
WINDOW_MS = 300_000
_KINDS = "('app.crash', 'exec.anomaly', 'security.context')"
_EVENTS = """WITH e AS MATERIALIZED (
  SELECT * FROM read_json('{path}', format = 'newline_delimited', columns = {{{columns}}})
  WHERE score >= 4 OR kind IN {kinds}
)
"""
_APP = "kind: 'VARCHAR', device: 'VARCHAR', time: 'BIGINT', app: 'VARCHAR', score: 'DOUBLE'"
_PORT = "kind: 'VARCHAR', device: 'VARCHAR', time: 'BIGINT', port: 'INTEGER', score: 'DOUBLE'"
_QUERIES = {
    "w1": """SELECT count(*) FROM e a JOIN e b USING (device, app)
      WHERE a.score >= 4 AND b.score IS NULL AND b.time > a.time AND b.time <= a.time + 300000""",
    "w1-asof": """SELECT count(*) FROM (FROM e WHERE score IS NULL) b ASOF JOIN (FROM e WHERE score >= 4) a
      ON a.device = b.device AND a.app = b.app AND b.time > a.time WHERE b.time <= a.time + 300000""",
    "w2": """SELECT count(*) FROM (
        SELECT device, app, time, lag(time, 4) OVER (PARTITION BY device, app ORDER BY time) AS first
        FROM e WHERE score >= 4
      ) a JOIN e b USING (device, app) JOIN e c USING (device, app)
      WHERE a.time - a.first <= 600000 AND b.kind = 'app.crash' AND c.kind = 'security.context'
        AND b.time > a.time AND c.time > b.time AND c.time <= a.first + 1800000""",
    "w3": """SELECT count(*) FROM e a JOIN rules r ON a.port = r.port AND a.score >= r.score
      JOIN e b ON a.device = b.device AND b.kind = r.kind
      WHERE b.time > a.time AND b.time <= a.time + r.span""",
}


def prepare(task: Task) -> Ready:
    """Every pair."""
    return _batch(task, task.work)


def asof(task: Task) -> Ready:
    """Every second event that has a first one."""
    return _batch(task, task.work + "-asof")


def _batch(task: Task, query: str) -> Ready:
    connection = duckdb.connect()
    if query.startswith("w3"):
        connection.execute("CREATE TABLE rules (score DOUBLE, port INTEGER, kind VARCHAR, span BIGINT)")
        connection.executemany("INSERT INTO rules VALUES (?, ?, ?, ?)", task.rules)
        query = "w3"
    columns = _PORT if query == "w3" else _APP
    path = task.path.replace("'", "''")
    text = _EVENTS.format(path=path, columns=columns, kinds=_KINDS) + _QUERIES[query]
    return lambda: int(connection.execute(text).fetchone()[0])  # type: ignore[index]  # count(*) has a row


class Event(msgspec.Struct, gc=False):
    """The fields that the query reads."""

    kind: str
    device: str
    time: int
    app: str
    score: float | None = None


def stream(task: Task) -> Ready:
    """W1 in batches, as they would come from a stream: decoded by msgspec, the window's deviations in a
    table.
    """
    import numpy as np

    lines = Path(task.path).read_bytes().splitlines()
    connection = duckdb.connect()
    connection.execute("CREATE TABLE waiting (device VARCHAR, app VARCHAR, time BIGINT)")
    decode = msgspec.json.Decoder(Event).decode

    def run() -> int:
        found = 0
        for begin in range(0, len(lines), BATCH):
            events = [decode(line) for line in lines[begin : begin + BATCH]]
            batch = {
                "kind": np.array([e.kind for e in events], dtype=object),
                "device": np.array([e.device for e in events], dtype=object),
                "app": np.array([e.app for e in events], dtype=object),
                "time": np.array([e.time for e in events]),
                "score": np.array([-1.0 if e.score is None else e.score for e in events]),
            }
            connection.register("batch", batch)
            connection.execute("INSERT INTO waiting SELECT device, app, time FROM batch WHERE score >= 4")
            row = connection.execute(
                f"""SELECT count(*) FROM waiting a JOIN batch b USING (device, app)
                WHERE b.kind IN {_KINDS} AND b.time > a.time AND b.time <= a.time + {WINDOW_MS}"""
            ).fetchone()
            found += row[0] if row else 0
            connection.execute("DELETE FROM waiting WHERE time < ?", [events[-1].time - WINDOW_MS])
        return found

    return run
