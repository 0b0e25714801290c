"""thenwire, the floor and the hand-written reference in the peers' way: a process each, the same file."""

from __future__ import annotations

from pathlib import Path

from benchmarks.floor import floor_decoder
from benchmarks.peers.peer import Ready, Task
from benchmarks.run import feed_all, matcher_of
from benchmarks.works import w1, w2, w3
from benchmarks.works.work import Work
from engine import __version__

VERSION = __version__


def work_of(task: Task) -> Work:
    """The work, its lines in memory."""
    lines = Path(task.path).read_bytes().splitlines()
    if task.work.startswith("w3-"):
        return w3.make(lines, len(task.rules))
    return {"w1": w1.make, "w2": w2.make}[task.work](lines)


def prepare(task: Task) -> Ready:
    """thenwire: bytes in, alerts as bytes out."""
    work = work_of(task)
    matcher = matcher_of(work)
    return lambda: feed_all(matcher, work.lines)


def floor(task: Task) -> Ready:
    """Decoding alone."""
    work = work_of(task)
    decode = floor_decoder(matcher_of(work).decoder)

    def run() -> int:
        for line in work.lines:
            decode(line)
        return len(work.lines)

    return run


def reference(task: Task) -> Ready:
    """Code written by hand for the work."""
    work = work_of(task)
    return lambda: work.reference(work.lines)
