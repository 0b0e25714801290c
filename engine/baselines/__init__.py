"""Streaming statistics of bounded memory: what "deviation" means. LANGUAGE.md section 6.

One file an estimator. An estimator is asked in two moves: ``observe(event)`` scores nothing and
learns (what is new enters only when its bucket closes, so a value is always scored before it is
learned), and gives the row of the event's key; the row answers ``deviation`` and its kin when a
rule asks, which is seldom.
"""

from __future__ import annotations

import msgspec


class Reading(msgspec.Struct, frozen=True, gc=False):
    """What a baseline said of an event when it arrived; kept with the event for good.

    Attributes:
        baseline: its name.
        value: the value judged: the bucket's running sum, or the event's own.
        score: distance from the centre in spreads; None while cold.
        expected: the centre, in units of the value; None while cold.
        low, high: the band of two spreads around it.
        drift: distance of the fast from the slow copy in slow spreads; None while cold.
        scope: ``own`` for the key itself, ``peer`` for the coarser key that stood in for it.
        samples: buckets or events learned by the one that answered.
        state: ``cold``, ``ok`` or ``shifted``.
    """

    baseline: str
    value: float
    score: float | None
    expected: float | None
    low: float | None
    high: float | None
    drift: float | None
    scope: str
    samples: int
    state: str

    @property
    def ready(self) -> bool:
        return self.score is not None
