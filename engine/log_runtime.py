"""A rule that keeps no events of its own: the device log has them.

Its automaton waits (*latest* and *runs*): what it needs of the past stands in its choices. Events are taken
from the log where one that came late makes them run again. So it is told only of what begins a run, of what
may move one that is open, and of what comes late.
"""

from __future__ import annotations

from typing import Any

from engine.alerts import Alert
from engine.automaton import RuleTable
from engine.baselines import Reading
from engine.caps import CHOICES, KEPT, TOO_OLD
from engine.device_log import DeviceLog
from engine.device_state import DeviceState, Stale, borrowing_state, new_automaton
from engine.events import Event
from engine.kept import Kept, kept_of
from engine.pair import Pair
from engine.plan import RulePlan
from engine.rule_runtime import RuleRuntime
from engine.search import Search

_TIDY_EVERY = 16
"""Events told to a rule on a device between two looks for what it can forget."""


class LogRuntime(RuleRuntime):
    """See the head of this file."""

    def __init__(self, plan: RulePlan, *arguments: Any) -> None:
        super().__init__(plan, *arguments)
        table = plan.table
        self._pairs = isinstance(table, RuleTable) and table.pair and not table.single

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
        """See ``RuleRuntime.take``."""
        assert log is not None
        state = self.devices.get(event.device)
        if self._pairs and not late and None not in key:
            if state is None:
                self._wait(kept_of(event, position, mask, key, readings), log)
                return
            automaton = state.automaton
            assert isinstance(automaton, Pair)
            if not (mask & self._start_mask or automaton.holds(key) or state.stale is not None):
                # Nothing waits for it; it is only a time for tidying up.
                self._told(state, event.time)  # type: ignore[arg-type]  # the decoder has made it an int
                return
        kept = kept_of(event, position, mask, key, readings)
        if state is None:
            state = self._begin(event.device, kept, log)
        if mask & self._start_mask:
            self.starts += 1
            if kept.time > state.started:
                state.started = kept.time
        if late and not self._fits_in(state, log, kept, out):
            return
        automaton = state.automaton
        assert not isinstance(automaton, Search)
        for match in automaton.feed(kept):
            self.said.publish(state, match, out)
        if automaton.dropped:
            self.caps.met(CHOICES, state.device, automaton.dropped)
            automaton.dropped = 0
        if not self._told(state, kept.time) and (late or not automaton.waits or mask & self._start_mask):
            self._look(state, log)

    def _wait(self, kept: Kept, log: DeviceLog) -> None:
        """A device of which nothing was known has sent what begins a run of two steps: it can but wait."""
        rule = self.plan.index
        pair = Pair(self._table, kept.key, (kept,))  # type: ignore[arg-type]  # a pair has that of the automata
        state = borrowing_state(self.plan, log, log.known(rule) if log.cut else log.known_from, pair)
        state.started = kept.time
        log.begin(rule)
        self.devices[log.device] = state
        self.expiry.add(state, kept.time)
        self.starts += 1

    def _told(self, state: DeviceState, time: int) -> bool:
        """The rule was told of an event; whether it was time to forget what can be."""
        state.told += 1
        if state.told % _TIDY_EVERY:
            return False
        self._trim(state, time)
        return True

    def _look(self, state: DeviceState, log: DeviceLog) -> None:
        """Whether the rule has to be told of the next event."""
        rule = self.plan.index
        if self._veto_mask or state.automaton.waits or state.stale is not None:
            if rule not in log.active:
                log.activate(rule)
        else:
            log.rest(rule)

    def _fits_in(self, state: DeviceState, log: DeviceLog, kept: Kept, out: list[Alert]) -> bool:
        """An event that is not simply later than all before it: whether it goes on as if it were; else it
        has been dealt with.
        """
        state.known_from = log.known(self.plan.index)
        state.longest = log.longest
        if kept.time < state.known_from:
            self.caps.met(TOO_OLD, state.device)
            self.said.incomplete(state, kept, self._table.horizon_ms, out)
        elif state.stale is not None:
            state.stale.add(kept)
        elif any(
            self.keys[other.kind](other) is not None
            for other in log.behind(self.plan.index, self._always, kept.order)
        ):
            if self._debt.exceeded:
                state.stale = Stale(kept)
                self._debt.wait(self, state.device)
            else:
                self._rerun(state, kept, out)
        elif kept.mask & self._veto_mask and any(match.last.time == kept.time for match in state.matches()):
            # A veto counts up to the time of the match, also when it stands behind it at that time.
            self._rerun(state, kept, out)
        else:
            return True
        self._look(state, log)
        return False

    def _from_log(self, log: DeviceLog, event: Event) -> DeviceState:
        rule = self.plan.index
        known_from = log.known(rule) if log.cut else log.known_from
        state = borrowing_state(self.plan, log, known_from, new_automaton(self.plan))
        log.begin(rule)
        if self._veto_mask:
            for before in self.logged(log):
                if before.event is not event and before.mask & self._veto_mask:
                    state.automaton.remember(before)
        return state

    def catch_up(self, device: str, out: list[Alert]) -> None:
        """See ``RuleRuntime.catch_up``."""
        super().catch_up(device, out)
        state = self.devices.get(device)
        if state is not None and state.log is not None:
            self._look(state, state.log)

    def _around(self, state: DeviceState, first: int, last: int) -> tuple[list[Kept], bool]:
        log = state.log
        assert log is not None
        return self.logged(log, first, last), not log.entries or log.entries[-1].time <= last

    def cut(self, device: str, since: int, count: int) -> None:
        """So many events of a device were dropped at the rule's cap; they are kept from a time on."""
        self.caps.met(KEPT, device, count)
        state = self.devices.get(device)
        if state is not None:
            state.automaton.drop_before(since)

    def _trim(self, state: DeviceState, now: int) -> None:
        log = state.log
        assert log is not None
        keep_ms = self.expiry.keep_ms
        state.known_from = max(log.known(self.plan.index), now - keep_ms)
        since = state.known_from - keep_ms - self._suppress_ms
        if state.published:
            state.published = [p for p in state.published if p.match.last.time >= since]
        state.automaton.forget(now)
        self._look(state, log)

    def last(self, state: DeviceState) -> int:
        return state.started
