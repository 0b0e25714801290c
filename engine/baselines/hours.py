"""USING hours: is this an hour of the week in which the key is usually active?

Formula (LANGUAGE.md section 6): a histogram of 168 bins, one for each hour of the week in UTC, Monday 00:00
first, whose weights halve every 28 days. ``unusual(b)`` = 1 - p, p the relative frequency of this hour with
one added to every bin (Laplace): (w + 1) / (W + 168), w the bin's weight and W that of all. So little data
makes nothing unusual: an average hour gives 1 - 1/168 = 0.994 whatever happens, an hour never seen 0.999
once the others hold some 830 events. Warm after 14 days: every hour has come up twice. 28 days: four weeks,
so that a new shift is learned within a month.

Without EVERY each event is a sample. With EVERY each bucket with data is one, so that a busy hour weighs no
more than a quiet one and a flood of events makes no hour usual: EVERY 1h is a good choice. First and last
sightings feed nothing, as they are two of many; intervals do if they are no longer than an hour. The value
of the declaration only has to be there.

Weights are kept relative to a reference time and grow instead of decaying (forward decay: Cormode,
Shkapenyuk, Srivastava, Xu, 2009), so learning is one addition; the reference moves up when they have grown
by 2^20.
"""

from __future__ import annotations

from collections.abc import Mapping
from struct import Struct
from typing import Any, TypeAlias

from engine.baselines import Reading
from engine.baselines.estimator import Estimator, Fixed, Terms, numbers, require
from engine.baselines.layout import USED, Room, Row
from engine.baselines.rows import MINUTE_MS, Rows

HOUR_MS = 3_600_000
BINS = 168
HALF_LIFE_MS = 28 * 86_400_000
WARM_MINUTES = 14 * 1_440
_MONDAY = 72
"""The epoch began on a Thursday: so many hours after a Monday."""
_MOST_DOUBLINGS = 20
_MOST_HALVINGS = 400.0
"""Thirty years: beyond, times are taken for that, so that no float overflows."""
_REFERENCE, _TOTAL = 0, 1
_FIRST, _COUNT, BUCKET = 0, 1, 2
_MOST = (1 << 32) - 1
_ONE, _ALL = Struct("f"), Struct(f"{BINS}f")
Seen: TypeAlias = "tuple[float, float] | int"
"""What the key and its peer said, -1 while cold; or the time of an event of which nothing was learned, so
that it can be worked out when somebody asks.
"""
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


