"""Why a rule did not alert for a device in a recording.

Events that fit nothing are not kept while a rule runs, so the recording is read again: once to see what the
rule said of the device and when it came nearest, and once to take the device's events around that time,
with the baselines as they stood before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec

from dsl import model as m
from engine.alerts import Alert
from engine.baselines.declared import OtherState
from engine.events import Event
from engine.matcher import Matcher
from engine.replay import Takes
from engine.why.miss import NearestMiss
from engine.why.probe import Input, rules_with_read
from engine.why.search import nearest_miss

MAX_EVENTS: Final = 2_000
"""Events of the device around the time in question: each question is a run over all of them."""
Read = Callable[[Takes], Iterable[Alert]]
"""Feeds a recording to what takes it; gives the alerts."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What a rule said of a device, or why it did not.

    Attributes:
        rule, device: what was asked about.
        alerts: of the rule and device, as they stand at the end.
        around_ms: the time that was looked at: the one asked for, or that of the last event that began a
            run; None where the device sent nothing that the rule reads.
        events: how many of its events were looked at.
        miss: what was in the way; None where the rule did alert on these events.
    """

    rule: str
    device: str
    alerts: list[Alert]
    around_ms: int | None
    events: int
    miss: NearestMiss | None


class TooManyEvents(Exception):
    """The device sent more than ``MAX_EVENTS`` around the time; another time or a shorter rule is needed."""


class _First:
    """The first reading: alerts of the device, and its last event that began a run, or any."""

    def __init__(self, ruleset: m.RuleSet, rule: str, device: str) -> None:
        self._device = device
        self._fitted = self._began = False
        self.began_ms: int | None = None
        self.last_ms: int | None = None
        self.matcher = Matcher(ruleset, on_fit=self._note)
        (self._plan,) = [plan for plan in self.matcher.plan.rules if plan.rule.name == rule]
        self.decoder = self.matcher.decoder

    @property
    def span_ms(self) -> int:
        """How far around a time events can matter to the rule."""
        return 2 * self._plan.table.horizon_ms

    def _note(self, rule: int, mask: int, device: str) -> None:
        del device
        self._began |= rule == self._plan.index and bool(mask & self._plan.table.start_mask)

    def feed(self, event: Event, position: int | None = None) -> list[Alert]:
        self._began = False
        out = self.matcher.feed(event, position)
        if event.device == self._device and event.kind in self._plan.watched:
            time: int = event.time  # type: ignore[assignment]  # the decoder has made it an int
            self.last_ms = time
            if self._began:
                self.began_ms = time
        return out

    def close(self) -> list[Alert]:
        return self.matcher.close()


class _Second:
    """The second reading: the device's events in a time, and the baselines before it. It decodes, too."""

    def __init__(self, ruleset: m.RuleSet, learn: list[str], device: str, since: int, until: int) -> None:
        self._matcher = Matcher(ruleset, also_learn=learn)
        self._device, self._since, self._until = device, since, until
        self._wire: bytes | dict[str, Any] = b""
        self._wires: dict[int, bytes | dict[str, Any]] = {}
        self.inputs: list[Input] = []
        self.learned: bytes | None = None

    @property
    def decoder(self) -> _Second:
        return self

    def decode(self, raw: bytes) -> Event | None:
        return self._kept(self._matcher.decoder.decode(raw), raw)

    def convert(self, wire: dict[str, Any]) -> Event | None:
        return self._kept(self._matcher.decoder.convert(wire), wire)

    def _kept(self, event: Event | None, wire: bytes | dict[str, Any]) -> Event | None:
        if event is not None and event.device == self._device:
            self._wires[id(event)] = wire
        return event

    def feed(self, event: Event, position: int | None = None) -> list[Alert]:
        wire = self._wires.pop(id(event), None)
        time: int = event.time  # type: ignore[assignment]  # the decoder has made it an int
        if wire is not None and self._since <= time <= self._until:
            if self.learned is None:
                self.learned = self._matcher.baselines.encode()
            if len(self.inputs) >= MAX_EVENTS:
                raise TooManyEvents
            decoded = msgspec.json.decode(wire) if isinstance(wire, bytes) else wire
            self.inputs.append(Input(decoded, position or 0, time))
        if self.learned is None:
            self._matcher.feed(event, position)
        return []

    def close(self) -> list[Alert]:
        return []


def why(ruleset: m.RuleSet, rule: str, device: str, read: Read, at_ms: int | None = None) -> Answer:
    """Ask a recording why a rule did not alert for a device.

    Args:
        ruleset: the rule set; only the rule and those whose alerts it reads are run.
        rule: the canonical name of the rule.
        device: of the events.
        read: called twice.
        at_ms: the time to look around, epoch milliseconds; None for the last event that began a run.

    Raises:
        KeyError: there is no such rule.
        TooManyEvents: see there.
    """
    alone = msgspec.structs.replace(ruleset, rules=rules_with_read(ruleset, rule), tests=())
    first = _First(alone, rule, device)
    standing: dict[str, Alert] = {}
    for alert in read(first):
        if alert.rule.name == rule and alert.device == device:
            standing[alert.id] = alert
    alerts = [alert for alert in standing.values() if alert.status == "open"]
    around = at_ms if at_ms is not None else first.began_ms if first.began_ms is not None else first.last_ms
    if around is None or (alerts and at_ms is None):
        return Answer(rule=rule, device=device, alerts=alerts, around_ms=around, events=0, miss=None)
    learn = list(first.matcher.plan.baselines)
    second = _Second(alone, learn, device, around - first.span_ms, around + first.span_ms)
    for _ in read(second):
        pass

    def prepare(matcher: Matcher) -> None:
        if second.learned is None:
            return
        try:
            matcher.baselines.decode(second.learned)
        except OtherState:
            # A variation with another LATE: it is asked with young baselines.
            return

    miss = nearest_miss(alone, rule, second.inputs, prepare, learn=learn)
    return Answer(
        rule=rule, device=device, alerts=alerts, around_ms=around, events=len(second.inputs), miss=miss
    )
