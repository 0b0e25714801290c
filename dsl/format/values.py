"""Tokens, names, values and lists as documents."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TypeAlias

from lark import Token, Tree

from dsl.format.comments import Leaf, Leaves
from dsl.format.layout import Doc, Group, Hard, Indent, Line, Own, Trail, fill

Node: TypeAlias = "Tree[Token] | Token"

_JOINT = re.compile(r"(?<=[a-z0-9])_(?=[a-z])")
MAX_FILLED = 30
"""Characters of an item up to which the items of a broken list share lines."""


def first_token(node: Node) -> Token:
    """The first token of a part of the tree; no part is empty."""
    while isinstance(node, Tree):
        node = node.children[0]
    return node


def index_of(kind: str, node: Tree[Token]) -> int:
    """Where the first token of a kind stands among the parts of a node."""
    return next(i for i, part in enumerate(node.children) if isinstance(part, Token) and part.type == kind)


class Values:
    """Makes documents of the parts that stand everywhere. One for each file."""

    def __init__(self, leaves: Leaves) -> None:
        self._leaves = leaves

    # --- tokens

    def leaf(self, node: Node) -> Leaf | None:
        """What stands around the first token; None for a token that is not printed."""
        return self._leaves.by_start.get(first_token(node).start_pos or 0)

    def token(self, token: Token, text: str | None = None) -> Doc:
        """A token with its comments; nothing for one that is not printed."""
        leaf = self.leaf(token)
        if leaf is None:
            return ""
        return (*self._above(leaf), leaf.text if text is None else text, *_behind(leaf))

    def _above(self, leaf: Leaf) -> tuple[Doc, ...]:
        docs: list[Doc] = [Own(comment.text, comment.blank) for comment in leaf.before]
        if docs and leaf.blank:
            docs.append(Hard(True))
        return tuple(docs)

    def starts_line(self, node: Node) -> bool:
        """Whether the author began a line with it."""
        leaf = self.leaf(node)
        return leaf is not None and leaf.first

    def blank_above(self, node: Node) -> bool:
        """Whether an empty line stands directly above it; one above its comments is the comments'."""
        leaf = self.leaf(node)
        return leaf is not None and leaf.blank and not leaf.before

    # --- joining

    def spaced(self, parts: Iterable[Doc]) -> Doc:
        """The parts with one space between them; empty ones left out."""
        joined: list[Doc] = []
        for part in parts:
            if part != "":
                joined.extend([" ", part] if joined else [part])
        return tuple(joined)

    def commas(self, children: list[Node], doc: Callable[[Node], Doc]) -> list[Doc]:
        """The items between commas, each but the last with its comma."""
        items: list[Doc] = []
        for child in children:
            if isinstance(child, Token) and child.type == "COMMA":
                comma = self.token(child)
                if comma != "":
                    items[-1] = (items[-1], comma)
            else:
                items.append(doc(child))
        return items

    def enclosed(self, opening: Node, items: list[Doc], closing: Node, broken: bool = False) -> Doc:
        """``( a, b )``: on one line, or one item a line between the brackets. For braces see body."""
        assert isinstance(opening, Token)
        assert isinstance(closing, Token)
        inside = [part for item in items for part in (Line(), item)][1:]
        above, close = self._closing(closing)
        return Group(
            (self.token(opening), Indent((Line(""), *inside, *above)), Line(""), close),
            broken or bool(above),
        )

    def body(self, opening: Node, items: list[tuple[Node, Doc]], closing: Node, broken: bool) -> Doc:
        """``{ a b }``: on one line, or one item a line, empty lines between items kept."""
        assert isinstance(opening, Token)
        assert isinstance(closing, Token)
        above, close = self._closing(closing)
        if not items:
            return Group((self.token(opening), Indent(above), Line("") if above else "", close), bool(above))
        if not broken:
            lines: list[Doc] = [part for _, item in items for part in (Line(), item)]
            return Group((self.token(opening), Indent(tuple(lines)), Line(), close))
        inside = [part for node, item in items for part in (Hard(self.blank_above(node)), item)]
        return Group((self.token(opening), Indent((*inside, *above)), Hard(), close), True)

    def _closing(self, token: Token) -> tuple[tuple[Doc, ...], Doc]:
        """The comments above a closing bracket, which belong inside, and the bracket."""
        leaf = self.leaf(token)
        assert leaf is not None, "brackets are always printed"
        above = tuple(Own(comment.text, comment.blank) for comment in leaf.before)
        return above, (leaf.text, *_behind(leaf))

    # --- names and paths

    def name(self, node: Node, spaces: bool = True) -> Doc:
        """A name. With ``spaces`` in its canonical spelling, else as written."""
        assert isinstance(node, Tree)
        words = [word for word in node.children if isinstance(word, Token)]
        return self.spaced(self.token(word, _JOINT.sub(" ", word) if spaces else str(word)) for word in words)

    def as_written(self, node: Node) -> Doc:
        """The name of a field, PARAM or step: fields are spelled as on the wire, and a PARAM must be
        one word where a duration stands, so the author's spelling is the one that fits.
        """
        return self.name(node, spaces=False)

    def names(self, node: Node) -> Doc:
        """``a, b`` of fields."""
        assert isinstance(node, Tree)
        return fill(self.commas(node.children, self.as_written))

    def path(self, node: Node) -> Doc:
        """``x.first.f``."""
        assert isinstance(node, Tree)
        return tuple(
            self.token(part) if isinstance(part, Token) else self.as_written(part) for part in node.children
        )

    def paths(self, node: Node) -> Doc:
        """``device, x.f``."""
        assert isinstance(node, Tree)
        return fill(self.commas(node.children, self.path))

    # --- values

    def value(self, node: Node) -> Doc:
        """A literal, word, list or map; also a quantity."""
        if isinstance(node, Token):
            return self.token(node)
        match node.data:
            case "map":
                return self.map(node)
            case "list_value":
                return self.listed(node)
            case "path":
                return self.path(node)
            case _:  # scalar, quantity, word_value, negative_value: tokens side by side
                return tuple(self.value(child) for child in node.children)

    def listed(self, node: Tree[Token]) -> Doc:
        """``[a, b]``: short items share lines where it is broken, long ones have one each."""
        opening, *children, closing = node.children
        return self.bracketed(opening, children, closing, self.value)

    def bracketed(
        self, opening: Node, children: list[Node], closing: Node, doc: Callable[[Node], Doc]
    ) -> Doc:
        """A list in brackets; see :meth:`list`."""
        nodes = [child for child in children if not (isinstance(child, Token) and child.type == "COMMA")]
        items = self.commas(children, doc)
        commented = any(map(self._commented, children)) or self._above_closing(closing)
        if all(_short(node) for node in nodes) and not commented:
            return self.enclosed(opening, [fill(items)] if items else [], closing)
        docs: list[Doc] = []
        for node, item in zip(nodes, items, strict=True):
            docs.append((Hard(True), item) if docs and self.blank_above(node) else item)
        return self.enclosed(opening, docs, closing)

    def _above_closing(self, closing: Node) -> bool:
        leaf = self.leaf(closing)
        return leaf is not None and bool(leaf.before)

    def _commented(self, node: Node) -> bool:
        leaves = (self.leaf(t) for t in ([node] if isinstance(node, Token) else node.scan_values(_any)))
        return any(leaf is not None and (leaf.before or leaf.after is not None) for leaf in leaves)

    def map(self, node: Tree[Token]) -> Doc:
        """``{ a: 1 b: 2 }``; one entry a line if the author began the first on a line of its own."""
        opening, *children, closing = node.children
        entries = [child for child in children if isinstance(child, Tree)]
        broken = bool(entries) and self.starts_line(entries[0])
        return self.braces(opening, [(entry, self._entry(entry)) for entry in entries], closing, broken)

    def braces(self, opening: Node, items: list[tuple[Node, Doc]], closing: Node, broken: bool) -> Doc:
        """A body that may stand on one line: broken too where it has comments or empty lines inside."""
        broken = broken or any(self._commented(node) for node, _ in items) or self._above_closing(closing)
        return self.body(opening, items, closing, broken)

    def _entry(self, node: Tree[Token]) -> Doc:
        key, colon, value = node.children
        assert isinstance(colon, Token)
        spelled = self.value(key.children[0]) if isinstance(key, Tree) else self.token(key)
        return (spelled, self.token(colon), " ", self.value(value))


def _any(token: object) -> bool:
    return True


def _short(node: Node) -> bool:
    if isinstance(node, Tree) and node.data in {"list_value", "map"}:
        return False
    if isinstance(node, Token):
        return len(node) <= MAX_FILLED
    return sum(len(str(token)) for token in node.scan_values(_any)) <= MAX_FILLED


def _behind(leaf: Leaf) -> tuple[Doc, ...]:
    return () if leaf.after is None else (Trail(leaf.after),)
