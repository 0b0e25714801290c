"""Processor and wall-clock time of several ways to do the same work, run in turn: A B C, C B A, A B C.

A shared machine slows down and speeds up by tens of percent from one second to the next. What runs right
after each other meets the same weather, so ratios are taken within a round, and their median is reported.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping
from statistics import median
from time import perf_counter, process_time

import msgspec

Run = Callable[[], int]


class Timing(msgspec.Struct, frozen=True):
    """What one way took and gave: CPU seconds of each round, its count, which is the same in all, and the
    seconds by the clock on the wall.
    """

    seconds: list[float]
    count: int
    walls: list[float] = []

    @property
    def median(self) -> float:
        """CPU seconds of the round in the middle."""
        return median(self.seconds)


class CountsDiffer(Exception):
    """A way gave different counts in different rounds."""


def in_turn(ways: Mapping[str, Callable[[], Run]], rounds: int) -> dict[str, Timing]:
    """Run every way ``rounds`` times, each round in the opposite order of the one before.

    Args:
        ways: for each name a function that prepares a run; only the run it returns is timed.

    Raises:
        CountsDiffer: see there.
    """
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    walls: dict[str, list[float]] = {name: [] for name in ways}
    counts: dict[str, set[int]] = {name: set() for name in ways}
    order = list(ways)
    # Neither the input nor what was loaded before is walked over again and again at a way's expense.
    gc.collect()
    gc.freeze()
    for _ in range(rounds):
        for name in order:
            run = ways[name]()
            gc.collect()
            wall, begin = perf_counter(), process_time()
            counts[name].add(run())
            seconds[name].append(process_time() - begin)
            walls[name].append(perf_counter() - wall)
            del run
        order.reverse()
    gc.unfreeze()
    for name, found in counts.items():
        if len(found) != 1:
            raise CountsDiffer(f"`{name}` counts {sorted(found)} in different rounds of the same work")
    return {name: Timing(seconds[name], counts[name].pop(), walls[name]) for name in ways}


def ratio(one: Timing, other: Timing) -> float:
    """How many times as long ``one`` takes as ``other``: the median of the rounds' ratios."""
    return median(a / b for a, b in zip(one.seconds, other.seconds, strict=True))
