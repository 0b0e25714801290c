"""bytewax: a dataflow whose step is hand-written Python, keyed by device and app. It has no rules of its
own.
"""

from __future__ import annotations

from collections import deque
from importlib.metadata import version
from pathlib import Path
from typing import Any

import bytewax.operators as op
import msgspec
from bytewax.dataflow import Dataflow
from bytewax.testing import TestingSink, TestingSource, run_main

from benchmarks.peers.peer import Ready, Task

VERSION = version("bytewax")
WINDOW_MS = 300_000
_TROUBLE = frozenset({"app.crash", "exec.anomaly", "security.context"})


class Event(msgspec.Struct, gc=False):
    """The fields that the step reads."""

    kind: str
    device: str
    time: int
    app: str
    score: float = 0.0


def prepare(task: Task) -> Ready:
    """Every pair. What fits nothing is dropped before the keyed step: our filter, which is most of its
    speed.
    """
    lines = Path(task.path).read_bytes().splitlines()
    found: list[tuple[str, int]] = []
    decode = msgspec.json.Decoder(Event).decode

    def relevant(line: bytes) -> tuple[str, Event] | None:
        event = decode(line)
        if event.score >= 4 or event.kind in _TROUBLE:
            return f"{event.device} {event.app}", event
        return None

    def step(state: deque[int] | None, event: Event) -> tuple[deque[int], int]:
        state = deque() if state is None else state
        if event.score >= 4:
            state.append(event.time)
            return state, 0
        while state and state[0] < event.time - WINDOW_MS:
            state.popleft()
        return state, len(state)

    flow = Dataflow("pairs")
    events: Any = op.input("in", flow, TestingSource(lines, batch_size=1_000))
    keyed = op.filter_map("relevant", events, relevant)
    counted = op.stateful_map("step", keyed, step)
    op.output("out", op.filter("matches", counted, lambda pair: pair[1] > 0), TestingSink(found))

    def run() -> int:
        run_main(flow)
        return sum(count for _, count in found)

    return run
