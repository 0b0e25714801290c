"""What one rule knows of one device: its automaton, the events it keeps, what it has published."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator

from engine.alerts import Alert
from engine.automaton import Automaton, Match
from engine.events import Event
from engine.kept import Kept, Order
from engine.plan import RulePlan
from engine.search import Search
from engine.search_table import SearchTable

ALWAYS_KNOWN = -(1 << 62)


class Published:
    """A match that was published, or suppressed (``alert`` None), while it can still change."""

    __slots__ = ("alert", "group", "id", "match", "open", "suppressed_by")

    def __init__(
        self, match: Match, alert: Alert | None, id_: str, group: tuple[object, ...], by: Published | None
    ) -> None:
        self.match = match
        self.alert = alert
        self.id = id_
        self.group = group
        self.open = True
        self.suppressed_by = by


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
_NONE_HELD: list[Match] = []
_NONE_ARMED: dict[int, int] = {}
_NONE_COUNTED: dict[tuple[object, ...], int] = {}
_NONE_PUBLISHED: list[Published] = []


class DeviceState:
    """See the head of this file. A fleet rule has one, for the device of the empty name."""

    __slots__ = (
        "advanced",
        "armed",
        "automaton",
        "counts",
        "device",
        "held",
        "history",
        "known_from",
        "longest",
        "published",
        "stale",
    )

    def __init__(self, plan: RulePlan, device: str, known_from: int) -> None:
        self.device = device
        self.automaton = new_automaton(plan)
        self.held: list[Match] = [] if plan.clock_kinds else _NONE_HELD
        """Matches that rest on deadlines the clocks have not passed."""
        self.armed: dict[int, int] = {} if plan.clock_kinds else _NONE_ARMED
        """For each clock of the rule the deadline that waits in the heap."""
        self.advanced = ALWAYS_KNOWN
        """Deadlines up to here are judged: an event at or before it is out of order."""
        self.history: list[Kept] = []
        self.published: list[Published] = _NONE_PUBLISHED
        self.known_from = known_from
        """Before this time events are no longer kept: results that need them do not change."""
        self.longest = 0
        """The longest interval it has sent, in milliseconds."""
        self.counts: dict[tuple[object, ...], int] = {} if plan.rule.suppress is not None else _NONE_COUNTED
        """Suppressed matches by SUPPRESS group since the last published alert."""
        self.stale: Stale | None = None
        """Set while the answer waits to be brought up to date (engine/rerun_debt.py)."""

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


def new_automaton(plan: RulePlan) -> Automaton | Search:
    return Search(plan.table) if isinstance(plan.table, SearchTable) else Automaton(plan.table)


def order_of(kept: Kept) -> Order:
    return kept.order


def _time(kept: Kept) -> int:
    return kept.time
