"""The clocks of the event types, and the deadlines that wait for them.

Each type has a clock (LANGUAGE.md section 4 item 8): the greatest time seen of it less its GRACE. A
deadline has passed when every type that could still void it shows a later time. Wall-clock time
comes in through :meth:`Clocks.advance` and moves only silent types: those never seen, and those of
which nothing has arrived for longer than their GRACE. They stand at wall clock less GRACE. A type
that is heard of keeps its own time, however far behind: its events may simply be slow to arrive.

Deadlines wait in one heap for each set of types, so that nothing is scanned; who waits is named by
a rule's number and a device.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, TypeAlias

Kinds: TypeAlias = tuple[str, ...]
NEVER = -(1 << 62)


class Due(NamedTuple):
    """A deadline that has passed: when, whose, on which clock. Those of one moment are in the order of rules
    and devices, whenever they were set. ``own``: it is the rule's own and not that of a device.
    """

    deadline: int
    rule: int
    device: str
    clock: int
    own: bool


class Clocks:
    """The clocks of one matcher.

    Args:
        graces: GRACE by event kind, in milliseconds.
    """

    def __init__(self, graces: Mapping[str, int]) -> None:
        self._graces = dict(graces)
        self._seen: dict[str, int] = {}
        self._arrived: dict[str, int] = {}
        self._wall: dict[str, int] = {}
        self._closed = NEVER
        self._now: int | None = None
        self._heaps: dict[Kinds, list[Due]] = {}
        self._of_kind: dict[str, list[Kinds]] = {}
        # Deadlines of no device, which are few among many.
        self._own: list[tuple[Kinds, Due]] = []

    def watch(self, kinds: Kinds) -> None:
        """Make a set of types known whose deadlines will wait here."""
        if kinds not in self._heaps:
            self._heaps[kinds] = []
            for kind in kinds:
                self._of_kind.setdefault(kind, []).append(kinds)

    @property
    def watched(self) -> frozenset[str]:
        """The types that deadlines wait for."""
        return frozenset(self._of_kind)

    @property
    def heaps(self) -> list[list[Due]]:
        """The deadlines that wait."""
        return list(self._heaps.values())

    @property
    def waiting(self) -> bool:
        """Whether a deadline waits."""
        return any(self._heaps.values())

    def passed(self, kinds: Kinds) -> int:
        """The latest time that the clocks of all these types have passed."""
        return max(self._closed, min(map(self._passed, kinds), default=NEVER))

    def _passed(self, kind: str) -> int:
        # A clock that shows a time has passed all before it: an event at that very time may still come.
        seen = self._seen.get(kind)
        own = NEVER if seen is None else seen - self._graces[kind] - 1
        return max(own, self._wall.get(kind, NEVER))

    @property
    def has_wall(self) -> bool:
        """Whether anybody has said what the wall clock shows; in a replay nobody does."""
        return self._now is not None

    @property
    def wall(self) -> int:
        """What the wall clock shows as far as anybody has said, epoch milliseconds; 0 where nobody has."""
        return self._now or 0

    def shows(self, kinds: Kinds, time: int) -> bool:
        """Whether events of each of these types show a time: they are heard of up to then."""
        return all(self._seen.get(kind, NEVER) >= time for kind in kinds)

    def wait(self, kinds: Kinds, deadline: int, rule: int, device: str | None, clock: int) -> None:
        """Have a deadline come back from :meth:`seen` or :meth:`advance` when it has passed."""
        due = Due(deadline, rule, device or "", clock, device is None)
        heapq.heappush(self._heaps[kinds], due)
        if due.own:
            self._own.append((kinds, due))

    def seen(self, kind: str, time: int) -> list[Due]:
        """An event of a watched type with a time later than all before; what has passed by it."""
        self._seen[kind] = time
        return self._due(self._of_kind[kind])

    def arrived(self, kind: str) -> None:
        """An event of a watched type arrived, whatever its time."""
        if self._now is not None:
            self._arrived[kind] = self._now

    def advance(self, now: int) -> list[Due]:
        """The wall clock shows ``now`` (epoch milliseconds; it never goes back)."""
        if self._now is not None and now <= self._now:
            return []
        self._now = now
        moved: dict[Kinds, None] = {}
        for kind, groups in self._of_kind.items():
            shows = now - self._graces[kind]
            if kind not in self._arrived or self._arrived[kind] < shows:
                self._wall[kind] = shows - 1
                moved.update(dict.fromkeys(groups))
        return self._due(moved)

    def close(self, until: int) -> list[Due]:
        """Every clock passes this time: nothing at or before it is still to come."""
        self._closed = max(self._closed, until)
        return self._due(self._heaps)

    def state(self, of_devices: bool = True) -> list[Any]:
        """All that is known, as plain data; without the deadlines of devices if those are not asked for."""
        if of_devices:
            heaps = [[list(kinds), [list(due) for due in heap]] for kinds, heap in self._heaps.items()]
        else:
            heaps = [[list(kinds), [list(due)]] for kinds, due in self._own]
        return [self._seen, self._arrived, self._wall, self._closed, self._now, heaps]

    def restore(self, state: list[Any]) -> None:
        """Go on from what :meth:`state` gave."""
        self._seen, self._arrived, self._wall, self._closed, self._now, heaps = state
        self._heaps = {kinds: [] for kinds in self._heaps}
        for kinds, heap in heaps:
            self._heaps[tuple(kinds)] += [Due(*due) for due in heap]
        for heap in self._heaps.values():
            heapq.heapify(heap)
        self._own = [(kinds, due) for kinds, heap in self._heaps.items() for due in heap if due.own]

    def _due(self, groups: Iterable[Kinds]) -> list[Due]:
        found: list[Due] = []
        for kinds in groups:
            heap = self._heaps[kinds]
            if heap:
                passed = self.passed(kinds)
                while heap and heap[0].deadline <= passed:
                    due = heapq.heappop(heap)
                    found.append(due)
                    if due.own:
                        self._own.remove((kinds, due))
        return sorted(found)
