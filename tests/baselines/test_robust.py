"""USING robust: the properties that LANGUAGE.md section 6 pins, and the formula beside a plain one in
numpy.
"""

from math import expm1, isfinite, log1p

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from one import DAY, KEY, MINUTE, One, levels

from engine.baselines.robust import FLOOR, HALF_LIFE_SAMPLES, REFUSE_ABOVE, SPREAD_LIMIT

EVERY = 5 * MINUTE
SLOW_HALF_LIFE = 30 * DAY / EVERY
STATE = {"center": 10.0, "spread": 0.5, "n": 300}


def fed(values: list[float], **terms: object) -> One:
    """A baseline after one value a bucket, the last bucket closed by nothing yet."""
    one = One("robust", every_ms=EVERY, **terms)
    for bucket, value in enumerate(values):
        one.observe(bucket * EVERY, value)
    return one


def cells(one: One) -> tuple[float, ...]:
    """Open sum, centre, spread, slow centre, slow spread of the only key."""
    found = one.rows.find(one.rows.key(KEY))
    assert found is not None
    return levels(one, found)


# --- the properties of LANGUAGE.md


@given(st.floats(0, 2**63), st.integers(31, 200))
def test_a_constant_input_never_deviates(value: float, buckets: int) -> None:
    one = One("robust", every_ms=EVERY)
    for bucket in range(buckets):
        score = one.observe(bucket * EVERY, value).deviation
        assert score is None if bucket < 30 else abs(score) < 1e-6


@given(st.floats(1, 20), st.floats(FLOOR, 3), st.floats(0.5, 12))
def test_a_spike_of_k_spreads_scores_k(centre: float, spread: float, k: float) -> None:
    one = One("robust", every_ms=EVERY)
    one.fix({"center": centre, "spread": spread, "n": 300})
    assert abs(one.observe(0, expm1(centre + k * spread)).deviation - k) < 1e-6


# --- in turn


def test_it_is_cold_until_warmup_and_scores_before_it_learns() -> None:
    one = One("robust", every_ms=EVERY, warmup=3)
    for bucket in range(3):
        told = one.observe(bucket * EVERY, 100)
        assert told.deviation is None
        assert not told.ready
        assert told.reading.state == "cold"
    told = one.observe(3 * EVERY, 1_000_000)
    assert told.ready
    assert told.reading.samples == 3
    assert told.expected == pytest.approx(100)
    assert told.deviation > 4


def test_the_value_is_the_running_sum_of_its_bucket() -> None:
    one = fed([100.0] * 40)
    at = 40 * EVERY
    assert one.observe(at, 10).reading.value == 10
    assert one.observe(at + EVERY - 1, 15).reading.value == 25
    assert one.observe(at + EVERY, 1).reading.value == 1


def test_data_older_than_its_bucket_is_scored_and_not_learned() -> None:
    one, other = fed([100.0] * 40), fed([100.0] * 40)
    assert one.observe(0, 1e9).deviation > 4
    assert cells(one) == cells(other)
    assert one.observe(40 * EVERY, 100).reading == other.observe(40 * EVERY, 100).reading


def test_without_every_each_event_is_a_sample_and_late_ones_are_not_learned() -> None:
    one = One("robust", warmup=10, grace_ms=5 * MINUTE)
    for event in range(20):
        assert one.observe(DAY + event * MINUTE, 100).reading.samples == max(0, event)
    before = cells(one)
    told = one.observe(DAY, 1e9)
    assert told.deviation > 4
    assert cells(one) == before
    # Within GRACE it is a sample like any other.
    assert one.observe(DAY + 17 * MINUTE, 100).reading.samples == 20


def test_a_bucket_that_scored_above_4_is_not_learned_until_twelve_in_a_row() -> None:
    one = fed([100.0] * 60)
    centre = cells(one)[1]
    for high in range(12):
        told = one.observe((60 + high) * EVERY, 1e7)
    # Eleven closed high buckets: none learned.
    assert cells(one)[1] == pytest.approx(centre)
    assert told.reading.state == "ok"
    told = one.observe(72 * EVERY, 1e7)
    assert cells(one)[1] > centre + 0.01
    assert told.reading.state == "shifted"


