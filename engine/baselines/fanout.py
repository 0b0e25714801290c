"""USING fanout: how many different values in a window, beside how many there usually are.

Formula (LANGUAGE.md section 6): the distinct values of the current EVERY window, this event's included,
exact to 64 and then estimated (``distinct.py``: standard error 3.25 %), with a ``robust`` history of that
number. ``fanout(b)`` is the number, ``deviation(b)`` its distance from the usual.

Without EVERY a window is 10 minutes: long enough for a scan that does not want to be seen, short enough
that a day of use does not add up to one.

An event of an older window is judged by itself, as one value; it is not learned.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from engine.baselines.distinct import Distinct
from engine.baselines.estimator import Estimator, Fixed, Terms, require
from engine.baselines.layout import NOTHING, Room, Row
from engine.baselines.robust import BUCKET, Robust
from engine.baselines.rows import MINUTE_MS, Rows
from engine.baselines.stable import stable_hash

WINDOW_MS = 600_000
MOST_REMEMBERED = 64
"""Values of the window that are known to be counted already."""
MOST_GIVEN = 100_000
"""The largest ``now`` of a TEST: so many values are really put into the set."""


class Fanout(Robust):
    """A robust row (52 bytes), and a set: at most 512 bytes while exact, then 1,024."""

    using = "fanout"
    objects = 1
    remembered = 1
    functions = ("fanout", "deviation", "expected", "drift")

    def __init__(self, terms: Terms, rows: Rows, room: Room, peer: Estimator | None = None) -> None:
        every = terms.every_ms or WINDOW_MS
        super().__init__(msgspec.structs.replace(terms, every_ms=every), rows, room, peer)

    def observe(self, row: Row, time: int, value: Any, peer: Any) -> float:
        at, slot, memory = self._at, self._slot, self._memory
        bucket = (time // self.every + 1) & BUCKET
        open_ = row[at]
        values: Distinct | None = row[slot]
        if bucket != open_:
            if open_:
                if (bucket - open_) & BUCKET > BUCKET // 2:
                    return 1.0
                self.close(row, peer, time // MINUTE_MS)
                values = None
            row[at] = bucket
            row[memory] = NOTHING
        if values is None:
            values = row[slot] = Distinct()
        values.add(stable_hash(value))
        row[self._cell] = count = float(values.count)
        known = row[memory]
        if known is NOTHING:
            known = row[memory] = {}
        elif len(known) >= MOST_REMEMBERED:
            known.clear()
        known[value] = None
        return count

    def fanout(self, row: Row | None, seen: float | None, peer: Any) -> float | None:
        """How many different values in this window; None while cold."""
        if seen is None or row is None or self.answering(row, peer) is None:
            return None
        return seen

    def fix(self, key: Any, state: Mapping[str, Any], time: int) -> None:
        require(state, self.using, "now", "center", "spread", "n")
        now = state["now"]
        if isinstance(now, bool) or not isinstance(now, int) or not 0 <= now <= MOST_GIVEN:
            raise Fixed(f"`now` must be a whole number, at most {MOST_GIVEN:,}")
        self.set_level(key, state, time)
        row = self.rows.at(key, time // MINUTE_MS)
        # No window is open: the first event opens its own, and these values are of it.
        values = row[self._slot] = Distinct()
        for number in range(now):
            values.add(stable_hash(f"given {number}"))

    def pack(self, held: Any) -> Any:
        return None if held is None else held.pack()

    def unpack(self, stored: Any) -> Any:
        return None if stored is None else Distinct.unpack(stored)
