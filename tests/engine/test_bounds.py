"""Memory is bounded by the devices that live, and one device cannot cost the others: the short forms of
benchmarks/soak.py and benchmarks/flood.py, and the caps one by one.
"""

from __future__ import annotations

import msgspec
import pytest

import dsl
import engine
from benchmarks import flood, soak, state
from engine.automaton import MAX_CHOICES
from engine.rule_runtime import MAX_KEPT
from engine.search import MAX_INDEXED

TRIM_EVERY = 64
RULES = """
EVENT a GRACE 1s LATE 1m { x: int? }
EVENT b GRACE 1s LATE 1m { x: int? }
EVENT g GRACE 1s LATE 1m {}
RULE pair { WHEN a AS s THEN b [x == s.x] WITHIN 1h }
RULE many { WHEN AT LEAST 3 a IN 10m }
RULE quiet { WHEN a THEN NO g FOR 10m }
"""


def feed(matcher: engine.Matcher, kind: str, device: str, time: int, **more: object) -> list[engine.Alert]:
    event = {"kind": kind, "device": device, "time": time, **more}
    return matcher.feed_json(msgspec.json.encode(event))


@pytest.fixture(scope="module")
def short_soak() -> soak.Soak:
    return soak.run("short")


def test_a_soak_finds_what_an_independent_count_finds(short_soak: soak.Soak) -> None:
    assert short_soak.found == short_soak.expected
    assert min(short_soak.expected.values()) > 50, "too few alerts to show anything"
    assert short_soak.wrong == []


def test_a_soak_ends_with_the_devices_that_live(short_soak: soak.Soak) -> None:
    """Half of them leave; the states they had are gone, and so is what was kept of them."""
    all_of_them, *_, left = short_soak.phases
    assert all_of_them.devices["dark"] > 0.99 * short_soak.devices
    assert left.devices["dark"] == short_soak.live == short_soak.devices // 2
    assert left.state is not None
    assert left.state.of_type["Kept"] <= short_soak.most_kept
    assert left.state.of_type["DeviceState"] == sum(left.devices.values())


def test_a_soak_sees_a_wrong_count(short_soak: soak.Soak) -> None:
    """The checks can fail: a count that is off by one, a device too many, an event too many kept."""
    last = short_soak.phases[-1].state
    assert last is not None
    found = {**short_soak.found, "chain": short_soak.found["chain"] + 1}
    bad = msgspec.structs.replace(short_soak, found=found, most_kept=0)
    assert len(soak._wrong(bad, last, heard=0)) == 5


def test_a_flood_stays_within_its_caps_and_touches_no_one_else() -> None:
    result = flood.run("short")
    assert result.wrong == []
    assert result.without.alerts == result.with_it.alerts > 20
    assert result.without.digest == result.with_it.digest
    assert sum(result.with_it.dropped.values()) > 0
    assert result.flooders_alerts > 0


@pytest.mark.parametrize(("rule", "most"), [("pair", MAX_KEPT + MAX_CHOICES), ("many", MAX_INDEXED)])
def test_what_is_kept_of_a_device_is_capped(rule: str, most: int) -> None:
    """All within the time that the rule keeps; the warning names rule and device."""
    head, *_ = RULES.partition("RULE")
    (text,) = [line for line in RULES.splitlines() if line.startswith(f"RULE {rule} ")]
    matcher = engine.Matcher(dsl.load_text(head + text))
    for number in range(most + 1_000):
        feed(matcher, "a", "noisy", 1_000 + number, id=f"e{number}", x=number)
    feed(matcher, "a", "calm", 1_000, x=1)
    assert state.measure(matcher).of_type["Kept"] <= most + TRIM_EVERY + 1
    warnings = matcher.cap_warnings()
    assert {(w.rule, w.device) for w in warnings} == {(rule, "noisy")}
    assert sum(w.count for w in warnings) == matcher.rule_counts()[rule].dropped >= 900
    assert matcher.cap_warnings() == []


@pytest.mark.parametrize(
    "rule",
    [
        "BY device, k WHEN a THEN a WITHIN 1m",
        "BY device, k WHEN AT LEAST 3 a IN 1m",
        "WHEN a THEN NO g FOR 1m",
        "WHEN a",
    ],
)
def test_values_waits_and_alerts_of_a_device_are_capped(rule: str) -> None:
    """As many as a flood likes within the time that the rule keeps: no value comes twice."""
    rules = f"EVENT a LATE 1m {{ k: string }} EVENT g {{}} RULE r {{ {rule} }}"
    matcher = engine.Matcher(dsl.load_text(rules))
    for number in range(most := MAX_INDEXED + MAX_KEPT):
        feed(matcher, "a", "noisy", 1_000 + number, k=f"value {number}")
    assert state.measure(matcher).of_type["Kept"] < most


def test_keys_of_a_device_go_with_their_time() -> None:
    """A value that never comes back is forgotten, as a device is."""
    rules = "EVENT a LATE 1m GRACE 1s { k: string } RULE r { BY device, k WHEN a THEN a WITHIN 1m }"
    matcher = engine.Matcher(dsl.load_text(rules))
    for number in range(20_000):
        feed(matcher, "a", "d1", number * 1_000, k=f"value {number}")
    # Two minutes of events, one a second, and what is not looked at yet.
    assert state.measure(matcher).of_type["Kept"] <= 2 * 121 + 2 * TRIM_EVERY


def test_the_walk_over_the_state_counts_what_is_there() -> None:
    matcher = engine.Matcher(dsl.load_text(RULES))
    before = state.measure(matcher)
    assert before.of_type["Kept"] == before.of_type["DeviceState"] == 0
    for number in range(10):
        feed(matcher, "a", f"d{number}", 1_000, x=1)
    after = state.measure(matcher)
    assert after.of_type["DeviceState"] == 30
    assert after.of_type["Kept"] == 30
    assert after.bytes > before.bytes + 30 * 200
    assert after.resident > 1 << 20
