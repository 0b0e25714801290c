"""When the state of a device can be forgotten.

A device that never returns must not be remembered for good. Its state matters as long as an event
may still come that meets what it keeps: for the rule's horizon and the largest LATE of its types
after the last event (DESIGN.md section 3). States wait in coarse buckets of event time; when a
bucket's time has come its states are looked at once, and forgotten or put into a later bucket. So
the cost is a few list entries a state, and nothing is scanned.
"""

from __future__ import annotations

from typing import Generic, TypeVar

State = TypeVar("State")
_BUCKETS = 8
"""Buckets for the time that a state is kept: it is forgotten at most an eighth of that time late."""
AT_ONCE = 256
"""States looked at in one call: the caller's loop is not held up."""
_NEVER = 1 << 62


class Expiry(Generic[State]):
    """The states of one owner by the time at which each can be forgotten.

    Args:
        keep_ms: how long after its last event a state can still matter.
    """

    __slots__ = ("_width", "buckets", "keep_ms", "next")

    def __init__(self, keep_ms: int) -> None:
        self.keep_ms = keep_ms
        self.next = _NEVER
        """The event time from which :meth:`due` has something to give."""
        self._width = max(1, keep_ms // _BUCKETS)
        self.buckets: dict[int, list[State]] = {}

    def add(self, state: State, last: int) -> None:
        """A state whose last event has this time."""
        number = (last + self.keep_ms) // self._width + 1
        bucket = self.buckets.get(number)
        if bucket is not None:
            bucket.append(state)
            return
        self.buckets[number] = [state]
        self.next = min(self.next, number * self._width)

    def due(self, now: int) -> list[State]:
        """States whose time has come, at most ``AT_ONCE`` of them; each is to be forgotten or added again."""
        found: list[State] = []
        while now >= self.next and len(found) < AT_ONCE:
            number = self.next // self._width
            bucket = self.buckets[number]
            room = AT_ONCE - len(found)
            found.extend(bucket[-room:])
            del bucket[-room:]
            if not bucket:
                del self.buckets[number]
                self.next = min(self.buckets) * self._width if self.buckets else _NEVER
        return found
