"""Updates say what changed and why, closes say which event and which guard."""

from __future__ import annotations

import pytest
from feeding import DAY, Feed

from engine import rule_runtime
from engine.alerts import Cause, Change

EVENTS = """
EVENT flow { app: string? bytes: int? }
EVENT crash { app: string? }
EVENT update { app: string? }
EVENT beat { n: int? }
"""
RULE = (
    EVENTS
    + """
RULE r {
  BY device, app
  WHEN flow AS sent THEN crash AS end WITHIN 10m
  UNLESS update WITHIN 2h BEFORE
  SEVERITY choose(sent.bytes > 50, high, medium)
  RISK sent.bytes
  ALERT { fields: [sent.bytes] }
}
"""
)


def test_better_evidence_says_what_it_replaced() -> None:
    feed = Feed(RULE)
    feed("flow", 0, app="a", bytes=9)
    create = feed.one("crash", 5, app="a")
    assert (create.changes, create.cause) == ([], None)
    update = feed.one("flow", 3, app="a", bytes=99, seen=90, raw_ref="x:1")
    assert (update.activity, update.id, update.revision) == ("update", create.id, 2)
    assert update.changes == [
        Change("severity", "medium", "high"),
        Change("risk", 9.0, 99.0),
        Change("step sent", "flow 1", "flow 3"),
        Change("field bytes", 9, 99),
    ]
    assert update.cause == Cause(
        "flow 3",
        "flow",
        "2026-03-02T08:03:00.000Z",
        "sensor",
        seen="2026-03-02T09:30:00.000Z",
        raw_ref="x:1",
    )
    assert update.reason.endswith("updated because flow flow 3 at 2026-03-02T08:03:00.000Z came late.")


def test_a_close_names_the_event_and_the_guard() -> None:
    feed = Feed(RULE)
    feed("flow", 0, app="a", bytes=9)
    feed("crash", 5, app="a")
    close = feed.one("update", -60, app="a")
    assert (close.activity, close.status, close.changes) == ("close", "closed", [])
    assert close.cause is not None
    assert (close.cause.event_id, close.cause.guard) == ("update 3", "no update")
    assert "which came late and explains it: `no update`" in close.reason


def test_only_a_guard_that_holds_is_named() -> None:
    """All guards are the same event type: one's filter is false, one's test of a step, one's time."""
    feed = Feed(
        EVENTS
        + """RULE r { WHEN flow AS sent THEN crash WITHIN 10m
          UNLESS update [app == "z"] WITHIN 2h BEFORE
          UNLESS update [app != sent.app] WITHIN 2h BEFORE
          UNLESS update [EXISTS app] WITHIN 30m BEFORE
          UNLESS update [app == sent.app] WITHIN 2h BEFORE }"""
    )
    feed("flow", 0, app="a")
    feed("crash", 5)
    close = feed.one("update", -60, app="a")
    assert close.cause is not None
    assert close.cause.guard == "no update [app == sent.app]"


@pytest.mark.parametrize(
    ("pattern", "events", "guard"),
    [
        ("flow THEN crash WITHOUT beat WITHIN 10m", [("beat", 2)], "no beat"),
        ("NO beat FOR 1h THEN flow THEN crash WITHIN 10m", [("beat", -30)], "no beat"),
    ],
)
def test_every_form_of_guard_is_named(pattern: str, events: list[tuple[str, float]], guard: str) -> None:
    feed = Feed(EVENTS + f"RULE r {{ WHEN {pattern} }}")
    feed("flow", 0)
    feed("crash", 5)
    for kind, minute in events:
        feed(kind, minute)
    (close,) = feed.alerts
    assert close.activity == "close"
    assert close.cause is not None
    assert close.cause.guard == guard


def test_a_late_heartbeat_explains_a_silence() -> None:
    feed = Feed(EVENTS + "RULE r { WHEN flow THEN NO beat FOR 15m }")
    feed("flow", 0)
    feed("beat", -1, device="d2")
    feed("beat", 60, device="d2")
    (create,) = feed.alerts
    close = feed.one("beat", 10)
    assert (close.id, close.activity) == (create.id, "close")
    assert close.cause is not None
    assert close.cause.guard == "no beat"


