"""Every choice of events for a pattern: steps in order, bounds, guards, absence and levels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from evaluate import NotCovered, Scene, field_of, holds, value_of
from taken import AFTER_ALL, NEVER, Edge, Seen, Taken, Wait, Window

from dsl import expressions as e
from dsl import model as m

Names = Mapping[str, Any]
SEVERAL = (m.LevelNode, m.AllOfNode, m.AnyOfNode)
"""Steps of several events: AS names all of them."""


class Choices:
    """What the parts of a pattern mean over the events of one key, in order."""

    def __init__(self, ruleset: m.RuleSet, events: Sequence[Seen]) -> None:
        self.ruleset = ruleset
        self.events = events

    def fits(self, source: m.Source, seen: Seen, names: Names) -> bool:
        """Whether an event is one that a step or guard looks for, given the steps completed so far."""
        scene = Scene(self.ruleset, seen.wire, names)
        return any(
            member.kind == seen.wire["kind"] and holds(member.condition, scene) for member in source.members
        )

    # --- patterns: choices of events for the steps, in order

    def pattern(self, pattern: m.Pattern, before: Taken | None, names: Names) -> Iterator[Taken]:
        """Every choice for a pattern. ``before`` is the choice for the step before it, if there is one."""
        for choice in self._steps(pattern.steps, before, names):
            if pattern.within_ms is None or not choice.events:
                yield choice
                continue
            # Item 4; "an interval fits only whole" (section 2). NO is bounded by its FOR (item 6).
            floor = choice.events[-1].time - pattern.within_ms
            if choice.begin >= floor:
                yield choice.not_before(floor)

    def _steps(self, steps: Sequence[m.Step], before: Taken | None, names: Names) -> Iterator[Taken]:
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
                yield taken.then(others)

    def _step(self, step: m.Step, before: Taken | None, names: Names) -> Iterator[Taken]:
        """Every choice for one step that its gap allows; those that a guard voids are marked."""
        for choice in self._node(step.node, before, names):
            taken = within_gap(step, before, choice)
            if taken is None:
                continue
            if any(self._guarded(guard, before, taken, names) for guard in step.guards):
                taken = taken.changed(voided=True)
            if step.name is not None and taken.last is not None:
                several = isinstance(step.node, SEVERAL)
                named = tuple(seen.wire for seen in taken.events) if several else taken.last.wire
                taken = taken.changed(names={**taken.names, step.name: named})
            yield taken

    def _node(self, node: m.StepNode, before: Taken | None, names: Names) -> Iterator[Taken]:
        match node:
            case m.EventNode():
                for seen in self.events:
                    if is_after(seen, before) and self.fits(node.source, seen, names):
                        yield at_event(seen, (seen,), names)
            case m.GroupNode():
                yield from self.pattern(node.pattern, before, names)
            case m.OneOfNode():
                # Item 7: of several branches that complete at one event the one listed first counts.
                for index, branch in enumerate(node.branches):
                    for taken in self.pattern(branch, before, names):
                        edge = taken.edge
                        if edge is not None:
                            edge = Edge((index, *edge.prefix), edge.previous, edge.window_begin)
                        rank = (*taken.end, index, *taken.rank)
                        yield taken.changed(rank=rank, identity=(index, *taken.identity), edge=edge)
            case m.AbsenceNode():
                yield from self._absence(node, before, names)
            case m.LevelNode():
                yield from self._level(node, before, names)
            case m.AllOfNode():
                yield from self._together(len(node.branches), node.branches, before, names)
            case m.AnyOfNode():
                yield from self._together(node.needed, node.branches, before, names)
            case _:
                raise NotCovered(type(node).__name__)

    # --- item 7: levels

    def _level(self, node: m.LevelNode, before: Taken | None, names: Names) -> Iterator[Taken]:
        """AT LEAST: at every event that fits, the parts of ``[t-d, t]`` for which the condition holds."""
        fitting = [
            seen
            for seen in self.events
            if is_after(seen, before)
            and self.fits(node.source, seen, names)
            and (node.field is None or field_of(self.ruleset, seen.wire, node.field) is not None)
        ]
        for index, seen in enumerate(fitting):
            begin = seen.time - node.window_ms
            parts = [
                self._measured(node, [s for s in fitting[: index + 1] if s.start >= since])
                for since in sorted({s.start for s in fitting[: index + 1] if begin <= s.start <= seen.start})
            ]
            previous = fitting[index - 1] if index else None
            held = [(part, names) for part in parts if part]
            yield from longest_first(seen, held, Edge((), previous, begin))

    def _measured(self, node: m.LevelNode, part: Sequence[Seen]) -> tuple[Seen, ...]:
        """The evidence that a part of the window gives; empty if there is not enough."""
        if node.measure == "count":
            return tuple(part) if len(part) >= node.amount else ()
        assert node.field is not None
        values = [field_of(self.ruleset, seen.wire, node.field) for seen in part]
        if node.measure == "sum":
            return tuple(part) if sum(values) >= node.amount else ()
        newest = dict(zip(values, part, strict=True))
        if len(newest) < node.amount:
            return ()
        return tuple(sorted(newest.values(), key=lambda seen: seen.moment))

    def _together(
        self, needed: int, branches: Sequence[m.Pattern], before: Taken | None, names: Names
    ) -> Iterator[Taken]:
        """ALL OF and ANY: at every event that completes a branch, each branch by its latest match.

        A part of the window is here what begins at a time or later: a branch counts by its latest
        match within the part.
        """
        found = [[c for c in self.pattern(b, before, names) if not c.voided] for b in branches]
        completing = {c.last.moment: c.last for choices in found for c in choices if c.last is not None}
        previous: Seen | None = None
        for moment, seen in sorted(completing.items(), key=lambda pair: pair[0]):
            held: list[tuple[tuple[Seen, ...], Names]] = []
            for since in sorted({s.start for s in self.events if s.start <= seen.start}):
                present = [
                    latest(part)
                    for choices in found
                    if (
                        part := [
                            c for c in choices if c.end <= moment and c.begin >= since and c.settled(since)
                        ]
                    )
                ]
                evidence = {s.moment: s for choice in present for s in choice.events}
                if len(present) >= needed and moment in evidence:
                    known = {name: wire for c in present for name, wire in c.names.items()}
                    held.append((tuple(evidence[at] for at in sorted(evidence)), {**names, **known}))
            yield from longest_first(seen, held, Edge((), previous, NEVER))
            previous = seen

    # --- item 6: absence

    def _absence(self, node: m.AbsenceNode, before: Taken | None, names: Names) -> Iterator[Taken]:
        """``NO g FOR d`` after a step: complete at the deadline unless a g comes later than that step."""
        assert before is not None
        deadline = before.end[0] + node.duration_ms
        for seen in self.events:
            if is_after(seen, before) and seen.time <= deadline and self.fits(node.source, seen, names):
                return
        moment = (deadline, AFTER_ALL)
        yield Taken(
            events=(),
            names=names,
            opening=deadline,
            start=moment,
            last=None,
            end=moment,
            end_start=deadline,
            rank=moment,
            identity=(moment,),
            wait=Wait(node, before.end),
        )

    def silence(self, choice: Taken) -> tuple[Any, ...]:
        """A silence ends at the next g. Waits whose filter reads different values are different ones."""
        if choice.wait is None:
            return ()
        source = choice.wait.node.source
        began = choice.wait.began
        ends = [s.moment for s in self.events if s.moment > began and self.fits(source, s, choice.names)]
        scene = Scene(self.ruleset, None, choice.names)
        parts = [part for member in source.members for part in e.walk(member.condition)]
        read = tuple(
            value_of(part, scene)
            for part in parts
            if isinstance(part, e.Field | e.StepAggregate) and part.step is not None
        )
        return (choice.wait.node.source.span, min(ends, default=None), read)

    def _after_leading_absence(
        self, node: m.AbsenceNode, rest: Sequence[m.Step], before: Taken | None, names: Names
    ) -> Iterator[Taken]:
        """``NO g FOR d THEN a``: looks back from the first event of what follows."""
        for taken in self._steps(rest, before, names):
            if self._looked_back(node.source, node.duration_ms, taken.events[0], names):
                taken = taken.changed(voided=True)
            yield taken

    def _looked_back(self, source: m.Source, duration: int, first: Seen, names: Names) -> bool:
        """Whether something that fits lies in the ``duration`` before an event."""
        return any(
            seen.moment < first.moment
            and seen.time >= first.start - duration
            and self.fits(source, seen, names)
            for seen in self.events
        )

    # --- item 5: guards void choices

    def _guarded(self, guard: m.Guard, before: Taken | None, taken: Taken, names: Names) -> bool:
        """WITHOUT: after the previous step, up to and including the event that completes this one."""
        if guard.lookback_ms is not None:
            return bool(taken.events) and self._looked_back(
                guard.source, guard.lookback_ms, taken.events[0], names
            )
        return any(
            is_after(seen, before) and seen.moment <= taken.end and self.fits(guard.source, seen, names)
            for seen in self.events
        )

    def vetoed(self, rule: m.Rule, choice: Taken) -> bool:
        """UNLESS: anywhere from ``before`` ahead of the beginning to the time of the match.

        By time alone: a veto at the time of the match counts wherever it stands among its equals.
        Item 5 says ``first.time``; where events are intervals a bound measures from ``start``.
        """
        return any(
            choice.begin - unless.before_ms <= seen.time <= choice.end[0]
            and self.fits(unless.source, seen, choice.names)
            for unless in rule.unless
            for seen in self.events
        )


def is_after(seen: Seen, before: Taken | None) -> bool:
    """Item 1: later in the order, not only in time. At the beginning everything is."""
    return before is None or seen.moment > before.end


def at_event(seen: Seen, events: tuple[Seen, ...], names: Names) -> Taken:
    """A choice that an event completes."""
    return Taken(
        events=events,
        names=names,
        opening=min(one.start for one in events),
        start=seen.moment,
        last=seen,
        end=seen.moment,
        end_start=seen.start,
        rank=seen.moment,
        identity=(seen.moment,),
    )


def longest_first(seen: Seen, held: Iterable[tuple[tuple[Seen, ...], Names]], edge: Edge) -> Iterator[Taken]:
    """A level that holds at an event, by each part of its window for which it holds, the longest first."""
    longer: int | None = None
    earlier: list[tuple[Seen, ...]] = []
    for evidence, names in held:
        if evidence in earlier:
            continue
        taken = at_event(seen, evidence, names)
        yield taken.changed(rank=(*seen.moment, len(earlier)), windows=(Window(longer),), edge=edge)
        earlier.append(evidence)
        longer = taken.begin if longer is None else max(longer, taken.begin)


def latest(choices: Sequence[Taken]) -> Taken:
    """The latest match of a branch: it completes last, began last, and by its earliest events."""
    when = max((choice.end, choice.start) for choice in choices)
    return min((c for c in choices if (c.end, c.start) == when), key=lambda choice: choice.rank)


def within_gap(step: m.Step, before: Taken | None, taken: Taken) -> Taken | None:
    """Item 4: the lower bound of a gap holds for the first event of the step, the upper for its last.
    The choice under these bounds; None if it breaks one. A window that reaches back too far is
    shortened (item 7): all of its events begin after a minimum gap.

    Intervals fit only whole: a minimum gap lies between the end of one and the beginning of the
    next, a maximum holds from where the earlier of them begins.
    """
    if before is None or not taken.events:
        return taken
    last = taken.events[-1]
    if step.after_ms is not None:
        floor = before.end[0] + step.after_ms
        if taken.opening < floor:
            return None
        taken = taken.not_before(floor)
    if step.within_ms is not None:
        floor = last.time - step.within_ms
        if min(before.end_start, taken.begin) < floor:
            return None
        taken = taken.not_before(floor)
    return taken
