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

from collections.abc import Callable, Mapping
from struct import Struct
from typing import Any

from engine.baselines import Reading
from engine.baselines.estimator import Estimator, Fixed, Terms, require
from engine.baselines.layout import MOST_NUMBER, NOTHING, USED, Room, Row
from engine.baselines.rows import MINUTE_MS, Rows
from engine.baselines.stable import SIZE, stable_hash

OVER_MS = 14 * 86_400_000
MOST_VALUES = 64
WARM_EVENTS = 50
WARM_MINUTES = 3 * 1_440
STEPS = 256
_FIRST, COUNT = 0, 1
MOST_CHARACTERS = 256
"""Longer texts are kept as their hashes also while their key is in use."""
MOST_SHARED = 65_536
_ENTRIES = Struct(f"<{SIZE}sI")
SEEN, UNSEEN, PEER_SEEN, PEER_UNSEEN, COLD, KNOWN = range(6)
"""KNOWN: neither the key nor its peer had anything to learn but that there was one more event; whether they
were warm is worked out when somebody asks.
"""


class Values(dict[Any, int]):
    """The values of a live row, least recently written first, with the step each was seen in. A value that
    has not come since the row was packed stands there as its hash.

    Attributes:
        hashed: how many stand there as hashes.
        changed: whether the bytes of the row say something else.
    """

    __slots__ = ("changed", "hashed")

    def __init__(self, packed: bytes) -> None:
        super().__init__(_ENTRIES.iter_unpack(packed))
        self.hashed = len(self)
        self.changed = False

    def known_as(self, value: Any, hashed: Callable[[Any], bytes]) -> int | None:
        """The step of a value by its hash."""
        return self.get(value if value.__class__ is bytes else hashed(value))

    def add(self, value: Any, step: int) -> None:
        """Write a value that is not there."""
        self[value] = step
        self.changed = True
        if value.__class__ is bytes:
            self.hashed += 1

    def drop(self, key: Any) -> None:
        """Take a value out by what it stands there as."""
        del self[key]
        self.changed = True
        if key.__class__ is bytes:
            self.hashed -= 1

    def as_bytes(self) -> bytes:
        """12 bytes a value: its hash, and its step."""
        pack = _ENTRIES.pack
        return b"".join(
            [
                pack(value if value.__class__ is bytes else stable_hash(value), step)
                for value, step in self.items()
            ]
        )


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
        self._shared: dict[Any, Any] = {}
        """The same values come on many devices: they are kept once."""
        self._take = self._taker()
        self.take = self._observer()
        """:meth:`observe` by the minute and the step of an event."""
        rows.idle_at_least(self.over_ms)
        rows.layout.counts_at(self._at + COUNT)
        rows.layout.settles(self.settle)

    @property
    def step_ms(self) -> int:
        """How exactly the time of a value is kept."""
        return self._step

    def observe(self, row: Row, time: int, value: Any, peer: Any) -> int:
        """What the set said before it learned: SEEN, UNSEEN, the same of the peer, or COLD."""
        return self.take(row, time // MINUTE_MS, time // self._step, value, peer)

    def _observer(self) -> Callable[[Row, int, int, Any, Any], int]:
        """:attr:`take`, a closure: it is the way of every value that comes for the first time in a step."""
        mine, of_peer = self._take, self._peer
        if of_peer is None:
            return lambda row, minute, step, value, peer: mine(row, minute, step, value)
        theirs, peer_row = of_peer._take, of_peer.rows.at

        def take(row: Row, minute: int, step: int, value: Any, peer: Any) -> int:
            said = mine(row, minute, step, value)
            other = theirs(peer_row(peer, minute), minute, step, value)
            return said if said != COLD or other == COLD else PEER_SEEN + other

        return take

    def _taker(self) -> Callable[[Row, int, int, Any], int]:
        """A function of the row, the minute and the step of an event, and its value; it says SEEN, UNSEEN or
        COLD, and learns the value unless it is late. A closure, as :attr:`take`.
        """
        first_at, count_at = self._at + _FIRST, self._at + COUNT
        memory, slot, grace, steps = self._memory, self._slot, self._grace, self._steps
        shared = self._shared

        def take(row: Row, minute: int, step: int, value: Any) -> int:
            count = row[count_at]
            values: Values = row[memory]
            if values is NOTHING:
                values = row[memory] = Values(row[slot] or b"")
            if value.__class__ is str and len(value) > MOST_CHARACTERS:
                value = stable_hash(value)
            last = values.get(value)
            if last is None and values.hashed:
                last = values.known_as(value, stable_hash)
            warm = count >= WARM_EVENTS and minute - row[first_at] >= WARM_MINUTES
            unseen = UNSEEN if last is None or step - last >= steps else SEEN
            if minute < row[USED] - grace:
                return unseen if warm else COLD
            if last is None:
                if len(values) >= MOST_VALUES:
                    values.drop(next(iter(values)))
                    self.dropped += 1
                if len(shared) >= MOST_SHARED:
                    shared.clear()
                values.add(shared.setdefault(value, value), step)
            elif step > last:
                if value in values:
                    # Written anew, it is the one that was written last.
                    del values[value]
                    values[value] = step
                    values.changed = True
                else:
                    values.drop(stable_hash(value))
                    values.add(shared.setdefault(value, value), step)
            if count == 0 or minute < row[first_at]:
                row[first_at] = minute
            row[count_at] = count + 1
            return unseen if warm else COLD

        return take

    def settle(self, row: Row) -> None:
        """Let the bytes of a live row say what its values do."""
        values: Values = row[self._memory]
        if values is not NOTHING and values.changed:
            row[self._slot] = values.as_bytes()
            values.changed = False

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

    def unpack(self, stored: Any) -> Any:
        if stored is not None and len(stored) % _ENTRIES.size:
            raise ValueError("the values of a novelty are cut short")
        return stored

    def fix(self, key: Any, state: Mapping[str, Any], time: int) -> None:
        require(state, self.using, "seen")
        values = state["seen"]
        if not isinstance(values, list):
            raise Fixed("`seen` must be a list of values; a tuple of values is a list of its own")
        row = self.rows.at(key, time // MINUTE_MS)
        for value in values[-MOST_VALUES:]:
            value = tuple(value) if isinstance(value, list) else value
            self._take(row, time // MINUTE_MS, time // self._step, value)
        row[self._at + _FIRST] = max(0, time // MINUTE_MS - WARM_MINUTES)
        row[self._at + COUNT] = max(WARM_EVENTS, len(values))


def as_text(value: Any) -> str:
    """A value or a tuple of values as alerts show it."""
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
