"""When an absence storm of a rule begins and ends (``engine/storms.py``), and what becomes of its devices."""

from __future__ import annotations

from engine.alerts import Alert
from engine.automaton import Match
from engine.clocks import Due
from engine.device_state import DeviceState
from engine.rule_runtime import RuleRuntime
from engine.search_table import SearchTable


def watch_for_storm(runtime: RuleRuntime, clock: int, due: list[Due], out: list[Alert]) -> None:
    """Many deadlines of a rule have passed at once: judge them; if it is a storm, that is said first.

    Args:
        runtime: of the rule.
        clock: the one of its clocks that has passed them.
        due: the deadlines, in order.
        out: takes the alerts.
    """
    storms = runtime.storms
    if storms.active(clock) is not None:
        return
    waiting = runtime.waiting[clock]
    # A device may have two deadlines here: one that it waited for before is not taken out.
    completing: dict[str, None] = {}
    for entry in due:
        state = None if entry.own else runtime.devices.get(entry.device)
        if state is None:
            continue
        runtime.catch_up(state.device, out)
        if runtime.judge_all(state, entry.deadline, clock):
            completing[state.device] = None
    if storms.is_storm(len(completing), waiting):
        passed = runtime.clocks.passed(runtime.plan.clock_kinds[clock])
        out.append(storms.begin(clock, due[0].deadline, passed, list(completing), waiting))
        storms.devices.update(completing)


def heard(runtime: RuleRuntime, kind: str, time: int) -> None:
    """A type that was silent is heard again: from now on each device has its chance."""
    storms, plan = runtime.storms, runtime.plan
    for storm in storms.silent(kind):
        storm.back = max(time, storm.since)
        until = storm.back + storms.duration_ms(storm.clock)
        runtime.clocks.wait(plan.clock_kinds[storm.clock], until, plan.index, None, storm.clock)


def end_storm(runtime: RuleRuntime, clock: int, now: int, out: list[Alert]) -> None:
    """The time is over in which devices could be heard again, if the source has lived that long."""
    storms = runtime.storms
    storm = storms.active(clock)
    if storm is None:
        return
    kinds = runtime.plan.clock_kinds[clock]
    if not runtime.clocks.shows(kinds, now - storms.duration_ms(clock) // 2):
        # It was the wall clock that came this far: the source has gone silent again.
        storm.back = None
        return
    spared = silent = 0
    states = [runtime.devices[device] for device in storms.devices if device in runtime.devices]
    for state in states:
        for match in [match for match in state.held if storms.holds(match)]:
            if _heard_since(runtime, state, match):
                runtime.changed(state.device)
                state.held.remove(match)
                runtime.said.spend(state, match)
                spared += 1
            else:
                silent += 1
    out.append(storms.end(clock, now, spared, silent))
    for state in states:
        runtime.settle(state, out)
    storms.devices = {s.device: None for s in states if any(map(storms.holds, s.held))}


def _heard_since(runtime: RuleRuntime, state: DeviceState, match: Match) -> bool:
    """Whether the device has sent, after the silence, what the rule waited for."""
    table = runtime.plan.table
    assert isinstance(table, SearchTable)
    for kept in reversed(state.history):
        if kept.time <= match.last.time:
            return False
        if kept.mask & table.absence_mask and all(
            mine is None or mine == theirs for mine, theirs in zip(kept.key, match.key, strict=True)
        ):
            return True
    return False
