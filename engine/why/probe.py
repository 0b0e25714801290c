"""Asks the engine what would have been: the same events through a rule that differs in one thing.

So the answer is the engine's own, and holds for every construct that the engine runs: a miss is explained
by what would have matched, and never by a second reading of the language.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from dsl import expressions as e
from dsl import model as m
from engine.alert_events import read_rules
from engine.alerts import Alert
from engine.events import BadEvent
from engine.matcher import Matcher

MAX_RUNS = 400
"""Questions for one explanation. Each is a run over all events; an honest rule needs some tens."""
LONG_MS = 2 * 366 * 86_400_000
"""What a bound is widened to: longer than any recording of a device."""


class Input(msgspec.Struct, frozen=True):
    """One thing that reaches the engine.

    Attributes:
        wire: the event as a canonical wire object; None where the clocks pass ``time_ms``.
        position: the place of the event in the input.
        time_ms: when it happened, or the time that the clocks pass.
        arrives_ms: what the wall clock shows when it comes; None where nobody knows.
    """

    wire: dict[str, Any] | None
    position: int
    time_ms: int
    arrives_ms: int | None = None


Prepare = Callable[[Matcher], None]
"""Sets up a matcher before its first event: lists and baselines that a TEST gives."""


def rules_with_read(ruleset: m.RuleSet, name: str) -> dict[str, m.Rule]:
    """A rule and all whose alerts it reads, directly or through others."""
    found: dict[str, m.Rule] = {}
    waiting = [name]
    while waiting:
        next_ = waiting.pop()
        if next_ not in found and next_ in ruleset.rules:
            found[next_] = ruleset.rules[next_]
            waiting.extend(read_rules(found[next_]))
    return found


class Variation(msgspec.Struct, frozen=True):
    """What differs from the rule as it is written.

    Attributes:
        pattern: what WHEN says instead.
        unless: the vetoes that remain.
        dropped_key: a BY key that need not agree; for ``device`` all events are of one.
        without: positions of events that did not happen.
        late: events are matched however late they come.
        close: at the end all clocks pass everything.
        fields: values to be worked out for each match.
    """

    pattern: m.Pattern
    unless: tuple[m.Unless, ...] = ()
    dropped_key: str | None = None
    without: frozenset[int] = frozenset()
    late: bool = False
    close: bool = True
    fields: tuple[tuple[str, e.Value], ...] = ()


class Probe:
    """One rule and the events that did, or did not, make it alert."""

    def __init__(
        self,
        ruleset: m.RuleSet,
        rule: str,
        inputs: Sequence[Input],
        prepare: Prepare | None = None,
        learn: Sequence[str] = (),
    ) -> None:
        self.rule = ruleset.rules[rule]
        self.inputs = inputs
        self.runs = 0
        self._ruleset = ruleset
        self._rules = rules_with_read(ruleset, rule)
        self._prepare = prepare
        self._learn = learn

    @property
    def exhausted(self) -> bool:
        """Whether questions are answered no longer."""
        return self.runs >= MAX_RUNS

    def ask(self, variation: Variation) -> list[Alert]:
        """Every match that stands at the end, with nothing suppressed and under SELECT EACH."""
        if self.exhausted:
            return []
        self.runs += 1
        matcher = Matcher(self._varied(variation), also_learn=self._learn)
        if self.rule.name not in matcher.rules:
            return []
        if self._prepare is not None:
            self._prepare(matcher)
        standing: dict[str, Alert] = {}
        for alert in self._feed(matcher, variation):
            if alert.rule.name == self.rule.name:
                standing.pop(alert.id, None)
                if alert.activity != "close":
                    standing[alert.id] = alert
        return list(standing.values())

    def _varied(self, variation: Variation) -> m.RuleSet:
        by = tuple(key for key in self.rule.by if key != variation.dropped_key or key == "device")
        rule = msgspec.structs.replace(
            self.rule,
            by=by,
            pattern=variation.pattern,
            unless=variation.unless,
            select="each",
            severity=e.Constant("medium", e.Type(e.SEVERITY)),
            risk=None,
            suppress=None,
            alert_title=m.Template((self.rule.name,)),
            alert_texts=(),
            alert_fields=variation.fields,
            meta={},
        )
        events = self._ruleset.events
        if variation.late:
            events = {kind: msgspec.structs.replace(event, late_ms=LONG_MS) for kind, event in events.items()}
        return msgspec.structs.replace(
            self._ruleset, events=events, rules={**self._rules, rule.name: rule}, tests=()
        )

    def _feed(self, matcher: Matcher, variation: Variation) -> list[Alert]:
        out: list[Alert] = []
        for item in self.inputs:
            if item.position in variation.without:
                continue
            if item.wire is None:
                out.extend(matcher.close(item.time_ms))
                continue
            if item.arrives_ms is not None:
                out.extend(matcher.advance(item.arrives_ms))
            wire = {**item.wire, "device": "one"} if variation.dropped_key == "device" else item.wire
            try:
                event = matcher.decoder.convert(wire)
            except BadEvent:
                continue
            if event is not None:
                out.extend(matcher.feed(event, item.position))
        if variation.close:
            out.extend(matcher.close())
        return out
