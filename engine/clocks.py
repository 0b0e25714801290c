"""The clocks of the event types, and the deadlines that wait for them.

Each type has a clock (LANGUAGE.md section 4 item 8): the greatest time seen of it less its GRACE. A
deadline has passed when every type that could still void it shows a later time. Wall-clock time
comes in through :meth:`Clocks.advance` and moves only silent types: those never seen, and those of
which nothing has arrived for longer than their GRACE. They stand at wall clock less GRACE. A type
that is heard of keeps its own time, however far behind: its events may simply be slow to arrive.

Deadlines wait in one heap for each set of types, so that nothing is scanned; who waits is named by
a rule's number and a device. Where many pass in one step of the clocks, none comes out by itself: it is a
long step, and :meth:`Clocks.take` gives its deadlines a few at a time (``engine.deadlines``).
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple, TypeAlias

Kinds: TypeAlias = tuple[str, ...]
NEVER = -(1 << 62)
MOST_AT_ONCE: Final = 128
"""Deadlines of one set of types that pass together and are released at once: 3 to 10 ms. More than these make
a long step.
"""


class Due(NamedTuple):
    """A deadline that has passed: when, whose, on which clock. Those of one moment are in the order of rules
    and devices, whenever they were set. ``own``: it is the rule's own and not that of a device.
    """

    deadline: int
    rule: int
    device: str
    clock: int
    own: bool


def _always_live(_: Due) -> bool:
    return True


class Clocks:
    """The clocks of one matcher.

    Args:
        graces: GRACE by event kind, in milliseconds.

    Attributes:
        is_live: whether somebody still waits for a deadline. Who comes to wait for an earlier one leaves the
            other behind in the heap.
        long: the long steps under way, each with the time up to which its deadlines have passed.
        begun: those of them that have begun since somebody looked, who takes them out.
    """

    def __init__(self, graces: Mapping[str, int]) -> None:
        self.is_live: Callable[[Due], bool] = _always_live
        self.long: dict[Kinds, int] = {}
        self.begun: list[Kinds] = []
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

    def heard_since(self, kinds: Kinds, time: int) -> bool:
        """Whether an event of one of these types shows that time or a later one."""
        return any(self._seen.get(kind, NEVER) >= time for kind in kinds)

    def wait(self, kinds: Kinds, deadline: int, rule: int, device: str | None, clock: int) -> None:
        """Have a deadline come back from :meth:`seen` or :meth:`advance` when it has passed."""
        self._put(kinds, Due(deadline, rule, device or "", clock, device is None))

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
        """Every clock passes this time: nothing at or before it is still to come. No step is long then."""
        self._closed = max(self._closed, until)
        return sorted(due for kinds in self._heaps for due in self._pop(kinds, self.passed(kinds)))

    def first(self, kinds: Kinds) -> int:
        """The first deadline of a long step."""
        return self._heaps[kinds][0].deadline

    def take(self, kinds: Kinds, most: int) -> list[Due]:
        """The next deadlines of a long step, in order; fewer than ``most`` are its last."""
        return self._pop(kinds, self.long[kinds], most)

    def end_step(self, kinds: Kinds) -> None:
        """A long step is over. What has passed meanwhile makes the next."""
        del self.long[kinds]
        heap, passed = self._heaps[kinds], self.passed(kinds)
        if heap and heap[0].deadline <= passed:
            self._begin(kinds, passed)

    def _begin(self, kinds: Kinds, passed: int) -> None:
        self.long[kinds] = passed
        self.begun.append(kinds)

    def state(self, of_devices: bool = True) -> list[Any]:
        """All that is known, as plain data; without the deadlines of devices if those are not asked for."""
        long = [[list(kinds), until] for kinds, until in self.long.items()]
        if of_devices:
            heaps = [[list(kinds), [list(due) for due in heap]] for kinds, heap in self._heaps.items()]
        else:
            heaps = [[list(kinds), [list(due)]] for kinds, due in self._own]
        return [self._seen, self._arrived, self._wall, self._closed, self._now, heaps, long]

    def restore(self, state: list[Any]) -> None:
        """Go on from what :meth:`state` gave."""
        self._seen, self._arrived, self._wall, self._closed, self._now, heaps, long = state
        self.long = {tuple(kinds): until for kinds, until in long}
        self._heaps = {kinds: [] for kinds in self._heaps}
        for kinds, heap in heaps:
            self._heaps[tuple(kinds)] += [Due(*due) for due in heap]
        for heap in self._heaps.values():
            heapq.heapify(heap)
        self._own = [(kinds, due) for kinds, heap in self._heaps.items() for due in heap if due.own]

    def _put(self, kinds: Kinds, due: Due) -> None:
        heapq.heappush(self._heaps[kinds], due)
        if due.own:
            self._own.append((kinds, due))

    def _due(self, groups: Iterable[Kinds]) -> list[Due]:
        found: list[Due] = []
        for kinds in groups:
            heap = self._heaps[kinds]
            if heap and kinds not in self.long:
                passed = self.passed(kinds)
                if heap[0].deadline <= passed:
                    found += self._at_once(kinds, passed)
        return sorted(found)

    def _at_once(self, kinds: Kinds, passed: int) -> list[Due]:
        """What has passed, or none of it where that begins a long step."""
        found = self._pop(kinds, passed, MOST_AT_ONCE + 1)
        if len(found) <= MOST_AT_ONCE:
            return found
        for due in found:
            self._put(kinds, due)
        self._begin(kinds, passed)
        return []

    def _pop(self, kinds: Kinds, until: int, most: int | None = None) -> list[Due]:
        """The deadlines up to a time for which somebody still waits, each once, in order."""
        heap = self._heaps[kinds]
        found: list[Due] = []
        while heap and heap[0].deadline <= until and len(found) != most:
            due = heapq.heappop(heap)
            if due.own:
                self._own.remove((kinds, due))
            if not (found and found[-1] == due) and self.is_live(due):
                found.append(due)
        return found
