"""Rows of numbers: one for each key, shared by all baselines of that key. A row has two forms.

*Live*: a list, for keys that events come for: numbers are read and written in place, several times faster
than in packed form. *Packed*: for the others, in two arrays (doubles, and unsigned 32-bit numbers) and, for
the estimators that need one, a list of byte strings or small objects. The rows of one device lie together in
a :class:`Holder`: a device has one entry in the large dict, its apps share the arrays, and the number of a
row inside its device is so small that Python keeps no object for it. Measured for 67 apps a device,
everything counted (keys, dicts, arrays): see docs/explanation/baselines.md.

Live rows come in two generations. What is asked for goes into the present one; :meth:`Rows.turn` makes it the
one before, and what nobody has asked for since is packed in the end. So who takes checkpoints learns which
devices have changed since the last one from the way that only the first event of a key takes: the events
after it pay nothing.

Rows are freed by event time: a row idle for longer than ``idle_ms`` is empty when it is next asked for,
whenever its memory is given back. Keys are capped; beyond the cap the least recently used one goes, and is
counted.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from struct import Struct
from typing import Any, Final, TypeAlias

import msgspec

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
USED, BORN = 0, 1
HEAD = 2
"""Numbers that every row begins with: minutes of its newest event and of its first."""
MOST_NUMBER = (1 << 32) - 1

TEND_EVERY_MINUTES: Final = 360
"""How often idle holders are looked for."""
TEND_AT_ONCE: Final = 256
"""Holders looked at in one call: the event loop is not held up."""

Row: TypeAlias = "list[Any]"
"""A live row: numbers, doubles, objects, what is remembered for speed and never packed; then its number, its
holder, and whether the packed form says the same (of the generation before only).
"""
_NUMBER, _HOLDER, _SAME = -3, -2, -1

NOTHING: Final[dict[Any, Any]] = {}
"""What a row remembers for speed before there is anything. Shared, so never written to."""


class Holder:
    """The packed rows of one outer key. ``rows`` maps the rest of the key to the row's number; None: there is
    one row.
    """

    __slots__ = ("d", "n", "rows", "x")

    def __init__(self, inner: bool) -> None:
        self.d: array[float] = array("d")
        self.n: array[int] = array("I")
        self.x: list[Any] = []
        self.rows: dict[Any, int] | None = {} if inner else None


class Room(msgspec.Struct, frozen=True):
    """Where a baseline's part of each row begins: among the doubles, the numbers, the objects, and what is
    remembered.
    """

    d: int
    n: int
    x: int
    m: int


class Rows:
    """All rows of one event kind and BY.

    Args:
        names: the BY fields. With ``device`` among them the device is the outer key and the rest the inner
            one; without, the whole key is the outer one.
        most_inner, most_outer: caps, for tests; else by the form of the key.
        kind: of the events.

    Attributes:
        live: by outer key the live row or, where there are inner keys, the live rows by inner key. Generated
            code looks here first, so it stays the same dict.
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
        self.inner = "device" in names and len(names) > 1
        self.live: dict[Any, Any] = {}
        self.touched: Callable[[Any], None] | None = None
        self._packed: dict[Any, Holder] = {}
        self._before: dict[Any, Any] = {}
        self._count = 0
        self.doubles = 0
        self.ints = HEAD
        self.objects = 0
        self._remembered = 0
        self._counters: list[int] = []
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
        self._lay_out()

    def reserve(self, doubles: int, ints: int, objects: int, remembered: int = 0) -> Room:
        """Room for one more baseline in each row. Before the first row, and before :meth:`place`, only."""
        room = Room(self.doubles, self.ints, self.objects, self._remembered)
        self.doubles += doubles
        self.ints += ints
        self.objects += objects
        self._remembered += remembered
        self._lay_out()
        return room

    def _lay_out(self) -> None:
        self._end = self.ints + self.doubles
        self._end_objects = self._end + self.objects
        self._blank: Row = [*([0] * self.ints), *([0.0] * self.doubles), *([None] * self.objects)]
        self._blank += [NOTHING] * self._remembered
        self._as_ints, self._as_doubles = Struct(f"{self.ints}I"), Struct(f"{self.doubles}d")

    def place(self, room: Room) -> tuple[int, int, int, int]:
        """Where in a live row a baseline's doubles, numbers, objects and what it remembers begin."""
        return self.ints + room.d, room.n, self._end + room.x, self._end_objects + room.m

    def idle_at_least(self, duration_ms: int) -> None:
        """Keep rows at least so long: a baseline looks back that far."""
        self.idle = max(self.idle, -(-duration_ms // MINUTE_MS))

    def counts_at(self, at: int) -> None:
        """The number at this place of a live row only counts up; packed, it stops at 2^32 - 1."""
        self._counters.append(at)

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
        for generation in (self.live, self._before):
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
            self._empty(row, minute)
        row[USED] = minute

    def enter(self, outer: Any, inner: Any, minute: int) -> Row:
        """Make the row of a key live that is not; see :meth:`at`."""
        if self.touched is not None:
            self.touched(outer)
        if self._count >= MAX_LIVE // 2:
            self._rest()
        row: Row | None
        if self.inner:
            rows = self._before.get(outer)
            row = None if rows is None else rows.pop(inner, None)
        else:
            row = self._before.pop(outer, None)
        if row is None:
            row = self._load(outer, inner)
        if row is None:
            row = self._make(outer, inner, minute)
        row[_SAME] = False
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

    def _make(self, outer: Any, inner: Any, minute: int) -> Row:
        """A row for a key that has none."""
        holder = self._packed.get(outer)
        if holder is None:
            self._sweep(minute)
            if len(self._packed) >= self._most_outer:
                self._make_room()
            holder = self._packed[outer] = Holder(self.inner)
        number = 0
        if holder.rows is not None:
            number = len(holder.rows)
            if number >= self._most_inner:
                number = self._take_oldest(outer, holder)
            holder.rows[self.shared(inner)] = number
        if number * self.ints == len(holder.n):
            # A new array has no spare room, as one that grows has.
            holder.d = holder.d + array("d", bytes(8 * self.doubles))
            holder.n = holder.n + array("I", bytes(4 * self.ints))
            if self.objects:
                holder.x.extend([None] * self.objects)
        row = [*self._blank, number, holder, False]
        row[USED] = row[BORN] = minute
        return row

    def shared(self, inner: Any) -> Any:
        """The same apps are on every device: their names are kept once."""
        if not isinstance(inner, str):
            return inner
        if len(self._names) >= _SHARED:
            self._names.clear()
        return self._names.setdefault(inner, inner)

    def _empty(self, row: Row, minute: int) -> None:
        row[:_NUMBER] = self._blank
        row[USED] = row[BORN] = minute

    # --- the two forms

    def _load(self, outer: Any, inner: Any) -> Row | None:
        """The row as it is packed, if there is one."""
        holder = self._packed.get(outer)
        if holder is None:
            return None
        number = 0 if holder.rows is None else holder.rows.get(inner)
        return None if number is None else self.unpacked(holder, number)

    def unpacked(self, holder: Holder, number: int) -> Row:
        """A row of a holder, to be read only."""
        row: Row = [*self._as_ints.unpack_from(holder.n, 4 * number * self.ints)]
        row += self._as_doubles.unpack_from(holder.d, 8 * number * self.doubles)
        row += holder.x[number * self.objects : (number + 1) * self.objects]
        row += self._blank[self._end_objects :]
        row += (number, holder, True)
        return row

    def _pack(self, row: Row) -> None:
        """Let the packed form say the same as a live row."""
        for at in self._counters:
            if row[at] > MOST_NUMBER:
                row[at] = MOST_NUMBER
        number, holder = row[_NUMBER], row[_HOLDER]
        self._as_ints.pack_into(holder.n, 4 * number * self.ints, *row[: self.ints])
        self._as_doubles.pack_into(holder.d, 8 * number * self.doubles, *row[self.ints : self._end])
        if self.objects:
            held = row[self._end : self._end_objects]
            holder.x[number * self.objects : (number + 1) * self.objects] = held

    def pack(self, outer: Any) -> Holder | None:
        """The holder of an outer key, with all that its live rows know."""
        found = self.live.get(outer)
        if found is not None:
            for row in found.values() if self.inner else (found,):
                self._pack(row)
        self._pack_before(self._before.get(outer))
        return self._packed.get(outer)

    def _pack_before(self, found: Any) -> None:
        if found is not None:
            for row in found.values() if self.inner else (found,):
                if not row[_SAME]:
                    self._pack(row)
                    row[_SAME] = True

    @property
    def outer(self) -> dict[Any, Holder]:
        """All holders by outer key, with all that live rows know."""
        for key in (*self._before, *self.live):
            self.pack(key)
        return self._packed

    def turn(self) -> None:
        """Begin a generation of live rows: ``touched`` is called for every key that is asked for again."""
        for found in self._before.values():
            self._pack_before(found)
        self._before = dict(self.live)
        # In place: generated code holds on to the dict.
        self.live.clear()
        self._count = 0

    def _rest(self) -> None:
        """There are many live rows: pack a few of the generation before, so that a turn finds none left."""
        if self._count >= MAX_LIVE:
            self.turn()
        for _ in range(min(4, len(self._before))):
            self._pack_before(self._before.popitem()[1])

    def replace(self, holders: dict[Any, Holder]) -> None:
        """Have these holders and no others."""
        self.live.clear()
        self._before.clear()
        self._count = 0
        self._packed = holders

    def put(self, outer: Any, holder: Holder) -> None:
        """Have this holder, whatever there was of its key."""
        self.live.pop(outer, None)
        self._before.pop(outer, None)
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
        self.evicted += 1
        generations = [g[outer] for g in (self._before, self.live) if outer in g]
        for rows in generations:
            for row in rows.values():
                holder.n[row[_NUMBER] * self.ints + USED] = row[USED]
        used = holder.n[USED :: self.ints]
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
        last = max(holder.n[USED :: self.ints])
        for generation in (self.live, self._before):
            found = generation.get(outer)
            if found:
                newest = max(row[USED] for row in found.values()) if self.inner else found[USED]
                last = max(last, newest)
        return last

    def _drop(self, outer: Any) -> None:
        if self.touched is not None:
            self.touched(outer)
        del self._packed[outer]
        self.live.pop(outer, None)
        self._before.pop(outer, None)

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
        return sum(1 if h.rows is None else len(h.rows) for h in self._packed.values())
