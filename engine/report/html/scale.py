"""Axes: round steps for times and for numbers, and where things stand on them."""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil, floor, log10

import msgspec

from engine.alerts import rfc3339

SECOND, MINUTE, HOUR, DAY = 1_000, 60_000, 3_600_000, 86_400_000

STEPS = (
    *(1, 2, 5, 10, 20, 50, 100, 200, 500),
    *(n * SECOND for n in (1, 2, 5, 10, 15, 30)),
    *(n * MINUTE for n in (1, 2, 5, 10, 15, 30)),
    *(n * HOUR for n in (1, 2, 3, 6, 12)),
    *(n * DAY for n in (1, 2, 7, 14, 28, 91, 182, 364)),
)
"""Milliseconds between marks of a time axis that people can read."""


class TimeScale(msgspec.Struct, frozen=True):
    """From epoch milliseconds to a place across: ``first`` stands at ``left``, ``last`` at ``right``."""

    first: int
    last: int
    left: float
    right: float

    def at(self, time: int) -> float:
        """The place of a time, which may lie outside."""
        share = (time - self.first) / max(1, self.last - self.first)
        return round(self.left + share * (self.right - self.left), 1)

    def within(self, time: int) -> float:
        """The place of a time, or the end that it lies beyond."""
        return min(max(self.at(time), self.left), self.right)

    def ticks(self, most: int) -> Iterator[tuple[float, str]]:
        """Round times with their labels, at most ``most`` and one."""
        step = step_for(self.last - self.first, most)
        time = -(-self.first // step) * step
        while time <= self.last:
            yield self.at(time), label(time, step)
            time += step


def step_for(span: int, most: int) -> int:
    """The smallest round step of which ``most`` cover a span."""
    found = next((step for step in STEPS if step * most >= span), None)
    return found or ceil(span / most / (364 * DAY)) * 364 * DAY


def label(time: int, step: int) -> str:
    """A time as a mark of an axis with this step says it, in UTC."""
    shown = rfc3339(time)
    if step >= DAY:
        return shown[:10]
    clock = shown[11:16] if step >= MINUTE else shown[11:19] if step >= SECOND else shown[11:23]
    return f"{shown[5:10]} {clock}" if not time % DAY else clock


class LogScale(msgspec.Struct, frozen=True):
    """From a value to a place across by log10(1 + x), in which the baselines of the engine think, too."""

    low: float
    high: float
    left: float
    right: float

    def at(self, value: float) -> float:
        """The place of a value, not outside."""
        first, last = _log(self.low), _log(self.high)
        share = (_log(value) - first) / (last - first if last > first else 1)
        return round(self.left + min(max(share, 0), 1) * (self.right - self.left), 1)

    def ticks(self) -> Iterator[tuple[float, str]]:
        """Powers of ten."""
        first, last = ceil(log10(max(self.low, 1))), floor(log10(max(self.high, 1)))
        every = max(1, (last - first) // 6)
        if self.low <= 0:
            yield self.at(0), "0"
        for power in range(first, last + 1, every):
            yield self.at(10.0**power), short(10.0**power)


def _log(value: float) -> float:
    return log10(1 + max(value, 0))


def short(value: float) -> str:
    """A number for a mark: ``1k``, ``20M``."""
    for factor, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= factor:
            return f"{value / factor:.3g}{unit}"
    return f"{value:.3g}"
