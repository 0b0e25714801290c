"""Baselines as rules use them: what feeds them, keys, filters, peers, fixtures in TESTs, what alerts say."""

from __future__ import annotations

from typing import Any

import pytest

import dsl
from engine import Matcher
from engine.alerts import Alert
from engine.testing import run_tests

MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
START = 1_767_225_600_000  # a Thursday, 00:00 UTC
EVENTS = """
EVENT flow LATE 90d {
  app: string? host: string? ip: ip? port: int? bytes: int? UNIT bytes inside: bool? tags: LIST OF string?
}
EVENT stop { app: string? }
"""


def matcher(declared: str, condition: str, by: str = "device") -> Matcher:
    ruleset = dsl.load_text(f"{EVENTS}{declared}\nRULE r {{ BY {by} WHEN flow [{condition}] SEVERITY high }}")
    assert not ruleset.errors, ruleset.errors[0]
    made = Matcher(ruleset)
    assert not made.diagnostics
    return made


def feed(made: Matcher, time: int, device: str = "d1", **fields: Any) -> list[Alert]:
    event = made.decoder.convert({"kind": "flow", "device": device, "time": START + time, **fields})
    assert event is not None
    return made.feed(event)


def samples(made: Matcher, name: str, key: tuple[Any, ...]) -> int:
    """What a robust baseline has learned for a key."""
    estimator = made.baselines.estimators[name]
    found = estimator.rows.find(estimator.rows.key(key))
    return 0 if found is None else estimator.reading(found, 1.0, None, START, None).samples


# --- which data feeds which estimator

QUALITIES: list[dict[str, Any]] = [
    {},
    {"quality": "exact"},
    {"quality": "interval", "start": START},
    {"quality": "first_last"},
]


@pytest.mark.parametrize(
    ("declared", "feeds"),
    [
        ("bytes OF flow BY device EVERY 5m USING robust", [True, True, True, False]),
        ("bytes OF flow BY device EVERY 1m USING robust", [True, True, False, False]),
        ("bytes OF flow BY device USING robust", [True, True, True, False]),
        ("bytes OF flow BY device EVERY 5m USING fanout", [True, True, True, False]),
        ("bytes OF flow BY device EVERY 1m USING fanout", [True, True, False, False]),
        ("bytes OF flow BY device USING cadence", [True, True, False, False]),
        ("bytes OF flow BY device USING hours", [True, True, True, False]),
        ("bytes OF flow BY device USING novelty", [True, True, True, True]),
        ("bytes OF flow USING prevalence", [True, True, True, True]),
    ],
)
def test_quality_decides_what_feeds_a_baseline(declared: str, feeds: list[bool]) -> None:
    for quality, expected in zip(QUALITIES, feeds, strict=True):
        made = matcher(f"BASELINE b = {declared}", "NOT ready(b) AND port == 1")
        feed(made, 2 * MINUTE, bytes=5, **quality)
        assert (made.baselines.counts()["b"].keys == 1) is expected, quality


def test_an_interval_longer_than_an_hour_feeds_no_hours() -> None:
    made = matcher("BASELINE b = bytes OF flow BY device USING hours", "ready(b)")
    feed(made, 2 * HOUR, bytes=5, quality="interval", start=START)
    assert made.baselines.counts()["b"].keys == 0


# --- keys


def test_a_filter_decides_what_is_learned_and_what_is_answered() -> None:
    made = matcher(
        "BASELINE b = bytes OF flow [inside] BY device EVERY 5m USING robust WARMUP 3", "deviation(b) > 4"
    )
    for bucket in range(5):
        feed(made, bucket * 5 * MINUTE, bytes=100, inside=True)
        feed(made, bucket * 5 * MINUTE, bytes=10**9, inside=False)
        feed(made, bucket * 5 * MINUTE, bytes=10**9)
    assert samples(made, "b", ("d1",)) == 4
    assert not feed(made, HOUR, bytes=10**9, inside=False)
    assert feed(made, HOUR, bytes=10**9, inside=True)


