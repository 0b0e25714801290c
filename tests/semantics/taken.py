"""What the oracle's choices are made of: an event with its place, and one choice for a pattern."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from dsl import model as m

Moment = tuple[int, float]
"""Item 1: ``(time, position)``. A deadline comes after all events of its time: ``(time, inf)``."""
AFTER_ALL = float("inf")
NEVER = -(10**15)
"""Earlier than every time."""
Identity = tuple[Any, ...]
"""Which events complete the steps of a choice, and which branches they took."""


class Seen(msgspec.Struct, frozen=True):
    """One event of the input. ``wire`` is the JSON object, ``position`` its place in the input."""

    wire: dict[str, Any]
    position: float

    @property
    def moment(self) -> Moment:
        return (self.wire["time"], self.position)

    @property
    def time(self) -> int:
        return int(self.wire["time"])

    @property
    def start(self) -> int:
        """Where bounds measure from: the beginning of an interval, else its time."""
        start = self.wire.get("start")
        return self.time if start is None else int(start)

    @property
    def id(self) -> str:
        return str(self.wire["id"])


class Window(msgspec.Struct, frozen=True):
    """The part of a level's window that a choice takes (item 7).

    ``longer`` is the beginning of the shortest longer part for which the condition holds, None if
    there is none; ``floor`` is how far back the bounds around it let it reach. The choice stands
    only if every longer part reaches further back than that: the longest one that fits is taken.
    """

    longer: int | None
    floor: int = NEVER


class Edge(msgspec.Struct, frozen=True):
    """Of a level that ends a pattern: the choice of all that came before it, the event before the
    one at which it holds at which it could have held, and where the window of the level begins.
    """

    prefix: Identity
    previous: Seen | None
    window_begin: int


class Wait(msgspec.Struct, frozen=True):
    """Of a NO that ends a pattern: what was waited for, and since when."""

    node: m.AbsenceNode
    began: Moment


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """One choice for a step or a pattern.

    ``events`` is the evidence in step order, ``names`` what AS gave names to, ``start`` where a run
    that begins so begins, ``last`` its last event (None for NO alone), ``end`` when it was complete
    and ``end_start`` where a bound from there measures from; ``opening`` is where a minimum gap before it
    measures to: the beginning of its first event, or of its window if its first step is one. ``rank``
    orders choices, earliest first.
    ``voided`` if a guard inside strikes: kept, for what a guard voids still spends an edge.
    """

    events: tuple[Seen, ...]
    names: Mapping[str, Any]
    opening: int
    start: Moment
    last: Seen | None
    end: Moment
    end_start: int
    rank: tuple[float, ...]
    identity: Identity
    windows: tuple[Window, ...] = ()
    voided: bool = False
    edge: Edge | None = None
    wait: Wait | None = None

    @property
    def begin(self) -> int:
        """Where its length measures from: the earliest beginning of any of its events."""
        return min(seen.start for seen in self.events)

    def then(self, others: Taken) -> Taken:
        """This choice for some steps and another for those that follow."""
        edge = others.edge
        if edge is not None:
            edge = Edge(self.identity + edge.prefix, edge.previous, edge.window_begin)
        return Taken(
            events=self.events + others.events,
            names=others.names,
            opening=self.opening if self.events else others.opening,
            start=self.start,
            last=others.last or self.last,
            end=others.end,
            end_start=others.end_start,
            rank=self.rank + others.rank,
            identity=self.identity + others.identity,
            windows=self.windows + others.windows,
            voided=self.voided or others.voided,
            edge=None
            if edge is None
            else Edge(self.identity + edge.prefix, edge.previous, edge.window_begin),
            wait=others.wait,
        )

    def changed(self, **fields: Any) -> Taken:
        """A copy with other values."""
        return msgspec.structs.replace(self, **fields)

    def not_before(self, floor: int) -> Taken:
        """The choice under a bound that lets none of its events begin before a time."""
        windows = tuple(Window(w.longer, max(w.floor, floor)) for w in self.windows)
        return self.changed(windows=windows)

    def settled(self, floor: int = NEVER) -> bool:
        """Whether each window inside is the longest that its bounds allow."""
        return all(w.longer is None or w.longer < max(w.floor, floor) for w in self.windows)
