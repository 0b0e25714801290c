"""*search* on random rules: against the definition, against *runs*, and against itself in other orders."""

from __future__ import annotations

from random import Random

import pytest
from evaluate import NotCovered
from generate import random_case
from oracle import matches
from running import feed, flat, runnable, standing
from search_rules import Wire, random_events, random_rule

import dsl
import engine
import engine.plan
from dsl.model import RuleSet

CASES = 120
SLICES = 3
Stand = tuple[tuple[str, ...], str, tuple[str, ...]]


def stands(ruleset: RuleSet, events: list[tuple[Wire, int]]) -> list[Stand]:
    """Key, time and evidence of the alerts that stand at the end of input."""
    matcher = engine.Matcher(ruleset)
    alerts: list[engine.Alert] = []
    for wire, position in events:
        event = matcher.decoder.convert(wire)
        alerts += [] if event is None else matcher.feed(event, position)
    alerts += matcher.close()
    assert not any(count.dropped for count in matcher.rule_counts().values())
    last = {alert.id: alert for alert in alerts}
    return sorted(
        (tuple(str(v) for v in a.key.values()), a.time, tuple(s.event_id for s in a.steps))
        for a in last.values()
        if a.status == "open"
    )


@pytest.mark.parametrize("part", range(SLICES))
def test_every_order_of_arrival_ends_alike_and_as_defined(part: int) -> None:
    matched = defined = 0
    for seed in range(part, CASES * SLICES, SLICES):
        random = Random(seed)
        ruleset = dsl.load_text(random_rule(random))
        events = random_events(random)
        if ruleset.errors:
            assert {d.code for d in ruleset.errors} == {"TW409"}, seed
            continue
        found = stands(ruleset, events)
        shuffled = list(events)
        random.shuffle(shuffled)
        assert stands(ruleset, shuffled) == found, seed
        assert stands(ruleset, events[::-1]) == found, seed
        matched += bool(found)
        try:
            wanted = sorted((m.key, m.evidence) for m in matches(ruleset, ruleset.rules["r"], events))
        except NotCovered:
            continue
        assert sorted((key, evidence) for key, _, evidence in found) == wanted, seed
        defined += 1
    # A generator that drifts into rules that never match would prove nothing.
    assert matched >= CASES // 12
    assert defined >= CASES // 8


def test_search_is_right_where_another_automaton_usually_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine.plan, "needs_search", lambda chains: True)
    for seed in range(CASES):
        random = Random(seed)
        case = random_case(random, most=12)
        ruleset = case.ruleset
        if not runnable(ruleset):
            continue
        wanted = sorted((m.key, m.evidence) for m in matches(ruleset, ruleset.rules["r"], case.events))
        events = case.in_order()
        assert standing(flat(feed(ruleset, events))) == wanted, seed
        random.shuffle(events)
        assert standing(flat(feed(ruleset, events))) == wanted, seed
