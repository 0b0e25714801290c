"""Whatever the order of arrival, the same alerts stand at the end: DESIGN.md section 1, point 1.

Positions stay with their events, for they decide ties (LANGUAGE.md section 4 item 1). SUPPRESS and
baselines depend on arrival by definition; the rules here have neither.
"""

from __future__ import annotations

from random import Random

import pytest
from generate import Case, cases, random_case
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import matches
from running import feed, flat, runnable, standing

SLICES = 4


def check(case: Case, random: Random, orders: int) -> None:
    """The reverse order, the hardest one, and some drawn at random."""
    ruleset = case.ruleset
    if not runnable(ruleset):
        return
    expected = sorted((m.key, m.evidence) for m in matches(ruleset, ruleset.rules["r"], case.events))
    arrival = case.in_order()[::-1]
    for _ in range(1 + orders):
        assert standing(flat(feed(ruleset, arrival))) == expected
        random.shuffle(arrival)


@given(cases(), st.randoms(use_true_random=False))
def test_generated_cases(case: Case, random: Random) -> None:
    check(case, random, orders=1)


@pytest.mark.parametrize("part", range(SLICES))
def test_seeded_cases(part: int) -> None:
    for number in range(settings().max_examples // SLICES):
        seed = number * SLICES + part
        random = Random(seed)
        try:
            check(random_case(random, most=12), random, orders=3)
        except Exception as error:
            raise AssertionError(f"seed {seed}") from error
