"""TW504: a rule that can never fire."""

from __future__ import annotations

from collections.abc import Iterator

from dsl import expressions as e
from dsl.diagnostics import Diagnostic
from dsl.lints.common import warning
from dsl.lints.logic import bounds_of, contradictory
from dsl.model import (
    AbsenceNode,
    AllOfNode,
    AnyOfNode,
    EventNode,
    GroupNode,
    LevelNode,
    OneOfNode,
    Pattern,
    RuleSet,
    Source,
    Step,
)
from dsl.nodes import Span
from dsl.units import format_duration

_Reason = tuple[Span, str, str]


def never_firing(ruleset: RuleSet) -> Iterator[Diagnostic]:
    """A step no event can fit, or bounds that an absence in the middle exceeds."""
    # A list from a file, or one that a deployment reloads, may be empty now and not later.
    empty = frozenset(x.name for x in ruleset.lists.values() if x.path is None and not x.items)
    for rule in ruleset.rules.values():
        reason = _dead_pattern(rule.pattern, ruleset, empty)
        if reason is not None:
            span, label, hint = reason
            message = f"`{rule.name.replace('_', ' ')}` can never fire"
            yield warning("TW504", message, rule.file, span, label, hint)


def _dead_pattern(pattern: Pattern, ruleset: RuleSet, empty: frozenset[str]) -> _Reason | None:
    for step in pattern.steps:
        reason = _dead_step(step, ruleset, empty)
        if reason is not None:
            return reason
    return _dead_bounds(pattern)


def _dead_step(step: Step, ruleset: RuleSet, empty: frozenset[str]) -> _Reason | None:
    match step.node:
        case EventNode():
            return _dead_source(step.node.source, empty)
        case LevelNode():
            return _dead_source(step.node.source, empty) or _dead_level(step.node, ruleset)
        case GroupNode():
            return _dead_pattern(step.node.pattern, ruleset, empty)
        case AllOfNode():
            needed, branches = len(step.node.branches), step.node.branches
        case AnyOfNode():
            needed, branches = step.node.needed, step.node.branches
        case OneOfNode():
            needed, branches = 1, step.node.branches
        case AbsenceNode():
            return None
    dead = [r for b in branches if (r := _dead_pattern(b, ruleset, empty)) is not None]
    return dead[0] if len(branches) - len(dead) < needed else None


def _dead_source(source: Source, empty: frozenset[str]) -> _Reason | None:
    if not all(contradictory(m.condition, empty) for m in source.members):
        return None
    hint = "its conditions exclude each other, or it asks for an entry of an empty list"
    return source.span, "no event can fit this", hint


def _dead_level(node: LevelNode, ruleset: RuleSet) -> _Reason | None:
    """AT LEAST n DISTINCT f where f has fewer values."""
    if node.measure != "distinct":
        return None
    most = 0
    for member in node.source.members:
        values: set[object] | None = None
        event = ruleset.events.get(member.kind)
        declared = event.fields.get(node.field or "") if event is not None else None
        if declared is not None and declared.type.choices:
            values = set(declared.type.choices)
        for value, bounds in bounds_of(e.conjuncts(member.condition)).items():
            if isinstance(value, e.Field) and value.step is None and value.name == node.field:
                values = bounds.one_of if bounds.one_of is not None else values
        if values is None:
            return None
        most += len(values)
    if most >= node.amount:
        return None
    return node.source.span, f"`{node.field}` has at most {most} values here", f"at most {most}"


def _dead_bounds(pattern: Pattern) -> _Reason | None:
    """``a THEN NO g FOR 30m THEN b WITHIN 10m``: b comes after the 30m, so WITHIN is always exceeded."""
    if pattern.within_ms is None:
        return None
    waited, since_event = 0, 0
    seen_event = False
    for step in pattern.steps:
        if isinstance(step.node, AbsenceNode):
            since_event += step.node.duration_ms if seen_event else 0
        else:
            waited += since_event + (step.after_ms or 0 if seen_event else 0)
            since_event, seen_event = 0, True
    has_absence = any(isinstance(s.node, AbsenceNode) for s in pattern.steps)
    if not has_absence or waited < pattern.within_ms:
        return None
    label = f"the wait takes {format_duration(waited)}, WITHIN allows {format_duration(pattern.within_ms)}"
    return pattern.span, label, "a step after NO comes after its deadline: widen WITHIN"
