"""Quantiles of durations in bounded memory.

Counts in buckets whose borders grow by a constant factor, so that every answer is right to 2 % whatever the
durations are: the idea of DDSketch (Masson, Rim and Lee, VLDB 2019). No sampling and no chance: the same
durations in any order give the same answers, and two sketches add up to the one of both.
"""

from __future__ import annotations

from math import ceil, log
from typing import Final

GROWTH: Final = 1.04
_SCALE: Final = 1 / log(GROWTH)
LONGEST_MS: Final = 10 * 365 * 86_400_000
"""Longer durations count as this long; it bounds a sketch to some 680 buckets."""


class Durations:
    """A sketch of durations in milliseconds; below one millisecond all are zero."""

    __slots__ = ("_buckets", "count")

    def __init__(self) -> None:
        self.count = 0
        self._buckets: dict[int, int] = {}

    def add(self, duration_ms: int) -> None:
        bucket = 0 if duration_ms < 1 else 1 + ceil(log(min(duration_ms, LONGEST_MS)) * _SCALE)
        self._buckets[bucket] = self._buckets.get(bucket, 0) + 1
        self.count += 1

    def merge(self, other: Durations) -> None:
        """Add what another has counted."""
        for bucket, count in other._buckets.items():
            self._buckets[bucket] = self._buckets.get(bucket, 0) + count
        self.count += other.count

    def quantile(self, share: float) -> int:
        """The duration that this share of all does not exceed, right to 2 %; 0 where there are none."""
        left = ceil(share * self.count)
        for bucket in sorted(self._buckets):
            left -= self._buckets[bucket]
            if left <= 0:
                return _middle(bucket)
        return 0

    def share_above(self, duration_ms: int) -> float:
        """The share of durations that are longer, right but for those within 2 % of it."""
        if not self.count:
            return 0.0
        above = sum(count for bucket, count in self._buckets.items() if _middle(bucket) > duration_ms)
        return above / self.count


def _middle(bucket: int) -> int:
    """A duration no further than 2 % from all that fall into a bucket."""
    return 0 if bucket == 0 else round(2 * GROWTH ** (bucket - 1) / (GROWTH + 1))
