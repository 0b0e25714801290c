"""W3 by hand: rules indexed by port and ordered by score; what waits, by device and second kind."""

from __future__ import annotations

import msgspec

from benchmarks.brute_force import Pair


class Event(msgspec.Struct, gc=False):
    """The fields that the rules read."""

    kind: str
    device: str
    time: int
    port: int = 0
    score: float = 0.0


def count(rules: list[Pair], lines: list[bytes]) -> int:
    """How many alerts all rules give together."""
    decode = msgspec.json.Decoder(Event).decode
    lowest = min(rule.score for rule in rules)
    kinds = {kind for rule in rules for kind in rule.kinds}
    by_port: dict[int, list[tuple[float, int, str, int]]] = {}
    for number, rule in enumerate(rules):
        by_port.setdefault(rule.port or 0, []).append((rule.score, number, rule.kinds[0], rule.window_ms))
    for of_port in by_port.values():
        of_port.sort()
    waiting: dict[tuple[str, str], dict[int, int]] = {}
    found = 0
    for line in lines:
        event = decode(line)
        if event.score >= lowest:
            for score, number, kind, window_ms in by_port.get(event.port, ()):
                if event.score < score:
                    break
                waiting.setdefault((event.device, kind), {})[number] = event.time + window_ms
        elif event.kind in kinds:
            deadlines = waiting.pop((event.device, event.kind), None)
            if deadlines is not None:
                for deadline in deadlines.values():
                    if event.time <= deadline:
                        found += 1
    return found
