"""What events and rules cost, from a few that are timed.

How: a task puts stand-ins in place of the matcher's ways in (`_WAYS`) and leaves. The stand-in that is
called next, or a few calls later, times one event, and puts all of them back. Between two samples the way of
an event is what it was before, so it pays nothing. The pause between samples grows with what a sample costs
(looking which rules the event fitted grows with their number), so that all of it stays below `SHARE` of the
time.

Which event: the number of the call, and in a call with many events that of the event, go round in `STRIDE`,
so that the first event of a message, which finds the caches cold, does not stand for all.

An event's time, decoding included where the matcher decodes, goes to its kind. If it fitted rules, it also
goes to them, in equal shares. The mean of a rule is therefore that of an event that fits it; the events that
do not fit it cost it next to nothing, because each distinct question of all rules is asked once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from time import perf_counter
from typing import Any, Final

import msgspec

from engine.alerts import Alert
from engine.matcher import Matcher

SHARE = 0.005
LEAST_PAUSE_SECONDS = 0.05
STRIDE = 17
_WAYS: Final = ("feed", "feed_json", "feed_many", "feed_decoded")


class Cost(msgspec.Struct):
    """The sum of timed events, in seconds, and how many they were; for a rule, those that fit it."""

    samples: int = 0
    seconds: float = 0.0

    @property
    def mean(self) -> float | None:
        """Seconds for one event; None before the first sample."""
        return self.seconds / self.samples if self.samples else None


class Sampler:
    """Times events of one matcher at a time.

    Args:
        matcher: gives the matcher that is in force; after a reload it is another one.

    Attributes:
        kinds: by event kind.
        rules: by rule name.
    """

    def __init__(self, matcher: Callable[[], Matcher]) -> None:
        self.kinds: dict[str, Cost] = {}
        self.rules: dict[str, Cost] = {}
        self.spent = 0.0
        """Seconds that the samples themselves took, without the events."""
        self._matcher = matcher
        self._armed: Matcher | None = None
        self._own: dict[str, Any] = {}
        self._number = 0

    async def run(self) -> None:
        """Take samples until cancelled."""
        spent = self.spent
        try:
            while True:
                pause = max(LEAST_PAUSE_SECONDS, (self.spent - spent) / SHARE)
                spent = self.spent
                self.arm()
                await asyncio.sleep(pause)
        finally:
            self.disarm()

    def arm(self) -> None:
        """Time one of the next events."""
        matcher = self._matcher()
        if self._armed is matcher:
            return
        self.disarm()
        self._armed = matcher
        self._own = {way: getattr(matcher, way) for way in _WAYS}
        self._number += 1
        left = self._number % STRIDE

        def skipped() -> bool:
            nonlocal left
            left -= 1
            return left >= 0

        def one(way: Callable[..., list[Alert]]) -> Callable[..., list[Alert]]:
            def stand_in(event: Any, position: int | None = None) -> list[Alert]:
                if skipped():
                    return way(event, position)
                return self._timed(matcher, lambda: way(event, position))

            return stand_in

        def several(many: Callable[..., list[Alert]]) -> Callable[..., list[Alert]]:
            def stand_in(events: Iterable[Any], position: int, step: int, on_bad: Any) -> list[Alert]:
                given = list(events)
                if not given:
                    return many(given, position, step, on_bad)
                at = self._number % STRIDE % len(given)
                out = many(given[:at], position, step, on_bad) if at else []
                place = position + at * step
                out += self._timed(matcher, lambda: many(given[at : at + 1], place, step, on_bad))
                if at + 1 < len(given):
                    out += many(given[at + 1 :], place + step, step, on_bad)
                return out

            return stand_in

        stand_ins = {
            "feed": one(self._own["feed"]),
            "feed_json": one(self._own["feed_json"]),
            "feed_many": several(self._own["feed_many"]),
        }
        if self._own["feed_decoded"] is not None:
            stand_ins["feed_decoded"] = several(self._own["feed_decoded"])
        for way, stand_in in stand_ins.items():
            setattr(matcher, way, stand_in)

    def disarm(self) -> None:
        """Put back what was replaced."""
        if self._armed is not None:
            for way, own in self._own.items():
                setattr(self._armed, way, own)
        self._armed = None
        self._own = {}

    def _timed(self, matcher: Matcher, call: Callable[[], list[Alert]]) -> list[Alert]:
        self.disarm()
        start = perf_counter()
        seen = {kind: count.seen for kind, count in matcher.counts.items()}
        before = _Fits(matcher)
        ready = perf_counter()
        out = call()
        done = perf_counter()
        seconds = done - ready
        kinds = [kind for kind, count in matcher.counts.items() if count.seen != seen.get(kind)]
        if len(kinds) == 1:
            # Else it was no event of a kind that is read, and says nothing of what those cost.
            _add(self.kinds, kinds[0], seconds)
            fitted = before.since(kinds[0])
            for name in fitted:
                _add(self.rules, name, seconds / len(fitted))
        self.spent += perf_counter() - start - seconds
        return out


class _Fits:
    """Which rules an event fitted, by the numbers before and after it. (``rule_counts`` would hold the loop
    for ten milliseconds with a thousand rules.)
    """

    def __init__(self, matcher: Matcher) -> None:
        self._matcher = matcher
        self._taken = {kind: fit.taken for kind, fit in matcher.fits.items()}
        self._told = [runtime.fits for runtime in matcher.runtimes]

    def since(self, kind: str) -> list[str]:
        """The names of the rules."""
        fit = self._matcher.fits.get(kind)
        if fit is None or fit.taken == self._taken[kind]:
            return []
        # Rules that every event of a kind fits are counted together with the kind.
        pairs = enumerate(zip(self._matcher.runtimes, self._told, strict=True))
        return [
            runtime.plan.rule.name
            for index, (runtime, told) in pairs
            if runtime.fits != told or index in fit.always
        ]


def _add(costs: dict[str, Cost], name: str, seconds: float) -> None:
    cost = costs.get(name)
    if cost is None:
        cost = costs[name] = Cost()
    cost.samples += 1
    cost.seconds += seconds
