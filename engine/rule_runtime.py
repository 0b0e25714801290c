"""One rule at work: for each device its automaton, the events it keeps, and what it has published.

In order, an event steps the automaton and completed matches become alerts. Out of order, the
kept events run again from the first and the difference to what was published becomes create,
update or close (DESIGN.md section 3): one mechanism, which the in-order path does not pay for.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterator
from hashlib import blake2b
from itertools import groupby

from engine.alert_builder import AlertBuilder
from engine.alerts import Alert
from engine.automaton import Automaton, Match
from engine.baselines import Reading
from engine.clocks import Clocks
from engine.elements import AFTER_ALL, flat
from engine.events import Event
from engine.kept import Kept, Order
from engine.plan import RulePlan
from engine.runtime_functions import ListTest
from engine.search import Search
from engine.search_table import SearchTable

MAX_KEPT = 1_024
"""Events kept for a rule and device; beyond it the oldest go and older results no longer change."""
_TRIM_EVERY = 64
_ALWAYS_KNOWN = -(1 << 62)


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


class _DeviceState:
    __slots__ = (
        "advanced",
        "armed",
        "automaton",
        "counts",
        "device",
        "held",
        "history",
        "known_from",
        "published",
    )

    def __init__(self, plan: RulePlan, device: str) -> None:
        self.device = device
        self.automaton = _automaton(plan)
        self.held: list[Match] = []
        """Matches that rest on deadlines the clocks have not passed."""
        self.armed: dict[int, int] = {}
        """For each clock of the rule the deadline that waits in the heap."""
        self.advanced = _ALWAYS_KNOWN
        """Deadlines up to here are judged: an event at or before it is out of order."""
        self.history: list[Kept] = []
        self.published: list[Published] = []
        self.known_from = _ALWAYS_KNOWN
        """Before this time events are no longer kept: results that need them do not change."""
        self.counts: dict[tuple[object, ...], int] = {}
        """Suppressed matches by SUPPRESS group since the last published alert."""

    def matches(self) -> Iterator[Match]:
        """Those that stand, published or held."""
        yield from (published.match for published in self.published if published.open)
        yield from self.held


def _automaton(plan: RulePlan) -> Automaton | Search:
    return Search(plan.table) if isinstance(plan.table, SearchTable) else Automaton(plan.table)


def _duplicate(history: list[Kept], kept: Kept) -> bool:
    """Whether the same event is kept already: delivery is at least once. Equal ids have equal times."""
    at = bisect_right(history, kept.time, key=_time)
    while at and history[at - 1].time == kept.time:
        at -= 1
        other = history[at].event
        if other.id == kept.event.id and other.kind == kept.event.kind:
            return True
    return False


def _time(kept: Kept) -> int:
    return kept.time


def _order(kept: Kept) -> Order:
    return kept.order


class RuleRuntime:
    """Feeds one rule. ``take`` is called by the generated handlers for events that fit something."""

    def __init__(
        self,
        plan: RulePlan,
        lists: dict[str, ListTest],
        clocks: Clocks,
        spoken: list[tuple[Alert, int]] | None = None,
    ) -> None:
        self.plan = plan
        self._clocks = clocks
        self._spoken = spoken
        """Where other rules read this one's alerts: each with the position of its completing event."""
        self._most_kept = MAX_KEPT
        if isinstance(plan.table, SearchTable):
            self._most_kept = max(MAX_KEPT, 2 * plan.table.largest)
        self.replacing: str | None = None
        """Id of the alert that the next event replaces (item 15)."""
        self.builder = AlertBuilder(plan, lists)
        self._table = plan.table
        self._keep_ms = plan.table.horizon_ms + plan.late_ms
        self._veto_mask = 0
        for veto in plan.table.vetoes:
            self._veto_mask |= veto.bit
        self._devices: dict[str, _DeviceState] = {}
        self.fits = 0
        self.starts = 0
        self.matches = 0
        self.unkeyed = 0
        self.dropped = 0
        self.reruns = 0
        self.suppressed = 0
        self.duplicates = 0

    def no_key(self) -> None:
        """An event fits but lacks a key field that its type declares: unused (LANGUAGE.md 4.2)."""
        self.unkeyed += 1

    def take(
        self,
        event: Event,
        position: int,
        mask: int,
        key: tuple[object, ...],
        readings: dict[str, Reading] | None,
        out: list[Alert],
    ) -> None:
        """An event that fits the local part of the sources in ``mask``; alerts go to ``out``."""
        self.fits += 1
        if mask & self._table.start_mask:
            self.starts += 1
        device = "" if self.plan.fleet else event.device
        state = self._devices.get(device)
        if state is None:
            state = self._devices[device] = _DeviceState(self.plan, device)
        kept = Kept(event, position, mask, key, readings)
        history = state.history
        if self.replacing is not None:
            self.replacing = None
            _remove(history, kept.event)
            insort(history, kept, key=_order)
            self._rerun(state, kept, out)
            return
        if event.id is not None and _duplicate(history, kept):
            self.duplicates += 1
            return
        if kept.time <= state.advanced or (history and kept.order < history[-1].order):
            if kept.time < state.known_from:
                self.dropped += 1
                return
            insort(history, kept, key=_order)
            self._rerun(state, kept, out)
            return
        history.append(kept)
        if mask & self._veto_mask and any(match.last.time == kept.time for match in state.matches()):
            # A veto counts up to the time of the match, also when it stands behind it at that time.
            self._rerun(state, kept, out)
            return
        held = len(state.held)
        for match in state.automaton.feed(kept):
            self._publish_or_hold(state, match, out)
        if state.automaton.dropped:
            self.dropped += state.automaton.dropped
            state.automaton.dropped = 0
        if self.plan.clock_kinds:
            self._arm(state, state.held[held:])
        if len(history) % _TRIM_EVERY == 0:
            self._trim(state, kept.time)

    def retract(self, event: Event, out: list[Alert]) -> None:
        """An event that was taken is no more: an alert that was closed, or no longer fits (item 15)."""
        self.replacing = None
        state = self._devices.get("" if self.plan.fleet else event.device)
        removed = None if state is None else _remove(state.history, event)
        if state is not None and removed is not None:
            self._rerun(state, removed, out)

    # --- deadlines

    def release(self, device: str, deadline: int, clock: int, out: list[Alert]) -> None:
        """A deadline that this rule waits for has passed, as far as one of its clocks goes."""
        state = self._devices.get(device)
        if state is None:
            return
        if state.armed.get(clock) == deadline:
            del state.armed[clock]
        if isinstance(state.automaton, Search):
            if deadline > state.advanced:
                state.advanced = deadline
                state.held.extend(state.automaton.advance(deadline))
            ready = [match for match in state.held if self._ready(match)]
            state.held = [match for match in state.held if not self._ready(match)]
            for match in sorted(ready, key=lambda m: m.last.order):
                self._publish(state, match, out, late="")
            self._arm(state, state.held)

    def _ready(self, match: Match) -> bool:
        """Whether the clocks have passed every deadline that the match rests on."""
        kinds = self.plan.clock_kinds
        return all(deadline <= self._clocks.passed(kinds[clock]) for deadline, clock in match.waits)

    def _publish_or_hold(self, state: _DeviceState, match: Match, out: list[Alert]) -> None:
        if self._ready(match):
            self._publish(state, match, out, late="")
        else:
            state.held.append(match)

    def _arm(self, state: _DeviceState, held: list[Match]) -> None:
        """Have the first deadline of each clock wait, unless an earlier one does: of those that the
        automaton has yet to judge, and of matches that are held.
        """
        if not isinstance(state.automaton, Search):
            return
        kinds = self.plan.clock_kinds
        first = state.automaton.first_deadlines()
        for match in held:
            for deadline, clock in match.waits:
                if deadline > self._clocks.passed(kinds[clock]):
                    first[clock] = min(deadline, first.get(clock, deadline))
        for clock, deadline in first.items():
            if deadline < state.armed.get(clock, deadline + 1):
                state.armed[clock] = deadline
                self._clocks.wait(kinds[clock], deadline, self.plan.index, state.device, clock)

    def _publish(self, state: _DeviceState, match: Match, out: list[Alert], late: str) -> None:
        """A new match: an alert, or one more suppressed."""
        self.matches += 1
        severity = self.builder.severity(match)
        id_ = self._identity(state, match)
        group = self.builder.suppress_key(match)
        before = self._suppressor(state, match, group)
        if before is not None:
            self.suppressed += 1
            state.counts[group] = state.counts.get(group, 0) + 1
            state.published.append(Published(match, None, id_, group, before))
            return
        if severity == "none" and self._spoken is None:
            return
        alert = self.builder.build(match, id_, "create", state.counts.pop(group, 0), late=late)
        state.published.append(Published(match, alert, id_, group, None))
        self._say(alert, match, out)

    def _say(self, alert: Alert, match: Match, out: list[Alert]) -> None:
        """Publish, and tell the rules that read this one. SEVERITY none is only told."""
        if alert.created_severity != "none":
            out.append(alert)
        if self._spoken is not None:
            # What reads it may itself wait for a deadline at that time: that comes after.
            self._spoken.append((alert, min(match.last.order[1], AFTER_ALL - 1)))

    def _identity(self, state: _DeviceState, match: Match) -> str:
        """The id of a new alert. An alert keeps the id it was born with when late evidence moves it to
        another completing event; what completes where it was born must not be taken for it.
        """
        id_ = self.builder.identity(match)
        while any(p.id == id_ and p.alert is not None for p in state.published):
            born = "|".join([id_, *(kept.event_id for kept in match.events)])
            id_ = blake2b(born.encode(), digest_size=12).hexdigest()
        return id_

    def _suppressor(self, state: _DeviceState, match: Match, group: tuple[object, ...]) -> Published | None:
        """The published alert within whose SUPPRESS time this match falls."""
        suppress = self.plan.rule.suppress
        if suppress is None:
            return None
        for published in reversed(state.published):
            if (
                published.open
                and published.alert is not None
                and published.group == group
                and abs(match.last.time - published.match.last.time) <= suppress.duration_ms
            ):
                return published
        return None

    # --- out of order

    def _rerun(self, state: _DeviceState, kept: Kept, out: list[Alert]) -> None:
        self.reruns += 1
        automaton = _automaton(self.plan)
        if isinstance(automaton, Search) and isinstance(state.automaton, Search):
            automaton.resume(state.automaton, state.known_from)
        matches: list[Match] = []
        for _, moment in groupby(state.history, key=lambda k: k.time):
            events = list(moment)
            for event in events:
                automaton.remember(event)
            for event in events:
                matches.extend(automaton.step(event))
        if isinstance(automaton, Search):
            matches.extend(automaton.advance(state.advanced))
        state.automaton = automaton
        state.held = [match for match in matches if not self._ready(match)]
        self._reconcile(state, [match for match in matches if self._ready(match)], kept, out)
        self._arm(state, state.held)

    def _judgeable(self, state: _DeviceState, match: Match) -> bool:
        """Whether all that could decide a match is still kept."""
        begin = min(kept.begin for kept in match.events)
        return begin - (self._table.horizon_ms - self._table.window_ms) >= state.known_from

    def _reconcile(self, state: _DeviceState, matches: list[Match], cause: Kept, out: list[Alert]) -> None:
        """Pair old and new matches (LANGUAGE.md section 4 item 10) and say the difference."""
        old = [p for p in state.published if p.open and self._judgeable(state, p.match)]
        new = [m for m in matches if self._judgeable(state, m)]
        pairs: list[tuple[Published, Match]] = []
        # Under EACH several matches complete at one event: each is paired with itself before others.
        for same in (_same_run, _same_completion, _shares_event):
            for match in sorted(new, key=lambda m: m.last.order, reverse=True):
                published = next((p for p in reversed(old) if same(p.match, match)), None)
                if published is not None:
                    old.remove(published)
                    new.remove(match)
                    pairs.append((published, match))
        late = f"`{_kind_in_words(cause)}` {cause.event_id} came late"
        for published, match in sorted(pairs, key=lambda pair: pair[1].last.order):
            if published.match.events != match.events:
                self._update(published, match, late, out)
            published.match = match
        for published in old:
            self._close(state, published, cause, late, out)
        for match in sorted(new, key=lambda m: m.last.order):
            if not self._reopen(state, match, late, out):
                self._publish(state, match, out, late=late)

    def _update(self, published: Published, match: Match, late: str, out: list[Alert]) -> None:
        if published.alert is None:
            return
        published.alert = self.builder.build(
            match, published.id, "update", 0, published.alert, note="Better evidence came late.", late=late
        )
        self._say(published.alert, match, out)

    def _close(
        self, state: _DeviceState, published: Published, cause: Kept, late: str, out: list[Alert]
    ) -> None:
        published.open = False
        if published.alert is None:
            return
        what = f"{_kind_in_words(cause)} {cause.event_id}"
        published.alert = self.builder.build(
            published.match,
            published.id,
            "close",
            0,
            published.alert,
            note=f"Closed: {what} came late and explains it.",
            late=late,
        )
        self._say(published.alert, published.match, out)
        for held in sorted(
            (p for p in state.published if p.suppressed_by is published and p.open),
            key=lambda p: p.match.last.order,
        ):
            # What it had suppressed is judged again: the first is published, the rest fall under it.
            state.published.remove(held)
            state.counts[held.group] = max(0, state.counts.get(held.group, 0) - 1)
            self._publish(state, held.match, out, late=late)

    def _reopen(self, state: _DeviceState, match: Match, late: str, out: list[Alert]) -> bool:
        id_ = self.builder.identity(match)
        for published in state.published:
            if not published.open and published.alert is not None and published.id == id_:
                published.open = True
                published.match = match
                published.alert = self.builder.build(
                    match, id_, "update", 0, published.alert, note="Reopened by late evidence.", late=late
                )
                self._say(published.alert, match, out)
                return True
        return False

    # --- bounds

    def _trim(self, state: _DeviceState, now: int) -> None:
        history = state.history
        limit = now - self._keep_ms
        cut = 0
        while cut < len(history) and history[cut].time < limit:
            cut += 1
        over = len(history) - self._most_kept
        if over > cut:
            self.dropped += over - cut
            cut = over
            limit = history[cut].time
        if cut:
            del history[:cut]
            state.known_from = max(state.known_from, limit)
        state.published = [
            p for p in state.published if p.match.last.time >= state.known_from - self._keep_ms
        ]
        state.automaton.forget(now)


def _same_run(old: Match, new: Match) -> bool:
    return _same_completion(old, new) and old.first is new.first


def _same_completion(old: Match, new: Match) -> bool:
    return old.key == new.key and old.last.order == new.last.order


def _shares_event(old: Match, new: Match) -> bool:
    mine = flat(old.events)
    return old.key == new.key and any(kept is other for kept in mine for other in flat(new.events))


def _remove(history: list[Kept], event: Event) -> Kept | None:
    """Take the event with the same id out of what is kept."""
    for at, kept in enumerate(history):
        if kept.event.id == event.id and kept.event.kind == event.kind:
            return history.pop(at)
    return None


def _kind_in_words(kept: Kept) -> str:
    kind = kept.event.kind
    if kind.startswith("alert:"):
        return "alert of " + kind.removeprefix("alert:").replace("_", " ")
    return kind.replace(".", " ")
