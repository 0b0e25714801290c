"""Deadlines of no device are stored apart from those of devices."""

from __future__ import annotations

import pytest

from engine.clocks import Clocks


def made() -> Clocks:
    clocks = Clocks({"a": 0, "b": 0})
    clocks.watch(("a",))
    clocks.watch(("b",))
    return clocks


def test_only_those_of_no_device_that_still_wait_are_given() -> None:
    clocks = made()
    for number in range(5):
        clocks.wait(("a",), 10 * number, 0, f"d{number}", 1)
    for deadline, clock in ((30, 1), (5, 2), (30, 2)):
        clocks.wait(("a",), deadline, 3, None, clock)
    clocks.wait(("b",), 1, 3, None, 2)
    own = [[["a"], [[30, 3, "", 1, True]]], [["a"], [[30, 3, "", 2, True]]], [["b"], [[1, 3, "", 2, True]]]]
    assert [due.deadline for due in clocks.seen("a", 21)] == [0, 5, 10, 20]
    assert clocks.state(of_devices=False)[5] == own
    assert sum(len(heap) for _, heap in clocks.state()[5]) == 2 + 2 + 1

    again = made()
    again.restore(clocks.state(of_devices=False))
    again.wait(("a",), 25, 0, "d", 1)
    assert [due.deadline for due in again.seen("a", 40)] == [25, 30, 30]
    assert again.state(of_devices=False)[5] == own[2:]

    whole = made()
    whole.restore(clocks.state())
    assert whole.state() == clocks.state()
    assert sorted(whole.state(of_devices=False)[5]) == own


def test_a_deadline_that_nobody_waits_for_any_more_makes_no_step_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("engine.clocks.MOST_AT_ONCE", 2)
    clocks = made()
    clocks.is_live = lambda due: due.device != "left"
    # One stands there twice, and one was left behind for an earlier deadline.
    for device in ("d1", "d2", "d2", "left"):
        clocks.wait(("a",), 10, 0, device, 0)
    assert [due.device for due in clocks.seen("a", 20)] == ["d1", "d2"]
    assert not clocks.long


def test_what_passes_during_a_long_step_makes_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.clocks.MOST_AT_ONCE", 1)
    clocks = made()
    for number in range(4):
        clocks.wait(("a",), 10 * number, 0, f"d{number}", 0)
    assert clocks.seen("a", 15) == clocks.seen("a", 25) == []
    assert [due.deadline for due in clocks.take(("a",), 9)] == [0, 10]
    clocks.begun.clear()
    clocks.end_step(("a",))
    assert (clocks.begun, clocks.long) == ([("a",)], {("a",): 24})
    assert [due.deadline for due in clocks.take(("a",), 9)] == [20]
    clocks.end_step(("a",))
    assert not clocks.long
