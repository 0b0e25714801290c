"""Cold guards (LANGUAGE.md section 4 item 12) and silent kinds."""

from __future__ import annotations

import pytest
from feeding import DAY, HOUR, Feed

EVENTS = """
EVENT flow { app: string? }
EVENT crash { app: string? }
EVENT update { app: string? }
EVENT posture { bad: bool? }
EVENT other { n: int? }
RULE reads other { WHEN other [n > 5] THEN other [n > 6] WITHIN 1s }
"""


def rule(text: str) -> Feed:
    return Feed(EVENTS + f"RULE r {{ {text} }}")


@pytest.mark.parametrize(
    "guarded",
    [
        "WHEN flow THEN crash WITHIN 10m UNLESS update WITHIN 2h BEFORE",
        "WHEN NO update FOR 2h THEN flow THEN crash WITHIN 10m",
        "WHEN flow WITHOUT update FOR 2h THEN crash WITHIN 10m",
    ],
)
def test_a_guard_without_history_makes_the_confidence_low(guarded: str) -> None:
    for watched, cold in ((119.9, True), (120, False), (500, False)):
        feed = rule(guarded)
        # Any event will do: what the engine has been given, it has watched.
        feed("other", -watched)
        feed("flow", 0)
        alert = feed.one("crash", 1)
        history = [gap for gap in alert.gaps if gap.status.startswith("guard history since ")]
        assert bool(history) == cold, (guarded, watched)
        assert (alert.confidence.level == "low") == cold
        if cold:
            assert history[0].need == "update"
            effect = "`no update` is known for 1h59m54s of the 2h that it looks back"
            assert history[0].effect.split("; ")[0] == effect
            assert alert.confidence.why == ["guard history since 2026-03-02T06:00:06.000Z"]


def test_the_earliest_event_counts_not_the_first_that_came() -> None:
    feed = rule("WHEN flow THEN crash WITHIN 10m UNLESS update WITHIN 2h BEFORE")
    feed("other", 0)
    feed("other", -130)
    feed("flow", 0)
    assert feed.one("crash", 1).confidence.level == "high"


def test_an_event_that_is_too_late_shows_nothing() -> None:
    feed = rule("WHEN flow THEN crash WITHIN 10m UNLESS update WITHIN 2h BEFORE")
    feed("other", 0)
    feed("other", -3 * DAY)
    assert feed.matcher.counts["other"].late == 1
    feed("flow", 0)
    assert feed.one("crash", 1).confidence.level == "low"


@pytest.mark.parametrize(
    "pattern",
    ["flow THEN crash WITHOUT update WITHIN 10m", "flow THEN crash WITHIN 10m UNLESS update"],
)
def test_a_guard_between_the_events_needs_no_history(pattern: str) -> None:
    feed = rule(f"WHEN {pattern}")
    feed("flow", 0)
    alert = feed.one("crash", 1)
    assert alert.confidence.level == "high"
    assert not [gap for gap in alert.gaps if "history" in gap.status]


def test_an_interval_that_began_before_anything_was_watched_is_no_guard_history() -> None:
    feed = rule("WHEN flow THEN crash WITHIN 2h UNLESS update")
    feed("flow", 0, start=-30)
    assert not [gap for gap in feed.one("crash", 1).gaps if "history" in gap.status]


def silent(feed: Feed) -> dict[str, str]:
    gaps = feed.alerts[0].gaps
    return {gap.need: gap.status.split("; ")[-1] for gap in gaps if "not sent" in gap.status}


def test_a_kind_that_no_device_has_sent_is_a_gap() -> None:
    feed = rule("WHEN flow THEN crash WITHIN 10m UNLESS update WITHIN 2h BEFORE")
    feed("flow", -DAY)
    feed("flow", 0)
    alert = feed.one("crash", 1)
    assert silent(feed) == {"update": "not sent by any device since 2026-03-01T08:00:00.000Z"}
    assert alert.gaps[0].effect == "`no update` would also be found if the source were silent"
    assert alert.confidence.level == "high", "that alone proves nothing: many kinds are rare"


