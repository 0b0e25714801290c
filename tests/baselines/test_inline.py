"""The code in place of calls (engine/baselines/inline.py) answers and learns as the calls do."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from one import DAY, HOUR, MINUTE

import dsl
from engine import Matcher
from engine.baselines import Reading, inline, novelty, observing, prevalence, rows
from engine.baselines.inline import Common
from engine.codegen import Emitter, Places, compile_function
from engine.events import Event

START = 1_767_225_600_000
RULES = """
EVENT flow LATE 90d {
  app: string? host: string? port: int? bytes: int? UNIT bytes ratio: float? tags: LIST OF string? ok: bool?
}
EVENT stop { app: string? }
BASELINE sent = bytes OF flow BY device, app EVERY 5m USING robust WARMUP 3 PEER app
BASELINE filtered = port OF flow [ok] BY device, app EVERY 7m USING robust WARMUP 3
BASELINE quick = bytes OF flow BY device, app EVERY 30s USING robust WARMUP 3
BASELINE parts = ratio OF flow BY device, app EVERY 5m USING robust WARMUP 3 PEER app
BASELINE single = bytes OF flow BY device USING robust WARMUP 3
BASELINE whole = bytes OF flow EVERY 5m USING robust WARMUP 3
BASELINE hosts = host, port OF flow BY device, app OVER 7d USING novelty PEER app
BASELINE near = host OF flow BY device, app, port OVER 1h USING novelty PEER device, app
BASELINE short = host OF flow BY device OVER 20m USING novelty
BASELINE ports = port OF flow BY app OVER 40h USING novelty
BASELINE share = host OF flow BY app OVER 6h USING prevalence
BASELINE of port = host OF flow BY app, port OVER 2d USING prevalence PEER app
BASELINE tagged = tags OF flow OVER 2d USING prevalence
BASELINE rhythm = host OF flow BY device, app, host USING cadence
BASELINE targets = host OF flow BY device EVERY 10m USING fanout WARMUP 3
BASELINE many = port OF flow BY device, app EVERY 1h USING fanout WARMUP 3 PEER app
BASELINE active = app OF flow BY device, app USING hours PEER app
BASELINE hourly = app OF flow BY device EVERY 1h USING hours
BASELINE usual = app OF flow BY device, app EVERY 1h USING hours PEER app
RULE r { WHEN flow [deviation(sent) >= 0] THEN stop WITHIN 1m }
"""
Observe = Callable[[Event], dict[str, Reading]]


def made() -> tuple[Matcher, Observe]:
    """An engine that learns all baselines, and what they say of an event."""
    ruleset = dsl.load_text(RULES)
    assert not ruleset.errors, ruleset.errors
    matcher = Matcher(ruleset, also_learn=list(ruleset.baselines))
    emitter = Emitter(matcher.plan.lists)
    code = observing.observing("flow", matcher.baselines, emitter, Places(event="e"))
    source = ["def observe(e):", "    time = e.time", *code.lines, f"    return {code.readings}", ""]
    return matcher, compile_function("observe", "\n".join(source), emitter.names)


class Stream:
    """Events in which everything happens: late ones, missing fields, ranges, sightings, pauses."""

    def __init__(self, seed: int, devices: int, hosts: int, step: int, late: int) -> None:
        self.random = random.Random(seed)
        self.devices, self.hosts, self.step, self.late = devices, hosts, step, late
        self.time = START

    def next(self) -> dict[str, Any]:
        draw = self.random
        self.time += draw.randrange(self.step) + (draw.randrange(40 * DAY) if draw.random() < 0.001 else 0)
        time = self.time - (draw.randrange(self.late) if draw.random() < 0.2 else 0)
        wire: dict[str, Any] = {"kind": "flow", "device": f"d{draw.randrange(self.devices)}", "time": time}
        fields: dict[str, Any] = {
            "app": f"a{draw.randrange(3)}",
            "host": f"h{int(draw.random() ** 2 * self.hosts)}",
            "port": 440 + draw.randrange(3),
            "bytes": draw.choice([draw.randrange(1_000), 5, 7, 0, -3, 2**62, 10**7]),
            "ratio": draw.random() * draw.choice([1, -1, 5, 1e200]),
            "tags": [f"t{draw.randrange(4)}" for _ in range(draw.randrange(3))],
            "ok": draw.random() < 0.7,
        }
        wire |= {name: value for name, value in fields.items() if draw.random() < 0.85}
        quality = draw.choice([None, None, None, "exact", "interval", "first_last"])
        if quality is not None:
            wire["quality"] = quality
        if quality == "interval":
            wire["start"] = time - draw.randrange(20 * MINUTE)
        return wire


@pytest.mark.parametrize(
    ("seed", "devices", "hosts", "step", "late"),
    [
        (1, 2, 12, 20_000, 10 * MINUTE),
        (2, 3, 300, 5 * MINUTE, HOUR),
        (3, 90, 8, 2_000, MINUTE),
        (4, 70, 2_500, 500, 100),
    ],
)
@pytest.mark.parametrize("most", [rows.MAX_LIVE, 12])
def test_both_ways_agree(
    seed: int, devices: int, hosts: int, step: int, late: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    fast, in_place = made()
    with monkeypatch.context() as patch:
        patch.setattr(observing, "commonest", lambda *_: None)
        slow, by_calls = made()
    # Rows that are packed and made live again and again know the same.
    monkeypatch.setattr(rows, "MAX_LIVE", most)
    # So few that some are dropped and come again.
    monkeypatch.setattr(prevalence, "MOST_VALUES", 6)
    monkeypatch.setattr(novelty, "MOST_VALUES", 6)
    monkeypatch.setattr(novelty, "MOST_SHARED", 9)
    monkeypatch.setattr(prevalence, "MOST_KNOWN", 60)
    stream = Stream(seed, devices, hosts, step, late)
    for number in range(1_500):
        wire = stream.next()
        event = fast.decoder.convert(wire)
        assert event is not None
        assert in_place(event) == by_calls(event), wire
        if number % 97 == 0:
            assert fast.baselines.forget(stream.time) == slow.baselines.forget(stream.time)
    assert fast.baselines.encode() == slow.baselines.encode()
    assert fast.baselines.counts() == slow.baselines.counts()


@pytest.mark.parametrize("name", ["sent", "short", "share", "targets", "hourly", "hosts"])
def test_the_commonest_case_needs_no_call(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second of two equal events in a minute is taken without one."""
    tests: dict[str, Common] = {}
    commonest = inline.commonest

    def noted(baseline: Any, *arguments: Any) -> Common | None:
        found = commonest(baseline, *arguments)
        if found is not None:
            tests[baseline.name] = found
        return found

    monkeypatch.setattr(observing, "commonest", noted)
    matcher, observe = made()
    wire = {"kind": "flow", "device": "d", "time": START, "app": "a", "host": "h", "port": 1, "bytes": 9}
    event = matcher.decoder.convert(wire)
    assert event is not None
    observe(event)
    called = [f"observe_{name}", f"take_{name}", f"observe_known_{name}", f"add_{name}"]
    names = observe.__globals__  # type: ignore[attr-defined]  # a function
    assert name in tests
    for one in called:
        if one in names:
            monkeypatch.setitem(names, one, None)
    observe(event)


