"""USING robust: centre and spread of ln(1 + x), hard to pull by a single bucket.

Formula (LANGUAGE.md section 6): y = ln(1 + x). Centre m and spread d are the exponentially
weighted mean and mean absolute deviation (times 1.2533, which makes it a standard deviation for
normal data), residuals clipped to 3 d, d floored at 0.25. ``deviation`` is (y - m) / d.

The weights are normalised: sample n counts a / (1 - (1 - a)^n), with a = 1 - 2^(-1/288), so that a
young baseline is the plain mean of what it has seen instead of being stuck at its first sample.

A second copy with a half-life of 30 days stands beside; the fast spread never exceeds 1.5 times
the slow one's, so a flood of noise cannot hide what follows it. A bucket that scored above 4 is not
learned, until 12 in a row: then the level has shifted, and the fast copy starts over as if it had
seen only 12 samples, so that it follows within hours instead of weeks.
"""

from __future__ import annotations

from math import exp, expm1, log1p
from typing import Any

from engine.baselines import Reading

HALF_LIFE_SAMPLES = 288
"""A day of five-minute buckets."""
SLOW_HALF_LIFE_MS = 30 * 86_400_000
SLOW_HALF_LIFE_SAMPLES = 8_640
"""Thirty days of five-minute buckets: for baselines without EVERY, which have no bucket length."""
MAD_TO_SIGMA = 1.2533
"""sqrt(pi / 2): mean absolute deviation to standard deviation of a normal distribution."""
CLIP = 3.0
FLOOR = 0.25
"""In ln(1 + x): a change of 28 % is one spread at the least, or constant traffic would alert on crumbs."""
SPREAD_LIMIT = 1.5
REFUSE_ABOVE = 4.0
SHIFT_AFTER = 12
MAX_EXPONENT = 700.0
"""exp of more overflows a float; no value of 2^63 comes near (ln(1 + 2^63) is 43.7)."""


class Row:
    """The state of one key.

    ``bucket`` is the number of the open bucket (-1: none), ``total`` its running sum, ``current``
    the value to be judged now; ``weight`` is what the normalised weights count, ``samples`` all
    that was learned; ``high`` counts buckets in a row that scored above the refusal bound.
    """

    __slots__ = (
        "bucket", "centre", "current", "high", "peer", "samples", "shifted", "slow_centre", "slow_spread",
        "spread", "total", "weight",
    )  # fmt: skip

    def __init__(self, peer: Row | None) -> None:
        self.bucket = -1
        self.total = 0.0
        self.current = 0.0
        self.samples = 0
        self.weight = 0
        self.centre = 0.0
        self.spread = FLOOR
        self.slow_centre = 0.0
        self.slow_spread = FLOOR
        self.high = 0
        self.shifted = False
        self.peer = peer


