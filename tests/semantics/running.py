"""What the tests do with the engine: feed it, and fold its alerts into those that stand at the end."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import engine
from dsl import model as m

Open = tuple[tuple[str, ...], tuple[str, ...]]
"""An alert that stands: its key in the order of BY, and the ids of its evidence in step order."""


def runnable(ruleset: m.RuleSet) -> bool:
    """Whether the one rule loads and runs. Asserts that the reasons why not are the few that may be:
    bounds that exclude each other, and more alternatives than it takes.
    """
    errors = {d.code for d in ruleset.errors}
    # TW201: a rule that reads the alerts of one that has an error.
    assert errors <= ({"TW409", "TW201"} if "TW409" in errors else set()), [d.message for d in ruleset.errors]
    refused = engine.Matcher(ruleset).diagnostics
    assert all(d.code == "TW903" for d in refused), [d.message for d in refused]
    return not errors and not refused


def feed(ruleset: m.RuleSet, events: Iterable[tuple[dict[str, Any], int]]) -> list[list[engine.Alert]]:
    """The alerts that each event causes, and in a last group those that the end of input releases.
    Asserts that the engine runs every rule and dropped nothing.
    """
    matcher = engine.Matcher(ruleset)
    assert not matcher.diagnostics, [d.message for d in matcher.diagnostics]
    out: list[list[engine.Alert]] = []
    for wire, position in events:
        event = matcher.decoder.convert(wire)
        out.append([] if event is None else matcher.feed(event, position))
    out.append(matcher.close())
    assert not any(count.dropped for count in matcher.rule_counts().values())
    return out


def evidence(alert: engine.Alert) -> tuple[str, ...]:
    return tuple(step.event_id for step in alert.steps)


def standing(alerts: Iterable[engine.Alert]) -> list[Open]:
    """Creates, updates and closes folded by id: the alerts that are open at the end, sorted.

    Asserts what a subscriber relies on: an id is created once and first, its revision counts up by one,
    it is closed only while it is open, and opened again by an update; an update of an open alert
    changes something; what names the alert and routes it never changes.
    """
    stands: dict[str, engine.Alert] = {}
    latest: dict[str, engine.Alert] = {}
    for alert in alerts:
        before = latest.get(alert.id)
        if before is None:
            assert alert.activity == "create", "not created first"
            assert alert.revision == 1
        else:
            assert alert.activity != "create", "created twice"
            assert alert.revision == before.revision + 1, "a revision was skipped or repeated"
            assert lasting(alert) == lasting(before)
        if alert.activity == "close":
            assert before is not None, "closed before it was created"
            assert before.status == "open", "closed twice"
            assert alert.status == "closed"
            assert evidence(alert) == evidence(before), "closed with other evidence"
            del stands[alert.id]
        else:
            assert alert.status == "open"
            stands[alert.id] = alert
        if alert.activity == "update" and before is not None and before.status == "open":
            # An alert that it rests on may have been updated, and the steps show its id alone.
            rests_on_alert = any(step.kind.startswith("alert:") for step in alert.steps)
            assert rests_on_alert or told_of(alert) != told_of(before), "an update that changes nothing"
        latest[alert.id] = alert
    return sorted((tuple(str(v) for v in a.key.values()), evidence(a)) for a in stands.values())


def lasting(alert: engine.Alert) -> tuple[object, ...]:
    """What stays the same for the life of an alert."""
    return (alert.rule, alert.device, alert.key, alert.created_severity, alert.schema)


def told_of(alert: engine.Alert) -> tuple[object, ...]:
    """What an update is about: the events with the fields that were read, and how many there were."""
    return (alert.steps, alert.time, alert.fields, alert.severity, alert.risk)


def flat(groups: Sequence[Sequence[engine.Alert]]) -> list[engine.Alert]:
    return [alert for group in groups for alert in group]
