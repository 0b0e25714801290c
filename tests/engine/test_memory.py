"""What is kept of many devices is kept once where it can be, and little of it is tracked by the collector."""

from __future__ import annotations

import gc

import dsl
from engine import Matcher
from engine.pair import Pair

EVENTS = """
EVENT flow { app: string score: float }
EVENT crash { app: string }
"""
RULES = (
    EVENTS
    + """
RULE one { BY device, app WHEN flow [score > 4] THEN crash WITHIN 5m }
RULE two { BY device, app WHEN flow [score > 8] THEN crash WITHIN 5m }
"""
)
BASELINES = """
EVENT flow { app: string sent: int domain: string }
BASELINE sent = sent OF flow BY device, app EVERY 5m USING robust
BASELINE domains = domain OF flow BY device, app USING novelty
BASELINE hours = sent OF flow BY device EVERY 1h USING hours
BASELINE all domains = domain OF flow BY device USING novelty
"""
DEVICES = 400


def _flow(device: int, time: int, score: float, app: str = "a") -> bytes:
    return b'{"kind":"flow","device":"d%d","time":%d,"app":"%s","score":%.1f}' % (
        device,
        time,
        app.encode(),
        score,
    )


def _tracked() -> int:
    # Twice: a tuple is let go of when what it holds has been.
    gc.collect()
    gc.collect()
    return len(gc.get_objects())


def test_of_a_device_that_waits_only_the_list_of_its_events_is_tracked() -> None:
    matcher = Matcher(dsl.load_text(RULES))
    matcher.feed_json(_flow(0, 1_000, 9.0))
    before = _tracked()
    for device in range(1, DEVICES + 1):
        matcher.feed_json(_flow(device, 1_000, 9.0))
    assert _tracked() - before <= DEVICES + 20


def test_of_a_device_whose_baselines_rest_nothing_is_tracked() -> None:
    ruleset = dsl.load_text(BASELINES)
    matcher = Matcher(ruleset, also_learn=tuple(ruleset.baselines))

    def feed(device: int) -> None:
        for number in range(4):
            wire = b'{"kind":"flow","device":"d%d","time":%d,"app":"a%d","sent":%d,"domain":"x%d"}'
            matcher.feed_json(wire % (device, 1_000 + 300_000 * number, number % 2, 5 * device, number))

    def rest() -> None:
        # As when others have taken their place among the rows in use.
        matcher.baselines.begin_cut()
        for rows in matcher.baselines._stores.values():
            while rows._older:
                rows.settle(10 * DEVICES)

    feed(0)
    rest()
    before = _tracked()
    for device in range(1, DEVICES + 1):
        feed(device)
    live = _tracked() - before
    rest()
    # Some rows are kept empty, to be used again: a number that does not grow with the devices.
    spare = sum(len(rows._rested) for rows in matcher.baselines._stores.values())
    assert _tracked() - before - spare <= 30
    assert live > 3 * DEVICES


def test_one_rule_at_work_is_the_same_set_on_all_devices_and_two_are_not() -> None:
    matcher = Matcher(dsl.load_text(RULES))
    for device in (1, 2, 3):
        matcher.feed_json(_flow(device, 1_000, 5.0))
    matcher.feed_json(_flow(3, 2_000, 9.0))
    one, other, both = (matcher.logs.logs[f"d{device}"] for device in (1, 2, 3))
    assert one.states is other.states
    assert one.active is other.active
    assert (list(one.states), list(both.states), list(both.active)) == ([0], [0, 1], [0, 1])
    both.rest(0)
    assert (list(both.states), list(both.active), list(one.active)) == ([0, 1], [1], [0])
    both.end(1, 0)
    assert (list(both.states), list(both.active), list(one.states)) == ([0], [], [0])


def test_the_name_of_a_device_is_kept_once() -> None:
    matcher = Matcher(dsl.load_text(RULES))
    matcher.feed_json(_flow(1, 1_000, 5.0))
    matcher.feed_json(_flow(1, 2_000, 5.0))
    matcher.feed_json(b'{"kind":"crash","device":"d1","time":3000,"app":"b"}')
    matcher.feed_json(b'{"kind":"crash","device":"d2","time":3000,"app":"b"}')
    matcher.feed_json(b'{"kind":"crash","device":"d2","time":4000,"app":"b"}')
    for log, events in zip(matcher.logs.logs.values(), (3, 2), strict=True):
        assert [entry.event.device is log.device for entry in log.entries] == [True] * events


def test_a_pair_holds_several_keys_in_their_order() -> None:
    matcher = Matcher(dsl.load_text(RULES))
    for number, app in enumerate(("a", "b", "c")):
        matcher.feed_json(_flow(1, 1_000 + number, 5.0, app))
    pair = matcher.runtimes[0].devices["d1"].automaton
    assert isinstance(pair, Pair)
    assert [key for key, _ in pair.keys.items()] == [("a",), ("b",), ("c",)]
    found = matcher.feed_json(b'{"kind":"crash","device":"d1","time":2000,"app":"b"}')
    assert [alert.key["app"] for alert in found] == ["b"]
    assert list(pair.keys) == [("a",), ("c",)]
    pair.forget(301_001)
    assert list(pair.keys) == [("c",)]
    pair.forget(400_000)
    assert not pair.keys
    assert not pair.waits
    matcher.feed_json(_flow(1, 500_000, 5.0, "z"))
    again = Matcher(dsl.load_text(RULES))
    again.restore(matcher.snapshot())
    assert again.snapshot() == matcher.snapshot()
    assert len(again.feed_json(b'{"kind":"crash","device":"d1","time":500001,"app":"z"}')) == 1