def test_what_is_remembered_is_forgotten_with_the_state() -> None:
    matcher, observe = made()
    empty = matcher.baselines.encode()
    said = []
    for _ in range(2):
        for device in range(60):
            wire = {"kind": "flow", "device": f"d{device}", "time": START, "app": "a", "host": "h", "port": 1}
            event = matcher.decoder.convert(wire)
            assert event is not None
            said.append(observe(event))
        matcher.baselines.decode(empty)
    assert said[:60] == said[60:]


def test_a_late_event_of_the_half_before_is_answered_by_what_is_known_now(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """``share`` looks back six hours in two halves; the value was common in the first and is rare since."""
    fast, in_place = made()
    with monkeypatch.context() as patch:
        patch.setattr(observing, "commonest", lambda *_: None)
        _, by_calls = made()
    half = 3 * HOUR
    begin = START - START % half
    events = [(begin, device, "h") for device in range(90)]
    events += [(begin + half, device, "h" if device < 30 else "x") for device in range(90)]
    events += [(begin + 2 * half, 90, "x"), (begin + half, 0, "h")]
    for time, device, host in events:
        event = fast.decoder.convert(
            {"kind": "flow", "device": f"d{device}", "time": time, "app": "a", "host": host}
        )
        assert event is not None
        said = in_place(event)
        assert said == by_calls(event)
    assert said["share"].score == pytest.approx(30 / 91, rel=0.1)
