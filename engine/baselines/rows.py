"""Rows of packed numbers: one for each key, shared by all baselines of that key.

A row lies in two arrays (doubles, and unsigned 32-bit numbers) and, for the estimators that need one, a
list of byte strings or small objects. The rows of one device lie together in a :class:`Holder`: a device
has one entry in the large dict, its apps share the arrays, and the number of a row inside its device is so
small that Python keeps no object for it. Measured for 67 apps a device, everything counted (keys, dicts,
arrays): see docs/explanation/baselines.md.

Rows are freed by event time: a row idle for longer than ``idle_ms`` is empty when it is next asked for,
whenever its memory is given back. Keys are capped; beyond the cap the least recently used one goes, and is
counted.
"""

from __future__ import annotations

from array import array
from typing import Any, Final

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
_SAMPLE = 64
"""At a cap without order, the least recently used of so many is what goes."""
_SWEPT = 2
"""Holders looked at for each new one: all are seen before their number has grown by half."""
_SHARED = 65_536
_USED, _BORN = 0, 1
HEAD = 2
"""Numbers that every row begins with: minutes of its newest event and of its first."""

TEND_EVERY_MINUTES: Final = 360
"""How often idle holders are looked for."""
TEND_AT_ONCE: Final = 256
"""Holders looked at in one call: the event loop is not held up."""


class Holder:
    """The rows of one outer key. ``rows`` maps the rest of the key to the row's number; None: there is one
    row.
    """

    __slots__ = ("d", "n", "rows", "x")

    def __init__(self, inner: bool) -> None:
        self.d: array[float] = array("d")
        self.n: array[int] = array("I")
        self.x: list[Any] = []
        self.rows: dict[Any, int] | None = {} if inner else None


class Room(msgspec.Struct, frozen=True):
    """Where a baseline's part of each row begins."""

    d: int
    n: int
    x: int


