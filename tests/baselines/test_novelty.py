"""USING novelty beside an exact set, its warm-up, its bounds."""

from hypothesis import given, settings
from hypothesis import strategies as st
from one import DAY, HOUR, KEY, MINUTE, One

from engine.baselines.novelty import MOST_VALUES, OVER_MS, STEPS

STEP = OVER_MS // STEPS


def warm(one: One, key: tuple[str, ...] = KEY) -> int:
    """50 events of one value over three days; the time after them."""
    for event in range(50):
        one.observe(event * 3 * DAY // 49, "old", key)
    return 3 * DAY + 1


def test_it_needs_50_events_and_3_days() -> None:
    one = One("novelty")
    for event in range(49):
        assert one.observe(event * 2 * HOUR, "old").unseen is None
    # 49 events in four days.
    assert one.observe(4 * DAY, "old").unseen is None
    assert one.observe(4 * DAY + 1, "new").unseen is True
    one = One("novelty")
    for event in range(200):
        assert one.observe(event * 20 * MINUTE, "old").unseen is None
    assert one.observe(3 * DAY, "new").unseen is True


def test_a_value_is_judged_before_it_is_learned() -> None:
    one = One("novelty")
    time = warm(one)
    assert one.observe(time, "new").unseen is True
    assert one.observe(time + 1, "new").unseen is False
    assert one.observe(time + 2, "old").unseen is False


def test_a_value_is_unseen_again_after_over() -> None:
    one = One("novelty", over_ms=OVER_MS)
    time = warm(one)
    one.observe(time, "once")
    for day in range(1, 14):
        one.observe(time + day * DAY, "old")
    assert one.observe(time + OVER_MS - 2 * STEP, "old").unseen is False
    assert one.observe(time + OVER_MS + 1, "once").unseen is True


def test_tuples_and_types_are_told_apart() -> None:
    one = One("novelty")
    time = warm(one)
    for value in (
        ("203.0.113.7", 443),
        ("203.0.113.74", 43),
        ("a", "b"),
        "asb",
        ("ab", "c"),
        ("a", "bc"),
        "443",
        443,
        1.5,
        "",
    ):
        assert one.observe(time, value).unseen is True, value
        assert one.observe(time, value).unseen is False, value


def test_late_events_are_answered_and_not_learned() -> None:
    one = One("novelty", grace_ms=5 * MINUTE)
    time = warm(one) + 2 * HOUR
    one.observe(time, "old")
    assert one.observe(time - HOUR, "late").unseen is True
    assert one.observe(time, "late").unseen is True
    assert one.observe(time - 4 * MINUTE, "nearly").unseen is True
    assert one.observe(time, "nearly").unseen is False


def test_beyond_64_values_the_least_recently_seen_goes_and_is_counted() -> None:
    one = One("novelty")
    time = warm(one)
    for number in range(MOST_VALUES - 1):
        one.observe(time + number, f"v{number}")
    assert one.estimator.dropped == 0  # type: ignore[attr-defined]
    later = time + 2 * STEP
    one.observe(later, "old")
    one.observe(later, "one more")
    assert one.estimator.dropped == 1  # type: ignore[attr-defined]
    assert one.observe(later, "old").unseen is False
    assert one.observe(later, "v1").unseen is False
    assert one.observe(later, "v0").unseen is True


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.tuples(st.integers(-30 * MINUTE, 2 * HOUR), st.integers(0, 90)), min_size=80, max_size=300),
    st.integers(1, 7),
)
def test_packing_a_row_changes_nothing(gaps: list[tuple[int, int]], often: int) -> None:
    """A live row has values where a packed one has hashes: the answers and what goes are the same."""
    packed, live = One("novelty"), One("novelty")
    time = max(warm(packed), warm(live))
    for number, (gap, value) in enumerate(gaps):
        time += gap
        shown = (
            "x" * 300 + str(value) if value % 9 == 0 else (f"v{value}", value) if value % 2 else f"v{value}"
        )
        assert packed.observe(time, shown).unseen == live.observe(time, shown).unseen
        if number % often == 0:
            packed.rows.replace({**packed.rows.outer})
    assert [h.x for h in packed.rows.outer.values()] == [h.x for h in live.rows.outer.values()]
    assert packed.estimator.dropped == live.estimator.dropped  # type: ignore[attr-defined]


def test_a_cold_key_is_judged_by_its_warm_peer() -> None:
    one = One("novelty", peer=("app",))
    time = warm(one, ("d1", "app"))
    told = one.observe(time, "old", ("d2", "app"))
    assert (told.unseen, told.ready, told.reading.scope, told.reading.peer) == (False, True, "fleet", True)
    told = one.observe(time, "new", ("d2", "app"))
    assert (told.unseen, told.reading.peer) == (True, True)
    assert one.observe(time, "new", ("d2", "other")).unseen is None


def test_what_the_reading_says() -> None:
    one = One("novelty")
    time = warm(one)
    reading = one.observe(time, ("203.0.113.7", 443)).reading
    assert (reading.value, reading.unseen, reading.score) == ("203.0.113.7, 443", True, 1.0)
    assert (reading.samples, reading.age_ms // DAY, reading.window_ms) == (51, 3, OVER_MS)


def test_given_values_are_seen_and_the_key_is_warm() -> None:
    one = One("novelty")
    one.fix({"seen": ["a", ["203.0.113.7", 443]]}, 1_767_225_600_000)
    time = 1_767_225_600_000
    assert one.observe(time, "a").unseen is False
    assert one.observe(time, ("203.0.113.7", 443)).unseen is False
    assert one.observe(time, "b").unseen is True


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 6 * HOUR), st.integers(0, 40)), min_size=60, max_size=300),
    st.integers(1, 30),
)
def test_it_is_an_exact_set(gaps: list[tuple[int, int]], days: int) -> None:
    """Between the last two of 256 steps before OVER either answer is right; elsewhere that of a dict."""
    over = days * DAY
    step = max(MINUTE, over // STEPS)
    one = One("novelty", over_ms=over)
    last: dict[int, int] = {}
    time = 0
    for number, (gap, value) in enumerate(gaps):
        time += gap
        unseen = one.observe(time, value).unseen
        minutes = time // MINUTE
        if number < 50 or minutes - gaps[0][0] // MINUTE < 3 * 1_440:
            assert unseen is None
        elif value not in last or time - last[value] >= over:
            assert unseen is True
        elif time - last[value] < over - 2 * step:
            assert unseen is False
        last[value] = time


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2**47), st.text(max_size=8)), max_size=300))
def test_no_input_takes_more_than_64_values(inputs: list[tuple[int, str]]) -> None:
    one = One("novelty")
    for time, value in inputs:
        one.observe(time, value)
    for holder in one.rows.outer.values():
        assert all(held is None or len(held) <= 12 * MOST_VALUES for held in holder.x)
