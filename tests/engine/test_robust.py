"""USING robust: the properties that LANGUAGE.md section 6 pins, and the formula beside a plain one."""

from math import expm1, log1p

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.baselines.robust import FLOOR, HALF_LIFE_SAMPLES, RobustBaseline

EVERY = 300_000
KEY = ("d1", "app")


def fed(values: list[float], warmup: int = 30, peer: tuple[int, ...] | None = None) -> RobustBaseline:
    """A baseline after one value a bucket, the last bucket closed by nothing yet."""
    baseline = RobustBaseline("b", EVERY, warmup, peer)
    for bucket, value in enumerate(values):
        baseline.observe(KEY, bucket * EVERY, value)
    return baseline


@given(st.floats(0, 2**63), st.integers(31, 200))
def test_a_constant_input_never_deviates(value: float, buckets: int) -> None:
    baseline = RobustBaseline("b", EVERY, 30, None)
    for bucket in range(buckets):
        score = baseline.deviation(baseline.observe(KEY, bucket * EVERY, value))
        assert score is None if bucket <= 30 and score is None else abs(score or 0.0) < 1e-6


@given(st.floats(1, 20), st.floats(FLOOR, 3), st.floats(0.5, 12))
def test_a_spike_of_k_spreads_scores_k(centre: float, spread: float, k: float) -> None:
    baseline = RobustBaseline("b", EVERY, 30, None)
    baseline.fix(KEY, centre, spread, 300)
    score = baseline.deviation(baseline.observe(KEY, 0, expm1(centre + k * spread)))
    assert score is not None
    assert abs(score - k) < 1e-6


def test_it_is_cold_until_warmup_and_scores_before_it_learns() -> None:
    baseline = RobustBaseline("b", EVERY, 3, None)
    for bucket in range(3):
        assert baseline.deviation(baseline.observe(KEY, bucket * EVERY, 100)) is None
    row = baseline.observe(KEY, 3 * EVERY, 1_000_000)
    assert row.samples == 3
    assert baseline.reading(row).expected is not None
    assert (baseline.deviation(row) or 0) > 4


def test_the_value_is_the_running_sum_of_its_bucket() -> None:
    baseline = fed([100.0] * 40)
    at = 40 * EVERY
    assert baseline.reading(baseline.observe(KEY, at, 10)).value == 10
    assert baseline.reading(baseline.observe(KEY, at + EVERY - 1, 15)).value == 25
    assert baseline.reading(baseline.observe(KEY, at + EVERY, 1)).value == 1


def test_data_older_than_its_bucket_is_scored_and_not_learned() -> None:
    baseline = fed([100.0] * 40)
    row = baseline.row(KEY)
    before = (row.bucket, row.total, row.samples, row.centre)
    assert (baseline.deviation(baseline.observe(KEY, 0, 1e9)) or 0) > 4
    assert (row.bucket, row.total, row.samples, row.centre) == before


def test_a_bucket_that_scored_above_4_is_not_learned_until_twelve_in_a_row() -> None:
    baseline = fed([100.0] * 60)
    row = baseline.row(KEY)
    centre = row.centre
    for high in range(12):
        baseline.observe(KEY, (60 + high) * EVERY, 1e7)
    # Eleven closed high buckets: none learned.
    assert row.centre == centre
    assert baseline.reading(row).state == "ok"
    baseline.observe(KEY, 72 * EVERY, 1e7)
    assert row.centre > centre
    assert baseline.reading(row).state == "shifted"


def test_a_shift_is_followed_within_a_day() -> None:
    baseline = fed([100.0] * 60 + [1e7] * 288)
    assert (baseline.deviation(baseline.row(KEY)) or 0) < 4


def test_a_cold_key_is_judged_by_its_warm_peer() -> None:
    baseline = RobustBaseline("b", EVERY, 30, (1,))
    for device in range(5):
        for bucket in range(12):
            baseline.observe((f"d{device}", "app"), bucket * EVERY, 1000)
    row = baseline.observe(("new", "app"), 12 * EVERY, 1e8)
    reading = baseline.reading(row)
    assert reading.scope == "peer"
    assert reading.ready
    assert (reading.score or 0) > 4
    assert not baseline.reading(baseline.observe(("new", "other"), 12 * EVERY, 1e8)).ready


def test_the_peer_does_not_learn_what_its_key_refuses() -> None:
    baseline = RobustBaseline("b", EVERY, 10, (1,))
    for bucket in range(20):
        baseline.observe(KEY, bucket * EVERY, 1000)
    peer = baseline.row(KEY).peer
    assert peer is not None
    samples = peer.samples
    baseline.observe(KEY, 20 * EVERY, 1e9)
    baseline.observe(KEY, 21 * EVERY, 1000)
    assert peer.samples == samples + 1  # the bucket before the spike, and not the spike


def plainly(values: list[float]) -> tuple[float, float]:
    """The formula of LANGUAGE.md section 6 without the slow copy: centre and spread after all values."""
    a = 1 - 2 ** (-1 / HALF_LIFE_SAMPLES)
    centre, spread = 0.0, FLOOR
    for n, value in enumerate(values, 1):
        y = log1p(value)
        if n == 1:
            centre = y
            continue
        weight = a / sum(a * (1 - a) ** i for i in range(n))
        residual = min(3 * spread, max(-3 * spread, y - centre))
        centre = centre + weight * residual
        spread = max(FLOOR, (1 - weight) * spread + weight * 1.2533 * abs(residual))
    return centre, spread


@settings(deadline=None)
@given(st.lists(st.floats(900, 1100), min_size=2, max_size=60))
def test_it_is_the_formula(values: list[float]) -> None:
    baseline = fed([*values, 0.0], warmup=1000)
    centre, spread = plainly(values)
    row = baseline.row(KEY)
    assert abs(row.centre - centre) < 1e-9
    assert abs(row.spread - spread) < 1e-9


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 40), st.floats(-(2.0**63), 2.0**63)), max_size=80))
def test_no_input_breaks_it(inputs: list[tuple[int, float]]) -> None:
    baseline = RobustBaseline("b", EVERY, 2, None)
    for bucket, value in inputs:
        row = baseline.observe(KEY, bucket * EVERY, value)
        reading = baseline.reading(row)
        for figure in (reading.score, reading.expected, reading.low, reading.high, reading.drift):
            assert figure is None or abs(figure) < float("inf")
        assert FLOOR <= row.spread <= 1.5 * row.slow_spread
