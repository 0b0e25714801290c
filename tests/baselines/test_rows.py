"""Rows: keys, caps, idle keys, and how much memory a key takes."""

import sys
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from one import DAY, MINUTE, One

from engine.baselines.declared import ESTIMATORS
from engine.baselines.estimator import Terms
from engine.baselines.layout import BORN, HEAD
from engine.baselines.rows import IDLE_MS, TEND_AT_ONCE, Rows

ROBUST = 52
"""Five doubles and three numbers of 4 bytes."""


@pytest.mark.parametrize(
    ("names", "parts", "key"),
    [
        (("device", "app"), ("d", "a"), ("d", "a")),
        (("app", "device"), ("a", "d"), ("d", "a")),
        (("device",), ("d",), "d"),
        (("app",), ("a",), "a"),
        ((), (), ()),
        (("device", "app", "port"), ("d", "a", 443), ("d", ("a", 443))),
        (("app", "port"), ("a", 443), ("a", 443)),
    ],
)
def test_a_key_is_found_again(names: tuple[str, ...], parts: tuple[object, ...], key: object) -> None:
    rows = Rows(names)
    rows.layout.reserve(1, 0, 0)
    assert rows.key(parts) == key
    assert rows.find(key) is None
    row = rows.at(key, 5)
    row[HEAD] = 7.0
    assert rows.find(key) is row
    for _ in range(2):
        rows.turn()
        found = rows.find(key)
        assert found is not None
        assert found[: HEAD + 1] == [5, 5, 7.0]
    assert len(rows) == 1


@pytest.mark.parametrize("turned", [False, True])
def test_beyond_the_cap_the_least_recently_used_app_goes(turned: bool) -> None:
    rows = Rows(("device", "app"), most_inner=3)
    rows.layout.reserve(1, 1, 1)
    for minute, app in enumerate(["a", "b", "c", "a"]):
        row = rows.at(("d", app), minute)
        row[2:5] = [7, 7.0, b"known"]
        if turned:
            rows.turn()
    row = rows.at(("d", "e"), 10)
    assert (rows.evicted, len(rows)) == (1, 3)
    assert rows.find(("d", "b")) is None
    # The row that is used again is empty.
    assert row[:5] == [10, 10, 0, 0.0, None]
    rows.turn()
    assert [known[:5] for app in "ace" if (known := rows.find(("d", app)))] == [
        [3, 0, 7, 7.0, b"known"],
        [2, 2, 7, 7.0, b"known"],
        [10, 10, 0, 0.0, None],
    ]


def test_beyond_the_cap_of_devices_an_old_one_goes() -> None:
    rows = Rows(("device",), most_outer=10)
    rows.layout.reserve(1, 0, 0)
    for device in range(10):
        rows.at(f"d{device}", 100 - device)
    rows.at("new", 101)
    assert (len(rows), rows.evicted) == (10, 1)
    assert rows.find("d9") is None
    assert rows.find("new") is not None


def test_a_key_idle_for_30_days_starts_anew() -> None:
    one = One("robust", every_ms=5 * MINUTE, warmup=3)
    for bucket in range(10):
        one.observe(bucket * 5 * MINUTE, 100)
    assert one.observe(IDLE_MS, 100).ready
    told = one.observe(2 * IDLE_MS + 2 * MINUTE, 100)
    assert not told.ready
    assert told.reading.age_ms < MINUTE


def test_a_key_is_kept_as_long_as_a_baseline_looks_back() -> None:
    one = One("novelty", over_ms=90 * DAY)
    one.observe(0, "x")
    one.observe(80 * DAY, "x")
    assert (one.rows.find(("d1", "app")) or pytest.fail("no row"))[BORN] == 0


def test_idle_devices_give_their_memory_back_as_others_come() -> None:
    rows = Rows(("device", "app"))
    rows.layout.reserve(1, 0, 0)
    for device in range(1_000):
        rows.at((f"old{device}", "a"), 0)
    for device in range(1_000):
        rows.at((f"new{device}", "a"), 50_000)
    assert rows.forgotten == 1_000
    assert len(rows) == 1_000


