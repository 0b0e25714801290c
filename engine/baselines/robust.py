"""USING robust: centre and spread of ln(1 + x), hard to pull by a single bucket.

Formula (LANGUAGE.md section 6): y = ln(1 + x). Centre m and spread d are the exponentially weighted mean
and mean absolute deviation (times 1.2533, which makes it a standard deviation for normal data), residuals
clipped to 3 d, d floored at 0.25. ``deviation`` is (y - m) / d.

The weights are normalised: sample n counts a / (1 - (1 - a)^n), with a = 1 - 2^(-1/288), so that a young
baseline is the plain mean of what it has seen instead of being stuck at its first sample.

A second copy with a half-life of 30 days stands beside; the fast spread never exceeds 1.5 times the slow
one's, so a flood of noise cannot hide what follows it. After its first 288 samples the slow copy clips
residuals to one spread, and its spread reads how far samples lie from the *fast* centre: so neither its
centre nor its spread is pulled along by a level that creeps upwards, and ``drift`` sees it. Once the
centres are 3 slow spreads apart the slow centre follows unclipped, so that a new level is called drift for
weeks and not for years. (With the clip and the residuals of the fast copy, simulated growth of 0.1 to 1 % a
bucket blinded ``deviation`` before ``drift`` passed 3.)

A bucket that scored above 4 is not learned, until 12 in a row: then the level has shifted, and the fast copy
starts over as if it had seen only 12 samples, so that it follows within hours instead of weeks.

Source: an exponentially weighted mean with Huber's clipping of residuals (Huber, "Robust Estimation of a
Location Parameter", 1964), in the logarithm because traffic grows by factors.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from functools import lru_cache
from math import expm1, log1p
from typing import Any, ClassVar

from engine.baselines import Reading
from engine.baselines.estimator import Answer, Estimator, Terms, numbers, require
from engine.baselines.rows import MINUTE_MS, Holder, Room, Rows

HALF_LIFE_SAMPLES = 288
"""A day of five-minute buckets."""
SLOW_HALF_LIFE_MS = 30 * 86_400_000
SLOW_HALF_LIFE_SAMPLES = 8_640
"""Thirty days of five-minute buckets: for baselines without EVERY, which have no bucket length."""
MAD_TO_SIGMA = 1.2533
"""sqrt(pi / 2): mean absolute deviation to standard deviation of a normal distribution."""
CLIP = 3.0
SLOW_CLIP = 1.0
SLOW_TO_SIGMA = 1.584
"""1 / E min(|z|, 1) for a normal z: what MAD_TO_SIGMA is where residuals are clipped to one spread."""
DRIFTED = 3.0
"""Slow spreads between the centres. Further apart the slow copy follows unclipped, or a level that has
changed for good would be called drift for years: so the distance halves in 30 days."""
SLOW_YOUNG = 288
"""Until it has seen so many samples the slow copy clips like the fast one, to find its level at all."""
FLOOR = 0.25
"""In ln(1 + x): a change of 28 % is one spread at the least, or constant traffic would alert on crumbs."""
SPREAD_LIMIT = 1.5
REFUSE_ABOVE = 4.0
SHIFT_AFTER = 12
MOST = 1e300
"""Larger values count as this; ln(1 + 2^63) is 43.7, so no real one comes near."""

FAST_ALPHA = 1.0 - 2.0 ** (-1.0 / HALF_LIFE_SAMPLES)
_TABLE = 4_096
"""Sample weights kept ready; after so many the fast weight differs from its limit by less than one in
10,000.
"""
_OPEN, _SAMPLES, _COUNTS = 0, 1, 2
_TOTAL, _CENTRE, _SPREAD, _SLOW_CENTRE, _SLOW_SPREAD = range(5)
_BUCKETS = 1 << 32
_HIGH, _SHIFTED, _WEIGHT = 0x0F, 0x10, 5
MOST_SAMPLES = (1 << 32) - 1


@lru_cache(maxsize=64)
def _weights(alpha: float) -> list[float]:
    """a / (1 - (1 - a)^n) for n from 0; the first two are 1."""
    return [1.0, *(alpha / (1.0 - (1.0 - alpha) ** n) for n in range(1, _TABLE))]


class Robust(Estimator):
    """Five doubles and three numbers a key: 52 bytes.

    The doubles: the open bucket's sum; centre and spread; the slow ones. The numbers: the open bucket (its
    number plus 1, modulo 2^32; 0: none); samples learned; and in one the buckets in a row that scored too
    high (4 bits), whether the level has shifted (1 bit) and the samples that the fast weight counts (up to
    4,095).
    """

    using = "robust"
    doubles = 5
    ints = 3
    functions: ClassVar[tuple[str, ...]] = ("deviation", "expected", "drift")

    def __init__(self, terms: Terms, rows: Rows, room: Room, peer: Estimator | None = None) -> None:
        super().__init__(terms, rows, room, peer)
        every = terms.every_ms
        self.warmup = max(1, terms.warmup)
        slow = SLOW_HALF_LIFE_MS / every if every else SLOW_HALF_LIFE_SAMPLES
        self.slow_alpha = 1.0 - 2.0 ** (-1.0 / slow)
        self._fast_weights = _weights(FAST_ALPHA)
        self._slow_weights = _weights(self.slow_alpha)
        self._peer_rows = None if peer is None else peer.rows
        self._peer_at = 0 if peer is None else peer.room.n
        self._peer_cell = 0 if peer is None else peer.room.d
        # Without EVERY a bucket is one event; its number is the minute, to tell what is late.
        self.every = every or MINUTE_MS
        self.single = every is None

    # --- learning

    def observe(self, holder: Holder, row: int, time: int, value: Any, peer: Any) -> float:
        """The value to be judged: the bucket's sum so far, or the value alone if its bucket is over."""
        at = row * self.rows.ints + self.room.n
        cell = row * self.rows.doubles + self.room.d
        value = value if 0 < value < MOST else MOST if value > 0 else 0.0
        bucket = (time // self.every + 1) % _BUCKETS
        n = holder.n
        open_ = n[at]
        if self.single:
            # The sample is learned when the next one comes, so it is judged before it is learned.
            if open_ and self.is_late(holder, row, time // MINUTE_MS):
                return float(value)
        elif bucket == open_:
            total: float = min(holder.d[cell] + value, MOST)
            holder.d[cell] = total
            return total
        elif open_ and (bucket - open_) % _BUCKETS > _BUCKETS // 2:
            return float(value)
        if open_:
            self.close(holder, at, cell, time, peer)
        n[at] = bucket
        holder.d[cell] = value
        return float(value)

    def close(self, holder: Holder, at: int, cell: int, time: int, peer: Any) -> None:
        """The bucket is over: learn it; the peer learns what its key does not refuse, and refuses by itself.
        ``at`` and ``cell`` say where the row's numbers begin.
        """
        y = log1p(holder.d[cell])
        if self._learn(holder.n, holder.d, at, cell, y) and self._peer_rows is not None:
            rows = self._peer_rows
            other, row = rows.at(peer, time // MINUTE_MS)
            self._learn(
                other.n, other.d, row * rows.ints + self._peer_at, row * rows.doubles + self._peer_cell, y
            )

    def _learn(self, n: array[int], d: array[float], at: int, cell: int, y: float) -> bool:
        """Learn y unless it scored too high; whether it did."""
        samples = n[at + _SAMPLES]
        counts = n[at + _COUNTS]
        weight = counts >> _WEIGHT
        centre, spread = d[cell + _CENTRE], d[cell + _SPREAD]
        slow_centre, slow_spread = d[cell + _SLOW_CENTRE], d[cell + _SLOW_SPREAD]
        if samples == 0:
            n[at + _SAMPLES] = 1
            n[at + _COUNTS] = 1 << _WEIGHT
            d[cell + _CENTRE] = d[cell + _SLOW_CENTRE] = y
            d[cell + _SPREAD] = d[cell + _SLOW_SPREAD] = FLOOR
            return True
        off = y - centre
        flags = counts & (_SHIFTED | _HIGH)
        if samples >= self.warmup:
            if off > REFUSE_ABOVE * spread:
                high = min((flags & _HIGH) + 1, SHIFT_AFTER)
                if high < SHIFT_AFTER:
                    n[at + _COUNTS] = counts + 1
                    return False
                flags = _SHIFTED | high
                weight = SHIFT_AFTER
            elif flags:
                if flags == _SHIFTED and abs(centre - slow_centre) <= DRIFTED * slow_spread:
                    flags = 0
                flags &= _SHIFTED
        samples += samples < MOST_SAMPLES
        weight += weight < _TABLE - 1
        n[at + _SAMPLES] = samples
        n[at + _COUNTS] = weight << _WEIGHT | flags
        # The slow copy.
        if samples < _TABLE:
            part = self._slow_weights[samples]
        else:
            alpha = self.slow_alpha
            part = alpha / (1.0 - (1.0 - alpha) ** samples)
        slow_off = y - slow_centre
        if samples > SLOW_YOUNG:
            bound, to_sigma = SLOW_CLIP * slow_spread, SLOW_TO_SIGMA
            clipped = -DRIFTED * slow_spread <= centre - slow_centre <= DRIFTED * slow_spread
        else:
            bound, to_sigma = CLIP * slow_spread, MAD_TO_SIGMA
            clipped = True
        if clipped:
            slow_off = bound if slow_off > bound else -bound if slow_off < -bound else slow_off
        d[cell + _SLOW_CENTRE] = slow_centre + part * slow_off
        near = off if off >= 0 else -off
        slow_spread += part * (to_sigma * (near if near < bound else bound) - slow_spread)
        if slow_spread < FLOOR:
            slow_spread = FLOOR
        d[cell + _SLOW_SPREAD] = slow_spread
        # The fast copy.
        part = self._fast_weights[weight]
        bound = CLIP * spread
        off = bound if off > bound else -bound if off < -bound else off
        d[cell + _CENTRE] = centre + part * off
        spread += part * (MAD_TO_SIGMA * abs(off) - spread)
        if spread > SPREAD_LIMIT * slow_spread:
            spread = SPREAD_LIMIT * slow_spread
        d[cell + _SPREAD] = spread if spread > FLOOR else FLOOR
        return True

    # --- answers

    def warm(self, holder: Holder, row: int) -> bool:
        return holder.n[row * self.rows.ints + self.room.n + _SAMPLES] >= self.warmup

    def _cells(self, holder: Holder, row: int, peer: Any) -> tuple[Any, int] | None:
        """The numbers of the row that answers."""
        if holder.n[row * self.rows.ints + self.room.n + _SAMPLES] >= self.warmup:
            return holder.d, row * self.rows.doubles + self.room.d
        answer = self.answering(holder, row, peer)
        if answer is None:
            return None
        who, holder, row = answer
        return holder.d, row * who.rows.doubles + who.room.d

    def deviation(self, holder: Holder | None, row: int, seen: float | None, peer: Any) -> float | None:
        """(y - m) / d; None while cold."""
        if seen is None or holder is None:
            return None
        found = self._cells(holder, row, peer)
        if found is None:
            return None
        d, cell = found
        return (log1p(seen) - d[cell + _CENTRE]) / d[cell + _SPREAD]  # type: ignore[no-any-return]

    def expected(self, holder: Holder | None, row: int, seen: float | None, peer: Any) -> float | None:
        """The centre in units of the value; None while cold."""
        found = None if seen is None or holder is None else self._cells(holder, row, peer)
        return None if found is None else value_of(found[0][found[1] + _CENTRE])

    def drift(self, holder: Holder | None, row: int, seen: float | None, peer: Any) -> float | None:
        """Distance of the fast from the slow centre in slow spreads; None while cold."""
        found = None if seen is None or holder is None else self._cells(holder, row, peer)
        if found is None:
            return None
        d, cell = found
        return abs(d[cell + _CENTRE] - d[cell + _SLOW_CENTRE]) / d[cell + _SLOW_SPREAD]  # type: ignore[no-any-return]

    def reading(self, holder: Holder, row: int, seen: Any, peer: Any, time: int, value: Any) -> Reading:
        return self.reading_of(self.answering(holder, row, peer), holder, row, seen, time)

    def reading_of(self, answer: Answer | None, holder: Holder, row: int, seen: float, time: int) -> Reading:
        """The reading of ``seen``, by whoever answers."""
        every = self.terms.every_ms
        if answer is None:
            samples = holder.n[row * self.rows.ints + self.room.n + _SAMPLES]
            return Reading(
                baseline=self.name,
                using=self.using,
                function="deviation",
                value=seen,
                score=None,
                expected=None,
                low=None,
                high=None,
                drift=None,
                scope=self.scope,
                peer=False,
                samples=samples,
                age_ms=self.age_ms(holder, row, time),
                state="cold",
                window_ms=every,
            )
        who, holder, row = answer
        at = row * who.rows.ints + who.room.n
        cell = row * who.rows.doubles + who.room.d
        _, centre, spread, slow_centre, slow_spread = holder.d[cell : cell + 5]
        return Reading(
            baseline=self.name,
            using=self.using,
            function="deviation",
            value=seen,
            score=(log1p(seen) - centre) / spread,
            expected=value_of(centre),
            low=value_of(centre - 2 * spread),
            high=value_of(centre + 2 * spread),
            drift=abs(centre - slow_centre) / slow_spread,
            scope=who.scope,
            peer=who is not self,
            samples=holder.n[at + _SAMPLES],
            age_ms=who.age_ms(holder, row, time),
            state="shifted" if holder.n[at + _COUNTS] & _SHIFTED else "ok",
            window_ms=every,
        )

    # --- tests

    def fix(self, key: Any, state: Mapping[str, Any], time: int) -> None:
        require(state, self.using, "center", "spread", "n")
        self.set_level(key, state, time)

    def set_level(self, key: Any, state: Mapping[str, Any], time: int) -> None:
        """Set centre, spread and samples."""
        centre, spread, samples = numbers(state, "center", "spread", "n")
        holder, row = self.rows.at(key, time // MINUTE_MS)
        at = row * self.rows.ints + self.room.n
        cell = row * self.rows.doubles + self.room.d
        d, n = holder.d, holder.n
        d[cell + _CENTRE] = d[cell + _SLOW_CENTRE] = min(centre, log1p(MOST))
        d[cell + _SPREAD] = d[cell + _SLOW_SPREAD] = max(FLOOR, spread)
        n[at + _SAMPLES] = min(int(samples), MOST_SAMPLES)
        n[at + _COUNTS] = min(int(samples), _TABLE - 1) << _WEIGHT


def value_of(y: float) -> float:
    """x of y = ln(1 + x), not below zero."""
    return max(0.0, expm1(min(y, 691.0)))
