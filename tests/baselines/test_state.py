"""State as bytes: restored at any point, it changes no answer; what does not fit is refused with a
sentence.
"""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dsl
from engine import Matcher
from engine.baselines import Reading
from engine.baselines.declared import STATE_VERSION, Baselines, OtherState

MINUTE = 60_000
START = 1_767_225_600_000
RULES = """
EVENT flow LATE 90d { app: string? host: string? port: int? bytes: int? UNIT bytes }
EVENT stop { app: string? }
BASELINE sent = bytes OF flow BY device, app EVERY 5m USING robust WARMUP 3 PEER app
BASELINE single = bytes OF flow BY device USING robust WARMUP 3
BASELINE hosts = host, port OF flow BY device, app OVER 7d USING novelty PEER app
BASELINE share = host OF flow BY app USING prevalence
BASELINE rhythm = host OF flow BY device, app, host USING cadence
BASELINE targets = host OF flow BY device EVERY 10m USING fanout WARMUP 3
BASELINE active = app OF flow BY device, app USING hours PEER app
BASELINE whole = bytes OF flow EVERY 5m USING robust WARMUP 3
BASELINE stops = app OF stop BY device, app USING hours
RULE r {
  WHEN flow [
      deviation(sent) >= 0 OR deviation(single) >= 0 OR unseen(hosts) OR prevalence(share) < 2
      OR regularity(rhythm) > -9 OR deviation(targets) > -9 OR unusual(active) > 0 OR deviation(whole) > -9
    ]
    THEN stop [unusual(stops) > 0]
    WITHIN 1m
}
"""
NAMES = ("sent", "single", "hosts", "share", "rhythm", "targets", "active", "whole", "stops")


def matcher(text: str = RULES) -> Matcher:
    ruleset = dsl.load_text(text)
    assert not ruleset.errors, ruleset.errors
    made = Matcher(ruleset)
    assert not made.diagnostics
    return made


def readings(made: Matcher, step: tuple[int, int, int, int, int]) -> dict[str, Reading]:
    """Feed an event; what the baselines say of it."""
    time, device, app, host, size = step
    wire: dict[str, Any] = {"kind": "flow", "device": f"d{device}", "time": time}
    if app:
        wire["app"] = f"app{app}"
    if host:
        wire |= {"host": f"h{host}", "port": 443}
    if size:
        wire["bytes"] = size
    event = made.decoder.convert(wire)
    assert event is not None
    made.feed(event)
    said: dict[str, Reading] = {}
    for name, estimator in made.baselines.estimators.items():
        parts = [wire.get(field) for field in estimator.rows.names]
        found = None if None in parts else estimator.rows.find(estimator.rows.key(tuple(parts)))
        if found is not None and estimator.using in ("robust", "fanout", "cadence"):
            said[name] = estimator.reading(found, 1.0, None, time, None)
    return said


STEPS = st.lists(
    st.tuples(
        st.integers(0, 40 * 24 * 60).map(lambda minute: START + minute * MINUTE),
        st.integers(0, 3),
        st.integers(0, 2),
        st.integers(0, 5),
        st.integers(0, 100_000),
    ),
    max_size=80,
)


@settings(deadline=None, max_examples=60)
@given(STEPS, st.integers(0, 80), st.booleans())
def test_restored_anywhere_it_goes_on_as_before(
    steps: list[tuple[int, int, int, int, int]], at: int, in_parts: bool
) -> None:
    one = matcher()
    for step in steps[:at]:
        readings(one, step)
    other = matcher()
    if in_parts:
        for device in one.baselines.devices():
            other.baselines.decode_part(one.baselines.encode_device(device))
        other.baselines.decode_part(one.baselines.encode_fleet())
    else:
        other.baselines.decode(one.baselines.encode())
        assert other.baselines.encode() == one.baselines.encode()
    for step in steps[at:]:
        assert readings(one, step) == readings(other, step)
    for device in one.baselines.devices():
        assert one.baselines.encode_device(device) == other.baselines.encode_device(device)


def test_rows_that_changed_hands_stay_with_their_keys() -> None:
    """Beyond 256 apps of a device rows are used again, so their order is not that of the keys."""
    one = matcher()
    for app in range(1, 300):
        readings(one, (START + app * MINUTE, 1, app, 1, 10 * app))
    other = matcher()
    other.baselines.decode(one.baselines.encode())
    assert one.baselines.counts() == other.baselines.counts()
    assert one.baselines.counts()["sent"].evicted == 299 - 256
    for app in (44, 60, 290, 299, 300):
        step = (START + 301 * MINUTE, 1, app, 1, 500)
        assert readings(one, step) == readings(other, step)


def test_decoding_replaces_what_there_was() -> None:
    one, other = matcher(), matcher()
    readings(one, (START, 1, 1, 1, 100))
    readings(other, (START, 2, 1, 1, 100))
    other.baselines.decode(one.baselines.encode())
    assert list(other.baselines.devices()) == ["d1"]


def test_it_is_the_same_bytes_in_every_process() -> None:
    """No salted hash, no order of a set: two fresh engines agree."""
    first, second = matcher(), matcher()
    for made in (first, second):
        for number in range(200):
            readings(made, (START + number * MINUTE, number % 3, 1 + number % 2, 1 + number % 5, number))
    assert first.baselines.encode() == second.baselines.encode()


def refusal(made: Baselines, state: bytes) -> str:
    with pytest.raises(OtherState) as refused:
        made.decode(state)
    return str(refused.value)


def test_another_version_is_refused() -> None:
    state = msgspec.msgpack.decode(matcher().baselines.encode())
    state[0] = STATE_VERSION + 1
    said = refusal(matcher().baselines, msgspec.msgpack.encode(state))
    assert said == "the state of the baselines is of version 3, this engine reads 2"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("OVER 7d", "OVER 8d"),
        ("WARMUP 3 PEER app", "WARMUP 4 PEER app"),
        ("bytes OF flow EVERY 5m", "bytes + 1 OF flow EVERY 5m"),
        ("EVENT flow LATE", "EVENT flow GRACE 6m LATE"),
    ],
)
def test_state_of_another_declaration_is_refused(old: str, new: str) -> None:
    assert RULES.count(old) == 1
    said = refusal(matcher(RULES.replace(old, new)).baselines, matcher().baselines.encode())
    assert said == "the state is of other BASELINE declarations than those loaded"


def test_a_comment_is_no_other_declaration() -> None:
    matcher("# a comment\n\n" + RULES).baselines.decode(matcher().baselines.encode())


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_damaged_state_is_refused_and_changes_nothing(data: st.DataObject) -> None:
    one = matcher()
    for number in range(20):
        readings(one, (START + number * MINUTE, number % 3, 1, 1 + number % 5, number))
    state = bytearray(one.baselines.encode())
    cut = data.draw(st.integers(0, len(state) - 1))
    other = matcher()
    readings(other, (START, 7, 1, 1, 9))
    before = other.baselines.encode()
    with pytest.raises(OtherState):
        other.baselines.decode(bytes(state[:cut]))
    assert other.baselines.encode() == before


def test_values_that_are_cut_short_are_refused() -> None:
    one = matcher()
    readings(one, (START, 1, 1, 1, 9))
    state = msgspec.msgpack.decode(one.baselines.encode())
    of_devices = next(store for store in state[2] if store[1] and any(store[1][0][4]))
    held = of_devices[1][0][4]
    at = next(i for i, value in enumerate(held) if isinstance(value, bytes) and len(value) == 12)
    held[at] = held[at][:11]
    said = refusal(matcher().baselines, msgspec.msgpack.encode(state))
    assert said == "the state of the baselines is damaged"
