"""Expressions, sources and patterns as documents."""

from __future__ import annotations

from lark import Token, Tree

from dsl.format.layout import Doc, Group, Indent, Line
from dsl.format.values import Node, Values, index_of
from dsl.functions import BASELINE_FUNCTIONS


def ordered(node: Tree[Token]) -> list[Node]:
    """The parts of a node, the name of a step last: AS may also stand before WITHOUT."""
    if node.data != "step":
        return node.children
    return sorted(node.children, key=lambda part: isinstance(part, Tree) and part.data == "alias")


class Patterns(Values):
    """Adds what stands in filters and behind WHEN."""

    # --- expressions

    def expression(self, node: Node, hang: bool = True) -> Doc:
        """An expression. Where it breaks, its later lines are indented if it should ``hang``."""
        if isinstance(node, Token):
            return self.token(node)
        match node.data:
            case "or_" | "and_" | "arithmetic":
                return self._operators(node, hang)
            case "negative":
                return tuple(self.expression(part) for part in node.children)
            case "parenthesised":
                opening, inner, closing = node.children
                return self.enclosed(opening, [self.expression(inner, hang=False)], closing)
            case "call":
                return self._call(node)
            case "in_values":
                return self.value(node.children[0])
            case "in_list":
                return self.spaced([self.value(node.children[0]), self.name(node.children[1])])
            case "in_cidr":
                return tuple(self.value(part) for part in node.children)
            case "reference" | "in_path":
                return self.path(node.children[0])
            case "scalar":
                return self.value(node)
            case _:
                return self.spaced(self.expression(part) for part in node.children)

    def _operators(self, node: Tree[Token], hang: bool) -> Doc:
        first, *rest = node.children
        more: list[Doc] = []
        for operator, operand in zip(rest[::2], rest[1::2], strict=True):
            more += [Line(), self.expression(operator), " ", self.expression(operand)]
        begin = self.expression(first)
        return Group((begin, Indent(tuple(more))) if hang else (begin, *more))

    def _call(self, node: Tree[Token]) -> Doc:
        name, opening, *arguments, closing = node.children
        function = " ".join(map(str, name.children)) if isinstance(name, Tree) else ""
        items = self.commas(arguments, self.expression)
        if function in BASELINE_FUNCTIONS and items:
            items[-1] = self._baseline(arguments[-1])
        return (self.name(name), self.enclosed(opening, items, closing))

    def _baseline(self, argument: Node) -> Doc:
        """The name of a baseline, the last argument of its functions, in its canonical spelling."""
        if isinstance(argument, Tree) and argument.data == "reference":
            path = argument.children[0]
            if isinstance(path, Tree) and len(path.children) == 1:
                return self.name(path.children[0])
        return self.expression(argument)

    # --- sources

    def atom(self, node: Node) -> Doc:
        """``name [filter]``."""
        assert isinstance(node, Tree)
        name = self.name(node.children[0])
        if len(node.children) == 1:
            return name
        return self.spaced([name, self.filter(node.children[1])])

    def filter(self, node: Node) -> Doc:
        """``[expression]``."""
        assert isinstance(node, Tree)
        opening, inner, closing = node.children
        return self.enclosed(opening, [self.expression(inner, hang=False)], closing)

    def source(self, node: Node) -> Doc:
        """An atom, or ALERT and an atom."""
        assert isinstance(node, Tree)
        return self.spaced(
            self.token(part) if isinstance(part, Token) else self.atom(part) for part in node.children
        )

    # --- patterns

    def pattern(self, node: Node, hang: bool = False) -> Doc:
        """``a THEN b WITHIN d``, broken before each THEN and before the WITHIN of the whole."""
        assert isinstance(node, Tree)
        chain, *bound = node.children
        assert isinstance(chain, Tree)
        first, *rest = chain.children
        more: list[Doc] = []
        for link, step in zip(rest[::2], rest[1::2], strict=True):
            more += [Line(), self.spaced([self._part(link), self._step(step)])]
        within = self.spaced(map(self._part, bound))
        begin = self._step(first)
        if bound and not more:
            begin = self.spaced([begin, within])
        elif bound:
            more += [Line(), within]
        return Group((begin, Indent(tuple(more))) if hang else (begin, *more))

    def _part(self, node: Node) -> Doc:
        """Words side by side."""
        if isinstance(node, Token):
            return self.token(node)
        match node.data:
            case "source_event" | "source_alert":
                return self.source(node)
            case "name":
                return self.as_written(node)
            case "quantity":
                return self.value(node)
            case "group" | "all_of" | "any_of" | "one_of":
                return self._branches(node)
            case _:
                return self.spaced(map(self._part, node.children))

    def _branches(self, node: Tree[Token]) -> Doc:
        """``ALL OF (p, q)``, and a group, whose one pattern is not a branch and so does not hang."""
        at = index_of("LPAR", node)
        opening, inner, closing = node.children[at:]
        assert isinstance(inner, Tree)
        if inner.data == "patterns":
            items = self.commas(inner.children, lambda part: self.pattern(part, hang=True))
        else:
            items = [self.pattern(inner)]
        return self.spaced([*map(self._part, node.children[:at]), self.enclosed(opening, items, closing)])

    def _step(self, node: Node) -> Doc:
        assert isinstance(node, Tree)
        if node.data == "absence":
            return self._part(node)
        what, *rest = ordered(node)
        if len(rest) == 1 and isinstance(rest[0], Tree) and rest[0].data == "alias":
            return self.spaced(map(self._part, [what, *rest]))  # a name stays beside what it names
        more = tuple(doc for part in rest for doc in (Line(), self._part(part)))
        return Group((self._part(what), Indent(more)))
