"""Absence, levels, ALL OF, ANY and look backs, one sentence of LANGUAGE.md sections 3 and 4 at a time.

Events are written ``"a0 b3"``: the kind and the second. A step's evidence is told the same way.
"""

from __future__ import annotations

from typing import Any

import pytest

import dsl
from engine import Alert, Matcher

EVENTS = """
EVENT a { app: string? x: int? }
EVENT b { app: string? x: int? }
EVENT c { app: string? x: int? }
EVENT g { app: string? x: int? }
EVENT quick GRACE 1s { x: int? }
"""
SECOND = 1_000


def feed(matcher: Matcher, word: str, place: int | None = None, **more: Any) -> list[Alert]:
    """One event written as in this file; ``a3=1`` has the field x. ``place``: its place in the input."""
    name, _, x = word.partition("=")
    kind = name.rstrip("0123456789.")
    wire: dict[str, Any] = {"kind": kind, "device": "d1", "id": word, **more}
    wire["time"] = int(float(name[len(kind) :]) * SECOND)
    if x:
        wire["x"] = int(x)
    event = matcher.decoder.convert(wire)
    return [] if event is None else matcher.feed(event, place)


def matcher_of(rule: str) -> Matcher:
    ruleset = dsl.load_text(EVENTS + rule)
    assert not ruleset.errors, [d.message for d in ruleset.errors]
    matcher = Matcher(ruleset)
    assert not matcher.diagnostics, [d.message for d in matcher.diagnostics]
    return matcher


def told(alert: Alert) -> str:
    return " ".join(s.event_id.partition("=")[0] for s in alert.steps) + " @" + alert.time[14:19]


def run(when: str, events: str, close: bool = True) -> list[str]:
    """The alerts of ``RULE r { WHEN .. }``, fed in order; ``close``: up to the end of input."""
    matcher = matcher_of(f"RULE r {{ WHEN {when} }}")
    assert matcher.plan.rules[0].automaton == "search"
    alerts = [alert for word in events.split() for alert in feed(matcher, word)]
    alerts += matcher.close() if close else []
    return [told(alert) for alert in alerts]


