"""What replay, snapshots, tests and partitions rely on: the same input gives the same bytes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from random import Random

import msgspec
from generate import Case, cases
from hypothesis import given, settings
from hypothesis import strategies as st
from running import feed, flat, runnable

import engine

FEWER = settings(max_examples=max(1, settings().max_examples // 3))


@FEWER
@given(cases(), st.randoms(use_true_random=False))
def test_one_by_one_equals_all_at_once(case: Case, random: Random) -> None:
    """Events fed singly, and as one JSON array decoded at once, give the same alerts, byte for byte."""
    ruleset = case.ruleset
    if not runnable(ruleset):
        return
    arrival = case.in_order()
    random.shuffle(arrival)
    singly = [engine.encode(alert) for alert in flat(feed(ruleset, arrival))]
    matcher = engine.Matcher(ruleset)
    payload = msgspec.json.encode([wire for wire, _ in arrival])
    together: list[bytes] = []
    for event, (_, position) in zip(matcher.decoder.decode_payload(payload), arrival, strict=True):
        if event is not None:
            assert isinstance(event, engine.Event)
            together += [engine.encode(alert) for alert in matcher.feed(event, position)]
    together += [engine.encode(alert) for alert in matcher.close()]
    assert together == singly


@FEWER
@given(cases(), st.randoms(use_true_random=False))
def test_a_partition_by_device_equals_one_process(case: Case, random: Random) -> None:
    ruleset = case.ruleset
    if not runnable(ruleset):
        return
    arrival = case.in_order()
    for wire, _ in arrival:
        wire["device"] = f"d{random.randrange(2)}"
    random.shuffle(arrival)
    whole = flat(feed(ruleset, arrival))
    for device in ("d0", "d1"):
        part = flat(feed(ruleset, [pair for pair in arrival if pair[0]["device"] == device]))
        mine = [engine.encode(of_the_device(alert)) for alert in whole if alert.device == device]
        assert [engine.encode(of_the_device(alert)) for alert in part] == mine


def of_the_device(alert: engine.Alert) -> engine.Alert:
    """The alert without what it says of the process: since when types are watched, which of them other
    devices send, and whether a clock that other devices moved had passed an event when it came.
    """
    timing = msgspec.structs.replace(alert.timing, order="")
    known = msgspec.structs.replace(alert.confidence, level="low", why=[])
    return msgspec.structs.replace(alert, gaps=[], confidence=known, timing=timing)


def test_the_salt_of_string_hashes_changes_nothing() -> None:
    script = str(Path(__file__).with_name("encoded.py"))
    answers = set()
    for salt in ("0", "20261122"):
        done = subprocess.run(
            [sys.executable, script, "120"],
            env={**os.environ, "PYTHONHASHSEED": salt},
            capture_output=True,
            text=True,
            check=True,
        )
        answers.add(done.stdout)
    assert len(answers) == 1
    assert int(answers.pop().split()[0]) > 20, "too few alerts to show anything"
