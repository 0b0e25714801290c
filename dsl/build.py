"""Parse tree to syntax nodes: one method a grammar rule, named as in grammar.lark.

Declarations stand here; patterns, expressions and values in ``build_patterns.py``,
``build_expressions.py`` and ``build_values.py``, each building on the next.
"""

from __future__ import annotations

from typing import Any

from lark import Token
from lark.tree import Meta

from dsl import nodes as n
from dsl.build_patterns import PatternBuilder
from dsl.build_values import LiteralError as LiteralError
from dsl.build_values import Tagged, only, span_of, token_span
from dsl.units import string

_CLAUSES = {"meta", "by", "when", "severity", "suppress", "risk", "alert", "select"}


class Builder(PatternBuilder):
    """Bottom-up; children arrive already built. Repeated options are kept for parse.py to report.

    lark's Transformer does the same, and wraps every method anew at every call: a fifth of the time
    that reading a rule takes.
    """

    # --- events, lists, params, baselines, signals

    def grace(self, meta: Meta, c: list[Any]) -> Tagged:
        return Tagged("GRACE", c[0], span_of(meta))

    def late(self, meta: Meta, c: list[Any]) -> Tagged:
        return Tagged("LATE", c[0], span_of(meta))

    def scalar_type(self, meta: Meta, c: list[Token]) -> Tagged:
        return Tagged("type", (str(c[0]), False), span_of(meta))

    def list_type(self, meta: Meta, c: list[Token]) -> Tagged:
        return Tagged("type", (str(c[0]), True), span_of(meta))

    def unit(self, meta: Meta, c: list[Token]) -> Tagged:
        return Tagged("UNIT", str(c[0]), span_of(meta))

    def choices(self, meta: Meta, c: list[n.ListValue]) -> Tagged:
        return Tagged("ONE OF", c[0], span_of(meta))

    def wire_name(self, meta: Meta, c: list[Token]) -> Tagged:
        return Tagged("FROM", string(c[0]), span_of(meta))

    def field_text(self, meta: Meta, c: list[Token]) -> Tagged:
        return Tagged("text", string(c[0]), span_of(meta))

    def field(self, meta: Meta, c: list[Any]) -> n.FieldNode:
        options = self._options(c)
        type_name, is_list = options["type"]
        return n.FieldNode(
            span=span_of(meta),
            name=c[0],
            type=type_name,
            type_span=c[1].span,
            is_list=is_list,
            optional=any(isinstance(x, Token) and x.type == "OPTIONAL" for x in c),
            unit=options.get("UNIT"),
            choices=options.get("ONE OF"),
            wire=options.get("FROM"),
            text=options.get("text"),
        )

    def event(self, meta: Meta, c: list[Any]) -> n.EventNode:
        options = self._options(c)
        return n.EventNode(
            span_of(meta),
            c[0],
            self._text(c),
            options.get("GRACE"),
            options.get("LATE"),
            only(n.FieldNode, c),
        )

    def list_literal(self, meta: Meta, c: list[Any]) -> n.ListNode:
        return n.ListNode(span_of(meta), c[0], c[1], None, None)

    def list_file(self, meta: Meta, c: list[Any]) -> n.ListNode:
        file = n.Scalar(token_span(c[1]), string(c[1]), "string")
        return n.ListNode(span_of(meta), c[0], None, file, c[2])

    def param(self, meta: Meta, c: list[Any]) -> n.ParamNode:
        return n.ParamNode(span_of(meta), c[0], c[1], self._text(c[2:]))

    def define(self, meta: Meta, c: list[Any]) -> n.DefineNode:
        return n.DefineNode(span_of(meta), c[0], c[1], c[2])

    def filter(self, meta: Meta, c: list[Any]) -> Tagged:
        return Tagged("filter", c[0], span_of(meta))

    def baseline_by(self, meta: Meta, c: list[Any]) -> Tagged:
        return Tagged("BY", c[0], span_of(meta))

    def baseline_every(self, meta: Meta, c: list[Any]) -> Tagged:
        return Tagged("EVERY", c[0], span_of(meta))

    def baseline_over(self, meta: Meta, c: list[Any]) -> Tagged:
        return Tagged("OVER", c[0], span_of(meta))

    def baseline_using(self, meta: Meta, c: list[Token]) -> Tagged:
        return Tagged("USING", n.Name(token_span(c[0]), str(c[0])), span_of(meta))

    def baseline_warmup(self, meta: Meta, c: list[Any]) -> Tagged:
        return Tagged("WARMUP", c[0], span_of(meta))

    def baseline_peer(self, meta: Meta, c: list[Any]) -> Tagged:
        return Tagged("PEER", c[0], span_of(meta))

    def baseline(self, meta: Meta, c: list[Any]) -> n.BaselineNode:
        options = self._options(c)
        plain = [x for x in c[1:] if not isinstance(x, Tagged)]
        return n.BaselineNode(
            span=span_of(meta),
            name=c[0],
            values=tuple(plain[:-1]),
            source=plain[-1],
            filter=options.get("filter"),
            by=options.get("BY", ()),
            every=options.get("EVERY"),
            over=options.get("OVER"),
            using=options.get("USING"),
            warmup=options.get("WARMUP"),
            peer=options.get("PEER", ()),
        )

    def atom(self, meta: Meta, c: list[Any]) -> n.Atom:
        return n.Atom(span_of(meta), c[0], c[1].value if len(c) > 1 else None, False)

    def signal(self, meta: Meta, c: list[Any]) -> n.SignalNode:
        return n.SignalNode(span_of(meta), c[0], only(n.Atom, c), self._text(c))

    # --- rules

    def source_event(self, meta: Meta, c: list[n.Atom]) -> n.Atom:
        return c[0]

    def source_alert(self, meta: Meta, c: list[n.Atom]) -> n.Atom:
        return n.Atom(span_of(meta), c[0].name, c[0].filter, True)

    def meta(self, meta: Meta, c: list[Any]) -> Tagged:
        return Tagged("meta", c[0], span_of(meta))

    def by(self, meta: Meta, c: list[Any]) -> Tagged:
        return Tagged("by", c[0], span_of(meta))

    def when(self, meta: Meta, c: list[Any]) -> Tagged:
        return Tagged("when", c[0], span_of(meta))

    def unless(self, meta: Meta, c: list[Any]) -> n.Unless:
        return n.Unless(span_of(meta), c[0], c[1])

    def severity(self, meta: Meta, c: list[Any]) -> Tagged:
        return Tagged("severity", c[0], span_of(meta))

    def suppress(self, meta: Meta, c: list[Any]) -> Tagged:
        return Tagged("suppress", n.Suppress(span_of(meta), c[0], c[1] or ()), span_of(meta))

    def risk(self, meta: Meta, c: list[Any]) -> Tagged:
        return Tagged("risk", c[0], span_of(meta))

    def alert_text(self, meta: Meta, c: list[Token]) -> n.AlertText:
        return n.AlertText(span_of(meta), str(c[0]), n.Scalar(token_span(c[1]), string(c[1]), "string"))

    def alert_fields(self, meta: Meta, c: list[Any]) -> n.AlertFields:
        return n.AlertFields(span_of(meta), str(c[0]), c[1] if len(c) > 1 else ())

    def alert(self, meta: Meta, c: list[Any]) -> Tagged:
        return Tagged("alert", n.AlertClause(span_of(meta), tuple(c)), span_of(meta))

    def select_latest(self, meta: Meta, c: list[Any]) -> Tagged:
        return Tagged("select", "latest", span_of(meta))

    def select_first(self, meta: Meta, c: list[Any]) -> Tagged:
        return Tagged("select", "first", span_of(meta))

    def select_each(self, meta: Meta, c: list[Any]) -> Tagged:
        return Tagged("select", "each", span_of(meta))

    def rule(self, meta: Meta, c: list[Any]) -> n.RuleNode:
        options = self._options(c)
        order = [
            x.tag if isinstance(x, Tagged) else type(x).__name__ for x in c[1:] if not isinstance(x, Token)
        ]
        return n.RuleNode(
            span=span_of(meta),
            name=c[0],
            title=self._text(c),
            params=only(n.ParamNode, c),
            unless=only(n.Unless, c),
            clauses=tuple(order),
            **{key: options.get(key) for key in _CLAUSES},
        )

    # --- tests

    def given_key(self, meta: Meta, c: list[Any]) -> tuple[n.Value, ...]:
        return tuple(c)

    def given_baseline(self, meta: Meta, c: list[Any]) -> n.GivenBaseline:
        return n.GivenBaseline(span_of(meta), c[0], c[1] or (), c[2])

    def given_list(self, meta: Meta, c: list[Any]) -> n.GivenList:
        return n.GivenList(span_of(meta), c[0], c[1])

    def given_param(self, meta: Meta, c: list[Any]) -> n.GivenParam:
        return n.GivenParam(span_of(meta), c[0], c[1])

    def at(self, meta: Meta, c: list[Any]) -> n.At:
        return n.At(span_of(meta), c[0], c[1], c[2], c[3])

    def clock(self, meta: Meta, c: list[Any]) -> n.Clock:
        return n.Clock(span_of(meta), c[0])

    def expect_alert(self, meta: Meta, c: list[Any]) -> n.Expect:
        return n.Expect(span_of(meta), "alert", c[0], c[1])

    def expect_closed(self, meta: Meta, c: list[Any]) -> n.Expect:
        return n.Expect(span_of(meta), "closed", c[0], None)

    def expect_none(self, meta: Meta, c: list[Any]) -> n.Expect:
        return n.Expect(span_of(meta), "none", None, None)

    def test(self, meta: Meta, c: list[Any]) -> n.TestNode:
        return n.TestNode(span_of(meta), string(c[0]), c[1], tuple(c[2:]))
