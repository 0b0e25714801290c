"""What completes a step that is no single event: several events, or a deadline."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from engine.alerts import rfc3339
from engine.baselines import Reading
from engine.kept import Kept

AFTER_ALL: Final = 1 << 62
"""The position of a deadline: after every event of its time. A position has 20 bits for the
index, so a stream comes near after four million million messages."""


class Group(Kept, gc=False):
    """The events of AT LEAST, ALL OF or ANY, completed by ``last``. :func:`group_of` makes them.

    It stands in a choice like its last event, but ``begin`` is the least of all its events.

    Attributes:
        events: all of them, in order; under DISTINCT the newest of each value.
        size: how many fitted, before DISTINCT took the newest.
        names: the steps named inside the branches that are present.
        branches: for ALL OF and ANY how many are present, else 0.
    """

    events: tuple[Kept, ...]
    completing: Kept
    size: int
    names: dict[str, Kept]
    branches: int

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Group) and self.events == other.events and self.order == other.order

    def __hash__(self) -> int:
        return hash(self.order)

    @property
    def count(self) -> int:
        return len(self.events)

    @property
    def first(self) -> Kept:
        return self.events[0]

    @property
    def last(self) -> Kept:
        return self.events[-1]

    def named(self, name: str) -> Any:
        """The element of a step inside a branch; one whose every field is missing if it was not taken."""
        return self.names.get(name, NOTHING)

    def values(self, attribute: str) -> tuple[Any, ...]:
        """The values of a field over all events, the missing left out."""
        found = (getattr(kept.event, attribute, None) for kept in self.events)
        return tuple(value for value in found if value is not None)


def group_of(
    events: Iterable[Kept],
    completing: Kept,
    size: int,
    names: Mapping[str, Kept] | None = None,
    branches: int = 0,
) -> Group:
    """A group; see :class:`Group`."""
    members = tuple(events)
    # The latest event that has a reading gives it (LANGUAGE.md section 6).
    readings: dict[str, Reading] | None = None
    for kept in members:
        if kept.readings:
            readings = {**(readings or {}), **kept.readings}
    return Group(
        completing.event,
        completing.time,
        completing.order,
        min(kept.begin for kept in members),
        completing.mask,
        completing.key,
        readings,
        members,
        completing,
        size,
        {} if names is None else dict(names),
        branches,
    )


class Deadline(Kept, gc=False):
    """The end of ``NO g FOR d``. ``clocks`` numbers the clock that must have passed it. :func:`deadline_of`
    makes them.

    It carries the event before it, for the device and nothing else.
    """

    duration_ms: int
    clocks: int

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Deadline) and self.time == other.time and self.duration_ms == other.duration_ms
        )

    def __hash__(self) -> int:
        return hash(self.order)

    @property
    def event_id(self) -> str:
        return f"deadline {rfc3339(self.time)}"


def deadline_of(time: int, before: Kept, duration_ms: int, clocks: int) -> Deadline:
    """The end of a silence after an event; see :class:`Deadline`."""
    return Deadline(before.event, time, (time, AFTER_ALL), time, 0, before.key, None, duration_ms, clocks)


class Nothing:
    """The element of a step that was not taken: every field of it is missing."""

    event = None
    readings = None
    count = None

    @property
    def first(self) -> Nothing:
        return self

    @property
    def last(self) -> Nothing:
        return self

    def named(self, name: str) -> Nothing:
        del name
        return self

    def values(self, attribute: str) -> tuple[Any, ...]:
        del attribute
        return ()


NOTHING: Final = Nothing()


def last_begin(element: Kept) -> int:
    """Where a gap after an element measures from: the begin of its last event."""
    return element.completing.begin if isinstance(element, Group) else element.begin


def first_event(element: Kept) -> Kept:
    """The first event of an element: where look backs look from."""
    return element.events[0] if isinstance(element, Group) else element


def flat(elements: Iterable[Kept]) -> tuple[Kept, ...]:
    """The events of a choice, deadlines left out."""
    found: list[Kept] = []
    for element in elements:
        if isinstance(element, Group):
            found.extend(element.events)
        elif not isinstance(element, Deadline):
            found.append(element)
    return tuple(found)