CASES = [
    # --- WITHOUT .. FOR, leading NO: inclusive at the far end, strictly before in order
    ("a THEN b WITHOUT g FOR 5s WITHIN 10s", "a0 g1 b6 b7", ["a0 b7 @00:07"]),
    ("a THEN b WITHOUT g FOR 5s WITHIN 10s", "a0 b6 g6", ["a0 b6 @00:06"]),
    ("NO g FOR 5s THEN a", "g0 a5", []),
    ("NO g FOR 5s THEN a", "g0 a5.001", ["a5.001 @00:05"]),
    ("NO g FOR 5s THEN a", "a5 g5", ["a5 @00:05"]),
    ("NO g FOR 5s THEN NO c FOR 2s THEN a", "c4 a6 g7 a12 a13", ["a13 @00:13"]),
    ("a THEN NO g FOR 5s WITHIN 5s", "a0 g5", []),
    ("a WITHOUT g FOR 5s THEN b WITHIN 10s", "g0 a4 a6 b7", ["a6 b7 @00:07"]),
    # --- NO after a step
    ("a THEN NO g FOR 5s", "a0", ["a0 @00:05"]),
    ("a THEN NO g FOR 5s", "a0 g5", []),
    ("a THEN NO g FOR 5s", "a0 g5.001", ["a0 @00:05"]),
    ("a THEN NO g FOR 5s", "g0 a0", ["a0 @00:05"]),
    # a silence is reported once, from the first wait that was not voided
    ("a THEN NO g FOR 5s", "a0 g2 a3 a4 a9 a100", ["a3 @00:08"]),
    ("a THEN NO g FOR 5s", "a0 a1 g8 a9 g20 a21", ["a0 @00:05", "a9 @00:14", "a21 @00:26"]),
    ("a THEN NO a FOR 5s", "a0 a3 a6 a20", ["a6 @00:11", "a20 @00:25"]),
    ("a THEN c THEN NO g FOR 5s WITHIN 9s", "a0 a1 c2 c4", ["a1 c2 @00:07"]),
    ("a AS s THEN NO g [x == s.x] FOR 5s", "a0=1 a1=2 a2=1", ["a0 @00:05", "a1 @00:06"]),
    ("AT LEAST 2 a IN 9s AS s THEN NO g [x IN s.x] FOR 5s", "a0=1 a1=1 a2=1", ["a0 a1 @00:06"]),
    (
        "AT LEAST 2 a IN 9s AS s THEN NO g [x IN s.x] FOR 5s",
        "a0=1 a1=1 a2=2",
        ["a0 a1 @00:06", "a0 a1 a2 @00:07"],
    ),
    # in the middle: what follows comes strictly after the deadline, and its gap counts from there
    ("a THEN NO g FOR 5s THEN b WITHIN 20s", "a0 b5 b6", ["a0 b6 @00:06"]),
    ("a THEN NO g FOR 5s THEN b WITHIN 20s", "a0 g5 b6", []),
    ("a THEN NO g FOR 5s THEN b WITHIN 20s", "a0 g5.001 b6", ["a0 b6 @00:06"]),
    ("a THEN NO g FOR 5s THEN WITHIN 2s b", "a0 b7", ["a0 b7 @00:07"]),
    ("a THEN NO g FOR 5s THEN WITHIN 2s b", "a0 b7.001", []),
    ("a THEN NO g FOR 5s THEN AFTER 2s b WITHIN 20s", "a0 b6.999 b7", ["a0 b7 @00:07"]),
    # --- AT LEAST: rising edge
    ("AT LEAST 3 a IN 10s", "a0 a5 a10", ["a0 a5 a10 @00:10"]),
    ("AT LEAST 3 a IN 10s", "a0 a5 a10.001", []),
    ("AT LEAST 3 a IN 10s", "a0 a1 a2 a3 a4", ["a0 a1 a2 @00:02"]),
    ("AT LEAST 2 a IN 5s", "a0 a1 a2 a8 a9", ["a0 a1 @00:01", "a8 a9 @00:09"]),
    ("AT LEAST 1 a IN 5s", "a0 a5 a10.001", ["a0 @00:00", "a10.001 @00:10"]),
    ("AT LEAST 2 DISTINCT x OF a IN 9s", "a0=1 a1=1 a2=2", ["a1 a2 @00:02"]),
    ("AT LEAST 2 DISTINCT x OF a IN 9s", "a0=1 a1 a2", []),
    ("AT LEAST 10 SUM x OF a IN 9s", "a0=4 a1 a2=6", ["a0 a2 @00:02"]),
    ("AT LEAST 10 SUM x OF a IN 9s", "a0=4 a2=5", []),
    # after another step only what is later than that step counts
    ("b THEN AT LEAST 2 a IN 10s WITHIN 20s", "a0 b1 a2 a3 a4", ["b1 a2 a3 @00:03"]),
    # an edge that a guard voids is spent
    ("b THEN AT LEAST 2 a IN 10s WITHOUT g WITHIN 20s", "b0 g1 a2 a3 a4", []),
    # first: each event that holds begins a run; the part of the window that a bound leaves counts
    ("AT LEAST 2 a IN 10s THEN b WITHIN 12s", "a0 a9 a10 b15", ["a9 a10 b15 @00:15"]),
    ("AT LEAST 2 a IN 10s THEN b WITHIN 12s", "a0 a10 b13", []),
    ("AT LEAST 2 a IN 10s AS xs THEN b [xs.count == 2] WITHIN 12s", "a0 a9 a10 b15", ["a9 a10 b15 @00:15"]),
    ("AT LEAST 2 a IN 10s THEN WITHIN 5s b", "a0 a10 b15", ["a0 a10 b15 @00:15"]),
    ("AT LEAST 2 a IN 10s THEN WITHIN 5s b", "a0 a10 b15.001", []),
    ("AT LEAST 2 a IN 10s AS xs THEN b [x IN xs.x] WITHIN 20s", "a0=1 a1=2 b2=3 b3=2", ["a0 a1 b3 @00:03"]),
    (
        "AT LEAST 2 a IN 9s AS xs THEN b [x == xs.first.x] WITHIN 20s",
        "a0=1 a1=2 b2=2 b3=1",
        ["a0 a1 b3 @00:03"],
    ),
    ("c THEN AFTER 5s AT LEAST 2 a IN 9s WITHIN 20s", "c0 a4 a6 a7", ["c0 a6 a7 @00:07"]),
    # WITHOUT .. FOR on a level looks back from its first event
    ("AT LEAST 2 a IN 9s WITHOUT g FOR 3s THEN b WITHIN 20s", "g0 a4 g5 a6 b7", ["a4 a6 b7 @00:07"]),
    ("AT LEAST 2 a IN 9s WITHOUT g FOR 3s THEN b WITHIN 20s", "g2 a4 a6 b7", []),
    # --- ALL OF and ANY: each branch by its latest match
    ("ALL OF (a, b) WITHIN 9s", "a0 a1 b2 b3", ["a1 b2 @00:02"]),
    ("ALL OF (a, b) WITHIN 9s", "b0 a9", ["b0 a9 @00:09"]),
    ("ALL OF (a, b) WITHIN 9s", "b0 a9.001", []),
    ("ALL OF (a, b) WITHIN 2s", "a0 b1 a5 b6", ["a0 b1 @00:01", "a5 b6 @00:06"]),
    ("ALL OF (a, b THEN c WITHIN 2s) WITHIN 9s", "b0 c1 a2", ["b0 c1 a2 @00:02"]),
    ("ALL OF (a, a [x == 1]) WITHIN 9s", "a0=1", ["a0 @00:00"]),
    ("ANY 2 OF (a, b, c) WITHIN 9s", "a0 b1 c2", ["a0 b1 @00:01"]),
    ("ANY 2 OF (a, b, c) THEN g WITHIN 9s", "a0 b4 c5 g10", ["b4 c5 g10 @00:10"]),
    ("ALL OF (a AS p, b) THEN c [x == p.x] WITHIN 9s", "a0=1 b1 c2=2 c3=1", ["a0 b1 c3 @00:03"]),
    ("c AS p THEN ALL OF (a [x == p.x], b) WITHIN 9s", "c0=1 a1=2 b2 a3=1", ["c0 b2 a3 @00:03"]),
    ("c THEN WITHIN 3s ALL OF (a, b)", "a0 c1 b2 a4", ["c1 b2 a4 @00:04"]),
    ("c THEN WITHIN 3s ALL OF (a, b)", "a0 c1 b2 a4.001", []),
    ("ANY 1 OF (a AS p, b) THEN c [p.x MISSING] WITHIN 9s", "b0 c1", ["b0 c1 @00:01"]),
    # --- ONE OF with NO
    ("c THEN ONE OF (a, NO g FOR 5s) WITHIN 9s", "c0 g1 a2", ["c0 a2 @00:02"]),
    ("c THEN ONE OF (a, NO g FOR 5s) WITHIN 9s", "c0 a6", ["c0 @00:05"]),
]


