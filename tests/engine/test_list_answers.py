"""What a LIST remembers of a value is what it would say of it."""

from __future__ import annotations

import random

import pytest

from engine import runtime_functions
from engine.runtime_functions import ListTest

ITEMS = ("com.acme.chat", "com.acme.*", "*.example.com", "a?c", "192.0.2.0/24", "2001:db8::/32")
VALUES = (
    "com.acme.chat", "com.acme.mail", "org.acme.chat", "www.example.com", "example.com", "abc", "abbc",
    "192.0.2.7", "192.0.3.7", "2001:db8::1", "", "x" * 300,
)  # fmt: skip


def test_an_answer_stays_right_however_often_it_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    # So few that some are forgotten and asked again.
    monkeypatch.setattr(runtime_functions, "MOST_ANSWERS", 5)
    draw = random.Random(1)
    tested = ListTest(ITEMS)
    for _ in range(500):
        value = draw.choice(VALUES)
        assert tested.answers[value] is tested.has(value), value
        assert len(tested.answers) <= 5
    assert "x" * 300 not in tested.answers


def test_other_entries_give_other_answers() -> None:
    tested = ListTest(("a", "b*"))
    assert [tested.answers[value] for value in ("a", "bc", "c")] == [True, True, False]
    tested.replace(("c",))
    assert [tested.answers[value] for value in ("a", "bc", "c")] == [False, False, True]
