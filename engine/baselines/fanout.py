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

from engine.baselines import Reading
from engine.baselines.distinct import Distinct
from engine.baselines.estimator import Estimator, Fixed, Terms, require
from engine.baselines.robust import Robust
from engine.baselines.rows import Holder, Room, Rows
from engine.baselines.stable import stable_hash

WINDOW_MS = 600_000
MOST_GIVEN = 100_000
"""The largest ``now`` of a TEST: so many values are really put into the set."""


class Fanout(Robust):
    """A robust row (52 bytes), and a set: at most 512 bytes while exact, then 1,024."""

    using = "fanout"
    objects = 1
    functions = ("fanout", "deviation", "expected", "drift")

    def __init__(self, terms: Terms, rows: Rows, room: Room, peer: Estimator | None = None) -> None:
        every = terms.every_ms or WINDOW_MS
        super().__init__(msgspec.structs.replace(terms, every_ms=every), rows, room, peer)

    def observe(self, holder: Holder, row: int, time: int, value: Any, peer: Any) -> float:
        at = row * self.rows.ints + self.room.n
        cell = row * self.rows.doubles + self.room.d
        slot = row * self.rows.objects + self.room.x
        bucket = (time // self.every + 1) % (1 << 32)
        open_ = holder.n[at]
        values: Distinct | None = holder.x[slot]
        if bucket != open_:
            if open_:
                if (bucket - open_) % (1 << 32) > 1 << 31:
                    return 1.0
                self.close(holder, at, cell, time, peer)
                values = None
            holder.n[at] = bucket
        if values is None:
            values = holder.x[slot] = Distinct()
        values.add(stable_hash(value))
        holder.d[cell] = count = float(values.count)
        return count

    def fanout(self, holder: Holder | None, row: int, seen: float | None, peer: Any) -> float | None:
        """How many different values in this window; None while cold."""
        if seen is None or holder is None or self.answering(holder, row, peer) is None:
            return None
        return seen

    def reading(self, holder: Holder, row: int, seen: Any, peer: Any, time: int, value: Any) -> Reading:
        return self.reading_of(self.answering(holder, row, peer), holder, row, seen, time)

    def fix(self, key: Any, state: Mapping[str, Any], time: int) -> None:
        require(state, self.using, "now", "center", "spread", "n")
        now = state["now"]
        if isinstance(now, bool) or not isinstance(now, int) or not 0 <= now <= MOST_GIVEN:
            raise Fixed(f"`now` must be a whole number, at most {MOST_GIVEN:,}")
        self.set_level(key, state, time)
        found = self.rows.find(key)
        assert found is not None
        holder, row = found
        # No window is open: the first event opens its own, and these values are of it.
        values = holder.x[row * self.rows.objects + self.room.x] = Distinct()
        for number in range(now):
            values.add(stable_hash(f"given {number}"))

    def pack(self, held: Any) -> Any:
        return None if held is None else held.pack()

    def unpack(self, stored: Any) -> Any:
        return None if stored is None else Distinct.unpack(stored)
