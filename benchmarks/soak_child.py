"""``thenwire run`` that also writes down what holds the event loop, a line each: each ``cut`` and each
``slice`` of a checkpoint, each collection of cycles (``young``, ``older``, ``full``), and how late the loop
was for a timer (``loop``), which has all of it and the matching of messages in it. The metrics tell the
longest only. A line has seconds by the clock and, for all but ``loop``, seconds of this thread's own work: a
busy machine makes the first longer. At SIGUSR1 a line says how many objects in ``cycles`` there are.

    python -m benchmarks.soak_child FILE run --rules ...
"""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
import time
from pathlib import Path
from typing import Any, TextIO

from engine.cli import main as command_line
from engine.service.checkpoints.barrier import Barrier

_EVERY_SECONDS = 0.01
_GENERATIONS = ("young", "older", "full")


class Collections:
    """Writes down how long each collection takes."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        """To be written by somebody else: a collection may begin while something is being written."""
        self._began = self._own = 0.0

    def note(self, phase: str, info: dict[str, int]) -> None:
        """See ``gc.callbacks``."""
        now, own = time.perf_counter(), time.thread_time()
        if phase == "start":
            self._began, self._own = now, own
        else:
            what = _GENERATIONS[info["generation"]]
            self.lines.append(f"{what} {now - self._began:.6f} {own - self._own:.6f}\n")


async def _watch(holds: TextIO, collections: Collections) -> None:
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + _EVERY_SECONDS
        await asyncio.sleep(_EVERY_SECONDS)
        late = loop.time() - due
        if late > _EVERY_SECONDS / 10:
            holds.write(f"loop {late:.6f}\n")
        lines, collections.lines = collections.lines, []
        holds.writelines(lines)


def _count_cycles(holds: TextIO) -> None:
    gc.unfreeze()
    holds.write(f"cycles {gc.collect()}\n")


def main() -> int:
    """The exit code of ``thenwire run``."""
    with Path(sys.argv[1]).open("a", buffering=1) as holds:
        cut, pack = Barrier._cut, Barrier._slice
        begin = Barrier.begin
        watching: list[asyncio.Task[None]] = []

        def beginning(self: Any, *arguments: Any) -> None:
            begin(self, *arguments)
            watching.append(asyncio.get_running_loop().create_task(_watch(holds, collections)))

        def timed(what: str, work: Any) -> Any:
            def inner(self: Any, *arguments: Any) -> Any:
                began, own = time.perf_counter(), time.thread_time()
                found = work(self, *arguments)
                took = time.perf_counter() - began, time.thread_time() - own
                holds.write(f"{what} {took[0]:.6f} {took[1]:.6f}\n")
                return found

            return inner

        Barrier._cut = timed("cut", cut)  # type: ignore[method-assign]  # to look on
        Barrier._slice = timed("slice", pack)  # type: ignore[method-assign]  # likewise
        Barrier.begin = beginning  # type: ignore[method-assign, assignment]  # likewise
        collections = Collections()
        gc.callbacks.insert(0, collections.note)
        signal.signal(signal.SIGUSR1, lambda *_: _count_cycles(holds))
        return command_line(sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())
