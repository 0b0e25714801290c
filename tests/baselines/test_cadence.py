"""USING cadence beside numpy's median, and what is no contact."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from one import DAY, MINUTE, One

START = 1_767_225_600_000


def fed(times: list[int]) -> One:
    one = One("cadence")
    for time in times:
        one.observe(time)
    return one


def test_a_clock_is_regular_from_the_seventh_contact() -> None:
    one = One("cadence")
    for contact in range(6):
        assert one.observe(START + contact * MINUTE).regularity is None
    told = one.observe(START + 6 * MINUTE)
    assert (told.regularity, told.period, told.ready) == (1.0, MINUTE, True)
    assert (told.reading.state, told.reading.samples, told.reading.period) == ("ok", 6, MINUTE)


def test_what_is_faster_than_5_seconds_is_one_conversation() -> None:
    assert fed([START + i * 4_999 for i in range(9)]).observe(START + 9 * 4_999).regularity is None
    assert fed([START + i * 5_000 for i in range(9)]).observe(START + 9 * 5_000).regularity == 1.0


def test_only_the_last_8_intervals_count() -> None:
    irregular = [START, START + 100_000, START + 110_000, START + 500_000]
    beacon = [START + 500_000 + i * MINUTE for i in range(1, 8)]
    one = fed([*irregular, *beacon])
    assert one.observe(START + 500_000 + 8 * MINUTE).regularity == 1.0


def test_a_duplicate_changes_nothing_and_a_late_one_is_answered_and_not_learned() -> None:
    one = fed([START + i * MINUTE for i in range(9)])
    for time in (START + 8 * MINUTE, START + 7 * MINUTE + 3, START):
        assert one.observe(time).regularity == 1.0
    assert one.observe(START + 9 * MINUTE).regularity == 1.0


@settings(deadline=None)
@given(st.lists(st.integers(1, 100 * DAY), min_size=7, max_size=40))
def test_it_is_the_formula(intervals: list[int]) -> None:
    one = One("cadence")
    time = START
    one.observe(time)
    for interval in intervals:
        time += interval
        # A key idle for a month starts anew; that is tested with the rows.
        one.rows.idle = 10**9
        told = one.observe(time)
    last = np.minimum(np.array(intervals[-8:], dtype=float), 2.0**32 - 1)
    median = float(np.median(last))
    if median < 5_000:
        assert told.regularity is None
    else:
        assert told.regularity == pytest.approx(1 - float(np.median(np.abs(last - median))) / median)
        assert told.period == int(median)


@given(st.integers(5_000, 20 * DAY), st.floats(0, 1))
def test_a_given_cadence_is_that_cadence(period: int, regularity: float) -> None:
    one = One("cadence")
    one.fix({"period": period, "regularity": regularity}, START)
    told = one.observe(START)
    assert told.period == period
    assert told.regularity == pytest.approx(regularity, abs=1 / period)
