"""The chain of a drill: the events of a TEST, of a device that does not exist, ending now.

Pure. The chain is played on the spot before anybody publishes it, so that a drill that fails on a service
says something about the service.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import expm1
from typing import Any, Final

import msgspec

from dsl import expressions as e
from dsl import model as m
from dsl.ruleset import rebind
from dsl.units import format_duration
from engine.alerts import Alert
from engine.events import BadEvent
from engine.matcher import Matcher
from engine.testing import DEFAULT_DEVICE
from engine.why import rules_with_read

PREFIX: Final = "canary-"
"""Every device of a drill is called so: who reads alerts can tell them by it."""
SOURCE: Final = "thenwire.drill"
SPARE_BUCKETS: Final = 2
"""Trained beyond WARMUP: the last bucket is learned only when the next one begins."""


class NotDrillable(Exception):
    """No chain can be made for a rule; the message is one sentence that says why."""


class Chain(msgspec.Struct, frozen=True):
    """What a drill publishes.

    Attributes:
        test: the title of the TEST that it comes from.
        training: events that teach a baseline what is usual for the device; they cause nothing.
        events: the chain in the order of arrival, canonical wire events.
        severity: of the alert that it raises here.
        hash: of the rule as it is here; a service that runs another version answers with another one.
    """

    rule: str
    test: str
    device: str
    training: tuple[dict[str, Any], ...]
    events: tuple[dict[str, Any], ...]
    severity: str
    hash: str

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds it is made of."""
        return tuple(dict.fromkeys(event["kind"] for event in (*self.training, *self.events)))


def chain_for(ruleset: m.RuleSet, rule: str, device: str, now_ms: int) -> Chain:
    """The chain for a rule, for a canary device, its last event now.

    It is that of the first TEST that expects an alert and can be played on a running service; those without a
    baseline go first, because they need no training.

    Raises:
        NotDrillable: there is none, or it raises no alert even here.
    """
    name = rule.strip().replace(" ", "_")
    shown = name.replace("_", " ")
    found = ruleset.rules.get(name)
    if found is None:
        known = ", ".join(one.replace("_", " ") for one in ruleset.rules) or "none"
        raise NotDrillable(f"There is no rule `{shown}`; there are: {known}.")
    if "device" not in found.by:
        raise NotDrillable(f"Rule `{shown}` is about no device in particular, and a drill is about one.")
    tests = [t for t in ruleset.tests if t.rule == name and any(x.what == "alert" for x in t.expectations)]
    if not tests:
        raise NotDrillable(f"Rule `{shown}` has no TEST that expects an alert: there is no chain to inject.")
    reasons: list[str] = []
    for test in sorted(tests, key=lambda test: bool(test.fixtures)):
        try:
            return _made(ruleset, found, test, device, now_ms)
        except NotDrillable as why:
            reasons.append(f"{test.title}: {why}")
    more = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
    raise NotDrillable(f"No TEST of rule `{shown}` can be played on a running service: {reasons[0]}{more}.")


def _made(ruleset: m.RuleSet, rule: m.Rule, test: m.RuleTest, device: str, now_ms: int) -> Chain:
    if test.params and rebind(ruleset, test.params).rules.get(rule.name) != rule:
        raise NotDrillable("it sets PARAMs to other values than the service was given (--set)")
    if test.lists:
        raise NotDrillable("it sets LISTs, which a running service has its own of")
    inputs = [item for item in test.inputs if isinstance(item, m.TestEvent)]
    if len(inputs) < len(test.inputs):
        raise NotDrillable("it sets the clock, and that of a running service goes by itself")
    zero = now_ms - max(item.time_ms for item in inputs)
    order = sorted(inputs, key=lambda item: item.arrives_ms)
    events = tuple(_event(item, device, zero, place) for place, item in enumerate(order))
    training: list[dict[str, Any]] = []
    for fixture in test.fixtures:
        training += _training(ruleset, fixture, device, events)
    for event in (*training, *events):
        kind = ruleset.events[event["kind"]]
        waited = kind.late_ms + kind.grace_ms
        if now_ms - event["time"] > waited:
            far = format_duration(now_ms - event["time"])
            raise NotDrillable(
                f"it reaches back {far}, and {kind.kind} is waited for {format_duration(waited)}"
            )
    alert = _played(ruleset, rule, (*training, *events), device)
    return Chain(
        rule.name, test.title, device, tuple(training), events, alert.created_severity, alert.rule.hash
    )


