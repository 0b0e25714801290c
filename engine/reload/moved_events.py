"""Kept events as objects of another rule set: fields that mean the same in both are taken over, others are
missing.

Two matchers may have kept the same event: it is one object then in the set that both move to, since the
engine compares events by identity, and has the fields of both.
"""

from __future__ import annotations

from typing import Any

import msgspec

from engine.events import Event, attribute
from engine.kept import Kept, kept_of
from engine.matcher import Matcher
from engine.reload.compare import same_fields
from engine.state.objects import Reader, Writer

_ENVELOPE = Event.__struct_fields__


class Moving(Writer):
    """A writer that keeps the events as objects, those of the new set.

    Args:
        old: whose events they are.
        new: the matcher that is to have them.
        beside: another one whose events move there, too. What both have kept stands there first, and has by
            now the values that the other knows; the places in the input are told by this.
        shared: another will follow to whom this is ``beside``.
    """

    def __init__(
        self, old: Matcher, new: Matcher, beside: Moving | None = None, shared: bool = False
    ) -> None:
        super().__init__()
        self.made: list[Kept] = []
        self._numbers: dict[int, int] = {}
        self._held: list[Kept] = []
        self._converted: dict[int, Event] = {}
        self._beside = beside
        self._places: dict[tuple[str, int], Event] | None = {} if shared else None
        self._structs = {struct.kind: struct for struct in new.event_types}
        self._fields: dict[type[Event], tuple[str, ...]] = {}
        self._known: dict[str, frozenset[str]] = {}
        # What is known of an event here and not by the other.
        self._more: dict[type[Event], tuple[str, ...]] = {}
        for struct in old.event_types:
            kind = struct.kind
            if kind not in self._structs:
                continue
            theirs = set(self._structs[kind].__struct_fields__) & set(struct.__struct_fields__)
            same = {attribute(n) for n in same_fields(old.plan.events[kind], new.plan.events[kind])}
            same |= {*_ENVELOPE, "raw_ref"}
            needed = {f.name for f in msgspec.structs.fields(self._structs[kind]) if f.required}
            if needed <= theirs & same:
                # Else no rule that is moved keeps such events: `compare` has seen to that.
                self._fields[struct] = tuple(n for n in struct.__struct_fields__ if n in theirs & same)
                known = frozenset() if beside is None else beside._known.get(kind, frozenset())
                self._known[kind] = frozenset(self._fields[struct])
                self._more[struct] = tuple(n for n in self._fields[struct] if n not in known)

    def kept(self, kept: Kept) -> int:
        number = self._numbers.get(id(kept))
        if number is None:
            event = self.event_of(kept.event, kept.position)
            made = kept_of(event, kept.position, kept.mask, kept.key, kept.readings)
            number = self._numbers[id(kept)] = len(self.made)
            self.made.append(made)
            self._held.append(kept)
        return number

    def knows(self, event: Event) -> bool:
        """Whether the new set can have the event."""
        return type(event) in self._fields

    def event_of(self, event: Event, position: int) -> Event:
        """An event as one of the new set. ``position``: its place in the input; 0 where nobody knows."""
        found = self._converted.get(id(event))
        if found is None:
            # Alerts as events stand at the place of the event that completes them.
            place = (event.kind, position) if position and not event.is_alert else None
            found = self._of_both(event, place)
            if found is None:
                struct = type(event)
                values: dict[str, Any] = {name: getattr(event, name) for name in self._fields[struct]}
                found = self._structs[struct.kind](**values)
            if self._places is not None and place is not None:
                self._places[place] = found
            self._converted[id(event)] = found
            self._hold.append(event)
        return found

    def _of_both(self, event: Event, place: tuple[str, int] | None) -> Event | None:
        """The same event where the other one has it, with what is known of it here; None if it has not."""
        beside = self._beside
        if beside is None or place is None:
            return None
        assert beside._places is not None
        found = beside._places.get(place)
        if found is not None:
            for name in self._more[type(event)]:
                setattr(found, name, getattr(event, name))
        return found


class Moved(Reader):
    """The reader for it."""

    def __init__(self, moving: Moving) -> None:
        self._objects = moving.made

    def kept(self, number: int) -> Kept:
        return self._objects[number]
