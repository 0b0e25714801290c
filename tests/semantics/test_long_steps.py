"""Deadlines that are judged in portions say what they say at once, and from any snapshot on the same.

Every step of a clock is made a long one here, of one device at a time, and each is dear: so much comes
between a deadline's passing and its judgement.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from random import Random

import pytest
import test_arrival_order
import test_differential
import test_parts
import test_snapshots
from generate import Case, random_case
from hypothesis import settings
from inputs import Input, Passed, Placed, with_clocks
from test_deliveries import any_case, suppressing

from engine import clocks, deadlines

CASES = max(10, settings().max_examples // 4)


def moving(random: Random, arrival: Iterable[Placed]) -> list[Input]:
    """Clocks that events and the wall move, none that is told to pass everything at once."""
    return [item for item in with_clocks(random, arrival) if not isinstance(item, Passed)]


@pytest.fixture(autouse=True)
def steps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Gives how many devices were judged in portions."""
    monkeypatch.setattr(clocks, "MOST_AT_ONCE", 0)
    monkeypatch.setattr(deadlines, "MOST_AT_ONCE", 0)
    monkeypatch.setattr(deadlines, "PORTION", 1)
    monkeypatch.setattr(deadlines, "COST", 400)
    for module in (test_snapshots, test_parts):
        monkeypatch.setattr(module, "with_clocks", moving)
    judged: list[int] = []
    judge = deadlines.Deadlines._judge

    def counted(*args: object) -> int:
        judged.append(judge(*args))  # type: ignore[arg-type]  # as they came
        return judged[-1]

    monkeypatch.setattr(deadlines.Deadlines, "_judge", counted)
    return judged


def prompt(case: Case, random: Random) -> Case:
    """The case with a short GRACE, so that deadlines pass between events and not only at the end."""
    graces = ("0ms", "2ms", "5ms")

    def declared(found: re.Match[str]) -> str:
        return f"{found[0]} GRACE {random.choice(graces)}"

    if "GRACE" in case.text:
        return case
    return Case(re.sub(r"^\s*EVENT [\w.]+", declared, case.text, flags=re.MULTILINE), case.events)


def differential(case: Case, random: Random) -> None:
    test_differential.check(case)


def arrival_order(case: Case, random: Random) -> None:
    test_arrival_order.check(case, random, 2)


def snapshots(case: Case, random: Random) -> None:
    test_snapshots.check(case, random)
    test_snapshots.check(suppressing(case, random), random)


def parts(case: Case, random: Random) -> None:
    test_parts.check(case, random)
    test_parts.check(suppressing(case, random), random)


@pytest.mark.parametrize(
    ("check", "made"),
    [(differential, random_case), (arrival_order, random_case), (snapshots, any_case), (parts, any_case)],
)
def test_seeded_cases(
    check: Callable[[Case, Random], None], made: Callable[[Random], Case], steps: list[int]
) -> None:
    cases = seed = 0
    while cases < CASES:
        seed += 1
        random = Random(seed)
        case = prompt(made(random), random)
        if " FOR " not in case.text:
            continue
        cases += 1
        try:
            check(case, random)
        except Exception as error:
            raise AssertionError(f"seed {seed}") from error
    assert sum(steps) > CASES // 25
