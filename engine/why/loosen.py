"""What a step can lose: its guards, its bounds, the terms of its filter. One at a time, or together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import msgspec

from dsl import expressions as e
from dsl import model as m
from engine.why.probe import LONG_MS
from engine.why.trees import Path, at, changed, changed_pattern


class Loosened(msgspec.Struct, frozen=True):
    """A pattern without one thing that the step at ``path`` has to meet.

    Attributes:
        what: which kind of thing.
        guard: for a guard, the source that may now occur.
        bound_ms: for a bound, what it was.
        least: the bound is a minimum gap.
        whole: where the bound is that of a pattern (its place), not of the gap before the step.
        condition: for a filter, the term.
        kind: the event kind that the term is about.
    """

    what: Literal["guard", "bound", "filter"]
    pattern: m.Pattern
    guard: m.Source | None = None
    bound_ms: int = 0
    least: bool = False
    whole: Path | None = None
    condition: e.Condition = e.ALWAYS
    kind: str = ""


def _around(path: Path) -> list[Path]:
    """The step itself and the groups that it ends, innermost first."""
    return [path[:end] for end in range(len(path), 0, -1)]


def without_guards(pattern: m.Pattern, path: Path) -> Iterator[Loosened]:
    """Without one WITHOUT of the step, or of a group around it."""
    for place in _around(path):
        for guard in at(pattern, place).guards:

            def drop(step: m.Step, guard: m.Guard = guard) -> m.Step:
                kept = tuple(g for g in step.guards if g is not guard)
                return msgspec.structs.replace(step, guards=kept)

            yield Loosened("guard", changed(pattern, place, drop), guard=guard.source)


def without_bounds(pattern: m.Pattern, path: Path) -> Iterator[Loosened]:
    """Without one bound on the gap before the step, or on a pattern that it is the last of."""
    for place in _around(path):
        step = at(pattern, place)
        if step.within_ms is not None:
            wide = changed(pattern, place, lambda s: msgspec.structs.replace(s, within_ms=LONG_MS))
            yield Loosened("bound", wide, bound_ms=step.within_ms)
        if step.after_ms is not None:
            free = changed(pattern, place, lambda s: msgspec.structs.replace(s, after_ms=None))
            yield Loosened("bound", free, bound_ms=step.after_ms, least=True)
    for length in range(len(path)):
        whole = path[:length]
        inner = pattern
        if whole:
            group = at(pattern, whole).node
            assert isinstance(group, m.GroupNode)
            inner = group.pattern
        if inner.within_ms is not None:
            wide = changed_pattern(pattern, whole, lambda p: msgspec.structs.replace(p, within_ms=LONG_MS))
            yield Loosened("bound", wide, bound_ms=inner.within_ms, whole=whole)


def without_terms(pattern: m.Pattern, path: Path) -> Iterator[Loosened]:
    """Without one term of the filter, for one of the event types that the step looks for."""
    source = source_of(at(pattern, path))
    for index, member in enumerate(source.members if source is not None else ()):
        for term in e.conjuncts(member.condition):
            rest = e.all_of(tuple(c for c in e.conjuncts(member.condition) if c is not term))
            loosened = with_condition(pattern, path, index, rest)
            yield Loosened("filter", loosened, condition=term, kind=member.kind)


def with_condition(pattern: m.Pattern, path: Path, member: int, condition: e.Condition) -> m.Pattern:
    """Another condition for one member of the step's source."""

    def change(step: m.Step) -> m.Step:
        source = source_of(step)
        assert source is not None
        members = list(source.members)
        members[member] = msgspec.structs.replace(members[member], condition=condition)
        changed_source = msgspec.structs.replace(source, members=tuple(members))
        return msgspec.structs.replace(
            step,
            node=msgspec.structs.replace(step.node, source=changed_source),
        )

    return changed(pattern, path, change)


def only_kind(pattern: m.Pattern, path: Path, member: int) -> m.Pattern:
    """The step looks for any event of one member's kind."""

    def change(step: m.Step) -> m.Step:
        source = source_of(step)
        assert source is not None
        found = m.Member(source.members[member].kind, e.ALWAYS)
        return msgspec.structs.replace(
            step,
            node=m.EventNode(msgspec.structs.replace(source, members=(found,))),
        )

    return changed(pattern, path, change)


def without_any_bound(pattern: m.Pattern, path: Path) -> m.Pattern:
    """Nothing bounds the time of the step at a place."""
    while (found := next(without_bounds_left(pattern, path), None)) is not None:
        pattern = found
    return pattern


def without_bounds_left(pattern: m.Pattern, path: Path) -> Iterator[m.Pattern]:
    """Without one bound that is not yet as wide as can be."""
    for loosened in without_bounds(pattern, path):
        if loosened.bound_ms != LONG_MS:
            yield loosened.pattern


def without_any_guard(pattern: m.Pattern, path: Path) -> m.Pattern:
    """Nothing guards the step at a place."""
    while (found := next(without_guards(pattern, path), None)) is not None:
        pattern = found.pattern
    return pattern


def source_of(step: m.Step) -> m.Source | None:
    """What a step looks for; None for ALL OF, ANY and groups."""
    return getattr(step.node, "source", None)
