"""What a baseline has seen: its values one after another, with the centre and the band each was held against.

Fed like a matcher, with events in order of arrival; rules are not run. ``thenwire baseline show`` does that
with a recording; whatever else has the events of a device can do it as well.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from dsl import expressions as e
from dsl import model as m
from engine.alerts import Alert
from engine.baselines import Reading
from engine.baselines.declared import Baselines
from engine.baselines.observing import observing
from engine.baselines.rows import Rows
from engine.codegen import Emitter, Places, compile_function
from engine.events import Event, EventDecoder, attribute
from engine.runtime_functions import ListTest

MAX_POINTS = 20_000
"""Points kept for a key; of more the newest."""
MAX_KEYS = 1_000
"""Keys followed of one baseline; those that come later are counted."""
SPREADS = 4.0
"""A deviation from here on is marked: it is also where robust baselines refuse to learn."""
RARE = 0.02
REGULAR = 0.9
UNUSUAL = 0.999


class Point(msgspec.Struct, frozen=True):
    """One value: a bucket as it stood at its last event, or a single event. ``marked``: it deviates."""

    time_ms: int
    device: str
    value: float | str
    score: float | None
    centre: float | None
    low: float | None
    high: float | None
    drift: float | None
    scope: str
    samples: int
    state: str
    marked: bool


class History(msgspec.Struct, frozen=True):
    """The points of one key of one baseline, oldest first. ``function``: whose answer ``score`` is."""

    baseline: str
    using: str
    function: str
    key: dict[str, Any]
    every_ms: int | None
    points: tuple[Point, ...]
    dropped: int


class Histories:
    """Follows the declared baselines of a rule set, whether rules read them or not.

    Args:
        ruleset: declares the baselines and events.
        wanted: fields that a key must have with these values, such as ``{"device": "d1"}``; a key that
            lacks the field is followed in any case.
        names: baselines to follow; all by default. (All of them learn: a peer may be needed.)
    """

    def __init__(
        self, ruleset: m.RuleSet, wanted: Mapping[str, Any], names: tuple[str, ...] | None = None
    ) -> None:
        self._wanted = dict(wanted)
        self._names = frozenset(ruleset.baselines if names is None else names)
        self.baselines = Baselines(ruleset.baselines, ruleset.events)
        read: dict[str, set[str]] = {}
        for baseline in ruleset.baselines.values():
            fields = read.setdefault(baseline.kind, set(baseline.by))
            fields.update(baseline.by)
            for part in [*baseline.values, baseline.condition]:
                fields.update(x.name for x in e.walk(part) if isinstance(x, e.Field))
        self.decoder = EventDecoder(ruleset.events, {kind: frozenset(names) for kind, names in read.items()})
        lists = {name: ListTest(found.items) for name, found in ruleset.lists.items()}
        self._observe = {
            struct: self._compile(kind, lists) for kind, struct in self.decoder.types.items() if kind in read
        }
        self._points: dict[tuple[str, tuple[Any, ...]], list[Point]] = {}
        self._dropped: dict[tuple[str, tuple[Any, ...]], int] = {}
        self.keys_left_out = 0

    def _compile(self, kind: str, lists: dict[str, ListTest]) -> Callable[[Event], dict[str, Reading]]:
        emitter = Emitter(lists)
        observed = observing(kind, self.baselines, emitter, Places(event="e"))
        source = "\n".join(
            ["def observe(e):", "    time = e.time", *observed.lines, f"    return {observed.readings}", ""]
        )
        made: Callable[[Event], dict[str, Reading]] = compile_function("observe", source, emitter.names)
        return made

    def feed(self, event: Event, position: int | None = None) -> list[Alert]:
        """One event; never an alert. ``position`` is there because a matcher has it."""
        for name, reading in self._observe[type(event)](event).items():
            if name in self._names:
                self._note(name, event, reading)
        return []

    def close(self) -> list[Alert]:
        """The end of input; never an alert."""
        return []

    def _note(self, name: str, event: Event, reading: Reading) -> None:
        estimator = self.baselines.estimators[name]
        rows: Rows = estimator.rows
        key = tuple(getattr(event, attribute(field)) for field in rows.names)
        for field, part in zip(rows.names, key, strict=True):
            if str(self._wanted.get(field, part)) != str(part):
                return
        place = (name, key)
        points = self._points.get(place)
        if points is None:
            if len(self._points) >= MAX_KEYS:
                self.keys_left_out += 1
                return
            points = self._points[place] = []
        time: int = event.time  # type: ignore[assignment]  # the decoder has made it an int
        point = _point(time, event.device, reading)
        every = estimator.terms.every_ms
        if points and every is not None and time // every == points[-1].time_ms // every:
            points[-1] = point
            return
        points.append(point)
        if len(points) > MAX_POINTS:
            del points[0]
            self._dropped[place] = self._dropped.get(place, 0) + 1

    def histories(self) -> list[History]:
        """What was followed, the baselines in order of declaration, of each the keys with most points
        first.
        """
        found: list[History] = []
        order = list(self.baselines.estimators)
        for place in sorted(
            self._points, key=lambda p: (order.index(p[0]), -len(self._points[p]), str(p[1]))
        ):
            name, key = place
            estimator = self.baselines.estimators[name]
            found.append(
                History(
                    baseline=name.replace("_", " "),
                    using=estimator.using,
                    function=estimator.functions[0] if estimator.using != "fanout" else "deviation",
                    key=dict(zip(estimator.rows.names, key, strict=True)),
                    every_ms=estimator.terms.every_ms,
                    points=tuple(self._points[place]),
                    dropped=self._dropped.get(place, 0),
                )
            )
        return found


def _point(time: int, device: str, reading: Reading) -> Point:
    return Point(
        time_ms=time,
        device=device,
        value=reading.value,
        score=reading.score,
        centre=reading.expected,
        low=reading.low,
        high=reading.high,
        drift=reading.drift,
        scope=reading.scope,
        samples=reading.samples,
        state=reading.state,
        marked=_marked(reading),
    )


def _marked(reading: Reading) -> bool:
    """Whether the value is what a rule usually asks for."""
    score = reading.score
    if score is None:
        return False
    match reading.function:
        case "deviation":
            return score >= SPREADS
        case "unseen":
            return score > 0
        case "prevalence":
            return score <= RARE
        case "regularity":
            return score >= REGULAR
        case _:
            return score >= UNUSUAL
