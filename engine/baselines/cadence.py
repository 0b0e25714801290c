"""USING cadence: how regular the contacts of a key are, as those of a beacon.

Formula (LANGUAGE.md section 6): of the last 8 intervals between events of the key, the one that ends with
this event included, ``period(b)`` is the median and ``regularity(b)`` = 1 - MAD / median, MAD the median
distance from the median; 1 is a clock, 0 none, and it may be below zero. At least 6 intervals and a median
of at least 5 s: what comes faster is one conversation. Source: the dispersion score of RITA (Active
Countermeasures), over the last few intervals instead of a whole capture: in a real capture of a remote
access tool that ranks its channel first, RITA's way tenth.

Events of one millisecond are one contact, so a duplicate changes nothing. An event older than the newest is
answered and not learned: there is no interval it would end. Intervals of export (``quality`` interval) and
first and last sightings are no contacts, and feed nothing: their rhythm is that of the sensor. Regular
contacts are common (push services, MQTT): use it with ``prevalence`` or ``unseen``. There is no PEER: the
rhythm of others says nothing of this one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.baselines import Reading
from engine.baselines.estimator import Estimator, Fixed, numbers, require
from engine.baselines.layout import Row
from engine.baselines.rows import MINUTE_MS

INTERVALS = 8
LEAST = 6
LEAST_PERIOD_MS = 5_000
_MOST_MS = (1 << 32) - 1
"""Longer intervals (49 days) count as this; an idle key is forgotten before."""
_RING = 1


class Cadence(Estimator):
    """One double (the time of the last event, plus 1; 0: none) and nine numbers (how many intervals there
    were, and a ring of the last 8): 44 bytes.
    """

    using = "cadence"
    doubles = 1
    ints = 1 + INTERVALS
    functions = ("regularity", "period")

    def observe(self, row: Row, time: int, value: Any, peer: Any) -> bool:
        last = row[self._cell]
        if time + 1 > last:
            row[self._cell] = float(time + 1)
            if last:
                at = self._at
                count = row[at]
                interval = int(time + 1 - last)
                row[at + _RING + count % INTERVALS] = interval if interval < _MOST_MS else _MOST_MS
                row[at] = count + 1 if count < _MOST_MS - INTERVALS else INTERVALS
        return True

    def _median(self, row: Row) -> tuple[float, float] | None:
        """Median and MAD; None while there is too little."""
        ring = self._at + _RING
        count = min(row[self._at], INTERVALS)
        if count < LEAST:
            return None
        middle = _middle(sorted(row[ring : ring + count]))
        if middle < LEAST_PERIOD_MS:
            return None
        return middle, _middle(sorted(abs(x - middle) for x in row[ring : ring + count]))

    def warm(self, row: Row) -> bool:
        return self._median(row) is not None

    def regularity(self, row: Row | None, seen: bool | None, peer: Any) -> float | None:
        """1 - MAD / median; None while cold."""
        found = None if seen is None or row is None else self._median(row)
        return None if found is None else 1.0 - found[1] / found[0]

    def period(self, row: Row | None, seen: bool | None, peer: Any) -> int | None:
        """The median interval in milliseconds; None while cold."""
        found = None if seen is None or row is None else self._median(row)
        return None if found is None else int(found[0])

    def reading(self, row: Row, seen: Any, peer: Any, time: int, value: Any) -> Reading:
        found = self._median(row)
        return Reading(
            baseline=self.name,
            using=self.using,
            function="regularity",
            value=0.0 if found is None else found[0],
            score=None if found is None else 1.0 - found[1] / found[0],
            expected=None,
            low=None,
            high=None,
            drift=None,
            scope=self.scope,
            peer=False,
            samples=row[self._at],
            age_ms=self.age_ms(row, time),
            state="cold" if found is None else "ok",
            period=None if found is None else int(found[0]),
        )

    def fix(self, key: Any, state: Mapping[str, Any], time: int) -> None:
        require(state, self.using, "period", "regularity")
        period, regularity = numbers(state, "period", "regularity")
        if not LEAST_PERIOD_MS <= period <= _MOST_MS // 2 or regularity > 1:
            raise Fixed("`period` must be from 5s to 24d, `regularity` from 0 to 1")
        row = self.rows.at(key, time // MINUTE_MS)
        away = round((1.0 - regularity) * period)
        middle = round(period)
        around = [middle - away, middle - away, middle - away, middle, middle, *([middle + away] * 3)]
        for number, interval in enumerate(around):
            row[self._at + _RING + number] = interval
        row[self._at] = INTERVALS


def _middle(ordered: list[float] | list[int]) -> float:
    half = len(ordered) // 2
    return float(ordered[half]) if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2
