"""Patterns: step names, visibility, bounds, and the rules of LANGUAGE.md section 3 on what may stand."""

from __future__ import annotations

from dsl import nodes as n
from dsl.absence import check_absences
from dsl.expressions import BOOL, FLOAT, INT
from dsl.model import (
    AbsenceNode,
    AllOfNode,
    AnyOfNode,
    EventNode,
    GroupNode,
    Guard,
    LevelNode,
    OneOfNode,
    Param,
    Pattern,
    Source,
    Step,
    StepNode,
    Unless,
)
from dsl.quantities import Quantities
from dsl.scope import Report, StepScope, Tables, field_of
from dsl.sources import bind_source, kinds_of


def step_names(pattern: n.Pattern, tables: Tables, report: Report | None) -> dict[str, StepScope]:
    """Every name given with AS, with the kinds its event may have. Reports names used twice."""
    found: dict[str, StepScope] = {}

    def add(alias: n.Name | None, scope: StepScope) -> None:
        if alias is None:
            return
        if alias.text in found and report is not None:
            report.error(
                "TW212",
                f"two steps are called `{alias.text}`",
                alias.span,
                "the second",
                "choose another name",
            )
        found.setdefault(alias.text, scope)

    def kinds(atom: n.Atom) -> tuple[str, ...]:
        if atom.alert:
            return (f"alert:{atom.name.text}",) if atom.name.text in tables.alert_types else ()
        return kinds_of(atom.name.text, tables)

    def visit(inner: n.Pattern) -> tuple[str, ...]:
        """All kinds of the last step of a pattern."""
        last: tuple[str, ...] = ()
        for step in inner.steps:
            level = False
            match step.node:
                case n.EventStep():
                    last = kinds(step.node.source)
                case n.Absence():
                    continue  # a group that ends in NO has the name of its last event
                case n.Group():
                    last = visit(step.node.pattern)
                case n.OneOf():
                    last = tuple(dict.fromkeys(k for b in step.node.branches for k in visit(b)))
                case n.AllOf() | n.AnyOf():
                    last = tuple(dict.fromkeys(k for b in step.node.branches for k in visit(b)))
                    level = True
                case n.AtLeast():
                    last, level = kinds(step.node.source), True
            add(step.alias, StepScope(last, level))
        return last

    visit(pattern)
    return found


