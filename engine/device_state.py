"""What one rule knows of one device: its automaton, the events it keeps, what it has published."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from engine.alerts import Alert
from engine.automaton import Automaton, Match
from engine.events import Event
from engine.kept import Kept, Order
from engine.pair import Pair
from engine.plan import RulePlan
from engine.search import Search
from engine.search_table import SearchTable

if TYPE_CHECKING:
    from engine.device_log import DeviceLog

ALWAYS_KNOWN = -(1 << 62)


class Published(msgspec.Struct, gc=False, eq=False):
    """A match that was published, or suppressed (``alert`` None), while it can still change."""

    match: Match
    alert: Alert | None
    id: str
    group: tuple[object, ...]
    suppressed_by: Published | None
    open: bool = True


class Stale:
    """The time from ``first`` to ``last`` in which late events have come that were only kept so far;
    ``cause`` is the one that came last.
    """

    __slots__ = ("cause", "first", "last")

    def __init__(self, cause: Kept) -> None:
        self.cause = cause
        self.first = cause.begin
        self.last = cause.time

    def add(self, kept: Kept) -> None:
        self.cause = kept
        self.first = min(self.first, kept.begin)
        self.last = max(self.last, kept.time)


# An idle device must cost little: what its rule never fills, or has not filled yet, is shared and empty.
_NO_HISTORY: list[Kept] = []
_NONE_HELD: list[Match] = []
_NONE_ARMED: dict[int, int] = {}
_NONE_COUNTED: dict[tuple[object, ...], int] = {}
_NONE_PUBLISHED: list[Published] = []


class DeviceState(msgspec.Struct, gc=False):
    """See the head of this file. A fleet rule has one, for the device of the empty name.

    Attributes:
        device: its id.
        automaton: what runs the rule.
        known_from: before this time events are no longer kept: results that need them do not change.
        history: the events kept, in order; empty where the rule has them in the log.
        held: matches that rest on deadlines the clocks have not passed.
        armed: for each clock of the rule the deadline that waits in the heap.
        counts: suppressed matches by SUPPRESS group since the last published alert.
        published: matches that were said and can still change.
        log: the log that the rule shares, where it does (engine/device_log.py).
        advanced: deadlines up to here are judged: an event at or before it is out of order.
        longest: the longest interval it has sent, in milliseconds.
        started: time of the latest event that may start a run.
        told: events it was told of, where the rule keeps none of its own.
        stale: set while the answer waits to be brought up to date (engine/debt.py).
    """

    device: str
    automaton: Automaton | Pair | Search
    known_from: int
    history: list[Kept]
    held: list[Match]
    armed: dict[int, int]
    counts: dict[tuple[object, ...], int]
    published: list[Published]
    log: DeviceLog | None = None
    advanced: int = ALWAYS_KNOWN
    longest: int = 0
    started: int = ALWAYS_KNOWN
    told: int = 0
    stale: Stale | None = None

    def matches(self) -> Iterator[Match]:
        """Those that stand, published or held."""
        yield from (published.match for published in self.published if published.open)
        yield from self.held

    @property
    def waits(self) -> bool:
        """Whether a deadline of it is still to come, or a rerun."""
        return bool(self.held or self.armed or self.stale)

    def has_duplicate(self, kept: Kept) -> bool:
        """Whether the same event is kept already: delivery is at least once. Equal ids have equal times."""
        history = self.history
        at = bisect_right(history, kept.time, key=_time)
        while at and history[at - 1].time == kept.time:
            at -= 1
            other = history[at].event
            if other.id == kept.event.id and other.kind == kept.event.kind:
                return True
        return False

    def remove(self, event: Event) -> Kept | None:
        """Take the event with the same id out of what is kept."""
        for at, kept in enumerate(self.history):
            if kept.event.id == event.id and kept.event.kind == event.kind:
                return self.history.pop(at)
        return None


def new_state(plan: RulePlan, device: str, known_from: int) -> DeviceState:
    """The state of a device of which the rule knows nothing yet."""
    return DeviceState(
        device,
        new_automaton(plan),
        known_from,
        [],
        [] if plan.clock_kinds else _NONE_HELD,
        {} if plan.clock_kinds else _NONE_ARMED,
        {} if plan.rule.suppress is not None else _NONE_COUNTED,
        _NONE_PUBLISHED,
    )


def borrowing_state(
    plan: RulePlan, log: DeviceLog, known_from: int, automaton: Automaton | Pair | Search
) -> DeviceState:
    """The state of a rule that keeps no events of its own and waits for no clock."""
    return DeviceState(
        log.device,
        automaton,
        known_from,
        _NO_HISTORY,
        _NONE_HELD,
        _NONE_ARMED,
        _NONE_COUNTED if plan.rule.suppress is None else {},
        _NONE_PUBLISHED,
        log,
    )


def new_automaton(plan: RulePlan) -> Automaton | Pair | Search:
    """An automaton of a rule that has seen nothing."""
    table = plan.table
    if isinstance(table, SearchTable):
        return Search(table)
    return Pair(table) if table.pair else Automaton(table)


def order_of(kept: Kept) -> Order:
    return kept.order


def _time(kept: Kept) -> int:
    return kept.time
