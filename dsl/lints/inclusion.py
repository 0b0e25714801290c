"""TW506: one rule includes another, so that each match of the narrow one alerts twice."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from dsl import expressions as e
from dsl.diagnostics import Diagnostic
from dsl.lints.common import all_steps, publishes, spaced, warning
from dsl.lints.logic import fits_all
from dsl.model import (
    AbsenceNode,
    AllOfNode,
    AnyOfNode,
    EventNode,
    GroupNode,
    Guard,
    LevelNode,
    OneOfNode,
    Pattern,
    Rule,
    RuleSet,
    Source,
    Step,
    Unless,
)

_Mark = tuple[int, str, object]
_MAX_CANDIDATES = 100
"""Rules of one shape that a rule is compared with; a rule set may hold thousands of them."""


def included_rules(ruleset: RuleSet) -> Iterator[Diagnostic]:
    """Same key, steps and severity; bounds no wider, conditions no weaker, no guard less."""
    rules = [r for r in ruleset.rules.values() if publishes(r)]
    marks = {r.name: _marks(r) for r in rules}
    general: dict[object, list[Rule]] = {}
    marked: dict[object, list[Rule]] = {}
    for rule in rules:
        own = min(marks[rule.name], key=repr, default=None)
        table, key = (general, _shape(rule)) if own is None else (marked, (_shape(rule), own))
        table.setdefault(key, []).append(rule)
    reported: set[str] = set()
    for narrow in rules:
        shape = _shape(narrow)
        candidates = general.get(shape, [])[:_MAX_CANDIDATES]
        for mark in sorted(marks[narrow.name], key=repr):
            candidates = candidates + marked.get((shape, mark), [])[:_MAX_CANDIDATES]
        for wide in candidates:
            if wide is not narrow and wide.name not in reported and _includes(wide, narrow):
                reported.add(narrow.name)
                yield warning(
                    "TW506",
                    f"every match of `{spaced(narrow.name)}` is a match of `{spaced(wide.name)}`",
                    narrow.file,
                    narrow.name_span,
                    "alerts twice",
                    "keep one, give the narrower a severity of its own, or an UNLESS to the wider",
                )
                break


def _shape(rule: Rule) -> tuple[object, ...]:
    nodes = tuple(type(step.node).__name__ for step in all_steps(rule.pattern))
    return rule.by, rule.select, rule.severity, str(rule.meta.get("status")), nodes


def _marks(rule: Rule) -> frozenset[_Mark]:
    """``field == constant`` of each step: a rule includes only rules that have all of its own."""
    found: set[_Mark] = set()
    for index, step in enumerate(all_steps(rule.pattern)):
        if isinstance(step.node, EventNode) and len(step.node.source.members) == 1:
            for term in e.conjuncts(step.node.source.members[0].condition):
                if (
                    isinstance(term, e.Compare)
                    and term.operator == "=="
                    and isinstance(term.left, e.Field)
                    and isinstance(term.right, e.Constant)
                ):
                    found.add((index, term.left.name, term.right.value))
    return frozenset(found)


def _includes(wide: Rule, narrow: Rule) -> bool:
    names = [[step.name for step in all_steps(rule.pattern)] for rule in (wide, narrow)]
    if names[0] != names[1] and (_reads_steps(wide) or _reads_steps(narrow)):
        return False
    return _pattern(wide.pattern, narrow.pattern) and all(
        any(_unless(mine, theirs) for theirs in narrow.unless) for mine in wide.unless
    )


def _reads_steps(rule: Rule) -> bool:
    return any(e.steps_read(m.condition) for source in _sources(rule) for m in source.members)


def _sources(rule: Rule) -> Iterable[Source]:
    for step in all_steps(rule.pattern):
        if isinstance(step.node, EventNode | LevelNode | AbsenceNode):
            yield step.node.source
        yield from (guard.source for guard in step.guards)
    yield from (unless.source for unless in rule.unless)


def _no_wider(narrow: int | None, wide: int | None) -> bool:
    return wide is None or (narrow is not None and narrow <= wide)


def _pattern(wide: Pattern, narrow: Pattern) -> bool:
    return (
        len(wide.steps) == len(narrow.steps)
        and _no_wider(narrow.within_ms, wide.within_ms)
        and all(_step(w, n) for w, n in zip(wide.steps, narrow.steps, strict=True))
    )


def _patterns(wide: tuple[Pattern, ...], narrow: tuple[Pattern, ...]) -> bool:
    return len(wide) == len(narrow) and all(_pattern(w, n) for w, n in zip(wide, narrow, strict=True))


def _step(wide: Step, narrow: Step) -> bool:
    if not _no_wider(narrow.within_ms, wide.within_ms) or (wide.after_ms or 0) > (narrow.after_ms or 0):
        return False
    if not all(any(_guard(mine, theirs) for theirs in narrow.guards) for mine in wide.guards):
        return False
    match wide.node, narrow.node:
        case EventNode(), EventNode():
            return fits_all(narrow.node.source, wide.node.source)
        case GroupNode(), GroupNode():
            return _pattern(wide.node.pattern, narrow.node.pattern)
        case OneOfNode(), OneOfNode():
            return _patterns(wide.node.branches, narrow.node.branches)
        case AllOfNode(), AllOfNode():
            return _patterns(wide.node.branches, narrow.node.branches)
        case AnyOfNode(), AnyOfNode():
            same = wide.node.needed == narrow.node.needed
            return same and _patterns(wide.node.branches, narrow.node.branches)
        # Levels alert on the edge and absences at the deadline: others have other moments.
        case LevelNode(), LevelNode():
            return _same_but_source(wide.node, narrow.node)
        case AbsenceNode(), AbsenceNode():
            return _same_but_source(wide.node, narrow.node)
        case _:
            return False


def _same_but_source(wide: LevelNode | AbsenceNode, narrow: LevelNode | AbsenceNode) -> bool:
    same_source = wide.source.members == narrow.source.members
    fields = [f for f in wide.__struct_fields__ if f != "source"]
    return same_source and all(getattr(wide, f) == getattr(narrow, f) for f in fields)


def _guard(wide: Guard, narrow: Guard) -> bool:
    """Whether the guard of the narrow rule voids whatever the wide one's does."""
    if (wide.lookback_ms is None) != (narrow.lookback_ms is None):
        return False
    return fits_all(wide.source, narrow.source) and (wide.lookback_ms or 0) <= (narrow.lookback_ms or 0)


def _unless(wide: Unless, narrow: Unless) -> bool:
    return fits_all(wide.source, narrow.source) and wide.before_ms <= narrow.before_ms