class Rows:
    """All rows of one event kind and BY.

    Args:
        names: the BY fields. With ``device`` among them the device is the outer key and the rest the inner
            one; without, the whole key is the outer one.
        most_inner, most_outer: caps, for tests; else by the form of the key.

    Attributes:
        hand: keys of the holders that are looked at next, the next one last.
        evicted: rows and holders dropped at a cap.
        forgotten: holders dropped because they were idle.
    """

    def __init__(
        self, names: tuple[str, ...], most_inner: int | None = None, most_outer: int | None = None
    ) -> None:
        self.names = names
        self.inner = "device" in names and len(names) > 1
        self.outer: dict[Any, Holder] = {}
        self.doubles = 0
        self.ints = HEAD
        self.objects = 0
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

    def reserve(self, doubles: int, ints: int, objects: int) -> Room:
        """Room for one more baseline in each row. Before the first row only."""
        room = Room(self.doubles, self.ints, self.objects)
        self.doubles += doubles
        self.ints += ints
        self.objects += objects
        return room

    def idle_at_least(self, duration_ms: int) -> None:
        """Keep rows at least so long: a baseline looks back that far."""
        self.idle = max(self.idle, -(-duration_ms // MINUTE_MS))

    # --- keys

    def key(self, parts: tuple[Any, ...]) -> Any:
        """The parts of a key in order of ``names``, as :meth:`open` and :meth:`find` take them."""
        if not self.inner:
            return parts[0] if len(parts) == 1 else parts
        at = self.names.index("device")
        rest = parts[:at] + parts[at + 1 :]
        return parts[at], rest[0] if len(rest) == 1 else rest

    def find(self, key: Any) -> tuple[Holder, int] | None:
        """The row of a key, if there is one."""
        if not self.inner:
            holder = self.outer.get(key)
            return None if holder is None else (holder, 0)
        holder = self.outer.get(key[0])
        row = None if holder is None or holder.rows is None else holder.rows.get(key[1])
        return None if holder is None or row is None else (holder, row)

    def at(self, key: Any, minute: int) -> tuple[Holder, int]:
        """The row of a key, made or emptied where need be, with its newest time noted."""
        if not self.inner:
            holder = self.outer.get(key)
            if holder is None:
                return self.open(key, None, minute)
            last = holder.n[_USED]
            if last < minute:
                if minute - last > self.idle:
                    self._empty(holder, 0, minute)
                holder.n[_USED] = minute
            return holder, 0
        found = self.find(key)
        if found is None:
            return self.open(key[0], key[1], minute)
        self.touch(*found, minute)
        return found

    def open(self, outer: Any, inner: Any, minute: int) -> tuple[Holder, int]:
        """Make a row for a key that has none."""
        holder = self.outer.get(outer)
        if holder is None:
            self._sweep(minute)
            if len(self.outer) >= self._most_outer:
                self._make_room()
            holder = self.outer[outer] = Holder(self.inner)
        row = 0
        if holder.rows is not None:
            row = len(holder.rows)
            if row >= self._most_inner:
                row = self._take_oldest(holder)
            holder.rows[self.shared(inner)] = row
        if row * self.ints == len(holder.n):
            # A new array has no spare room, as one that grows has.
            holder.d = holder.d + array("d", bytes(8 * self.doubles))
            holder.n = holder.n + array("I", bytes(4 * self.ints))
            if self.objects:
                holder.x.extend([None] * self.objects)
        self._empty(holder, row, minute)
        return holder, row

    def shared(self, inner: Any) -> Any:
        """The same apps are on every device: their names are kept once."""
        if not isinstance(inner, str):
            return inner
        if len(self._names) >= _SHARED:
            self._names.clear()
        return self._names.setdefault(inner, inner)

    def touch(self, holder: Holder, row: int, minute: int) -> None:
        """Note the time of an event; a row that was idle for too long is emptied."""
        at = row * self.ints
        last = holder.n[at]
        if minute > last:
            if minute - last > self.idle:
                self._empty(holder, row, minute)
            holder.n[at] = minute

    def newest(self, holder: Holder, row: int) -> int:
        """Minute of the newest event of a key."""
        return holder.n[row * self.ints + _USED]

    def born(self, holder: Holder, row: int) -> int:
        """Minute of the first event of a key."""
        return holder.n[row * self.ints + _BORN]

    def _empty(self, holder: Holder, row: int, minute: int) -> None:
        doubles, ints, objects = self.doubles, self.ints, self.objects
        holder.d[row * doubles : (row + 1) * doubles] = array("d", bytes(8 * doubles))
        holder.n[row * ints : (row + 1) * ints] = array("I", [minute, minute, *([0] * (ints - HEAD))])
        if objects:
            holder.x[row * objects : (row + 1) * objects] = [None] * objects

    # --- bounds

    def _take_oldest(self, holder: Holder) -> int:
        """The number of the row that was used least recently, its key gone."""
        assert holder.rows is not None
        self.evicted += 1
        used = holder.n[_USED :: self.ints]
        row = used.index(min(used))
        victim = next(key for key, number in holder.rows.items() if number == row)
        del holder.rows[victim]
        return row

    def _next(self) -> Any:
        """The next holder's key, all in turn."""
        if not self.hand:
            self.hand = list(reversed(self.outer))
        return self.hand.pop() if self.hand else None

    def _sweep(self, minute: int) -> None:
        for _ in range(min(_SWEPT, len(self.outer))):
            key = self._next()
            holder = self.outer.get(key)
            if holder is not None and minute - self._last(holder) > self.idle:
                del self.outer[key]
                self.forgotten += 1

    def _make_room(self) -> None:
        oldest, victim = None, None
        for _ in range(_SAMPLE):
            key = self._next()
            holder = self.outer.get(key)
            if holder is not None and (oldest is None or self._last(holder) < oldest):
                oldest, victim = self._last(holder), key
        if oldest is not None:
            del self.outer[victim]
            self.evicted += 1

    def _last(self, holder: Holder) -> int:
        return max(holder.n[_USED :: self.ints])

    def forget(self, minute: int) -> int:
        """Give back all holders that are idle at a minute; their number. Whether it is called changes no
        answer.
        """
        idle = [key for key, holder in self.outer.items() if minute - self._last(holder) > self.idle]
        for key in idle:
            del self.outer[key]
        self.forgotten += len(idle)
        return len(idle)

    def tend(self, minute: int) -> None:
        """Look at a few holders, and give back those that are idle. Called often, it comes round to all."""
        if not self._tended:
            if minute < self._tend_at:
                return
            self._tend_at = minute + TEND_EVERY_MINUTES
            self._tended = list(self.outer)
        for _ in range(min(TEND_AT_ONCE, len(self._tended))):
            key = self._tended.pop()
            holder = self.outer.get(key)
            if holder is not None and minute - self._last(holder) > self.idle:
                del self.outer[key]
                self.forgotten += 1

    def __len__(self) -> int:
        """How many keys have a row."""
        return sum(1 if h.rows is None else len(h.rows) for h in self.outer.values())
