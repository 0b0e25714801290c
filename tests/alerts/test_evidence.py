"""What an alert says of its events, its guards, and how both were seen."""

from __future__ import annotations

import pytest
from feeding import Feed

EVENTS = """
EVENT flow { app: string? bytes: int? }
EVENT crash { app: string? }
EVENT update { app: string? }
EVENT beat { n: int? }
EVENT posture { bad: bool? }
"""
GUARDED = (
    EVENTS
    + """
RULE guarded {
  BY device, app
  WHEN flow AS sent THEN crash AS end WITHOUT posture WITHIN 10m
  UNLESS update WITHIN 2h BEFORE
}
"""
)


def test_a_step_says_when_it_was_seen_and_where_its_record_is() -> None:
    feed = Feed(GUARDED)
    feed("flow", 0, app="a", bytes=9, seen=1, raw_ref="conn.log:7", attribution="app")
    alert = feed.one("crash", 2, app="a", seen=122)
    sent, end = alert.steps
    assert (sent.seen, sent.raw_ref, sent.attribution) == ("2026-03-02T08:01:00.000Z", "conn.log:7", "app")
    assert sent.summary == "flow [app a]"
    assert (end.seen, end.raw_ref, end.attribution) == ("2026-03-02T10:02:00.000Z", None, None)


@pytest.mark.parametrize(
    ("flow_seen", "crash_seen", "order", "late_s", "noted"),
    [
        (None, None, "in order", None, False),
        (1, 122, "in order", 7_200.0, False),
        (90, 3, "`end` was seen before `sent`", 5_400.0, False),
        (1, 1.5, "in order", 0.0, True),
        ("2026-03-02T09:30:00+00:00", None, "in order", 5_400.0, False),
        ("some day", None, "in order", None, False),
    ],
)
def test_how_late_the_last_evidence_was(
    flow_seen: object, crash_seen: object, order: str, late_s: float | None, noted: bool
) -> None:
    feed = Feed(GUARDED)
    feed("flow", 0, app="a", seen=flow_seen)
    timing = feed.one("crash", 2, app="a", seen=crash_seen).timing
    assert (timing.order, timing.late_s) == (order, late_s)
    # The crash of minute 2 was seen half a minute before it happened.
    assert ("dated 30s after it was seen" in (timing.clock_note or "")) == noted


def test_an_event_that_came_late_is_named() -> None:
    feed = Feed(GUARDED)
    feed("crash", 2, app="a")
    assert feed.one("flow", 0, app="a").timing.order == "`flow` flow 2 came late"


def test_a_tie_of_two_sources_is_said() -> None:
    feed = Feed(GUARDED)
    feed("flow", 0, app="a")
    assert feed.one("crash", 0, app="a", source="another").timing.tie
    feed("flow", 1, app="b")
    assert not feed.one("crash", 1, app="b").timing.tie


def test_a_guard_says_which_time_it_looked_at() -> None:
    feed = Feed(GUARDED)
    feed("flow", 0, app="a")
    unless, without = feed.one("crash", 2, app="a").excluded
    assert (unless.what, unless.kinds) == ("no update", ["update"])
    assert unless.window == "from 2h before the first event to the last"
    assert (unless.start, unless.end) == ("2026-03-02T06:00:00.000Z", "2026-03-02T08:02:00.000Z")
    assert (without.what, without.window) == ("no posture", "since the step before")
    assert (without.start, without.end) == ("2026-03-02T08:00:00.000Z", "2026-03-02T08:02:00.000Z")


@pytest.mark.parametrize(
    ("pattern", "span"),
    [
        ("NO beat FOR 1h THEN flow THEN crash WITHIN 10m", ("07:00", "08:00", "in the 1h before")),
        ("flow THEN crash WITHOUT beat FOR 30m WITHIN 10m", ("07:32", "08:02", "in the 30m before")),
        (
            "flow THEN (crash THEN posture) WITHOUT beat WITHIN 10m",
            ("08:00", "08:04", "since the step before"),
        ),
        ("flow THEN NO beat FOR 1m THEN crash WITHIN 10m", ("08:00", "08:01", "for 1m")),
        (
            "ALL OF (flow, (crash THEN posture WITHOUT beat)) WITHIN 10m",
            ("08:00", "08:04", "among the events"),
        ),
    ],
)
def test_every_form_of_guard_has_its_span(pattern: str, span: tuple[str, str, str]) -> None:
    feed = Feed(EVENTS + f"RULE r {{ WHEN {pattern} }}")
    said = [*feed("flow", 0), *feed("crash", 2), *feed("posture", 4), *feed.matcher.close()]
    (excluded,) = said[0].excluded
    assert excluded.what == "no beat"
    assert excluded.window.startswith(span[2])
    day = "2026-03-02T"
    assert (excluded.start, excluded.end) == (f"{day}{span[0]}:00.000Z", f"{day}{span[1]}:00.000Z")


def test_a_silence_says_which_time_was_silent() -> None:
    feed = Feed(EVENTS + "RULE r { WHEN flow THEN NO beat FOR 15m }")
    feed("beat", -5)
    feed("flow", 0)
    (alert,) = feed.matcher.close()
    (wait,) = alert.excluded
    assert (wait.what, wait.window) == ("no beat", "for 15m")
    assert (wait.start, wait.end) == ("2026-03-02T08:00:00.000Z", "2026-03-02T08:15:00.000Z")
    assert "then no beat for 15m" in alert.reason


