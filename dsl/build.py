"""Parse tree to syntax nodes: one method a grammar rule, named as in grammar.lark."""

from __future__ import annotations

from typing import Any, TypeVar, cast

from lark import Token, Tree
from lark.tree import Meta

from dsl import nodes as n
from dsl.units import duration_ms, number, size_bytes, string

_T = TypeVar("_T")


def _span(meta: Meta) -> n.Span:
    return n.Span(meta.start_pos, meta.end_pos)


def _token_span(token: Token) -> n.Span:
    return n.Span(token.start_pos or 0, token.end_pos or 0)


def _of(kind: type[_T], items: list[Any]) -> tuple[_T, ...]:
    return tuple(item for item in items if isinstance(item, kind))


def _first(kind: type[_T], items: list[Any]) -> _T | None:
    return next((item for item in items if isinstance(item, kind)), None)


class LiteralError(Exception):
    """A literal token of the right form without a value, such as ``5m1h``."""

    def __init__(self, message: str, span: n.Span) -> None:
        super().__init__(message)
        self.message = message
        self.span = span


class Tagged:
    """An option on its way up the tree, before its parent sorts it into a field."""

    __slots__ = ("span", "tag", "value")

    def __init__(self, tag: str, value: Any, span: n.Span) -> None:
        self.tag = tag
        self.value = value
        self.span = span


_WITH_ARTICLE = {"string": "a string", "bool": "TRUE and FALSE"}
_CONVERT = {"NUMBER": number, "SIZE": size_bytes, "DURATION": duration_ms}
_CLAUSES = {"meta", "by", "when", "severity", "suppress", "risk", "alert", "select"}
Filter = tuple[str, n.Expression]


