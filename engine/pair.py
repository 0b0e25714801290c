"""The commonest automaton: a rule of two steps, or one, of which only the latest start waits.

It is *latest* (engine/automaton.py) for one line of at most two steps without guards and UNLESS, and gives
the same matches. What waits for a key is one event, or a few where intervals overlap: an event is beaten by
one that began later, in the order and where bounds measure from.
"""

from __future__ import annotations

from collections.abc import Iterable

from engine.automaton import Key, Match, RuleTable
from engine.kept import Kept


class Pair:
    """The state of one rule and device. ``feed`` takes kept events in order."""

    __slots__ = ("capped", "dropped", "keys", "table")

    def __init__(self, table: RuleTable) -> None:
        self.table = table
        self.keys: dict[Key, list[Kept]] = {}
        self.capped: dict[Key, int] | None = None
        """For keys of which a choice was dropped, until when it could still have completed."""
        self.dropped = 0

    @property
    def waits(self) -> bool:
        """Whether an event waits for a further one."""
        return bool(self.keys)

    def feed(self, kept: Kept) -> list[Match]:
        """One event, in order; the matches it completes."""
        return self.step(kept)

    def remember(self, kept: Kept) -> None:
        """Such a rule has no UNLESS, and so nothing to note."""

    def step(self, kept: Kept) -> list[Match]:
        """The transition."""
        table, mask = self.table, kept.mask
        if table.single:
            if mask & table.start_mask and None not in kept.key:
                return [Match(kept.key, 0, (kept,), False)]
            return []
        found: list[Match] = []
        ends = mask & table.end_mask
        starts = mask & table.start_mask
        for key in (kept.key,) if None not in kept.key else self._reached(kept.key):
            waiting = self.keys.get(key)
            if waiting is None:
                if starts:
                    self.keys[key] = [kept]
                continue
            complete: list[Kept] = []
            if ends:
                oldest = kept.time - table.window_ms
                waiting = [first for first in waiting if first.begin >= oldest]
                if kept.begin >= oldest:
                    complete = waiting
            if starts and not any(_began_no_later(kept, other) for other in waiting):
                waiting = [other for other in waiting if not _began_no_later(other, kept)]
                waiting.append(kept)
            if complete:
                start = max(complete, key=_order)
                until = -1 if self.capped is None else self.capped.get(key, -1)
                found.append(Match(key, 0, (start, kept), until >= kept.time))
                # What began no later completes here as well, or is already too old to complete at all.
                waiting = [w for w in waiting if not any(_began_no_later(w, done) for done in complete)]
            if waiting:
                self.keys[key] = waiting
            else:
                self._end(key)
        return found

    def _reached(self, own: Key) -> Iterable[Key]:
        """The keys that an event reaches whose type lacks a key."""
        return [
            key
            for key in self.keys
            if all(mine is None or mine == theirs for mine, theirs in zip(own, key, strict=True))
        ]

    def _end(self, key: Key) -> None:
        del self.keys[key]
        if self.capped is not None:
            self.capped.pop(key, None)

    def forget(self, before: int) -> None:
        """Drop what can no longer matter to events at or after a time."""
        oldest = before - self.table.window_ms
        for key, waiting in list(self.keys.items()):
            if waiting[0].begin < oldest or len(waiting) > 1:
                self.keys[key] = [first for first in waiting if first.begin >= oldest]
                if not self.keys[key]:
                    self._end(key)

    def drop_before(self, time: int) -> None:
        """Drop what rests on events before a time: at the cap of kept events. A match that this could
        have changed says ``capped``.
        """
        for key, waiting in list(self.keys.items()):
            left = [first for first in waiting if first.time >= time]
            if len(left) == len(waiting):
                continue
            self.dropped += len(waiting) - len(left)
            self.keys[key] = left
            if left:
                self.capped = self.capped or {}
                self.capped[key] = max(self.capped.get(key, -1), time + self.table.window_ms)
            else:
                self._end(key)


def _order(kept: Kept) -> tuple[int, ...]:
    return kept.order


def _began_no_later(one: Kept, other: Kept) -> bool:
    return one.order <= other.order and one.begin <= other.begin