def test_a_kind_that_another_device_sends_is_a_gap_of_this_one() -> None:
    feed = rule("WHEN flow THEN crash WITHIN 10m UNLESS update WITHIN 2h BEFORE")
    feed("update", -DAY, device="d2")
    feed("flow", 0)
    feed("crash", 1)
    assert silent(feed) == {"update": "not sent by this device since 2026-03-01T08:00:00.000Z"}


@pytest.mark.parametrize(
    ("look_back", "days", "gap"),
    [("2h", 6.9, False), ("2h", 7.1, True), ("9d", 9.001, False), ("9d", 9.1, True)],
)
def test_lately_is_a_week_or_the_look_back(look_back: str, days: float, gap: bool) -> None:
    feed = rule(f"WHEN flow THEN crash WITHIN 10m UNLESS update WITHIN {look_back} BEFORE")
    feed("update", -days * DAY)
    feed("flow", 0)
    feed("crash", 1)
    assert bool(silent(feed)) == gap


def test_a_device_that_sends_often_is_noted_to_the_hour() -> None:
    feed = rule("WHEN flow THEN crash WITHIN 10m UNLESS update WITHIN 2h BEFORE")
    feed("update", -7 * DAY - 0.9 * HOUR)
    feed("update", -7 * DAY + 0.1 * HOUR - 0.2 * HOUR)
    feed("update", -7 * DAY + 0.05 * HOUR)
    feed("flow", 0)
    feed("crash", 1)
    assert silent(feed) == {}


def test_what_could_have_been_evidence_is_a_gap_when_it_is_silent() -> None:
    feed = rule("WHEN flow THEN ONE OF (crash, posture [bad]) WITHIN 10m")
    feed("flow", 0)
    feed("crash", 1)
    assert silent(feed) == {"posture": "not sent by any device since 2026-03-02T08:00:00.000Z"}
    assert feed.alerts[0].gaps[0].effect == "what it would have shown is not in this alert"
    feed("posture", 2, bad=False)
    feed("flow", 3)
    feed("crash", 4)
    assert silent(feed) == {}, "it sends them: this one was fine"


def test_evidence_is_no_gap_however_old() -> None:
    feed = rule("WHEN ONE OF (posture, update) THEN crash WITHIN 20d")
    feed("posture", -15 * DAY)
    feed("crash", 0)
    assert set(silent(feed)) == {"update"}


def test_what_every_match_shows_is_no_gap() -> None:
    feed = rule("WHEN ALL OF (flow, crash) WITHIN 10m")
    feed("flow", 0)
    feed("crash", 1)
    assert silent(feed) == {}
    assert set(feed.matcher.sightings.last) == set()


def test_a_silence_may_be_that_of_the_source() -> None:
    feed = rule("WHEN flow THEN NO update FOR 15m")
    feed("flow", 0)
    feed.alerts = feed.matcher.close()
    assert feed.alerts[0].gaps[0].effect == "`no update` may be the silence of the source"
    feed("update", 0.5 * DAY)
    # All clocks have passed.
    feed.one("flow", DAY)
    assert silent(feed) == {}


def test_a_rule_about_no_device_has_no_gaps_of_devices() -> None:
    fleet_rule = "RULE fleet { BY rule WHEN AT LEAST 2 ALERT r IN 1h }"
    feed = Feed(EVENTS + f"RULE r {{ WHEN flow THEN crash WITHIN 10m }}\n{fleet_rule}")
    for device in ("d1", "d2"):
        feed("flow", 0, device=device)
        feed("crash", 1, device=device)
    fleet = next(alert for alert in feed.alerts if alert.rule.name == "fleet")
    assert (fleet.device, fleet.gaps) == ("", [])
