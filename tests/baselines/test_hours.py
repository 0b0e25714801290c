"""USING hours beside a histogram of the whole series."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from one import DAY, HOUR, MINUTE, One

from engine.baselines.hours import BINS, HALF_LIFE_MS, hour_of_week

THURSDAY = 1_767_225_600_000  # 2026-01-01T00:00Z


def test_the_week_begins_on_monday() -> None:
    assert hour_of_week(THURSDAY) == 3 * 24
    assert hour_of_week(THURSDAY + 4 * DAY - 1) == 167
    assert hour_of_week(THURSDAY + 4 * DAY) == 0


def test_it_needs_two_weeks() -> None:
    one = One("hours", names=("device",))
    told = one.observe(THURSDAY, key=("d1",))
    assert (told.unusual, told.ready, told.reading.state) == (None, False, "cold")
    assert one.observe(THURSDAY + 14 * DAY - MINUTE, key=("d1",)).unusual is None
    assert one.observe(THURSDAY + 14 * DAY, key=("d1",)).unusual is not None


def office(one: One, weeks: int = 4) -> int:
    """Ten events in each hour from 9 to 17, every day; the time after them, a Thursday at midnight."""
    for day in range(7 * weeks):
        for hour in range(9, 17):
            for event in range(10):
                one.observe(THURSDAY + day * DAY + hour * HOUR + event * 5 * MINUTE, key=("d1",))
    return THURSDAY + 7 * weeks * DAY


def test_an_hour_that_never_comes_up_is_unusual() -> None:
    one = One("hours", names=("device",))
    time = office(one)
    night = one.observe(time + 3 * HOUR, key=("d1",))
    reading = night.reading
    day = one.observe(time + 10 * HOUR, key=("d1",))
    assert night.unusual > 0.999
    assert day.unusual < 1 - 1 / BINS
    assert reading.value == "Thu 03:00"
    assert (reading.samples, reading.scope) == (2_241, "device")  # this one included


def test_a_device_that_never_sleeps_has_no_unusual_hour() -> None:
    one = One("hours", names=("device",))
    for hour in range(3 * BINS):
        one.observe(THURSDAY + hour * HOUR, key=("d1",))
    assert one.observe(THURSDAY + 3 * BINS * HOUR, key=("d1",)).unusual == pytest.approx(
        1 - 1 / BINS, abs=1e-3
    )


def test_little_data_makes_nothing_unusual() -> None:
    one = One("hours", names=("device",))
    one.observe(THURSDAY, key=("d1",))
    assert one.observe(THURSDAY + 14 * DAY + 5 * HOUR, key=("d1",)).unusual < 0.9942


def test_with_every_a_flood_is_one_sample() -> None:
    one = One("hours", names=("device",), every_ms=HOUR)
    time = office(one)
    for event in range(1_000):
        one.observe(time + 3 * HOUR + event, key=("d1",))
    assert one.observe(time + 7 * DAY + 3 * HOUR, key=("d1",)).unusual > 0.99
    assert one.observe(time + 7 * DAY + 4 * HOUR, key=("d1",)).reading.samples == 8 * 28 + 3


def test_late_events_are_answered_and_not_learned() -> None:
    one = One("hours", names=("device",), grace_ms=5 * MINUTE)
    time = office(one)
    samples = one.observe(time, key=("d1",)).reading.samples
    assert one.observe(time - 20 * HOUR, key=("d1",)).unusual > 0.999
    assert one.observe(time, key=("d1",)).reading.samples == samples + 1


def test_a_peer_answers_for_a_new_device() -> None:
    one = One("hours", names=("device",), peer=())
    office(one)
    told = one.observe(THURSDAY + 28 * DAY + 3 * HOUR, key=("new",))
    assert told.unusual > 0.999
    assert (told.reading.scope, told.reading.peer, told.reading.samples) == ("fleet", True, 2_241)


def test_given_hours() -> None:
    one = One("hours", names=("device",))
    one.fix({"active": [9, 10], "n": 400}, THURSDAY, key="d1")  # type: ignore[arg-type]
    assert one.observe(THURSDAY + 3 * HOUR, key=("d1",)).unusual > 0.998
    assert one.observe(THURSDAY + 9 * HOUR, key=("d1",)).unusual < 0.96


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(0, 3 * DAY), min_size=5, max_size=200))
def test_it_is_the_formula(gaps: list[int]) -> None:
    one = One("hours", names=("device",))
    times = np.cumsum(np.array(gaps)) + THURSDAY
    for number, time in enumerate(times.tolist()):
        unusual = one.observe(time, key=("d1",)).unusual
        before = times[:number]
        if time // MINUTE - times[0] // MINUTE < 14 * 1_440:
            assert unusual is None
            continue
        weights = 0.5 ** ((time - before) / HALF_LIFE_MS)
        same = weights[[hour_of_week(int(t)) == hour_of_week(time) for t in before]].sum()
        assert unusual == pytest.approx(1 - (same + 1) / (weights.sum() + BINS), abs=1e-5)


@settings(deadline=None)
@given(st.lists(st.integers(0, 2**47), max_size=60))
def test_no_times_break_it(times: list[int]) -> None:
    one = One("hours", names=("device",))
    one.rows.idle = 10**10
    for time in times:
        unusual = one.observe(time, key=("d1",)).unusual
        assert unusual is None or 0 <= unusual <= 1
