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

from collections.abc import Callable, Mapping
from functools import lru_cache
from math import expm1, log1p
from typing import Any, ClassVar

from engine.baselines import Reading
from engine.baselines.estimator import Estimator, Terms, numbers, require
from engine.baselines.layout import Room, Row
from engine.baselines.rows import MINUTE_MS, Rows

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
BUCKET = (1 << 32) - 1
"""Numbers of buckets go round at 2^32."""
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
        self._learn = _learner(self._at, self._cell, self.warmup, 1.0 - 2.0 ** (-1.0 / slow))
        assert peer is None or isinstance(peer, Robust)
        self._peer = peer
        self.add = self._adder()
        """With EVERY: add a value below ``MOST`` to the bucket of this number, as :meth:`observe` does."""
        # Without EVERY a bucket is one event; its number is the minute, to tell what is late.
        self.every = every or MINUTE_MS
        self.single = every is None

    @property
    def samples_at(self) -> int:
        """Where in a live row the number of samples is."""
        return self._at + _SAMPLES

    @property
    def centre_at(self) -> int:
        """Where in a live row the centre is; the spread follows it."""
        return self._cell + _CENTRE

    # --- learning

    def observe(self, row: Row, time: int, value: Any, peer: Any) -> float:
        """The value to be judged: the bucket's sum so far, or the value alone if its bucket is over."""
        value = float(value) if 0 < value < MOST else MOST if value > 0 else 0.0
        bucket = (time // self.every + 1) & BUCKET
        if not self.single:
            return self.add(row, bucket, value, peer, time // MINUTE_MS)
        # The sample is learned when the next one comes, so it is judged before it is learned.
        if not row[self._at] or not self.is_late(row, time // MINUTE_MS):
            self.close(row, peer, time // MINUTE_MS)
            row[self._at] = bucket
            row[self._cell] = value
        return float(value)

    def close(self, row: Row, peer: Any, minute: int) -> None:
        """The bucket is over: learn it; the peer learns what its key does not refuse, and refuses by
        itself.
        """
        if row[self._at]:
            y = log1p(row[self._cell])
            if self._learn(row, y) and self._peer is not None:
                self._peer._learn(self._peer.rows.at(peer, minute), y)

    def _adder(self) -> Callable[[Row, int, float, Any, int], float]:
        """:attr:`add`, a closure: it runs at the end of every bucket."""
        at, cell, learn, of_peer = self._at, self._cell, self._learn, self._peer

        def add(row: Row, bucket: int, value: float, peer: Any, minute: int) -> float:
            value = float(value) if value > 0 else 0.0
            open_ = row[at]
            if open_:
                if bucket == open_:
                    value += row[cell]
                    row[cell] = value = value if value < MOST else MOST
                    return value
                if (bucket - open_) & BUCKET > BUCKET // 2:
                    return value
                y = log1p(row[cell])
                if learn(row, y) and of_peer is not None:
                    of_peer._learn(of_peer.rows.at(peer, minute), y)
            row[at] = bucket
            row[cell] = value
            return value

        return add

    # --- answers

    def warm(self, row: Row) -> bool:
        return bool(row[self._at + _SAMPLES] >= self.warmup)

    def _centre(self, row: Row, peer: Any) -> tuple[Row, int] | None:
        """The row that answers, and where in it the centre is."""
        if row[self._at + _SAMPLES] >= self.warmup:
            return row, self._cell + _CENTRE
        if self._peer is not None:
            found = self._peer.rows.find(peer)
            if found is not None and self._peer.warm(found):
                return found, self._peer._cell + _CENTRE
        return None

    def deviation(self, row: Row | None, seen: float | None, peer: Any) -> float | None:
        """(y - m) / d; None while cold."""
        if seen is None or row is None:
            return None
        found = self._centre(row, peer)
        if found is None:
            return None
        row, centre = found
        return (log1p(seen) - row[centre]) / row[centre + 1]  # type: ignore[no-any-return]

    def expected(self, row: Row | None, seen: float | None, peer: Any) -> float | None:
        """The centre in units of the value; None while cold."""
        found = None if seen is None or row is None else self._centre(row, peer)
        return None if found is None else value_of(found[0][found[1]])

    def drift(self, row: Row | None, seen: float | None, peer: Any) -> float | None:
        """Distance of the fast from the slow centre in slow spreads; None while cold."""
        found = None if seen is None or row is None else self._centre(row, peer)
        if found is None:
            return None
        row, at = found
        return abs(row[at] - row[at + 2]) / row[at + 3]  # type: ignore[no-any-return]

    def reading(self, row: Row, seen: Any, peer: Any, time: int, value: Any) -> Reading:
        every = self.terms.every_ms
        answer = self.answering(row, peer)
        if answer is None:
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
                samples=row[self._at + _SAMPLES],
                age_ms=self.age_ms(row, time),
                state="cold",
                window_ms=every,
            )
        who, row = answer
        at, cell = who._at, who._cell
        _, centre, spread, slow_centre, slow_spread = row[cell : cell + 5]
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
            samples=row[at + _SAMPLES],
            age_ms=who.age_ms(row, time),
            state="shifted" if row[at + _COUNTS] & _SHIFTED else "ok",
            window_ms=every,
        )

    # --- tests

    def fix(self, key: Any, state: Mapping[str, Any], time: int) -> None:
        require(state, self.using, "center", "spread", "n")
        self.set_level(key, state, time)

    def set_level(self, key: Any, state: Mapping[str, Any], time: int) -> None:
        """Set centre, spread and samples."""
        centre, spread, samples = numbers(state, "center", "spread", "n")
        row = self.rows.at(key, time // MINUTE_MS)
        at, cell = self._at, self._cell
        row[cell + _CENTRE] = row[cell + _SLOW_CENTRE] = min(centre, log1p(MOST))
        row[cell + _SPREAD] = row[cell + _SLOW_SPREAD] = max(FLOOR, spread)
        row[at + _SAMPLES] = min(int(samples), MOST_SAMPLES)
        row[at + _COUNTS] = min(int(samples), _TABLE - 1) << _WEIGHT


def _learner(at: int, cell: int, warmup: int, alpha: float) -> Callable[[Row, float], bool]:
    """A function that lets a row learn y unless it scored too high; it says whether it did.

    A closure, because it runs at the end of every bucket: where things are is worked out once. ``at`` and
    ``cell`` say where the row's numbers and doubles begin, ``alpha`` is the limit of the slow weight.
    """
    samples_at, counts_at = at + _SAMPLES, at + _COUNTS
    centre_at, spread_at = cell + _CENTRE, cell + _SPREAD
    slow_centre_at, slow_spread_at = cell + _SLOW_CENTRE, cell + _SLOW_SPREAD
    fast_weights, slow_weights = _weights(FAST_ALPHA), _weights(alpha)

    def learn(row: Row, y: float) -> bool:
        samples = row[samples_at]
        if not samples:
            row[samples_at] = 1
            row[counts_at] = 1 << _WEIGHT
            row[centre_at] = row[slow_centre_at] = y
            row[spread_at] = row[slow_spread_at] = FLOOR
            return True
        counts = row[counts_at]
        centre, spread = row[centre_at], row[spread_at]
        slow_centre, slow_spread = row[slow_centre_at], row[slow_spread_at]
        off = y - centre
        flags = counts & (_SHIFTED | _HIGH)
        weight = counts >> _WEIGHT
        if samples >= warmup:
            if off > REFUSE_ABOVE * spread:
                high = min((flags & _HIGH) + 1, SHIFT_AFTER)
                if high < SHIFT_AFTER:
                    row[counts_at] = counts + 1
                    return False
                flags = _SHIFTED | high
                weight = SHIFT_AFTER
            elif flags:
                if flags == _SHIFTED and abs(centre - slow_centre) <= DRIFTED * slow_spread:
                    flags = 0
                flags &= _SHIFTED
        if samples < MOST_SAMPLES:
            samples += 1
        if weight < _TABLE - 1:
            weight += 1
        row[samples_at] = samples
        row[counts_at] = weight << _WEIGHT | flags
        # The slow copy.
        part = slow_weights[samples] if samples < _TABLE else alpha / (1.0 - (1.0 - alpha) ** samples)
        near = off if off >= 0.0 else -off
        slow_off = y - slow_centre
        if samples > SLOW_YOUNG:
            bound, to_sigma = SLOW_CLIP * slow_spread, SLOW_TO_SIGMA
            apart = DRIFTED * slow_spread
            if -apart <= centre - slow_centre <= apart:
                slow_off = bound if slow_off > bound else -bound if slow_off < -bound else slow_off
        else:
            bound, to_sigma = CLIP * slow_spread, MAD_TO_SIGMA
            slow_off = bound if slow_off > bound else -bound if slow_off < -bound else slow_off
        row[slow_centre_at] = slow_centre + part * slow_off
        slow_spread += part * (to_sigma * (near if near < bound else bound) - slow_spread)
        row[slow_spread_at] = slow_spread = slow_spread if slow_spread > FLOOR else FLOOR
        # The fast copy.
        part = fast_weights[weight]
        bound = CLIP * spread
        if near > bound:
            near = bound
            off = bound if off > 0.0 else -bound
        row[centre_at] = centre + part * off
        spread += part * (MAD_TO_SIGMA * near - spread)
        bound = SPREAD_LIMIT * slow_spread
        if spread > bound:
            spread = bound
        row[spread_at] = spread if spread > FLOOR else FLOOR
        return True

    return learn


def value_of(y: float) -> float:
    """x of y = ln(1 + x), not below zero."""
    return max(0.0, expm1(min(y, 691.0)))
