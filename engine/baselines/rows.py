"""Rows of numbers: one for each key, shared by all baselines of that key. A row has two forms.

*Live*: a list, for keys that events come for: numbers are read and written in place, several times faster
than in packed form. *Packed*: for the others, in two arrays of bytes (doubles, and unsigned 32-bit numbers)
and, for the estimators that need one, a tuple of byte strings or small objects. The rows of one device lie
together in a :class:`Holder`: a device has one entry in the large dict, its apps share the arrays, and the
number of a row inside its device is so small that Python keeps no object for it. Measured for 67 apps a
device, everything counted (keys, dicts, arrays): see docs/explanation/baselines.md.

None of what rests is seen by Python's collector of cycles, whose pauses would grow with the devices: byte
arrays, tuples of byte strings, dicts of text and numbers, and a struct that is not tracked.

Live rows come in generations. What is asked for goes into the present one; :meth:`Rows.turn` begins another,
and what nobody has asked for since is packed a little at a time. So who takes checkpoints learns which
devices have changed since the last one from the way that only the first event of a key takes: the events
after it pay nothing. A turn takes no time by the number of rows: the event loop waits for it.

Rows are freed by event time: a row idle for longer than ``idle_ms`` is empty when it is next asked for,
whenever its memory is given back. Keys are capped; beyond the cap the least recently used one goes, and is
counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from engine.baselines.layout import NUMBER, SAME, USED, Holder, Layout, Row, new_holder

MINUTE_MS = 60_000
"""Row times are whole minutes: they fit 32 bits until the year 9999."""
IDLE_MS = 30 * 86_400_000
"""The half-life of the slow copy of a robust baseline: what is older says little about today."""
MAX_INNER = 256
"""Keys of one device with one part beside the device, usually the app (DESIGN.md section 7). 67 were
measured on a phone.
"""
MAX_INNER_MANY = 2_048
"""Keys of one device with several parts, such as app and domain: about 11 domains an app were measured."""
MAX_DEVICES = 1_000_000
MAX_FLEET_KEYS = 65_536
"""Keys without a device, such as the apps of a fleet."""
MAX_LIVE = 32_768
"""Rows of a generation. A live row was measured to take 320 bytes with one robust baseline, and 150 more for
each further; 1,500 with 11 values of novelty.
"""
_SAMPLE = 64
"""At a cap without order, the least recently used of so many is what goes."""
_SWEPT = 2
"""Holders looked at for each new one: all are seen before their number has grown by half."""
_SHARED = 65_536
_RESTING = 4
"""Rows of older generations that are packed for each one that becomes live: they are gone before as many have
come."""
_MOST_RESTED = 8_192
"""Lists of rows that are packed which are kept, to be used again."""
_FEW = 1_024
"""A generation with no more outer keys than this goes into the one before it: looking a key up would take
longer the more there are."""
TEND_EVERY_MINUTES: Final = 360
"""How often idle holders are looked for."""
TEND_AT_ONCE: Final = 256
"""Holders looked at in one call: the event loop is not held up."""


class Rows:
    """All rows of one event kind and BY.

    Args:
        names: the BY fields. With ``device`` among them the device is the outer key and the rest the inner
            one; without, the whole key is the outer one.
        most_inner, most_outer: caps, for tests; else by the form of the key.
        kind: of the events.

    Attributes:
        live: by outer key the live row or, where there are inner keys, the live rows by inner key: the
            present generation. Generated code looks here first; see :meth:`shown_in`.
        touched: called with an outer key before one of its rows becomes live or goes.
        hand: keys of the holders that are looked at next, the next one last.
        evicted: rows and holders dropped at a cap.
        forgotten: holders dropped because they were idle.
    """

    def __init__(
        self,
        names: tuple[str, ...],
        most_inner: int | None = None,
        most_outer: int | None = None,
        kind: str = "",
    ) -> None:
        self.names = names
        self.kind = kind
        self.layout = Layout()
        self.inner = "device" in names and len(names) > 1
        self.live: dict[Any, Any] = {}
        self.touched: Callable[[Any], None] | None = None
        self._packed: dict[Any, Holder] = {}
        self._older: list[dict[Any, Any]] = []
        # Emptied generations are used again: the collector of cycles looks long into a large new dict.
        self._spare: list[dict[Any, Any]] = []
        # Rows that nothing refers to any more, to be filled again: new ones would be looked into as well.
        self._rested: list[Row] = []
        self._shown: dict[tuple[int, str], tuple[dict[str, Any], str, str | None]] = {}
        self._count = 0
        self._size = 0
        self.idle = IDLE_MS // MINUTE_MS
        self.evicted = 0
        self.forgotten = 0
        rest = len(names) - 1
        self._most_inner = most_inner or (MAX_INNER if rest == 1 else MAX_INNER_MANY)
        self._most_outer = most_outer or (MAX_DEVICES if "device" in names else MAX_FLEET_KEYS)
        self.hand: list[Any] = []
        self._tended: list[Any] = []
        self._tend_at = 0
        self._names: dict[str, str] = {}

    def idle_at_least(self, duration_ms: int) -> None:
        """Keep rows at least so long: a baseline looks back that far."""
        self.idle = max(self.idle, -(-duration_ms // MINUTE_MS))

    def shown_in(self, names: dict[str, Any], name: str, method: str | None = None) -> None:
        """Have a global of generated code be the live rows, or a method of them, always those of now."""
        self._shown[id(names), name] = (names, name, method)
        names[name] = self.live if method is None else getattr(self.live, method)

    # --- keys

    def key(self, parts: tuple[Any, ...]) -> Any:
        """The parts of a key in order of ``names``, as :meth:`at` and :meth:`find` take them."""
        if not self.inner:
            return parts[0] if len(parts) == 1 else parts
        at = self.names.index("device")
        rest = parts[:at] + parts[at + 1 :]
        return parts[at], rest[0] if len(rest) == 1 else rest

    def find(self, key: Any) -> Row | None:
        """The row of a key, if there is one. To be read only."""
        outer, inner = key if self.inner else (key, None)
        for generation in (self.live, *reversed(self._older)):
            found = generation.get(outer)
            if found is not None and self.inner:
                found = found.get(inner)
            if found is not None:
                return found  # type: ignore[no-any-return]  # a row, whichever way
        return self._load(outer, inner)

    def at(self, key: Any, minute: int) -> Row:
        """The live row of a key, made or emptied where need be, with its newest time noted."""
        outer, inner = key if self.inner else (key, None)
        row: Row | None = self.live.get(outer)
        if row is not None and self.inner:
            row = row.get(inner)  # type: ignore[attr-defined]  # the rows by inner key
        if row is None:
            return self.enter(outer, inner, minute)
        if row[USED] < minute:
            self.later(row, minute)
        return row

    def later(self, row: Row, minute: int) -> None:
        """A live row's newest event is of this minute; a row that was idle for too long is emptied."""
        if minute - row[USED] > self.idle:
            self.layout.empty(row, minute)
        row[USED] = minute

    def enter(self, outer: Any, inner: Any, minute: int) -> Row:
        """Make the row of a key live that is not; see :meth:`at`."""
        if self.touched is not None:
            self.touched(outer)
        if self._older:
            self._rest()
        elif self._count >= MAX_LIVE:
            self.turn()
        row = self._taken(outer, inner) if self._older else None
        if row is None:
            row = self._load(outer, inner)
            if row is None:
                row = self._make(outer, inner, minute)
            if self._rested:
                again = self._rested.pop()
                again[:] = row
                row = again
        row[SAME] = False
        if self.inner:
            rows = self.live.get(outer)
            if rows is None:
                rows = self.live[outer] = {}
            rows[self.shared(inner)] = row
        else:
            self.live[outer] = row
        self._count += 1
        if row[USED] < minute:
            self.later(row, minute)
        return row

    def _taken(self, outer: Any, inner: Any) -> Row | None:
        """The row of a key out of an older generation."""
        for generation in reversed(self._older):
            row: Row | None
            if self.inner:
                rows = generation.get(outer)
                row = None if rows is None else rows.pop(inner, None)
            else:
                row = generation.pop(outer, None)
            if row is not None:
                return row
        return None

    def _make(self, outer: Any, inner: Any, minute: int) -> Row:
        """A row for a key that has none."""
        holder = self._packed.get(outer)
        if holder is None:
            self._sweep(minute)
            if len(self._packed) >= self._most_outer:
                self._make_room()
            holder = self._packed[outer] = new_holder(self.inner)
        number = 0
        if holder.rows is not None:
            number = len(holder.rows)
            if number >= self._most_inner:
                number = self._take_oldest(outer, holder)
            holder.rows[self.shared(inner)] = number
        self._size += 1
        return self.layout.new(holder, number, minute)

    def shared(self, inner: Any) -> Any:
        """The same apps are on every device: their names are kept once."""
        if not isinstance(inner, str):
            return inner
        if len(self._names) >= _SHARED:
            self._names.clear()
        return self._names.setdefault(inner, inner)

    # --- the two forms

    def _load(self, outer: Any, inner: Any) -> Row | None:
        """The row as it is packed, if there is one."""
        holder = self._packed.get(outer)
        if holder is None:
            return None
        number = 0 if holder.rows is None else holder.rows.get(inner)
        return None if number is None else self.layout.unpacked(holder, number)

    def pack(self, outer: Any) -> Holder | None:
        """The holder of an outer key, with all that its live rows know."""
        for row in self._rows_of(self.live.get(outer)):
            self.layout.pack(row)
        for generation in self._older:
            self.layout.pack_changed(self._rows_of(generation.get(outer)))
        return self._packed.get(outer)

    def _rows_of(self, found: Any) -> Iterable[Row]:
        """The live rows of what a generation holds for an outer key."""
        if found is None:
            return ()
        return found.values() if self.inner else (found,)

    @property
    def outer(self) -> dict[Any, Holder]:
        """All holders by outer key, with all that live rows know."""
        for generation in (*self._older, self.live):
            for key in generation:
                self.pack(key)
        return self._packed

    def turn(self) -> None:
        """Begin a generation of live rows: ``touched`` is called for every key that is asked for again."""
        if not self.live:
            return
        before = self.live
        self.live = self._spare.pop() if self._spare else {}
        for names, name, method in self._shown.values():
            names[name] = self.live if method is None else getattr(self.live, method)
        self._count = 0
        if not self._older or len(before) > _FEW:
            self._older.append(before)
            return
        into = self._older[-1]
        if self.inner:
            for outer, rows in before.items():
                known = into.setdefault(outer, rows)
                if known is not rows:
                    known.update(rows)
        else:
            into.update(before)
        before.clear()
        self._spare.append(before)

    def _rest(self) -> None:
        """Pack some rows of older generations; those of the one before the present only when that has become
        large, for a key that is asked for again is likely to be among them.
        """
        if len(self._older) > 1 or self._count >= MAX_LIVE // 2:
            self.settle(_RESTING)
        if self._count >= MAX_LIVE:
            self.turn()

    def settle(self, most: int) -> None:
        """Pack the rows of some outer keys of the oldest generation, and give their memory back."""
        oldest = self._older[0]
        rested = self._rested
        for _ in range(min(most, len(oldest))):
            found = oldest.popitem()[1]
            self.layout.pack_changed(self._rows_of(found))
            if len(rested) < _MOST_RESTED:
                for row in self._rows_of(found):
                    self.layout.rest(row)
                    rested.append(row)
        if not oldest:
            del self._older[0]
            if len(self._spare) < 4:
                self._spare.append(oldest)

    def settle_old(self, most: int) -> None:
        """:meth:`settle`, but leave the generation before the present one: for between events."""
        if len(self._older) > 1:
            self.settle(most)

    def taken_apart(self) -> Iterator[Any]:
        """Let go of one outer key after the other. The rows are of no use any more."""
        for held in (self.live, *self._older, self._packed):
            while held:
                yield held.popitem()[0]
        # They refer to who refers to these rows.
        self._shown.clear()
        self.touched = None

    def replace(self, holders: dict[Any, Holder]) -> None:
        """Have these holders and no others."""
        self.live.clear()
        self._older.clear()
        self._count = 0
        self._packed = holders
        self._size = sum(map(len, holders.values()))

    def put(self, outer: Any, holder: Holder) -> None:
        """Have this holder, whatever there was of its key."""
        for generation in (*self._older, self.live):
            generation.pop(outer, None)
        known = self._packed.get(outer)
        self._size += len(holder) - (0 if known is None else len(known))
        self._packed[outer] = holder

    def __contains__(self, outer: Any) -> bool:
        """Whether an outer key has rows."""
        return outer in self._packed

    def __iter__(self) -> Iterator[Any]:
        """All outer keys."""
        return iter(self._packed)

    # --- bounds

    def _take_oldest(self, outer: Any, holder: Holder) -> int:
        """The number of the row that was used least recently, its key gone."""
        assert holder.rows is not None
        ints = self.layout.ints
        self.evicted += 1
        self._size -= 1
        generations = [g[outer] for g in (*self._older, self.live) if outer in g]
        for rows in generations:
            for row in rows.values():
                holder.n[row[NUMBER] * ints + USED] = row[USED]
        used = holder.n[USED::ints].tolist()
        number = used.index(min(used))
        victim = next(key for key, at in holder.rows.items() if at == number)
        del holder.rows[victim]
        for rows in generations:
            rows.pop(victim, None)
        return number

    def _next(self) -> Any:
        """The next holder's key, all in turn."""
        if not self.hand:
            self.hand = list(reversed(self._packed))
        return self.hand.pop() if self.hand else None

    def _sweep(self, minute: int) -> None:
        for _ in range(min(_SWEPT, len(self._packed))):
            self._forget_idle(self._next(), minute)

    def _make_room(self) -> None:
        oldest, victim = None, None
        for _ in range(_SAMPLE):
            key = self._next()
            holder = self._packed.get(key)
            if holder is not None:
                last = self._last(key, holder)
                if oldest is None or last < oldest:
                    oldest, victim = last, key
        if oldest is not None:
            self._drop(victim)
            self.evicted += 1

    def _last(self, outer: Any, holder: Holder) -> int:
        """The minute of the newest event."""
        last = max(holder.n[USED :: self.layout.ints])
        for generation in (self.live, *reversed(self._older)):
            found = generation.get(outer)
            if found:
                newest = max(row[USED] for row in found.values()) if self.inner else found[USED]
                last = max(last, newest)
        return last

    def _drop(self, outer: Any) -> None:
        if self.touched is not None:
            self.touched(outer)
        self._size -= len(self._packed.pop(outer))
        for generation in (*self._older, self.live):
            generation.pop(outer, None)

    def _forget_idle(self, outer: Any, minute: int) -> bool:
        holder = self._packed.get(outer)
        if holder is None or minute - self._last(outer, holder) <= self.idle:
            return False
        self._drop(outer)
        self.forgotten += 1
        return True

    def forget(self, minute: int) -> int:
        """Give back all holders that are idle at a minute; their number. Whether it is called changes no
        answer.
        """
        return sum(self._forget_idle(key, minute) for key in list(self._packed))

    def tend(self, minute: int) -> None:
        """Look at a few holders, and give back those that are idle. Called often, it comes round to all."""
        if not self._tended:
            if minute < self._tend_at:
                return
            self._tend_at = minute + TEND_EVERY_MINUTES
            self._tended = list(self._packed)
        for _ in range(min(TEND_AT_ONCE, len(self._tended))):
            self._forget_idle(self._tended.pop(), minute)

    def __len__(self) -> int:
        """How many keys have a row."""
        return self._size