@pytest.mark.parametrize(("when", "events", "expected"), CASES)
def test_what_matches(when: str, events: str, expected: list[str]) -> None:
    assert run(when, events) == expected


@pytest.mark.parametrize(("when", "events", "expected"), CASES)
def test_the_order_of_arrival_does_not_matter(when: str, events: str, expected: list[str]) -> None:
    matcher = matcher_of(f"RULE r {{ WHEN {when} }}")
    words = list(enumerate(events.split(), 1))
    alerts = [alert for place, word in reversed(words) for alert in feed(matcher, word, place << 20)]
    standing: dict[str, Alert] = {}
    for alert in [*alerts, *matcher.close()]:
        standing[alert.id] = alert
    assert sorted(told(x) for x in standing.values() if x.status == "open") == sorted(expected)


def test_each_reports_every_wait() -> None:
    matcher = matcher_of("RULE r { WHEN a THEN NO g FOR 5s SELECT EACH }")
    alerts = [alert for word in ("a0", "a2", "g30") for alert in feed(matcher, word)]
    assert [told(alert) for alert in alerts + matcher.close()] == ["a0 @00:05", "a2 @00:07"]


def test_unless_counts_up_to_the_deadline() -> None:
    rule = "RULE r { WHEN a THEN NO g FOR 5s UNLESS c }"
    for last, expected in (("c5", 0), ("c5.001", 1)):
        matcher = matcher_of(rule)
        alerts = [alert for word in ("a0", last) for alert in feed(matcher, word)]
        assert len(alerts + matcher.close()) == expected