def test_eleven_and_then_a_usual_one_is_no_shift() -> None:
    one = fed([100.0] * 60 + [1e7] * 11 + [100.0] + [1e7] * 11)
    told = one.observe(83 * EVERY, 100)
    assert told.reading.state == "ok"
    assert told.expected == pytest.approx(100)


def test_a_shift_is_followed_within_a_day_and_then_forgotten() -> None:
    month = int(SLOW_HALF_LIFE)
    one = fed([100.0] * month + [1000.0] * 288)
    told = one.observe((month + 288) * EVERY, 1000)
    assert told.deviation < 4
    assert told.reading.state == "shifted"
    assert told.drift > 3
    # Tenfold is 9.2 of the least spreads: to 3 they fall in 1.6 half-lives of 30 days.
    for bucket in range(month + 289, 4 * month):
        told = one.observe(bucket * EVERY, 1000)
    assert told.reading.state == "ok"
    assert told.drift <= 3


def test_a_fall_is_learned_at_once() -> None:
    one = fed([1e7] * 60)
    centre = cells(one)[1]
    one.observe(60 * EVERY, 0)
    one.observe(61 * EVERY, 0)
    assert cells(one)[1] < centre


# --- peers


def fleet(**terms: object) -> One:
    one = One("robust", peer=("app",), every_ms=EVERY, **terms)
    for device in range(5):
        for bucket in range(12):
            one.observe(bucket * EVERY, 1000, (f"d{device}", "app"))
    return one


def test_a_cold_key_is_judged_by_its_warm_peer() -> None:
    one = fleet()
    told = one.observe(12 * EVERY, 1e8, ("new", "app"))
    assert (told.reading.scope, told.reading.peer, told.ready) == ("fleet", True, True)
    assert told.deviation == told.reading.score > 4
    assert told.expected == pytest.approx(1000)
    assert not one.observe(12 * EVERY, 1e8, ("new", "other")).ready


def test_a_warm_key_answers_for_itself() -> None:
    told = fleet(warmup=5).observe(12 * EVERY, 1000, ("d1", "app"))
    assert (told.reading.scope, told.reading.peer, told.reading.samples) == ("device", False, 12)


def test_the_peer_does_not_learn_what_its_key_refuses() -> None:
    one = One("robust", peer=("app",), every_ms=EVERY, warmup=10)
    for bucket in range(20):
        one.observe(bucket * EVERY, 1000)
    assert one.peer_rows is not None
    samples = one.peer_rows.outer["app"].n[3]
    assert samples == 19
    one.observe(20 * EVERY, 1e9)
    one.observe(21 * EVERY, 1000)
    assert one.peer_rows.outer["app"].n[3] == samples + 1  # the bucket before the spike, and not the spike


def test_not_even_a_peer_for_which_it_is_usual() -> None:
    """Others send a lot: what is refused for one device would be nothing to the fleet."""
    one = One("robust", peer=("app",), every_ms=EVERY, warmup=10)
    for bucket in range(20):
        one.observe(bucket * EVERY, 1000)
        for device in range(4):
            one.observe(bucket * EVERY, 1e9, (f"heavy{device}", "app"))
    assert one.peer_rows is not None
    one.observe(20 * EVERY, 1e9)
    before = one.peer_rows.outer["app"].n[3]
    one.observe(21 * EVERY, 1000)
    assert one.peer_rows.outer["app"].n[3] == before


# --- the formula


