"""chDB, ClickHouse in the process: the file as one batch."""

from __future__ import annotations

import chdb

from benchmarks.peers.peer import Ready, Task

VERSION = chdb.__version__
_QUERY = """WITH e AS (
  SELECT kind, device, time, app, score FROM file('{path}', JSONEachRow,
    'kind LowCardinality(String), device String, time Int64, app String, score Nullable(Float64)')
  WHERE score >= 4 OR kind IN ('app.crash', 'exec.anomaly', 'security.context')
)
SELECT count() FROM (SELECT device, app, time FROM e WHERE score >= 4) AS a
JOIN (SELECT device, app, time FROM e WHERE score IS NULL) AS b USING (device, app)
WHERE b.time > a.time AND b.time <= a.time + 300000"""


def prepare(task: Task) -> Ready:
    """Every pair."""
    chdb.query("SELECT 1")
    text = _QUERY.format(path=task.path.replace("'", "\\'"))
    return lambda: int(str(chdb.query(text, "CSV")).strip())
