"""W3 by hand: rules indexed by port and ordered by score; what waits, by device and second kind."""

from __future__ import annotations

import msgspec

from benchmarks.brute_force import Pair


class Flow(msgspec.Struct, tag_field="kind", tag="net.flow", gc=False):
    """What the rules read of a flow."""

    device: str
    time: int
    port: int
    score: float


class Crash(msgspec.Struct, tag_field="kind", tag="app.crash", gc=False):
    """What the rules read of trouble: the same of all three kinds."""

    device: str
    time: int


class Anomaly(Crash, tag_field="kind", tag="exec.anomaly", gc=False):
    """Trouble."""


class Context(Crash, tag_field="kind", tag="security.context", gc=False):
    """Trouble."""


class Lookup(msgspec.Struct, tag_field="kind", tag="net.dns", gc=False):
    """Of a lookup nothing is read."""


decode = msgspec.json.Decoder(Flow | Crash | Anomaly | Context | Lookup).decode
KINDS = {"app.crash": 0, "exec.anomaly": 1, "security.context": 2}
PLACES = {Crash: 0, Anomaly: 1, Context: 2}


def count(rules: list[Pair], lines: list[bytes]) -> int:
    """How many alerts all rules give together."""
    read = decode
    lowest = min(rule.score for rule in rules)
    by_port: dict[int, list[tuple[float, int, int, int]]] = {}
    for number, rule in enumerate(rules):
        entry = (rule.score, number, KINDS[rule.kinds[0]], rule.window_ms)
        by_port.setdefault(rule.port or 0, []).append(entry)
    for of_port in by_port.values():
        of_port.sort()
    # For each second kind: by device the deadlines of the rules that wait for it.
    waiting: tuple[dict[str, dict[int, int]], ...] = ({}, {}, {})
    found = 0
    for line in lines:
        event = read(line)
        kind = type(event)
        if kind is Flow:
            if event.score >= lowest:
                for score, number, second, window_ms in by_port.get(event.port, ()):
                    if event.score < score:
                        break
                    of_kind = waiting[second]
                    deadlines = of_kind.get(event.device)
                    if deadlines is None:
                        deadlines = of_kind[event.device] = {}
                    deadlines[number] = event.time + window_ms
        elif kind is not Lookup:
            ended = waiting[PLACES[kind]].pop(event.device, None)
            if ended is not None:
                for deadline in ended.values():
                    if event.time <= deadline:
                        found += 1
    return found
