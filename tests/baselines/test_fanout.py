"""USING fanout: distinct values of a window against their own history."""

from math import log1p

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from one import MINUTE, One

from engine.baselines.distinct import STANDARD_ERROR

EVERY = 10 * MINUTE


def fed(counts: list[int], **terms: object) -> One:
    """So many different values in each window."""
    one = One("fanout", every_ms=EVERY, **terms)
    for window, count in enumerate(counts):
        for value in range(count):
            one.observe(window * EVERY + value, f"host {value}")
    return one


def test_it_counts_different_values_of_this_window() -> None:
    one = fed([3] * 40)
    time = 40 * EVERY
    for value, count in (("a", 1), ("b", 2), ("a", 2), ("c", 3)):
        assert one.observe(time, value).fanout == count
    assert one.observe(time + EVERY, "a").fanout == 1


def test_a_scan_deviates_and_is_not_learned() -> None:
    one = fed([3] * 40)
    for value in range(60):
        told = one.observe(40 * EVERY + value, value)
    assert told.deviation == pytest.approx((log1p(60) - log1p(3)) / 0.25)
    assert told.reading.expected == pytest.approx(3)
    assert one.observe(41 * EVERY, 1).reading.samples == 40


def test_it_is_cold_until_warmup() -> None:
    told = fed([3] * 30).observe(29 * EVERY + 500_000, "x")
    assert (told.fanout, told.deviation, told.ready) == (None, None, False)


def test_an_older_window_is_one_value_and_not_learned() -> None:
    one = fed([3] * 40)
    one.observe(40 * EVERY, "a")
    assert one.observe(0, "b").fanout == 1
    assert one.observe(40 * EVERY, "c").fanout == 2


def test_a_peer_learns_the_counts_of_its_keys() -> None:
    one = One("fanout", peer=("app",), every_ms=EVERY)
    for device in range(6):
        for window in range(8):
            for value in range(4):
                one.observe(window * EVERY, value, (f"d{device}", "app"))
    told = one.observe(8 * EVERY, 1, ("new", "app"))
    assert (told.fanout, told.reading.peer, told.reading.expected) == (1, True, pytest.approx(4))


def test_a_given_window_goes_on() -> None:
    one = One("fanout", every_ms=EVERY)
    one.fix({"now": 5, "center": 1.4, "spread": 0.3, "n": 100}, 7 * EVERY)
    assert one.observe(7 * EVERY + 1, "a").fanout == 6
    assert one.observe(7 * EVERY + 2, "a").fanout == 6
    assert one.observe(8 * EVERY, "a").fanout == 1


@settings(deadline=None, max_examples=20)
@given(st.lists(st.integers(1, 400), min_size=31, max_size=45))
def test_the_count_is_that_of_a_set(counts: list[int]) -> None:
    one = fed(counts)
    held = one.rows.outer["d1"].x[0]
    last = counts[-1]
    assert held.count == last if last <= 64 else held.count == pytest.approx(last, rel=4 * STANDARD_ERROR)


def test_real_shaped_counts_have_the_history_of_their_logarithms() -> None:
    counts = list(np.random.default_rng(3).integers(2, 9, 400))
    reading = fed([int(c) for c in counts]).observe(400 * EVERY, "x").reading
    assert log1p(reading.expected or 0) == pytest.approx(np.log1p(counts).mean(), abs=0.1)
