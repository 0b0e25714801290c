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

from array import array
from collections.abc import Mapping
from typing import Any

from engine.baselines import Reading
from engine.baselines.estimator import Estimator, Fixed, Terms, numbers, require
from engine.baselines.rows import MINUTE_MS, Holder, Room, Rows

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
_FIRST, _COUNT, _BUCKET = 0, 1, 2
_MOST = (1 << 32) - 1
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
        self._every = terms.every_ms

    def observe(self, holder: Holder, row: int, time: int, value: Any, peer: Any) -> tuple[float, float]:
        """How unusual the hour was before it was learned, for the key and for its peer; -1 while cold."""
        mine, learned = self._take(holder, row, time)
        if self.peer is None:
            return mine, -1.0
        assert isinstance(self.peer, Hours)
        other, number = self.peer.rows.at(peer, time // MINUTE_MS)
        theirs, _ = self.peer._take(other, number, time, learned)
        return mine, theirs

    def _take(self, holder: Holder, row: int, time: int, learn: bool | None = None) -> tuple[float, bool]:
        """Answer, then learn unless the event is late or its bucket was learned (for a peer: as its key
        did).
        """
        d, n = holder.d, holder.n
        cell = row * self.rows.doubles + self.room.d
        at = row * self.rows.ints + self.room.n
        slot = row * self.rows.objects + self.room.x
        weights: array[float] | None = holder.x[slot]
        minute = time // MINUTE_MS
        hour = hour_of_week(time)
        if weights is None:
            weights = holder.x[slot] = array("f", bytes(4 * BINS))
            d[cell + _REFERENCE] = time
            n[at + _FIRST] = minute
        halvings = (time - d[cell + _REFERENCE]) / HALF_LIFE_MS
        growth = 2.0 ** max(-_MOST_HALVINGS, min(_MOST_HALVINGS, halvings))
        answer = -1.0
        if minute - n[at + _FIRST] >= WARM_MINUTES:
            answer = 1.0 - (weights[hour] / growth + 1.0) / (d[cell + _TOTAL] / growth + BINS)
        if learn is None:
            learn = self._is_new(n, at, time) and not self.is_late(holder, row, minute)
        if learn:
            if growth > 2.0**_MOST_DOUBLINGS:
                for number, weight in enumerate(weights):
                    weights[number] = weight / growth
                d[cell + _TOTAL] /= growth
                d[cell + _REFERENCE] = time
                growth = 1.0
            weights[hour] += growth
            d[cell + _TOTAL] += growth
            n[at + _COUNT] += n[at + _COUNT] < _MOST
        return answer, learn

    def _is_new(self, n: Any, at: int, time: int) -> bool:
        """Whether the event is the first of its bucket; the bucket is then noted."""
        if self._every is None:
            return True
        bucket = (time // self._every + 1) % (1 << 32)
        last = n[at + _BUCKET]
        if last and (bucket - last) % (1 << 32) > 1 << 31:
            return False
        n[at + _BUCKET] = bucket
        return bool(bucket != last)

    def warm(self, holder: Holder, row: int) -> bool:
        if holder.x[row * self.rows.objects + self.room.x] is None:
            return False
        first = holder.n[row * self.rows.ints + self.room.n + _FIRST]
        return self.rows.newest(holder, row) - first >= WARM_MINUTES

    def ready(self, holder: Holder | None, row: int, seen: tuple[float, float] | None, peer: Any) -> bool:
        return seen is not None and (seen[0] >= 0 or seen[1] >= 0)

    def unusual(
        self, holder: Holder | None, row: int, seen: tuple[float, float] | None, peer: Any
    ) -> float | None:
        """1 - the relative frequency of this hour of the week; None while cold."""
        if seen is None:
            return None
        if seen[0] >= 0:
            return seen[0]
        return seen[1] if seen[1] >= 0 else None

    def reading(self, holder: Holder, row: int, seen: Any, peer: Any, time: int, value: Any) -> Reading:
        who: Hours = self
        if seen[0] < 0 <= seen[1]:
            assert isinstance(self.peer, Hours)
            found = self.peer.rows.find(peer)
            assert found is not None
            who, holder, row = self.peer, *found
        at = row * who.rows.ints + who.room.n
        score = self.unusual(holder, row, seen, peer)
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
            samples=holder.n[at + _COUNT],
            age_ms=max(0, time - holder.n[at + _FIRST] * MINUTE_MS),
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
        holder, row = self.rows.at(key, time // MINUTE_MS)
        cell = row * self.rows.doubles + self.room.d
        at = row * self.rows.ints + self.room.n
        weights = array("f", bytes(4 * BINS))
        for day in range(7):
            for hour in hours:
                weights[24 * day + hour] = samples / (7 * len(hours))
        holder.x[row * self.rows.objects + self.room.x] = weights
        holder.d[cell + _REFERENCE] = time
        holder.d[cell + _TOTAL] = samples
        holder.n[at + _FIRST] = max(0, time // MINUTE_MS - WARM_MINUTES)
        holder.n[at + _COUNT] = min(int(samples), _MOST)

    def pack(self, held: Any) -> Any:
        return None if held is None else held.tobytes()

    def unpack(self, stored: Any) -> Any:
        return None if stored is None else array("f", stored)


def hour_of_week(time: int) -> int:
    """0 to 167: hours since Monday 00:00 UTC."""
    return (time // HOUR_MS + _MONDAY) % BINS
