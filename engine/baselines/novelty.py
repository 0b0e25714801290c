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
from engine.baselines.rows import MINUTE_MS, Holder, Room, Rows
from engine.baselines.stable import SIZE, stable_hash

OVER_MS = 14 * 86_400_000
MOST_VALUES = 64
WARM_EVENTS = 50
WARM_MINUTES = 3 * 1_440
STEPS = 256
_ENTRY = SIZE + 4
_MOST = (1 << 32) - 1
_FIRST, _COUNT = 0, 1
SEEN, UNSEEN, PEER_SEEN, PEER_UNSEEN, COLD = range(5)


class Novelty(Estimator):
    """Two numbers a key (the minute of its first event, and how many there were) and 12 bytes a value."""

    using = "novelty"
    ints = 2
    objects = 1
    functions = ("unseen",)

    def __init__(self, terms: Terms, rows: Rows, room: Room, peer: Estimator | None = None) -> None:
        super().__init__(terms, rows, room, peer)
        self.over_ms = terms.over_ms or OVER_MS
        self._step = max(MINUTE_MS, self.over_ms // STEPS)
        self._steps = self.over_ms // self._step
        self.dropped = 0
        self._ints, self._objects = rows.ints, rows.objects
        self._at, self._slot = room.n, room.x
        assert peer is None or isinstance(peer, Novelty)
        self._peer = peer
        rows.idle_at_least(self.over_ms)

    def observe(self, holder: Holder, row: int, time: int, value: Any, peer: Any) -> int:
        """What the set said before it learned: SEEN, UNSEEN, the same of the peer, or COLD."""
        digest = stable_hash(value)
        mine = self._take(holder, row, time, digest)
        if self._peer is None:
            return mine
        other, number = self._peer.rows.at(peer, time // MINUTE_MS)
        theirs = self._peer._take(other, number, time, digest)
        return mine if mine != COLD or theirs == COLD else PEER_SEEN + theirs

    def _take(self, holder: Holder, row: int, time: int, digest: bytes) -> int:
        """SEEN, UNSEEN or COLD; then the value is learned unless it is late."""
        n = holder.n
        minute = time // MINUTE_MS
        number = row * self._ints + self._at
        count = n[number + _COUNT]
        warm = count >= WARM_EVENTS and minute - n[number + _FIRST] >= WARM_MINUTES
        late = minute < n[row * self._ints] - self._grace
        slot = row * self._objects + self._slot
        known: bytes = holder.x[slot] or b""
        step = time // self._step
        at = known.find(digest)
        while at % _ENTRY and at != -1:
            # Found across two entries.
            at = known.find(digest, at + 1)
        unseen = UNSEEN
        if at != -1:
            last = int.from_bytes(known[at + SIZE : at + _ENTRY], "little")
            if step - last < self._steps:
                unseen = SEEN
            if not late and step > last:
                holder.x[slot] = known[:at] + known[at + _ENTRY :] + digest + step.to_bytes(4, "little")
        elif not late:
            if len(known) >= MOST_VALUES * _ENTRY:
                known = known[_ENTRY:]
                self.dropped += 1
            holder.x[slot] = known + digest + step.to_bytes(4, "little")
        if not late:
            if count == 0 or minute < n[number + _FIRST]:
                n[number + _FIRST] = minute
            if count < _MOST:
                n[number + _COUNT] = count + 1
        return unseen if warm else COLD

    def warm(self, holder: Holder, row: int) -> bool:
        n = holder.n
        at = row * self._ints + self._at
        return (
            n[at + _COUNT] >= WARM_EVENTS and self.rows.newest(holder, row) - n[at + _FIRST] >= WARM_MINUTES
        )

    def ready(self, holder: Holder | None, row: int, seen: int | None, peer: Any) -> bool:
        return seen is not None and seen != COLD

    def unseen(self, holder: Holder | None, row: int, seen: int | None, peer: Any) -> bool | None:
        """Whether the value was not seen in OVER; None while cold."""
        return None if seen is None or seen == COLD else seen in (UNSEEN, PEER_UNSEEN)

    def reading(self, holder: Holder, row: int, seen: Any, peer: Any, time: int, value: Any) -> Reading:
        who: Novelty = self
        if seen in (PEER_SEEN, PEER_UNSEEN):
            assert self._peer is not None
            found = self._peer.rows.find(peer)
            assert found is not None
            who, holder, row = self._peer, *found
        at = row * who.rows.ints + who.room.n
        first, count = holder.n[at + _FIRST], holder.n[at + _COUNT]
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
        holder, row = self.rows.at(key, time // MINUTE_MS)
        for value in values[-MOST_VALUES:]:
            value = tuple(value) if isinstance(value, list) else value
            self._take(holder, row, time, stable_hash(value))
        at = row * self.rows.ints + self.room.n
        holder.n[at + _FIRST] = max(0, time // MINUTE_MS - WARM_MINUTES)
        holder.n[at + _COUNT] = max(WARM_EVENTS, len(values))


def as_text(value: Any) -> str:
    """A value or a tuple of values as alerts show it."""
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
