"""The history of the baselines that alerts rest on, from a second reading of the recordings.

The matcher keeps centre and spread, not the values that they came from; so these are followed again, for the
keys of the page's alerts only.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence

import msgspec

from dsl import model as m
from engine.alerts import Alert, Deviation
from engine.baselines import Reading
from engine.events import Event, attribute, epoch_ms
from engine.explain.history import Histories, Point
from engine.report.html.collect import Shown

MAX_KEYS = 200
"""Keys that are followed, those of the first alerts of the page."""
BEFORE, AFTER = 288, 24
"""Points of a plot before the event that deviates, and after it: a day and two hours of 5-minute buckets."""

Key = tuple[str, tuple[object, ...]]


class Past(msgspec.Struct, frozen=True):
    """What a plot shows: points oldest first, and how many older ones it leaves out."""

    points: tuple[Point, ...]
    older: int


class Followed(Histories):
    """Follows the keys that alerts rest on, and no others."""

    def __init__(self, ruleset: m.RuleSet, shown: Sequence[Shown]) -> None:
        found: dict[Key, None] = {}
        for alert in (one.alert for one in shown):
            for deviation in alert.deviation:
                key = key_of(ruleset, alert, deviation)
                if key is not None and len(found) < MAX_KEYS:
                    found[key] = None
        self.keys = frozenset(found)
        self._ruleset = ruleset
        super().__init__(ruleset, {}, tuple(dict.fromkeys(name for name, _ in found)))

    def _note(self, name: str, event: Event, reading: Reading) -> None:
        fields = self.baselines.estimators[name].rows.names
        if (name, tuple(getattr(event, attribute(field)) for field in fields)) in self.keys:
            super()._note(name, event, reading)

    def past(self, shown: Sequence[Shown]) -> dict[tuple[str, int], Past]:
        """For an alert's id and the place of a deviation in it what is known of the time around it."""
        known = {
            (history.baseline.replace(" ", "_"), tuple(history.key.values())): history.points
            for history in self.histories()
        }
        found: dict[tuple[str, int], Past] = {}
        for alert in (one.alert for one in shown):
            for place, deviation in enumerate(alert.deviation):
                key = key_of(self._ruleset, alert, deviation)
                points = known.get(key) if key is not None else None
                time = _time_of(alert, deviation)
                if points and time is not None:
                    found[alert.id, place] = _around(points, time)
        return found


def key_of(ruleset: m.RuleSet, alert: Alert, deviation: Deviation) -> Key | None:
    """The key of the baseline that judged a step's event; None where the alert does not tell."""
    baseline = ruleset.baselines.get(deviation.baseline.replace(" ", "_"))
    step = next((step for step in alert.steps if step.name == deviation.step), None)
    if baseline is None or step is None:
        return None
    parts: list[object] = []
    for field in baseline.by:
        part = alert.device if field == "device" else step.fields.get(field)
        if part is None:
            return None
        parts.append(part)
    return baseline.name, tuple(parts)


def _time_of(alert: Alert, deviation: Deviation) -> int | None:
    times: Iterator[str] = (step.time for step in alert.steps if step.name == deviation.step)
    time = next(times, None)
    return None if time is None else epoch_ms(time)


def _around(points: tuple[Point, ...], time: int) -> Past:
    at = bisect_right(points, time, key=lambda point: point.time_ms)
    first = max(0, at - BEFORE)
    return Past(points[first : at + AFTER], first)