def test_a_closed_alert_takes_back_what_rests_on_it() -> None:
    feed = Feed(RULE + "RULE again { WHEN ALERT r THEN beat WITHIN 1h }")
    feed("flow", 0, app="a", bytes=9)
    feed("crash", 5, app="a")
    (create,) = feed("beat", 10)
    closes = {alert.rule.name: alert for alert in feed("update", -60, app="a")}
    close = closes["again"]
    assert (close.activity, close.id) == ("close", create.id)
    assert close.cause is not None
    assert (close.cause.kind, close.cause.guard) == ("alert:r", None)
    assert "which it rests on, was withdrawn or changed" in close.reason


def test_reopening_says_so() -> None:
    feed = Feed(
        EVENTS
        + """RULE explained { WHEN update THEN beat WITHIN 1h UNLESS crash [app == "z"] WITHIN 1h BEFORE }
        RULE r { WHEN flow THEN crash WITHIN 10m UNLESS ALERT explained WITHIN 2h BEFORE }"""
    )
    feed("flow", 0)
    created = feed.one("crash", 5)
    feed("update", -40)
    closed = next(alert for alert in feed("beat", -30) if alert.rule.name == "r")
    assert (closed.id, closed.activity) == (created.id, "close")
    opened = next(alert for alert in feed("crash", -50, app="z") if alert.rule.name == "r")
    assert (opened.id, opened.activity, opened.status, opened.revision) == (created.id, "update", "open", 3)
    assert opened.changes[0] == Change("status", "closed", "open")
    assert "reopened because" in opened.reason


def test_a_match_that_lost_choices_is_incomplete(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.automaton.MAX_CHOICES", 4)
    feed = Feed(EVENTS + "RULE r { WHEN flow AS f THEN crash [app == f.app] WITHIN 1h }")
    for minute in range(8):
        feed("flow", minute, app="a")
    alert = feed.one("crash", 9, app="a")
    assert alert.incomplete
    assert alert.confidence.why == ["capped: choices were dropped before this match"]
    feed("flow", 200, app="a")
    assert not feed.one("crash", 201, app="a").incomplete


def test_an_event_below_what_is_kept_marks_and_never_closes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rule_runtime, "MAX_KEPT", 64)
    feed = Feed(RULE)
    feed("flow", 0, app="a", bytes=9)
    create = feed.one("crash", 5, app="a")
    for minute in range(200):
        feed("flow", 30 + minute / 10, app="b", bytes=1)
    assert feed("update", -58, app="b") == [], "another app's event could change nothing"
    assert feed("update", -0.9 * DAY, app="a") == [], "nor could one outside the look back"
    mark = feed.one("update", -60, app="a")
    assert (mark.id, mark.activity, mark.status, mark.revision) == (create.id, "update", "open", 2)
    assert mark.incomplete
    assert mark.confidence.level == "low"
    assert Change("incomplete", False, True) in mark.changes
    assert mark.cause is not None
    assert (mark.cause.event_id, mark.cause.guard) == ("update 205", "no update")
    assert feed("update", -59, app="a") == [], "it says so once"


def test_what_is_incomplete_stays_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rule_runtime, "MAX_KEPT", 64)
    feed = Feed(EVENTS + "RULE r { BY device, app WHEN flow THEN crash WITHIN 10m }")
    for number in range(200):
        feed("flow", -2 + number / 100, app="b")
    feed("flow", 1, app="a")
    feed.one("crash", 5, app="a")
    assert feed.one("flow", -1.9, app="a").incomplete
    better = feed.one("flow", 3, app="a")
    assert (better.activity, better.revision, better.incomplete) == ("update", 3, True)
    assert better.confidence.why == [
        "an event that could have changed it came when its time was no longer kept"
    ]


def test_an_update_keeps_the_count_of_the_suppressed() -> None:
    feed = Feed(EVENTS + "RULE r { BY device, app WHEN flow THEN crash WITHIN 10m SUPPRESS 1h PER device }")
    for minute in (0, 20, 90):
        feed("flow", minute, app="a")
        feed("crash", minute + 5, app="a")
    assert feed.alerts[0].dedup.suppressed == 1
    update = feed.one("flow", 93, app="a")
    assert (update.activity, update.dedup.count, update.dedup.suppressed) == ("update", 2, 1)
