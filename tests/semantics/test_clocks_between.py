"""Clocks moved on between events change when something is said, never what stands at the end.

With any order of arrival, and clocks that pass the times of events still to come, the alerts that
stand once all clocks are closed are those of the definition.
"""

from __future__ import annotations

from random import Random

import pytest
from contested import contested
from generate import Case, cases
from hypothesis import given, settings
from hypothesis import strategies as st
from inputs import Placed, bare, told, what_stands, with_clocks
from oracle import matches
from running import flat, runnable

SLICES = 4
FEWER = settings(max_examples=max(1, settings().max_examples // 2))


def check(case: Case, arrival: list[Placed], random: Random, orders: int) -> int:
    """Gives how many alerts were closed or moved on the way."""
    ruleset = case.ruleset
    if not runnable(ruleset):
        return 0
    expected = sorted((m.key, m.evidence) for m in matches(ruleset, ruleset.rules["r"], case.events))
    revised = 0
    for _ in range(orders):
        alerts = flat(told(ruleset, with_clocks(random, arrival)))
        assert bare(what_stands(alerts)) == expected
        revised += sum(alert.revision > 1 for alert in alerts)
        random.shuffle(arrival)
    return revised


@FEWER
@given(cases(), st.randoms(use_true_random=False))
def test_generated_cases(case: Case, random: Random) -> None:
    check(case, case.in_order(), random, orders=2)


@pytest.mark.parametrize("part", range(SLICES))
def test_seeded_cases(part: int) -> None:
    count = settings().max_examples // SLICES
    revised = 0
    for number in range(count):
        seed = number * SLICES + part
        random = Random(seed)
        try:
            revised += check(*contested(random), random, orders=3)
        except Exception as error:
            raise AssertionError(f"seed {seed}") from error
    # Where nothing is ever taken back, nothing is shown.
    assert count < 50 or revised >= count // 8
