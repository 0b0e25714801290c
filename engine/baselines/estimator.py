"""What all estimators share: a place in the rows of their key, and a peer that answers while the key is
cold.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal

import msgspec

from engine.baselines import Reading
from engine.baselines.layout import BORN, USED, Room, Row
from engine.baselines.rows import MINUTE_MS, Rows

Answer = tuple["Estimator", Row]


class Terms(msgspec.Struct, frozen=True):
    """The terms of a declaration that an estimator works by. Times in milliseconds.

    Attributes:
        every_ms: bucket length; None: each event is a sample.
        over_ms: how far back novelty and prevalence look.
        warmup: samples before a robust or fanout key answers.
        grace_ms: of the event type: an event that is older than the newest one of its key by more is late,
            where no bucket says so.
    """

    name: str
    every_ms: int | None = None
    over_ms: int | None = None
    warmup: int = 30
    grace_ms: int = 300_000


class Fixed(Exception):
    """A state given in a TEST does not fit the estimator; the message is one sentence."""


class Estimator:
    """One baseline's part of the rows of its key.

    ``observe`` and the functions are called by generated code with the live row, so that looking a key up is
    done once for all baselines of the key. ``peer`` there is the key of the coarser row, in the form of
    :meth:`Rows.key`. What ``observe`` gives is passed back to the functions, for the same event and before
    the next one; None stands for "not observed", and then there may be no row.
    """

    using: ClassVar[str]
    doubles: ClassVar[int] = 0
    ints: ClassVar[int] = 0
    objects: ClassVar[int] = 0
    remembered: ClassVar[int] = 0
    functions: ClassVar[tuple[str, ...]]

    def __init__(self, terms: Terms, rows: Rows, room: Room, peer: Estimator | None = None) -> None:
        self.terms = terms
        self.name = terms.name
        self.rows = rows
        self.room = room
        self.peer = peer
        self._cell, self._at, self._slot, self._memory = rows.layout.place(room)
        self.scope: Literal["device", "fleet"] = "device" if "device" in rows.names else "fleet"
        self._grace = terms.grace_ms // MINUTE_MS

    @property
    def doubles_at(self) -> int:
        """Where in a live row its doubles begin."""
        return self._cell

    @property
    def numbers_at(self) -> int:
        """Where in a live row its numbers begin."""
        return self._at

    @property
    def memory_at(self) -> int:
        """Where in a live row it remembers things for speed."""
        return self._memory

    def observe(self, row: Row, time: int, value: Any, peer: Any) -> Any:
        """Take a value: judge, then learn. Gives what the functions need to answer for this event."""
        raise NotImplementedError

    def warm(self, row: Row) -> bool:
        """Whether the row itself has enough history."""
        raise NotImplementedError

    def ready(self, row: Row | None, seen: Any, peer: Any) -> bool:
        """Whether the key, or else its peer, has enough history to answer for the event."""
        return seen is not None and row is not None and self.answering(row, peer) is not None

    def reading(self, row: Row, seen: Any, peer: Any, time: int, value: Any) -> Reading:
        """Everything an alert says of the event."""
        raise NotImplementedError

    def fix(self, key: Any, state: Mapping[str, Any], time: int) -> None:
        """Set a key as a TEST's GIVEN says, as of a time.

        Raises:
            Fixed: the state is not one of this estimator.
        """
        raise NotImplementedError

    def pack(self, held: Any) -> Any:
        """An object of a row in the form that a snapshot stores: bytes, numbers, lists, dicts."""
        return held

    def unpack(self, stored: Any) -> Any:
        """The inverse of :meth:`pack`."""
        return stored

    # --- shared

    def ask(self, function: str) -> Callable[[Row | None, Any, Any], Any]:
        """The function of that name: ``(row, seen, peer)`` to its answer, or None."""
        assert function in (*self.functions, "ready")
        found: Callable[[Row | None, Any, Any], Any] = getattr(self, function)
        return found

    def answering(self, row: Row, peer: Any) -> Answer | None:
        """Who answers for a row: itself when warm, else its peer when that is."""
        if self.warm(row):
            return self, row
        if self.peer is not None:
            found = self.peer.rows.find(peer)
            if found is not None and self.peer.warm(found):
                return self.peer, found
        return None

    def is_late(self, row: Row, minute: int) -> bool:
        """Whether an event is too old to be learned, where no bucket says so."""
        return bool(minute < row[USED] - self._grace)

    def age_ms(self, row: Row, time: int) -> int:
        """Time since the first event of the row."""
        return int(max(0, time - row[BORN] * MINUTE_MS))


def require(state: Mapping[str, Any], using: str, *names: str) -> None:
    """Refuse a given state that has other parts than these."""
    if set(state) != set(names):
        shown = " ".join(state) or "nothing"
        raise Fixed(f"a {using} baseline is given as {{ {' '.join(names)} }}, not {{ {shown} }}")


def numbers(state: Mapping[str, Any], *names: str) -> list[float]:
    """Parts of a given state that must be numbers, none below zero."""
    found = []
    for name in names:
        value = state[name]
        if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
            raise Fixed(f"`{name}` must be a number, not below zero")
        found.append(float(value))
    return found
