"""Elastic's EQL in its own PythonEngine: one query a rule."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import eql
import msgspec
from eql.engine import PythonEngine
from eql.events import Event

from benchmarks.peers.peer import Ready, Task

VERSION = eql.__version__
_TICKS_A_MILLISECOND = 10_000
"""EQL counts time in units of 100 ns."""
_W1 = """sequence by device, app with maxspan=300s
  [net_flow where score >= 4] [any where kind in ("app.crash", "exec.anomaly", "security.context")]"""


def prepare(task: Task) -> Ready:
    """The newest first event wins and the second one uses it up: Elastic's reading, and ours."""
    queries = [_W1]
    if task.work.startswith("w3"):
        queries = [
            f"sequence by device with maxspan={window}ms [net_flow where score >= {score} and port == {port}]"
            f' [any where kind == "{kind}"]'
            for score, port, kind, window in task.rules
        ]
    lines = Path(task.path).read_bytes().splitlines()
    engine = PythonEngine()
    for query in queries:
        engine.add_query(eql.parse_query(query))
    found = 0

    def take(_: Any) -> None:
        nonlocal found
        found += 1

    engine.add_output_hook(take)
    decode = msgspec.json.Decoder(dict[str, Any]).decode

    def run() -> int:
        for line in lines:
            event = decode(line)
            name = event["kind"].replace(".", "_")
            engine.stream_event(Event(name, event["time"] * _TICKS_A_MILLISECOND, event))
        engine.finalize()
        return found

    return run
