"""Running a device's kept events again around a late one says what a run over everything would say.

After every single input the alerts that stand are those of a matcher that has been told the same set
from the beginning and in order (DESIGN.md section 3).
"""

from __future__ import annotations

from random import Random

import pytest
from contested import contested
from generate import DECLARATIONS, Case, cases
from generate_chains import expected
from hypothesis import given, settings
from hypothesis import strategies as st
from inputs import Input, Passed, in_order, in_order_by_kind, told, what_stands, with_clocks
from running import evidence, flat, runnable

import dsl

SLICES = 4
FEWER = settings(max_examples=max(1, settings().max_examples // 6))


def check_every_step(case: Case, items: list[Input]) -> None:
    """Against a run of the set so far, in order, its clocks moved to the same times."""
    ruleset = case.ruleset
    if not runnable(ruleset):
        return
    groups = told(ruleset, items, end=False)
    for done in range(1, len(items) + 1):
        again = told(ruleset, in_order(items[:done]), end=False)
        assert what_stands(flat(groups[:done])) == what_stands(flat(again)), f"after {items[done - 1]}"


def check_wall_clock(case: Case, items: list[Input]) -> None:
    """Against the same places in the input, the events of each kind in order: the clocks of silent
    types depend on what arrived when.
    """
    ruleset = case.ruleset
    if not runnable(ruleset):
        return
    done = len(items) // 2
    for part in (items[:done], items):
        one, other = told(ruleset, part, end=False), told(ruleset, in_order_by_kind(part), end=False)
        assert what_stands(flat(one)) == what_stands(flat(other))


def shuffled(case: Case, random: Random, wall: bool) -> list[Input]:
    arrival = case.in_order()
    random.shuffle(arrival)
    return with_clocks(random, arrival, wall)


def test_a_wait_that_begins_late_is_said_at_once() -> None:
    """Its deadline has passed already: nothing is left to wait for."""
    ruleset = dsl.load_text(f"{DECLARATIONS} RULE r {{ WHEN alpha THEN NO gamma FOR 4ms }}")
    wire = {"kind": "alpha", "device": "d1", "time": 101, "id": "a101"}
    groups = told(ruleset, [Passed(105), (wire, 1)], end=False)
    assert [[evidence(alert) for alert in group] for group in groups] == [[], [("a101",)]]


def test_a_late_guard_before_the_beginning_of_an_interval() -> None:
    """The look back is from where the interval begins, however long it is."""
    ruleset = dsl.load_text(f"{DECLARATIONS} RULE r {{ WHEN NO gamma FOR 2ms THEN alpha }}")
    interval = {"kind": "alpha", "device": "d1", "time": 107, "start": 103, "quality": "interval", "id": "a"}
    guard = {"kind": "gamma", "device": "d1", "time": 101, "id": "g"}
    assert what_stands(flat(told(ruleset, [(guard, 1), (interval, 2)]))) == []
    assert what_stands(flat(told(ruleset, [(interval, 2), (guard, 1)]))) == []


@FEWER
@given(cases(), st.randoms(use_true_random=False))
def test_generated_cases(case: Case, random: Random) -> None:
    check_every_step(case, shuffled(case, random, wall=False))


@FEWER
@given(cases(), st.randoms(use_true_random=False))
def test_generated_cases_with_a_wall_clock(case: Case, random: Random) -> None:
    check_wall_clock(case, shuffled(case, random, wall=True))


@pytest.mark.parametrize("part", range(SLICES))
def test_seeded_cases(part: int) -> None:
    for number in range(settings().max_examples // 2 // SLICES):
        seed = number * SLICES + part
        random = Random(seed)
        try:
            case, arrival = contested(random)
            check_every_step(case, with_clocks(random, arrival, wall=False))
            check_wall_clock(case, with_clocks(random, arrival))
        except Exception as error:
            raise AssertionError(f"seed {seed}") from error


@pytest.mark.parametrize("part", range(SLICES))
def test_seeded_chains_of_rules(part: int) -> None:
    for number in range(settings().max_examples // 2 // SLICES):
        seed = number * SLICES + part
        random = Random(seed)
        case, arrival = contested(random, chains=True)
        if not runnable(case.ruleset) or not expected(case)[1]:
            continue
        try:
            check_every_step(case, with_clocks(random, arrival, wall=False))
            check_wall_clock(case, with_clocks(random, arrival))
        except Exception as error:
            raise AssertionError(f"seed {seed}") from error
