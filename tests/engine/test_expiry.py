"""Devices that never return are forgotten, and nothing that can still matter is (engine/expiry.py)."""

from __future__ import annotations

from random import Random

import msgspec
import pytest

import dsl
import engine

MINUTE, HOUR = 60_000, 3_600_000
RULES = """
EVENT a GRACE 1m LATE 1h { app: string? }
EVENT b GRACE 1m LATE 1h { app: string? }
EVENT other GRACE 1m LATE 1h { app: string? }
RULE pair { WHEN a THEN b WITHIN 10m UNLESS other WITHIN 30m BEFORE }
"""
KEPT_MS = 40 * MINUTE + HOUR + MINUTE


def feed(matcher: engine.Matcher, kind: str, device: str, time: int, id_: str = "") -> list[engine.Alert]:
    event = {"kind": kind, "device": device, "time": time} | ({"id": id_} if id_ else {})
    return matcher.feed_json(msgspec.json.encode(event))


def devices(matcher: engine.Matcher, rule: str = "pair") -> int:
    return matcher.rule_counts()[rule].devices


def test_a_device_that_never_returns_is_forgotten() -> None:
    matcher = engine.Matcher(dsl.load_text(RULES))
    for number in range(1000):
        feed(matcher, "a", f"d{number}", number)
    assert devices(matcher) == 1000
    for minute in range(6 * 60):
        feed(matcher, "a", "alive", minute * MINUTE)
    assert devices(matcher) == 1


def test_nothing_is_forgotten_that_a_late_event_may_meet() -> None:
    matcher = engine.Matcher(dsl.load_text(RULES))
    feed(matcher, "a", "d1", 0)
    for minute in range(62):
        feed(matcher, "b", "alive", minute * MINUTE)
    assert len(feed(matcher, "b", "d1", 61 * MINUTE - HOUR)) == 1


def test_memory_is_bounded_by_the_live_devices() -> None:
    matcher = engine.Matcher(dsl.load_text(RULES))
    most = 0
    for step in range(200):
        now = step * 5 * MINUTE
        for number in range(20):
            feed(matcher, "a", f"step {step} device {number}", now)
        most = max(most, devices(matcher))
    # Twenty new ones in five minutes, kept for KEPT_MS and at most an eighth longer.
    assert most <= 20 * (KEPT_MS * 9 / 8 / (5 * MINUTE) + 2)


def test_a_returning_device_starts_anew_and_old_events_are_counted() -> None:
    matcher = engine.Matcher(dsl.load_text(RULES))
    feed(matcher, "a", "d1", 0)
    for minute in range(6 * 60):
        feed(matcher, "a", "alive", minute * MINUTE)
    now = 6 * 60 * MINUTE
    feed(matcher, "a", "d1", now)
    assert len(feed(matcher, "b", "d1", now + MINUTE)) == 1
    # Of its own type it is not too late, for that was never heard of; but what it would meet is gone.
    assert feed(matcher, "other", "d1", 5 * MINUTE) == []
    assert [(w.rule, w.device, w.count) for w in matcher.cap_warnings()] == [("pair", "d1", 1)]
    assert matcher.cap_warnings() == []


def test_a_device_that_waits_for_a_clock_is_kept() -> None:
    rules = "EVENT a GRACE 1m LATE 1h {} EVENT b {} RULE dark { WHEN a THEN NO b FOR 15m }"
    matcher = engine.Matcher(dsl.load_text(rules))
    feed(matcher, "a", "d1", 0)
    for minute in range(6 * 60):
        feed(matcher, "a", "alive", minute * MINUTE)
    assert devices(matcher, "dark") == 2
    assert {alert.device for alert in matcher.close()} == {"d1", "alive"}


@pytest.mark.parametrize("seed", range(20))
def test_expiry_changes_no_answer(seed: int) -> None:
    """Against the same rules with a LATE that keeps everything."""
    random = Random(seed)
    events = []
    now = 0
    for number in range(600):
        now += random.choice([0, 1, 10, 3 * MINUTE, 25 * MINUTE])
        kind = random.choice(["a", "a", "b", "b", "other"]) if random.random() < 0.9 else "other"
        late = random.choice([0, 0, 0, 5 * MINUTE, 30 * MINUTE])
        events.append((kind, f"d{random.randrange(6)}", max(0, now - late), f"e{number}"))

    def answer(rules: str) -> list[bytes]:
        matcher = engine.Matcher(dsl.load_text(rules))
        said = [alert for event in events for alert in feed(matcher, *event)]
        assert all(not counts.dropped for counts in matcher.rule_counts().values())
        return [msgspec.json.encode((a.id, a.activity, a.revision, a.time)) for a in said]

    found = answer(RULES)
    assert found == answer(RULES.replace("LATE 1h", "LATE 100d"))
    assert found


def test_suppress_lives_as_long_as_it_says() -> None:
    """Longer than the rule looks back, though nothing comes from the device and others are swept."""
    rules = dsl.load_text(
        """
        EVENT ping LATE 0s GRACE 0s { host: string }
        RULE twice { WHEN ping [host == "a"] THEN ping [host == "b"] WITHIN 10s SUPPRESS 24h }
        """
    )

    def ping(device: str, second: int, host: str) -> bytes:
        return f'{{"kind":"ping","device":"{device}","time":{second * 1000},"host":"{host}"}}'.encode()

    def pair(second: int) -> int:
        matcher.feed_json(ping("d", second, "a"))
        return len(matcher.feed_json(ping("d", second + 1, "b")))

    matcher = engine.Matcher(rules)
    assert pair(0) == 1
    for second in range(10, 90_000, 100):
        matcher.feed_json(ping("other", second, "a"))
        if second == 43_210:
            assert pair(second + 1) == 0
    assert matcher.rule_counts()["twice"].suppressed == 1
    assert pair(90_000) == 1
    for second in range(200_000, 300_000, 100):
        matcher.feed_json(ping("other", second, "c"))
    assert matcher.rule_counts()["twice"].devices == 0
