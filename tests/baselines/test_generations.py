"""Generations of live rows: a turn takes no time by their number, and nothing is lost or mixed up by it."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from engine.baselines import rows as module
from engine.baselines.layout import HEAD, Holder
from engine.baselines.rows import Rows


def made(names: tuple[str, ...] = ("device",)) -> Rows:
    rows = Rows(names)
    rows.layout.reserve(1, 1, 1)
    return rows


def own(held: Holder) -> Holder:
    inner = None if held.rows is None else dict(held.rows)
    return Holder(bytearray(held.doubles), bytearray(held.numbers), held.x, inner)


def small(monkeypatch: pytest.MonkeyPatch, live: int = 40, few: int = 2, rested: int = 10) -> None:
    monkeypatch.setattr(module, "MAX_LIVE", live)
    monkeypatch.setattr(module, "_FEW", few)
    monkeypatch.setattr(module, "_MOST_RESTED", rested)


def test_generated_code_sees_the_rows_of_now() -> None:
    rows = made()
    names: dict[str, Any] = {}
    rows.shown_in(names, "live")
    rows.shown_in(names, "find", "get")
    for _ in range(3):
        row = rows.at("d", 1)
        assert names["live"] is rows.live
        assert names["find"]("d") is row
        rows.turn()
        assert names["live"] is rows.live == {}
        assert names["find"]("d") is None


@pytest.mark.parametrize("names", [("device",), ("device", "app")])
@pytest.mark.parametrize("seed", range(4))
def test_rows_say_what_they_were_told(
    monkeypatch: pytest.MonkeyPatch, names: tuple[str, ...], seed: int
) -> None:
    small(monkeypatch)
    random = Random(seed)
    rows = made(names)
    told: dict[Any, list[Any]] = {}
    for number in range(4_000):
        device = f"d{random.randrange(120)}"
        key = device if len(names) == 1 else (device, f"a{random.randrange(3)}")
        row = rows.at(key, 5)
        if key in told:
            assert row[HEAD : HEAD + 3] == told[key]
        told[key] = row[HEAD : HEAD + 3] = [number, float(number), b"%d" % number]
        match random.randrange(60):
            case 0:
                rows.turn()
            case 1:
                rows.settle_old(random.randrange(50))
            case 2:
                rows.pack(device)
        # Of those that wait to be packed no more pile up than one turn leaves.
        assert sum(map(len, rows._older)) <= 5 * module.MAX_LIVE
        assert len(rows._older) < 8
    assert len(rows) == len(told)
    for key, known in told.items():
        found = rows.find(key)
        assert found is not None
        assert found[HEAD : HEAD + 3] == known
    rows.outer  # noqa: B018  # packs all
    for key, known in told.items():
        outer, inner = key if len(names) > 1 else (key, None)
        found = rows._load(outer, inner)
        assert found is not None
        assert found[HEAD : HEAD + 3] == known


def test_a_turn_leaves_the_rows_where_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = made()
    for number in range(3_000):
        rows.at(f"d{number}", 1)
    before = rows.live
    looked: list[object] = []
    monkeypatch.setattr(rows.layout, "pack_changed", looked.append)
    rows.turn()
    assert rows._older == [before]
    assert len(before) == 3_000
    assert looked == []


def test_a_small_generation_joins_the_one_before() -> None:
    rows = made(("device", "app"))
    for turn in range(50):
        rows.at(("d", f"a{turn % 5}"), 1)
        rows.at((f"d{turn}", "a"), 1)
        rows.turn()
    assert len(rows._older) == 1
    assert len(rows._older[0]["d"]) == 5


def test_lists_of_rows_at_rest_are_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    small(monkeypatch, rested=5)
    rows = made()
    first = [rows.at(f"d{number}", 1) for number in range(10)]
    rows.turn()
    for number in range(10, 20):
        rows.at(f"d{number}", 1)
    rows.turn()
    rows.settle_old(10)
    assert len(rows._rested) == 5
    again = [rows.at(f"e{number}", 1) for number in range(7)]
    assert sum(any(row is old for old in first) for row in again) == 5


@pytest.mark.parametrize("names", [("device",), ("device", "app")])
def test_the_number_of_rows_is_counted_along(names: tuple[str, ...]) -> None:
    random = Random(5)
    rows = Rows(names, most_inner=3, most_outer=20)
    rows.layout.reserve(1, 0, 0)
    other = Rows(names)
    other.layout.reserve(1, 0, 0)
    for minute in range(0, 3_000_000, 3_000):
        device = f"d{random.randrange(40)}"
        rows.at(device if len(names) == 1 else (device, f"a{random.randrange(5)}"), minute)
        if not random.randrange(20):
            rows.forget(minute)
        counted = sum(1 if held.rows is None else len(held.rows) for held in rows.outer.values())
        assert len(rows) == counted
        if not random.randrange(20):
            for key, held in rows.outer.items():
                other.put(key, own(held))
            assert len(other) == sum(
                1 if held.rows is None else len(held.rows) for held in other.outer.values()
            )
    assert rows.forgotten
    other.replace({key: own(held) for key, held in rows.outer.items()})
    assert len(other) == len(rows)
    assert set(rows.taken_apart()) >= set(other)
    assert rows.find("d1" if len(names) == 1 else ("d1", "a1")) is None