def test_without_by_there_is_one_key() -> None:
    made = matcher("BASELINE b = bytes OF flow EVERY 5m USING robust WARMUP 3", "deviation(b) > 4")
    for bucket in range(6):
        feed(made, bucket * 5 * MINUTE, f"d{bucket % 3}", bytes=100)
    assert samples(made, "b", ()) == 5
    (alert,) = feed(made, HOUR, "new", bytes=10**9)
    assert alert.deviation[0].scope == "fleet"
    assert not alert.deviation[0].peer


def test_a_key_of_several_parts() -> None:
    made = matcher(
        "BASELINE b = bytes OF flow BY device, app, port EVERY 5m USING robust WARMUP 3 PEER app, port",
        "deviation(b) > 4",
    )
    for bucket in range(6):
        feed(made, bucket * 5 * MINUTE, app="a", port=443, bytes=100)
    assert samples(made, "b", ("d1", "a", 443)) == 5
    assert not feed(made, HOUR, app="a", port=80, bytes=10**9)
    assert feed(made, HOUR, "d2", app="a", port=443, bytes=10**9)[0].deviation[0].peer
    # A part of the key is missing: the event feeds nothing, and nothing is answered.
    assert not feed(made, HOUR, "d3", app="a", bytes=10**9)


def test_a_list_is_one_value() -> None:
    made = matcher("BASELINE b = tags OF flow BY device USING novelty", "unseen(b)")
    for event in range(60):
        feed(made, event * 2 * HOUR, tags=["x", "y"])
    assert not feed(made, 5 * DAY, tags=["x", "y"])
    assert feed(made, 5 * DAY, tags=["y", "x"])


def test_a_list_beside_another_value() -> None:
    made = matcher("BASELINE b = tags, port OF flow BY device USING novelty", "unseen(b)")
    for event in range(60):
        feed(made, event * 2 * HOUR, tags=["x", "y"], port=443)
    assert not feed(made, 5 * DAY, tags=["x", "y"], port=443)
    assert feed(made, 5 * DAY, tags=["x"], port=443)
    assert not feed(made, 5 * DAY, tags=["x"], port=443)
    # Half a tuple is no value: nothing is learned, and nothing is answered.
    assert not feed(made, 5 * DAY, tags=["z"])
    assert not feed(made, 5 * DAY, port=80)


def test_a_missing_value_feeds_nothing() -> None:
    for using in ("robust EVERY 5m", "novelty", "prevalence", "cadence", "fanout", "hours"):
        name, *rest = using.split(" ", 1)
        by = "app" if name == "prevalence" else "device"
        made = matcher(f"BASELINE b = bytes OF flow BY {by} {' '.join(rest)} USING {name}", "NOT ready(b)")
        assert len(feed(made, 0, app="a")) == 1
        assert made.baselines.counts()["b"].keys == 0
        feed(made, 1, app="a", bytes=0)
        assert made.baselines.counts()["b"].keys == 1


def test_baselines_of_one_key_share_a_row() -> None:
    made = matcher(
        "BASELINE a = bytes OF flow BY device, app EVERY 5m USING robust PEER app\n"
        "BASELINE b = host OF flow BY device, app USING novelty\n"
        "BASELINE c = bytes OF flow BY app USING robust",
        "ready(a) AND ready(b) AND ready(c)",
    )
    rows = {name: estimator.rows for name, estimator in made.baselines.estimators.items()}
    assert rows["a"] is rows["b"]
    peer = made.baselines.estimators["a"].peer
    assert peer is not None
    assert rows["c"] is peer.rows


