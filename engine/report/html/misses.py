"""Near misses of silent rules, from a second reading of the recordings.

For each silent rule that began a run the device is taken on which most of its steps were fitted, and its
events are given to :mod:`engine.why`. Left out are rules whose answer rests on more than the events of one
device: those that read a baseline or the alerts of other rules, and fleet rules.
"""

from __future__ import annotations

from typing import Any

import msgspec

from dsl import expressions as e
from dsl import model as m
from engine.alert_events import read_rules
from engine.alerts import Alert
from engine.events import Event, EventDecoder
from engine.matcher import Matcher
from engine.plan import RulePlan
from engine.report.fits import Fits
from engine.report.html.facts import NearMiss
from engine.why import Input, nearest_miss

MAX_RULES = 10
"""Silent rules that are asked about: each asks the engine some tens of times."""
MAX_EVENTS = 500
"""Events of the device; a rule whose device has more is left out."""


class EventWithWire(Event, tag="event with wire", kw_only=True, gc=False):
    """An event that remembers the record that it was made of. ``own`` is its kind."""

    own: str
    wire: bytes | dict[str, Any]


class Wires:
    """Collects the events of the devices that near misses are looked for on. Fed like a matcher."""

    def __init__(self, ruleset: m.RuleSet, matcher: Matcher, fits: Fits) -> None:
        self._ruleset = ruleset
        self._decoder = EventDecoder(ruleset.events, matcher.plan.read)
        self._inputs: dict[str, list[Input]] = {}
        self._asked: dict[str, dict[str, frozenset[str]]] = {}
        self._devices: dict[str, str] = {}
        counts = matcher.rule_counts()
        for plan in matcher.plan.rules:
            name = plan.rule.name
            device = fits.furthest(plan)
            began = counts[name].starts and not counts[name].matches
            if device is None or not began or not _alone(plan) or len(self._devices) >= MAX_RULES:
                continue
            self._devices[name] = device
            self._asked.setdefault(device, {})[name] = frozenset(plan.watched)

    @property
    def wanted(self) -> bool:
        """Whether there is anything to look for."""
        return bool(self._devices)

    @property
    def decoder(self) -> Wires:
        """Itself: it decodes, too."""
        return self

    def decode(self, raw: bytes) -> EventWithWire | None:
        """As a matcher decodes it, with the record."""
        return _with(self._decoder.decode(raw), raw)

    def convert(self, wire: dict[str, Any]) -> EventWithWire | None:
        """As :meth:`decode`, for a record that is decoded already."""
        return _with(self._decoder.convert(wire), wire)

    def feed(self, event: Event, position: int | None = None) -> list[Alert]:
        """One event; never an alert."""
        asked = self._asked.get(event.device)
        if asked is not None:
            assert isinstance(event, EventWithWire)
            for name, kinds in asked.items():
                found = self._inputs.setdefault(name, [])
                if event.own in kinds and len(found) <= MAX_EVENTS:
                    wire = event.wire if isinstance(event.wire, dict) else msgspec.json.decode(event.wire)
                    time: int = event.time  # type: ignore[assignment]  # the decoder has made it an int
                    found.append(Input(wire, position or 0, time))
        return []

    def close(self) -> list[Alert]:
        """The end of input; never an alert."""
        return []

    def misses(self) -> dict[str, list[NearMiss]]:
        """By rule; a rule of which nothing can be said is left out."""
        found: dict[str, list[NearMiss]] = {}
        for name, device in self._devices.items():
            inputs = self._inputs.get(name, [])
            if len(inputs) > MAX_EVENTS:
                continue
            miss = nearest_miss(self._ruleset, name, inputs)
            if miss is not None:
                found[name] = [NearMiss(device, miss.sentence)]
        return found


def _with(event: Event | None, wire: bytes | dict[str, Any]) -> EventWithWire | None:
    if event is None:
        return None
    return EventWithWire(
        device=event.device, time=event.time, attribution=event.attribution, own=event.kind, wire=wire
    )


def _alone(plan: RulePlan) -> bool:
    """Whether the events of one device decide all that the rule says."""
    rule = plan.rule
    silent = isinstance(rule.severity, e.Constant) and rule.severity.value == "none"
    return not (silent or plan.fleet or plan.baselines or read_rules(rule))
