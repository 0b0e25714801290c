"""What the lints share: making a warning, and looking at the steps of a rule."""

from __future__ import annotations

from collections.abc import Iterator

from dsl import expressions as e
from dsl.diagnostics import WARNING, Diagnostic
from dsl.model import (
    AbsenceNode,
    AllOfNode,
    AnyOfNode,
    EventNode,
    GroupNode,
    LevelNode,
    OneOfNode,
    Pattern,
    Rule,
    Source,
    Step,
)
from dsl.nodes import Span


def warning(code: str, message: str, file: str, span: Span, label: str, hint: str) -> Diagnostic:
    return Diagnostic(code, message, file, span, label, hint, WARNING)


def spaced(name: str) -> str:
    """A canonical name or wire kind as rules write it."""
    return name.replace("_", " ").replace(".", " ")


def all_steps(pattern: Pattern) -> Iterator[Step]:
    """Every step, those inside groups and branches after the one that holds them."""
    for step in pattern.steps:
        yield step
        match step.node:
            case GroupNode():
                yield from all_steps(step.node.pattern)
            case AllOfNode() | AnyOfNode() | OneOfNode():
                for branch in step.node.branches:
                    yield from all_steps(branch)


def required_steps(pattern: Pattern) -> Iterator[Step]:
    """The steps that every match has: not the branches of ONE OF and ANY."""
    for step in pattern.steps:
        yield step
        match step.node:
            case GroupNode():
                yield from required_steps(step.node.pattern)
            case AllOfNode():
                for branch in step.node.branches:
                    yield from required_steps(branch)


def event_source(step: Step) -> Source | None:
    """The source of a step that takes events of its own; None for absences and what holds other steps."""
    return step.node.source if isinstance(step.node, EventNode | LevelNode) else None


def guard_sources(rule: Rule) -> Iterator[Source]:
    """The sources of WITHOUT and UNLESS."""
    for step in all_steps(rule.pattern):
        yield from (guard.source for guard in step.guards)
    yield from (unless.source for unless in rule.unless)


def publishes(rule: Rule) -> bool:
    """Whether the rule can publish an alert; ``SEVERITY none`` only feeds other rules."""
    return not (isinstance(rule.severity, e.Constant) and rule.severity.value == "none")


def horizon_ms(rule: Rule) -> int:
    """How long events of the rule matter: its bound, what absences add, and the longest look back."""
    back = [unless.before_ms for unless in rule.unless]
    back += [g.lookback_ms or 0 for step in all_steps(rule.pattern) for g in step.guards]
    return _length(rule.pattern) + max(back, default=0)


def _length(pattern: Pattern) -> int:
    total = 0
    for step in pattern.steps:
        match step.node:
            case AbsenceNode():
                total += step.node.duration_ms
            case LevelNode():
                total += step.node.window_ms + (step.within_ms or 0)
            case GroupNode():
                total += _length(step.node.pattern) + (step.within_ms or 0)
            case AllOfNode() | AnyOfNode() | OneOfNode():
                total += max(map(_length, step.node.branches), default=0) + (step.within_ms or 0)
            case _:
                total += step.within_ms or 0
    if pattern.within_ms is None:
        return total
    absences = sum(s.node.duration_ms for s in pattern.steps if isinstance(s.node, AbsenceNode))
    return pattern.within_ms + absences