def test_a_value_stays_with_its_event() -> None:
    """Late evidence runs the events again; the score is the one of arrival, whatever was learned since."""
    ruleset = dsl.load_text(
        EVENTS
        + """
        BASELINE b = bytes OF flow BY device EVERY 5m USING robust WARMUP 3
        RULE r { WHEN flow [deviation(b) > 4] AS x THEN stop WITHIN 1h RISK deviation(x, b) }
        """
    )
    made = Matcher(ruleset)
    for bucket in range(6):
        feed(made, bucket * 5 * MINUTE, bytes=100)
    feed(made, HOUR, bytes=10**6, id="spike")
    score = 36.8  # (ln(1e6) - ln(100)) / 0.25
    for bucket in range(13, 40):
        feed(made, bucket * 5 * MINUTE, bytes=10**6)
    event = made.decoder.convert({"kind": "stop", "device": "d1", "time": START + HOUR + 1})
    assert event is not None
    (alert,) = made.feed(event)
    assert alert.risk == pytest.approx(score, abs=0.05)


# --- fixtures

TESTED = """
BASELINE sent = bytes OF flow BY device, app EVERY 5m USING robust PEER app
BASELINE hosts = host OF flow BY device, app OVER 14d USING novelty
BASELINE pairs = ip, port OF flow BY device USING novelty
BASELINE share = host OF flow BY app USING prevalence
BASELINE everywhere = ip, port OF flow USING prevalence
BASELINE rhythm = host OF flow BY device, host USING cadence
BASELINE targets = ip OF flow BY device EVERY 10m USING fanout
BASELINE active = app OF flow BY device USING hours
RULE r { WHEN flow [%s] }
TEST "it fires" FOR r { GIVEN %s AT 0s flow { %s } EXPECT ALERT }
TEST "it stays silent" FOR r { GIVEN %s AT 0s flow { %s } EXPECT NONE }
"""


@pytest.mark.parametrize(
    ("condition", "given", "fires", "silent"),
    [
        (
            "deviation(sent) >= 4",
            'sent FOR ("d1", "a") = { center: 5 spread: 0.5 n: 99 }',
            'app: "a" bytes: 1200',
            'app: "a" bytes: 1000',
        ),
        (
            "deviation(sent) >= 4",
            'sent FOR "a" = { center: 5 spread: 0.5 n: 99 }',
            'app: "a" bytes: 1200',
            'app: "a" bytes: 1000',
        ),
        (
            "unseen(hosts)",
            'hosts FOR ("d1", "a") = { seen: ["x.example", "y.example"] }',
            'app: "a" host: "new.example"',
            'app: "a" host: "y.example"',
        ),
        (
            "unseen(pairs)",
            'pairs FOR "d1" = { seen: [["203.0.113.7", 443]] }',
            'ip: "203.0.113.7" port: 80',
            'ip: "203.0.113.7" port: 443',
        ),
        (
            "prevalence(share) < 0.02",
            'share FOR "a" = { "x.bad": 0.001 "x.good": 0.4 devices: 500 }',
            'app: "a" host: "x.bad"',
            'app: "a" host: "x.good"',
        ),
        (
            "prevalence(share) == 0",
            'share FOR "a" = { "x.bad": 0.001 devices: 500 }',
            'app: "a" host: "x.new"',
            'app: "a" host: "x.bad"',
        ),
        (
            "prevalence(everywhere) > 0.1",
            'everywhere = { "203.0.113.7, 443": 0.2 devices: 60 }',
            'ip: "203.0.113.7" port: 443',
            'ip: "203.0.113.7" port: 80',
        ),
        (
            "regularity(rhythm) >= 0.9 AND period(rhythm) == 1m",
            'rhythm FOR ("d1", "x") = { period: 1m regularity: 0.95 }',
            'host: "x"',
            'host: "y"',
        ),
        (
            "fanout(targets) == 20 AND deviation(targets) > 4 AND port == 1",
            'targets FOR "d1" = { now: 19 center: 1.1 spread: 0.3 n: 99 }',
            'ip: "10.0.0.1" port: 1',
            "port: 1",
        ),
        (
            "unusual(active) > 0.998",
            'active FOR "d1" = { active: [9, 10] n: 900 }',
            'app: "a"',
            'host: "x"',
        ),
    ],
)
def test_what_a_test_gives_is_what_the_rule_sees(condition: str, given: str, fires: str, silent: str) -> None:
    ruleset = dsl.load_text(EVENTS + TESTED % (condition, given, fires, given, silent))
    assert not ruleset.errors, ruleset.errors[0]
    found = {result.title: result for result in run_tests(ruleset)}
    assert found["it fires"].outcome == "passed", found["it fires"].lines
    # No event fits: silent, and nothing began.
    assert found["it stays silent"].outcome == "vacuous", found["it stays silent"].lines


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            'sent FOR ("d1", "a") = { center: 5 spread: 0.5 }',
            "a robust baseline is given as { center spread n }, not { center spread }",
        ),
        ('sent FOR ("d1", "a") = { center: "5" spread: 0.5 n: 1 }', "`center` is a number, not below zero"),
        ('hosts FOR ("d1", "a") = { seen: "x" }', "`seen` is a list"),
        (
            'hosts FOR ("d1", "a") = { center: 1 }',
            "a novelty baseline is given as { seen }, not { center }",
        ),
        (
            'share FOR "a" = { "x": 0.5 }',
            'a prevalence baseline is given as { "x.example": 0.001 devices: 500 }',
        ),
        ('share FOR "a" = { "x": 1.5 devices: 60 }', "a share of devices is a number from 0 to 1"),
        ('rhythm FOR ("d1", "x") = { period: 1m regularity: 2 }', "`regularity` is at most 1"),
        ('active FOR "d1" = { active: [24] n: 1 }', "`active` lists hours of the day in UTC, 0 to 23"),
    ],
)
def test_a_state_that_does_not_fit_is_an_error_of_the_file(given: str, said: str) -> None:
    ruleset = dsl.load_text(EVENTS + TESTED % ("port == 1", given, "port: 1", given, "port: 1"))
    assert {(d.code, d.message) for d in ruleset.errors} == {("TW307", said)}