def batch(values: list[float], half_life: float = HALF_LIFE_SAMPLES) -> tuple[float, float, float, float]:
    """Centre and spread, fast and slow, from the whole series: weights by numpy, nothing refused."""
    alpha, beta = 1 - 0.5 ** (1 / half_life), 1 - 0.5 ** (1 / SLOW_HALF_LIFE)
    y = np.log1p(np.asarray(values))
    powers = np.arange(len(y))
    fast_sum, slow_sum = np.cumsum((1 - alpha) ** powers), np.cumsum((1 - beta) ** powers)
    centre = slow = y[0]
    spread = slow_spread = 0.25
    for n in range(1, len(y)):
        a, b = 1 / fast_sum[n], 1 / slow_sum[n]
        young = n + 1 <= 288
        clip, factor = (3.0, 1.2533) if young else (1.0, 1.584)
        near = min(abs(y[n] - centre), clip * slow_spread)
        apart = abs(centre - slow) > 3 * slow_spread and not young
        bound = 1e9 if apart else clip * slow_spread
        slow = slow + b * np.clip(y[n] - slow, -bound, bound)
        slow_spread = max(0.25, (1 - b) * slow_spread + b * factor * near)
        residual = np.clip(y[n] - centre, -3 * spread, 3 * spread)
        centre = centre + a * residual
        spread = min(max(0.25, (1 - a) * spread + a * 1.2533 * abs(residual)), 1.5 * slow_spread)
    return centre, spread, slow, slow_spread


@settings(deadline=None)
@given(st.lists(st.floats(0, 1e9), min_size=2, max_size=120))
def test_it_is_the_formula(values: list[float]) -> None:
    one = fed([*values, 0.0], warmup=10_000)
    assert cells(one)[1:] == pytest.approx(batch(values), rel=1e-9)


@pytest.mark.parametrize("sigma", [0.2, 0.6, 1.5])
def test_it_is_the_formula_over_long_series(sigma: float) -> None:
    values = list(np.random.default_rng(5).lognormal(9, sigma, 6_000))
    one = fed([*values, 0.0], warmup=10_000)
    assert cells(one)[1:] == pytest.approx(batch(values), rel=1e-4)


@pytest.mark.parametrize("sigma", [0.3, 1.0])
def test_of_a_normal_series_it_finds_mean_and_deviation(sigma: float) -> None:
    """Independent of the recursion: what the numbers mean."""
    y = np.random.default_rng(7).normal(12, sigma, 5_000)
    _, centre, spread, slow, slow_spread = cells(fed(list(np.expm1(y))))
    recent = y[-5 * HALF_LIFE_SAMPLES :]
    assert centre == pytest.approx(recent.mean(), abs=0.25 * sigma)
    assert spread == pytest.approx(recent.std(), rel=0.15)
    assert slow == pytest.approx(y.mean(), abs=0.1 * sigma)
    assert slow_spread == pytest.approx(y.std(), rel=0.08)


def test_noise_does_not_deviate() -> None:
    """Of 20,000 buckets of normal noise those above 4 are as few as the normal distribution has (1 in
    30,000).
    """
    y = np.random.default_rng(11).normal(12, 0.8, 20_000)
    one = One("robust", every_ms=EVERY)
    scores = [one.observe(i * EVERY, float(v)).deviation for i, v in enumerate(np.expm1(y))]
    assert sum(s is not None and s > REFUSE_ABOVE for s in scores[300:]) <= 6


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2**44), st.floats(-(2.0**63), 2.0**63)), max_size=60))
def test_no_input_breaks_it(inputs: list[tuple[int, float]]) -> None:
    one = One("robust", peer=("app",), every_ms=EVERY, warmup=2)
    for time, value in inputs:
        told = one.observe(time, value)
        reading = told.reading
        for figure in (reading.score, reading.expected, reading.low, reading.high, reading.drift):
            assert figure is None or isfinite(figure)
        _, _, spread, _, slow_spread = cells(one)
        assert spread <= SPREAD_LIMIT * max(slow_spread, FLOOR)


def test_sums_do_not_overflow() -> None:
    one = fed([1.7e308] * 40, warmup=3)
    for _ in range(3):
        told = one.observe(40 * EVERY, 1.7e308)
    assert isfinite(told.deviation)
    assert isfinite(told.reading.value)
    assert log1p(told.reading.value) < 700


def test_fixtures_are_taken_as_they_are() -> None:
    one = One("robust", peer=("app",), every_ms=EVERY)
    one.fix(STATE)
    reading = one.observe(0, expm1(12.0)).reading
    assert (reading.samples, reading.state, reading.scope) == (300, "ok", "device")
    assert reading.score == pytest.approx(4.0)
    assert reading.low == pytest.approx(expm1(9.0))
    assert reading.high == pytest.approx(expm1(11.0))