class Builder:
    """Bottom-up; children arrive already built. Repeated options are kept for parse.py to report.

    lark's Transformer does the same, and wraps every method anew at every call: a fifth of the time
    that reading a rule takes.
    """

    def __init__(self) -> None:
        self.repeated: list[tuple[str, n.Span]] = []

    def transform(self, tree: Tree[Token]) -> Any:
        """What the method named as the grammar rule makes of the tree.

        Raises:
            LiteralError: a literal has no value.
        """
        transform = self.transform
        children = [transform(child) if isinstance(child, Tree) else child for child in tree.children]
        return getattr(self, tree.data)(tree.meta, children)

    # --- names and values

    def start(self, meta: Meta, c: list[Any]) -> Any:
        return c[0]

    def name(self, meta: Meta, c: list[Token]) -> n.Name:
        return n.Name(_span(meta), "_".join(c))

    def names(self, meta: Meta, c: list[n.Name]) -> tuple[n.Name, ...]:
        return tuple(c)

    def path(self, meta: Meta, c: list[n.Name]) -> n.Path:
        return n.Path(_span(meta), tuple(c))

    def paths(self, meta: Meta, c: list[n.Path]) -> tuple[n.Path, ...]:
        return tuple(c)

    def quantity(self, meta: Meta, c: list[Token]) -> n.Quantity:
        token = c[0]
        kind = {"NUMBER": "number", "SIZE": "size", "DURATION": "duration", "WORD": "param"}[token.type]
        if token.type in _CONVERT:  # the value is read later; that it can be is checked here
            self._value(_CONVERT[token.type], token)
        return n.Quantity(_span(meta), str(token), kind)

    def _value(self, convert: Any, token: Token) -> Any:
        try:
            return convert(str(token))
        except ValueError as error:
            raise LiteralError(str(error), _token_span(token)) from None

    def scalar(self, meta: Meta, c: list[Token]) -> n.Scalar:
        token = c[0]
        span = _span(meta)
        if token.type in _CONVERT:
            return n.Scalar(span, self._value(_CONVERT[token.type], token), token.type.lower())
        if token.type == "STRING":
            return n.Scalar(span, string(token), "string")
        return n.Scalar(span, token.type == "TRUE", "bool")

    def negative_value(self, meta: Meta, c: list[Any]) -> n.Scalar:
        inner = cast(n.Scalar, c[1])
        if isinstance(inner.value, str | bool):
            raise LiteralError(f"`-` does not go with {_WITH_ARTICLE[inner.kind]}", _span(meta))
        return n.Scalar(_span(meta), -inner.value, inner.kind)

    def word_value(self, meta: Meta, c: list[Token]) -> n.Word:
        return n.Word(_span(meta), str(c[0]))

    def list_value(self, meta: Meta, c: list[Any]) -> n.ListValue:
        return n.ListValue(_span(meta), tuple(x for x in c if x is not None))

    def map(self, meta: Meta, c: list[n.Entry]) -> n.Map:
        seen: set[str] = set()
        for entry in c:
            if entry.key in seen:
                self.repeated.append((f"`{entry.key}`", entry.key_span))
            seen.add(entry.key)
        return n.Map(_span(meta), tuple(c))

    def map_key(self, meta: Meta, c: list[Any]) -> tuple[str, n.Span, bool]:
        key = c[0]
        if isinstance(key, Token):
            return string(key), _span(meta), True
        return ".".join(p.text for p in key.parts), _span(meta), False

    def map_entry(self, meta: Meta, c: list[Any]) -> n.Entry:
        key, key_span, quoted = c[0]
        return n.Entry(_span(meta), key, key_span, quoted, c[1])

    # --- declarations

    def grace(self, meta: Meta, c: list[Any]) -> Tagged:
        return Tagged("GRACE", c[0], _span(meta))

    def late(self, meta: Meta, c: list[Any]) -> Tagged:
        return Tagged("LATE", c[0], _span(meta))

    def scalar_type(self, meta: Meta, c: list[Token]) -> Tagged:
        return Tagged("type", (str(c[0]), False), _span(meta))

    def list_type(self, meta: Meta, c: list[Token]) -> Tagged:
        return Tagged("type", (str(c[0]), True), _span(meta))

    def unit(self, meta: Meta, c: list[Token]) -> Tagged:
        return Tagged("UNIT", str(c[0]), _span(meta))

    def choices(self, meta: Meta, c: list[n.ListValue]) -> Tagged:
        return Tagged("ONE OF", c[0], _span(meta))

    def wire_name(self, meta: Meta, c: list[Token]) -> Tagged:
        return Tagged("FROM", string(c[0]), _span(meta))

    def field_text(self, meta: Meta, c: list[Token]) -> Tagged:
        return Tagged("text", string(c[0]), _span(meta))

    def _options(self, items: list[Any]) -> dict[str, Any]:
        options: dict[str, Any] = {}
        for item in _of(Tagged, items):
            if item.tag in options:
                self.repeated.append((item.tag, item.span))
            else:
                options[item.tag] = item.value
        return options

    def field(self, meta: Meta, c: list[Any]) -> n.FieldNode:
        options = self._options(c)
        type_name, is_list = options["type"]
        return n.FieldNode(
            span=_span(meta),
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

    def _text(self, items: list[Any]) -> str | None:
        token = next((x for x in items if isinstance(x, Token) and x.type == "STRING"), None)
        return None if token is None else string(token)

    def event(self, meta: Meta, c: list[Any]) -> n.EventNode:
        options = self._options(c)
        return n.EventNode(
            _span(meta), c[0], self._text(c), options.get("GRACE"), options.get("LATE"), _of(n.FieldNode, c)
        )

    def list_literal(self, meta: Meta, c: list[Any]) -> n.ListNode:
        return n.ListNode(_span(meta), c[0], c[1], None, None)

    def list_file(self, meta: Meta, c: list[Any]) -> n.ListNode:
        file = n.Scalar(_token_span(c[1]), string(c[1]), "string")
        return n.ListNode(_span(meta), c[0], None, file, c[2])

    def param(self, meta: Meta, c: list[Any]) -> n.ParamNode:
        return n.ParamNode(_span(meta), c[0], c[1], self._text(c[2:]))

    def define(self, meta: Meta, c: list[Any]) -> n.DefineNode:
        return n.DefineNode(_span(meta), c[0], c[1], c[2])

    def filter(self, meta: Meta, c: list[Any]) -> Tagged:
        return Tagged("filter", c[0], _span(meta))

    def baseline_by(self, meta: Meta, c: list[Any]) -> Tagged:
        return Tagged("BY", c[0], _span(meta))

    def baseline_every(self, meta: Meta, c: list[Any]) -> Tagged:
        return Tagged("EVERY", c[0], _span(meta))

    def baseline_over(self, meta: Meta, c: list[Any]) -> Tagged:
        return Tagged("OVER", c[0], _span(meta))

    def baseline_using(self, meta: Meta, c: list[Token]) -> Tagged:
        return Tagged("USING", n.Name(_token_span(c[0]), str(c[0])), _span(meta))

    def baseline_warmup(self, meta: Meta, c: list[Any]) -> Tagged:
        return Tagged("WARMUP", c[0], _span(meta))

    def baseline_peer(self, meta: Meta, c: list[Any]) -> Tagged:
        return Tagged("PEER", c[0], _span(meta))

    def baseline(self, meta: Meta, c: list[Any]) -> n.BaselineNode:
        options = self._options(c)
        plain = [x for x in c[1:] if not isinstance(x, Tagged)]
        return n.BaselineNode(
            span=_span(meta),
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
        return n.Atom(_span(meta), c[0], c[1].value if len(c) > 1 else None, False)

    def signal(self, meta: Meta, c: list[Any]) -> n.SignalNode:
        return n.SignalNode(_span(meta), c[0], _of(n.Atom, c), self._text(c))

    # --- rules

    def source_event(self, meta: Meta, c: list[n.Atom]) -> n.Atom:
        return c[0]

    def source_alert(self, meta: Meta, c: list[n.Atom]) -> n.Atom:
        return n.Atom(_span(meta), c[0].name, c[0].filter, True)

    def meta(self, meta: Meta, c: list[Any]) -> Tagged:
        return Tagged("meta", c[0], _span(meta))

    def by(self, meta: Meta, c: list[Any]) -> Tagged:
        return Tagged("by", c[0], _span(meta))

    def when(self, meta: Meta, c: list[Any]) -> Tagged:
        return Tagged("when", c[0], _span(meta))

    def unless(self, meta: Meta, c: list[Any]) -> n.Unless:
        return n.Unless(_span(meta), c[0], c[1])

    def severity(self, meta: Meta, c: list[Any]) -> Tagged:
        return Tagged("severity", c[0], _span(meta))

    def suppress(self, meta: Meta, c: list[Any]) -> Tagged:
        return Tagged("suppress", n.Suppress(_span(meta), c[0], c[1] or ()), _span(meta))

    def risk(self, meta: Meta, c: list[Any]) -> Tagged:
        return Tagged("risk", c[0], _span(meta))

    def alert_text(self, meta: Meta, c: list[Token]) -> n.AlertText:
        return n.AlertText(_span(meta), str(c[0]), n.Scalar(_token_span(c[1]), string(c[1]), "string"))

    def alert_fields(self, meta: Meta, c: list[Any]) -> n.AlertFields:
        return n.AlertFields(_span(meta), str(c[0]), c[1] if len(c) > 1 else ())

    def alert(self, meta: Meta, c: list[Any]) -> Tagged:
        return Tagged("alert", n.AlertClause(_span(meta), tuple(c)), _span(meta))

    def select_latest(self, meta: Meta, c: list[Any]) -> Tagged:
        return Tagged("select", "latest", _span(meta))

    def select_first(self, meta: Meta, c: list[Any]) -> Tagged:
        return Tagged("select", "first", _span(meta))

    def select_each(self, meta: Meta, c: list[Any]) -> Tagged:
        return Tagged("select", "each", _span(meta))

    def rule(self, meta: Meta, c: list[Any]) -> n.RuleNode:
        options = self._options(c)
        order = [
            x.tag if isinstance(x, Tagged) else type(x).__name__ for x in c[1:] if not isinstance(x, Token)
        ]
        return n.RuleNode(
            span=_span(meta),
            name=c[0],
            title=self._text(c),
            params=_of(n.ParamNode, c),
            unless=_of(n.Unless, c),
            clauses=tuple(order),
            **{key: options.get(key) for key in _CLAUSES},
        )

    # --- patterns

    def pattern(self, meta: Meta, c: list[Any]) -> n.Pattern:
        return n.Pattern(_span(meta), c[0], c[1])

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
        return n.Gap(_span(meta), None, None)

    def gap_within(self, meta: Meta, c: list[Any]) -> n.Gap:
        return n.Gap(_span(meta), None, c[0])

    def gap_after(self, meta: Meta, c: list[Any]) -> n.Gap:
        return n.Gap(_span(meta), c[0], None)

    def gap_between(self, meta: Meta, c: list[Any]) -> n.Gap:
        return n.Gap(_span(meta), c[0], c[1])

    def step(self, meta: Meta, c: list[Any]) -> tuple[Any, ...]:
        node = n.EventStep(c[0].span, c[0]) if isinstance(c[0], n.Atom) else c[0]
        aliases = [x.value for x in _of(Tagged, c)]
        if len(aliases) > 1:
            self.repeated.append(("AS", aliases[1].span))
        return node, _of(n.Guard, c), aliases[0] if aliases else None, _span(meta)

    def absence(self, meta: Meta, c: list[Any]) -> tuple[Any, ...]:
        alias = _first(Tagged, c)
        return n.Absence(_span(meta), c[0], c[1]), (), alias.value if alias else None, _span(meta)

    def alias(self, meta: Meta, c: list[n.Name]) -> Tagged:
        return Tagged("AS", c[0], _span(meta))

    def guard(self, meta: Meta, c: list[Any]) -> n.Guard:
        return n.Guard(_span(meta), c[0], c[1])

    def group(self, meta: Meta, c: list[Any]) -> n.Group:
        return n.Group(_span(meta), c[0])

    def patterns(self, meta: Meta, c: list[Any]) -> tuple[n.Pattern, ...]:
        return tuple(c)

    def all_of(self, meta: Meta, c: list[Any]) -> n.AllOf:
        return n.AllOf(_span(meta), c[0])

    def any_of(self, meta: Meta, c: list[Any]) -> n.AnyOf:
        return n.AnyOf(_span(meta), c[0], c[1])

    def one_of(self, meta: Meta, c: list[Any]) -> n.OneOf:
        return n.OneOf(_span(meta), c[0])

    def at_least(self, meta: Meta, c: list[Any]) -> n.AtLeast:
        return n.AtLeast(_span(meta), c[0], "count", None, c[1], c[2])

    def at_least_distinct(self, meta: Meta, c: list[Any]) -> n.AtLeast:
        return n.AtLeast(_span(meta), c[0], "distinct", c[1], c[2], c[3])

    def at_least_sum(self, meta: Meta, c: list[Any]) -> n.AtLeast:
        return n.AtLeast(_span(meta), c[0], "sum", c[1], c[2], c[3])

    # --- expressions

    def or_(self, meta: Meta, c: list[Any]) -> n.Or:
        return n.Or(_span(meta), tuple(c))

    def and_(self, meta: Meta, c: list[Any]) -> n.And:
        return n.And(_span(meta), tuple(c))

    def not_(self, meta: Meta, c: list[Any]) -> n.Not:
        return n.Not(_span(meta), c[0])

    def compare(self, meta: Meta, c: list[Any]) -> n.Compare:
        return n.Compare(_span(meta), str(c[1]), c[0], c[2])

    def _in(self, meta: Meta, value: n.Expression, target: Any, negated: bool) -> n.Expression:
        span = _span(meta)
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
        return n.Scalar(_token_span(c[0]), string(c[0]), "string")

    def in_path(self, meta: Meta, c: list[Any]) -> Any:
        return c[0]

    def _text_scalar(self, token: Token) -> n.Scalar:
        return n.Scalar(_token_span(token), string(token), "string")

    def like(self, meta: Meta, c: list[Any]) -> n.Like:
        return n.Like(_span(meta), c[0], self._text_scalar(c[1]), False)

    def not_like(self, meta: Meta, c: list[Any]) -> n.Like:
        return n.Like(_span(meta), c[0], self._text_scalar(c[1]), True)

    def matches(self, meta: Meta, c: list[Any]) -> n.Matches:
        return n.Matches(_span(meta), c[0], self._text_scalar(c[1]), False)

    def not_matches(self, meta: Meta, c: list[Any]) -> n.Matches:
        return n.Matches(_span(meta), c[0], self._text_scalar(c[1]), True)

    def exists(self, meta: Meta, c: list[Any]) -> n.Presence:
        return n.Presence(_span(meta), c[0], True)

    def missing(self, meta: Meta, c: list[Any]) -> n.Presence:
        return n.Presence(_span(meta), c[0], False)

    def arithmetic(self, meta: Meta, c: list[Any]) -> n.Arithmetic:
        return n.Arithmetic(_span(meta), c[0], tuple(zip(map(str, c[1::2]), c[2::2], strict=True)))

    def negative(self, meta: Meta, c: list[Any]) -> n.Negative:
        return n.Negative(_span(meta), c[1])

    def reference(self, meta: Meta, c: list[Any]) -> n.Reference:
        return n.Reference(_span(meta), c[0])

    def call(self, meta: Meta, c: list[Any]) -> n.Call:
        return n.Call(_span(meta), c[0], tuple(x for x in c[1:] if x is not None))

    def parenthesised(self, meta: Meta, c: list[Any]) -> n.Expression:
        return cast(n.Expression, c[0])

    # --- tests

    def given_key(self, meta: Meta, c: list[Any]) -> tuple[n.Value, ...]:
        return tuple(c)

    def given_baseline(self, meta: Meta, c: list[Any]) -> n.GivenBaseline:
        return n.GivenBaseline(_span(meta), c[0], c[1] or (), c[2])

    def given_list(self, meta: Meta, c: list[Any]) -> n.GivenList:
        return n.GivenList(_span(meta), c[0], c[1])

    def given_param(self, meta: Meta, c: list[Any]) -> n.GivenParam:
        return n.GivenParam(_span(meta), c[0], c[1])

    def at(self, meta: Meta, c: list[Any]) -> n.At:
        return n.At(_span(meta), c[0], c[1], c[2], c[3])

    def clock(self, meta: Meta, c: list[Any]) -> n.Clock:
        return n.Clock(_span(meta), c[0])

    def expect_alert(self, meta: Meta, c: list[Any]) -> n.Expect:
        return n.Expect(_span(meta), "alert", c[0], c[1])

    def expect_closed(self, meta: Meta, c: list[Any]) -> n.Expect:
        return n.Expect(_span(meta), "closed", c[0], None)

    def expect_none(self, meta: Meta, c: list[Any]) -> n.Expect:
        return n.Expect(_span(meta), "none", None, None)

    def test(self, meta: Meta, c: list[Any]) -> n.TestNode:
        return n.TestNode(_span(meta), string(c[0]), c[1], tuple(c[2:]))
