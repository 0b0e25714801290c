"""Parse tree to syntax nodes: expressions."""

from __future__ import annotations

from typing import Any, cast

from lark import Token
from lark.tree import Meta

from dsl import nodes as n
from dsl.build_values import ValueBuilder, span_of, token_span
from dsl.units import string


class ExpressionBuilder(ValueBuilder):
    """Expressions; NOT before IN, LIKE and MATCHES becomes a mark on them."""

    def or_(self, meta: Meta, c: list[Any]) -> n.Or:
        return n.Or(span_of(meta), tuple(c))

    def and_(self, meta: Meta, c: list[Any]) -> n.And:
        return n.And(span_of(meta), tuple(c))

    def not_(self, meta: Meta, c: list[Any]) -> n.Not:
        return n.Not(span_of(meta), c[0])

    def compare(self, meta: Meta, c: list[Any]) -> n.Compare:
        return n.Compare(span_of(meta), str(c[1]), c[0], c[2])

    def _in(self, meta: Meta, value: n.Expression, target: Any, negated: bool) -> n.Expression:
        span = span_of(meta)
        if isinstance(target, n.ListValue):
            return n.InValues(span, value, target, negated)
        if isinstance(target, n.Name):
            return n.InList(span, value, target, negated)
        if isinstance(target, n.Scalar):
            return n.InCidr(span, value, target, negated)
        return n.InPath(span, value, target, negated)

    def in_(self, meta: Meta, c: list[Any]) -> n.Expression:
        return self._in(meta, c[0], c[1], False)

    def not_in(self, meta: Meta, c: list[Any]) -> n.Expression:
        return self._in(meta, c[0], c[1], True)

    def in_values(self, meta: Meta, c: list[Any]) -> Any:
        return c[0]

    def in_list(self, meta: Meta, c: list[Any]) -> Any:
        return c[0]

    def in_cidr(self, meta: Meta, c: list[Token]) -> n.Scalar:
        return n.Scalar(token_span(c[0]), string(c[0]), "string")

    def in_path(self, meta: Meta, c: list[Any]) -> Any:
        return c[0]

    def like(self, meta: Meta, c: list[Any]) -> n.Like:
        return n.Like(span_of(meta), c[0], self._text_scalar(c[1]), False)

    def not_like(self, meta: Meta, c: list[Any]) -> n.Like:
        return n.Like(span_of(meta), c[0], self._text_scalar(c[1]), True)

    def matches(self, meta: Meta, c: list[Any]) -> n.Matches:
        return n.Matches(span_of(meta), c[0], self._text_scalar(c[1]), False)

    def not_matches(self, meta: Meta, c: list[Any]) -> n.Matches:
        return n.Matches(span_of(meta), c[0], self._text_scalar(c[1]), True)

    def exists(self, meta: Meta, c: list[Any]) -> n.Presence:
        return n.Presence(span_of(meta), c[0], True)

    def missing(self, meta: Meta, c: list[Any]) -> n.Presence:
        return n.Presence(span_of(meta), c[0], False)

    def arithmetic(self, meta: Meta, c: list[Any]) -> n.Arithmetic:
        return n.Arithmetic(span_of(meta), c[0], tuple(zip(map(str, c[1::2]), c[2::2], strict=True)))

    def negative(self, meta: Meta, c: list[Any]) -> n.Negative:
        return n.Negative(span_of(meta), c[1])

    def reference(self, meta: Meta, c: list[Any]) -> n.Reference:
        return n.Reference(span_of(meta), c[0])

    def call(self, meta: Meta, c: list[Any]) -> n.Call:
        return n.Call(span_of(meta), c[0], tuple(x for x in c[1:] if x is not None))

    def parenthesised(self, meta: Meta, c: list[Any]) -> n.Expression:
        return cast(n.Expression, c[0])

    def _text_scalar(self, token: Token) -> n.Scalar:
        return n.Scalar(token_span(token), string(token), "string")
