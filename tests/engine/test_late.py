"""Late and repeated events: one rule, one device, told event by event."""

from typing import Any

import dsl
from engine import Alert, Matcher

RULES = """
EVENT up { app: string }
EVENT down { app: string }
EVENT fixed { app: string }
RULE r { BY device, app  WHEN up AS u THEN down AS d WITHIN 10s  UNLESS fixed WITHIN 5s BEFORE  SUPPRESS 1m }
RULE twice { BY device, app  WHEN up AS a THEN up AS b WITHIN 10s }
"""


class Feed:
    """Feeds seconds, remembers what was said of one rule."""

    def __init__(self, rule: str) -> None:
        self.matcher = Matcher(dsl.load_text(RULES))
        self.rule = rule

    def __call__(self, kind: str, seconds: float, **more: Any) -> list[tuple[str, int, str]]:
        wire = {"kind": kind, "device": "d1", "time": 1_000_000 + int(seconds * 1000), "app": "a", **more}
        event = self.matcher.decoder.convert(wire)
        assert event is not None
        self.alerts: list[Alert] = [a for a in self.matcher.feed(event) if a.rule.name == self.rule]
        return [(a.activity, a.revision, a.status) for a in self.alerts]


def test_the_second_half_may_arrive_first() -> None:
    feed = Feed("r")
    assert feed("down", 5) == []
    assert feed("up", 0) == [("create", 1, "open")]
    assert "came late" in feed.alerts[0].timing.order


def test_a_late_guard_closes_and_says_why() -> None:
    feed = Feed("r")
    feed("up", 0)
    assert feed("down", 5) == [("create", 1, "open")]
    id_ = feed.alerts[0].id
    assert feed("fixed", -5) == [("close", 2, "closed")]
    assert feed.alerts[0].id == id_
    assert "came late and explains it" in feed.alerts[0].reason


def test_a_guard_outside_its_window_closes_nothing() -> None:
    feed = Feed("r")
    feed("up", 0)
    assert feed("down", 5) == [("create", 1, "open")]
    assert feed("fixed", -5.001) == []


def test_a_guard_at_the_time_of_the_match_closes_it_though_it_came_behind_it() -> None:
    feed = Feed("r")
    feed("up", 0)
    assert feed("down", 5) == [("create", 1, "open")]
    assert feed("fixed", 5) == [("close", 2, "closed")]


def test_a_later_start_that_came_late_is_better_evidence() -> None:
    feed = Feed("r")
    feed("up", 0, id="first")
    assert feed("down", 5) == [("create", 1, "open")]
    assert feed("up", 2, id="second") == [("update", 2, "open")]
    assert feed.alerts[0].steps[0].event_id == "second"


def test_what_a_closed_alert_had_suppressed_is_published() -> None:
    feed = Feed("r")
    feed("up", 0)
    assert feed("down", 5) == [("create", 1, "open")]
    feed("up", 20)
    assert feed("down", 25) == []
    assert feed("fixed", -1) == [("close", 2, "closed"), ("create", 1, "open")]


def test_the_next_alert_carries_how_many_were_suppressed() -> None:
    feed = Feed("r")
    for start in (0, 20, 40):
        feed("up", start)
        feed("down", start + 5)
    feed("up", 100)
    assert feed("down", 105) == [("create", 1, "open")]
    assert feed.alerts[0].dedup.suppressed == 2


def test_an_event_delivered_twice_counts_once() -> None:
    feed = Feed("twice")
    assert feed("up", 0, id="x") == []
    assert feed("up", 0, id="x") == []
    assert feed("up", 3, id="y") == [("create", 1, "open")]
    assert feed("up", 3, id="y") == []
    assert feed("up", 0, id="x") == []
    assert feed.matcher.rule_counts()["twice"].duplicates == 3


def test_too_late_is_counted_and_not_matched() -> None:
    feed = Feed("r")
    feed("up", 100_000)
    day = 86_400 + 300
    assert feed("up", 100_000 - day) == []
    assert feed.matcher.counts["up"].late == 0
    assert feed("up", 100_000 - day - 0.001) == []
    assert feed.matcher.counts["up"].late == 1
