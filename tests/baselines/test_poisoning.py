"""Somebody raises the level slowly, so that a large transfer will not be seen later. LANGUAGE.md 6."""

from math import expm1

import numpy as np
import pytest
from one import MINUTE, One, levels

EVERY = 5 * MINUTE
MONTH = 8_640
"""Buckets of 5 minutes in 30 days, a half-life of the slow copy."""
PASSED = 3.0
BLIND = 4.0


def poisoned(growth: float, noise: float, history: int, seed: int) -> tuple[int | None, int | None]:
    """After a history the level grows: when drift passes 3, and when a transfer that scored 10 before scores
    below 4.
    """
    random = np.random.default_rng(seed)
    one = One("robust", every_ms=EVERY)
    level = 12.0
    for bucket in range(history):
        told = one.observe(bucket * EVERY, expm1(level + random.normal(0, noise)))
    found = one.rows.find(("d1", "app"))
    assert found is not None
    centre, spread = levels(one, found)[1:3]
    transfer = expm1(centre + 10 * spread)
    drifted = None
    for bucket in range(history, history + 20_000):
        level += np.log1p(growth)
        told = one.observe(bucket * EVERY, expm1(level + random.normal(0, noise)))
        if drifted is None and told.drift > PASSED:
            drifted = bucket
        if one.estimator.ask("deviation")(found, transfer, None) < BLIND:
            return drifted, bucket
    return drifted, None


@pytest.mark.parametrize("noise", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("growth", [0.001, 0.002, 0.005, 0.01])
def test_drift_is_seen_before_the_transfer_is_hidden(growth: float, noise: float) -> None:
    drifted, blind = poisoned(growth, noise, MONTH, seed=3)
    assert drifted is not None
    assert blind is None or drifted < blind


def test_it_takes_a_history() -> None:
    """What the docs admit: in the first days there is nothing slow to compare with."""
    drifted, blind = poisoned(0.002, 0.3, 288, seed=3)
    assert blind is not None
    assert drifted is None


def test_growth_that_is_slow_enough_gets_through() -> None:
    """What the docs admit: half a percent a day is followed by both copies."""
    one = One("robust", every_ms=EVERY)
    one.fix({"center": 12.0, "spread": 0.25, "n": 20_000})
    level, worst = 12.0, 0.0
    for bucket in range(30_000):
        level += np.log1p(0.005) / 288
        worst = max(worst, one.observe(bucket * EVERY, expm1(level)).drift or 0.0)
    assert level - 12.0 > 0.5  # traffic is 68 % more, and grows on
    assert worst < PASSED


def test_a_flood_of_noise_does_not_hide_what_follows() -> None:
    """The fast spread stays within 1.5 of the slow one, however wild a day is."""
    random = np.random.default_rng(9)
    one = One("robust", every_ms=EVERY)
    for bucket in range(MONTH):
        one.observe(bucket * EVERY, expm1(12 + random.normal(0, 0.3)))
    for bucket in range(MONTH, MONTH + 288):
        one.observe(bucket * EVERY, expm1(12 + random.normal(0, 3)))
    assert one.observe((MONTH + 288) * EVERY, expm1(12 + 10 * 0.3)).deviation > BLIND
