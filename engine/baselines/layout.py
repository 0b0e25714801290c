"""The two forms of the rows of baselines (``rows.py``): live, a list; packed, in the arrays of a
:class:`Holder`, with the other rows of its outer key.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from operator import is_not
from struct import Struct
from typing import Any, Final, TypeAlias

import msgspec

USED, BORN = 0, 1
HEAD = 2
"""Numbers that every row begins with: minutes of its newest event and of its first."""
MOST_NUMBER = (1 << 32) - 1

Row: TypeAlias = "list[Any]"
"""A live row: numbers, doubles, objects, what is remembered for speed and never packed; then its number, its
holder, and whether the packed form says the same (of the generation before only).
"""
NUMBER, HOLDER, SAME = -3, -2, -1

NOTHING: Final[dict[Any, Any]] = {}
"""What a row remembers for speed before there is anything. Shared, so never written to."""
_NO_BYTES: Final = bytearray()


class Holder(msgspec.Struct, gc=False):
    """The packed rows of one outer key: bytes of the doubles and of the numbers, and the objects. ``rows``
    maps the rest of the key to the row's number; None: there is one row.
    """

    doubles: bytearray
    numbers: bytearray
    x: tuple[Any, ...]
    rows: dict[Any, int] | None

    @property
    def d(self) -> memoryview[float]:
        """The doubles, to read and to write."""
        return memoryview(self.doubles).cast("d")

    @property
    def n(self) -> memoryview[int]:
        """The numbers, likewise."""
        return memoryview(self.numbers).cast("I")

    def __len__(self) -> int:
        """How many rows it has."""
        return 1 if self.rows is None else len(self.rows)


def new_holder(inner: bool) -> Holder:
    """One without rows; with inner keys, or without."""
    return Holder(_NO_BYTES, _NO_BYTES, (), {} if inner else None)


class Room(msgspec.Struct, frozen=True):
    """Where a baseline's part of each row begins: among the doubles, the numbers, the objects, and what is
    remembered.
    """

    d: int
    n: int
    x: int
    m: int


class Layout:
    """The layout of the rows of one event kind and BY.

    Attributes:
        doubles, ints, objects: how many a row has.
    """

    def __init__(self) -> None:
        self.doubles = 0
        self.ints = HEAD
        self.objects = 0
        self._remembered = 0
        self._counters: list[int] = []
        self._settles: list[Callable[[Row], None]] = []
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

    def counts_at(self, at: int) -> None:
        """The number at this place of a live row only counts up; packed, it stops at 2^32 - 1."""
        self._counters.append(at)

    def settles(self, settle: Callable[[Row], None]) -> None:
        """Have this called with a live row before it is packed: an estimator holds something in another form
        while the row is live.
        """
        self._settles.append(settle)

    def new(self, holder: Holder, number: int, minute: int) -> Row:
        """A live row that knows nothing, with this number in a holder, in which there is room for it then."""
        if number * self.ints * 4 == len(holder.numbers):
            # A new array has no spare room, as one that grows has.
            holder.numbers = holder.numbers + bytes(4 * self.ints)
            if self.doubles:
                holder.doubles = holder.doubles + bytes(8 * self.doubles)
            if self.objects:
                holder.x += (None,) * self.objects
        row = [*self._blank, number, holder, False]
        row[USED] = row[BORN] = minute
        return row

    def empty(self, row: Row, minute: int) -> None:
        """Have a live row know nothing."""
        row[:NUMBER] = self._blank
        row[USED] = row[BORN] = minute

    def rest(self, row: Row) -> None:
        """A live row is of no use any more: what it held must not live on with it."""
        del row[self._end :]

    def unpacked(self, holder: Holder, number: int) -> Row:
        """A row of a holder, to be read only."""
        row: Row = [*self._as_ints.unpack_from(holder.numbers, 4 * number * self.ints)]
        row += self._as_doubles.unpack_from(holder.doubles, 8 * number * self.doubles)
        row += holder.x[number * self.objects : (number + 1) * self.objects]
        row += self._blank[self._end_objects :]
        row += (number, holder, True)
        return row

    def pack(self, row: Row) -> None:
        """Let the packed form say the same as a live row."""
        for at in self._counters:
            if row[at] > MOST_NUMBER:
                row[at] = MOST_NUMBER
        for settle in self._settles:
            settle(row)
        number, holder = row[NUMBER], row[HOLDER]
        self._as_ints.pack_into(holder.numbers, 4 * number * self.ints, *row[: self.ints])
        self._as_doubles.pack_into(holder.doubles, 8 * number * self.doubles, *row[self.ints : self._end])
        if self.objects:
            self._pack_objects(holder, number, tuple(row[self._end : self._end_objects]))

    def _pack_objects(self, holder: Holder, number: int, held: tuple[Any, ...]) -> None:
        x, at = holder.x, number * self.objects
        # Most rows hold what they held before: values that were seen again.
        if len(x) == len(held):
            holder.x = held
        elif any(map(is_not, x[at : at + len(held)], held)):
            holder.x = (*x[:at], *held, *x[at + len(held) :])

    def pack_changed(self, rows: Iterable[Row]) -> None:
        """Pack those of which the packed form does not say the same yet."""
        for row in rows:
            if not row[SAME]:
                self.pack(row)
                row[SAME] = True
