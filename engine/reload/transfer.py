"""Moving what one matcher knows to another that runs some of the same rules.

Nothing of the old matcher is changed; both may go on. Kept events become events of the new set. Kept answers
of baselines stay with their events.

The rules that are new may come from a second matcher, which was filled with the past beside the old one.
Both have read the stream up to the same place, so an event that both have kept stands at the same position in
both. What does not belong to one rule alone is the old matcher's wherever it has it: the rules that stay must
go on as if there had been no other.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import msgspec

from engine.automaton import Automaton
from engine.device_state import DeviceState
from engine.matcher import Matcher
from engine.pair import Pair
from engine.reload.baselines import transfer_baselines
from engine.reload.moved_events import Moved, Moving
from engine.reload.moved_logs import LogSource, move_logs
from engine.rule_runtime import RuleRuntime
from engine.sightings import SightingsState
from engine.state import devices


class Known(msgspec.Struct, frozen=True):
    """What a rule knows: devices, matches under way, alerts that it said and can still revise."""

    devices: int = 0
    partial: int = 0
    alerts: int = 0


class Transferred(msgspec.Struct, frozen=True):
    """What moved: of each rule; the baselines that are as they were, and those that were filled."""

    rules: dict[str, Known]
    baselines: frozenset[str]
    filled: frozenset[str] = frozenset()


class Filled(msgspec.Struct, frozen=True):
    """A matcher that was fed with the past, and the rules that are to be had from it. It may run others,
    whose alerts these read.
    """

    matcher: Matcher
    rules: frozenset[str]


def transfer(old: Matcher, new: Matcher, rules: Collection[str], filled: Filled | None = None) -> Transferred:
    """Give a new matcher what an old one knows of some rules, of its clocks, baselines and sightings.

    Args:
        old: stays as it is.
        new: has seen no event yet.
        rules: names of rules that both have and that keep the same events in the same way.
        filled: a matcher of the new set's declarations with others of its rules, which has read the stream up
            to the same place. It stays as it is, too. What both know is the old one's.
    """
    first = _Source(old, new, rules, shared=filled is not None)
    sources = [first]
    if filled is not None:
        sources.append(_Source(filled.matcher, new, filled.rules, first.moving))
    move_logs([LogSource(s.matcher.logs, s.numbers, s.moving) for s in sources], new.logs)
    known = {name: found for source in sources for name, found in source.move_states(new).items()}
    beside = None if filled is None else filled.matcher
    heaps = [waiting for source in sources for waiting in source.deadlines()]
    _move_clocks(old, new, heaps, beside)
    owed, at, waiting = old.debt.state()
    moved = [(first.numbers[rule], device) for rule, device in waiting if rule in first.numbers]
    new.debt.restore([owed, at, moved], new.runtimes)
    new.deadlines.restored()
    for matcher in (old,) if beside is None else (beside, old):
        _move_counters(matcher, new)
    new.position = old.position
    new.sightings.restore(_sightings(old, beside))
    learned = transfer_baselines(old.baselines, new.baselines, None if beside is None else beside.baselines)
    return Transferred(known, learned.kept, learned.filled)


class _Source:
    """A matcher and those of its rules that are moved."""

    def __init__(
        self,
        matcher: Matcher,
        new: Matcher,
        rules: Collection[str],
        beside: Moving | None = None,
        shared: bool = False,
    ) -> None:
        self.matcher = matcher
        of_this = {runtime.plan.rule.name: runtime for runtime in matcher.runtimes}
        self.pairs = [
            (of_this[runtime.plan.rule.name], runtime)
            for runtime in new.runtimes
            if runtime.plan.rule.name in rules
        ]
        self.numbers = {was.plan.index: now.plan.index for was, now in self.pairs}
        self.moving = Moving(matcher, new, beside, shared)

    def move_states(self, new: Matcher) -> dict[str, Known]:
        """What the rules know of devices; the logs are there already. What that is, by rule."""
        rows = [devices.written(was, self.moving) for was, _ in self.pairs]
        back = Moved(self.moving)
        for (was, now), row in zip(self.pairs, rows, strict=True):
            devices.restore(now, row, back, new.logs)
            if was.expiry.keep_ms != now.expiry.keep_ms:
                _expire_anew(now)
        return {now.plan.rule.name: known_of(now) for _, now in self.pairs}

    def deadlines(self) -> list[tuple[tuple[str, ...], list[list[Any]]]]:
        """Those that the rules wait for, by the kinds whose clocks they wait for."""
        numbers = self.numbers
        return [
            (
                tuple(kinds),
                [[d, numbers[rule], who, clock, own] for d, rule, who, clock, own in heap if rule in numbers],
            )
            for kinds, heap in self.matcher.clocks.state()[5]
        ]


def known_of(runtime: RuleRuntime) -> Known:
    """What one rule knows."""
    partial = alerts = 0
    for state in runtime.devices.values():
        partial += _partial(state)
        alerts += sum(1 for published in state.published if published.open and published.alert is not None)
    return Known(len(runtime.devices), partial, alerts)


def _partial(state: DeviceState) -> int:
    """Choices that wait for the next event; where choices are searched, the first events of such."""
    automaton = state.automaton
    if isinstance(automaton, Automaton):
        return sum(len(level) for key in automaton.keys.values() for chain in key.levels for level in chain)
    if isinstance(automaton, Pair):
        return sum(map(len, automaton.keys.values()))
    return sum(len(key.starts) for key in automaton.keys.values()) + len(state.held)


def latest(matcher: Matcher) -> int | None:
    """The greatest event time that a matcher has seen, epoch milliseconds."""
    clocks = [made.state()[0] for kind, made in matcher.kinds.items() if kind in matcher.decoder.types]
    return max((clock for clock in clocks if clock >= 0), default=None)


def _move_counters(old: Matcher, new: Matcher) -> None:
    """The clocks of the kinds, and how many events of each there were."""
    for kind, made in new.kinds.items():
        before = old.kinds.get(kind)
        if before is not None:
            made.restore(before.state())
    for kind, fit in new.fits.items():
        if kind in old.fits:
            taken, duplicates, unkeyed = old.fits[kind].state()
            same = len(unkeyed) == len(fit.unkeyed)  # type: ignore[arg-type]  # a list
            fit.restore([taken, duplicates, unkeyed if same else fit.unkeyed])


def _move_clocks(
    old: Matcher,
    new: Matcher,
    heaps: Iterable[tuple[tuple[str, ...], list[list[Any]]]],
    beside: Matcher | None,
) -> None:
    seen, arrived, wall, closed, now, _, long = old.clocks.state()
    fresh = new.clocks.state()[5]
    watched = new.clocks.watched
    times = [
        {kind: time for kind, time in of_kind.items() if kind in watched} for of_kind in (seen, arrived, wall)
    ]
    if beside is not None:
        # What nobody waited for before, the other has waited for.
        for mine, theirs in zip(times, beside.clocks.state(), strict=False):
            for kind in watched & beside.clocks.watched - old.clocks.watched:
                if kind in theirs:
                    mine[kind] = theirs[kind]
    for kind in watched:
        before = old.kinds.get(kind)
        if before is None or kind not in old.decoder.types or kind in seen:
            continue
        clock = before.state()[0]
        if clock >= 0:
            # Nobody waited for this kind, so nobody told its clock.
            times[0][kind] = max(clock, times[0].get(kind, clock))
            if now is not None:
                times[1].setdefault(kind, now)
    waiting: dict[tuple[str, ...], list[list[Any]]] = {}
    for kinds, heap in heaps:
        waiting.setdefault(kinds, []).extend(heap)
    # Without the entries of rules that are gone it may be no heap any more; sorted, it is one.
    kept = [[kinds, sorted(waiting.get(tuple(kinds), []))] for kinds, _ in fresh]
    steps = [[kinds, until] for kinds, until in long if any(kinds == mine for mine, _ in fresh)]
    new.clocks.restore([*times, closed, now, kept, steps])


def _sightings(old: Matcher, beside: Matcher | None) -> SightingsState:
    """Since when the old one watches, and of kinds that only the other needs what that has seen."""
    known = old.sightings.state()
    if beside is None:
        return known
    theirs = beside.sightings.state()
    since = min((s.since for s in (known, theirs) if s.since is not None), default=None)
    new = {kind: last for kind, last in theirs.last.items() if kind not in known.last}
    later = {kind: theirs.since for kind in new if theirs.since is not None and theirs.since != since}
    latest = {kind: time for kind, time in theirs.latest.items() if kind in new}
    return SightingsState(since, {**new, **known.last}, {**latest, **known.latest}, {**later, **known.later})


def _expire_anew(runtime: RuleRuntime) -> None:
    """The states wait in buckets whose width follows from LATE."""
    runtime.expiry.buckets.clear()
    runtime.expiry.next = 1 << 62
    for state in runtime.devices.values():
        last = state.history[-1].time if state.history else 0
        runtime.expiry.add(state, max(last, state.started, 0))
