"""Parse tree to syntax nodes: patterns."""

from __future__ import annotations

from typing import Any

from lark.tree import Meta

from dsl import nodes as n
from dsl.build_expressions import ExpressionBuilder
from dsl.build_values import Tagged, first, only, span_of


class PatternBuilder(ExpressionBuilder):
    """Patterns: steps with the gap before them, guards and names."""

    def pattern(self, meta: Meta, c: list[Any]) -> n.Pattern:
        return n.Pattern(span_of(meta), c[0], c[1])

    def chain(self, meta: Meta, c: list[Any]) -> tuple[n.Step, ...]:
        steps: list[n.Step] = []
        gap: n.Gap | None = None
        for item in c:
            if isinstance(item, n.Gap):
                gap = item
            else:
                node, guards, alias, span = item
                steps.append(n.Step(span, gap, node, guards, alias))
        return tuple(steps)

    def gap_none(self, meta: Meta, c: list[Any]) -> n.Gap:
        return n.Gap(span_of(meta), None, None)

    def gap_within(self, meta: Meta, c: list[Any]) -> n.Gap:
        return n.Gap(span_of(meta), None, c[0])

    def gap_after(self, meta: Meta, c: list[Any]) -> n.Gap:
        return n.Gap(span_of(meta), c[0], None)

    def gap_between(self, meta: Meta, c: list[Any]) -> n.Gap:
        return n.Gap(span_of(meta), c[0], c[1])

    def step(self, meta: Meta, c: list[Any]) -> tuple[Any, ...]:
        node = n.EventStep(c[0].span, c[0]) if isinstance(c[0], n.Atom) else c[0]
        aliases = [x.value for x in only(Tagged, c)]
        if len(aliases) > 1:
            self.repeated.append(("AS", aliases[1].span))
        return node, only(n.Guard, c), aliases[0] if aliases else None, span_of(meta)

    def absence(self, meta: Meta, c: list[Any]) -> tuple[Any, ...]:
        alias = first(Tagged, c)
        return n.Absence(span_of(meta), c[0], c[1]), (), alias.value if alias else None, span_of(meta)

    def alias(self, meta: Meta, c: list[n.Name]) -> Tagged:
        return Tagged("AS", c[0], span_of(meta))

    def guard(self, meta: Meta, c: list[Any]) -> n.Guard:
        return n.Guard(span_of(meta), c[0], c[1])

    def group(self, meta: Meta, c: list[Any]) -> n.Group:
        return n.Group(span_of(meta), c[0])

    def patterns(self, meta: Meta, c: list[Any]) -> tuple[n.Pattern, ...]:
        return tuple(c)

    def all_of(self, meta: Meta, c: list[Any]) -> n.AllOf:
        return n.AllOf(span_of(meta), c[0])

    def any_of(self, meta: Meta, c: list[Any]) -> n.AnyOf:
        return n.AnyOf(span_of(meta), c[0], c[1])

    def one_of(self, meta: Meta, c: list[Any]) -> n.OneOf:
        return n.OneOf(span_of(meta), c[0])

    def at_least(self, meta: Meta, c: list[Any]) -> n.AtLeast:
        return n.AtLeast(span_of(meta), c[0], "count", None, c[1], c[2])

    def at_least_distinct(self, meta: Meta, c: list[Any]) -> n.AtLeast:
        return n.AtLeast(span_of(meta), c[0], "distinct", c[1], c[2], c[3])

    def at_least_sum(self, meta: Meta, c: list[Any]) -> n.AtLeast:
        return n.AtLeast(span_of(meta), c[0], "sum", c[1], c[2], c[3])