def test_more_events_than_an_alert_lists_are_counted() -> None:
    matcher = matcher_of('RULE r { WHEN AT LEAST 100 a IN 1h AS xs ALERT { title: "{xs.count}" } }')
    alerts = [alert for second in range(100) for alert in feed(matcher, f"a{second}")]
    assert [(alert.title, len(alert.steps), alert.steps[0].count) for alert in alerts] == [("100", 64, 100)]


# --- clocks


def test_a_silence_waits_for_the_clock_of_its_type() -> None:
    matcher = matcher_of("RULE r { WHEN a THEN NO quick FOR 5s }")
    assert feed(matcher, "a0") == []
    assert feed(matcher, "a900") == []  # the clock of a says nothing about quick
    assert feed(matcher, "quick6") == []  # GRACE 1s: an event at 5s may still come
    assert [told(alert) for alert in feed(matcher, "quick6.001")] == ["a0 @00:05"]


def test_a_match_over_silence_is_held_until_the_clock_has_passed_it() -> None:
    matcher = matcher_of("RULE r { WHEN a THEN NO quick FOR 5s THEN b WITHIN 20s }")
    assert feed(matcher, "a0") + feed(matcher, "b7") == []
    assert [told(alert) for alert in feed(matcher, "quick7")] == ["a0 b7 @00:07"]


def test_wall_clock_moves_a_type_that_was_never_seen() -> None:
    matcher = matcher_of("RULE r { WHEN a THEN NO quick FOR 5s }")
    feed(matcher, "a0")
    assert matcher.advance(6 * SECOND) == []
    assert [told(alert) for alert in matcher.advance(6 * SECOND + 1)] == ["a0 @00:05"]


def test_wall_clock_does_not_move_a_type_that_is_heard_of() -> None:
    matcher = matcher_of("RULE r { WHEN a THEN NO quick FOR 5s }")
    feed(matcher, "a2")
    for now in range(SECOND, 99 * SECOND, SECOND):
        # Its events are a minute old, but they go on coming.
        assert matcher.advance(now) == []
        feed(matcher, "quick1")
    assert matcher.advance(99 * SECOND) == []
    assert [told(alert) for alert in matcher.advance(99 * SECOND + 1)] == ["a2 @00:07"]


def test_a_deadline_that_has_passed_already_is_said_at_once() -> None:
    matcher = matcher_of("RULE r { WHEN a THEN NO quick FOR 5s }")
    matcher.advance(99 * SECOND)
    assert [told(alert) for alert in feed(matcher, "a2")] == ["a2 @00:07"]


def test_a_late_event_closes_a_silence_that_was_reported() -> None:
    matcher = matcher_of("RULE r { WHEN a THEN NO g FOR 5s }")
    feed(matcher, "a0")
    assert [alert.activity for alert in matcher.close(60 * SECOND)] == ["create"]
    assert [alert.activity for alert in feed(matcher, "g3")] == ["close"]


