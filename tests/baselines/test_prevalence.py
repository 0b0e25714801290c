"""USING prevalence and the distinct counts beneath it beside exact sets."""

from random import Random
from statistics import mean, pstdev

import pytest
from one import DAY, HOUR, MINUTE, One

from engine.baselines.distinct import EXACT, REGISTERS, STANDARD_ERROR, Distinct
from engine.baselines.prevalence import MOST_VALUES, OVER_MS
from engine.baselines.stable import stable_hash

KEY = ("app",)
START = 100 * OVER_MS


def one_app(**terms: object) -> One:
    return One("prevalence", names=("app",), **terms)


def seen(one: One, device: str, value: str, time: int = START) -> object:
    return one.observe(time, (device, value), KEY)


def test_it_is_the_share_of_devices_before_this_event() -> None:
    one = one_app()
    for device in range(60):
        seen(one, f"d{device}", "common")
    for device in range(6):
        told = seen(one, f"d{device}", "rare")
        assert told.prevalence == device / 60
    # The same device again adds nothing.
    seen(one, "d5", "rare")
    assert seen(one, "d5", "rare").prevalence == 6 / 60
    assert seen(one, "d7", "common").prevalence == 1.0


def test_it_needs_50_devices() -> None:
    one = one_app()
    for device in range(50):
        told = seen(one, f"d{device}", "x")
        assert told.prevalence is None
        assert not told.ready
    told = seen(one, "d50", "new")
    assert (told.prevalence, told.ready) == (0.0, True)
    assert (told.reading.value, told.reading.samples, told.reading.scope) == ("new", 50, "fleet")


def test_what_was_long_ago_is_forgotten() -> None:
    one = one_app(over_ms=14 * DAY)
    for device in range(60):
        seen(one, f"d{device}", "old")
    for week in range(1, 4):
        for device in range(60):
            told = seen(one, f"d{device}", "new", START + week * 7 * DAY)
    assert told.prevalence == 59 / 60 or told.prevalence == 1.0
    assert seen(one, "d0", "old", START + 22 * DAY).prevalence == 0.0


def test_devices_of_the_half_before_still_count() -> None:
    one = one_app(over_ms=14 * DAY)
    for device in range(60):
        seen(one, f"d{device}", "old", START + 6 * DAY)
    assert seen(one, "d0", "old", START + 8 * DAY).prevalence == 1.0


def test_late_events_are_answered_and_not_learned() -> None:
    one = one_app(grace_ms=5 * MINUTE)
    for device in range(60):
        seen(one, f"d{device}", "x")
    assert seen(one, "d0", "late", START - HOUR).prevalence == 0.0
    assert seen(one, "d1", "late").prevalence == 0.0
    assert seen(one, "d2", "late").prevalence == 1 / 60


def test_a_peer_answers_for_a_key_of_few_devices() -> None:
    one = One("prevalence", names=("app", "app_version"), peer=("app",))
    for device in range(60):
        one.observe(START, (f"d{device}", "x"), ("app", "1"))
    told = one.observe(START, ("d0", "x"), ("app", "2"))
    assert (told.prevalence, told.reading.peer) == (1.0, True)


def test_given_shares() -> None:
    one = one_app()
    one.fix({"x.example": 0.001, "devices": 500}, START, "app")  # type: ignore[arg-type]
    told = seen(one, "d1", "x.example")
    assert (told.prevalence, told.reading.samples) == (0.001, 500)
    assert seen(one, "d1", "y.example").prevalence == 0.0


def test_values_are_capped_and_counted() -> None:
    one = one_app()
    for value in range(MOST_VALUES + 10):
        seen(one, "d1", f"v{value}")
    assert len(one.rows.outer["app"].x[0].values) == MOST_VALUES
    assert one.estimator.dropped == 10  # type: ignore[attr-defined]


def test_many_devices_agree_with_sets_within_the_stated_error() -> None:
    random = Random(4)
    one = one_app()
    devices: set[str] = set()
    having: dict[str, set[str]] = {}
    for _ in range(12_000):
        device, value = f"d{random.randrange(2_000)}", f"v{min(random.randrange(40), random.randrange(40))}"
        told = seen(one, device, value)
        if len(devices) >= 1_000:
            exact = len(having.get(value, ())) / len(devices)
            assert told.prevalence == pytest.approx(exact, rel=4 * 1.5 * STANDARD_ERROR)
        devices.add(device)
        having.setdefault(value, set()).add(device)


# --- distinct counts


@pytest.mark.parametrize("count", [0, 1, 63, 64])
def test_up_to_64_a_count_is_exact(count: int) -> None:
    counted = Distinct()
    for _ in range(2):
        for value in range(count):
            counted.add(stable_hash(value))
    assert counted.count == count


@pytest.mark.parametrize("count", [65, 200, 1_000, 2_500, 5_000, 40_000])
def test_beyond_the_error_is_the_stated_one(count: int) -> None:
    errors = []
    for trial in range(12):
        counted = Distinct()
        for value in range(count):
            counted.add(stable_hash(f"{trial} {value}"))
        errors.append(counted.count / count - 1)
    assert abs(mean(errors)) < STANDARD_ERROR
    assert pstdev(errors) < 1.6 * STANDARD_ERROR
    assert len(counted.pack()) == REGISTERS


def test_a_count_never_falls() -> None:
    counted, last = Distinct(), 0.0
    for value in range(3_000):
        counted.add(stable_hash(value))
        assert counted.count >= last
        last = counted.count


def test_a_hash_across_two_others_is_not_found() -> None:
    counted = Distinct()
    first, second = bytes(range(8)), bytes(range(8, 16))
    counted.add(first)
    counted.add(second)
    assert not counted.has(bytes(range(4, 12)))
    assert counted.add(bytes(range(4, 12)))
    assert counted.count == 3
    assert len(counted.pack()) <= EXACT * 8
