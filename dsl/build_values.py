"""Parse tree to syntax nodes: names, values, and what all parts of the builder share."""

from __future__ import annotations

from typing import Any, TypeVar, cast

from lark import Token, Tree
from lark.tree import Meta

from dsl import nodes as n
from dsl.units import duration_ms, number, size_bytes, string

_T = TypeVar("_T")


def span_of(meta: Meta) -> n.Span:
    """Where a part of the tree stands."""
    return n.Span(meta.start_pos, meta.end_pos)


def token_span(token: Token) -> n.Span:
    """Where a token stands."""
    return n.Span(token.start_pos or 0, token.end_pos or 0)


def only(kind: type[_T], items: list[Any]) -> tuple[_T, ...]:
    """The items of one type, in order."""
    return tuple(item for item in items if isinstance(item, kind))


def first(kind: type[_T], items: list[Any]) -> _T | None:
    """The first item of one type."""
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


class ValueBuilder:
    """Names and values; the state of the builder."""

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

    def start(self, meta: Meta, c: list[Any]) -> Any:
        return c[0]

    def name(self, meta: Meta, c: list[Token]) -> n.Name:
        return n.Name(span_of(meta), "_".join(c))

    def names(self, meta: Meta, c: list[n.Name]) -> tuple[n.Name, ...]:
        return tuple(c)

    def path(self, meta: Meta, c: list[n.Name]) -> n.Path:
        return n.Path(span_of(meta), tuple(c))

    def paths(self, meta: Meta, c: list[n.Path]) -> tuple[n.Path, ...]:
        return tuple(c)

    def quantity(self, meta: Meta, c: list[Token]) -> n.Quantity:
        token = c[0]
        kind = {"NUMBER": "number", "SIZE": "size", "DURATION": "duration", "WORD": "param"}[token.type]
        if token.type in _CONVERT:  # the value is read later; that it can be is checked here
            self._value(_CONVERT[token.type], token)
        return n.Quantity(span_of(meta), str(token), kind)

    def _value(self, convert: Any, token: Token) -> Any:
        try:
            return convert(str(token))
        except ValueError as error:
            raise LiteralError(str(error), token_span(token)) from None

    def scalar(self, meta: Meta, c: list[Token]) -> n.Scalar:
        token = c[0]
        span = span_of(meta)
        if token.type in _CONVERT:
            return n.Scalar(span, self._value(_CONVERT[token.type], token), token.type.lower())
        if token.type == "STRING":
            return n.Scalar(span, string(token), "string")
        return n.Scalar(span, token.type == "TRUE", "bool")

    def negative_value(self, meta: Meta, c: list[Any]) -> n.Scalar:
        inner = cast(n.Scalar, c[1])
        if isinstance(inner.value, str | bool):
            raise LiteralError(f"`-` does not go with {_WITH_ARTICLE[inner.kind]}", span_of(meta))
        return n.Scalar(span_of(meta), -inner.value, inner.kind)

    def word_value(self, meta: Meta, c: list[Token]) -> n.Word:
        return n.Word(span_of(meta), str(c[0]))

    def list_value(self, meta: Meta, c: list[Any]) -> n.ListValue:
        return n.ListValue(span_of(meta), tuple(x for x in c if x is not None))

    def map(self, meta: Meta, c: list[n.Entry]) -> n.Map:
        seen: set[str] = set()
        for entry in c:
            if entry.key in seen:
                self.repeated.append((f"`{entry.key}`", entry.key_span))
            seen.add(entry.key)
        return n.Map(span_of(meta), tuple(c))

    def map_key(self, meta: Meta, c: list[Any]) -> tuple[str, n.Span, bool]:
        key = c[0]
        if isinstance(key, Token):
            return string(key), span_of(meta), True
        return ".".join(p.text for p in key.parts), span_of(meta), False

    def map_entry(self, meta: Meta, c: list[Any]) -> n.Entry:
        key, key_span, quoted = c[0]
        return n.Entry(span_of(meta), key, key_span, quoted, c[1])

    # --- shared

    def _options(self, items: list[Any]) -> dict[str, Any]:
        options: dict[str, Any] = {}
        for item in only(Tagged, items):
            if item.tag in options:
                self.repeated.append((item.tag, item.span))
            else:
                options[item.tag] = item.value
        return options

    def _text(self, items: list[Any]) -> str | None:
        token = next((x for x in items if isinstance(x, Token) and x.type == "STRING"), None)
        return None if token is None else string(token)
