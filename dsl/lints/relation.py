"""TW501: steps that could be about different apps, though both say which."""

from __future__ import annotations

from collections.abc import Iterator

from dsl import expressions as e
from dsl.diagnostics import Diagnostic
from dsl.lints.common import all_steps, event_source, required_steps, warning
from dsl.model import Rule, RuleSet, Source

_FIELD = "app"


def unrelated_apps(ruleset: RuleSet) -> Iterator[Diagnostic]:
    """Two steps have ``app`` and neither BY, nor a filter, nor SEVERITY or RISK relates them."""
    for rule in ruleset.rules.values():
        if _FIELD in rule.by or _related(rule):
            continue
        sources = [
            source for step in required_steps(rule.pattern) if (source := event_source(step)) is not None
        ]
        loose = [s for s in sources if _has_app(s, ruleset) and not _pinned(s)]
        if len(loose) > 1:
            yield warning(
                "TW501",
                f"the steps of `{rule.name.replace('_', ' ')}` may be about different apps",
                rule.file,
                loose[1].span,
                f"`{_FIELD}` need not be that of `{loose[0].text}`",
                "add it to BY (`BY device, app`), or relate the steps: `[app == t.app]`",
            )


def _has_app(source: Source, ruleset: RuleSet) -> bool:
    kinds = [m.kind for m in source.members]
    return bool(kinds) and all(k in ruleset.events and _FIELD in ruleset.events[k].fields for k in kinds)


def _pinned(source: Source) -> bool:
    """Whether the filter already says which apps are meant."""
    for member in source.members:
        terms = e.conjuncts(member.condition)
        if not any(
            isinstance(part, e.Field) and part.step is None and part.name == _FIELD
            for term in terms
            for part in e.walk(term)
        ):
            return False
    return True


def _related(rule: Rule) -> bool:
    """Whether anything in the rule reads one step beside another: then the author thought of it."""
    read: list[e.Value | e.Condition] = [rule.severity]
    if rule.risk is not None:
        read.append(rule.risk)
    for step in all_steps(rule.pattern):
        source = event_source(step)
        if source is not None:
            read.extend(m.condition for m in source.members)
    parts = [part for node in read for part in e.walk(node)]
    return any(isinstance(p, e.Field | e.StepAggregate | e.InStep) and p.step is not None for p in parts)
