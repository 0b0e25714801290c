"""The streams that the benchmarks measure on: the same every time, in order, with what they promise."""

import json
from collections.abc import Callable, Iterator
from itertools import pairwise

import pytest

from benchmarks.brute_force import Pair, latest_pairs
from benchmarks.generate import flows, mobile
from benchmarks.works import w1

EVENTS = 20_000
Lines = Callable[[int, int], Iterator[bytes]]
both = pytest.mark.parametrize("lines", [flows.lines, mobile.lines])


@both
def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(lines: Lines) -> None:
    assert list(lines(2_000, 3)) == list(lines(2_000, 3)) != list(lines(2_000, 4))


@both
def test_a_shorter_stream_is_the_beginning_of_a_longer_one(lines: Lines) -> None:
    assert list(lines(3_000, 1))[:1_000] == list(lines(1_000, 1))


@both
def test_times_rise_and_are_unique_and_so_are_ids(lines: Lines) -> None:
    events = [json.loads(line) for line in lines(EVENTS, 1)]
    assert len(events) == EVENTS
    assert all(one["time"] < other["time"] for one, other in pairwise(events))
    assert len({event["id"] for event in events}) == EVENTS


def test_flow_events_have_twelve_fields_and_the_size_that_the_page_says() -> None:
    made = list(flows.lines(EVENTS, 1))
    assert {len(json.loads(line)) for line in made} == {12}
    assert 225 <= sum(map(len, made)) / EVENTS <= 245


def test_pairs_at_the_window_match_and_those_a_millisecond_beyond_do_not() -> None:
    made = list(flows.lines(3 * EVENTS, 1))
    events = {event["time"]: event for event in map(json.loads, made)}
    gaps: dict[str, list[int]] = {}
    for event in events.values():
        if event["device"].startswith("edge-"):
            gaps.setdefault(event["device"], []).append(event["time"])
    whole = {device: times[1] - times[0] for device, times in gaps.items() if len(times) == 2}
    inside = {device for device in whole if device.startswith("edge-in-")}
    outside = {device for device in whole if device.startswith("edge-out-")}
    assert inside
    assert outside
    assert {whole[device] for device in inside} == {flows.WINDOW_MS}
    assert {whole[device] for device in outside} == {flows.WINDOW_MS + 1}
    matched = {events[second]["device"] for _, _, second in latest_pairs(made, [w1.PAIR])}
    assert inside <= matched
    assert not outside & matched


def test_the_brute_force_reads_as_the_language_says() -> None:
    """Three firsts and two seconds: the second event completes all that wait, and they are used up."""

    def flow(time: int, app: str = "a") -> bytes:
        event = {"kind": "net.flow", "device": "d", "time": time, "app": app, "score": 5, "port": 1}
        return json.dumps(event).encode()

    def crash(time: int) -> bytes:
        return json.dumps({"kind": "app.crash", "device": "d", "time": time, "app": "a"}).encode()

    pair = Pair(score=4, port=None, kinds=("app.crash",), window_ms=10, by=("device", "app"))
    lines = [flow(1), flow(3), flow(4, "b"), crash(5), crash(6), flow(7), crash(17), flow(18), crash(29)]
    assert latest_pairs(lines, [pair]) == [(0, 3, 5), (0, 7, 17)]