class RobustBaseline:
    """All rows of one declared baseline.

    Args:
        name: of the BASELINE.
        every_ms: bucket length, or None: each event is a sample.
        warmup: samples before a key answers.
        peer_key: positions of the key's parts that make the coarser key, or None.
    """

    def __init__(
        self, name: str, every_ms: int | None, warmup: int, peer_key: tuple[int, ...] | None
    ) -> None:
        self.name = name
        self.every_ms = every_ms
        self.warmup = warmup
        self._peer_key = peer_key
        self._rows: dict[tuple[Any, ...], Row] = {}
        self._peers: dict[tuple[Any, ...], Row] = {}
        self._alpha = 1.0 - 2.0 ** (-1.0 / HALF_LIFE_SAMPLES)
        slow = SLOW_HALF_LIFE_MS / every_ms if every_ms else SLOW_HALF_LIFE_SAMPLES
        self._slow_alpha = 1.0 - 2.0 ** (-1.0 / slow)

    def row(self, key: tuple[Any, ...]) -> Row:
        """The row of a key, made if it is new."""
        row = self._rows.get(key)
        if row is None:
            row = self._rows[key] = Row(self._peer_row(key))
        return row

    def _peer_row(self, key: tuple[Any, ...]) -> Row | None:
        if self._peer_key is None:
            return None
        coarse = tuple(key[i] for i in self._peer_key)
        row = self._peers.get(coarse)
        if row is None:
            row = self._peers[coarse] = Row(None)
        return row

    def observe(self, key: tuple[Any, ...], time: int, value: float) -> Row:
        """Take a value; the row then answers for it. Learning is of closed buckets only.

        A value older than the open bucket is judged by itself and not learned.
        """
        row = self.row(key)
        if value < 0:
            value = 0.0
        if self.every_ms is None:
            # The sample is learned when the next one comes, so it is judged before it is learned.
            if row.bucket >= 0:
                self._learn(row, row.total)
            row.bucket = 0
            row.total = row.current = value
            return row
        bucket = time // self.every_ms
        if bucket == row.bucket:
            row.total += value
            row.current = row.total
        elif bucket > row.bucket:
            if row.bucket >= 0:
                self._learn(row, row.total)
            row.bucket = bucket
            row.total = row.current = value
        else:
            row.current = value
        return row

    def _learn(self, row: Row, value: float) -> None:
        """Learn a closed bucket; the peer learns what its key does not refuse, and refuses by itself."""
        y = log1p(value)
        if self._learned(row, y) and row.peer is not None:
            self._learned(row.peer, y)

    def _learned(self, row: Row, y: float) -> bool:
        """Learn y unless it scored too high for it; whether it did."""
        if row.samples >= self.warmup:
            if (y - row.centre) / row.spread > REFUSE_ABOVE:
                row.high += 1
                if row.high < SHIFT_AFTER:
                    return False
                row.shifted = True
                row.weight = SHIFT_AFTER
            else:
                if row.high == 0:
                    row.shifted = row.shifted and abs(row.centre - row.slow_centre) > row.slow_spread
                row.high = 0
        self._update(row, y)
        return True

    def _update(self, row: Row, y: float) -> None:
        row.samples += 1
        row.weight += 1
        if row.samples == 1:
            row.centre = row.slow_centre = y
            return
        fast = self._alpha / (1.0 - (1.0 - self._alpha) ** row.weight)
        slow = self._slow_alpha / (1.0 - (1.0 - self._slow_alpha) ** row.samples)
        residual = _clip(y - row.slow_centre, CLIP * row.slow_spread)
        row.slow_centre += slow * residual
        row.slow_spread = max(FLOOR, (1.0 - slow) * row.slow_spread + slow * MAD_TO_SIGMA * abs(residual))
        residual = _clip(y - row.centre, CLIP * row.spread)
        row.centre += fast * residual
        spread = (1.0 - fast) * row.spread + fast * MAD_TO_SIGMA * abs(residual)
        row.spread = min(max(FLOOR, spread), SPREAD_LIMIT * row.slow_spread)

    def answering(self, row: Row) -> Row | None:
        """The row that answers for this one: itself when warm, else its warm peer."""
        if row.samples >= self.warmup:
            return row
        if row.peer is not None and row.peer.samples >= self.warmup:
            return row.peer
        return None

    def deviation(self, row: Row | None) -> float | None:
        """(y - m) / d for the value last observed; None while cold."""
        answer = None if row is None else self.answering(row)
        if row is None or answer is None:
            return None
        return (log1p(row.current) - answer.centre) / answer.spread

    def expected(self, row: Row | None) -> float | None:
        """The centre in units of the value; None while cold."""
        answer = None if row is None else self.answering(row)
        return None if answer is None else _value(answer.centre)

    def drift(self, row: Row | None) -> float | None:
        """Distance of the fast from the slow centre in slow spreads; None while cold."""
        answer = None if row is None else self.answering(row)
        return None if answer is None else abs(answer.centre - answer.slow_centre) / answer.slow_spread

    def ready(self, row: Row | None) -> bool:
        return row is not None and self.answering(row) is not None

    def reading(self, row: Row) -> Reading:
        """Everything an alert says of the value last observed."""
        answer = self.answering(row)
        if answer is None:
            return Reading(self.name, row.current, None, None, None, None, None, "own", row.samples, "cold")
        score = (log1p(row.current) - answer.centre) / answer.spread
        return Reading(
            baseline=self.name,
            value=row.current,
            score=score,
            expected=_value(answer.centre),
            low=_value(answer.centre - 2 * answer.spread),
            high=_value(answer.centre + 2 * answer.spread),
            drift=abs(answer.centre - answer.slow_centre) / answer.slow_spread,
            scope="own" if answer is row else "peer",
            samples=answer.samples,
            state="shifted" if answer.shifted else "ok",
        )

    def fix(self, key: tuple[Any, ...], centre: float, spread: float, samples: int) -> None:
        """Set a key (or, by a key of the coarser length, its peer) as a TEST's GIVEN says."""
        if self._peer_key is not None and len(key) == len(self._peer_key):
            row = self._peers.setdefault(key, Row(None))
        else:
            row = self.row(key)
        row.samples = row.weight = samples
        row.centre = row.slow_centre = centre
        row.spread = row.slow_spread = max(FLOOR, spread)

    def __len__(self) -> int:
        return len(self._rows)


def _clip(value: float, bound: float) -> float:
    return max(-bound, min(bound, value))


def _value(y: float) -> float:
    """x of y = ln(1 + x), not below zero."""
    return max(0.0, expm1(y)) if y < MAX_EXPONENT else exp(MAX_EXPONENT)
