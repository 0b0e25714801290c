"""When an absence storm of a rule begins and ends (``engine/storms.py``), and what becomes of its devices."""

from __future__ import annotations

from engine.alerts import Alert
from engine.automaton import Match
from engine.clocks import Due
from engine.device_state import DeviceState
from engine.rule_runtime import RuleRuntime
from engine.search_table import SearchTable
from engine.storms import LEAST, NAMED, SHARE, Storm, Suspicion


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
    completing: dict[str, None] = {}
    for entry in due:
        state = runtime.devices.get(entry.device)
        if state is None:
            continue
        runtime.catch_up(state.device, out)
        runtime.judge_all(state, entry.deadline, clock)
        if runtime.would_say(state):
            completing[state.device] = None
    if storms.is_storm(len(completing), waiting):
        passed = runtime.clocks.passed(runtime.plan.clock_kinds[clock])
        named = list(completing)[:NAMED]
        out.append(storms.begin(clock, due[0].deadline, passed, len(completing), named, waiting))
        storms.devices.update(completing)


def suspect_silence(runtime: RuleRuntime, clock: int, deadline: int) -> None:
    """A deadline has passed. If nobody was heard of for half of the absence before it, what follows may be a
    storm that comes one device after another.
    """
    storms, clocks = runtime.storms, runtime.clocks
    if runtime.waiting[clock] < LEAST or storms.active(clock) or storms.suspicion(clock):
        return
    kinds, absence = runtime.plan.clock_kinds[clock], storms.duration_ms(clock)
    if not clocks.heard_since(kinds, deadline - absence // 2):
        until = deadline + round(absence * SHARE)
        storms.suspect(clock, runtime.waiting[clock], until)
        clocks.wait(kinds, until, runtime.plan.index, None, clock)


def judge_suspected(runtime: RuleRuntime, suspicion: Suspicion, due: Due, out: list[Alert]) -> None:
    """Judge a deadline of what may be a storm, and hold what it completes."""
    state = runtime.devices.get(due.device)
    if state is None:
        return
    runtime.catch_up(due.device, out)
    if suspicion.since is None:
        suspicion.since = due.deadline
    runtime.judge_all(state, due.deadline, due.clock)
    if runtime.would_say(state):
        suspicion.completing += 1
        if len(suspicion.named) < NAMED:
            suspicion.named.append(state.device)
    runtime.settle(state, out)


def after_step(runtime: RuleRuntime, clock: int, passed: int, out: list[Alert]) -> None:
    """The deadlines that a clock passed in one step are judged. What was suspected is a storm by now, or
    none, or it is too early to say.
    """
    found = runtime.storms.suspicion(clock)
    if found is not None and (
        found.until is None or runtime.storms.is_storm(found.completing, found.waiting)
    ):
        decide(runtime, clock, passed, out)


def decide(runtime: RuleRuntime, clock: int, passed: int, out: list[Alert]) -> None:
    """Was it a storm that was suspected of a clock, which has passed a time? If not, the devices that it held
    are to be settled.
    """
    storms = runtime.storms
    found = storms.decided(clock)
    if found is None or found.since is None:
        return
    if storms.is_storm(found.completing, found.waiting):
        out.append(storms.begin(clock, found.since, passed, found.completing, found.named, found.waiting))
    else:
        storms.look_at_all()


def let_go(runtime: RuleRuntime) -> None:
    """Nothing is a storm of what was suspected: the devices that it held are to be settled."""
    for suspicion in runtime.storms.suspicions:
        runtime.storms.decided(suspicion.clock)
        runtime.storms.look_at_all()


def heard(runtime: RuleRuntime, kind: str, time: int, out: list[Alert]) -> None:
    """A type that was silent is heard again: from now on each device has its chance."""
    storms, plan = runtime.storms, runtime.plan
    for suspicion in storms.suspicions:
        if suspicion.until is not None and kind in plan.clock_kinds[suspicion.clock]:
            decide(runtime, suspicion.clock, time, out)
    for storm in storms.silent(kind):
        storm.back = max(time, storm.since)
        until = storm.back + storms.duration_ms(storm.clock)
        runtime.clocks.wait(plan.clock_kinds[storm.clock], until, plan.index, None, storm.clock)


def begin_end(runtime: RuleRuntime, clock: int, now: int) -> None:
    """The time is over in which devices could be heard again. If the source has lived that long, the storm
    is ending: :func:`go_on` does it.
    """
    storms = runtime.storms
    storm = storms.active(clock)
    if storm is None or storm.back is None or storm.back + storms.duration_ms(clock) != now:
        # Another time that it waited for, before the source went silent once more.
        return
    kinds = runtime.plan.clock_kinds[clock]
    if not runtime.clocks.shows(kinds, now - storms.duration_ms(clock) // 2):
        # It was the wall clock that came this far: the source has gone silent again.
        storm.back = None
        return
    storms.end_begins(storm, now)


def go_on(runtime: RuleRuntime, most: int, out: list[Alert]) -> int:
    """Go on with the storms of a rule that are ending, or with devices that are to be settled: with so many
    devices at most. Gives how many there were.
    """
    storms = runtime.storms
    storm = storms.ending
    some = 0
    while some < most and (device := storms.next()) is not None:
        some += 1
        state = runtime.devices.get(device)
        if state is None:
            continue
        if storm is None:
            # What is held still puts the device back.
            runtime.settle(state, out)
        else:
            _look_at(runtime, storm, state)
    if storm is not None and not storms.left:
        out.append(storms.end(storm))
    return some


def _look_at(runtime: RuleRuntime, storm: Storm, state: DeviceState) -> None:
    """A device of a storm that is ending: was it heard meanwhile?"""
    storms, ending = runtime.storms, storm.ending
    assert ending is not None
    for match in [match for match in state.held if storms.holds(match)]:
        if _heard_since(runtime, state, match):
            runtime.changed(state.device)
            state.held.remove(match)
            runtime.said.spend(state, match)
            ending.heard += 1
        else:
            ending.silent += 1
    if state.held:
        storms.devices[state.device] = None


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
