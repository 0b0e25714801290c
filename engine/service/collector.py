"""Keeps Python's collector of cycles from holding the event loop.

The collector looks for objects that only refer to each other. Now and then it looks at all there are, and for
that time nothing else of the process runs: more than a second was measured for the state of 200,000 devices.
What the engine keeps of devices has no such cycles; it goes when the last reference to it goes, and the
collector is not needed for that.

So what has outlived one full collection is not looked at again (``gc.freeze``, which takes no time by the
number of objects). A full collection then looks only at what came to stay since the one before, and low
thresholds make that some thousand objects: some milliseconds. What is young is collected as ever, so the
cycles of tasks, exceptions and connections go while they are young.

The price: a cycle that lives long and then ends is not found. Where the service ends such a thing, a set of
rules that was replaced, it takes it apart itself (``engine.reload.leftovers``).

The settings are the whole process's, so the service as a process applies them, and no library does.
"""

from __future__ import annotations

import contextlib
import gc
import time
from collections.abc import Iterator
from typing import Final

FULL: Final = 2
"""The generation that a full collection looks at."""
THRESHOLDS: Final = (250, 3, 1)
"""New objects for a young collection, young ones for an older one, those for a full one. Python's own are
700, 10, 10, which makes full collections of up to 70 ms (measured, 200,000 devices).
"""


class Pauses:
    """How long collections have held the process. Times in seconds."""

    def __init__(self) -> None:
        self.count = 0
        """Collections of any generation."""
        self.seconds = 0.0
        """Of all of them."""
        self.longest = 0.0
        """Of one."""
        self._began = 0.0

    def note(self, phase: str, info: dict[str, int]) -> None:
        """As ``gc.callbacks`` has it: a collection begins or has ended."""
        if phase == "start":
            self._began = time.perf_counter()
            return
        took = time.perf_counter() - self._began
        self.count += 1
        self.seconds += took
        self.longest = max(self.longest, took)
        if info["generation"] == FULL:
            gc.freeze()


@contextlib.contextmanager
def short_pauses() -> Iterator[Pauses]:
    """Have the collector pause shortly while the block runs."""
    pauses = Pauses()
    before = gc.get_threshold()
    # What the program consists of stays.
    gc.collect()
    gc.freeze()
    # A full collection waits until there is a quarter as much to look at as the one before had left over.
    gc.collect()
    gc.set_threshold(*THRESHOLDS)
    gc.callbacks.append(pauses.note)
    try:
        yield pauses
    finally:
        gc.callbacks.remove(pauses.note)
        gc.set_threshold(*before)
        gc.unfreeze()
