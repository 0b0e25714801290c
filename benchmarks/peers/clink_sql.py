"""clink through pyclink: a streaming SQL engine in the process, with MATCH_RECOGNIZE."""

from __future__ import annotations

from importlib.metadata import version

import pyclink

from benchmarks.peers.peer import Ready, Task

VERSION = version("pyclink")
WINDOW_MS = 300_000
_SQL = """
CREATE TABLE events (kind TEXT, device TEXT, app TEXT, score DOUBLE PRECISION, time BIGINT)
  WITH (connector = 'file', format = 'json', path = '{path}',
        event_time_column = 'time', watermark_lag_ms = '0');
CREATE VIEW relevant AS SELECT kind, device, app, score, time FROM events
  WHERE score >= 4 OR kind = 'app.crash' OR kind = 'exec.anomaly' OR kind = 'security.context';
CREATE TABLE found (since BIGINT, until BIGINT) WITH (connector = 'collect');
INSERT INTO found SELECT since, until FROM relevant MATCH_RECOGNIZE (
  PARTITION BY device, app ORDER BY time
  MEASURES FIRST(a.time) AS since, LAST(b.time) AS until
  PATTERN (a b)
  DEFINE a AS score >= 4, b AS kind <> 'net.flow'
)
"""


def prepare(task: Task) -> Ready:
    """The newest first event wins and the second one uses it up. The language has no WITHIN: we look at the
    span
    of what is found.
    """
    engine = pyclink.Engine()
    text = _SQL.format(path=task.path.replace("'", "''"))

    def run() -> int:
        engine.execute(text)
        pairs = engine.collect("found").read_all().to_pydict()
        engine.await_all()
        spans = zip(pairs["since"], pairs["until"], strict=True)
        return sum(until - since <= WINDOW_MS for since, until in spans)

    return run
