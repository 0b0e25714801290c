"""Streaming statistics of bounded memory: what "deviation" means. LANGUAGE.md section 6.

One file an estimator. An estimator is asked in two moves. ``observe`` takes a value and learns, but what it
hands back is what was known before (a value is always scored before it is learned); the row then answers
``deviation`` and its kin when a rule asks, which is seldom. :class:`engine.baselines.declared.Baselines`
holds those of a rule set.
"""

from __future__ import annotations

from typing import Literal

import msgspec


class Reading(msgspec.Struct, frozen=True, gc=False):
    """What a baseline said of an event when it arrived; kept with the event for good.

    Attributes:
        baseline: its name.
        using: its estimator.
        function: the function whose answer ``score`` is: ``deviation``, ``unseen``, ``prevalence``,
            ``regularity`` or ``unusual``.
        value: what was judged. A number for robust (the bucket's running sum, or the event's own) and
            fanout (how many different values); the value itself as text for novelty and prevalence; the
            hour of the week, such as ``Thu 03:00``, for hours; milliseconds between contacts for cadence.
        score: the answer; None while cold. Of ``unseen`` 1 or 0.
        expected: the centre, in units of the value; None while cold, and where there is none.
        low, high: the band of two spreads around it.
        drift: distance of the fast from the slow copy in slow spreads; None as ``expected``.
        scope: ``device`` if the history that answered is of one device, else ``fleet``.
        peer: the key itself was too young, and the coarser key of PEER answered.
        samples: how many buckets or events the answering history has learned, this event included where
            an event is a sample; of prevalence the devices.
        age_ms: time between the first event of that history and this one.
        state: ``cold``, ``ok`` or ``shifted``.
        period: milliseconds, of cadence.
        window_ms: how far back it looks: OVER, or EVERY of a fanout.
    """

    baseline: str
    using: str
    function: str
    value: float | str
    score: float | None
    expected: float | None
    low: float | None
    high: float | None
    drift: float | None
    scope: Literal["device", "fleet"]
    peer: bool
    samples: int
    age_ms: int
    state: Literal["cold", "ok", "shifted"]
    period: int | None = None
    window_ms: int | None = None

    @property
    def ready(self) -> bool:
        """Whether there was enough history."""
        return self.state != "cold"

    @property
    def fanout(self) -> float | None:
        """Of a fanout baseline: how many different values; None while cold."""
        return None if self.score is None or isinstance(self.value, str) else self.value

    @property
    def unseen(self) -> bool | None:
        """Of a novelty baseline; None while cold."""
        return None if self.score is None else self.score > 0
