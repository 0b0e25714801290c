"""What becomes of deadlines that have passed: of a few at once, of many in portions.

Usually some devices reach a deadline in a step of the clock, and their rules judge it at once. Where more
than ``MOST_AT_ONCE`` pass in one step, as when the source of a large fleet goes silent or the service was
down, judging them takes seconds, and events are not to wait for it. That is a long step: its deadlines are
judged a few at a time, as the debt is paid (``engine.debt``), and events go on meanwhile. For a device whose
turn has not come it is as if the clock had not passed yet, so nothing is decided otherwise than by a clock
that is a little slow.

Whether a long step is an absence storm is known when its last deadline is judged. Until then what it
completes is held (``engine.storms``); if it was none, the devices are settled in portions, too.

It all follows from the input, and from a snapshot it goes on where it was.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from engine.alerts import Alert
from engine.clocks import MOST_AT_ONCE, Clocks, Due, Kinds
from engine.debt import Debt
from engine.rule_runtime import RuleRuntime
from engine.storm_watch import (
    after_step,
    begin_end,
    decide,
    go_on,
    heard,
    judge_suspected,
    let_go,
    suspect_silence,
    watch_for_storm,
)
from engine.storms import LEAST

PORTION: Final = 4
"""Devices of a long step that are looked at in a row."""
COST: Final = 20
"""What a device owes, in events run again: 20 to 100 us, by how much it has sent of late, and as much again
while a checkpoint is open.
"""
COST_OF_ALERT: Final = 20


class Deadlines:
    """Releases the deadlines of one matcher.

    Args:
        clocks: where they wait.
        runtimes: of the rules that wait for them.
        debt: pays for those of long steps.
        relay: to be called when alerts may have been said that rules read.
    """

    def __init__(
        self,
        clocks: Clocks,
        runtimes: Sequence[RuleRuntime],
        debt: Debt,
        relay: Callable[[list[Alert]], None],
    ) -> None:
        self._clocks = clocks
        self._runtimes = runtimes
        self._with_clocks = [runtime for runtime in runtimes if runtime.plan.clock_kinds]
        self._debt = debt
        self._relay = relay
        self._working: dict[int, None] = {}
        clocks.is_live = self._is_live
        debt.also(self)

    def _is_live(self, due: Due) -> bool:
        if due.own:
            return True
        state = self._runtimes[due.rule].devices.get(due.device)
        return state is not None and state.armed.get(due.clock) == due.deadline

    def moved(self, due: list[Due], out: list[Alert]) -> None:
        """The clocks have moved: these deadlines have passed, and those of long steps that began."""
        if due:
            self.release(due, out)
        if self._clocks.begun:
            self._begin()
        if self.waiting:
            # Somebody has to begin, where nothing is owed.
            self._debt.pay(0, out)

    def heard(self, kind: str, time: int, out: list[Alert]) -> None:
        """An event of a type that deadlines wait for shows a time later than all before."""
        for runtime in self._with_clocks:
            if runtime.storms:
                heard(runtime, kind, time, out)
                self._note(runtime)
        if self._working:
            self._debt.pay(0, out)

    def release(self, due: list[Due], out: list[Alert]) -> None:
        """Have deadlines judged now."""
        together: dict[tuple[int, int], list[Due]] = {}
        for entry in due:
            if not entry.own:
                together.setdefault((entry.rule, entry.clock), []).append(entry)
        for (rule, clock), entries in together.items():
            runtime = self._runtimes[rule]
            suspect_silence(runtime, clock, entries[0].deadline)
            if len(entries) >= LEAST and runtime.storms.suspicion(clock) is None:
                watch_for_storm(runtime, clock, entries, out)
        for entry in due:
            self._release(entry, out)
            self._relay(out)
        for (rule, clock), entries in together.items():
            # In a long step a suspicion is decided when that is over; here each was of silence.
            after_step(self._runtimes[rule], clock, entries[-1].deadline, out)

    def _release(self, due: Due, out: list[Alert]) -> None:
        runtime = self._runtimes[due.rule]
        if due.own:
            self._on_time(runtime, due, out)
        elif (suspicion := runtime.storms.suspicion(due.clock)) is not None:
            judge_suspected(runtime, suspicion, due, out)
        else:
            runtime.release(due.device, due.deadline, due.clock, out)

    def close(self, until: int, out: list[Alert]) -> bool:
        """Nothing up to a time is still to come; no storm begins by that. Gives whether anything was left to
        do.
        """
        due = self._clocks.close(until)
        suspected = self.let_go()
        for entry in due:
            self._release(entry, out)
            if self._working:
                # Of what comes behind it a storm that ends here knows nothing.
                self._debt.serve_all(out)
            self._relay(out)
        return bool(due) or suspected

    def let_go(self) -> bool:
        """Nothing that is suspected is a storm: what it held is to be settled. Gives whether that is any."""
        suspected = [runtime for runtime in self._runtimes if runtime.storms.suspicions]
        for runtime in suspected:
            let_go(runtime)
            self._note(runtime)
        return bool(suspected)

    # --- portions: ``engine.debt.Portions``

    @property
    def waiting(self) -> bool:
        """Whether a long step is under way, or the end of a large storm."""
        return bool(self._clocks.long or self._working)

    def serve(self, out: list[Alert]) -> None:
        """Judge, or settle, some more devices."""
        before = len(out)
        if self._clocks.long:
            some = self._judge(next(iter(self._clocks.long)), out)
        else:
            runtime = self._runtimes[min(self._working)]
            some = go_on(runtime, PORTION, out)
            self._note(runtime)
        self._debt.owed += some * COST + (len(out) - before) * COST_OF_ALERT

    def restored(self) -> None:
        """The clocks and the rules have got to know what others knew."""
        for runtime in self._runtimes:
            self._note(runtime)

    def _begin(self) -> None:
        """Long steps begin."""
        begun = self._clocks.begun
        while begun:
            kinds = begun.pop(0)
            first = self._clocks.first(kinds)
            for runtime, clock in self._waiting_for(kinds):
                suspect_silence(runtime, clock, first)
                runtime.storms.suspect(clock, runtime.waiting[clock])

    def _judge(self, kinds: Kinds, out: list[Alert]) -> int:
        due = self._clocks.take(kinds, PORTION)
        for entry in due:
            self._release(entry, out)
        if len(due) < PORTION:
            until = self._clocks.long[kinds]
            for runtime, clock in self._waiting_for(kinds):
                after_step(runtime, clock, until, out)
                self._note(runtime)
            self._clocks.end_step(kinds)
            self._begin()
        return len(due)

    def _on_time(self, runtime: RuleRuntime, due: Due, out: list[Alert]) -> None:
        """A time that the rule itself waited for: a storm may end, or what was suspected is none."""
        storms, clock, now = runtime.storms, due.clock, due.deadline
        suspicion = storms.suspicion(clock)
        if suspicion is not None and suspicion.until == now:
            decide(runtime, clock, now, out)
        while storms.ending is not None:
            # Of another clock of the rule: one after the other.
            go_on(runtime, MOST_AT_ONCE, out)
        begin_end(runtime, clock, now)
        if len(storms.devices) <= MOST_AT_ONCE:
            while storms.working:
                go_on(runtime, MOST_AT_ONCE, out)
        self._note(runtime)

    def _note(self, runtime: RuleRuntime) -> None:
        if runtime.storms.working:
            self._working[runtime.plan.index] = None
        else:
            self._working.pop(runtime.plan.index, None)

    def _waiting_for(self, kinds: Kinds) -> list[tuple[RuleRuntime, int]]:
        return [
            (runtime, clock)
            for runtime in self._with_clocks
            for clock, of_clock in enumerate(runtime.plan.clock_kinds)
            if of_clock == kinds
        ]
