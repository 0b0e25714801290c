"""A robust baseline by hand: what LANGUAGE.md section 6 and docs say of it, in one object a key.

An expert would precompute the weights, keep everything in slots and learn only when a bucket closes; that is
what this does. It knows no late event.
"""

from __future__ import annotations

from math import log1p

_TABLE = 4_096
_FAST = 1.0 - 2.0 ** (-1.0 / 288)
_MONTH_MS = 30 * 86_400_000
LEAST_SPREAD = 0.25
REFUSE = 4.0
SHIFT = 12


def _weights(alpha: float) -> list[float]:
    return [1.0, *(alpha / (1.0 - (1.0 - alpha) ** n) for n in range(1, _TABLE))]


FAST_WEIGHTS = _weights(_FAST)


def slow_weights(every_ms: int) -> list[float]:
    """How much sample n counts in the copy with a half-life of 30 days."""
    return _weights(1.0 - 2.0 ** (-every_ms / _MONTH_MS))


class Level:
    """Centre and spread of ln(1 + sum in a bucket).

    Args:
        fleet: learns what this one does not refuse; None: there is none.
        slow: of ``slow_weights``.
        warmup: samples before it refuses anything.
    """

    __slots__ = (
        "bucket", "centre", "fleet", "high", "samples", "slow", "slow_centre", "slow_spread", "spread",
        "total", "warmup", "weight",
    )  # fmt: skip

    def __init__(self, fleet: Level | None, slow: list[float], warmup: int) -> None:
        self.fleet = fleet
        self.slow = slow
        self.warmup = warmup
        self.bucket = -1
        self.total = 0
        self.samples = self.weight = self.high = 0
        self.centre = self.slow_centre = 0.0
        self.spread = self.slow_spread = LEAST_SPREAD

    def next(self, bucket: int, value: int) -> None:
        """Another bucket begins with this value: learn the one that is over."""
        if self.bucket >= 0:
            y = log1p(self.total)
            if self.learn(y) and self.fleet is not None:
                self.fleet.learn(y)
        self.bucket = bucket
        self.total = value

    def learn(self, y: float) -> bool:
        """Learn y unless it is too high to be normal; whether it was learned."""
        samples = self.samples
        if samples == 0:
            self.samples = self.weight = 1
            self.centre = self.slow_centre = y
            return True
        centre, spread = self.centre, self.spread
        off = y - centre
        if samples >= self.warmup:
            if off > REFUSE * spread:
                self.high += 1
                if self.high < SHIFT:
                    return False
                self.high = self.weight = SHIFT
            else:
                self.high = 0
        self.samples = samples = samples + 1
        weight = self.weight
        if weight < _TABLE - 1:
            self.weight = weight = weight + 1
        slow_centre, slow_spread = self.slow_centre, self.slow_spread
        part = self.slow[samples if samples < _TABLE else _TABLE - 1]
        apart = y - slow_centre
        near = off if off >= 0.0 else -off
        if samples > 288:
            bound, to_sigma = slow_spread, 1.584
            clipped = -3.0 * slow_spread <= centre - slow_centre <= 3.0 * slow_spread
        else:
            bound, to_sigma = 3.0 * slow_spread, 1.2533
            clipped = True
        if clipped:
            apart = bound if apart > bound else -bound if apart < -bound else apart
        self.slow_centre = slow_centre + part * apart
        slow_spread += part * (to_sigma * (near if near < bound else bound) - slow_spread)
        if slow_spread < LEAST_SPREAD:
            slow_spread = LEAST_SPREAD
        self.slow_spread = slow_spread
        part = FAST_WEIGHTS[weight]
        bound = 3.0 * spread
        if near > bound:
            near = bound
            off = bound if off > 0.0 else -bound
        self.centre = centre + part * off
        spread += part * (1.2533 * near - spread)
        if spread > 1.5 * slow_spread:
            spread = 1.5 * slow_spread
        self.spread = spread if spread > LEAST_SPREAD else LEAST_SPREAD
        return True

    def deviation(self) -> float:
        """How many spreads the open bucket lies above the centre; 0 while cold."""
        if self.samples < self.warmup:
            return 0.0
        return (log1p(self.total) - self.centre) / self.spread
