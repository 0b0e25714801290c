"""What the tests do with the engine: feed it, and fold its alerts into those that stand at the end."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import engine
from dsl import model as m

Open = tuple[tuple[str, ...], tuple[str, ...]]
"""An alert that stands: its key in the order of BY, and the ids of its evidence in step order."""


def not_run_yet(ruleset: m.RuleSet) -> bool:
    """Whether the engine says TW901 of a rule: it does not run that construct yet."""
    return any(d.code == "TW901" for d in engine.Matcher(ruleset).diagnostics)


def runnable(ruleset: m.RuleSet) -> bool:
    """Whether the one rule loads and runs. Asserts that the reasons why not are the few that may be:
    bounds that exclude each other, constructs that the engine does not run yet, and more
    alternatives than it takes.
    """
    errors = {d.code for d in ruleset.errors}
    assert errors <= {"TW409"}, [d.message for d in ruleset.errors]
    refused = engine.Matcher(ruleset).diagnostics
    assert all(d.code == "TW901" or "combinations of branches" in d.message for d in refused), [
        d.message for d in refused
    ]
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

    Asserts what a subscriber relies on: the revision of an id counts up by one, an alert that is
    open is not created again, and one that is not open is not closed.
    """
    stands: dict[str, engine.Alert] = {}
    revisions: dict[str, int] = {}
    for alert in alerts:
        if alert.id in revisions:
            assert alert.revision == revisions[alert.id] + 1, "a revision was skipped or repeated"
        else:
            assert alert.activity == "create"
            assert alert.revision == 1
        revisions[alert.id] = alert.revision
        if alert.activity == "close":
            assert alert.id in stands, "closed twice"
            assert alert.status == "closed"
            del stands[alert.id]
        else:
            assert alert.activity != "create" or alert.id not in stands, "created twice"
            assert alert.status == "open"
            stands[alert.id] = alert
    return sorted((tuple(str(v) for v in a.key.values()), evidence(a)) for a in stands.values())


def flat(groups: Sequence[Sequence[engine.Alert]]) -> list[engine.Alert]:
    return [alert for group in groups for alert in group]