def test_forgetting_changes_no_answer() -> None:
    answers = []
    for forget in (False, True):
        one = One("robust", every_ms=5 * MINUTE, warmup=2)
        said = []
        for time in (0, 5, 10, 15, 60_000, 60_005, 60_010, 200_000):
            if forget:
                one.rows.forget(time)
            said.append(one.observe(time * MINUTE, 10 + time % 7).deviation)
        answers.append(said)
    assert answers[0] == answers[1]


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 200), st.text(max_size=6), st.integers(0, 10**9)), max_size=400))
def test_no_keys_take_more_than_their_cap(inputs: list[tuple[int, str, int]]) -> None:
    rows = Rows(("device", "app"), most_inner=8, most_outer=16)
    rows.layout.reserve(5, 3, 1)
    for device, app, minute in inputs:
        rows.at((f"d{device}", app), minute)
    assert len(rows.outer) <= 16
    for holder in rows.outer.values():
        assert holder.rows is not None
        assert len(holder.rows) <= 8
        assert len(holder.n) == (3 + HEAD) * (max(holder.rows.values()) + 1)
        assert sorted(holder.rows.values()) == list(range(len(holder.rows)))


# --- memory: everything counted, as DESIGN.md section 7 has it: 67 apps on a device were measured

APPS = 67
DEVICES = 40


def held(*using: str, values: int = 0) -> float:
    """Bytes for each (device, app) with these baselines, keys, dicts and arrays included."""
    rows = Rows(("device", "app"))
    made = [ESTIMATORS[name] for name in using]
    rooms = [rows.layout.reserve(x.doubles, x.ints, x.objects, x.remembered) for x in made]
    baselines = [x(Terms("b", every_ms=300_000), rows, room) for x, room in zip(made, rooms, strict=True)]
    for device in range(DEVICES):
        for app in range(APPS):
            row = rows.at((f"device-{device}", f"com.example.app{app}"), 0)
            for one in baselines:
                for value in range(values or 1):
                    one.observe(row, 0, value if values else 1.0, None)
    rows.turn()
    rows.turn()
    assert not rows.live
    size = sys.getsizeof(rows.outer)
    for device, holder in rows.outer.items():
        assert holder.rows is not None
        size += sum(map(sys.getsizeof, (device, holder, holder.d, holder.n, holder.x, holder.rows)))
        size += sum(sys.getsizeof(x) for x in holder.x if x is not None)
    return size / (DEVICES * APPS)


def test_a_row_keeps_its_budget() -> None:
    first = held("robust")
    assert first <= 130
    for before, after in pairwise([first, held("robust", "robust"), held("robust", "robust", "robust")]):
        assert round(after - before) <= ROBUST
    assert held("novelty", values=11) <= 250


def test_the_names_of_apps_are_kept_once() -> None:
    rows = Rows(("device", "app"))
    rows.layout.reserve(1, 0, 0)
    for device in range(3):
        rows.at((f"d{device}", "".join(["com.", "example"])), 0)
    names = {id(name) for holder in rows.outer.values() for name in holder.rows or ()}
    assert len(names) == 1


@pytest.mark.parametrize(
    ("using", "most"),
    [("novelty", 64 * 12), ("fanout", 1_024), ("hours", 672), ("cadence", 0), ("robust", 0)],
)
def test_a_flood_of_values_stays_within_its_bound(using: str, most: int) -> None:
    one = One(using, every_ms=None if using in ("novelty", "cadence") else 5 * MINUTE)
    for value in range(3_000):
        one.observe(value * 10, value)
    held = [one.estimator.pack(x) for holder in one.rows.outer.values() for x in holder.x]
    assert sum(map(len, held)) <= most


def test_idle_keys_go_a_few_at_a_time_and_all_in_the_end() -> None:
    rows = Rows(("device",))
    rows.layout.reserve(1, 1, 0)
    for number in range(1_000):
        rows.at(f"d{number}", 0)
    late = rows.idle + 1
    rows.at("alive", late)
    before = len(rows)
    rows.tend(late)
    assert 0 < before - len(rows) <= TEND_AT_ONCE
    for _ in range(1_000 // TEND_AT_ONCE + 1):
        rows.tend(late)
    assert len(rows) == 1
    assert rows.forgotten == 1_000
