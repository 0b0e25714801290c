"""What a rule means, by brute force: LANGUAGE.md section 4 read aloud.

Every choice of events is tried, for every start, at every possible end. Nothing is pruned, nothing
is remembered from one event to the next, and the order of arrival does not occur: only the set of
events with their times and positions. So it is slow, and there is little in it that can be wrong.

Covered: chains with THEN and all its bounds, groups, ONE OF, WITHOUT, UNLESS, filters and guards
that read earlier steps, BY, SELECT; NO and WITHOUT .. FOR, which the engine may not run yet: there
all clocks count as closed, as at the end of a replay. Levels raise :class:`NotCovered`. SUPPRESS
depends on the order of publication and has an oracle of its own in ``suppression.py``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
from evaluate import ENVELOPE, NotCovered, Scene, Wire, event_type, field_of, holds, value_of

from dsl import expressions as e
from dsl import model as m

Moment = tuple[int, float]
"""Item 1: ``(time, position)``. A deadline comes after all events of its time: ``(time, inf)``."""
AFTER_ALL = float("inf")
Silence = tuple[Any, ...]
"""Which silence a wait belongs to; empty where the pattern does not end in NO."""


class Seen(msgspec.Struct, frozen=True):
    """One event of the input. ``wire`` is the JSON object, ``position`` its place in the input."""

    wire: dict[str, Any]
    position: int

    @property
    def moment(self) -> Moment:
        return (self.wire["time"], self.position)

    @property
    def time(self) -> int:
        return int(self.wire["time"])

    @property
    def start(self) -> int:
        """Where bounds measure from: the beginning of an interval, else its time."""
        start = self.wire.get("start")
        return self.time if start is None else int(start)

    @property
    def id(self) -> str:
        return str(self.wire["id"])


class Match(msgspec.Struct, frozen=True, order=True):
    """A match: the moment it completes, its key in the order of BY, the ids of its evidence in step order."""

    moment: Moment
    key: tuple[str, ...]
    evidence: tuple[str, ...]


class Taken(msgspec.Struct, frozen=True):
    """One choice for a step or a pattern.

    ``events`` is the evidence in step order, ``names`` what AS gave names to, ``end`` when it was
    complete and ``end_start`` where a bound from there measures from. ``rank`` orders choices,
    earliest first.
    """

    events: tuple[Seen, ...]
    names: Mapping[str, Wire]
    end: Moment
    end_start: int
    rank: tuple[float, ...]


Completed = dict[tuple[Moment, Silence], list[Taken]]


def matches(ruleset: m.RuleSet, rule: m.Rule, events: Iterable[tuple[dict[str, Any], int]]) -> list[Match]:
    """All matches of a rule over a set of events, in the order in which they complete.

    Args:
        ruleset: the rule set, for the declarations of its events.
        rule: one of its rules.
        events: wire objects, each with an ``id``, and their positions. Their order does not matter.

    Raises:
        NotCovered: the rule has a construct the oracle does not define.
    """
    # Item 1.
    ordered = sorted((Seen(wire, position) for wire, position in events), key=lambda seen: seen.moment)
    found: list[Match] = []
    for key in keys(ruleset, rule, ordered):
        found += matches_of_key(ruleset, rule, key, [s for s in ordered if agrees(ruleset, key, s.wire)])
    return sorted(found)


# --- item 2: keys


def keys(ruleset: m.RuleSet, rule: m.Rule, events: Sequence[Seen]) -> list[dict[str, Any]]:
    """Every key that an event gives in full: only such an event can start a run."""
    found: list[dict[str, Any]] = []
    for seen in events:
        key = {name: field_of(ruleset, seen.wire, name) for name in rule.by}
        if None not in key.values() and key not in found:
            found.append(key)
    return found


def agrees(ruleset: m.RuleSet, key: Mapping[str, Any], wire: Wire) -> bool:
    """Whether an event reaches the runs of a key: a field its type lacks matches every value, one it
    declares and lacks matches none.
    """
    declared = set(event_type(ruleset, wire).fields) | ENVELOPE
    return all(field_of(ruleset, wire, name) == value for name, value in key.items() if name in declared)


# --- item 3: runs and selection


def matches_of_key(
    ruleset: m.RuleSet, rule: m.Rule, key: Mapping[str, Any], events: Sequence[Seen]
) -> list[Match]:
    """Every run completes once, at the first event that some choice ends at; SELECT among those that
    complete together.
    """
    definition = Definition(ruleset, events)
    allowed = [c for c in definition.pattern(rule.pattern, None, {}) if not definition.vetoed(rule, c)]
    last = rule.pattern.steps[-1].node
    completed: Completed = {}
    for start in events:
        choices = [choice for choice in allowed if choice.events[0] is start]
        if choices:
            first_end = min(choice.end for choice in choices)
            earliest = min((c for c in choices if c.end == first_end), key=lambda c: c.rank)
            silence = definition.silence(last, earliest)
            completed.setdefault((first_end, silence), []).append(earliest)
    if isinstance(last, m.AbsenceNode) and rule.select != "each":
        completed = one_a_silence(completed)
    found: list[Match] = []
    for (moment, _), runs in completed.items():
        if rule.select == "latest":
            runs = [max(runs, key=lambda run: run.events[0].moment)]
        elif rule.select == "first":
            runs = [min(runs, key=lambda run: run.events[0].moment)]
        key_values = tuple(str(key[name]) for name in rule.by)
        found += [Match(moment, key_values, tuple(seen.id for seen in run.events)) for run in runs]
    return found


def one_a_silence(completed: Completed) -> Completed:
    """Item 6: waits of one silence are one, reported at the deadline of the first that was not voided."""
    reported: dict[Silence, Moment] = {}
    for moment, silence in sorted(completed, key=lambda pair: pair[0]):
        reported.setdefault(silence, moment)
    return {(at, silence): runs for (at, silence), runs in completed.items() if reported[silence] == at}


class Definition:
    """What the parts of a pattern mean over the events of one key, in order."""

    def __init__(self, ruleset: m.RuleSet, events: Sequence[Seen]) -> None:
        self.ruleset = ruleset
        self.events = events

    def fits(self, source: m.Source, seen: Seen, names: Mapping[str, Wire]) -> bool:
        """Whether an event is one that a step or guard looks for, given the steps completed so far."""
        scene = Scene(self.ruleset, seen.wire, names)
        return any(
            member.kind == seen.wire["kind"] and holds(member.condition, scene) for member in source.members
        )

    # --- patterns: choices of events for the steps, in order

    def pattern(self, pattern: m.Pattern, before: Taken | None, names: Mapping[str, Wire]) -> Iterator[Taken]:
        """Every choice for a pattern. ``before`` is the choice for the step before it, if there is one."""
        for choice in self._steps(pattern.steps, before, names):
            first = choice.events[0] if choice.events else None
            if pattern.within_ms is None or first is None:
                yield choice
                continue
            # Item 4; "an interval fits only whole" (section 2). NO is bounded by its FOR (item 6).
            if choice.events[-1].time - min(seen.start for seen in choice.events) <= pattern.within_ms:
                yield choice

    def _steps(
        self, steps: Sequence[m.Step], before: Taken | None, names: Mapping[str, Wire]
    ) -> Iterator[Taken]:
        """Every choice for a chain of steps, its first step first."""
        step, rest = steps[0], steps[1:]
        if before is None and isinstance(step.node, m.AbsenceNode):
            yield from self._after_leading_absence(step.node, rest, before, names)
            return
        for taken in self._step(step, before, names):
            if not rest:
                yield taken
                continue
            for others in self._steps(rest, taken, taken.names):
                yield Taken(
                    taken.events + others.events,
                    others.names,
                    others.end,
                    others.end_start,
                    taken.rank + others.rank,
                )

    def _step(self, step: m.Step, before: Taken | None, names: Mapping[str, Wire]) -> Iterator[Taken]:
        """Every choice for one step that its gap and its guards allow."""
        for taken in self._node(step.node, before, names):
            if not within_gap(step, before, taken):
                continue
            if any(self._guarded(guard, before, taken, names) for guard in step.guards):
                continue
            if step.name is None:
                yield taken
            else:
                named = {**taken.names, step.name: taken.events[-1].wire}
                yield Taken(taken.events, named, taken.end, taken.end_start, taken.rank)

    def _node(self, node: m.StepNode, before: Taken | None, names: Mapping[str, Wire]) -> Iterator[Taken]:
        match node:
            case m.EventNode():
                for seen in self.events:
                    if is_after(seen, before) and self.fits(node.source, seen, names):
                        yield Taken((seen,), names, seen.moment, seen.start, seen.moment)
            case m.GroupNode():
                yield from self._inner(node.pattern, before, names)
            case m.OneOfNode():
                # Item 7: of several branches that complete at one event the one listed first counts.
                for index, branch in enumerate(node.branches):
                    for taken in self._inner(branch, before, names):
                        rank = (*taken.end, index, *taken.rank)
                        yield Taken(taken.events, taken.names, taken.end, taken.end_start, rank)
            case m.AbsenceNode():
                yield from self._absence(node, before, names)
            case _:
                raise NotCovered(type(node).__name__)

    def _inner(self, pattern: m.Pattern, before: Taken | None, names: Mapping[str, Wire]) -> Iterator[Taken]:
        """A pattern inside another: its first step has no gap of its own, but comes after ``before``."""
        yield from self.pattern(pattern, before, names)

    # --- item 6: absence

    def _absence(
        self, node: m.AbsenceNode, before: Taken | None, names: Mapping[str, Wire]
    ) -> Iterator[Taken]:
        """``NO g FOR d`` after a step: complete at the deadline unless a g comes later than that step."""
        assert before is not None
        deadline = before.end[0] + node.duration_ms
        for seen in self.events:
            if is_after(seen, before) and seen.time <= deadline and self.fits(node.source, seen, names):
                return
        yield Taken((), names, (deadline, AFTER_ALL), deadline, (deadline, AFTER_ALL))

    def silence(self, last: m.StepNode, choice: Taken) -> Silence:
        """A silence ends at the next g. Waits whose filter reads different values are different ones."""
        if not isinstance(last, m.AbsenceNode):
            if choice.end[1] == AFTER_ALL:
                raise NotCovered("NO at the end of a branch that ends the pattern")
            return ()
        began = (choice.end[0] - last.duration_ms, AFTER_ALL)
        if choice.events[-1].time == began[0]:
            began = choice.events[-1].moment
        ends = [s.moment for s in self.events if s.moment > began and self.fits(last.source, s, choice.names)]
        scene = Scene(self.ruleset, None, choice.names)
        conditions = [member.condition for member in last.source.members]
        read = tuple(
            value_of(part, scene)
            for condition in conditions
            for part in e.walk(condition)
            if isinstance(part, e.Field) and part.step is not None
        )
        return (min(ends, default=None), read)

    def _after_leading_absence(
        self, node: m.AbsenceNode, rest: Sequence[m.Step], before: Taken | None, names: Mapping[str, Wire]
    ) -> Iterator[Taken]:
        """``NO g FOR d THEN a``: looks back from the first event of what follows."""
        for taken in self._steps(rest, before, names):
            if not self._looked_back(node.source, node.duration_ms, taken.events[0], names):
                yield taken

    def _looked_back(self, source: m.Source, duration: int, first: Seen, names: Mapping[str, Wire]) -> bool:
        """Whether something that fits lies in the ``duration`` before an event."""
        return any(
            seen.moment < first.moment
            and seen.time >= first.start - duration
            and self.fits(source, seen, names)
            for seen in self.events
        )

    # --- item 5: guards void choices

    def _guarded(self, guard: m.Guard, before: Taken | None, taken: Taken, names: Mapping[str, Wire]) -> bool:
        """WITHOUT: after the previous step, up to and including the event that completes this one."""
        if guard.lookback_ms is not None:
            return self._looked_back(guard.source, guard.lookback_ms, taken.events[0], names)
        return any(
            is_after(seen, before) and seen.moment <= taken.end and self.fits(guard.source, seen, names)
            for seen in self.events
        )

    def vetoed(self, rule: m.Rule, choice: Taken) -> bool:
        """UNLESS: anywhere from ``before`` ahead of the beginning to the time of the match.

        By time alone: a veto at the time of the match counts wherever it stands among its equals.
        Item 5 says ``first.time``; where events are intervals a bound measures from ``start``.
        """
        begin = min(seen.start for seen in choice.events)
        return any(
            begin - unless.before_ms <= seen.time <= choice.end[0]
            and self.fits(unless.source, seen, choice.names)
            for unless in rule.unless
            for seen in self.events
        )


def is_after(seen: Seen, before: Taken | None) -> bool:
    """Item 1: later in the order, not only in time. At the beginning everything is."""
    return before is None or seen.moment > before.end


def within_gap(step: m.Step, before: Taken | None, taken: Taken) -> bool:
    """Item 4: the lower bound of a gap holds for the first event of the step, the upper for its last.

    Intervals fit only whole: a minimum gap lies between the end of one and the beginning of the
    next, a maximum holds from where the earlier of them begins.
    """
    if before is None or not taken.events:
        return True
    first, last = taken.events[0], taken.events[-1]
    if step.after_ms is not None and first.start - before.end[0] < step.after_ms:
        return False
    begin = min(before.end_start, *(seen.start for seen in taken.events))
    return step.within_ms is None or last.time - begin <= step.within_ms
