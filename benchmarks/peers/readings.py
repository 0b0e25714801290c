"""How many matches there are in each peer's own reading of "a, then b within t": all pairs looked at.

Engines differ in what they count, so each is held against its own reading and none against ours:

- ``all``: every pair.
- ``first``: every first event with the first second event after it.
- ``asof``: every second event that has a first event before it.
- ``latest``: ours and Elastic's; ``benchmarks.brute_force``.
"""

from __future__ import annotations

import json

from benchmarks.brute_force import Pair, bursts, latest_pairs
from benchmarks.generate.flows import BURST, BURST_MS, BURST_WINDOW_MS, DEVIATION

Places = dict[tuple[str, ...], tuple[list[int], list[int]]]
"""By key the times of first and of second events."""


def expected(work: str, lines: list[bytes], pairs: list[Pair], reading: str) -> int:
    """The right number for a work, whose rules are ``pairs`` unless it is W2."""
    if work == "w2":
        return len(bursts(lines)) if reading == "latest" else all_bursts(lines)
    if reading == "latest":
        return len(latest_pairs(lines, pairs))
    events = [json.loads(line) for line in lines]
    return sum(_count(_places(events, pair), pair.window_ms, reading) for pair in pairs)


def _places(events: list[dict[str, object]], pair: Pair) -> Places:
    found: Places = {}
    for event in events:
        kind = event["kind"]
        if kind == "net.flow":
            if float(str(event["score"])) < pair.score or pair.port not in (None, event["port"]):
                continue
        elif kind not in pair.kinds:
            continue
        place = found.setdefault(tuple(str(event[field]) for field in pair.by), ([], []))
        place[kind != "net.flow"].append(int(str(event["time"])))
    return found


def _count(places: Places, window_ms: int, reading: str) -> int:
    count = 0
    for firsts, seconds in places.values():
        pairs = [(a, b) for a in firsts for b in seconds if a < b <= a + window_ms]
        if reading == "all":
            count += len(pairs)
        else:
            count += len({a if reading == "first" else b for a, b in pairs})
    return count


def all_bursts(lines: list[bytes]) -> int:
    """W2 with every choice of a burst's end, a crash and a change of the security context."""
    of_key: dict[tuple[str, str], dict[str, list[int]]] = {}
    for event in map(json.loads, lines):
        if event["kind"] != "net.flow" or event["score"] >= DEVIATION:
            kinds = of_key.setdefault((event["device"], event["app"]), {})
            kinds.setdefault(event["kind"], []).append(event["time"])
    count = 0
    for kinds in of_key.values():
        flows = kinds.get("net.flow", [])
        for number in range(BURST - 1, len(flows)):
            last, first = flows[number], flows[number - BURST + 1]
            if last - first > BURST_MS:
                continue
            for crash in kinds.get("app.crash", []):
                for end in kinds.get("security.context", []):
                    count += last < crash < end <= first + BURST_WINDOW_MS
    return count
