"""Random choices and times that the streams share."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from heapq import heappop, heappush
from itertools import accumulate
from random import Random

START_MS = 1_767_225_600_000
"""2026-01-01T00:00:00Z in epoch milliseconds: where every stream begins."""


class Zipf:
    """Ranks from 0 to ``size - 1``; rank k comes up in proportion to ``(k + 1) ** -exponent``."""

    def __init__(self, random: Callable[[], float], size: int, exponent: float) -> None:
        self._random = random
        self._sums = list(accumulate((rank + 1) ** -exponent for rank in range(size)))
        self._last = size - 1

    def __call__(self) -> int:
        return min(bisect_right(self._sums, self._random() * self._sums[-1]), self._last)


class Shares:
    """Names in proportion to the shares given with them."""

    def __init__(self, random: Callable[[], float], shares: Sequence[tuple[str, float]]) -> None:
        self._random = random
        self._names = [name for name, _ in shares]
        self._last = len(shares) - 1
        self._sums = list(accumulate(share for _, share in shares))

    def __call__(self) -> str:
        return self._names[min(bisect_right(self._sums, self._random() * self._sums[-1]), self._last)]


class Timeline:
    """Strictly rising, unique times, with events planned ahead among those drawn as time goes on.

    ``mean_step_ms`` is the mean time between events that are not planned.
    """

    def __init__(self, random: Callable[[], float], mean_step_ms: int) -> None:
        self._steps = 2 * mean_step_ms - 1
        self._random = random
        self._planned: dict[int, bytes] = {}
        self._times: list[int] = []
        self.now = START_MS

    def free(self, time: int) -> bool:
        """Whether an event may be planned for this time."""
        return time > self.now and time not in self._planned

    def plan(self, time: int, make: Callable[[int], bytes]) -> None:
        """Plan an event for a time to come, or the first free millisecond after it."""
        while not self.free(time):
            time += 1
        self._planned[time] = make(time)
        heappush(self._times, time)

    def advance(self) -> Iterator[bytes]:
        """Move on to the time of the next event that is not planned; gives the planned ones before it."""
        self.now += 1 + int(self._random() * self._steps)
        while self.now in self._planned:
            self.now += 1
        while self._times and self._times[0] < self.now:
            yield self._planned.pop(heappop(self._times))


def seeded(seed: int, stream: str) -> Random:
    """A generator of its own for each stream. A text as seed is hashed the same everywhere."""
    return Random(f"{stream} {seed}")
