"""Kept events and what is made of them, as plain data.

Rules share events, and the matches of a rule share what it keeps: the engine compares such objects by
identity. So each object stands in a table once and is named by its number, and what comes back shares what
went in.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Union

import msgspec

from engine.automaton import Events, Match
from engine.baselines import Reading
from engine.elements import Deadline, Group, deadline_of, group_of
from engine.events import Event
from engine.kept import Kept, kept_of

_READINGS = msgspec.msgpack.Decoder(dict[str, Reading])
Plain = Any
"""What MessagePack can hold: numbers, text, lists and maps of such."""


class Writer:
    """Collects the tables. ``state`` are the tables once everything has been written."""

    def __init__(self) -> None:
        self._events: dict[int, int] = {}
        self._reading_numbers: dict[int, int] = {}
        self._kept: dict[int, int] = {}
        self._hold: list[object] = []
        self._event_table: list[bytes] = []
        self._reading_table: list[bytes] = []
        self._kept_table: list[list[Plain]] = []

    @property
    def state(self) -> list[Plain]:
        return [self._event_table, self._reading_table, self._kept_table]

    def kept(self, kept: Kept) -> int:
        """The number of a kept event that is no group and no deadline."""
        number = self._kept.get(id(kept))
        if number is None:
            readings = self.readings(kept.readings)
            row = [self.event(kept.event), kept.position, kept.mask, list(kept.key), readings]
            number = self._kept[id(kept)] = len(self._kept_table)
            self._kept_table.append(row)
            self._hold.append(kept)
        return number

    def element(self, element: Kept) -> Plain:
        """What completes a step."""
        if isinstance(element, Group):
            return [
                "group",
                [self.kept(kept) for kept in element.events],
                self.kept(element.completing),
                element.size,
                {name: self.element(inner) for name, inner in element.names.items()},
                element.branches,
            ]
        if isinstance(element, Deadline):
            # It stands for the event before it, of which it shows the device and the key.
            before = kept_of(element.event, 0, 0, element.key, None)
            return ["deadline", element.time, self.kept(before), element.duration_ms, element.clocks]
        return self.kept(element)

    def events(self, events: Events) -> list[Plain]:
        """A choice of events."""
        return [self.element(element) for element in events]

    def match(self, match: Match) -> list[Plain]:
        return [list(match.key), match.chain, self.events(match.events), match.capped, list(match.waits)]

    def event(self, event: Event) -> int:
        """The number of an event."""
        number = self._events.get(id(event))
        if number is None:
            number = self._events[id(event)] = len(self._event_table)
            self._event_table.append(msgspec.msgpack.encode(event))
            self._hold.append(event)
        return number

    def readings(self, readings: dict[str, Reading] | None) -> int | None:
        """The number of the baseline values of an event."""
        if readings is None:
            return None
        number = self._reading_numbers.get(id(readings))
        if number is None:
            number = self._reading_numbers[id(readings)] = len(self._reading_table)
            self._reading_table.append(msgspec.msgpack.encode(readings))
            self._hold.append(readings)
        return number


class Reader:
    """Gives back what a :class:`Writer` wrote.

    Args:
        state: the tables.
        types: every type of event there can be, those of alerts included; or :meth:`decoder` of them.
    """

    def __init__(self, state: list[Plain], types: list[type[Event]] | Callable[[bytes], Event]) -> None:
        events, readings, self._rows = state
        decode = self.decoder(types) if isinstance(types, list) else types
        self._events: list[Event] = [decode(raw) for raw in events]
        self._readings = [_READINGS.decode(raw) for raw in readings]
        self._made: dict[int, Kept] = {}

    @staticmethod
    def decoder(types: list[type[Event]]) -> Callable[[bytes], Event]:
        """What reads events of these types, for who has many readers to make."""
        union: Any = Union[tuple(types)] if types else Event  # noqa: UP007 - built at run time
        return msgspec.msgpack.Decoder(union).decode

    def kept(self, number: int) -> Kept:
        found = self._made.get(number)
        if found is None:
            event, position, mask, key, readings = self._rows[number]
            known = self.readings(readings)
            found = self._made[number] = kept_of(self._events[event], position, mask, tuple(key), known)
        return found

    def event(self, number: int) -> Event:
        """An event by its number."""
        return self._events[number]

    def readings(self, number: int | None) -> dict[str, Reading] | None:
        """The baseline values of an event by their number."""
        return None if number is None else self._readings[number]

    def element(self, plain: Plain) -> Kept:
        if isinstance(plain, int):
            return self.kept(plain)
        if plain[0] == "group":
            _, members, completing, size, names, branches = plain
            inner = {name: self.element(element) for name, element in names.items()}
            return group_of(map(self.kept, members), self.kept(completing), size, inner, branches)
        _, time, before, duration_ms, clocks = plain
        return deadline_of(time, self.kept(before), duration_ms, clocks)

    def events(self, plain: list[Plain]) -> Events:
        return tuple(self.element(element) for element in plain)

    def match(self, plain: list[Plain]) -> Match:
        key, chain, events, capped, waits = plain
        found = tuple((deadline, clock) for deadline, clock in waits)
        return Match(tuple(key), chain, self.events(events), capped, found)
