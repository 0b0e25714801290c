"""W1 by hand where events may be late: what each key has had is kept in order, and gone through again.

An event that is the newest of its device and app costs what it costs in ``references.w1``. Any other one puts
itself in its place, and all of its key is matched again.
"""

from __future__ import annotations

from bisect import insort

from benchmarks.references.w1 import DEVIATION, WINDOW_MS, Flow, Lookup, decode


class Key:
    """Of one device and app.

    Attributes:
        had: (time, whether it is a deviation) of every event that fits, in order.
        since: of the deviation that waits; 0: none does.
        found: matches.
    """

    __slots__ = ("found", "had", "since")

    def __init__(self) -> None:
        self.had: list[tuple[int, bool]] = []
        self.since = 0
        self.found = 0

    def again(self) -> None:
        """Match everything again."""
        since = found = 0
        for time, deviates in self.had:
            if deviates:
                since = time
            elif since:
                found += time - since <= WINDOW_MS
                since = 0
        self.since, self.found = since, found


def count(lines: list[bytes]) -> int:
    """How many matches there are once everything has come."""
    read = decode
    keys: dict[tuple[str, str], Key] = {}
    for line in lines:
        event = read(line)
        kind = type(event)
        if kind is Lookup:
            continue
        deviates = kind is Flow
        if deviates and event.score < DEVIATION:
            continue
        key = keys.get((event.device, event.app))
        if key is None:
            key = keys[event.device, event.app] = Key()
        time = event.time
        if key.had and key.had[-1][0] > time:
            insort(key.had, (time, deviates))
            key.again()
            continue
        key.had.append((time, deviates))
        if deviates:
            key.since = time
        elif key.since:
            key.found += time - key.since <= WINDOW_MS
            key.since = 0
    return sum(key.found for key in keys.values())
