"""TW505: absence over a source whose events arrive late.

An absence is decided when the clock of the guard's type has passed the deadline, GRACE later. A
guard that comes later still, up to LATE, closes the alert again.
"""

from __future__ import annotations

from collections.abc import Iterator

from dsl.diagnostics import Diagnostic
from dsl.lints.common import all_steps, spaced, warning
from dsl.model import DEFAULT_LATE_MS, AbsenceNode, EventType, Rule, RuleSet, Source
from dsl.nodes import Span
from dsl.units import format_duration


def late_absences(ruleset: RuleSet) -> Iterator[Diagnostic]:
    """NO shorter than the GRACE of its type, and NO or WITHOUT over a type with LATE above 24 h."""
    for rule in ruleset.rules.values():
        for step in all_steps(rule.pattern):
            if isinstance(step.node, AbsenceNode):
                yield from _short(rule, step.node, step.span, ruleset)
                yield from _late(rule, step.node.source, step.span, ruleset)
            for guard in step.guards:
                yield from _late(rule, guard.source, guard.span, ruleset)


def _types(source: Source, ruleset: RuleSet) -> list[EventType]:
    kinds = dict.fromkeys(m.kind for m in source.members)
    return [ruleset.events[kind] for kind in kinds if kind in ruleset.events]


def _short(rule: Rule, node: AbsenceNode, span: Span, ruleset: RuleSet) -> Iterator[Diagnostic]:
    slow = [t for t in _types(node.source, ruleset) if t.grace_ms > node.duration_ms]
    if slow:
        worst = max(slow, key=lambda t: t.grace_ms)
        grace = format_duration(worst.grace_ms)
        yield warning(
            "TW505",
            f"this silence is known only {grace} after its end",
            rule.file,
            span,
            f"shorter than the GRACE of `{spaced(worst.name)}`, {grace}",
            "lengthen FOR, or give the event a smaller GRACE if its source is that punctual",
        )


def _late(rule: Rule, source: Source, span: Span, ruleset: RuleSet) -> Iterator[Diagnostic]:
    late = [t for t in _types(source, ruleset) if t.late_ms > DEFAULT_LATE_MS]
    if late:
        worst = max(late, key=lambda t: t.late_ms)
        duration = format_duration(worst.late_ms)
        yield warning(
            "TW505",
            f"`{spaced(worst.name)}` may come {duration} late and close the alert then",
            rule.file,
            span,
            "that it did not happen is not certain before",
            "prefer a source that reports sooner, or say in META false_positives that alerts may close late",
        )
