"""W2 by hand: the last five deviations of each device and app, and how far the latest burst has come."""

from __future__ import annotations

from collections import deque

from benchmarks.generate.flows import BURST, BURST_MS, BURST_WINDOW_MS
from benchmarks.references.w1 import DEVIATION, Context, Crash, Flow, decode


class Burst:
    """Of one device and app. A time that begins no run is 0.

    Attributes:
        times: of the last five deviations.
        seen: when the latest burst began that waits for a crash.
        crashed: when the latest burst began that has seen one.
    """

    __slots__ = ("crashed", "seen", "times")

    def __init__(self) -> None:
        self.times: deque[int] = deque(maxlen=BURST)
        self.seen = self.crashed = 0


def count(lines: list[bytes]) -> int:
    """How often a crash and then a change of the security context follow five deviations."""
    read = decode
    bursts: dict[tuple[str, str], Burst] = {}
    found = 0
    for line in lines:
        event = read(line)
        kind = type(event)
        if kind is Flow:
            if event.score >= DEVIATION:
                burst = bursts.get((event.device, event.app))
                if burst is None:
                    burst = bursts[event.device, event.app] = Burst()
                times = burst.times
                times.append(event.time)
                if len(times) == BURST and event.time - times[0] <= BURST_MS:
                    # A later burst has everything before it that an earlier one has, and more time.
                    burst.seen = times[0]
        elif kind is Crash:
            burst = bursts.get((event.device, event.app))
            if burst is not None and burst.seen:
                burst.crashed, burst.seen = burst.seen, 0
        elif kind is Context:
            burst = bursts.get((event.device, event.app))
            if burst is not None and burst.crashed:
                if event.time - burst.crashed <= BURST_WINDOW_MS:
                    found += 1
                burst.crashed = 0
    return found