class Hours(Estimator):
    """Two doubles, three numbers and 168 floats of 4 bytes: 700 bytes a key. Best kept BY device."""

    using = "hours"
    doubles = 2
    ints = 3
    objects = 1
    functions = ("unusual",)

    def __init__(self, terms: Terms, rows: Rows, room: Room, peer: Estimator | None = None) -> None:
        super().__init__(terms, rows, room, peer)
        self.every_ms = terms.every_ms

        assert peer is None or isinstance(peer, Hours)
        self._peer = peer

    def observe(self, row: Row, time: int, value: Any, peer: Any) -> Seen:
        """How unusual the hour was before it was learned, for the key and for its peer; -1 while cold."""
        mine, learned = self._take(row, time)
        if self._peer is None:
            return mine, -1.0
        other = self._peer.rows.at(peer, time // MINUTE_MS)
        theirs, _ = self._peer._take(other, time, learned)
        return mine, theirs

    def _take(self, row: Row, time: int, learn: bool | None = None) -> tuple[float, bool]:
        """Answer, then learn unless the event is late or its bucket was learned (for a peer: as its key
        did).
        """
        cell, at = self._cell, self._at
        weights: bytearray | None = row[self._slot]
        minute = time // MINUTE_MS
        if weights is None:
            weights = row[self._slot] = bytearray(4 * BINS)
            row[cell + _REFERENCE] = float(time)
            row[at + _FIRST] = minute
        growth = self._growth(row, time)
        answer = self._answer(row, time, growth)
        if learn is None:
            learn = self._is_new(row, time) and not self.is_late(row, minute)
        if learn:
            hour = hour_of_week(time)
            if growth > 2.0**_MOST_DOUBLINGS:
                _ALL.pack_into(weights, 0, *(weight / growth for weight in _ALL.unpack(weights)))
                row[cell + _TOTAL] /= growth
                row[cell + _REFERENCE] = float(time)
                growth = 1.0
            _ONE.pack_into(weights, 4 * hour, _ONE.unpack_from(weights, 4 * hour)[0] + growth)
            row[cell + _TOTAL] += growth
            row[at + _COUNT] += row[at + _COUNT] < _MOST
        return answer, learn

    def _growth(self, row: Row, time: int) -> float:
        """How much a sample counts now, relative to the reference time."""
        halvings = (time - row[self._cell + _REFERENCE]) / HALF_LIFE_MS
        return float(2.0 ** max(-_MOST_HALVINGS, min(_MOST_HALVINGS, halvings)))

    def _answer(self, row: Row, time: int, growth: float) -> float:
        """How unusual the hour is; -1 while cold."""
        if time // MINUTE_MS - row[self._at + _FIRST] < WARM_MINUTES:
            return -1.0
        (weight,) = _ONE.unpack_from(row[self._slot], 4 * hour_of_week(time))
        total = row[self._cell + _TOTAL]
        return float(1.0 - (weight / growth + 1.0) / (total / growth + BINS))

    def _is_new(self, row: Row, time: int) -> bool:
        """Whether the event is the first of its bucket; the bucket is then noted."""
        if self.every_ms is None:
            return True
        bucket = (time // self.every_ms + 1) % (1 << 32)
        last = row[self._at + BUCKET]
        if last and (bucket - last) % (1 << 32) > 1 << 31:
            return False
        row[self._at + BUCKET] = bucket
        return bool(bucket != last)

    def warm(self, row: Row) -> bool:
        return bool(row[self._slot] is not None and row[USED] - row[self._at + _FIRST] >= WARM_MINUTES)

    def _said(self, row: Row | None, seen: Seen) -> tuple[float, float]:
        """What generated code left to be worked out when somebody asks: nothing was learned of the event."""
        if isinstance(seen, tuple):
            return seen
        assert row is not None
        return self._answer(row, seen, self._growth(row, seen)), -1.0

    def ready(self, row: Row | None, seen: Seen | None, peer: Any) -> bool:
        return self.unusual(row, seen, peer) is not None

    def unusual(self, row: Row | None, seen: Seen | None, peer: Any) -> float | None:
        """1 - the relative frequency of this hour of the week; None while cold."""
        if seen is None:
            return None
        mine, theirs = self._said(row, seen)
        if mine >= 0:
            return mine
        return theirs if theirs >= 0 else None

    def reading(self, row: Row, seen: Any, peer: Any, time: int, value: Any) -> Reading:
        who: Hours = self
        said = self._said(row, seen)
        if said[0] < 0 <= said[1]:
            assert self._peer is not None
            found = self._peer.rows.find(peer)
            assert found is not None
            who, row = self._peer, found
        score = self.unusual(row, said, peer)
        hour = hour_of_week(time)
        return Reading(
            baseline=self.name,
            using=self.using,
            function="unusual",
            value=f"{DAYS[hour // 24]} {hour % 24:02}:00",
            score=score,
            expected=None,
            low=None,
            high=None,
            drift=None,
            scope=who.scope,
            peer=who is not self,
            samples=row[who._at + _COUNT],
            age_ms=max(0, time - row[who._at + _FIRST] * MINUTE_MS),
            state="cold" if score is None else "ok",
        )

    def fix(self, key: Any, state: Mapping[str, Any], time: int) -> None:
        require(state, self.using, "active", "n")
        active = state["active"]
        fits = (
            isinstance(active, list)
            and active
            and all(isinstance(x, int) and not isinstance(x, bool) and 0 <= x < 24 for x in active)
        )
        if not fits:
            raise Fixed("`active` must be a list of hours of the day in UTC, 0 to 23")
        (samples,) = numbers(state, "n")
        hours = sorted(set(active))
        row = self.rows.at(key, time // MINUTE_MS)
        cell, at = self._cell, self._at
        weights = [samples / (7 * len(hours)) if bin_ % 24 in hours else 0.0 for bin_ in range(BINS)]
        row[self._slot] = bytearray(_ALL.pack(*weights))
        row[cell + _REFERENCE] = float(time)
        row[cell + _TOTAL] = samples
        row[at + _FIRST] = max(0, time // MINUTE_MS - WARM_MINUTES)
        row[at + _COUNT] = min(int(samples), _MOST)

    def pack(self, held: Any) -> Any:
        return held

    def unpack(self, stored: Any) -> Any:
        if stored is None:
            return None
        if len(stored) != _ALL.size:
            raise ValueError("the weights of the hours are cut short")
        return bytearray(stored)


def hour_of_week(time: int) -> int:
    """0 to 167: hours since Monday 00:00 UTC."""
    return (time // HOUR_MS + _MONDAY) % BINS