def test_a_branch_that_was_not_taken_has_looked_for_nothing() -> None:
    branches = "(crash THEN posture WITHOUT beat), (posture THEN crash WITHOUT update)"
    feed = Feed(EVENTS + f"RULE r {{ WHEN flow THEN ONE OF ({branches}) WITHIN 10m }}")
    feed("flow", 0)
    feed("posture", 1)
    assert [x.what for x in feed.one("crash", 2).excluded] == ["no update"]


def test_a_step_of_many_events_lists_64_and_counts_all() -> None:
    feed = Feed(EVENTS + "RULE r { WHEN AT LEAST 70 flow [bytes >= 0] IN 2h AS many THEN crash WITHIN 2h }")
    for minute in range(70):
        feed("flow", minute, bytes=minute)
    alert = feed.one("crash", 70)
    many = [step for step in alert.steps if step.name == "many"]
    assert len(many) == 64
    assert many[0].count == 70
    assert many[-1].summary == "flow [bytes 69]"


def test_what_the_author_wrote_comes_through_and_nothing_else() -> None:
    meta = """META {
      attack: [AN1] techniques: ["T1404"]
      runbook: "https://example.com/run"
      response: {
        preserve: [{ what: "logs" why: "they rotate" }] isolate: suggested access_review: ["hosts"]
        do_not: ["wipe it"]
      }
      owner: "soc"
    }"""
    feed = Feed(EVENTS + f"RULE r {{ {meta} WHEN flow THEN crash WITHIN 10m }}")
    feed("flow", 0)
    alert = feed.one("crash", 1)
    assert alert.response == {
        "preserve": [{"what": "logs", "why": "they rotate"}],
        "isolate": "suggested",
        "access_review": ["hosts"],
        "do_not": ["wipe it"],
        "runbook": "https://example.com/run",
    }
    assert alert.attack == {"analytics": ["AN1"], "techniques": ["T1404"]}
    assert alert.meta == {"owner": "soc"}
    feed = Feed(EVENTS + "RULE r { WHEN flow THEN crash WITHIN 10m }")
    feed("flow", 0)
    alert = feed.one("crash", 1)
    assert (alert.response, alert.meta, alert.attack["techniques"]) == ({}, {}, [])


def test_the_suppressed_are_counted_with_the_next() -> None:
    feed = Feed(EVENTS + "RULE r { WHEN flow THEN crash WITHIN 1m SUPPRESS 1h PER device }")
    for minute in (0, 5, 10, 90):
        feed("flow", minute)
        feed("crash", minute + 0.5)
    assert feed.alerts[0].dedup.count == 3
    assert feed.alerts[0].dedup.suppressed == 2


@pytest.mark.parametrize(
    ("flow", "crash", "level", "why"),
    [
        ({"app": "a"}, {"app": "a"}, "high", ""),
        ({"app": "a", "attribution": "ip"}, {"app": "a"}, "medium", "by its address only"),
        ({"app": "a"}, {"app": "a", "attribution": "device"}, "medium", "not of the app for sure"),
        ({"app": "a", "start": -1}, {"app": "a"}, "medium", "an interval"),
        ({"app": "a", "quality": "first_last"}, {"app": "a", "start": 1}, "low", "first or last time"),
    ],
)
def test_weak_evidence_lowers_the_confidence(
    flow: dict[str, object], crash: dict[str, object], level: str, why: str
) -> None:
    feed = Feed(EVENTS + "RULE r { BY device, app WHEN flow THEN crash WITHIN 10m }")
    feed("flow", 0, **flow)
    confidence = feed.one("crash", 2, **crash).confidence
    assert confidence.level == level
    assert why in "; ".join(confidence.why)
    assert bool(confidence.why) == bool(why)


def test_a_step_that_names_no_app_is_joined_by_the_device() -> None:
    feed = Feed(EVENTS + "RULE r { BY device, app WHEN flow THEN posture AS bad WITHIN 10m }")
    feed("flow", 0, app="a")
    alert = feed.one("posture", 2, bad=True)
    assert alert.confidence.why == ["`bad` names no app: joined by the device alone"]
    assert alert.key == {"device": "d1", "app": "a"}


def test_a_silence_is_no_step_without_an_app() -> None:
    feed = Feed(EVENTS + "RULE r { BY device, app WHEN flow THEN posture THEN NO beat FOR 1m WITHIN 10m }")
    feed("flow", 0, app="a")
    feed("posture", 2)
    (alert,) = feed.matcher.close()
    assert alert.confidence.why == ["`posture` names no app: joined by the device alone"]


def test_text_from_outside_cannot_reverse_a_sentence() -> None:
    feed = Feed(EVENTS + "RULE r { BY device, app WHEN flow THEN posture WITHIN 10m }")
    feed("flow", 0, app="x\u202egpj.exe")
    alert = feed.one("posture", 1)
    assert "\u202e" not in alert.reason + alert.steps[0].summary + alert.title
    assert alert.steps[0].fields["app"] == "x\u202egpj.exe"


def test_a_window_beyond_the_calendar_is_no_error() -> None:
    feed = Feed(EVENTS + "RULE r { WHEN flow THEN crash WITHIN 1m UNLESS update WITHIN 300d BEFORE }")
    feed("flow", 0, time=1_000)
    assert feed.one("crash", 0, time=2_000).excluded[0].start == "1970-01-01T00:00:00.000Z"
    last = 253_402_300_799_999
    feed("flow", 0, time=last - 1)
    assert feed.one("crash", 0, time=last).revisable_until == "9999-12-31T23:59:59.999Z"
