"""USING novelty: has this value been seen for the key in OVER?

Formula (LANGUAGE.md section 6): a set of stable hashes, least recently seen first, 64 a key; ``unseen(b)``
if the value is not in it, or was last seen more than OVER (default 14 d) ago. Warm after 50 events and 3
days: on a real phone every day brings 13 to 110 new domains, and nearly all of the first days' are simply
the first to be seen.

What is kept of a value is its hash (8 bytes) and when it was last seen (4 bytes), to the step of OVER /
256, one minute at the least. A value that is seen again within a step is not written again, so a value may
count as unseen up to two steps before OVER is over: 2.6 hours of 14 days. It never counts as seen for
longer.

64 values hold: about 11 domains an app were measured. Beyond, the least recently seen one goes and is
counted (``dropped``); it will be unseen again. First and last sightings (``quality`` first_last) and
intervals count: that a value was there is true of them, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.baselines import Reading
from engine.baselines.estimator import Estimator, Fixed, Terms, require
from engine.baselines.rows import MINUTE_MS, MOST_NUMBER, NOTHING, USED, Room, Row, Rows
from engine.baselines.stable import SIZE, stable_hash

OVER_MS = 14 * 86_400_000
MOST_VALUES = 64
WARM_EVENTS = 50
WARM_MINUTES = 3 * 1_440
STEPS = 256
_ENTRY = SIZE + 4
_FIRST, COUNT = 0, 1
MOST_REMEMBERED = 128
"""Values of a key whose step is remembered beside the hashes. Most values come again soon."""
SEEN, UNSEEN, PEER_SEEN, PEER_UNSEEN, COLD, KNOWN = range(6)
"""KNOWN: neither the key nor its peer had anything to learn but that there was one more event; whether they
were warm is worked out when somebody asks.
"""


class Novelty(Estimator):
    """Two numbers a key (the minute of its first event, and how many there were) and 12 bytes a value."""

    using = "novelty"
    ints = 2
    objects = 1
    remembered = 1
    functions = ("unseen",)

    def __init__(self, terms: Terms, rows: Rows, room: Room, peer: Estimator | None = None) -> None:
        super().__init__(terms, rows, room, peer)
        self.over_ms = terms.over_ms or OVER_MS
        self._step = max(MINUTE_MS, self.over_ms // STEPS)
        self._steps = self.over_ms // self._step
        self.dropped = 0
        assert peer is None or isinstance(peer, Novelty)
        self._peer = peer
        rows.idle_at_least(self.over_ms)
        rows.counts_at(self._at + COUNT)

    @property
    def step_ms(self) -> int:
        """How exactly the time of a value is kept."""
        return self._step

    def observe(self, row: Row, time: int, value: Any, peer: Any) -> int:
        """What the set said before it learned: SEEN, UNSEEN, the same of the peer, or COLD."""
        digest = stable_hash(value)
        mine = self._take(row, time, digest, value)
        if self._peer is None:
            return mine
        theirs = self._peer._take(self._peer.rows.at(peer, time // MINUTE_MS), time, digest, value)
        return mine if mine != COLD or theirs == COLD else PEER_SEEN + theirs

    def _take(self, row: Row, time: int, digest: bytes, value: Any = NOTHING) -> int:
        """SEEN, UNSEEN or COLD; then the value is learned unless it is late. ``value``, if it is given, is
        remembered beside its hash.
        """
        minute = time // MINUTE_MS
        at, slot, memory = self._at, self._slot, self._memory
        count = row[at + COUNT]
        warm = count >= WARM_EVENTS and minute - row[at + _FIRST] >= WARM_MINUTES
        late = minute < row[USED] - self._grace
        known: bytes = row[slot] or b""
        step = time // self._step
        found = known.find(digest)
        while found % _ENTRY and found != -1:
            # Found across two entries.
            found = known.find(digest, found + 1)
        unseen = UNSEEN
        if found != -1:
            last = int.from_bytes(known[found + SIZE : found + _ENTRY], "little")
            if step - last < self._steps:
                unseen = SEEN
            if not late and step > last:
                row[slot] = known[:found] + known[found + _ENTRY :] + digest + step.to_bytes(4, "little")
        elif not late:
            if len(known) >= MOST_VALUES * _ENTRY:
                # The value that goes may be one of those that are remembered.
                row[memory] = NOTHING
                known = known[_ENTRY:]
                self.dropped += 1
                value = NOTHING
            row[slot] = known + digest + step.to_bytes(4, "little")
        if late:
            return unseen if warm else COLD
        if count == 0 or minute < row[at + _FIRST]:
            row[at + _FIRST] = minute
        row[at + COUNT] = count + 1
        if value is not NOTHING:
            remembered = row[memory]
            if remembered is NOTHING:
                remembered = row[memory] = {}
            elif len(remembered) >= MOST_REMEMBERED:
                remembered.clear()
            remembered[value] = step
        return unseen if warm else COLD

    def warm(self, row: Row) -> bool:
        at = self._at
        return bool(row[at + COUNT] >= WARM_EVENTS and row[USED] - row[at + _FIRST] >= WARM_MINUTES)

    def _was_warm(self, row: Row) -> bool:
        """Whether it was warm before its newest event, which has just been counted."""
        at = self._at
        return bool(row[at + COUNT] > WARM_EVENTS and row[USED] - row[at + _FIRST] >= WARM_MINUTES)

    def _said(self, row: Row | None, seen: int, peer: Any) -> int:
        """What KNOWN stands for."""
        if seen != KNOWN:
            return seen
        assert row is not None
        if self._was_warm(row):
            return SEEN
        found = None if self._peer is None else self._peer.rows.find(peer)
        return (
            PEER_SEEN
            if found is not None and self._peer is not None and self._peer._was_warm(found)
            else COLD
        )

    def ready(self, row: Row | None, seen: int | None, peer: Any) -> bool:
        return seen is not None and self._said(row, seen, peer) != COLD

    def unseen(self, row: Row | None, seen: int | None, peer: Any) -> bool | None:
        """Whether the value was not seen in OVER; None while cold."""
        if seen is None:
            return None
        said = self._said(row, seen, peer)
        return None if said == COLD else said in (UNSEEN, PEER_UNSEEN)

    def reading(self, row: Row, seen: Any, peer: Any, time: int, value: Any) -> Reading:
        who: Novelty = self
        seen = self._said(row, seen, peer)
        if seen in (PEER_SEEN, PEER_UNSEEN):
            assert self._peer is not None
            found = self._peer.rows.find(peer)
            assert found is not None
            who, row = self._peer, found
        first, count = row[who._at + _FIRST], min(row[who._at + COUNT], MOST_NUMBER)
        return Reading(
            baseline=self.name,
            using=self.using,
            function="unseen",
            value=as_text(value),
            score=None if seen == COLD else float(seen in (UNSEEN, PEER_UNSEEN)),
            expected=None,
            low=None,
            high=None,
            drift=None,
            scope=who.scope,
            peer=who is not self,
            samples=count,
            age_ms=max(0, time - first * MINUTE_MS) if count else 0,
            state="cold" if seen == COLD else "ok",
            window_ms=self.over_ms,
        )

    def fix(self, key: Any, state: Mapping[str, Any], time: int) -> None:
        require(state, self.using, "seen")
        values = state["seen"]
        if not isinstance(values, list):
            raise Fixed("`seen` must be a list of values; a tuple of values is a list of its own")
        row = self.rows.at(key, time // MINUTE_MS)
        for value in values[-MOST_VALUES:]:
            value = tuple(value) if isinstance(value, list) else value
            self._take(row, time, stable_hash(value))
        row[self._at + _FIRST] = max(0, time // MINUTE_MS - WARM_MINUTES)
        row[self._at + COUNT] = max(WARM_EVENTS, len(values))


def as_text(value: Any) -> str:
    """A value or a tuple of values as alerts show it."""
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
