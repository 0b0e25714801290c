"""The engine, fed in order, finds exactly what the definition says: which alerts, which events."""

from __future__ import annotations

from random import Random

import pytest
from generate import Case, cases, random_case
from hypothesis import event, given, settings
from oracle import matches
from running import evidence, feed, flat, runnable, standing

from dsl import model as m

SLICES = 4


def check(case: Case) -> bool | None:
    """Compares one case. Gives whether there was a match, None where the engine refuses the rule."""
    ruleset = case.ruleset
    if not runnable(ruleset):
        return None
    expected = matches(ruleset, ruleset.rules["r"], case.events)
    ordered = case.in_order()
    caused = feed(ruleset, ordered)
    assert standing(flat(caused)) == sorted((m.key, m.evidence) for m in expected)
    if waits(ruleset.rules["r"].pattern):
        return bool(expected)
    for (wire, _), alerts in zip(ordered, caused[:-1], strict=True):
        for alert in alerts:
            # It is said at once, not at some later event. A veto at the time of the match closes it.
            assert alert.activity != "create" or evidence(alert)[-1] == wire["id"]
    return bool(expected)


def waits(pattern: m.Pattern, first: bool = True) -> bool:
    """Whether a match may have to wait for the clock of something that is not there."""
    for index, step in enumerate(pattern.steps):
        match step.node:
            case m.AbsenceNode():
                if not first or index:
                    return True
            case m.GroupNode():
                if waits(step.node.pattern, first and index == 0):
                    return True
            case m.OneOfNode():
                if any(waits(branch, first and index == 0) for branch in step.node.branches):
                    return True
    return False


@given(cases())
def test_generated_cases(case: Case) -> None:
    event({True: "a match", False: "no match", None: "refused"}[check(case)])


@pytest.mark.parametrize("part", range(SLICES))
def test_seeded_cases(part: int) -> None:
    """More cases a second than Hypothesis makes, and longer ones. The seed names a failing case."""
    count = settings().max_examples * 2 // SLICES
    matched = refused = 0
    for number in range(count):
        seed = number * SLICES + part
        try:
            found = check(random_case(Random(seed), most=14))
        except Exception as error:
            raise AssertionError(f"random_case(Random({seed}), most=14)") from error
        matched += found is True
        refused += found is None
    # A generator that drifts into rules that never match, or never run, would prove nothing.
    if count >= 100:  # below that, chance alone decides
        assert matched >= count // 10
        assert refused <= count // 20