class PatternBinder:
    """Binds WHEN and UNLESS of one rule."""

    def __init__(
        self, tables: Tables, params: dict[str, Param], report: Report, quantities: Quantities
    ) -> None:
        self._tables = tables
        self._params = params
        self._report = report
        self._quantities = quantities
        self.steps: dict[str, StepScope] = {}

    def bind(self, node: n.Pattern) -> Pattern:
        """The pattern, with every structural error reported."""
        self.steps = step_names(node, self._tables, self._report)
        check_absences(node, self._report)
        pattern, _ = self._pattern(node, frozenset(), top=True)
        if not self._bounded(pattern, outer=False):
            self._report.error(
                "TW401",
                "the rule has no bound",
                node.span,
                "could wait for ever",
                "close it with WITHIN, or bound every gap: `a THEN WITHIN 10m b`",
            )
        return pattern

    def unless(self, node: n.Unless) -> Unless:
        """A veto; it may read every step, for it is judged when the match is complete."""
        source = self._source(node.source, frozenset(self.steps))
        before = self._quantities.duration(node.before) if node.before is not None else 0
        return Unless(source, before, node.span)

    def _source(self, atom: n.Atom, visible: frozenset[str]) -> Source:
        return bind_source(atom, self._tables, self._report, self._params, self.steps, visible)

    # --- patterns and steps

    def _pattern(
        self, node: n.Pattern, visible: frozenset[str], top: bool = False
    ) -> tuple[Pattern, frozenset[str]]:
        steps: list[Step] = []
        for index, step in enumerate(node.steps):
            bound, visible = self._step(index, step, visible, top)
            steps.append(bound)
        within = self._quantities.duration(node.within) if node.within is not None else None
        pattern = Pattern(tuple(steps), within, node.span)
        self._check_bounds(pattern)
        return pattern, visible

    def _step(
        self, index: int, step: n.Step, visible: frozenset[str], top: bool
    ) -> tuple[Step, frozenset[str]]:
        after, within = self._gap(step)
        node, inner = self._node(step.node, visible)
        guards = []
        for guard in step.guards:
            if index == 0 and guard.lookback is None:
                self._report.error(
                    "TW402",
                    "WITHOUT guards the gap before its step",
                    guard.span,
                    "the first step has none" if top else "the first step of a group or branch has none",
                    "`WITHOUT g FOR 10m` looks back; `UNLESS g` vetoes anywhere",
                )
            source = self._source(guard.source, visible)
            lookback = self._quantities.duration(guard.lookback) if guard.lookback is not None else None
            guards.append(Guard(source, lookback, guard.span))
        name = None
        if step.alias is not None:
            name = step.alias.text
            inner |= {name}
        return Step(node, after, within, tuple(guards), name, step.span), inner

    def _gap(self, step: n.Step) -> tuple[int | None, int | None]:
        if step.gap is None:
            return None, None
        lower = self._quantities.duration(step.gap.lower) if step.gap.lower is not None else None
        upper = self._quantities.duration(step.gap.upper) if step.gap.upper is not None else None
        if lower is not None and upper is not None and lower > upper:
            self._report.error(
                "TW409",
                "the gap can never be met",
                step.gap.span,
                "from more to less",
                "write the smaller bound first",
            )
        return lower, upper

    def _node(self, node: n.StepNode, visible: frozenset[str]) -> tuple[StepNode, frozenset[str]]:
        match node:
            case n.EventStep():
                return EventNode(self._source(node.source, visible)), visible
            case n.Absence():
                duration = self._quantities.duration(node.duration)
                return AbsenceNode(self._source(node.source, visible), duration), visible
            case n.Group():
                pattern, inner = self._pattern(node.pattern, visible)
                return GroupNode(pattern), inner
            case n.OneOf():
                branches, inner = self._branches(node.branches, visible)
                return OneOfNode(branches), inner
            case n.AllOf():
                branches, inner = self._branches(node.branches, visible)
                return AllOfNode(branches), inner
            case n.AnyOf():
                needed = self._quantities.count(node.needed)
                branches, inner = self._branches(node.branches, visible)
                if needed > len(branches):
                    self._report.error(
                        "TW405",
                        f"ANY {needed} OF {len(branches)} can never hold",
                        node.needed.span,
                        f"there are {len(branches)}",
                        f"at most {len(branches)}",
                    )
                return AnyOfNode(needed, branches), inner
            case n.AtLeast():
                return self._level(node, visible), visible

    def _level(self, node: n.AtLeast, visible: frozenset[str]) -> LevelNode:
        source = self._source(node.source, visible)
        window = self._quantities.duration(node.window)
        amount: int | float
        if node.measure == "sum":
            amount = self._quantities.amount(node.amount)
        else:
            amount = self._quantities.count(node.amount)
        if node.field is not None and source.members:
            for kind in dict.fromkeys(m.kind for m in source.members):
                field = field_of(self._tables.event_of_kind(kind), node.field.text)
                if field is None:
                    self._report.error(
                        "TW202",
                        f"{kind.replace('.', ' ')} has no field `{node.field.text.replace('_', ' ')}`",
                        node.field.span,
                        "not declared",
                    )
                elif node.measure == "sum" and field.type.name not in (INT, FLOAT):
                    self._report.error(
                        "TW301", f"`{field.name}` is no number", node.field.span, "cannot be summed"
                    )
                elif node.measure == "distinct" and field.type.name == BOOL:
                    self._report.error(
                        "TW301", f"`{field.name}` has two values", node.field.span, "nothing to count"
                    )
        return LevelNode(amount, node.measure, node.field.text if node.field else None, source, window)

    def _branches(
        self, nodes: tuple[n.Pattern, ...], visible: frozenset[str]
    ) -> tuple[tuple[Pattern, ...], frozenset[str]]:
        branches: list[Pattern] = []
        after = visible
        for node in nodes:
            branch, inner = self._pattern(node, visible)
            branches.append(branch)
            after |= inner
        return tuple(branches), after

    # --- bounds

    def _check_bounds(self, pattern: Pattern) -> None:
        if pattern.within_ms is None:
            return
        positive = [s for s in pattern.steps if not isinstance(s.node, AbsenceNode)]
        least = sum(s.after_ms or 0 for s in positive[1:])
        if least > pattern.within_ms:
            self._report.error(
                "TW409",
                "the bounds exclude each other",
                pattern.span,
                f"the gaps alone take {least} ms, WITHIN allows {pattern.within_ms} ms",
                "widen WITHIN",
            )

    def _bounded(self, pattern: Pattern, outer: bool) -> bool:
        """Whether the time from first to last event is bounded; ``outer`` if something around it does."""
        if outer or pattern.within_ms is not None:
            return all(self._inner_bounded(s, True) for s in pattern.steps)
        positive = [s for s in pattern.steps if not isinstance(s.node, AbsenceNode)]
        if any(s.within_ms is None for s in positive[1:]):
            return False
        return all(self._inner_bounded(s, i > 0) for i, s in enumerate(positive))

    def _inner_bounded(self, step: Step, outer: bool) -> bool:
        match step.node:
            case GroupNode():
                return self._bounded(step.node.pattern, outer)
            case OneOfNode():
                return all(self._bounded(b, outer) for b in step.node.branches)
            case AllOfNode() | AnyOfNode():
                return outer and all(self._bounded(b, outer) for b in step.node.branches)
            case _:
                return True


def first_sources(pattern: Pattern) -> list[Source]:
    """The sources an event must fit to start a run: of the first step that is not NO."""
    for step in pattern.steps:
        match step.node:
            case EventNode():
                return [step.node.source]
            case LevelNode():
                return [step.node.source]
            case GroupNode():
                return first_sources(step.node.pattern)
            case AllOfNode() | AnyOfNode() | OneOfNode():
                return [s for b in step.node.branches for s in first_sources(b)]
            case AbsenceNode():
                continue
    return []


def all_sources(pattern: Pattern) -> list[Source]:
    """Every source of a pattern, guards included, in the order written."""
    found: list[Source] = []
    for step in pattern.steps:
        match step.node:
            case EventNode() | LevelNode() | AbsenceNode():
                found.append(step.node.source)
            case GroupNode():
                found.extend(all_sources(step.node.pattern))
            case AllOfNode() | AnyOfNode() | OneOfNode():
                for branch in step.node.branches:
                    found.extend(all_sources(branch))
        found.extend(g.source for g in step.guards)
    return found