def test_a_long_silence_stays_one_when_its_first_events_are_forgotten() -> None:
    matcher = matcher_of("RULE r { WHEN a THEN NO g FOR 5s }")
    day = 24 * 3600
    count = 0
    for index in range(400):
        count += len(feed(matcher, f"a{index * day // 50}"))
    count += len(matcher.close())
    # One out of order runs the rest again; the silence is still the one reported.
    count += len(feed(matcher, f"a{399 * day // 50 - 1}"))
    assert count == 1


# --- alerts as events

CHAIN = """
RULE low {
  WHEN a AS s THEN b WITHIN 5s
  UNLESS g WITHIN 5s BEFORE
  SEVERITY none
  ALERT { fields: [s.x] }
}
"""


def test_alerts_are_read_and_none_is_not_published() -> None:
    matcher = matcher_of(CHAIN + "RULE high { WHEN ALERT low AS one THEN ALERT low [x > one.x] WITHIN 20s }")
    alerts = [x for word in ("a0=1", "b1", "a2=2", "b3") for x in feed(matcher, word)]
    assert [(x.rule.name, x.time[14:19]) for x in alerts] == [("high", "00:03")]


def test_a_closed_alert_closes_what_read_it() -> None:
    matcher = matcher_of(CHAIN + "RULE high { WHEN ALERT low THEN c WITHIN 20s }")
    alerts = [x for word in ("a10=1", "b11", "c12", "g5") for x in feed(matcher, word)]
    assert [(x.rule.name, x.activity) for x in alerts] == [("high", "create"), ("high", "close")]


def test_an_updated_alert_replaces_the_one_that_was_read() -> None:
    matcher = matcher_of(CHAIN + "RULE high { WHEN ALERT low [x == 1] AS one THEN c WITHIN 20s }")
    alerts = [x for word in ("a10=1", "b12", "c13", "a11=2") for x in feed(matcher, word)]
    assert [(x.rule.name, x.activity) for x in alerts] == [("high", "create"), ("high", "close")]


def test_a_fleet_rule_counts_devices() -> None:
    matcher = matcher_of(CHAIN + "RULE fleet { BY rule  WHEN AT LEAST 2 DISTINCT device OF ALERT low IN 1m }")
    alerts = []
    for device in ("d1", "d2"):
        for word in ("a0", "b1"):
            alerts += feed(matcher, word, device=device)
    assert [(x.rule.name, x.device, x.key) for x in alerts] == [("fleet", "", {"rule": "low"})]
    assert alerts[0].reason.startswith("Across the fleet")


# --- prose and functions


def test_the_reason_says_counts_and_absences_in_words() -> None:
    matcher = matcher_of("RULE r { WHEN AT LEAST 2 a IN 10s THEN NO g FOR 30s WITHIN 20s }")
    feed(matcher, "a0")
    feed(matcher, "a4")
    alert = matcher.close()[0]
    assert "2 a within 4s" in alert.reason
    assert "then no g for 30s" in alert.reason
    assert [(x.what, x.window) for x in alert.excluded] == [("no g", "for 30s")]


@pytest.mark.parametrize(
    ("host", "domain"),
    [
        ("a.b.example.co.uk", "example.co.uk"),
        ("Example.COM.", "example.com"),
        ("localhost", None),
        ("co.uk", None),
        ("192.0.2.7", None),
        ("2001:db8::1", None),
    ],
)
def test_domain(host: str, domain: str | None) -> None:
    rules = dsl.load_text(
        'EVENT e { host: string? } RULE r { WHEN e [domain(host) == "D"] }'.replace("D", str(domain))
    )
    matcher = Matcher(rules)
    event = matcher.decoder.convert({"kind": "e", "device": "d1", "time": 1, "host": host})
    assert event is not None
    assert bool(matcher.feed(event)) == (domain is not None)
