"""One rule at work on every device: events step automata, late events run again, deadlines pass.

In order, an event steps the automaton and completed matches become alerts. Out of order, the
kept events around it run again and the difference to what was published becomes create, update or
close (DESIGN.md section 3): one mechanism, which the in-order path does not pay for.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby

from engine.alert_builder import AlertBuilder
from engine.alerts import Alert
from engine.automaton import Automaton, Match
from engine.baselines import Reading
from engine.caps import CHOICES, HELD, KEPT, TOO_OLD, Caps
from engine.clocks import Clocks
from engine.debt import Debt
from engine.device_log import DeviceLog
from engine.device_state import ALWAYS_KNOWN, DeviceState, Stale, new_automaton, new_state, order_of
from engine.events import MAX_TIME_MS, Event
from engine.expiry import Expiry
from engine.kept import Kept, kept_of
from engine.keys import KeyOf
from engine.pair import Pair
from engine.plan import RulePlan
from engine.publishing import Publishing
from engine.runtime_functions import ListTest
from engine.search import Search
from engine.search_table import SearchTable
from engine.sightings import Sightings
from engine.storms import Storms

MAX_KEPT = 1_024
"""Events kept for a rule and device; beyond it the oldest go and older results no longer change."""
MAX_HELD = 1_024
"""Matches of a rule and device that wait for a clock; beyond it the oldest go. A type that is never
heard of lets them wait for the wall clock, or in a replay for the end."""
_TRIM_EVERY = 64


def _nobody(device: str) -> None:
    """Who is told of changes where nobody asks."""


class RuleRuntime:
    """Feeds one rule. ``take`` is called by the generated handlers for events that fit something."""

    def __init__(
        self,
        plan: RulePlan,
        lists: dict[str, ListTest],
        clocks: Clocks,
        spoken: list[tuple[Alert, int]] | None = None,
        sightings: Sightings | None = None,
        debt: Debt | None = None,
        changed: Callable[[str], None] = _nobody,
    ) -> None:
        self.plan = plan
        self.clocks = clocks
        """Of all types."""
        self._debt = Debt() if debt is None else debt
        self._most_kept = most_kept(plan)
        self.keys: dict[str, KeyOf] = {}
        """By event kind, the key of its events for this rule."""
        self._always: dict[str, dict[int, int]] = {}
        self.changed = changed
        """To be called with a device before what is known of it changes."""
        self.replacing: str | None = None
        """Id of the alert that the next event replaces (item 15)."""
        self.builder = AlertBuilder(plan, lists, sightings)
        self.caps = Caps(plan.rule.name)
        self.said = Publishing(plan, self.builder, self.caps, spoken)
        self.storms = Storms(plan)
        self._table = plan.table
        self.expiry: Expiry[DeviceState] = Expiry(keep_ms(plan))
        suppress = plan.rule.suppress
        self._suppress_ms = 0 if suppress is None else suppress.duration_ms
        self._veto_mask = 0
        for veto in plan.table.vetoes:
            self._veto_mask |= veto.bit
        self._start_mask = plan.table.start_mask
        # Events that an automaton with nothing in it has to be told of.
        self._wake_mask = -1 if isinstance(plan.table, SearchTable) else self._start_mask | self._veto_mask
        self._of_devices = not plan.fleet
        self.devices: dict[str, DeviceState] = {}
        self.forgotten = ALWAYS_KNOWN
        """States that ended before this time are forgotten: what is older can no longer be judged."""
        self.waiting = [0] * len(plan.clock_kinds)
        """For each clock of the rule the devices that wait for a deadline."""
        self.fits = 0
        self.starts = 0
        self.unkeyed = 0
        self.reruns = 0
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
        log: DeviceLog | None = None,
        late: bool = False,
    ) -> None:
        """An event that fits the local part of the sources in ``mask``; alerts go to ``out``.

        Args:
            event: decoded in full.
            position: its place in the input.
            mask: the bits of the sources.
            key: of the rule.
            readings: see ``Kept``.
            out: takes the alerts.
            log: of its device, where the rule shares it.
            late: the log has events that are not earlier. It has this one then, too.
        """
        kept = kept_of(event, position, mask, key, readings)
        device = event.device if self._of_devices else ""
        state = self.devices.get(device)
        if state is None:
            state = self._begin(device, kept, log)
        if mask & self._start_mask:
            self.starts += 1
            if kept.time > state.started:
                state.started = kept.time
        history, time = state.history, kept.time
        if kept.begin != time:
            state.longest = max(state.longest, time - kept.begin)
        if (
            (history and time <= history[-1].time)
            or time <= state.advanced
            or time < state.known_from
            or state.stale is not None
            or self.replacing is not None
        ) and not self._goes_on(state, kept, out):
            return
        history.append(kept)
        automaton = state.automaton
        if mask & self._wake_mask or automaton.waits:
            held = len(state.held)
            for match in automaton.feed(kept):
                self._publish_or_hold(state, match, out)
            if automaton.dropped:
                self.caps.met(CHOICES, device, automaton.dropped)
                automaton.dropped = 0
            if self.plan.clock_kinds:
                self._arm(state, state.held[held:], out)
        if len(history) % _TRIM_EVERY == 0:
            self._trim(state, time)

    def _begin(self, device: str, kept: Kept, log: DeviceLog | None) -> DeviceState:
        """The state of a device that has none yet, with what the log has kept for it."""
        if log is None:
            state = new_state(self.plan, device, self.forgotten)
        else:
            state = self._from_log(log, kept.event)
        self.devices[device] = state
        self.expiry.add(state, kept.time)
        return state

    def _from_log(self, log: DeviceLog, event: Event) -> DeviceState:
        """A state that begins with an event, and has seen what came before it."""
        rule = self.plan.index
        state = new_state(self.plan, log.device, log.known(rule))
        state.log = log
        log.begin(rule)
        state.history = [before for before in self.logged(log) if before.event is not event]
        state.longest = max((before.time - before.begin for before in state.history), default=0)
        # It completes nothing, for no run has begun. But what has passed by now is known.
        run_in_order(state.automaton, state.history)
        for deadline, _ in self._overdue(state):
            state.advanced = deadline
            assert isinstance(state.automaton, Search)
            state.automaton.advance(deadline)
        return state

    def _overdue(self, state: DeviceState) -> Iterator[tuple[int, int]]:
        """Deadlines that have passed and are not judged, each with its clock. Whoever asks judges them."""
        if not isinstance(state.automaton, Search):
            return
        passed = [self.clocks.passed(kinds) for kinds in self.plan.clock_kinds]
        while found := [
            (deadline, clock)
            for clock, deadline in state.automaton.first_deadlines().items()
            if deadline <= passed[clock]
        ]:
            yield max(found)

    def logged(self, log: DeviceLog, since: int = ALWAYS_KNOWN, until: int = MAX_TIME_MS) -> list[Kept]:
        """What the log of a device has for this rule, from one time to another."""
        found: list[Kept] = []
        for entry, mask in log.of_rule(self.plan.index, self._always, since, until):
            key = self.keys[entry.event.kind](entry.event)
            if key is not None:
                found.append(kept_of(entry.event, entry.position, mask, key, entry.readings))
        return found

    def share(self, always: dict[str, dict[int, int]]) -> None:
        """Take part in the device logs. ``always``: see ``DeviceLogs``."""
        self._always = always

    def _goes_on(self, state: DeviceState, kept: Kept, out: list[Alert]) -> bool:
        """An event that is not simply later than all before it: whether it goes on as if it were; else it
        has been dealt with.
        """
        history = state.history
        if self.replacing is not None:
            self.replacing = None
            self.catch_up(state.device, out)
            before = state.remove(kept.event)
            insort(history, kept, key=order_of)
            self._rerun(state, kept, out, before)
            return False
        if kept.event.id is not None and state.has_duplicate(kept):
            self.duplicates += 1
            return False
        if kept.time < state.known_from:
            self.caps.met(TOO_OLD, state.device)
            self.said.incomplete(state, kept, self._table.horizon_ms, out)
            return False
        if state.stale is not None:
            insort(history, kept, key=order_of)
            self._cut(state)
            state.stale.add(kept)
            return False
        if kept.time <= state.advanced or (history and kept.order < history[-1].order):
            insort(history, kept, key=order_of)
            self._cut(state)
            if self._debt.exceeded:
                state.stale = Stale(kept)
                self._debt.wait(self, state.device)
            elif kept.time >= state.known_from:
                self._rerun(state, kept, out)
            return False
        if kept.mask & self._veto_mask and any(match.last.time == kept.time for match in state.matches()):
            # A veto counts up to the time of the match, also when it stands behind it at that time.
            history.append(kept)
            self._rerun(state, kept, out)
            return False
        return True

    def retract(self, event: Event, out: list[Alert]) -> None:
        """An event that was taken is no more: an alert that was closed, or no longer fits (item 15)."""
        self.replacing = None
        device = "" if self.plan.fleet else event.device
        self.changed(device)
        self.catch_up(device, out)
        state = self.devices.get(device)
        removed = None if state is None else state.remove(event)
        if state is not None and removed is not None:
            self._rerun(state, removed, out)

    def catch_up(self, device: str, out: list[Alert]) -> None:
        """Run again what late events have made stale (engine/debt.py)."""
        state = self.devices.get(device)
        if state is not None and state.stale is not None:
            self.changed(device)
            stale, state.stale = state.stale, None
            self._debt.served(self, device)
            self._rerun_range(state, stale.first, stale.last, stale.cause, out)

    # --- deadlines

    def release(self, device: str, deadline: int, clock: int, out: list[Alert]) -> None:
        """A deadline that this rule waits for has passed, as far as one of its clocks goes."""
        state = self.devices.get(device)
        if state is not None:
            self.catch_up(device, out)
            self.judge(state, deadline, clock)
            self.settle(state, out)

    def judge(self, state: DeviceState, deadline: int, clock: int) -> None:
        """Have the automaton judge a deadline."""
        self.changed(state.device)
        if state.armed.get(clock) == deadline:
            del state.armed[clock]
            self.waiting[clock] -= 1
        if isinstance(state.automaton, Search) and deadline > state.advanced:
            state.advanced = deadline
            for match in state.automaton.advance(deadline):
                self._hold(state, match)

    def would_say(self, state: DeviceState) -> bool:
        """Whether a held match would be said, if what may be a storm is none."""
        return any(self._passed(match) and not self.storms.silences(match) for match in state.held)

    def settle(self, state: DeviceState, out: list[Alert]) -> None:
        """Say the held matches whose deadlines have all passed, and wait for those of the others."""
        self.changed(state.device)
        ready = [match for match in state.held if self._ready(match)]
        if ready:
            state.held = [match for match in state.held if not self._ready(match)]
            for match in sorted(ready, key=lambda m: m.last.order):
                self.said.publish(state, match, out)
        if self.storms and any(map(self.storms.holds, state.held)):
            self.storms.devices[state.device] = None
        self._arm(state, state.held, out)

    def _passed(self, match: Match) -> bool:
        """Whether the clocks have passed every deadline that the match rests on."""
        kinds = self.plan.clock_kinds
        return all(deadline <= self.clocks.passed(kinds[clock]) for deadline, clock in match.waits)

    def _ready(self, match: Match) -> bool:
        return self._passed(match) and not self.storms.holds(match)

    def _publish_or_hold(self, state: DeviceState, match: Match, out: list[Alert]) -> None:
        if self._ready(match):
            self.said.publish(state, match, out)
        else:
            self._hold(state, match)

    def _hold(self, state: DeviceState, match: Match) -> None:
        state.held.append(match)
        if self.storms.holds(match):
            self.storms.devices[state.device] = None
        if len(state.held) > MAX_HELD:
            del state.held[0]
            self.caps.met(HELD, state.device)

    def _arm(self, state: DeviceState, held: list[Match], out: list[Alert]) -> None:
        """Have the first deadline of each clock wait, unless an earlier one does: of those that the
        automaton has yet to judge, and of matches that are held. What has passed already is judged now.
        """
        if not isinstance(state.automaton, Search):
            return
        kinds = self.plan.clock_kinds
        first = state.automaton.first_deadlines()
        passed = [self.clocks.passed(of_clock) for of_clock in kinds]
        overdue = [(deadline, clock) for clock, deadline in first.items() if deadline <= passed[clock]]
        if overdue:
            self.judge(state, *max(overdue))
            self.settle(state, out)
            return
        for match in held:
            for deadline, clock in match.waits:
                if deadline > passed[clock]:
                    first[clock] = min(deadline, first.get(clock, deadline))
        for clock, deadline in first.items():
            if deadline < state.armed.get(clock, deadline + 1):
                self.waiting[clock] += clock not in state.armed
                state.armed[clock] = deadline
                self.clocks.wait(kinds[clock], deadline, self.plan.index, state.device, clock)

    def judge_all(self, state: DeviceState, deadline: int, clock: int) -> None:
        """Have a deadline judged, and what has passed behind it."""
        self.judge(state, deadline, clock)
        for overdue in self._overdue(state):
            self.judge(state, *overdue)

    # --- out of order

    def _rerun(self, state: DeviceState, kept: Kept, out: list[Alert], gone: Kept | None = None) -> None:
        """Run the kept events again because of one that came late, went, or replaced ``gone``."""
        first, last = kept.begin, kept.time
        if gone is not None:
            first, last = min(first, gone.begin), max(last, gone.time)
        self._rerun_range(state, first, last, kept, out)

    def _rerun_range(self, state: DeviceState, first: int, last: int, cause: Kept, out: list[Alert]) -> None:
        """Run again because of what has changed from one time to another."""
        self.changed(state.device)
        self.reruns += 1
        if self.plan.clock_kinds:
            # A silence may have begun long ago: everything runs again.
            self._rerun_all(state, cause, out)
        else:
            self._rerun_around(state, first, last, cause, out)

    def _rerun_all(self, state: DeviceState, kept: Kept, out: list[Alert]) -> None:
        """Run the whole kept history anew: for what one neighbourhood cannot decide."""
        automaton = new_automaton(self.plan)
        if isinstance(automaton, Search) and isinstance(state.automaton, Search):
            automaton.resume(state.automaton, state.known_from)
        matches = run_in_order(automaton, state.history)
        self._debt.owed += len(state.history)
        if isinstance(automaton, Search):
            matches.extend(automaton.advance(state.advanced))
        state.automaton = automaton
        # What rests on events that are no longer kept has been decided, and stays.
        state.held = [match for match in state.held if not self._judgeable(state, match)]
        for match in matches:
            if not self._ready(match) and self._judgeable(state, match):
                self._hold(state, match)
        old = [p for p in state.published if p.open and self._judgeable(state, p.match)]
        new = [m for m in matches if self._ready(m) and self._judgeable(state, m)]
        self.said.reconcile(state, old, new, kept, out)
        self._arm(state, state.held, out)

    def _rerun_around(self, state: DeviceState, first: int, last: int, cause: Kept, out: list[Alert]) -> None:
        """Run again only what can have changed.

        With the rule's horizon h (its window and the longest look back), an event at t decides whether
        steps hold from t to t + h, and so, as an edge is what follows something that did not hold,
        matches that complete from t to t + 2h. They begin at t - h or later, and nothing before t - 2h
        decides which runs are still open then or whether a level held before. So the answer is that of
        running everything again, for the matches that complete in that time.
        """
        horizon = self._table.horizon_ms
        # An interval is where its end is, and what it excludes lies where it begins.
        first, last = first - state.longest, last + 2 * horizon + state.longest
        again, to_the_end = self._around(state, first - 2 * horizon, last)
        automaton = new_automaton(self.plan)
        matches = run_in_order(automaton, again)
        self._debt.owed += len(again)
        if to_the_end:
            # What is to come may still belong to runs that the event has touched.
            automaton.dropped = 0
            state.automaton = automaton
        old = [
            p
            for p in state.published
            if p.open and first <= p.match.last.time <= last and self._judgeable(state, p.match)
        ]
        new = [m for m in matches if first <= m.last.time and self._judgeable(state, m)]
        self.said.reconcile(state, old, new, cause, out)

    def _around(self, state: DeviceState, first: int, last: int) -> tuple[list[Kept], bool]:
        """The kept events from one time to another, and whether they reach to the end."""
        history = state.history
        since = bisect_left(history, first, key=_time)
        until = bisect_right(history, last, key=_time)
        return history[since:until], until == len(history)

    def _judgeable(self, state: DeviceState, match: Match) -> bool:
        """Whether all that could decide a match is still kept."""
        begin = min(kept.begin for kept in match.events)
        return begin - (self._table.horizon_ms - self._table.window_ms) >= state.known_from

    # --- bounds

    def _cut(self, state: DeviceState) -> None:
        """Late events, too, are kept no longer than the cap allows."""
        if len(state.history) >= self._most_kept + _TRIM_EVERY:
            self._trim(state, state.history[-1].time)

    def _trim(self, state: DeviceState, now: int) -> None:
        history = state.history
        keep_ms = self.expiry.keep_ms
        limit = now - keep_ms
        cut = bisect_left(history, limit, key=_time)
        over = len(history) - self._most_kept
        if over > cut:
            self.caps.met(KEPT, state.device, over - cut)
            cut = over
            limit = history[cut].time
            state.automaton.drop_before(limit)
        if cut:
            del history[:cut]
            state.known_from = max(state.known_from, limit)
        since = state.known_from - keep_ms - self._suppress_ms
        state.published = [p for p in state.published if p.match.last.time >= since]
        state.automaton.forget(now)

    def sweep(self, now: int) -> None:
        """Forget devices of which nothing has come for so long that nothing they did can still matter.

        Args:
            now: a time that the clocks of the rule's types show.
        """
        expiry = self.expiry
        for state in expiry.due(now):
            last = self.last(state)
            until = self._matters_until(state, last)
            if state.waits or until >= now:
                expiry.add(state, max(until, now) - expiry.keep_ms)
                if last != ALWAYS_KNOWN and state.stale is None:
                    self.changed(state.device)
                    # By its own time: what comes next from it may be as old as that.
                    self._trim(state, last)
            else:
                self.changed(state.device)
                del self.devices[state.device]
                if state.log is not None:
                    state.log.end(self.plan.index, now - expiry.keep_ms)
                else:
                    self.forgotten = max(self.forgotten, now - expiry.keep_ms)

    def last(self, state: DeviceState) -> int:
        """The time of the last event that its state rests on."""
        return state.history[-1].time if state.history else ALWAYS_KNOWN

    def _matters_until(self, state: DeviceState, last: int) -> int:
        """Until when the state of a device can matter, ``last`` being the time of its last event."""
        until = last + self.expiry.keep_ms
        if self._suppress_ms and state.published:
            said = max(published.match.last.time for published in state.published)
            until = max(until, said + self._suppress_ms)
        return until


def keep_ms(plan: RulePlan) -> int:
    """How long an event can matter to a rule."""
    return plan.table.horizon_ms + plan.late_ms + plan.grace_ms


def most_kept(plan: RulePlan) -> int:
    """How many events of a device are kept for a rule."""
    return max(MAX_KEPT, 2 * plan.table.largest) if isinstance(plan.table, SearchTable) else MAX_KEPT


def run_in_order(automaton: Automaton | Pair | Search, history: Iterable[Kept]) -> list[Match]:
    """The matches of events in order; those of one moment are all remembered before one is judged."""
    matches: list[Match] = []
    for _, moment in groupby(history, key=_time):
        events = list(moment)
        for event in events:
            automaton.remember(event)
        for event in events:
            matches.extend(automaton.step(event))
    return matches


def _time(kept: Kept) -> int:
    return kept.time
