"""One estimator with rows of its own, asked as the generated code asks it."""

from __future__ import annotations

from typing import Any

from engine.baselines import Reading
from engine.baselines.declared import ESTIMATORS
from engine.baselines.estimator import Estimator, Terms
from engine.baselines.layout import Row
from engine.baselines.rows import MINUTE_MS, Rows

MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
KEY = ("d1", "app")


class Told:
    """What was said of one event."""

    def __init__(self, estimator: Estimator, row: Row, seen: Any, peer: Any, time: int, value: Any):
        self._estimator = estimator
        self._arguments = (row, seen, peer)
        self._time, self._value = time, value

    def __getattr__(self, function: str) -> Any:
        """The answer of a baseline function."""
        return self._estimator.ask(function)(*self._arguments)

    @property
    def reading(self) -> Reading:
        return self._estimator.reading(*self._arguments, self._time, self._value)


class One:
    """One baseline. ``peer``: positions of the key's parts that make the coarser key."""

    def __init__(
        self,
        using: str,
        names: tuple[str, ...] = ("device", "app"),
        peer: tuple[str, ...] | None = None,
        most_inner: int | None = None,
        most_outer: int | None = None,
        **terms: Any,
    ) -> None:
        make = ESTIMATORS[using]
        self.rows = Rows(names, most_inner, most_outer)
        self.peer_rows = None if peer is None else Rows(peer)
        said = Terms("b", **terms)
        room = (make.doubles, make.ints, make.objects, make.remembered)
        other = None
        if self.peer_rows is not None:
            other = make(said, self.peer_rows, self.peer_rows.layout.reserve(*room))
        self.estimator = make(said, self.rows, self.rows.layout.reserve(*room), other)
        self._peer_at = () if peer is None else tuple(names.index(name) for name in peer)

    def observe(self, time: int, value: Any = None, key: tuple[Any, ...] = KEY) -> Told:
        row = self.rows.at(self.rows.key(key), time // MINUTE_MS)
        peer = None
        if self.peer_rows is not None:
            peer = self.peer_rows.key(tuple(key[i] for i in self._peer_at))
        seen = self.estimator.observe(row, time, value, peer)
        return Told(self.estimator, row, seen, peer, time, value)

    def fix(self, state: dict[str, Any], time: int = 0, key: tuple[Any, ...] = KEY) -> None:
        self.estimator.fix(self.rows.key(key), state, time)


def levels(one: One, row: Row) -> tuple[float, ...]:
    """The open sum, centre, spread, slow centre and slow spread of a robust row."""
    at = one.estimator.doubles_at
    return tuple(row[at : at + 5])
