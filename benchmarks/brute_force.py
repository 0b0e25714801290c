"""The right number of matches, found by looking at every pair: slow, and shares nothing with the engine.

The reading is that of SELECT LATEST for two steps, which is also EQL's: every first event starts a run; a
second event completes all runs of its key that are within the window and not used up; together they are one
match, of the latest of them, and all are used up.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec

from benchmarks.generate.flows import BURST, BURST_MS, BURST_WINDOW_MS, DEVIATION

Found = tuple[int, int, int]
"""Which pair, the time of the first event, the time of the second. Times are unique in these streams."""


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    """A flow with at least this score (and this port), then one of these kinds, with equal ``by`` fields."""

    score: float
    port: int | None
    kinds: tuple[str, ...]
    window_ms: int
    by: tuple[str, ...]


def latest_pairs(lines: list[bytes], wanted: list[Pair]) -> list[Found]:
    """All matches of all pairs in a stream whose events are in order, in order of pair and completion."""
    lowest = min(pair.score for pair in wanted)
    kinds = {kind for pair in wanted for kind in pair.kinds}
    flows: list[dict[str, Any]] = []
    seconds: list[dict[str, Any]] = []
    for event in map(json.loads, lines):
        if event["kind"] == "net.flow" and event["score"] >= lowest:
            flows.append(event)
        elif event["kind"] in kinds:
            seconds.append(event)
    # Splitting by device first keeps the loops below bearable; they compare every pair within a device.
    by_device: dict[str, list[dict[str, Any]]] = {}
    for event in seconds:
        by_device.setdefault(event["device"], []).append(event)
    found: list[Found] = []
    for number, pair in enumerate(wanted):
        firsts = [f for f in flows if f["score"] >= pair.score and pair.port in (None, f["port"])]
        used: set[int] = set()
        matches: list[Found] = []
        for device in dict.fromkeys(first["device"] for first in firsts):
            of_device = [first for first in firsts if first["device"] == device]
            for second in by_device.get(device, ()):
                if second["kind"] not in pair.kinds:
                    continue
                complete = [
                    first["time"]
                    for first in of_device
                    if all(first[field] == second[field] for field in pair.by)
                    and first["time"] < second["time"] <= first["time"] + pair.window_ms
                    and first["time"] not in used
                ]
                if complete:
                    used.update(complete)
                    matches.append((number, max(complete), second["time"]))
        found += sorted(matches, key=lambda match: match[2])
    return found


def bursts(lines: list[bytes]) -> list[tuple[int, int]]:
    """All matches of W2 in a stream whose events are in order: when the latest burst ended, and the match.

    Every deviation that is the fifth or a later one within ten minutes completes a burst, and begins a run.
    It
    completes at the first change of the security context with a crash between, half an hour or less after the
    fifth deviation before the burst's end. Runs that complete at one event are one match.
    """
    of_key: dict[tuple[str, str], dict[str, list[int]]] = {}
    for event in map(json.loads, lines):
        if event["kind"] != "net.flow" or event["score"] >= DEVIATION:
            kinds = of_key.setdefault((event["device"], event["app"]), {})
            kinds.setdefault(event["kind"], []).append(event["time"])
    found: list[tuple[int, int]] = []
    for kinds in of_key.values():
        flows, crashes = kinds.get("net.flow", []), kinds.get("app.crash", [])
        runs = [
            (flows[number], flows[number - BURST + 1])
            for number in range(BURST - 1, len(flows))
            if flows[number] - flows[number - BURST + 1] <= BURST_MS
        ]
        used: set[int] = set()
        for end in kinds.get("security.context", []):
            complete = [
                whole
                for whole, first in runs
                if whole not in used
                and end - first <= BURST_WINDOW_MS
                and any(whole < crash < end for crash in crashes)
            ]
            if complete:
                used.update(complete)
                found.append((max(complete), end))
    return sorted(found, key=lambda match: match[1])