def _event(item: m.TestEvent, device: str, zero: int, place: int) -> dict[str, Any]:
    fields = dict(item.fields)
    named = fields.pop("device", DEFAULT_DEVICE)
    mine = device if named == DEFAULT_DEVICE else f"{device}-{named}"
    identifier = f"{device}:{fields.pop('id', place)}"
    start = fields.pop("start", None)
    begin = {} if start is None else {"start": zero + start}
    return {
        "kind": item.kind,
        "device": mine,
        "time": zero + item.time_ms,
        "id": identifier,
        "source": SOURCE,
        **begin,
        **fields,
    }


def _training(
    ruleset: m.RuleSet, fixture: m.Fixture, device: str, events: tuple[dict[str, Any], ...]
) -> list[dict[str, Any]]:
    """Events that bring a baseline where the TEST's GIVEN puts it: the same amount in every bucket."""
    baseline = ruleset.baselines[fixture.baseline]
    shown = baseline.name.replace("_", " ")
    value = baseline.values[0]
    if baseline.using != "robust" or baseline.every_ms is None or not isinstance(value, e.Field):
        raise NotDrillable(
            f"baseline `{shown}` (USING {baseline.using}) cannot be trained for a canary device, so the rule "
            "is blind to a drill"
        )
    names = baseline.by if len(fixture.key) == len(baseline.by) else baseline.peer or ()
    key = {name: part for name, part in zip(names, fixture.key, strict=True) if name != "device"}
    if "device" in baseline.by:
        key["device"] = device
    usual = max(1, round(expm1(float(fixture.state["center"]))))
    like = next((x for x in events if x["kind"] == baseline.kind and _agrees(x, key)), None)
    if like is None:
        raise NotDrillable(f"none of its events is of the key for which it gives baseline `{shown}`")
    buckets = baseline.warmup + SPARE_BUCKETS
    first = like["time"] - buckets * baseline.every_ms
    like = {name: part for name, part in like.items() if name != "start"}
    wire = ruleset.events[baseline.kind].fields[value.name].wire
    return [
        {
            **like,
            "time": first + place * baseline.every_ms,
            "id": f"{device}:{baseline.name}:{place}",
            wire: usual,
        }
        for place in range(buckets)
    ]


def _agrees(event: Mapping[str, Any], key: Mapping[str, Any]) -> bool:
    return all(event.get(name) == part for name, part in key.items())


def _played(ruleset: m.RuleSet, rule: m.Rule, events: tuple[dict[str, Any], ...], device: str) -> Alert:
    """The alert that a chain raises here."""
    alone = msgspec.structs.replace(ruleset, rules=rules_with_read(ruleset, rule.name))
    matcher = Matcher(alone)
    if matcher.diagnostics:
        raise NotDrillable(f"the rule does not run: {matcher.diagnostics[0].message}")
    alerts: list[Alert] = []
    for event in events:
        try:
            decoded = matcher.decoder.convert(event)
        except BadEvent as bad:
            raise NotDrillable(f"an event made for it is bad: {bad}") from None
        if decoded is not None:
            alerts += matcher.feed(decoded)
    mine = [a for a in alerts if a.rule.name == rule.name and a.device == device and a.activity == "create"]
    if not mine:
        raise NotDrillable("moved to now it raises no alert without waiting")
    return mine[0]