@pytest.mark.parametrize(
    ("declared", "code", "said"),
    [
        ("bytes OF flow BY device EVERY 500ms", "TW301", "EVERY is at least 1s"),
        ("bytes OF flow BY device EVERY 0s", "TW301", "EVERY is at least 1s"),
        ("host OF flow BY device, tags USING novelty", "TW301", "a key is made of single values"),
        ("host OF flow BY device, app USING cadence PEER app", "TW209", "a cadence baseline has no PEER"),
    ],
)
def test_declarations_that_make_no_sense_are_refused(declared: str, code: str, said: str) -> None:
    ruleset = dsl.load_text(f"{EVENTS}BASELINE b = {declared}")
    assert [(d.code, d.message) for d in ruleset.errors] == [(code, said)]


# --- what an alert says


def test_evidence_of_a_value_that_is_new() -> None:
    made = matcher("BASELINE b = ip, port OF flow BY device OVER 14d USING novelty", "unseen(b)")
    for event in range(60):
        feed(made, event * 2 * HOUR, ip="203.0.113.7", port=443)
    (alert,) = feed(made, 5 * DAY, ip="198.51.100.1", port=80)
    (deviation,) = alert.deviation
    assert (deviation.function, deviation.value, deviation.score) == ("unseen", "198.51.100.1, 80", 1.0)
    assert (deviation.scope, deviation.samples, deviation.state) == ("device", 61, "ok")
    assert deviation.age_ms == 5 * DAY
    assert "not seen in 14d" in alert.reason


def test_evidence_of_an_amount() -> None:
    made = matcher(
        "BASELINE b = bytes OF flow BY device, app EVERY 5m USING robust WARMUP 3 PEER app",
        "deviation(b) >= 4",
    )
    for bucket in range(8):
        feed(made, bucket * 5 * MINUTE, app="a", bytes=1_000)
    (alert,) = feed(made, HOUR, "d2", app="a", bytes=10**6)
    (deviation,) = alert.deviation
    assert (deviation.value, deviation.scope, deviation.peer, deviation.state) == (10**6, "fleet", True, "ok")
    assert deviation.centre == pytest.approx(1_000, rel=1e-3)
    assert deviation.expected_low == pytest.approx(606, abs=1)
    assert deviation.expected_high == pytest.approx(1_649, abs=1)
    assert any("too young" in why for why in alert.confidence.why)
