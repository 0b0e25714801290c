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
ORDERS = 3


def check(case: Case, random: Random) -> None:
    """One order of arrival drawn at random, and the reverse, the hardest one."""
    ruleset = case.ruleset
    if not runnable(ruleset):
        return
    expected = sorted((m.key, m.evidence) for m in matches(ruleset, ruleset.rules["r"], case.events))
    shuffled = case.in_order()
    assert standing(flat(feed(ruleset, reversed(shuffled)))) == expected
    random.shuffle(shuffled)
    assert standing(flat(feed(ruleset, shuffled))) == expected


@given(cases(), st.randoms(use_true_random=False))
def test_every_arrival_order_ends_in_the_definition(case: Case, random: Random) -> None:
    check(case, random)


@pytest.mark.parametrize("part", range(SLICES))
def test_every_arrival_order_ends_in_the_definition_on_seeded_cases(part: int) -> None:
    for number in range(settings().max_examples // SLICES):
        seed = number * SLICES + part
        random = Random(seed)
        try:
            case = random_case(random, most=12)
            for _ in range(ORDERS):
                check(case, random)
        except Exception as error:
            raise AssertionError(f"seed {seed}") from error
