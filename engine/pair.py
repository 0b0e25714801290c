"""The commonest automaton: a rule of two steps, or one, of which only the latest start waits.

It is *latest* (engine/automaton.py) for one line of at most two steps without guards and UNLESS, and gives
the same matches. What waits for a key is one event, or a few where intervals overlap: an event is beaten by
one that began later, in the order and where bounds measure from.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from engine.automaton import Key, Match, RuleTable
from engine.kept import Kept


class Pair(msgspec.Struct, gc=False, eq=False):
    """The state of one rule and device. ``feed`` takes kept events in order.

    Most devices wait for one key of a rule, and a dict of one entry takes as much memory as all the rest that
    is known of such a device; so there is one only from the second key on. What waits stands in tuples, which
    the collector of cycles lets go of, as it does not of lists.

    Attributes:
        key: the one that something waits for, where it is the only one; ``waiting`` is what does.
        many: by key, where there are several; empty where ``waiting`` is not.
        capped: for keys of which a choice was dropped, until when it could still have completed.
        dropped: choices since somebody asked.
    """

    table: RuleTable
    key: Key = ()
    waiting: tuple[Kept, ...] = ()
    many: dict[Key, tuple[Kept, ...]] | None = None
    capped: dict[Key, int] | None = None
    dropped: int = 0

    @property
    def waits(self) -> bool:
        """Whether an event waits for a further one."""
        return bool(self.waiting or self.many)

    @property
    def keys(self) -> Mapping[Key, tuple[Kept, ...]]:
        """What waits, by key, in the order in which they began to."""
        return self.many or ({self.key: self.waiting} if self.waiting else {})

    def holds(self, key: Key) -> bool:
        """Whether something waits for a key."""
        return key in self.many if self.many else bool(self.waiting) and key == self.key

    def _get(self, key: Key) -> tuple[Kept, ...]:
        if self.many:
            return self.many.get(key, ())
        return self.waiting if key == self.key else ()

    def put(self, key: Key, waiting: tuple[Kept, ...]) -> None:
        """Have these wait for a key; at least one."""
        if self.many:
            self.many[key] = waiting
        elif self.waiting and key != self.key:
            self.many = {self.key: self.waiting, key: waiting}
            self.key, self.waiting = (), ()
        else:
            self.key, self.waiting = key, waiting

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
            known = self._get(key)
            if not known:
                if starts:
                    self.put(key, (kept,))
                continue
            waiting = [*known]
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
                self.put(key, tuple(waiting))
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
        if self.many:
            del self.many[key]
            if not self.many:
                self.many = None
        else:
            self.key, self.waiting = (), ()
        if self.capped is not None:
            self.capped.pop(key, None)

    def forget(self, before: int) -> None:
        """Drop what can no longer matter to events at or after a time."""
        oldest = before - self.table.window_ms
        for key, waiting in list(self.keys.items()):
            if waiting[0].begin < oldest or len(waiting) > 1:
                left = tuple(first for first in waiting if first.begin >= oldest)
                if left:
                    self.put(key, left)
                else:
                    self._end(key)

    def drop_before(self, time: int) -> None:
        """Drop what rests on events before a time: at the cap of kept events. A match that this could
        have changed says ``capped``.
        """
        for key, waiting in list(self.keys.items()):
            left = tuple(first for first in waiting if first.time >= time)
            if len(left) == len(waiting):
                continue
            self.dropped += len(waiting) - len(left)
            if left:
                self.put(key, left)
                self.capped = self.capped or {}
                self.capped[key] = max(self.capped.get(key, -1), time + self.table.window_ms)
            else:
                self._end(key)


def _order(kept: Kept) -> tuple[int, ...]:
    return kept.order


def _began_no_later(one: Kept, other: Kept) -> bool:
    return one.order <= other.order and one.begin <= other.begin
